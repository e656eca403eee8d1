"""What the clients of several instances may expect of each other: one winner, exact counters,
nothing read that is older than what somebody has been told."""

import bisect
import collections
import random
import threading
import time

import pytest
import redis

from harness import encode
from rules import NIL, OK, Threads, pair, replies, send  # noqa: F401

pytestmark = pytest.mark.rows


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
    """Eight clients of two instances, single and pipelined, one hot key and some others: a number
    is given out twice, or the sum is wrong."""
    servers = [lab.respgres(database, pg_commit_lanes=lanes_each) for _ in range(2)]
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
        threads.run_for(1.1)
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
        threads.run_for(1.2, lambda: len(done) > 5)
    assert sorted(done) == list(range(1, len(done) + 1))
    assert int(pair[0].client().get("n")) == len(done)


def test_nobody_reads_backwards(pair):
    """One client counts up; readers on both instances, by GET, MGET and EXEC, see an older number
    after a newer one, or one client's read is older than what another has been told."""
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

    readers = [read(server, how) for server in pair for how in ("GET", "MGET", "EXEC")]
    with Threads(count, *readers) as threads:
        threads.run_for(1.1, lambda: newest[0] > 50)


@pytest.mark.parametrize("rounds, lanes_each", [(400, 1), (400, 3), pytest.param(15000, 2, marks=[
    pytest.mark.long, pytest.mark.timeout(600)])])
def test_a_write_is_seen_by_the_next_read_elsewhere(lab, database, rounds, lanes_each):
    """While others read the same keys all the time, so that they are in every memory: an
    acknowledged write is not seen by the next read elsewhere."""
    def reader(server):
        def run(ending):
            client = server.client()
            while not ending.is_set():
                client.mget("k0", "k1", "k2")
                client.get("k0")
        return run

    pair = [lab.respgres(database, pg_read_lanes=lanes_each, pg_commit_lanes=lanes_each)
            for _ in range(2)]
    clients = [server.client() for server in pair]
    with Threads(*map(reader, pair)):
        for i in range(rounds):
            writer, other = clients[i % 2], clients[1 - i % 2]
            key = f"k{i % 3}"
            if i % 7 == 6:
                writer.delete(key)
                assert other.get(key) is None, i
            elif i % 7 == 5:
                writer.append(key, "+")
                assert other.get(key).endswith(b"+"), i
            else:
                writer.setex(key, 100, i)
                assert other.get(key) == b"%d" % i, i


Operation = collections.namedtuple("Operation", "begun ended writes value")


@pytest.mark.parametrize("lanes_each, duration", [(1, 1.2), (3, 1.2), pytest.param(2, 60, marks=[
    pytest.mark.long, pytest.mark.timeout(300)])])
def test_registers_are_linearizable(lab, database, seed, lanes_each, duration):
    """Ten clients of two instances write unique values to three keys and read them, by all sorts of
    commands: a read is older than a write that had been acknowledged before it began, or from the
    future."""
    servers = [lab.respgres(database, pg_read_lanes=lanes_each, pg_commit_lanes=lanes_each,
                            pg_timeout=10_000) for _ in range(2)]
    keys = ["a", "b", "c"]
    history = {key: [Operation(0, 0, True, b"start")] for key in keys}
    servers[0].client().mset(dict.fromkeys(keys, "start"))

    def work(number_):
        chance = random.Random(f"{seed}/{number_}")

        def run(ending):
            raw, i = servers[number_ % 2].raw(), 0
            while not ending.is_set():
                i += 1
                key, value = chance.choice(keys), b"%d.%d" % (number_, i)
                kind = chance.randrange(9)
                begun = time.monotonic()
                if kind < 2:
                    reply = raw.command("SET", key, value)
                elif kind == 2:
                    reply = raw.command("SETEX", key, "1000", value)
                elif kind == 3:
                    reply = raw.command("GETSET", key, value)
                elif kind == 4:
                    raw.send(encode("MULTI") + encode("GET", key) + encode("SET", key, value)
                             + encode("EXEC"))
                    reply = replies(raw, 4)[3]
                elif kind == 5:
                    reply = raw.command("MGET", *keys)
                elif kind == 6:
                    reply = raw.command("GETEX", key, "EX", "500")
                else:
                    reply = raw.command("GET", key)
                ended = time.monotonic()
                assert not reply.startswith(b"-"), reply
                seen = reply.split(b"\r\n")
                if kind in (3, 6, 7, 8):
                    history[key].append(Operation(begun, ended, False, seen[1]))
                elif kind == 4:
                    history[key].append(Operation(begun, ended, False, seen[2]))
                elif kind == 5:
                    for each, found in zip(keys, seen[2::2]):
                        history[each].append(Operation(begun, ended, False, found))
                if kind <= 4:
                    history[key].append(Operation(begun, ended, True, value))
        return run

    with Threads(*map(work, range(10))) as threads:
        threads.run_for(duration, lambda: all(len(each) > 50 for each in history.values()))
    for key, operations in history.items():
        wrong = stale_reads(operations)
        assert not wrong, f"{key}: {len(wrong)} of {len(operations)}, the first: {wrong[0]}"


def stale_reads(operations):
    """Reads of what was not yet, or no longer, there; with what proves it."""
    written = {o.value: o for o in operations if o.writes}
    # By the time of their acknowledgement, and of those up to each the latest beginning.
    writes = sorted(written.values(), key=lambda o: o.ended)
    latest = []
    for write in writes:
        latest.append(max(latest[-1], write, key=lambda o: o.begun) if latest else write)
    ended, wrong = [write.ended for write in writes], []
    for read in operations:
        if read.writes:
            continue
        source = written.get(read.value)
        if source is None or source.begun > read.ended:
            wrong.append((read, "not written yet"))
            continue
        before = bisect.bisect_left(ended, read.begun) - 1
        if before >= 0 and latest[before].begun > source.ended:
            wrong.append((read, "written over by", latest[before], "after", source))
    return wrong
