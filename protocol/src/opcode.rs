//! opcode
