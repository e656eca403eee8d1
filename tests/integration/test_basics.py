"""What a session store needs, by redis-py and redis-cli, and the rows it leaves in PostgreSQL."""

import time

import pytest
import redis

from harness import encode, wait_until
from harness.machine import Machine
from harness.util import Lifetime

EVERY_BYTE = bytes(range(256))


# --- redis-py ------------------------------------------------------------------------------------

def test_set_get_del(client):
    assert client.get("k") is None
    assert client.set("k", "v") is True
    assert client.get("k") == b"v"
    assert client.exists("k") == 1
    assert client.delete("k", "none") == 1
    assert client.delete("k") == 0
    assert client.get("k") is None


def test_setex_ttl_and_a_plain_set_that_clears_it(client):
    life = Lifetime(2_678_400)
    assert client.setex("k", 2_678_400, "v") is True
    assert life.may_be(client.ttl("k"))
    assert client.pttl("k") > 2_147_483_647  # beyond 32 bits
    assert client.set("k", "w") is True
    assert client.ttl("k") == -1
    assert client.ttl("none") == -2


def test_expire(client):
    client.set("k", "v")
    assert client.expire("none", 10) is False
    life = Lifetime(100)
    assert client.expire("k", 100) is True
    assert life.may_be(client.ttl("k"))
    assert client.persist("k") is True
    assert client.ttl("k") == -1
    assert client.expire("k", -1) is True
    assert client.get("k") is None


def test_a_key_expires_by_itself(client):
    began = time.monotonic()
    client.set("k", "v", px=150)
    assert client.get("k") == b"v" or time.monotonic() - began >= 0.15
    wait_until(lambda: client.get("k") is None, what="k has expired")
    assert client.ttl("k") == -2
    assert client.exists("k") == 0
    assert client.set("k", "again", nx=True) is True


def test_set_options(client):
    assert client.set("k", "1", xx=True) is None
    assert client.set("k", "1", nx=True) is True
    assert client.set("k", "2", nx=True) is None
    life = Lifetime(50)
    assert client.set("k", "3", ex=50, get=True) == b"1"
    assert client.set("k", "4", keepttl=True) is True
    assert life.may_be(client.ttl("k"))


def test_counters(client):
    assert client.incr("n") == 1
    assert client.incrby("n", 41) == 42
    assert client.decr("n") == 41
    client.set("text", "x")
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.incr("text")


def test_several_keys(client):
    assert client.mset({"a": 1, "b": 2}) is True
    assert client.mget("a", "none", "b") == [b"1", None, b"2"]
    assert client.delete("a", "b") == 2


@pytest.mark.parametrize("data", [
    b"", b"\0", b"a\0b", b"\r\n", b"\xff\xfe", EVERY_BYTE, "sn\u00f6\u4e2d".encode(), b"x" * 2600,
], ids=repr)
def test_binary_keys_and_values(client, data):
    assert client.set(data, data[::-1]) is True
    assert client.get(data) == data[::-1]
    assert list(client.scan_iter()) == [data]
    assert client.delete(data) == 1


def test_a_value_of_some_megabytes(client):
    value = EVERY_BYTE * 4096 * 5
    client.set("big", value)
    assert client.get("big") == value
    assert client.strlen("big") == len(value)


def test_databases_are_separate(server):
    zero, one = server.client(), server.client(db=1)
    zero.set("k", "zero")
    assert one.get("k") is None
    one.set("k", "one")
    assert zero.get("k") == b"zero"
    assert (zero.dbsize(), one.dbsize()) == (1, 1)
    one.flushdb()
    assert (zero.dbsize(), one.dbsize()) == (1, 0)


def test_scan_finds_every_key_once(client):
    keys = {b"session:%d" % i for i in range(500)}
    client.mset({key: "v" for key in keys})
    client.set("other", "v")
    found = list(client.scan_iter(match="session:*", count=50))
    assert set(found) == keys
    assert len(found) == len(keys)
    assert client.dbsize() == 501


def test_multi_exec(client):
    with client.pipeline(transaction=True) as pipe:
        pipe.set("a", 1).incr("a").get("a").get("none")
        assert pipe.execute() == [True, 2, b"2", None]


def test_watch_notices_another_client(server, client):
    with client.pipeline(transaction=True) as pipe:
        pipe.watch("k")
        server.client().set("k", "other")
        pipe.multi()
        pipe.set("k", "mine")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert client.get("k") == b"other"


# --- the wire ------------------------------------------------------------------------------------

def test_pipeline_keeps_the_order(client):
    with client.pipeline(transaction=False) as pipe:
        for i in range(500):
            pipe.set("k", i)
            pipe.get("k")
            pipe.get(f"none{i}")
        replies = pipe.execute()
    assert replies[1::3] == [b"%d" % i for i in range(500)]
    assert set(replies[2::3]) == {None}


def test_inline_commands(server):
    with server.raw() as raw:
        raw.send(b"PING\r\n\r\n  set  k 'a \\'b' \r\nGET k\nget \"k\"\r\nNONSENSE a\r\n")
        assert raw.reply() == b"+PONG\r\n"
        assert raw.reply() == b"+OK\r\n"
        assert raw.reply() == b"$4\r\na 'b\r\n"
        assert raw.reply() == b"$4\r\na 'b\r\n"
        assert raw.reply() == (b"-ERR unknown command 'NONSENSE', "
                               b"with args beginning with: 'a' \r\n")


def test_replies_reach_a_client_that_has_half_closed(server):
    """printf '...' | nc: everything sent before the end is executed and answered."""
    with server.raw() as raw:
        raw.send(encode("SET", "k", "v") + encode("GET", "k") + encode("PING"))
        raw.half_close()
        assert raw.rest() == b"+OK\r\n$1\r\nv\r\n+PONG\r\n"


@pytest.mark.parametrize("gone", ("half_close", "close"))
def test_who_has_closed_behind_a_command_without_a_reply_is_closed(server, machine, gone):
    """Not after the ten seconds that somebody has who does not read."""
    client = server.client()
    client.ping()
    with server.raw() as raw:
        raw.command("CLIENT", "SETNAME", "silent")
        raw.send(encode("CLIENT", "REPLY", "OFF") + encode("SET", "k", "v"))
        getattr(raw, gone)()
        took, _ = machine.seconds(lambda: wait_until(
            lambda: "silent" not in [found["name"] for found in client.client_list()], what="it is closed"))
    assert took < 5


def test_quit_answers_what_came_before(server):
    with server.raw() as raw:
        raw.send(encode("SET", "k", "v") + encode("QUIT") + encode("SET", "k", "w"))
        assert raw.rest() == b"+OK\r\n+OK\r\n"
    assert server.client().get("k") == b"v"


def test_resp3(server):
    with server.raw() as raw:
        hello = raw.command("HELLO", "3")
        assert hello.startswith(b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
        assert b"$5\r\nproto\r\n:3\r\n" in hello
        assert raw.command("GET", "none") == b"_\r\n"
        assert raw.command("HELLO", "2").startswith(b"*14\r\n")
        assert raw.command("GET", "none") == b"$-1\r\n"
        assert raw.command("HELLO", "4") == b"-NOPROTO unsupported protocol version\r\n"


def test_a_password(lab, request):
    if request.config.getoption("--against") == "redis":
        server = lab.redis(requirepass="geheim")
    else:
        server = lab.respgres(lab.database(), requirepass="geheim")
    with pytest.raises(redis.AuthenticationError):
        server.client().get("k")
    with pytest.raises(redis.ResponseError, match="^WRONGPASS "):
        server.client(password="falsch").get("k")
    assert server.client(password="geheim").set("k", "v") is True
    assert server.client(username="default", password="geheim").get("k") == b"v"
    assert server.cli("-a", "geheim", "--no-auth-warning", "GET", "k") == "v\n"


# --- redis-cli -----------------------------------------------------------------------------------

def test_cli_one_shot(server):
    life = Lifetime(100)
    assert server.cli("SET", "k", "v", "EX", "100") == "OK\n"
    assert server.cli("GET", "k") == "v\n"
    assert server.cli("GET", "none") == "\n"
    assert life.may_be(int(server.cli("TTL", "k")))
    assert server.cli("DEL", "k") == "1\n"


def test_cli_resp3(server):
    server.cli("SET", "k", "v")
    assert server.cli("-3", "GET", "k") == "v\n"
    assert server.cli("-3", "--no-raw", "GET", "none") == "(nil)\n"


def test_cli_piped_stdin(server):
    printed = server.cli(stdin="SET k 'a b'\nGET k\nNONSENSE\nSTRLEN k\n", check=False)
    assert printed.splitlines()[:2] == ["OK", "a b"]
    assert "unknown command 'NONSENSE'" in printed
    assert printed.splitlines()[-1] == "3"


def test_cli_value_from_stdin(server):
    assert server.cli("-x", "SET", "k", stdin=EVERY_BYTE, text=False) == b"OK\n"
    assert server.client().get("k") == EVERY_BYTE


def test_cli_scan(server):
    keys = {f"session:{i}" for i in range(30)}
    server.client().mset({**{key: "v" for key in keys}, "other": "v"})
    printed = server.cli("--scan", "--pattern", "session:*").split()
    assert sorted(printed) == sorted(keys)


def test_cli_pipe(server):
    commands = b"".join(encode("SET", f"k{i}", i) for i in range(3000))
    printed = server.cli("--pipe", stdin=commands, text=False)
    assert b"errors: 0, replies: 3000" in printed
    assert server.client().dbsize() == 3000


# --- rows ----------------------------------------------------------------------------------------

@pytest.mark.rows
def test_a_reply_is_a_row(client, database):
    life = Lifetime(100)
    client.setex("session:a", 100, b"\x80\x04v\0")
    row = database.row("session:a")
    assert row.value == b"\x80\x04v\0"
    assert life.may_be(row.ttl)
    client.set("session:a", "w")
    again = database.row("session:a")
    assert (again.value, again.ttl) == (b"w", None)
    assert again.version > row.version


@pytest.mark.rows
def test_keys_with_every_byte_are_rows(client, database):
    client.mset({EVERY_BYTE: EVERY_BYTE, b"": b"empty"})
    assert database.live() == {EVERY_BYTE: EVERY_BYTE, b"": b"empty"}


@pytest.mark.rows
def test_the_view_shows_what_is_live(client, database):
    client.set("session:a", "readable")
    client.set("session:gone", "x")
    client.delete("session:gone")
    client.set("session:expired", "x", px=1)
    wait_until(lambda: client.get("session:expired") is None)
    assert database.psql("SELECT key, value FROM respgres.keys") == "session:a|readable"


@pytest.mark.rows
def test_del_leaves_a_tombstone(client, database):
    client.set("k", "v")
    before = database.row("k")
    client.delete("k")
    after = database.row("k")
    assert after.value is None
    assert after.version > before.version
    client.set("k", "again")
    assert database.row("k").value == b"again"
    assert database.row("k").version > after.version


@pytest.mark.rows
def test_a_row_changed_by_sql_is_seen_at_once(client, database):
    client.setex("k", 100, "v")
    assert client.get("k") == b"v"
    database.execute("UPDATE respgres.entries SET value = 'by hand' WHERE key = 'k'")
    assert client.get("k") == b"by hand"
    database.execute("UPDATE respgres.entries SET expires_at = now() - interval '1 s'"
                     " WHERE key = 'k'")
    assert client.get("k") is None
    client.set("k", "v")
    database.execute("DELETE FROM respgres.entries WHERE key = 'k'")
    assert client.get("k") is None
    assert client.exists("k") == 0


@pytest.mark.rows
def test_an_expired_row_is_swept(lab, database):
    client = lab.respgres(database, sweep_interval="50ms").client()
    client.mset({"expired": "v", "stays": "v"})
    client.expire("stays", 1000)
    # The index of expiries is coarse: what has just expired may wait for the end of its minute.
    database.execute("UPDATE respgres.entries SET expires_at = now() - interval '10 minutes'"
                     " WHERE key = 'expired'")
    wait_until(lambda: database.row("expired") is None, 60, "the row is swept")
    assert database.live() == {b"stays": b"v"}


@pytest.mark.rows
@pytest.mark.long
@pytest.mark.timeout(300)
def test_an_expired_row_and_an_old_tombstone_are_swept(lab, database):
    client = lab.respgres(database, sweep_interval="50ms", tombstone_retention="1s").client()
    client.mset({"stays": "v", "deleted": "v"})
    client.set("expired", "v", px=20)
    client.delete("deleted")
    wait_until(lambda: database.row("expired") is None and database.row("deleted") is None, 200)
    assert database.live() == {b"stays": b"v"}


@pytest.mark.rows
def test_every_acknowledged_write_survives_a_restart(server, database):
    client = server.client()
    client.mset({f"k{i}": i for i in range(100)})
    life = Lifetime(1000)
    client.setex("session", 1000, "v")
    server.restart()
    assert server.client().dbsize() == 101
    assert server.client().get("k99") == b"99"
    assert life.may_be(server.client().ttl("session"))
    assert len(database.live()) == 101


@pytest.mark.rows
def test_two_instances_tell_the_same_truth(lab, database):
    one, two = (lab.respgres(database).client() for _ in range(2))
    for i in range(200):
        writer, reader = (one, two) if i % 2 else (two, one)
        writer.set("k", i)
        assert reader.get("k") == b"%d" % i
        assert reader.incr("n") == i + 1
    one.delete("k")
    assert two.get("k") is None


@pytest.mark.rows
def test_a_row_locked_in_psql_delays_only_its_key(server, database):
    client = server.client()
    client.mset({"locked": 1, "free": 1})
    machine = Machine(server.dir).start()
    machine.follow(server, server.pid)
    person = database.connect()
    person.autocommit = False
    with person.cursor() as cursor:
        cursor.execute("SELECT 1 FROM respgres.entries WHERE key = 'locked' FOR UPDATE")
        with server.raw() as waiting:
            waiting.send(encode("SET", "locked", 2))
            before = time.monotonic()
            for i in range(20):
                assert client.set("free", i) is True
            after = time.monotonic()
            person.rollback()
            assert waiting.reply() == b"+OK\r\n"
    person.close()
    machine.stop()
    assert after - before - machine.held_up(server, before, after) < 5
    assert client.get("locked") == b"2"
