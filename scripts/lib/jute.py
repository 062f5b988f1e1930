"""ZooKeeper's client messages: requests from fields to bytes, answers from bytes to facts.

A request is a verb with named fields; `VERBS` says how each verb is written and how its answer is read.
Fields may hold nonsense on purpose: None is the protocol's null, paths may be bytes that are no UTF-8.
"""

import collections
import struct

STAT = struct.Struct(">qqqqiiiqiiq")
HEADER = struct.Struct(">iqi")
MULTI_HEADER = struct.Struct(">ibi")
END_OF_MULTI = MULTI_HEADER.pack(-1, 1, -1)
EVENT_XID, PING_XID = -1, -2

# One thing that an answer says. Its kind tells how it compares between servers: "plain" to the byte,
# "zxid", "time" and "session" by what they stand for.
Fact = collections.namedtuple("Fact", "label kind value")

STAT_FACTS = [("czxid", "zxid"), ("mzxid", "zxid"), ("ctime", "time"), ("mtime", "time"), ("version", "plain"),
              ("cversion", "plain"), ("aversion", "plain"), ("owner", "session"), ("length", "plain"),
              ("children", "plain"), ("pzxid", "zxid")]

WATCH_LISTS = "data_paths exist_paths child_paths"

# verb: (opcode, fields of the request, parts of the answer)
VERBS = {
    "create": (1, "path data acl flags", "path"),
    "delete": (2, "path version", ""),
    "exists": (3, "path watch", "stat"),
    "getData": (4, "path watch", "data stat"),
    "setData": (5, "path data version", "stat"),
    "getACL": (6, "path", "acl stat"),
    "setACL": (7, "path acl version", "stat"),
    "getChildren": (8, "path watch", "names"),
    "sync": (9, "path", "path"),
    "ping": (11, "", ""),
    "getChildren2": (12, "path watch", "names stat"),
    "check": (13, "path version", ""),
    "multi": (14, "operations ending", "results"),
    "create2": (15, "path data acl flags", "path stat"),
    "reconfig": (16, "joining leaving members config_id", "data stat"),
    "checkWatches": (17, "path side", ""),
    "removeWatches": (18, "path side", ""),
    "createContainer": (19, "path data acl flags", "path stat"),
    "deleteContainer": (20, "path", ""),
    "createTTL": (21, "path data acl flags ttl", "path stat"),
    "multiRead": (22, "operations ending", "results"),
    "auth": (100, "auth_type scheme data", ""),
    "setWatches": (101, f"relative {WATCH_LISTS}", ""),
    "sasl": (102, "token", "token"),
    "getEphemerals": (103, "path", "names"),
    "getAllChildrenNumber": (104, "path", "int"),
    "setWatches2": (105, f"relative {WATCH_LISTS} persistent_paths recursive_paths", ""),
    "addWatch": (106, "path mode", "int"),
    "whoAmI": (107, "", "identities"),
    "close": (-11, "", ""),
}
# What a result inside the answer to a multi or multiRead holds, by its type.
RESULTS = {1: "path", 2: "", 4: "data stat", 5: "stat", 8: "names", 13: "", 15: "path stat", 19: "path stat",
           21: "path stat", -1: "int"}

ERRORS = {0: "ok", -1: "SystemError", -2: "RuntimeInconsistency", -5: "MarshallingError", -6: "Unimplemented",
          -8: "BadArguments", -101: "NoNode", -102: "NoAuth", -103: "BadVersion", -108: "NoChildrenForEphemerals",
          -110: "NodeExists", -111: "NotEmpty", -112: "SessionExpired", -114: "InvalidACL", -115: "AuthFailed",
          -118: "SessionMoved", -121: "NoWatcher", -123: "ReconfigDisabled", -125: "QuotaExceeded"}
EVENTS = {1: "NodeCreated", 2: "NodeDeleted", 3: "NodeDataChanged", 4: "NodeChildrenChanged"}


def put_buffer(data):
    """Returns text or bytes with its length in front; None is null."""
    if data is None:
        return struct.pack(">i", -1)
    raw = data.encode() if isinstance(data, str) else data
    return struct.pack(">i", len(raw)) + raw


def put_list(items, put):
    """Returns a list with its length in front; None is null."""
    if items is None:
        return struct.pack(">i", -1)
    return struct.pack(">i", len(items)) + b"".join(put(item) for item in items)


def put_acl(entry):
    """Returns one `(perms, scheme, id)`."""
    perms, scheme, identity = entry
    return struct.pack(">i", perms) + put_buffer(scheme) + put_buffer(identity)


def put_operations(operations):
    """Returns the operations of a multi, without its end."""
    return b"".join(MULTI_HEADER.pack(VERBS[verb][0], 0, -1) + put_body(verb, fields) for verb, fields in operations)


def put_field(name, value):
    """Returns one field of a request."""
    if name in ("path", "data", "scheme", "token", "joining", "leaving", "members"):
        return put_buffer(value)
    if name in ("version", "flags", "mode", "side", "auth_type"):
        return struct.pack(">i", value)
    if name in ("relative", "ttl", "config_id"):
        return struct.pack(">q", value)
    if name == "watch":
        return struct.pack(">b", value)
    if name == "acl":
        return put_list(value, put_acl)
    if name == "operations":
        return put_operations(value)
    if name == "ending":
        return END_OF_MULTI if value else b""
    assert name.endswith("_paths"), name
    return put_list(value, put_buffer)


def put_body(verb, fields):
    """Returns the body of a request."""
    return b"".join(put_field(name, fields[name]) for name in VERBS[verb][1].split())


def frame(payload):
    """Returns a payload with its length in front."""
    return struct.pack(">i", len(payload)) + payload


def connect_frame(session=0, password=b"\0" * 16, timeout_ms=30000, last_zxid=0, has_read_only=True):
    """Returns a connect request."""
    payload = struct.pack(">iqiq", 0, last_zxid, timeout_ms, session) + put_buffer(password)
    return frame(payload + (b"\0" if has_read_only else b""))


class Reader:
    """Takes the parts of an answer one after the other; `struct.error` when it is too short."""

    def __init__(self, raw):
        self.raw, self.offset = raw, 0

    def take(self, layout):
        """Returns the numbers that `layout` describes."""
        numbers = layout.unpack_from(self.raw, self.offset)
        self.offset += layout.size
        return numbers

    def int(self):
        """Returns a 4-byte number."""
        return self.take(INT)[0]

    def buffer(self):
        """Returns bytes, or None for null."""
        length = self.int()
        if length == -1:
            return None
        if length < 0 or self.offset + length > len(self.raw):
            raise struct.error(f"length {length} leads beyond the answer")
        self.offset += length
        return self.raw[self.offset - length:self.offset]

    def text(self):
        """Returns text, or None for null; bytes that are no UTF-8 are kept as lone surrogates."""
        raw = self.buffer()
        return None if raw is None else raw.decode(errors="surrogateescape")

    def rest(self):
        """Returns all that has not been taken."""
        return self.raw[self.offset:]


INT = struct.Struct(">i")


def part_facts(part, reader):
    """Returns the facts of one part of an answer."""
    if part == "stat":
        return [Fact(label, kind, value) for (label, kind), value in zip(STAT_FACTS, reader.take(STAT))]
    if part == "names":
        # In no fixed order on the reference.
        return [Fact(part, "plain", sorted(reader.text() or "" for _ in range(reader.int())))]
    if part == "acl":
        return [Fact(part, "plain", [(reader.int(), reader.text(), reader.text()) for _ in range(reader.int())])]
    if part == "identities":
        return [Fact(part, "plain", sorted((reader.text(), reader.text()) for _ in range(reader.int())))]
    if part == "results":
        return result_facts(reader)
    value = {"path": reader.text, "data": reader.buffer, "token": reader.buffer, "int": reader.int}[part]()
    return [Fact(part, "plain", value)]


def result_facts(reader):
    """Returns the facts of all results of a multi, each labelled with its place."""
    facts = []
    for place in range(10_000):
        kind, done, err = reader.take(MULTI_HEADER)
        facts.append(Fact(f"{place}", "plain", (kind, done, ERRORS.get(err, err))))
        if done:
            return facts
        for part in RESULTS[kind].split():
            facts += [Fact(f"{place}.{fact.label}", fact.kind, fact.value) for fact in part_facts(part, reader)]
    raise struct.error("a multi without an end")


def reply_facts(verb, err, body):
    """Returns the facts of a reply's body; one with an error has none, normally."""
    reader = Reader(body)
    facts = []
    if err == 0 and verb in VERBS:
        try:
            for part in VERBS[verb][2].split():
                facts += part_facts(part, reader)
        except (struct.error, KeyError) as error:
            return [Fact("unreadable", "plain", f"{error}: {body.hex()}")]
    if reader.rest():
        facts.append(Fact("trailing", "plain", reader.rest().hex()))
    return facts


def event_facts(body):
    """Returns the facts of a watch event."""
    reader = Reader(body)
    kind, state, path = reader.int(), reader.int(), reader.text()
    return [Fact("event", "plain", EVENTS.get(kind, kind)), Fact("state", "plain", state), Fact("path", "plain", path),
            Fact("trailing", "plain", reader.rest().hex())]


def connect_facts(raw):
    """Returns the facts of a connect reply."""
    reader = Reader(raw)
    version, timeout_ms = reader.int(), reader.int()
    (session,) = reader.take(struct.Struct(">q"))
    password = reader.buffer()
    shown = password.hex() if password is None or not any(password) else f"{len(password)} bytes"
    return [Fact("protocol", "plain", version), Fact("timeout", "plain", timeout_ms),
            Fact("session", "session", session), Fact("password", "plain", shown),
            Fact("rest", "plain", reader.rest().hex())], session, password
