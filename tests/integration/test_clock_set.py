"""PostgreSQL's clock is set, or another server's clock goes for a while: what lives is not taken for expired."""

import pytest

from harness import wait_until
from rules import stat
from test_linearizable import PostgresqlsClock

pytestmark = [pytest.mark.rows, pytest.mark.timeout(300)]


@pytest.fixture
def clock(database):
    made = PostgresqlsClock(database)
    yield made
    made.conn.close()


@pytest.mark.parametrize("consistency", ["strict", "cached"])
def test_it_was_an_hour_ahead(lab, database, clock, consistency):
    """Each command on a key whose time to live was shorter than that found no answer, for an hour."""
    clock.set(3600)
    server = lab.respgres(database, consistency=consistency)
    client = server.client()
    assert client.set("before", 1, ex=5000) and client.get("before") == b"1"
    clock.set(0)
    assert client.set("k", 1, ex=1000)
    assert client.get("k") == b"1"
    assert 900 < client.ttl("k") <= 1000
    assert client.incr("k") == 2
    assert client.set("k", 3, nx=True) is None
    assert client.set("k", 4, keepttl=True) and client.expire("k", 2000)
    assert client.mget("k", "before") == [b"4", b"1"]
    assert client.exists("k") == client.delete("k") == 1
    assert 8000 < client.ttl("before") <= 8600  # it was to end at that hour
    assert "event=clock-set whose=PostgreSQL by_ms=-3" in server.log


def test_a_block_with_a_query_is_the_first_to_see_it(lab, database, clock):
    """Its rows were locked and live, and its commands took them for expired: what was there was destroyed."""
    clock.set(3600)
    server = lab.respgres(database)
    client = server.client()
    assert client.set("before", 1) and client.get("before") == b"1"
    clock.set(0)
    fresh = lab.respgres(database).client()
    fresh.set("session", "alive", ex=1800)
    fresh.rpush("list", "a")
    fresh.expire("list", 1800)
    with client.pipeline() as block:
        block.append("session", "+").rpush("list", "b").set("session", "other", nx=True).get("session").dbsize()
        assert block.execute() == [6, 2, None, b"alive+", 3]
    assert fresh.get("session") == b"alive+" and 0 < fresh.ttl("session") <= 1800
    assert fresh.lrange("list", 0, -1) == [b"a", b"b"] and 0 < fresh.ttl("list") <= 1800


def test_a_server_that_is_only_read_has_a_clock_of_its_own(lab, database, clock):
    """A standby whose clock is an hour ahead is read meanwhile. Its hour stayed when the primary was back."""
    for name, kind in clock.NAMES.items():
        clock.define(name, kind, "CASE WHEN current_setting('default_transaction_read_only') = 'on'"
                                 " THEN interval '1 hour' ELSE interval '0' END")
    server = lab.respgres(database)
    client = server.client()
    assert client.set("v", 1) and client.set("k", 1, ex=2000) and client.get("v") == b"1"

    def become(read_only):
        database.postgres.execute(
            f"ALTER DATABASE \"{database.name}\" SET default_transaction_read_only = {read_only}")
        database.postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                                  " AND application_name LIKE 'respgres%%'", database.name)
        wanted = "away" if read_only == "on" else "online"
        wait_until(lambda: server.info("postgres")["store_state"] == wanted, 60, wanted)

    host = client.time()[0]
    become("on")
    assert wait_until(lambda: client.get("v"), what="it is read") == b"1"
    assert abs(stat(server, "postgres_clock_offset_us")) < 1_000_000
    assert client.time()[0] - host < 1000
    become("off")
    assert client.get("k") == b"1" and 1000 < client.ttl("k") <= 2000
    assert client.set("new", 1, ex=100) and client.get("new") == b"1"
    assert client.time()[0] - host < 1000
