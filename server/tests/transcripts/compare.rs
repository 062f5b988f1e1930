//! Whether one of our frames says what the recorded one said.

use std::collections::BTreeMap;

use super::recording::{Line, Mask};

/// What the recorded server's numbers are here.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Zxids in stats: recorded, and ours. They keep their order.
    zxids: BTreeMap<i64, i64>,
    /// Sessions: recorded, and ours.
    sessions: BTreeMap<i64, i64>,
    /// Zxids in headers, by connection: recorded, and ours.
    positions: BTreeMap<u64, Vec<(i64, i64)>>,
}

impl Known {
    /// Compares a frame with the recorded one and learns the numbers in it.
    pub(crate) fn frame(
        &mut self,
        line: &Line,
        connection: u64,
        ours: &[u8],
    ) -> Result<(), String> {
        let golden = line.bytes().unwrap();
        let masks = line.masks();
        if ours.len() != golden.len() {
            return Err(format!("{} bytes in place of {}", ours.len(), golden.len()));
        }
        let mut is_masked = vec![false; golden.len()];
        for Mask { offset, len, .. } in &masks {
            is_masked[*offset..offset + len].fill(true);
        }
        if let Some(at) = (0..golden.len()).find(|&at| !is_masked[at] && golden[at] != ours[at]) {
            return Err(format!("another byte at {at}"));
        }
        for Mask { offset, len, kind, .. } in masks {
            let place = |frame: &[u8]| frame[offset..offset + len].to_vec();
            self.masked(&kind, connection, &place(&golden), &place(ours))
                .map_err(|error| format!("{error} at {offset}"))?;
        }
        Ok(())
    }

    fn masked(
        &mut self,
        kind: &str,
        connection: u64,
        golden: &[u8],
        ours: &[u8],
    ) -> Result<(), String> {
        match kind {
            "zxid" => self.zxid(number(golden), number(ours)),
            "hzxid" => {
                let positions = self.positions.entry(connection).or_default();
                if positions.last().is_some_and(|(_, before)| *before > number(ours)) {
                    return Err("the zxid goes back".to_owned());
                }
                positions.push((number(golden), number(ours)));
                Ok(())
            }
            "session_id" => {
                let known = *self.sessions.entry(number(golden)).or_insert(number(ours));
                let is_same = known == number(ours) && known != 0;
                if is_same { Ok(()) } else { Err("another session".to_owned()) }
            }
            "string_set" => same_set(golden, ours, &[Field::Text]),
            "id_set" => same_set(golden, ours, &[Field::Text, Field::Text]),
            "acl_set" => same_set(golden, ours, &[Field::Number, Field::Text, Field::Text]),
            // What passwords, times and ports are is nobody's contract.
            "password" | "time" | "config" => Ok(()),
            kind => Err(format!("no such mask: {kind}")),
        }
    }

    fn zxid(&mut self, golden: i64, ours: i64) -> Result<(), String> {
        let known = *self.zxids.entry(golden).or_insert(ours);
        let below = self.zxids.range(..golden).next_back().is_none_or(|(_, below)| *below < ours);
        let above = self.zxids.range(golden + 1..).next().is_none_or(|(_, above)| *above > ours);
        let keeps_zero = (golden == 0) == (ours == 0);
        if known == ours && below && above && keeps_zero {
            Ok(())
        } else {
            Err(format!("zxid {ours:#x} in place of {golden:#x}, others {:x?}", self.zxids))
        }
    }

    /// Returns what a client of ours that has seen as much as the recorded one says it has seen.
    pub(crate) fn seen(&self, golden: i64) -> i64 {
        let all = self.positions.values().flatten();
        // One ahead of the server stays ahead; the others are from an ensemble's first epoch.
        if golden > 1 << 32 && all.clone().all(|(known, _)| *known < golden) {
            return golden;
        }
        let seen = all.filter(|(known, _)| *known <= golden);
        seen.max().map_or(0, |(_, ours)| *ours)
    }
}

fn number(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}

#[derive(Clone, Copy)]
enum Field {
    Number,
    Text,
}

/// Compares two vectors whose elements may come in any order.
fn same_set(golden: &[u8], ours: &[u8], form: &[Field]) -> Result<(), String> {
    let is_same = elements(golden, form) == elements(ours, form);
    if is_same { Ok(()) } else { Err("other elements".to_owned()) }
}

/// Returns the elements of a vector, sorted; `None` when it is none.
fn elements<'a>(mut bytes: &'a [u8], form: &[Field]) -> Option<Vec<&'a [u8]>> {
    let int = |bytes: &[u8]| Some(i32::from_be_bytes(bytes.get(..4)?.try_into().ok()?));
    let count = int(bytes)?;
    bytes = &bytes[4..];
    let mut elements = Vec::new();
    for _ in 0..count {
        let mut len = 0;
        for field in form {
            len += match field {
                Field::Number => 4,
                Field::Text => 4 + usize::try_from(int(bytes.get(len..)?)?).ok()?,
            };
        }
        elements.push(bytes.get(..len)?);
        bytes = &bytes[len..];
    }
    elements.sort_unstable();
    bytes.is_empty().then_some(elements)
}

/// Returns whether a frame is what a table of deviations says.
pub(crate) fn fits(ours: &str, frame: &[u8]) -> bool {
    let digits: Vec<char> = ours.chars().filter(|digit| !digit.is_whitespace()).collect();
    let has_form = |pair: &[char], byte: &u8| {
        *pair == ['.', '.'] || format!("{byte:02x}") == String::from_iter(pair)
    };
    digits.len() == 2 * frame.len()
        && digits.chunks(2).zip(frame).all(|(pair, byte)| has_form(pair, byte))
}

#[test]
fn sets_are_the_same_in_any_order_and_not_otherwise() {
    let set = |names: &[&str]| {
        let mut bytes = (names.len() as u32).to_be_bytes().to_vec();
        for name in names {
            bytes.extend((name.len() as u32).to_be_bytes());
            bytes.extend(name.as_bytes());
        }
        bytes
    };
    let same = |a: &[&str], b: &[&str]| same_set(&set(a), &set(b), &[Field::Text]).is_ok();
    assert!(same(&["a", "bb"], &["bb", "a"]));
    assert!(!same(&["a", "bb"], &["ab", "b"]));
    assert!(!same(&["a", "a"], &["a"]));
}

#[test]
fn numbers_may_be_others_but_not_in_another_order() {
    let mut known = Known::default();
    assert!(known.zxid(2, 20).is_ok() && known.zxid(5, 21).is_ok() && known.zxid(2, 20).is_ok());
    assert!(known.zxid(3, 21).is_err() || known.zxid(3, 22).is_err());
    assert!(Known::default().zxid(0, 1).is_err());
}
