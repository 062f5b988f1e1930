"""Disks that a test rules: small ones that fill up, and ones whose syncs take long or fail."""

import os
import shutil
import subprocess

from case import missing

# More than a member with its snapshots needs in a test, and little enough to be filled at once.
DISK_BYTES = 32 << 20


def as_root(*command):
    """Runs a command with the rights to mount."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*prefix, *command], check=True)


class SmallDisk:
    """A tmpfs on a member's data folder, which must be mounted before the member first starts, and its ballast."""

    def __init__(self, member, size_bytes=DISK_BYTES):
        self.dir, self.ballast = member.data_dir, os.path.join(member.data_dir, "ballast")
        owner = f"uid={os.getuid()},gid={os.getgid()},mode=700"
        as_root("mount", "-t", "tmpfs", "-o", f"size={size_bytes},{owner}", "conclave", self.dir)
        with open(os.path.join(self.dir, "myid"), "w") as myid:
            myid.write(f"{member.id}\n")

    def fill(self, left_bytes):
        """Leaves so many bytes."""
        room = os.statvfs(self.dir)
        length = room.f_bavail * room.f_frsize - left_bytes
        if length > 0:
            with open(self.ballast, "wb") as ballast:
                os.posix_fallocate(ballast.fileno(), 0, length)

    def clear(self):
        """Takes the ballast away."""
        if os.path.exists(self.ballast):
            os.remove(self.ballast)

    def unmount(self):
        """Takes the disk away, with all that is on it."""
        as_root("umount", "-l", self.dir)

    def keep(self):
        """Copies what is on it to where it stays."""
        shutil.copytree(self.dir, f"{self.dir}.kept", dirs_exist_ok=True, ignore=shutil.ignore_patterns("ballast"))


def build_sync_orders(folder):
    """Compiles the library that rules a server's syncs, and returns its path."""
    compiler = shutil.which("gcc") or missing("gcc", "gcc and libc6-dev")
    source = os.path.join(os.path.dirname(os.path.realpath(__file__)), "sync_orders.c")
    library = os.path.join(folder, "sync_orders.so")
    subprocess.run([compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


class Syncs:
    """The syncs of one member, which takes the orders from its next start on."""

    def __init__(self, member, library):
        self.path = os.path.join(member.dir, "sync_orders.txt")
        member.env.update(LD_PRELOAD=library, SYNC_ORDERS=self.path)

    def _order(self, text):
        with open(f"{self.path}.new", "w") as orders:
            orders.write(text)
        os.replace(f"{self.path}.new", self.path)

    def delay(self, seconds):
        """Makes each sync wait first."""
        self._order(f"{int(seconds * 1000)}\n")

    def fail(self):
        """Makes each sync fail with EIO."""
        self._order("fail\n")

    def recover(self):
        """Makes syncs what they were."""
        if os.path.exists(self.path):
            os.remove(self.path)
