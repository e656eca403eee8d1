"""Fixtures. `lab` makes anything; the others are what most tests want from it."""

import os
import random
import time

import pytest
from _pytest.runner import runtestprotocol

from harness.lab import Lab, a_lab
from harness.pooled import PooledLab
from harness.postgres import Postgres
from harness.stalls import TOO_LONG_S, StallWatch


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run also the tests marked long")
    parser.addoption("--against", choices=("respgres", "redis"), default="respgres",
                     help="what the fixture `server` is")
    parser.addoption("--behind", choices=("nothing", "pgbouncer"), default="nothing",
                     help="what stands between respgres and PostgreSQL")


# The files that take longest, of those whose tests may run beside others.
LONGEST = ("test_chaos.py",)


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):  # several at a time: the last file should not be a long one
        items.sort(key=lambda item: LONGEST.index(item.path.name)
                   if item.path.name in LONGEST else len(LONGEST))
    against_redis = config.getoption("--against") == "redis"
    for item in items:
        if "long" in item.keywords and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="long: runs with --long"))
        if "rows" in item.keywords and against_redis:
            item.add_marker(pytest.mark.skip(reason="looks at rows"))


# --- tests marked alone ---------------------------------------------------------------------------

STALLS, RUN_AGAIN = pytest.StashKey(), pytest.StashKey()  # a StallWatch; what is said of such tests


def pytest_configure(config):
    config.stash[RUN_AGAIN] = []


def pytest_unconfigure(config):
    if STALLS in config.stash:
        config.stash[STALLS].close()


def stall_watch(config):
    if STALLS not in config.stash:
        config.stash[STALLS] = StallWatch()
    return config.stash[STALLS]


@pytest.fixture
def machine(request):
    """A StallWatch, for bounds on time: they do not count what the machine stood still."""
    return stall_watch(request.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """A test marked alone that fails while the machine stood still is run once more, and the run is
    named at the end. One that fails on a machine that did not stand still has failed."""
    if "alone" not in item.keywords or hasattr(item.config, "workerinput"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    watch = stall_watch(item.config)
    start = time.monotonic()
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    failed = any(report.failed for report in reports)
    stall = watch.longest_since(start) if failed else 0
    if stall > TOO_LONG_S:
        item.config.stash[RUN_AGAIN].append(
            f"{item.nodeid} failed while the machine stood still for {stall:.2f} s\n"
            + "\n".join(report.longreprtext for report in reports if report.failed))
        item._initrequest()  # new fixtures
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[RUN_AGAIN]:
        terminalreporter.section("run again")
    for what in config.stash[RUN_AGAIN]:
        terminalreporter.write_line(what)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if not report.failed or report.when == "teardown":
        return
    for name in ("lab", "module_lab"):
        lab = getattr(item, "funcargs", {}).get(name)
        if lab:
            report.sections += lab.logs()


@pytest.fixture(scope="session")
def shared_postgres():
    """A function that returns the shared cluster, starting it on the first call."""
    made = []

    def get():
        if not made:
            made.append(Postgres())
        if not made[0].is_running():
            made[0].start()
        return made[0]

    yield get
    for postgres in made:
        postgres.remove()


def kind_of_lab(request):
    return PooledLab if request.config.getoption("--behind") == "pgbouncer" else Lab


@pytest.fixture
def lab(request, shared_postgres):
    yield from a_lab(shared_postgres, kind_of_lab(request))


@pytest.fixture(scope="module")
def module_lab(request, shared_postgres):
    """For servers that many small tests of a module share."""
    yield from a_lab(shared_postgres, kind_of_lab(request))


@pytest.fixture
def database(lab):
    """A new database in the shared cluster."""
    return lab.database()


@pytest.fixture
def respgres(lab, database):
    """One instance on `database`."""
    return lab.respgres(database)


@pytest.fixture
def redis_server(lab):
    """The real one."""
    return lab.redis()


@pytest.fixture
def server(request, lab):
    """respgres, or with --against redis the real one: for tests of what both must do."""
    if request.config.getoption("--against") == "redis":
        return lab.redis()
    return request.getfixturevalue("respgres")


@pytest.fixture
def client(server):
    return server.client()


@pytest.fixture
def seed():
    """The seed of a random test, printed; RESPGRES_SEED replays one."""
    value = int(os.environ.get("RESPGRES_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"RESPGRES_SEED={value}")
    return value
