"""Lists, sets and sorted sets where they are not in PostgreSQL: in the journal of a standalone instance,
in memory while PostgreSQL is away, and in a dump that a Redis reads."""

import pytest

from harness import wait_until
from test_backup import dump, pipe

pytestmark = pytest.mark.rows


def fill(client):
    client.rpush("l", *range(700), b"\x00\xff", "")
    client.sadd("ints", *range(-5, 400))
    client.sadd("words", *[f"m{i}" for i in range(700)], b"\xff\n")
    client.zadd("small", {"a": 1.5, "b": "-inf", b"\x00": 0.1})
    client.zadd("large", {f"m{i}": i / 7 for i in range(700)})
    client.expire("large", 10_000)


def contents(client):
    return [client.lrange("l", 0, -1), client.smembers("ints"), client.smembers("words"),
            client.zrange("small", 0, -1, withscores=True),
            client.zrange("large", 0, -1, withscores=True), client.ttl("large") > 9_000,
            *[client.object("encoding", key) for key in ("l", "ints", "words", "small", "large")]]


def state(server):
    return server.info("postgres")["store_state"]


def test_standalone(lab):
    server = lab.respgres(None, standalone="yes")
    client = server.client()
    fill(client)
    before = contents(client)
    assert before[6:] == [b"quicklist", b"intset", b"hashtable", b"listpack", b"skiplist"]
    server.kill9()
    server.start("ready")
    client = server.client()
    assert contents(client) == before
    client.lpop("l", 702)
    client.zpopmin("small")
    server.restart()
    client = server.client()
    assert client.exists("l") == 0
    assert client.zrange("small", 0, -1) == [b"\x00", b"a"]


def test_a_dump_goes_into_redis(lab, respgres, database):
    real = lab.redis()
    fill(respgres.client())
    real.client().rpush("l", "of before")
    pipe(real, dump(database).stdout)
    assert contents(real.client()) == contents(respgres.client())


def test_while_postgresql_is_away(lab):
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    server = lab.respgres(database, pg_timeout=10_000)
    client = server.client()
    fill(client)
    contents(client)  # what has been read is known while PostgreSQL is away
    postgres.kill9()
    wait_until(lambda: state(server) == "away", 30, "away")
    assert client.rpush("l", "late") == 703
    assert client.zincrby("small", 1, "a") == 2.5
    assert client.srem("words", "m1") == 1
    assert client.lpush("new", "x") == 1
    during = contents(client)
    postgres.start()
    wait_until(lambda: state(server) == "online", 30, "online")
    assert contents(client) == during
    other = lab.respgres(database)
    assert contents(other.client()) == during
    assert other.client().lrange("new", 0, -1) == [b"x"]
