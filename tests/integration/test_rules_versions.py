"""Rules of the store, 3, 6, 7, 8, 12 and 29: what a version promises, and how an instance's memory
of a key is kept from being believed. Two instances on one database answer like one Redis."""

import random

import pytest
import redis

from harness import encode, wait_until
from harness.lab import wait_gone
from rules import (  # noqa: F401
    HOUR_OF_VERSIONS, NIL, OK, behind, bulk, grown, lanes, number, pair, purge,
    row, run_ahead, send, stat, update, wait_arrived)

pytestmark = pytest.mark.rows

WRITES = [
    ["SET", "k", "new"], ["SET", "k", "7"], ["SET", "k", "7", "XX"], ["INCR", "k"],
    ["APPEND", "k", "1"],
    ["EXPIRE", "k", "100"], ["PERSIST", "k"], ["SETEX", "k", "100", "7"], ["GETEX", "k", "PERSIST"],
    ["GETSET", "k", "8"], ["SETRANGE", "k", "0", "9"], ["MSET", "k", "1", "j", "2"],
    ["GETDEL", "k"],
    ["SETNX", "k", "1"], ["DEL", "k"],
]


# --- 3: versions rise -----------------------------------------------------------------------------

def test_a03_a_write_rises_above_a_version_of_a_clock_that_ran_ahead(pair, database):
    """The row's version is an hour ahead of our clock: the write gets a lower one, and others who
    know the old version think that nothing has changed."""
    a, b = (server.client() for server in pair)
    a.set("k", "5")
    for command in WRITES:
        run_ahead(database, "k")
        ahead = row(database, "k")[0]
        before = b.get("k")
        a.execute_command(*command)
        version, value_version, value, *_ = row(database, "k")
        assert version > ahead, command
        assert value_version <= version, command
        assert version & 1023 == 1, command  # our slot's: nobody else can mint the same
        assert b.get("k") == (None if value is None else bytes(value)), (command, before)
        assert a.get("k") == b.get("k"), command


def test_a03_the_raised_version_is_known_to_the_writer(pair, database):
    """The writer remembers the version it minted, not the one its row was given: its next command
    is rejected and has to run again."""
    a = pair[0].client()
    a.set("k", "5")
    run_ahead(database, "k")
    a.set("k", "6")

    def more():
        assert a.incr("k") == 7
        assert a.expire("k", 100)
        assert a.incr("k") == 8

    assert grown(pair[0], "postgres_conflicts", more) == 0


@pytest.mark.parametrize("table, column", [("instances", "high_stamp"), ("lanes", "stamp")])
@pytest.mark.parametrize("how", ["sigterm", "kill9"])
def test_a03_a_slot_stamps_above_all_it_ever_stamped(lab, database, table, column, how):
    """A slot's next owner has a clock behind that of the last, and stamps what was stamped
    before."""
    server = lab.respgres(database)
    server.client().set("k", "v")
    getattr(server, how)()
    wait_gone(database)
    database.execute(f"UPDATE respgres.{table} SET {column} = {column} + %s"
                     if column == "stamp" else
                     f"UPDATE respgres.{table} SET {column} = respgres.stamp() + %s",
                     HOUR_OF_VERSIONS)
    high, = database.execute(f"SELECT max({column}) FROM respgres.{table}")[0]
    database.execute("UPDATE respgres.instances SET seen_at = seen_at - interval '1 hour'"
                     " WHERE isfinite(seen_at)")
    server.start()
    assert stat(server, "postgres_slot") == 1
    server.client().set("k", "w")
    server.client().incr("n")
    assert row(database, "k")[0] > high
    assert row(database, "n")[0] > high


def test_a03_a_persons_write_rises_above_a_version_that_is_ahead(pair, database):
    """psql's UPDATE or DELETE takes the clock for the version, below the row's: nobody notices."""
    a, b = (server.client() for server in pair)
    a.set("k", "5")
    run_ahead(database, "k")
    assert b.get("k") == b"5"
    versions = [row(database, "k")[0]]
    for sql, seen in (("UPDATE respgres.entries SET value = 'six'", b"six"),
                      ("UPDATE respgres.entries SET expires_at = now() + interval '1 h'", b"six"),
                      ("DELETE FROM respgres.entries", None)):
        database.execute(sql)
        versions.append(row(database, "k")[0])
        assert b.get("k") == seen
    assert versions == sorted(set(versions))


# --- 6: expectations ------------------------------------------------------------------------------

# What needs a live key does nothing, what makes one makes it as if there had never been one.
ON_ABSENT = [
    (["EXPIRE", "k", "100"], number(0), None), (["PERSIST", "k"], number(0), None),
    (["SET", "k", "v", "XX"], NIL, None), (["GETDEL", "k"], NIL, None),
    (["GETEX", "k", "EX", "100"], NIL, None), (["DEL", "k"], number(0), None),
    (["INCR", "k"], number(1), b"1"), (["APPEND", "k", "v"], number(1), b"v"),
    (["SETRANGE", "k", "0", "v"], number(1), b"v"), (["SET", "k", "v", "KEEPTTL"], OK, b"v"),
    (["SET", "k", "5"], OK, b"5"), (["SETEX", "k", "100", "5"], OK, b"5"),
    (["SETNX", "k", "v"], number(1), b"v"), (["MSETNX", "k", "v", "{k}2", "v"], number(1), b"v"),
    (["GETSET", "k", "v"], NIL, b"v"), (["SET", "k", "v", "NX", "GET"], NIL, b"v"),
    (["GET", "k"], NIL, None), (["TTL", "k"], number(-2), None), (["EXISTS", "k"], number(0), None),
    (["STRLEN", "k"], number(0), None),
]

GONE = {
    "purged": lambda other, database, key: purge(database, key),
    "deleted": lambda other, database, key: other.delete(key),
    "deleted by a person": lambda other, database, key: database.execute(
        "DELETE FROM respgres.entries WHERE key = %s", key.encode()),
    "inactive": lambda other, database, key: update(database, key, "active = false"),
    "expired": lambda other, database, key: update(
        database, key, "expires_at = clock_timestamp() - interval '1 s'"),
}


@pytest.mark.parametrize("gone", list(GONE))
def test_a06_a_key_that_is_gone_does_not_come_back(pair, database, gone):
    """This instance still has the key in memory: a conditional write of what it remembers inserts
    it, and a session that was logged out is back."""
    a, b = (server.client() for server in pair)
    raw = pair[0].raw()
    for i, (command, reply, after) in enumerate(ON_ABSENT):
        command = [word.replace("k", f"k{i}") if word in ("k", "{k}2") else word
                   for word in command]
        key = f"k{i}"
        a.setex(key, 1000, "5")
        assert a.get(key) == b"5"
        GONE[gone](b, database, key)
        assert raw.command(*command) == reply, command
        assert a.get(key) == after, command
        assert b.get(key) == after, command
        if command[0] not in ("SETEX", "DEL"):
            assert b.ttl(key) == (-2 if after is None else -1), command


def test_a06_absent_is_judged_by_state_not_by_version(pair, database):
    """What we know to be absent was written and deleted again by others: SETNX is rejected though
    the key is as absent as before."""
    a, b = (server.client() for server in pair)
    for i, make in enumerate([
            lambda key: (b.set(key, "v"), b.delete(key)),
            lambda key: (b.set(key, "v"), b.delete(key), purge(database, key)),
            lambda key: b.set(key, "v", px=1),
            lambda key: (b.set(key, "v"), update(database, key, "active = false"))]):
        key = f"k{i}"
        assert a.get(key) is None
        make(key)
        wait_until(lambda: b.get(key) is None)
        assert grown(pair[0], "postgres_conflicts", lambda: a.setnx(key, "mine")) == 0, i
        assert a.get(key) == b.get(key) == b"mine"


# --- 7: what a statement may answer ---------------------------------------------------------------

def test_a07_a_read_is_answered_by_a_statement_sent_after_it_came(lab, database, lanes):
    """GET comes while a read of the same key is under way, whose snapshot is older than a write
    that another instance has acknowledged: it is answered from that snapshot."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    client = server.client()
    client.set("k", "old")
    client.set("other", "v")
    for early_command, late_command, reply in (
            (["GET", "k"], ["GET", "k"], bulk("3")),
            (["GET", "k"], ["MGET", "k", "other"], b"*2\r\n" + bulk("3") + bulk("v")),
            (["MGET", "other", "k"], ["STRLEN", "k"], number(1)),
            (["SET", "k", "x", "NX"], ["GET", "k"], bulk("3"))):
        other.set("k", "one")
        assert client.get("k") == b"one"
        other.set("k", "two")
        answer = lanes.hold("read-0", "respgres_read*", "answer")
        early = send(server, *early_command)
        answer.wait()
        other.set("k", "3")
        probe = server.client()
        seen = probe.info("stats")["total_commands_processed"]
        late = send(server, *late_command)
        wait_arrived(probe, seen + 1)
        answer.release()
        early.reply()
        assert late.reply() == reply, late_command


def test_a07_a_commits_answer_is_not_a_read(lab, database, lanes):
    """Our SET has committed and its acknowledgement is on its way; another instance overwrites it
    and is acknowledged; a GET that comes then is answered with what we have just written."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    for kind in ("cached", "new"):
        if kind == "cached":
            server.client().set("k", "old")
        answer = lanes.hold("commit-0", "respgres_commit*", "answer")
        ours = send(server, "SET", "k", "ours")
        answer.wait()
        other.set("k", "theirs")
        probe = server.client()
        seen = probe.info("stats")["total_commands_processed"]
        late = [send(server, "GET", "k"), send(server, "MGET", "k", "j"),
                send(server, "SETNX", "k", "x")]
        wait_arrived(probe, seen + len(late))
        answer.release()
        assert ours.reply() == OK
        assert [raw.reply() for raw in late] == \
            [bulk("theirs"), b"*2\r\n" + bulk("theirs") + NIL, number(0)]


# --- 8: no change is a read -----------------------------------------------------------------------

STALE = [
    # what this instance believes, what others have made of it, command, reply
    ("v", None, ["SETNX", "k", "x"], number(1)), (None, "v", ["SETNX", "k", "x"], number(0)),
    ("v", "5", ["INCR", "k"], number(6)), (None, "v", ["GETDEL", "k"], bulk("v")),
    ("v", None, ["GETDEL", "k"], NIL), (None, "v", ["SET", "k", "x", "XX"], OK),
    ("v", None, ["SET", "k", "x", "NX"], OK), (None, "v", ["EXPIRE", "k", "100"], number(1)),
    (None, "v", ["PERSIST", "k"], number(0)), (None, "v", ["DEL", "k"], number(1)),
    ("v", None, ["DEL", "k"], number(0)), (None, "v", ["EXISTS", "k"], number(1)),
    ("v", "vv", ["STRLEN", "k"], number(2)), (None, "v", ["APPEND", "k", ""], number(1)),
    ("v", "w", ["GETEX", "k"], bulk("w")), (None, "v", ["MSETNX", "k", "1", "j", "1"], number(0)),
    ("v", None, ["MSETNX", "k", "1", "l", "1"], number(1)),
    ("v", "w", ["SET", "k", "x", "GET"], bulk("w")),
    ("v", "5", ["SETRANGE", "k", "9", ""], number(1)), ("v", None, ["SETRANGE", "k", "9", ""],
                                                        number(0)),
    ("v", None, ["TOUCH", "k"], number(0)), (None, "v", ["TYPE", "k"], b"+string\r\n"),
]


@pytest.mark.parametrize("block", [False, True])
def test_a08_a_txn_without_a_change_is_a_read(pair, block):
    """SETNX → 0, GETDEL → nil, INCR's "not an integer" and the like, decided on what this instance
    remembers although others have changed it."""
    a, b = (server.client() for server in pair)
    raw = pair[0].raw()
    for i, (believed, now, command, reply) in enumerate(STALE):
        names = {name: f"{name}{i}" for name in "kjl"}
        key = names["k"]
        if believed is None:
            assert a.get(key) is None
        else:
            a.set(key, believed)
        if now is None:
            b.delete(key)
        else:
            b.set(key, now)
        command = [names.get(word, word) for word in command]
        if block:
            raw.send(encode("MULTI") + encode(*command) + encode("EXEC"))
            got = [raw.reply() for _ in range(3)][2]
            assert got == b"*1\r\n" + reply, (believed, now, command)
        else:
            assert raw.command(*command) == reply, (believed, now, command)


def test_a08_watch_looks_before_it_answers(pair):
    """WATCH takes what this instance remembers for the key's state: an EXEC fails though nothing
    has changed since, or is carried out though something has."""
    a, b = (server.client() for server in pair)
    a.set("k", "1")
    b.set("k", "2")
    pipe = a.pipeline()
    pipe.watch("k")
    pipe.multi()
    pipe.get("k")
    assert pipe.execute() == [b"2"]
    pipe.watch("k")
    b.set("k", "3")
    pipe.multi()
    pipe.get("k")
    with pytest.raises(redis.WatchError):
        pipe.execute()


@pytest.mark.parametrize("rounds", [1000, pytest.param(30000, marks=[
    pytest.mark.long, pytest.mark.timeout(600)])])
def test_two_instances_answer_like_one_redis(lab, pair, seed, rounds):
    """A random conversation, each command on either of two instances (3, 6, 8, 12 in all mixtures):
    whatever one remembers wrongly becomes a reply that redis-server would not give."""
    chance = random.Random(seed)
    real = lab.redis()
    ours, theirs = [server.raw() for server in pair], [real.raw() for _ in pair]
    queueing, watching = [False, False], [False, False]
    history = []
    for _ in range(rounds):
        side = chance.randrange(2)
        command = a_command(chance, queueing[side])
        if command[0].startswith("FLUSH") and any(watching):
            continue  # EXEC may fail then although the watched key was absent all the time
        got, wanted = ours[side].command(*command), theirs[side].command(*command)
        if command[0] == "KEYS" and not queueing[side]:
            got, wanted = sorted(got.split()), sorted(wanted.split())
        history.append((side, command, got))
        assert got == wanted, f"{wanted!r} from Redis;\n" + "\n".join(map(str, history[-30:]))
        queueing[side] = command[0] == "MULTI" or (
            queueing[side] and command[0] not in ("EXEC", "DISCARD"))
        watching[side] = command[0] == "WATCH" or (
            watching[side] and command[0] not in ("EXEC", "DISCARD", "UNWATCH"))


def a_command(chance, queueing):
    """Small keys and values, so that they meet. No relative times: the replies are compared."""
    k, j = chance.choice("abcd"), chance.choice("abcd")
    v = chance.choice(["1", "1", "7", "x", "", "abc"])
    at = str(chance.choice([4_000_000_000, 4_000_000_100, 5_000_000_000, 100]))
    data = [
        ["SET", k, v], ["SET", k, v], ["SET", k, v, "NX"], ["SET", k, v, "XX", "GET"],
        ["SET", k, v, "KEEPTTL"], ["SET", k, v, "EXAT", "4000000050"], ["SETNX", k, v],
        ["GETSET", k, v],
        ["GETDEL", k], ["GETEX", k, "EXAT", at], ["GETEX", k, "PERSIST"], ["GET", k], ["GET", k],
        ["MGET", k, j], ["MSET", k, v, j, v], ["MSETNX", k, v, j, v], ["APPEND", k, v],
        ["STRLEN", k],
        ["INCR", k], ["INCRBY", k, "5"], ["DECR", k], ["INCRBYFLOAT", k, "0.5"], ["DEL", k],
        ["UNLINK", k, j], ["EXISTS", k, j], ["TYPE", k], ["TOUCH", k], ["EXPIREAT", k, at],
        ["EXPIREAT", k, at, chance.choice(["NX", "XX", "GT", "LT"])], ["EXPIRETIME", k],
        ["PEXPIRETIME", k], ["PERSIST", k], ["SETRANGE", k, "1", v], ["GETRANGE", k, "0", "1"],
    ]
    control = [["MULTI"], ["WATCH", k], ["WATCH", k, j], ["UNWATCH"], ["KEYS", "*"], ["DBSIZE"]]
    if queueing:
        return chance.choice([["EXEC"], ["EXEC"], ["DISCARD"], ["DBSIZE"]] + chance.sample(data, 5))
    if chance.random() < 0.004:
        return chance.choice([["FLUSHDB"], ["FLUSHALL"]])
    return chance.choice(control if chance.random() < 0.15 else data)


# --- 12: touches ----------------------------------------------------------------------------------

@pytest.mark.parametrize("where", ["same instance", "other instance"])
def test_a12_a_touch_is_a_change_for_watch(pair, where):
    """EXPIRE, or a SET of the stored bytes, leaves the version as it was: EXEC does not notice."""
    a = pair[0].client()
    writer = pair[where == "other instance"].client()
    for command, noticed in (
            (["EXPIRE", "k", "100"], True), (["PERSIST", "k"], True), (["SET", "k", "v"], True),
            (["SETEX", "k", "100", "v"], True), (["GETEX", "k", "PERSIST"], True),
            (["SET", "k", "v", "KEEPTTL"], True), (["APPEND", "k", ""], True),
            (["TOUCH", "k"], False),
            (["DEL", "none"], False), (["PERSIST", "k"], False), (["GETEX", "k"], False),
            (["SETNX", "k", "x"], False), (["EXPIRE", "none", "10"], False)):
        if "PERSIST" in command and noticed:
            a.setex("k", 100, "v")
        else:
            a.set("k", "v")
        pipe = a.pipeline()
        pipe.watch("k", "none")
        writer.execute_command(*command)
        pipe.multi()
        pipe.get("k")
        try:
            pipe.execute()
            got = False
        except redis.WatchError:
            got = True
        assert got == noticed, command


def test_a12_stored_bytes_move_only_the_expiry(pair, database):
    """SET of the very bytes that are stored writes them again: value_version moves, and everybody
    fetches them anew."""
    a = pair[0].client()
    a.setex("k", 100, "v" * 1000)
    before = row(database, "k")
    for command in (["SETEX", "k", "200", "v" * 1000], ["SET", "k", "v" * 1000],
                    ["EXPIRE", "k", "50"]):
        a.execute_command(*command)
        after = row(database, "k")
        assert after[0] > before[0], command      # version
        assert after[1] == before[1], command     # value_version
        assert after[2] == before[2], command
        assert after[3] != before[3], command     # expires_at
        before = after
    a.set("k", "w" * 1000)
    assert row(database, "k")[1] > before[1]


def test_a12_stored_bytes_that_others_have_changed_are_written(pair):
    """The bytes are the same as those this instance remembers, not as those that are stored: SET
    only moves the expiry of somebody else's value."""
    a, b = (server.client() for server in pair)
    for change in (lambda: b.set("k", "theirs"), lambda: b.delete("k"), lambda: b.append("k", "x"),
                   lambda: (b.set("k", "theirs"), b.expire("k", 100))):
        a.set("k", "mine")
        change()
        assert a.set("k", "mine")
        assert b.get("k") == a.get("k") == b"mine"
        assert b.ttl("k") == -1


def test_a12_a_touch_does_not_make_others_fetch_the_bytes(lab, database, lanes):
    """EXPIRE of a large session by one instance: every other one fetches the bytes that it has."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    client = server.client()
    other.set("k", "v" * 500_000)
    assert client.strlen("k") == 500_000
    for touch in (lambda: other.expire("k", 100), lambda: other.persist("k"),
                  lambda: other.setex("k", 50, "v" * 500_000)):
        touch()
        del lanes.requests[:]
        assert client.strlen("k") == 500_000
        assert sum(r.answered for r in lanes.requests if r.lane == "read-0") < 2000
    assert 0 < client.ttl("k") <= 50
    del lanes.requests[:]
    other.append("k", "w")
    assert client.strlen("k") == 500_001
    assert sum(r.answered for r in lanes.requests if r.lane == "read-0") > 500_000


# --- 29 -------------------------------------------------------------------------------------------

def test_a29_a_row_that_vanished_is_noticed(pair, database):
    """Revalidation by an inner join says nothing about a row that is not there: the key lives on in
    memory."""
    a = pair[0].client()
    a.mset({"k": "v", "stays": "v"})
    assert a.mget("k", "stays") == [b"v", b"v"]
    purge(database, "k")
    assert a.get("k") is None
    assert a.exists("k") == 0
    assert a.mget("k", "stays") == [None, b"v"]
