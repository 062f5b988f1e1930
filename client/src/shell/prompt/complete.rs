//! Completion of commands, flags and remote paths.

use std::{ffi::OsString, time::Duration};

use rustyline::completion::{Completer, Pair};
use tokio::runtime::Handle;

use crate::{
    client::Client,
    shell::{
        command,
        family::{child, txn::Transaction},
        render::safe::safe,
        words::{self, Splitter},
    },
};

/// How long a server may take to list what can stand here.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Completes from the table of commands and from the tree.
pub(super) struct Completion {
    pub(super) client: Option<Client>,
    pub(super) runtime: Handle,
    pub(super) is_in_transaction: bool,
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Place { start, before, word } = place(&line[..position]);
        let Some(first) = before.first() else {
            return Ok((start, choose(&self.commands(), &word)));
        };
        let first = first.to_string_lossy();
        let last = before.last().cloned().unwrap_or_default();
        let flags = command::flags(&first, &last);
        let candidates = if flags.wants_value {
            choose(&flags.values, &word)
        } else if word.starts_with('-') {
            choose(&flags.names, &word)
        } else if first == "help" {
            choose(&command::names(), &word)
        } else if word.is_empty() || word.starts_with('/') {
            self.paths(&word)
        } else {
            Vec::new()
        };
        Ok((start, candidates))
    }
}

impl Completion {
    fn commands(&self) -> Vec<String> {
        match self.is_in_transaction {
            true => Transaction::NAMES.map(str::to_owned).to_vec(),
            false => command::names(),
        }
    }

    /// Lists children whose names go on from what is typed; behind the only one comes a slash where it
    /// has children itself, and a space where not.
    fn paths(&self, word: &str) -> Vec<Pair> {
        let Some(client) = &self.client else { return Vec::new() };
        let (parent, prefix) = word.rsplit_once('/').unwrap_or(("", ""));
        let path = if parent.is_empty() { "/" } else { parent };
        let listed = self.runtime.block_on(async {
            tokio::time::timeout(TIMEOUT, client.get_children(path)).await.ok()?.ok()
        });
        let Some((names, _)) = listed else { return Vec::new() };
        let names: Vec<_> = names.iter().filter(|name| name.starts_with(prefix)).collect();
        if let [name] = names[..] {
            let path = child(path, name);
            let found = self.runtime.block_on(async {
                tokio::time::timeout(TIMEOUT, client.exists(&path)).await.ok()?.ok()?
            });
            let end = match found {
                Some(stat) if stat.num_children > 0 => "/",
                _ => " ",
            };
            let replacement = words::quote(&path) + end;
            return vec![Pair { display: safe(name).into_owned(), replacement }];
        }
        let pair = |name: &&String| Pair {
            display: safe(name).into_owned(),
            replacement: words::quote(&child(path, name)),
        };
        names.iter().map(pair).collect()
    }
}

/// Returns those that go on from what is typed.
fn choose(names: &[String], typed: &str) -> Vec<Pair> {
    let matching: Vec<_> = names.iter().filter(|name| name.starts_with(typed)).collect();
    let end = if matching.len() == 1 { " " } else { "" };
    let pair =
        |name: &&String| Pair { display: (*name).clone(), replacement: format!("{name}{end}") };
    matching.iter().map(pair).collect()
}

/// Where in a command the cursor is.
#[derive(Debug, Eq, PartialEq)]
struct Place {
    /// Where the word begins, in bytes.
    start: usize,
    /// The words before it.
    before: Vec<OsString>,
    /// What of it is typed, without its quotes.
    word: String,
}

/// Finds the word at the end of what is typed so far.
fn place(typed: &str) -> Place {
    let mut splitter = Splitter::default();
    let mut start = 0;
    for (index, byte) in typed.bytes().enumerate() {
        if splitter.feed(&[byte]).is_err() {
            break;
        }
        if splitter.is_between_words() {
            start = index + 1;
        }
    }
    let (before, word) = splitter.into_pending();
    Place { start, before, word: String::from_utf8(word).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(typed: &str) -> (usize, Vec<String>, String) {
        let Place { start, before, word } = place(typed);
        let before = before.into_iter().map(|word| word.into_string().unwrap()).collect();
        (start, before, word)
    }

    #[test]
    fn the_word_at_the_cursor_is_found_through_quotes() {
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(at(""), (0, words(&[]), String::new()));
        assert_eq!(at("ge"), (0, words(&[]), "ge".to_owned()));
        assert_eq!(at("get /a"), (4, words(&["get"]), "/a".to_owned()));
        assert_eq!(at("get '/a b"), (4, words(&["get"]), "/a b".to_owned()));
        assert_eq!(at("get -s "), (7, words(&["get", "-s"]), String::new()));
        assert_eq!(at("ls /; get"), (6, words(&[]), "get".to_owned()));
    }

    #[test]
    fn the_only_name_is_ended_by_a_space() {
        let names = ["get", "getAcl", "ls"].map(str::to_owned);
        assert_eq!(choose(&names, "l")[0].replacement, "ls ");
        assert_eq!(choose(&names, "ge").len(), 2);
    }
}
