//! Which paths name a znode. The rules are those of ZooKeeper's create.

use alloc::string::String;
use core::{fmt, ops::Deref, str::FromStr};

use thiserror::Error;

/// Why a text is no path of a znode.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PathError {
    /// It is empty, or does not begin with a slash.
    #[error("path does not begin with /")]
    NotAbsolute,
    /// It ends with a slash and is not the root.
    #[error("path ends with /")]
    TrailingSlash,
    /// Two slashes have nothing between them.
    #[error("path has an empty name")]
    EmptyName,
    /// A name is `.` or `..`.
    #[error("path has a relative name")]
    RelativeName,
    /// A character that no name may hold.
    #[error("path has the character U+{:04X}", u32::from(*.0))]
    Character(char),
}

/// Checks that `path` can name a znode.
///
/// # Errors
///
/// [`PathError`] says why not.
pub fn validate(path: &str) -> Result<(), PathError> {
    let Some(rest) = path.strip_prefix('/') else { return Err(PathError::NotAbsolute) };
    if rest.is_empty() {
        return Ok(());
    }
    if rest.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    rest.split('/').try_for_each(check_name)
}

/// Checks that `name` can name a child.
///
/// # Errors
///
/// [`PathError`] says why not.
pub fn check_name(name: &str) -> Result<(), PathError> {
    match name {
        "" => Err(PathError::EmptyName),
        "." | ".." => Err(PathError::RelativeName),
        _ => match name.chars().find(|c| is_refused(*c)) {
            Some(refused) => Err(PathError::Character(refused)),
            None => Ok(()),
        },
    }
}

/// Control characters, private use, specials, and all beyond the basic plane, as those are
/// surrogate pairs where the rule comes from.
const fn is_refused(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// Returns the path of the parent; `None` for the root.
pub fn parent(path: &str) -> Option<&str> {
    if path == "/" {
        return None;
    }
    match path.rfind('/')? {
        0 => Some("/"),
        slash => Some(&path[..slash]),
    }
}

/// Returns the last name of a path; empty for the root.
pub fn name(path: &str) -> &str {
    path.rfind('/').map_or(path, |slash| &path[slash + 1..])
}

/// A path that can name a znode. After this nobody checks it again; it serves wherever a `&str` does.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ZnodePath(String);

impl ZnodePath {
    /// Returns the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path below, by one name or several with slashes between.
    ///
    /// # Errors
    ///
    /// [`PathError`] when `names` can name nothing.
    pub fn join(&self, names: &str) -> Result<Self, PathError> {
        names.split('/').try_for_each(check_name)?;
        let slash = if self.0 == "/" { "" } else { "/" };
        Ok(Self(alloc::format!("{}{slash}{names}", self.0)))
    }

    /// Returns the path of the parent; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        parent(&self.0).map(|path| Self(path.into()))
    }

    /// Returns the last name; empty for the root.
    pub fn name(&self) -> &str {
        name(&self.0)
    }
}

impl Deref for ZnodePath {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<ZnodePath> for String {
    fn from(path: ZnodePath) -> Self {
        path.0
    }
}

impl FromStr for ZnodePath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        Self::try_from(path)
    }
}

impl TryFrom<&str> for ZnodePath {
    type Error = PathError;

    fn try_from(path: &str) -> Result<Self, PathError> {
        validate(path)?;
        Ok(Self(path.into()))
    }
}

impl fmt::Display for ZnodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_zookeeper_accepts_is_accepted() {
        for path in ["/", "/a", "/a/b", "/a b", "/.b", "/...", "/\u{a0}", "/\u{d7ff}", "/\u{ffef}"]
        {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn what_zookeeper_refuses_is_refused() {
        for path in [
            "",
            "a",
            "a/b",
            "//",
            "//a",
            "/a/",
            "/a//b",
            "/.",
            "/a/..",
            "/./a",
            "/\0",
            "/a\tb",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{fffd}",
            "/\u{1f600}",
        ] {
            assert!(validate(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn parents_end_at_the_root() {
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/"), None);
        assert_eq!((name("/a/b"), name("/")), ("b", ""));
    }

    #[test]
    fn children_are_named_below_any_path() {
        let root: ZnodePath = "/".parse().unwrap();
        let below = root.join("a").unwrap().join("b/c").unwrap();
        assert_eq!((below.as_str(), below.name()), ("/a/b/c", "c"));
        assert_eq!(below.parent(), Some("/a/b".parse().unwrap()));
        assert_eq!(root.parent(), None);
        for names in ["", "/x", "x/", "..", "x//y"] {
            assert!(below.join(names).is_err(), "{names:?}");
        }
    }
}
