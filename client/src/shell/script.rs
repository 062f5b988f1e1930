//! Commands that nobody types: from standard input, or in an argument.

use std::io::BufRead;

use super::{
    error::USAGE,
    interpreter::{Ended, Interpreter},
    printer::remark,
    words::{self, Words, WordsError},
};

/// Bytes of one command at most: a server takes no request that long.
const COMMAND_LEN_BYTES_MAX: usize = 16 << 20;

/// What ends a script early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OnFailure {
    /// The first command that fails.
    Stop,
    /// Nothing: the worst code is the script's.
    GoOn,
}

/// Runs commands in order and returns the exit code.
pub(super) async fn run(
    interpreter: &mut Interpreter,
    commands: impl Iterator<Item = Result<Vec<Words>, String>>,
    on_failure: OnFailure,
) -> u8 {
    let mut worst = 0;
    for commands in commands {
        let commands = match commands {
            Ok(commands) => commands,
            Err(error) => {
                remark(&format!("conclave: {error}"));
                return USAGE;
            }
        };
        for words in commands {
            match interpreter.execute(&words).await {
                Ended::Code(code) => {
                    worst = worst.max(code);
                    if code != 0 && on_failure == OnFailure::Stop {
                        return worst;
                    }
                }
                Ended::Quit | Ended::OutputClosed => return worst,
            }
        }
    }
    if interpreter.is_in_transaction() {
        remark("conclave: a transaction was begun and not committed: nothing of it was done");
        return USAGE;
    }
    worst
}

/// Reads commands, each from one line or, where a quote is open, from several.
pub(super) fn read(mut input: impl BufRead) -> impl Iterator<Item = Result<Vec<Words>, String>> {
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let read = read_commands(&mut input);
        is_over = !matches!(read, Some(Ok(_)));
        read
    })
}

fn read_commands(input: &mut impl BufRead) -> Option<Result<Vec<Words>, String>> {
    let mut text = Vec::new();
    loop {
        let left = (COMMAND_LEN_BYTES_MAX - text.len()) as u64;
        let read = std::io::Read::take(&mut *input, left).read_until(b'\n', &mut text);
        let is_end = match read {
            Ok(count) => count == 0,
            Err(error) => return Some(Err(format!("standard input: {error}"))),
        };
        if text.len() == COMMAND_LEN_BYTES_MAX {
            return Some(Err(format!("a command is longer than {COMMAND_LEN_BYTES_MAX} bytes")));
        }
        if is_end && text.is_empty() {
            return None;
        }
        match words::commands(&text) {
            Ok(commands) => return Some(Ok(commands)),
            Err(WordsError::Quote | WordsError::Backslash) if !is_end => {}
            Err(error) => {
                let head = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
                return Some(Err(format!("{}: {error}", head.trim_end().escape_debug())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Result<Vec<Words>, String>> {
        read(text.as_bytes()).collect()
    }

    #[test]
    fn quotes_go_on_over_lines() {
        let read = all("set /a 'x\ny'\nget /a; ls");
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].as_ref().unwrap()[0][2], "x\ny");
        assert_eq!(read[1].as_ref().unwrap().len(), 2);
    }

    #[test]
    fn what_stays_open_is_told_and_ends_it() {
        let read = all("ls\nget 'open\nls\n");
        assert_eq!(read.len(), 2);
        assert!(read[1].as_ref().unwrap_err().contains("a quote is not closed"));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let read = all(&"x".repeat(COMMAND_LEN_BYTES_MAX + 1));
        assert!(read[0].as_ref().unwrap_err().contains("longer than"));
    }
}
