"""What was taken for a client that waited, and has gone, goes back where it came from: while that cannot be written,
it is kept and tried again (docs/consistency.md, "Commands that wait")."""

import contextlib

import pytest

from harness import encode, wait_until
from rules import lanes  # noqa: F401 pylint: disable=unused-import
from test_doubt_away import behind, cut_off, link, state  # noqa: F401 pylint: disable=unused-import

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]


def taken(server, gates, push):
    """A client waits for what `push` brings. The removal is carried out, and its answer held: the client and
    the gate."""
    waiter = server.raw(60)
    waiter.send(encode("BLPOP", "list", 0))
    wait_until(lambda: server.info("clients")["blocked_clients"] == 1, what="it waits")
    gate = gates.hold("commit-0", "respgres_commit*", "answer")
    push()
    return waiter, gate.wait()


def counted(server):
    info = server.info("respgres")
    return info["blocked_pops_put_back"], info["blocked_pops_lost"]


@pytest.mark.parametrize("told", (False, True))
def test_after_an_outage_without_fallback(lab, database, link, told):  # noqa: F811
    """It is found out that the removal has counted before anything can be written again."""
    server = behind(lab, database, link, pg_timeout=2000, fallback="off")
    client = lab.respgres(database).client()
    waiter, gate = taken(server, link.lanes, lambda: client.rpush("list", "precious"))
    with waiter:
        if not told:
            waiter.half_close()
        link.refuse()
        link.cut()
        gate.cut()
        gate.release()
        wait_until(lambda: state(server) == "away", what="it is away")
        if told:
            assert waiter.reply().startswith(b"-ERR PostgreSQL did not confirm")
        link.pass_on()
        wait_until(lambda: client.lrange("list", 0, -1) == [b"precious"], what="it is back")
    assert "event=blocked-pop-kept" in server.log
    assert counted(server) == (1, 0)


@contextlib.contextmanager
def kept(lab, database, gates):
    """A server that keeps what it cannot put back while a person holds the row; and a client of another one."""
    server = lab.respgres(database.url_by(port=gates.port), pg_timeout=1000)
    client = lab.respgres(database).client()
    client.rpush("list", "first")
    client.lpop("list")  # so there is a row that can be held
    waiter, gate = taken(server, gates, lambda: client.rpush("list", "precious"))
    with waiter, database.connect() as person:
        person.autocommit = False
        person.cursor().execute("SELECT FROM respgres.entries WHERE key = 'list' FOR UPDATE")
        waiter.half_close()
        wait_until(lambda: server.info("clients")["blocked_clients"] == 0, what="it has been noticed")
        gate.release()
        wait_until(lambda: "event=blocked-pop-kept" in server.log, what="it could not be put back")
        yield server, client
        person.rollback()


def test_while_the_row_is_held(lab, database, lanes):  # noqa: F811
    with kept(lab, database, lanes) as (server, client):
        assert client.exists("list") == 0
    wait_until(lambda: client.lrange("list", 0, -1) == [b"precious"], what="it is back")
    assert counted(server) == (1, 0)


def test_the_key_is_of_another_type(lab, database, link):  # noqa: F811
    """That does not pass: it is lost, and said to be."""
    server = behind(lab, database, link, pg_timeout=10_000)
    client = lab.respgres(database).client()
    waiter, gate = taken(server, link.lanes, lambda: client.rpush("list", "precious"))
    with waiter:
        waiter.half_close()
        client.set("list", "text")
        gate.release()
        wait_until(lambda: counted(server) == (1, 1), what="it is lost")
    assert "event=blocked-pop-lost" in server.log
    assert client.get("list") == b"text"


def test_the_server_ends(lab, database, lanes):  # noqa: F811
    """What it still keeps then is lost, and said to be."""
    with kept(lab, database, lanes) as (server, _):
        assert server.sigterm() == 0
    assert 'event=blocked-pop-lost why="the server ends"' in server.log
