"""Watches: a client is told of a change before it can see it; a persistent recursive watch misses nothing, tells
nothing twice, and tells all in the order of zxids.

Writers create, set and delete znodes of their own, each at most once, so that an event names its write. A watcher
keeps every frame of its connection in order, and reads in between: the zxid in the header of an answer says how far
that member is, so every write up to it must have been told before.
"""

import bisect
import collections
import itertools

from jute import EVENT_XID, PING_XID, Reader as Body, put_body
from wire import DELETE, GET_DATA, STAT, SET_DATA, WireError, delete_body, read_body, set_body
from wire import CREATE, create_body
from workloads.base import NO_NODE, OK, SYSTEM_ERROR, Worker, Workload, expect

WRITERS, WATCHERS = 3, 3
PARENT, FLAG = "/watch/tree", "/watch/flag"
ADD_WATCH, RECURSIVE = 106, 1
CREATED, DELETED, CHANGED = 1, 2, 3

# One write; zxid is None where no answer came.
Write = collections.namedtuple("Write", "zxid kind path")
# What came on one connection: an event with kind and path, or an answer with its zxid and, of a read, what it showed.
Event = collections.namedtuple("Event", "kind path")
Answer = collections.namedtuple("Answer", "zxid path is_there")


class Writer(Worker):
    """Creates, sets and deletes znodes, and sets the flag that one-shot watches are on."""

    def work(self, wire):
        for _ in range(self.choice.randrange(50, 500)):
            if self.ended:
                return
            path = f"{PARENT}/w{self.number}-{next(self.workload.serial)}"
            self._write(wire, CREATE, create_body(path, b""), CREATED, path)
            self._write(wire, SET_DATA, set_body(path, b"x"), CHANGED, path)
            if self.choice.random() < 0.9:
                self._write(wire, DELETE, delete_body(path), DELETED, path)
            if self.choice.random() < 0.2:
                self.workload.answered(wire.set(FLAG, b"up")[0], SYSTEM_ERROR)
            self.pause(0.05)

    def _write(self, wire, opcode, body, kind, path):
        try:
            reply = wire.call(opcode, body)
        except WireError:
            self.workload.writes.append(Write(None, kind, path))
            raise
        self.workload.answered(reply.err, SYSTEM_ERROR, NO_NODE)
        if reply.err == OK:
            self.workload.writes.append(Write(reply.zxid, kind, path))


class Watcher(Worker):
    """Watches the whole tree, and reads and writes on the same connection."""

    def work(self, wire):
        reply = wire.call(ADD_WATCH, put_body("addWatch", {"path": PARENT, "mode": RECURSIVE}))
        self.workload.answered(reply.err)
        if reply.err != OK:
            raise WireError(f"addWatch answers {reply.err}")
        frames = [Answer(reply.zxid, None, None)]
        self.workload.connections.append(frames)
        for _ in range(self.choice.randrange(20, 300)):
            if self.ended:
                return
            if self.choice.random() < 0.3:
                self._write_own(wire, frames)
            # A znode of the latest writes: what it shows, and when it was told, is compared.
            writes = self.workload.writes[-5:]
            path = self.choice.choice(writes).path if writes else PARENT
            wire.send(GET_DATA, read_body(path))
            self._take_answer(wire, frames, path)
            self.pause(0.1)

    def _write_own(self, wire, frames):
        """Creates a znode, reads it without waiting, and deletes it."""
        path = f"{PARENT}/o{self.number}-{next(self.workload.serial)}"
        sent = [(CREATE, create_body(path, b""), CREATED), (GET_DATA, read_body(path), None),
                (DELETE, delete_body(path), DELETED), (GET_DATA, read_body(path), None)]
        due = [Write(None, kind, path) for _, _, kind in sent if kind]
        try:
            for opcode, body, _ in sent:
                wire.send(opcode, body)
            for _, _, kind in sent:
                reply = self._take_answer(wire, frames, None if kind else path)
                if kind:
                    due.pop(0)
                    if reply.err == OK:
                        self.workload.writes.append(Write(reply.zxid, kind, path))
        finally:
            self.workload.writes += due

    def _take_answer(self, wire, frames, path):
        """Takes all that comes until the next answer, and returns that; `path` is what was read."""
        while True:
            reply = wire.receive_any()
            if reply.xid == EVENT_XID:
                body = Body(reply.body)
                kind, _state = body.int(), body.int()
                frames.append(Event(kind, body.text()))
            elif reply.xid != PING_XID:
                self.workload.answered(reply.err, NO_NODE, SYSTEM_ERROR)
                frames.append(Answer(reply.zxid, path, reply.err == OK))
                return reply


class OneShot(Worker):
    """Sets a one-shot watch on the flag again and again."""

    def work(self, wire):
        armed_at = None
        for _ in range(self.choice.randrange(20, 300)):
            if self.ended:
                return
            wire.send(GET_DATA, put_body("getData", {"path": FLAG, "watch": True}))
            while (reply := wire.receive_any()).xid in (EVENT_XID, PING_XID):
                if reply.xid == EVENT_XID:
                    if armed_at is None:
                        self.workload.one_shot.append("an event for a watch that is not set")
                    armed_at = None
            self.workload.answered(reply.err)
            if reply.err == OK:
                body = Body(reply.body)
                body.buffer()
                seen = body.take(STAT)[4]
                if armed_at is not None and seen != armed_at:
                    self.workload.one_shot.append(f"version {seen} is shown before the event that ends version {armed_at}")
                armed_at = seen
                self.workload.armed += 1
            self.pause(0.05)


class Watches(Workload):
    name = "watch"

    def __init__(self, ensemble, seed):
        self.writes, self.connections, self.one_shot, self.armed = [], [], [], 0
        self.serial = itertools.count()
        super().__init__(ensemble, seed)

    def make_workers(self):
        numbers = itertools.count()
        return ([Writer(self, next(numbers)) for _ in range(WRITERS)] + [Watcher(self, next(numbers)) for _ in range(WATCHERS)]
                + [OneShot(self, next(numbers)) for _ in range(2)])

    def prepare(self, wire):
        for path in ("/watch", PARENT, FLAG):
            wire.create(path)

    def problems(self, tree):
        history = History(self.writes)
        return self.one_shot + [p for frames in self.connections for p in problems_of(history, frames)]

    def figures(self):
        events = sum(isinstance(frame, Event) for frames in self.connections for frame in frames)
        return (f"{len(self.writes)} writes, {len(self.connections)} recursive watches with {events} events, "
                f"{self.armed} one-shot watches set")


class History:
    """All writes: in order of their places, and by what they did."""

    def __init__(self, writes):
        self.due = sorted((w.zxid, w.kind, w.path) for w in writes if w.zxid is not None)
        self.placed = {(kind, path): zxid for zxid, kind, path in self.due}
        self.asked = {(w.kind, w.path) for w in writes}

    def first_after(self, zxid):
        """Returns the index in `due` of the first write behind `zxid`."""
        return bisect.bisect_right(self.due, zxid, key=lambda write: write[0])


def problems_of(history, frames):
    """Judges what one connection was told, from the answer that set the watch on."""
    placed, due = history.placed, history.due
    found, told, newest, index = [], set(), frames[0].zxid, history.first_after(frames[0].zxid)
    for frame in frames[1:]:
        if isinstance(frame, Answer):
            while index < len(due) and due[index][0] <= frame.zxid:
                if due[index][1:] not in told:
                    found.append(f"an answer at {frame.zxid:#x} comes before the event of {due[index][1:]} at {due[index][0]:#x}")
                index += 1
            created, deleted = (CREATED, frame.path), (DELETED, frame.path)
            if frame.path is None:
                continue
            if frame.is_there and created not in told and placed.get(created, -1) > frames[0].zxid:
                found.append(f"{frame.path} is shown before the event of its creation")
            if not frame.is_there and created in told and deleted not in told:
                found.append(f"{frame.path} is missing before the event of its deletion")
            continue
        event = (frame.kind, frame.path)
        if event in told:
            found.append(f"{event} is told twice")
        if event not in history.asked:
            found.append(f"{event} is told, and nobody did it")
        told.add(event)
        zxid = placed.get(event)
        if zxid is not None:
            if zxid <= newest:
                found.append(f"the event of {event} at {zxid:#x} comes after {newest:#x} was seen")
            newest = max(newest, zxid)
    return found


def self_test():
    """Planted histories, good and bad."""
    made, changed, gone = Write(11, CREATED, "/a"), Write(12, CHANGED, "/a"), Write(13, DELETED, "/a")
    writes, begin = [made, changed, gone], Answer(10, None, None)
    told = [Event(w.kind, w.path) for w in writes]
    planted = [
        (None, "all told in order", writes, [begin, *told, Answer(13, "/a", False)]),
        ("comes before the event", "an event that never comes", writes, [begin, told[0], told[2], Answer(13, "/a", False)]),
        ("comes after", "events out of order", writes, [begin, told[1], told[0], told[2], Answer(13, "/a", False)]),
        ("comes before the event", "an answer before its event", writes, [begin, told[0], Answer(12, "/a", True), told[1]]),
        ("shown before the event", "a znode before its event", writes, [begin, Answer(10, "/a", True), told[0]]),
        ("missing before the event", "a deletion before its event", writes, [begin, told[0], Answer(11, "/a", False)]),
        ("told twice", "an event twice", writes, [begin, told[0], told[0]]),
        ("comes after", "an event from before the watch", writes, [Answer(11, None, None), told[0]]),
        (None, "what came before the watch", writes, [Answer(12, None, None), told[2], Answer(13, "/a", False)]),
        (None, "a lost write that is told", [made._replace(zxid=None)], [begin, told[0]]),
        ("nobody did it", "a stranger", [], [begin, told[0]]),
        (None, "a connection that ends before the events", writes, [begin, told[0], Answer(11, "/a", True)]),
    ]
    for wanted, what, written, frames in planted:
        expect(problems_of(History(written), frames), wanted, what)
    return f"{len(planted)} planted histories"
