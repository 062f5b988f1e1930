"""Locks: contenders queue up as ephemeral sequential znodes; the first holds the lock, and its czxid is its token.

What the lock guards is one znode, written in a multi that first checks that the writer's own znode is there. In the
order of their zxids, guarded writes carry tokens that only ever grow. And by its own knowledge - acknowledged
writes keep the session for its timeout, counted from when they were sent - no contender holds the lock while another
does. Some holders fall silent for longer than their session may: whatever they write afterwards is refused.
"""

import collections
import itertools
import time

from wire import CHECK, DELETE, MULTI, SET_DATA, WireError, delete_body, multi_body, multi_error, set_body
from jute import put_body
from workloads.base import (EPHEMERAL, NEVER, NO_NODE, OK, SEQUENTIAL, SESSION_EXPIRED, SESSION_S, SYSTEM_ERROR, Worker,
                            Workload, expect)

CONTENDERS = 5
GUARDED = "/lock/guarded"
QUEUE = "/lock/queue"
POLL_S = 0.05

# One acknowledged guarded write: the place it took, and the token it carried with its number in that hold.
Guarded = collections.namedtuple("Guarded", "zxid token number")
# One hold as its holder knows it: from when it learnt that it holds the lock, to when it may have lost it.
Hold = collections.namedtuple("Hold", "token since until")


class Contender(Worker):
    """Takes the lock, writes, and releases it."""

    def work(self, wire):
        while not self.ended:
            self._contend(wire)

    def _contend(self, wire):
        sent = time.monotonic()
        err, path = wire.create_named(f"{QUEUE}/c{self.number}-", b"", EPHEMERAL | SEQUENTIAL)
        self.workload.answered(err, SYSTEM_ERROR, SESSION_EXPIRED)
        if err != OK:
            raise WireError(f"create answers {err}")
        lease = sent + SESSION_S
        _err, _data, stat = wire.get(path)
        while not self.ended:
            err, names, _stat = wire.children(QUEUE)
            if err != OK or path.rsplit("/", 1)[1] not in names:
                raise WireError("the session has ended")
            if min(names, key=lambda name: name.rsplit("-", 1)[1]) == path.rsplit("/", 1)[1]:
                return self._hold(wire, path, stat.czxid, lease)
            if lease - time.monotonic() < 0.75 * SESSION_S:
                sent = time.monotonic()
                err, _version = wire.set(path, b"")
                self.workload.answered(err, SYSTEM_ERROR, NO_NODE, SESSION_EXPIRED)
                lease = sent + SESSION_S if err == OK else lease
            time.sleep(POLL_S)

    def _hold(self, wire, path, token, lease):
        since, until, is_own = time.monotonic(), NEVER, True
        try:
            for number in range(self.choice.randrange(1, 4)):
                if self.choice.random() < 0.01:
                    wire, is_own = self._fall_silent(wire), False
                sent = time.monotonic()
                if not self._guarded_write(wire, path, token, number):
                    raise WireError("the lock was lost")
                # Another session's writes are no sign of life of the one that holds.
                lease = max(lease, sent + SESSION_S) if is_own else lease
                self.pause(0.02)
            until = time.monotonic()
            err = wire.call(DELETE, delete_body(path)).err
            self.workload.answered(err, NO_NODE, SESSION_EXPIRED)
        finally:
            self.workload.holds.append(Hold(token, since, min(until, lease)))

    def _fall_silent(self, wire):
        """Says nothing for longer than the session may, and goes on as if nothing had happened, in a new session."""
        self.workload.silent += 1
        wire.drop()
        time.sleep(2.5 * SESSION_S)
        while not self.ended:
            if (fresh := self.connect()) is not None:
                return fresh
        raise WireError("the workload is over")

    def _guarded_write(self, wire, path, token, number):
        operations = [(CHECK, put_body("check", {"path": path, "version": -1})),
                      (SET_DATA, set_body(GUARDED, f"{token} {number}".encode()))]
        reply = wire.call(MULTI, multi_body(operations))
        err = reply.err or multi_error(reply.body)
        self.workload.answered(err, NO_NODE, SESSION_EXPIRED, SYSTEM_ERROR)
        if err == OK:
            self.workload.guarded.append(Guarded(reply.zxid, token, number))
        else:
            self.workload.refused += 1
        return err == OK


class Locks(Workload):
    name = "lock"

    def __init__(self, ensemble, seed):
        self.guarded, self.holds, self.silent, self.refused, self.early = [], [], 0, 0, 0
        super().__init__(ensemble, seed)

    def make_workers(self):
        return [Contender(self, number) for number in range(CONTENDERS)]

    def prepare(self, wire):
        for path in ("/lock", QUEUE, GUARDED):
            wire.create(path)

    def problems(self, tree):
        early = overlap_problems(self.holds)
        if not self.is_exact:
            # Its leader does not count a write as a sign of life of the session.
            self.early, early = len(early), []
        last = tree[GUARDED][0].decode()
        return guarded_problems(self.guarded, last) + early

    def figures(self):
        shown = (f"{len(self.holds)} holds, {len(self.guarded)} guarded writes, {self.refused} refused, "
                 f"{self.silent} holders silent for too long")
        return shown + (f"; {self.early} lost early" if self.early else "")


def guarded_problems(guarded, last):
    """In the order of zxids, `(token, number)` must grow; nothing greater than the last one is acknowledged."""
    found = []
    for earlier, later in itertools.pairwise(sorted(guarded)):
        if later[1:] <= earlier[1:]:
            found.append(f"guarded write {later.number} of token {later.token:#x} at {later.zxid:#x} comes after "
                         f"number {earlier.number} of token {earlier.token:#x} at {earlier.zxid:#x}")
    if guarded and tuple(int(part) for part in last.split()) < max(guarded)[1:]:
        found.append(f"the guarded znode ends with {last!r}, but {max(guarded)[1:]} was acknowledged")
    return found


def overlap_problems(holds):
    """No two holds, each by its holder's own knowledge, may share a moment."""
    found, latest = [], None
    for hold in sorted((hold for hold in holds if hold.since < hold.until), key=lambda hold: hold.since):
        if latest and hold.since < latest.until:
            found.append(f"token {hold.token:#x} was held from {hold.since:.3f} on, token {latest.token:#x} until "
                         f"{latest.until:.3f}")
        latest = hold if latest is None or hold.until > latest.until else latest
    return found


def self_test():
    """Planted histories, good and bad."""
    expect(guarded_problems([Guarded(1, 10, 0), Guarded(2, 10, 1), Guarded(5, 12, 0)], "12 0"), None, "two holders in turn")
    expect(guarded_problems([Guarded(1, 10, 0), Guarded(3, 10, 1), Guarded(2, 12, 0)], "12 0"), "comes after",
           "a holder that writes after the next one")
    expect(guarded_problems([Guarded(1, 10, 0), Guarded(2, 10, 0)], "10 0"), "comes after", "a write twice")
    expect(guarded_problems([Guarded(1, 10, 0), Guarded(2, 12, 0)], "10 0"), "ends with", "a write lost at the end")
    expect(overlap_problems([Hold(1, 0, 2), Hold(2, 3, 4)]), None, "holds in turn")
    expect(overlap_problems([Hold(1, 0, 5), Hold(2, 1, 2), Hold(3, 4, 6)]), "token 0x3", "a hold within another")
    expect(overlap_problems([Hold(1, 0, 5), Hold(2, 3, 2)]), None, "a hold that was over when it was learnt of")
    return "7 planted histories"
