//! The syntax of a Java properties file, as far as `zoo.cfg` uses it: `key=value`, `key: value` or
//! `key value`, comments with `#` or `!`, a backslash at the end of a line to go on, and before a
//! character that would mean something: programs that write such files put one before every colon.

/// One setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Property {
    /// Line on which it begins, from 1.
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// Reads all settings, in order.
pub(super) fn parse(text: &str) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while ends_open(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, more)) => logical.push_str(more.trim_start()),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        properties.push(Property { line: index + 1, key, value });
    }
    properties
}

/// Returns whether a line ends with an odd number of backslashes.
fn ends_open(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (String, String) {
    let mut is_escaped = false;
    let ends_key = |c: char| {
        let ends = !is_escaped && (c == '=' || c == ':' || c.is_whitespace());
        is_escaped = c == '\\' && !is_escaped;
        ends
    };
    let (key, rest) = line.split_at(line.find(ends_key).unwrap_or(line.len()));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescape(key), unescape(value).trim().to_owned())
}

/// Takes the backslashes out. A code that is none becomes U+FFFD, which no key holds.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(match c {
            '\\' => chars.next().map(|escaped| match escaped {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'f' => '\u{c}',
                'u' => {
                    let code: String = chars.by_ref().take(4).collect();
                    u32::from_str_radix(&code, 16)
                        .ok()
                        .and_then(char::from_u32)
                        .unwrap_or('\u{fffd}')
                }
                plain => plain,
            }),
            plain => Some(plain),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).into_iter().map(|property| (property.key, property.value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn every_way_to_write_a_setting_is_read() {
        let text = "a=1\n  b : 2\nc 3\n# no\n! no\n\nd=x=y\ne=\nf=one\\\n   two\r\n";
        let expected = [
            pair("a", "1"),
            pair("b", "2"),
            pair("c", "3"),
            pair("d", "x=y"),
            pair("e", ""),
            pair("f", "onetwo"),
        ];
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn server_lines_keep_their_colons() {
        assert_eq!(
            pairs("server.1=[::1]:2888:3888;2181"),
            [pair("server.1", "[::1]:2888:3888;2181")]
        );
    }

    #[test]
    fn a_backslash_takes_the_meaning_from_what_follows() {
        let text =
            "server.1=a\\:1\\:2\\:observer;0.0.0.0\\:5\na\\:b\\ c=d\\\\e\nf=\\u0041\\tb\\uzzzz\n";
        let expected = [
            pair("server.1", "a:1:2:observer;0.0.0.0:5"),
            pair("a:b c", "d\\e"),
            pair("f", "A\tb\u{fffd}"),
        ];
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn a_file_that_ends_in_a_backslash_ends() {
        assert_eq!(pairs("a=1\\"), [pair("a", "1")]);
    }
}
