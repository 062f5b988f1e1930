//! Layers: of several configurations the more special one tells each key.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Values by key.
pub type Values = BTreeMap<String, Bytes>;

/// Returns the values of all layers; of those that tell a key, the last does.
pub fn merged<'a>(layers: impl IntoIterator<Item = &'a Values>) -> Values {
    let mut merged = Values::new();
    for layer in layers {
        for (key, value) in layer {
            clear(&mut merged, key);
            merged.insert(key.clone(), value.clone());
        }
    }
    merged
}

/// Takes away what cannot be beside a value at `key`: values above it and below it, of the layers before.
fn clear(merged: &mut Values, key: &str) {
    let mut above = key;
    while let Some(slash) = above.rfind('/') {
        above = &above[..slash];
        merged.remove(above);
    }
    let below = format!("{key}/");
    let keys: Vec<String> = merged
        .range(below.clone()..)
        .map(|(key, _)| key.clone())
        .take_while(|key| key.starts_with(&below))
        .collect();
    for key in keys {
        merged.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(pairs: &[(&str, &'static str)]) -> Values {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Bytes::from(*value))).collect()
    }

    #[test]
    fn the_last_layer_that_tells_a_key_does() {
        let layers = [
            values(&[("a", "1"), ("b/x", "1"), ("c", "1")]),
            values(&[("a", "2"), ("b", "2"), ("c/y", "2"), ("d", "2")]),
        ];
        let expected = values(&[("a", "2"), ("b", "2"), ("c/y", "2"), ("d", "2")]);
        assert_eq!(merged(&layers), expected);
    }

    proptest! {
        /// Goal: every key of the last layer is told by it, and no key is both a value and above one across layers.
        #[test]
        fn later_layers_win(
            first in prop::collection::btree_map("[ab](/[ab]){0,2}", "[xy]", 0..6),
            last in prop::collection::btree_map("[ab](/[ab]){0,2}", "[xy]", 0..6),
        ) {
            let of = |map: BTreeMap<String, String>| -> Values {
                map.into_iter().map(|(key, value)| (key, value.into())).collect()
            };
            let (first, last) = (of(first), of(last));
            let all = merged([&first, &last]);
            for key in merged([&last]).keys() {
                prop_assert_eq!(&all[key], &last[key]);
            }
            for key in all.keys() {
                let below = format!("{}/", key);
                prop_assert!(!all.keys().any(|other| other.starts_with(&below)));
            }
        }
    }
}
