"""The cache: evicting loses no key, and nothing that is in use is evicted."""

import random

import pytest
import redis

from harness import encode, wait_until
from rules import (  # noqa: F401
    OK, Threads, behind, in_one_batch, lanes, number, replies, send, stat, stats)

pytestmark = pytest.mark.rows


# --- the cache ------------------------------------------------------------------------------------

def test_a_small_cache_loses_nothing(lab, database, seed):
    """More is written than maxmemory holds: what was evicted is not found again, or INFO tells
    clients that keys are lost."""
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
    wait_until(lambda: stat(server, "used_memory_dataset") <= 1 << 20,
               what="the cache shrinks to maxmemory")
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
        wait_until(lambda: stat(server, "used_memory_dataset") <= 50 << 10)
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
    server = lab.respgres(database, maxmemory="100kb")
    client = server.client()
    value = random.Random(1).randbytes(3_000_000)
    client.set("k", value)
    assert client.get("k") == value
    assert client.append("k", "x") == 3_000_001
    assert client.strlen("k") == 3_000_001
    wait_until(lambda: stat(server, "used_memory_dataset") <= 100 << 10)


def test_maxmemory_can_be_changed(lab, database):
    """CONFIG SET maxmemory does not reach the cache."""
    server = lab.respgres(database, maxmemory="50mb")
    client = server.client()
    client.mset({f"k{i}": "v" * 1000 for i in range(1000)})
    assert stat(server, "used_memory_dataset") > 1_000_000
    client.config_set("maxmemory", 200_000)
    wait_until(lambda: client.get("k1") and stat(server, "used_memory_dataset") <= 200_000)
    assert client.mget([f"k{i}" for i in range(1000)]) == [b"v" * 1000] * 1000
