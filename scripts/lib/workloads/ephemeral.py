"""Ephemerals: there as long as their session lives by its own knowledge, gone once it was told that it is closed or
expired.

A session knows itself alive for its timeout after it sent a write that was acknowledged, or attached. Some
sessions close, some are silent for a while and come back, to another member; watchers list all ephemerals after a sync.
"""

import collections
import itertools
import time

from wire import CLOSE, WireError
from workloads.base import (EPHEMERAL, NEVER, NO_NODE, OK, SESSION_EXPIRED, SESSION_MOVED, SESSION_S, SYSTEM_ERROR,
                            Expired, Worker, Workload, expect)

OWNERS, READERS = 8, 3
PARENT = "/ephemeral"

# One list: asked for and answered when.
Listing = collections.namedtuple("Listing", "names began ended")


class Life:
    """One ephemeral and what its session knows; all times are as late, or as early, as the promise allows."""

    def __init__(self, name):
        self.name = name
        self.asked, self.acked = NEVER, NEVER
        # Until when the session lives for certain, and from when on the ephemeral is gone for certain.
        self.alive_until, self.ending_at, self.gone_at = -NEVER, NEVER, NEVER

    def planted(self, **facts):
        """For the self-test: sets facts."""
        self.__dict__.update(facts)
        return self


class Owner(Worker):
    """Has a session with one ephemeral, keeps it, comes back with it, closes it."""

    def run(self):
        while not self.ended:
            sent = time.monotonic()
            wire = self.connect()
            if wire is None:
                continue
            life = Life(f"e{self.number}-{next(self.workload.serial)}")
            self.workload.lives.append(life)
            try:
                self._live(wire, life, sent)
            except Expired:
                life.gone_at = min(life.gone_at, time.monotonic())
                self.workload.expired += 1

    def _live(self, wire, life, sent):
        """Keeps one session through lost connections until it is closed or has expired."""
        identity = (wire.session_id, wire.password)
        while True:
            life.alive_until = max(life.alive_until, sent + SESSION_S)
            try:
                if self._stay(wire, life):
                    return
            except WireError:
                wire.drop()
            wire, deadline = None, time.monotonic() + 10 * SESSION_S
            while wire is None:
                if self.ended or time.monotonic() > deadline:
                    return
                sent = time.monotonic()
                wire = self.connect(identity)
            self.workload.attached += 1

    def _stay(self, wire, life):
        """Works on one connection; returns whether the session is over and its end acknowledged."""
        path = f"{PARENT}/{life.name}"
        if life.asked == NEVER:
            life.asked = time.monotonic()
            err = wire.create(path, b"", EPHEMERAL)
            self.workload.answered(err, SYSTEM_ERROR, SESSION_EXPIRED)
            if err == OK:
                life.alive_until, life.acked = life.asked + SESSION_S, time.monotonic()
        deadline = time.monotonic() + self.choice.uniform(0.2, 10.0)
        while time.monotonic() < deadline and not self.ended:
            sent = time.monotonic()
            err, _version = wire.set(path, b"")
            # A create without an answer may have failed; what was acknowledged is there, or the session is gone.
            self.workload.answered(err, SYSTEM_ERROR, SESSION_EXPIRED, SESSION_MOVED, *([NO_NODE] if life.acked == NEVER else []))
            if err == SESSION_EXPIRED:
                raise Expired()
            if err == OK:
                life.alive_until = max(life.alive_until, sent + SESSION_S)
            self.pause(0.4)
        if self.choice.random() < 0.5:
            wire.drop()
            self.pause(1.5 * SESSION_S)
            return False
        life.ending_at = min(life.ending_at, time.monotonic())
        if wire.call(CLOSE, b"").err == OK:
            life.gone_at = time.monotonic()
            self.workload.closed += 1
        wire.drop()
        return True


class Reader(Worker):
    """Lists the ephemerals after a sync."""

    def work(self, wire):
        while not self.ended:
            began = time.monotonic()
            err = wire.sync(PARENT)
            if err == OK:
                err, names, _stat = wire.children(PARENT)
            self.workload.answered(err)
            if err == OK:
                self.workload.listings.append(Listing(frozenset(names), began, time.monotonic()))
            self.pause(0.2)


class Ephemerals(Workload):
    name = "ephemeral"

    def __init__(self, ensemble, seed):
        self.lives, self.listings, self.serial = [], [], itertools.count()
        self.expired = self.attached = self.closed = self.unsure = 0
        super().__init__(ensemble, seed)

    def make_workers(self):
        return [Owner(self, number) for number in range(OWNERS)] + [Reader(self, OWNERS + n) for n in range(READERS)]

    def prepare(self, wire):
        wire.create(PARENT)

    def problems(self, tree):
        found = problems_of(self.lives, self.listings)
        # ZooKeeper's reads after a sync may be stale, and its leader does not count a write as a sign of life.
        if not self.is_exact:
            self.unsure, found = len(found), []
        now = time.monotonic()
        names = frozenset(path.rsplit("/", 1)[1] for path in tree if path.startswith(PARENT + "/"))
        return found + [p for p in problems_of(self.lives, [Listing(names, now, now)]) if "is there" in p]

    def figures(self):
        shown = (f"{len(self.lives)} sessions with an ephemeral: {self.closed} closed, {self.expired} expired, "
                 f"{self.attached} times attached again; {len(self.listings)} lists")
        return shown + (f"; {self.unsure} lists that an exact server would not give" if self.unsure else "")


def problems_of(lives, listings):
    """Judges every list against every ephemeral."""
    found, known = [], {life.name for life in lives}
    for listing in listings:
        for life in lives:
            is_there = life.name in listing.names
            if is_there and life.gone_at < listing.began:
                found.append(f"{life.name} is there {listing.began - life.gone_at:.3f} s after its session was known to be gone")
            if is_there and life.asked > listing.ended:
                found.append(f"{life.name} is there before it was asked for")
            if not is_there and life.acked < listing.began and listing.ended < min(life.alive_until, life.ending_at):
                found.append(f"{life.name} is missing though its session lives for another "
                             f"{min(life.alive_until, life.ending_at) - listing.ended:.3f} s at least")
        if listing.names - known:
            found.append(f"ephemerals that nobody created: {sorted(listing.names - known)[:3]}")
    return found


def self_test():
    """Planted histories, good and bad."""
    def life(**facts):
        return Life("e").planted(**{"asked": 0, "acked": 1, "alive_until": 10, **facts})
    there, gone = Listing(frozenset(["e"]), 5, 6), Listing(frozenset(), 5, 6)
    planted = [
        (None, "an ephemeral that is there", life(), there), ("is missing", "one that expired too early", life(), gone),
        (None, "one that may have expired", life(alive_until=5.5), gone),
        (None, "one that is being closed", life(ending_at=5.5), gone),
        (None, "one whose end nobody was told", life(alive_until=2), there),
        ("known to be gone", "one that outlives its session", life(ending_at=2, gone_at=3), there),
        (None, "one that goes while the list is made", life(ending_at=2, gone_at=5.5), there),
        ("before it was asked for", "one too early", life(asked=7, acked=8), there),
        (None, "a create without an answer", life(acked=NEVER), gone),
    ]
    for wanted, what, facts, listing in planted:
        expect(problems_of([facts], [listing]), wanted, what)
    expect(problems_of([], [there]), "nobody created", "a stranger")
    return f"{len(planted) + 1} planted histories"
