"""The network between members, as forwarders that a test can cut.

Each member reaches each other one through ports of its own, so that a link from one member to another can
be cut without touching the rest. A cut link is silent: connections stay open and carry nothing, as when
cables are pulled; new ones are taken and carry nothing either. Healing lets what waited go on.
"""

import selectors
import socket
import threading

CHUNK_BYTES = 1 << 16
POLL_S = 0.2


class Stream:
    """One direction of a forwarded connection: reads from `source`, writes to `sink`."""

    def __init__(self, link, source, sink):
        self.link, self.source, self.sink, self.peer = link, source, sink, None


class Links:
    """All forwarders of an ensemble, run by one thread."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.lock = threading.Lock()
        self.cut = set()
        self.streams, self.listeners = {}, []
        self.ended = False
        self.thread = threading.Thread(target=self._work, daemon=True)

    def add(self, link, listen_port, to_port):
        """Forwards `listen_port` to `to_port` on behalf of `link`, a pair (from member, to member)."""
        listener = socket.create_server(("127.0.0.1", listen_port))
        self.listeners.append(listener)
        self.selector.register(listener, selectors.EVENT_READ, (link, to_port))

    def start(self):
        """Starts forwarding."""
        self.thread.start()

    def isolate(self, member, others):
        """Cuts `member` off from all of `others`, in both directions."""
        for other in others:
            self.cut_between(member, other)

    def cut_between(self, one, another):
        """Cuts the connections between two members, whichever of them made them."""
        with self.lock:
            self.cut |= {(one.id, another.id), (another.id, one.id)}

    def heal(self):
        """Restores all links."""
        with self.lock:
            self.cut.clear()

    def end(self):
        """Closes everything."""
        self.ended = True
        if self.thread.is_alive():
            self.thread.join()
        for stream in list(self.streams.values()):
            stream.source.close()
        for listener in self.listeners:
            listener.close()

    def _work(self):
        while not self.ended:
            with self.lock:
                cut = set(self.cut)
            ready = [key for key, _ in self.selector.select(POLL_S if not cut else 0.02)]
            moved = False
            for key in ready:
                if isinstance(key.data, Stream):
                    if key.data.link not in cut:
                        moved = True
                        self._forward(key.data)
                else:
                    moved = True
                    self._accept(key.fileobj, *key.data)
            if ready and not moved:
                # All that could move is cut off; do not spin on it.
                threading.Event().wait(0.02)

    def _accept(self, listener, link, to_port):
        source, _ = listener.accept()
        try:
            sink = socket.create_connection(("127.0.0.1", to_port), 1.0)
        except OSError:
            source.close()
            return
        there, back = Stream(link, source, sink), Stream(link, sink, source)
        there.peer, back.peer = back, there
        for stream in (there, back):
            stream.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A receiver that does not read blocks this thread for no longer than this.
            stream.source.settimeout(5.0)
            self.streams[stream.source] = stream
            self.selector.register(stream.source, selectors.EVENT_READ, stream)

    def _forward(self, stream):
        try:
            data = stream.source.recv(CHUNK_BYTES)
            if data:
                stream.sink.sendall(data)
                return
        except OSError:
            pass
        for each in (stream, stream.peer):
            if self.streams.pop(each.source, None):
                self.selector.unregister(each.source)
                each.source.close()
