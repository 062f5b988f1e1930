//! Contenders in a line: numbered ephemeral znodes of one parent, served in the order of their numbers.

use bytes::Bytes;

use super::{RecipeError, cleanup, patient, place::Place};
use crate::{
    client::{Client, CreateMode, CreateOptions, create::guid},
    error::ClientError,
};

/// Digits at the end of a numbered name.
const NUMBER_LEN: usize = 10;

/// Whose names contenders have. Ours take both into account; others see only their own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Layout {
    /// Curator's: `_c_GUID-lock-NUMBER`, and its like.
    #[default]
    Curator,
    /// Kazoo's: `GUID__lock__NUMBER`, and its like.
    Kazoo,
}

/// What a contender wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Want {
    /// To be alone.
    Lock,
    /// To be alone, where others may want to read.
    Write,
    /// To be with others that read.
    Read,
    /// To lead, as Curator's latch names it.
    Latch,
    /// One of several leases.
    Lease,
}

impl Want {
    /// Returns what stands before the number.
    const fn label(self, layout: Layout) -> &'static str {
        match (self, layout) {
            (Self::Lock, Layout::Curator) => "lock-",
            (Self::Lock | Self::Write, Layout::Kazoo) => "__lock__",
            (Self::Write, Layout::Curator) => "__WRIT__",
            (Self::Read, Layout::Curator) => "__READ__",
            (Self::Read, Layout::Kazoo) => "__rlock__",
            (Self::Latch, _) => "latch-",
            (Self::Lease, _) => "lease-",
        }
    }
}

/// A contender, as its name tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) number: i64,
    is_reader: bool,
}

/// Returns the contenders among a znode's children, in order. What has no number at its end, or
/// another label, is none.
pub(super) fn contenders(names: &[String]) -> Vec<Contender> {
    let mut all: Vec<Contender> = names.iter().filter_map(|name| contender(name)).collect();
    all.sort_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
    all
}

fn contender(name: &str) -> Option<Contender> {
    let digits = name.get(name.len().checked_sub(NUMBER_LEN)?..)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let rest = &name[..name.len() - NUMBER_LEN];
    let is_reader = rest.ends_with("__READ__") || rest.ends_with("__rlock__");
    let known = ["lock-", "__lock__", "__WRIT__", "latch-", "lease-"];
    let is_known = is_reader || known.iter().any(|label| rest.ends_with(label));
    is_known.then(|| Contender {
        name: name.to_owned(),
        number: digits.parse().unwrap_or(0),
        is_reader,
    })
}

/// A line of contenders.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) dir: String,
    pub(super) layout: Layout,
}

/// Removes what a create may have made whose future was dropped.
struct Joining<'a> {
    line: &'a Line,
    prefix: Option<String>,
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        if let Some(prefix) = self.prefix.take() {
            cleanup::delete_begun(&self.line.client, &self.line.dir, prefix);
        }
    }
}

impl Line {
    /// Stands in line. Dropping the future leaves nothing behind.
    pub(super) async fn join(&self, want: Want, data: &Bytes) -> Result<Place, RecipeError> {
        let guid = guid();
        let options = CreateOptions::new(CreateMode::EphemeralSequential)
            .container_parents()
            .protected_by(&guid);
        let path = format!("{}/{}", self.dir, want.label(self.layout));
        let mut joining = Joining { line: self, prefix: Some(format!("_c_{guid}-")) };
        let created = self.client.create_as(&path, data.clone(), &options).await;
        joining.prefix = None;
        Ok(Place::new(self.client.clone(), created?))
    }

    /// Waits until fewer than `room` of those before a place block it: then it is its turn. One watch at
    /// a time: on the contender whose leaving can make it so.
    pub(super) async fn wait_turn(
        &self,
        place: &Place,
        want: Want,
        room: usize,
    ) -> Result<(), RecipeError> {
        while let Some(blocker) = self.blocker(place, want, room).await? {
            let path = format!("{}/{blocker}", self.dir);
            match patient(|| self.client.get_data_and_watch(&path)).await {
                // Nothing comes when the session is over; the next look says so.
                Ok((_, mut watcher)) => drop(watcher.event().await),
                Err(ClientError::NoNode) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Returns the contender that must leave before it can be the place's turn; `None` when it is.
    pub(super) async fn blocker(
        &self,
        place: &Place,
        want: Want,
        room: usize,
    ) -> Result<Option<String>, RecipeError> {
        let names = match patient(|| self.client.get_children(&self.dir)).await {
            Ok((names, _)) => names,
            Err(ClientError::NoNode) => return Err(RecipeError::Lost),
            Err(error) => return Err(error.into()),
        };
        let all = contenders(&names);
        let own = all.iter().position(|other| other.name == place.name());
        let before = &all[..own.ok_or(RecipeError::Lost)?];
        let mut blocking: Vec<&Contender> =
            before.iter().filter(|other| want != Want::Read || !other.is_reader).collect();
        if blocking.len() < room {
            return Ok(None);
        }
        let blocker = blocking.swap_remove(blocking.len() - room);
        Ok(Some(blocker.name.clone()))
    }

    /// Returns the data of all contenders, in order.
    pub(super) async fn data(&self) -> Result<Vec<(String, Bytes)>, RecipeError> {
        let names = match patient(|| self.client.get_children(&self.dir)).await {
            Ok((names, _)) => names,
            Err(ClientError::NoNode) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut all = Vec::new();
        for Contender { name, .. } in contenders(&names) {
            match patient(|| self.client.get_data(&format!("{}/{name}", self.dir))).await {
                Ok((data, _)) => all.push((name, data)),
                Err(ClientError::NoNode) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contenders_of_all_layouts_stand_in_one_line() {
        let names = [
            "_c_0e8f-lock-0000000003",
            "5a__lock__0000000001",
            "_c_1-__READ__0000000002",
            "7b__rlock__0000000000",
            "ready",
            "other-0000000000",
            "lock-00000",
        ];
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let all = contenders(&names);
        let numbers: Vec<i64> = all.iter().map(|contender| contender.number).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        let readers: Vec<bool> = all.iter().map(|contender| contender.is_reader).collect();
        assert_eq!(readers, [true, false, true, false]);
    }
}
