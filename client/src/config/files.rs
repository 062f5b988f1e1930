//! A configuration as a directory of files.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{
    disk::{self, Found, Ownership},
    error::ConfigError,
    key::Key,
    meta::Meta,
    names::{self, Role},
    tree::{self, Entry, Tree},
};

/// Keys of a configuration at most.
pub const KEYS_MAX: usize = 1_000_000;

/// Names above each other at most.
const DEPTH_MAX: usize = 64;

/// A configuration as it was read from a directory or a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Loaded {
    /// The keys, with what is above them.
    pub tree: Tree,
    /// What was said about them.
    pub meta: Meta,
}

/// A file, or an empty place that was a directory: its names from the top, and its data.
pub type Place = (Vec<String>, Option<Bytes>);

/// Reads a directory.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when a name cannot be a znode's, or something is neither file nor directory
/// or leads out of the directory; [`ConfigError::Disk`].
pub fn read(directory: &Path) -> Result<Loaded, ConfigError> {
    let top = disk::resolve(directory)?;
    let mut places = Vec::new();
    walk(&top, &top, &mut Vec::new(), &mut places)?;
    assemble(places, &directory.display().to_string())
}

fn walk(
    top: &Path,
    directory: &Path,
    names: &mut Vec<String>,
    places: &mut Vec<Place>,
) -> Result<(), ConfigError> {
    if names.len() > DEPTH_MAX {
        return Err(invalid(directory, format!("more than {DEPTH_MAX} directories deep")));
    }
    places.push((names.clone(), None));
    for (file_name, found) in disk::list(directory)? {
        let path = directory.join(&file_name);
        let Some(file_name) = file_name.to_str() else {
            return Err(invalid(&path, "the name is not UTF-8"));
        };
        if names.is_empty() && file_name == names::VERSIONS {
            continue;
        }
        names.push(file_name.to_owned());
        if found == Found::Directory {
            walk(top, &path, names, places)?;
        } else {
            places.push((names.clone(), Some(file(top, &path, found)?)));
        }
        names.pop();
        if places.len() > KEYS_MAX {
            return Err(invalid(directory, format!("more than {KEYS_MAX} files")));
        }
    }
    Ok(())
}

/// Reads a file, or what a link leads to when that is a file of the same directory.
fn file(top: &Path, path: &Path, found: Found) -> Result<Bytes, ConfigError> {
    match found {
        Found::File => disk::read(path),
        Found::Link => {
            let target = disk::resolve(path)?;
            if !target.starts_with(top) {
                return Err(invalid(path, "the link leads out of the directory"));
            }
            if !disk::is_file(&target) {
                return Err(invalid(path, "the link does not lead to a file"));
            }
            disk::read(&target)
        }
        Found::Directory | Found::Other => Err(invalid(path, "this is not a file")),
    }
}

/// Makes a configuration of files, wherever they are from; `source` names it in errors.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when a name cannot be a znode's.
pub fn assemble(places: Vec<Place>, source: &str) -> Result<Loaded, ConfigError> {
    let wrong = |names: &[String], why: &dyn std::fmt::Display| {
        ConfigError::Invalid(format!("{source}: {:?}: {why}", names.join("/")))
    };
    let meta_place = format!("{source}/{}", names::META);
    let is_meta = |names: &[String]| matches!(names, [name] if name == names::META);
    let meta = match places.iter().find(|(names, data)| is_meta(names) && data.is_some()) {
        Some((_, data)) => Meta::parse(data.as_deref().unwrap_or_default(), &meta_place)?,
        None => Meta::default(),
    };
    let mut tree = Tree::from([(Key::root(), Entry::default())]);
    for (names, data) in places.into_iter().filter(|(names, _)| !is_meta(names)) {
        let mut key = Key::root();
        let last = names.len().saturating_sub(1);
        for (index, file_name) in names.iter().enumerate() {
            let name = match names::role(&key, file_name) {
                Role::Znode => file_name,
                Role::Data if index == last && data.is_some() => break,
                Role::Escaped => meta.names.get(file_name).ok_or_else(|| {
                    wrong(&names, &format!("{} does not say its name", names::META))
                })?,
                Role::Skipped | Role::Meta | Role::Data | Role::Unknown => {
                    return Err(wrong(&names, &"names with .conclave are reserved"));
                }
            };
            key = key.child(name).map_err(|error| wrong(&names, &error))?;
        }
        let entry = tree.entry(key).or_default();
        if data.is_some() {
            entry.data = data;
        }
    }
    tree::complete(&mut tree);
    meta.annotate(&mut tree, &meta_place)?;
    Ok(Loaded { tree, meta })
}

fn invalid(path: &Path, why: impl std::fmt::Display) -> ConfigError {
    ConfigError::Invalid(format!("{}: {why}", path.display()))
}

/// What is done with files that are in a directory already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Present {
    /// Only an empty directory is written to.
    Refused,
    /// Those of a configuration are replaced, or removed when they are not of this one.
    Replaced,
}

/// Writes a tree as a directory of files, in such an order that no link is followed: nothing is written
/// outside of the directory.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when there are files already; [`ConfigError::Disk`].
pub fn write(
    directory: &Path,
    tree: &Tree,
    mut meta: Meta,
    present: Present,
) -> Result<usize, ConfigError> {
    let files = plan_files(tree, &mut meta);
    disk::make_directory(directory)?;
    let top = disk::resolve(directory)?;
    let there: Vec<_> =
        disk::list(&top)?.into_iter().filter(|(name, _)| name != names::VERSIONS).collect();
    if !there.is_empty() {
        if present == Present::Refused {
            return Err(invalid(directory, "it is not empty; --force replaces what is in it"));
        }
        // All of it must be what an export writes, before any of it goes.
        read(directory)?;
        for (name, found) in there {
            remove(&top.join(name), &found)?;
        }
    }
    let count = files.len();
    for (path, data) in files {
        let path = top.join(path);
        let folder = path.parent().expect("a file is in the directory");
        disk::make_directory(folder)?;
        disk::write_new(&path, &data, Ownership::default())?;
    }
    Ok(count)
}

fn remove(path: &Path, found: &Found) -> Result<(), ConfigError> {
    if *found != Found::Directory {
        return disk::remove(path);
    }
    for (name, found) in disk::list(path)? {
        remove(&path.join(name), &found)?;
    }
    disk::remove_empty(path);
    Ok(())
}

/// Returns the files of a tree, relative to its directory, in order.
pub fn plan_files(tree: &Tree, meta: &mut Meta) -> Vec<(PathBuf, Bytes)> {
    let mut files = Vec::new();
    let mut parents: std::collections::BTreeSet<Key> =
        tree.keys().filter_map(Key::parent).collect();
    parents.insert(Key::root());
    for (key, entry) in tree {
        let path = file_path(key, meta);
        if !parents.contains(key) {
            files.push((path, entry.bytes()));
        } else if !entry.bytes().is_empty() {
            files.push((path.join(names::DATA), entry.bytes()));
        }
    }
    if !meta.is_empty() {
        files.push((names::META.into(), meta.to_json().into()));
    }
    files
}

/// Returns the path of a key's file, and notes the names that had to be replaced.
fn file_path(key: &Key, meta: &mut Meta) -> PathBuf {
    let mut path = PathBuf::new();
    let mut parent = Key::root();
    for name in key.names() {
        match names::escaped(&parent, name) {
            None => path.push(name),
            Some(file_name) => {
                path.push(&file_name);
                meta.names.insert(file_name, name.to_owned());
            }
        }
        parent = parent.child(name).expect("the name is of a key");
    }
    path
}

/// Returns an entry as it is written and read again: data that is empty above something is not told.
pub fn as_exported(tree: &Tree) -> Tree {
    let parents: std::collections::BTreeSet<Key> = tree.keys().filter_map(Key::parent).collect();
    let entry = |(key, entry): (&Key, &Entry)| {
        let is_untold = entry.bytes().is_empty() && (parents.contains(key) || key.is_root());
        let data = (!is_untold).then(|| entry.bytes());
        (key.clone(), Entry { data, ..entry.clone() })
    };
    tree.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    fn trees() -> impl Strategy<Value = Tree> {
        let name = prop_oneof![
            "[ab]",
            Just(".git".to_owned()),
            Just(names::DATA.to_owned()),
            Just(names::META.to_owned()),
            Just("x".repeat(300)),
            "[a-z %.~-]{1,6}".prop_filter("a znode's name", |name| name != "." && name != ".."),
        ];
        let key = prop::collection::vec(name, 1..4)
            .prop_map(|names| Key::parse(&names.join("/")).unwrap());
        let entry = (prop::collection::vec(any::<u8>(), 0..4), any::<bool>()).prop_map(
            |(data, is_closed)| {
                let acl = is_closed.then(|| "world:anyone:r".parse().unwrap());
                Entry { acl, ..Entry::data(data) }
            },
        );
        prop::collection::btree_map(key, entry, 0..8).prop_map(|mut tree| {
            tree::complete(&mut tree);
            tree.entry(Key::root()).or_default();
            as_exported(&tree)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn directories_are_read_as_they_are_written(tree in trees()) {
            let folder = tempfile::tempdir().unwrap();
            let directory = folder.path().join("out");
            write(&directory, &tree, Meta::of(&tree), Present::Refused).unwrap();
            prop_assert_eq!(&read(&directory).unwrap().tree, &tree);
            prop_assert!(write(&directory, &tree, Meta::of(&tree), Present::Refused).is_err() || tree.len() == 1);
            write(&directory, &tree, Meta::of(&tree), Present::Replaced).unwrap();
            prop_assert_eq!(&read(&directory).unwrap().tree, &tree);
        }
    }

    #[test]
    fn what_leads_out_of_the_directory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, secret) = (folder.path().join("in"), folder.path().join("secret"));
        disk::make_directory(&inside).unwrap();
        disk::write_new(&secret, b"s", Ownership::default()).unwrap();
        symlink(&secret, inside.join("link")).unwrap();
        let error = read(&inside).unwrap_err().to_string();
        assert!(error.contains("leads out"), "{error}");
        disk::remove(&inside.join("link")).unwrap();
        disk::write_new(&inside.join("file"), b"f", Ownership::default()).unwrap();
        symlink("file", inside.join("link")).unwrap();
        assert_eq!(read(&inside).unwrap().tree["link"].bytes(), "f");
        symlink(folder.path(), inside.join("up")).unwrap();
        assert!(read(&inside).is_err());
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, other) = (folder.path().join("in"), folder.path().join("other"));
        disk::make_directory(&inside).unwrap();
        disk::make_directory(&other).unwrap();
        symlink(&other, inside.join("a")).unwrap();
        let tree = Tree::from([(Key::parse("a/b").unwrap(), Entry::data("x"))]);
        assert!(write(&inside, &tree, Meta::default(), Present::Refused).is_err());
        assert!(write(&inside, &tree, Meta::default(), Present::Replaced).is_err());
        assert_eq!(disk::list(&other).unwrap(), []);
    }

    #[test]
    fn names_that_no_znode_can_have_are_refused() {
        for name in ["a\nb", "\u{1f600}", ".conclave-x", ".conclave-name-1"] {
            let folder = tempfile::tempdir().unwrap();
            disk::write_new(&folder.path().join(name), b"", Ownership::default()).unwrap();
            assert!(read(folder.path()).is_err(), "{name:?}");
        }
    }
}
