//! The arguments of `conclaved`.

use clap::{Parser, Subcommand, ValueEnum};
use conclave_server::boot::Loss;

/// A member of a Conclave ensemble: a coordination service for ZooKeeper's clients.
#[derive(Debug, Parser)]
#[command(
    name = "conclaved",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) member: MemberArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MemberArguments {
    /// Run one member from this file, in the syntax of ZooKeeper's zoo.cfg.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<String>,
    /// The same without the flag, as zkServer.sh takes it.
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub(crate) file: Option<String>,
    /// This member's number, instead of the one in dataDir/myid.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) id: Option<u8>,
    /// Check the file, print what is in effect, and end.
    #[arg(long)]
    pub(crate) check: bool,
    /// Start though the whole log is missing: a leader restores this member before it votes again.
    #[arg(long, conflicts_with = "accept_loss")]
    pub(crate) repair: bool,
    /// Start though acknowledged writes are lost, and go on with what is left. Only for a member
    /// without others, or when a majority has lost its data.
    #[arg(long)]
    pub(crate) accept_loss: bool,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Human, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

impl MemberArguments {
    pub(crate) const fn loss(&self) -> Loss {
        match (self.repair, self.accept_loss) {
            (_, true) => Loss::Accepted,
            (true, false) => Loss::RepairedWhole,
            (false, false) => Loss::Repaired,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an ensemble in this process, on loopback, for development.
    Dev(DevArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct DevArguments {
    /// Members to run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) members: u8,
    /// Client port of the first member; the others follow.
    #[arg(long, default_value_t = 2181)]
    pub(crate) client_port: u16,
    /// Peer port of the first member; the others follow. By default the client port plus 707.
    #[arg(long)]
    pub(crate) peer_port: Option<u16>,
    /// Where the members keep their data; it is kept over restarts.
    #[arg(long, default_value = "./conclave-data", value_name = "DIR")]
    pub(crate) data_dir: String,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Human, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

impl CommandLine {
    pub(crate) const fn log_format(&self) -> LogFormat {
        match &self.command {
            Some(Command::Dev(dev)) => dev.log_format,
            None => self.member.log_format,
        }
    }
}
