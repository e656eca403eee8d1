"""Rules of the store, 30, 31 and 33 to 36: what keeps it fast, as far as it can be told without a
clock: rows looked at, HOT updates, bytes of WAL, bytes of a batch."""

import os
import time

import pytest

from harness import wait_until
from rules import (  # noqa: F401
    OK, Holder, Threads, behind, lanes, replies, row, seconds, send, send_all,
    stat, stats)

pytestmark = pytest.mark.rows


def counters(database, server):
    """pg_stat_user_tables of entries, once the lanes have delivered theirs."""
    client = server.client()
    time.sleep(1.05)  # a backend delivers at the end of a transaction, once a second at most
    client.get("poke")
    client.set("poke", "v")
    client.scan(0, count=1)
    time.sleep(0.1)
    names = ("seq_tup_read", "n_tup_upd", "n_tup_hot_upd", "idx_tup_read")
    values, = database.execute(
        "SELECT t.seq_tup_read, t.n_tup_upd, t.n_tup_hot_upd, (SELECT sum(i.idx_tup_read)::int"
        " FROM pg_stat_user_indexes i WHERE i.relid = t.relid) FROM pg_stat_user_tables t"
        " WHERE t.relname = 'entries'")
    return dict(zip(names, values))


# --- 30, 31: plans --------------------------------------------------------------------------------

def grow(database, rows):
    """Without statistics: as a table that has grown since the last ANALYZE, or never had one."""
    database.execute(
        "INSERT INTO respgres.entries (key, value, expire_slot)"
        " SELECT convert_to('bulk' || g, 'UTF8'), 'v', NULL"
        " FROM generate_series(1, %s) g ON CONFLICT DO NOTHING", rows)


@pytest.mark.parametrize("rows, analyzed", [(30_000, False), (30_000, True), pytest.param(
    1_000_000, False, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_d30_batches_are_index_probes(lab, database, rows, analyzed):
    """Prepared on a new table, never analyzed or only when it was small, that then grows: a batch
    of 50 keys reads the whole table, or a whole index."""
    server = lab.respgres(database, sweep_interval=3_600_000)
    client = server.client()
    database.execute("ALTER TABLE respgres.entries SET (autovacuum_enabled = false)")
    if analyzed:
        client.mset({"a": 1, "b": 2})
        database.execute("ANALYZE respgres.entries")
        server.restart()
        client = server.client()
    for i in range(8):  # so that every plan has been made, a generic one too
        batch(server, client, i)
    grow(database, rows)
    before = counters(database, server)
    keys = sum(batch(server, client, i * 37) for i in range(10))
    after = counters(database, server)
    assert database.execute(
        "SELECT reltuples FROM pg_class WHERE oid = 'respgres.entries'::regclass") \
        == [(2 if analyzed else -1,)]
    assert after["seq_tup_read"] == before["seq_tup_read"]
    assert after["idx_tup_read"] - before["idx_tup_read"] < 12 * keys


def batch(server, client, at):
    """Every kind of batch: returns how many keys were in them."""
    keys = [f"bulk{i}" for i in range(at, at + 40)]
    client.mget(keys)
    client.mset(dict.fromkeys(keys, at))
    for raw in [send(server, "INCR", key) for key in keys[:20]]:
        raw.reply()
    raw = send_all(server, ["WATCH", *keys[:5]], ["MULTI"], *(["INCR", key] for key in keys[:20]),
                   ["EXEC"])
    assert not replies(raw, 23)[22].startswith(b"-")
    client.delete(*keys[30:])
    client.msetnx(dict.fromkeys(keys[30:], 1))
    client.expire(keys[0], 1000)
    client.setex(keys[0], 1000, str(at))
    return 40 * 2 + 20 + 45 + 10 * 2 + 4


def test_d30_the_probe_for_locked_rows_is_one_too(lab, database):
    """The same for what is sent when somebody holds a row."""
    server = lab.respgres(database, sweep_interval=3_600_000, pg_timeout=1500)
    database.execute("ALTER TABLE respgres.entries SET (autovacuum_enabled = false)")
    client = server.client()
    keys = ["a", "b", "c"]
    client.mset(dict.fromkeys(keys, "v"))
    grow(database, 30_000)
    before = counters(database, server)
    with Holder(database, *keys):
        for raw in [send(server, "SET", key, "w") for key in keys]:
            assert raw.reply().startswith(b"-")
    after = counters(database, server)
    assert after["seq_tup_read"] == before["seq_tup_read"]
    assert after["idx_tup_read"] - before["idx_tup_read"] < 1000


def test_d31_statements_are_prepared(lab, database, lanes):
    """Each batch is parsed and planned anew: a third of the speed."""
    server = behind(lab, database, lanes)
    client = server.client()
    client.set("k", "v")
    del lanes.requests[:]
    client.mset({"k": 1, "j": 2})
    client.get("k")
    client.pipeline().incr("k").get("none").execute()
    client.dbsize()
    assert lanes.requests
    for request in lanes.requests:
        assert request.statements and all(request.statements), request


def test_few_connections(lab, database):
    """Small managed databases allow 20 to 100 connections: an instance takes three, and says
    which."""
    server = lab.respgres(database, instance_name="one")
    client = server.client()
    client.set("k", "v")
    client.dbsize()

    def names():
        return {name for name, in database.postgres.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = %s AND"
            " backend_type = 'client backend'", database.name)}

    three = {"respgres one query-0", "respgres one read-0", "respgres one commit-0"}
    wait_until(lambda: names() == three, what="these three and no other")


# --- 33: large values -----------------------------------------------------------------------------

def wal(database, action):
    """Bytes of WAL that `action` makes."""
    start, = database.execute("SELECT pg_current_wal_lsn()")[0]
    action()
    return int(database.execute("SELECT pg_current_wal_lsn() - %s::pg_lsn", start)[0][0])


@pytest.mark.parametrize("touch", ["EXPIRE", "SETEX", "GETEX"])
def test_d33_a_touch_keeps_the_toast_pointer(lab, database, touch):
    """A new expiry of a large session writes its bytes again: 28 MB of WAL instead of 0.5."""
    server = lab.respgres(database)
    client = server.client()
    value = os.urandom(60_000)
    client.setex("k", 1000, value)

    def touches():
        for i in range(100):
            if touch == "EXPIRE":
                client.expire("k", 1000 + i)
            elif touch == "GETEX":
                client.getex("k", ex=1000 + i)
            else:
                client.setex("k", 1000 + i, value)

    assert wal(database, touches) < 1_500_000
    assert client.get("k") == value
    assert wal(database, lambda: [client.setex("k", 1000, os.urandom(60_000)) for _ in range(10)]) \
        > 600_000


def test_d33_the_table_is_vacuumed_early_and_compresses_with_lz4(lab, database):
    """pglz is three times slower, and with the usual thresholds 10 MB of live rows grow to 880
    MB."""
    client = lab.respgres(database).client()
    client.set("k", "session data " * 500)
    has_lz4, = database.execute("SELECT 'lz4' = ANY (enumvals) FROM pg_settings"
                                " WHERE name = 'default_toast_compression'")[0]
    if has_lz4:
        assert row(database, "k", "pg_column_compression(value)") == ("lz4",)
    own_and_toast, = database.execute(
        "SELECT c.reloptions, t.reloptions FROM pg_class c"
        " JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = 'respgres.entries'::regclass")
    for each in own_and_toast:
        options = dict(option.split("=") for option in each or [])
        assert float(options["autovacuum_vacuum_scale_factor"]) <= 0.05
        assert int(options["autovacuum_vacuum_threshold"]) <= 5000


# --- 34: HOT --------------------------------------------------------------------------------------

def test_d34_repeated_session_writes_are_hot(lab, database):
    """The only index on the expiry changes with every write, or with every minute: no update is
    HOT, and table and index grow."""
    server = lab.respgres(database, sweep_interval=500)
    client = server.client()
    kinds = ("same", "moving ttl", "touch", "changing length")
    names = [(kind, f"session:{kind}:{i}") for i in range(40) for kind in kinds]

    def write(round_):
        pipe = client.pipeline(transaction=False)
        for i, (kind, name) in enumerate(names):
            ttl = 2000 + 130 * round_ if kind == "moving ttl" else 2000
            length = 300 + (i * 7 + round_ * 31) % 200 if kind == "changing length" else 450
            body = name if kind == "touch" else f"{name} {round_}"
            pipe.setex(name, ttl, body.ljust(length, "x"))
        pipe.execute()

    for round_ in range(10):  # until the rows have spread over so many pages that there is room
        write(round_)
    before = counters(database, server)
    for round_ in range(10, 40):
        write(round_)
    after = counters(database, server)
    updates = after["n_tup_upd"] - before["n_tup_upd"]
    hot = after["n_tup_hot_upd"] - before["n_tup_hot_upd"]
    assert updates >= 30 * len(names)
    assert hot >= 0.99 * updates, f"{hot} of {updates}"


def test_d34_the_slot_is_a_lower_bound(lab, database):
    """Writers move the slot up, or leave it above the new expiry: a key that expires soon is swept
    late."""
    client = lab.respgres(database, sweep_interval=3_600_000).client()

    def slot():
        return row(database, "k")[4]

    client.setex("k", 1_000_000, "v")
    first = slot()
    client.setex("k", 2_000_000, "v")
    assert slot() == first
    client.persist("k")
    assert slot() == first
    client.expire("k", 500_000)
    second = slot()
    assert second < first
    client.set("k", "w")
    assert slot() == second
    client.getex("k", ex=5000)
    assert slot() < second
    client.pexpireat("k", 4_000_000_000_000)
    assert slot() < second
    client.set("j", "v")
    assert row(database, "j")[4] is None
    client.expire("j", 5000)
    client.mset({"a": 1, "b": 2})
    client.pipeline().expire("a", 5000).expire("b", 6000).execute()
    assert database.execute("SELECT count(*) FROM respgres.entries WHERE expires_at IS NOT NULL"
                            " AND expire_slot > respgres.slot_of(expires_at)") == [(0,)]
    client.delete("k")
    assert slot() <= second


def test_d35_the_oldest_snapshot_is_shown(lab, database):
    """pg_dump or a forgotten transaction takes HOT from 100 to 34 %: nobody can see why it is
    slow."""
    server = lab.respgres(database)
    server.client().set("k", "v")
    conn = database.connect()
    conn.autocommit = False
    conn.set_session(isolation_level="REPEATABLE READ")
    with conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM respgres.entries")
        for i in range(20):
            server.client().set("k", i)
        wait_until(lambda: any("xmin" in name and int(value) > 0 for name, value in
                               server.client().info("postgres").items()),
                   what="INFO has a metric for the age of the oldest xmin")
    conn.close()


# --- 36: bytes of a batch -------------------------------------------------------------------------

def plugged(lanes, server):
    """The commit lane, busy until the gate is released."""
    gate = lanes.hold("commit-0", "respgres_commit*", "answer")
    raw = send(server, "SET", "plug", os.urandom(8))
    gate.wait()
    return gate, raw


def test_d36_a_batch_has_a_limit_in_bytes(lab, database, lanes):
    """Fifty clients with a megabyte each make one statement of 50 MB; with twenty of them the
    server's limit of a gigabyte is reached."""
    server = behind(lab, database, lanes, pg_timeout=20_000)
    gate, plug = plugged(lanes, server)
    values = {f"k{i}": os.urandom(1_000_000) for i in range(14)}
    clients = [send(server, "SET", key, value) for key, value in values.items()]
    probe = server.client()
    wait_until(lambda: probe.info("stats")["total_commands_processed"] > 14)
    del lanes.requests[:]
    gate.release()
    assert plug.reply() == OK
    assert [raw.reply() for raw in clients] == [OK] * 14
    sent = [request.sent for request in lanes.requests
            if any(name.startswith("respgres_commit") for name in request.statements)]
    assert sum(sent) > 14_000_000
    assert max(sent) < 6_000_000
    other = lab.respgres(database, pg_timeout=20_000).client()
    assert other.mget(list(values)) == list(values.values())


def test_d36_large_values_travel_alone(lab, database, lanes):
    """A value of half a megabyte shares its batch with small ones: they wait for it to be sent."""
    server = behind(lab, database, lanes, pg_timeout=20_000)
    before = stats(server)
    gate, plug = plugged(lanes, server)
    large = [send(server, "SET", f"large{i}", os.urandom(500_000)) for i in range(2)]
    small = [send(server, "SET", f"small{i}", "v") for i in range(20)]
    probe = server.client()
    seen = probe.info("stats")["total_commands_processed"]
    wait_until(lambda: probe.info("stats")["total_commands_processed"] >= seen)
    time.sleep(0.2)
    gate.release()
    assert [raw.reply() for raw in (plug, *large, *small)] == [OK] * 23
    after = stats(server)
    items = after["postgres_commit_items"] - before["postgres_commit_items"]
    batches = after["postgres_commit_batches"] - before["postgres_commit_batches"]
    assert items == 23
    assert batches >= 4  # the plug, the small ones, and each of the large ones


@pytest.mark.parametrize("size", [1_000_000, 6_000_000,
                                  pytest.param(50_000_000, marks=pytest.mark.long)])
def test_d36_values_of_many_megabytes(lab, database, size):
    """They are cut, refused, or take the connection with them."""
    servers = [lab.respgres(database, pg_timeout=20_000) for _ in range(2)]
    client, other = (server.client(socket_timeout=60) for server in servers)
    value = os.urandom(1 << 16) * (size // (1 << 16) + 1)
    assert client.setex("k", 1000, value[:size])
    assert other.strlen("k") == size
    assert other.getrange("k", size - 10, -1) == value[size - 10:size]
    if size <= 10_000_000:
        assert other.get("k") == value[:size]
        assert other.append("k", "end") == size + 3
        assert client.getrange("k", size - 2, -1) == value[size - 2:size] + b"end"
    assert client.expire("k", 500)
    assert client.delete("k") == 1
    assert stat(servers[0], "postgres_lost_connections") == 0


@pytest.mark.alone
def test_d36_a_large_value_holds_up_nobody(lab, database, machine):
    """While 16 MB are being written everybody else waits for the lane they are on."""
    server = lab.respgres(database, pg_timeout=20_000)
    client = server.client()
    client.set("small", "v")
    value = os.urandom(1 << 16) * 256
    took = []

    def write_small(ending):
        mine = server.client()
        while not ending.is_set():
            begun = time.monotonic()
            mine.setex("small", 100, len(took))
            took.append((begun, time.monotonic()))

    with Threads(write_small):
        wait_until(lambda: len(took) > 20)
        large, _ = seconds(lambda: server.client(socket_timeout=60).set("large", value))
    slowest = max(took, key=lambda each: each[1] - each[0])
    slowest_s = slowest[1] - slowest[0] - machine.within(*slowest)
    assert slowest_s < max(0.25, large / 3), f"{slowest_s} s beside a write of {large} s"
