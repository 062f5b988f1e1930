//! How znodes are called as files.
//!
//! A znode is a file of the same name; one with children is a directory, and its data, if any, the file
//! [`DATA`] in it. Names that cannot be a file's, or mean something else there, are replaced by
//! [`ESCAPE`] and a digest, and the table in [`super::meta`] says what they stand for.

use super::{digest::Digest, key::Key};

/// The data of the directory it is in.
pub const DATA: &str = ".conclave-data";

/// What the directory says about its files: ACLs, kinds, secrets, schemas, names.
pub const META: &str = ".conclave.json";

/// Begins the name of a file whose znode has another name.
pub const ESCAPE: &str = ".conclave-name-";

/// Begins every name that is ours.
const RESERVED: &str = ".conclave";

/// Left out at the top of a directory: what keeps its versions.
pub const VERSIONS: &str = ".git";

/// Longest name of a file, in bytes.
const FILE_NAME_LEN_BYTES_MAX: usize = 255;

/// Returns the name of a znode's file, in the directory of `parent`; `None` when it is the znode's own name.
pub fn escaped(parent: &Key, name: &str) -> Option<String> {
    let is_taken = name.starts_with(RESERVED) || (parent.is_root() && name == VERSIONS);
    (is_taken || name.len() > FILE_NAME_LEN_BYTES_MAX)
        .then(|| format!("{ESCAPE}{}", &Digest::of(name.as_bytes()).to_string()[..32]))
}

/// What a file is, by its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Role {
    /// A znode of the same name.
    Znode,
    /// A znode whose name is in the table.
    Escaped,
    /// The data of its directory.
    Data,
    /// The table and what else is said.
    Meta,
    /// Not part of the configuration.
    Skipped,
    /// A name that is ours and means nothing.
    Unknown,
}

/// Returns what a file in the directory of `parent` is.
pub fn role(parent: &Key, file_name: &str) -> Role {
    match file_name {
        DATA => Role::Data,
        META if parent.is_root() => Role::Meta,
        VERSIONS if parent.is_root() => Role::Skipped,
        name if name.starts_with(ESCAPE) => Role::Escaped,
        name if name.starts_with(RESERVED) => Role::Unknown,
        _ => Role::Znode,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_znode_has_a_file_of_its_own(name in "[.]?[a-z \u{e9}%-]{1,300}|[.]git|[.]conclave[a-z.-]{0,9}", at_top: bool) {
            prop_assume!(conclave_protocol::path::check_name(&name).is_ok());
            let parent = Key::parse(if at_top { "" } else { "a" }).unwrap();
            let file = escaped(&parent, &name);
            let expected = if file.is_some() { Role::Escaped } else { Role::Znode };
            let file = file.unwrap_or(name);
            prop_assert!(file.len() <= FILE_NAME_LEN_BYTES_MAX && !file.contains('/'));
            prop_assert_eq!(role(&parent, &file), expected);
        }
    }

    #[test]
    fn names_that_mean_something_are_escaped() {
        let top = Key::root();
        for name in [DATA, META, ".conclave-name-x", ".conclave", ".git"] {
            assert!(escaped(&top, name).is_some(), "{name}");
        }
        assert_eq!(escaped(&Key::parse("a").unwrap(), ".git"), None);
        assert_eq!(escaped(&top, "a%2Fb"), None);
    }
}
