#!/usr/bin/env python3
"""Drives an ensemble of three through kazoo as its users do: data, watches, multi, ACLs, a member
killed under a session, and the Lock and Election recipes run by three processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))

import recipe_worker
from case import check, eventually, figure, parser, run
from ensemble import Ensemble
from zk import connect, connected_port, disconnect

from kazoo.exceptions import (BadVersionError, NoAuthError, NodeExistsError, NoChildrenForEphemeralsError, NoNodeError,
                              NotEmptyError, RolledBackError, RuntimeInconsistency)
from kazoo.protocol.states import EventType, KazooState
from kazoo.security import make_acl, make_digest_acl

EVENT_TIMEOUT_S = 10.0
FAILOVER_TIMEOUT_S = 30.0
# The least that a server with a tick of two seconds grants.
SESSION_TIMEOUT_S = 4.0


def refuses(error, action):
    """Whether `action` raises exactly `error`."""
    try:
        action()
    except error as raised:
        return type(raised) is error
    return False


def data(client):
    """Create, read, update and delete, with their stats and errors."""
    path = client.create("/data", b"one")
    check(path == "/data", "create answers the path")
    value, stat = client.get("/data")
    check((value, stat.version, stat.dataLength, stat.ephemeralOwner) == (b"one", 0, 3, 0), "get answers data and stat")
    check(stat.czxid == stat.mzxid == stat.pzxid and stat.czxid >> 32 > 0, "zxids carry the epoch")
    check(abs(stat.ctime / 1000 - time.time()) < 60, "ctime is the time of day in milliseconds")
    stat = client.set("/data", b"second", version=0)
    check((stat.version, stat.dataLength) == (1, 6) and stat.mzxid > stat.czxid, "set raises the version")
    check(refuses(BadVersionError, lambda: client.set("/data", b"x", version=0)), "set with an old version is refused")
    check(refuses(NodeExistsError, lambda: client.create("/data", b"")), "create of a taken path is refused")
    check(refuses(NoNodeError, lambda: client.create("/absent/child", b"")), "create without a parent is refused")
    check(refuses(NoNodeError, lambda: client.get("/absent")), "get of an absent path is refused")
    check(client.exists("/absent") is None, "exists of an absent path is None")
    client.create("/data/a/b/c", b"", makepath=True)
    check(client.get_children("/data") == ["a"], "children are listed")
    check(client.get_children("/data", include_data=True)[1].numChildren == 1, "the stat counts the children")
    check(refuses(NotEmptyError, lambda: client.delete("/data/a")), "delete of a parent is refused")
    check(refuses(BadVersionError, lambda: client.delete("/data/a/b/c", version=3)), "delete checks the version")
    client.delete("/data", recursive=True)
    check(client.exists("/data") is None, "a recursive delete removes all")
    large = os.urandom(1_000_000)
    client.create("/large", large)
    check(client.get("/large")[0] == large, "a megabyte comes back as it went")
    client.delete("/large")
    client.create("/snow-\u96ea", "\u2603".encode())
    check("snow-\u96ea" in client.get_children("/"), "names may be any Unicode text")
    client.delete("/snow-\u96ea")


def kinds(client, other):
    """Ephemeral and sequential znodes, seen from another member."""
    client.ensure_path("/kinds")
    names = [client.create("/kinds/s-", b"", sequence=True) for _ in range(3)]
    check(names == [f"/kinds/s-{n:010d}" for n in range(3)], "sequence numbers count from 0 without gaps")
    client.create("/kinds/e", b"mine", ephemeral=True)
    owner = client.get("/kinds/e")[1].ephemeralOwner
    check(owner == client.client_id[0], "an ephemeral names its session")
    check(refuses(NoChildrenForEphemeralsError, lambda: client.create("/kinds/e/x", b"")), "an ephemeral has no children")
    short = connect(other.hosts_text, SESSION_TIMEOUT_S)
    short.create("/kinds/short", b"", ephemeral=True)
    other.sync("/kinds")
    check(other.exists("/kinds/short") is not None, "another member shows the ephemeral after a sync")
    disconnect(short)
    other.sync("/kinds")
    check(other.exists("/kinds/short") is None, "closing the session removes it")
    check(other.exists("/kinds/e") is not None, "and leaves those of other sessions")


def watches(client, other):
    """Raw one-shot watches and kazoo's DataWatch and ChildrenWatch, fired by another session."""
    client.ensure_path("/watches")
    events, seen_data, seen_children = [], [], []
    client.exists("/watches/later", watch=events.append)
    client.get("/watches", watch=events.append)
    client.get_children("/watches", watch=events.append)
    other.create("/watches/later", b"")
    eventually(lambda: len(events) >= 2, EVENT_TIMEOUT_S, "create fires the exists and the child watch")
    check([(e.type, e.path) for e in events[:2]] == [(EventType.CREATED, "/watches/later"), (EventType.CHILD, "/watches")],
          "the znode's event comes before its parent's")
    other.set("/watches", b"changed")
    eventually(lambda: len(events) >= 3, EVENT_TIMEOUT_S, "set fires the data watch")
    check(events[2].type == EventType.CHANGED and events[2].path == "/watches", "as a change of the data")
    other.set("/watches", b"again")
    client.get("/watches/later", watch=events.append)
    other.delete("/watches/later")
    eventually(lambda: len(events) >= 4, EVENT_TIMEOUT_S, "delete fires the data watch")
    check(events[3].type == EventType.DELETED and len(events) == 4, "a spent watch does not fire again")

    client.DataWatch("/watches", lambda value, stat: seen_data.append(value))
    client.ChildrenWatch("/watches", lambda names: seen_children.append(sorted(names)))
    for step in range(5):
        other.set("/watches", b"step %d" % step)
        eventually(lambda: seen_data[-1:] == [b"step %d" % step], EVENT_TIMEOUT_S, f"DataWatch sees step {step}")
        other.create(f"/watches/c{step}", b"")
        eventually(lambda: seen_children[-1:] == [[f"c{n}" for n in range(step + 1)]], EVENT_TIMEOUT_S,
                   f"ChildrenWatch sees c{step}")
    check(True, "DataWatch and ChildrenWatch follow five changes each")


def multi(client):
    """Transactions: whole or not at all."""
    client.ensure_path("/multi")
    good = client.transaction()
    good.create("/multi/a", b"a")
    good.create("/multi/b-", b"b", sequence=True)
    good.set_data("/multi", b"counted")
    good.check("/multi/a", version=0)
    results = good.commit()
    check(results[:2] == ["/multi/a", "/multi/b-0000000001"] and results[2].version == 1 and results[3] is True,
          "a multi answers each result in order")
    zxids = {client.get(path)[1].mzxid for path in ("/multi", "/multi/a", "/multi/b-0000000001")}
    check(len(zxids) == 1, "all of it has one zxid")
    bad = client.transaction()
    bad.set_data("/multi", b"lost")
    bad.create("/multi/c", b"")
    bad.delete("/multi/a", version=7)
    bad.create("/multi/d", b"")
    kinds_of = [type(result) for result in bad.commit()]
    check(kinds_of == [RolledBackError, RolledBackError, BadVersionError, RuntimeInconsistency],
          "a failed multi tells which operation failed")
    check(client.get("/multi")[0] == b"counted" and client.exists("/multi/c") is None, "and changes nothing")


def acls(client, hosts):
    """The world ACL, reduced rights, and a digest identity."""
    client.create("/acl", b"")
    acl, stat = client.get_acls("/acl")
    check([(a.perms, a.id.scheme, a.id.id) for a in acl] == [(31, "world", "anyone")], "a znode is open by default")
    client.set_acls("/acl", [make_acl("world", "anyone", read=True, admin=True)], version=stat.aversion)
    check(refuses(NoAuthError, lambda: client.set("/acl", b"x")), "without WRITE a set is refused")
    check(refuses(NoAuthError, lambda: client.create("/acl/x", b"")), "without CREATE a create is refused")
    check(client.get("/acl")[1].aversion == 1, "setting the ACL raises aversion")
    client.create("/acl-digest", b"secret", acl=[make_digest_acl("user", "word", all=True)])
    check(refuses(NoAuthError, lambda: client.get("/acl-digest")), "a digest ACL shuts others out")
    known = connect(hosts, SESSION_TIMEOUT_S, auth_data=[("digest", "user:word")])
    check(known.get("/acl-digest")[0] == b"secret", "and lets its owner in")
    disconnect(known)


def reconnect(ensemble, other):
    """The member under a session is killed: the session, its ephemerals and watches move on."""
    client = connect(ensemble.hosts, SESSION_TIMEOUT_S * 2)
    states, seen, children = [], [], []
    client.add_listener(states.append)
    client.ensure_path("/moving")
    client.create("/moving/e", b"kept", ephemeral=True)
    client.DataWatch("/moving", lambda value, stat: seen.append(value))
    client.ChildrenWatch("/moving", lambda names: children.append(sorted(names)))
    session, port = client.client_id[0], connected_port(client)
    victim = next(member for member in ensemble.members if member.client_port == port)
    victim.kill()
    eventually(lambda: KazooState.SUSPENDED in states and states[-1] == KazooState.CONNECTED, FAILOVER_TIMEOUT_S,
               "the client finds another member")
    check(connected_port(client) != port and KazooState.LOST not in states, "it moved to another member without loss")
    check(client.client_id[0] == session, "the session id is kept")
    check(client.get("/moving/e")[1].ephemeralOwner == session, "its ephemeral is kept")
    client.set("/moving", b"after")
    eventually(lambda: seen[-1:] == [b"after"], EVENT_TIMEOUT_S, "the data watch was armed again")
    client.create("/moving/new", b"")
    eventually(lambda: children[-1:] == [["e", "new"]], EVENT_TIMEOUT_S, "the child watch was armed again")
    check(True, "its watches were armed again on the new member")
    victim.start()
    ensemble.wait_ready()
    gone = client.client_id[0]
    disconnect(client)

    def removed():
        other.sync("/moving")
        return other.exists("/moving/e") is None
    eventually(removed, EVENT_TIMEOUT_S, f"closing session {gone:#x} removes the ephemeral everywhere")


class Workers:
    """Three processes that run a recipe and print one JSON line per step."""

    def __init__(self, recipe, hosts, rounds):
        self.lines, self.lock = [], threading.Lock()
        self.processes = {}
        for name in ("p1", "p2", "p3"):
            command = [sys.executable, recipe_worker.__file__, recipe, hosts, name, str(rounds)]
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._read, args=(self.processes[name],), daemon=True).start()

    def _read(self, process):
        for line in process.stdout:
            with self.lock:
                self.lines.append(json.loads(line))

    def said(self, event):
        """Returns who said `event`, in order."""
        with self.lock:
            return [line["name"] for line in self.lines if line["event"] == event]

    def end(self):
        """Ends all that still run."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()


def lock_recipe(ensemble, client, rounds):
    """Three processes count together under kazoo's Lock; not one count may be lost."""
    client.create("/lock-test/counter", b"0", makepath=True)
    workers = Workers("lock", ensemble.hosts, rounds)
    started = time.monotonic()
    try:
        for name, process in workers.processes.items():
            check(process.wait(120) == 0, f"{name} did its {rounds} turns and never met another holder")
    finally:
        workers.end()
    check(int(client.get("/lock-test/counter")[0]) == 3 * rounds, f"the counter stands at {3 * rounds}")
    figure("lock turns per second", f"{3 * rounds / (time.monotonic() - started):.0f}")


def election_recipe(ensemble, client):
    """Three processes stand for election; each leader is killed and the next one leads."""
    client.ensure_path("/election-test")
    workers = Workers("election", ensemble.hosts, 0)
    try:
        for turn in range(3):
            leaders = eventually(lambda: (said := workers.said("leads")) and len(said) == turn + 1 and said,
                                 FAILOVER_TIMEOUT_S, f"leader number {turn + 1} leads")
            time.sleep(0.3)
            check(len(workers.said("leads")) == turn + 1, f"exactly one leads, {leaders[-1]}")
            check(not workers.said("violation"), "nobody met another leader")
            killed = time.monotonic()
            workers.processes[leaders[-1]].send_signal(signal.SIGKILL)
            if turn < 2:
                eventually(lambda: len(workers.said("leads")) == turn + 2, FAILOVER_TIMEOUT_S, "the next one leads")
                figure("seconds until the next one leads (session timeout 4)", f"{time.monotonic() - killed:.1f}")
        check(sorted(workers.said("leads")) == ["p1", "p2", "p3"], "each led once")
    finally:
        workers.end()


def test(arguments):
    with Ensemble(3, arguments.kind) as ensemble:
        ensemble.wait_ready()
        client = connect(ensemble.members[0].address, SESSION_TIMEOUT_S)
        other = connect(ensemble.members[1].address, SESSION_TIMEOUT_S)
        other.hosts_text = ensemble.members[1].address
        data(client)
        kinds(client, other)
        watches(client, other)
        multi(client)
        acls(client, ensemble.hosts)
        disconnect(other)
        disconnect(client)
        client = connect(ensemble.hosts, SESSION_TIMEOUT_S)
        reconnect(ensemble, client)
        lock_recipe(ensemble, client, rounds=10 if arguments.short else 30)
        election_recipe(ensemble, client)
        disconnect(client)


run(test, parser(__doc__).parse_args())
