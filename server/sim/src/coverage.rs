//! What runs have visited: a simulator is blind where its clients and its faults do not go.

use std::{collections::BTreeMap, fmt};

use conclave_protocol::{
    code::ErrorCode,
    opcode::OpCode,
    peer::{PeerMessage, zab::Message},
};
use conclave_snapshots::StorageError;

/// What was visited, and how often.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Coverage {
    /// Operations that clients asked, each with the error it was answered with.
    outcomes: BTreeMap<(i32, i32), u64>,
    /// Everything else, by what it belongs to.
    counts: BTreeMap<(&'static str, String), u64>,
}

/// What learners were sent to catch up.
pub const WAYS: &str = "synchronization";

/// What a disk was asked to do when its power failed.
pub const CRASHES: &str = "power lost";

/// What happened to members, disks, links and clients.
pub const FAULTS: &str = "faults";

/// Kinds of sessions, and what they were served.
pub const SERVICE: &str = "service";

/// Returns what a disk was asked to do when it failed: a verb, and the kind of file.
pub(crate) fn step(error: &StorageError) -> String {
    match error {
        StorageError::Io { what, file, .. } => {
            let name = file.rsplit('/').next().unwrap_or_default();
            let is_temporary = if name.ends_with(".tmp") { "new " } else { "" };
            let kind = name.split('.').next().unwrap_or_default();
            format!("{what} {is_temporary}{kind}")
        }
        StorageError::Poisoned => "poisoned".to_owned(),
        _ => "other".to_owned(),
    }
}

impl Coverage {
    pub(crate) fn answered(&mut self, opcode: OpCode, error: i32) {
        *self.outcomes.entry((opcode.to_wire(), error)).or_default() += 1;
    }

    pub(crate) fn count(&mut self, group: &'static str, what: impl Into<String>) {
        *self.counts.entry((group, what.into())).or_default() += 1;
    }

    /// Counts what a leader sends to a learner that has to catch up.
    pub(crate) fn sent(&mut self, message: &PeerMessage) {
        let PeerMessage::Zab(message) = message else { return };
        match message {
            Message::Snap { .. } => self.count(WAYS, "SNAP"),
            Message::Trunc { .. } => self.count(WAYS, "TRUNC"),
            Message::Diff { .. } => self.count(WAYS, "DIFF"),
            Message::Pull { .. } => self.count(WAYS, "history taken over"),
            _ => {}
        }
    }

    /// Returns how often an operation was answered.
    pub fn answers(&self, opcode: OpCode) -> u64 {
        let own = self.outcomes.iter().filter(|((asked, _), _)| *asked == opcode.to_wire());
        own.map(|(_, count)| count).sum()
    }

    /// Returns how often an operation was answered with an error.
    pub fn outcome(&self, opcode: OpCode, error: ErrorCode) -> u64 {
        self.outcomes.get(&(opcode.to_wire(), error.to_wire())).copied().unwrap_or_default()
    }

    /// Returns how often something of a group was visited.
    pub fn of(&self, group: &'static str, what: &str) -> u64 {
        self.counts.get(&(group, what.to_owned())).copied().unwrap_or_default()
    }

    /// Returns how many different things of a group were visited.
    pub fn kinds(&self, group: &'static str) -> usize {
        self.counts.keys().filter(|(own, _)| *own == group).count()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.outcomes {
            *self.outcomes.entry(*what).or_default() += count;
        }
        for (what, count) in &other.counts {
            *self.counts.entry(what.clone()).or_default() += count;
        }
    }
}

/// One operation, and then one group, a line.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opcodes: Vec<OpCode> =
            OpCode::ALL.into_iter().filter(|opcode| self.answers(*opcode) > 0).collect();
        writeln!(f, "  operations visited: {}", opcodes.len())?;
        writeln!(f, "  outcomes visited: {}", self.outcomes.len())?;
        for opcode in opcodes {
            write!(f, "    {opcode:?}")?;
            let wire = opcode.to_wire();
            for ((_, error), count) in self.outcomes.iter().filter(|((own, _), _)| *own == wire) {
                match ErrorCode::from_wire(*error) {
                    Some(code) => write!(f, ", {code:?} {count}")?,
                    None => write!(f, ", {error} {count}")?,
                }
            }
            writeln!(f)?;
        }
        for group in [WAYS, CRASHES, FAULTS, SERVICE] {
            write!(f, "    {group}:")?;
            let own = self.counts.iter().filter(|((own, _), _)| *own == group);
            for (index, ((_, what), count)) in own.enumerate() {
                write!(f, "{} {what} {count}", if index > 0 { "," } else { "" })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
