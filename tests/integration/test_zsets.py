"""Sorted sets, by redis-py: what they are as values and as rows, and how scores are told. What each
command answers is compared with Redis in test_collections_differential.py."""

import threading

import pytest
import redis


@pytest.fixture(scope="module")
def home(module_lab):
    return module_lab.database()


@pytest.fixture(scope="module")
def server(request, module_lab, home):
    if request.config.getoption("--against") == "redis":
        return module_lab.redis()
    return module_lab.respgres(home)


@pytest.fixture
def client(server):
    client = server.client()
    client.flushall()
    return client


@pytest.fixture
def raw(server, client):
    """Replies to the byte, on an emptied server."""
    return server.raw()


def test_members_and_ranks(client):
    assert client.zadd("z", {"a": 1, "b": 2, "c": 2}) == 3
    assert client.zadd("z", {"a": 5}, xx=True, ch=True) == 1
    assert client.zadd("z", {"a": 4}, gt=True, ch=True) == 0
    assert client.zincrby("z", -2.5, "a") == 2.5
    assert client.zrange("z", 0, -1, withscores=True) == [(b"b", 2), (b"c", 2), (b"a", 2.5)]
    assert client.zrank("z", "a") == 2 and client.zrevrank("z", "a") == 0
    assert client.zrank("z", "x") is None
    assert client.zcount("z", 2, "(2.5") == 2
    assert client.zrangebyscore("z", "-inf", "+inf", start=1, num=1) == [b"c"]
    assert client.zpopmax("z") == [(b"a", 2.5)]
    assert client.zrem("z", "a", "b", "c") == 2
    assert client.exists("z") == 0


@pytest.mark.parametrize("text, resp2", [
    ("1", b"1"), ("3.0", b"3"), ("-0.5", b"-0.5"), ("0.1", b"0.10000000000000001"),
    ("1e21", b"1e+21"), ("123456789012345678", b"1.2345678901234568e+17"), ("inf", b"inf"),
    ("-Infinity", b"-inf"), ("0x10", b"16"), ("1e-7", b"9.9999999999999995e-08"), ("-0", b"0")])
def test_how_a_score_is_told(server, raw, text, resp2):
    assert raw.command("ZADD", "z", text, "m") == b":1\r\n"
    assert raw.command("ZSCORE", "z", "m") == b"$%d\r\n%s\r\n" % (len(resp2), resp2)
    raw.command("HELLO", "3")
    assert raw.command("ZSCORE", "z", "m") == b",%s\r\n" % resp2
    raw.command("DEL", "z")


@pytest.mark.parametrize("text", ["nan", "x", "", " 1", "1 ", "1e400", "-1e400", "1e-400", "1,5"])
def test_what_is_no_score(client, text):
    with pytest.raises(redis.ResponseError, match="value is not a valid float"):
        client.execute_command("ZADD", "z", text, "m")
    assert client.exists("z") == 0


def test_infinities_do_not_add_up(client):
    client.zadd("z", {"m": "inf"})
    with pytest.raises(redis.ResponseError, match="resulting score is not a number"):
        client.zincrby("z", "-inf", "m")
    assert client.zscore("z", "m") == float("inf")
    client.zadd("y", {"m": "-inf"})
    assert client.zunionstore("x", ["z", "y"]) == 1
    assert client.zscore("x", "m") == 0


def test_pairs_under_resp3(raw):
    raw.command("ZADD", "z", "1", "a", "2", "b")
    raw.command("HELLO", "3")
    pairs = b"*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2\r\n"
    assert raw.command("ZRANGE", "z", "0", "-1", "WITHSCORES") == pairs
    assert raw.command("ZUNION", "1", "z", "WITHSCORES") == pairs
    assert raw.command("ZPOPMIN", "z", "2") == pairs


def test_weights_and_sets(client):
    client.zadd("z", {"a": 1, "b": 2})
    client.sadd("s", "b", "c")
    assert client.zunionstore("d", {"z": 2, "s": 10}, aggregate="MAX") == 3
    assert client.zrange("d", 0, -1, withscores=True) == [(b"a", 2), (b"b", 10), (b"c", 10)]
    assert client.zinterstore("d", ["z", "s"]) == 1
    assert client.zrange("d", 0, -1, withscores=True) == [(b"b", 3)]
    assert client.execute_command("ZDIFFSTORE", "d", 2, "z", "s") == 1
    assert client.zdiff(["z", "s"]) == [b"a"]
    assert client.execute_command("ZINTERCARD", 2, "z", "s") == 1
    assert client.zunionstore("d", ["none"]) == 0
    assert client.exists("d") == 0


def test_a_large_one(client):
    n = 20_000
    client.zadd("z", {f"m{i}": (i * 7919) % n for i in range(n)})
    assert client.object("encoding", "z") == b"skiplist"
    assert client.zrange("z", 10_000, 10_001, withscores=True)[0][1] == 10_000
    assert client.zrank("z", "m1") == 7919
    assert client.zremrangebyrank("z", 0, 9_999) == 10_000
    assert client.zcount("z", "-inf", "9999") == 0
    assert client.zremrangebyscore("z", "(10000", "(15000") == 4_999
    assert client.zcard("z") == n - 14_999
    client.zadd("y", {f"m{i}": i for i in range(128)})
    assert client.object("encoding", "y") == b"listpack"
    client.zadd("y", {"one more": 1})
    assert client.object("encoding", "y") == b"skiplist"


def test_ranges_by_bytes(client):
    client.zadd("z", dict.fromkeys(["a", "b", "bb", "c", b"\xff"], 0))
    assert client.zrangebylex("z", "[b", "(c") == [b"b", b"bb"]
    assert client.zrevrangebylex("z", "+", "(bb") == [b"\xff", b"c"]
    assert client.zlexcount("z", "-", "[bb") == 3
    assert client.execute_command("ZRANGE", "z", "(c", "-", "BYLEX", "REV", "LIMIT", 1, 1) == [b"b"]
    assert client.execute_command("ZRANGESTORE", "d", "z", "[b", "+", "BYLEX") == 4
    assert client.zremrangebylex("z", "-", "(bb") == 2
    assert client.zrange("z", 0, -1) == [b"bb", b"c", b"\xff"]


@pytest.mark.rows
def test_its_row(lab, database):
    client = lab.respgres(database, decode="*").client()
    client.zadd("z", {"b": 1, "a": 2.5, "c": "-inf"})
    assert database.execute("SELECT type, doc::text FROM respgres.entries WHERE key = 'z'") == [
        (3, '[["c", "-Infinity"], ["b", 1.0], ["a", 2.5]]')]


@pytest.mark.rows
def test_it_outlives_a_restart(lab, database):
    respgres = lab.respgres(database)
    client = respgres.client()
    client.zadd("z", {f"m{i}": i / 3 for i in range(300)})
    before = client.zrange("z", 0, -1, withscores=True)
    respgres.restart()
    client = respgres.client()
    assert client.zrange("z", 0, -1, withscores=True) == before
    assert client.object("encoding", "z") == b"skiplist"


@pytest.mark.rows
def test_two_instances_add_to_one_score(lab, database):
    servers = [lab.respgres(database), lab.respgres(database)]

    def work(number):
        client = servers[number % 2].client()
        for i in range(50):
            client.zincrby("z", 1, "shared")
            client.zadd("z", {f"{number}:{i}": i})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for server in servers:
        assert server.client().zscore("z", "shared") == 200
        assert server.client().zcard("z") == 201
