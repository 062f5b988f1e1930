//! ZAB messages.
