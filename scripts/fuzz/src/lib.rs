//! What comes from outside, fed with anything: one [`Target`] for each decoder, parser and file. A target
//! panics when something is wrong with the code, whatever the input. README.md tells how they are run.

pub mod allocation;
pub mod client;
pub mod corpus;
pub mod disk;
pub mod mutate;
pub mod peer;
pub mod port;
mod script;
pub mod session;
pub mod snapshot;
pub mod text;
pub mod transcript;

use std::ops::Range;

use mutate::{Random, mutate};

/// Something that takes bytes of others.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Feeds it; panics when the code is wrong.
    pub run: fn(&[u8]),
    /// Returns inputs to begin with, which reach far into it.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// Feeds it with an input for each of `seeds`, made from what is kept for it and what it begins with.
    ///
    /// # Panics
    ///
    /// When the code is wrong; the message has the seed and the input.
    pub fn storm(&self, seeds: Range<u64>) {
        let mut inputs = corpus::kept(self);
        inputs.extend((self.seeds)());
        for seed in seeds {
            let mut random = Random(seed);
            let input = inputs[random.below(inputs.len())].clone();
            let other = &inputs[random.below(inputs.len())];
            let input = mutate(input, other, &mut random);
            if std::panic::catch_unwind(|| (self.run)(&input)).is_err() {
                panic!("{} fails with the input of seed {seed}: {input:02x?}", self.name);
            }
        }
    }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    client::REQUEST,
    client::MULTI,
    client::CONNECT,
    client::RESPONSE,
    client::EVENT,
    client::FRAMES,
    client::JUTE,
    port::FRAMES,
    session::SESSION,
    peer::MESSAGE,
    peer::ZAB,
    peer::FORWARD,
    peer::FRAME,
    peer::TXN,
    disk::EPOCHS,
    disk::LOG,
    snapshot::SNAPSHOT,
    text::CONFIG,
    text::CONNECT_STRING,
    text::PATH,
    text::QUOTA,
];
