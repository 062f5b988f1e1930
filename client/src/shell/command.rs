//! The commands: their names and flags are those of ZooKeeper's zkCli.

use clap::{Parser, Subcommand, error::ErrorKind};

/// One line at the prompt.
#[derive(Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    help_template = "{subcommands}"
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What the shell can do.
#[derive(Debug, Subcommand)]
#[command(disable_help_flag = true)]
pub(super) enum Command {
    /// Lists children: -s with stat, -R with all below, -w watches the list.
    Ls {
        #[arg(short)]
        stat: bool,
        #[arg(short)]
        watch: bool,
        #[arg(short = 'R')]
        recursive: bool,
        #[arg(default_value = "/")]
        path: String,
    },
    /// Shows data: -s with stat, -w watches it.
    Get {
        #[arg(short)]
        stat: bool,
        #[arg(short)]
        watch: bool,
        path: String,
    },
    /// Replaces data: -v at a version, -s shows the stat.
    Set {
        #[arg(short)]
        stat: bool,
        #[arg(short, allow_negative_numbers = true)]
        version: Option<i32>,
        path: String,
        #[arg(allow_negative_numbers = true)]
        data: String,
    },
    /// Creates a znode: -s sequential, -e ephemeral, -c container, -t with a time to live in ms.
    Create {
        #[arg(short)]
        sequential: bool,
        #[arg(short)]
        ephemeral: bool,
        #[arg(short, conflicts_with_all = ["sequential", "ephemeral", "ttl_ms"])]
        container: bool,
        #[arg(short, value_name = "MS", conflicts_with = "ephemeral")]
        ttl_ms: Option<i64>,
        path: String,
        #[arg(default_value = "", allow_negative_numbers = true)]
        data: String,
    },
    /// Deletes a znode without children: -v at a version.
    Delete {
        #[arg(short, allow_negative_numbers = true)]
        version: Option<i32>,
        path: String,
    },
    /// Deletes a znode and all below it.
    Deleteall { path: String },
    /// Shows a znode's stat: -w watches it.
    Stat {
        #[arg(short)]
        watch: bool,
        path: String,
    },
    /// Waits until this server has all that was committed.
    Sync {
        #[arg(default_value = "/")]
        path: String,
    },
    /// Lists the commands.
    Help,
    /// Ends the shell.
    #[command(alias = "exit")]
    Quit,
}

impl Command {
    /// Reads a command from its words.
    pub(super) fn parse(words: &[String]) -> Result<Self, String> {
        match Line::try_parse_from(words) {
            Ok(line) => Ok(line.command),
            Err(error) if error.kind() == ErrorKind::InvalidSubcommand => {
                Err(format!("unknown command {:?}; help lists them", words[0]))
            }
            Err(error) => {
                let text = error.to_string();
                Err(text.trim_start_matches("error: ").trim_end().to_owned())
            }
        }
    }

    /// Returns the path a command is about.
    pub(super) fn path(&self) -> Option<&str> {
        match self {
            Self::Ls { path, .. }
            | Self::Get { path, .. }
            | Self::Set { path, .. }
            | Self::Create { path, .. }
            | Self::Delete { path, .. }
            | Self::Deleteall { path }
            | Self::Stat { path, .. }
            | Self::Sync { path } => Some(path),
            Self::Help | Self::Quit => None,
        }
    }

    /// Returns the names of all commands, for completion.
    pub(super) const NAMES: [&'static str; 10] =
        ["ls", "get", "set", "create", "delete", "deleteall", "stat", "sync", "help", "quit"];

    /// Returns the list of commands.
    pub(super) fn help() -> String {
        use clap::CommandFactory;
        Line::command().render_help().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Command::parse(&words)
    }

    #[test]
    fn flags_are_those_of_zkcli() {
        assert!(matches!(
            parse("create -s -e /a x"),
            Ok(Command::Create { sequential: true, ephemeral: true, .. })
        ));
        assert!(matches!(parse("set -v -1 /a x"), Ok(Command::Set { version: Some(-1), .. })));
        assert!(
            matches!(parse("set /a -1.5"), Ok(Command::Set { ref data, .. }) if data == "-1.5")
        );
        assert!(matches!(parse("set /a -- -x"), Ok(Command::Set { ref data, .. }) if data == "-x"));
        assert!(matches!(parse("ls"), Ok(Command::Ls { ref path, .. }) if path == "/"));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(parse("frobnicate /a").unwrap_err().contains("unknown command"));
        assert!(parse("get").is_err());
        assert!(parse("set /a").is_err());
    }

    #[test]
    fn help_names_every_command() {
        let help = Command::help();
        for name in Command::NAMES {
            assert!(help.contains(name), "{name} is not in {help}");
        }
    }
}
