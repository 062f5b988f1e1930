//! A look at the ensemble.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Paint, Style, safe::safe};
use crate::shell::family::top::{Connection, Frame, Member};

/// The columns of a member: what stands above, and under which key the figure is.
const MEMBER: [(&str, &str); 8] = [
    ("STATE", "zk_server_state"),
    ("AVG ms", "zk_avg_latency"),
    ("MAX ms", "zk_max_latency"),
    ("CLIENTS", "zk_num_alive_connections"),
    ("QUEUED", "zk_outstanding_requests"),
    ("ZNODES", "zk_znode_count"),
    ("WATCHES", "zk_watch_count"),
    ("REQUESTS", "zk_packets_received"),
];

/// The columns of a connection.
const CONNECTION: [(&str, &str); 5] = [
    ("LAST", "lop"),
    ("QUEUED", "queued"),
    ("AVG ms", "avglat"),
    ("MAX ms", "maxlat"),
    ("SESSION", "sid"),
];

/// Returns two tables.
pub(super) fn text(frame: &Frame, style: Style) -> String {
    let mut out = String::new();
    let mut head = format!("{:<24}", "MEMBER");
    MEMBER.iter().for_each(|(name, _)| write!(head, " {name:>10}").expect(MEMORY));
    write!(head, " {:>10}", "PER SECOND").expect(MEMORY);
    writeln!(out, "{}", style.paint(Paint::Key, &head)).expect(MEMORY);
    for member in &frame.members {
        out.push_str(&member_line(member, style));
    }
    let head = format!("\n{:<24} {:<24} {:>10}", "CONNECTION", "OF MEMBER", "REQUESTS");
    let names = CONNECTION.iter().map(|(name, _)| format!(" {name:>8}")).collect::<String>();
    writeln!(out, "{}", style.paint(Paint::Key, &(head + &names))).expect(MEMORY);
    for connection in &frame.connections {
        out.push_str(&connection_line(connection));
    }
    for member in &frame.members {
        for why in &member.silences {
            writeln!(out, "{} does not tell all: {}", member.address, safe(why)).expect(MEMORY);
        }
    }
    out
}

fn member_line(member: &Member, style: Style) -> String {
    let mut line = format!("{:<24}", safe(&member.address));
    match &member.figures {
        Err(why) => write!(line, " {}", style.paint(Paint::Bad, &safe(why))).expect(MEMORY),
        Ok(figures) => {
            for (_, key) in MEMBER {
                let figure = figures.get(key).map_or("-", String::as_str);
                write!(line, " {:>10}", safe(figure)).expect(MEMORY);
            }
            let rate = member.requests_per_s.map_or("-".to_owned(), |rate| format!("{rate:.1}"));
            write!(line, " {rate:>10}").expect(MEMORY);
        }
    }
    line + "\n"
}

fn connection_line(connection: &Connection) -> String {
    let (address, member) = (safe(&connection.address), safe(&connection.member));
    let mut line = format!("{address:<24} {member:<24} {:>10}", connection.requests);
    for (_, key) in CONNECTION {
        let figure = connection.figures.get(key).map_or("-", String::as_str);
        write!(line, " {:>8}", safe(figure)).expect(MEMORY);
    }
    line + "\n"
}

/// Returns all that the members told; figures that are numbers as numbers.
pub(super) fn json(frame: &Frame) -> Value {
    let members: Vec<Value> = frame.members.iter().map(member_json).collect();
    let connections = frame.connections.iter().map(|connection| {
        let Connection { member, address, figures, requests } = connection;
        json!({ "member": member, "address": address, "requests": requests, "figures": numbers(figures) })
    });
    json!({ "members": members, "connections": connections.collect::<Vec<_>>() })
}

fn member_json(member: &Member) -> Value {
    match &member.figures {
        Err(why) => json!({ "address": member.address, "error": why }),
        Ok(figures) => json!({
            "address": member.address,
            "state": figures.get("zk_server_state"),
            "requests_per_s": member.requests_per_s,
            "not_told": member.silences,
            "figures": numbers(figures),
        }),
    }
}

fn numbers(figures: &std::collections::HashMap<String, String>) -> Value {
    let number = |text: &String| match text.parse::<f64>() {
        Ok(_) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Err(_) => json!(text),
    };
    figures
        .iter()
        .map(|(key, value)| (key.clone(), number(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

const MEMORY: &str = "writing to memory cannot fail";
