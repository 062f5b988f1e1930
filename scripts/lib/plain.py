"""Reads a configuration as a client without Conclave's library does: client/src/config/FORMAT.md, by the letter."""

import json
import posixpath

import jute
from wire import (EXISTS, GET_CHILDREN2, GET_DATA, NO_NODE, OK, STAT, Stat, WireError, children_answer, get_answer,
                  read_many)

MAGIC = b"conclave-release 1\n"


def read(wire, root):
    """Returns `(form, values by key)` as they were at one moment; form is None when there is nothing at `root`."""
    while True:
        err, data, stat = wire.get(root)
        if err == NO_NODE:
            return None, {}
        if err != OK:
            raise WireError(f"get {root}: {err}")
        found = _release(wire, root, data) if data.startswith(MAGIC) else _znodes(wire, root, data, stat)
        if found is not None:
            return ("release" if data.startswith(MAGIC) else "direct"), found


def _release(wire, root, pointer):
    """Returns the values of the release that a pointer names, or None when it has been removed."""
    pointer = json.loads(pointer[len(MAGIC):])
    record, blobs = (posixpath.normpath(posixpath.join(root, pointer[part])) for part in ("record", "blobs"))
    err, data, _stat = wire.get(record)
    if err != OK:
        return None
    pages = _blobs(wire, blobs, json.loads(data)["pages"])
    if pages is None:
        return None
    lines = [json.loads(line) for page in pages for line in page.splitlines()]
    lines = [line for line in lines if "blob" in line and line["key"]]
    values = _blobs(wire, blobs, [line["blob"] for line in lines])
    return None if values is None else dict(zip((line["key"] for line in lines), values))


def _blobs(wire, folder, names):
    answers = list(read_many(wire, GET_DATA, [f"{folder}/{name}" for name in names], get_answer))
    return None if any(err != OK for _path, (err, _data, _stat) in answers) else [data for _path, (_err, data, _stat)
                                                                                  in answers]


def _znodes(wire, root, data, stat):
    """Returns the values of the znodes below `root`, or None when anything changed while they were read."""
    tree, level = {root: (data, stat)}, [root]
    while level:
        below = []
        parents = [path for path in level if tree[path][1].num_children > 0]
        for path, (err, names, _stat) in read_many(wire, GET_CHILDREN2, parents, children_answer):
            if err != OK:
                return None
            below += [f"{path}/{name}" for name in names]
        for path, (err, data, stat) in read_many(wire, GET_DATA, below, get_answer):
            if err != OK:
                return None
            tree[path] = (data, stat)
        level = below
    # What is the same at two times was there, all of it, at the moment between.
    for path, (err, stat) in read_many(wire, EXISTS, list(tree), _stat_answer):
        if err != OK or stat != tree[path][1]:
            return None
    return {path[len(root) + 1:]: data for path, (data, stat) in tree.items() if data and path != root}


def _stat_answer(reply):
    if reply.err != OK:
        return reply.err, None
    return OK, Stat(*jute.Reader(reply.body).take(STAT))
