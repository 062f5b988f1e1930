//! Templates of files: minijinja, with the keys of a configuration.
//!
//! `get("db/host")` and `get("db/host", "localhost")` give a value, `exists("db")` whether there is one, `keys("db")` the
//! names below it and `values("db")` names and values; `config` is all of it, nested; `release` its number.
//! `| fromjson` and `| fromyaml` read what a value says. A key that is not there is an error: a file without
//! it is not written.

use std::{collections::BTreeMap, sync::Arc};

use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value, context, syntax::SyntaxConfig,
    value::Serde,
};

use super::{
    error::ConfigError,
    follow::{Version, values},
    key::Key,
    secret::{self, Keyring},
};

/// Text values of a version by key; what is no text is left out, and not found.
type Texts = BTreeMap<String, String>;

/// Returns the text values of a version, secrets decrypted as far as there are keys for them.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when a secret cannot be decrypted.
pub fn texts(version: &Version, keyring: &Keyring) -> Result<Texts, ConfigError> {
    let mut texts = Texts::new();
    for (name, mut data) in values(&version.tree) {
        if secret::is_envelope(&data) && !keyring.is_empty() {
            let key = Key::parse(&name).map_err(|error| ConfigError::Invalid(error.to_string()))?;
            data = keyring.open(&key, &data)?;
        }
        if let Ok(text) = String::from_utf8(data.to_vec()) {
            texts.insert(name, text);
        }
    }
    Ok(texts)
}

/// Returns the path that a template names, in a comment `{# path: /app #}`.
pub fn named_path(source: &str) -> Option<&str> {
    let comment = source.split("{#").nth(1)?.split("#}").next()?;
    let (word, path) = comment.trim().trim_matches('-').trim().split_once(':')?;
    (word.trim() == "path").then(|| path.trim())
}

/// Renders a template.
///
/// # Errors
///
/// [`ConfigError::Invalid`] says what is wrong, with `name` and the line.
pub fn render(
    name: &str,
    source: &str,
    texts: Texts,
    release: Option<u64>,
) -> Result<String, ConfigError> {
    let wrong = |error: Error| {
        let line = error.line().map_or_else(String::new, |line| format!(":{line}"));
        ConfigError::Invalid(format!("{name}{line}: {}", reason(&error)))
    };
    let nested = nested(&texts);
    let texts = Arc::new(texts);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(wrong)?;
    environment.set_syntax(syntax);
    add_functions(&mut environment, &texts);
    environment.add_filter("fromjson", |text: &str| {
        serde_json::from_str::<serde_json::Value>(text)
            .map(|value| Value::from(Serde(value)))
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
    environment.add_filter("fromyaml", |text: &str| {
        yaml_serde::from_str::<serde_json::Value>(text)
            .map(|value| Value::from(Serde(value)))
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
    // Never escaped: it is no web page.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.add_template(name, source).map_err(wrong)?;
    let template = environment.get_template(name).map_err(wrong)?;
    template.render(context! { config => Serde(nested), release => release }).map_err(wrong)
}

fn reason(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

fn add_functions(environment: &mut Environment<'_>, texts: &Arc<Texts>) {
    let all = Arc::clone(texts);
    environment.add_function("get", move |key: &str, default: Option<Value>| {
        match (all.get(plain(key)), default) {
            (Some(text), _) => Ok(Value::from(text.as_str())),
            (None, Some(default)) => Ok(default),
            (None, None) => {
                let text = format!("the configuration has no text at {key:?}");
                Err(Error::new(ErrorKind::UndefinedError, text))
            }
        }
    });
    let all = Arc::clone(texts);
    environment.add_function("exists", move |key: &str| {
        all.contains_key(plain(key)) || below(&all, plain(key)).next().is_some()
    });
    let all = Arc::clone(texts);
    environment.add_function("keys", move |key: &str| {
        let mut names: Vec<String> =
            below(&all, plain(key)).map(|(name, _)| name.to_owned()).collect();
        names.iter_mut().for_each(|name| name.truncate(name.find('/').unwrap_or(name.len())));
        names.dedup();
        names
    });
    let all = Arc::clone(texts);
    environment.add_function("values", move |key: &str| {
        let pairs = below(&all, plain(key)).map(|(name, text)| (name.to_owned(), text.to_owned()));
        Value::from_pairs(pairs)
    });
}

fn plain(key: &str) -> &str {
    key.trim_matches('/')
}

/// Returns names relative to a key, and values, of all below it.
fn below<'a>(texts: &'a Texts, key: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let prefix = if key.is_empty() { String::new() } else { format!("{key}/") };
    texts.iter().filter_map(move |(name, text)| Some((name.strip_prefix(&prefix)?, text.as_str())))
}

/// Returns the values as maps within maps; one that is above others is under the name `_`.
fn nested(texts: &Texts) -> serde_json::Value {
    let mut top = serde_json::Map::new();
    for (key, text) in texts {
        let mut at = &mut top;
        for name in key.split('/') {
            let next =
                at.entry(name).or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
            at = next.as_object_mut().expect("only maps are made on the way");
        }
        at.insert("_".to_owned(), text.clone().into());
    }
    let mut top = serde_json::Value::Object(top);
    flatten(&mut top);
    top
}

fn flatten(value: &mut serde_json::Value) {
    let Some(map) = value.as_object_mut() else { return };
    for (name, value) in map.iter_mut() {
        if name != "_" {
            flatten(value);
        }
    }
    if map.len() == 1
        && let Some(text) = map.remove("_")
    {
        *value = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    fn rendered(source: &str) -> Result<String, String> {
        let pairs =
            [("db/host", "h"), ("db/port", "5"), ("db", "own"), ("j", r#"{"a": [1, "<"]}"#)];
        render("t", source, texts(&pairs), Some(3)).map_err(|error| error.to_string())
    }

    #[test]
    fn templates_see_keys_in_every_way() {
        for (source, expected) in [
            ("{{ get('db/host') }}:{{ get('/db/port') }}\n", "h:5\n"),
            ("{{ get('x', 'd') }}{{ exists('x') }}{{ exists('db') }}", "dFalseTrue"),
            ("{% for k in keys('db') %}{{ k }},{% endfor %}", "host,port,"),
            ("{{ keys('')|join(',') }}", "db,j"),
            ("{% for k, v in values('db')|items %}{{ k }}={{ v }};{% endfor %}", "host=h;port=5;"),
            (
                "{{ (get('j')|fromjson).a[1] }}{{ config.db.host }}{{ config.db._ }}{{ release }}",
                "<hown3",
            ),
        ] {
            assert_eq!(rendered(source).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_is_not_there_is_said_with_its_line() {
        let error = rendered("a\n{{ get('nothing') }}").unwrap_err();
        assert!(error.starts_with("t:2: ") && error.contains("nothing"), "{error}");
        assert!(rendered("{{ config.nothing }}").is_err());
        assert!(rendered("{{ 'x").is_err());
    }

    #[test]
    fn a_template_names_its_path() {
        assert_eq!(named_path("{# path: /app #}\nx"), Some("/app"));
        assert_eq!(named_path("x\n{#- path: /a/b -#}"), Some("/a/b"));
        assert_eq!(named_path("{# other #}"), None);
        assert_eq!(named_path(""), None);
    }
}
