//! Access control lists, each kept once: most znodes share a few.

use std::{collections::HashMap, sync::Arc};

use conclave_protocol::acl::Acl;

/// Lists by number, with how many znodes have each.
#[derive(Debug, Default)]
pub(super) struct AclTable {
    lists: Vec<Option<(Arc<[Acl]>, u32)>>,
    numbers: HashMap<Arc<[Acl]>, u32>,
    free: Vec<u32>,
}

impl AclTable {
    /// Returns the number of a list, with one more znode that has it.
    pub(super) fn intern(&mut self, list: &[Acl]) -> u32 {
        if let Some(number) = self.numbers.get(list) {
            let (_, uses) = self.lists[*number as usize].as_mut().expect("numbered, so kept");
            *uses += 1;
            return *number;
        }
        let list: Arc<[Acl]> = list.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.lists.push(None);
            u32::try_from(self.lists.len() - 1).expect("no more lists than znodes")
        });
        self.lists[number as usize] = Some((list.clone(), 1));
        self.numbers.insert(list, number);
        number
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

    pub(super) fn get(&self, number: u32) -> &[Acl] {
        &self.lists[number as usize].as_ref().expect("a znode's list is kept").0
    }
}
