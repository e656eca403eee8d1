"""The order of one publisher's messages, where a connection is given up with a statement under way: what the old
backend does later with it does not come out behind newer messages."""

import os
import signal

import pytest

from harness import wait_until
from harness.lane_proxy import LaneProxy
from harness.lab import a_lab
from harness.pooled import PooledLab
from rules import stat
from test_pubsub import TIMEOUT_MS, listeners, subscriber, texts

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

LANE = -1  # of the row of `lanes` that fences what is published


@pytest.fixture
def proxies(lab):
    """A function that returns a proxy before a database, and the instance that publishes through it."""
    made = []

    def make(database, **options):
        proxy = LaneProxy(("127.0.0.1", lab.postgres_port(database)))
        made.append(proxy)
        options.setdefault("pg_timeout", TIMEOUT_MS)
        return proxy, lab.respgres(database.url_by(port=proxy.port), **options)

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture
def pooled(shared_postgres):
    yield from a_lab(shared_postgres, PooledLab)


@pytest.fixture(autouse=True)
def lanes_by_name(request):
    if request.config.getoption("--behind") == "pgbouncer":
        pytest.skip("statements have no names there")


def cut_while_publishing(proxy, publisher, client):
    """'1' is under way, and the connection is given up; '2' is published after that."""
    gate = proxy.hold("listen-0", "respgres_publish", "request")
    client.publish("a", "1")
    gate.wait()
    gate.cut()
    wait_until(lambda: stat(publisher, "postgres_messages_lost") == 1, 20, "it is given up")
    client.publish("a", "2")
    return gate


def publish_late(proxy, publisher, raw):
    client = publisher.client()
    client.publish("a", "0")
    assert texts(raw, 1) == [b"0"]
    gate = cut_while_publishing(proxy, publisher, client)
    assert texts(raw, 1) == [b"2"]
    gate.release()
    gate.wait_ended()
    client.publish("a", "3")
    assert texts(raw, 1) == [b"3"]
    raw.close()


def test_a_statement_that_arrives_late_is_fenced(lab, database, proxies):
    raw = subscriber(lab.respgres(database, pg_timeout=TIMEOUT_MS), "a")
    publish_late(*proxies(database), raw)


def test_a_statement_that_arrives_late_is_fenced_for_who_polls(pooled, proxies):
    database = pooled.database()
    raw = subscriber(pooled.respgres(database, pg_timeout=TIMEOUT_MS), "a")
    publish_late(*proxies(database), raw)


def test_a_statement_of_a_slot_that_was_lost_is_fenced(lab, database, proxies):
    """Its instance publishes under another one meanwhile."""
    raw = subscriber(lab.respgres(database, pg_timeout=TIMEOUT_MS), "a")
    proxy, publisher = proxies(database)
    client = publisher.client()
    client.publish("a", "0")
    assert texts(raw, 1) == [b"0"]
    gate = proxy.hold("listen-0", "respgres_publish", "request")
    client.publish("a", "1")
    gate.wait()
    before = publisher.log.count("slot-claimed")
    database.execute("UPDATE respgres.instances SET started_at = started_at - interval '1 s'"
                     " WHERE slot = (SELECT max(slot) FROM respgres.instances)")
    wait_until(lambda: publisher.log.count("slot-claimed") > before, 60, "another slot")
    wait_until(lambda: stat(publisher, "postgres_messages_lost") == 1, 20, "it is given up")
    wait_until(lambda: client.info("respgres")["store_state"] == "online", 30)
    client.publish("a", "2")
    assert texts(raw, 1) == [b"2"]
    gate.release()
    gate.wait_ended()
    client.publish("a", "3")
    assert texts(raw, 1) == [b"3"]
    raw.close()


def test_newer_messages_wait_for_the_old_backend(lab, database, proxies):
    """It holds the row: whatever it says comes first."""
    raw = subscriber(lab.respgres(database, pg_timeout=TIMEOUT_MS), "a")
    proxy, publisher = proxies(database, pg_timeout=16000)
    client = publisher.client()
    client.publish("a", "0")
    assert texts(raw, 1) == [b"0"]
    old = database.connect()
    old.autocommit = False
    with old.cursor() as cursor:
        cursor.execute("SELECT FROM respgres.lanes WHERE lane = %s FOR UPDATE", (LANE,))
        assert cursor.rowcount == 1
        gate = cut_while_publishing(proxy, publisher, client)
        cursor.execute("SELECT pg_notify('respgres', 'x')")
        wait_until(lambda: [r for r in proxy.requests if "respgres_terminate_lane" in r.statements], 30,
                   "it is asked to end")
        assert stat(publisher, "postgres_messages_sent") == 1
    old.commit()
    old.close()
    assert texts(raw, 1) == [b"2"]
    gate.release()
    gate.wait_ended()
    raw.close()


def test_a_publishers_backend_sleeps(lab, database):
    """Longer than pg-timeout, before a statement that it has got."""
    one, two = lab.respgres(database, pg_timeout=TIMEOUT_MS), lab.respgres(database, pg_timeout=1000)
    raw = subscriber(one, "a")
    before = listeners(database)
    client = two.client()
    client.publish("a", "0")
    assert texts(raw, 1) == [b"0"]
    (pid,) = listeners(database) - before
    os.kill(pid, signal.SIGSTOP)
    try:
        client.publish("a", "1")
        wait_until(lambda: stat(two, "postgres_messages_lost") == 1, 20, "it is given up")

        def sent():
            client.publish("a", "2")
            return stat(two, "postgres_messages_sent") > 1

        wait_until(sent, 30, "newer ones get through", interval=0.2)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: pid not in listeners(database), 30, "the old backend ends")
    client.publish("a", "3")
    heard = texts(raw, 1)
    while heard[-1] != b"3":
        heard += texts(raw, 1)
    assert heard == sorted(heard) and b"1" not in heard
    raw.close()
