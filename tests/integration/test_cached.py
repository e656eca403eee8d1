"""`consistency cached`: reads from memory, and how old they may be. STORE rules 28 and 29.

A watcher reads a counter on one instance while it is written elsewhere, and knows for each moment
which number had been acknowledged: an answer that is older than `cached-max-lag` is a failure,
whatever happens to the listener, to its connection or to the process."""

import bisect
import os
import signal
import threading
import time

import pytest

from harness import wait_until
from rules import (  # noqa: F401
    OK, Threads, behind, lanes, row, send, stat, stats, update, wait_arrived)

pytestmark = pytest.mark.rows

LAG_MS = 400
PATIENT_MS = 60000  # for tests of what is told, on a machine whose pings may be slow
SLACK_S = 0.05  # between an acknowledgement and the moment that the test notes it


def cached(lab, database, **options):
    """An instance that answers from memory, and does."""
    options.setdefault("cached_max_lag", LAG_MS)
    server = lab.respgres(database, consistency="cached", **options)
    wait_trusted(server)
    return server


def wait_trusted(server):
    wait_until(lambda: stat(server, "postgres_cache_state") == "trusted", 30, "the cache is trusted")


def from_memory(server, client, *command):
    """Runs a command; was it answered without a read batch?"""
    before = stats(server)
    reply = client.execute_command(*command)
    after = stats(server)
    memory = after["postgres_cached_reads"] - before["postgres_cached_reads"]
    asked = after["postgres_read_batches"] - before["postgres_read_batches"]
    assert memory + asked == 1
    return memory == 1, reply


class Watch:
    """Writes a rising number elsewhere, reads it here, and judges each answer's age."""

    def __init__(self, write, reader):
        self.write, self.server = write, reader
        self.acknowledged = []  # (moment, number)
        self.ages_s = []  # of the answers
        self.bound_s = LAG_MS / 1000 + SLACK_S

    def writing(self, ending):
        n = 0
        while not ending.is_set():
            n += 1
            self.write(n)
            self.acknowledged.append((time.monotonic(), n))

    def reading(self, ending):
        client = self.server.client(socket_timeout=30)
        while not ending.is_set():
            at = time.monotonic()
            answer = client.get("n")
            self.judge(at, int(answer) if answer is not None else 0)

    def judge(self, at, answer):
        """`answer` was given to a read that began at `at`."""
        known = self.acknowledged[:]  # numbers from 1 on
        upto = bisect.bisect_right(known, (at - self.bound_s, float("inf")))
        assert upto == 0 or answer >= known[upto - 1][1], \
            f"{answer} although {known[upto - 1]} had been acknowledged by {at - self.bound_s}"
        # Since the next number was acknowledged.
        self.ages_s.append(max(at - known[answer][0], 0) if answer < len(known) else 0)


def watch(write, reader, disturb=None, run_s=1.5):
    watching = Watch(write, reader)
    before = stat(reader, "postgres_cached_reads")
    with Threads(watching.writing, watching.reading) as threads:
        threads.run_for(0.3)
        if disturb:
            disturb(watching)
        threads.run_for(run_s)
        wait_until(lambda: threads.ending.is_set()
                   or min(len(watching.acknowledged), len(watching.ages_s)) > 20, 60, "enough was done")
    print(f"{len(watching.ages_s)} answers, {len(watching.acknowledged)} writes,"
          f" the oldest {max(watching.ages_s) * 1000:.0f} ms old,"
          f" {stat(reader, 'postgres_cached_reads') - before} from memory")
    return watching


def setter(server):
    client = server.client()
    return lambda n: client.set("n", n)


# --- from memory ----------------------------------------------------------------------------------

def test_reads_are_answered_from_memory(lab, database):
    server = cached(lab, database, cached_max_lag=PATIENT_MS)
    client = server.client()
    client.set("k", "v", ex=100)
    assert from_memory(server, client, "GET", "k") == (True, b"v")
    assert from_memory(server, client, "STRLEN", "k") == (True, 1)
    assert from_memory(server, client, "TTL", "k")[0]
    assert from_memory(server, client, "GET", "none") == (False, None)
    assert from_memory(server, client, "MGET", "k", "k2") == (False, [b"v", None])
    lab.respgres(database).client().set("other", "w")
    assert from_memory(server, client, "GET", "other") == (False, b"w")
    # The notice of it may come only now.
    wait_until(lambda: from_memory(server, client, "GET", "other") == (True, b"w"), 30)


def test_the_state_is_in_info(lab, database):
    strict = lab.respgres(database)
    assert stat(strict, "postgres_consistency") == "strict"
    server = cached(lab, database)
    info = stats(server)
    assert info["postgres_consistency"] == "cached"
    assert info["postgres_cached_max_lag_us"] == LAG_MS * 1000
    assert 0 < info["postgres_cached_lag_us"] <= info["postgres_cached_lag_us_max"]
    assert database.execute("SELECT name, caching FROM respgres.fleet ORDER BY slot") == [
        (strict.client().info("server")["instance_name"], False),
        (server.client().info("server")["instance_name"], True)]
    names = {i.client().info("server")["instance_name"] for i in (strict, server)}

    def fleet():
        found = stats(strict)
        return {found[f"postgres_instance-{slot}"]["name"] for slot in (1, 2)
                if f"postgres_instance-{slot}" in found}

    wait_until(lambda: fleet() == names, 30, "INFO shows the fleet")
    assert stat(strict, "postgres_instances") == 2
    server.client().config_set("cached-max-lag", 100)
    wait_until(lambda: stat(server, "postgres_cached_max_lag_us") == 100000)


def test_what_has_expired_is_not_answered_from_memory(lab, database):
    server = cached(lab, database)
    client = server.client()
    began = time.monotonic()
    client.set("k", "v", px=300)
    assert client.get("k") == b"v" or time.monotonic() - began >= 0.3
    wait_until(lambda: client.get("k") is None, 30)
    assert row(database, "k", "expires_at <= clock_timestamp()") in ((True,), None)


def test_a_client_reads_what_it_has_written(lab, database):
    """Through one instance, whoever else writes meanwhile."""
    server, other = cached(lab, database), cached(lab, database)

    def write(ending):
        client = other.client()
        while not ending.is_set():
            client.set("k", "theirs")

    client = server.client()
    with Threads(write):
        for i in range(300):
            client.set("mine", i)
            assert client.get("mine") == b"%d" % i
            client.set("k", f"mine{i}")
            assert client.get("k") in (b"mine%d" % i, b"theirs")


# --- never older than the bound -------------------------------------------------------------------

def test_a_write_elsewhere_is_seen_in_time(lab, database):
    writer, reader = lab.respgres(database), cached(lab, database)
    watched = watch(setter(writer), reader)
    # It is the notice that tells, not the bound: but for stalls of the machine, answers are a few
    # milliseconds old at most.
    assert sorted(watched.ages_s)[len(watched.ages_s) // 2] < LAG_MS / 1000 / 8


def test_writes_of_every_kind_are_told(lab, database):
    """Each way in which another instance writes: one row, several, with an expectation, checked, in a
    transaction of its own, large, and without bytes."""
    writer, reader = lab.respgres(database).client(), cached(lab, database).client()

    def seen(key, want):
        wait_until(lambda: reader.get(key) == want, 30, f"{key} is {want}")

    def known(*keys):
        for key in keys:
            writer.set(key, "old")
            seen(key, b"old")
            reader.get(key)

    known("a", "b", "n")
    writer.set("a", "new")
    seen("a", b"new")
    writer.mset({"a": "1", "b": "2"})
    seen("b", b"2")
    writer.set("n", 5)
    writer.incr("n")
    seen("n", b"6")
    with writer.pipeline(transaction=True) as pipe:
        pipe.watch("n")
        pipe.multi()
        pipe.incr("n")
        pipe.set("b", "block")
        pipe.execute()
    seen("n", b"7")
    seen("b", b"block")
    writer.execute_command("SETNX", "c", "x")
    seen("c", b"x")
    with writer.pipeline(transaction=True) as pipe:
        pipe.set("a", "beside dbsize")
        pipe.dbsize()
        pipe.execute()
    seen("a", b"beside dbsize")
    large = b"l" * 300000
    writer.set("b", large)
    seen("b", large)
    assert reader.ttl("a") == -1
    writer.expire("a", 1000)
    wait_until(lambda: reader.ttl("a") > 0, 30, "EXPIRE is told")
    writer.delete("a")
    seen("a", None)
    known("a")
    writer.getdel("a")
    seen("a", None)
    known("a")
    writer.swapdb(0, 1)
    seen("a", None)
    writer.swapdb(0, 1)
    seen("a", b"old")
    writer.flushall()
    seen("a", None)
    known("a")
    with writer.pipeline(transaction=True) as pipe:
        pipe.flushdb()
        pipe.execute()
    seen("a", None)


def test_a_burst_larger_than_a_notification(lab, database):
    """More keys in one batch than 8,000 bytes can name."""
    writer, reader = lab.respgres(database, pg_timeout=10000).client(), \
        cached(lab, database, pg_timeout=10000).client()
    keys = [f"k{i}" for i in range(4000)]
    for value in ("one", "two"):
        writer.mset({key: value for key in keys})
        wait_until(lambda: reader.get(keys[0]) == value.encode(), 30)
        # The first may have been read from PostgreSQL a moment before the notice about the others came.
        for key in keys[::40]:
            wait_until(lambda k=key: reader.get(k) == value.encode(), 30)


def test_the_listener_is_terminated(lab, database):
    writer, reader = lab.respgres(database), cached(lab, database)

    def terminate(_):
        for starts in range(2, 7):
            wait_until(lambda: database.postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                " AND application_name LIKE '%% listen-0'", database.name) == [(True,)], 30)
            wait_until(lambda n=starts: stat(reader, "postgres_cache_starts") >= n, 30)

    watch(setter(writer), reader, terminate)
    assert stat(reader, "postgres_cache_starts") >= 6


def test_the_listeners_connection_goes_silent(lab, database, lanes):
    """A black hole: nothing comes, and nothing ends. Reads are strict from the bound on."""
    reader = behind(lab, database, lanes, consistency="cached", cached_max_lag=LAG_MS,
                    pg_timeout=3000)
    wait_trusted(reader)
    writer = lab.respgres(database)

    def silence(_):
        gate = lanes.hold("listen-0", "respgres_ping", "answer")
        gate.wait()
        wait_until(lambda: stat(reader, "postgres_cache_state") == "behind", 30)
        before = stats(reader)
        client = reader.client()
        for _ in range(20):
            client.get("n")
        after = stats(reader)
        assert after["postgres_cached_reads"] == before["postgres_cached_reads"] \
            or after["postgres_cache_starts"] > 1
        wait_until(lambda: stat(reader, "postgres_cache_starts") == 2, 30, "another connection")
        gate.release()

    watch(setter(writer), reader, silence)


def test_the_process_is_stopped_and_wakes_up(lab, database):
    """What it has in memory when it wakes is old: it must not be answered, not even to the request
    that waits in the socket."""
    writer, reader = lab.respgres(database), cached(lab, database)

    def stop(watching):
        for _ in range(3):
            raw = reader.raw()
            reader.signal(signal.SIGSTOP)
            stopped = time.monotonic()
            wait_until(lambda: time.monotonic() > stopped + 2 * LAG_MS / 1000)
            asked = time.monotonic()
            raw.send(b"GET n\r\n")
            reader.signal(signal.SIGCONT)
            watching.judge(asked, int(raw.reply().split(b"\r\n")[1]))
            wait_trusted(reader)

    watch(setter(writer), reader, stop)


def test_the_backend_of_the_listener_is_stopped(lab, database):
    """The connection is open, the backend does not run: notices do not come, pings neither."""
    writer, reader = lab.respgres(database), cached(lab, database, pg_timeout=5000)

    def stop(_):
        pid = database.postgres.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s"
            " AND application_name LIKE '%% listen-0'", database.name)[0][0]
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: stat(reader, "postgres_cache_state") == "behind", 30)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_trusted(reader)

    watch(setter(writer), reader, stop)


# --- people -----------------------------------------------------------------------------------------

def test_a_persons_changes_are_seen_in_time(lab, database):
    reader = cached(lab, database)
    reader.client().set("n", 0)
    watch(lambda n: update(database, "n", "value = %s", str(n).encode()), reader)


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.parametrize("statement, want", [
    ("UPDATE respgres.entries SET value = 'new' WHERE key = 'k'", b"new"),
    ("UPDATE respgres.entries SET active = false WHERE key = 'k'", None),
    ("UPDATE respgres.entries SET expires_at = now() - interval '1 s' WHERE key = 'k'", None),
    ("UPDATE respgres.entries SET key = 'renamed' WHERE key = 'k'", None),
    ("DELETE FROM respgres.entries WHERE key = 'k'", None),
    ("INSERT INTO respgres.entries (key, value) VALUES ('k', 'new')"
     " ON CONFLICT (key, space) DO UPDATE SET value = excluded.value", b"new"),
    ("TRUNCATE respgres.entries", None),
])
def test_every_kind_of_sql_is_told(lab, database, statement, want, isolation):
    """Also by a transaction whose snapshot is older than the mark that somebody caches."""
    person = database.connect()
    person.autocommit = False
    cursor = person.cursor()
    cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    lab.respgres(database)
    cursor.execute("SELECT 1")
    client = cached(lab, database, cached_max_lag=PATIENT_MS).client()
    client.set("k", "old")
    assert client.get("k") == b"old"
    if isolation == "REPEATABLE READ":
        person.rollback()
        cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    cursor.execute(statement)
    assert cursor.rowcount != 0
    assert client.get("k") == b"old"
    person.commit()
    wait_until(lambda: client.get("k") == want, 30, "the change is seen")
    person.close()


def test_the_schema_makes_the_same_codes(lab, database):
    """A person's notice names the bucket that the server looks at: any key, by its bytes."""
    server = cached(lab, database, cached_max_lag=PATIENT_MS)
    client = server.client()
    keys = [b"", b"k", b"session:\xff\x00\x80", "schlüssel".encode(), bytes(range(256)), b"x" * 2600]
    for key in keys:
        client.set(key, "old")
        assert client.get(key) == b"old"
        update(database, key, "value = 'new'")
        wait_until(lambda k=key: client.get(k) == b"new", 30, f"{key} is seen")


# --- coming and going -------------------------------------------------------------------------------

def listener(database):
    """A person who listens; returns a function that tells what has come since."""
    conn = database.connect()
    conn.cursor().execute("LISTEN respgres")

    def heard():
        conn.cursor().execute("SELECT 1")
        conn.poll()
        taken = [n.payload for n in conn.notifies if not n.payload.startswith("p")]
        conn.notifies.clear()
        return taken
    return heard


def test_nobody_is_told_unless_another_instance_caches(lab, database):
    """A NOTIFY costs the writers a lock of the whole cluster."""
    heard = listener(database)
    strict = lab.respgres(database)
    strict.client().mset({"a": 1, "b": 2})
    assert heard() == []
    one = cached(lab, database)
    one.client().set("a", 2)
    assert heard() == []
    strict.client().set("a", 3)
    strict.client().mset({f"k{i}": i for i in range(100)})
    told = heard()
    assert [len(payload) for payload in told] == [4 + 3, 4 + 300]
    assert one.sigterm() == 0
    strict.client().set("a", 4)
    assert heard() == []


def test_one_notify_for_a_batch(lab, database, lanes):
    heard = listener(database)
    cached(lab, database)
    server = behind(lab, database, lanes)
    plug = lanes.hold("commit-0", "respgres_commit*", "answer")
    first = send(server, "SET", "plug", "v")
    plug.wait()
    probe = server.client()
    before = probe.info("stats")["total_commands_processed"]
    clients = [send(server, "SET", f"k{i}", "v") for i in range(20)]
    wait_arrived(probe, before + len(clients))
    plug.release()
    assert [c.reply() for c in [first, *clients]] == [b"+OK\r\n"] * 21
    told = heard()
    assert sum((len(payload) - 4) // 3 for payload in told) == 21
    assert len(told) <= 4


def test_a_newcomer_waits_for_older_transactions(lab, database):
    """Somebody's UPDATE began before there was anybody to tell: its COMMIT would not be heard."""
    lab.respgres(database).client().set("k", "old")
    person = database.connect()
    person.autocommit = False
    person.cursor().execute("UPDATE respgres.entries SET value = 'new' WHERE key = 'k'")
    server = lab.respgres(database, consistency="cached", cached_max_lag=PATIENT_MS)
    client = server.client()
    wait_until(lambda: database.execute("SELECT caching FROM respgres.fleet ORDER BY slot DESC")[0]
               == (True,), 30)
    assert client.get("k") == b"old"
    assert from_memory(server, client, "GET", "k") == (False, b"old")
    assert stat(server, "postgres_cache_state") == "strict"
    person.commit()
    wait_trusted(server)
    assert client.get("k") == b"new"
    person.close()


def test_an_instance_that_is_gone_need_not_be_told(lab, database):
    strict = lab.respgres(database)
    gone = cached(lab, database)
    gone.kill9()
    database.execute("UPDATE respgres.instances SET seen_at = seen_at - interval '1 hour'"
                     " WHERE caching")
    wait_until(lambda: database.execute("SELECT bool_or(caching) FROM respgres.instances")
               == [(False,)], 40, "the mark is taken away")
    heard = listener(database)
    strict.client().set("k", "v")
    assert heard() == []


def test_an_instance_that_was_forgotten_notices(lab, database):
    """It was away for longer than the lease, and the others do not tell it any more."""
    server = cached(lab, database)
    client = server.client()
    client.set("k", "old")
    database.execute("UPDATE respgres.instances SET caching = false")
    update(database, "k", "value = 'new'")
    bound = time.monotonic() + LAG_MS / 1000 + SLACK_S
    asked = 0
    while client.get("k") != b"new":
        assert asked < bound
        asked = time.monotonic()
    wait_until(lambda: stat(server, "postgres_cache_starts") == 2, 30)
    wait_trusted(server)


def test_postgresql_is_restarted(lab):
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    lab.defaults["fallback"] = "off"
    writer, reader = lab.respgres(database), cached(lab, database)
    client = reader.client()
    writer.client().set("n", 1)
    assert client.get("n") == b"1"
    postgres.stop("immediate")
    with pytest.raises(Exception, match="PostgreSQL"):
        wait_until(lambda: client.get("n") is None, 30)
    postgres.start()
    wait_until(lambda: writer.raw().command("SET", "n", "2") == b"+OK\r\n", 30)
    wait_until(lambda: reader.raw().command("GET", "n") == b"$1\r\n2\r\n", 30)
    wait_trusted(reader)
    watch(setter(writer), reader)


# --- those who notify commit one after the other ------------------------------------------------------

def test_a_slow_commit_of_another_costs_no_connection(lab):
    """It has the lock of PostgreSQL's queue of notifications until it is on disk. Writers and listeners wait
    for that longer than for a row that somebody holds."""
    database = lab.database(lab.own_postgres())
    postgres = database.postgres
    writer = lab.respgres(database, pg_timeout=10_000)
    reader = cached(lab, database, pg_timeout=10_000)
    database.execute("CREATE TABLE somebodys (n int)")
    lost = stat(writer, "postgres_lost_connections"), stat(reader, "postgres_lost_connections")
    told = None
    while told is None:
        told = somebody_tells(database)
    try:
        asked = send(writer, "SET", "k", "v")
        wait_until(lambda: waiting_for(postgres, "object") >= 2, 30, "writer and reader wait for it")
        time.sleep(0.9)  # 10,000 ms / 16 is what a row is waited for
    finally:
        postgres.configure(synchronous_standby_names="")
    assert asked.reply() == OK
    told.join()
    wait_trusted(reader)
    assert reader.client().get("k") == b"v"
    assert (stat(writer, "postgres_lost_connections"), stat(reader, "postgres_lost_connections")) == lost


def somebody_tells(database):
    """A thread with somebody's NOTIFY that has the lock and cannot commit; None if an instance was first."""
    postgres = database.postgres
    statement = "WITH told AS (SELECT pg_notify('x', '')) INSERT INTO somebodys SELECT count(*) FROM told"
    postgres.configure(synchronous_standby_names="nobody")
    thread = threading.Thread(target=lambda: database.execute(statement))
    thread.start()

    def waits(event):
        return waiting_for(postgres, event, "WITH told%") == 1

    wait_until(lambda: waits("SyncRep") or waits("object"), 30, "it commits")
    if waits("SyncRep"):
        return thread
    postgres.configure(synchronous_standby_names="")
    thread.join()
    return None


def waiting_for(postgres, event, query="%"):
    (count,), = postgres.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = %s"
                                 " AND query LIKE %s", event, query)
    return count
