"""The leader is killed under load: for how long is no write acknowledged, to any client, anywhere?"""

import http.client
import threading
import time

from case import eventually
from wire import NODE_EXISTS, OK, Wire, WireError

BETWEEN_WRITES_S = 0.001
RECONNECT_S = 0.005
STEADY_S = 1.0
RECOVERY_TIMEOUT_S = 60.0
VALUE = "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"


class Writer:
    """Writes to one member without end and keeps the time of each acknowledgement."""

    def __init__(self, kind, port, number):
        self.port, self.path = port, f"/outage{number}"
        self.acked_at, self.ended = [], False
        self.write_until_lost = self._etcd if kind == "etcd" else self._zookeeper
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self):
        while not self.ended:
            try:
                self.write_until_lost()
            except (WireError, OSError, http.client.HTTPException):
                pass
            time.sleep(RECONNECT_S)

    def _zookeeper(self):
        wire = Wire(self.port)
        try:
            if wire.create(self.path) not in (OK, NODE_EXISTS):
                return
            while not self.ended and wire.set(self.path, b"x" * 24)[0] == OK:
                self._acked()
        finally:
            wire.drop()

    def _etcd(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            while not self.ended:
                connection.request("POST", "/v3/kv/put", f'{{"key": "L291dGFnZQ==", "value": "{VALUE}"}}')
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    return
                self._acked()
        finally:
            connection.close()

    def _acked(self):
        self.acked_at.append(time.monotonic())
        time.sleep(BETWEEN_WRITES_S)

    def has_written_since(self, moment):
        """Whether anything was acknowledged after `moment`."""
        return bool(self.acked_at) and self.acked_at[-1] > moment


def longest_outage_s(kind, ensemble):
    """Kills the leader and returns the longest time without an acknowledged write; the leader is back afterwards."""
    writers = [Writer(kind, member.client_port, i) for i, member in enumerate(ensemble.members)]
    try:
        now = time.monotonic()
        eventually(lambda: all(w.has_written_since(now) for w in writers), RECOVERY_TIMEOUT_S, "every member takes writes")
        time.sleep(STEADY_S)
        leader = ensemble.leader()
        killed = time.monotonic()
        leader.kill()
        others = [w for w in writers if w.port != leader.client_port]
        eventually(lambda: all(w.has_written_since(killed + 0.05) for w in others), RECOVERY_TIMEOUT_S,
                   "the surviving members take writes")
        time.sleep(STEADY_S)
    finally:
        for writer in writers:
            writer.ended = True
    times = sorted(moment for writer in writers for moment in writer.acked_at if moment > killed - STEADY_S)
    leader.start()
    ensemble.wait_ready()
    return max(later - earlier for earlier, later in zip(times, times[1:]))
