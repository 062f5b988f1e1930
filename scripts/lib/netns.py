"""Network namespaces: members that reach each other over a bridge, on which packets can be dropped in silence.

    if __name__ == "__main__":
        netns.enter()
        network = netns.Network(3)

`enter` starts the test anew with network, mounts and processes of its own. All that is made afterwards - links,
addresses, named namespaces, rules, mounted disks, servers - is gone when the test ends, however it ends, for the
kernel takes it away with the test's own namespaces; and nothing of it can touch the machine's network. The test's
clients sit at the bridge.

A dropped packet is not a closed connection: nobody is told. What notices is a heartbeat or a timeout, or nothing.
"""

import os
import shutil
import subprocess
import sys

from case import missing, skip

# Tells the test that it is inside already.
INSIDE = "CONCLAVE_OWN_NAMESPACES"
UNSHARE = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
AS_ROOT = ["unshare", "--user", "--map-root-user", *UNSHARE[1:]]
BRIDGE = "bridge0"
NETWORK = "10.77.0"
CLIENTS = f"{NETWORK}.254"


def enter():
    """Starts this test anew in namespaces of its own, once; says so and skips the test where that cannot be."""
    for tool, package in (("unshare", "util-linux"), ("ip", "iproute2"), ("tc", "iproute2"), ("iptables", "iptables")):
        if not shutil.which(tool):
            missing(tool, package)
    if os.environ.get(INSIDE):
        # `ip netns` keeps its names in /run; a fresh one leaves no trace on the machine.
        _do("mount", "-t", "tmpfs", "conclave", "/run")
        _do("ip", "link", "set", "lo", "up")
        return
    for unshare in (UNSHARE, AS_ROOT):
        if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            os.environ[INSIDE] = "yes"
            sys.stdout.flush()
            os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])
    skip("network namespaces cannot be made here; run as root")


def _do(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stdout.strip()}")


class Network:
    """A bridge, and one namespace for each of `count` members."""

    def __init__(self, count):
        self.ids = list(range(1, count + 1))
        self.slowed = set()
        _do("ip", "link", "add", BRIDGE, "type", "bridge")
        _do("ip", "addr", "add", f"{CLIENTS}/24", "dev", BRIDGE)
        _do("ip", "link", "set", BRIDGE, "up")
        for server_id in self.ids:
            self._plug(server_id)
        self.has_netem = self._has_netem()

    def _plug(self, server_id):
        name = self._name(server_id)
        _do("ip", "netns", "add", name)
        _do("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _do("ip", "link", "set", name, "master", BRIDGE, "up")
        _do("ip", "-n", name, "addr", "add", f"{self.address(server_id)}/24", "dev", "eth0")
        _do("ip", "-n", name, "link", "set", "eth0", "up")
        _do("ip", "-n", name, "link", "set", "lo", "up")

    @staticmethod
    def _name(server_id):
        return f"member{server_id}"

    @staticmethod
    def address(server_id):
        """Returns the address of a member."""
        return f"{NETWORK}.{server_id}"

    def inside(self, server_id):
        """Returns the beginning of a command that is to run where the member lives."""
        return ["ip", "netns", "exec", self._name(server_id)]

    def _drop_from(self, address, at):
        _do(*self.inside(at), "iptables", "-w", "10", "-A", "INPUT", "-s", address, "-j", "DROP")

    def one_way(self, source, target):
        """Drops what `source` sends to `target`; the other way stays open."""
        self._drop_from(self.address(source.id), target.id)

    def cut(self, one, another):
        """Drops all packets between two members."""
        self.one_way(one, another)
        self.one_way(another, one)

    def isolate(self, member, others):
        """Drops all packets between `member` and each of `others`."""
        for other in others:
            self.cut(member, other)

    def cut_clients(self, member):
        """Drops what the test's clients send to `member`."""
        self._drop_from(CLIENTS, member.id)

    def _has_netem(self):
        try:
            _do("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
        except OSError:
            return False
        _do("tc", "qdisc", "del", "dev", "lo", "root")
        return True

    def slow(self, member, rate_kbit, delay_ms, loss):
        """Lets what `member` sends pass at a limited rate and delayed, and loses a part of what it is sent.

        Where the kernel has no netem, the delay is that of the queue behind the limited rate alone.
        """
        name = self._name(member.id)
        if self.has_netem:
            _do("tc", "-n", name, "qdisc", "add", "dev", "eth0", "root", "netem", "delay", f"{delay_ms}ms",
                f"{delay_ms // 2}ms", "rate", f"{rate_kbit}kbit")
        else:
            _do("tc", "-n", name, "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", f"{rate_kbit}kbit",
                "burst", "4kb", "latency", f"{10 * delay_ms}ms")
        self.slowed.add(name)
        _do(*self.inside(member.id), "iptables", "-w", "10", "-A", "INPUT", "-m", "statistic", "--mode", "random",
            "--probability", f"{loss}", "-j", "DROP")

    def heal(self):
        """Takes all rules away."""
        for server_id in self.ids:
            _do(*self.inside(server_id), "iptables", "-w", "10", "-F", "INPUT")
        for name in self.slowed:
            _do("tc", "-n", name, "qdisc", "del", "dev", "eth0", "root")
        self.slowed.clear()

    def end(self):
        """Takes all of it away, so that another network can be made."""
        for server_id in self.ids:
            # The kernel takes its time to empty a namespace; a deleted link is gone at once.
            _do("ip", "link", "del", self._name(server_id))
            _do("ip", "netns", "del", self._name(server_id))
        _do("ip", "link", "del", BRIDGE)
