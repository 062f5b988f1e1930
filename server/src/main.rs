//! `conclaved`: a member of an ensemble, or a whole small ensemble for development.

mod command_line;
mod run;

use std::process::ExitCode;

use clap::Parser;

use self::command_line::{CommandLine, LogFormat};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    start_log(command_line.log_format());
    match run::run(command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conclaved: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error: people and supervisors read them there.
fn start_log(format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("CONCLAVE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
