//! Access control lists, each kept once: most znodes share a few.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Identity},
    text::Text,
};
use foldhash::fast::RandomState;

/// Lists by number, with how many znodes have each.
#[derive(Debug, Default)]
pub(super) struct AclTable {
    lists: Vec<Option<(Arc<[Acl]>, u32)>>,
    numbers: HashMap<Arc<[Acl]>, u32, RandomState>,
    free: Vec<u32>,
}

impl AclTable {
    /// Returns the number of a list, with one more znode that has it.
    pub(super) fn intern(&mut self, list: &[Acl]) -> u32 {
        if let Some(number) = self.numbers.get(list).copied() {
            self.retain(number);
            return number;
        }
        let list: Arc<[Acl]> = list.iter().map(owned).collect();
        let number = self.free.pop().unwrap_or_else(|| {
            self.lists.push(None);
            u32::try_from(self.lists.len() - 1).expect("no more lists than znodes")
        });
        self.lists[number as usize] = Some((list.clone(), 1));
        self.numbers.insert(list, number);
        number
    }

    /// Notes one more znode that has the list of a number in use.
    pub(super) fn retain(&mut self, number: u32) {
        let (_, uses) = self.lists[number as usize].as_mut().expect("numbered, so kept");
        *uses += 1;
    }

    /// Notes that a znode has the list no more.
    pub(super) fn release(&mut self, number: u32) {
        let slot = &mut self.lists[number as usize];
        let (list, uses) = slot.as_mut().expect("released as often as interned");
        *uses -= 1;
        if *uses == 0 {
            self.numbers.remove(list);
            *slot = None;
            self.free.push(number);
        }
    }

    pub(super) fn get(&self, number: u32) -> &Arc<[Acl]> {
        &self.lists[number as usize].as_ref().expect("a znode's list is kept").0
    }

    #[cfg(test)]
    pub(super) fn uses(&self) -> impl Iterator<Item = (u32, u32)> {
        let taken =
            |(number, slot): (usize, &Option<(_, u32)>)| Some((number as u32, slot.as_ref()?.1));
        self.lists.iter().enumerate().filter_map(taken)
    }
}

/// Copies the texts: those of a txn would keep its whole buffer alive, data and all.
fn owned(entry: &Acl) -> Acl {
    let text = |text: &Text| match text.as_bytes() {
        Some(bytes) => Text::from_bytes(Bytes::copy_from_slice(bytes)),
        None => Text::NULL,
    };
    let Identity { scheme, id } = &entry.identity;
    Acl { perms: entry.perms, identity: Identity { scheme: text(scheme), id: text(id) } }
}

#[cfg(test)]
mod tests {
    use conclave_protocol::acl::Perms;

    use super::*;

    #[test]
    fn list_is_kept_once_and_as_long_as_it_is_used() {
        let mut table = AclTable::default();
        let (open, read) = ([Acl::open()], [Acl::world(Perms::READ)]);
        let number = table.intern(&open);
        assert_eq!(table.intern(&open), number);
        assert_ne!(table.intern(&read), number);
        table.release(number);
        assert_eq!(table.get(number)[..], open);
        table.release(number);
        assert_eq!(table.uses().count(), 1);
        assert_eq!(table.intern(&[]), number, "its number is free");
    }

    #[test]
    fn list_does_not_keep_the_buffer_it_was_read_from() {
        let buffer = Bytes::from(vec![b'x'; 1 << 20]);
        let text = || Text::from_bytes(buffer.slice(..5));
        let entry = Acl { perms: Perms::ALL, identity: Identity { scheme: text(), id: text() } };
        let mut table = AclTable::default();
        let number = table.intern(&[entry]);
        assert_eq!(table.get(number)[0].identity.id, text());
        assert!(buffer.is_unique());
    }
}
