//! Judging a configuration before it is published: JSON Schemas, and commands of the user's.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use jsonschema::Validator;
use serde_json::Value;
use tokio::process::Command;

use super::{disk, error::ConfigError, key::Key, meta::Patterns, secret, tree::Tree};

/// A schema, and which keys it is for.
#[derive(Debug)]
pub struct Schema {
    patterns: Patterns,
    validator: Validator,
    name: String,
}

impl Schema {
    /// Reads the schema of a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] when it is none, or refers to another over the network; [`ConfigError::Disk`].
    pub fn read(pattern: &str, file: &Path) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let wrong = |error: String| ConfigError::Invalid(format!("{name}: {error}"));
        let schema = parse(&name, &disk::read(file)?).map_err(wrong)?;
        let validator = jsonschema::validator_for(&schema).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { patterns: Patterns::new([pattern])?, validator, name })
    }

    /// Reads the schemas that a configuration names, relative to its directory.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_all(
        schemas: &BTreeMap<String, String>,
        directory: &Path,
    ) -> Result<Vec<Self>, ConfigError> {
        let one = |(pattern, file): (&String, &String)| Self::read(pattern, &directory.join(file));
        schemas.iter().map(one).collect()
    }

    /// Reads a schema that the command line names, as PATTERN=FILE.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Usage`], and as [`Self::read`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let (pattern, file) = text
            .split_once('=')
            .ok_or_else(|| ConfigError::Usage(format!("{text:?}: expected PATTERN=FILE")))?;
        Self::read(pattern, &PathBuf::from(file))
    }
}

/// Returns what is wrong with a tree, a line each.
pub fn problems(tree: &Tree, schemas: &[Schema]) -> Vec<String> {
    let mut problems = Vec::new();
    for schema in schemas {
        for (key, entry) in tree.iter().filter(|(key, _)| schema.patterns.matches(key)) {
            let Some(data) = &entry.data else { continue };
            if secret::is_envelope(data) {
                continue;
            }
            match parse(key.as_str(), data) {
                Err(error) => problems.push(format!("{key}: {error}")),
                Ok(value) => problems.extend(found(key, &value, schema)),
            }
        }
    }
    problems
}

/// Reads a value as what its name says, YAML or else JSON.
fn parse(name: &str, data: &[u8]) -> Result<Value, String> {
    if name.ends_with(".yaml") || name.ends_with(".yml") {
        yaml_serde::from_slice(data).map_err(|error| error.to_string())
    } else {
        serde_json::from_slice(data).map_err(|error| error.to_string())
    }
}

fn found(key: &Key, value: &Value, schema: &Schema) -> Vec<String> {
    let text = |error: jsonschema::ValidationError<'_>| {
        let at = error.instance_path().to_string();
        let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
        // Without the value: it may be a secret.
        format!("{key}{at}: {} ({})", error.masked(), schema.name)
    };
    schema.validator.iter_errors(value).map(text).collect()
}

/// Runs a command of the user's by the shell, with `file` in the variable `CONCLAVE_FILE` and in place of `{}`.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when it does not end with 0, with the end of what it printed.
pub async fn command(text: &str, file: &Path) -> Result<(), ConfigError> {
    let failed = |why: String| ConfigError::Invalid(format!("{text}: {why}"));
    let output = Command::new("sh")
        .arg("-c")
        .arg(text.replace("{}", "\"$CONCLAVE_FILE\""))
        .env("CONCLAVE_FILE", file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said =
        String::from_utf8_lossy(&said[said.len().saturating_sub(SAID_LEN_BYTES)..]).into_owned();
    Err(failed(format!("{}\n{}", output.status, said.trim_end())))
}

/// Bytes of a failed command's output that are shown.
const SAID_LEN_BYTES: usize = 2000;

#[cfg(test)]
mod tests {
    use super::{super::tree::Entry, *};

    #[test]
    fn values_are_judged_by_the_schema_of_their_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.json");
        let schema = br#"{"type": "object", "properties": {"port": {"type": "integer"}}}"#;
        disk::write_new(&file, schema, disk::Ownership::default()).unwrap();
        let schemas = [Schema::read("**/*.{json,yaml}", &file).unwrap()];
        let tree = |pairs: &[(&str, &str)]| -> Tree {
            let entry = |(key, data): &(&str, &str)| {
                (Key::parse(key).unwrap(), Entry::data((*data).to_owned()))
            };
            pairs.iter().map(entry).collect()
        };
        let good = tree(&[("a.json", r#"{"port": 1}"#), ("d/b.yaml", "port: 2"), ("other", "x")]);
        assert_eq!(problems(&good, &schemas), [""; 0]);
        let bad =
            tree(&[("a.json", r#"{"port": "s3cret"}"#), ("b.yaml", "port: x"), ("c.json", "{")]);
        let found = problems(&bad, &schemas);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("a.json at /port: ") && !found[0].contains("s3cret"),
            "{found:?}"
        );
    }

    #[tokio::test]
    async fn commands_get_the_file_and_are_heard() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's $here");
        disk::write_new(&file, b"good\n", disk::Ownership::default()).unwrap();
        command("grep -q good {} && test -f \"$CONCLAVE_FILE\"", &file).await.unwrap();
        let error = command("echo no; exit 3", &file).await.unwrap_err().to_string();
        assert!(error.contains("3") && error.ends_with("no"), "{error}");
    }
}
