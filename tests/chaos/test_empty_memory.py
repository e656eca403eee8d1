"""An instance that knows nothing, PostgreSQL that does not answer, and an application that writes an
empty session over the one that it could not read. The real one must survive that."""

import pytest

from chaoslib.site import Site
from harness import wait_until

REAL, EMPTY = b"user=ada;cart=3", b"{}"


@pytest.fixture
def site(lab, database):
    """Session `s` is in PostgreSQL, written by instance 1; instance 0 is cut off, and has nothing in
    its memory but a key of its own. (With nothing at all it would wait for PostgreSQL.)"""
    made = Site(lab, database, warm_file_interval=0)
    assert made.servers[1].client().setex("s", 5000, REAL)
    made.cut_off(0)
    made.servers[0].client().set("mine", "v")
    made.forget(0)
    yield made
    assert made.rows().pop("mine") == b"v"


def rows_but_mine(site):
    return {key: value for key, value in site.rows().items() if key != "mine"}


def test_an_empty_session_never_replaces_the_real_one(site):
    away, other = site.clients()
    assert away.get("s") is None  # not to be had; the application takes it for a new visitor
    assert away.setex("s", 3000, EMPTY)
    assert away.get("s") == EMPTY
    before = site.database.row("s")
    site.reconnect(0)
    assert site.database.row("s").version == before.version  # the row has not been touched
    assert site.database.row("s").value == REAL
    assert 4900 < site.database.row("s").ttl <= 5000
    assert site.conflicts() == [("s", EMPTY, "journal")]
    for client in (away, other):
        assert client.get("s") == REAL
        assert client.ttl("s") > 4900


@pytest.mark.parametrize("write", [
    lambda client: client.set("s", EMPTY), lambda client: client.setex("s", 3000, EMPTY),
    lambda client: client.set("s", EMPTY, nx=True), lambda client: client.append("s", EMPTY),
    lambda client: client.getset("s", EMPTY), lambda client: client.mset({"s": EMPTY}),
    lambda client: client.setrange("s", 0, EMPTY),
], ids=["set", "setex", "set-nx", "append", "getset", "mset", "setrange"])
def test_no_write_of_an_unknown_key_replaces_a_row(site, write):
    write(site.servers[0].client())
    site.reconnect(0)
    assert rows_but_mine(site) == {"s": REAL}
    assert site.conflicts() == [("s", EMPTY, "journal")]


def test_a_chain_of_unknowing_writes_loses_as_one(site):
    away = site.servers[0].client()
    away.setex("s", 3000, EMPTY)
    away.append("s", "1")
    away.setex("s", 3000, b"{}2")
    site.reconnect(0)
    assert rows_but_mine(site) == {"s": REAL}
    assert site.conflicts() == [("s", b"{}2", "journal")]


def test_it_survives_another_restart(site):
    """What the journal says of the key after a restart is still that it was unknown."""
    away = site.servers[0].client()
    away.setex("s", 3000, EMPTY)
    site.forget(0)
    assert away.get("s") == EMPTY
    away.setex("s", 3000, b"{}2")
    site.reconnect(0)
    assert rows_but_mine(site) == {"s": REAL}
    assert site.conflicts() == [("s", b"{}2", "journal")]


def test_a_new_key_is_simply_written(site):
    site.servers[0].client().setex("new", 3000, b"v")
    site.reconnect(0)
    assert rows_but_mine(site) == {"s": REAL, "new": b"v"}
    assert site.conflicts() == []


def test_a_logout_of_an_unknown_session_counts(site):
    """DEL applies whatever the instance knew; nothing brings the session back."""
    site.servers[0].client().delete("s")
    site.reconnect(0)
    assert rows_but_mine(site) == {}
    assert site.servers[1].client().get("s") is None


def test_a_login_after_a_logout_of_an_unknown_session(site):
    """The logout counts, whatever is written afterwards; the later write stands, and what it replaced
    is kept."""
    away = site.servers[0].client()
    away.delete("s")
    assert away.get("s") is None
    away.setex("s", 3000, EMPTY)
    site.forget(0)
    away.setex("s", 3000, b"{}2")
    site.reconnect(0)
    assert rows_but_mine(site) == {"s": b"{}2"}
    assert site.conflicts() == [("s", REAL, "row")]


def test_the_same_bytes_are_no_conflict(site):
    site.servers[0].client().setex("s", 3000, REAL)
    site.reconnect(0)
    assert rows_but_mine(site) == {"s": REAL}
    assert site.conflicts() == []


def test_an_unknowing_write_that_has_expired_leaves_nothing(site):
    site.servers[0].client().psetex("s", 30, EMPTY)
    site.servers[0].client().psetex("new", 30, EMPTY)
    wait_until(lambda: site.servers[0].client().get("new") is None, 5, "it has expired")
    site.reconnect(0)
    assert rows_but_mine(site) == {"s": REAL}
    assert site.servers[1].client().get("s") == REAL
