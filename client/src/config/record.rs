//! An entry of the history, and the pointer by which readers find a release.

use conclave_protocol::path;
use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// What was done to a configuration, by whom and why; when, the znode's own creation time tells.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Record {
    /// The number of the release; each is one more than the one before.
    pub release: u64,
    /// What made it.
    pub action: Action,
    /// The release whose content this one took again, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// The release that was in force when this one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Who did it.
    pub author: String,
    /// On which host.
    pub host: String,
    /// Why.
    pub reason: String,
    /// How many keys it changed.
    pub counts: Counts,
    /// How it is served.
    pub form: Form,
    /// The pages of its manifest, in order.
    pub pages: Vec<Digest>,
    /// Made anew for each, so that a writer knows its own.
    pub token: String,
}

/// What makes a release.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A directory was applied.
    Apply,
    /// An export was imported.
    Import,
    /// An earlier release was taken again.
    Rollback,
    /// It was made for a rollout, and is in force only for those cohorts.
    Stage,
    /// A rollout was promoted to all.
    Promote,
}

/// How readers are served.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Each key is a znode below the configuration's path.
    Direct,
    /// The configuration's znode points to the release.
    Release,
}

/// How many keys an apply was about.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Keys created.
    pub created: usize,
    /// Keys changed.
    pub changed: usize,
    /// Keys deleted.
    pub deleted: usize,
    /// Keys that were as wanted.
    pub unchanged: usize,
}

impl Counts {
    /// Returns how many keys are not as they were.
    pub const fn changes(&self) -> usize {
        self.created + self.changed + self.deleted
    }
}

/// The first line of a pointer; no value may begin with it.
pub const POINTER_MAGIC: &str = "conclave-release 1\n";

/// Says where a release is: the data of a configuration's znode in the form [`Form::Release`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Pointer {
    /// The number of the release.
    pub release: u64,
    /// Where its record is, relative to the configuration's path, so that it holds in every chroot.
    pub record: String,
    /// Where the blobs are, likewise.
    pub blobs: String,
}

impl Pointer {
    /// Makes the pointer to a release of the configuration at `root`, whose store is at `store`.
    pub fn new(root: &str, store: &str, release: u64) -> Self {
        let store = relative(root, store);
        let record = format!("{store}/history/{}", record_name(release));
        Self { release, record, blobs: format!("{store}/blobs") }
    }

    /// Returns the text of a pointer.
    pub fn text(&self) -> String {
        let json = serde_json::to_string(self).expect("a pointer is plain data");
        format!("{POINTER_MAGIC}{json}\n")
    }

    /// Reads a pointer; `None` when the data is none.
    pub fn parse(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data.strip_prefix(POINTER_MAGIC.as_bytes())?).ok()
    }

    /// Returns a path of the pointer as an absolute one; `None` when it is above what this
    /// connection has for root.
    pub fn resolve(root: &str, relative: &str) -> Option<String> {
        let mut names: Vec<&str> = root.split('/').filter(|name| !name.is_empty()).collect();
        for name in relative.split('/') {
            match name {
                ".." => {
                    names.pop()?;
                }
                name => names.push(name),
            }
        }
        let absolute = format!("/{}", names.join("/"));
        path::validate(&absolute).is_ok().then_some(absolute)
    }
}

/// Returns the way from one path to another, by what they have not in common.
fn relative(from: &str, to: &str) -> String {
    let split = |path: &str| -> Vec<String> {
        path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let (from, to) = (split(from), split(to));
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    up.chain(to[common..].iter().map(String::as_str)).collect::<Vec<_>>().join("/")
}

/// Returns the name of a release's record.
pub fn record_name(release: u64) -> String {
    format!("{release:010}")
}

/// Returns the name of the store of the configuration at `root`: the path in one name.
pub fn store_name(root: &str) -> String {
    root.replace('%', "%25").replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_from_the_path_to_the_store_in_every_chroot() {
        let store = "/x/.conclave/config/%2Fx%2Fapp";
        let pointer = Pointer::new("/x/app", store, 7);
        assert_eq!(Pointer::parse(pointer.text().as_bytes()), Some(pointer.clone()));
        let record = "/x/.conclave/config/%2Fx%2Fapp/history/0000000007";
        assert_eq!(Pointer::resolve("/x/app", &pointer.record).unwrap(), record);
        // The same pointer, read by who has /x for root.
        let blobs = "/.conclave/config/%2Fx%2Fapp/blobs";
        assert_eq!(Pointer::resolve("/app", &pointer.blobs).unwrap(), blobs);
        // And one that leads out of what the reader sees.
        let pointer = Pointer::new("/x/app", "/.conclave/config/%2Fx%2Fapp", 7);
        assert_eq!(Pointer::resolve("/app", &pointer.record), None);
        let root = Pointer::new("/", "/.conclave/config/%2F", 1);
        assert_eq!(Pointer::resolve("/", &root.blobs).unwrap(), "/.conclave/config/%2F/blobs");
    }

    #[test]
    fn other_data_is_no_pointer() {
        for data in ["", "x", "conclave-release 1\n", "conclave-release 1\n{}"] {
            assert_eq!(Pointer::parse(data.as_bytes()), None);
        }
    }

    #[test]
    fn stores_of_different_paths_have_different_names() {
        assert_eq!(store_name("/app/db"), "%2Fapp%2Fdb");
        assert_ne!(store_name("/a%2Fb"), store_name("/a/b"));
    }
}
