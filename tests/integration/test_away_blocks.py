"""What an instance knows of keys that were in a PostgreSQL transaction of their own (a MULTI block with a
command over the whole keyspace, a txn that has lost the race for its keys), when PostgreSQL goes before
anybody has read them since."""

import pytest

from rules import OK, Threads, incrementing, replies, send_all, stat  # noqa: F401
from test_doubt_away import behind, come_back, conflicts, cut_off, link  # noqa: F401 pylint: disable=unused-import

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]


def test_what_a_block_with_a_query_has_left_is_known(lab, database, link):  # noqa: F811
    """It read as absent, and what was written over it lost to it."""
    server = behind(lab, database, link, pg_timeout=10_000)
    client, other = server.client(), lab.respgres(database).client()
    other.mset({"read": "1", "touched": "1", "taken": "1", "counted": "1"})
    other.rpush("list", "a")
    with client.pipeline() as block:
        block.setex("early", 5000, "1").rpush("list", "b").get("read").dbsize()
        block.expire("touched", 5000).getdel("taken").incr("counted").append("early", "2").get("none").dbsize()
        assert block.execute() == [True, 2, b"1", 6, True, b"1", 2, 2, None, 5]
    cut_off(link, server)
    assert client.mget("early", "read", "touched", "taken", "counted", "none") == \
        [b"12", b"1", b"1", None, b"2", None]
    assert 4900 < client.ttl("early") <= 5000 and 4900 < client.ttl("touched") <= 5000
    assert client.lrange("list", 0, -1) == [b"a", b"b"]
    assert stat(server, "away_unknown_reads") == 0
    client.append("early", "3")
    client.rpush("list", "c")
    client.incr("counted")
    client.set("read", "2", keepttl=True)
    client.set("taken", "anew")
    client.set("none", "new")
    come_back(link, server)
    found = {key: value for key, value in zip(("early", "read", "touched", "taken", "counted", "none"), other.mget(
        "early", "read", "touched", "taken", "counted", "none"))}
    assert found == {"early": b"123", "read": b"2", "touched": b"1", "taken": b"anew", "counted": b"3",
                     "none": b"new"}
    assert other.lrange("list", 0, -1) == [b"a", b"b", b"c"]
    assert conflicts(database) == []


@pytest.mark.parametrize("side, stands", [("request", b"1"), ("answer", b"2")])
def test_what_was_known_before_a_block_in_doubt_is_known(lab, database, link, side, stands):  # noqa: F811
    """Nobody knows whether it was committed: what was known before serves until PostgreSQL is back."""
    server = behind(lab, database, link, pg_timeout=10_000)
    client = server.client()
    assert client.set("s", "1") and client.get("s") == b"1"
    gate = link.lanes.hold("commit-0", "respgres_commit*", side)
    asked = send_all(server, ["MULTI"], ["DBSIZE"], ["SET", "s", "2"], ["EXEC"])
    assert replies(asked, 3) == [OK, b"+QUEUED\r\n", b"+QUEUED\r\n"]
    gate.wait()
    cut_off(link, server)
    gate.cut()
    assert asked.reply().startswith(b"-ERR PostgreSQL did not confirm")
    assert client.get("s") == b"1"
    come_back(link, server)
    assert client.get("s") == stands
    assert conflicts(database) == []
