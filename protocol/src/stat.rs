//! What the service tells about a znode besides its data.

use crate::{
    jute::{DecodeError, Reader, Write},
    zxid::Zxid,
};

/// The eleven fields of a znode's Stat, in wire order (68 bytes).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Stat {
    /// Zxid of the txn that created the znode.
    pub czxid: Zxid,
    /// Zxid of the txn that last changed its data.
    pub mzxid: Zxid,
    /// Creation time, ms since 1970.
    pub ctime_ms: i64,
    /// Time of the last data change, ms since 1970.
    pub mtime_ms: i64,
    /// Changes of the data.
    pub version: i32,
    /// Changes of the list of children: `2 * created - present` as clients see it.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Session of an ephemeral znode, otherwise 0.
    pub ephemeral_owner: i64,
    /// Length of the data in bytes; 0 for null data.
    pub data_length: i32,
    /// Children now.
    pub num_children: i32,
    /// Zxid of the txn that last added or removed a child.
    pub pzxid: Zxid,
}

impl Stat {
    /// Reads a stat.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid::from_wire(reader.i64()?),
            mzxid: Zxid::from_wire(reader.i64()?),
            ctime_ms: reader.i64()?,
            mtime_ms: reader.i64()?,
            version: reader.i32()?,
            cversion: reader.i32()?,
            aversion: reader.i32()?,
            ephemeral_owner: reader.i64()?,
            data_length: reader.i32()?,
            num_children: reader.i32()?,
            pzxid: Zxid::from_wire(reader.i64()?),
        })
    }

    /// Appends the stat.
    pub fn encode(&self, out: &mut impl Write) {
        out.put_i64(self.czxid.to_wire());
        out.put_i64(self.mzxid.to_wire());
        out.put_i64(self.ctime_ms);
        out.put_i64(self.mtime_ms);
        out.put_i32(self.version);
        out.put_i32(self.cversion);
        out.put_i32(self.aversion);
        out.put_i64(self.ephemeral_owner);
        out.put_i32(self.data_length);
        out.put_i32(self.num_children);
        out.put_i64(self.pzxid.to_wire());
    }
}
