"""Hashes: as clients use them, of several instances, in SQL, over restarts, outages and backups.
test_hash_differential.py compares replies with Redis."""

import threading

import pytest
import redis

from harness.lab import Lab
from harness.postgres import Postgres
from harness.util import wait_until
from test_backup import dump, pipe

WRONG = "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture(scope="module")
def shared(module_lab):
    database = module_lab.database()
    return database, module_lab.respgres(database), module_lab.respgres(database)


@pytest.fixture
def two(shared):
    database, one, other = shared
    one.client().flushall()
    return database, one.client(decode_responses=True), other.client(decode_responses=True)


def rows(database, query):
    return database.execute(query)


# --- clients -------------------------------------------------------------------------------------

def test_a_session_as_spring_keeps_it(two):
    """HMSET, EXPIRE, HGETALL; then what changed, and the expiry anew."""
    database, client, other = two
    key = "spring:session:sessions:6b2c"
    client.hset(key, mapping={"creationTime": "1767323045000", "lastAccessedTime": "1767323045000",
                              "maxInactiveInterval": "1800", "sessionAttr:username": "ada"})
    client.expire(key, 1800)
    assert other.hgetall(key)["sessionAttr:username"] == "ada"
    other.hset(key, mapping={"lastAccessedTime": "1767323099000", "sessionAttr:cart": "[7]"})
    assert client.hget(key, "lastAccessedTime") == "1767323099000"
    assert 1790 < client.ttl(key) <= 1800  # a change of a field leaves it
    client.rename(key, "spring:session:sessions:new")
    assert 1790 < other.ttl("spring:session:sessions:new") <= 1800
    assert other.hlen("spring:session:sessions:new") == 5 and not other.exists(key)
    client.hdel("spring:session:sessions:new", *other.hkeys("spring:session:sessions:new"))
    assert other.keys() == []


def test_types_are_told_apart(two):
    _, client, _ = two
    client.hset("h", "f", 1)
    client.set("s", "text")
    assert (client.type("h"), client.object("encoding", "h")) == ("hash", "listpack")
    assert [*client.scan_iter(_type="hash")] == ["h"] and [*client.scan_iter(_type="string")] == ["s"]
    for command in (("GET", "h"), ("APPEND", "h", "x"), ("INCR", "h"), ("SETRANGE", "h", 0, "x"),
                    ("GETEX", "h"), ("GETDEL", "h"), ("SET", "h", "x", "GET"), ("HGET", "s", "f"),
                    ("HSET", "s", "f", 1), ("HDEL", "s", "f"), ("HSCAN", "s", 0),
                    ("HINCRBY", "s", "f", 1), ("HRANDFIELD", "s"), ("HGETALL", "s")):
        with pytest.raises(redis.ResponseError, match=WRONG[10:]):
            client.execute_command(*command)
    assert client.mget("h", "s") == [None, "text"]
    assert client.hgetall("h") == {"f": "1"}
    assert client.copy("h", "copy") and client.hset("copy", "g", 2) == 1
    assert (client.hlen("h"), client.hlen("copy")) == (1, 2)
    assert client.memory_usage("copy") > 0
    assert client.set("h", "now a string") and client.type("h") == "string"


def test_every_field_is_met_by_hscan_at_any_instance(two):
    """Each call goes to the other instance, and fields come and go meanwhile."""
    _, one, other = two
    there = {f"field:{n}": str(n) for n in range(2000)}
    one.hset("h", mapping=there)
    seen, cursor, n = {}, 0, 0
    while True:
        cursor, part = (one, other)[n % 2].hscan("h", cursor, count=50)
        seen.update(part)
        other.hset("h", f"new:{n}", "x")
        if n > 2:
            one.hdel("h", f"new:{n - 2}")
        n += 1
        if cursor == 0:
            break
    assert n > 20 and seen.items() >= there.items()
    assert dict(one.hscan_iter("h", match="field:19?", count=1000)) == {
        f"field:19{n}": f"19{n}" for n in range(10)}


def test_values_of_any_bytes(shared):
    client = shared[1].client()
    client.delete("bytes")
    pairs = {bytes([n]): bytes(range(n)) for n in range(256)} | {b"": b"", b"\r\n": b"\x00" * 5000}
    client.hset("bytes", mapping=pairs)
    assert shared[2].client().hgetall("bytes") == pairs
    assert client.object("encoding", "bytes") == b"hashtable"


# --- together ------------------------------------------------------------------------------------

def test_no_field_is_lost_between_two_instances(two):
    """Every write is a whole row: what was written in between makes it run again."""
    _, one, other = two
    errors = []

    def write(client, name):
        try:
            with client.client() as connection:
                for n in range(150):
                    connection.hset("h", f"{name}:{n}", n)
                    connection.hincrby("h", "count", 1)
        except redis.RedisError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(c, f"{i}:{t}"))
               for i, c in enumerate((one, other)) for t in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert one.hlen("h") == 601 and other.hget("h", "count") == "600"


def test_watch_and_multi(two):
    _, one, other = two
    one.hset("h", mapping={"a": 1, "b": 2})
    with one.pipeline() as pipe_:
        pipe_.watch("h")
        other.hset("h", "a", 1)  # the same value: a write all the same
        pipe_.multi()
        pipe_.hset("h", "a", 9)
        with pytest.raises(redis.WatchError):
            pipe_.execute()
        pipe_.watch("h")
        other.hdel("h", "none")  # no change
        pipe_.multi()
        pipe_.hincrby("h", "a", 5).hdel("h", "b").hgetall("h").set("s", 1)
        assert pipe_.execute() == [6, 1, {"a": "6"}, True]
    assert other.hgetall("h") == {"a": "6"}


def test_a_pipeline_on_a_large_hash_writes_it_a_few_times(shared, two):
    """20,000 fields and over 500 kB: copied, encoded and sent once per batch, not once per command."""
    database, one, other = two
    one.hset("h", mapping={f"field:{n:06}": f"a value of {n}" for n in range(20_000)})
    (before,), = rows(database, "SELECT pg_current_wal_lsn()")
    with one.pipeline(transaction=False) as pipe_:
        for n in range(1000):
            pipe_.hset("h", f"field:{n:06}", "changed")
            pipe_.hget("h", f"field:{n:06}")
        replies = pipe_.execute()
    assert replies == [0, "changed"] * 1000
    (written,), = rows(database, f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{before}')")
    assert written < 20e6  # 500 MB, if each command wrote all of it
    assert other.hlen("h") == 20_000 and other.hget("h", "field:000999") == "changed"
    assert rows(database, "SELECT size > 500000 FROM respgres.keys WHERE key = 'h'")[0][0]


# --- SQL -----------------------------------------------------------------------------------------

def test_what_people_see(two):
    database, client, _ = two
    key = "spring:session:sessions:1"
    client.hset(key, mapping={"username": "ada", "lastAccessedTime": "1767323045000"})
    client.execute_command("HSET", key, b"sessionAttr:java", b"\xac\xed\x00\x05")
    client.set("spring:session:sessions:expires:1", "")
    client.hset("other", "f", "v")
    found = rows(database, "SELECT key, type, value, doc FROM respgres.keys ORDER BY key")
    assert found == [
        ("other", "hash", None, None),  # `decode` does not name it
        (key, "hash", None, {"username": "ada", "lastAccessedTime": "1767323045000",
                             "sessionAttr:java": {"$bytes": "rO0ABQ=="}}),
        ("spring:session:sessions:expires:1", "string", "", None)]
    (session_id, username, year), = rows(
        database, "SELECT session_id, username, extract(year FROM last_activity)::int"
        " FROM respgres.sessions")
    assert (session_id, username, year) == ("1", "ada", 2026)
    client.hset(key, "username", "kim")
    assert rows(database, "SELECT doc ->> 'username' FROM respgres.entries WHERE convert_from(key, 'UTF8')"
                f" = '{key}'") == [("kim",)]
    database.execute("UPDATE respgres.sessions SET session_active = false WHERE username = 'kim'")
    assert client.hgetall(key) == {}


def test_bytes_that_cannot_be_read(two):
    """A newer version's, or a hash that somebody has changed in SQL: an error, no more."""
    database, client, other = two
    for key in ("newer", "damaged", "good"):
        client.hset(key, "f", "v")
    database.execute("UPDATE respgres.entries SET type = 77 WHERE key = 'newer'")
    database.execute("UPDATE respgres.entries SET value = 'oops' WHERE key = 'damaged'")
    for key, name in (("newer", "unknown"), ("damaged", "hash")):
        for command in (("HGET", key, "f"), ("HSET", key, "f", 1), ("GET", key), ("HLEN", key)):
            with pytest.raises(redis.ResponseError, match="cannot read"):
                other.execute_command(*command)
        assert other.type(key) == name and other.exists(key) == 1
        assert other.rename(key, "moved") and other.object("encoding", "moved") == "unknown"
        assert rows(database, "SELECT type, value = 'oops' FROM respgres.entries WHERE key = 'moved'") == [
            (77, False) if key == "newer" else (4, True)]
    assert client.hget("good", "f") == "v"
    assert client.hset("newer", "f", 1) == 1 and client.set("moved", "x")


# --- for good ------------------------------------------------------------------------------------

def test_restart_dump_and_restore(lab):
    database = lab.database()
    server = lab.respgres(database)
    client = server.client(decode_responses=True)
    large = {f"field:{n}": "x" * (n % 90) for n in range(1300)}
    client.hset("large", mapping=large)
    client.hset("small", mapping={"b": 1, "a": 2})
    client.expire("small", 1000)
    client.set("s", "text")
    at = client.execute_command("PEXPIRETIME", "small")
    server.restart()
    client = server.client(decode_responses=True)
    assert client.hgetall("large") == large and list(client.hgetall("small")) == ["b", "a"]
    commands = dump(database).stdout
    client.hset("small", "newer", 1)  # a restore puts back what there was, not a mixture
    client.flushall()
    client.hset("small", "left over", 1)
    assert pipe(server, commands) > 3
    assert client.hgetall("large") == large and client.hgetall("small") == {"b": "1", "a": "2"}
    assert client.execute_command("PEXPIRETIME", "small") == at and client.ttl("large") == -1
    real = lab.redis()
    pipe(real, commands)
    assert real.client(decode_responses=True).hgetall("large") == large


@pytest.fixture(scope="module")
def cluster():
    postgres = Postgres()
    postgres.start()
    yield postgres
    postgres.remove()


def state(server):
    return server.info("postgres")["store_state"]


def warm(server):
    """Which warm file it is; None where there is none."""
    return next((path.stat().st_mtime_ns for path in server.dir.glob("*/warm")), None)


def test_an_outage(cluster):
    """Hashes are served from memory and journal, over a restart too, and merged: what was based on
    another state loses as a whole and is kept."""
    lab = Lab(lambda: cluster)
    database = cluster.create_database()
    try:
        options = {"pg_timeout": 10000, "preload": "no", "warm_file_interval": 1}
        server, other = (lab.respgres(database, **options) for _ in range(2))
        client = server.client(decode_responses=True)
        client.hset("changed", mapping={"a": 1, "b": 2})
        client.hset("emptied", "a", 1)
        client.hset("contested", "a", 1)
        client.hset("only read", mapping={f"f{n}": n for n in range(700)})
        wait_until(lambda: warm(server), what="the warm file is there")
        other.client().hset("contested", "b", "of the other")
        server.client().hget("contested", "a")
        for _ in range(2):  # the first may have been begun before
            before = warm(server)
            wait_until(lambda: warm(server) != before, what="one more warm file")
        cluster.kill9()
        wait_until(lambda: state(server) == "away" and state(other) == "away", 30)
        assert client.hincrby("changed", "a", 5) == 6 and client.hdel("changed", "b") == 1
        assert client.hdel("emptied", "a") == 1 and client.exists("emptied") == 0
        client.hset("new", "f", "v")
        client.expire("new", 1000)
        other.client().hset("contested", "late", "other")
        client.hset("contested", "late", "one")
        assert client.hlen("only read") == 700
        server.kill9()
        server.options["pg-timeout"] = 500  # for which it waits for PostgreSQL when it starts
        server.start("ready")
        client = server.client(decode_responses=True)
        assert client.hgetall("changed") == {"a": "6"} and client.exists("emptied") == 0
        assert client.hgetall("new") == {"f": "v"} and 900 < client.ttl("new") <= 1000
        assert client.hgetall("only read") == {f"f{n}": str(n) for n in range(700)}  # the warm file
        assert client.hincrby("changed", "a", 1) == 7
        cluster.start()
        for one in (server, other):
            wait_until(lambda: state(one) == "online", 30)
        for one in (client, other.client(decode_responses=True)):
            assert one.hgetall("changed") == {"a": "7"} and one.hgetall("new") == {"f": "v"}
            assert one.exists("emptied") == 0
            assert one.hgetall("contested") in ({"a": "1", "b": "of the other", "late": who}
                                                for who in ("one", "other"))
        assert database.execute("SELECT type, count(*) FROM respgres.lost GROUP BY 1") == [("hash", 1)]
        (lost,), = database.execute("SELECT id FROM respgres.lost")
        winner = client.hget("contested", "late")
        assert database.execute(f"SELECT respgres.restore_conflict({lost})") == [(True,)]
        assert client.hget("contested", "late") == {"one": "other", "other": "one"}[winner]
    finally:
        if not cluster.is_running():
            cluster.start()
        problems = lab.close()
        database.drop()
    assert not problems, "\n".join(problems)


def test_standalone(lab):
    server = lab.respgres(None, standalone="yes")
    client = server.client(decode_responses=True)
    client.hset("h", mapping={f"f{n}": n for n in range(1000)})
    with client.pipeline() as pipe_:
        pipe_.hincrby("h", "f1", 10).dbsize().hdel("h", "f2").execute()  # a query within
    server.kill9()
    server.start("ready")
    client = server.client(decode_responses=True)
    assert client.hlen("h") == 999 and client.hget("h", "f1") == "11"
    assert client.execute_command("BGSAVE")
    client.hset("h", "f2", "again")
    server.restart()
    assert server.client(decode_responses=True).hget("h", "f2") == "again"
