//! Differences as people read them: keys, and lines of values.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::{
    digest::Digest,
    key::Key,
    mask::Mask,
    plan::{Change, Note, Plan},
    tree::{Entry, Tree},
};

/// A value that is longer is told by its length and digest.
const VALUE_LEN_BYTES_MAX: usize = 64 << 10;

/// Lines of a value that are shown when all of it is new or goes.
const LINES_MAX: usize = 12;

/// Returns the changes that lead from one tree to another; ACLs and kinds are compared where both tell them.
pub fn between(old: &Tree, new: &Tree) -> Plan {
    let mut plan = Plan::default();
    for (key, new) in new {
        let change = match old.get(key) {
            None => Change::Create(new.clone()),
            Some(old) if old.bytes() == new.bytes() && old.acl == new.acl => {
                plan.unchanged += 1;
                continue;
            }
            Some(old) => Change::Set { old: old.clone(), new: new.clone() },
        };
        plan.changes.insert(key.clone(), change);
    }
    for (key, old) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        plan.changes.insert(key.clone(), Change::Delete(old.clone()));
    }
    plan
}

/// Writes a plan for people.
pub fn text(plan: &Plan, mask: &Mask) -> String {
    let mut out = String::new();
    let mut keys: Vec<&Key> =
        plan.changes.keys().chain(plan.notes.keys()).chain(plan.conflicts.keys()).collect();
    keys.sort_unstable();
    for key in keys {
        if let Some(change) = plan.changes.get(key) {
            write_change(&mut out, key, change, mask);
        } else if let Some(note) = plan.notes.get(key) {
            line(&mut out, format_args!("! {key}: {}", note_text(*note)));
        } else if let Some(conflict) = plan.conflicts.get(key) {
            line(&mut out, format_args!("x {key}: {}", conflict.text()));
        }
    }
    out
}

/// Says why a key stays as it is.
pub const fn note_text(note: Note) -> &'static str {
    match note {
        Note::Edited => {
            "others have changed it since it was applied; it stays (--overwrite takes it back)"
        }
        Note::Unwanted => "it is not wanted any more; it stays (--prune deletes it)",
        Note::Occupied => "it is not wanted any more, but something that is not ours is below it",
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes all");
    out.push('\n');
}

fn write_change(out: &mut String, key: &Key, change: &Change, mask: &Mask) {
    match change {
        Change::Create(new) => {
            line(out, format_args!("+ {key}"));
            write_value(out, key, new, '+', mask);
        }
        Change::Delete(old) => {
            line(out, format_args!("- {key}"));
            write_value(out, key, old, '-', mask);
        }
        Change::Set { old, new } | Change::Replace { old, new } => {
            line(out, format_args!("~ {key}"));
            if old.acl != new.acl {
                let text = |entry: &Entry| {
                    entry.acl.as_ref().map_or("open to anyone".to_owned(), ToString::to_string)
                };
                line(out, format_args!("    ACL {} becomes {}", text(old), text(new)));
            }
            if old.kind != new.kind {
                line(out, format_args!("    {:?} becomes {:?}", old.kind, new.kind));
            }
            write_values(out, key, &old.bytes(), &new.bytes(), mask);
        }
    }
}

fn write_values(out: &mut String, key: &Key, old: &Bytes, new: &Bytes, mask: &Mask) {
    if old == new {
        return;
    }
    if mask.hides(key, old) || mask.hides(key, new) {
        return line(out, format_args!("    (secret, changed)"));
    }
    let (Some(before), Some(after)) = (shown(old), shown(new)) else {
        line(out, format_args!("    - {}", described(old)));
        return line(out, format_args!("    + {}", described(new)));
    };
    let diff = TextDiff::from_lines(before, after);
    for (index, group) in diff.grouped_ops(2).iter().enumerate() {
        if index > 0 {
            line(out, format_args!("      ..."));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let text = printable(change.value().trim_end_matches('\n'));
            line(out, format_args!("    {sign} {text}"));
        }
    }
    if before.lines().eq(after.lines()) {
        line(out, format_args!("    (only the ends of lines differ)"));
    }
}

fn write_value(out: &mut String, key: &Key, entry: &Entry, sign: char, mask: &Mask) {
    let data = entry.bytes();
    if data.is_empty() {
        return;
    }
    if mask.hides(key, &data) {
        return line(out, format_args!("    {sign} (secret)"));
    }
    let Some(text) = shown(&data) else {
        return line(out, format_args!("    {sign} {}", described(&data)));
    };
    for text in text.lines().take(LINES_MAX) {
        line(out, format_args!("    {sign} {}", printable(text)));
    }
    let more = text.lines().count().saturating_sub(LINES_MAX);
    if more > 0 {
        line(out, format_args!("    {sign} ... {more} lines more"));
    }
}

/// Returns a value as text, if it is one and not too long.
fn shown(data: &Bytes) -> Option<&str> {
    let is_short = data.len() <= VALUE_LEN_BYTES_MAX;
    std::str::from_utf8(data).ok().filter(|text| is_short && !text.contains('\0'))
}

fn described(data: &Bytes) -> String {
    format!("({} bytes, sha256 {})", data.len(), &Digest::of(data).to_string()[..12])
}

/// Replaces what would steer a terminal.
pub fn printable(text: &str) -> String {
    let safe = |c: char| {
        if c.is_control() && c != '\t' { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(safe).collect()
}

/// Writes a plan for programs.
pub fn json(plan: &Plan, mask: &Mask) -> Value {
    let value = |key: &Key, entry: &Entry| {
        let data = entry.bytes();
        if mask.hides(key, &data) {
            return json!({ "secret": true });
        }
        match shown(&data) {
            Some(text) => json!(text),
            None => json!({ "bytes": data.len(), "sha256": Digest::of(&data).to_string() }),
        }
    };
    let change = |(key, change): (&Key, &Change)| match change {
        Change::Create(new) => {
            json!({ "key": key.as_str(), "change": "create", "new": value(key, new) })
        }
        Change::Delete(old) => {
            json!({ "key": key.as_str(), "change": "delete", "old": value(key, old) })
        }
        Change::Set { old, new } | Change::Replace { old, new } => json!({
            "key": key.as_str(), "change": "set", "old": value(key, old), "new": value(key, new),
        }),
    };
    let kept: Vec<Value> = plan
        .notes
        .iter()
        .map(|(key, note)| json!({ "key": key.as_str(), "why": note_text(*note) }))
        .collect();
    let conflicts: Vec<Value> = plan
        .conflicts
        .iter()
        .map(|(key, conflict)| json!({ "key": key.as_str(), "why": conflict.text() }))
        .collect();
    json!({
        "counts": plan.counts(),
        "changes": plan.changes.iter().map(change).collect::<Vec<_>>(),
        "kept": kept,
        "conflicts": conflicts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(pairs: &[(&str, &str)]) -> Tree {
        let entry = |(key, data): &(&str, &str)| {
            (Key::parse(key).unwrap(), Entry::data((*data).to_owned()))
        };
        pairs.iter().map(entry).collect()
    }

    #[test]
    fn differences_show_lines_and_hide_secrets() {
        let old = tree(&[("a", "1\n2\n3\n"), ("gone", "x"), ("password", "old"), ("same", "s")]);
        let new =
            tree(&[("a", "1\n2b\n3\n"), ("new", "y\u{1b}[0m"), ("password", "new"), ("same", "s")]);
        let plan = between(&old, &new);
        let expected = "~ a\n      1\n    - 2\n    + 2b\n      3\n- gone\n    - x\n+ new\n    + y\\u{1b}[0m\n\
                        ~ password\n    (secret, changed)\n";
        assert_eq!(text(&plan, &Mask::new([]).unwrap()), expected);
        let json = json(&plan, &Mask::new([]).unwrap()).to_string();
        assert!(!json.contains("old\"") || !json.contains("\"new\":\"new\""), "{json}");
        assert_eq!(plan.counts().changes(), 4);
    }

    #[test]
    fn what_is_no_text_is_described() {
        let plan = between(
            &Tree::new(),
            &Tree::from([(Key::parse("b").unwrap(), Entry::data(vec![0, 255]))]),
        );
        assert!(text(&plan, &Mask::none()).contains("(2 bytes, sha256 "));
    }
}
