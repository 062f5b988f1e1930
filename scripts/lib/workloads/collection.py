"""Sets: every child whose create was acknowledged is there, and none whose create was refused or that was deleted.

Elements are children of a common parent; some are deleted again. Tickets are sequential children: no number is given
twice, and one asked for after another was given is greater.
"""

import collections
import itertools
import time

from wire import DELETE, WireError, delete_body
from workloads.base import NEVER, OK, SEQUENTIAL, SYSTEM_ERROR, Worker, Workload, expect

CLIENTS, READERS = 4, 2
# A parent is used for so long, that its list of children stays small.
PARENT_S = 15.0
ADD, REMOVE, TICKET, READ = "add", "remove", "ticket", "read"

# `done`: True acknowledged, False refused, None without an answer. `names` of a read or a ticket is what was answered.
Step = collections.namedtuple("Step", "kind parent name done names began ended")


class Client(Worker):
    """Adds and removes elements of its own, and takes tickets."""

    def work(self, wire):
        mine = collections.deque(maxlen=50)
        for _ in range(self.choice.randrange(50, 500)):
            if self.ended:
                return
            kind = self.choice.choice([ADD, ADD, REMOVE, TICKET]) if mine else ADD
            if kind == REMOVE:
                parent, name = mine.popleft()
            else:
                parent, name = self.workload.parent(wire), f"e{self.number}-{next(self.workload.serial)}"
            if parent and self._step(wire, kind, parent, name) and kind == ADD:
                mine.append((parent, name))
            self.pause(0.03)

    def _step(self, wire, kind, parent, name):
        began, err, given = time.monotonic(), None, None
        try:
            if kind == REMOVE:
                err = wire.call(DELETE, delete_body(f"{parent}/{name}")).err
            elif kind == ADD:
                err = wire.create(f"{parent}/{name}", b"")
            else:
                err, given = wire.create_named(f"{parent}/t-", b"", SEQUENTIAL)
            self.workload.answered(err, SYSTEM_ERROR)
        finally:
            done = None if err is None else err == OK
            ended = NEVER if err is None else time.monotonic()
            names = given.rsplit("/", 1)[1] if given else None
            self.workload.steps.append(Step(kind, parent, name, done, names, began, ended))
        return err == OK


class Reader(Worker):
    """Lists the children after a sync."""

    def work(self, wire):
        while not self.ended:
            parent = self.workload.parent(wire)
            began = time.monotonic()
            if parent and wire.sync(parent) == OK:
                err, names, _stat = wire.children(parent)
                self.workload.answered(err)
                if err == OK:
                    self.workload.steps.append(Step(READ, parent, None, True, frozenset(names), began, time.monotonic()))
            self.pause(2.0)


class Sets(Workload):
    name = "set"

    def __init__(self, ensemble, seed):
        self.steps, self.serial, self.began = [], itertools.count(), time.monotonic()
        self.parents, self.stale = set(), 0
        super().__init__(ensemble, seed)

    def make_workers(self):
        return [Client(self, number) for number in range(CLIENTS)] + [Reader(self, CLIENTS + n) for n in range(READERS)]

    def prepare(self, wire):
        wire.create("/set")

    def parent(self, wire):
        """Returns the parent in use, which it creates if need be, or None."""
        parent = f"/set/p{int((time.monotonic() - self.began) // PARENT_S)}"
        if parent not in self.parents:
            if wire.create(parent) == SYSTEM_ERROR:
                return None
            self.parents.add(parent)
        return parent

    def problems(self, tree):
        steps, now = list(self.steps), time.monotonic()
        children = collections.defaultdict(set)
        for path in tree:
            parent, name = path.rsplit("/", 1)
            children[parent].add(name)
        final = [Step(READ, parent, None, True, frozenset(children[parent]), now, now) for parent in self.parents]
        found = problems_of(steps + final)
        if found and not self.is_exact:
            self.stale = len(found)
            found = problems_of([step for step in steps if step.kind != READ] + final)
        return found

    def figures(self):
        kinds = collections.Counter(f"{s.kind} {'lost' if s.done is None else 'done' if s.done else 'refused'}"
                                    for s in self.steps)
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        return shown + (f"; {self.stale} stale lists" if self.stale else "")


def problems_of(steps):
    """Judges all steps, parent by parent."""
    by_parent = collections.defaultdict(list)
    for step in steps:
        by_parent[step.parent].append(step)
    return [problem for parent in sorted(by_parent) for problem in _parent_problems(parent, by_parent[parent])]


def _parent_problems(parent, steps):
    added = {step.name: step for step in steps if step.kind == ADD}
    removed = {step.name: step for step in steps if step.kind == REMOVE}
    tickets = [step for step in steps if step.kind == TICKET]
    found = _ticket_problems(parent, tickets)
    for step in removed.values():
        if step.done is False:
            found.append(f"{parent}/{step.name} was acknowledged, and could not be deleted")
    for read in (step for step in steps if step.kind == READ):
        for name, add in added.items():
            remove = removed.get(name)
            is_there = name in read.names
            if add.done and add.ended < read.began and not is_there and not (remove and remove.began <= read.ended):
                found.append(f"{parent}/{name} was acknowledged and is missing in a list asked for "
                             f"{read.began - add.ended:.3f} s later")
            if is_there and add.done is False:
                found.append(f"{parent}/{name} was refused and is there")
            if is_there and add.began > read.ended:
                found.append(f"{parent}/{name} is there before it was asked for")
            if is_there and remove and remove.done and remove.ended < read.began:
                found.append(f"{parent}/{name} was deleted and is there {read.began - remove.ended:.3f} s later")
        given = {ticket.names for ticket in tickets if ticket.done}
        for ticket in tickets:
            if ticket.done and ticket.ended < read.began and ticket.names not in read.names:
                found.append(f"{parent}/{ticket.names} was given and is missing")
        lost = sum(ticket.done is None for ticket in tickets)
        strange = [name for name in read.names if name not in added and name not in given]
        if len(strange) > lost or any(not name.startswith("t-") for name in strange):
            found.append(f"{parent} has children that nobody created: {sorted(strange)[:3]}, {lost} tickets were lost")
    return found


def _ticket_problems(parent, tickets):
    given = sorted((ticket for ticket in tickets if ticket.done), key=lambda ticket: ticket.began)
    found, greatest, index = [], "", 0
    if len({ticket.names for ticket in given}) < len(given):
        found.append(f"{parent}: a ticket was given twice")
    over = sorted(given, key=lambda ticket: ticket.ended)
    for ticket in given:
        while index < len(over) and over[index].ended < ticket.began:
            greatest = max(greatest, over[index].names)
            index += 1
        if ticket.names <= greatest:
            found.append(f"{parent}: ticket {ticket.names} was asked for after {greatest} was given")
    return found


def self_test():
    """Planted histories, good and bad."""
    add = Step(ADD, "/p", "x", True, None, 0, 1)
    refused, lost = add._replace(done=False), add._replace(done=None, ended=NEVER)
    remove = Step(REMOVE, "/p", "x", True, None, 2, 3)
    with_x, empty = (Step(READ, "/p", None, True, frozenset(names), 5, 6) for names in (["x"], []))
    first = Step(TICKET, "/p", "", True, "t-0000000001", 0, 1)
    second = first._replace(names="t-0000000002", began=2, ended=3)
    both = Step(READ, "/p", None, True, frozenset(["t-0000000001", "t-0000000002"]), 5, 6)
    planted = [
        (None, "an element", [add, with_x]), ("missing", "a lost element", [add, empty]),
        (None, "a lost create that took effect", [lost, with_x]), (None, "and one that did not", [lost, empty]),
        ("refused and is there", "a refused element that is there", [refused, with_x]),
        (None, "a removed element", [add, remove, empty]),
        ("deleted and is there", "an element that comes back", [add, remove, with_x]),
        ("could not be deleted", "an element that cannot be deleted", [add, remove._replace(done=False), empty]),
        ("before it was asked for", "an element too early", [add._replace(began=7, ended=8), with_x]),
        ("nobody created", "a stranger", [with_x]),
        (None, "tickets in order", [first, second, both]),
        ("asked for after", "a smaller ticket later", [first._replace(began=4, ended=4.5), second, both]),
        ("given twice", "a ticket given twice", [first, second._replace(names="t-0000000001"), both]),
        ("given and is missing", "a lost ticket", [first, second, both._replace(names=frozenset(["t-0000000002"]))]),
    ]
    for wanted, what, steps in planted:
        expect(problems_of(steps), wanted, what)
    return f"{len(planted)} planted histories"
