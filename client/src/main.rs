//! `conclave`: the command of those who use the service.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use conclave_client::{
    bench::{self, BenchArguments},
    config::cli::{self as config, ConfigArguments},
    shell::{self, ShellArguments},
};

/// The command line of Conclave, and of any service that speaks ZooKeeper's protocol.
#[derive(Debug, Parser)]
#[command(name = "conclave", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at znodes and change them: one command, a script on standard input, or a prompt.
    Shell(ShellArguments),
    /// Keep configuration: plan, apply, look back, roll back, render.
    Config(Box<ConfigArguments>),
    /// Measure an ensemble under load.
    Bench(BenchArguments),
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Shell(arguments) => shell::main(arguments, environment()),
        Command::Config(arguments) => config::main(*arguments),
        Command::Bench(arguments) => bench::main(arguments),
    }
}

fn environment() -> shell::Environment {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = |home: OsString| PathBuf::from(home).join(".conclave_history");
    shell::Environment {
        history: variable("CONCLAVE_HISTORY").map(PathBuf::from).or(variable("HOME").map(home)),
        editor: variable("VISUAL").or(variable("EDITOR")),
        is_plain: variable("NO_COLOR").is_some(),
    }
}
