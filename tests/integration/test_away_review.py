"""More of what must hold when PostgreSQL goes and comes back: transitions in the middle of something,
compaction, journals that others have left, stops in every state."""

import contextlib
import signal
import subprocess
import threading
import time

import pytest
import redis

from harness.lab import Lab
from harness.servers import Respgres, later
from harness.util import wait_until
from test_away import (  # noqa: F401 pylint: disable=unused-import
    Away, cluster, cut_off, reconnect, start_without_postgresql, state, wait_for)


@pytest.fixture
def away(cluster):  # noqa: F811 pylint: disable=redefined-outer-name
    lab = Lab(lambda: cluster)
    made = Away(lab, cluster)
    yield made
    if not cluster.is_running():
        cluster.start()
    problems = lab.close()
    made.database.drop()
    assert not problems, "\n".join(problems)


@contextlib.contextmanager
def row_held(database, key):
    """Somebody's transaction holds the key's row."""
    with database.connect() as connection:
        connection.cursor().execute("SELECT 1 FROM respgres.entries WHERE key = %s FOR UPDATE", (key.encode(),))
        yield
        connection.rollback()


# ---- the journal ----

def test_nothing_is_lost_when_the_journal_is_compacted_under_load(away):
    """Writes are on their way into the file that the snapshot replaces."""
    server = away.instance()
    server.client().set("a", 1)
    away.leave()
    wait_for(server, "away")
    acknowledged = [{} for _ in range(6)]
    end = threading.Event()

    def write(number):
        client = server.client()
        count = 0
        while not end.is_set():
            key = f"key:{number}:{count}"
            client.set(key, count)
            acknowledged[number][key.encode()] = b"%d" % count
            count += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    client = server.client()
    for _ in range(20):
        client.save()
        time.sleep(0.05)
    end.set()
    for thread in threads:
        thread.join()
    server.kill9()
    start_without_postgresql(server)
    away.come_back(server)
    live = away.database.live()
    assert live.pop(b"a") == b"1"
    assert live == {key: value for each in acknowledged for key, value in each.items()}
    assert away.conflicts() == {}


def test_a_full_journal_is_compacted(away):
    """What was written over and over is let go: then there is room again."""
    server = away.instance(journal_max_size="1mb")
    client = server.client()
    away.leave()
    wait_for(server, "away")
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        for number in range(200):
            client.set("again", bytes(20_000) + b"%d" % number)

    def has_room():
        with contextlib.suppress(redis.ResponseError):
            return client.set("again", bytes(20_000))
        return False
    wait_until(has_room, 30, "there is room")
    away.come_back(server)
    assert away.database.live() == {b"again": bytes(20_000)}


def test_what_has_expired_meanwhile_is_merged_as_gone(away):
    server = away.instance()
    client = server.client()
    client.setex("session:x", 1000, "in")
    away.leave()
    wait_for(server, "away")
    client.psetex("session:x", 300, "about to end")
    time.sleep(0.3)
    assert client.get("session:x") is None
    later(server)
    server.kill9()
    start_without_postgresql(server)
    away.come_back(server)
    assert server.client().get("session:x") is None
    assert away.database.live() == {}


# ---- the way back ----

def test_away_again_in_the_middle_of_a_merge(away):
    server = away.instance()
    client = server.client()
    away.leave()
    wait_for(server, "away")
    wanted = {}
    for turn in range(3):
        pipe = client.pipeline(transaction=False)
        for number in range(3_000):
            pipe.set(f"key:{number}", f"{turn}")
        pipe.execute()
        pipe.incr("count").delete("key:7").execute()
        away.postgres.start()
        wait_until(lambda: state(server) != "away", 30, "merging")
        time.sleep(0.05 * turn)
        away.leave()
        wait_for(server, "away")
    client.set("key:0", "last")
    wanted = {b"key:%d" % number: b"2" for number in range(3_000) if number != 7}
    wanted |= {b"key:0": b"last", b"count": b"3"}
    away.come_back(server)
    assert away.database.live() == wanted
    assert away.conflicts() == {}


def test_a_multi_merges_as_a_whole_or_each_key_by_itself(away):
    server, proxy = away.behind_proxy()
    other = away.instance()
    client = server.client()
    client.mset({"a": 0, "b": 0, "c": 0, "d": 0})
    cut_off(server, proxy)
    with client.pipeline() as block:
        block.set("a", 1).set("b", 1).execute()
    with client.pipeline() as block:
        block.set("c", 1).set("d", 1).execute()
    later(server, other)
    other.client().set("d", 2)
    reconnect(server, proxy)
    assert away.database.live() == {b"a": b"1", b"b": b"1", b"c": b"1", b"d": b"2"}
    groups = away.database.execute("SELECT key, group_id FROM respgres.conflicts")
    assert [(bytes(key), group is not None) for key, group in groups] == [(b"d", True)]


def test_watch_across_the_transitions(away):
    server, proxy = away.behind_proxy()
    other = away.instance()
    client = server.client()
    client.mset({"a": 1, "b": 1, "c": 1})
    with client.pipeline() as untouched, client.pipeline() as touched, client.pipeline() as late:
        untouched.watch("a")
        touched.watch("b")
        cut_off(server, proxy)
        client.incr("b")
        untouched.multi()
        untouched.set("seen", 1)
        assert untouched.execute() == [True]
        touched.multi()
        touched.set("lost", 1)
        with pytest.raises(redis.WatchError):
            touched.execute()
        late.watch("c")
        other.client().set("c", "of another")
        reconnect(server, proxy)
        late.multi()
        late.set("lost", 1)
        with pytest.raises(redis.WatchError):
            late.execute()
    assert away.database.live() == {b"a": b"1", b"b": b"2", b"c": b"of another", b"seen": b"1"}


def test_cached_entries_are_not_taken_for_fresh_afterwards(away):
    server, proxy = away.behind_proxy(consistency="cached")
    other = away.instance()
    client = server.client()
    client.mset({"read": 1, "written": 1})
    wait_until(lambda: client.get("read") and server.info("postgres")["postgres_cached_reads"] > 0, 30,
               "it is answered from memory")
    cut_off(server, proxy)
    client.set("written", 2)
    assert client.get("read") == b"1"
    later(server, other)
    other.client().mset({"read": 3, "written": 3})
    client.get("read")
    reconnect(server, proxy)
    for _ in range(5):
        assert client.mget("read", "written") == [b"3", b"3"]
        assert [client.get("read"), client.get("written")] == [b"3", b"3"]
    assert away.database.live() == {b"read": b"3", b"written": b"3"}


@pytest.mark.alone
def test_a_held_row_holds_up_nothing_else(away):
    server, proxy = away.behind_proxy()
    client = server.client()
    client.mset({"held": 1, "free": 1})
    cut_off(server, proxy)
    client.mset({"free": 2, "new": 2})
    client.set("held", 2)
    with row_held(away.database, "held"):
        proxy.pass_on()
        wait_until(lambda: state(server) != "away", 30, "merging")
        wait_until(lambda: away.database.live().get(b"free") == b"2", 30, "the others are merged")
        began = time.monotonic()
        assert client.incr("free") == 3
        assert client.get("nobody") is None
        assert time.monotonic() - began < 1
        assert state(server) == "recovering"
    wait_for(server, "online")
    assert away.database.live() == {b"held": b"2", b"free": b"3", b"new": b"2"}


# ---- journals of others ----

def merge_journal(away, folder, database=None):
    return away.lab.process(
        [Respgres.binary(), "--merge-journal", folder, "--database-url",
         (database or away.database).url, "--pg-timeout", "10000"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def left_behind(away, **options):
    """An instance that was killed with two keys in its journal."""
    server = away.instance(instance_name="gone", **options)
    server.client().set("a", 1)
    away.leave()
    wait_for(server, "away")
    server.client().mset({"a": 2, "b": 2})
    server.kill9()
    return server


def test_a_journal_that_was_left_is_told_of_and_merged(away):
    server = left_behind(away)
    away.postgres.start()
    other = away.instance(dir=server.dir)
    assert "event=orphaned-journal name=\"gone\"" in other.log
    process = merge_journal(away, server.dir / "gone")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert "2 keys were in" in out and "0 are left" in out
    assert away.database.live() == {b"a": b"2", b"b": b"2"}
    again = away.instance(dir=server.dir, instance_name="third")
    assert "event=orphaned-journal" not in again.log


def test_a_merge_waits_for_postgresql_and_ends_when_told_to(away):
    server = left_behind(away)
    process = merge_journal(away, server.dir / "gone")
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "2 are left" in out
    process = merge_journal(away, server.dir / "gone")
    time.sleep(1.5)
    away.postgres.start()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert away.database.live() == {b"a": b"2", b"b": b"2"}


def test_a_merge_of_what_is_no_journal_or_in_use(away, tmp_path):
    server = away.instance(instance_name="here")
    away.leave()
    wait_for(server, "away")
    server.client().set("a", 1)
    process = merge_journal(away, server.dir / "here")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "in use" in out or "lock" in out, out
    process = merge_journal(away, tmp_path)
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0 and "no journal in" in out, out
    assert not list(tmp_path.iterdir())
    process = merge_journal(away, tmp_path / "nothing")
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0 and "--merge-journal needs" in out
    away.come_back(server)


# ---- stops ----

def test_a_second_signal_ends_it_at_once_and_nothing_is_lost(away):
    server = away.instance(shutdown_timeout=60)
    client = server.client()
    away.leave()
    wait_for(server, "away")
    client.set("a", 1)
    server.signal(signal.SIGTERM)
    wait_until(lambda: "event=shutdown" in server.log, 30, "it has been told to stop")
    time.sleep(0.5)
    assert server.is_running()
    server.signal(signal.SIGTERM)
    server.expected_status = server.wait(20)
    assert server.expected_status != 0
    away.postgres.start()
    server.start()
    wait_for(server, "online")
    server.expected_status = 0
    assert away.database.live() == {b"a": b"1"}


def test_a_stop_while_merging_finishes_it(away):
    server, proxy = away.behind_proxy(shutdown_timeout=60)
    client = server.client()
    client.set("key:0", "before")
    cut_off(server, proxy)
    pipe = client.pipeline(transaction=False)
    for number in range(5_000):
        pipe.set(f"key:{number}", number)
    pipe.execute()
    with row_held(away.database, "key:0"):  # it cannot have ended before it is told to stop
        proxy.pass_on()
        wait_until(lambda: state(server) == "recovering", 30, "merging")
        server.signal(signal.SIGTERM)
        wait_until(lambda: "event=shutdown" in server.log, 30, "it has been told to stop")
    assert server.wait(60) == 0
    assert away.database.live()[b"key:0"] == b"0"
    assert len(away.database.live()) == 5_000


def test_clients_that_leave_in_the_middle(away):
    server = away.instance()
    client = server.client()
    client.set("count", 0)
    end = threading.Event()

    def come_and_go():
        block = b"MULTI\r\nINCR other\r\nDBSIZE\r\nEXEC\r\n"
        with server.raw(timeout=60) as stays:
            while not end.is_set():
                raw = server.raw()
                raw.send(block + b"INCR third\r\nGET count\r\nWATCH a\r\n")
                time.sleep(0.03)
                raw.close()
                # Each block is a transaction of its own: no more than can be served.
                stays.send(block)
                for _ in range(4):
                    stays.reply()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.3)
        away.leave()
        wait_for(server, "away")
        client.incr("count")
        time.sleep(0.3)
        away.come_back(server)
    end.set()
    for thread in threads:
        thread.join()
    assert client.get("count") == b"3"
    assert away.database.live()[b"count"] == b"3"


# ---- who may do what ----

def test_blocks_and_flushes_by_pattern(away):
    server = away.instance(fallback="on cache:* readonly lock:* off", away_miss="absent private:* error")
    client = server.client()
    client.mset({"session": 1, "cache:1": 1})
    away.leave()
    wait_for(server, "away")
    with client.pipeline() as block:
        block.set("session", 2).get("cache:1")
        assert block.execute() == [True, b"1"]
    for forbidden, error in (("cache:1", redis.exceptions.ReadOnlyError),
                             ("lock:1", redis.exceptions.BusyLoadingError)):
        with pytest.raises(error):
            with client.pipeline() as block:
                block.set("session", 3).set(forbidden, 3)
                block.execute()
    with pytest.raises(redis.exceptions.BusyLoadingError):
        with client.pipeline() as block:
            block.set("session", 3).get("private:x")
            block.execute()
    assert client.get("session") == b"2"
    client.config_set("fallback", "readonly")
    for command in ("FLUSHALL", "FLUSHDB"):
        with pytest.raises(redis.exceptions.ReadOnlyError):
            client.execute_command(command)
    with pytest.raises(redis.exceptions.ReadOnlyError):
        with client.pipeline() as block:
            block.dbsize().flushall()
            block.execute()
    client.config_set("fallback", "readonly session on")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        with client.pipeline() as block:
            block.get("session").flushall()
            block.execute()
    assert client.dbsize() == 2
    client.config_set("fallback", "on")
    away.come_back(server)
    assert away.database.live() == {b"session": b"2", b"cache:1": b"1"}
