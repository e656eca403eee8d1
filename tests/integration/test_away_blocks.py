"""What an instance knows of keys that were in a PostgreSQL transaction of their own (a MULTI block with a
command over the whole keyspace, a txn that has lost the race for its keys), when PostgreSQL goes before
anybody has read them since."""

import pytest

from harness import wait_until
from rules import (  # noqa: F401 pylint: disable=unused-import
    OK, Holder, Threads, incrementing, lanes, replies, send_all, stat, waiting_for_locks)
from test_cached import from_memory, wait_trusted
from test_doubt_away import behind, come_back, conflicts, cut_off, link, state  # noqa: F401 pylint: disable=unused-import

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


# --- reads and writes go different ways ----------------------------------------------------------------

def end_backends(database, *lanes_of):
    for lane in lanes_of:
        database.postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                                  " AND application_name LIKE %s", database.name, f"respgres% {lane}-%")


@pytest.mark.parametrize("side", ["request", "answer"])
def test_a_block_in_doubt_is_not_hidden_by_the_cache(lab, database, lanes, side):  # noqa: F811
    """Only the lanes of reads are lost, so the cache goes on. The block's COMMIT counts, at once or when the
    store is online again; what had been in memory before, or was read in between, was answered for ever."""
    other = lab.respgres(database).client()
    other.set("s", "1")
    server = lab.respgres(database.url_by(port=lanes.port), consistency="cached", cached_max_lag=60_000,
                          pg_commit_lanes=2)
    wait_trusted(server)
    client = server.client()
    assert client.get("s") == b"1" and from_memory(server, client, "GET", "s") == (True, b"1")
    gate = lanes.hold("commit-0", "respgres_commit*", side)
    asked = send_all(server, ["MULTI"], ["DBSIZE"], ["SET", "s", "2"], ["EXEC"])
    assert replies(asked, 3) == [OK, b"+QUEUED\r\n", b"+QUEUED\r\n"]
    gate.wait()
    settling = lanes.hold("commit-0", "respgres_settle*", "request")
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT 0')
    end_backends(database, "read")
    wait_until(lambda: state(server) == "away", what="it is away")
    assert asked.reply().startswith(b"-ERR PostgreSQL did not confirm")
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT -1')
    wait_until(lambda: state(server) == "online", what="it is online")
    settling.wait()
    assert client.get("s") == other.get("s") == (b"1" if side == "request" else b"2")
    gate.release()
    wait_until(lambda: other.get("s") == b"2", what="it has counted")
    assert client.get("s") == b"2"
    settling.release()
    wait_until(lambda: stat(server, "postgres_settled_applied") == 1, what="that is found out")
    assert client.get("s") == b"2"
    assert wait_until(lambda: from_memory(server, client, "GET", "s")[0], what="it is answered from memory")
    assert client.get("s") == b"2"


def test_a_block_where_only_reads_go_to_postgresql_hides_nothing(lab, database):
    """It is answered from memory, and what memory does not know was taken for absent afterwards."""
    other = lab.respgres(database).client()
    other.mset({"s": "theirs", "t": "theirs"})
    other.rpush("list", "a", "b")
    server = lab.respgres(database)
    client = server.client()
    assert client.get("t") == b"theirs"
    versions = database.execute("SELECT value_version FROM respgres.entries WHERE key = 't'")
    read_only = f'ALTER DATABASE "{database.name}" SET default_transaction_read_only = '
    database.postgres.execute(read_only + "on")
    end_backends(database, "commit")
    wait_until(lambda: state(server) == "away", what="it is away")
    with client.pipeline() as block:
        block.get("s").get("t").lrange("list", 0, -1).dbsize()
        assert block.execute()[1] == b"theirs"
    assert client.rpush("list", "c") == 3
    assert client.append("s", "!") == 7
    assert client.expire("t", 5000)
    database.postgres.execute(read_only + "off")
    end_backends(database, "commit", "read", "query", "listen")
    wait_until(lambda: state(server) == "online", 60, "it is online")
    assert other.lrange("list", 0, -1) == [b"a", b"b", b"c"]
    assert other.mget("s", "t") == [b"theirs!", b"theirs"]
    assert database.execute("SELECT value_version FROM respgres.entries WHERE key = 't'") == versions
    assert conflicts(database) == []


BLOCKS = {
    "writes": ([["SET", "s", "2"], ["RPUSH", "list", "b"]], {"s": b"2+", "t": b"1+", "list": [b"a", b"b", b"c"]}),
    "a log-out": ([["DEL", "s", "list"]], {"s": b"+", "t": b"1+", "list": [b"c"]}),
    "FLUSHALL": ([["GET", "s"], ["FLUSHALL"]], {"s": b"+", "t": b"+", "list": [b"c"]}),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_not_committed_behind_the_back_of_memory(lab, database, block):
    """Somebody holds its row, and only the lanes of reads are lost. It was committed by PostgreSQL and
    acknowledged, while all that came after it was answered from memory, which did not know of it."""
    commands, wanted = BLOCKS[block]
    server = lab.respgres(database)
    client = server.client()
    client.mset({"s": "1", "t": "1"})
    client.rpush("list", "a")
    assert client.get("s") == client.get("t") == b"1" and client.lrange("list", 0, -1) == [b"a"]
    with Holder(database, "s") as holder:
        asked = send_all(server, ["MULTI"], ["DBSIZE"], *commands, ["EXEC"])
        wait_until(lambda: waiting_for_locks(database), what="the block waits for the row")
        database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT 0')
        end_backends(database, "read")
        wait_until(lambda: state(server) == "away", what="it is away")
        holder.release()
    assert replies(asked, len(commands) + 2)[0] == OK
    assert asked.reply().startswith(b"*%d" % (len(commands) + 1))
    assert client.append("s", "+") and client.append("t", "+") and client.rpush("list", "c")
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT -1')
    wait_until(lambda: state(server) == "online", 60, "it is online")
    other = lab.respgres(database).client()
    for reader in (client, other):
        assert {"s": reader.get("s"), "t": reader.get("t"), "list": reader.lrange("list", 0, -1)} == wanted
    assert conflicts(database) == []


@pytest.mark.parametrize("consistency", ["strict", "cached"])
def test_a_write_asks_postgresql_where_that_can_be_read(lab, database, consistency):
    """It was computed from what this instance had in memory, and no commit told that others had written."""
    other = lab.respgres(database).client()
    server = lab.respgres(database, consistency=consistency)
    client = server.client()
    other.mset({"counted": "1", "handed out": "1", "deleted": "1"})
    other.rpush("list", "a")
    assert client.mget("counted", "handed out", "deleted", "locked") == [b"1", b"1", b"1", None]
    assert client.lrange("list", 0, -1) == [b"a"]
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT 0')
    database.postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                              " AND application_name LIKE %s", database.name, f"respgres%:{server.port} commit-%")
    wait_until(lambda: state(server) == "away", what="it is away")
    other.mset({"counted": "41", "handed out": "new", "locked": "theirs"})
    other.rpush("list", "b")
    other.delete("deleted")
    assert client.incr("counted") == 42
    assert client.getdel("handed out") == b"new"
    assert client.setnx("locked", "mine") == 0
    assert client.rpush("list", "c") == 3
    assert client.append("deleted", "+") == 1
    assert client.incr("counted") == 43
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT -1')
    wait_until(lambda: state(server) == "online", 60, "it is online")
    assert other.mget("counted", "handed out", "deleted", "locked") == [b"43", None, b"+", b"theirs"]
    assert other.lrange("list", 0, -1) == [b"a", b"b", b"c"]
    assert conflicts(database) == []
