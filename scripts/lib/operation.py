"""What a differential sequence is made of: operations as plain data, readable and easy to leave out.

`connect` and `drop` act on a slot's connection, `expire` lets its session end by itself, `raw` sends any opcode
with any body, `frame` any bytes at all; every other verb is a request of `jute.VERBS`. A `relative` zxid names
the answer that told it, as zxids differ between servers.
"""

import collections
import struct

import jute

# `number` is its place in the sequence it was made for, and stays when others are left out. `is_joined`: sent
# in one write with the one before, if that is of the same slot. `spoil` damages the body: ("cut", bytes left)
# or ("patch", offset, number put there).
Operation = collections.namedtuple("Operation", "number slot verb fields is_joined spoil", defaults=(False, None))

# What changes the tree goes through the leader; everything else a member answers from what it has.
WRITES = {"create", "create2", "createContainer", "createTTL", "delete", "setData", "setACL", "check", "multi", "close"}
# The reference answers these beside the order of requests, and what else is sent in the same write may be lost.
ALONE = {"auth", "sasl", "raw", "frame", "drop", "expire"}
# Nothing is sent behind these in one write: the reference may or may not run it, or judges it by the old ACL
# or by the new one.
LAST = {"close", "setACL"} | ALONE
# A multi that turns out malformed on the way leaves what it had prepared to be met by what is sent behind it.
FLAGS_OF_TTL = (5, 6)
# Until a container with these is applied, the reference takes it for an ephemeral.
FLAGS_OF_EPHEMERAL = (1, 3)
# Nothing is sent before these in one write.
FIRST = {"connect"} | ALONE
# What is the least remarkable in a field, for traces that show only what matters.
PLAIN = {"how": "new", "timeout_ms": 30000, "last_zxid": 0, "has_read_only": True, "member": 0, "data": b"",
         "acl": ((31, "world", "anyone"),), "flags": 0, "version": -1, "watch": False, "relative": 0}


def groups(operations):
    """Yields the operations in lists that are sent in one write each."""
    group = []
    for operation in operations:
        is_next = group and operation.is_joined and operation.slot == group[-1].slot
        if group and not (is_next and not is_last(group[-1]) and operation.verb not in FIRST):
            yield group
            group = []
        group.append(operation)
    if group:
        yield group


def is_last(operation):
    """Whether nothing is sent behind an operation in one write."""
    if operation.verb == "createContainer":
        return operation.fields["flags"] in FLAGS_OF_EPHEMERAL
    return operation.verb in LAST or operation.verb == "multi" and any(
        fields.get("flags") in FLAGS_OF_TTL or any(None in entry for entry in fields.get("acl") or ())
        for _verb, fields in operation.fields["operations"])


def payload(operation, xid, zxid_of):
    """Returns a request as it is sent; `zxid_of` tells what a symbolic zxid is on that server."""
    if operation.verb == "frame":
        return operation.fields["body"]
    if operation.verb == "raw":
        return struct.pack(">ii", xid, operation.fields["opcode"]) + operation.fields["body"]
    fields = operation.fields
    if "relative" in fields:
        fields = {**fields, "relative": zxid_of(fields["relative"])}
    body = spoilt(jute.put_body(operation.verb, fields), operation.spoil)
    return struct.pack(">ii", xid, jute.VERBS[operation.verb][0]) + body


def spoilt(body, spoil):
    """Returns a body with its damage."""
    if spoil is None:
        return body
    if spoil[0] == "cut":
        return body[:spoil[1]]
    _, offset, number = spoil
    return body[:offset] + struct.pack(">i", number) + body[offset + 4:]


def simpler(operation):
    """Yields the same operation with one part less, or one that is plainer."""
    if operation.is_joined:
        yield operation._replace(is_joined=False)
    if operation.spoil:
        yield operation._replace(spoil=None)
    for fields in simpler_fields(operation.fields):
        yield operation._replace(fields=fields)


def simpler_fields(fields):
    """Yields the same fields with an inner operation or a watched path less, or with one plain value."""
    for name, value in fields.items():
        # The flags of a createTTL go with its TTL.
        if name in PLAIN and value != PLAIN[name] and not (name == "flags" and "ttl" in fields):
            yield {**fields, name: PLAIN[name]}
        if name == "operations" or name.endswith("_paths"):
            for place in range(len(value)):
                yield {**fields, name: value[:place] + value[place + 1:]}
        if name == "operations":
            for place, (verb, inner) in enumerate(value):
                for simple in simpler_fields(inner):
                    yield {**fields, name: value[:place] + ((verb, simple),) + value[place + 1:]}


def text(operation):
    """Returns one line that says all about an operation but its slot."""
    parts = [operation.verb]
    parts += [field_text(name, value) for name, value in operation.fields.items()]
    if operation.spoil:
        parts.append(f"[spoilt: {' '.join(str(part) for part in operation.spoil)}]")
    if operation.is_joined:
        parts.append("(in one write with the one before)")
    return " ".join(part for part in parts if part)


def field_text(name, value):
    """Returns one field, the path without its name."""
    if name == "path":
        return repr(value)
    if name == "operations":
        inner = [" ".join([verb] + [field_text(*field) for field in fields.items()]) for verb, fields in value]
        return "[" + "; ".join(inner) + "]"
    if name == "ending":
        return "" if value else "(no end marker)"
    if name == "acl" and value:
        return "acl=" + ",".join(f"{scheme}:{identity}:{perms}" for perms, scheme, identity in value)
    if name == "relative" and isinstance(value, tuple):
        return f"relative=zxid told up to operation {value[1]}"
    return f"{name}={value!r}"
