//! `conclave`: the command of those who use the service.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use conclave_client::shell::{self, ShellArguments};

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
}

fn main() -> ExitCode {
    let Command::Shell(arguments) = CommandLine::parse().command;
    shell::main(arguments)
}
