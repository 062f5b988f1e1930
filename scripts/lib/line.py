"""Connections for tests that look at every frame, and the places of the clients that they belong to."""

import collections
import socket
import struct
import time

CONNECT_TIMEOUT_S = 6.0
# For an end of a connection that should have come already.
END_TIMEOUT_S = 2.0

Session = collections.namedtuple("Session", "ids passwords member")


class Gone(Exception):
    """A server takes no connection any more."""


class Line:
    """One connection; keeps all frames in the order in which they came."""

    def __init__(self, port):
        self.xid = 0
        self.held, self.received = b"", bytearray()
        self.granted = None
        try:
            self.stream = socket.create_connection(("127.0.0.1", port), CONNECT_TIMEOUT_S)
        except OSError as error:
            raise Gone(f"port {port}: {error}") from error
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def hold(self, raw):
        """Keeps bytes for the next write."""
        self.held += raw

    def send(self, raw):
        """Sends bytes in one write; a connection that the server has closed shows when it is read."""
        try:
            self.stream.sendall(self.held + raw)
        except OSError:
            pass
        self.held = b""

    def frame(self, timeout_s):
        """Returns the next frame, None at the end of the connection; TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while True:
            if len(self.received) >= 4:
                (length,) = struct.unpack_from(">i", self.received, 0)
                if len(self.received) >= 4 + length:
                    frame = bytes(self.received[4:4 + length])
                    del self.received[:4 + length]
                    return frame
            self.stream.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                part = self.stream.recv(1 << 16)
            except ConnectionError:
                return None
            if not part:
                return None
            self.received += part

    def close(self):
        """Closes the socket and nothing else."""
        self.stream.close()

    def drop(self):
        """Ends the connection, and waits until the server has seen it."""
        try:
            self.stream.shutdown(socket.SHUT_WR)
            while self.frame(END_TIMEOUT_S) is not None:
                pass
        except OSError:
            pass
        self.stream.close()


class Slot:
    """A place for a client: its session, and its connection to each side while it has one."""

    def __init__(self, name):
        self.name, self.session, self.lines, self.ended = name, None, None, None
        self.identities = set()

    def close(self):
        """Forgets the connections."""
        for line in self.lines or ():
            line.close()
        self.lines, self.identities = None, set()
