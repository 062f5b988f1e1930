//! Where a value stands within a configuration.

use std::{borrow::Borrow, fmt};

use conclave_protocol::path::{self, PathError};

/// Names joined by `/`, relative to the configuration's path; empty for the znode of that path itself.
///
/// Ordered as text, so that a parent comes before what is below it.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(String);

impl Key {
    /// The configuration's own znode.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// Reads a key; a slash before it is allowed.
    ///
    /// # Errors
    ///
    /// Why a znode cannot have such a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.strip_prefix('/').unwrap_or(text);
        if !text.is_empty() {
            text.split('/').try_for_each(path::check_name)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the key of a child.
    ///
    /// # Errors
    ///
    /// Why a znode cannot have such a name.
    pub fn child(&self, name: &str) -> Result<Self, PathError> {
        path::check_name(name)?;
        Ok(Self(if self.0.is_empty() { name.to_owned() } else { format!("{}/{name}", self.0) }))
    }

    /// Returns the key of an absolute path, if it is `root` or below it.
    pub fn within(root: &str, absolute: &str) -> Option<Self> {
        let rest = match root {
            "/" => absolute.strip_prefix('/')?,
            root => match absolute.strip_prefix(root)? {
                "" => "",
                rest => rest.strip_prefix('/')?,
            },
        };
        Some(Self(rest.to_owned()))
    }

    /// Returns the absolute path below `root`.
    pub fn under(&self, root: &str) -> String {
        match (root, self.0.as_str()) {
            (root, "") => root.to_owned(),
            ("/", key) => format!("/{key}"),
            (root, key) => format!("{root}/{key}"),
        }
    }

    /// Returns the key above; none above the root.
    pub fn parent(&self) -> Option<Self> {
        match self.0.rfind('/') {
            Some(slash) => Some(Self(self.0[..slash].to_owned())),
            None if self.0.is_empty() => None,
            None => Some(Self::root()),
        }
    }

    /// Returns the last name; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rfind('/').map_or(self.0.as_str(), |slash| &self.0[slash + 1..])
    }

    /// Returns the names from the top.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// Returns whether it is the configuration's own znode.
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_paths_are_each_others_inverse() {
        for (root, path, key) in
            [("/", "/a/b", "a/b"), ("/app", "/app/a", "a"), ("/app", "/app", ""), ("/", "/", "")]
        {
            let found = Key::within(root, path).unwrap();
            assert_eq!(found.as_str(), key);
            assert_eq!(found.under(root), path);
        }
        assert_eq!(Key::within("/app", "/apple"), None);
        assert_eq!(Key::within("/app", "/"), None);
    }

    #[test]
    fn what_leads_elsewhere_is_no_key() {
        for text in ["..", "a/../b", "a//b", "a/", "./a", "a\nb", "a\0"] {
            assert!(Key::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Key::parse("/a/b").unwrap().parent().unwrap().as_str(), "a");
        assert_eq!(Key::parse("a").unwrap().parent(), Some(Key::root()));
        assert_eq!(Key::root().parent(), None);
    }
}
