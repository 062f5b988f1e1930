//! The syntax of a Java properties file, as far as `zoo.cfg` uses it: `key=value`, `key: value` or
//! `key value`, comments with `#` or `!`, a backslash at the end of a line to go on.

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
    let end = line.find(|c: char| c == '=' || c == ':' || c.is_whitespace()).unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key.to_owned(), value.trim().to_owned())
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
    fn a_file_that_ends_in_a_backslash_ends() {
        assert_eq!(pairs("a=1\\"), [pair("a", "1")]);
    }
}
