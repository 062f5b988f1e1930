//! `connect close history redo printwatches version help quit`: the shell itself.

use clap::{Args, ValueEnum};

/// Connects to other servers; what the session before had goes with it.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Connect {
    /// Where: host:port[,host:port...][/chroot]; the same as before if none.
    pub(in crate::shell) servers: Option<String>,
}

/// Ends the session; the shell stays.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::shell) struct Close {}

/// Lists the commands given before.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::shell) struct History {
    /// So many at most.
    #[arg(default_value_t = 11)]
    pub(in crate::shell) count: usize,
}

/// Does a command of the history again.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::shell) struct Redo {
    /// Its number.
    pub(in crate::shell) number: usize,
}

/// Says whether events of watches are printed.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::shell) struct PrintWatches {
    #[arg(value_enum)]
    pub(in crate::shell) switch: Option<Switch>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(in crate::shell) enum Switch {
    On,
    Off,
}

/// Shows the version of this program.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::shell) struct Version {}

/// Lists the commands, or explains one.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Help {
    pub(in crate::shell) command: Option<String>,
}

/// Ends the shell.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::shell) struct Quit {}
