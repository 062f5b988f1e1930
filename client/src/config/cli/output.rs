//! Printing, and asking.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use serde_json::Value;

use super::super::error::ConfigError;

/// Prints in the way that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    /// Whether for programs.
    pub(super) is_json: bool,
}

impl Printer {
    /// Prints a text for people, or a value for programs.
    pub(super) fn print(&self, text: &str, value: impl FnOnce() -> Value) {
        if self.is_json {
            let json = serde_json::to_string_pretty(&value()).expect("it is plain data");
            self.bytes(format!("{json}\n").as_bytes());
        } else {
            self.bytes(text.as_bytes());
        }
    }

    /// Prints bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) {
        // A reader that has gone wants no more.
        drop(std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush()));
    }

    /// Says something that is not the result.
    pub(super) fn say(&self, text: &str) {
        eprintln!("conclave: {text}");
    }
}

/// Asks on the terminal; without one the answer is that `--yes` is needed.
pub(super) fn confirm(question: &str) -> Result<(), ConfigError> {
    let refused = |text: &str| Err(ConfigError::Unconfirmed(text.to_owned()));
    if !std::io::stdin().is_terminal() {
        return refused("not confirmed: there is no terminal to ask; --yes goes ahead");
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => refused("not confirmed; nothing was changed"),
    }
}

/// Returns a time as text, to the millisecond, in UTC.
pub(super) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}
