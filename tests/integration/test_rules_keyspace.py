"""Rules of the store, 11 and 27: FLUSH, SWAPDB and SCAN."""

import time

import pytest
import redis

from harness import encode, wait_until
from rules import (  # noqa: F401
    OK, Threads, behind, lanes, pair, replies, row, send, send_all,
    wait_keys_locked)

pytestmark = pytest.mark.rows


def fill(database, count, db=0, prefix="bulk"):
    """Many rows at once, as a person would make them."""
    database.execute(
        "INSERT INTO respgres.entries (space, key, value, expire_slot)"
        " SELECT respgres.space_of(%s), convert_to(%s || g, 'UTF8'), 'v', NULL"
        " FROM generate_series(1, %s) g", db, prefix, count)


# --- 11: FLUSH and SWAPDB are one small row -------------------------------------------------------

@pytest.mark.alone
def test_a11_flush_does_not_touch_the_rows(lab, database, machine):
    """FLUSHDB of many keys deletes them one by one: it takes a second, in which others wait, or
    write what is half flushed."""
    server = lab.respgres(database, sweep_interval=60_000)
    client = server.client()
    fill(database, 50_000)
    assert client.dbsize() == 50_000
    took, _ = machine.seconds(client.flushdb)
    assert took < 1.0
    assert client.dbsize() == 0 and client.keys() == [] and client.get("bulk1") is None
    assert database.execute("SELECT count(*) FROM respgres.entries") == [(50_000,)]
    assert client.setnx("bulk1", "new") and client.keys() == [b"bulk1"]


def test_a11_flushed_rows_are_swept(lab, database):
    """They stay for ever."""
    server = lab.respgres(database, sweep_interval=20)
    client = server.client()
    fill(database, 1200)
    client.flushdb()
    client.mset({"a": 1, "b": 2})
    wait_until(lambda: database.execute("SELECT count(*) FROM respgres.entries") == [(2,)])
    assert client.mget("a", "b") == [b"1", b"2"]


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
def test_a11_flush_under_load_loses_no_later_set(pair, command):
    """While clients write on two instances: an acknowledged SET survives although a later one does
    not, or one that was sent after the flush was acknowledged is gone."""
    acknowledged, flushes = [[] for _ in range(6)], []

    def write(number_):
        def run(ending):
            client, i = pair[number_ % 2].client(), 0
            while not ending.is_set():
                begun = time.monotonic()
                if number_ < 4:
                    client.set(f"{number_}:{i}", i)
                else:
                    client.mset({f"{number_}:{i}": i, f"{number_}:{i}:b": i})
                acknowledged[number_].append((begun, time.monotonic()))
                i += 1
        return run

    def flush(ending):
        clients = [server.client() for server in pair]
        while not ending.is_set():
            begun = time.monotonic()
            clients[len(flushes) % 2].execute_command(command)
            flushes.append((begun, time.monotonic()))
            ending.wait(0.1)

    with Threads(*map(write, range(6)), flush) as threads:
        threads.run_for(1.2, lambda: len(flushes) > 5)
    there = set(pair[0].client().keys())
    assert there == set(pair[1].client().keys())
    sent, done = flushes[-1]
    assert sum(map(len, acknowledged)) > len(there)
    for number_, writes in enumerate(acknowledged):
        survived = [f"{number_}:{i}".encode() in there for i in range(len(writes))]
        assert survived == sorted(survived), "an earlier SET has survived a later one"
        for (begun, ended), alive in zip(writes, survived):
            assert alive or begun < done, "a SET after the flush is gone"
            assert not alive or ended > sent, "a SET before the flush is there"
        if number_ >= 4:
            assert [f"{number_}:{i}:b".encode() in there for i in range(len(writes))] == survived, \
                "half of an MSET is gone"


def test_a11_swapdb_under_load(pair):
    """Blocks of two keys are written while the databases are swapped: one half is in each, or a key
    is in none."""
    acknowledged, swaps = [0] * 4, []

    def write(number_):
        def run(ending):
            raw = pair[number_ % 2].raw()
            while not ending.is_set():
                i = acknowledged[number_]
                raw.send(encode("MULTI") + encode("SETNX", f"{number_}:{i}", i)
                         + encode("SET", f"{number_}:{i}:b", i) + encode("EXEC"))
                assert replies(raw, 4)[3] == b"*2\r\n:1\r\n+OK\r\n"
                acknowledged[number_] += 1
        return run

    def swap(ending):
        client = pair[0].client()
        while not ending.is_set():
            client.swapdb(0, 1)
            swaps.append(sum(acknowledged))
            ending.wait(0.02)

    with Threads(*map(write, range(4)), swap) as threads:
        threads.run_for(1.1, lambda: len(set(swaps)) > 5)
    zero, one = (set(pair[1].client(db=db).keys()) for db in (0, 1))
    assert zero and one, "it was all written to one"
    assert not zero & one
    for number_, count in enumerate(acknowledged):
        for i in range(count):
            half, other = f"{number_}:{i}".encode(), f"{number_}:{i}:b".encode()
            assert {half, other} <= zero or {half, other} <= one


@pytest.mark.parametrize("here", [True, False])
def test_a11_exec_compares_the_space(pair, here):
    """WATCH, then FLUSHDB or SWAPDB, by the same or another instance: EXEC takes the key of the new
    database for that of the old one."""
    client, other = pair[0].client(), pair[0 if here else 1].client()
    one = pair[0].client(db=1)
    for there, change in (("v", other.flushdb), ("v", lambda: other.swapdb(0, 1)),
                          (None, lambda: other.set("k", "x") and other.flushdb()),
                          (None, lambda: one.set("k", "x") and other.swapdb(0, 1))):
        client.flushall()
        if there:
            client.set("k", there)
            one.set("k", there)
        pipe = client.pipeline()
        pipe.watch("k")
        change()
        pipe.multi()
        pipe.set("j", "mine")
        with pytest.raises(redis.WatchError):
            pipe.execute()


def test_a11_a_swap_between_lock_and_check_waits(lab, database, lanes):
    """SWAPDB comes between the two statements of a batch: it locks in one database and writes in
    the other."""
    server = behind(lab, database, lanes)
    other = lab.respgres(database)
    other.client(db=1).set("a", "of one")
    gate = lanes.hold("commit-0", "respgres_commit_checked", "request")
    raw = send_all(server, ["MULTI"], ["SETNX", "a", "v"], ["INCR", "b"], ["EXEC"])
    gate.wait()
    wait_keys_locked(database)
    swap = send(other, "SWAPDB", "0", "1")
    swap.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        swap.reply()
    swap.sock.settimeout(20)
    gate.release()
    assert replies(raw, 4)[3] == b"*2\r\n:1\r\n:1\r\n"
    assert swap.reply() == OK
    assert server.client(db=1).mget("a", "b") == [b"v", b"1"]
    assert server.client().mget("a", "b") == [b"of one", None]


def test_a11_what_is_remembered_belongs_to_its_database(pair):
    """SWAPDB or FLUSHALL by one instance: the other answers from what it remembers of the old
    database, or touches the new one's row by it."""
    a, b = pair[0].client(), pair[1].client()
    a1, b1 = pair[0].client(db=1), pair[1].client(db=1)
    for client, one in ((a, b1), (b, a1)):
        a.flushall()
        a.set("k", "zero")
        a1.set("k", "one")
        a1.set("same", "s")
        a.set("same", "s")
        assert [x.get("k") for x in (a, b, a1, b1)] == [b"zero", b"zero", b"one", b"one"]
        client.swapdb(0, 1)
        assert [x.get("k") for x in (a, b, a1, b1)] == [b"one", b"one", b"zero", b"zero"]
        one.append("k", "!")
        assert [x.get("k") for x in (a, b, a1, b1)] == [b"one", b"one", b"zero!", b"zero!"]
        client.swapdb(0, 1)
        client.setex("same", 100, "s")  # the bytes that it remembers
        assert [x.ttl("same") > 0 for x in (a, b, a1, b1)] == [True, True, False, False]
        client.flushall()
        assert [x.get("k") for x in (a, b, a1, b1)] == [None] * 4
        assert a.set("same", "s") and b.get("same") == b"s"
        assert b1.incr("k") == 1 and a1.get("k") == b"1" and a.get("k") is None


# --- 27: SCAN -------------------------------------------------------------------------------------

def looked_at(database):
    """Rows of entries that were looked at so far, once the counters have arrived."""
    (count,), = database.execute("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables"
                                 " WHERE relname = 'entries'")
    return count


@pytest.mark.alone
def test_c27_scan_of_a_small_database_beside_a_large_one(lab, database, machine):
    """With an index on the id alone SCAN of a database with three keys walks through all of the
    other databases' rows."""
    server = lab.respgres(database, sweep_interval=3_600_000)
    client, one = server.client(), server.client(db=1)
    one.mset({"a": 1, "b": 2})
    fill(database, 60_000)
    one.set("c", 3)
    wait_until(lambda: (looked_at(database), time.sleep(0.3))[0] == looked_at(database))
    before = looked_at(database)
    took, found = machine.seconds(lambda: one.scan(0, count=1000))
    assert found == (0, [b"a", b"b", b"c"])
    assert client.scan(0, count=10)[0] > 0
    time.sleep(1.1)
    one.scan(0)  # sends the counters of the lane on their way
    time.sleep(0.2)
    assert looked_at(database) - before < 200
    assert took < 0.25
    indexes = [d for d, in database.execute(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'respgres' AND tablename = 'entries'")]
    assert any("UNIQUE" in d and "(((space + 0)), id)" in d for d in indexes)


def test_c27_limit_applies_to_scanned_rows(pair, database):
    """SCAN with a pattern that nothing matches, or over tombstones, goes through the whole table in
    one call."""
    client = pair[0].client()
    fill(database, 1000)
    cursor, calls, found = 0, 0, []
    while calls == 0 or cursor:
        cursor, keys = client.scan(cursor, match="bulk77*", count=50)
        calls += 1
        found += keys
        assert len(keys) <= 50
    assert 20 <= calls <= 22
    assert sorted(found) == sorted({b"bulk77"} | {b"bulk77%d" % i for i in range(10)})
    database.execute("DELETE FROM respgres.entries WHERE key <> 'bulk1000'")
    assert database.execute("SELECT count(*) FROM respgres.entries") == [(1000,)]
    cursor, calls, found = 0, 0, []
    while calls == 0 or cursor:
        cursor, keys = client.scan(cursor, count=100)
        calls += 1
        found += keys
    assert found == [b"bulk1000"]
    assert calls >= 10


def test_c27_scan_keeps_its_guarantee(pair):
    """What is there from the first call to the last is returned, whatever others write, delete and
    rewrite meanwhile, and although the calls go to different instances."""
    stays = {b"stay%d" % i for i in range(300)}
    pair[0].client().mset(dict.fromkeys(stays, "v"))

    def disturb(server):
        def run(ending):
            client, i = server.client(), 0
            while not ending.is_set():
                i += 1
                client.set(f"new{i}", "v")
                client.delete(f"new{i - 20}")
                client.append(f"stay{i % 300}", "x")
                client.setex(f"stay{i * 7 % 300}", 1000, i)
        return run

    with Threads(*map(disturb, pair)):
        for round_ in range(8):
            cursor, found, calls = 0, set(), 0
            while calls == 0 or cursor:
                cursor, keys = pair[(calls + round_) % 2].client().scan(cursor, count=40)
                calls += 1
                found |= set(keys)
            assert stays <= found


def test_c27_after_a_restore_new_keys_are_written(lab, database):
    """The rows were copied back and the sequence was not: 23505 for every new key."""
    server = lab.respgres(database)
    server.client().mset({f"k{i}": i for i in range(100)})
    server.sigterm()
    database.execute("SELECT setval(pg_get_serial_sequence('respgres.entries', 'id'), 1)")
    server.start()
    client = server.client()
    for i in range(5):
        assert client.set(f"new{i}", "v")
    assert client.mset({"new5": "v", "new6": "v"})
    assert client.dbsize() == 107
    assert len(set(client.scan_iter(count=10))) == 107
