//! The table of commands: names, flags, usage, help and completion all come from it.

use std::ffi::{OsStr, OsString};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use super::{
    error::ShellError,
    family::{
        Context, acl, copy, data, edit, ensemble, list, quota, remove, search, session, subtree,
        top, txn, watch,
    },
    outcome::Outcome,
    render::Format,
};

/// One command, as it was typed.
#[derive(Debug, Parser)]
#[command(
    name = "conclave",
    bin_name = "",
    no_binary_name = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    help_template = "{subcommands}\n\n`help COMMAND` explains one.\n"
)]
pub(super) struct Line {
    /// In what form output is wanted.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(super) output: Option<Format>,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What the shell can do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    // One znode.
    Create(data::Create),
    Get(data::Get),
    Set(data::Set),
    Delete(data::Delete),
    Stat(data::Stat),
    // What is below.
    Ls(list::Ls),
    Tree(subtree::Tree),
    Find(search::Find),
    Grep(search::Grep),
    Du(subtree::Du),
    Cp(copy::Cp),
    Mv(copy::Mv),
    #[command(name = "deleteall", visible_alias = "rmr")]
    DeleteAll(remove::DeleteAll),
    #[command(name = "getAllChildrenNumber")]
    GetAllChildrenNumber(list::GetAllChildrenNumber),
    #[command(name = "getEphemerals")]
    GetEphemerals(list::GetEphemerals),
    // At work.
    Edit(edit::Edit),
    Txn(txn::Txn),
    Watch(watch::Watch),
    #[command(name = "addWatch")]
    AddWatch(watch::AddWatch),
    #[command(name = "removewatches")]
    RemoveWatches(watch::RemoveWatches),
    #[command(name = "printwatches")]
    PrintWatches(session::PrintWatches),
    // Who may do what, and how much.
    #[command(name = "getAcl")]
    GetAcl(acl::GetAcl),
    #[command(name = "setAcl")]
    SetAcl(acl::SetAcl),
    #[command(name = "addauth")]
    AddAuth(acl::AddAuth),
    #[command(name = "whoami")]
    WhoAmI(acl::WhoAmI),
    #[command(name = "setquota")]
    SetQuota(quota::SetQuota),
    #[command(name = "listquota")]
    ListQuota(quota::ListQuota),
    #[command(name = "delquota")]
    DelQuota(quota::DelQuota),
    // The ensemble.
    Top(top::Top),
    Sync(ensemble::Sync),
    Config(ensemble::Config),
    Reconfig(ensemble::Reconfig),
    // The shell.
    Connect(session::Connect),
    Close(session::Close),
    History(session::History),
    Redo(session::Redo),
    Version(session::Version),
    Help(session::Help),
    #[command(visible_alias = "exit")]
    Quit(session::Quit),
}

/// Why words are no command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// Help was asked for.
    Help(String),
    /// They are not understood.
    Usage(String),
}

impl Line {
    /// Reads a command from its words.
    pub(super) fn parse_words(words: &[OsString]) -> Result<Self, Refusal> {
        Self::try_parse_from(spelled(words)).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp => Refusal::Help(error.to_string()),
            ErrorKind::InvalidSubcommand => {
                let word = words.first().map(|word| word.display().to_string());
                Refusal::Usage(format!(
                    "unknown command {:?}; help lists them",
                    word.unwrap_or_default()
                ))
            }
            _ => Refusal::Usage(refusal(&error)),
        })
    }
}

impl Command {
    /// Returns whether it is about the shell itself, and needs no server.
    pub(super) const fn is_local(&self) -> bool {
        matches!(
            self,
            Self::PrintWatches(_)
                | Self::Close(_)
                | Self::Connect(_)
                | Self::History(_)
                | Self::Redo(_)
                | Self::Version(_)
                | Self::Help(_)
                | Self::Quit(_)
        )
    }

    /// Does what needs a server.
    pub(super) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::Get(get) => get.run(context).await,
            Self::Set(set) => set.run(context).await,
            Self::Delete(delete) => delete.run(context).await,
            Self::Stat(stat) => stat.run(context).await,
            Self::Ls(ls) => ls.run(context).await,
            Self::Tree(tree) => tree.run(context).await,
            Self::Find(find) => find.run(context).await,
            Self::Grep(grep) => grep.run(context).await,
            Self::Du(du) => du.run(context).await,
            Self::Cp(cp) => cp.run(context).await,
            Self::Mv(mv) => mv.run(context).await,
            Self::DeleteAll(delete) => delete.run(context).await,
            Self::GetAllChildrenNumber(count) => count.run(context).await,
            Self::GetEphemerals(ephemerals) => ephemerals.run(context).await,
            Self::Edit(edit) => edit.run(context).await,
            Self::Txn(txn) => txn::Transaction::of_words(&txn.operations)?.commit(context).await,
            Self::Watch(watch) => watch.run(context).await,
            Self::AddWatch(add) => add.run(context).await,
            Self::RemoveWatches(remove) => remove.run(context).await,
            Self::GetAcl(acl) => acl.run(context).await,
            Self::SetAcl(acl) => acl.run(context).await,
            Self::AddAuth(auth) => auth.run(context).await,
            Self::WhoAmI(who) => who.run(context).await,
            Self::SetQuota(quota) => quota.run(context).await,
            Self::ListQuota(quota) => quota.run(context).await,
            Self::DelQuota(quota) => quota.run(context).await,
            Self::Top(top) => top.run(context).await,
            Self::Sync(sync) => sync.run(context).await,
            Self::Config(config) => config.run(context).await,
            Self::Reconfig(reconfig) => reconfig.run(context).await,
            local => unreachable!("{local:?} needs no server"),
        }
    }
}

/// ZooKeeper's shell has some long flags behind one dash.
fn spelled(words: &[OsString]) -> Vec<OsString> {
    let is_reconfig = words.first().is_some_and(|word| word == "reconfig");
    let spell = |word: &OsString| match word.to_str() {
        Some(flag @ ("-add" | "-remove" | "-members" | "-file")) if is_reconfig => {
            format!("-{flag}").into()
        }
        _ => word.clone(),
    };
    words.iter().map(spell).collect()
}

/// Says in a few lines why the parser refused.
pub(super) fn refusal(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("For more"));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.trim_start_matches("error: ").to_owned()
}

/// Returns the list of commands, or the explanation of one.
pub(super) fn help(command: Option<&str>) -> Result<String, ShellError> {
    let mut table = Line::command();
    table.build();
    match command {
        None => Ok(table.render_help().to_string()),
        Some(name) => match table.find_subcommand_mut(name) {
            Some(found) => Ok(found.render_help().to_string()),
            None => Err(ShellError::Usage(format!("unknown command {name:?}; help lists them"))),
        },
    }
}

/// Returns the names of all commands.
pub(super) fn names() -> Vec<String> {
    let table = Line::command();
    let names = table.get_subcommands().map(|command| command.get_name().to_owned());
    names.collect()
}

/// What can stand behind a word of a command.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Flags {
    /// The flags: `-s`, `--pretty`.
    pub(super) names: Vec<String>,
    /// What the flag just before takes, where that is one of a few words.
    pub(super) values: Vec<String>,
    /// Whether the flag just before takes something else.
    pub(super) wants_value: bool,
}

/// Returns what can stand behind the last of the words of a command.
pub(super) fn flags(command: &str, last: &OsStr) -> Flags {
    let mut table = Line::command();
    table.build();
    let Some(command) = table.find_subcommand(command) else { return Flags::default() };
    let mut flags = Flags::default();
    for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
        let short = argument.get_short().map(|short| format!("-{short}"));
        let long = argument.get_long().map(|long| format!("--{long}"));
        let is_last = [&short, &long].into_iter().flatten().any(|name| last == OsStr::new(name));
        if is_last && argument.get_action().takes_values() {
            let values = argument.get_possible_values();
            flags.values = values.iter().map(|value| value.get_name().to_owned()).collect();
            flags.wants_value = true;
        }
        flags.names.extend([short, long].into_iter().flatten());
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, Refusal> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Line::parse_words(&words).map(|line| line.command)
    }

    #[test]
    fn the_table_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn commands_and_flags_are_those_of_zookeepers_shell() {
        for line in [
            "addWatch /a",
            "addWatch -m PERSISTENT /a /b",
            "addauth digest user:password",
            "close",
            "config -c -w -s",
            "connect h:1",
            "create -s -e /a",
            "create -c /a",
            "create -t 1000 /a data world:anyone:r",
            "delete -v 3 /a",
            "deleteall -b 10 /a",
            "delquota -n /a",
            "get -s -w -b /a",
            "get -x /a",
            "getAcl -s /a",
            "getAllChildrenNumber /a",
            "getEphemerals",
            "getEphemerals /a",
            "history",
            "listquota /a",
            "ls -s -w /a",
            "ls -R /a",
            "printwatches on",
            "quit",
            "reconfig -s -v 3 -add server.4=h:1:2;3 -remove 1,2",
            "reconfig -members server.1=h:1:2;3",
            "redo 1",
            "removewatches /a -c -l",
            "set -s -v 1 /a x",
            "set -b /a YQ==",
            "setAcl -s -v 1 /a world:anyone:r",
            "setAcl -R /a world:anyone:r",
            "setquota -N 3 /a",
            "stat -w /a",
            "sync /a",
            "version",
            "whoami",
        ] {
            parse(line).unwrap_or_else(|refusal| panic!("{line}: {refusal:?}"));
        }
    }

    #[test]
    fn values_that_look_like_flags_are_values() {
        for value in ["-1.5", "-x", "--", "-o", "--yes"] {
            let words = ["set", "--", "/a", value].map(OsString::from);
            let parsed = Line::parse_words(&words).map(|line| line.command);
            assert!(matches!(parsed, Ok(Command::Set(_))), "{value}: {parsed:?}");
        }
        assert!(matches!(parse("set /a -x"), Ok(Command::Set(_))));
        assert!(matches!(parse("create /a -1"), Ok(Command::Create(_))));
    }

    #[test]
    fn output_can_be_chosen_before_and_behind() {
        for line in ["ls -o json /", "ls / --output json"] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(Line::parse_words(&words).unwrap().output, Some(Format::Json), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let usage = |line: &str| match parse(line) {
            Err(Refusal::Usage(text)) => text,
            other => panic!("{line}: {other:?}"),
        };
        assert!(usage("frobnicate /a").contains("unknown command"));
        for line in [
            "get",
            "set /a",
            "get a",
            "get /a/../b",
            "ls -z",
            "setquota /a",
            "create -c -e /a",
            "setquota -n 1 -b 2 /a",
        ] {
            assert!(!usage(line).is_empty());
        }
        assert!(matches!(parse("get --help"), Err(Refusal::Help(_))));
    }

    #[test]
    fn help_names_every_command_and_explains_each() {
        let list = help(None).unwrap();
        for name in names() {
            assert!(list.contains(&name), "{name} is not in {list}");
            assert!(help(Some(&name)).unwrap().contains(&name), "{name}");
        }
        assert!(help(Some("frobnicate")).is_err());
    }

    #[test]
    fn flags_are_told_for_completion() {
        let flags = flags("addWatch", OsStr::new("-m"));
        assert!(flags.names.iter().any(|name| name == "-m"));
        assert_eq!(flags.values, ["PERSISTENT", "PERSISTENT_RECURSIVE"]);
        assert!(super::flags("get", OsStr::new("get")).names.contains(&"--pretty".to_owned()));
    }
}
