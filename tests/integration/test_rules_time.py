"""Rules of the store, 10 and 32 to 34, and "time is PostgreSQL's clock, everywhere; expired =
absent in every read and write path": expiry, tombstones and the sweeper."""

import select
import time

import pytest
import redis

from harness import wait_until
from rules import (  # noqa: F401
    NIL, OK, Holder, Threads, as_key, behind, bulk, faketime, lanes, number, pair, row,
    seconds, send, set_and_see, stat, update, waiting_for_locks)

pytestmark = pytest.mark.rows


# --- 10: expiry is decided in SQL -----------------------------------------------------------------

def test_a10_a_write_that_waited_for_a_lock_revives_nothing(lab, database):
    """PERSIST and others come in time, wait for somebody's lock, and go on after the key has
    expired and was read as gone: it is back."""
    # A long lock_timeout, so that the batch waits in PostgreSQL until the keys have expired.
    server, other = (lab.respgres(database, pg_timeout=30_000) for _ in range(2))
    client = server.client()
    commands = {
        # key: command, reply, what the key is afterwards
        "persist": (["PERSIST", "persist"], number(0), None),
        "expire": (["EXPIRE", "expire", "100"], number(0), None),
        "getex": (["GETEX", "getex", "PERSIST"], NIL, None),
        "xx": (["SET", "xx", "w", "XX"], NIL, None),
        "incr": (["INCRBY", "incr", "7"], number(7), b"7"),
        "append": (["APPEND", "append", "x"], number(1), b"x"),
        "keepttl": (["SET", "keepttl", "w", "KEEPTTL"], OK, b"w"),
        "getdel": (["GETDEL", "getdel"], NIL, None),
    }
    for attempts_left in (3, 2, 1, 0):
        with client.pipeline(transaction=False) as pipe:
            for key in commands:
                pipe.set(key, "5", px=500)
            pipe.execute()
        with Holder(database, *commands) as holder:
            clients = {key: send(server, *command) for key, (command, _, _) in commands.items()}
            wait_until(lambda: waiting_for_locks(database), what="the batch waits for the lock")
            wait_until(lambda: other.client().mget(list(commands)) == [None] * len(commands),
                       what="the keys have expired")
            it_waited = waiting_for_locks(database)
            holder.release()
            got = {key: raw.reply() for key, raw in clients.items()}
        if it_waited:
            break
        assert attempts_left, "it never waited long enough"
    assert got == {key: reply for key, (_, reply, _) in commands.items()}
    for reader in (client, other.client()):
        for key, (_, _, value) in commands.items():
            assert reader.get(key) == value, key
            assert reader.ttl(key) == (-2 if value is None else -1), key


SLOW_COMMIT = """
CREATE TABLE may_end ();
INSERT INTO may_end DEFAULT VALUES;
CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.key = 'slow' AND current_setting('application_name') LIKE '% commit-0' THEN
            WHILE NOT EXISTS (SELECT FROM public.may_end) LOOP
                PERFORM pg_sleep(0.01);
            END LOOP;
        END IF;
        RETURN NULL;
    END $$;
CREATE CONSTRAINT TRIGGER slow_commit AFTER UPDATE ON respgres.entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_commit();
"""


@pytest.mark.parametrize("command, told, left, keys", [
    (["PERSIST", "slow"], number(1), b"5", 1),
    (["PERSIST", "slow"], number(1), b"5", 200),  # many keys are read by another statement
    (["GETSET", "slow", "new"], bulk("5"), b"new", 1),
    (["INCR", "slow"], number(6), None, 1),
])
def test_a10_a_commit_that_ends_after_the_expiry_revives_nothing(pair, database, command, told,
                                                                 left, keys):
    """The write came in time, and its commit takes until the key has expired: it is read as gone
    elsewhere meanwhile, and is there again afterwards."""
    writer, reader = pair
    filler = [f"filler{i}" for i in range(keys - 1)]
    database.execute(SLOW_COMMIT)
    for ttl_ms in (700, 2000, 6000):  # longer where the machine takes so long
        set_and_see(reader.client(), "slow", "5", ttl_ms)
        database.execute("DELETE FROM may_end")
        raw = send(writer, *command)
        wait_until(lambda: database.postgres.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'",
            database.name) or select.select([raw.sock], [], [], 0)[0], what="the commit is under way")
        in_time, = row(database, "slow", "expires_at > clock_timestamp()")
        if in_time:
            break
        database.execute("INSERT INTO may_end DEFAULT VALUES")
        raw.reply()
    assert in_time
    wait_until(lambda: database.execute(
        "SELECT key FROM respgres.entries WHERE key = 'slow' AND expires_at <= clock_timestamp()"))
    looks = send(reader, "MGET", "slow", *filler)
    looks.sock.settimeout(0.1)
    with pytest.raises(TimeoutError):
        looks.reply()  # it waits for the commit
    looks.sock.settimeout(20)
    database.execute("INSERT INTO may_end DEFAULT VALUES")
    assert raw.reply() == told
    assert looks.reply().startswith(b"*%d\r\n" % keys + (NIL if left is None else bulk(left)))


@pytest.mark.alone
def test_a10_a_person_who_holds_an_expired_row_delays_no_read(pair, database, machine):
    """Whose write is under way is asked for what has just expired; only ours are waited for."""
    client = pair[0].client()
    client.set("k", "v", px=1)
    wait_until(lambda: pair[1].client().get("k") is None)
    with Holder(database, "k"):
        for server in pair:
            took, value = machine.seconds(lambda server=server: server.client().get("k"))
            assert value is None and took < 0.5


def test_a10_gone_for_one_is_gone_for_all(lab, database, lanes):
    """An instance with a bad idea of PostgreSQL's clock (its requests take long, the answers do
    not) tells a key as expired that others still read."""
    lanes.request_delay_s = 0.1
    early, other = behind(lab, database, lanes).client(), lab.respgres(database).client()
    keys = [f"k{i}" for i in range(40)]

    def exists(client):
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.exists(key)
            return [there or None for there in pipe.execute()]

    for look in (lambda client: client.mget(keys), exists):
        for first_ms in (500, 2000, 8000):  # longer where the machine takes so long
            with other.pipeline(transaction=False) as pipe:
                for i, key in enumerate(keys):
                    pipe.set(key, "v", px=first_ms + 20 * i)
                pipe.execute()
            seen = look(early)
            if None not in seen:
                break
        assert None not in seen
        seen = keys
        while any(seen):
            seen, then = look(early), look(other)
            back = [key for key, was, is_now in zip(keys, seen, then) if is_now and not was]
            assert back == []
    set_and_see(other, "k", "v", 400, reader=early)
    wait_until(lambda: other.get("k") is None)
    assert early.get("k") is None


def test_a10_time_does_not_go_back(pair):
    """Each command takes the time from wherever: PTTL rises, or a key that was gone is there
    again."""
    clients = [server.client() for server in pair]
    clients[0].set("k", "v", px=100_000)
    last = {client: 100_000 for client in clients}
    clients[0].set("short", "v", px=300)
    gone = {client: False for client in clients}
    for _ in range(150):
        for client in clients:
            left = client.pttl("k")
            assert left <= last[client]
            last[client] = left
            there = client.get("short") is not None
            assert not (there and any(gone.values()))
            gone[client] = not there
    assert last[clients[0]] < 100_000


def test_a10_expired_is_absent_in_every_path(pair, database):
    """A key that has just expired, not swept, in both memories: some command still finds it."""
    a, b = (server.client() for server in pair)
    raw = pair[0].raw()
    expected = [
        (["GET", "k"], NIL), (["MGET", "k"], b"*1\r\n" + NIL), (["EXISTS", "k"], number(0)),
        (["TTL", "k"], number(-2)), (["PTTL", "k"], number(-2)), (["EXPIRETIME", "k"], number(-2)),
        (["TYPE", "k"], b"+none\r\n"), (["STRLEN", "k"], number(0)), (["TOUCH", "k"], number(0)),
        (["GETRANGE", "k", "0", "-1"], bulk("")), (["KEYS", "*"], b"*0\r\n"),
        (["DBSIZE"], number(0)),
        (["SCAN", "0"], b"*2\r\n$1\r\n0\r\n*0\r\n"), (["PERSIST", "k"], number(0)),
        (["EXPIRE", "k", "9"], number(0)), (["DEL", "k"], number(0)), (["UNLINK", "k"], number(0)),
        (["GETDEL", "k"], NIL), (["GETEX", "k"], NIL), (["SET", "k", "w", "XX"], NIL),
    ]
    makes = [
        (["SETNX", "k", "w"], number(1), b"w"), (["SET", "k", "w", "NX"], OK, b"w"),
        (["SET", "k", "w", "GET"], NIL, b"w"), (["SET", "k", "w", "KEEPTTL"], OK, b"w"),
        (["GETSET", "k", "w"], NIL, b"w"), (["INCR", "k"], number(1), b"1"),
        (["APPEND", "k", "w"], number(1), b"w"), (["SETRANGE", "k", "1", "w"], number(2), b"\0w"),
        (["MSETNX", "k", "w"], number(1), b"w"), (["INCRBYFLOAT", "k", "0.5"], bulk("0.5"), b"0.5"),
    ]

    def expire():
        a.set("k", "5", px=25)
        b.get("k")
        wait_until(lambda: row(database, "k", "expires_at < clock_timestamp()")[0], interval=0.005)

    expire()
    for command, reply in expected:
        assert raw.command(*command) == reply, command
    assert "db0" not in a.info("keyspace")
    assert database.execute("SELECT count(*) FROM respgres.keys") == [(0,)]
    for command, reply, value in makes:
        expire()
        assert raw.command(*command) == reply, command
        assert b.get("k") == value, command
        assert b.ttl("k") == -1, command
        a.delete("k")


def test_a10_a_watched_key_that_expires_ends_the_txn(pair):
    """As in Redis 7; unless it had expired before WATCH."""
    a, b = (server.client() for server in pair)
    pipe = a.pipeline()
    for ttl_ms in (500, 5000, 20_000):  # longer where the machine takes so long
        a.set("k", "v", px=ttl_ms)
        pipe.watch("k")
        seen = pipe.get("k")
        if seen:
            break
        pipe.unwatch()
    assert seen == b"v"
    wait_until(lambda: b.get("k") is None)
    pipe.multi()
    pipe.set("j", "v")
    with pytest.raises(redis.WatchError):
        pipe.execute()
    pipe.watch("k")
    pipe.multi()
    pipe.set("j", "v")
    assert pipe.execute() == [True]


# --- PostgreSQL's clock ---------------------------------------------------------------------------

@pytest.mark.parametrize("shift", ["+3600", "-3600"])
def test_time_is_postgresqls(lab, database, tmp_path, shift):
    """The host's clock is wrong by an hour: keys live an hour longer or shorter, or are gone at
    once, and versions lose against those of others."""
    clock = tmp_path / "clock"
    clock.write_text(shift + "\n")
    wrong = faketime(lab.respgres(database, start=False), clock)
    assert abs(int(wrong.client().info("server")["server_time_usec"]) / 1e6
               - time.time() - float(shift)) < 60, "its clock is not shifted"
    right = lab.respgres(database).client()
    client = wrong.client()

    def check():
        now, = database.execute("SELECT extract(epoch FROM clock_timestamp())::float8")[0]
        client.setex("setex", 100, "v")
        client.set("px", "v", px=100_000)
        client.set("exat", "v", exat=int(now) + 100)
        client.set("expireat", "v")
        assert client.expireat("expireat", int(now) + 100)
        assert client.set("expire", "v") and client.expire("expire", 100)
        right.setex("theirs", 100, "v")
        for key in ("setex", "px", "exat", "expireat", "expire", "theirs"):
            for reader in (client, right):
                assert reader.get(key) == b"v", key
                assert 70 <= reader.ttl(key) <= 101, (key, reader.ttl(key))
                assert abs(reader.expiretime(key) - now - 100) < 30, key
            left, = row(database, key, "extract(epoch FROM expires_at - clock_timestamp())")
            assert 70 < left < 101, key
        set_and_see(client, "short", "v", 80)
        wait_until(lambda: client.get("short") is None)
        assert client.set("past", "v", exat=int(now) - 10)
        assert client.get("past") is None and right.exists("past") == 0
        version, = row(database, "setex", "(respgres.stamp() - version) >> 10")
        assert 0 <= version < 30_000_000, "microseconds behind PostgreSQL's clock"
        assert client.incr("n") == right.incr("n") - 1
        assert right.get("n") == client.get("n")

    check()
    clock.write_text("+0\n")  # somebody sets the clock right
    check()
    assert client.set("last", "v")


@pytest.mark.parametrize("shift", ["+3600", "-3600"])
def test_the_wrong_clock_is_left_when_postgresql_is_met(lab, database, tmp_path, shift):
    """Until then there is no other; what it said does not keep time from going back."""
    right = lab.respgres(database).client()
    right.setex("theirs", 1000, "v")
    clock = tmp_path / "clock"
    clock.write_text(shift + "\n")
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    proxy.refuse()
    wrong = faketime(lab.respgres(database.url_by(port=proxy.port), start=False), clock,
                     wait="answering")
    client = wrong.client()
    assert abs(client.time()[0] - time.time() - float(shift)) < 60
    proxy.pass_on()
    wait_until(lambda: client.info("postgres")["store_state"] == "online")
    assert abs(client.time()[0] - time.time()) < 30
    for _ in range(3):
        assert client.get("theirs") == b"v"
        assert 900 < client.ttl("theirs") <= 1000
    assert client.setex("mine", 100, "v") and 90 < right.ttl("mine") <= 100


def test_the_wall_clock_jumps(lab, database, tmp_path):
    """While it runs: what it had computed from the wall clock is wrong from then on."""
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    server = faketime(lab.respgres(database, start=False), clock)
    client = server.client()
    client.setex("k", 100, "v")
    for shift in ("+7200", "-7200", "+86400"):
        clock.write_text(shift + "\n")
        assert client.get("k") == b"v"
        assert 90 <= client.ttl("k") <= 100
        client.setex("j", 100, "v")
        left, = row(database, "j", "extract(epoch FROM expires_at - clock_timestamp())")
        assert 90 < left < 101
        assert client.incr("n")


# --- tombstones -----------------------------------------------------------------------------------

def test_a_deleted_key_leaves_a_tombstone(pair, database):
    """DEL and the like remove the row: a write that is still under way somewhere brings it back."""
    a = pair[0].client()
    for command in (["DEL", "k"], ["UNLINK", "k"], ["GETDEL", "k"], ["EXPIRE", "k", "-1"],
                    ["PEXPIREAT", "k", "1"], ["GETEX", "k", "EXAT", "1"]):
        a.setex("k", 100, "v")
        before = row(database, "k")[0]
        a.execute_command(*command)
        version, _, value, expires_at, expire_slot = row(database, "k")
        assert value is None and expires_at is None, command
        assert version > before, command
        assert expire_slot is not None, "the sweeper will never find it"
    a.delete("never", "there")
    assert row(database, "never") is None


def age(database, key, by, slot=0):
    """As if the key had been written, and had expired, so long ago."""
    update(database, key, "expires_at = expires_at - %s::interval,"
           " updated_at = updated_at - %s::interval, created_at = created_at - %s::interval,"
           " expire_slot = %s", by, by, by, slot)


def wait_swept(database, *keys):
    wait_until(lambda: all(row(database, key) is None for key in keys), what=f"{keys} are swept")


def test_the_sweeper_takes_what_is_due_and_nothing_else(lab, database):
    """It takes too much, too early, or leaves something for ever."""
    server = lab.respgres(database, sweep_interval=20, tombstone_retention="1h")
    client = server.client()
    for key in ("expired long ago", "expired just now", "alive"):
        client.setex(key, 100, "v")
    client.mset({"for ever": "v", "deleted long ago": "v", "deleted just now": "v"})
    client.delete("deleted long ago", "deleted just now")
    with client.pipeline() as pipe:  # leaves a placeholder
        pipe.watch("old placeholder", "placeholder")
        pipe.multi()
        pipe.set("x", 1)
        pipe.execute()
    for key, by in (("deleted long ago", "2 h"), ("deleted just now", "10 min"),
                    ("old placeholder", "2 min"), ("placeholder", "0 s"), ("alive", "0 s"),
                    ("for ever", "0 s"), ("expired just now", "110 s"),
                    ("expired long ago", "5 min")):
        age(database, key, by)
    wait_swept(database, "expired long ago", "deleted long ago", "old placeholder")
    for key in ("expired just now", "deleted just now", "placeholder", "alive", "for ever"):
        assert row(database, key) is not None, key
    assert client.mget("alive", "for ever", "expired just now") == [b"v", b"v", None]
    # 34: their slots have been moved on to where they are due, and none beyond
    wait_until(lambda: database.execute(
        "SELECT count(*) FROM respgres.entries WHERE expire_slot = 0") == [(0,)])
    assert row(database, "for ever")[4] is None
    early = database.execute(
        "SELECT key FROM respgres.entries WHERE expires_at IS NOT NULL AND value IS NOT NULL"
        " AND expire_slot > respgres.slot_of(expires_at + interval '60 s') + 1")
    assert early == []
    wait_until(lambda: stat(server, "postgres_swept_rows") >= 3)
    assert stat(server, "postgres_swept_rows") == 3


def test_a13_the_sweeper_leaves_no_tombstones(lab, database):
    """The trigger that keeps a person's DELETE takes the sweeper for a person: each expired key
    leaves a row for a week."""
    server = lab.respgres(database, sweep_interval=20)
    client = server.client()
    with client.pipeline(transaction=False) as pipe:
        for i in range(200):
            pipe.setex(f"k{i}", 100, "v")
        pipe.execute()
    database.execute("UPDATE respgres.entries"
                     " SET expires_at = now() - interval '5 min', expire_slot = 0")
    wait_until(lambda: database.execute("SELECT count(*) FROM respgres.entries") == [(0,)])


def test_the_sweeper_leaves_what_somebody_holds(lab, database):
    """One locked row among those that are due: nothing is swept, or clients wait for the
    sweeper."""
    server = lab.respgres(database, sweep_interval=20)
    client = server.client()
    for key in "abc":
        client.setex(key, 100, "v")
        age(database, key, "1 h")
    for key in "abc":
        client.setex(key, 100, "v")
    with Holder(database, "b"):
        for key in "ac":
            age(database, key, "1 h")
        database.execute("SELECT 1")
        wait_swept(database, "a", "c")
        assert client.set("d", "v")
    age(database, "b", "1 h")
    wait_swept(database, "b")


def test_the_sweeper_leaves_flushed_rows_that_somebody_holds(lab, database):
    """A person who changes rows of a database that was flushed meanwhile waits for the sweeper, which waits
    for the person: a deadlock."""
    server = lab.respgres(database, sweep_interval=20)
    client = server.client()
    client.mset({"a": 1, "b": 2, "c": 3})
    keys = "SELECT array_agg(encode(key, 'escape') ORDER BY key) FROM respgres.entries"
    with Holder(database, "b"):
        client.flushdb()
        wait_until(lambda: database.execute(keys) == [(["b"],)], what="the others are swept")
        assert client.set("d", "v")
    wait_until(lambda: database.execute(keys) == [(["d"],)], what="so is that one")


def test_d32_one_instance_sweeps(lab, database):
    """The sweeper is elected by a lock that ends with the transaction: with one of the session's a
    pooler gives it to somebody else, and nobody sweeps, or all do."""
    conn = database.connect()
    with conn.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('respgres.sweeper'),"
                       " hashtext('respgres'))")
    servers = [lab.respgres(database, sweep_interval=20) for _ in range(2)]
    client = servers[0].client()
    for i in range(50):
        client.setex(f"k{i}", 100, "v")
    database.execute("UPDATE respgres.entries"
                     " SET expires_at = now() - interval '5 min', expire_slot = 0")
    time.sleep(0.3)
    assert [stat(server, "postgres_swept_rows") for server in servers] == [0, 0]
    conn.close()
    wait_until(lambda: database.execute("SELECT count(*) FROM respgres.entries") == [(0,)])
    wait_until(lambda: sum(stat(server, "postgres_swept_rows") for server in servers) == 50)
    assert database.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                            " AND database = (SELECT oid FROM pg_database"
                            " WHERE datname = current_database())")[0][0] <= 1


def test_the_sweeper_is_replaced_when_it_dies(lab, database):
    """The lock goes with the transaction: the others go on within seconds."""
    servers = [lab.respgres(database, sweep_interval=200) for _ in range(2)]

    def expired(name):
        database.execute(
            "INSERT INTO respgres.entries (key, value, expires_at, expire_slot) SELECT (%s || g)::bytea, 'v',"
            " now() - interval '1 h', 0 FROM generate_series(1, 10000) g", name)

    def left():
        return database.execute("SELECT count(*) FROM respgres.entries")[0][0]

    expired("gone")
    sweeper = wait_until(lambda: next((server for server in servers if stat(server, "postgres_swept_rows")),
                                      None), what="somebody sweeps")
    sweeper.kill9()
    expired("more")  # it may have been done
    took, _ = seconds(lambda: wait_until(lambda: left() == 0, what="the other goes on"))
    other = next(server for server in servers if server is not sweeper)
    wait_until(lambda: stat(other, "postgres_swept_rows") >= 10_000)
    print(f"{took:.1f} s")


def test_a_long_sweep_interval_keeps_nothing_else_back(lab, database):
    """The heartbeat that keeps the slot goes on, and a shorter interval counts at once."""
    server = lab.respgres(database, sweep_interval=3_600_000)
    seen = "SELECT seen_at FROM respgres.instances"
    for _ in range(2):  # the first may come with the first sweep
        before = database.execute(seen)
        wait_until(lambda b=before: database.execute(seen) != b, what="a heartbeat")
    database.execute("INSERT INTO respgres.entries (key, value, expires_at, expire_slot)"
                     " VALUES ('gone', 'v', now() - interval '1 h', 0)")
    assert database.execute("SELECT count(*) FROM respgres.entries") == [(1,)]
    server.client().config_set("sweep-interval", 100)
    wait_until(lambda: database.execute("SELECT count(*) FROM respgres.entries") == [(0,)])


def test_the_sweeper_does_not_take_what_is_written_meanwhile(lab, database):
    """A key that expired long ago is set again just when the sweeper comes: an acknowledged SET is
    gone."""
    servers = [lab.respgres(database, sweep_interval=10) for _ in range(2)]

    def write(number_):
        def run(ending):
            clients, i = [server.client() for server in servers], 0
            conn = database.connect()
            with conn.cursor() as cursor:
                while not ending.is_set():
                    i += 1
                    cursor.execute("UPDATE respgres.entries SET expire_slot = 0,"
                                   " expires_at = now() - interval '1 h' WHERE key = %s",
                                   (as_key(f"k{number_}"),))
                    time.sleep(0.001 * (i % 12))
                    clients[i % 2].setex(f"k{number_}", 1000, i)
                    assert clients[1 - i % 2].get(f"k{number_}") == b"%d" % i
            conn.close()
        return run

    with Threads(*map(write, range(4))) as threads:
        threads.run_for(1.2, lambda: sum(stat(server, "postgres_swept_rows") for server in servers) > 3)


@pytest.mark.alone
def test_many_due_rows_are_swept_in_small_batches(lab, database, machine):
    """A backlog is swept in one statement, or never: other clients wait, or the table grows."""
    server = lab.respgres(database, sweep_interval=100)
    client = server.client()
    database.execute(
        "INSERT INTO respgres.entries (key, value, expires_at, expire_slot)"
        " SELECT ('k' || g)::bytea, 'v', now() - interval '1 h', 0 FROM generate_series(1, 5000) g")
    slowest = 0.0
    deadline = time.monotonic() + 30
    while database.execute("SELECT count(*) FROM respgres.entries WHERE key LIKE 'k%'") != [(0,)]:
        took, _ = machine.seconds(lambda: client.set("other", "v"))
        slowest = max(slowest, took)
        assert time.monotonic() < deadline, "the backlog stays"
    assert slowest < 0.5
    wait_until(lambda: stat(server, "postgres_swept_rows") == 5000)
