//! Who may do what with a znode.

use crate::text::Text;

/// A set of permissions; ZooKeeper stores whatever bits it is given.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Perms(pub i32);

impl Perms {
    /// getData, getChildren.
    pub const READ: Self = Self(1);
    /// setData.
    pub const WRITE: Self = Self(2);
    /// Creation of children.
    pub const CREATE: Self = Self(4);
    /// Deletion of children.
    pub const DELETE: Self = Self(8);
    /// setACL.
    pub const ADMIN: Self = Self(16);
    /// All five.
    pub const ALL: Self = Self(31);

    /// Returns whether any of `wanted` is granted.
    pub const fn intersects(self, wanted: Self) -> bool {
        self.0 & wanted.0 != 0
    }
}

/// Who a client is: a scheme and a name within it, such as `digest` and `user:hash`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    /// How the name was proved: `world`, `digest`, `ip`, ...
    pub scheme: Text,
    /// The name in that scheme.
    pub id: Text,
}

/// One entry of an access control list.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Acl {
    /// What is granted.
    pub perms: Perms,
    /// To whom.
    pub identity: Identity,
}

impl Acl {
    /// Returns the entry that lets anyone do anything.
    pub fn open() -> Self {
        Self::world(Perms::ALL)
    }

    /// Returns the entry that grants `perms` to anyone.
    pub fn world(perms: Perms) -> Self {
        Self { perms, identity: Identity { scheme: "world".into(), id: "anyone".into() } }
    }
}
