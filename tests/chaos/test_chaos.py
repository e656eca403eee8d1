"""Outages by seed (chaoslib/plan.py says what happens in each): nothing acknowledged is lost, nothing
deleted comes back, expiries and counters are right, both instances agree, nobody waits. A failure
is repeated with `tests/chaos/run --seed N -v`; a thousand seeds are one command (tests/README.md).

The scenarios run a few at a time, in processes of their own; each test waits for its own.
"""

import os
import threading

import pytest

from chaoslib.plan import CHOSEN, plan
from chaoslib.pool import Pool, Worker

SEEDS = range(1, len(CHOSEN) + 1)
LONG_SEEDS = range(len(CHOSEN) + 1, 301)
JOBS = int(os.environ.get("RESPGRES_CHAOS_JOBS") or 2)

pytestmark = pytest.mark.timeout(900)  # with the wait for its turn


class Results:
    """Of the seeds that this run of pytest wants, as they come."""

    def __init__(self, seeds):
        self._results, self._arrived = {}, threading.Condition()
        self._pool = Pool(JOBS)
        self._stop = threading.Event()
        self._pool.start(seeds, self._done, self._stop)

    def _done(self, result):
        with self._arrived:
            self._results[result["seed"]] = result
            self._arrived.notify_all()

    def of(self, seed):
        with self._arrived:
            assert self._arrived.wait_for(lambda: seed in self._results, 890), "no result"
            return self._results[seed]

    def close(self):
        self._stop.set()
        self._pool.__exit__()


@pytest.fixture(scope="module")
def results(request):
    wanted = [item.callspec.params["number"] for item in request.session.items
              if item.path == request.path and hasattr(item, "callspec")
              and not (item.get_closest_marker("long") and not request.config.getoption("--long"))]
    made = Results(wanted)
    yield made
    made.close()


def name_of(number):
    return f"{number}-{plan(number)}"


def only_late(result):
    """Other tests run beside these scenarios, and what they take of the machine is not all seen."""
    return result["complaints"] and all(
        complaint.startswith(("slow: ", "waited for PostgreSQL while away: "))
        for complaint in result["complaints"])


def again(number):
    worker = Worker()
    try:
        return worker.run(number)
    finally:
        worker.close()


@pytest.mark.parametrize("number", [
    *(pytest.param(number, id=name_of(number)) for number in SEEDS),
    *(pytest.param(number, id=name_of(number), marks=pytest.mark.long) for number in LONG_SEEDS)])
def test_an_outage(results, number):
    result = results.of(number)
    print(f"again: tests/chaos/run --seed {number} -v\n{result['summary']}")
    if result["skipped"]:
        pytest.skip(result["skipped"])
    if only_late(result):
        print("run once more, because of:", *result["complaints"], sep="\n")
        result = again(number)
    if result["complaints"]:
        for title, text in result["logs"]:
            print(f"--- {title}\n{text}")
        pytest.fail("\n".join(result["complaints"]), pytrace=False)


def test_seeds_differ():
    """Each chosen scenario is another one; drawn ones have every kind of fault."""
    assert len({str(plan(number)) for number in SEEDS}) == len(CHOSEN) >= 50
    drawn = [plan(number) for number in range(1000, 2000)]
    assert {p.fault for p in drawn} >= {"kill", "failover", "disk-full", "nothing"}
    assert {(deed, when) for p in drawn for deed, when, _ in p.deeds} >= {
        (deed, when) for deed in ("kill", "stop") for when in ("online", "away", "merging")}
    assert plan(1234) == plan(1234)
