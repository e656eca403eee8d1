"""Two instances are away at once and write the same keys. Whatever the order of their return, the same
rows stand there in the end, both say so, and what lost is kept."""

import pytest

from chaoslib.site import Site

ORDERS = [(0, 1), (1, 0), "together"]


def come_back(site, order):
    if order == "together":
        site.reconnect(0, 1)
    else:
        for number in order:
            site.reconnect(number)


@pytest.fixture
def site(lab, database):
    """Keys a to f are known to both."""
    made = Site(lab, database)
    for key in "abcdef":
        made.clients()[0].setex(key, 5000, b"old")
    for client in made.clients():
        assert client.mget(*"abcdef") == [b"old"] * 6
        assert [client.get(key) for key in "abcdef"] == [b"old"] * 6
    made.cut_off(0, 1)
    return made


def both_say(site, rows):
    assert site.rows() == {key: value for key, value in rows.items() if value is not None}
    for client in site.clients():
        assert {key: client.get(key) for key in rows} == rows


@pytest.mark.parametrize("order", ORDERS)
def test_the_later_write_wins(site, order):
    first, second = site.clients()
    first.setex("a", 3000, b"a0")
    second.setex("b", 4000, b"b1")
    site.later()
    second.setex("a", 4000, b"a1")
    first.setex("b", 3000, b"b0")
    first.setex("new", 3000, b"n0")     # neither knew it
    second.setex("new", 3000, b"n1")
    come_back(site, order)
    rows = dict.fromkeys("cdef", b"old") | {"a": b"a1", "b": b"b0"}
    assert site.servers[0].client().ttl("a") > 3500 > site.servers[1].client().ttl("b")
    lost = {(key, value) for key, value, _ in site.conflicts()}
    kept = {("a", b"a0"), ("b", b"b1")}
    # Unknowing writes give way to a row that is there: who came first stays.
    value = site.rows()["new"]
    both_say(site, rows | {"new": value})
    assert lost == kept | {("new", {b"n0": b"n1", b"n1": b"n0"}[value])}


@pytest.mark.parametrize("order", ORDERS)
def test_deleted_here_and_written_there(site, order):
    """A DEL counts, also against a later write that did not know of it: a logged-out session never
    comes back by itself. What was written is kept."""
    first, second = site.clients()
    first.delete("a")
    second.setex("b", 4000, b"b1")
    site.later()
    second.setex("a", 4000, b"a1")
    first.delete("b")
    first.delete("c")
    second.delete("c")
    come_back(site, order)
    both_say(site, {"a": None, "b": None, "c": None} | dict.fromkeys("def", b"old"))
    assert {(key, value) for key, value, _ in site.conflicts()} == {("a", b"a1"), ("b", b"b1")}


@pytest.mark.parametrize("order", ORDERS)
def test_deleted_where_it_was_known_to_be_absent(site, order):
    """It was made elsewhere since; the logout counts all the same."""
    site.reconnect(0, 1)
    first, second = site.clients()
    assert first.get("new") is None
    site.cut_off(0, 1)
    second.setex("new", 3000, b"n1")
    assert first.delete("new") == 0
    come_back(site, order)
    both_say(site, {"new": None} | dict.fromkeys("abcdef", b"old"))
    assert [(key, value) for key, value, _ in site.conflicts()] == [("new", b"n1")]


@pytest.mark.parametrize("order", ORDERS)
def test_same_bytes_and_other_expiries(site, order):
    """Sessions that were only read and written back."""
    first, second = site.clients()
    first.setex("a", 1000, b"old")
    second.expire("b", 2000)
    first.setex("c", 1000, b"same")
    site.later()
    second.setex("a", 2000, b"old")
    first.expire("b", 1000)
    second.setex("c", 2000, b"same")
    come_back(site, order)
    both_say(site, dict.fromkeys("abdef", b"old") | {"c": b"same"})
    assert site.conflicts() == []
    for client in site.clients():
        assert 1900 < client.ttl("a") <= 2000
        assert 900 < client.ttl("b") <= 1000
        assert 1900 < client.ttl("c") <= 2000


@pytest.mark.parametrize("order", ORDERS)
def test_only_one_side_wrote(site, order):
    first, second = site.clients()
    first.setex("a", 3000, b"a0")
    second.append("b", b"+")
    first.delete("c")
    second.expire("d", 100)
    pipe = first.pipeline(transaction=True)
    pipe.set("e", b"e0").set("f", b"f0").execute()
    come_back(site, order)
    both_say(site, {"a": b"a0", "b": b"old+", "c": None, "d": b"old", "e": b"e0", "f": b"f0"})
    assert site.conflicts() == []
    assert site.servers[1].client().ttl("d") <= 100


@pytest.mark.parametrize("order", ORDERS)
def test_one_key_of_a_block_meets_a_conflict(site, order):
    """The block is whole where nothing conflicts; else each key is decided by itself, and what lost
    is kept."""
    first, second = site.clients()
    first.pipeline(transaction=True).set("a", b"block").set("b", b"block").execute()
    site.later()
    second.set("a", b"later")
    come_back(site, order)
    both_say(site, {"a": b"later", "b": b"block"} | dict.fromkeys("cdef", b"old"))
    assert [(key, value) for key, value, _ in site.conflicts()] == [("a", b"block")]
