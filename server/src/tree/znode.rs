//! One slot of the arena: a znode packed into 104 bytes and one allocation.

use conclave_protocol::{ids::SessionId, txn::Owner, zxid::Zxid};

use super::arena::NO_SLOT;

/// One znode and its links.
#[derive(Debug)]
pub(super) struct Znode {
    /// Name, then data: one allocation instead of two.
    content: Box<[u8]>,
    /// Where the name ends, and the flags below.
    head: u32,
    pub(super) version: i32,
    pub(super) czxid: Zxid,
    pub(super) mzxid: Zxid,
    pub(super) pzxid: Zxid,
    pub(super) ctime_ms: i64,
    pub(super) mtime_ms: i64,
    /// Session or milliseconds, as the kind of owner says.
    owner: i64,
    pub(super) aversion: i32,
    /// Children ever created.
    pub(super) created: i32,
    pub(super) child_count: u32,
    /// Number of its list in the table of ACLs.
    pub(super) acl: u32,
    pub(super) parent: u32,
    pub(super) first_child: u32,
    pub(super) next: u32,
    pub(super) previous: u32,
}

const _: () = assert!(size_of::<Znode>() == 104, "every byte here is a megabyte per million");

/// Length of a name, at most, in bytes: what the head has room for, and far beyond any frame.
const NAME_LEN_BYTES_MAX: usize = (1 << 27) - 1;

const NAME_LEN_MASK: u32 = (1 << 27) - 1;
const NULL_DATA: u32 = 1 << 27;
const OWNER_SHIFT: u32 = 28;
const OWNER_MASK: u32 = 3 << OWNER_SHIFT;
const PLACE_SHIFT: u32 = 30;
const PLACE_MASK: u32 = 3 << PLACE_SHIFT;

/// What a slot holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Nothing.
    Vacant,
    /// A znode of the tree.
    Taken,
    /// A znode that was deleted while a walk is under way, which has yet to see it.
    Ghost,
}

impl Znode {
    /// Returns what an empty slot holds.
    pub(super) fn vacant() -> Self {
        let mut znode = Self::new("", None, Owner::Persistent);
        znode.set_place(Place::Vacant);
        znode
    }

    /// Returns a znode with no links, versions or times.
    pub(super) fn new(name: &str, data: Option<&[u8]>, owner: Owner) -> Self {
        assert!(name.len() <= NAME_LEN_BYTES_MAX, "a name is bounded by a frame");
        let (kind, value) = match owner {
            Owner::Persistent => (0, 0),
            Owner::Ephemeral(session) => (1, session.0),
            Owner::Container => (2, 0),
            Owner::Ttl(ttl_ms) => (3, ttl_ms as i64),
        };
        let mut znode = Self {
            content: concat(name.as_bytes(), data),
            head: name.len() as u32 | kind << OWNER_SHIFT | null_flag(data),
            version: 0,
            czxid: Zxid::ZERO,
            mzxid: Zxid::ZERO,
            pzxid: Zxid::ZERO,
            ctime_ms: 0,
            mtime_ms: 0,
            owner: value,
            aversion: 0,
            created: 0,
            child_count: 0,
            acl: 0,
            parent: NO_SLOT,
            first_child: NO_SLOT,
            next: NO_SLOT,
            previous: NO_SLOT,
        };
        znode.set_place(Place::Taken);
        znode
    }

    pub(super) fn place(&self) -> Place {
        match (self.head & PLACE_MASK) >> PLACE_SHIFT {
            0 => Place::Vacant,
            1 => Place::Taken,
            _ => Place::Ghost,
        }
    }

    pub(super) const fn set_place(&mut self, place: Place) {
        let bits = match place {
            Place::Vacant => 0,
            Place::Taken => 1,
            Place::Ghost => 2,
        };
        self.head = self.head & !PLACE_MASK | bits << PLACE_SHIFT;
    }

    pub(super) fn name(&self) -> &str {
        str::from_utf8(self.name_bytes()).expect("it was copied from a str")
    }

    pub(super) fn name_bytes(&self) -> &[u8] {
        &self.content[..self.name_len()]
    }

    const fn name_len(&self) -> usize {
        (self.head & NAME_LEN_MASK) as usize
    }

    /// Returns the data; null and empty are kept apart.
    pub(super) fn data(&self) -> Option<&[u8]> {
        (self.head & NULL_DATA == 0).then(|| &self.content[self.name_len()..])
    }

    pub(super) fn set_data(&mut self, data: Option<&[u8]>) {
        self.content = concat(self.name_bytes(), data);
        self.head = self.head & !NULL_DATA | null_flag(data);
    }

    pub(super) const fn owner(&self) -> Owner {
        match (self.head & OWNER_MASK) >> OWNER_SHIFT {
            0 => Owner::Persistent,
            1 => Owner::Ephemeral(SessionId(self.owner)),
            2 => Owner::Container,
            _ => Owner::Ttl(self.owner as u64),
        }
    }

    /// Returns the bytes of name and data.
    pub(super) fn len_bytes(&self) -> u64 {
        self.content.len() as u64
    }
}

const fn null_flag(data: Option<&[u8]>) -> u32 {
    if data.is_none() { NULL_DATA } else { 0 }
}

/// Reserves exactly what is needed: a box of another length would be allocated twice.
fn concat(name: &[u8], data: Option<&[u8]>) -> Box<[u8]> {
    let data = data.unwrap_or_default();
    let mut content = Vec::with_capacity(name.len() + data.len());
    content.extend_from_slice(name);
    content.extend_from_slice(data);
    content.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        let owners = [
            Owner::Persistent,
            Owner::Ephemeral(SessionId(i64::MIN)),
            Owner::Ephemeral(SessionId(-1)),
            Owner::Container,
            Owner::Ttl((1 << 40) - 1),
        ];
        for owner in owners {
            for data in [None, Some(&b""[..]), Some(b"data")] {
                let mut znode = Znode::new("näme", data, owner);
                for place in [Place::Ghost, Place::Vacant, Place::Taken] {
                    znode.set_place(place);
                    assert_eq!(znode.place(), place);
                    assert_eq!((znode.name(), znode.data()), ("näme", data));
                    assert_eq!(znode.owner(), owner);
                }
            }
        }
    }

    #[test]
    fn data_is_replaced_beside_the_name() {
        let mut znode = Znode::new("n", None, Owner::Container);
        for data in [Some(&b"longer than before"[..]), None, Some(b""), Some(b"x")] {
            znode.set_data(data);
            assert_eq!((znode.name(), znode.data()), ("n", data));
            assert_eq!((znode.owner(), znode.place()), (Owner::Container, Place::Taken));
        }
    }
}
