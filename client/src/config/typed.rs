//! Values as the types of a program: what a key holds is read as what the type wants there.
//!
//! A key with others below it is a struct or a map; a value is read as a number, a boolean, a text or bytes where
//! the type says so, and as YAML, of which JSON is a part, where it wants a list or a struct. One line end behind a value is not
//! part of it, but for bytes.

use std::{collections::BTreeMap, fmt};

use serde::{
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
        SeqAccess, VariantAccess, Visitor, value::StringDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::Value;
use thiserror::Error;

use super::layer::Values;

/// Why values are not what a type wants. It names the key, and not the value.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{0}")]
pub struct TypeError(String);

impl serde::de::Error for TypeError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

/// Reads values as a type.
///
/// # Errors
///
/// [`TypeError`] names the key that is missing or wrong.
pub fn read<T: DeserializeOwned>(values: &Values) -> Result<T, TypeError> {
    let mut top = Node::default();
    for (key, value) in values {
        let mut at = &mut top;
        for name in key.split('/') {
            at = at.below.entry(name).or_default();
        }
        at.value = Some(value);
    }
    T::deserialize(Place { node: &top, key: String::new() })
}

/// A key with what is below it.
#[derive(Debug, Default)]
struct Node<'a> {
    value: Option<&'a [u8]>,
    below: BTreeMap<&'a str, Self>,
}

/// A node, and where it is.
#[derive(Debug)]
struct Place<'n, 'a> {
    node: &'n Node<'a>,
    key: String,
}

impl<'n, 'a> Place<'n, 'a> {
    fn wrong(&self, why: impl fmt::Display) -> TypeError {
        TypeError(format!("{}: {why}", if self.key.is_empty() { "." } else { &self.key }))
    }

    /// Returns the value as text.
    fn text(&self) -> Result<&'n str, TypeError> {
        let value = self.node.value.ok_or_else(|| self.wrong("there is no value"))?;
        let text = std::str::from_utf8(value).map_err(|_| self.wrong("the value is no text"))?;
        Ok(text.strip_suffix('\n').unwrap_or(text))
    }

    /// Returns the value as what YAML says it is.
    fn structure(&self) -> Result<Value, TypeError> {
        yaml_serde::from_str(self.text()?).map_err(|_| self.wrong("the value is no YAML"))
    }

    fn is_leaf(&self) -> bool {
        self.node.below.is_empty() && self.node.value.is_some()
    }

    fn child(&self, name: &str, node: &'n Node<'a>) -> Self {
        let key =
            if self.key.is_empty() { name.to_owned() } else { format!("{}/{name}", self.key) };
        Self { node, key }
    }

    fn children(&self) -> impl Iterator<Item = (String, Place<'n, 'a>)> {
        self.node.below.iter().map(|(name, node)| ((*name).to_owned(), self.child(name, node)))
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
            let value: $type =
                self.text()?.trim().parse().map_err(|_| self.wrong(concat!("the value is not ", $what)))?;
            visitor.$visit(value)
        }
    )*};
}

impl<'de> Deserializer<'de> for Place<'_, '_> {
    type Error = TypeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        if !self.is_leaf() {
            return self.deserialize_map(visitor);
        }
        let text = self.text()?;
        match serde_json::from_str::<Value>(text) {
            Ok(value) => value.deserialize_any(visitor).map_err(|_| self.wrong("of another type")),
            Err(_) => visitor.visit_string(text.to_owned()),
        }
    }

    parsed! {
        deserialize_bool visit_bool bool, "true or false";
        deserialize_i8 visit_i8 i8, "a whole number of that size";
        deserialize_i16 visit_i16 i16, "a whole number of that size";
        deserialize_i32 visit_i32 i32, "a whole number of that size";
        deserialize_i64 visit_i64 i64, "a whole number of that size";
        deserialize_i128 visit_i128 i128, "a whole number of that size";
        deserialize_u8 visit_u8 u8, "a whole number of that size, from 0";
        deserialize_u16 visit_u16 u16, "a whole number of that size, from 0";
        deserialize_u32 visit_u32 u32, "a whole number of that size, from 0";
        deserialize_u64 visit_u64 u64, "a whole number of that size, from 0";
        deserialize_u128 visit_u128 u128, "a whole number of that size, from 0";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
        deserialize_char visit_char char, "one character";
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_str::<TypeError>(self.text()?).map_err(|error| self.wrong(error))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_bytes(self.node.value.ok_or_else(|| self.wrong("there is no value"))?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        if self.is_leaf() {
            let value = self.structure()?;
            return value.deserialize_seq(visitor).map_err(|_| self.wrong("not such a list"));
        }
        let rest: Vec<Place<'_, '_>> = self.children().map(|(_, place)| place).collect();
        visitor.visit_seq(Elements { rest: rest.into_iter() })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        if self.is_leaf() {
            let value = self.structure()?;
            return value.deserialize_map(visitor).map_err(|_| self.wrong("not such a structure"));
        }
        let rest: Vec<(String, Place<'_, '_>)> = self.children().collect();
        let read = visitor.visit_map(Fields { rest: rest.into_iter(), value: None });
        // Of what is missing, serde knows the name and not where.
        read.map_err(|error| if error.0.contains(": ") { error } else { self.wrong(error) })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        if !self.is_leaf() {
            return visitor.visit_enum(Variant { place: self });
        }
        let text = self.text()?.to_owned();
        if variants.contains(&text.trim()) {
            let name: StringDeserializer<TypeError> = text.trim().to_owned().into_deserializer();
            return visitor.visit_enum(name);
        }
        let value = self.structure()?;
        value.deserialize_enum(name, variants, visitor).map_err(|_| self.wrong("not one of those"))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { unit unit_struct tuple tuple_struct identifier }
}

struct Elements<'n, 'a> {
    rest: std::vec::IntoIter<Place<'n, 'a>>,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = TypeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, TypeError> {
        self.rest.next().map(|place| seed.deserialize(place)).transpose()
    }
}

struct Fields<'n, 'a> {
    rest: std::vec::IntoIter<(String, Place<'n, 'a>)>,
    value: Option<Place<'n, 'a>>,
}

impl<'de> MapAccess<'de> for Fields<'_, '_> {
    type Error = TypeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, TypeError> {
        let Some((name, place)) = self.rest.next() else { return Ok(None) };
        self.value = Some(place);
        let name: StringDeserializer<TypeError> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, TypeError> {
        seed.deserialize(self.value.take().expect("a value follows its key"))
    }
}

/// A variant that is a key with its content below it.
struct Variant<'n, 'a> {
    place: Place<'n, 'a>,
}

impl<'de, 'n, 'a> EnumAccess<'de> for Variant<'n, 'a> {
    type Error = TypeError;
    type Variant = Content<'n, 'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Content<'n, 'a>), TypeError> {
        let mut children = self.place.children();
        let (Some((name, place)), None) = (children.next(), children.next()) else {
            return Err(self.place.wrong("expected one key that names the variant"));
        };
        let name: StringDeserializer<TypeError> = name.into_deserializer();
        Ok((seed.deserialize(name)?, Content { place }))
    }
}

struct Content<'n, 'a> {
    place: Place<'n, 'a>,
}

impl<'de> VariantAccess<'de> for Content<'_, '_> {
    type Error = TypeError;

    fn unit_variant(self) -> Result<(), TypeError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, TypeError> {
        seed.deserialize(self.place)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, TypeError> {
        self.place.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.place.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Eq, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Slow { by: u8 },
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Db {
        host: String,
        port: u16,
        #[serde(default)]
        tags: Vec<String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct App {
        name: String,
        ratio: f64,
        debug: Option<bool>,
        missing: Option<u8>,
        db: Db,
        other: Db,
        mode: Mode,
        list: Vec<u32>,
        second: Mode,
        zone: BTreeMap<String, String>,
    }

    fn values(pairs: &[(&str, &'static str)]) -> Values {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect()
    }

    #[test]
    fn values_become_what_the_type_wants() {
        let values = values(&[
            ("name", "123\n"),
            ("ratio", "0.5"),
            ("debug", "true\n"),
            ("db/host", "h"),
            ("db/port", "5432\n"),
            ("db/tags", r#"["a", "b"]"#),
            ("other", "host: x\nport: 1\n"),
            ("mode", "fast\n"),
            ("second/slow/by", "3"),
            ("list/0", "7"),
            ("list/1", "8"),
            ("zone/a", "1"),
            ("unknown", "x"),
        ]);
        let app: App = read(&values).unwrap();
        assert_eq!(app.name, "123");
        assert_eq!((app.ratio, app.debug, app.missing), (0.5, Some(true), None));
        let tags = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(app.db, Db { host: "h".to_owned(), port: 5432, tags });
        assert_eq!((app.other.host.as_str(), app.other.port), ("x", 1));
        assert_eq!((app.mode, app.second), (Mode::Fast, Mode::Slow { by: 3 }));
        assert_eq!(app.list, [7, 8]);
        assert_eq!(app.zone["a"], "1");
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        for (pairs, key) in [
            (&[("host", "h"), ("port", "hunter2")][..], "port"),
            (&[("host", "h"), ("port", "70000")], "port"),
            (&[("host", "h")], "port"),
        ] {
            let error = read::<Db>(&values(pairs)).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
        }
        let outer = read::<BTreeMap<String, Db>>(&values(&[("x/host", "h")])).unwrap_err();
        assert!(outer.to_string().starts_with("x: "), "{outer}");
    }

    #[test]
    fn untyped_values_are_what_they_look_like() {
        let value: Value = read(&values(&[("a", "1"), ("b/c", "x y"), ("d", "[1]")])).unwrap();
        assert_eq!(value, serde_json::json!({"a": 1, "b": {"c": "x y"}, "d": [1]}));
    }
}
