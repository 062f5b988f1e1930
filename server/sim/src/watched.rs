//! What one client watches, and what it must be told of it: everything, in order, and before anything
//! that shows it.

use conclave_protocol::{
    acl::Perms,
    event::{EventKind, WatchEvent},
    path,
    zxid::Zxid,
};

use crate::{
    access::{self, Who},
    model::{Model, Touch, Touched},
};

/// What a watch waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Once, for the znode; it was there.
    Data,
    /// Once, for the znode; it was not there.
    Exist,
    /// Once, for its list of children.
    Child,
    /// For both, until removed.
    Persistent,
    /// For it and all below it, until removed.
    Recursive,
}

/// One watch.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// The number of the first touch that it has to tell.
    next: usize,
}

/// A client's watches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    watches: Vec<Watch>,
    /// They were set again on a new connection, and that is not answered yet.
    is_set_again: bool,
}

impl Watch {
    /// Returns the event that a touch makes for it.
    fn event(&self, touched: &Touched) -> Option<EventKind> {
        let own = match touched.touch {
            Touch::Created => EventKind::NodeCreated,
            Touch::Deleted => EventKind::NodeDeleted,
            Touch::Changed => EventKind::NodeDataChanged,
        };
        let is_own = touched.path == self.path;
        let is_child = path::parent(&touched.path) == Some(&self.path);
        let is_list_change = is_child && touched.touch != Touch::Changed;
        match self.kind {
            Kind::Data | Kind::Exist => is_own.then_some(own),
            Kind::Child if is_own => {
                (touched.touch == Touch::Deleted).then_some(EventKind::NodeDeleted)
            }
            Kind::Persistent if is_own => Some(own),
            Kind::Child | Kind::Persistent => {
                is_list_change.then_some(EventKind::NodeChildrenChanged)
            }
            Kind::Recursive => is_below(&touched.path, &self.path).then_some(own),
        }
    }

    /// Returns the path that the event names.
    fn told<'a>(&'a self, touched: &'a Touched) -> &'a str {
        if self.kind == Kind::Recursive { &touched.path } else { &self.path }
    }

    const fn is_once(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Exist | Kind::Child)
    }

    /// Returns whether a user may hear of a touch: who may not read the znode that the event names is
    /// told nothing, and a watch that waits once has waited.
    fn is_heard(&self, touched: &Touched, user: Who) -> bool {
        let is_own = self.told(touched) == touched.path;
        let list = if is_own { &touched.own_list } else { &touched.parent_list };
        access::allows(list.as_ref(), user, Perms::READ)
    }

    /// Returns the next touch that concerns it, its number, its event and whether it is heard.
    fn due<'a>(&self, model: &'a Model, user: Who) -> Option<Due<'a>> {
        let due = |(number, touched)| {
            let (kind, is_heard) = (self.event(touched)?, self.is_heard(touched, user));
            (is_heard || self.is_once()).then_some(Due { number, touched, kind, is_heard })
        };
        model.touches_from(self.next).find_map(due)
    }
}

/// What a watch has to tell next, or, when it is not heard, what silences it.
struct Due<'a> {
    number: usize,
    touched: &'a Touched,
    kind: EventKind,
    is_heard: bool,
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Watched {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Watch> {
        self.watches.iter()
    }

    pub(crate) fn clear(&mut self) {
        self.watches.clear();
    }

    /// Arms a watch as of a txn. One of its path and side that is there stays as it is.
    pub(crate) fn arm(&mut self, model: &Model, path: &str, kind: Kind, zxid: Zxid) {
        let side = |kind| matches!(kind, Kind::Data | Kind::Exist);
        let is_there = |watch: &Watch| {
            watch.path == path && (watch.kind == kind || side(watch.kind) && side(kind))
        };
        if !self.watches.iter().any(is_there) {
            let next = model.touches_upto(zxid);
            self.watches.push(Watch { path: path.to_owned(), kind, next });
        }
    }

    /// Returns whether a path is watched until that is removed.
    pub(crate) fn is_lasting(&self, path: &str) -> bool {
        self.watches.iter().any(|watch| watch.path == path && !watch.is_once())
    }

    /// Drops the watches of a path that are not one-shot.
    pub(crate) fn remove(&mut self, path: &str) {
        self.watches.retain(|watch| watch.path != path || watch.is_once());
    }

    /// A connection is new. Returns whether there are watches to be set again on it: then, until that is
    /// answered, events tell what had happened.
    pub(crate) const fn begin_again(&mut self) -> bool {
        self.is_set_again = !self.watches.is_empty();
        self.is_set_again
    }

    /// An event came: it must be what some watch waits for, and is it for all that do.
    pub(crate) fn on_event(&mut self, who: &str, user: Who, model: &Model, event: &WatchEvent) {
        let path = event.path.as_str().expect("a path");
        if self.is_set_again {
            // One for each of them, even of one znode: it is one request, and no change.
            let told = self.watches.iter().position(|watch| {
                let kinds: &[Kind] = match event.kind {
                    EventKind::NodeCreated => &[Kind::Exist],
                    EventKind::NodeDataChanged => &[Kind::Data],
                    EventKind::NodeChildrenChanged => &[Kind::Child],
                    EventKind::NodeDeleted => &[Kind::Data, Kind::Child],
                    _ => &[],
                };
                watch.path == path && kinds.contains(&watch.kind)
            });
            let Some(told) = told else {
                panic!("{who} is told {event:?} of the past, which no watch of it waits for")
            };
            self.watches.remove(told);
            return;
        }
        let mut count = 0;
        self.watches.retain_mut(|watch| {
            let Some(Due { number, touched, kind, is_heard }) = watch.due(model, user) else {
                return true;
            };
            if !is_heard || kind != event.kind || watch.told(touched) != path {
                return true;
            }
            count += 1;
            watch.next = number + 1;
            !watch.is_once()
        });
        assert!(count > 0, "watch order: {who} is told {event:?}, which no watch of it waits for");
    }

    /// An answer showed the state as of a txn: nothing may be untold up to there.
    pub(crate) fn check_told(&mut self, who: &str, user: Who, model: &Model, zxid: Zxid) {
        self.watches.retain_mut(|watch| {
            let due = watch.due(model, user);
            // What was looked at and is not for it is not looked at again.
            watch.next = due.as_ref().map_or_else(|| model.touches_count(), |due| due.number);
            let Some(Due { touched, kind, is_heard, .. }) = due else { return true };
            let is_past = touched.zxid <= zxid;
            assert!(
                !is_past || !is_heard,
                "watch completeness: {who} sees 0x{zxid} before {kind:?} of {watch:?}, {touched:?}"
            );
            !is_past
        });
    }

    /// The watches were set again, on another connection, as of a txn. What had happened between is
    /// told of one-shot watches as far as it shows; persistent ones go on from here.
    pub(crate) fn set_again(&mut self, who: &str, model: &Model, since: Zxid, zxid: Zxid) {
        self.is_set_again = false;
        for watch in &mut self.watches {
            let now = model.at(&watch.path, zxid);
            let shows = match watch.kind {
                Kind::Data => now.is_none_or(|znode| znode.mzxid > since),
                Kind::Exist => now.is_some(),
                Kind::Child => now.is_none_or(|znode| znode.pzxid > since),
                Kind::Persistent | Kind::Recursive => false,
            };
            assert!(
                !shows,
                "{who}: {watch:?} was set again at 0x{zxid} and not told what had happened"
            );
            watch.next = model.touches_upto(zxid);
        }
    }
}

#[cfg(test)]
mod tests {
    use conclave_protocol::{
        acl::Acl,
        event::KeeperState,
        ids::{ServerId, SessionId, Xid},
        txn::{Change, CreateChange, Origin, Owner, Txn},
        zxid::Epoch,
    };

    use super::*;

    const fn zxid(counter: u32) -> Zxid {
        Zxid::new(Epoch(1), counter)
    }

    fn apply(model: &mut Model, counter: u32, change: Change) {
        let origin = Origin { server: ServerId(1), seq: 0 };
        let (session, xid) = (SessionId(1), Xid(1));
        let txn = Txn { origin, session, xid, time_ms: 0, change, usage: Vec::new() };
        model.apply(zxid(counter), &txn);
    }

    fn create(path: &str) -> Change {
        Change::Create(CreateChange {
            path: path.to_owned(),
            data: None,
            acl: vec![Acl::open()],
            owner: Owner::Persistent,
            parent_created: 1,
        })
    }

    fn set(path: &str, version: i32) -> Change {
        Change::SetData { path: path.to_owned(), data: None, version }
    }

    fn told(kind: EventKind) -> WatchEvent {
        WatchEvent { kind, state: KeeperState::SyncConnected, path: "/a".into() }
    }

    /// A znode made and changed twice, watched since it was made.
    fn setting(kind: Kind) -> (Model, Watched) {
        let (mut model, mut watched) = (Model::default(), Watched::default());
        apply(&mut model, 1, create("/a"));
        watched.arm(&model, "/a", kind, zxid(1));
        apply(&mut model, 2, set("/a", 1));
        apply(&mut model, 3, create("/a/b"));
        (model, watched)
    }

    #[test]
    fn a_one_shot_watch_is_told_once_and_a_lasting_one_of_all_in_order() {
        let (model, mut watched) = setting(Kind::Data);
        watched.check_told("one", None, &model, zxid(1));
        watched.on_event("one", None, &model, &told(EventKind::NodeDataChanged));
        watched.check_told("one", None, &model, zxid(3));
        let (model, mut watched) = setting(Kind::Persistent);
        watched.on_event("one", None, &model, &told(EventKind::NodeDataChanged));
        watched.check_told("one", None, &model, zxid(2));
        watched.on_event("one", None, &model, &told(EventKind::NodeChildrenChanged));
        watched.check_told("one", None, &model, zxid(3));
    }

    #[test]
    #[should_panic(expected = "watch completeness")]
    fn an_answer_that_shows_what_was_not_told_is_noticed() {
        let (model, mut watched) = setting(Kind::Data);
        watched.check_told("one", None, &model, zxid(2));
    }

    #[test]
    #[should_panic(expected = "watch order")]
    fn events_out_of_order_are_noticed() {
        let (model, mut watched) = setting(Kind::Persistent);
        watched.on_event("one", None, &model, &told(EventKind::NodeChildrenChanged));
    }

    #[test]
    #[should_panic(expected = "watch order")]
    fn an_event_told_twice_is_noticed() {
        let (model, mut watched) = setting(Kind::Data);
        watched.on_event("one", None, &model, &told(EventKind::NodeDataChanged));
        watched.on_event("one", None, &model, &told(EventKind::NodeDataChanged));
    }
}
