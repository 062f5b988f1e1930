//! What commands yield as text.

use std::fmt::Write;

use conclave_protocol::{
    acl::{Acl, Perms},
    event::EventKind,
    stat::Stat,
};

use super::{
    Paint, Style, data, quota,
    safe::{safe, safe_lines},
    stat, top,
};
use crate::shell::outcome::{Branch, Event, Item, Match, Outcome, Step};

/// Returns the text of an outcome.
pub(super) fn outcome(outcome: &Outcome, style: Style) -> Vec<u8> {
    let stat_text = |stat: &Option<Stat>| stat.as_ref().map(|stat| stat::text(stat, style));
    let with_stat = |text: String, stat: &Option<Stat>| text + &stat_text(stat).unwrap_or_default();
    let text = match outcome {
        Outcome::Shown | Outcome::Done(_) | Outcome::Watching { .. } => String::new(),
        Outcome::Value(value) => {
            let mut bytes = data::text(&value.data, value.form, style);
            bytes.extend(stat_text(&value.stat).unwrap_or_default().into_bytes());
            return bytes;
        }
        Outcome::Children { names, stat, .. } => {
            let names: Vec<_> =
                names.iter().map(|name| style.paint(Paint::Path, &safe(name))).collect();
            with_stat(format!("[{}]\n", names.join(", ")), stat)
        }
        Outcome::Stat { stat, .. } => stat::text(stat, style),
        Outcome::Created { path } => format!("Created {}\n", safe(path)),
        Outcome::Changed { stat, .. } => with_stat(String::new(), stat),
        // As ZooKeeper's shell, a script is told nothing.
        Outcome::Deleted { path, znodes } if *znodes > 1 && style.is_terminal => {
            format!("Deleted {znodes} znodes: {}\n", safe(path))
        }
        Outcome::Deleted { .. } => String::new(),
        Outcome::Copied { .. } => copied(outcome),
        Outcome::Acl { acl, stat, .. } => with_stat(acl.iter().map(acl_lines).collect(), stat),
        Outcome::AclsSet { path, znodes } => {
            format!("Set the ACL of {znodes} znodes: {}\n", safe(path))
        }
        Outcome::Quota { path, quota } => quota::text(path, quota.as_ref()),
        Outcome::Synced { .. } => "Sync is OK\n".to_owned(),
        Outcome::Count { znodes, .. } => format!("{znodes}\n"),
        Outcome::Ephemerals(paths) => format!("[{}]\n", safe(&paths.join(", "))),
        Outcome::Identities(identities) => {
            identities.iter().fold("Auth scheme: User\n".to_owned(), |text, (scheme, user)| {
                text + &format!("{}: {}\n", safe(scheme), safe(user))
            })
        }
        Outcome::Config { lines, is_brief: false, stat } => {
            with_stat(format!("{}\n", safe_lines(lines)), stat)
        }
        Outcome::Config { lines, stat, .. } => with_stat(brief_config(lines), stat),
        Outcome::Version(version) => format!("conclave {version}\n"),
        Outcome::Help(text) => text.clone(),
        Outcome::History(lines) => {
            lines.iter().map(|(number, line)| format!("{number} - {}\n", safe(line))).collect()
        }
        Outcome::PrintsWatches(is_on) => {
            format!("printwatches is {}\n", if *is_on { "on" } else { "off" })
        }
        Outcome::Committed(steps) => steps.iter().map(step).collect(),
        Outcome::Top(frame) => top::text(frame, style),
        Outcome::Said { text, .. } => format!("{}\n", safe_lines(text)),
    };
    text.into_bytes()
}

/// Returns the lines of an item.
pub(super) fn item(item: &Item, style: Style) -> Vec<u8> {
    match item {
        Item::Znode { path, .. } => format!("{}\n", style.paint(Paint::Path, &safe(path))),
        Item::Branch(branch) => self::branch(branch, style),
        Item::Match(found) => self::found(found, style),
        Item::Usage { path, bytes, znodes } => format!("{bytes:>12} {znodes:>9}  {}\n", safe(path)),
        Item::Event(event) => self::event(event, style),
    }
    .into_bytes()
}

fn copied(outcome: &Outcome) -> String {
    let Outcome::Copied { from, to, znodes, skipped, .. } = outcome else { return String::new() };
    let mut text = format!("{} -> {}: {znodes} znodes\n", safe(from), safe(to));
    if *skipped > 0 {
        writeln!(text, "{skipped} ephemerals, and what is below, were left out").expect(MEMORY);
    }
    text
}

/// Returns the permissions in the letters of ZooKeeper's shell.
pub(super) fn perms(perms: Perms) -> String {
    let letters = [
        (Perms::CREATE, 'c'),
        (Perms::DELETE, 'd'),
        (Perms::READ, 'r'),
        (Perms::WRITE, 'w'),
        (Perms::ADMIN, 'a'),
    ];
    letters.iter().filter(|(perm, _)| perms.intersects(*perm)).map(|(_, letter)| letter).collect()
}

fn acl_lines(acl: &Acl) -> String {
    let name =
        |text: &conclave_protocol::text::Text| safe(text.as_str().unwrap_or("?")).into_owned();
    let (scheme, id) = (name(&acl.identity.scheme), name(&acl.identity.id));
    format!("'{scheme},'{id}\n: {}\n", perms(acl.perms))
}

/// Returns version and client addresses, as `config -c` of ZooKeeper's shell prints them.
fn brief_config(lines: &str) -> String {
    let pairs = lines.lines().filter_map(|line| line.split_once('='));
    let mut version = "";
    let mut addresses = Vec::new();
    for (key, value) in pairs {
        if key == "version" {
            version = value;
        } else if key.starts_with("server.") {
            addresses.push(value.split_once(';').map_or("", |(_, address)| address));
        }
    }
    let version =
        u64::from_str_radix(version, 16).map_or_else(|_| version.to_owned(), |v| v.to_string());
    format!("{} {}\n", safe(&version), safe(&addresses.join(",")))
}

fn branch(branch: &Branch, style: Style) -> String {
    let Some((is_last, above)) = branch.lasts.split_last() else {
        return format!("{}{}\n", safe(&branch.path), brief_value(branch, style));
    };
    let mut lines: String =
        above.iter().map(|is_last| if *is_last { "    " } else { "\u{2502}   " }).collect();
    lines.push_str(if *is_last {
        "\u{2514}\u{2500}\u{2500} "
    } else {
        "\u{251c}\u{2500}\u{2500} "
    });
    let name = safe(conclave_protocol::path::name(&branch.path)).into_owned();
    let owner = if branch.stat.ephemeral_owner == 0 { "" } else { " (ephemeral)" };
    let lines = style.paint(Paint::Faint, &lines);
    format!("{lines}{}{owner}{}\n", style.paint(Paint::Path, &name), brief_value(branch, style))
}

fn brief_value(branch: &Branch, style: Style) -> String {
    match &branch.data {
        Some(bytes) if !bytes.is_empty() => {
            format!(" {} {}", style.paint(Paint::Faint, "="), data::brief(bytes))
        }
        _ => String::new(),
    }
}

fn found(found: &Match, style: Style) -> String {
    let path = style.paint(Paint::Path, &safe(&found.path));
    match &found.line {
        _ if found.is_brief => format!("{path}\n"),
        None => format!("{path}: binary data matches\n"),
        Some(line) => {
            let mut text = String::new();
            let mut end = 0;
            for (from, to) in &found.spans {
                text.push_str(&safe(&line[end..*from]));
                text.push_str(&style.paint(Paint::Found, &safe(&line[*from..*to])));
                end = *to;
            }
            text.push_str(&safe(&line[end..]));
            format!("{path}:{}: {text}\n", found.number)
        }
    }
}

/// Returns the line of an event of a followed subtree.
fn event(event: &Event, style: Style) -> String {
    let path = safe(&event.path);
    let (paint, word) = match event.kind {
        _ if event.is_initial => (Paint::Faint, "is"),
        EventKind::NodeCreated => (Paint::Good, "created"),
        EventKind::NodeDeleted => (Paint::Bad, "deleted"),
        EventKind::NodeDataChanged => (Paint::Key, "changed"),
        _ => (Paint::Faint, "children"),
    };
    let value = match &event.value {
        Some((bytes, stat)) => format!(" (version {}) = {}", stat.version, data::brief(bytes)),
        None => String::new(),
    };
    format!("{} {path}{value}\n", style.paint(paint, word))
}

fn step(step: &Step) -> String {
    match step {
        Step::Created(path) => format!("Created {}\n", safe(path)),
        Step::Changed { path, version } => format!("Set {}, version {version}\n", safe(path)),
        Step::Deleted(path) => format!("Deleted {}\n", safe(path)),
        Step::Checked(path) => format!("Checked {}\n", safe(path)),
    }
}

const MEMORY: &str = "writing to memory cannot fail";
