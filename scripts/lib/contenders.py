"""Processes that contend for a lock or the lead, ours and other people's, and what they say in lines of JSON."""

import json
import os
import signal
import subprocess
import threading
import time

from case import REPO, Failed


def build_contend():
    """Builds the example `contend` and returns its path."""
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--release", "-p", "conclave-client", "--example",
                    "contend"], cwd=REPO, check=True, stdin=subprocess.DEVNULL)
    target = os.environ.get("CARGO_TARGET_DIR") or os.path.join(REPO, "target")
    return os.path.join(REPO, target, "release", "examples", "contend")


class Contenders:
    """Running processes by name; what they say is kept with the time at which it came."""

    def __init__(self):
        self.lock = threading.Lock()
        self.lines = []
        self.processes = {}

    def __enter__(self):
        return self

    def __exit__(self, *_unused):
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def start(self, name, command):
        """Starts one under a name that may have been another's."""
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes[name] = process
        threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process):
        for line in process.stdout:
            with self.lock:
                self.lines.append((time.monotonic(), json.loads(line)))

    def said(self, event):
        """Returns the time and the line of each `event`, in order."""
        with self.lock:
            return [(at, line) for at, line in self.lines if line["event"] == event]

    def names(self, event):
        """Returns who said `event`, in order."""
        return [line["name"] for _at, line in self.said(event)]

    def require_sound(self):
        """Fails when one has ended by itself with anything but success."""
        for name, process in self.processes.items():
            if process.poll() not in (None, 0, -signal.SIGKILL):
                raise Failed(f"{name} ended with code {process.returncode}")

    def finish(self, timeout_s=60):
        """Closes their standard inputs, and waits until all have ended well."""
        for process in self.processes.values():
            if process.poll() is None:
                process.stdin.close()
        for name, process in self.processes.items():
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise Failed(f"{name} does not end") from None
            if code not in (0, -signal.SIGKILL):
                raise Failed(f"{name} ended with code {code}")
