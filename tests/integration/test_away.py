"""PostgreSQL goes away and comes back: what clients see meanwhile, and what is true afterwards.

One cluster of the module's own is killed, frozen and restarted; each test has a database of its own."""

import contextlib
import signal
import subprocess
import threading
import time

import pytest
import redis

from harness.lab import Lab
from harness.machine import Machine
from harness.postgres import Postgres
from harness.servers import later
from harness.util import Lifetime, wait_until

TIMEOUT_MS = 500  # of tests of how long clients wait
# What a client may have to wait because of PostgreSQL; the rest is for a busy machine.
BOUND_S = (TIMEOUT_MS + 100) / 1000
# A connection that is refused shows an outage at once. One that is only late does not: not for so long.
PATIENT_MS = 10_000
SLACK_S = 0.25


@pytest.fixture(scope="module")
def cluster():
    postgres = Postgres()
    postgres.start()
    yield postgres
    postgres.remove()


class Away:
    """A database in a cluster that can be taken away, and instances on it."""

    def __init__(self, lab, postgres):
        self.lab = lab
        self.postgres = postgres
        if not postgres.is_running():
            postgres.start()
        self.database = postgres.create_database()

    def instance(self, start="ready", **options):
        options = {"pg_timeout": PATIENT_MS, "preload": "no", **options}
        return self.lab.respgres(self.database, start=start, **options)

    def behind_proxy(self, **options):
        """(an instance, the proxy between it and PostgreSQL)"""
        proxy = self.lab.proxy(("127.0.0.1", self.postgres.port))
        url = self.database.url_by(port=proxy.port, tcp=True)
        return self.lab.respgres(url, **{"pg_timeout": PATIENT_MS, **options}), proxy

    def leave(self):
        self.postgres.kill9()

    def come_back(self, *servers):
        self.postgres.start()
        for server in servers:
            wait_for(server, "online")

    def conflicts(self):
        return {(bytes(key), lost): (reason, None if value is None else bytes(value))
                for key, lost, reason, value in self.database.execute(
                    "SELECT key, lost, reason, value FROM respgres.conflicts")}


@pytest.fixture
def away(cluster):
    lab = Lab(lambda: cluster)
    made = Away(lab, cluster)
    yield made
    if not cluster.is_running():
        cluster.start()
    problems = lab.close()
    made.database.drop()
    assert not problems, "\n".join(problems)


def state(server):
    return server.info("postgres")["store_state"]


def wait_for(server, wanted, timeout=30):
    wait_until(lambda: state(server) == wanted, timeout, f"the state is {wanted}")


def cut_off(server, proxy):
    proxy.refuse()
    proxy.cut()
    wait_for(server, "away")


def reconnect(server, proxy):
    proxy.pass_on()
    wait_for(server, "online")


def start_without_postgresql(server):
    """It waits for PostgreSQL as long as its pg-timeout is, then serves from memory."""
    server.options["pg-timeout"] = TIMEOUT_MS
    server.start()
    wait_for(server, "away")
    server.options["pg-timeout"] = PATIENT_MS
    server.client().config_set("pg-timeout", PATIENT_MS)


def restart_after_kill(server):
    server.kill9()
    return server.start("ready")


@contextlib.contextmanager
def others_wait_at_most(bound_s, server, commands):
    """Runs commands in a row in a thread; each takes at most so long, beside what the machine held it up,
    and none fails."""
    client = server.client()
    machine = Machine(server.dir).start()
    machine.follow(server, server.pid)
    taken = []  # (began, ended, command)
    failures = []
    end = threading.Event()

    def run():
        while not end.is_set():
            for command in commands:
                began = time.monotonic()
                try:
                    client.execute_command(*command)
                except redis.RedisError as error:
                    failures.append((command, str(error)))
                taken.append((began, time.monotonic(), command))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        machine.stop()
    assert not failures, failures[:3]
    late = [(command, ended - began, machine.held_up(server, began, ended))
            for began, ended, command in taken if ended - began > bound_s]
    late = [(command, took, held_up) for command, took, held_up in late if took - held_up > bound_s]
    assert not late, f"(command, took, the machine held it up): {late}"


# ---- serving from memory ----

SESSION_TRAFFIC = [("GET", "session:1"), ("SETEX", "session:1", 1000, "again"), ("INCR", "count"),
                   ("TTL", "session:2"), ("MGET", "session:1", "session:2")]


def prepared(server):
    client = server.client()
    client.setex("session:1", 1000, "one")
    client.setex("session:2", 500, "two")
    client.set("count", 0)
    client.get("nobody")
    return client


@pytest.mark.alone
@pytest.mark.parametrize("how", ["killed", "frozen", "stopped"])
def test_no_command_waits_longer_than_the_bound(away, how):
    server = away.instance(pg_timeout=TIMEOUT_MS)
    client = prepared(server)
    with others_wait_at_most(BOUND_S + SLACK_S, server, SESSION_TRAFFIC):
        time.sleep(0.3)
        if how == "killed":
            away.leave()
        elif how == "frozen":
            away.postgres.freeze()
        else:
            away.postgres.stop("immediate")
        wait_for(server, "away")
        time.sleep(0.5)
    count = int(client.get("count"))
    if how == "frozen":
        away.postgres.thaw()
        wait_for(server, "online")
    else:
        away.come_back(server)
    assert int(client.get("count")) == count
    assert away.database.live()[b"count"] == b"%d" % count
    assert away.conflicts() == {}


@pytest.mark.alone
def test_nobody_waits_for_postgresql_that_is_known_to_be_away(away):
    server = away.instance(pg_timeout=5000)
    prepared(server)
    away.leave()
    wait_for(server, "away")
    with others_wait_at_most(SLACK_S, server, SESSION_TRAFFIC):
        time.sleep(1)
    away.come_back(server)


@pytest.mark.alone
def test_a_server_that_falls_silent_on_the_network(away):
    server, proxy = away.behind_proxy(pg_timeout=TIMEOUT_MS)
    client = prepared(server)
    with others_wait_at_most(BOUND_S + SLACK_S, server, SESSION_TRAFFIC):
        time.sleep(0.2)
        proxy.blackhole()
        wait_for(server, "away")
        time.sleep(0.5)
    count = int(client.get("count"))
    proxy.cut()
    proxy.pass_on()
    wait_for(server, "online")
    assert int(client.get("count")) == count
    assert away.database.live()[b"count"] == b"%d" % count


def test_expiry_goes_on(away):
    server = away.instance()
    client = server.client()
    life = Lifetime(1000)
    client.setex("long", 1000, "x")
    client.psetex("short", 700, "x")
    away.leave()
    wait_for(server, "away")
    made = time.monotonic()
    client.psetex("made", 600, "x")
    assert life.may_be(client.ttl("long"))
    assert client.get("made") == b"x" or time.monotonic() - made >= 0.6
    time.sleep(0.8)
    assert client.exists("made") == 0
    wait_until(lambda: client.get("short") is None, 10, "it has expired by PostgreSQL's clock")
    life = Lifetime(77)
    client.expire("long", 77)
    away.come_back(server)
    assert life.may_be(away.database.row("long").ttl)
    assert b"made" not in away.database.live()
    assert client.get("short") is None


def test_known_known_absent_and_unknown_keys(away):
    with_memory = away.instance()
    with_memory.client().set("known", "1")
    without = away.instance(away_miss="absent private:* error")
    without.client().get("absent")
    away.leave()
    wait_for(with_memory, "away")
    wait_for(without, "away")
    assert with_memory.client().get("known") == b"1"
    client = without.client()
    assert client.get("known") is None
    assert client.get("absent") is None
    assert without.info("postgres")["away_unknown_reads"] == 1
    with pytest.raises(redis.exceptions.BusyLoadingError, match="not known here"):
        client.get("private:x")
    with pytest.raises(redis.exceptions.BusyLoadingError, match="not known here"):
        client.incr("private:x")
    assert client.set("private:x", 1)  # needs to know nothing
    assert client.get("private:x") == b"1"
    away.come_back(with_memory, without)


def test_fallback_by_pattern(away):
    server = away.instance(fallback="on lock:* off cache:* readonly")
    client = server.client()
    client.set("session:1", "a")
    client.set("cache:1", "b")
    away.leave()
    wait_for(server, "away")
    assert client.set("session:1", "c")
    with pytest.raises(redis.exceptions.BusyLoadingError, match="nothing was done"):
        client.set("lock:1", "me", nx=True, px=1000)
    assert client.get("cache:1") == b"b"
    with pytest.raises(redis.exceptions.ReadOnlyError):
        client.set("cache:1", "d")
    client.config_set("fallback", "readonly")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        client.set("session:1", "d")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        client.flushdb()
    assert client.get("session:1") == b"c"
    with pytest.raises(redis.ResponseError, match="must be one of"):
        client.config_set("fallback", "sometimes")
    away.come_back(server)


def test_fallback_off(away):
    server = away.instance(fallback="off")
    client = prepared(server)
    away.leave()
    wait_for(server, "away")
    for command in SESSION_TRAFFIC:
        with pytest.raises(redis.exceptions.BusyLoadingError):
            client.execute_command(*command)
    assert server.info("persistence")["loading"] == 1
    assert not list(server.dir.glob("*/journal*"))
    away.come_back(server)
    assert client.get("session:1") == b"one"


def test_transactions_and_watch(away):
    server = away.instance()
    client = server.client()
    client.set("a", 1)
    away.leave()
    wait_for(server, "away")
    with client.pipeline() as block:
        block.incr("a").set("b", "x").get("b").dbsize()
        assert block.execute() == [2, True, b"x", 2]
    other = server.client()
    with client.pipeline() as block:
        block.watch("a")
        other.incr("a")
        block.multi()
        block.set("a", "lost")
        with pytest.raises(redis.WatchError):
            block.execute()
    with client.pipeline() as block:
        block.watch("a", "nothing")
        block.multi()
        block.incr("a")
        assert block.execute() == [4]
    with client.pipeline() as block:
        block.watch("nothing")
        other.flushdb()
        other.set("nothing", 1)
        block.multi()
        block.set("lost", 1)
        with pytest.raises(redis.WatchError):
            block.execute()
    away.come_back(server)
    assert away.database.live() == {b"nothing": b"1"}


def test_commands_over_all_keys(away):
    server = away.instance()
    client = server.client()
    for number in range(300):
        client.set(f"key:{number}", number)
    away.leave()
    wait_for(server, "away")
    client.delete("key:7")
    client.set("other", 1)
    names = {b"key:%d" % number for number in range(300)} - {b"key:7"} | {b"other"}
    assert set(client.keys("*")) == names
    assert set(client.scan_iter(count=20)) == names
    assert set(client.scan_iter(match="key:1*")) == {n for n in names if n.startswith(b"key:1")}
    assert client.dbsize() == 300
    assert client.randomkey() in names
    assert client.info("keyspace")["db0"]["keys"] == 300
    with pytest.raises(redis.ResponseError, match="SWAPDB has to wait"):
        client.swapdb(0, 1)
    away.come_back(server)
    assert set(client.keys("*")) == names


def test_a_scan_goes_on_across_the_transition(away):
    server = away.instance()
    client = server.client()
    for number in range(200):
        client.set(f"key:{number}", number)
    cursor, seen = client.scan(0, count=20)
    seen = set(seen)
    away.leave()
    wait_for(server, "away")
    cursor, more = client.scan(cursor, count=20)
    seen |= set(more)
    away.come_back(server)
    while cursor:
        cursor, more = client.scan(cursor, count=50)
        seen |= set(more)
    assert len(seen) == 200


# ---- the journal ----

def test_nothing_acknowledged_is_lost_by_a_kill(away):
    server = away.instance(warm_file_interval=1)
    client = server.client()
    client.setex("session:before", 900, "b")
    away.leave()
    wait_for(server, "away")
    life = Lifetime(1099)
    for number in range(100):
        client.setex(f"session:{number}", 1000 + number, f"value {number}")
    client.delete("session:5")
    client.incrby("count", 41)
    server.kill9()
    start_without_postgresql(server)
    client = server.client()
    assert client.get("session:99") == b"value 99"
    assert life.may_be(client.ttl("session:99"))
    assert client.get("session:5") is None
    assert client.incr("count") == 42
    server.kill9()
    start_without_postgresql(server)
    away.come_back(server)
    live = away.database.live()
    assert live[b"count"] == b"42" and live[b"session:99"] == b"value 99"
    assert b"session:5" not in live
    assert live[b"session:before"] == b"b"
    assert len(live) == 101
    assert server.info("respgres")["journal_pending_keys"] == 0
    assert away.conflicts() == {}


@pytest.mark.alone
def test_a_stop_with_something_left_says_so(away):
    server = away.instance(shutdown_timeout=1)
    client = server.client()
    client.set("a", 1)
    away.leave()
    wait_for(server, "away")
    client.set("a", 2)
    began = time.monotonic()
    assert server.sigterm() == 1
    assert 0.9 <= time.monotonic() - began < 5
    assert "event=not-merged keys=1 journal=" in server.log
    server.expected_status = 0
    away.postgres.start()
    server.start()
    wait_for(server, "online")
    assert away.database.live() == {b"a": b"2"}


def test_a_stop_merges_when_postgresql_comes_back_in_time(away):
    server = away.instance(shutdown_timeout=60)
    server.client().set("a", 1)
    away.leave()
    wait_for(server, "away")
    server.client().set("a", 2)
    server.signal(signal.SIGTERM)
    away.postgres.start()
    assert server.wait(60) == 0
    assert away.database.live() == {b"a": b"2"}


def test_a_full_journal_refuses_writes_and_goes_on_reading(away):
    server = away.instance(journal_max_size="2mb")
    client = server.client()
    client.set("known", "here")
    away.leave()
    wait_for(server, "away")
    written = {}
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        for number in range(200):
            client.set(f"big:{number}", bytes(100_000))
            written[b"big:%d" % number] = bytes(100_000)
    assert client.get("known") == b"here"
    assert client.get("big:0") == bytes(100_000)
    assert server.info("postgres")["journal_state"] == "failed"
    assert "writes are refused" in server.info("respgres")["store_state_why"]
    away.come_back(server)
    live = away.database.live()
    assert live.pop(b"known") == b"here"
    assert live == written
    assert client.set("more", 1)


@pytest.mark.alone
def test_memory_is_full(away):
    server = away.instance(maxmemory="3mb")
    client = server.client()
    client.set("known", "here")
    away.leave()
    wait_for(server, "away")
    written = 0
    with pytest.raises(redis.ResponseError, match="^OOM"):
        for number in range(100):
            client.set(f"big:{number}", bytes(100_000))
            written += 1
    assert 20 < written < 40
    assert client.get("known") == b"here"
    assert client.get("big:0") == bytes(100_000)
    assert client.delete("big:0") == 1
    away.come_back(server)
    assert len(away.database.live()) == written


# ---- the way back ----

def test_an_empty_session_never_destroys_a_real_one(away):
    """The case to get right above all: Flask-Session cannot read the session, and writes an empty one."""
    away.instance().client().setex("session:x", 3600, "the cart, the login, everything")
    server = away.instance()
    away.leave()
    wait_for(server, "away")
    client = server.client()
    assert client.get("session:x") is None
    client.setex("session:x", 3600, "empty")
    assert client.get("session:x") == b"empty"
    away.come_back(server)
    assert client.get("session:x") == b"the cart, the login, everything"
    assert away.database.live()[b"session:x"] == b"the cart, the login, everything"
    assert away.conflicts() == {(b"session:x", "journal"): ("unknown-base", b"empty")}


def test_a_logout_while_away_stays(away):
    one = away.instance()
    two = away.instance()
    one.client().setex("session:x", 3600, "in")
    two.client().get("session:x")
    away.leave()
    wait_for(one, "away")
    wait_for(two, "away")
    one.client().delete("session:x")
    two.client().delete("session:unknown")
    away.come_back(one, two)
    assert one.client().get("session:x") is None
    assert two.client().get("session:x") is None
    assert away.database.live() == {}


def test_a_logout_elsewhere_is_not_undone(away):
    """One instance is cut off and writes; the session is ended at another one afterwards."""
    alone, proxy = away.behind_proxy()
    other = away.instance()
    alone.client().setex("session:x", 3600, "in")
    cut_off(alone, proxy)
    alone.client().setex("session:x", 3600, "still in")
    later(alone, other)
    other.client().delete("session:x")
    reconnect(alone, proxy)
    assert alone.client().get("session:x") is None
    assert away.database.live() == {}
    assert (b"session:x", "journal") in away.conflicts()


def test_what_both_sides_wrote(away):
    alone, proxy = away.behind_proxy()
    other = away.instance()
    both = (alone, other)
    for name in ("older", "later", "same", "gone"):
        alone.client().set(name, "before")
    cut_off(alone, proxy)
    alone.client().mset({"older": "journal", "same": "equal"})
    alone.client().psetex("gone", 300, "journal")
    later(*both)
    other.client().mset({"older": "row", "same": "equal"})
    other.client().set("later", "row")
    later(*both)
    alone.client().set("later", "journal")
    wait_until(lambda: alone.client().get("gone") is None, 10, "it has expired")
    later(*both)
    reconnect(alone, proxy)
    assert away.database.live() == {b"older": b"row", b"later": b"journal", b"same": b"equal"}
    assert away.conflicts() == {(b"older", "journal"): ("both-changed", b"journal"),
                                (b"later", "row"): ("both-changed", b"row")}
    for name in ("older", "later", "same", "gone"):
        assert alone.client().get(name) == other.client().get(name)


def test_two_that_were_away_at_once_agree(away):
    for first, second in ((0, 1), (1, 0)):
        servers, proxies = zip(*(away.behind_proxy() for _ in range(2)))
        clients = [server.client() for server in servers]
        clients[0].flushall()
        clients[0].mset({"k0": "before", "k1": "before", "k2": "before"})
        clients[1].mget("k0", "k1", "k2")
        for proxy, server in zip(proxies, servers):
            cut_off(server, proxy)
        clients[0].set("k0", "zero")
        later(*servers)
        clients[1].set("k0", "one")
        clients[1].delete("k1")
        clients[0].set("k1", "zero")
        clients[0].set("k2", "zero")
        clients[1].set("k2", "one")
        later(*servers)
        clients[0].set("k2", "zero again")
        for number in (first, second):
            reconnect(servers[number], proxies[number])
        assert away.database.live() == {b"k0": b"one", b"k2": b"zero again"}
        for client in clients:
            assert client.mget("k0", "k1", "k2") == [b"one", None, b"zero again"]


def test_a_flush_while_away(away):
    server = away.instance()
    client = server.client()
    client.mset({f"old:{number}": 1 for number in range(50)})
    client.select(1)
    client.set("in another database", 1)
    client.select(0)
    away.leave()
    wait_for(server, "away")
    client.set("written before", 1)
    client.flushdb()
    assert client.dbsize() == 0
    assert client.get("old:1") is None
    client.set("written after", 1)
    server.kill9()
    start_without_postgresql(server)
    assert client.keys("*") == [b"written after"]
    away.come_back(server)
    assert away.database.live() == {b"written after": b"1"}
    assert away.database.live(db=1) == {b"in another database": b"1"}


def test_in_flight_when_it_went_counts_exactly_once(away):
    """INCRs under load while PostgreSQL is killed again and again: each acknowledged one counts once."""
    server = away.instance()
    client = server.client()
    acknowledged = [0] * 8
    failures = []
    end = threading.Event()

    def count(number):
        own = server.client()
        while not end.is_set():
            try:
                own.incr(f"count:{number % 4}")
                acknowledged[number] += 1
            except redis.RedisError as error:
                failures.append(error)
                end.set()

    threads = [threading.Thread(target=count, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        time.sleep(0.4)
        away.leave()
        wait_for(server, "away")
        time.sleep(0.3)
        away.come_back(server)
    end.set()
    for thread in threads:
        thread.join()
    assert not failures
    wanted = [acknowledged[number] + acknowledged[number + 4] for number in range(4)]
    assert [int(client.get(f"count:{number}")) for number in range(4)] == wanted
    assert [int(away.database.live()[b"count:%d" % number]) for number in range(4)] == wanted
    assert away.conflicts() == {}


def test_many_sessions_are_merged_while_clients_go_on(away):
    server = away.instance()
    client = server.client()
    client.set("probe", 0)
    away.leave()
    wait_for(server, "away")
    pipe = client.pipeline(transaction=False)
    for number in range(20_000):
        pipe.setex(f"session:{number}", 3600, f"{number:0200d}")
        if number % 1000 == 999:
            pipe.execute()
    with others_wait_at_most(5, server, [("INCR", "probe"), ("GET", "session:19999")]):
        away.come_back(server)
    live = away.database.live()
    assert len(live) == 20_001
    assert live[b"session:777"] == b"%0200d" % 777
    assert away.conflicts() == {}


def test_a_kill_while_merging(away):
    server = away.instance()
    client = server.client()
    away.leave()
    wait_for(server, "away")
    pipe = client.pipeline(transaction=False)
    for number in range(5_000):
        pipe.set(f"key:{number}", number)
    pipe.execute()
    away.postgres.start()
    for _ in range(4):
        wait_until(lambda: state(server) != "away", 20, "merging")
        time.sleep(0.05)
        restart_after_kill(server)
    wait_for(server, "online")
    assert away.database.live() == {b"key:%d" % n: b"%d" % n for n in range(5_000)}
    assert away.conflicts() == {}


def test_it_can_be_read_but_not_written(away):
    writer = away.instance()
    writer.client().set("never read here", "row")
    server = away.instance()
    server.client().set("dirty", "before")
    away.database.execute(f"ALTER ROLE {away.database.role} SET default_transaction_read_only = on")
    try:
        for pid in away.database.sessions():
            away.postgres.execute("SELECT pg_terminate_backend(%s)", pid)
        wait_for(server, "away")
        client = server.client()
        wait_until(lambda: client.set("dirty", "after"), 10, "it is journalled")
        wait_until(lambda: client.get("never read here") == b"row", 10, "it is read in PostgreSQL")
        assert client.mget("dirty", "never read here", "nobody") == [b"after", b"row", None]
        assert away.database.live()[b"dirty"] == b"before"
    finally:
        away.postgres.execute(f"ALTER ROLE {away.database.role} RESET default_transaction_read_only")
    wait_for(server, "online", 60)  # it has come to look twice as late each time, up to 30 s
    assert away.database.live()[b"dirty"] == b"after"


# ---- without PostgreSQL ----

def test_a_start_without_postgresql_knows_its_sessions(away):
    server = away.instance(warm_file_interval=1)
    life = Lifetime(1000)
    server.client().setex("session:1", 1000, "one")
    wait_until(lambda: list(server.dir.glob("*/warm")), 30, "the warm file is there")
    assert server.sigterm() == 0
    away.leave()
    start_without_postgresql(server)
    client = server.client()
    assert client.get("session:1") == b"one"
    assert life.may_be(client.ttl("session:1"))
    client.setex("session:1", 1000, "two")
    away.come_back(server)
    assert away.database.live() == {b"session:1": b"two"}
    assert away.conflicts() == {}


def test_a_start_after_a_kill_serves_what_little_it_knows(away):
    server = away.instance()
    wait_until(lambda: list(server.dir.glob("*/warm")), 30, "it is known who this instance was")
    server.kill9()
    away.leave()
    start_without_postgresql(server)
    assert server.client().get("session:1") is None
    assert server.client().setex("session:2", 100, "two")
    away.come_back(server)
    assert away.database.live() == {b"session:2": b"two"}


def test_a_first_start_without_postgresql_serves_nothing(away):
    away.leave()
    server = away.instance(start="answering", pg_timeout=TIMEOUT_MS)
    time.sleep(2 * BOUND_S)
    with pytest.raises(redis.exceptions.BusyLoadingError):
        server.client().set("a", 1)
    assert state(server) == "starting"
    server.client().config_set("pg-timeout", PATIENT_MS)
    away.come_back(server)
    assert server.client().set("a", 1)


def test_preload(away):
    writer = away.instance()
    for number in range(700):
        writer.client().setex(f"session:{number}", 1000, number)
    server = away.instance(preload="yes", preload_refresh=1)

    def told(name):
        return server.info("postgres")[name]

    wait_until(lambda: told("preload_keys") >= 700, 30, "all are read")
    writer.client().setex("session:new", 1000, "new")
    writer.client().setex("session:3", 1000, "changed")
    writer.client().delete("session:4")
    wait_until(lambda: told("preload_keys") >= 701, 30, "the new one is read")
    wait_until(lambda end=told("preload_refreshed") + 2 * 702: told("preload_refreshed") >= end, 30,
               "all are read again")
    away.leave()
    wait_for(server, "away")
    client = server.client()
    assert client.get("session:699") == b"699"
    assert client.get("session:new") == b"new"
    assert client.get("session:3") == b"changed"
    assert client.get("session:4") is None
    assert client.dbsize() == 700
    away.come_back(server)


def test_standalone_and_then_postgresql(away):
    server = away.lab.respgres(None, standalone="yes", instance_name="app")
    client = server.client()
    life = Lifetime(1000)
    client.setex("session:1", 1000, "one")
    client.set("gone", 1)
    client.delete("gone")
    restart_after_kill(server)
    assert server.client().get("session:1") == b"one"
    assert server.client().dbsize() == 1
    assert server.sigterm() == 0
    del server.options["standalone"]
    server.options["database-url"] = away.database.url
    away.instance().client().set("already here", 1)
    server.start()
    wait_for(server, "online")
    assert away.database.live() == {b"session:1": b"one", b"already here": b"1"}
    assert life.may_be(away.database.row("session:1").ttl)


def test_standalone_needs_no_database_and_says_so(away):
    server = away.lab.respgres(away.database, standalone="yes", start=None)
    assert server.wait() == 1
    assert "standalone yes and a database-url exclude each other" in server.log
    server.expected_status = 1


def test_a_dump_of_a_standalone_instance(away):
    server = away.lab.respgres(None, standalone="yes", instance_name="app")
    client = server.client()
    client.mset({f"key:{number}": number for number in range(100)})
    life = Lifetime(1000)
    client.setex("session", 1000, b"\x00binary\r\n")
    client.delete("key:7")
    client.select(3)
    client.set("there", 1)
    dump = subprocess.run([str(server.command_line()[0]), "--standalone", "yes", "--dir", server.dir,
                           "--instance-name", "app", "--dump"], capture_output=True, check=True).stdout
    real = away.lab.redis()
    pipe = real.raw()
    pipe.send(dump)
    wait_until(lambda: real.client().dbsize() == 100 and real.client(db=3).dbsize() == 1, 30, "it is all there")
    assert real.client().get("session") == b"\x00binary\r\n"
    assert life.may_be(real.client().ttl("session"))
    assert real.client(db=3).get("there") == b"1"
    assert client.get("there") == b"1"
