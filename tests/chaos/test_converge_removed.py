"""A key is deleted and made anew while PostgreSQL is away, by an instance that did not know it. The DEL
counts, however close behind it the new value comes: in a block, in a script, in one batch."""

import pytest

from chaoslib.site import Site
from harness import wait_until
from harness.replies import bulk

SCRIPT = "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], ARGV[1])"
UNDECLARED = "redis.call('DEL', ARGV[2]) return redis.call('SET', ARGV[2], ARGV[1])"


def one_by_one(client, key, value):
    client.delete(key)
    client.set(key, value)


def pipelined(client, key, value):
    client.pipeline(transaction=False).delete(key).set(key, value).execute()


def in_a_block(client, key, value):
    client.pipeline().delete(key).set(key, value).execute()


def in_a_block_with_a_query(client, key, value):
    client.pipeline().delete(key).dbsize().set(key, value).execute()


def taken_and_set(client, key, value):
    client.pipeline().getdel(key).set(key, value).execute()


def in_a_script(client, key, value):
    client.eval(SCRIPT, 1, key, value)


def in_a_script_that_does_not_say_so(client, key, value):
    client.eval(UNDECLARED, 0, value, key)


WAYS = [one_by_one, pipelined, in_a_block, in_a_block_with_a_query, taken_and_set, in_a_script,
        in_a_script_that_does_not_say_so]


@pytest.fixture(scope="module")
def site(module_lab):
    return Site(module_lab, module_lab.database())


def test_what_was_not_known_here(site):
    keys = [way.__name__ for way in WAYS]
    first, second = site.clients()
    for key in [*keys, "deleted", "deleted in a block", "only set"]:
        second.set(key, b"real")
    site.cut_off(0)
    for way in WAYS:
        way(first, way.__name__, b"anew")
        assert first.get(way.__name__) == b"anew"
    first.delete("deleted")
    first.pipeline().dbsize().delete("deleted in a block").execute()
    first.set("only set", b"empty")
    site.reconnect(0)
    assert site.rows() == dict.fromkeys(keys, b"anew") | {"only set": b"real"}
    kept = [(key, b"real", "row") for key in [*keys, "deleted", "deleted in a block"]]
    assert site.conflicts() == sorted([*kept, ("only set", b"empty", "journal")])
    assert second.mget(*keys) == [b"anew"] * len(keys)


def test_what_had_been_set_here_without_knowing_it(site):
    """The DEL takes both, what it was set to and what there was."""
    first, second = site.clients()
    keys = [f"{way.__name__} later" for way in WAYS]
    for key in keys:
        second.set(key, b"real")
    before = site.conflicts()
    site.cut_off(0)
    for way, key in zip(WAYS, keys):
        first.set(key, b"empty")
        way(first, key, b"anew")
    site.reconnect(0)
    assert first.mget(*keys) == second.mget(*keys) == [b"anew"] * len(keys)
    assert site.conflicts() == sorted([*before, *((key, b"real", "row") for key in keys)])


def test_a_restart_keeps_it(site):
    """The journal says that what was there is gone."""
    first, second = site.clients()
    second.set("kept", b"real")
    site.cut_off(0)
    in_a_block(first, "kept", b"anew")
    site.forget(0)
    with site.servers[0].raw() as raw:
        assert raw.command("GET", "kept") == bulk(b"anew")
    site.reconnect(0)
    assert second.get("kept") == b"anew"
    assert ("kept", b"real", "row") in site.conflicts()


def test_what_has_expired_here_is_deleted_all_the_same(site):
    """It lived on elsewhere; the logout counts."""
    first, second = site.clients()
    keys = ["expired", "expired block", "prolonged"]
    first.set("prolonged", b"real", px=300)
    second.mset(dict.fromkeys(keys, b"real"))
    site.cut_off(0)
    for key in keys[:2]:
        first.set(key, b"empty", px=1)
    wait_until(lambda: first.mget(keys) == [None] * 3)
    assert [first.delete("expired"), first.delete("prolonged")] == [0, 0]
    assert first.pipeline().dbsize().delete("expired block").execute()[1] == 0
    site.reconnect(0)
    assert first.mget(keys) == second.mget(keys) == [None] * 3
    assert {(key, b"real", "row") for key in keys} <= set(site.conflicts())


def test_an_expiry_is_no_removal(site):
    """What had expired here may be there all the same: it is not replaced."""
    first, second = site.clients()
    second.set("over", b"real")
    site.cut_off(0)
    first.set("over", b"empty", px=1)
    wait_until(lambda: first.get("over") is None)
    first.incr("over")
    site.reconnect(0)
    assert second.get("over") == b"real"
    assert ("over", b"1", "journal") in site.conflicts()
