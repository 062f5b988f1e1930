//! conclave.
fn main() {}
