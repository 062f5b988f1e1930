//! The inputs of the targets, to files and back: `corpus list`, `corpus unpack DIR`,
//! `corpus pack TARGET DIR`.
#![expect(clippy::disallowed_methods, reason = "a program reads its arguments")]

use std::{path::Path, process::ExitCode};

use conclave_fuzz::{TARGETS, corpus};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["list"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["unpack", dir] => corpus::unpack(Path::new(dir)).map_err(|error| error.to_string()),
        ["pack", name, dir] => pack(name, dir),
        _ => Err("usage: corpus list | unpack DIR | pack TARGET DIR".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn pack(name: &str, dir: &str) -> Result<(), String> {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| format!("there is no target {name}"))?;
    let count = corpus::pack(target, Path::new(dir)).map_err(|error| error.to_string())?;
    println!("{name}: {count} inputs are kept");
    Ok(())
}
