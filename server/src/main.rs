//! conclaved.
fn main() {}
