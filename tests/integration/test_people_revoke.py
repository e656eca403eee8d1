"""A session that SQL has ended is not brought back by a request that was under way: Flask-Session and
others read a session when a request begins and write it, with SETEX, when it ends."""

import json
import random
import threading
import time

import pytest

from harness import wait_until
from rules import Threads, lanes, replies, send_all, stat, waiting_for_locks  # noqa: F401
from test_people_views import flask_client, only, usernames

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]

ENDINGS = ["UPDATE respgres.sessions SET session_active = false",
           "DELETE FROM respgres.sessions"]


@pytest.fixture
def database(lab):
    return lab.database()


@pytest.fixture
def server(lab, database):
    return lab.respgres(database)


def payload(i, **more):
    return json.dumps({"username": f"u{i}", **more})


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
@pytest.mark.parametrize("consistency", ["strict", "cached"])
def test_a_thousand_kicks_between_get_and_setex(lab, database, ending, consistency):
    """Half of the requests have changed their session, half write the same bytes. In batches."""
    servers = [lab.respgres(database, consistency=consistency) for _ in range(2)]
    n = 1000
    apps = [s.client() for s in servers]
    pipeline = apps[0].pipeline(transaction=False)
    for i in range(n):
        pipeline.setex(f"session:{i}", 600, payload(i))
    pipeline.execute()
    for app in apps:
        assert None not in app.mget([f"session:{i}" for i in range(n)])
    database.execute(ending)
    for app in apps:
        pipeline = app.pipeline(transaction=False)
        for i in range(n):
            pipeline.setex(f"session:{i}", 600, payload(i) if i % 2 else payload(i, page=2))
        assert pipeline.execute() == [True] * n
    assert sum(stat(s, "postgres_inactive_writes") for s in servers) == 2 * n
    for app in apps:
        assert app.mget([f"session:{i}" for i in range(n)]) == [None] * n
        pipeline = app.pipeline(transaction=False)
        for i in range(0, n, 50):
            pipeline.get(f"session:{i}")
        assert set(pipeline.execute()) == {None}
    assert usernames(database) == []

    login = servers[1].client()  # a new log-in right afterwards
    for i in range(0, n, 100):
        assert login.get(f"session:{i}") is None
        assert login.setex(f"session:{i}", 600, payload(i, new=True))
        assert json.loads(login.get(f"session:{i}"))["new"]
        # One that reads from memory hears of it a moment later.
        wait_until(lambda i=i: servers[0].client().get(f"session:{i}"), what="the other one has it, too")
    assert len(usernames(database)) == 10


@pytest.mark.parametrize("consistency", ["strict", pytest.param("cached", marks=pytest.mark.long)])
def test_requests_and_kicks_at_the_same_time(lab, database, consistency, seed):
    """Requests of many sessions, on two instances, each of which reads its session and writes it a moment
    later, and a person who ends one after the other. Who finds itself logged out stays out; at the end
    everybody is."""
    servers = [lab.respgres(database, consistency=consistency) for _ in range(2)]
    n = 160
    chance = random.Random(seed)
    ended = threading.Event()

    def requests(server, numbers):
        def run(_):
            clients = {i: server.client() for i in numbers}
            alive = set(numbers)
            while alive:
                for i in sorted(alive):
                    if clients[i].get(f"session:{i}") is None:
                        alive.discard(i)
                        continue
                    assert clients[i].setex(f"session:{i}", 600, payload(i, at=time.monotonic()))
                if ended.is_set() and time.monotonic() > deadline[0]:
                    break
            assert not alive, alive
        return run

    deadline = [0]
    login = servers[0].client()
    for i in range(n):
        login.setex(f"session:{i}", 600, payload(i))
    with Threads(*(requests(servers[k % 2], range(k, n, 8)) for k in range(8))):
        for i in chance.sample(range(n), n):
            database.execute(f"UPDATE respgres.sessions SET session_active = false WHERE username = 'u{i}'"
                             if i % 2 else f"DELETE FROM respgres.sessions WHERE username = 'u{i}'")
        deadline[0] = time.monotonic() + 30
        ended.set()
    assert login.mget([f"session:{i}" for i in range(n)]) == [None] * n
    assert usernames(database) == []


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
def test_one_by_one(server, database, ending):
    app = server.client()
    for i in range(30):
        app.setex("session:x", 600, payload(i))
        assert app.get("session:x")
        database.execute(ending)
        assert app.setex("session:x", 600, payload(i, page=1))
        assert app.get("session:x") is None
        assert app.setex("session:x", 600, payload(i, fresh=True))  # it knows now: a new session
        assert app.get("session:x")


def test_blocks_and_other_writes(server, database):
    def kicked(key):
        app = server.client()
        app.set(key, payload(1))
        assert app.get(key)
        database.execute(f"UPDATE respgres.sessions SET session_active = false WHERE key = '{key}'")
        return app

    app = kicked("session:block")
    app.pipeline().set("session:block", payload(2)).expire("session:block", 60).execute()
    assert app.get("session:block") is None
    app = kicked("session:exclusive")
    app.pipeline().set("session:exclusive", payload(2)).dbsize().execute()
    assert app.get("session:exclusive") is None
    app = kicked("session:mset")
    app.mset({"session:mset": payload(2), "session:other": payload(3)})
    assert app.mget("session:mset", "session:other") == [None, payload(3).encode()]
    # These look first, so they know that nothing is there.
    app = kicked("session:nx")
    assert app.set("session:nx", payload(2), nx=True)
    assert app.get("session:nx")
    app = kicked("session:block_nx")
    app.pipeline().setnx("session:block_nx", payload(2)).dbsize().execute()
    assert app.get("session:block_nx")
    app = kicked("session:xx")
    assert app.set("session:xx", payload(2), xx=True) is None
    app = kicked("session:append")
    assert app.append("session:append", "x") == 1


def test_the_grace_ends(server, database):
    app = server.client()
    app.config_set("revoke-grace", "1000")
    app.set("session:x", payload(1))
    database.execute(ENDINGS[0])
    app.set("session:x", payload(1, page=1))
    assert app.get("session:x") is None
    app = server.client()
    app.config_set("revoke-grace", "1")
    time.sleep(1.2)  # what is tested is time
    app.set("session:x", payload(1, page=2))
    assert app.get("session:x")
    app.config_set("revoke-grace", "0")
    database.execute(ENDINGS[1])
    server.client().set("session:x", payload(1, page=3))
    assert app.get("session:x")


def test_clients_own_deletes_are_not_kicks(server):
    """A log-out and a log-in by different connections of a pool."""
    first, second = server.client(), server.client()
    first.set("session:x", payload(1))
    assert second.get("session:x")
    first.delete("session:x")
    second.set("session:x", payload(2))
    assert first.get("session:x") == payload(2).encode()


@pytest.mark.parametrize("key, view", [("session:x", "sessions"), ("global_state:x", "global_state")])
def test_what_a_client_has_removed_meanwhile(lab, database, lanes, key, view):  # noqa: F811
    """SQL's DELETE waits for a client's DEL, and finds no session any more: the tombstone stays."""
    server = lab.respgres(database.url_by(port=lanes.port), pg_timeout=20_000)
    server.client().set(key, payload(1))
    gate = lanes.hold("commit-0", "respgres_dbsize", "answer")
    client = send_all(server, ["MULTI"], ["DEL", key], ["DBSIZE"], ["EXEC"])
    gate.wait()  # it is written, and not committed
    deleted = []
    with Threads(lambda _: deleted.extend(database.execute(
            f"WITH gone AS (DELETE FROM respgres.{view} RETURNING 1) SELECT count(*) FROM gone"))):
        wait_until(lambda: waiting_for_locks(database), what="SQL waits")
        gate.release()
        assert replies(client, 4)[-1] == b"*2\r\n:1\r\n:0\r\n"
        wait_until(lambda: deleted, what="SQL goes on")
    assert deleted == [(0,)]
    assert database.row(key).value is None


def test_only_sessions(server, database):
    """Of any other key, a SET that is answered OK is there."""
    app = server.client()
    app.set("cache:x", "1")
    database.execute("DELETE FROM respgres.entries WHERE key = 'cache:x'")
    app.set("cache:x", "2")
    assert app.get("cache:x") == b"2"
    database.execute("UPDATE respgres.entries SET active = false WHERE key = 'cache:x'")
    app.set("cache:x", "3")
    assert app.get("cache:x") == b"3"


def test_made_active_by_sql(server, database):
    app = server.client()
    app.set("session:x", payload(1))
    database.execute(ENDINGS[0])
    database.execute("UPDATE respgres.sessions SET session_active = true")
    app.set("session:x", payload(1, page=1))
    assert app.get("session:x")
    assert only(database)["session_active"] is True


def test_what_a_payload_has_ended_no_later_step_revives(server, database):
    """A command over all keys in between makes steps of a block: the EXPIRE of the next one made it active."""
    app = server.client()
    ended = '{"user": "kim", "session_active": false}'
    with app.pipeline() as block:
        block.set("session:x", ended).set("session:y", ended).dbsize().expire("session:x", 100).dbsize().execute()
    assert app.mget("session:x", "session:y") == [None, None]
    assert database.execute("SELECT active FROM respgres.entries") == [(False,), (False,)]


def test_flask_session_under_way(server, database):
    """The request has read its session; the person is kicked; the request ends."""
    import flask
    browser = flask_client(server)

    @browser.application.route("/slow")
    def slow():
        flask.session["page"] = 2
        database.execute("SELECT respgres.end_sessions('ada')")
        return "done"

    browser.get("/login")
    assert browser.get("/who").text == "ada"
    assert browser.get("/slow").text == "done"
    assert browser.get("/who").text == "nobody"
    browser.get("/login")  # with the same cookie, and so the same key
    assert browser.get("/who").text == "ada"


HELD_BACK = {
    "keepttl": lambda app, key: app.set(key, payload(2), keepttl=True),
    "script_setex": lambda app, key: app.eval("return redis.call('SETEX', KEYS[1], 600, ARGV[1])", 1, key, payload(2)),
    "script_keepttl": lambda app, key: app.eval("return redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')", 1, key,
                                                payload(2)),
    "script_twice": lambda app, key: app.eval(
        "redis.call('SETEX', KEYS[1], 600, ARGV[1]) return redis.call('GET', KEYS[1])", 1, key, payload(2)),
    "block_keepttl": lambda app, key: app.pipeline().set(key, payload(2), keepttl=True).expire(key, 60).execute(),
    "block_exclusive": lambda app, key: app.pipeline().set(key, payload(2), keepttl=True).dbsize().execute(),
    "expire_first": lambda app, key: (app.expire(key, 60), app.setex(key, 600, payload(2))),
    "persist_first": lambda app, key: (app.persist(key), app.set(key, payload(2), keepttl=True)),
}
HASH_HELD_BACK = {
    "hset": lambda app, key: app.hset(key, "lastAccessedTime", "1"),
    "hmset": lambda app, key: app.execute_command("HMSET", key, "lastAccessedTime", "1"),
    "hsetnx": lambda app, key: app.hsetnx(key, "lastAccessedTime", "1"),
    "hincrby": lambda app, key: app.hincrby(key, "n", 1),
    "hincrbyfloat": lambda app, key: app.hincrbyfloat(key, "n", 1.5),
    "spring": lambda app, key: (app.hset(key, mapping={"lastAccessedTime": "1", "sessionAttr:page": "2"}),
                                app.expire(key, 1800),
                                app.hset(key, mapping={"lastAccessedTime": "2"}), app.expire(key, 1800)),
    "block": lambda app, key: app.pipeline().hset(key, "lastAccessedTime", "1").expire(key, 1800).execute(),
    "script": lambda app, key: app.eval("return redis.call('HSET', KEYS[1], 'lastAccessedTime', '1')", 1, key),
}


@pytest.mark.parametrize("ending", ENDINGS, ids=["inactive", "deleted"])
def test_writes_that_take_the_session_for_granted(lab, database, ending):
    """They read the row to be carried out, but whoever sends them has not."""
    here, there = lab.respgres(database), lab.respgres(database).client()

    def begin(key, is_hash):
        app = here.client()
        if is_hash:
            app.hset(key, mapping={"username": "ada", "creationTime": "0"})
            assert app.hgetall(key)
        else:
            app.setex(key, 600, payload(1))
            assert app.get(key)
        return app

    cases = [(f"session:{name}", write, False) for name, write in HELD_BACK.items()]
    cases += [(f"spring:session:sessions:{name}", write, True) for name, write in HASH_HELD_BACK.items()]
    apps = [begin(key, is_hash) for key, _, is_hash in cases]
    database.execute(ending)
    for app, (key, write, is_hash) in zip(apps, cases):
        write(app, key)
        assert there.exists(key) == 0, key
    assert usernames(database) == []
    for app, (key, write, is_hash) in zip(apps, cases):
        assert app.exists(key) == 0, key  # it knows now, and makes the session anew
        write(app, key)
        assert there.exists(key) == 1, key


def test_reads_that_find_nothing_are_a_new_login(server, database):
    """Also those in a script, and of a hash."""
    cases = {"hgetall": lambda app, key: app.hgetall(key), "hget": lambda app, key: app.hget(key, "x"),
             "exists": lambda app, key: app.exists(key), "ttl": lambda app, key: app.ttl(key),
             "script": lambda app, key: app.eval("return redis.call('EXISTS', KEYS[1])", 1, key)}
    for name, look in cases.items():
        app, key = server.client(), f"spring:session:sessions:{name}"
        app.hset(key, "username", "ada")
        database.execute(ENDINGS[0])
        look(app, key)
        app.hset(key, "username", "bob")
        assert app.hgetall(key) == {b"username": b"bob"}, name
    app = server.client()
    app.set("session:s", payload(1))
    database.execute(ENDINGS[0])
    app.eval("if not redis.call('GET', KEYS[1]) then redis.call('SETEX', KEYS[1], 600, ARGV[1]) end", 1, "session:s",
             payload(2))
    assert app.get("session:s") == payload(2).encode()
