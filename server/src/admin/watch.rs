//! `wchs`, `wchc` and `wchp`: watches counted, by session and by path.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Display, Write},
};

use super::{report::MemberReport, server::written};

pub(super) fn wchs(report: &MemberReport) -> String {
    written(|out| {
        let (connections, paths) = (report.watching_connection_count, report.watched_path_count);
        writeln!(out, "{connections} connections watching {paths} paths")?;
        writeln!(out, "Total watches:{}", report.watch_count)
    })
}

pub(super) fn wchc(report: &MemberReport) -> String {
    grouped(report.watches.iter().map(|watch| (watch.session, &watch.path)))
}

pub(super) fn wchp(report: &MemberReport) -> String {
    grouped(report.watches.iter().map(|watch| (&watch.path, watch.session)))
}

/// Writes each head once with what belongs to it, sorted, and an empty line at the end. Two watches
/// of a session on one path, such as for data and for children, are told once.
fn grouped<H: Display + Ord, B: Display + Ord>(pairs: impl Iterator<Item = (H, B)>) -> String {
    let mut groups: BTreeMap<H, BTreeSet<B>> = BTreeMap::new();
    for (head, item) in pairs {
        groups.entry(head).or_default().insert(item);
    }
    written(|out| {
        for (head, items) in &groups {
            writeln!(out, "{head}")?;
            for item in items {
                writeln!(out, "\t{item}")?;
            }
        }
        writeln!(out)
    })
}
