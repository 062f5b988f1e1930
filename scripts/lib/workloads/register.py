"""Registers: writes, compare-and-set by version, and reads after a sync are linearizable.

Registers are short-lived, so that a search over each one's history ends; `linearize.py` looks at values alone. Besides,
each version has one value and each value one version, and no connection sees a version below one it saw.
"""

import collections
import itertools
import random
import time

from linearize import CAS, READ, WRITE, Operation, Undecided, is_linearizable
from wire import NODE_EXISTS, WireError
from workloads.base import BAD_VERSION, NEVER, OK, SYSTEM_ERROR, Worker, Workload, expect

CLIENTS = 6
# How many operations are begun on a register before the next one takes its place, and how many at most.
OPERATIONS, OPERATIONS_MAX = 60, 90
FIRST = "first"


class Register:
    """One register while it is in use, and what was done to it."""

    def __init__(self, path):
        self.path, self.history, self.versions, self.begun = path, [], [], 0


class Opener(Worker):
    """Creates the next register when the present one has seen enough."""

    def work(self, wire):
        while not self.ended:
            if self.workload.current.begun >= OPERATIONS:
                path = f"/register/r{len(self.workload.registers)}"
                err = wire.create(path, FIRST.encode())
                self.workload.answered(err, NODE_EXISTS, SYSTEM_ERROR)
                if err in (OK, NODE_EXISTS):
                    self.workload.use(path)
            time.sleep(0.02)


class Client(Worker):
    """Does random operations on the present register."""

    def work(self, wire):
        register, newest, known = None, -1, None
        for _ in range(self.choice.randrange(50, 500)):
            if self.ended:
                return
            if register is not self.workload.current:
                register, newest, known = self.workload.current, -1, None
            if register.begun < OPERATIONS_MAX:
                register.begun += 1
                version, value = self._operate(wire, register, known)
                if version is not None:
                    if version < newest:
                        self.workload.back_in_time.append(f"{register.path}: version {version} after {newest} on a connection")
                    newest, known = max(newest, version), (version, value)
            self.pause(0.02)

    def _operate(self, wire, register, known):
        """Does one operation; returns `(version, value)` as seen, or `(None, None)`."""
        kind = self.choice.choice([READ, READ, WRITE, CAS] if known else [READ, WRITE])
        value = None if kind == READ else f"{self.number}.{next(self.workload.serial)}"
        began, place = time.monotonic(), len(register.history)
        expected = known[1] if kind == CAS else None
        done, version = None, None
        try:
            if kind == READ:
                err = wire.sync(register.path)
                if err == OK:
                    err, data, stat = wire.get(register.path)
                if err == OK:
                    value, version, done = data.decode(), stat.version, True
            else:
                err, version = wire.set(register.path, value.encode(), known[0] if kind == CAS else -1)
                done = {OK: True, BAD_VERSION: False}.get(err)
            self.workload.answered(err, SYSTEM_ERROR, *([BAD_VERSION] if kind == CAS else []))
            if err == SYSTEM_ERROR:
                return None, None  # Refused, so it took no effect.
        except WireError:
            register.history.append(Operation(kind, expected, value, None, began, NEVER))
            raise
        register.history.insert(place, Operation(kind, expected, value, done, began, time.monotonic()))
        if done:
            register.versions.append((version, value))
        return version, value if done else None


class Registers(Workload):
    name = "register"

    def __init__(self, ensemble, seed):
        self.serial, self.registers, self.back_in_time = itertools.count(), [Register("/register/r0")], []
        self.stale = self.undecided = 0
        super().__init__(ensemble, seed)

    @property
    def current(self):
        """The register in use."""
        return self.registers[-1]

    def use(self, path):
        """Puts a new register in use."""
        self.registers.append(Register(path))

    def make_workers(self):
        return [Opener(self, 0)] + [Client(self, number) for number in range(1, CLIENTS + 1)]

    def prepare(self, wire):
        wire.create("/register")
        wire.create("/register/r0", FIRST.encode())

    def problems(self, tree):
        found, now = list(self.back_in_time), time.monotonic()
        for register in self.registers:
            if register.path not in tree:
                found.append(f"{register.path} is not there")
                continue
            data, stat = tree[register.path]
            last = Operation(READ, None, data.decode(), True, now, now)
            found += version_problems(register.path, [*register.versions, (stat.version, data.decode())])
            history = [*register.history, last]
            problem = history_problem(register.path, history)
            if problem and not self.is_exact:
                # Its reads after a sync may be stale: they are counted, and the rest is judged alone.
                self.stale += 1
                problem = history_problem(register.path, [o for o in history if o.kind != READ or o is last])
            found += [problem] if problem else []
        return found

    def figures(self):
        operations = [operation for register in self.registers for operation in register.history]
        kinds = collections.Counter(f"{o.kind} {'lost' if o.done is None else 'refused' if not o.done else 'done'}"
                                    for o in operations)
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        return f"{len(self.registers)} registers; {shown}" + (f"; {self.stale} with stale reads" if self.stale else "")


def version_problems(path, pairs):
    """Each version has one value, and each value one version."""
    values, versions, found = {}, {}, []
    for version, value in pairs:
        if values.setdefault(version, value) != value:
            found.append(f"{path} has two values at version {version}: {values[version]} and {value}")
        if versions.setdefault(value, version) != version:
            found.append(f"{path} has {value} at two versions: {versions[value]} and {version}")
    return found


def history_problem(path, history):
    """Returns what is wrong with one register's history, or None."""
    try:
        if is_linearizable(history, FIRST):
            return None
        shown = "\n    ".join(str(operation) for operation in sorted(history, key=lambda o: o.began))
        return f"{path} is not linearizable:\n    {shown}"
    except Undecided as undecided:
        return f"{path} is undecided: {undecided}"


def _explained_by_trying(history):
    """Whether some subset and order of a few operations explains them: the definition, word for word."""
    lost = [o for o in history if o.done is None]
    for taken in itertools.product([True, False], repeat=len(lost)):
        chosen = [o for o in history if o.done is not None] + list(itertools.compress(lost, taken))
        for order in itertools.permutations(chosen):
            if any(later.ended < earlier.began for earlier, later in itertools.combinations(order, 2)):
                continue
            state = FIRST
            for o in order:
                matches = state == (o.value if o.kind == READ else o.expected)
                if o.kind == READ and o.done is not None and not matches or o.kind == CAS and matches == (o.done is False):
                    break
                state = o.value if o.kind == WRITE or o.kind == CAS and o.done is not False else state
            else:
                return True
    return False


def _random_history(choice):
    values = [FIRST, "a", "b", "c", "d"]
    history = []
    for value in values[1:]:
        kind = choice.choice([READ, WRITE, WRITE, CAS])
        began = choice.randrange(8)
        done = choice.choice([True, True, None] if kind != CAS else [True, False, None])
        ended = NEVER if done is None else began + choice.randrange(4)
        seen = choice.choice(values)
        history.append(Operation(kind, seen if kind == CAS else None, seen if kind == READ else value, done, began, ended))
    return history


def self_test():
    """Good histories pass, bad ones do not, and random small ones are judged as their definition says."""
    write = Operation(WRITE, None, "a", True, 0, 1)
    lost = Operation(WRITE, None, "b", None, 0, NEVER)
    planted = [
        (None, "a read of the last write", [write, Operation(READ, None, "a", True, 2, 3)]),
        ("not linearizable", "a stale read", [write, Operation(READ, None, FIRST, True, 2, 3)]),
        (None, "a lost write that is seen late", [write, lost, Operation(READ, None, "a", True, 2, 3),
                                                  Operation(READ, None, "b", True, 4, 5)]),
        ("not linearizable", "a lost write that takes effect twice", [
            write, lost, Operation(READ, None, "b", True, 2, 3), Operation(WRITE, None, "c", True, 4, 5),
            Operation(READ, None, "b", True, 6, 7)]),
        ("not linearizable", "a CAS that succeeds against another value", [write, Operation(CAS, FIRST, "c", True, 2, 3)]),
        ("not linearizable", "a CAS refused against the value that is there", [write, Operation(CAS, "a", "c", False, 2, 3)]),
        (None, "a CAS refused because of a lost write that nobody saw", [
            write, Operation(WRITE, None, "b", None, 1, NEVER), Operation(CAS, "a", "c", False, 2, 3),
            Operation(WRITE, None, "d", True, 4, 5)]),
        ("not linearizable", "two CASes that both succeed", [Operation(CAS, FIRST, "c", True, 0, 3),
                                                            Operation(CAS, FIRST, "d", True, 0, 3)]),
    ]
    for wanted, what, history in planted:
        problem = history_problem("/planted", history)
        expect([problem] if problem else [], wanted, what)
    expect(version_problems("/p", [(1, "a"), (1, "b")]), "two values", "two values")
    expect(version_problems("/p", [(1, "a"), (2, "a")]), "two versions", "two versions")
    choice, verdicts = random.Random(7), collections.Counter()
    for _ in range(3000):
        history = _random_history(choice)
        verdict = is_linearizable(history, FIRST)
        assert verdict == _explained_by_trying(history), f"judged {verdict}: {history}"
        verdicts[verdict] += 1
    assert min(verdicts.values()) > 300, verdicts
    return f"{len(planted) + 2} planted histories, 3000 random ones ({verdicts[True]} good)"
