//! The znode shell: one command given as arguments, many from standard input, or a prompt.
//!
//! Exit codes: 0 all went well, 1 a command failed, 2 a command was not understood.

mod command;
mod parse;
mod prompt;
mod run;

use std::{
    io::{BufRead, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use self::{command::Command, run::Shell};
use crate::{client::ClientBuilder, error::ClientError};

/// Exit code of a command that failed.
const FAILED: u8 = 1;

/// Exit code of a command that was not understood.
const USAGE: u8 = 2;

/// Bytes of a line of a script at most: a request cannot be longer than a server's limit anyway.
const LINE_LEN_BYTES_MAX: usize = 4 << 20;

/// Arguments of `conclave shell`.
#[derive(Args, Debug)]
pub struct ShellArguments {
    /// Where to connect: host:port[,host:port...][/chroot].
    #[arg(long, short, default_value = "127.0.0.1:2181", value_name = "HOSTS")]
    server: String,
    /// Session timeout to ask for, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    timeout: u32,
    /// How long to wait for a connection, in milliseconds: at the start, and when it is lost.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    wait: u64,
    /// In a script, go on after a command that failed.
    #[arg(long)]
    keep_going: bool,
    /// A command and its arguments; `help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the shell and returns its exit code.
pub fn main(arguments: ShellArguments) -> ExitCode {
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("conclave: no runtime: {error}");
                return ExitCode::from(FAILED);
            }
        };
    runtime.block_on(run(arguments))
}

async fn run(arguments: ShellArguments) -> ExitCode {
    let ShellArguments { server, timeout, wait: wait_ms, keep_going, command } = arguments;
    let wait = Duration::from_millis(wait_ms);
    if !command.is_empty() {
        // Understood before anything is connected.
        match Command::parse(&command) {
            Ok(Command::Help) => {
                drop(std::io::stdout().write_all(Command::help().as_bytes()));
                return ExitCode::SUCCESS;
            }
            Ok(_) => {}
            Err(error) => {
                eprintln!("conclave: {error}");
                return ExitCode::from(USAGE);
            }
        }
    }
    let client = match ClientBuilder::new(&server).session_timeout_ms(timeout).start() {
        Ok(client) => client,
        Err(error @ ClientError::ConnectString(_)) => {
            eprintln!("conclave: {error}");
            return ExitCode::from(USAGE);
        }
        Err(error) => {
            eprintln!("conclave: {error}");
            return ExitCode::from(FAILED);
        }
    };
    match tokio::time::timeout(wait, client.connected()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            eprintln!("conclave: {server}: {error}");
            return ExitCode::from(FAILED);
        }
        Err(_) => {
            eprintln!("conclave: {server}: no server answered within {wait_ms} ms");
            return ExitCode::from(FAILED);
        }
    }
    let shell = Shell::new(client.clone(), wait);
    let code = if !command.is_empty() {
        one(&shell, &command).await
    } else if std::io::stdin().is_terminal() {
        prompt::run(&shell, &server).await
    } else {
        script(&shell, keep_going).await
    };
    // The session's ephemerals go with it; a service that is gone has nothing to close.
    drop(tokio::time::timeout(wait, client.close()).await);
    ExitCode::from(code)
}

/// Runs one command; the watches it sets are waited for, as there is nothing else to do.
async fn one(shell: &Shell, words: &[String]) -> u8 {
    let code = execute(shell, words).await;
    if code == 0 && !shell.wait_for_watches().await {
        return FAILED;
    }
    code
}

async fn script(shell: &Shell, keep_going: bool) -> u8 {
    let mut worst = 0;
    for line in std::io::stdin().lock().lines() {
        let line = match line {
            Ok(line) if line.len() <= LINE_LEN_BYTES_MAX => line,
            Ok(_) => {
                eprintln!("conclave: a line is longer than {LINE_LEN_BYTES_MAX} bytes");
                return USAGE;
            }
            Err(error) => {
                eprintln!("conclave: standard input: {error}");
                return USAGE;
            }
        };
        let words = match parse::words(&line) {
            Ok(words) => words,
            Err(error) => {
                eprintln!("conclave: {line}: {error}");
                return USAGE;
            }
        };
        if words.is_empty() {
            continue;
        }
        if matches!(words[0].as_str(), "quit" | "exit") {
            break;
        }
        let code = execute(shell, &words).await;
        worst = worst.max(code);
        if code != 0 && !keep_going {
            break;
        }
    }
    worst
}

/// Runs the words of one command and says what went wrong.
async fn execute(shell: &Shell, words: &[String]) -> u8 {
    let command = match Command::parse(words) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("conclave: {error}");
            return USAGE;
        }
    };
    let path = command.path().map(str::to_owned);
    let mut out = Vec::new();
    let result = shell.run(command, &mut out).await;
    // A reader that has gone wants no more.
    drop(std::io::stdout().write_all(&out).and_then(|()| std::io::stdout().flush()));
    match result {
        Ok(()) => 0,
        Err(error) => {
            match path {
                Some(path) => eprintln!("conclave: {} {path}: {error}", words[0]),
                None => eprintln!("conclave: {}: {error}", words[0]),
            }
            FAILED
        }
    }
}
