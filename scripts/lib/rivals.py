"""What is measured beside Conclave and ZooKeeper: an ensemble of etcd, and the floor."""

import http.client
import os
import shutil
import subprocess
import tempfile
import time

from case import REPO, Failed, missing
from ensemble import Ensemble, free_ports

READY_TIMEOUT_S = 60.0
RIG = os.path.join(REPO, "scripts", "compare.d", "rig")
# The JVM's own choice of collector and compiler, and room for a million znodes.
JAVA_OPTIONS = ("-Xmx2g",)
# Their defaults but for the number of connections from one address, which is the load generator's.
CONFIG = {"maxClientCnxns": 0}


def rig_binary(name):
    """Returns the path of a binary of the rig, which is built if need be."""
    target = os.path.join(os.environ.get("CARGO_TARGET_DIR") or os.path.join(REPO, "target"), "rig")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", f"{RIG}/Cargo.toml"],
                   env={**os.environ, "CARGO_TARGET_DIR": target}, check=True)
    return os.path.join(target, "release", name)


def cpu_s(pids):
    """Returns the processor time that processes have taken, in seconds."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def rss_bytes(pids):
    """Returns the resident memory of processes, in bytes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as status:
            total += next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
    return total


class Process:
    """A server process that outlives no test."""

    def __init__(self, command, directory, port):
        self.command, self.directory, self.client_port = command, directory, port
        self.process = None

    def start(self):
        """Starts it; it may take a while to answer."""
        with open(os.path.join(self.directory, f"log{self.client_port}.txt"), "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.directory)

    def kill(self):
        """Ends it with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def pid(self):
        """Its process id while it runs, else None."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None


class Rival:
    """Processes in a folder of their own, with the interface of `Ensemble` as far as `compare` needs it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="conclave-compare-")
        self.members = []

    def __enter__(self):
        for member in self.members:
            member.start()
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def hosts(self):
        """The addresses of all members."""
        return ",".join(f"127.0.0.1:{member.client_port}" for member in self.members)

    def wait_ready(self):
        """Waits until all answer and one leads."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise Failed(f"{type(self).__name__} is not ready within {READY_TIMEOUT_S} s")
            time.sleep(0.05)


class Etcd(Rival):
    """An ensemble of etcd with its default configuration."""

    def __init__(self, count):
        super().__init__()
        binary = shutil.which("etcd") or missing("etcd", "etcd-server")
        ports = free_ports(2 * count)
        clients, peers = ports[:count], ports[count:]
        ring = ",".join(f"m{i}=http://127.0.0.1:{peer}" for i, peer in enumerate(peers))
        for i, (client, peer) in enumerate(zip(clients, peers)):
            command = [binary, "--name", f"m{i}", "--data-dir", f"{self.dir}/m{i}", "--initial-cluster", ring,
                       "--listen-client-urls", f"http://127.0.0.1:{client}",
                       "--advertise-client-urls", f"http://127.0.0.1:{client}",
                       "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                       "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--log-level", "error"]
            self.members.append(Process(command, self.dir, client))

    @staticmethod
    def is_leader(member):
        """Whether a member leads; None when it does not answer or knows no leader."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", member.client_port, timeout=5)
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
            connection.close()
        except (OSError, http.client.HTTPException):
            return None
        facts = dict(line.split(" ", 1) for line in lines if line.startswith("etcd_server_"))
        if facts.get("etcd_server_has_leader") != "1":
            return None
        return facts.get("etcd_server_is_leader") == "1"

    def is_ready(self):
        """Whether all know one leader."""
        return sorted(str(self.is_leader(member)) for member in self.members) == \
            ["False"] * (len(self.members) - 1) + ["True"]

    def leader(self):
        """Returns the member that leads."""
        self.wait_ready()
        return next(member for member in self.members if self.is_leader(member))


class Floor(Rival):
    """One process that answers and does nothing for it."""

    def __init__(self, _count):
        super().__init__()
        (port,) = free_ports(1)
        self.members.append(Process([rig_binary("floor"), str(port), f"{self.dir}/log"], self.dir, port))

    def is_ready(self):
        """Whether it has made its file."""
        path = f"{self.dir}/log"
        return os.path.exists(path) and os.path.getsize(path) >= 64 << 20

    def leader(self):
        """Returns the only member."""
        return self.members[0]


def system(kind, count):
    """Returns an ensemble of a kind, to be entered."""
    if kind in ("conclave", "zookeeper"):
        return Ensemble(count, kind, config=CONFIG, java_options=JAVA_OPTIONS)
    return {"etcd": Etcd, "floor": Floor}[kind](count)
