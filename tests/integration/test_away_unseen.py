"""A merge's answer is lost, and PostgreSQL goes again before anybody has read its keys: perhaps they have lost. What
memory has told of them is neither what later writes are based on, nor what the cache answers."""

import pytest

from harness import wait_until
from rules import OK, lanes, send  # noqa: F401 pylint: disable=unused-import
from test_away import start_without_postgresql
from test_cached import from_memory, wait_trusted
from test_doubt_away import (  # noqa: F401 pylint: disable=unused-import
    behind, come_back, cut_off, link, state)

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]

BULK = "commit-1"  # the lane that merges
LOST = [(b"session:1", b"empty", "journal")]


def instance(lab, database, link, **options):  # noqa: F811 pylint: disable=redefined-outer-name
    return behind(lab, database, link, pg_timeout=10_000, preload="no", **options)


def conflicts(database):
    """In the order of their coming."""
    rows = database.execute("SELECT key, value, lost FROM respgres.conflicts ORDER BY id")
    return [(bytes(key), bytes(value), lost) for key, value, lost in rows]


def merge_unanswered(database, link, count):  # noqa: F811 pylint: disable=redefined-outer-name
    """PostgreSQL is there again, and a merge is carried out there. The gate holds its answer."""
    gate = link.lanes.hold(BULK, "respgres_merge", "answer")
    link.pass_on()
    gate.wait()
    wait_until(lambda: len(conflicts(database)) == count, 30, "the merge has been carried out")
    return gate


def merged_unseen(lab, database, link):  # noqa: F811 pylint: disable=redefined-outer-name
    """An instance whose `empty` has lost to what another one had made, and whose `mine` has come to its row, and
    that has been told neither. Returns it, and a client of the other one."""
    other = lab.respgres(database, pg_timeout=10_000).client()
    server = instance(lab, database, link)
    client = server.client()
    cut_off(link, server)
    other.set("session:1", "REAL")
    assert client.get("session:1") is None
    client.mset({"session:1": "empty", "session:2": "mine"})
    merge_unanswered(database, link, 1).cut()
    wait_until(lambda: state(server) == "online", 60, "it is online")
    assert conflicts(database) == LOST
    return server, other


def test_what_has_lost_unseen_destroys_nothing(lab, database, link):  # noqa: F811
    """An empty session had lost to a real one. The next one, written over the empty one, won."""
    server, other = merged_unseen(lab, database, link)
    client = server.client()
    cut_off(link, server)  # nobody has read them
    assert client.get("session:1") == b"empty"
    client.set("session:1", "later")
    assert client.append("session:2", "+") == 5
    come_back(link, server)
    assert other.get("session:1") == client.get("session:1") == b"REAL"
    assert conflicts(database) == LOST + [(b"session:1", b"later", "journal")]
    assert other.get("session:2") == client.get("session:2") == b"mine+"  # that one had come to its row


def test_what_has_been_read_since_is_known(lab, database, link):  # noqa: F811
    """The row is what was merged, as PostgreSQL has told: a later write over it is one of a known base."""
    server, other = merged_unseen(lab, database, link)
    client = server.client()
    assert client.mget("session:1", "session:2") == [b"REAL", b"mine"]
    cut_off(link, server)
    assert other.append("session:2", " theirs") == 11
    assert client.append("session:1", "+") == 5
    assert client.append("session:2", " later") == 10
    come_back(link, server)
    assert other.get("session:1") == b"REAL+"
    assert other.get("session:2") == b"mine later"  # both have changed it: the later one stays
    assert conflicts(database) == LOST + [(b"session:2", b"mine theirs", "row")]


def test_what_was_in_flight_over_it_stands(lab, database, link):  # noqa: F811
    """Sent to PostgreSQL as a write over whatever there is, and handed over to the journal when it went."""
    server, other = merged_unseen(lab, database, link)
    gate = link.lanes.hold("commit-0", "respgres_commit*", "request")
    asked = send(server, "SET", "session:2", "later")
    gate.wait()
    link.refuse()
    gate.cut()
    cut_off(link, server)
    assert asked.reply() == OK
    come_back(link, server)
    assert other.get("session:2") == b"later"
    assert conflicts(database) == LOST


def test_what_has_lost_unseen_and_the_warm_file(lab, database, link):  # noqa: F811
    """A clean stop writes what is in memory. It is not better known by the next start."""
    server, other = merged_unseen(lab, database, link)
    assert server.sigterm() == 0
    link.refuse()
    start_without_postgresql(server)
    wait_until(lambda: state(server) == "away", 30, "it is away")
    client = server.client()
    assert client.mget("session:1", "session:2") == [b"empty", b"mine"]
    client.set("session:1", "later")
    assert client.append("session:2", "+") == 5
    come_back(link, server)
    assert other.mget("session:1", "session:2") == [b"REAL", b"mine+"]
    assert (b"session:1", b"later", "journal") in conflicts(database)


def test_what_has_lost_and_a_kill(lab, database, link):  # noqa: F811
    """The first batch has been answered, of the second nothing is known: the journal says that the first has
    been carried out, but not what became of its keys."""
    other = lab.respgres(database, pg_timeout=10_000).client()
    server = instance(lab, database, link)
    client = server.client()
    cut_off(link, server)
    other.set("session:1", "REAL")
    client.set("session:1", "empty")
    for start in range(0, 700, 100):  # more than one batch; what hangs together is merged together
        client.mset({f"key:{number}": number for number in range(start, start + 100)})
    first = merge_unanswered(database, link, 1)
    second = link.lanes.hold(BULK, "respgres_merge", "request")
    first.release()
    second.wait()
    cut_off(link, server)
    server.kill9()
    second.cut()
    start_without_postgresql(server)
    wait_until(lambda: state(server) == "away", 30, "it is away")
    client = server.client()
    client.set("session:1", "later")
    assert client.append("key:0", "+") == 2
    come_back(link, server)
    assert other.get("session:1") == b"REAL"
    assert (b"session:1", b"later", "journal") in conflicts(database)
    assert other.mget("key:0", "key:699") == [b"0+", b"699"]


# ---- the cache, in an outage in which PostgreSQL can be read ----

def end_writing(database, server):
    """It gets no new connections, and those that write have ended."""
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT 0')
    database.postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND"
        " (application_name LIKE %s OR application_name LIKE %s)",
        database.name, f"respgres%:{server.port} commit-%", f"respgres%:{server.port} query-%")


def writing_again(database):
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT -1')


@pytest.fixture
def cached(lab, database, lanes):  # noqa: F811 pylint: disable=redefined-outer-name
    server = lab.respgres(database.url_by(port=lanes.port), consistency="cached", cached_max_lag=60_000,
                          pg_timeout=2000, preload="no")
    wait_trusted(server)
    yield server
    writing_again(database)


def is_read(server, value):
    """Never from memory as it was: PostgreSQL is asked, and then the cache has it."""
    client = server.client()
    wait_until(lambda: state(server) == "online", 60, "it is online")
    wait_trusted(server)
    assert from_memory(server, client, "GET", "s") == (False, value)
    wait_until(lambda: from_memory(server, client, "GET", "s") == (True, value), 30, "it is cached")


def test_a_read_from_memory_is_not_fresh(lab, database, lanes, cached):  # noqa: F811
    """A write in flight that another instance has overwritten, read while only reads worked."""
    other = lab.respgres(database, pg_timeout=10_000).client()
    client = cached.client()
    client.set("s", "1")
    assert client.get("s") == b"1"
    gate = lanes.hold("commit-0", "respgres_commit*", "answer")
    asked = send(cached, "SET", "s", "2")
    gate.wait()
    assert other.get("s") == b"2"
    other.set("s", "3")
    end_writing(database, cached)
    gate.cut()
    wait_until(lambda: state(cached) == "away", 30, "it is away")
    assert asked.reply() == OK
    assert client.get("s") == b"2"
    writing_again(database)
    is_read(cached, b"3")
    assert other.get("s") == b"3"


def test_a_read_of_what_has_lost_is_not_fresh(lab, database, lanes, cached):  # noqa: F811
    other = lab.respgres(database, pg_timeout=10_000).client()
    client = cached.client()
    assert client.get("s") is None
    end_writing(database, cached)
    wait_until(lambda: state(cached) == "away", 30, "it is away")
    client.set("s", "empty")
    writing_again(database)
    other.set("s", "REAL")
    gate = lanes.hold(BULK, "respgres_merge", "answer")
    gate.wait()
    wait_until(lambda: len(conflicts(database)) == 1, 30, "the merge has been carried out")
    end_writing(database, cached)
    gate.cut()
    wait_until(lambda: state(cached) == "away", 30, "it is away")
    assert client.get("s") == b"empty"
    writing_again(database)
    is_read(cached, b"REAL")
