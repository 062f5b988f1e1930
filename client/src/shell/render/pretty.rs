//! JSON in lines, with every number, key and escape as it was written; YAML, which is in lines already, with
//! its keys and comments set off.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    Paint, Style,
    safe::{safe, safe_lines},
};

/// Returns a text of JSON, an object or a list, in indented lines; `None` when it is none.
pub(super) fn json(text: &str, style: Style) -> Option<String> {
    let trimmed = text.trim();
    let is_nested = trimmed.starts_with(['{', '[']);
    if !is_nested || serde_json::from_str::<serde_json::Value>(trimmed).is_err() {
        return None;
    }
    let mut printer = Printer { out: String::with_capacity(2 * trimmed.len()), depth: 0, style };
    let mut rest = trimmed;
    while !rest.is_empty() {
        rest = printer.token(rest);
    }
    Some(printer.out)
}

/// A line of YAML: what stands before the key, the key, and what is behind the colon.
static YAML_ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    let entry = r#"^(\s*(?:- +)*)([A-Za-z0-9_./"'-]+)(:(?: .*)?)$"#;
    Regex::new(entry).expect("the pattern is a valid one")
});

/// Returns a text of YAML, a mapping or a list of them, with colours; `None` when it looks like none.
pub(super) fn yaml(text: &str, style: Style) -> Option<String> {
    let is_content = |line: &&str| !line.trim().is_empty() && !line.starts_with(['#', '-']);
    let mut top = text.lines().filter(is_content).filter(|line| !line.starts_with(' ')).peekable();
    top.peek()?;
    if !top.all(|line| YAML_ENTRY.is_match(line)) {
        return None;
    }
    let line = |line: &str| match YAML_ENTRY.captures(line) {
        _ if line.trim_start().starts_with('#') => style.paint(Paint::Faint, &safe_lines(line)),
        Some(parts) => {
            let key = style.paint(Paint::Key, &parts[2]);
            format!("{}{key}{}", &parts[1], safe_lines(&parts[3]))
        }
        None => safe_lines(line).into_owned(),
    };
    Some(text.lines().map(line).collect::<Vec<_>>().join("\n"))
}

struct Printer {
    out: String,
    depth: usize,
    style: Style,
}

impl Printer {
    /// Prints the first token of a valid text and returns what is behind it.
    fn token<'a>(&mut self, text: &'a str) -> &'a str {
        let (first, behind) = (text.as_bytes()[0], &text[1..]);
        match first {
            b'{' | b'[' => {
                let close = if first == b'{' { '}' } else { ']' };
                self.out.push(char::from(first));
                if let Some(behind) = behind.trim_start().strip_prefix(close) {
                    self.out.push(close);
                    return behind;
                }
                self.depth += 1;
                self.new_line();
            }
            b'}' | b']' => {
                self.depth -= 1;
                self.new_line();
                self.out.push(char::from(first));
            }
            b',' => {
                self.out.push(',');
                self.new_line();
            }
            b':' => self.out.push_str(": "),
            b'"' => {
                let (string, behind) = text.split_at(string_len(text));
                let is_key = behind.trim_start().starts_with(':');
                let paint = if is_key { Paint::Key } else { Paint::Good };
                self.out.push_str(&self.style.paint(paint, &safe(string)));
                return behind;
            }
            b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => {
                let end = text.find([',', '}', ']', ' ', '\n', '\r', '\t']).unwrap_or(text.len());
                self.out.push_str(&text[..end]);
                return &text[end..];
            }
        }
        behind
    }

    fn new_line(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }
}

/// Returns the length of the string that a valid text begins with, both quotes included.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { is_terminal: false, has_colours: false };

    #[test]
    fn numbers_keys_and_escapes_stay_as_they_were() {
        let text = r#"{"b":1.0e400,"a":[ ],"b":{"x":"\"{,}\\"},"n":12345678901234567890123}"#;
        assert_eq!(json(text, STYLE), None, "no number of JSON that a double could hold");
        let text = r#"{"b":1.10,"a":[ ],"b":{"x":"\"{,}\\"}, "l":[1,true, null]}"#;
        let lines = "{\n  \"b\": 1.10,\n  \"a\": [],\n  \"b\": {\n    \"x\": \"\\\"{,}\\\\\"\n  },\n  \
                     \"l\": [\n    1,\n    true,\n    null\n  ]\n}";
        assert_eq!(json(text, STYLE).unwrap(), lines);
    }

    #[test]
    fn keys_and_comments_of_yaml_are_set_off() {
        let style = Style { is_terminal: true, has_colours: true };
        let text = "# a\nkey: 1\nlist:\n  - x: \x1b\n    text";
        let painted = "\x1b[2m# a\x1b[0m\n\x1b[36mkey\x1b[0m: 1\n\x1b[36mlist\x1b[0m:\n  \
                       - \x1b[36mx\x1b[0m: \\x1b\n    text";
        assert_eq!(yaml(text, style).unwrap(), painted);
        for text in ["", "# only this", "a sentence: of words", "key: 1\nno key", "http://x"] {
            assert_eq!(yaml(text, style), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_left_alone() {
        for text in ["", "a", "{", "12", "\"a\"", "[1,]", "{} {}"] {
            assert_eq!(json(text, STYLE), None, "{text}");
        }
    }
}
