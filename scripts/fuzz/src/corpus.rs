//! Inputs that are kept: one file for each target in `corpus/`, one input a line, in hexadecimal. They are
//! the smallest that reach what the fuzzer has found to reach, and every input that a bug was found by.
#![expect(clippy::disallowed_methods, reason = "the inputs are kept in files")]

use std::{fmt::Write, fs, io, path::Path};

use crate::{TARGETS, Target, transcript::from_hex};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");

/// Bytes of all inputs of a target that are kept, at most.
const KEPT_LEN_BYTES_MAX: usize = 16 << 10;

/// Returns the inputs kept for a target; none where it has no file yet.
///
/// # Panics
///
/// When a line of it is no hexadecimal number.
pub fn kept(target: &Target) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path(target)).unwrap_or_default();
    let input = |(index, line)| {
        from_hex(line).unwrap_or_else(|| panic!("{}:{}: no bytes", path(target), index + 1))
    };
    text.lines().enumerate().map(input).collect()
}

/// Writes all that is known for every target below `dir`, a folder for each, a file for each input.
///
/// # Errors
///
/// What the disk says.
pub fn unpack(dir: &Path) -> io::Result<()> {
    for target in TARGETS {
        let dir = dir.join(target.name);
        fs::create_dir_all(&dir)?;
        let inputs = kept(target).into_iter().chain((target.seeds)());
        for (index, input) in inputs.enumerate() {
            fs::write(dir.join(format!("known-{index:04}")), input)?;
        }
    }
    Ok(())
}

/// Keeps the inputs of a folder for `target` besides those that are kept, the smallest first.
///
/// # Errors
///
/// What the disk says.
pub fn pack(target: &Target, dir: &Path) -> io::Result<usize> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        found.push(fs::read(entry?.path())?);
    }
    found.sort_by_key(|input| (input.len(), input.clone()));
    let (mut inputs, seeds) = (kept(target), (target.seeds)());
    let mut len_bytes: usize = inputs.iter().map(Vec::len).sum();
    for input in found {
        if inputs.contains(&input) || seeds.contains(&input) {
            continue;
        }
        len_bytes += input.len();
        if len_bytes > KEPT_LEN_BYTES_MAX {
            break;
        }
        inputs.push(input);
    }
    inputs.sort_by_key(|input| (input.len(), input.clone()));
    let mut text = String::new();
    for input in &inputs {
        for byte in input {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        text.push('\n');
    }
    fs::write(path(target), text)?;
    Ok(inputs.len())
}

fn path(target: &Target) -> String {
    format!("{FOLDER}/{}.txt", target.name)
}
