//! What commands yield as JSON.

use conclave_protocol::acl::Acl;
use serde_json::{Value, json};

use super::{Style, data, quota, stat, text::perms, top};
use crate::shell::outcome::{Event, Form, Item, Outcome, Step};

/// Returns a document and the end of its line: in many lines for a terminal, else in one.
pub(super) fn line(value: &Value, style: Style) -> Vec<u8> {
    let text = if style.is_terminal { format!("{value:#}") } else { value.to_string() };
    let pretty = super::pretty::json(&text, style).filter(|_| style.is_terminal);
    (pretty.unwrap_or(text) + "\n").into_bytes()
}

/// Returns the document of an outcome; none where all was shown as items.
pub(super) fn outcome(outcome: &Outcome) -> Option<Value> {
    Some(match outcome {
        Outcome::Shown => return None,
        Outcome::Done(what) => json!({ "done": what }),
        Outcome::Value(value) => {
            let (key, shown) = data::json(&value.data, value.form);
            with_stat(json!({ "path": value.path, key: shown }), value.stat.as_ref())
        }
        Outcome::Children { path, names, stat } => {
            with_stat(json!({ "path": path, "children": names }), stat.as_ref())
        }
        Outcome::Stat { path, stat } => json!({ "path": path, "stat": stat::json(stat) }),
        Outcome::Created { path } | Outcome::Synced { path } => json!({ "path": path }),
        Outcome::Changed { path, stat, version } => {
            with_stat(json!({ "path": path, "version": version }), stat.as_ref())
        }
        Outcome::Deleted { path, znodes } => json!({ "path": path, "deleted": znodes }),
        Outcome::Copied { from, to, znodes, skipped, is_atomic } => json!({
            "from": from, "to": to, "copied": znodes, "skipped": skipped, "atomic": is_atomic,
        }),
        Outcome::Acl { path, acl, stat } => {
            let acl: Vec<Value> = acl.iter().map(acl_entry).collect();
            with_stat(json!({ "path": path, "acl": acl }), stat.as_ref())
        }
        Outcome::AclsSet { path, znodes } => json!({ "path": path, "set": znodes }),
        Outcome::Quota { path, quota } => quota::json(path, quota.as_ref()),
        Outcome::Count { path, znodes } => json!({ "path": path, "count": znodes }),
        Outcome::Ephemerals(paths) => json!(paths),
        Outcome::Identities(identities) => identities
            .iter()
            .map(|(scheme, user)| json!({ "scheme": scheme, "user": user }))
            .collect(),
        Outcome::Config { lines, stat, .. } => with_stat(config(lines), stat.as_ref()),
        Outcome::Version(version) => json!({ "version": version }),
        Outcome::Help(text) => json!({ "help": text }),
        Outcome::History(lines) => {
            lines.iter().map(|(number, line)| json!({ "number": number, "line": line })).collect()
        }
        Outcome::PrintsWatches(is_on) => json!({ "printwatches": is_on }),
        Outcome::Committed(steps) => steps.iter().map(step).collect(),
        Outcome::Watching { paths, is_on } => json!({ "paths": paths, "watching": is_on }),
        Outcome::Top(frame) => top::json(frame),
        Outcome::Said { path, text } => json!({ "path": path, "result": text }),
    })
}

/// Returns the object of an item.
pub(super) fn item(item: &Item) -> Value {
    match item {
        Item::Znode { path, stat } => json!({ "path": path, "stat": stat::json(stat) }),
        Item::Branch(branch) => {
            let mut value = json!({
                "path": branch.path,
                "depth": branch.lasts.len(),
                "data_length": branch.stat.data_length,
                "num_children": branch.stat.num_children,
            });
            if let Some(bytes) = &branch.data {
                let (key, data) = data::json(bytes, Form::Plain);
                value[key] = data;
            }
            value
        }
        Item::Match(found) if found.is_brief => json!({ "path": found.path }),
        Item::Match(found) => {
            json!({ "path": found.path, "number": found.number, "line": found.line })
        }
        Item::Usage { path, bytes, znodes } => {
            json!({ "path": path, "bytes": bytes, "znodes": znodes })
        }
        Item::Event(event) => self::event(event),
    }
}

fn event(event: &Event) -> Value {
    let kind = if event.is_initial { "Initial".to_owned() } else { format!("{:?}", event.kind) };
    let mut value = json!({ "event": kind, "path": event.path });
    if let Some((bytes, stat)) = &event.value {
        let (key, data) = data::json(bytes, Form::Plain);
        value[key] = data;
        value["version"] = json!(stat.version);
        value["mzxid"] = json!(format!("0x{}", stat.mzxid));
    }
    value
}

fn with_stat(mut value: Value, stat: Option<&conclave_protocol::stat::Stat>) -> Value {
    if let Some(stat) = stat {
        value["stat"] = stat::json(stat);
    }
    value
}

fn acl_entry(acl: &Acl) -> Value {
    json!({
        "scheme": acl.identity.scheme.as_str(),
        "id": acl.identity.id.as_str(),
        "perms": perms(acl.perms),
    })
}

fn config(lines: &str) -> Value {
    let mut servers = serde_json::Map::new();
    let mut version = Value::Null;
    for (key, value) in lines.lines().filter_map(|line| line.split_once('=')) {
        match key.strip_prefix("server.") {
            Some(id) => drop(servers.insert(id.to_owned(), json!(value))),
            None if key == "version" => version = json!(value),
            None => {}
        }
    }
    json!({ "servers": servers, "version": version })
}

fn step(step: &Step) -> Value {
    match step {
        Step::Created(path) => json!({ "op": "create", "path": path }),
        Step::Changed { path, version } => json!({ "op": "set", "path": path, "version": version }),
        Step::Deleted(path) => json!({ "op": "delete", "path": path }),
        Step::Checked(path) => json!({ "op": "check", "path": path }),
    }
}
