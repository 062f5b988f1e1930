//! Text that comes from elsewhere, made harmless: a name or a value must not move the cursor, change
//! the terminal's state, or make its line read differently from what it is.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns a name in one line, with every character that a terminal would act on escaped.
pub(in crate::shell) fn safe(name: &str) -> Cow<'_, str> {
    escape(name, |_| false)
}

/// Returns a value, whose lines and tabs stay.
pub(in crate::shell) fn safe_lines(value: &str) -> Cow<'_, str> {
    escape(value, |c| matches!(c, '\n' | '\t'))
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_harmful = |c: char| is_acted_on(c) && !stays(c);
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if !is_harmful(c) {
            escaped.push(c);
            continue;
        }
        let code = u32::from(c);
        let written = match code {
            0..=0xff => write!(escaped, "\\x{code:02x}"),
            _ => write!(escaped, "\\u{{{code:x}}}"),
        };
        written.expect("writing to memory cannot fail");
    }
    Cow::Owned(escaped)
}

/// Controls of both sets, separators of lines, and what turns the direction of writing or is not seen.
const fn is_acted_on(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        assert_eq!(safe("/a\x1b[2J\n"), "/a\\x1b[2J\\x0a");
        assert_eq!(safe("/\u{9b}31m"), "/\\x9b31m");
        assert_eq!(safe("/a\u{202e}b"), "/a\\u{202e}b");
        assert_eq!(safe_lines("a\n\tb\r\x07"), "a\n\tb\\x0d\\x07");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["/a b", "/gr\u{fc}n", "/\u{4e2d}", ""] {
            assert!(matches!(safe(text), Cow::Borrowed(same) if same == text));
        }
    }
}
