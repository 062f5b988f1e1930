"""An ensemble of servers on loopback, one process per member, of Conclave or of Apache ZooKeeper.

    with Ensemble(3, kind="conclave") as ensemble:
        ensemble.wait_ready()
        ensemble.leader().kill()

Members are ended by process id when the block is left, also on failure. Data and logs live in a
temporary folder; it is removed after success and kept, with the log tails printed, after failure.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from case import REPO, Failed, missing
from links import Links

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LOG_TAIL_LINES = 12
# Below the range from which the system takes the ports of outgoing connections, so that a member
# that is down finds its port free when it comes back.
PORTS = range(12000, 30000)
# Small and quick to start; what is measured is run with others.
JAVA_OPTIONS = ("-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
ZOOKEEPER_JAR = "/usr/share/java/zookeeper.jar"
SLF4J_JAR = "/usr/share/java/slf4j-simple.jar"


def conclave_binary(name):
    """Returns the path of a release binary of this repository, which must have been built."""
    target = os.environ.get("CARGO_TARGET_DIR") or os.path.join(REPO, "target")
    path = os.path.join(REPO, target, "release", name)
    if not os.access(path, os.X_OK):
        raise Failed(f"{path} is missing; run cargo build --release")
    return path


def free_ports(count):
    """Returns `count` distinct ports of 127.0.0.1 on which nobody listens."""
    ports = []
    for port in random.SystemRandom().sample(PORTS, 2000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise Failed("no free ports on 127.0.0.1")


class Member:
    """One server process; its data folder outlives the process."""

    def __init__(self, ensemble, server_id, ports):
        self.ensemble = ensemble
        self.id = server_id
        self.host = ensemble.network.address(server_id) if ensemble.network else "127.0.0.1"
        self.client_port, self.peer_port, self.election_port = ports
        self.dir = os.path.join(ensemble.dir, f"member{server_id}")
        self.data_dir = os.path.join(self.dir, "data")
        self.config_path = os.path.join(self.dir, "zoo.cfg")
        self.log_path = os.path.join(self.dir, "log.txt")
        self.process = None
        self.told_to_end = False
        # What its process finds in its environment besides.
        self.env = {}
        os.makedirs(self.data_dir)

    @property
    def address(self):
        """The client address, `host:port`."""
        return f"{self.host}:{self.client_port}"

    @property
    def at(self):
        """The client address as `Wire` takes it."""
        return (self.host, self.client_port)

    @property
    def pid(self):
        """The process id while the member runs, else None."""
        return self.process.pid if self.is_running() else None

    def is_running(self):
        """Whether the process has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self):
        """Starts the process; it is ready when `role` answers."""
        assert not self.is_running(), "a member is started once at a time"
        self.told_to_end = False
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.ensemble.command(self), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, cwd=self.dir, env={**os.environ, **self.env})

    def kill(self):
        """Ends the process with SIGKILL, as a crash would, and waits until it is gone."""
        self.told_to_end = True
        if self.is_running():
            self.process.send_signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def stop(self):
        """Ends the process with SIGTERM, and with SIGKILL when it does not follow in time."""
        if not self.is_running():
            return
        self.told_to_end = True
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def pause(self):
        """Holds the process with SIGSTOP: it keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def cont(self):
        """Lets a paused process go on."""
        self.process.send_signal(signal.SIGCONT)

    def word(self, text, timeout_s=2.0):
        """Returns the answer to a four-letter word, or None when there is none."""
        try:
            with socket.create_connection(self.at, timeout_s) as stream:
                stream.sendall(text.encode())
                answer = b""
                while True:
                    part = stream.recv(65536)
                    if not part:
                        return answer.decode(errors="replace") or None
                    answer += part
        except OSError:
            return None

    def role(self):
        """Returns `leader`, `follower`, `observer` or `standalone`, or None while not serving."""
        for line in (self.word("srvr") or "").splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ").strip()
        return None

    def log(self):
        """Returns all the process has printed, over all its starts."""
        try:
            with open(self.log_path, errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def rss_bytes(self):
        """Returns the resident memory of the process."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise Failed(f"member {self.id} has no VmRSS")


class Ensemble:
    """All members, started on entering the block; with `cuttable` their links to each other can be cut, with a
    `network` each lives in a namespace of its own."""

    def __init__(self, count, kind="conclave", config=None, cuttable=False, network=None, java_options=JAVA_OPTIONS):
        self.kind, self.network = kind, network
        self.java_options = java_options
        self.config = dict(config or {})
        if kind == "conclave":
            self.binary = conclave_binary("conclaved")
        else:
            self.java = shutil.which("java") or missing("java", "default-jre-headless")
            if not os.path.exists(ZOOKEEPER_JAR):
                missing(ZOOKEEPER_JAR, "zookeeper")
        self.dir = tempfile.mkdtemp(prefix="conclave-outside-")
        # All at once, for a port is only taken when its member starts. Two forwarders per link.
        ports = free_ports(3 * count + 2 * count * count)
        self.link_ports = ports[3 * count:]
        self.members = [Member(self, i + 1, ports[3 * i:3 * i + 3]) for i in range(count)]
        self.links = Links() if cuttable else None
        for member in self.members:
            self._write_config(member)

    def _write_config(self, member):
        keys = {"tickTime": 2000, "initLimit": 10, "syncLimit": 5, "dataDir": member.data_dir,
                "clientPort": member.client_port}
        if self.kind == "zookeeper":
            keys.update({"admin.enableServer": "false", "4lw.commands.whitelist": "*"})
        keys.update(self.config)
        lines = [f"{key}={value}" for key, value in keys.items()]
        if len(self.members) > 1:
            lines += [self._server_line(member, other) for other in self.members]
        with open(member.config_path, "w") as config:
            config.write("\n".join(lines) + "\n")
        with open(os.path.join(member.data_dir, "myid"), "w") as myid:
            myid.write(f"{member.id}\n")

    def _server_line(self, member, other):
        """Returns the line by which `member` knows `other`: by its ports, or by those of the link to it."""
        ports = [other.peer_port, other.election_port]
        if self.links and other is not member:
            for index, real in enumerate(ports):
                forwarder = self.link_ports.pop()
                self.links.add((member.id, other.id), forwarder, real)
                ports[index] = forwarder
        return f"server.{other.id}={other.host}:{ports[0]}:{ports[1]}"

    def command(self, member):
        """Returns the command line that runs `member`."""
        inside = self.network.inside(member.id) if self.network else []
        if self.kind == "conclave":
            return [*inside, self.binary, "--config", member.config_path]
        return [*inside, self.java, *self.java_options, "-cp", f"{SLF4J_JAR}:{ZOOKEEPER_JAR}",
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", member.config_path]

    def __enter__(self):
        if self.links:
            self.links.start()
        for member in self.members:
            member.start()
        return self

    def __exit__(self, kind, _value, _traceback):
        died = [m for m in self.members if m.process is not None and not m.is_running()]
        for member in self.members:
            if member.is_running():
                # Nothing is asked of the data any more, so no time is given to a tidy end.
                member.kill()
        if self.links:
            self.links.end()
        if kind is None:
            shutil.rmtree(self.dir, ignore_errors=True)
            return
        for member in self.members:
            state = "had ended" if member in died else "was running"
            print(f"--- member {member.id} {state}; end of {member.log_path}", file=sys.stderr)
            print("\n".join(member.log().splitlines()[-LOG_TAIL_LINES:]), file=sys.stderr, flush=True)

    @property
    def hosts(self):
        """The connect string with all members."""
        return ",".join(member.address for member in self.members)

    def running(self):
        """Returns the members whose process runs."""
        return [member for member in self.members if member.is_running()]

    def wait_ready(self, timeout_s=READY_TIMEOUT_S):
        """Waits until every running member serves and, in an ensemble, exactly one leads."""
        deadline = time.monotonic() + timeout_s
        while True:
            roles = [member.role() for member in self.running()]
            if all(roles) and (roles == ["standalone"] or roles.count("leader") == 1 or len(self.members) == 1):
                return
            ended = [m.id for m in self.members if m.process and not m.is_running() and not m.told_to_end]
            if ended:
                raise Failed(f"members {ended} ended by themselves")
            if time.monotonic() >= deadline:
                raise Failed(f"not ready within {timeout_s} s: roles {roles}")
            time.sleep(0.05)

    def leader(self, timeout_s=READY_TIMEOUT_S):
        """Returns the member that leads, waiting for one if need be."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for member in self.running():
                if member.role() in ("leader", "standalone"):
                    return member
            time.sleep(0.05)
        raise Failed(f"no leader within {timeout_s} s")

    def follower(self):
        """Returns one running member that follows."""
        leader = self.leader()
        return next(member for member in self.running() if member is not leader)
