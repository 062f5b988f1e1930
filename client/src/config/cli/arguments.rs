//! The command line of `conclave config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    super::{batch::MULTI_LEN_BYTES_MAX, source::Format, store},
    following::{Exec, Following, Render},
};

/// Arguments of `conclave config`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 done (plan: nothing would change); 1 refused, invalid, or in conflict with \
                        what others did; 2 not understood (plan: something would change); 3 no member reached."
)]
pub struct ConfigArguments {
    /// How to connect and who asks.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What all commands have.
#[derive(Args, Debug)]
pub struct Common {
    /// Where to connect: host:port[,host:port...][/chroot].
    #[arg(long, short, default_value = "127.0.0.1:2181", value_name = "HOSTS", global = true)]
    pub server: String,
    /// Session timeout to ask for, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS", global = true)]
    pub timeout: u32,
    /// How long to wait for a member, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS", global = true)]
    pub wait: u64,
    /// Bytes of a request at most: less than the service's jute.maxbuffer. What does not fit becomes a release.
    #[arg(long, default_value_t = MULTI_LEN_BYTES_MAX, value_name = "BYTES", global = true)]
    pub max_request: usize,
    /// An identity to prove, as digest:name:password.
    #[arg(
        long,
        env = "CONCLAVE_AUTH",
        hide_env_values = true,
        value_name = "SCHEME:DATA",
        global = true
    )]
    pub auth: Vec<String>,
    /// Where releases are kept.
    #[arg(long, env = "CONCLAVE_CONFIG_STORE", default_value = store::BASE, value_name = "PATH", global = true)]
    pub store: String,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t = Output::Text, global = true)]
    pub output: Output,
    /// Keys for secret values, one per line, the newest first.
    #[arg(long, env = "CONCLAVE_CONFIG_KEY_FILE", value_name = "FILE", global = true)]
    pub key_file: Option<PathBuf>,
    /// The same as text; only from the environment, for others can see the command line.
    #[arg(long, env = "CONCLAVE_CONFIG_KEY", hide_env_values = true, hide = true, global = true)]
    pub secret_key: Option<String>,
    /// Who makes the change.
    #[arg(long, env = "USER", default_value = "unknown", value_name = "NAME", global = true)]
    pub author: String,
}

/// How to print.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What is wanted, and what may be done for it.
#[derive(Args, Debug)]
pub struct Wanted {
    /// The directory, or YAML, JSON or tar file, with what is wanted.
    pub dir: PathBuf,
    /// The znode that stands for it.
    pub path: String,
    /// What DIR is, if its name does not tell.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Delete what was applied once and is not in DIR any more.
    #[arg(long)]
    pub prune: bool,
    /// Overwrite what others have changed.
    #[arg(long)]
    pub overwrite: bool,
    /// Show secret values.
    #[arg(long)]
    pub show_secrets: bool,
    /// What it is judged by.
    #[command(flatten)]
    pub checks: Checks,
}

/// What a configuration is judged by before it is published, besides the schemas that it names itself.
#[derive(Args, Debug)]
pub struct Checks {
    /// A JSON Schema for the keys of a pattern, JSON or YAML.
    #[arg(long, value_name = "PATTERN=FILE")]
    pub schema: Vec<String>,
    /// A command that must end with 0; {} is DIR.
    #[arg(long, value_name = "COMMAND")]
    pub check_cmd: Vec<String>,
}

/// Which consumers.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub struct Cohort {
    /// Those with a label.
    #[arg(long)]
    pub label: Option<String>,
    /// So many of a hundred.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: Option<u8>,
}

/// How a change is made.
#[derive(Args, Debug)]
pub struct Making {
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the history.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub reason: String,
    /// Releases that are kept.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    pub keep: usize,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what apply would change: exit code 0 nothing, 2 something, 1 a conflict.
    Plan {
        /// What is wanted.
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Make a subtree as a directory says, in one step.
    ///
    /// Each file DIR/a/b becomes the data of the znode PATH/a/b, all of them in one multi. Where that would be longer than
    /// --max-request, a release is written first, and then one pointer is turned: the data of PATH. `conclave config get`,
    /// `export`, `watch`, `render`, `exec` and the library's View follow it by themselves. A reader of znodes has to: read
    /// PATH; if its data begins with the line `conclave-release 1`, read the znode `record` that the second line names, the
    /// pages that it lists in `blobs`, and there the blob of the key. Below PATH there is nothing then.
    Apply {
        /// What is wanted.
        #[command(flatten)]
        wanted: Wanted,
        /// How.
        #[command(flatten)]
        making: Making,
    },
    /// Write a subtree as a directory of files, or as one YAML, JSON or tar file.
    Export {
        /// The subtree.
        path: String,
        /// Where to write it.
        dir: PathBuf,
        /// What to write, if the name does not tell.
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// Replace what is there.
        #[arg(long)]
        force: bool,
        /// A release instead of what is in force.
        #[arg(long)]
        release: Option<u64>,
        /// Decrypt secret values.
        #[arg(long)]
        decrypt: bool,
    },
    /// Write what was exported into a subtree. What is there with other data is a conflict.
    Import {
        /// The directory or file.
        dir: PathBuf,
        /// The subtree.
        path: String,
        /// What DIR is, if its name does not tell.
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// Overwrite what is there.
        #[arg(long)]
        overwrite: bool,
        /// Why, for the history.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
        /// What it is judged by.
        #[command(flatten)]
        checks: Checks,
    },
    /// List what was done, the newest first.
    History {
        /// The configuration.
        path: String,
    },
    /// Show what a release holds.
    Show {
        /// The configuration.
        path: String,
        /// The release's number.
        release: u64,
        /// Show secret values.
        #[arg(long)]
        show_secrets: bool,
    },
    /// Show what is different between two releases, or a release and `live`.
    Diff {
        /// The configuration.
        path: String,
        /// One side.
        a: String,
        /// The other.
        b: String,
        /// Show secret values.
        #[arg(long)]
        show_secrets: bool,
    },
    /// Make the subtree as an earlier release: the one before, if none is named.
    Rollback {
        /// The configuration.
        path: String,
        /// The release's number.
        release: Option<u64>,
        /// Overwrite what others have changed.
        #[arg(long)]
        overwrite: bool,
        /// How.
        #[command(flatten)]
        making: Making,
    },
    /// Print the value of a key, whichever way it is served.
    Get {
        /// The configuration.
        path: String,
        /// The key.
        key: String,
    },
    /// Judge a directory by names and sizes, JSON Schemas, and a command.
    Validate {
        /// The directory or file.
        dir: PathBuf,
        /// What DIR is, if its name does not tell.
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// By what.
        #[command(flatten)]
        checks: Checks,
    },
    /// Print each change of a configuration, whole.
    Watch {
        /// The configuration.
        path: String,
        /// End after so many changes.
        #[arg(long, value_name = "COUNT")]
        changes: Option<usize>,
        /// Show secret values.
        #[arg(long)]
        show_secrets: bool,
        /// Who follows.
        #[command(flatten)]
        following: Following,
    },
    /// Render a template to a file, now and whenever the configuration changes.
    Render(Render),
    /// Run a command with the values in its environment, and restart or signal it when they change.
    Exec(Exec),
    /// Put a release in force for some consumers first.
    Rollout {
        /// What to do.
        #[command(subcommand)]
        step: Rollout,
    },
    /// Show what is in force, what others have changed, and who runs what.
    Status {
        /// The configuration.
        path: String,
    },
}

/// Steps of a rollout.
#[derive(Debug, Subcommand)]
pub enum Rollout {
    /// Make a release of DIR that is in force for a cohort alone.
    Start {
        /// What is wanted.
        #[command(flatten)]
        wanted: Wanted,
        /// For whom.
        #[command(flatten)]
        cohort: Cohort,
        /// How.
        #[command(flatten)]
        making: Making,
    },
    /// Put a release in force for one more cohort, or for a greater share.
    Widen {
        /// The configuration.
        path: String,
        /// The release's number.
        release: u64,
        /// For whom.
        #[command(flatten)]
        cohort: Cohort,
    },
    /// Put the release of the rollout in force for all, and end it.
    Promote {
        /// The configuration.
        path: String,
        /// Overwrite what others have changed or applied meanwhile.
        #[arg(long)]
        overwrite: bool,
        /// How.
        #[command(flatten)]
        making: Making,
    },
    /// End the rollout: all are where they were.
    Abort {
        /// The configuration.
        path: String,
    },
}
