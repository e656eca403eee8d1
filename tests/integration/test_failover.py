"""A primary and a standby: the primary goes, the standby is promoted, and the instances find it by
themselves. With synchronous replication nothing that was acknowledged is lost, and a commit whose
reply was cut counts once."""

import contextlib
import time

import pytest

from harness import wait_until
from harness.lateness import Lateness
from harness.load import Load
from harness.postgres import Database
from harness.replica import replicate_synchronously
from rules import Threads, in_one_batch, lanes, number, seconds, send, stats  # noqa: F401


@pytest.fixture(autouse=True)
def nothing_but_postgresql(lab):
    """What is tested here is the PostgreSQL store by itself: while it is away there are errors."""
    lab.defaults["fallback"] = "off"


pytestmark = [pytest.mark.rows, pytest.mark.timeout(300)]

PATIENT = 20000  # a pg-timeout that no client of these tests reaches


def url(database, *ports):
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://{database.role}@{hosts}/{database.name}"


@pytest.fixture
def replicated(lab):
    """(primary, standby, database): a synchronous pair of this test's own, to be broken."""
    primary = lab.own_postgres()
    standby = lab.standby(primary)
    replicate_synchronously(primary)
    return primary, standby, lab.database(primary)


@pytest.fixture(scope="module")
def shared_pair(module_lab):
    """A synchronous pair whose primary outlives the test."""
    primary = module_lab.own_postgres()
    standby = module_lab.standby(primary)
    replicate_synchronously(primary)
    return primary, standby


@contextlib.contextmanager
def frozen(postgres):
    postgres.freeze()
    try:
        yield
    finally:
        postgres.thaw()


def works(server):
    with server.raw() as raw:
        return raw.command("SET", "probe", "v") == b"+OK\r\n"


def waiting_for_the_standby(database):
    """The pids of the database's backends that have committed and wait for the standby."""
    return {pid for pid, in database.postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event = 'SyncRep'",
        database.name)}


# --- the primary goes --------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["kill9", "freeze"])
def test_failover_under_load_loses_nothing(lab, replicated, seed, how):
    """Killed: connections end. Frozen: they stay open and nobody answers, as with a lost host; the
    first server of the list is then the one that takes all the time there is."""
    primary, standby, database = replicated
    servers = [lab.respgres(url(database, primary.port, standby.port), pg_timeout=3000) for _ in range(2)]
    load = Load(servers, seed)
    try:
        load.wait_for_progress(500)
        begun = time.monotonic()
        getattr(primary, how)()
        standby.promote()
        promoted = time.monotonic()
        for server in servers:
            wait_until(lambda server=server: works(server), 30, "service resumes")
        print(f"{how}: service again {time.monotonic() - begun:.2f} s after it, "
              f"{time.monotonic() - promoted:.2f} s after the promotion")
        for server in servers:
            wait_until(lambda server=server: server.raw().command("DBSIZE").startswith(b":"), 30,
                       "queries of all keys, too")
        load.wait_for_progress(500)
    finally:
        load.stop()
    for server in servers:
        assert server.sigterm() == 0
    primary.kill9()
    load.check(Database(standby, database.name, database.role).live())


@pytest.mark.parametrize("side", [pytest.param("request", marks=pytest.mark.long), "answer"])
def test_a_commit_cut_by_a_failover_counts_once(lab, replicated, lanes, side):  # noqa: F811
    """The primary dies with a batch that it has not seen, or that it has committed and replicated
    and not answered, while two other instances increment the same key."""
    primary, standby, database = replicated
    lanes.target = ("127.0.0.1", primary.port)
    server = lab.respgres(url(database, lanes.port, standby.port), pg_timeout=PATIENT)
    others = [lab.respgres(url(database, primary.port, standby.port), pg_timeout=PATIENT)
              for _ in range(2)]
    counts = []  # what INCR has answered
    unknown = []  # a key that many want may be written with its row locked: no lane tells what became of that

    def take(reply):
        if reply.startswith(b":"):
            counts.append(int(reply[1:]))
        elif b"the transaction may or may not have been applied" in reply:
            unknown.append(reply)
        else:
            assert b"nothing was done" in reply, reply

    def increment(other):
        def run(ending):
            with other.raw(60) as raw:
                while not ending.is_set():
                    take(raw.command("INCR", "n"))
        return run

    def progress():
        before = len(counts)
        wait_until(lambda: len(counts) > before + 20, 30, "the others increment")

    clients, gate = in_one_batch(lanes, server, *[["INCR", "n"]] * 5, side=side)
    with Threads(*map(increment, others)):
        progress()
        primary.kill9()
        gate.cut()
        standby.promote()
        for client in clients:
            take(client.reply())
        progress()
    gate.release()
    if side == "answer":
        assert {1, 2, 3, 4, 5} <= set(counts), "the commit was found out"
        assert "event=batch-settled lane=commit-0 items=1 applied=yes" in server.log
    assert len(set(counts)) == len(counts)
    assert len(set(range(1, max(counts) + 1)) - set(counts)) <= len(unknown)
    with others[0].raw(60) as raw:
        wait_until(lambda: b"nothing was done" not in raw.command("GET", "n"),
                   what="it has found the new primary")
    assert len(counts) <= int(others[0].client().get("n")) <= len(counts) + len(unknown)


def test_a_standby_that_had_not_heard_of_an_instance(lab, lanes):  # noqa: F811
    """Asynchronous replication: an instance's slot is not known where it reconnects, and another one
    has claimed the same number there. If both kept it, each would take the other's row for the
    outcome of its own batches."""
    primary = lab.own_postgres()
    database = lab.database(primary)
    first = lab.respgres(database)
    to_standby = lab.proxy(("127.0.0.1", primary.port))
    standby = lab.standby(primary, to_standby.port)
    to_standby.blackhole()
    lanes.target = ("127.0.0.1", primary.port)
    way = lab.proxy(("127.0.0.1", standby.port))
    way.refuse()
    second = lab.respgres(url(database, lanes.port, way.port), pg_timeout=PATIENT)
    clients, gate = in_one_batch(lanes, second, *[["INCR", "n"]] * 5, side="request")
    primary.kill9()
    first.sigterm()
    standby.promote()
    moved = Database(standby, database.name, database.role)
    third = lab.respgres(moved)
    identity = identity_of(third)
    assert identity == identity_of(second), "they have claimed the same on both sides"
    assert third.client().incr("n") == 1
    gate.cut()
    way.pass_on()
    for client in clients:
        reply = client.reply()
        assert reply.startswith(b":") or b"nothing was done" in reply
    wait_until(lambda: works(second), 20, "service resumes")
    assert identity_of(second) != identity_of(third)
    assert works(third) and third.client().incr("n") == second.client().incr("n") - 1


def identity_of(server):
    found = stats(server)
    return found["postgres_slot"], found["postgres_incarnation"]


@pytest.mark.long
def test_failover_there_and_back(lab, seed):
    """Twice: the one that was killed becomes the standby of the other by a fresh base backup."""
    primary = lab.own_postgres()
    database = lab.database(primary)
    standby = lab.standby(primary)
    replicate_synchronously(primary)
    proxies = [lab.proxy(("127.0.0.1", p.port)) for p in (primary, standby)]
    servers = [lab.respgres(url(database, *(p.port for p in proxies))) for _ in range(2)]
    load = Load(servers, seed)
    try:
        for turn in range(6):
            load.wait_for_progress(1000)
            primary.kill9()
            standby.promote()
            for server in servers:
                wait_until(lambda server=server: works(server), 30, "service resumes")
            primary, standby = standby, lab.standby(standby)
            proxies[turn % 2].target = ("127.0.0.1", standby.port)
            replicate_synchronously(primary)
        load.wait_for_progress(1000)
    finally:
        load.stop()
    for server in servers:
        assert server.sigterm() == 0
    load.check(Database(primary, database.name, database.role).live())


# --- the standby goes --------------------------------------------------------------------------------

@pytest.mark.alone
def test_without_its_standby_a_write_is_not_acknowledged(lab, shared_pair):
    """An error within pg-timeout; when the standby is back, so is the service, and what was in doubt
    has been done once or not at all."""
    primary, standby = shared_pair
    database = lab.database(primary)
    server = lab.respgres(url(database, primary.port, standby.port), pg_timeout=600)
    client = server.client()
    assert client.incr("n") == 1
    with frozen(standby):
        with Lateness() as late:
            took, reply = seconds(lambda: send(server, "INCR", "n").reply())
        assert reply.startswith(b"-")
        assert took < 0.6 + 0.3 + late.total_s
        doubts = 1
        for _ in range(5):
            reply = send(server, "INCR", "n").reply()
            assert reply.startswith(b"-")
            doubts += b"nothing was done" not in reply
    wait_until(lambda: works(server), 20, "service resumes")
    value = int(client.get("n"))
    assert 1 <= value <= 1 + doubts
    assert client.incr("n") == value + 1


def test_the_old_backend_waits_for_the_standby(lab, shared_pair):
    """The connection is cut while the backend still waits for the standby. It holds its locks, and
    two other instances want the same key: nobody gets an answer before the standby has returned,
    then everybody gets one, once."""
    primary, standby = shared_pair
    database = lab.database(primary)
    proxy = lab.proxy(("127.0.0.1", primary.port))
    server = lab.respgres(url(database, proxy.port), pg_timeout=PATIENT)
    others = [lab.respgres(url(database, primary.port), pg_timeout=PATIENT) for _ in range(2)]
    with frozen(standby):
        first = send(server, "INCR", "n")
        old = wait_until(lambda: waiting_for_the_standby(database), what="the commit waits")
        proxy.cut()
        assert old <= waiting_for_the_standby(database), "the old backend is still running"
        clients = [send(other, "INCR", "n") for other in others for _ in range(5)]
        wait_until(lambda: waiting_for_the_standby(database) - old, what="another commit waits")
        for raw in (first, *clients):
            raw.sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                raw.sock.recv(1)
            raw.sock.settimeout(30)
    done = [int(raw.reply()[1:]) for raw in (first, *clients)]
    assert sorted(done) == list(range(1, len(done) + 1))
    assert int(others[0].client().get("n")) == len(done)


def test_a_cancelled_wait_settles_nothing(lab, shared_pair):
    """What the reconnected lane finds in its row is no acknowledgement either, while the standby has
    not got it: somebody cancels that wait, too."""
    primary, standby = shared_pair
    database = lab.database(primary)
    proxy = lab.proxy(("127.0.0.1", primary.port))
    server = lab.respgres(url(database, proxy.port), pg_timeout=PATIENT)
    with frozen(standby):
        raw = send(server, "INCR", "n")
        old = wait_until(lambda: waiting_for_the_standby(database), what="the commit waits")
        proxy.cut()

        def cancel():
            for pid in waiting_for_the_standby(database) - old:
                primary.execute("SELECT pg_cancel_backend(%s)", pid)
            return "the standby did not confirm" in server.log

        wait_until(cancel, 20, "the settling statement's wait was cancelled")
        raw.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            raw.sock.recv(1)
        raw.sock.settimeout(30)
    assert raw.reply() == number(1)
    wait_until(lambda: works(server), 20, "service resumes")
    assert server.client().incr("n") == 2
