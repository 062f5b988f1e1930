"""A small blocking client of the ZooKeeper protocol, for tests that must see every single answer.

It never reconnects and never retries: whatever goes wrong is a `WireError`, and the test decides.
Requests can be sent ahead of their answers (`send`, later `receive`).
"""

import collections
import socket
import struct

import jute
from jute import END_OF_MULTI, HEADER, MULTI_HEADER, PING_XID, STAT
from jute import EVENT_XID as WATCH_XID
from jute import put_buffer as buffer

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, SYNC, PING, GET_CHILDREN2, CHECK, MULTI, CLOSE = (
    jute.VERBS[verb][0] for verb in
    ("create", "delete", "exists", "getData", "setData", "sync", "ping", "getChildren2", "check", "multi", "close"))
OK, NO_NODE, BAD_VERSION, NODE_EXISTS = 0, -101, -103, -110
OPEN_ACL = ((31, "world", "anyone"),)

Stat = collections.namedtuple("Stat", "czxid mzxid ctime mtime version cversion aversion ephemeral_owner "
                                      "data_length num_children pzxid")
Reply = collections.namedtuple("Reply", "xid zxid err body")


class WireError(Exception):
    """The connection broke, was refused or timed out; the outcome of what was asked is unknown."""


def create_body(path, data, flags=0):
    """Returns the body of a create request with the open ACL."""
    return jute.put_body("create", {"path": path, "data": data, "acl": OPEN_ACL, "flags": flags})


def set_body(path, data, version=-1):
    """Returns the body of a setData request."""
    return jute.put_body("setData", {"path": path, "data": data, "version": version})


def delete_body(path, version=-1):
    """Returns the body of a delete request."""
    return jute.put_body("delete", {"path": path, "version": version})


def read_body(path):
    """Returns the body of exists, getData and getChildren2 without a watch."""
    return jute.put_body("getData", {"path": path, "watch": False})


def multi_body(operations):
    """Returns the body of a multi of `(opcode, body)` pairs."""
    parts = [MULTI_HEADER.pack(opcode, 0, -1) + body for opcode, body in operations]
    return b"".join(parts) + END_OF_MULTI


def multi_error(body):
    """Returns the error of a multi's answer: that of its first failed operation, or 0."""
    opcode, _done, err = MULTI_HEADER.unpack_from(body, 0)
    if opcode != -1 or err == -1:
        return OK
    offset = 0
    while True:
        _opcode, done, err = MULTI_HEADER.unpack_from(body, offset)
        if done or err != OK:
            return err
        offset += MULTI_HEADER.size + 4


class Wire:
    """One connection with one session; `at` is a port of this machine, or a pair of host and port."""

    def __init__(self, at, session_timeout_ms=10000, timeout_s=5.0, session=(0, b"\0" * 16)):
        self.xid = 0
        try:
            self.stream = socket.create_connection(at if isinstance(at, tuple) else ("127.0.0.1", at), timeout_s)
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.stream.sendall(jute.connect_frame(*session, session_timeout_ms))
            facts, self.session_id, self.password = jute.connect_facts(self._frame())
            self.session_timeout_ms = next(fact.value for fact in facts if fact.label == "timeout")
        except (OSError, struct.error) as error:
            self.drop()
            raise WireError(f"connect: {error}") from error

    def drop(self):
        """Closes the socket without closing the session."""
        if getattr(self, "stream", None) is not None:
            self.stream.close()

    def close(self):
        """Closes the session, then the socket; errors do not matter any more."""
        try:
            self.call(CLOSE, b"")
        except WireError:
            pass
        self.drop()

    def _send(self, payload):
        self.stream.sendall(jute.frame(payload))

    def _exactly(self, count):
        got = bytearray()
        while len(got) < count:
            part = self.stream.recv(count - len(got))
            if not part:
                raise WireError("connection closed by the server")
            got += part
        return bytes(got)

    def _frame(self):
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)

    def send(self, opcode, body):
        """Sends a request and returns its xid; the answer is taken with `receive`."""
        self.xid += 1
        try:
            self._send(struct.pack(">ii", self.xid, opcode) + body)
        except OSError as error:
            raise WireError(f"send: {error}") from error
        return self.xid

    def receive_any(self):
        """Returns the next frame, be it an answer, a watch event or a ping's answer."""
        try:
            frame = self._frame()
        except OSError as error:
            raise WireError(f"receive: {error}") from error
        return Reply(*HEADER.unpack_from(frame, 0), frame[HEADER.size:])

    def receive(self):
        """Returns the next answer that is neither a watch event nor a ping's."""
        while True:
            reply = self.receive_any()
            if reply.xid not in (WATCH_XID, PING_XID):
                return reply

    def call(self, opcode, body):
        """Sends one request and returns its answer."""
        xid = self.send(opcode, body)
        reply = self.receive()
        if reply.xid != xid:
            raise WireError(f"answer to {reply.xid} where {xid} was due")
        return reply

    def ping(self):
        """Sends a ping; its answer is skipped by `receive`."""
        try:
            self._send(struct.pack(">ii", PING_XID, PING))
        except OSError as error:
            raise WireError(f"ping: {error}") from error

    def create(self, path, data=b"", flags=0):
        """Creates a znode and returns the error code."""
        return self.call(CREATE, create_body(path, data, flags)).err

    def create_named(self, path, data=b"", flags=0):
        """Creates a znode and returns `(error code, its path or None)`: for sequential ones."""
        reply = self.call(CREATE, create_body(path, data, flags))
        return reply.err, (jute.Reader(reply.body).text() if reply.err == OK else None)

    def set(self, path, data, version=-1):
        """Sets data and returns `(error code, new version or None)`."""
        reply = self.call(SET_DATA, set_body(path, data, version))
        return reply.err, (STAT.unpack_from(reply.body, 0)[4] if reply.err == OK else None)

    def get(self, path):
        """Returns `(error code, data or None, Stat or None)`."""
        return get_answer(self.call(GET_DATA, read_body(path)))

    def children(self, path):
        """Returns `(error code, sorted names or None, Stat or None)`."""
        return children_answer(self.call(GET_CHILDREN2, read_body(path)))

    def sync(self, path="/"):
        """Waits until this member has caught up with the leader; returns the error code."""
        return self.call(SYNC, buffer(path)).err

    def multi(self, operations):
        """Runs `(opcode, body)` pairs as one txn and returns the error of the first failed one, or 0."""
        reply = self.call(MULTI, multi_body(operations))
        return reply.err if reply.err != OK else multi_error(reply.body)


def get_answer(reply):
    """Reads the answer to getData: `(error code, data, Stat)`."""
    if reply.err != OK:
        return reply.err, None, None
    reader = jute.Reader(reply.body)
    return OK, reader.buffer() or b"", Stat(*reader.take(STAT))


def children_answer(reply):
    """Reads the answer to getChildren2: `(error code, sorted names, Stat)`."""
    if reply.err != OK:
        return reply.err, None, None
    reader = jute.Reader(reply.body)
    return OK, sorted(reader.text() for _ in range(reader.int())), Stat(*reader.take(STAT))


def read_many(wire, opcode, paths, answer, window=256):
    """Yields `(path, answer(reply))` for each path, with up to `window` requests under way."""
    waiting = collections.deque()
    for path in paths:
        wire.send(opcode, read_body(path))
        waiting.append(path)
        if len(waiting) >= window:
            yield waiting.popleft(), answer(wire.receive())
    while waiting:
        yield waiting.popleft(), answer(wire.receive())


def dump(at, root="/", skip=("/zookeeper",)):
    """Returns the whole tree below `root` as a member has it after a sync: path -> (data, Stat).

    Level by level with requests sent ahead, so that a hundred thousand znodes take seconds.
    """
    wire = Wire(at, timeout_s=30.0)
    try:
        if wire.sync(root) != OK:
            raise WireError("sync refused")
        tree, level = {}, [root]
        while level:
            for path, (err, data, stat) in read_many(wire, GET_DATA, level, get_answer):
                if err == OK:
                    tree[path] = (data, stat)
            below = []
            parents = [path for path in level if path in tree and tree[path][1].num_children > 0]
            for path, (err, names, _stat) in read_many(wire, GET_CHILDREN2, parents, children_answer):
                if err == OK:
                    below += [f"{path.rstrip('/')}/{name}" for name in names]
            level = [path for path in below if path not in skip]
        return tree
    finally:
        wire.close()


def difference(left, right):
    """Returns a line saying where two dumps first differ, or None when they are equal."""
    for path in sorted(left.keys() | right.keys()):
        if path not in left or path not in right:
            return f"{path} is only on one side"
        if left[path][0] != right[path][0]:
            return f"{path} has other data"
        if left[path][1] != right[path][1]:
            changed = [f"{name} {a} / {b}" for name, a, b in zip(Stat._fields, left[path][1], right[path][1]) if a != b]
            return f"{path} has another stat: {', '.join(changed)}"
    return None
