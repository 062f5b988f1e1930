"""FIFO: what one session sends ahead is answered in order, takes effect in order, and each read sees the writes that
were sent before it and nothing of those after.

Each client has a znode of its own that nobody else writes, and sends pipelines of writes and reads. When the
connection breaks in the middle of one, the writes that took effect must be its first ones; and nothing of it may take
effect after the session has been attached to another member. Some pipelines are left at once, so that the attach
overtakes what is under way.
"""

import collections
import struct

from wire import GET_DATA, OK, SET_DATA, WireError, get_answer, read_body, set_body
from jute import STAT
from workloads.base import SESSION_EXPIRED, SESSION_MOVED, SYSTEM_ERROR, Expired, Worker, Workload, expect

CLIENTS = 5
PIPELINE_MAX = 40
LEFT_SHARE = 0.05
TIMEOUTS_S = (0.5, 1.0, 3.0)
SET, GET, LOOK = "set", "get", "look"

# One request. A look is a read after a sync on a new connection. `answer` is None where none came, else
# `(error code, version, value)`; of a set only the version is answered.
Asked = collections.namedtuple("Asked", "kind value answer")


class Client(Worker):
    """Sends pipelines, through whichever member it is attached to."""

    def run(self):
        self.path, self.log, self.count = f"/fifo/n{self.number}", [], 0
        self.workload.logs[self.path] = self.log
        identity = (0, b"\0" * 16)
        while not self.ended:
            try:
                wire = self.connect(identity, self.choice.choice(TIMEOUTS_S))
            except Expired:
                identity = (0, b"\0" * 16)
                continue
            if wire is None:
                continue
            identity = (wire.session_id, wire.password)
            try:
                self._work(wire)
            except (WireError, struct.error):
                pass
            wire.drop()

    def _work(self, wire):
        err = wire.sync(self.path)
        if err == OK:
            err, data, stat = wire.get(self.path)
        self.workload.answered(err, SESSION_MOVED, SESSION_EXPIRED)
        if err != OK:
            raise WireError(f"a look answers {err}")
        self.log.append(Asked(LOOK, None, (OK, stat.version, int(data))))
        for _ in range(self.choice.randrange(5, 100)):
            if self.ended:
                return
            self._pipeline(wire)
            self.pause(0.1)

    def _pipeline(self, wire):
        kinds = [self.choice.choice([SET, SET, GET]) for _ in range(self.choice.randrange(1, PIPELINE_MAX))]
        waiting = collections.deque()
        try:
            for kind in kinds:
                self.count += kind == SET
                # Noted before it is sent: whatever happens, it may have taken effect.
                self.log.append(Asked(kind, self.count if kind == SET else None, None))
                body = set_body(self.path, str(self.count).encode()) if kind == SET else read_body(self.path)
                waiting.append((wire.send(SET_DATA if kind == SET else GET_DATA, body), len(self.log) - 1))
            if self.choice.random() < LEFT_SHARE:
                raise WireError("left")
            while waiting:
                xid, place = waiting.popleft()
                reply = wire.receive()
                if reply.xid != xid:
                    self.workload.out_of_order.append(f"{self.path}: answer to {reply.xid} where {xid} was due")
                    raise WireError("answers out of order")
                self._note(place, reply)
        finally:
            self.workload.pipelines += 1
            self.workload.broken += bool(waiting)

    def _note(self, place, reply):
        asked = self.log[place]
        self.workload.answered(reply.err, SYSTEM_ERROR, SESSION_MOVED, SESSION_EXPIRED)
        version = value = None
        if reply.err == OK and asked.kind == SET:
            version = STAT.unpack_from(reply.body, 0)[4]
        elif reply.err == OK:
            _err, data, stat = get_answer(reply)
            version, value = stat.version, int(data)
        self.log[place] = asked._replace(answer=(reply.err, version, value))


class Fifo(Workload):
    name = "fifo"

    def __init__(self, ensemble, seed):
        self.logs, self.out_of_order, self.pipelines, self.broken = {}, [], 0, 0
        super().__init__(ensemble, seed)

    def make_workers(self):
        return [Client(self, number) for number in range(CLIENTS)]

    def prepare(self, wire):
        wire.create("/fifo")
        for number in range(CLIENTS):
            wire.create(f"/fifo/n{number}", b"0")

    def problems(self, tree):
        found = list(self.out_of_order)
        for path, log in self.logs.items():
            data, stat = tree[path]
            found += problems_of(path, [*log, Asked(LOOK, None, (OK, stat.version, int(data)))], self.is_exact)
        return found

    def figures(self):
        asked = sum(len(log) for log in self.logs.values())
        return f"{self.pipelines} pipelines with {asked} requests, {self.broken} broken off"


def problems_of(path, log, looks_are_exact=True):
    """Judges one client's log: one writer, so all is determined but how many of the lost writes took effect."""
    found, version, value, lost = [], 0, 0, []
    for asked in log:
        if asked.answer is None or asked.answer[0] in (SESSION_MOVED, SESSION_EXPIRED):
            # An answer that never came; what was sent behind it cannot have been answered before a look.
            lost += [asked.value] if asked.kind == SET else []
            continue
        err, seen_version, seen = asked.answer
        if err != OK:
            continue
        if asked.kind == LOOK:
            took = seen_version - version
            if took < 0 and not looks_are_exact:
                continue
            wanted = value if took == 0 else lost[took - 1] if 0 < took <= len(lost) else None
            if seen != wanted:
                found.append(f"{path}: a look shows {seen} at version {seen_version}, after {value} at {version} and "
                             f"the unanswered {lost[:5]}")
            version, value, lost = seen_version, seen, []
        elif lost:
            found.append(f"{path}: {asked} is answered, and one sent before it is not")
        elif asked.kind == SET:
            if seen_version != version + 1:
                found.append(f"{path}: set of {asked.value} makes version {seen_version} after {version}")
            version, value = seen_version, asked.value
        elif (seen_version, seen) != (version, value):
            found.append(f"{path}: a read shows {seen} at version {seen_version}, {value} at {version} was written before it")
    return found


def self_test():
    """Planted histories, good and bad."""
    one, two, three = (Asked(SET, n, (OK, n, None)) for n in (1, 2, 3))

    def get(version, value):
        return Asked(GET, None, (OK, version, value))

    def look(version, value):
        return Asked(LOOK, None, (OK, version, value))

    def lost(value):
        return Asked(SET, value, None)
    planted = [
        (None, "writes and reads in turn", [one, get(1, 1), two, get(2, 2)]),
        ("was written before it", "a read that misses a write", [one, two, get(1, 1)]),
        ("was written before it", "a read that sees a write sent after it", [one, get(2, 2), two]),
        ("makes version", "a write that another one slipped before", [one, three]),
        (None, "lost writes of which the first took effect", [one, lost(2), lost(3), look(2, 2)]),
        ("a look shows", "the second took effect and the first did not", [one, lost(2), lost(3), look(2, 3)]),
        (None, "all lost writes took effect", [one, lost(2), lost(3), look(3, 3)]),
        ("a look shows", "an acknowledged write is gone", [one, two, look(1, 1)]),
        ("was written before it", "a lost write takes effect after the look", [one, lost(2), look(1, 1), get(2, 2)]),
        ("is answered", "an answer behind one that is missing", [lost(1), Asked(SET, 2, (OK, 2, None))]),
        (None, "a refused write", [one, Asked(SET, 9, (SYSTEM_ERROR, None, None)), get(1, 1)]),
    ]
    for wanted, what, log in planted:
        expect(problems_of("/planted", log), wanted, what)
    return f"{len(planted)} planted histories"
