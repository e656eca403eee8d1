"""Two instances are away at once and change the same lists, hashes, sets and sorted sets. A collection is
merged as a whole: the same one stands there in the end whatever the order of return, both say so, and what
lost is kept with all that is in it."""

import pytest

from chaoslib.site import Site

ORDERS = [(0, 1), (1, 0)]


@pytest.fixture
def site(lab, database):
    """One of each type, known to both."""
    made = Site(lab, database)
    first, second = made.clients()
    first.rpush("l", "a", "b")
    first.hset("h", mapping={"f": "1", "n": 5})
    first.sadd("s", "a", "b")
    first.zadd("z", {"a": 1, "b": 2})
    for client in (first, second):
        assert client.lrange("l", 0, -1) == [b"a", b"b"] and client.hlen("h") == 2
        assert client.scard("s") == 2 and client.zcard("z") == 2
    made.cut_off(0, 1)
    return made


def come_back(site, order):
    for number in order:
        site.reconnect(number)


def both_say(site, **values):
    """What the rows have, and what a client of each instance reads."""
    rows = site.rows()
    assert {key: rows.get(key) for key in values} == values
    reads = {"l": lambda c: ("list", tuple(c.lrange("l", 0, -1))),
             "h": lambda c: ("hash", tuple(sorted(c.hgetall("h").items()))),
             "s": lambda c: ("set", tuple(sorted(c.smembers("s")))),
             "z": lambda c: ("zset", tuple(c.zrange("z", 0, -1, withscores=True)))}
    for client in site.clients():
        for key, value in values.items():
            assert (reads[key](client) if client.exists(key) else None) == value


def lost(site):
    return {(key, value) for key, value, _ in site.conflicts()}


def test_the_later_one_stands_and_the_other_is_kept(site):
    """Here the second instance comes back first; the other order is the next test's."""
    first, second = site.clients()
    first.rpush("l", "by 0")
    first.hincrby("h", "n", 10)
    first.sadd("s", "by 0")
    first.zincrby("z", 5, "a")
    site.later()
    second.lpop("l")
    second.hset("h", "g", "by 1")
    second.srem("s", "a")
    second.zpopmin("z")
    come_back(site, (1, 0))
    both_say(site, l=("list", (b"b",)), h=("hash", ((b"f", b"1"), (b"g", b"by 1"), (b"n", b"5"))),
             s=("set", (b"b",)), z=("zset", ((b"b", 2.0),)))
    assert lost(site) == {
        ("l", ("list", (b"a", b"b", b"by 0"))), ("h", ("hash", ((b"f", b"1"), (b"n", b"15")))),
        ("s", ("set", (b"a", b"b", b"by 0"))), ("z", ("zset", ((b"b", 2.0), (b"a", 6.0))))}


@pytest.mark.parametrize("order", ORDERS)
def test_pushed_here_and_emptied_there(site, order):
    """The last pop is a removal, as a DEL is: it counts, and the list that had more is kept."""
    first, second = site.clients()
    second.lpop("l", 2)
    first.rpush("l", "c")
    first.rpush("new", "n0")
    second.rpush("new", "n1", "n2")
    come_back(site, order)
    both_say(site, l=None)
    new = site.rows()["new"]
    other = {("list", (b"n0",)): ("list", (b"n1", b"n2"))}.get(new, ("list", (b"n0",)))
    assert lost(site) == {("l", ("list", (b"a", b"b", b"c"))), ("new", other)}


def test_one_took_what_the_other_took(site):
    """Away, both take the same; the list is one short, and nothing has lost."""
    first, second = site.clients()
    assert first.lpop("l") == second.lpop("l") == b"a"
    come_back(site, (0, 1))
    both_say(site, l=("list", (b"b",)))
    assert lost(site) == set()


def test_of_another_type_there(site):
    first, second = site.clients()
    first.rpush("l", "c")
    second.delete("s")
    second.set("s", "text")
    site.later()
    first.sadd("s", "c")
    second.rename("h", "moved")
    come_back(site, (0, 1))
    rows = site.rows()
    assert rows["l"] == ("list", (b"a", b"b", b"c")) and "h" not in rows
    assert rows["moved"] == ("hash", ((b"f", b"1"), (b"n", b"5")))
    assert rows["s"] == ("set", (b"a", b"b", b"c"))
    assert lost(site) == {("s", b"text")}


def test_changes_of_one_instance_only(site):
    """Many of them are one write; nothing conflicts."""
    first, second = site.clients()
    for n in range(50):
        first.rpush("l", n)
        first.lpop("l")
        second.hincrby("h", "n", 2)
        second.zincrby("z", 1, "a")
    first.sadd("s", *range(600))
    come_back(site, (1, 0))
    both_say(site, l=("list", (b"48", b"49")), h=("hash", ((b"f", b"1"), (b"n", b"105"))),
             z=("zset", ((b"b", 2.0), (b"a", 51.0))))
    assert len(site.rows()["s"][1]) == 602
    assert lost(site) == set()


def test_a_list_that_was_not_known_is_not_written_over(lab, database):
    """An instance that is started anew while it is away begins a list that is there: the list stays, and
    what was pushed is kept."""
    site = Site(lab, database)
    first, second = site.clients()
    second.rpush("queue", "a", "b")
    site.cut_off(0)
    first.set("other", "1")  # so that there is a journal: who has none waits for PostgreSQL
    site.forget(0)
    first = site.servers[0].client()
    assert first.rpush("queue", "c") == 1
    site.reconnect(0)
    assert site.rows()["queue"] == ("list", (b"a", b"b"))
    assert [(key, value) for key, value, _ in site.conflicts()] == [("queue", ("list", (b"c",)))]
    for client in site.clients():
        assert client.lrange("queue", 0, -1) == [b"a", b"b"]
