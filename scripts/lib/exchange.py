"""Sends the same requests to two servers, takes in what they answer, and stops where it differs."""

import collections

import jute
import operation as ops
from compare import CLOSED, NOTHING, SILENT, Answer, Correspondence, in_loose_order, text
from line import END_TIMEOUT_S

ANSWER_TIMEOUT_S = 6.0
# Errors of the last reply before a server closes the connection.
LAST_ERRORS = (-115, -112)
SIDES = (0, 1)
# What needs no sync before it, so that the member is as far as others have told.
NEEDS_NO_SYNC = ops.ALONE | {"sync"}

# What was sent in one write, what both sides answered, and what differs, if anything.
Step = collections.namedtuple("Step", "sent answers differs")


class Differs(Exception):
    """The last step of the trace differs."""


class Exchange:
    """All that is said between clients and both sides in one sequence.

    `excuse` tells why two answers to a request may differ; None where they may not.
    """

    def __init__(self, members, excuse):
        self.members, self.excuse = members, excuse
        self.same = Correspondence()
        self.told = [[], []]
        self.number = 0
        self.session_count = 0
        self.is_acl_order_free = False
        self.trace = []
        # How often a difference was excused for a reason, and how often each kind of answer was the same.
        self.excused, self.same_answers = collections.Counter(), collections.Counter()

    def own(self, verb, **fields):
        """Returns an operation that is not of the sequence."""
        return ops.Operation(self.number, 0, verb, fields)

    def send(self, slot, group, greeted=None, in_order=True):
        """Sends requests in one write, compares all answers to them, and returns the reference's."""
        if self.members > 1 and group and group[0].verb not in NEEDS_NO_SYNC and not greeted:
            group = [group[0]._replace(verb="sync", fields={"path": "/"}, spoil=None, is_joined=False), *group]
        for request in group:
            self.note_identities(slot, request)
        said = ([greeted] if greeted else []) + group
        sent = [f"{slot.name} {ops.text(operation)}" for operation in said]
        # The reference never answers a check that holds: what comes behind tells that it is through.
        flushed = any(request.verb == "check" for request in group) and group[-1].verb != "close"
        awaited = [self.write(slot, side, group, flushed) for side in SIDES]
        answers = [self.collect(slot.lines[side], awaited[side], side, greeted is not None, flushed) for side in SIDES]
        if not in_order or group and group[-1].verb == "close":
            answers = [in_loose_order(side) for side in answers]
        if greeted:
            self.name_session(answers)
        self.judge(sent, answers, awaited[0])
        if CLOSED in answers[0]:
            is_over = any(answer.verb == "close" and answer.err == 0 for answer in answers[0])
            if is_over and slot.session:
                slot.ended, slot.session = slot.session, None
            slot.close()
        return answers[0]

    def note_identities(self, slot, request):
        """Knows when the order of a stored ACL is no longer fixed: `auth` of several identities has none."""
        if request.verb == "auth" and request.fields["scheme"] == "digest":
            slot.identities.add(request.fields["data"])
        elif "'auth'" in str(request.fields) and len(slot.identities) > 1:
            self.is_acl_order_free = True

    def write(self, slot, side, group, flushed):
        """Sends requests in one write; returns them by the xids of their answers."""
        line = slot.lines[side]
        awaited, raw = {}, b""
        for request in group:
            line.xid += 1
            raw += jute.frame(ops.payload(request, line.xid, lambda symbol: self.zxid_of(side, symbol)))
            awaited[jute.PING_XID if request.verb == "ping" else line.xid] = request
        if flushed:
            line.xid += 1
            awaited[line.xid] = self.own("sync", path="flush")
            raw += jute.frame(ops.payload(awaited[line.xid], line.xid, None))
        line.send(raw)
        return awaited

    def collect(self, line, awaited, side, is_greeted, flushed):
        """Returns the answers up to the last one that is awaited, with the events before it."""
        answers, waiting = [], dict(awaited)
        if is_greeted:
            answers.append(self.greet(line))
        while waiting or answers and is_last(answers[-1]):
            timeout_s = ANSWER_TIMEOUT_S if waiting else END_TIMEOUT_S
            try:
                frame = line.frame(timeout_s)
            except TimeoutError:
                return answers + [SILENT]
            if frame is None:
                return answers + [CLOSED]
            answer = self.read(frame, waiting)
            answers.append(answer)
            if answer.kind == "reply":
                waiting.pop(answer.xid, None)
                self.told[side].append((self.number, answer.zxid))
                if flushed and answer.xid == max(awaited):
                    break
        return answers

    def greet(self, line):
        """Returns the answer to a connect request."""
        try:
            frame = line.frame(ANSWER_TIMEOUT_S)
        except TimeoutError:
            return SILENT
        if frame is None:
            return CLOSED
        facts, *line.granted = jute.connect_facts(frame)
        return Answer("granted", facts=facts)

    def read(self, frame, waiting):
        """Returns what a frame says."""
        xid, zxid, err = jute.HEADER.unpack_from(frame, 0)
        body = frame[jute.HEADER.size:]
        if xid == jute.EVENT_XID:
            return Answer("event", zxid=zxid, err=err, facts=jute.event_facts(body))
        verb = waiting[xid].verb if xid in waiting else None
        facts = jute.reply_facts(verb, err, body)
        if self.is_acl_order_free:
            facts = [fact._replace(value=sorted(fact.value, key=repr)) if fact.label == "acl" else fact
                     for fact in facts]
        return Answer("reply", xid, verb, zxid, err, facts)

    def zxid_of(self, side, symbol):
        """Returns what a symbolic zxid is on a side: the last that was told up to that operation."""
        if not isinstance(symbol, tuple):
            return symbol
        return max((zxid for number, zxid in self.told[side] if number <= symbol[1]), default=0)

    def name_session(self, answers):
        """Gives a session that both sides have just opened a name."""
        ids = [side[0].facts[2].value if side[0].kind == "granted" else 0 for side in answers]
        if all(ids) and not any(self.same.is_known(side, ids[side]) for side in SIDES):
            self.session_count += 1
            self.same.name_session(f"s{self.session_count}", ids)

    def judge(self, sent, answers, requests):
        """Notes a step; raises `Differs` if its answers do. `requests` are those of the answers' xids."""
        for left, right in self.paired(*answers):
            differs = self.same.differ(left, right)
            if differs:
                reason = self.excuse(requests.get(right.xid if left is NOTHING else left.xid), left, right)
                if reason is None:
                    self.trace.append(Step(sent, answers, differs))
                    raise Differs
                self.excused[reason] += 1
            else:
                self.same_answers[kind_of(left)] += 1
        self.trace.append(Step(sent, answers, None))
        if SILENT in answers[0]:
            self.excused[f"neither side answered: {sent[-1]}"] += 1

    def paired(self, left, right):
        """Yields the answers side by side; a reply that one side has not is alone."""
        replied = [{answer.xid for answer in side if answer.kind == "reply"} for side in (left, right)]
        left, right = collections.deque(left), collections.deque(right)
        while left or right:
            if left and left[0].kind == "reply" and left[0].xid not in replied[1]:
                yield left.popleft(), NOTHING
            elif right and right[0].kind == "reply" and right[0].xid not in replied[0]:
                yield NOTHING, right.popleft()
            else:
                yield left.popleft() if left else NOTHING, right.popleft() if right else NOTHING

    def fail(self, why):
        """Marks the last step as differing."""
        self.trace[-1] = self.trace[-1]._replace(differs=why)
        raise Differs


def kind_of(answer):
    """Returns what kind of answer one is: a request's with its error, a kind of event, or an end."""
    if answer.kind == "event":
        return f"event {answer.facts[0].value}"
    if answer.kind == "granted" and answer.facts[2].value == 0:
        return "refused"
    return f"{answer.verb} {jute.ERRORS.get(answer.err, answer.err)}" if answer.kind == "reply" else answer.kind


def is_last(answer):
    """Whether a server closes the connection after this answer."""
    if answer.kind == "granted":
        return answer.facts[2].value == 0
    return answer.kind == "reply" and (answer.verb == "close" or answer.err in LAST_ERRORS or answer.zxid == -1)


def report(trace, names):
    """Returns a trace as text: the last step is the one that differs."""
    lines = []
    for step in trace:
        shown = [[text(answer) for answer in side] for side in step.answers]
        is_idle = step.differs is None and all(len(side) == 1 for side in shown) and step.sent[0].endswith("sync '/'")
        if is_idle or step.sent[0].startswith("auditor") and step.differs is None:
            continue
        lines += [f"    {sent}" for sent in step.sent]
        if step.differs is None:
            lines += [f"        both: {answer}" for answer in shown[0]]
            continue
        lines += [f"      differs: {step.differs}"]
        for name, side in zip(names, shown):
            lines += [f"        {name + ':':<11} {answer}" for answer in side or ["nothing"]]
    return "\n".join(lines)
