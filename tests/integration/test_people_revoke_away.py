"""A session that SQL has ended stays ended for a request that was under way, also if PostgreSQL goes away
before that request ends (docs/sql.md, "Ended stays ended")."""

import json

import pytest

from harness import wait_until
from rules import OK, send
from test_doubt_away import behind, come_back, cut_off, link  # noqa: F401 pylint: disable=unused-import

pytestmark = pytest.mark.rows

ENDINGS = ["UPDATE respgres.sessions SET session_active = false WHERE username = 'ada'",
           "DELETE FROM respgres.sessions WHERE username = 'ada'"]


def state_of(server):
    return server.info("postgres")["store_state"]


@pytest.fixture(scope="module")
def site(module_lab):
    """One instance behind a proxy, with a journal."""
    database = module_lab.database()
    proxy = module_lab.proxy(("127.0.0.1", database.postgres.port))
    server = module_lab.respgres(database.url_by(port=proxy.port), start=False, pg_timeout=10000)
    server.options["dir"] = server.dir / "journals"
    server.start()
    wait_until(lambda: state_of(server) == "online", 20, "online")
    yield server, database, proxy
    proxy.pass_on()


@pytest.fixture
def away(site):
    """A function that takes PostgreSQL away, and what brings it back."""
    server, _, proxy = site

    def leave():
        proxy.refuse()
        proxy.cut()
        wait_until(lambda: state_of(server) == "away", 20, "away")

    def come_back():
        proxy.pass_on()
        wait_until(lambda: state_of(server) == "online", 30, "online")

    leave.back = come_back
    yield leave
    come_back()


def payload(**more):
    return json.dumps({"username": "ada", **more})


def row_is_active(database, key):
    return database.execute("SELECT session_active FROM respgres.sessions WHERE key = %s", key)


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
def test_a_request_under_way(site, away, ending):
    server, database, _ = site
    app, other = server.client(), server.client()
    app.setex("session:x", 600, payload())
    assert app.get("session:x")                          # the request begins
    database.execute(ending)
    assert other.exists("session:x") == 0                # the instance knows
    away()
    assert app.setex("session:x", 600, payload(page=2))  # and ends
    assert other.get("session:x") is None
    assert app.get("session:x") is None
    away.back()
    assert other.get("session:x") is None
    assert not any(active for active, in row_is_active(database, "session:x"))
    # A new log-in, whose connection has read that there is none, is one.
    assert app.get("session:x") is None
    app.setex("session:x", 600, payload(page=3))
    assert other.get("session:x")


def test_a_new_log_in_while_away(site, away):
    server, database, _ = site
    app, other = server.client(), server.client()
    app.setex("session:y", 600, payload())
    database.execute(ENDINGS[0])
    assert app.get("session:y") is None
    away()
    app.setex("session:y", 600, payload(page=2))
    assert other.get("session:y")
    # What was made anew goes on, whoever writes it.
    third = server.client()
    third.setex("session:y", 600, payload(page=3))
    assert json.loads(other.get("session:y"))["page"] == 3
    away.back()
    assert json.loads(other.get("session:y"))["page"] == 3
    assert row_is_active(database, "session:y") == [(True,)]


def test_other_ways_to_write_while_away(site, away):
    server, database, _ = site
    app, other = server.client(), server.client()
    for key in ("session:nx", "session:log-out", "cache:z"):
        app.setex(key, 600, payload())
    database.execute(ENDINGS[0])
    database.execute("DELETE FROM respgres.entries WHERE key = 'cache:z'")
    app.delete("session:log-out")
    app.setex("session:own", 600, payload())
    app.delete("session:own")
    assert other.exists("session:nx", "session:log-out", "session:own", "cache:z") == 0
    away()
    assert app.set("session:nx", payload(page=2), nx=True)
    assert other.get("session:nx")
    # What a client has deleted itself is made again by any SET, as in Redis; so is what is no session.
    for key in ("session:own", "cache:z"):
        app.set(key, payload(page=2))
        assert other.get(key)


def test_of_several_keys_only_the_one(site, away):
    server, database, _ = site
    app, other = server.client(), server.client()
    app.setex("session:m", 600, payload())
    assert app.get("session:m")
    database.execute(ENDINGS[0])
    assert other.exists("session:m", "beside") == 0
    away()
    app.mset({"session:m": payload(page=2), "beside": "1"})
    assert other.mget("session:m", "beside") == [None, b"1"]
    away.back()
    assert other.mget("session:m", "beside") == [None, b"1"]


def test_without_grace(site, away):
    server, database, _ = site
    app, other = server.client(), server.client()
    app.config_set("revoke-grace", "0")
    try:
        app.setex("session:g", 600, payload())
        database.execute(ENDINGS[0])
        assert other.exists("session:g") == 0
        away()
        app.setex("session:g", 600, payload(page=2))
        assert other.get("session:g")
    finally:
        app.config_set("revoke-grace", "60")


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
def test_writes_that_take_the_session_for_granted(site, away, ending):
    """SET with KEEPTTL and a hash's fields, from a request that was under way when PostgreSQL went away."""
    server, database, _ = site
    app, other = server.client(), server.client()
    text, fields = "session:granted", "spring:session:sessions:granted"
    app.delete(text, fields)
    assert app.exists(text, fields) == 0
    app.setex(text, 600, payload())
    app.hset(fields, mapping={"username": "ada"})
    database.execute(ending)
    assert other.exists(text, fields) == 0
    away()
    assert app.set(text, payload(page=2), keepttl=True)
    app.hset(fields, "lastAccessedTime", "1")
    assert app.expire(fields, 600) is False
    assert other.exists(text, fields) == 0
    away.back()
    assert other.exists(text, fields) == 0
    assert app.hgetall(fields) == {}
    app.hset(fields, mapping={"username": "ada"})
    assert other.hgetall(fields) == {b"username": b"ada"}


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
@pytest.mark.parametrize("when", ["PostgreSQL goes", "it is found out, and PostgreSQL goes"])
def test_a_request_under_way_whose_answer_was_lost(lab, database, link, ending, when):  # noqa: F811
    """Its write was stored inactive, and the instance was not told that. What was written upon it while away
    made the session active again."""
    server = behind(lab, database, link, pg_timeout=10_000)
    app, other = server.client(), lab.respgres(database).client()
    app.setex("session:x", 600, payload())
    assert app.get("session:x")
    database.execute(ending)
    gate = link.lanes.hold("commit-0", "respgres_commit*", "answer")
    asked = send(server, "SETEX", "session:x", "600", payload(page=2))
    gate.wait()
    assert other.get("session:x") is None
    if when == "PostgreSQL goes":
        cut_off(link, server)
        gate.cut()
        assert asked.reply() == OK
    else:
        gate.cut()
        assert asked.reply() == OK
        cut_off(link, server)
    assert app.setex("session:x", 600, payload(page=3))
    come_back(link, server)
    assert other.get("session:x") is None and app.get("session:x") is None
    assert not any(active for active, in row_is_active(database, "session:x"))
    lost = database.execute("SELECT value, reason FROM respgres.conflicts")
    assert [(json.loads(bytes(value))["page"], reason) for value, reason in lost] == [(3, "revoked")]
    # A new log-in is one.
    app.setex("session:x", 600, payload(page=4))
    assert json.loads(other.get("session:x"))["page"] == 4


def block(client, *commands):
    """A MULTI with a command over all keys: it runs step by step."""
    with client.pipeline(transaction=True) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        pipe.dbsize()
        return pipe.execute()[:-1]


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
def test_a_block_with_a_query(site, away, ending):
    server, database, _ = site
    app, other, new = server.client(), server.client(), server.client()
    kind = ending.split()[0]
    ended, held, removed, log_in = keys = [f"session:block:{kind}:{n}" for n in range(4)]
    for key in keys:
        app.setex(key, 600, payload())
        assert app.get(key)
    database.execute(ending)
    assert block(app, ("SETEX", held, 600, payload(page=2))) == [True]
    assert other.mget(*keys) == new.mget(*keys) == [None] * 4
    away()
    assert block(app, ("SETEX", ended, 600, payload(page=3)), ("SETEX", held, 600, payload(page=3))) == [True] * 2
    assert app.setex(held, 600, payload(page=3))
    block(new, ("SETEX", log_in, 600, payload(page=3)))
    # Removed in the block itself, and made anew behind a query.
    block(app, ("DEL", removed), ("DBSIZE",), ("SETEX", removed, 600, payload(page=3)))
    for _ in range(2):
        assert other.mget(ended, held) == [None] * 2
        assert [json.loads(value)["page"] for value in other.mget(removed, log_in)] == [3] * 2
        away.back()


def lose_a_write_under_way(server, link, side, key):  # noqa: F811
    """PostgreSQL goes while it has the write of a request that was under way, or before it has it."""
    gate = link.lanes.hold("commit-0", "respgres_commit*", side)
    asked = send(server, "SETEX", key, "600", payload(page=2))
    gate.wait()
    cut_off(link, server)
    gate.cut()
    assert asked.reply() == OK


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
@pytest.mark.parametrize("side", ["request", "answer"])
def test_a_request_under_way_that_is_lost_with_its_link(lab, database, link, ending, side):  # noqa: F811
    """The instance knew that the session was ended. The write was on its way, and the session was back: while
    away, and for good if PostgreSQL had not got it."""
    server = behind(lab, database, link, pg_timeout=10_000)
    app, other = server.client(), server.client()
    app.setex("session:x", 600, payload())
    assert app.get("session:x")
    database.execute(ending)
    assert other.get("session:x") is None
    lose_a_write_under_way(server, link, side, "session:x")
    assert other.get("session:x") is None
    assert app.setex("session:x", 600, payload(page=3))  # another one
    assert other.get("session:x") is None
    come_back(link, server)
    assert other.get("session:x") is None and app.get("session:x") is None
    assert not any(active for active, in row_is_active(database, "session:x"))
    app.setex("session:x", 600, payload(page=4))  # it has read that there is none
    assert json.loads(other.get("session:x"))["page"] == 4


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
@pytest.mark.parametrize("side", ["request", "answer"])
def test_a_log_in_behind_a_request_that_was_lost(lab, database, link, ending, side):  # noqa: F811
    """What has been written while away by who has seen the end stays, whether PostgreSQL has the write that it
    held back or not."""
    server = behind(lab, database, link, pg_timeout=10_000)
    app, other = server.client(), server.client()
    app.setex("session:x", 600, payload())
    database.execute(ending)
    assert other.get("session:x") is None
    lose_a_write_under_way(server, link, side, "session:x")
    assert app.get("session:x") is None
    app.setex("session:x", 600, payload(page=3))
    assert json.loads(other.get("session:x"))["page"] == 3
    come_back(link, server)
    assert json.loads(other.get("session:x"))["page"] == 3
    assert row_is_active(database, "session:x") == [(True,)]
    assert database.execute("SELECT reason FROM respgres.conflicts") == []


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
def test_a_write_held_back_and_then_another_one(site, away, lab, ending):
    """What is known of the end is not forgotten over the version of a write that was held back while PostgreSQL
    was there. The next write of the same request, while away, made the session live for good."""
    server, database, _ = site
    app, other, new = server.client(), server.client(), server.client()
    elsewhere = lab.respgres(database, pg_timeout=10_000).client()
    kind = ending.split()[0]
    once, twice, looked_late, never_looked, held_elsewhere, log_in, by_itself = keys = [
        f"session:{kind}:{n}" for n in range(7)]
    for key in keys[:6]:
        app.setex(key, 600, payload())
        assert app.get(key)
    database.execute(ending)
    assert other.mget(once, twice, log_in) == [None] * 3
    for key in (once, twice, looked_late, never_looked, log_in, twice):
        assert app.setex(key, 600, payload(page=2))
    assert elsewhere.setex(held_elsewhere, 600, payload(page=2))
    assert other.mget(twice, looked_late, held_elsewhere) == [None] * 3
    assert new.get(log_in) is None
    # No end by SQL: what a client has written itself as inactive it makes active again.
    app.setex(by_itself, 600, payload(username="eve", session_active=False))
    assert other.get(by_itself) is None
    away()
    held = [once, twice, looked_late, never_looked, held_elsewhere]
    for page in (3, 4):
        for key in [*held, by_itself]:
            assert app.setex(key, 600, payload(page=page))
        assert other.mget(*held) == [None] * 5
    assert json.loads(other.get(by_itself))["page"] == 4
    new.setex(log_in, 600, payload(page=5))
    assert json.loads(other.get(log_in))["page"] == 5
    away.back()
    assert other.mget(*held) == [None] * 5
    assert json.loads(other.get(by_itself))["page"] == 4
    assert json.loads(other.get(log_in))["page"] == 5
    assert not any(active for key in held for active, in row_is_active(database, key))
    assert row_is_active(database, log_in) == [(True,)]
    assert database.execute("SELECT reason FROM respgres.conflicts WHERE key LIKE %s", f"session:{kind}:%") == []
