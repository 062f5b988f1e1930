"""How the disk does while a test runs, so that a limit in seconds judges the server and not the machine."""

import os
import threading
import time

# A file replaced on a disk at ease takes a few milliseconds.
SLOW_S = 0.05
BETWEEN_S = 0.01
CONTENT = bytes(512)


class DiskProbe:
    """Replaces a small file durably, again and again, beside the data of the servers under test.

    That is write, fsync, rename, fsync of the folder: what a member does once or twice in an election.
    """

    def __init__(self, folder):
        self.folder, self.slow, self.longest_s, self.ended = folder, [], 0.0, False
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self):
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            while not self.ended:
                began = time.monotonic()
                self._replace(folder)
                took_s = time.monotonic() - began
                self.longest_s = max(self.longest_s, took_s)
                if took_s > SLOW_S:
                    self.slow.append((began, began + took_s))
                time.sleep(BETWEEN_S)
        finally:
            os.close(folder)

    @staticmethod
    def _replace(folder):
        file = os.open("probe.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=folder)
        try:
            os.write(file, CONTENT)
            os.fsync(file)
        finally:
            os.close(file)
        os.rename("probe.new", "probe", src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)

    def stalled_s(self, since, until):
        """Returns for how long, between two moments, the disk kept a finished replacement waiting unduly."""
        return sum(max(0.0, min(end, until) - max(start, since)) for start, end in list(self.slow))

    def __enter__(self):
        return self

    def __exit__(self, _kind, _value, _traceback):
        self.ended = True
        self.thread.join()
