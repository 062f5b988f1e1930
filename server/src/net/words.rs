//! Four-letter words: what an operator or a monitor asks a member, without a session.

use std::sync::atomic::Ordering;

use conclave_protocol::frame::Word;

use super::report;
use crate::{
    admin::{self, Effect},
    driver::Handle,
    lane::Connection,
};

/// Answers a word that came on `asker`, with the mask that came behind it, and does what it asks.
/// May take a while: it looks at every connection, watch or file that it tells of.
pub(super) fn answer(word: Word, mask: Option<u64>, handle: &Handle, asker: &Connection) -> String {
    let report = report::report(word, mask, handle, asker);
    let answer = admin::answer(word, &report, &handle.facts.whitelist);
    let shared = &handle.shared;
    match answer.effect {
        Some(Effect::ResetConnections) => {
            for entry in &shared.connections {
                entry.value().reset_figures();
            }
        }
        Some(Effect::ResetServer) => {
            shared.metrics.request_ms.reset();
            *shared.figures.proposal_sizes.lock() = None;
            *shared.packets_at_reset.lock() =
                (shared.metrics.packets_received.value(), shared.metrics.packets_sent.value());
        }
        Some(Effect::StoreTraceMask) => {
            shared.trace_mask.store(report.trace_mask, Ordering::Relaxed);
        }
        None => {}
    }
    answer.text
}
