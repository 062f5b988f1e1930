//! Inputs made from others, under a seed.

/// splitmix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns a number below `bound`, which is not zero.
    pub const fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// Lengths that a sender may claim, as they are on the wire.
const LENGTHS: [i32; 12] =
    [-1, 0, 1, -2, i32::MIN, i32::MAX, i32::MAX - 7, 0x00ff_ffff, 0x0010_0000, 0xffff, 0x0100, 16];

/// Longest input that is made, in bytes.
const LEN_BYTES_MAX: usize = 4096;

/// Changes `input` in one to four places; `other` is one that pieces are taken from.
pub fn mutate(mut input: Vec<u8>, other: &[u8], random: &mut Random) -> Vec<u8> {
    for _ in 0..=random.below(4) {
        change(&mut input, other, random);
    }
    input.truncate(LEN_BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let len = input.len();
    if len == 0 {
        input.extend_from_slice(other);
        return;
    }
    let at = random.below(len);
    match random.below(8) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.below(256) as u8,
        2 => input.truncate(at),
        3 => {
            // A length of four bytes that is another one.
            let length = LENGTHS[random.below(LENGTHS.len())].to_be_bytes();
            for (place, byte) in input[at..].iter_mut().zip(length) {
                *place = byte;
            }
        }
        4 => {
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        5 => {
            let piece = input[at..len.min(at + 1 + random.below(32))].to_vec();
            let to = random.below(len);
            input.splice(to..to, piece);
        }
        6 => drop(input.drain(at..len.min(at + 1 + random.below(32)))),
        _ => {
            // One more or one less, as a count or a length that is off by one.
            let by = [1_u8, 255][random.below(2)];
            input[at] = input[at].wrapping_add(by);
        }
    }
}
