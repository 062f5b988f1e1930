//! Four-letter words as values: a report of the member goes in, the answer's text comes out, in the
//! form that tools written for ZooKeeper parse. The recordings in `protocol/testdata/transcripts`
//! say what that form is.

mod dump;
mod monitor;
mod report;
mod server;
mod watch;
mod whitelist;

#[cfg(test)]
mod tests;

use conclave_protocol::frame::Word;

pub use self::{
    report::{
        Activity, ConnectionReport, LatencyMs, LeaderReport, MemberReport, Mode, ProposalSizes,
        SessionReport, WatchReport,
    },
    whitelist::Whitelist,
};

/// What a word is answered, and what the caller has to do besides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What goes to the client before the connection is closed.
    pub text: String,
    /// What the word changes, once it was allowed and the member serves.
    pub effect: Option<Effect>,
}

/// What a word changes in a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// `crst`: the figures of every connection begin anew.
    ResetConnections,
    /// `srst`: packets, latencies and proposal sizes of the member begin anew.
    ResetServer,
    /// `stmk`: the mask that `gtmk` tells becomes the one in the report.
    StoreTraceMask,
}

/// Answers a word from what `report` says.
pub fn answer(word: Word, report: &MemberReport, whitelist: &Whitelist) -> Answer {
    if !whitelist.allows(word) {
        let letters = word.letters();
        let text = format!("{letters} is not executed because it is not in the whitelist.\n");
        return Answer { text, effect: None };
    }
    if needs_service(word) && !report.mode.is_serving() {
        let text = "This ZooKeeper instance is not currently serving requests\n".to_owned();
        return Answer { text, effect: None };
    }
    let effect = match word {
        Word::Crst => Some(Effect::ResetConnections),
        Word::Srst => Some(Effect::ResetServer),
        Word::Stmk => Some(Effect::StoreTraceMask),
        _ => None,
    };
    Answer { text: text(word, report), effect }
}

/// Words about the process are answered always, those about what it serves only while it does.
const fn needs_service(word: Word) -> bool {
    !matches!(word, Word::Ruok | Word::Isro | Word::Envi | Word::Gtmk | Word::Stmk | Word::Lead)
}

fn text(word: Word, report: &MemberReport) -> String {
    match word {
        Word::Ruok => "imok".to_owned(),
        Word::Isro => report.mode.service().to_owned(),
        Word::Srvr => server::srvr(report),
        Word::Stat => server::stat(report),
        Word::Cons => server::cons(report),
        Word::Conf => report.conf.clone(),
        Word::Mntr => monitor::mntr(report),
        Word::Wchs => watch::wchs(report),
        Word::Wchc => watch::wchc(report),
        Word::Wchp => watch::wchp(report),
        Word::Dump => dump::dump(report),
        Word::Envi => dump::envi(report),
        Word::Dirs => dump::dirs(report),
        Word::Gtmk | Word::Stmk => report.trace_mask.to_string(),
        Word::Crst => "Connection stats reset.\n".to_owned(),
        Word::Srst => "Server stats reset.\n".to_owned(),
        // The recorded server knows these two and says nothing.
        Word::Hash | Word::Lead => String::new(),
    }
}
