//! What is to be published, planned against what was there.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    batch::VALUE_LEN_BYTES_MAX,
    error::ConfigError,
    key::Key,
    plan::{self, Plan, Policy, Readers, Sides},
    record::{Action, Form, POINTER_MAGIC},
    release::Manifest,
    store::Seen,
    tree::Tree,
};
use crate::ops::Op;

/// What is to be published.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// What is wanted.
    pub wanted: Tree,
    /// What was there when it was planned.
    pub seen: Seen,
    /// What it comes to.
    pub plan: Plan,
    /// What makes the release.
    pub action: Action,
    /// The release whose content is taken again.
    pub of: Option<u64>,
    /// What is done in the same step.
    pub with: Vec<Op>,
}

impl Proposal {
    /// Plans what is wanted against what is there.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] when a value cannot be one.
    pub fn new(
        wanted: Tree,
        seen: Seen,
        policy: Policy,
        action: Action,
    ) -> Result<Self, ConfigError> {
        for (key, entry) in &wanted {
            check_value(key, &entry.bytes())?;
        }
        let mut proposal =
            Self { wanted, seen, plan: Plan::default(), action, of: None, with: Vec::new() };
        proposal.plan = plan::plan(proposal.sides(), policy);
        Ok(proposal)
    }

    fn sides(&self) -> Sides<'_> {
        Sides {
            last: &self.seen.last,
            live: &self.seen.tree,
            ephemerals: self.ephemerals(),
            wanted: &self.wanted,
        }
    }

    /// Ephemerals count where znodes are what readers see.
    fn ephemerals(&self) -> &BTreeSet<Key> {
        static NONE: BTreeSet<Key> = BTreeSet::new();
        if self.seen.served == Some(Form::Release) { &NONE } else { &self.seen.znodes.ephemerals }
    }

    /// Returns what will be written down for readers of a kind.
    pub fn manifest(&self, readers: Readers) -> Manifest {
        plan::manifest(self.sides(), &self.plan, readers)
    }

    /// Returns whether nothing would be different, neither what is there nor what is written down of it.
    pub fn is_settled(&self) -> bool {
        let readers = match self.seen.served {
            Some(Form::Release) => Readers::OfRelease,
            _ => Readers::OfZnodes,
        };
        self.plan.changes.is_empty() && self.manifest(readers) == self.seen.last
    }
}

/// Refuses what cannot be a value.
///
/// # Errors
///
/// [`ConfigError::Invalid`].
pub fn check_value(key: &Key, data: &Bytes) -> Result<(), ConfigError> {
    if data.len() > VALUE_LEN_BYTES_MAX {
        let len = data.len();
        let text = format!("{key}: {len} bytes; a znode holds {VALUE_LEN_BYTES_MAX} at most");
        return Err(ConfigError::Invalid(text));
    }
    if data.starts_with(POINTER_MAGIC.as_bytes()) {
        let text = format!("{key}: a value cannot begin with {:?}", POINTER_MAGIC.trim());
        return Err(ConfigError::Invalid(text));
    }
    Ok(())
}
