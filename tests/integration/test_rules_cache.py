"""The cache, and what several instances and clients may expect of each other: one winner, exact
counters, nothing read backwards."""

import random
import threading

import pytest
import redis

from harness import encode, wait_until
from rules import (NIL, OK, Threads, behind, bulk, in_one_batch, lanes, number, pair,  # noqa: F401
                   replies, send, stat, stats)

pytestmark = pytest.mark.rows


# --- the cache ------------------------------------------------------------------------------------

def test_a_small_cache_loses_nothing(lab, database, seed):
    """More is written than maxmemory holds: what was evicted is not found again, or INFO tells clients
    that keys are lost."""
    chance = random.Random(seed)
    server = lab.respgres(database, maxmemory="1mb")
    client = server.client()
    values = {f"k{i}": chance.randbytes(chance.choice([10, 500, 3000])) for i in range(3000)}
    names = list(values)
    for at in range(0, len(names), 250):
        client.mset({name: values[name] for name in names[at:at + 250]})
    assert client.mget(names) == list(values.values())
    for name in chance.sample(names, 200):
        assert client.get(name) == values[name]
    info = stats(server)
    assert info["cache_evictions"] > 1000
    assert info["evicted_keys"] == 0
    assert info["maxmemory_policy"] == "noeviction"
    wait_until(lambda: stat(server, "used_memory") <= 1 << 20, what="the cache shrinks to maxmemory")
    assert database.live() == {name.encode(): value for name, value in values.items()}


def test_a_cache_for_nothing_at_all(lab, database):
    """maxmemory of a byte: every entry is evicted as soon as it may be, and one that is in use must
    not."""
    server = lab.respgres(database, maxmemory="1")
    given, wrong = [], []

    def increment(ending):
        raw = server.raw()
        while not ending.is_set():
            raw.send(encode("INCR", "n") * 3 + encode("INCR", f"own{id(raw)}"))
            given.extend(int(reply[1:]) for reply in replies(raw, 4)[:3])

    def write(number_):
        def run(ending):
            client, i = server.client(), 0
            while not ending.is_set():
                i += 1
                client.set(f"k{number_}", i)
                if client.get(f"k{number_}") != b"%d" % i:
                    wrong.append(i)
                with client.pipeline() as pipe:
                    pipe.incr(f"m{number_}").append(f"s{number_}", "x").strlen(f"s{number_}")
                    if pipe.execute() != [i, i, i]:
                        wrong.append(i)
        return run

    with Threads(increment, increment, *map(write, range(4))) as threads:
        threads.run_for(1.2)
    assert wrong == []
    assert sorted(given) == list(range(1, len(given) + 1))
    assert int(server.client().get("n")) == len(given)


def test_dirty_and_waiting_entries_are_not_evicted(lab, database, lanes):
    """What waits for its commit is evicted: it is forgotten, or read as it was before."""
    server = behind(lab, database, lanes, maxmemory="100kb")
    client = server.client()
    client.mset({f"n{i}": 5 for i in range(20)})
    value = "v" * 20_000
    clients, answer = in_one_batch(
        lanes, server, *(["SET", f"k{i}", value + str(i)] for i in range(20)),
        *(["INCR", f"n{i}"] for i in range(20)))
    for i in range(100):  # something to evict for
        client.get(f"none{i}" * 50)
    later = [send(server, "APPEND", f"k{i}", "!") for i in range(20)]
    answer.release()
    assert [raw.reply() for raw in clients] == [OK] * 20 + [number(6)] * 20
    assert not any(raw.reply().startswith(b"-") for raw in later)
    assert client.mget([f"k{i}" for i in range(20)]) == [f"{value}{i}!".encode() for i in range(20)]
    assert client.mget([f"n{i}" for i in range(20)]) == [b"6"] * 20


def test_watch_survives_eviction(lab, database):
    """The watched key has been evicted since: EXEC fails though nothing has changed, or does not
    although something has."""
    server, other = lab.respgres(database, maxmemory="50kb"), lab.respgres(database).client()
    client = server.client()
    for watched, change, fails in (("k", None, False), ("none", None, False), ("k", "k", True),
                                   ("none", "none", True)):
        client.delete("none")
        client.set("k", "v")
        pipe = client.pipeline()
        pipe.watch(watched)
        client.mset({f"big{i}": "x" * 5000 for i in range(40)})
        wait_until(lambda: stat(server, "used_memory") <= 50 << 10)
        if change:
            other.set(change, "v")
        pipe.multi()
        pipe.set("j", "v")
        if fails:
            with pytest.raises(redis.WatchError):
                pipe.execute()
        else:
            assert pipe.execute() == [True]


def test_the_cache_keeps_what_is_used(lab, database):
    """LRU or better: sessions that are read all the time are fetched again and again."""
    server = lab.respgres(database, maxmemory="2mb")
    client = server.client()
    hot = {f"hot{i}": "h" * 1000 for i in range(100)}
    client.mset(hot)
    before = 0
    for round_ in range(12):
        client.mset({f"cold{round_}:{i}": "c" * 5000 for i in range(100)})
        assert client.mget(list(hot)) == [b"h" * 1000] * 100
        if round_ == 1:
            before = stat(server, "postgres_reads_fetched")
    assert stat(server, "cache_evictions") > 300
    assert stat(server, "postgres_reads_fetched") - before < 100


def test_a_value_larger_than_the_cache(lab, database):
    """It cannot be cached, and must not need to be."""
    server = lab.respgres(database, maxmemory="100kb", pg_timeout=5000)
    client = server.client()
    value = random.Random(1).randbytes(3_000_000)
    client.set("k", value)
    assert client.get("k") == value
    assert client.append("k", "x") == 3_000_001
    assert client.strlen("k") == 3_000_001
    wait_until(lambda: stat(server, "used_memory") <= 100 << 10)


def test_maxmemory_can_be_changed(lab, database):
    """CONFIG SET maxmemory does not reach the cache."""
    server = lab.respgres(database, maxmemory="50mb")
    client = server.client()
    client.mset({f"k{i}": "v" * 1000 for i in range(1000)})
    assert stat(server, "used_memory") > 1_000_000
    client.config_set("maxmemory", 200_000)
    wait_until(lambda: client.get("k1") and stat(server, "used_memory") <= 200_000)
    assert client.mget([f"k{i}" for i in range(1000)]) == [b"v" * 1000] * 1000


# --- several instances ----------------------------------------------------------------------------

def test_set_nx_has_one_winner(pair):
    """Eight clients of two instances want the same lock: two get it, or none."""
    rounds, barrier = 60, threading.Barrier(8)
    winners = [[] for _ in range(rounds)]

    def want(number_):
        def run(_):
            raw = pair[number_ % 2].raw()
            for i in range(rounds):
                barrier.wait(20)
                reply = raw.command("SET", f"lock{i}", number_, "NX", "PX", "60000")
                assert reply in (OK, NIL), reply
                if reply == OK:
                    winners[i].append(number_)
        return run

    with Threads(*map(want, range(8))):
        pass
    values = pair[0].client().mget([f"lock{i}" for i in range(rounds)])
    assert [[b"%d" % w for w in won] for won in winners] == [[value] for value in values]


def test_a_lock_excludes(pair):
    """SET NX PX and DEL as a lock around what is not atomic: two are inside at once."""
    inside, entered = [], []

    def work(number_):
        def run(ending):
            client = pair[number_ % 2].client()
            while not ending.is_set():
                if not client.set("lock", number_, nx=True, px=60_000):
                    continue
                inside.append(number_)
                entered.append(len(inside))
                inside.remove(number_)
                assert client.get("lock") == b"%d" % number_
                client.set("n", int(client.get("n") or 0) + 1)
                assert client.delete("lock") == 1
        return run

    with Threads(*map(work, range(4))) as threads:
        threads.run_for(1.2)
    assert max(entered) == 1
    assert int(pair[0].client().get("n")) == len(entered)


@pytest.mark.parametrize("lanes_each", [1, 3])
def test_incr_is_exact(lab, database, lanes_each):
    """Eight clients of two instances, single and pipelined, one hot key and some others: a number is
    given out twice, or the sum is wrong."""
    servers = [lab.respgres(database, pg_commit_lanes=lanes_each, pg_timeout=5000) for _ in range(2)]
    given = {"hot": [], "a": [], "b": []}

    def increment(number_):
        def run(ending):
            raw = servers[number_ % 2].raw()
            while not ending.is_set():
                commands = [["INCR", "hot"]] if number_ < 4 else \
                    [["INCR", "hot"], ["INCR", "a"], ["INCR", "b"], ["INCR", "a"]]
                raw.send(b"".join(encode(*command) for command in commands))
                for (_, key), reply in zip(commands, replies(raw, len(commands))):
                    given[key].append(int(reply[1:]))
        return run

    with Threads(*map(increment, range(8))) as threads:
        threads.run_for(1.5)
    for key, numbers in given.items():
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), key
        assert int(servers[0].client().get(key)) == len(numbers)


def test_optimistic_increments_are_exact(pair):
    """WATCH, GET, SET by clients of two instances: a lost update."""
    done = []

    def increment(server):
        def run(ending):
            client = server.client()
            while not ending.is_set():
                with client.pipeline() as pipe:
                    try:
                        pipe.watch("n")
                        value = int(pipe.get("n") or 0)
                        pipe.multi()
                        pipe.set("n", value + 1)
                        pipe.execute()
                        done.append(value + 1)
                    except redis.WatchError:
                        continue
        return run

    with Threads(*map(increment, pair * 2)) as threads:
        threads.run_for(1.2)
    assert len(done) > 5
    assert sorted(done) == list(range(1, len(done) + 1))
    assert int(pair[0].client().get("n")) == len(done)


def test_nobody_reads_backwards(pair):
    """One client counts up; readers on both instances, by GET, MGET and EXEC, see an older number after
    a newer one, or one client's read is older than what another has been told."""
    newest = [0]
    pair[0].client().set("n", 0)

    def count(ending):
        client = pair[0].client()
        while not ending.is_set():
            newest[0] = client.incr("n")

    def read(server, how):
        def run(ending):
            client, last = server.client(), 0
            while not ending.is_set():
                told = newest[0]
                if how == "GET":
                    seen = client.get("n")
                elif how == "MGET":
                    seen = client.mget("other", "n")[1]
                else:
                    seen = client.pipeline().get("n").exists("n").execute()[0]
                assert int(seen) >= max(last, told), (how, seen, last, told)
                last = int(seen)
        return run

    with Threads(count, *(read(server, how) for server in pair for how in ("GET", "MGET", "EXEC"))) \
            as threads:
        threads.run_for(1.5)
    assert newest[0] > 50
