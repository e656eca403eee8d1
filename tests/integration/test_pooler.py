"""Behind PgBouncer in transaction mode (`pg-pooler transaction`).

Tests of other files run here once more with a PgBouncer in between: the fixtures `lab` and `lanes`
below stand in for theirs. `tools/test --behind pgbouncer` does so with all tests."""

import os
import random
import signal
import subprocess
import time

import pytest
import redis

from harness import wait_until
from harness.lab import a_lab
from harness.load import Load
from harness.pooled import PooledLab
from rules import lanes, pair, send, stat  # noqa: F401
# pylint: disable=unused-import
from test_basics import test_an_expired_row_is_swept  # noqa: F401
from test_differential import differ
from test_pubsub import subscriber, texts
from test_rules_groups import (  # noqa: F401
    test_a05_locks_of_a_half_sent_batch_are_freed, test_c26_whole_keyspace_commands_within_multi)
from test_rules_outcome import (  # noqa: F401
    test_a01_outcome_is_the_lane_row, test_a02_a_batch_that_arrives_late_is_fenced,
    test_a02_a_checked_batch_that_arrives_late_is_fenced, test_a02_the_old_backend_waits_for_a_lock,
    test_exactly_once_after_a_lost_connection, test_exactly_once_of_a_block_with_a_query)

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]


@pytest.fixture
def lab(shared_postgres):
    yield from a_lab(shared_postgres, PooledLab)


@pytest.fixture
def pooler(lab, database):
    return lab.pooler_of(database)


def busy(database):
    """Backends of this database that are in a transaction."""
    return database.postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND state <> 'idle'"
        " AND pid <> pg_backend_pid()", database.name)


# --- as without it ---------------------------------------------------------------------------------

def test_replies_are_those_of_redis(lab, database):
    differ(lab.respgres(database), lab.redis(), resp=3, skip=("watch",), commands=1200)


def test_nothing_is_left_in_a_session(lab, database, pooler):
    """What the lanes set is for their transactions alone: another application on the same pool has
    the server's settings, and nothing is prepared."""
    names = ("search_path", "plan_cache_mode", "enable_seqscan", "enable_bitmapscan", "jit",
             "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout",
             "synchronous_commit", "default_transaction_isolation")
    server = lab.respgres(database, durability="relaxed")
    client = server.client()
    client.pipeline(transaction=True).set("k", 1).dbsize().incr("n").execute()
    client.mset({"a": 1, "b": 2})
    client.get("k")
    wanted = [database.execute(f"SHOW {name}")[0][0] for name in names]
    others = [pooler.connect() for _ in range(pooler.pool_size)]
    for conn in others:
        conn.autocommit = False
        with conn.cursor() as cursor:  # each holds a session of its own from here on
            found = []
            for name in names:
                cursor.execute(f"SHOW {name}")
                found.append(cursor.fetchone()[0])
            assert found == wanted
            cursor.execute("SELECT count(*) FROM pg_prepared_statements")
            assert cursor.fetchone() == (0,)
    for conn in others:
        conn.close()


def test_lanes_have_their_settings(lab, database):
    """Seen from within a commit: the settings of the transaction."""
    server = lab.respgres(database, durability="relaxed", pg_timeout=16000)
    names = ("lock_timeout", "statement_timeout", "synchronous_commit", "plan_cache_mode")
    database.execute("CREATE TABLE public.seen (name text, setting text)")
    database.execute("CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                     " INSERT INTO public.seen SELECT name, pg_catalog.current_setting(name)"
                     f" FROM pg_catalog.unnest(ARRAY{list(names)}) AS name; RETURN NULL; END $$")
    database.execute("CREATE TRIGGER note AFTER INSERT ON respgres.entries"
                     " FOR EACH ROW EXECUTE FUNCTION public.note()")
    client = server.client()
    client.set("k", "v")                                                          # one statement
    client.pipeline(transaction=True).set("a", 1).incr("b").execute()             # three
    client.pipeline(transaction=True).set("c", 1).dbsize().incr("d").execute()    # several steps
    assert client.dbsize() == 5
    assert dict(database.execute("SELECT DISTINCT name, setting FROM public.seen")) == {
        "lock_timeout": "1s", "statement_timeout": "12800ms", "synchronous_commit": "off",
        "plan_cache_mode": "force_generic_plan"}
    assert database.execute("SELECT count(DISTINCT (name, setting)) FROM public.seen") == [(4,)]


# --- few connections -------------------------------------------------------------------------------

@pytest.fixture
def narrow(lab):
    """A pool with two connections."""
    lab.pool_size = 2


@pytest.mark.usefixtures("narrow")
def test_two_instances_on_two_connections(lab, database, pooler, seed):
    """Six lanes, two sessions: with blocks that hold one for several steps nobody waits in a circle,
    and what one instance has acknowledged the other one's next read sees."""
    servers = [lab.respgres(database, pg_timeout=10000) for _ in range(2)]
    chance = random.Random(seed)
    load = Load(servers, seed, clients=8)
    client, other = (server.client() for server in servers)
    done = 0
    try:
        for _ in range(12):
            size = client.pipeline(transaction=True).incr("blocks").dbsize().incr("blocks").execute()
            assert size[2] == size[0] + 1
            done += 2
            assert other.get("blocks") == b"%d" % done
            load.wait_for_progress(chance.randrange(1, 20))
    finally:
        load.stop()
    assert load.errors == []
    rows = database.live()
    assert rows[b"blocks"] == b"%d" % done
    load.check(rows)
    assert len(database.sessions()) <= 2
    assert pooler.log.count("login attempt") == 2 * 3


@pytest.mark.parametrize("rounds", [3, pytest.param(60, marks=[pytest.mark.long,
                                                               pytest.mark.timeout(600)])])
@pytest.mark.usefixtures("narrow")
def test_pgbouncer_is_killed_under_load(lab, database, pooler, seed, rounds):
    servers = [lab.respgres(database, fallback="off") for _ in range(2)]
    chance = random.Random(seed)
    load = Load(servers, seed, clients=8)
    try:
        for _ in range(rounds):
            load.wait_for_progress(chance.randrange(50, 500))
            pooler.kill9()
            pooler.start()
        load.wait_for_progress(200)
    finally:
        load.stop()
    for server in servers:
        assert server.sigterm() == 0
    wait_until(lambda: not busy(database), 20, "nothing is under way")
    load.check(database.live())


@pytest.mark.alone
def test_pgbouncer_away(lab, database, pooler, machine):
    """Errors within pg-timeout, service again by itself."""
    server = lab.respgres(database, pg_timeout=1000, fallback="off")
    client = server.client()
    client.set("k", "v")
    pooler.kill9()
    took, reply = machine.seconds(lambda: send(server, "GET", "k").reply())
    assert reply.startswith(b"-LOADING") and took < 1.5
    pooler.start()

    def works():
        try:
            return client.get("k") == b"v"
        except redis.RedisError:
            return False

    wait_until(works, 20, "service is back")


@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_an_idle_instance_notices_an_outage(lab, how):
    """PgBouncer keeps the connections of clients who ask nothing; nothing is asked here but INFO."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    server = lab.respgres(database, pg_timeout=1000)
    client = server.client()
    client.set("k", "v")
    getattr(postgres, how)()
    wait_until(lambda: client.info("respgres")["store_state"] == "away", 40, "it is away")
    assert client.get("k") == b"v"
    postgres.start() if how == "stop" else postgres.thaw()
    wait_until(lambda: client.info("respgres")["store_state"] == "online", 40, "it is online")
    assert client.get("k") == b"v"


# --- who polls for messages -------------------------------------------------------------------------

def far_ids(database):
    """The next messages have high ids, so that it takes long until ids that begin anew are above them."""
    database.execute("SELECT setval(pg_get_serial_sequence('respgres.messages', 'id'), 1000000)")


def is_heard_again(poller, client, raw):
    """What `client` publishes: its texts are numbers, and each is heard once at most."""
    received = stat(poller, "postgres_messages_received")
    sent = 0

    def reached():
        nonlocal sent
        sent += 1
        try:
            client.publish("a", sent)
        except redis.RedisError:
            pass
        return stat(poller, "postgres_messages_received") > received

    wait_until(reached, 60, "messages arrive again", interval=0.2)
    client.publish("a", sent + 1)
    heard = texts(raw, 1)
    while heard[-1] != b"%d" % (sent + 1):
        heard += texts(raw, 1)
    assert heard == sorted(set(heard), key=int)


def test_messages_are_heard_after_a_crash(lab):
    """PostgreSQL empties the table and its sequence; PgBouncer keeps the connection of who polls."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    poller = lab.respgres(database, pg_timeout=10000)
    other = lab.respgres(database.url, pg_timeout=10000, pg_pooler="none")
    raw = subscriber(poller, "a")
    far_ids(database)
    other.client().publish("a", "before")
    assert texts(raw, 1) == [b"before"]
    victim = database.connect()
    os.kill(victim.info.backend_pid, signal.SIGKILL)
    wait_until(lambda: "all server processes terminated" in postgres.log_path.read_text(), 30,
               "it has crashed")
    is_heard_again(poller, other.client(), raw)
    raw.close()


def test_messages_are_heard_after_a_truncate(lab, database):
    poller = lab.respgres(database, pg_timeout=10000)
    other = lab.respgres(database.url, pg_timeout=10000, pg_pooler="none")
    raw = subscriber(poller, "a")
    far_ids(database)
    other.client().publish("a", "before")
    assert texts(raw, 1) == [b"before"]
    database.execute("TRUNCATE respgres.messages RESTART IDENTITY")
    is_heard_again(poller, other.client(), raw)
    assert poller.log.count("the table of messages has been emptied") == 1
    raw.close()


def test_messages_are_heard_after_the_mark_was_swept(lab, database):
    """As after a minute without a look at the table."""
    poller = lab.respgres(database, pg_timeout=10000, sweep_interval=200)
    other = lab.respgres(database.url, pg_timeout=10000, pg_pooler="none")
    raw = subscriber(poller, "a")
    marks = "SELECT id FROM respgres.messages WHERE packet IS NULL AND body IS NULL"
    mark = database.execute(marks)
    assert len(mark) == 1
    database.execute("UPDATE respgres.messages SET at = at - interval '2 minutes'")
    wait_until(lambda: database.execute(marks) not in ([], mark), 30, "a new mark")
    is_heard_again(poller, other.client(), raw)
    raw.close()


@pytest.mark.long
@pytest.mark.timeout(240)
def test_who_polls_renews_its_mark(lab, database):
    """Before it is swept."""
    poller = lab.respgres(database, pg_timeout=10000, sweep_interval=200)
    raw = subscriber(poller, "a")
    first = "SELECT count(*) FROM respgres.messages WHERE id = 1"
    assert database.execute(first) == [(1,)]
    wait_until(lambda: database.execute(first) == [(0,)], 120, "the first mark is swept", interval=1)
    time.sleep(25)
    assert "lane-lost" not in poller.log
    raw.close()


# --- what cannot be ----------------------------------------------------------------------------------

def refused(server):
    server.start(wait=None)
    server.expected_status = server.wait(20)
    assert server.expected_status == 1
    return server.log


def test_cached_is_refused_with_the_reason(lab, database):
    server = lab.respgres(database, start=False, consistency="cached")
    if "strict|cached" not in subprocess.run([server.binary(), "--help"], capture_output=True,
                                             text=True, check=True, timeout=20).stdout:
        pytest.skip("this version has no other consistency than strict")
    log = refused(server)
    assert "pg-pooler" in log and "LISTEN" in log


def test_another_isolation_level_is_refused_with_the_reason(lab, database, pooler):
    """A checked batch would judge rows by a snapshot from before its locks."""
    database.execute(f'ALTER ROLE "{database.role}"'
                     " SET default_transaction_isolation = 'repeatable read'")
    server = lab.respgres(database, start="answering")
    wait_until(lambda: "default_transaction_isolation" in server.log, what="the log says why")
    database.execute(f'ALTER ROLE "{database.role}" RESET default_transaction_isolation')
    pooler.kill9()
    pooler.start()
    wait_until(lambda: "to=online" in server.log, 20, "it is online")


def test_a_pooler_that_was_not_named_is_suspected(lab, database):
    """Without the option the lanes' prepared statements are in other sessions: the log says what it
    may be."""
    server = lab.respgres(database, start="answering", pg_pooler="none")
    wait_until(lambda: "pg-pooler transaction" in server.log, 20, "the log says what it may be")
