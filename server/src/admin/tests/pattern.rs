//! The patterns of the recordings, as far as they go: text, escaped characters, and four classes.

use serde_json::Value;

/// Compares our answer to a four-letter word with the recorded one, in the way the recording says.
pub(super) fn compare(word: &str, recorded: &Value, ours: &str) -> Result<(), String> {
    let differs = |what: &str| Err(format!("{what}\n  ours     {ours:?}\n  recorded {recorded}"));
    if let Some(pattern) = recorded["pattern"].as_str() {
        let is_same = match recorded["lines_any_order"] == true {
            true => matches_in_any_order(pattern, ours),
            false => matches(pattern, ours),
        };
        return if is_same { Ok(()) } else { differs("another form") };
    }
    let lines: Vec<&str> = ours.lines().collect();
    if let Some(contained) = recorded["contains"].as_array() {
        let missing = contained.iter().find(|line| !lines.contains(&line.as_str().unwrap()));
        return missing.map_or(Ok(()), |line| differs(&format!("no line {line}")));
    }
    let separator = if word == "envi" { '=' } else { '\t' };
    for key in recorded["keys"].as_array().expect("an answer says how it is compared") {
        let key = key.as_str().unwrap();
        // There is no Java in this process, and its user is nobody's business.
        let is_ours = word != "envi" || key == "zookeeper.version" || key == "os.name";
        let start = format!("{key}{separator}");
        if is_ours && !lines.iter().any(|line| line.starts_with(&start)) {
            return differs(&format!("no {key}"));
        }
    }
    Ok(())
}

/// Returns whether the whole of `text` has the form of `pattern`.
fn matches(pattern: &str, text: &str) -> bool {
    rest_matches(pattern, text)
}

/// Lines of a pattern and of a text paired in any order, none left over.
fn matches_in_any_order(pattern: &str, text: &str) -> bool {
    let mut lines: Vec<&str> = text.split('\n').collect();
    pattern.split('\n').all(|pattern| {
        let found = lines.iter().position(|line| matches(pattern, line));
        found.map(|index| lines.swap_remove(index)).is_some()
    }) && lines.is_empty()
}

/// No class can end in more than one way where the recordings use it, except the number, whose
/// decimals may belong to what follows (as in addresses): both are tried.
fn rest_matches(pattern: &str, text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    if let Some(pattern) = pattern.strip_prefix(r"\d+(\.\d+)?") {
        let whole = digits(text);
        let decimals = text[whole..].strip_prefix('.').map_or(0, digits);
        let with_decimals = decimals > 0 && rest_matches(pattern, &text[whole + 1 + decimals..]);
        return whole > 0 && (with_decimals || rest_matches(pattern, &text[whole..]));
    }
    if let Some(pattern) = pattern.strip_prefix(".*") {
        let end = text.find('\n').unwrap_or(text.len());
        return rest_matches(pattern, &text[end..]);
    }
    for (class, is_in) in CLASSES {
        if let Some(pattern) = pattern.strip_prefix(class) {
            let end = text.find(|c| !is_in(c)).unwrap_or(text.len());
            return end > 0 && rest_matches(pattern, &text[end..]);
        }
    }
    let plain = pattern.strip_prefix('\\').unwrap_or(pattern);
    match (plain.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some(expected), Some(found)) if expected == found => {
            rest_matches(&plain[expected.len_utf8()..], &text[found.len_utf8()..])
        }
        _ => false,
    }
}

/// A class as the recordings write it, and what is in it.
type Class = (&'static str, fn(char) -> bool);

const CLASSES: [Class; 2] = [
    ("[0-9a-f]+", |c| matches!(c, '0'..='9' | 'a'..='f')),
    (r"\w+", |c| c.is_alphanumeric() || c == '_'),
];

#[test]
fn a_pattern_takes_what_it_describes_and_nothing_else() {
    for (pattern, text) in [
        (r"a: \d+(\.\d+)?\(", "a: 1.5("),
        (r"/\d+(\.\d+)?\.\d+(\.\d+)?:\d+(\.\d+)?", "/127.0.0.1:80"),
        (r"\d+(\.\d+)?\.", "1."),
        ("v: .*\nm", "v: x y\nm"),
        (r"0x[0-9a-f]+,\w+\)", "0x1f,GETD)"),
        ("", ""),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
        assert!(!matches(pattern, &format!("{text}!")), "{pattern} {text}!");
    }
    for (pattern, text) in [(r"\d+(\.\d+)?", ""), (r"\d+(\.\d+)?", "-1"), ("[0-9a-f]+", "g")] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
    assert!(matches_in_any_order("a\nb\n", "b\na\n"));
    assert!(!matches_in_any_order("a\nb\n", "a\na\n"));
}
