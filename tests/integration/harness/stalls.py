"""Whether the machine stood still while a test ran.

A test marked `alone` bounds a time at the client, and shared machines stand still for a while now
and then: what it measures then is the machine. So a program beside the tests sleeps and syncs, and
remembers when either took much longer than it should."""

import os
import subprocess
import sys
import tempfile
import time

from .util import TOP, wait_until

TOO_LONG_S = 0.1  # what respgres' bounds allow beyond the time they name
NAP_S = 0.01
SYNC_EVERY_S = 0.1


class StallWatch:
    """Watches from when it has been made until `close()`."""

    def __init__(self):
        self._found = tempfile.NamedTemporaryFile(prefix="stalls-")
        self._program = subprocess.Popen([sys.executable, "-m", "harness.stalls"],
                                         cwd=TOP / "tests" / "integration",
                                         stdin=subprocess.DEVNULL, stdout=self._found)
        wait_until(lambda: os.path.getsize(self._found.name), what="it watches")

    def longest_since(self, then):
        """The longest stall that ended after `then` (time.monotonic()), in seconds; 0 if none."""
        with open(self._found.name, encoding="ascii") as lines:
            stalls = [tuple(map(float, line.split())) for line in lines]
        return max((took for at, took in stalls if at >= then), default=0)

    def close(self):
        self._program.kill()
        self._program.wait()
        self._found.close()


def _took(do):
    start = time.monotonic()
    do()
    return time.monotonic() - start


def _watch():
    parent = os.getppid()  # it goes with it
    synced = 0
    with tempfile.TemporaryFile() as file:
        def sync():
            os.pwrite(file.fileno(), b"x" * 4096, 0)
            os.fdatasync(file.fileno())

        print(time.monotonic(), 0, flush=True)
        while os.getppid() == parent:
            took = _took(lambda: time.sleep(NAP_S)) - NAP_S
            if time.monotonic() - synced >= SYNC_EVERY_S:
                took = max(took, _took(sync))
                synced = time.monotonic()
            if took > TOO_LONG_S:
                print(f"{time.monotonic():.3f} {took:.3f}", flush=True)


if __name__ == "__main__":
    _watch()
