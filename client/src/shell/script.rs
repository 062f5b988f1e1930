//! Commands that nobody types: from standard input, or in an argument.

use std::io::{BufRead, Read};

use super::{
    error::USAGE,
    interpreter::{Ended, Interpreter},
    printer::remark,
    words::{Splitter, Words},
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
    let mut splitter = Splitter::default();
    let mut left = COMMAND_LEN_BYTES_MAX;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.take(left as u64).read_until(b'\n', &mut line);
        match read {
            Ok(0) if left == COMMAND_LEN_BYTES_MAX => return None,
            Ok(0) => return Some(splitter.finish().map_err(|error| error.to_string())),
            Ok(count) => left -= count,
            Err(error) => return Some(Err(format!("standard input: {error}"))),
        }
        if left == 0 {
            return Some(Err(format!("a command is longer than {COMMAND_LEN_BYTES_MAX} bytes")));
        }
        if let Err(error) = splitter.feed(&line) {
            return Some(Err(error.to_string()));
        }
        if splitter.is_whole() {
            return Some(splitter.finish().map_err(|error| error.to_string()));
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

    /// Goal: a value of many lines takes a time that grows with its length, and no faster.
    #[test]
    fn a_quote_over_many_lines_is_read_once() {
        let value = "x\n".repeat(1 << 20);
        let read = all(&format!("set /a '{value}'\n"));
        assert_eq!(read[0].as_ref().unwrap()[0][2].len(), value.len());
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
