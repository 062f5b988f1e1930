"""Random sequences of operations over several sessions, the same for the same seed.

Few names, so that operations meet; mostly sensible requests, some odd ones, now and then a malformed one.
What the servers answer plays no part, so that any operation can be left out of a sequence.
"""

import base64
import hashlib

from operation import FIRST, FLAGS_OF_TTL, Operation, is_last

SLOTS = 4
NAMES = ["a", "b", "ab", "c", "\u00e9", "..."]
ODD_PATHS = ["", "a", "a/b", "/a/", "//", "//a", "/a//b", "/.", "/..", "/a/.", "/a/..", "/a/../b", "/./a", "/a\0", "\0",
             "/a\x01", "/a/\t", "/\x7f", "/a\x85", "/\ue000", "/\ufff0", "/\uffef", "/\ud7ff", "/\U0001f600", "/ ",
             "/\u00a0", b"/\xff", b"/a/\xc3", "/.b", "/a/...", "/zookeeper/", "/zookeeper/x", "/zookeeper/quota/a",
             None]
SYSTEM_PATHS = ["/", "/", "/", "/zookeeper", "/zookeeper/quota"]
# Tells the members, if there are more than one.
CONFIG_PATH = "/zookeeper/config"
VERSIONS = [-1] * 18 + [0] * 5 + [1, 1, 1, 2, 2, 3, 4, -2, 7, 2**31 - 1]
DEPTH_MAX = 3
# So many of the latest watches are likely to be asked for again.
WATCHED_MAX = 8
DATA = [None, b"", b"x", b"hello", b"\0\xff" * 10]
USERS = [b"u1:p1", b"u2:p2"]
OPCODES_UNKNOWN = [0, 10, 99, 108, -1, -3, 1000]
OPCODE_CREATE_SESSION = -10
OTHER_PERMS = [31, 31, 31, 1, 2, 3, 4, 6, 8, 15, 16, 17, 0, 32, -1]


def digest_id(user):
    """Returns the id of a digest identity as ACLs hold it."""
    hashed = hashlib.sha1(user).digest()
    return user.split(b":")[0].decode() + ":" + base64.b64encode(hashed).decode()


# May do everything everywhere: who compares the trees and removes them afterwards.
AUDITOR = b"auditor:secret"
AUDITOR_ENTRY = (31, "digest", digest_id(AUDITOR))
OPEN_ACL = ((31, "world", "anyone"),)
GOOD_IDENTITIES = [("world", "anyone"), ("world", "anyone"), ("digest", digest_id(USERS[0])),
                   ("digest", digest_id(USERS[1])), ("ip", "127.0.0.1"), ("ip", "127.255.0.0/8"), ("ip", "10.0.0.1"),
                   ("auth", ""), ("auth", "any")]
BAD_IDENTITIES = [("world", "someone"), ("digest", "nocolon"), ("digest", "a:b:c"), ("digest", ""), ("ip", "300.1.1.1"),
                  ("ip", "127.0.0.1/33"), ("ip", ""), ("super", "x"), ("sasl", "x"), ("x509", "x"), ("bogus", "x"),
                  ("", ""), (None, "x"), ("digest", None), ("world", None), ("ip", None), ("auth", None),
                  ("bogus", None)]


class Walk:
    """Makes one sequence."""

    def __init__(self, choice, count, members):
        self.choice, self.count, self.members = choice, count, members
        self.names = choice.sample(NAMES, choice.randrange(2, len(NAMES) + 1))
        self.is_up = [False] * SLOTS
        # Paths that are there, if all has gone well, with their flags, and paths that have been watched.
        self.there, self.watched = {}, []
        self.made = []
        self.requests = self._requests()

    def _requests(self):
        """Returns the kinds of requests with their weights."""
        kinds = {"create": 20, "create2": 10, "createContainer": 4, "createTTL": 4, "delete": 14, "deleteContainer": 2,
                 "setData": 12, "setACL": 4, "check": 2, "multi": 12, "getData": 10, "exists": 9, "getChildren": 5,
                 "getChildren2": 6, "getACL": 4, "multiRead": 5, "getEphemerals": 3, "getAllChildrenNumber": 3,
                 "sync": 2, "addWatch": 8, "removeWatches": 5, "setWatches": 2, "setWatches2": 3, "auth": 4,
                 "sasl": 0.5, "whoAmI": 2, "reconfig": 1, "ping": 1, "close": 2, "raw": 0.5, "frame": 0.4}
        if self.members == 1:
            # Tells of the watches of the same member only.
            kinds["checkWatches"] = 4
        return kinds

    def sequence(self):
        """Returns the operations."""
        slot = 0
        for slot in range(SLOTS if self.chance(0.7) else SLOTS - 1):
            self.connect(slot)
        while len(self.made) < self.count:
            if self.chance(0.6):
                slot = self.choice.randrange(SLOTS)
            if not self.is_up[slot]:
                self.connect(slot)
            elif self.chance(0.02):
                self.add(slot, "drop", {})
                self.is_up[slot] = False
            elif self.chance(0.015):
                self.connect(slot)
            elif self.chance(0.001):
                self.add(slot, "expire", {})
                self.is_up[slot] = False
                self.forget_ephemerals()
            else:
                self.request(slot)
        return self.made[:self.count]

    def chance(self, of):
        """Whether something happens that happens with this probability."""
        return self.choice.random() < of

    def pick(self, items):
        """Returns any of `items`."""
        return self.choice.choice(items)

    def weighted(self, weights):
        """Returns any of the keys, each as likely as its weight says."""
        return self.choice.choices(list(weights), list(weights.values()))[0]

    def add(self, slot, verb, fields, spoil=None):
        """Appends one operation, now and then in one write with the one before."""
        could = self.made and self.made[-1].slot == slot and not is_last(self.made[-1]) and verb not in FIRST
        joins = bool(could) and self.chance(0.45)
        self.made.append(Operation(len(self.made), slot, verb, fields, joins, spoil))

    def connect(self, slot):
        """A new session, the slot's own again, or something that is refused."""
        hows = {"new": 3, "again": 6, "wrong password": 0.6, "unknown": 0.3, "ended": 0.5, "future": 0.2}
        how = self.weighted(hows)
        # Beyond one member, what this one has seen another may not have yet.
        last_zxid = self.pick([0, self.told()]) if self.members == 1 else 0
        fields = {"how": how, "timeout_ms": self.pick([30000, 30000, 30000, 100000]), "last_zxid": last_zxid,
                  "has_read_only": not self.chance(0.1), "member": self.choice.randrange(self.members)}
        self.add(slot, "connect", fields)
        self.is_up[slot] = how in ("new", "again")

    def told(self):
        """Returns a zxid that some answer up to here has told."""
        return "told", self.choice.randrange(len(self.made) + 1)

    def request(self, slot):
        """Appends a request."""
        verb = self.weighted(self.requests)
        fields = getattr(self, f"of_{verb}", self.of_path)(verb)
        spoil = None
        if verb not in ("close", "raw", "frame", "ping", "whoAmI") and self.chance(0.012):
            spoil = ("cut", self.choice.randrange(24))
            # Not where it could change an ACL into one that locks the auditor out.
            if verb in ("delete", "exists", "getData", "setData", "getChildren2", "sync") and self.chance(0.5):
                spoil = ("patch", 0, self.pick([-5, -1, 0, 2**31 - 1, 1000, 1]))
        self.add(slot, verb, fields, spoil)
        if verb in ("close", "raw", "frame"):
            self.is_up[slot] = False
        if verb == "close":
            self.forget_ephemerals()

    # Paths and other parts.

    def path(self):
        """Returns a path, in most cases one of few."""
        drawn = self.choice.random()
        if drawn < 0.05:
            return self.pick(ODD_PATHS)
        if drawn < 0.11:
            return self.pick(SYSTEM_PATHS + [CONFIG_PATH] * (self.members == 1))
        if self.there and drawn < 0.75:
            return self.pick(list(self.there))
        path = "".join("/" + self.pick(self.names) for _ in range(self.pick([1, 1, 1, 2, 2, 3])))
        # As a sequential create may have made it.
        return f"{path}{self.choice.randrange(6):010d}" if drawn > 0.96 else path

    def new_path(self, flags, acl):
        """Returns a path to create, in most cases below one that is there."""
        path = self.path()
        above = [known for known, known_flags in self.there.items()
                 if known_flags == 0 and known.count("/") < DEPTH_MAX]
        if self.chance(0.6):
            path = f"{self.pick(['', *above])}/{self.pick(self.names)}"
        could = isinstance(path, str) and path not in ODD_PATHS and path.rpartition("/")[0] in ["", *above]
        if could and flags in (0, 1) and acl == OPEN_ACL:
            self.there.setdefault(path, flags)
        return path

    def old_path(self):
        """Returns a path to delete."""
        path = self.path()
        if path in self.there and not any(below.startswith(f"{path}/") for below in self.there):
            del self.there[path]
        return path

    def forget_ephemerals(self):
        """Takes no ephemeral for granted any more."""
        self.there = {path: flags for path, flags in self.there.items() if flags == 0}

    def paths(self):
        """Returns a short list of paths."""
        return tuple(self.watchable() for _ in range(self.choice.randrange(4)))

    def watchable(self):
        """Returns any path but null: armed with that, a connection of the reference never closes again."""
        path = self.path() or "/"
        self.watched.append(path)
        return path

    def acl(self, is_open):
        """Returns an ACL; `is_open` is the probability of the usual one."""
        if self.chance(is_open):
            return OPEN_ACL
        drawn = self.choice.random()
        if drawn < 0.03:
            return None
        if drawn < 0.06:
            return ()
        entries = [self.entry(GOOD_IDENTITIES) for _ in range(self.pick([1, 1, 1, 2, 3]))]
        if drawn < 0.20:
            entries.insert(self.choice.randrange(len(entries) + 1), self.entry(BAD_IDENTITIES))
        elif drawn < 0.30:
            entries.append(self.pick(entries))
        return (*entries, AUDITOR_ENTRY)

    def entry(self, identities):
        """Returns one entry of an ACL."""
        return (self.pick(OTHER_PERMS), *self.pick(identities))

    def flags(self):
        """Returns a create's flags."""
        drawn = self.choice.random()
        if drawn < 0.03:
            return self.pick([7, 8, -1, 100])
        if drawn < 0.05:
            return self.pick([5, 6])
        if drawn < 0.09:
            return 4
        return self.weighted({0: 10, 1: 5, 2: 3, 3: 2})

    # Fields of each request.

    def of_path(self, _verb):
        """Those that take a path alone."""
        return {"path": self.path()}

    def of_create(self, _verb):
        """create and create2."""
        flags, acl = self.flags(), self.acl(0.75)
        return {"path": self.new_path(flags, acl), "data": self.pick(DATA), "acl": acl, "flags": flags}

    of_create2 = of_create

    def of_createContainer(self, _verb):
        """createContainer, mostly with the flag that clients send."""
        flags, acl = 4 if self.chance(0.8) else self.flags(), self.acl(0.8)
        return {"path": self.new_path(flags, acl), "data": self.pick(DATA), "acl": acl, "flags": flags}

    def of_createTTL(self, _verb):
        """createTTL; none that ends while the sequence lasts.

        Beyond a multi, a negative TTL with flags of another kind is never sent: it is logged by the reference, which
        then stops, and stops again at every start.
        """
        flags = self.pick([5, 5, 5, 6, 6]) if self.chance(0.85) else self.flags()
        ttl = self.pick([3_600_000, 3_600_000, 2**40 - 1]) if self.chance(0.85) else self.pick([0, -1, 2**40, 2**62])
        ttl, acl = ttl if flags in FLAGS_OF_TTL else max(ttl, 0), self.acl(0.8)
        return {"path": self.new_path(flags, acl), "data": self.pick(DATA), "acl": acl, "flags": flags, "ttl": ttl}

    def of_delete(self, _verb):
        """delete."""
        return {"path": self.old_path(), "version": self.pick(VERSIONS)}

    def of_check(self, _verb):
        """check."""
        return {"path": self.path(), "version": self.pick(VERSIONS)}

    def of_setData(self, _verb):
        """setData."""
        return {"path": self.path(), "data": self.pick(DATA), "version": self.pick(VERSIONS)}

    def of_setACL(self, _verb):
        """setACL, often back to the open ACL."""
        return {"path": self.path(), "acl": self.acl(0.35), "version": self.pick(VERSIONS)}

    def of_getData(self, _verb):
        """The reads that can watch."""
        path, watch = self.path(), self.chance(0.4)
        if watch:
            self.watched.append(path)
        return {"path": path, "watch": watch}

    of_exists = of_getChildren = of_getChildren2 = of_getData

    def of_getEphemerals(self, _verb):
        """getEphemerals: its path is only the beginning of a text."""
        return {"path": self.pick(["/", "", "/a", "/a/", "/b", self.path()])}

    def of_ping(self, _verb):
        """ping and whoAmI."""
        return {}

    of_whoAmI = of_close = of_ping

    def of_multi(self, _verb):
        """multi: mostly what it takes, now and then something that it does not."""
        verbs = ["create"] * 5 + ["create2"] * 3 + ["delete"] * 4 + ["setData"] * 4 + ["check"] * 2
        verbs += ["createContainer", "createTTL"]
        return self.of_many(verbs, ["getData", "exists", "sync", "setACL", "getChildren"])

    def of_multiRead(self, _verb):
        """multiRead."""
        others = ["exists", "getChildren2", "delete", "check", "getACL"]
        return self.of_many(["getData"] * 4 + ["getChildren"] * 3, others)

    def of_many(self, verbs, others):
        """Some operations in one."""
        count = self.pick([0, 1, 1, 2, 2, 3, 3, 4, 6])
        chosen = [self.pick(others if self.chance(0.01) else verbs) for _ in range(count)]
        inner = tuple((verb, getattr(self, f"of_{verb}", self.of_path)(verb)) for verb in chosen)
        return {"operations": inner, "ending": not self.chance(0.01)}

    def of_auth(self, _verb):
        """auth: one of two users, odd ones, and some that end the connection."""
        scheme, data = "digest", self.pick(USERS)
        if self.chance(0.25):
            scheme, data = self.pick([("digest", b"u1:wrong"), ("digest", b"nocolon"), ("digest", b""),
                                      ("digest", b"u1:p1:x"), ("ip", b"10.0.0.1"), ("ip", None)])
        elif self.chance(0.1):
            scheme, data = self.pick([("digest", None), ("world", b"anyone"), ("bogus", b"x"), ("", b"x"), (None, b"x"),
                                      ("auth", b""), ("sasl", b"x")])
        return {"auth_type": 0, "scheme": scheme, "data": data}

    def of_sasl(self, _verb):
        """sasl: there is nothing to negotiate, and null ends the connection."""
        return {"token": self.pick([b"", b"token", b"token", None])}

    def of_reconfig(self, _verb):
        """reconfig, which is switched off."""
        joining = self.pick(["server.9=127.0.0.9:1:2;3", "", "nonsense", None])
        return {"joining": joining, "leaving": self.pick(["", "1", None]), "members": self.pick(["", None]),
                "config_id": self.pick([-1, -1, 0, 2**40])}

    def of_setWatches(self, _verb):
        """setWatches."""
        relative = self.pick([0, self.told(), self.told(), self.told(), 2**62])
        data, exist, child = (self.paths() for _ in range(3))
        return {"relative": relative, "data_paths": data, "exist_paths": exist, "child_paths": child}

    def of_setWatches2(self, verb):
        """setWatches2."""
        return {**self.of_setWatches(verb), "persistent_paths": self.paths(), "recursive_paths": self.paths()}

    def of_addWatch(self, _verb):
        """addWatch."""
        return {"path": self.watchable(), "mode": self.weighted({0: 10, 1: 10, 2: 0.3, -1: 0.3, 7: 0.3})}

    def of_removeWatches(self, _verb):
        """removeWatches and checkWatches."""
        path = self.pick(self.watched[-WATCHED_MAX:]) if self.watched and self.chance(0.7) else self.path()
        return {"path": path, "side": self.weighted({1: 6, 2: 6, 3: 8, 0: 0.5, 4: 0.5, 5: 0.5})}

    of_checkWatches = of_removeWatches

    def of_raw(self, _verb):
        """An opcode that no client sends."""
        if self.chance(0.1):
            # With a body the reference takes it for a connect request's, and answers what no client reads.
            return {"opcode": OPCODE_CREATE_SESSION, "body": b""}
        return {"opcode": self.pick(OPCODES_UNKNOWN), "body": self.choice.randbytes(self.pick([0, 4, 20]))}

    def of_frame(self, _verb):
        """A frame that holds no request."""
        return {"body": self.choice.randbytes(self.pick([0, 1, 2, 4, 6, 7]))}
