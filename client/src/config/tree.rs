//! A configuration as a value: keys, and what each holds.

use std::{collections::BTreeMap, fmt, str::FromStr};

use bytes::Bytes;
use conclave_protocol::acl::{Acl, Identity, Perms};
use serde::{Deserialize, Serialize};

use super::key::Key;

/// Every key of a configuration. What is above a key is there too: see [`complete`].
pub type Tree = BTreeMap<Key, Entry>;

/// What a key holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entry {
    /// The data; `None` when it is not told, as of a directory: created empty, otherwise left as it is.
    pub data: Option<Bytes>,
    /// Who may do what; `None` when it is not told: created open, otherwise left as it is.
    pub acl: Option<AclText>,
    /// What kind of znode.
    pub kind: Kind,
}

impl Entry {
    /// Returns an entry of data alone.
    pub fn data(data: impl Into<Bytes>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// Returns the data, empty where it is not told.
    pub fn bytes(&self) -> Bytes {
        self.data.clone().unwrap_or_default()
    }
}

/// What kind of znode a key is. Ephemerals are nobody's configuration. Servers do not tell clients of containers and times
/// to live; who has made them by an apply finds them in the release.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Stays until it is deleted.
    #[default]
    Persistent,
    /// Goes some time after its last child.
    Container,
    /// Goes when childless and unchanged for so many milliseconds.
    Ttl(i64),
}

impl Kind {
    /// Returns whether it is the kind that is not worth telling.
    pub fn is_persistent(&self) -> bool {
        *self == Self::Persistent
    }
}

/// Adds what is above each key and not there, so that parents can be created before children.
pub fn complete(tree: &mut Tree) {
    let keys: Vec<Key> = tree.keys().cloned().collect();
    for key in keys {
        let mut above = key.parent();
        while let Some(parent) = above {
            above = parent.parent();
            tree.entry(parent).or_default();
        }
    }
}

/// An access control list as text: `world:anyone:r,digest:bob:4LgY…=:cdrwa`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct AclText(String);

/// The letters of permissions, as ZooKeeper's shell has them.
const LETTERS: [(char, Perms); 5] = [
    ('c', Perms::CREATE),
    ('d', Perms::DELETE),
    ('r', Perms::READ),
    ('w', Perms::WRITE),
    ('a', Perms::ADMIN),
];

impl AclText {
    /// Writes a list; `None` for the one that is open to anyone.
    pub fn of(acls: &[Acl]) -> Option<Self> {
        if acls == [Acl::open()] {
            return None;
        }
        let entries: Vec<String> = acls.iter().map(written).collect();
        Some(Self(entries.join(",")))
    }

    /// Returns the list.
    pub fn acls(&self) -> Vec<Acl> {
        self.0.split(',').filter_map(read).collect()
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn written(acl: &Acl) -> String {
    let text = |text: &conclave_protocol::text::Text| text.as_str().unwrap_or_default().to_owned();
    let letters: String =
        LETTERS.iter().filter(|(_, perm)| acl.perms.intersects(*perm)).map(|(c, _)| *c).collect();
    format!("{}:{}:{letters}", text(&acl.identity.scheme), text(&acl.identity.id))
}

fn read(entry: &str) -> Option<Acl> {
    let (scheme, rest) = entry.trim().split_once(':')?;
    let (id, letters) = rest.rsplit_once(':')?;
    let mut perms = 0;
    for letter in letters.chars() {
        perms |= LETTERS.iter().find(|(c, _)| *c == letter)?.1.0;
    }
    let identity = Identity { scheme: scheme.into(), id: id.into() };
    (!scheme.is_empty() && perms != 0).then_some(Acl { perms: Perms(perms), identity })
}

impl FromStr for AclText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let acls: Option<Vec<Acl>> = text.split(',').map(read).collect();
        let Some(acls) = acls else {
            return Err(format!("{text:?} is no ACL: expected scheme:id:cdrwa, joined by commas"));
        };
        // In one spelling, so that equal lists are equal texts.
        Ok(Self(acls.iter().map(written).collect::<Vec<_>>().join(",")))
    }
}

impl TryFrom<String> for AclText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AclText> for String {
    fn from(acl: AclText) -> Self {
        acl.0
    }
}

impl fmt::Display for AclText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acls_are_read_as_they_are_written() {
        let text: AclText = "digest:bob:h=:rwcda,ip:10.0.0.0/8:r".parse().unwrap();
        assert_eq!(text.as_str(), "digest:bob:h=:cdrwa,ip:10.0.0.0/8:r");
        assert_eq!(AclText::of(&text.acls()), Some(text));
        assert_eq!(AclText::of(&[Acl::open()]), None);
        for wrong in ["", "world", "world:anyone", "world:anyone:x", "world:anyone:", ":a:r"] {
            assert!(wrong.parse::<AclText>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn parents_are_completed() {
        let mut tree = Tree::from([(Key::parse("a/b/c").unwrap(), Entry::data("x"))]);
        complete(&mut tree);
        let keys: Vec<&str> = tree.keys().map(Key::as_str).collect();
        assert_eq!(keys, ["", "a", "a/b", "a/b/c"]);
    }
}
