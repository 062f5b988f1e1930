//! Bytes as a hexadecimal dump: offset, sixteen bytes, and what of them is text.

use std::fmt::Write;

/// Bytes of a line.
const WIDTH: usize = 16;

/// Returns the dump, a line for each sixteen bytes.
pub(super) fn hexdump(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len() / WIDTH * 79 + 79);
    for (index, row) in data.chunks(WIDTH).enumerate() {
        let mut hex = String::with_capacity(3 * WIDTH + 1);
        for (place, byte) in row.iter().enumerate() {
            let gap = if place == WIDTH / 2 { "  " } else { " " };
            write!(hex, "{gap}{byte:02x}").expect(MEMORY);
        }
        let seen = row.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        let seen: String = seen.collect();
        writeln!(out, "{:08x} {hex:<49}  |{seen}|", index * WIDTH).expect(MEMORY);
    }
    out
}

const MEMORY: &str = "writing to memory cannot fail";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_has_offset_bytes_and_text() {
        let data: Vec<u8> = (b'a'..=b'p').chain([0xff, 0]).collect();
        assert_eq!(
            hexdump(&data),
            "00000000  61 62 63 64 65 66 67 68  69 6a 6b 6c 6d 6e 6f 70  |abcdefghijklmnop|\n\
             00000010  ff 00                                             |..|\n"
        );
        assert_eq!(hexdump(b""), "");
    }
}
