"""Plays a sequence of operations in step against two servers and stops where their answers differ.

In step: a write's answer is awaited on both sides before anything else is sent, so that what one connection
does is seen by the others in the same order on both. What is left to chance on the reference is not compared:
the order of events of one session's end, and of lists that have none.
"""

import jute
import operation as ops
from compare import CLOSED, SILENT
from exchange import SIDES, Differs, Exchange, Step
from line import END_TIMEOUT_S, Gone, Line, Session, Slot
from sequences import AUDITOR, CONFIG_PATH, OPEN_ACL, SLOTS

SYSTEM_PATHS = ("/", "/zookeeper", "/zookeeper/quota", CONFIG_PATH)
RESET_PATHS = ("/", "/zookeeper", "/zookeeper/quota")
AUDITED_AT_ONCE = 50
# Which operations of a connect go on with the slot's own session.
OWN_SESSION = ("again", "wrong password")
AFTER_ALL = 1 << 30


class Play:
    """One sequence on two sides, from empty trees back to empty trees."""

    def __init__(self, pair, excuse):
        self.pair = pair
        self.talk = Exchange(pair.members, excuse)
        self.slots = [Slot(f"c{number}") for number in range(SLOTS)]
        self.auditors = [Slot(f"auditor{member}") for member in range(pair.members)]
        self.orphans = []

    def run(self, operations):
        """Plays all; returns whether a difference was found, which is then the last step of the trace."""
        try:
            for group in ops.groups(operations):
                self.play(group)
            self.finish()
            return False
        except Differs:
            return True
        except Gone as error:
            self.talk.trace.append(Step(["connect"], [[], []], f"a server is gone: {error}"))
            return True
        finally:
            for slot in self.slots + self.auditors:
                slot.close()

    def play(self, group):
        """Plays what goes out in one write."""
        head = group[0]
        slot = self.slots[head.slot]
        self.talk.number = group[-1].number
        if head.verb not in ("connect", "drop", "expire") and slot.lines is None:
            return
        ends_session = group[-1].verb in ("close", "expire")
        if ends_session:
            self.settle(self.slots)
        if head.verb == "connect":
            self.connect(slot, head, group[1:])
        elif head.verb == "drop":
            self.drop(slot)
        elif head.verb == "expire":
            self.expire(slot)
        else:
            if head.verb in ops.ALONE and self.pair.members > 1:
                self.settle([slot])
            self.talk.send(slot, group)
        if ends_session:
            # The events of the session's ephemerals are in no fixed order.
            self.settle(self.slots, in_order=False)

    def finish(self):
        """Compares the trees, ends all sessions, compares the trees again, and removes everything."""
        self.settle(self.slots)
        self.talk.number = AFTER_ALL
        for member, slot in enumerate(self.auditors):
            self.connect(slot, self.greet_as("new", member), [])
            self.talk.send(slot, [self.talk.own("auth", auth_type=0, scheme="digest", data=AUDITOR)])
        self.audit()
        for slot in self.slots:
            if slot.lines is None and slot.session:
                self.connect(slot, self.greet_as("again", slot.session.member), [])
            if slot.lines:
                self.play([self.talk.own("close")._replace(slot=self.slots.index(slot))])
        for session in self.orphans:
            self.slots[0].session = session
            self.play([self.greet_as("again", session.member), self.talk.own("close")])
        self.clear(self.audit())
        for slot in self.auditors:
            self.talk.send(slot, [self.talk.own("close")])

    def greet_as(self, how, member, timeout_ms=30000):
        """Returns a connect operation that is not of the sequence."""
        return self.talk.own("connect", how=how, timeout_ms=timeout_ms, last_zxid=0, has_read_only=True, member=member)

    # The tree.

    def audit(self):
        """Compares the whole tree as each member has it; returns its paths, parents first."""
        paths = []
        for auditor in self.auditors:
            self.talk.send(auditor, [self.talk.own("sync", path="/")])
            paths, level = [], ["/"]
            while level:
                paths += level
                below = []
                for first in range(0, len(level), AUDITED_AT_ONCE):
                    below += self.audit_some(auditor, level[first:first + AUDITED_AT_ONCE])
                level = below
        return paths

    def audit_some(self, auditor, paths):
        """Compares some znodes; returns the paths of their children."""
        asked = []
        for path in paths:
            asked += [self.talk.own("getData", path=path, watch=False), self.talk.own("getACL", path=path),
                      self.talk.own("getChildren2", path=path, watch=False)]
        answers = [answer for answer in self.talk.send(auditor, asked) if answer.verb == "getChildren2"]
        names = [fact.value for answer in answers for fact in answer.facts if fact.label == "names"]
        below = [f"{path.rstrip('/')}/{name}" for path, found in zip(paths, names, strict=True) for name in found]
        return [path for path in below if path != CONFIG_PATH or self.pair.members == 1]

    def clear(self, paths):
        """Removes all that the sequence has made."""
        gone = [self.talk.own("delete", path=path, version=-1) for path in reversed(paths) if path not in SYSTEM_PATHS]
        for first in range(0, len(gone), AUDITED_AT_ONCE):
            self.talk.send(self.auditors[0], gone[first:first + AUDITED_AT_ONCE])
        reset = [self.talk.own("setACL", path=path, acl=OPEN_ACL, version=-1) for path in RESET_PATHS]
        self.talk.send(self.auditors[0], reset)
        answers = self.talk.send(self.auditors[0], [self.talk.own("getAllChildrenNumber", path="/")])
        if answers[-1].facts[0].value != len(SYSTEM_PATHS) - 1:
            self.talk.fail("left behind")

    # Connections.

    def connect(self, slot, head, behind):
        """Connects a slot, with requests behind it in the same write."""
        how = head.fields["how"]
        if how in OWN_SESSION and slot.session is None:
            how = "new"
        if how == "ended" and slot.ended is None:
            how = "unknown"
        if how not in OWN_SESSION:
            self.leave(slot)
        if slot.lines:
            self.settle([slot])
        # A session's live connection is closed by the member that it is on.
        old = slot.lines
        member = slot.session.member if old else head.fields["member"] % self.pair.members
        slot.lines = [Line(port) for port in self.pair.ports(member)]
        slot.identities = set()
        for side in SIDES:
            slot.lines[side].hold(self.greeting(slot, head, how, side))
        granted = self.talk.send(slot, behind, greeted=head)
        if old:
            self.expect_end(slot, old)
        if slot.lines and granted[0].kind == "granted":
            self.note_session(slot, member)

    def leave(self, slot):
        """Ends a slot's connection, and leaves its session to itself."""
        self.drop(slot)
        if slot.session:
            self.orphans.append(slot.session)
            slot.session = None

    def greeting(self, slot, head, how, side):
        """Returns the connect request."""
        session, password = 0, b"\0" * 16
        if how in OWN_SESSION:
            session, password = slot.session.ids[side], slot.session.passwords[side]
        if how == "wrong password":
            password = b"wrong password!!"
        elif how == "unknown":
            session = 0x1234567
        elif how == "ended":
            session, password = slot.ended.ids[side], slot.ended.passwords[side]
        last_zxid = 2**62 if how == "future" else self.talk.zxid_of(side, head.fields["last_zxid"])
        return jute.connect_frame(session, password, head.fields["timeout_ms"], last_zxid, head.fields["has_read_only"])

    def note_session(self, slot, member):
        """Notes which session the slot has been granted."""
        ids, passwords = zip(*(line.granted for line in slot.lines))
        if slot.session and (ids, passwords) != (slot.session.ids, slot.session.passwords):
            self.talk.fail("another session or password than before")
        slot.session = Session(ids, passwords, member)

    def expect_end(self, slot, lines):
        """Compares how a connection ends that was a slot's, or whose session is over."""
        answers = [[self.end_of(line)] for line in lines]
        self.talk.judge([f"{slot.name} waits for the end of a connection"], answers, {})
        for line in lines:
            line.close()

    def end_of(self, line):
        """Returns what comes where a connection should end."""
        try:
            frame = line.frame(END_TIMEOUT_S)
        except TimeoutError:
            return SILENT
        return CLOSED if frame is None else self.talk.read(frame, {})

    def drop(self, slot):
        """Ends a slot's connection; the session stays."""
        if slot.lines is None:
            return
        self.settle([slot])
        # Settling may have shown that it has ended already.
        for line in slot.lines or ():
            line.drop()
        self.talk.trace.append(Step([f"{slot.name} drop"], [[], []], None))
        slot.close()

    def expire(self, slot):
        """Attaches a slot's session with the shortest timeout there is, and says nothing until it has ended."""
        if slot.session is None:
            return
        self.connect(slot, self.greet_as("again", slot.session.member, timeout_ms=1), [])
        if slot.lines:
            self.expect_end(slot, slot.lines)
            slot.ended, slot.session = slot.session, None
            slot.close()

    def settle(self, slots, in_order=True):
        """Takes in and compares all events that are under way to `slots`."""
        for slot in slots:
            if slot.lines:
                self.talk.send(slot, [self.talk.own("sync", path="/")], in_order=in_order)
