//! Which words are answered.

use conclave_protocol::frame::Word;

/// The words of `4lw.commands.whitelist`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Whitelist {
    /// `None` for all.
    words: Option<Vec<String>>,
}

impl Whitelist {
    /// Makes the list from the configuration's, where `None` allows all.
    pub const fn new(words: Option<Vec<String>>) -> Self {
        Self { words }
    }

    /// Returns whether a word is answered.
    pub fn allows(&self, word: Word) -> bool {
        self.words.as_ref().is_none_or(|words| words.iter().any(|known| known == word.letters()))
    }
}
