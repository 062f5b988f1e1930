//! Releases: what a configuration was after an apply, written down so that it never changes again.
//!
//! A manifest is cut into pages, and pages and values are blobs that are named by their content: what two
//! releases share is there once. `FORMAT.md` has the layout.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    digest::Digest,
    key::Key,
    tree::{AclText, Entry, Kind, Tree},
};

/// All that a release holds, without the values.
pub type Manifest = BTreeMap<Key, Item>;

/// A page is cut behind a key whose digest is a multiple of this: on average a page has so many keys,
/// and a key that comes or goes changes one page.
const PAGE_KEYS: u64 = 128;

/// A page is cut when it has so many bytes, in any case.
const PAGE_LEN_BYTES: usize = 256 << 10;

/// What a release holds of one key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    /// Digest and length of the data; `None` when the release does not tell any.
    pub data: Option<(Digest, u64)>,
    /// Who may do what, where it is told.
    pub acl: Option<AclText>,
    /// What kind of znode.
    pub kind: Kind,
    /// Whose it is.
    pub origin: Origin,
}

/// Whose a key of a release is: the three-way comparison asks what was applied, readers ask what is there.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// As applied.
    #[default]
    Ours,
    /// The key is ours, its data was not told.
    Untold,
    /// Others have changed the data, and that was kept; this is what was applied.
    Edited(Digest),
    /// It was there, and is not ours.
    Foreign,
}

impl Item {
    /// Returns the item of an entry.
    pub fn of(entry: &Entry, origin: Origin) -> Self {
        let data = entry.data.as_ref().map(|data| (Digest::of(data), data.len() as u64));
        Self { data, acl: entry.acl.clone(), kind: entry.kind, origin }
    }

    /// Returns whether an apply has made it.
    pub fn is_ours(&self) -> bool {
        self.origin != Origin::Foreign
    }

    /// Returns the digest of what was applied last; `None` where nothing was told.
    pub fn applied(&self) -> Option<Digest> {
        match self.origin {
            Origin::Ours => self.data.map(|(digest, _)| digest),
            Origin::Edited(digest) => Some(digest),
            Origin::Untold | Origin::Foreign => None,
        }
    }

    /// Returns the name of the blob with its data. Values that not everybody may read have blobs of their own, which
    /// only the same may read.
    pub fn blob(&self) -> Option<Digest> {
        let (digest, _) = self.data?;
        Some(match &self.acl {
            None => digest,
            Some(acl) => Digest::of_all(&[digest.to_string().as_bytes(), acl.as_str().as_bytes()]),
        })
    }
}

/// One line of a page.
#[derive(Deserialize, Serialize)]
struct Line {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    len: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acl: Option<AclText>,
    #[serde(default, skip_serializing_if = "Kind::is_persistent")]
    kind: Kind,
    #[serde(default, skip_serializing_if = "is_ours")]
    origin: Origin,
}

fn is_ours(origin: &Origin) -> bool {
    *origin == Origin::Ours
}

/// Writes a manifest as pages: JSON, a line per key, in order.
pub fn pages(manifest: &Manifest) -> Vec<Bytes> {
    let mut pages = Vec::new();
    let mut page = Vec::new();
    for (key, item) in manifest {
        let line = Line {
            key: key.as_str().to_owned(),
            blob: item.blob(),
            sha256: item.data.map(|(digest, _)| digest).filter(|_| item.acl.is_some()),
            len: item.data.map(|(_, len)| len),
            acl: item.acl.clone(),
            kind: item.kind,
            origin: item.origin,
        };
        serde_json::to_writer(&mut page, &line).expect("a line is plain data");
        page.push(b'\n');
        let is_cut = Digest::of(key.as_str().as_bytes()).number().is_multiple_of(PAGE_KEYS);
        if is_cut || page.len() >= PAGE_LEN_BYTES {
            pages.push(std::mem::take(&mut page).into());
        }
    }
    if !page.is_empty() {
        pages.push(page.into());
    }
    pages
}

/// Reads the keys of a page into a manifest.
///
/// # Errors
///
/// What is wrong with the page.
pub fn read_page(page: &[u8], manifest: &mut Manifest) -> Result<(), String> {
    for text in page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let key = Key::parse(&line.key).map_err(|error| format!("{:?}: {error}", line.key))?;
        let data = line.sha256.or(line.blob).map(|digest| (digest, line.len.unwrap_or(0)));
        let item = Item { data, acl: line.acl, kind: line.kind, origin: line.origin };
        manifest.insert(key, item);
    }
    Ok(())
}

/// Returns the tree of a manifest, with the data that `blob` finds by name.
///
/// # Errors
///
/// The key whose data is not there.
pub fn tree(
    manifest: &Manifest,
    mut blob: impl FnMut(Digest) -> Option<Bytes>,
) -> Result<Tree, Key> {
    let entry = |(key, item): (&Key, &Item)| {
        let data = match item.blob() {
            Some(name) => Some(blob(name).ok_or_else(|| key.clone())?),
            None => None,
        };
        Ok((key.clone(), Entry { data, acl: item.acl.clone(), kind: item.kind }))
    };
    manifest.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item() -> impl Strategy<Value = Item> {
        let acl = prop_oneof![Just(None), Just(Some("world:anyone:r".parse().unwrap()))];
        let kind = prop_oneof![Just(Kind::Persistent), Just(Kind::Container), Just(Kind::Ttl(9))];
        let origin = prop_oneof![
            Just(Origin::Ours),
            Just(Origin::Untold),
            Just(Origin::Foreign),
            Just(Origin::Edited(Digest::of(b"x")))
        ];
        (any::<Option<u64>>(), acl, kind, origin).prop_map(|(number, acl, kind, origin)| Item {
            data: number.map(|n| (Digest::of(&n.to_be_bytes()), n)),
            acl,
            kind,
            origin,
        })
    }

    fn manifest() -> impl Strategy<Value = Manifest> {
        let key = "[a-c]{1,3}(/[a-c]{1,2}){0,2}".prop_map(|text| Key::parse(&text).unwrap());
        prop::collection::btree_map(key, item(), 0..40)
    }

    proptest! {
        #[test]
        fn manifests_are_read_as_they_are_written(manifest in manifest()) {
            let mut read = Manifest::new();
            for page in pages(&manifest) {
                read_page(&page, &mut read).unwrap();
            }
            prop_assert_eq!(read, manifest);
        }
    }

    #[test]
    fn one_key_more_changes_one_page_or_cuts_one_in_two() {
        let item = Item::of(&Entry::data("x"), Origin::Ours);
        let keys = (0..5000).map(|n| Key::parse(&format!("k{n:05}")).unwrap());
        let mut manifest: Manifest = keys.map(|key| (key, item.clone())).collect();
        let before = pages(&manifest);
        assert!((20..80).contains(&before.len()), "{}", before.len());
        manifest.insert(Key::parse("k02500x").unwrap(), item);
        let after = pages(&manifest);
        let new = after.iter().filter(|page| !before.contains(page)).count();
        assert!((1..=2).contains(&new), "{new} pages are new");
    }

    #[test]
    fn what_not_everybody_may_read_has_a_blob_of_its_own() {
        let open = Item::of(&Entry::data("x"), Origin::Ours);
        let acl = Some("digest:a:b:r".parse().unwrap());
        let closed = Item { acl, ..open.clone() };
        assert_ne!(open.blob(), closed.blob());
    }

    #[test]
    fn a_damaged_page_is_refused() {
        for page in ["x", "{}", r#"{"key":"../x"}"#, r#"{"key":"a","blob":"1"}"#] {
            assert!(read_page(page.as_bytes(), &mut Manifest::new()).is_err(), "{page}");
        }
    }
}
