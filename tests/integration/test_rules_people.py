"""Rules of the store, 13 and 17's locked rows, and "rows are for people too": what somebody does in
psql is seen at once, takes part in the rules, and disturbs nobody else."""

import statistics
import time

import pytest
import redis

from harness import wait_until
from rules import (  # noqa: F401
    OK, Holder, Threads, as_key, behind, incrementing, number, pair, replies, row,
    send, send_all, stat, update)

pytestmark = pytest.mark.rows

INSERT = "INSERT INTO respgres.entries (key, value) VALUES (%s, %s)"


# --- seen at once ---------------------------------------------------------------------------------

CHANGES = [
    # SQL on the row of key k, which holds 5 for 1000 s; what GET and TTL then say
    ("UPDATE respgres.entries SET value = '6' WHERE key = 'k'", b"6", 1000),
    ("UPDATE respgres.entries SET expires_at = now() + interval '50 s' WHERE key = 'k'", b"5", 50),
    ("UPDATE respgres.entries SET expires_at = NULL WHERE key = 'k'", b"5", -1),
    ("UPDATE respgres.entries SET active = false WHERE key = 'k'", None, -2),
    ("UPDATE respgres.entries SET value = NULL WHERE key = 'k'", None, -2),
    ("UPDATE respgres.entries SET expires_at = now() WHERE key = 'k'", None, -2),
    ("UPDATE respgres.entries SET key = 'renamed' WHERE key = 'k'", None, -2),
    ("DELETE FROM respgres.entries WHERE key = 'k'", None, -2),
    ("UPDATE respgres.entries SET value = value WHERE key = 'k'", b"5", 1000),
    ("UPDATE respgres.entries SET value = '', active = true WHERE key = 'k'", b"", 1000),
    ("DELETE FROM respgres.entries", None, -2),
]


def test_a_persons_change_is_seen_by_the_next_read(pair, database):
    """Both instances have the key in memory and go on with what they remember."""
    a, b = (server.client() for server in pair)
    for sql, value, ttl in CHANGES:
        for client in (a, b):
            client.delete("renamed")
            client.setex("k", 1000, "5")
        assert a.get("k") == b.get("k") == b"5"
        database.execute(sql)
        for client in (a, b):
            assert client.get("k") == value, sql
            assert ttl - 20 <= client.ttl("k") <= ttl if ttl > 0 else client.ttl("k") == ttl, sql
            assert client.exists("k") == (value is not None), sql
            assert client.get("renamed") == (b"5" if "renamed" in sql else None), sql
        assert a.setnx("k", "new") == (value is None), sql


def test_a_persons_change_is_seen_by_watch(pair, database):
    """EXEC is carried out although the row has changed since WATCH."""
    client = pair[0].client()
    for sql, *_ in CHANGES:
        client.delete("renamed")
        client.setex("k", 1000, "5")
        pipe = client.pipeline()
        pipe.watch("k")
        database.execute(sql)
        pipe.multi()
        pipe.set("k", "mine")
        with pytest.raises(redis.WatchError):
            pipe.execute()
            pytest.fail(sql)


def test_a_persons_insert_is_a_key(pair, database):
    """A row without our columns' values: it is not found, or not counted, or SETNX writes over it,
    or the EXEC of one who watched the absent key."""
    a, b = (server.client() for server in pair)
    assert a.get("k") is None
    pipe = b.pipeline()
    pipe.watch("k")
    database.execute(INSERT, as_key("k"), as_key("theirs"))
    database.execute("INSERT INTO respgres.entries (key, value, expires_at)"
                     " VALUES ('short', 'v', now() + interval '100 s')")
    assert a.get("k") == b"theirs"
    assert a.setnx("k", "x") is False
    assert sorted(a.keys()) == sorted(b.scan_iter()) == [b"k", b"short"]
    assert a.ttl("k") == -1 and 80 <= a.ttl("short") <= 100
    pipe.multi()
    pipe.set("k", "x")
    with pytest.raises(redis.WatchError):
        pipe.execute()
    assert b.append("k", "!") == 7
    assert a.persist("short") and b.ttl("short") == -1


def test_a_persons_transaction_counts_when_it_commits(pair, database):
    """It is seen before, or by one reader and not by the next."""
    a, b = (server.client() for server in pair)
    a.mset({"k": "old", "j": "old"})
    conn = database.connect()
    conn.autocommit = False
    with conn.cursor() as cursor:
        cursor.execute("UPDATE respgres.entries SET value = 'new'")
        assert a.mget("k", "j") == b.mget("k", "j") == [b"old", b"old"]
        conn.commit()
    conn.close()
    assert a.mget("k", "j") == b.mget("k", "j") == [b"new", b"new"]


def test_counters_stay_exact_beside_a_person(pair, database):
    """INCR on two instances and UPDATE in psql: one is written over the other's."""
    pair[0].client().set("n", 0)
    done = []

    def update_in_psql(ending):
        conn = database.connect()
        with conn.cursor() as cursor:
            while not ending.is_set():
                cursor.execute(
                    "UPDATE respgres.entries SET value ="
                    " (convert_from(value, 'UTF8')::int + 1)::text::bytea WHERE key = 'n'")
                done.append(1)
        conn.close()

    counting = [incrementing(pair[i], "n", done) for i in (0, 1, 0)]
    with Threads(*counting, update_in_psql) as threads:
        threads.run_for(1.0, lambda: len(done) > 50)
    assert int(pair[1].client().get("n")) == len(done)


# --- 13: tombstones -------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["DELETE", "rename", "move"])
def test_a13_a_persons_delete_leaves_a_tombstone(lab, pair, database, how):
    """The row is gone: a write under way that knew it, or one replayed after an outage, finds no
    trace of the logout."""
    a, b = (server.client() for server in pair)
    a.setex("k", 1000, "v")
    assert b.get("k") == b"v"
    before = row(database, "k")[0]
    database.execute({
        "DELETE": "DELETE FROM respgres.entries WHERE key = 'k'",
        "rename": "UPDATE respgres.entries SET key = 'k2' WHERE key = 'k'",
        "move": "UPDATE respgres.entries SET space = respgres.space_of(1) WHERE key = 'k'",
    }[how])
    version, _, value, expires_at, expire_slot = row(database, "k")
    assert (value, expires_at) == (None, None)
    assert version > before
    assert expire_slot is not None, "the sweeper will never find it"
    assert b.expire("k", 100) is False
    assert a.get("k") is None
    assert a.get("k2") == (b"v" if how == "rename" else None)
    assert lab.servers[0].client(db=1).get("k") == (b"v" if how == "move" else None)
    assert b.set("k", "again") and a.get("k") == b"again"
    assert row(database, "k")[0] > version


def test_a13_what_had_expired_leaves_no_tombstone(pair, database):
    """As little as a tombstone that a person deletes."""
    client = pair[0].client()
    client.setex("expired", 1000, "v")
    update(database, "expired", "expires_at = now() - interval '1 s'")
    client.set("deleted", "v")
    client.delete("deleted")
    database.execute("DELETE FROM respgres.entries")
    assert database.execute("SELECT count(*) FROM respgres.entries") == [(0,)]


def test_a13_a_persons_change_lowers_the_slot(pair, database):
    """34: a person makes a key expire sooner, or at all: the sweeper comes a week later, or
    never."""
    client = pair[0].client()
    client.setex("k", 1_000_000, "v")
    client.set("j", "v")
    database.execute("UPDATE respgres.entries SET expires_at = now() + interval '5000 s'")
    assert database.execute("SELECT count(*) FROM respgres.entries WHERE expire_slot"
                            " <= respgres.slot_of(expires_at)") == [(2,)]
    database.execute("UPDATE respgres.entries SET value = NULL WHERE key = 'j'")
    assert row(database, "j")[4] is not None


# --- a locked row delays only its key -------------------------------------------------------------

class Others:
    """Clients that write and read other keys all the time, and note how long each took."""

    def __init__(self, server, machine, count=3):
        self.took = []
        self._machine = machine
        self._server = server
        self._threads = Threads(*(self._run(i) for i in range(count)))

    def _run(self, number_):
        def run(ending):
            client = self._server.client()
            i = 0
            while not ending.is_set():
                i += 1
                before = time.monotonic()
                if i % 3:
                    client.setex(f"other{number_}", 100, i)
                else:
                    client.incr(f"count{number_}")
                self.took.append((before, time.monotonic() - before))
        return run

    def __enter__(self):
        self._threads.__enter__()
        wait_until(lambda: len(self.took) > 30)
        return self

    def __exit__(self, *exc):
        self._threads.__exit__(*exc)

    def check(self, since, until):
        """One pause at the beginning at most, and not a long one."""
        took = [(begun, t - self._machine.within(begun, begun + t) if t > 0.05 else t)
                for begun, t in list(self.took) if since - 0.5 < begun < until]
        awake = 1 - self._machine.within(since - 0.5, until) / (until - since + 0.5)
        assert len(took) > 50 * awake, "the others came to a stop"
        assert max(t for _, t in took) < 0.6, "the others had to wait"
        late = [t for begun, t in took if since + 0.4 < begun]
        assert statistics.median(late) < 0.05, "the others are slow"
        assert sum(t > 0.2 for t in late) <= 2, "the others wait again and again"


@pytest.mark.alone
def test_a_locked_row_delays_only_its_key(lab, database, machine):
    """SELECT … FOR UPDATE in psql for seconds: everybody waits for lock_timeout again and again, or
    the locked key's client gets no answer in time."""
    server = lab.respgres(database, pg_timeout=700)
    client = server.client()
    client.mset({"k": "5", "j": "5"})
    with Others(server, machine) as others, Holder(database, "k"):
        begun = time.monotonic()
        for command in (["SET", "k", "v"], ["INCR", "k"], ["DEL", "k"]):
            took, reply = machine.seconds(lambda command=command: send(server, *command).reply())
            assert reply.startswith(b"-"), command
            assert took < 0.95, command
            assert client.get("k") == b"5"  # a reader does not wait
        block = send_all(server, ["MULTI"], ["INCR", "k"], ["INCR", "j"], ["EXEC"])
        assert replies(block, 4)[3].startswith(b"-")
        others.check(begun, time.monotonic())
    wait_until(lambda: stat(server, "postgres_locked_groups") == 0)
    assert client.incr("k") == client.incr("j") == 6  # nothing was done after all
    assert stat(server, "postgres_lost_connections") == 0


@pytest.mark.alone
def test_a_locked_key_goes_on_when_it_is_released(lab, database, machine):
    """What waited for the lock is forgotten, done twice, or in another order."""
    server = lab.respgres(database, pg_timeout=2000)
    client = server.client()
    client.mset({"k": "5", "j": "5", "s": ""})
    with Others(server, machine) as others, Holder(database, "k", "s") as holder:
        begun = time.monotonic()
        waiting = [send(server, "INCR", "k") for _ in range(5)]
        block = send_all(server, ["MULTI"], ["INCR", "k"], ["INCR", "j"], ["EXEC"])
        letters = send_all(server, *(["APPEND", "s", letter] for letter in "abcdef"))
        assert replies(block, 3)[2] == b"+QUEUED\r\n"
        time.sleep(0.9)
        others.check(begun, time.monotonic())
        assert database.live()[b"k"] == database.live()[b"j"] == b"5"
        holder.release()
        took, done = machine.seconds(lambda: [raw.reply() for raw in (*waiting, block)])
    assert took < 0.5
    assert not any(reply.startswith(b"-") for reply in done), done
    numbers = [int(reply.split(b"\r\n")[reply.startswith(b"*")].lstrip(b":")) for reply in done]
    assert sorted(numbers) == [6, 7, 8, 9, 10, 11]
    assert replies(letters, 6) == [number(i + 1) for i in range(6)]
    assert client.mget("k", "j", "s") == [b"11", b"6", b"abcdef"]


@pytest.mark.alone
def test_an_insert_under_way_delays_only_its_key(lab, database, machine):
    """Somebody has inserted the key and not committed: no row that could be found locked is there,
    and everybody waits for it."""
    server = lab.respgres(database, pg_timeout=1500)
    client = server.client()
    conn = database.connect()
    conn.autocommit = False
    with conn.cursor() as cursor, Others(server, machine) as others:
        cursor.execute(INSERT, (as_key("k"), as_key("theirs")))
        begun = time.monotonic()
        took, reply = machine.seconds(lambda: send(server, "SET", "k", "ours").reply())
        assert reply.startswith(b"-")
        assert took < 1.75
        others.check(begun, time.monotonic())
        conn.commit()
    conn.close()
    assert client.get("k") == b"theirs"
    assert client.set("k", "ours")


@pytest.mark.alone
def test_many_locked_rows(lab, database, machine):
    """A person's UPDATE of half of all sessions, under way: the other half stands still."""
    server = lab.respgres(database, pg_timeout=4000)
    client = server.client()
    keys = [f"k{i}" for i in range(200)]
    client.mset(dict.fromkeys(keys, "5"))
    conn = database.connect()
    conn.autocommit = False
    with conn.cursor() as cursor, Others(server, machine) as others:
        cursor.execute("UPDATE respgres.entries SET value = '7' WHERE key LIKE 'k%' AND id % 2 = 0")
        assert cursor.rowcount == 100
        begun = time.monotonic()
        clients = [send(server, "APPEND", key, "!") for key in keys]
        time.sleep(1.0)
        others.check(begun, time.monotonic())
        conn.commit()
    conn.close()
    done = [raw.reply() for raw in clients]
    assert done == [number(2)] * 200
    values = client.mget(keys)
    assert sorted(values) == [b"5!"] * 100 + [b"7!"] * 100


def test_a_locked_key_does_not_hold_up_its_client(lab, database):
    """One client pipelines writes of a locked key and of others: what it gets late it gets in order
    and whole."""
    server = lab.respgres(database)
    client = server.client()
    client.mset({"k": "5", "a": "1"})
    with Holder(database, "k"):
        raw = send_all(server, ["SET", "a", "2"], ["INCR", "k"], ["INCR", "a"], ["GET", "k"],
                       ["GET", "a"])
        time.sleep(0.6)
        assert database.live()[b"a"] in (b"1", b"2")  # not 3: that comes behind INCR k
    assert replies(raw, 5) == [OK, number(6), number(3), b"$1\r\n6\r\n", b"$1\r\n3\r\n"]


def test_a_row_that_a_person_has_copied(lab, database):
    """With its value_version: the batch that reads both says of the bytes that they are here already,
    but they are those of another key."""
    server = lab.respgres(database)
    client = server.client()
    client.set("k", "v")
    assert client.get("k") == b"v"
    database.execute(
        "INSERT INTO respgres.entries (key, value, version, value_version)"
        " SELECT 'copy', value, version, value_version FROM respgres.entries WHERE key = 'k'")
    assert client.mget("k", "copy") == [b"v", b"v"]
    assert client.mget("copy", "k") == [b"v", b"v"]
    client.set("other", "w")
    database.execute(
        "UPDATE respgres.entries e SET value = f.value, version = e.version + 1024,"
        " value_version = f.value_version FROM respgres.entries f"
        " WHERE e.key = 'other' AND f.key = 'k'")
    assert client.mget("k", "other") == [b"v", b"v"]
    assert client.get("other") == b"v"


@pytest.mark.parametrize("count", [1, 2, 128, 129, 400])
def test_few_and_many_keys_are_read_alike(lab, database, count):
    """There is a statement for few keys of one database and one for all other batches."""
    client = lab.respgres(database).client()
    keys = [f"k{i}" for i in range(count)]
    client.mset({key: key for key in keys[::2]})
    database.execute("UPDATE respgres.entries SET expires_at = now() - interval '1 s'"
                     " WHERE key IN ('k4', 'k6')")
    database.execute("UPDATE respgres.entries SET value = 'changed' WHERE key = 'k2'")
    want = [None if i % 2 or i in (4, 6) else b"changed" if i == 2 else key.encode()
            for i, key in enumerate(keys)]
    for _ in range(2):  # what is not known, then what is
        assert client.mget(keys) == want
    with client.pipeline(transaction=True) as pipe:
        pipe.execute_command("SELECT", 1)
        pipe.get("k0")
        pipe.execute_command("SELECT", 0)
        pipe.mget(keys)
        assert pipe.execute()[1::2] == [None, want]
