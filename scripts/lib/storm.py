"""Faults of processes, network and disks, each done and undone, for members in network namespaces."""

import random
import time

from case import eventually

TICK_S = 1.0
SYNC_LIMIT_TICKS = 4
# After so long a silent leader has been given up by the others.
LIMIT_S = TICK_S * SYNC_LIMIT_TICKS
CONFIG = {"tickTime": int(TICK_S * 1000), "initLimit": 10, "syncLimit": SYNC_LIMIT_TICKS}
SHORT_S, LONG_S = (0.3, 3.0), (LIMIT_S + 1.0, LIMIT_S + 4.0)
# Slow, and still enough for the heartbeats: a member behind such a link lives, and lags.
SLOW_KBIT, SLOW_DELAY_MS, SLOW_LOSS = 400, 60, 0.05


class Faults:
    """Does one random fault at a time; every method named in `NAMES` is one, and undoes itself."""

    NAMES = ["kill_one", "kill_leader", "kill_all", "hold_one", "hold_leader", "isolate_one", "isolate_leader",
             "one_way_in", "one_way_out", "one_way_link", "cut_link", "hub", "chain", "lonely_hub", "flap", "flap_one_way",
             "slow_one", "slow_all", "clients_cut", "disk_full_one", "disk_full_all", "disk_slow", "disk_fails"]

    # ZooKeeper ends, or stays behind without serving, when its disk refuses a write.
    DISKS_REFUSE = {"disk_full_one", "disk_full_all", "disk_fails"}

    def __init__(self, ensemble, disks, syncs, seed):
        self.ensemble, self.network, self.disks, self.syncs = ensemble, ensemble.network, disks, syncs
        self.choice, self.counts = random.Random(seed), {}

    def one(self, name):
        """Does and undoes the fault of that name, and waits until all members serve again."""
        self.counts[name] = self.counts.get(name, 0) + 1
        leader = self.ensemble.leader()
        others = [member for member in self.ensemble.members if member is not leader]
        try:
            getattr(self, name)(leader, others)
        finally:
            self.network.heal()
            for member in self.ensemble.members:
                self.syncs[member.id].recover()
                if member.is_running():
                    member.cont()
            for disk in self.disks.values():
                disk.clear()

    def _any(self):
        return self.choice.choice(self.ensemble.members)

    def _but(self, *members):
        return [member for member in self.ensemble.members if member not in members]

    def _wait(self):
        time.sleep(self.choice.uniform(*(LONG_S if self.choice.random() < 0.6 else SHORT_S)))

    def _kill(self, members):
        for member in members:
            member.kill()
        time.sleep(self.choice.uniform(0, 2))
        for member in members:
            member.start()

    def kill_one(self, _leader, others):
        """SIGKILL of a follower, and a start some time later."""
        self._kill([self.choice.choice(others)])

    def kill_leader(self, leader, _others):
        """SIGKILL of the leader, and a start some time later."""
        self._kill([leader])

    def kill_all(self, leader, others):
        """SIGKILL of all at once."""
        self._kill([leader, *others])

    def hold_one(self, _leader, others):
        """SIGSTOP of a follower for some time."""
        self.choice.choice(others).pause()
        self._wait()

    def hold_leader(self, leader, _others):
        """SIGSTOP of the leader for some time."""
        leader.pause()
        self._wait()

    def isolate_one(self, _leader, others):
        """A follower cut off from all other members; clients still reach it."""
        member = self.choice.choice(others)
        self.network.isolate(member, self._but(member))
        self._wait()

    def isolate_leader(self, leader, others):
        """The leader cut off from all other members; clients still reach it."""
        self.network.isolate(leader, others)
        self._wait()

    def one_way_in(self, leader, _others):
        """What is sent to a member is lost; what it sends arrives."""
        member = self.choice.choice([leader, self._any()])
        for other in self._but(member):
            self.network.one_way(other, member)
        self._wait()

    def one_way_out(self, leader, _others):
        """What a member sends is lost; what is sent to it arrives."""
        member = self.choice.choice([leader, self._any()])
        for other in self._but(member):
            self.network.one_way(member, other)
        self._wait()

    def one_way_link(self, leader, others):
        """A link between the leader and a follower carries one direction only."""
        pair = [leader, self.choice.choice(others)]
        self.choice.shuffle(pair)
        self.network.one_way(*pair)
        self._wait()

    def cut_link(self, _leader, _others):
        """One link is cut; both ends reach all others."""
        self.network.cut(*self.choice.sample(self.ensemble.members, 2))
        self._wait()

    def _leave_links(self, kept):
        members = self.ensemble.members
        for index, one in enumerate(members):
            for another in members[:index]:
                if {one.id, another.id} not in kept:
                    self.network.cut(one, another)

    def hub(self, _leader, others):
        """All links but those of one follower are cut: only it reaches a majority."""
        hub = self.choice.choice(others)
        self._leave_links([{hub.id, other.id} for other in self._but(hub)])
        self._wait()

    def chain(self, _leader, _others):
        """The links that are left make a chain in random order."""
        members = list(self.ensemble.members)
        self.choice.shuffle(members)
        self._leave_links([{one.id, another.id} for one, another in zip(members, members[1:])])
        self._wait()

    def lonely_hub(self, leader, others):
        """The leader isolated, and of the rest only one follower reaches the others."""
        hub = self.choice.choice(others)
        self._leave_links([{hub.id, other.id} for other in self._but(hub, leader)])
        self._wait()

    def flap(self, leader, others):
        """A link of the leader, or all of them, cut and restored again and again."""
        cut_off = self.choice.choice([others, [self.choice.choice(others)]])
        for _ in range(self.choice.randrange(4, 12)):
            self.network.isolate(leader, cut_off)
            time.sleep(self.choice.uniform(0.1, 1.5))
            self.network.heal()
            time.sleep(self.choice.uniform(0.1, 1.0))

    def flap_one_way(self, _leader, _others):
        """Single directions fail and recover, another one each time."""
        for _ in range(self.choice.randrange(4, 12)):
            self.network.one_way(*self.choice.sample(self.ensemble.members, 2))
            time.sleep(self.choice.uniform(0.1, 1.5))
            if self.choice.random() < 0.5:
                self.network.heal()

    def slow_one(self, leader, _others):
        """A member, often the leader, behind a slow link that loses packets."""
        self.network.slow(self.choice.choice([leader, self._any()]), SLOW_KBIT, SLOW_DELAY_MS, SLOW_LOSS)
        self._wait()

    def slow_all(self, _leader, _others):
        """All members behind slow links that lose packets."""
        for member in self.ensemble.members:
            self.network.slow(member, SLOW_KBIT, SLOW_DELAY_MS, SLOW_LOSS)
        self._wait()

    def clients_cut(self, leader, others):
        """Clients cannot reach some members, which do not notice."""
        for member in self.choice.sample([leader, *others], self.choice.randrange(1, len(others) + 1)):
            self.network.cut_clients(member)
        self._wait()

    def disk_full_one(self, leader, _others):
        """The disk of one member is full to the last bytes."""
        self.disks[self.choice.choice([leader, self._any()]).id].fill(self.choice.choice([0, 1 << 16, 1 << 20]))
        self._wait()

    def disk_full_all(self, _leader, _others):
        """All disks are nearly full: writes are refused, nothing else."""
        for disk in self.disks.values():
            disk.fill(1 << 20)
        self._wait()

    def disk_slow(self, leader, _others):
        """Every sync of a member, often the leader, takes long."""
        member = self.choice.choice([leader, self._any()])
        self.syncs[member.id].delay(self.choice.choice([0.1, 0.5, 2.5 * TICK_S, 1.5 * LIMIT_S]))
        self._wait()

    def disk_fails(self, leader, others):
        """A sync fails: the member must end by itself rather than go on, and is started again."""
        member = self.choice.choice([leader, *others])
        member.told_to_end = True
        self.syncs[member.id].fail()
        eventually(lambda: not member.is_running(), 30.0, f"member {member.id} ends after a failed sync")
        self.syncs[member.id].recover()
        member.start()
