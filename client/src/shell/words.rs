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
    if text.contains(&0) {
        return Err(WordsError::Nul);
    }
    let mut splitter = Splitter::default();
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'#' if splitter.word.is_none() => {
                while bytes.next_if(|next| *next != b'\n').is_some() {}
            }
            b'\\' => match bytes.next().ok_or(WordsError::Backslash)? {
                b'\n' => {}
                next => splitter.push(next),
            },
            b'\'' => splitter.literal(&mut bytes)?,
            b'"' => splitter.quoted(&mut bytes)?,
            b'\n' => splitter.end_command(),
            b';' if splitter.is_separator(bytes.peek().copied()) => splitter.end_command(),
            byte if byte.is_ascii_whitespace() => splitter.end_word(),
            byte => splitter.push(byte),
        }
    }
    splitter.end_command();
    Ok(splitter.commands)
}

/// What has been read so far.
#[derive(Default)]
struct Splitter {
    commands: Vec<Words>,
    words: Words,
    word: Option<Vec<u8>>,
}

impl Splitter {
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

    /// `server.4=host:1:2;3`, which people write behind `reconfig` without quotes, is one word.
    fn is_separator(&self, next: Option<u8>) -> bool {
        let is_reconfig = self.words.first().is_some_and(|first| first == "reconfig");
        let is_inside =
            self.word.is_some() && next.is_some_and(|next| next.is_ascii_alphanumeric());
        !(is_reconfig && is_inside)
    }

    fn literal(&mut self, bytes: &mut impl Iterator<Item = u8>) -> Result<(), WordsError> {
        let word = self.word.get_or_insert_default();
        loop {
            match bytes.next().ok_or(WordsError::Quote)? {
                b'\'' => return Ok(()),
                byte => word.push(byte),
            }
        }
    }

    fn quoted(&mut self, bytes: &mut impl Iterator<Item = u8>) -> Result<(), WordsError> {
        let word = self.word.get_or_insert_default();
        loop {
            match bytes.next().ok_or(WordsError::Quote)? {
                b'"' => return Ok(()),
                b'\\' => match bytes.next().ok_or(WordsError::Quote)? {
                    b'\n' => {}
                    escaped @ (b'$' | b'`' | b'"' | b'\\') => word.push(escaped),
                    other => word.extend([b'\\', other]),
                },
                byte => word.push(byte),
            }
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
