//! A znode's data: as it is, or as a terminal can show it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Style, hexdump::hexdump, pretty, safe::safe_lines};
use crate::shell::outcome::Form;

/// Bytes of a value shown in one line of an event or a tree.
const BRIEF_LEN_BYTES_MAX: usize = 120;

/// Returns the data in a form; all but [`Form::Raw`] end with a line.
pub(super) fn text(data: &[u8], form: Form, style: Style) -> Vec<u8> {
    let line = |text: String| [text.as_bytes(), b"\n"].concat();
    let text = std::str::from_utf8(data);
    match form {
        Form::Raw => data.to_vec(),
        Form::Base64 => line(STANDARD.encode(data)),
        Form::Hex => hexdump(data).into_bytes(),
        Form::Pretty | Form::Plain => match text {
            Ok(text) if form == Form::Pretty || style.is_terminal => {
                let pretty = pretty::json(text, style).or_else(|| pretty::yaml(text, style));
                line(pretty.unwrap_or_else(|| shown(text, style)))
            }
            Err(_) if form == Form::Pretty || style.is_terminal => hexdump(data).into_bytes(),
            _ => [data, b"\n"].concat(),
        },
    }
}

fn shown(text: &str, style: Style) -> String {
    if style.is_terminal { safe_lines(text).into_owned() } else { text.to_owned() }
}

/// Returns the members that tell the data in an object: `data`, or `data_base64` of what is no text.
pub(super) fn json(data: &[u8], form: Form) -> (&'static str, Value) {
    match (std::str::from_utf8(data), form) {
        (Ok(text), Form::Plain | Form::Raw) => ("data", json!(text)),
        (Ok(text), Form::Pretty) => {
            ("data", serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
        }
        (_, Form::Hex) => ("data_hex", json!(hex(data))),
        _ => ("data_base64", json!(STANDARD.encode(data))),
    }
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the data in one line, cut where it is long.
pub(super) fn brief(data: &[u8]) -> String {
    let cut = data.len().min(BRIEF_LEN_BYTES_MAX);
    let head = &data[..cut];
    let more = if cut < data.len() { format!("... ({} bytes)", data.len()) } else { String::new() };
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        // The cut may have gone through a character.
        Err(error) if error.error_len().is_none() && cut < data.len() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    match text {
        Some(text) => format!("{}{more}", super::safe::safe(text)),
        None => format!("<{} bytes, binary>", data.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Style = Style { is_terminal: false, has_colours: false };
    const TERMINAL: Style = Style { is_terminal: true, has_colours: false };

    #[test]
    fn a_pipe_gets_the_bytes_and_a_terminal_what_it_can_show() {
        for (data, pipe, terminal) in [
            (&b"a\x1b[2J"[..], &b"a\x1b[2J\n"[..], &b"a\\x1b[2J\n"[..]),
            (b"[1]", b"[1]\n", b"[\n  1\n]\n"),
            (b"k: 1\nl: 2", b"k: 1\nl: 2\n", b"k: 1\nl: 2\n"),
        ] {
            assert_eq!(text(data, Form::Plain, PIPE), pipe);
            assert_eq!(text(data, Form::Plain, TERMINAL), terminal);
            assert_eq!(text(data, Form::Raw, PIPE), data);
        }
        assert_eq!(text(b"\xff\x00", Form::Plain, PIPE), b"\xff\x00\n");
        assert!(text(b"\xff\x00", Form::Plain, TERMINAL).starts_with(b"00000000  ff 00"));
        assert_eq!(text(b"ab", Form::Base64, PIPE), b"YWI=\n");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = "\u{fc}".repeat(100);
        assert!(brief(long.as_bytes()).ends_with("\u{fc}... (200 bytes)"));
        assert_eq!(brief(b"\xff\xfe"), "<2 bytes, binary>");
        assert_eq!(brief(b"a\nb"), "a\\x0ab");
    }
}
