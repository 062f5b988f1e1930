"""What two servers answered, compared: equal to the byte, but for what each draws for itself.

Zxids correspond one-to-one and in order, session ids one-to-one; times are zero on both sides or on none, and
are the same wherever a server tells them of the same zxid.
"""

import bisect
import collections
import time

import jute
from operation import WRITES

# How far a server's clock may seem ahead of ours.
CLOCK_SKEW_MS = 2000

# One frame from a server, or that there was none. Kinds: "reply", "event", "granted" (a connect reply), "closed"
# (by the server), "silent" (none came in time), "nothing" (the other side has one more). `xid` is of a reply,
# `verb` that of its request.
Answer = collections.namedtuple("Answer", "kind xid verb zxid err facts", defaults=(None, None, None, 0, ()))

CLOSED, SILENT, NOTHING = Answer("closed"), Answer("silent"), Answer("nothing")


class Correspondence:
    """Which zxid, session and time of one server stands for which of the other; made anew for each sequence."""

    def __init__(self):
        self.zxids = []
        self.sessions = ({}, {})
        self.times = ({}, {})

    def name_session(self, name, ids):
        """Notes that both ids are the session called `name`."""
        for known, session in zip(self.sessions, ids):
            known[session] = name

    def is_known(self, side, session):
        """Whether a session has a name."""
        return session in self.sessions[side]

    def bind(self, ours, theirs):
        """Notes that two zxids are of the same txn; returns why they cannot be, or None."""
        if ours <= 0 or theirs <= 0:
            return None if ours == theirs else "zxid"
        place = bisect.bisect_left(self.zxids, (ours, 0))
        if place < len(self.zxids) and self.zxids[place][0] == ours:
            return None if self.zxids[place][1] == theirs else "zxid of another txn"
        if not self._fits(place, theirs, strictly=True):
            return "zxid out of order"
        self.zxids.insert(place, (ours, theirs))
        return None

    def is_between(self, ours, theirs):
        """Whether `theirs` lies among the known txns where `ours` does; for zxids that need not be of a txn."""
        if ours <= 0 or theirs <= 0:
            return ours == theirs
        return self._fits(bisect.bisect_right(self.zxids, (ours, 2**63)), theirs, strictly=False)

    def _fits(self, place, theirs, strictly):
        below = self.zxids[place - 1][1] if place else 0
        above = self.zxids[place][1] if place < len(self.zxids) else 2**63
        return below + strictly <= theirs < above

    def differ(self, ours, theirs):
        """Returns what makes two answers differ, or None."""
        for name in ("kind", "xid", "verb", "err"):
            if getattr(ours, name) != getattr(theirs, name):
                return name
        if ours.kind == "reply":
            is_txn = ours.verb in WRITES and ours.err == 0 and not is_failed_multi(ours)
            why = self.bind(ours.zxid, theirs.zxid) if is_txn else None
            if why or not self.is_between(ours.zxid, theirs.zxid):
                return f"{why or 'zxid out of order'} in the header"
        if len(ours.facts) != len(theirs.facts):
            return "body"
        for left, right in zip(ours.facts, theirs.facts):
            why = self._fact_differs(left, right)
            if why:
                return why
        return self._times_differ(ours, 0) or self._times_differ(theirs, 1)

    def _fact_differs(self, left, right):
        if left.label != right.label:
            return left.label
        if left.kind == "zxid":
            why = self.bind(left.value, right.value)
            return why and f"{why} in {left.label}"
        if left.kind == "session":
            left, right = self.session(0, left.value), self.session(1, right.value)
            return None if left == right else "session"
        if left.kind == "time":
            return None if (left.value == 0) == (right.value == 0) else left.label
        return None if left.value == right.value else left.label

    def session(self, side, value):
        """Returns the name of a session."""
        return self.sessions[side].get(value, value)

    def _times_differ(self, answer, side):
        """Whether a txn is told to have happened at two times, or in the future."""
        values = {fact.label: fact.value for fact in answer.facts}
        for label, moment in values.items():
            head, _, last = label.rpartition(".")
            if last not in ("ctime", "mtime"):
                continue
            zxid = values[(head and head + ".") + last[0] + "zxid"]
            if self.times[side].setdefault(zxid, moment) != moment:
                return f"{label}: one txn at two times"
            if moment > time.time() * 1000 + CLOCK_SKEW_MS:
                return f"{label}: in the future"
        return None


def is_failed_multi(answer):
    """Whether a multi's answer tells a failure."""
    return any(fact.label == "0" and fact.value[0] == -1 and not fact.value[1] for fact in answer.facts)


def in_loose_order(answers):
    """Returns the answers with the events behind the last reply but one sorted: those of one write have no order."""
    if answers and answers[-1].kind == "closed":
        return in_loose_order(answers[:-1]) + answers[-1:]
    tail = answers[-1:] if answers and answers[-1].kind != "event" else []
    rest = answers[:len(answers) - len(tail)]
    first = len(rest)
    while first and rest[first - 1].kind == "event":
        first -= 1
    return rest[:first] + sorted(rest[first:], key=lambda event: repr(event.facts)) + tail


def text(answer):
    """Returns one line that says all about an answer."""
    if answer.kind in ("closed", "silent"):
        return {"closed": "connection closed", "silent": "no answer"}[answer.kind]
    if answer.kind == "event":
        return f"event {answer.facts[0].value} {answer.facts[2].value!r}" + "".join(
            f" {fact.label}={fact.value}" for fact in answer.facts[1::2] if fact.value not in (3, ""))
    shown = [f"{fact.label}={fact_text(fact)}" for fact in answer.facts]
    if answer.kind == "granted":
        return " ".join(["connect reply", *shown])
    head = [f"{answer.verb}:", str(jute.ERRORS.get(answer.err, answer.err)), f"zxid={answer.zxid:#x}"]
    return " ".join(head + shown)


def fact_text(fact):
    """Returns the value of a fact, numbers that are ids in hex."""
    return hex(fact.value) if fact.kind in ("zxid", "session") else repr(fact.value)
