"""How long the machine itself held up clients and servers: what bounds on time excuse.

Three things are measured all the time: how late this process wakes from a short sleep (the clients
live in it), how long each server waited for a processor (/proc/PID/task/*/schedstat), and how long a
small write with fdatasync takes in the folder that the journals are in. On an idle machine all three
are close to nothing.
"""

import bisect
import os
import pathlib
import tempfile
import threading
import time

STEP_S = 0.005
SYNC_EVERY_S = 0.02
CHILDREN_EVERY = 4  # steps


class Machine:
    def __init__(self, folder=None):
        self._folder = folder
        self._pids = {}      # instance → pid
        self._parent = None  # a function: the pid whose children are followed
        self._children = [(time.monotonic(), {})]  # (when, pid → its delay since it began)
        self._times = [time.monotonic()]
        self._lags = [0.0]   # cumulative, at these times
        self._delays = [{}]  # instance → cumulative
        self._before = {}    # instance → (pid, its delay when last seen)
        self._syncs = [(0.0, 0.0)]  # (from, to) of those that took long
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True)
                         for target in (self._watch, self._sync)]

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def follow(self, instance, pid):
        self._pids[instance] = pid

    def follow_children(self, parent):
        """Of whatever `parent()` is: PostgreSQL's backends. None = there is none now."""
        self._parent = parent

    def child_held_up(self, begun, ended):
        """How long the child that waited longest for a processor has waited, in seconds."""
        first = self._children[max(bisect.bisect_right(self._children, begun, key=_moment) - 1, 0)][1]
        last = self._children[min(bisect.bisect_left(self._children, ended, key=_moment),
                                  len(self._children) - 1)][1]
        return max((delay - first.get(pid, 0) for pid, delay in last.items()), default=0)

    def held_up(self, instance, begun, ended):
        """For how long a command of this instance may have been held up by the machine, in seconds."""
        first = max(bisect.bisect_right(self._times, begun) - 1, 0)
        last = min(bisect.bisect_left(self._times, ended), len(self._times) - 1)
        lag = self._lags[last] - self._lags[first]
        delay = self._delays[last].get(instance, 0) - self._delays[first].get(instance, 0)
        disk = sum(min(end, ended) - max(start, begun) for start, end in self._syncs
                   if start < ended and end > begun)
        return lag + delay + disk

    def _watch(self):
        step = 0
        while not self._ending.is_set():
            step += 1
            if self._parent and step % CHILDREN_EVERY == 0:
                pids = children(self._parent())
                self._children.append((time.monotonic(), {pid: run_delay(pid) for pid in pids}))
            before = time.monotonic()
            time.sleep(STEP_S)
            now = time.monotonic()
            self._lags.append(self._lags[-1] + max(now - before - STEP_S, 0))
            self._delays.append(self._all_delays())
            self._times.append(now)

    def _all_delays(self):
        delays = dict(self._delays[-1])
        for instance, pid in list(self._pids.items()):
            delay = run_delay(pid)
            last_pid, last = self._before.get(instance, (pid, delay))
            if pid == last_pid:
                delays[instance] = delays.get(instance, 0) + max(delay - last, 0)
            self._before[instance] = pid, delay
        return delays

    def _sync(self):
        with tempfile.TemporaryFile(dir=self._folder) as file:
            while not self._ending.wait(SYNC_EVERY_S):
                before = time.monotonic()
                os.pwrite(file.fileno(), b"x" * 4096, 0)
                os.fdatasync(file.fileno())
                took = time.monotonic() - before
                if took > STEP_S:
                    self._syncs.append((before, before + took))


def _moment(sample):
    return sample[0]


def children(pid):
    """The pids of a process' children, of its first thread."""
    try:
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def run_delay(pid):
    """Seconds that the threads of a process have been ready to run and not running."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[1])
    except (OSError, IndexError):
        pass  # it has ended, or a thread of it
    return total / 1e9
