//! A line of words: separated by space, quoted with '...' or "...", a backslash takes the next
//! character as it is, `#` begins a comment.

use thiserror::Error;

/// Why a line is no words.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(super) enum ParseError {
    /// A quote is not closed.
    #[error("a quote is not closed")]
    Quote,
    /// The line ends with a backslash.
    #[error("nothing behind the last backslash")]
    Backslash,
}

/// Splits a line into words.
pub(super) fn words(line: &str) -> Result<Vec<String>, ParseError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => break,
            '\\' => {
                let next = chars.next().ok_or(ParseError::Backslash)?;
                word.get_or_insert_default().push(next);
            }
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                quoted(&mut chars, c, word)?;
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(
    chars: &mut std::str::Chars<'_>,
    quote: char,
    word: &mut String,
) -> Result<(), ParseError> {
    loop {
        match chars.next().ok_or(ParseError::Quote)? {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => word.push(chars.next().ok_or(ParseError::Quote)?),
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_quotes_keep_them_together() {
        assert_eq!(words("set /a  'x y' # no").unwrap(), ["set", "/a", "x y"]);
        assert_eq!(words(r#"set /a "x \"y\"" z\ w"#).unwrap(), ["set", "/a", "x \"y\"", "z w"]);
        assert_eq!(words("set /a ''").unwrap(), ["set", "/a", ""]);
        assert_eq!(words("  # only a comment").unwrap(), [""; 0]);
        assert_eq!(words("a#b").unwrap(), ["a#b"]);
    }

    #[test]
    fn open_quotes_are_refused() {
        assert_eq!(words("'a"), Err(ParseError::Quote));
        assert_eq!(words("a\\"), Err(ParseError::Backslash));
    }
}
