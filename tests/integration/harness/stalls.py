"""Whether the machine stood still while a test ran.

A test marked `alone` bounds a time at the client, and shared machines stand still for a while now
and then: what it measures then is the machine. So programs beside the tests, one on each processor,
sleep and sync, and note when either took longer than it should: somebody else may have one processor
only, and what ran there waits until it is moved."""

import os
import struct
import subprocess
import sys
import tempfile
import time

from .util import TOP, wait_until

TOO_LONG_S = 0.1  # what respgres' bounds allow beyond the time they name
NOTED_S = 0.01    # later than this is noted
NAP_S = 0.01
SYNC_EVERY_S = 0.1
BEAT = struct.Struct("d")


class StallWatch:
    """Watches from when it has been made until `close()`."""

    def __init__(self):
        self._watchers = [_Watcher(cpu) for cpu in sorted(os.sched_getaffinity(0))]
        for watcher in self._watchers:
            watcher.wait_past(0)

    def longest_since(self, then):
        """The longest stall that ended after `then` (time.monotonic()), in seconds; 0 if none."""
        now = time.monotonic()
        return max((end - start for start, end in self._stalls(now) if end >= then), default=0)

    def within(self, begun, ended):
        """For how long of this time some processor, or the disk, stood still."""
        return sum(max(min(end, ended) - max(start, begun), 0) for start, end in self._stalls(ended))

    def seconds(self, action):
        """How long `action` takes, without what the machine stood still; and what it returns."""
        begun = time.monotonic()
        value = action()
        ended = time.monotonic()
        return ended - begun - self.within(begun, ended), value

    def close(self):
        for watcher in self._watchers:
            watcher.close()

    def _stalls(self, until):
        """Those noted up to a time: they do not overlap, and each is (from, to)."""
        for watcher in self._watchers:
            watcher.wait_past(until)  # it may have stood still itself, and is to say so first
        joined = []
        for start, end in sorted(stall for watcher in self._watchers for stall in watcher.noted()):
            if joined and start <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], end)
            else:
                joined.append([start, end])
        return joined


class _Watcher:
    """The program on one processor."""

    def __init__(self, cpu):
        self._found = tempfile.NamedTemporaryFile(prefix="stalls-")
        self._beat = os.memfd_create("beat", 0)  # when it was last seen awake
        os.pwrite(self._beat, BEAT.pack(0), 0)
        self._program = subprocess.Popen(
            [sys.executable, "-m", "harness.stalls", str(cpu), str(self._beat)],
            cwd=TOP / "tests" / "integration", pass_fds=[self._beat],
            stdin=subprocess.DEVNULL, stdout=self._found)

    def wait_past(self, then):
        """Until all that it has to note of the time before `then` is noted."""
        def awake():
            assert self._program.poll() is None, "who watches for stalls has ended"
            return BEAT.unpack(os.pread(self._beat, BEAT.size, 0))[0] > then
        wait_until(awake, 60, "it watches for stalls", 0.005)

    def noted(self):
        with open(self._found.name, encoding="ascii") as lines:
            return [tuple(map(float, line.split())) for line in lines if line.endswith("\n")]

    def close(self):
        self._program.kill()
        self._program.wait()
        self._found.close()
        os.close(self._beat)


def _watch(cpu, beat):
    os.sched_setaffinity(0, [cpu])
    parent = os.getppid()  # it goes with it
    synced = last = time.monotonic()
    with tempfile.TemporaryFile() as file:
        while os.getppid() == parent:
            time.sleep(NAP_S)
            now = time.monotonic()
            if now - last > NAP_S + NOTED_S:
                print(f"{last + NAP_S:.4f} {now:.4f}", flush=True)
            last = now
            if now - synced >= SYNC_EVERY_S:
                os.pwrite(file.fileno(), b"x" * 4096, 0)
                os.fdatasync(file.fileno())
                synced = time.monotonic()
                if synced - now > TOO_LONG_S:
                    print(f"{now:.4f} {synced:.4f}", flush=True)
                last = synced
            # Up to `last` all is noted.
            os.pwrite(beat, BEAT.pack(last), 0)


if __name__ == "__main__":
    _watch(int(sys.argv[1]), int(sys.argv[2]))
