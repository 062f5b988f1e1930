"""Writers that each stay with one member, so that a test sees which member takes writes, and when none did."""

import threading
import time

from wire import OK, Wire, WireError

BETWEEN_S = 0.005


class Writer:
    """Creates znodes through one member, one at a time, and keeps which were acknowledged, and when."""

    def __init__(self, member, timeout_s=2.0):
        self.member, self.timeout_s, self.acked, self.ended, self.count = member, timeout_s, [], False, 0
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self):
        while not self.ended:
            try:
                wire = Wire(self.member.at, timeout_s=self.timeout_s)
                while not self.ended:
                    self.count += 1
                    path = f"/w/m{self.member.id}-{self.count}"
                    if wire.create(path, path.encode()) == OK:
                        self.acked.append((time.monotonic(), path))
                    time.sleep(BETWEEN_S)
                wire.close()
            except WireError:
                time.sleep(0.02)

    def acked_since(self, moment):
        """Returns how many writes were acknowledged after `moment`."""
        return sum(at > moment for at, _ in self.acked[-5000:])


def end(writers):
    """Ends all writers."""
    for writer in writers:
        writer.ended = True
    for writer in writers:
        writer.thread.join(10)


def longest_pause(writers, disk, since):
    """Returns the longest time after `since` in which no writer got an acknowledgement though the disk worked."""
    times = sorted([since] + [at for writer in writers for at, _ in writer.acked if at > since])
    pauses = zip(times, times[1:] + [time.monotonic()])
    return max(later - earlier - disk.stalled_s(earlier, later) for earlier, later in pauses)


def lost(writers, tree):
    """Returns the paths that were acknowledged and are not in `tree` with their data."""
    paths = [path for writer in writers for _, path in writer.acked]
    return [path for path in paths if tree.get(path, (None,))[0] != path.encode()]
