"""Fills a tree fast: multis of many creates, several of them sent ahead of their answers."""

import collections

from case import Failed
from wire import CREATE, MULTI, OK, SET_DATA, Wire, create_body, multi_body, multi_error, set_body

BATCH = 500
BATCH_LEN_MAX_BYTES = 500_000
AHEAD = 4


def batches(operations):
    """Groups `(opcode, body)` pairs into multis of bounded size."""
    batch, size = [], 0
    for operation in operations:
        batch.append(operation)
        size += len(operation[1])
        if len(batch) >= BATCH or size >= BATCH_LEN_MAX_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_all(port, operations):
    """Runs all operations through one session; each must succeed. Returns how many there were."""
    wire = Wire(port, timeout_s=30.0)
    waiting, count = collections.deque(), 0

    def settle():
        done, reply = waiting.popleft(), wire.receive()
        err = reply.err or multi_error(reply.body)
        if err != OK:
            raise Failed(f"a batch of {done} writes was refused with {err}")
        return done

    for batch in batches(operations):
        if len(waiting) == AHEAD:
            count += settle()
        wire.send(MULTI, multi_body(batch))
        waiting.append(len(batch))
    while waiting:
        count += settle()
    wire.close()
    return count


def write_singly(port, operations):
    """Runs operations one by one, each a txn of its own; each must succeed. Returns how many there were."""
    wire = Wire(port)
    count = 0
    for opcode, body in operations:
        err = wire.call(opcode, body).err
        if err != OK:
            raise Failed(f"write {count} was refused with {err}")
        count += 1
    wire.close()
    return count


def creates(root, count, data):
    """Yields the creations of `count` znodes below `root`, a thousand to a folder; `data(i)` fills them."""
    yield CREATE, create_body(root, b"")
    for i in range(count):
        if i % 1000 == 0:
            yield CREATE, create_body(f"{root}/{i // 1000:04d}", b"")
        yield CREATE, create_body(path_of(root, i), data(i))


def path_of(root, i):
    """Returns the path of the i-th znode that `creates` makes."""
    return f"{root}/{i // 1000:04d}/n{i:07d}"


def sets(root, count, among, data):
    """Yields `count` changes of data, round about the first `among` znodes that `creates` made."""
    for i in range(count):
        yield SET_DATA, set_body(path_of(root, i % among), data(i))
