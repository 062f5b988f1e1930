//! A configuration as one file, YAML or JSON: its keys in order, and what is said about them.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    error::ConfigError,
    files::Loaded,
    key::Key,
    meta::Meta,
    tree::{self, Entry, Tree},
};

/// The whole file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    keys: BTreeMap<String, Option<Data>>,
    #[serde(default, skip_serializing_if = "Meta::is_empty")]
    about: Meta,
}

/// Data that is text, or is not.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Data {
    Text(String),
    Binary { base64: String },
}

/// Which of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// Writes a tree.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when it cannot be written in that language.
pub fn write(tree: &Tree, about: Meta, language: Language) -> Result<Vec<u8>, ConfigError> {
    let data = |data: &Bytes| match std::str::from_utf8(data) {
        Ok(text) => Data::Text(text.to_owned()),
        Err(_) => Data::Binary { base64: STANDARD.encode(data) },
    };
    let keys = tree
        .iter()
        .filter(|(key, entry)| !key.is_root() || entry.data.is_some())
        .map(|(key, entry)| (key.as_str().to_owned(), entry.data.as_ref().map(data)))
        .collect();
    let document = Document { keys, about };
    let failed = |error: String| ConfigError::Invalid(error);
    match language {
        Language::Yaml => yaml_serde::to_string(&document)
            .map(String::into_bytes)
            .map_err(|error| failed(error.to_string())),
        Language::Json => {
            let mut json =
                serde_json::to_vec_pretty(&document).map_err(|error| failed(error.to_string()))?;
            json.push(b'\n');
            Ok(json)
        }
    }
}

/// Reads a tree.
///
/// # Errors
///
/// [`ConfigError::Invalid`] says what is wrong and where.
pub fn read(bytes: &[u8], language: Language, place: &str) -> Result<Loaded, ConfigError> {
    let wrong = |error: String| ConfigError::Invalid(format!("{place}: {error}"));
    let document: Document = match language {
        Language::Yaml => {
            yaml_serde::from_slice(bytes).map_err(|error| wrong(error.to_string()))?
        }
        Language::Json => {
            serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?
        }
    };
    let mut tree = Tree::new();
    for (text, data) in document.keys {
        let key = Key::parse(&text).map_err(|error| wrong(format!("{text:?}: {error}")))?;
        let data = match data {
            None => None,
            Some(Data::Text(text)) => Some(text.into()),
            Some(Data::Binary { base64 }) => {
                let bytes = STANDARD.decode(base64).map_err(|e| wrong(format!("{text:?}: {e}")))?;
                Some(bytes.into())
            }
        };
        tree.insert(key, Entry { data, ..Entry::default() });
    }
    tree.entry(Key::root()).or_default();
    tree::complete(&mut tree);
    document.about.annotate(&mut tree, place)?;
    Ok(Loaded { tree, meta: document.about })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn documents_are_read_as_they_are_written(
            pairs in prop::collection::btree_map("[a-z ]{1,4}(/[~y]{1,2})?", any::<Vec<u8>>(), 0..8),
        ) {
            let entry = |(key, data): (String, Vec<u8>)| (Key::parse(&key).unwrap(), Entry::data(data));
            let mut tree: Tree = pairs.into_iter().map(entry).collect();
            tree.entry(Key::root()).or_default();
            tree::complete(&mut tree);
            for language in [Language::Yaml, Language::Json] {
                let bytes = write(&tree, Meta::of(&tree), language).unwrap();
                let loaded = read(&bytes, language, "x").unwrap();
                prop_assert_eq!(&loaded.tree, &tree);
            }
        }
    }

    #[test]
    fn texts_that_look_like_something_else_stay_texts() {
        for text in
            ["yes", "null", "1", "1.0", "a: b", "- x", "\n", "  x  \n\n", "\r\n", "#", "\u{85}"]
        {
            let mut tree = Tree::from([(Key::parse("k").unwrap(), Entry::data(text.to_owned()))]);
            tree.entry(Key::root()).or_default();
            for language in [Language::Yaml, Language::Json] {
                let bytes = write(&tree, Meta::default(), language).unwrap();
                assert_eq!(read(&bytes, language, "x").unwrap().tree, tree, "{text:?}");
            }
        }
    }
}
