//! The arguments of what follows a configuration.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Who follows a configuration, and how soon a change counts.
#[derive(Args, Debug)]
pub struct Following {
    /// The name under which the release that runs here is reported; also decides on shares of a rollout.
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// A label of this consumer, for rollouts.
    #[arg(long, value_name = "LABEL")]
    pub label: Vec<String>,
    /// A change counts when nothing has changed for so many milliseconds.
    #[arg(long, default_value_t = 100, value_name = "MS")]
    pub quiet_min: u64,
    /// Or when the first is so many milliseconds old.
    #[arg(long, default_value_t = 5000, value_name = "MS")]
    pub quiet_max: u64,
    /// Wait up to so many milliseconds more, so that not all do it at once.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub splay: u64,
}

/// Arguments of `render`.
#[derive(Args, Debug)]
pub struct Render {
    /// The template.
    pub template: PathBuf,
    /// The file.
    pub out: PathBuf,
    /// The configuration, if the template does not name it in a comment `{# path: /app #}`.
    #[arg(long)]
    pub path: Option<String>,
    /// Render once, and end.
    #[arg(long)]
    pub once: bool,
    /// Print what would be written.
    #[arg(long)]
    pub dry_run: bool,
    /// Permissions of the file, in octal; those it has, or 644.
    #[arg(long, value_parser = parse_mode)]
    pub mode: Option<u32>,
    /// Its owner, by number; the one it has.
    #[arg(long)]
    pub user: Option<u32>,
    /// Its group, by number; the one it has.
    #[arg(long)]
    pub group: Option<u32>,
    /// A command that must end with 0 before the file is replaced; {} is the new file.
    #[arg(long, value_name = "COMMAND")]
    pub check_cmd: Option<String>,
    /// A command that is run when the file was replaced; {} is the file.
    #[arg(long, value_name = "COMMAND")]
    pub reload_cmd: Option<String>,
    /// Who follows.
    #[command(flatten)]
    pub following: Following,
}

/// Arguments of `exec`.
#[derive(Args, Debug)]
pub struct Exec {
    /// The configuration.
    pub path: String,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
    /// What the variables' names begin with.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Send this signal on a change, instead of a restart.
    #[arg(long, value_enum)]
    pub signal: Option<SignalName>,
    /// How long the command may take to end before it is killed, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    pub kill_after: u64,
    /// Who follows.
    #[command(flatten)]
    pub following: Following,
}

/// Signals that tell a process that something has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum SignalName {
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGINT.
    Int,
    /// SIGTERM.
    Term,
}

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err("expected octal permissions, as 640".to_owned()),
    }
}
