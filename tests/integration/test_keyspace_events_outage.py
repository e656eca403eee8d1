"""`expired` and outages that only some instances notice: a key that one of them has kept alive meanwhile, in its
journal, has not expired, whatever the others find in PostgreSQL."""

import time

import pytest

from harness import wait_until
from test_keyspace_events import Subscriber

TIMEOUT_MS = 1000

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]


@pytest.mark.parametrize("outage", ["freeze", pytest.param("stop", marks=pytest.mark.long)])
def test_a_key_kept_alive_in_a_journal_has_not_expired(lab, outage):
    """The other instance has nothing to do but to look for what has expired."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    writes, looks = [lab.respgres(database, pg_timeout=TIMEOUT_MS, notify_keyspace_events="Ex")
                     for _ in range(2)]
    raw, subscriber = writes.raw(timeout=60), Subscriber(looks)
    raw.command("SET", "first", "v", "PX", "1")
    subscriber.wait_for(b"__keyevent@0__:expired", b"first")
    raw.command("SET", "extended", "v", "PX", "4000")
    raw.command("SET", "short", "v", "PX", "4000")
    end = time.monotonic() + 4
    getattr(postgres, outage)()
    wait_until(lambda: raw.command("SET", "extended", "v", "PX", "600000") == b"+OK\r\n" and
               b"store_state:away" in raw.command("INFO", "postgres"), 60, "it is away")
    assert time.monotonic() < end, "it was extended in time"
    wait_until(lambda: time.monotonic() > end + 0.2, 20)
    postgres.thaw() if outage == "freeze" else postgres.start()
    wait_until(lambda: b"store_state:online" in raw.command("INFO", "postgres"), 60, "it is online")
    subscriber.wait_for(b"__keyevent@0__:expired", b"short")
    raw.command("SET", "last", "v", "PX", "1")
    subscriber.wait_for(b"__keyevent@0__:expired", b"last")
    assert sorted(subscriber.expired()) == [b"first", b"last", b"short"]
    assert raw.command("GET", "extended") == b"$1\r\nv\r\n"
