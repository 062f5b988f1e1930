"""From the start of a killed member to its first answer, for each kind of server."""

import http.client
import time

from case import Failed
from wire import OK, Wire, WireError

TIMEOUT_S = 120.0
RETRY_S = 0.002


def _answers_zookeeper(port):
    try:
        wire = Wire(port)
        found = wire.get("/zookeeper")[0] == OK
        wire.drop()
        return found
    except WireError:
        return False


def _answers_etcd(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", "/v3/kv/range", '{"key": "L2JlbmNo", "limit": 1}')
        found = connection.getresponse().status == 200
        connection.close()
        return found
    except (OSError, http.client.HTTPException):
        return False


def first_read_s(kind, member):
    """Starts a member that is down and returns the seconds until it has answered a read."""
    answers = _answers_etcd if kind == "etcd" else _answers_zookeeper
    began = time.monotonic()
    member.start()
    while time.monotonic() - began < TIMEOUT_S:
        if answers(member.client_port):
            return time.monotonic() - began
        time.sleep(RETRY_S)
    raise Failed(f"no read within {TIMEOUT_S} s")
