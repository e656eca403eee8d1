"""Rules of the store, 4, 5, 9 and 26: txns of several keys, batches of many txns, and the order of
a client's commands."""

import random
import threading
import time

import pytest
import redis

from harness import encode, wait_until
from rules import (  # noqa: F401
    NIL, OK, Threads, as_key, behind, bulk, in_one_batch, lanes, number, pair,
    replies, row, seconds, send, send_all, stat, stats, wait_keys_locked)

pytestmark = pytest.mark.rows

INSERT = ("INSERT INTO respgres.entries AS e (key, value) VALUES (%s, %s)"
          " ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, active = true")


class Background(threading.Thread):
    """A statement of a person's that may have to wait."""

    def __init__(self, database, sql, *args):
        super().__init__(daemon=True)
        self.run_it = lambda: database.execute(sql, *args)
        self.start()

    def run(self):
        self.run_it()

    def must_wait(self):
        self.join(0.2)
        assert self.is_alive(), "it did not have to wait"

    def end(self):
        self.join(20)
        assert not self.is_alive()


def watched(server, watch, *commands):
    """A client that has WATCHed keys and sent MULTI and commands; EXEC is yet to come."""
    raw = server.raw()
    assert raw.command("WATCH", *watch) == OK
    assert raw.command("MULTI") == OK
    for command in commands:
        assert raw.command(*command) == b"+QUEUED\r\n"
    return raw


# --- 4: absent keys can be locked -----------------------------------------------------------------

def test_a04_a_txn_that_found_a_key_absent_applies_whole(lab, database, lanes):
    """MULTI of a key that is there and one that is not; somebody inserts the second between check
    and write: half of the block is carried out."""
    server = behind(lab, database, lanes)
    client = server.client()
    client.set("a", 5)
    gate = lanes.hold("commit-0", "respgres_commit_checked", "request")
    raw = send_all(server, ["MULTI"], ["INCR", "a"], ["SETNX", "b", "ours"], ["EXEC"])
    gate.wait()  # the check has not begun
    wait_keys_locked(database)
    theirs = Background(database, INSERT, as_key("b"), as_key("theirs"))
    theirs.must_wait()
    gate.release()
    assert replies(raw, 4)[3] == b"*2\r\n:6\r\n:1\r\n"
    theirs.end()
    assert client.mget("a", "b") == [b"6", b"theirs"]


def test_a04_a_txn_is_rejected_whole(lab, database, lanes):
    """The same, inserted before the keys are locked: the block is written by half, or answered by
    what it had seen."""
    server = behind(lab, database, lanes)
    client = server.client()
    client.set("a", 5)
    gate = lanes.hold("commit-0", "respgres_share_spaces", "request")
    raw = send_all(server, ["MULTI"], ["INCR", "a"], ["SETNX", "b", "ours"], ["EXEC"])
    gate.wait()
    database.execute(INSERT, as_key("b"), as_key("theirs"))
    database.execute("UPDATE respgres.entries SET value = '10' WHERE key = 'a'")
    gate.release()
    assert replies(raw, 4)[3] == b"*2\r\n:11\r\n:0\r\n"
    assert client.mget("a", "b") == [b"11", b"theirs"]


def test_a04_write_skew_on_absent_keys(lab, database, lanes):
    """WATCH x, SET y against WATCH y, SET x, both keys absent: both commit, though each has changed
    what the other watched."""
    ours, theirs = behind(lab, database, lanes), lab.respgres(database)
    one = watched(ours, ["x"], ["SET", "y", "1"])
    two = watched(theirs, ["y"], ["SET", "x", "2"])
    gate = lanes.hold("commit-0", "respgres_commit_checked", "request")
    one.send(encode("EXEC"))
    gate.wait()
    wait_keys_locked(database)
    two.send(encode("EXEC"))
    two.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        two.reply()
    two.sock.settimeout(20)
    gate.release()
    assert [one.reply(), two.reply()] == [b"*1\r\n+OK\r\n", b"*-1\r\n"]
    assert ours.client().mget("x", "y") == [None, b"1"]


@pytest.mark.parametrize("rounds", [40, pytest.param(2000, marks=pytest.mark.long)])
def test_a04_write_skew_by_chance(pair, rounds):
    """The same without a proxy, both EXECs at once."""
    both = 0
    for i in range(rounds):
        x, y = f"x{i}", f"y{i}"
        one = watched(pair[0], [x], ["SET", y, "1"])
        two = watched(pair[1], [y], ["SET", x, "2"])
        one.send(encode("EXEC"))
        two.send(encode("EXEC"))
        done = [raw.reply() for raw in (one, two)]
        assert done.count(b"*1\r\n+OK\r\n") <= 1, i
        both += done.count(b"*1\r\n+OK\r\n")
        values = pair[0].client().mget(x, y)
        assert values == [b"2" if done[1] != b"*-1\r\n" else None,
                          b"1" if done[0] != b"*-1\r\n" else None]
    assert both > 0


def test_a04_a_placeholder_counts_as_absent(pair, database):
    """What the lock pass leaves of a key that a block only looked at: it shows as a key, or keeps
    others from making one."""
    raw = send_all(pair[0], ["WATCH", "w"], ["MULTI"], ["SET", "a", "1"], ["GET", "b"],
                   ["STRLEN", "c"],
                   ["EXEC"])
    assert replies(raw, 6)[5] == b"*3\r\n+OK\r\n$-1\r\n:0\r\n"
    left = {key.tobytes() for key, in database.execute(
        "SELECT key FROM respgres.entries WHERE value IS NULL")}
    assert left == {b"w", b"b", b"c"}
    client = pair[1].client()
    assert client.keys() == [b"a"]
    assert client.dbsize() == 1
    assert list(client.scan_iter()) == [b"a"]
    assert [key for key, in database.execute("SELECT key FROM respgres.keys")] == ["a"]
    assert client.exists("w", "b", "c") == 0
    pipe = client.pipeline()
    pipe.watch("w")
    pipe.multi()
    pipe.setnx("b", "v").append("c", "v").incr("w")
    assert pipe.execute() == [True, 1, 1]


# --- 5: one sorted lock pass ----------------------------------------------------------------------

@pytest.mark.parametrize("commit_lanes", [1, 2])
def test_a05_opposite_orders_do_not_deadlock(lab, database, seed, commit_lanes):
    """Batches of two instances with the same keys in other orders, single and in blocks: deadlocks,
    which cost a second each where deadlock_timeout cannot be set."""
    postgres = database.postgres
    postgres.execute(f"ALTER DATABASE {database.name} SET deadlock_timeout = '20ms'")
    began = postgres.log_size()
    # A lock_timeout that no lock is held for that a batch holds until its commit is on the disk.
    servers = [lab.respgres(database, pg_timeout=60_000, pg_commit_lanes=commit_lanes)
               for _ in range(2)]
    keys = [f"key{i}" for i in range(30)]
    done = []

    def client(server, number_):
        chance = random.Random(f"{seed}/{number_}")

        def run(ending):
            raw = server.raw()
            while not ending.is_set():
                some = chance.sample(keys, 12)
                pairs = [word for key in some for word in (key, number_)]
                kind = chance.randrange(4)
                if kind == 0:
                    commands = [["MULTI"], *(["INCR", key] for key in some), ["EXEC"]]
                elif kind == 1:
                    commands = [["SET", key, number_] for key in some]
                elif kind == 2:
                    commands = [["MSET", *pairs], ["MGET", *some], ["DEL", *some[:3]]]
                else:
                    commands = [["MSETNX", *pairs], ["MSET", *pairs]]
                raw.send(b"".join(encode(*command) for command in commands))
                got = replies(raw, len(commands))
                assert not any(reply.startswith(b"-") for reply in got), got
                done.append(len(got))
        return run

    with Threads(*(client(server, f"{i}") for i, server in enumerate(servers * 4))) as threads:
        threads.run_for(1.5, lambda: sum(done) > 300)
    log = postgres.log_path.read_bytes()[began:]
    assert b"deadlock detected" not in log
    assert b"lock timeout" not in log


@pytest.mark.alone
def test_a05_lock_timeout_is_a_quarter_of_pg_timeout_at_most(lab, database, machine):
    """A lane waits for a lock for as long as its clients wait for it: nobody can be told in time
    what is wrong, and all others wait as well."""
    began = database.postgres.log_size()
    server = lab.respgres(database, pg_timeout=2000)
    server.client().set("k", "v")
    conn = database.connect()
    conn.autocommit = False
    with conn.cursor() as cursor:
        cursor.execute("SELECT FROM respgres.entries WHERE key = 'k' FOR UPDATE")
        raw = send(server, "SET", "k", "w")
        took, _ = machine.seconds(lambda: wait_until(
            lambda: b"lock timeout" in database.postgres.log_path.read_bytes()[began:]))
    conn.close()
    assert raw.reply() == OK
    assert took < 0.75


@pytest.mark.alone
def test_a05_locks_of_a_half_sent_batch_are_freed(lab, database, lanes, machine):
    """The network dies after the lock pass has been sent and before the Sync: no timeout of the
    server's ends that, and the keys stay locked until somebody finds out."""
    server = behind(lab, database, lanes, pg_timeout=1000)
    other = lab.respgres(database, pg_timeout=5000)
    gate = lanes.hold("commit-0", "respgres_commit_checked", "request")
    raw = send_all(server, ["MULTI"], ["INCR", "a"], ["INCR", "b"], ["EXEC"])
    gate.wait()
    wait_keys_locked(database)
    took, reply = machine.seconds(lambda: send(other, "INCR", "a").reply())
    assert reply in (number(1), number(2))
    assert took < 3
    assert replies(raw, 4)[3][:1] in b"-*"
    wait_until(lambda: works(server))
    counts = server.client().mget("a", "b")
    gate.release()
    gate.wait_ended()
    assert server.client().mget("a", "b") == counts
    assert counts in ([b"1", None], [b"2", b"1"])


def works(server):
    try:
        return server.client().set("works", "v")
    except redis.RedisError:
        return False


# --- 9: groups ------------------------------------------------------------------------------------

def test_a09_a_chain_keeps_its_first_expectation(lab, database, lanes):
    """Ten INCRs run one after another in memory on a value that others have changed: each expects
    what the one before it made, so all but the first are written over the other's."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    server.client().set("n", 5)
    assert server.client().incrby("n", 0) == 5
    other.incr("n")
    clients, answer = in_one_batch(lanes, server, *[["INCR", "n"]] * 10, ["SET", "other", "v"])
    answer.release()
    got = sorted(int(c.reply()[1:]) for c in clients[:10])
    assert got == list(range(7, 17))
    assert clients[10].reply() == OK
    assert other.get("n") == b"16"
    assert stat(server, "postgres_conflicts") == 10  # the SET was not rejected with them


def test_a09_txns_that_share_a_key_are_one_group(lab, database, lanes):
    """Two blocks of one batch share a key; the first is rejected, the second has seen what it would
    have written, and is carried out."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    client = server.client()
    client.mset({"a": 1, "b": 1, "c": 1})
    assert [client.incrby(key, 0) for key in "abc"] == [1, 1, 1]
    other.set("a", 100)
    answer = lanes.hold("commit-0", "respgres_commit*", "answer")
    plug = send(server, "SET", "plug", "1")
    answer.wait()
    blocks = [send_all(server, ["MULTI"], ["INCR", x], ["INCR", y], ["EXEC"])
              for x, y in ("ab", "bc", "ca")]
    for raw in blocks:
        assert replies(raw, 3)[2] == b"+QUEUED\r\n"
    answer.release()
    plug.reply()
    got = [raw.reply() for raw in blocks]
    assert sorted(got) == sorted([b"*2\r\n:101\r\n:2\r\n", b"*2\r\n:3\r\n:2\r\n",
                                  b"*2\r\n:3\r\n:102\r\n"])
    assert client.mget("a", "b", "c") == other.mget("a", "b", "c") == [b"102", b"3", b"3"]


@pytest.mark.parametrize("reader", ["MGET", "MULTI"])
def test_a09_reads_of_several_keys_are_one_snapshot(pair, reader):
    """Three keys are always written together, here and elsewhere: a reader sees one's new value
    beside another's old one."""
    keys = ["a", "b", "c"]
    torn, looks = [], []
    pair[0].client().mset(dict.fromkeys(keys, "start"))

    def write(server, name):
        def run(ending):
            client, i = server.client(), 0
            while not ending.is_set():
                i += 1
                client.mset(dict.fromkeys(keys, f"{name}{i}"))
        return run

    def read(server):
        def run(ending):
            raw = server.raw()
            while not ending.is_set():
                if reader == "MGET":
                    values = raw.command("MGET", *keys).split(b"\r\n")[2::2]
                else:
                    raw.send(b"".join(encode(*c) for c in [
                        ["MULTI"], *(["GET", key] for key in keys), ["EXEC"]]))
                    values = replies(raw, 5)[4].split(b"\r\n")[2::2]
                looks.append(values[0])
                if len(set(values)) != 1:
                    torn.append(values)
        return run

    with Threads(write(pair[0], "x"), write(pair[1], "y"), read(pair[0]), read(pair[1]),
                 read(pair[0])) as threads:
        threads.run_for(1.1, lambda: torn or len(set(looks)) > 20)
    assert torn == []


def test_a09_a_key_is_in_one_batch_at_a_time(lab, database):
    """With several commit lanes one key's writes go out on two of them at once: the later one
    loses, or is written over."""
    server = lab.respgres(database, pg_commit_lanes=4, pg_read_lanes=2)
    wrong, given = [], []

    def overwrite(number_):
        def run(ending):
            client, i = server.client(), 0
            while not ending.is_set():
                i += 1
                client.set(f"own{number_}", i)
                if int(client.get(f"own{number_}")) != i:
                    wrong.append((number_, i))
        return run

    def increment(ending):
        raw = server.raw()
        while not ending.is_set():
            raw.send(encode("INCR", "n") * 5)
            given.extend(int(reply[1:]) for reply in replies(raw, 5))

    with Threads(*map(overwrite, range(3)), *[increment] * 5) as threads:
        threads.run_for(1.2)
    assert wrong == []
    assert sorted(given) == list(range(1, len(given) + 1))
    assert int(server.client().get("n")) == len(given)
    assert stat(server, "postgres_conflicts") == 0


def test_a09_several_writes_of_one_key_are_one_row_write(lab, database, lanes):
    """What waits for one key costs one row write, not one each."""
    server = behind(lab, database, lanes)
    before = stats(server)
    commands = [["INCR", "n"], ["APPEND", "s", "x"], ["SET", "k", "v"]] * 20
    clients, answer = in_one_batch(lanes, server, *commands)
    answer.release()
    for raw in clients:
        assert not raw.reply().startswith(b"-")
    after = stats(server)
    assert after["postgres_commit_items"] - before["postgres_commit_items"] == 4  # and the plug
    assert after["postgres_commit_batches"] - before["postgres_commit_batches"] == 2
    assert server.client().mget("n", "s", "k") == [b"20", b"x" * 20, b"v"]


# --- 26: the order of one client's commands -------------------------------------------------------

@pytest.mark.parametrize("commit_lanes", [1, 4])
def test_c26_a_clients_writes_commit_in_the_order_sent(lab, database, commit_lanes, seed):
    """One client pipelines writes of many keys, blind and conditional ones, some of which are
    rejected; others see a later one without an earlier one."""
    server = lab.respgres(database, pg_commit_lanes=commit_lanes, pg_timeout=10000)
    other = lab.respgres(database)
    chance = random.Random(seed)
    gaps, looks, rounds = [], 0, 0

    def interfere(ending):
        client = other.client()
        while not ending.is_set():
            client.incr("hot")

    def observe(ending):
        nonlocal looks
        conn = database.connect()
        with conn.cursor() as cursor:
            while not ending.is_set():
                cursor.execute("SELECT array_agg(key ORDER BY key) FROM respgres.entries"
                               " WHERE key LIKE 'p:%' AND value IS NOT NULL")
                there = [bytes(key) for key in cursor.fetchone()[0] or []]
                behind_a_gap = [key for i, key in enumerate(there) if key != b"p:%05d" % i]
                if behind_a_gap:
                    gaps.append((len(there), behind_a_gap[0]))
                looks += len(there) % 600 > 0
        conn.close()

    with Threads(interfere, interfere, observe):
        raw = server.raw()
        while looks <= 3 and rounds < 20:  # it may not have come to look
            commands = a_clients_writes(chance, range(rounds * 600, rounds * 600 + 600))
            for at in range(0, len(commands), 60):
                raw.send(b"".join(encode(*command) for command in commands[at:at + 60]))
            got = replies(raw, len(commands))
            assert [reply for reply in got if reply.startswith(b"-")] == []
            rounds += 1
    assert gaps == []
    assert looks > 3
    assert other.client().dbsize() == rounds * 600 + 1


def a_clients_writes(chance, numbers):
    """One write of each key, in that order, of all kinds."""
    commands = []
    for i in numbers:
        key, kind = f"p:{i:05}", chance.randrange(12)
        if kind == 0:
            commands += [["SETNX", key, i]]
        elif kind == 1:
            commands += [["INCR", "hot"], ["SET", key, i]]
        elif kind == 2:
            commands += [["GET", "hot"], ["APPEND", key, i]]
        elif kind == 3:
            commands += [["MULTI"], ["INCR", "hot"], ["SET", key, i], ["EXEC"]]
        else:
            commands += [["SET", key, i]]
    return commands


def test_a_long_pipeline_is_no_timeout(lab, database, lanes):
    """Each command waits for the one before it; the last of them were sent longer ago than
    pg-timeout allows, though PostgreSQL answers each at once: they get errors."""
    server = behind(lab, database, lanes, pg_timeout=1500)
    lanes.request_delay_s = 0.015
    commands = [command for i in range(70) for command in (["SET", f"k{i}", i], ["GET", f"j{i}"])]
    took, got = seconds(lambda: replies(send_all(server, *commands), len(commands)))
    assert got == [OK, NIL] * 70
    assert took > 1.5


@pytest.mark.parametrize("first", [["INCR", "x"], ["APPEND", "x", "0"], ["GETSET", "x", "7"]])
def test_c26_what_follows_a_conditional_write_waits_for_it(lab, database, lanes, first):
    """A write on a version that has moved, then two SETs, sent at once: the first is rejected and
    runs again, and the SETs are there before it."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    server.client().incr("x")
    other.incr("x")
    again = lanes.hold("read-0", "respgres_read*", "answer")
    raw = send_all(server, first, ["SET", "y", "1"], ["SET", "z", "1"])
    again.wait()  # it has been rejected and reads
    time.sleep(0.3)  # for what must not happen
    assert other.mget("x", "y", "z") == [b"2", None, None]
    again.release()
    assert not any(reply.startswith(b"-") for reply in replies(raw, 3))
    value = {"INCR": b"3", "APPEND": b"20", "GETSET": b"7"}[first[0]]
    assert other.mget("x", "y", "z") == [value, b"1", b"1"]


def test_c26_whole_keyspace_commands_are_barriers(lab, pair):
    """In one pipeline: DBSIZE does not count the SET before it, or counts the one behind it."""
    a, b = pair
    a.client().incr("x")
    b.client().incr("x")  # so that the first INCR is rejected
    raw = send_all(
        a, ["INCR", "x"], ["SET", "a", "1"], ["DBSIZE"], ["SET", "b", "1"], ["KEYS", "b"],
        ["DEL", "a"],
        ["SCAN", "0", "COUNT", "100", "MATCH", "a"], ["DBSIZE"], ["INCR", "b"], ["FLUSHDB"],
        ["SET", "c", "1"], ["DBSIZE"], ["EXISTS", "b", "c"], ["SWAPDB", "0", "1"], ["GET", "c"],
        ["INCR", "c"], ["SWAPDB", "0", "1"], ["GET", "c"], ["INFO", "keyspace"],
        ["DEL", "c"], ["DBSIZE"])
    got = replies(raw, 21)
    assert got[:18] == [
        number(3), OK, number(2), OK, b"*1\r\n$1\r\nb\r\n", number(1), b"*2\r\n$1\r\n0\r\n*0\r\n",
        number(2), number(2), OK, OK, number(1), number(1), OK, NIL, number(1), OK, bulk(1)]
    assert b"db0:keys=1," in got[18] and b"db1:keys=1," in got[18]
    assert got[19:] == [number(1), number(0)]


def test_c26_whole_keyspace_commands_within_multi(pair):
    """Redis allows them there: DBSIZE and KEYS see the block's writes, FLUSHDB removes them."""
    a, b = pair
    b.client().set("before", "v")
    raw = send_all(a, ["MULTI"], ["SET", "a", "1"], ["DBSIZE"], ["EXEC"])
    assert replies(raw, 4)[1:] == [b"+QUEUED\r\n"] * 2 + [b"*2\r\n+OK\r\n:2\r\n"]
    raw = send_all(a, ["MULTI"], ["SET", "c", "1"], ["FLUSHDB"], ["EXEC"])
    assert replies(raw, 4)[3] == b"*2\r\n+OK\r\n+OK\r\n"
    assert a.client().dbsize() == b.client().dbsize() == 0


# --- a failing batch is split ---------------------------------------------------------------------

@pytest.mark.parametrize("block", [False, True])
def test_only_the_guilty_command_of_a_batch_fails(lab, database, lanes, block):
    """PostgreSQL refuses one row of a batch: its neighbours get the error, or wait for ever, or the
    guilty one is tried again and again."""
    server = behind(lab, database, lanes)
    client = server.client()
    client.mset({"n": 5, "guilty-there": "good"})
    database.execute("ALTER TABLE respgres.entries ADD CONSTRAINT good"
                     " CHECK (key NOT LIKE 'guilty%' OR value = 'good' OR value IS NULL)")
    commands = [["SET", f"k{i}", "v"] for i in range(40)] + [["INCR", "n"] for _ in range(5)]
    guilty = [["SET", "guilty", "bad"], ["APPEND", "guilty-there", "x"],
              ["SETNX", "guilty2", "bad"],
              ["MSET", "k0", "w", "guilty3", "bad"], ["SET", "guilty4", "good"]]
    commands[7:7] = guilty
    if block:
        commands.append(["MSET", "m0", "v", "m1", "v"])
        client.set("lone", "v")
    clients, answer = in_one_batch(lanes, server, *commands)
    if block:
        late = send_all(server, ["MULTI"], ["INCR", "guilty5"], ["INCR", "n2"], ["EXEC"])
        neighbour = send_all(server, ["MULTI"], ["INCR", "n3"], ["INCR", "n4"], ["EXEC"])
        assert replies(late, 3)[2] == replies(neighbour, 3)[2] == b"+QUEUED\r\n"
    answer.release()
    got = [raw.reply() for raw in clients]
    for command, reply in zip(commands, got):
        bad = command in guilty[:4]
        assert reply.startswith(b"-ERR PostgreSQL refused") == bad, (command, reply)
    if block:
        assert late.reply().startswith(b"-ERR PostgreSQL refused")
        assert neighbour.reply() == b"*2\r\n:1\r\n:1\r\n"
        assert client.mget("guilty5", "n2", "n3") == [None, None, b"1"]
    assert client.mget("guilty", "guilty-there", "guilty2", "guilty3", "guilty4", "n") == \
        [None, b"good", None, None, b"good", b"10"]
    assert client.mget([f"k{i}" for i in range(40)]) == [b"v"] * 40
    assert stat(server, "postgres_lost_connections") == 0


def test_a_clients_pipeline_with_a_guilty_command_keeps_its_order(lab, database):
    """The guilty command is one of many of one client, which commit together: all of them fail, or
    some of them twice."""
    server = lab.respgres(database)
    database.execute("ALTER TABLE respgres.entries ADD CHECK (key <> 'guilty')")
    raw = send_all(server, ["INCR", "n"], ["SET", "a", "1"], ["SET", "guilty", "x"], ["INCR", "n"],
                   ["GET", "guilty"], ["APPEND", "a", "2"], ["GET", "a"])
    got = replies(raw, 7)
    assert got[2].startswith(b"-ERR PostgreSQL refused")
    assert got[:2] + got[3:] == [number(1), OK, number(2), NIL, number(2), bulk("12")]
    assert row(database, "n")[2].tobytes() == b"2"


def test_what_jsonb_cannot_hold_is_written(pair, database):
    """A value that is no text, or not JSON, or too deep: it fails its batch."""
    client = pair[0].client()
    values = {"nul": b"a\0b", "escaped nul": b'{"a": "\\u0000"}', "broken": b"\xff\xfe\xc0",
              "half": b'{"a": ', "surrogate": b'"\\ud800"', "deep": b"[" * 100_000,
              "number": b"1e999999", "empty": b"", "session": b'{"user": "\xc3\xa9"}'}
    client.mset(values)
    assert pair[1].client().mget(list(values)) == list(values.values())
    assert database.execute("SELECT count(*) FROM respgres.keys") == [(len(values),)]
