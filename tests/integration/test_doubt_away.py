"""A commit whose answer was lost, and then PostgreSQL goes for good: what the instance knew of the key, or
has been told afterwards, is what it serves, and what its writes are based on."""

import pytest

from harness import encode, wait_until
from harness.lane_proxy import LaneProxy
from rules import OK, send, stat

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

UNCONFIRMED = b"-ERR PostgreSQL did not confirm"


@pytest.fixture
def link(lab, database):
    """The proxy that PostgreSQL is cut off by; the lanes' proxy is before it."""
    proxy = lab.proxy(("127.0.0.1", lab.postgres_port(database)))
    proxy.lanes = LaneProxy(("127.0.0.1", proxy.port))
    yield proxy
    proxy.lanes.release_all()
    proxy.pass_on()
    for server in lab.servers:
        if server.is_running():
            server.sigterm()
    proxy.lanes.close()


def behind(lab, database, link, **options):
    return lab.respgres(database.url_by(port=link.lanes.port), **options)


def state(server):
    return server.info("postgres")["store_state"]


def cut_off(link, server):
    link.refuse()
    link.cut()
    wait_until(lambda: state(server) == "away", 30, "it is away")


def come_back(link, server):
    link.pass_on()
    wait_until(lambda: state(server) == "online", 60, "it is online")


def conflicts(database):
    return database.execute("SELECT key, value, lost FROM respgres.conflicts")


def test_what_was_found_out_to_be_done_is_known(lab, database, link):
    """Acknowledged, and read by nobody since: it read as absent, and a SET over it lost to it."""
    server = behind(lab, database, link, pg_timeout=10_000)
    client = server.client()
    gate = link.lanes.hold("commit-0", "respgres_commit*", "answer")
    asked = send(server, "SETEX", "s", "5000", "mine")
    gate.wait().cut()
    assert asked.reply() == OK
    assert stat(server, "postgres_settled_applied") == 1
    cut_off(link, server)
    assert client.get("s") == b"mine"
    assert 4900 < client.ttl("s") <= 5000
    assert client.append("s", "+") == 5
    come_back(link, server)
    assert client.get("s") == b"mine+"
    assert conflicts(database) == []


def test_the_row_may_be_ahead(lab, database, link):
    """Its version is another one than was asked for: it is read again, and not served as it was."""
    server = behind(lab, database, link, pg_timeout=10_000)
    client, other = server.client(), lab.respgres(database, pg_timeout=10_000).client()
    other.set("s", "theirs")
    database.execute("UPDATE respgres.entries SET version = version + (1::bigint << 52)")
    gate = link.lanes.hold("commit-0", "respgres_commit*", "answer")
    asked = send(server, "SET", "s", "mine")
    gate.wait().cut()
    assert asked.reply() == OK
    assert client.get("s") == b"mine"
    assert other.append("s", "!") == 5
    assert client.append("s", "?") == 6
    assert client.get("s") == other.get("s") == b"mine!?"


@pytest.mark.parametrize("side, known", [("request", 5), ("answer", 7)])
def test_what_was_known_before_a_doubt_is_known(lab, database, link, side, known):
    """The client was told that it may or may not have been done, and it turned out later. Then PostgreSQL
    goes before anybody has read the key: it read as absent, and what was written over it lost."""
    server = behind(lab, database, link, pg_timeout=1000)
    client = server.client()
    keys = ["read", "set", "deleted", "counted"]
    assert client.mset(dict.fromkeys(keys, "5"))
    gate = link.lanes.hold("commit-0", "respgres_commit*", side)
    asked = send(server, "MSET", *(word for key in keys for word in (key, "7")))
    gate.wait()
    told = asked.reply()
    gate.cut()
    name = "postgres_settled_applied" if known == 7 else "postgres_settled_not_applied"
    wait_until(lambda: stat(server, name) == 1, 30, "what became of it is known")
    cut_off(link, server)
    # Client and lane have the same time. Where the lane gave up first, it is asked about, or the batch is sent again,
    # while the client waits: it may be told that it was done, and what was sent again may be in doubt anew.
    read = int(client.get("read"))
    if told == OK:
        assert read == 7
    else:
        assert told.startswith(UNCONFIRMED)
        assert read == known or (side == "request" and read == 7)
    known = read
    client.set("set", "8")
    assert client.delete("deleted") == 1
    assert client.incr("counted") == known + 1
    come_back(link, server)
    assert client.mget(*keys) == [b"%d" % known, b"8", None, b"%d" % (known + 1)]
    assert conflicts(database) == []


def test_what_was_done_is_still_known_when_a_merge_fails(lab, database, link):
    """A batch that was in flight has been carried out, and what was written upon it is merged at the second
    attempt only: no row was changed by others, so none goes into `conflicts`."""
    server = behind(lab, database, link, pg_timeout=10_000)
    client, asked = server.client(), server.raw()
    assert client.incr("count") == 1
    gate = link.lanes.hold("commit-0", "respgres_commit*", "answer")
    asked.send(encode("INCR", "count"))
    gate.wait()
    cut_off(link, server)
    gate.cut()
    assert asked.reply() == b":2\r\n"
    assert client.incr("count") == 3
    merge = link.lanes.hold("commit-1", "respgres_merge", "request")
    link.pass_on()
    merge.wait().cut()
    wait_until(lambda: state(server) == "online", 60, "it is online")
    assert stat(server, "postgres_settled_applied") == 1
    assert client.get("count") == b"3"
    assert conflicts(database) == []
