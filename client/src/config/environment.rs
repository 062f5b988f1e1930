//! Values as the environment of a process.

use std::collections::BTreeMap;

use super::error::ConfigError;

/// Returns variables of texts by key: `db/host` is `DB_HOST`, behind a prefix.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when two keys have one name, or a value cannot be in an environment.
pub fn variables(
    texts: &BTreeMap<String, String>,
    prefix: &str,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut from: BTreeMap<String, &str> = BTreeMap::new();
    let mut variables = BTreeMap::new();
    for (key, text) in texts {
        let name = name(prefix, key);
        if text.contains('\0') {
            return Err(ConfigError::Invalid(format!("{key}: a variable cannot hold a NUL")));
        }
        if let Some(other) = from.insert(name.clone(), key) {
            return Err(ConfigError::Invalid(format!("{other} and {key} are both {name}")));
        }
        // A line's end is the file's, not the value's.
        variables.insert(name, text.strip_suffix('\n').unwrap_or(text).to_owned());
    }
    Ok(variables)
}

fn name(prefix: &str, key: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = prefix.chars().chain(key.chars().map(upper)).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<BTreeMap<String, String>, ConfigError> {
        let texts =
            pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        variables(&texts, "APP_")
    }

    #[test]
    fn keys_become_names() {
        let variables = of(&[("db/max-conn.s", "5\n"), ("x", "a\nb")]).unwrap();
        assert_eq!(variables["APP_DB_MAX_CONN_S"], "5");
        assert_eq!(variables["APP_X"], "a\nb");
        assert_eq!(name("", "1a"), "_1A");
    }

    #[test]
    fn what_is_not_one_name_or_no_value_is_refused() {
        assert!(of(&[("a-b", "1"), ("a_b", "2")]).is_err());
        assert!(of(&[("a", "\0")]).is_err());
    }
}
