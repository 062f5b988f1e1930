//! What a configuration says about its keys besides their data.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::{
    error::ConfigError,
    key::Key,
    tree::{AclText, Kind, Tree},
};

/// The contents of [`super::names::META`], and of the part `about` of a YAML or JSON export.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Who may do what, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub acl: BTreeMap<String, AclText>,
    /// What kind of znode, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kind: BTreeMap<String, Kind>,
    /// Patterns of keys whose values are encrypted before they leave this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<String>,
    /// JSON Schemas, as files relative to the directory, by patterns of keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schema: BTreeMap<String, String>,
    /// What escaped file names stand for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
}

impl Meta {
    /// Reads it from JSON.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`], with `place` to name it.
    pub fn parse(bytes: &[u8], place: &str) -> Result<Self, ConfigError> {
        serde_json::from_slice(bytes)
            .map_err(|error| ConfigError::Invalid(format!("{place}: {error}")))
    }

    /// Returns what a tree says beyond its data.
    pub fn of(tree: &Tree) -> Self {
        let mut meta = Self::default();
        for (key, entry) in tree {
            if let Some(acl) = &entry.acl {
                meta.acl.insert(key.as_str().to_owned(), acl.clone());
            }
            if !entry.kind.is_persistent() {
                meta.kind.insert(key.as_str().to_owned(), entry.kind);
            }
        }
        meta
    }

    /// Returns whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes it as JSON for people.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("it is plain data");
        json.push(b'\n');
        json
    }

    /// Adds ACLs and kinds to the entries of a tree.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] when a key is not there.
    pub fn annotate(&self, tree: &mut Tree, place: &str) -> Result<(), ConfigError> {
        let unknown = |key: &str| {
            ConfigError::Invalid(format!("{place}: it speaks of {key:?}, which is not there"))
        };
        for (key, acl) in &self.acl {
            tree.get_mut(key.as_str()).ok_or_else(|| unknown(key))?.acl = Some(acl.clone());
        }
        for (key, kind) in &self.kind {
            tree.get_mut(key.as_str()).ok_or_else(|| unknown(key))?.kind = *kind;
        }
        Ok(())
    }
}

/// Patterns of keys: `*` within a name, `**` over names.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    set: GlobSet,
}

impl Patterns {
    /// Reads patterns.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] names the one that is none.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let wrong = |error: globset::Error| ConfigError::Invalid(error.to_string());
        let mut builder = GlobSetBuilder::new();
        for pattern in patterns {
            let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            builder.add(glob.map_err(wrong)?);
        }
        Ok(Self { set: builder.build().map_err(wrong)? })
    }

    /// Returns whether any of them matches.
    pub fn matches(&self, key: &Key) -> bool {
        self.set.is_match(key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_within_names_and_over_them() {
        let patterns = Patterns::new(["db/*", "/**/*.key"]).unwrap();
        for (key, expected) in
            [("db/x", true), ("db/x/y", false), ("a/b/c.key", true), ("c.key", true), ("x", false)]
        {
            assert_eq!(patterns.matches(&Key::parse(key).unwrap()), expected, "{key}");
        }
        assert!(Patterns::new(["a["]).is_err());
    }

    #[test]
    fn words_that_it_does_not_know_are_refused() {
        assert!(Meta::parse(br#"{"secrets": []}"#, "x").is_err());
        assert!(Meta::parse(br#"{"secret": ["a"], "kind": {"b": {"ttl": 5}}}"#, "x").is_ok());
    }
}
