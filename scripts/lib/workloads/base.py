"""What the workloads share: threads with a connection to some member, and how they end.

A workload's threads write down what they asked and were told, and judge nothing. Afterwards one pure function
judges what was written down, and returns a line for each promise it finds broken; the workload's planted histories
prove that it can. Times are of this machine's monotonic clock.
"""

import random
import struct
import threading
import time
import traceback

from wire import Wire, WireError

TIMEOUT_S = 3.0
NEVER = float("inf")
OK, SYSTEM_ERROR, NO_NODE, BAD_VERSION, SESSION_EXPIRED, SESSION_MOVED = 0, -1, -101, -103, -112, -118
EPHEMERAL, SEQUENTIAL = 1, 2
SESSION_S = 4.0


class Expired(Exception):
    """A member told that the session is gone."""


class Worker:
    """One thread; `work` is called with a new connection again and again until the workload ends."""

    def __init__(self, workload, number):
        self.workload, self.number = workload, number
        self.choice = random.Random(f"{workload.seed} {workload.name} {number}")
        self.thread = threading.Thread(target=self._guarded, daemon=True)

    @property
    def ended(self):
        """Whether the workload is over."""
        return self.workload.ended

    def connect(self, session=(0, b"\0" * 16), timeout_s=TIMEOUT_S):
        """Returns a connection to a random member, or None when that member takes none; raises Expired."""
        member = self.choice.choice(self.workload.ensemble.members)
        try:
            wire = Wire(member.at, int(SESSION_S * 1000), timeout_s, session)
        except WireError:
            time.sleep(0.05)
            return None
        if session[0] and wire.session_id != session[0]:
            wire.drop()
            raise Expired()
        return wire

    def pause(self, longest_s):
        """Sleeps for a random time."""
        time.sleep(self.choice.uniform(0, longest_s))

    def _guarded(self):
        try:
            self.run()
        except Exception:  # Whatever it stumbles over must be seen when the workload is judged.
            self.workload.stumbles.append(traceback.format_exc())

    def run(self):
        """Connects and works until the end; a lost connection is what the test is about."""
        while not self.ended:
            wire = self.connect()
            if wire is None:
                continue
            try:
                self.work(wire)
                wire.close()
            except (WireError, struct.error):
                wire.drop()

    def work(self, wire):
        """Works on one connection for a while; WireError ends it."""
        raise NotImplementedError


class Workload:
    """Threads that do one kind of work, and the judge of what they wrote down."""

    name = None

    def __init__(self, ensemble, seed):
        self.ensemble, self.seed = ensemble, seed
        self.is_exact = ensemble.kind == "conclave"
        self.ended, self.progress, self.stumbles, self.odd_errors = False, 0, [], {}
        self.workers = self.make_workers()

    def make_workers(self):
        """Returns the threads, not started."""
        raise NotImplementedError

    def prepare(self, wire):
        """Creates the znodes that must be there."""

    def start(self):
        """Starts the threads."""
        for worker in self.workers:
            worker.thread.start()

    def end(self):
        """Ends the threads; returns whether they did."""
        self.ended = True
        deadline = time.monotonic() + 60.0
        for worker in self.workers:
            worker.thread.join(max(0.0, deadline - time.monotonic()))
        return not any(worker.thread.is_alive() for worker in self.workers)

    def answered(self, err, *allowed):
        """Notes one answer; an error that is none of `allowed` is judged at the end."""
        if err == OK:
            self.progress += 1
        elif err not in allowed:
            self.odd_errors[err] = self.odd_errors.get(err, 0) + 1

    def problems(self, tree):
        """Judges all that was written down, with the final tree; returns the promises that were broken."""
        raise NotImplementedError

    def figures(self):
        """Returns what was measured, as one line."""
        raise NotImplementedError


def expect(found, wanted, what):
    """For planted histories: `found` problems must be none, or must mention `wanted`."""
    if wanted is None:
        assert not found, f"{what}: a good history is refused: {found[0]}"
    else:
        assert any(wanted in problem for problem in found), f"{what}: a bad history passes: {found}"
