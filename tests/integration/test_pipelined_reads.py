"""What one client reads in a pipeline is read in its order: never an older state of a key after a newer one, and what it
has read behind a WATCH is what the WATCH holds to, though one of its reads may have to ask again."""

import pytest

from harness import encode
from harness.replies import OK, bulk
from rules import lanes  # noqa: F401 pylint: disable=unused-import

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

FIRST = {"WATCH": [("WATCH", "a", "b")],
         "MGET": [("MGET", "a", "b")],
         "EVAL": [("EVAL", "return redis.call('MGET', KEYS[1], KEYS[2])", 2, "a", "b")],
         "block": [("MULTI",), ("GET", "a"), ("GET", "b"), ("EXEC",)]}


def begun(server):
    client = server.raw()
    assert client.command("MSET", "a", "old", "b", "1") == OK
    assert client.command("MGET", "a", "b")[:2] == b"*2"
    return client


def say(client, first):
    client.send(b"".join(encode(*words) for words in FIRST[first]) + encode("GET", "a"))


def check(client, first):
    """`first` and then GET a have been answered; another instance has written to `a` in between, or before."""
    replies = [client.reply() for _ in range(len(FIRST[first]) + 1)]
    told, got = replies[-2:]
    assert got in (bulk(b"old"), bulk(b"new"))
    if first == "WATCH":
        client.send(encode("MULTI") + encode("SET", "a", "based on it") + encode("EXEC"))
        done = [client.reply() for _ in range(3)][-1]
        assert got == bulk(b"new") or done == b"*-1\r\n", "the block went through, and was based on an old value"
    else:
        assert got == bulk(b"new") or b"new" not in told, "an older value after a newer one"


@pytest.mark.parametrize("first", FIRST)
def test_one_has_to_ask_again(lab, database, lanes, first):  # noqa: F811
    """Another lane has brought a newer state of one of its keys."""
    server = lab.respgres(database.url_by(port=lanes.port), pg_timeout=10_000, pg_read_lanes=2)
    other = lab.respgres(database, pg_timeout=10_000).client()
    client, neighbour = begun(server), server.client()
    gate = lanes.hold("read-0", "respgres_read*", "answer")
    say(client, first)
    gate.wait()
    other.set("b", "2")
    assert neighbour.get("b") == b"2"
    other.set("a", "new")
    gate.release()
    check(client, first)


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("consistency", ("strict", "cached"))
def test_one_asks_and_one_need_not(lab, database, lanes, consistency, first):  # noqa: F811
    """What has to be asked of PostgreSQL in any case, and then a key that memory could answer for."""
    server = lab.respgres(database.url_by(port=lanes.port), pg_timeout=10_000, consistency=consistency)
    other = lab.respgres(database, pg_timeout=10_000).client()
    client = begun(server)
    gate = lanes.hold("read-0", "respgres_read*", "request")
    say(client, first)
    gate.wait()
    other.set("a", "new")
    gate.release()
    check(client, first)
