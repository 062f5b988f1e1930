"""The rows of the comparison: what is asked, and what Conclave is aimed at."""

import collections

# How a row is measured: "load" is work for the load generator; the others have a function of their own.
Row = collections.namedtuple("Row", "key label unit how arguments versus at_least")
# `versus` names what the aim is a multiple of: a system, or None for the figure itself; `at_least` the factor, or
# for rows of which less is better, the most it may be.
LESS_IS_BETTER = ("ms", "s", "KiB", "B")


def _load(key, label, arguments, factor):
    return Row(key, label, "ops/s", "load", arguments.split(), "zookeeper", factor)


ROWS = [
    _load("create-1x1", "create, 1 connection, one at a time", "-w create -c 1", 2.5),
    _load("create-64x1", "create, 64 connections, one at a time each", "-w create -c 64", 5),
    _load("create-256x1", "create, 256 connections, one at a time each", "-w create -c 256", 5.5),
    _load("create-16x32", "create, 16 connections x 32 in flight", "-w create -c 16 --in-flight 32", 15),
    _load("set-16x32", "set, 16 connections x 32 in flight", "-w set -c 16 --in-flight 32", 12),
    _load("create-1k-16x32", "create 1 KiB, 16 x 32", "-w create -c 16 --in-flight 32 --value-bytes 1024", 6),
    _load("get-64x1", "get, 64 connections, one at a time each", "-w get -c 64", 4.8),
    _load("get-16x32", "get, 16 connections x 32 in flight", "-w get -c 16 --in-flight 32", 30),
    _load("mixed-16x32", "mixed 90% reads, 16 x 32", "-w mixed -c 16 --in-flight 32", 15),
    Row("watch", "watch fan-out, 10,000 watchers, write to last event seen", "ms", "watch", None, "floor", 1.1),
    Row("idle-sessions", "5,000 idle sessions: RSS each, all members together", "KiB", "sessions", None, None, 5),
    Row("sessions", "sessions opened per second", "ops/s", "sessions", None, None, 8000),
    Row("znode-bytes", "RSS per znode, one member", "B", "bulk", None, None, 260),
    Row("bulk", "bulk load by multi, one member", "znodes/s", "bulk", None, None, 400_000),
    Row("start", "process start to first read after SIGKILL, with that tree", "s", "bulk", None, None, 1.0),
    Row("failover", "leader SIGKILLed under load: longest time without any write", "ms", "failover", None, None, 150),
]
