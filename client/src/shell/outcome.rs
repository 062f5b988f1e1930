//! What a command yields, as values: how they look is for `render`.

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    event::EventKind,
    quota::{Limits, Usage},
    stat::Stat,
};

use super::family::top::Frame;

/// What a command has to show at its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// It has shown all, as [`Item`]s.
    Shown,
    /// It has done what its name says, and there is nothing to tell.
    Done(&'static str),
    /// A value, and perhaps its stat.
    Value(Value),
    /// A list of children, and perhaps the stat of their parent.
    Children { path: String, names: Vec<String>, stat: Option<Stat> },
    /// A stat.
    Stat { path: String, stat: Stat },
    /// A znode that was created.
    Created { path: String },
    /// A znode whose data or ACL was replaced, and perhaps its stat.
    Changed { path: String, stat: Option<Stat>, version: i32 },
    /// So many znodes that were deleted.
    Deleted { path: String, znodes: u64 },
    /// So many znodes that were copied or moved.
    Copied { from: String, to: String, znodes: u64, skipped: u64, is_atomic: bool },
    /// Who may do what.
    Acl { path: String, acl: Vec<Acl>, stat: Option<Stat> },
    /// ACLs that were set, of a znode and all below it.
    AclsSet { path: String, znodes: u64 },
    /// A quota, and what is used of it.
    Quota { path: String, quota: Option<Quota> },
    /// The server has all that was committed.
    Synced { path: String },
    /// How many znodes are below one.
    Count { path: String, znodes: u64 },
    /// Paths of ephemerals.
    Ephemerals(Vec<String>),
    /// Scheme and user.
    Identities(Vec<(String, String)>),
    /// Who the members are.
    Config { lines: String, is_brief: bool, stat: Option<Stat> },
    /// The version of this program.
    Version(String),
    /// Text for people.
    Help(String),
    /// Lines given before, with their numbers.
    History(Vec<(usize, String)>),
    /// Whether watch events are printed.
    PrintsWatches(bool),
    /// What each operation of a transaction did.
    Committed(Vec<Step>),
    /// A znode or so is watched, or is not any more.
    Watching { paths: Vec<String>, is_on: bool },
    /// What goes on in the ensemble.
    Top(Frame),
    /// A sentence, and the path it is about.
    Said { path: String, text: String },
}

/// A znode's data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) path: String,
    pub(super) data: Bytes,
    pub(super) stat: Option<Stat>,
    pub(super) form: Form,
}

/// How data is to be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// As suits where it goes: the bytes, or for a terminal what it can show.
    Plain,
    /// The bytes and nothing else, not even a new line.
    Raw,
    /// JSON and YAML in lines.
    Pretty,
    Base64,
    Hex,
}

/// A quota as its znodes have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quota {
    pub(super) limits_text: String,
    pub(super) limits: Limits,
    pub(super) usage_text: String,
    pub(super) usage: Usage,
}

/// What one operation of a transaction did.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Created(String),
    Changed { path: String, version: i32 },
    Deleted(String),
    Checked(String),
}

/// One of many things that are shown as they are found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// A znode.
    Znode { path: String, stat: Stat },
    /// A znode in a drawn tree.
    Branch(Branch),
    /// A line of a value that matches.
    Match(Match),
    /// What a subtree takes.
    Usage { path: String, bytes: u64, znodes: u64 },
    /// What happened to a znode that is watched, and its value then.
    Event(Event),
}

/// A znode in a drawn tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Branch {
    pub(super) path: String,
    /// For each ancestor but the top, and for the znode itself: whether it is the last child.
    pub(super) lasts: Vec<bool>,
    pub(super) stat: Stat,
    pub(super) data: Option<Bytes>,
}

/// A line of a value that matches a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Match {
    pub(super) path: String,
    /// From 1.
    pub(super) number: usize,
    /// None for data that is no text.
    pub(super) line: Option<String>,
    /// Where in the line, in bytes.
    pub(super) spans: Vec<(usize, usize)>,
    /// Whether only the path is wanted.
    pub(super) is_brief: bool,
}

/// What happened to a znode.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) kind: EventKind,
    pub(super) path: String,
    /// The value when it was read after the event.
    pub(super) value: Option<(Bytes, Stat)>,
    /// Whether the znode was there before the watch was set.
    pub(super) is_initial: bool,
}
