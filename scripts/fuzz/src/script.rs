//! Reading an input as a script of steps: where it ends, all that is left to read is zeros.

use conclave_protocol::zxid::{Epoch, Zxid};

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    pub(crate) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// Takes as many bytes as are there of `len`.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// Takes a zxid of a small epoch and a small counter.
    pub(crate) fn zxid(&mut self) -> Zxid {
        let epoch = Epoch(self.u8().into());
        Zxid::new(epoch, self.u8().into())
    }
}
