//! A recording as data: its lines, their bytes, and which of those differ from run to run.

use serde_json::Value;

/// What a recording is made of.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The name of its file.
    pub(crate) name: String,
    /// What it says of the server: its settings and how many there are.
    pub(crate) meta: Value,
    /// All lines behind the first, in the order in which we are asked to send them.
    pub(crate) lines: Vec<Line>,
}

/// A step of a recording.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its place in the file, from 1.
    pub(crate) number: usize,
    /// What it says.
    pub(crate) value: Value,
}

/// A part of a frame that is not compared byte by byte.
#[derive(Debug)]
pub(crate) struct Mask {
    /// Where it begins, from the length prefix on.
    pub(crate) offset: usize,
    /// How long it is, in the recording.
    pub(crate) len: usize,
    /// What is there.
    pub(crate) kind: String,
    /// The connection it is from, in what a client sends.
    pub(crate) of: u64,
}

impl Recording {
    /// Parses the text of a file.
    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let mut values = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let meta = values.next().unwrap();
        let lines = (2..).zip(values).map(|(number, value)| Line { number, value }).collect();
        Self { name: name.to_owned(), meta, lines: in_our_order(lines) }
    }

    /// Returns how many servers there are.
    pub(crate) fn server_count(&self) -> u8 {
        if self.meta["mode"] == "ensemble" { 3 } else { 1 }
    }

    /// Returns the servers' settings, as lines of a configuration file.
    pub(crate) fn settings(&self) -> String {
        let settings = [&self.meta["config"], &self.meta["flags"]];
        let all = settings.into_iter().filter_map(Value::as_object).flatten();
        // One that is null was not set.
        all.filter_map(|(key, value)| Some(format!("{key}={}\n", value.as_str()?))).collect()
    }
}

impl Line {
    /// Returns a text field; empty when there is none.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or("")
    }

    /// Returns a number; 0 when there is none.
    pub(crate) fn number_of(&self, field: &str) -> u64 {
        self.value[field].as_u64().unwrap_or(0)
    }

    /// Returns the bytes that went over the wire; `None` for text, and for what is no frame.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = from_hex(self.value["hex"].as_str()?);
        if let Some(fill) = self.value.get("fill") {
            let byte = from_hex(fill["byte"].as_str().unwrap())[0];
            let count = fill["count"].as_u64().unwrap() as usize;
            bytes.extend(std::iter::repeat_n(byte, count));
        }
        Some(bytes)
    }

    /// Returns what is not compared byte by byte.
    pub(crate) fn masks(&self) -> Vec<Mask> {
        let masks = self.value["masks"].as_array().cloned().unwrap_or_default();
        let number = |mask: &Value, index: usize| mask[index].as_u64().unwrap_or(0);
        masks
            .iter()
            .map(|mask| Mask {
                offset: number(mask, 0) as usize,
                len: number(mask, 1) as usize,
                kind: mask[2].as_str().unwrap().to_owned(),
                of: number(mask, 3),
            })
            .collect()
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Frames of a group may come in any order; ours is by path, so the recorded ones are put in it.
fn in_our_order(mut lines: Vec<Line>) -> Vec<Line> {
    let group_of = |line: &Line| line.value["any_order"].clone();
    let is_group = |a: &Line, b: &Line| !group_of(a).is_null() && group_of(a) == group_of(b);
    for group in lines.chunk_by_mut(is_group) {
        if group_of(&group[0]).is_null() {
            continue;
        }
        // A deletion and its parent's change stay together.
        let is_deletion = |line: &Line| line.bytes().is_some_and(|frame| frame[23] == 2);
        let mut pairs: Vec<Vec<Line>> =
            group.chunk_by(|_, next| !is_deletion(next)).map(<[Line]>::to_vec).collect();
        pairs.sort_by_key(|pair| pair[0].bytes().map(|frame| frame[32..].to_vec()));
        group.clone_from_slice(&pairs.concat());
    }
    lines
}
