//! Which values are not shown.

use super::{error::ConfigError, key::Key, meta::Patterns, secret};

/// Keys whose names say that their values are nobody's business; more are named with the configuration.
const PATTERNS: [&str; 8] = [
    "**/*[Pp]assword*",
    "**/*[Ss]ecret*",
    "**/*[Tt]oken*",
    "**/*[Cc]redential*",
    "**/*[Pp]rivate*",
    "**/*.key",
    "**/*.pem",
    "**/*api[-_]key*",
];

/// Says which values are not shown.
#[derive(Clone, Debug)]
pub struct Mask {
    patterns: Option<Patterns>,
}

impl Mask {
    /// Shows all.
    pub const fn none() -> Self {
        Self { patterns: None }
    }

    /// Hides what is encrypted, what has a telling name, and what `more` matches.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] when a pattern is none.
    pub fn new<'a>(more: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        Ok(Self { patterns: Some(Patterns::new(PATTERNS.into_iter().chain(more))?) })
    }

    /// Returns whether the value of a key is not shown.
    pub fn hides(&self, key: &Key, value: &[u8]) -> bool {
        let Some(patterns) = &self.patterns else { return false };
        secret::is_envelope(value) || patterns.matches(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_names_and_what_is_named_are_hidden() {
        let mask = Mask::new(["db/*"]).unwrap();
        for (key, expected) in [
            ("db/host", true),
            ("a/Password", true),
            ("dbpassword.txt", true),
            ("tls/server.key", true),
            ("api_key", true),
            ("host", false),
        ] {
            assert_eq!(mask.hides(&Key::parse(key).unwrap(), b"x"), expected, "{key}");
            assert!(!Mask::none().hides(&Key::parse(key).unwrap(), b"x"));
        }
    }
}
