"""What the machine took away from a test that bounds a time.

A thread per processor sleeps for some milliseconds at a time and adds up how much later it woke than it
should have. Whatever respgres, PostgreSQL and the test did meanwhile may have been held up for as long,
and for no longer: a bound that is a promise keeps its number, and what was measured is added to it.

    with Lateness() as late:
        took, reply = seconds(...)
    assert took < 0.6 + 0.3 + late.total_s
"""

import os
import threading
import time

NAP_S = 0.005
USUAL_S = 0.002  # what a timer is late on a machine with time


class Lateness:
    """How long a processor was away while the block ran, of the one that was away for longest."""

    def __init__(self):
        self._ending = threading.Event()
        self._late = {cpu: [] for cpu in os.sched_getaffinity(0)}  # (woke at, so much too late)
        self._threads = [threading.Thread(target=self._watch, args=(cpu,), daemon=True)
                         for cpu in self._late]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._ending.set()
        for thread in self._threads:
            thread.join()

    @property
    def total_s(self):
        return self.between(float("-inf"), float("inf"))

    def between(self, begun, ended):
        """Of a part of that time; both by time.monotonic()."""
        return max(sum(late for woke, late in each if woke > begun and woke - late < ended)
                   for each in self._late.values())

    def _watch(self, cpu):
        os.sched_setaffinity(threading.get_native_id(), {cpu})
        ending = False
        while not ending:  # one look behind the end: a stall may reach beyond it
            ending = self._ending.is_set()
            begun = time.monotonic()
            time.sleep(NAP_S)
            woke = time.monotonic()
            if woke - begun - NAP_S > USUAL_S:
                self._late[cpu].append((woke, woke - begun - NAP_S))
