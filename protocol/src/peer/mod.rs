//! Messages between members. One connection per pair carries all of them; WIRE.md has the bytes.

pub mod zab;
