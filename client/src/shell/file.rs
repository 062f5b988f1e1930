//! Files that people name on the command line: the only ones that the shell reads.
#![expect(clippy::disallowed_methods, reason = "this is the file they are allowed in")]

use std::{ffi::OsStr, io::Read};

use super::error::ShellError;

/// Reads a whole file; `-` is standard input.
pub(super) fn read(name: &OsStr) -> Result<Vec<u8>, ShellError> {
    let mut data = Vec::new();
    let read = if name == "-" {
        std::io::stdin().lock().read_to_end(&mut data).map(|_| data)
    } else {
        std::fs::read(name)
    };
    read.map_err(|error| ShellError::Refused(format!("{}: {error}", name.display())))
}
