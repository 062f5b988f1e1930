//! What is asked: the requests of one connection, one after the other.

use bytes::BytesMut;
use clap::ValueEnum;

use super::wire;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Workload {
    /// Creates of new znodes.
    Create,
    /// setData of existing znodes.
    Set,
    /// getData of existing znodes.
    Get,
    /// getData, and setData for the rest (--read-percent).
    Mixed,
    /// New znodes by multis of --multi operations each; counts znodes.
    Load,
    /// New sessions, kept until all are there.
    Sessions,
    /// One session per connection watches one znode; from a write to the last event.
    Watch,
}

impl Workload {
    /// Returns the name it has on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Get => "get",
            Self::Mixed => "mixed",
            Self::Load => "load",
            Self::Sessions => "sessions",
            Self::Watch => "watch",
        }
    }

    /// Whether it needs znodes that are there before.
    pub(super) const fn needs_keys(self) -> bool {
        matches!(self, Self::Set | Self::Get | Self::Mixed)
    }
}

/// What all connections of a run share of their requests.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) workload: Workload,
    /// The znode below which everything is.
    pub(super) root: String,
    /// Znodes that are there before.
    pub(super) keys: u64,
    pub(super) value: Vec<u8>,
    pub(super) read_percent: u64,
    /// Operations of a multi.
    pub(super) multi: u64,
}

impl Shape {
    /// Returns the path of one of the znodes that are there before.
    pub(super) fn key(&self, index: u64) -> String {
        format!("{}/k{index}", self.root)
    }

    /// Returns how many znodes one request is for.
    pub(super) const fn ops_per_request(&self) -> u64 {
        if matches!(self.workload, Workload::Load) { self.multi } else { 1 }
    }
}

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Source {
    connection: usize,
    /// How many requests it has made.
    made: u64,
    keys: Vec<String>,
    random: u64,
}

impl Source {
    /// Makes the source of one connection.
    pub(super) fn new(shape: &Shape, connection: usize) -> Self {
        let keys = match shape.workload.needs_keys() {
            true => (0..shape.keys).map(|index| shape.key(index)).collect(),
            false => Vec::new(),
        };
        let random = (connection as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { connection, made: 0, keys, random }
    }

    /// Draws the next request; returns whether it is a read, and what appends it.
    pub(super) fn next<'a>(
        &'a mut self,
        shape: &'a Shape,
    ) -> (bool, impl FnOnce(&mut BytesMut, i32) + 'a) {
        let is_read = match shape.workload {
            Workload::Get => true,
            Workload::Mixed => self.draw(100) < shape.read_percent,
            _ => false,
        };
        let key = match self.keys.len() {
            0 => 0,
            count => self.draw(count as u64) as usize,
        };
        let made = self.made;
        self.made += 1;
        let put = move |out: &mut BytesMut, xid: i32| match shape.workload {
            Workload::Load => wire::put_creates(out, xid, self.group(shape, made), &shape.value),
            Workload::Create => wire::put_create(out, xid, &self.path(shape, made), &shape.value),
            _ if is_read => wire::put_get(out, xid, &self.keys[key], false),
            _ => wire::put_set(out, xid, &self.keys[key], &shape.value),
        };
        (is_read, put)
    }

    /// Returns the paths of all that it has asked to create, what is below before what is above.
    pub(super) fn created(&self, shape: &Shape) -> Vec<String> {
        match shape.workload {
            Workload::Create => (0..self.made).map(|made| self.path(shape, made)).collect(),
            Workload::Load => (0..self.made)
                .flat_map(|made| self.group(shape, made).collect::<Vec<_>>().into_iter().rev())
                .collect(),
            _ => Vec::new(),
        }
    }

    fn path(&self, shape: &Shape, made: u64) -> String {
        format!("{}/c{}-{made}", shape.root, self.connection)
    }

    /// A parent and its children.
    fn group(&self, shape: &Shape, made: u64) -> impl Iterator<Item = String> + use<> {
        let parent = self.path(shape, made);
        let children = 1..shape.multi;
        let first = parent.clone();
        std::iter::once(first).chain(children.map(move |child| format!("{parent}/n{child}")))
    }

    /// Returns a number below `bound`; xorshift, for any spread will do.
    const fn draw(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % bound
    }
}

/// Returns a value of `len_bytes` that no compression makes shorter.
pub(super) fn value(len_bytes: usize) -> Vec<u8> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 24) as u8
    };
    (0..len_bytes).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn shape(workload: Workload) -> Shape {
        let root = "/b".to_owned();
        Shape { workload, root, keys: 10, value: value(100), read_percent: 90, multi: 3 }
    }

    #[test]
    fn no_two_connections_create_the_same_znode() {
        let shape = shape(Workload::Create);
        let mut all = Vec::new();
        for connection in 0..12 {
            let mut source = Source::new(&shape, connection);
            for _ in 0..200 {
                drop(source.next(&shape).1);
            }
            all.extend(source.created(&shape));
        }
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 12 * 200);
    }

    #[test]
    fn a_multi_creates_a_parent_and_its_children_which_go_before_it() {
        let shape = shape(Workload::Load);
        let mut source = Source::new(&shape, 0);
        drop(source.next(&shape).1);
        assert_eq!(
            source.group(&shape, 0).collect::<Vec<_>>(),
            ["/b/c0-0", "/b/c0-0/n1", "/b/c0-0/n2"]
        );
        assert_eq!(source.created(&shape), ["/b/c0-0/n2", "/b/c0-0/n1", "/b/c0-0"]);
    }

    #[test]
    fn a_mixed_load_has_the_share_of_reads_that_was_asked_for() {
        let shape = shape(Workload::Mixed);
        let mut source = Source::new(&shape, 1);
        let reads = (0..10_000).filter(|_| source.next(&shape).0).count();
        assert!((8800..9200).contains(&reads), "{reads}");
    }
}
