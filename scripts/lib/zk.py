"""Kazoo, with the patience that an ensemble under faults asks for."""

import logging
import time

from case import Failed, missing

try:
    from kazoo.client import KazooClient
    from kazoo.exceptions import (ConnectionClosedError, ConnectionLoss, OperationTimeoutError,
                                  SessionExpiredError, SessionMovedError)
    from kazoo.handlers.threading import KazooTimeoutError
    from kazoo.retry import KazooRetry
except ImportError:
    missing("the Python package kazoo", "kazoo from PyPI")

# Kazoo logs every lost connection with its traceback; losing connections is what these tests do.
logging.getLogger("kazoo").setLevel(logging.CRITICAL)

# After any of these the request may or may not have taken effect.
UNKNOWN_OUTCOME = (ConnectionLoss, ConnectionClosedError, OperationTimeoutError, SessionExpiredError,
                   SessionMovedError, KazooTimeoutError)
CONNECT_TIMEOUT_S = 30.0


def connect(hosts, session_timeout_s=10.0, **options):
    """Returns a started client that reconnects for ever, quickly, to the members of `hosts`."""
    retry = KazooRetry(max_tries=-1, delay=0.05, backoff=1.5, max_delay=0.5, max_jitter=0.1)
    client = KazooClient(hosts=hosts, timeout=session_timeout_s, connection_retry=retry, **options)
    client.start(timeout=CONNECT_TIMEOUT_S)
    return client


def disconnect(client):
    """Closes the session and frees the client."""
    client.stop()
    client.close()


def persist(action, timeout_s=60.0):
    """Calls `action(attempt)` again while its outcome is unknown; attempts count from 0.

    From attempt 1 on, an earlier attempt may have taken effect: `action` must allow for it.
    """
    deadline = time.monotonic() + timeout_s
    attempt = 0
    while True:
        try:
            return action(attempt)
        except UNKNOWN_OUTCOME as error:
            if time.monotonic() >= deadline:
                raise Failed(f"no answer within {timeout_s} s, last {error!r}") from error
            attempt += 1
            time.sleep(0.02)


def connected_port(client):
    """Returns the port of the member that `client` is connected to, or None."""
    stream = client._connection._socket  # Kazoo has no public way to ask.
    try:
        return stream.getpeername()[1] if stream is not None else None
    except OSError:
        return None
