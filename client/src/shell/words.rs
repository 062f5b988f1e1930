//! Lines become commands by the rules of a POSIX shell: words are separated by space, commands by
//! `;` or a new line; `'...'` is literal, in `"..."` a backslash escapes ``$ ` " \`` and nothing else,
//! elsewhere whatever follows it; `#` begins a comment. Nothing is expanded.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use thiserror::Error;

/// Why a text is no commands.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(super) enum WordsError {
    /// More is to come: a quote is not closed.
    #[error("a quote is not closed")]
    Quote,
    /// More is to come: the text ends with a backslash.
    #[error("nothing behind the last backslash")]
    Backslash,
    /// A command cannot have a NUL byte.
    #[error("a NUL byte")]
    Nul,
}

/// The words of one command; never empty.
pub(super) type Words = Vec<OsString>;

/// Splits a text into commands.
pub(super) fn commands(text: &[u8]) -> Result<Vec<Words>, WordsError> {
    let mut splitter = Splitter::default();
    splitter.feed(text)?;
    splitter.finish()
}

/// Splits what comes piece by piece.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    commands: Vec<Words>,
    words: Words,
    word: Option<Vec<u8>>,
    state: State,
}

/// What the byte before has led into.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Plain,
    Comment,
    /// Behind a backslash.
    Escaped,
    /// Within `'...'`.
    Literal,
    /// Within `"..."`.
    Quoted,
    /// Within `"..."`, behind a backslash.
    QuotedEscaped,
    /// Behind a `;`, whose meaning the next byte tells.
    Semicolon,
}

impl Splitter {
    /// Takes more of the text.
    pub(super) fn feed(&mut self, text: &[u8]) -> Result<(), WordsError> {
        if text.contains(&0) {
            return Err(WordsError::Nul);
        }
        text.iter().for_each(|byte| self.step(*byte));
        Ok(())
    }

    /// Returns whether all that came belongs to commands that are complete.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Plain && self.word.is_none() && self.words.is_empty()
    }

    /// Returns whether another word would begin here.
    pub(super) fn is_between_words(&self) -> bool {
        self.state == State::Semicolon || self.state == State::Plain && self.word.is_none()
    }

    /// Returns the words of the command that is not complete, and how far its last one is.
    pub(super) fn into_pending(self) -> (Words, Vec<u8>) {
        match self.state {
            State::Semicolon => Default::default(),
            _ => (self.words, self.word.unwrap_or_default()),
        }
    }

    /// Returns the commands.
    pub(super) fn finish(mut self) -> Result<Vec<Words>, WordsError> {
        match self.state {
            State::Literal | State::Quoted | State::QuotedEscaped => Err(WordsError::Quote),
            State::Escaped => Err(WordsError::Backslash),
            State::Plain | State::Comment | State::Semicolon => {
                self.end_command();
                Ok(self.commands)
            }
        }
    }

    fn step(&mut self, byte: u8) {
        match (self.state, byte) {
            (State::Comment, b'\n') => self.step_plain(byte),
            (State::Comment, _) => {}
            (State::Literal, b'\'') | (State::Quoted, b'"') => self.state = State::Plain,
            (State::Quoted, b'\\') => self.state = State::QuotedEscaped,
            (State::Literal | State::Quoted, _) => self.push(byte),
            (State::Escaped, _) => {
                self.state = State::Plain;
                if byte != b'\n' {
                    self.push(byte);
                }
            }
            (State::QuotedEscaped, _) => {
                self.state = State::Quoted;
                match byte {
                    b'\n' => {}
                    b'$' | b'`' | b'"' | b'\\' => self.push(byte),
                    _ => self.word.get_or_insert_default().extend([b'\\', byte]),
                }
            }
            (State::Semicolon, _) if self.is_within_reconfig(byte) => {
                self.push(b';');
                self.step_plain(byte);
            }
            (State::Semicolon, _) => {
                self.end_command();
                self.step_plain(byte);
            }
            (State::Plain, _) => self.step_plain(byte),
        }
    }

    fn step_plain(&mut self, byte: u8) {
        self.state = State::Plain;
        match byte {
            b'#' if self.word.is_none() => self.state = State::Comment,
            b'\\' => self.state = State::Escaped,
            b'\'' | b'"' => {
                self.word.get_or_insert_default();
                self.state = if byte == b'"' { State::Quoted } else { State::Literal };
            }
            b';' => self.state = State::Semicolon,
            b'\n' => self.end_command(),
            byte if byte.is_ascii_whitespace() => self.end_word(),
            byte => self.push(byte),
        }
    }

    /// `server.4=host:1:2;3`, which people write behind `reconfig` without quotes, is one word.
    fn is_within_reconfig(&self, next: u8) -> bool {
        let is_reconfig = self.words.first().is_some_and(|first| first == "reconfig");
        is_reconfig && self.word.is_some() && next.is_ascii_alphanumeric()
    }

    fn push(&mut self, byte: u8) {
        self.word.get_or_insert_default().push(byte);
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take().map(OsString::from_vec));
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.commands.push(std::mem::take(&mut self.words));
        }
    }
}

/// Writes a word so that it is read as one.
pub(super) fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/_-.,:=@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Vec<String>> {
        let commands = commands(text.as_bytes()).unwrap();
        let string = |word: OsString| word.into_string().unwrap();
        commands.into_iter().map(|words| words.into_iter().map(string).collect()).collect()
    }

    #[test]
    fn words_are_split_and_quotes_keep_them_together() {
        assert_eq!(read("set /a  'x y' # no"), [["set", "/a", "x y"]]);
        assert_eq!(read(r#"set /a "x \"y\" \n" z\ w"#), [["set", "/a", r#"x "y" \n"#, "z w"]]);
        assert_eq!(read("set /a ''"), [["set", "/a", ""]]);
        assert_eq!(read("  # only a comment"), [[""; 0]; 0]);
        assert_eq!(read("a#b"), [["a#b"]]);
        assert_eq!(read("set /a 'x\ny'"), [["set", "/a", "x\ny"]]);
        assert_eq!(read("set /a \\\n x"), [["set", "/a", "x"]]);
    }

    #[test]
    fn commands_are_split_by_semicolons_and_lines() {
        assert_eq!(
            read("ls /; get /a;stat /b\nls"),
            [vec!["ls", "/"], vec!["get", "/a"], vec!["stat", "/b"], vec!["ls"]]
        );
        assert_eq!(read("set /a 'x;y'; ;"), [["set", "/a", "x;y"]]);
        assert_eq!(
            read("reconfig -add server.4=h:1:2:participant;3; ls"),
            [vec!["reconfig", "-add", "server.4=h:1:2:participant;3"], vec!["ls"]]
        );
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let read = commands(b"set /a '\xff\x01'").unwrap();
        assert_eq!(read[0][2], OsString::from_vec(vec![0xff, 1]));
    }

    #[test]
    fn open_quotes_ask_for_more() {
        assert_eq!(commands(b"'a"), Err(WordsError::Quote));
        assert_eq!(commands(b"\"a\\"), Err(WordsError::Quote));
        assert_eq!(commands(b"a\\"), Err(WordsError::Backslash));
        assert_eq!(commands(b"a\0"), Err(WordsError::Nul));
    }

    #[test]
    fn a_quoted_word_is_read_as_it_was() {
        for word in ["", "a b", "it's", "/a/b", "$x;y", "a\nb"] {
            assert_eq!(read(&quote(word)), [[word]]);
        }
    }
}
