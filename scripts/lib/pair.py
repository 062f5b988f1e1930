"""A reference and a server under test, side by side, with as little as possible that differs by itself."""

import contextlib

from ensemble import Ensemble

# Short ticks, for sessions that expire soon. Sweeps of containers and of TTL nodes would come at another moment on
# either side.
CONFIG = {"tickTime": 200, "initLimit": 100, "syncLimit": 50, "maxSessionTimeout": 40_000, "maxClientCnxns": 0,
          "znode.container.checkIntervalMs": 86_400_000, "extendedTypesEnabled": "true"}
# The reference need not survive a loss of power, and is much faster for it.
REFERENCE_CONFIG = {**CONFIG, "forceSync": "no"}


class Pair:
    """Both, started on entering the block; `renew` starts both anew with empty trees."""

    def __init__(self, kind, members):
        self.kind, self.members = kind, members
        self.names = ("reference" if kind == "zookeeper" else "zookeeper", kind)
        self._running = contextlib.ExitStack()

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *failure):
        return self._running.__exit__(*failure)

    def _start(self):
        self.reference = self._running.enter_context(Ensemble(1, "zookeeper", REFERENCE_CONFIG))
        config = REFERENCE_CONFIG if self.kind == "zookeeper" else CONFIG
        self.tested = self._running.enter_context(Ensemble(self.members, self.kind, config))
        self.reference.wait_ready()
        self.tested.wait_ready()

    def renew(self):
        """Starts both anew; what they held is gone."""
        self._running.close()
        self._start()

    def ports(self, member):
        """Returns the client port of the reference and that of a member under test."""
        return self.reference.members[0].client_port, self.tested.members[member].client_port
