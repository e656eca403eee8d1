"""The views for people: sessions that real clients wrote, ended and counted in SQL; state that an app
shares. What SQL does is seen by the next command on every instance."""

import json
import subprocess
import sys
import time

import msgpack
import psycopg2
import pytest

from harness import wait_until
from harness.util import clean_environ

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]

SESSION = {"username": "ada", "messages": [{"role": "user", "content": "hi"}],
           "client_ip": "192.0.2.7", "user_agent": "Firefox", "user_attributes": {"lang": "en"},
           "crisis_detected": True, "last_activity": "2026-01-02T03:04:05+00:00"}
COLUMNS = ("session_id, username, messages, last_activity, client_ip, user_agent, user_attributes,"
           " session_active, crisis_detected")


@pytest.fixture
def database(lab):
    return lab.database()


@pytest.fixture
def server(lab, database):
    return lab.respgres(database)


def sessions(database, columns=COLUMNS, where="true"):
    cursor = database.connect().cursor()
    cursor.execute(f"SELECT {columns} FROM respgres.sessions WHERE {where} ORDER BY key")
    names = [c.name for c in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def only(database, **options):
    row, = sessions(database, **options)
    return row


def usernames(database, where="session_active"):
    return [r["username"] for r in sessions(database, "username, key", where)]


def check_session(row, **different):
    want = {"username": "ada", "messages": SESSION["messages"], "client_ip": "192.0.2.7",
            "user_agent": "Firefox", "user_attributes": {"lang": "en"}, "crisis_detected": True,
            "session_active": True, **different}
    assert {k: row[k] for k in want} == want
    assert row["last_activity"].isoformat() == "2026-01-02T03:04:05+00:00"


# --- what clients write ------------------------------------------------------------------------------

def flask_client(server, **config):
    import flask
    import flask_session
    app = flask.Flask("app")
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=server.client(), SECRET_KEY="k", **config)
    flask_session.Session(app)

    @app.route("/login")
    def login():
        flask.session.update(SESSION)
        return "in"

    @app.route("/who")
    def who():
        return flask.session.get("username", "nobody")

    return app.test_client()


def test_flask_session(server, database):
    """0.3: a pickle."""
    client = flask_client(server)
    client.get("/login")
    row = only(database, columns=COLUMNS + ", key, doc, expires_at, created_at, updated_at, client")
    check_session(row)
    assert row["key"] == "session:" + row["session_id"]
    assert server.client().exists(row["key"])
    assert row["doc"] == {"_permanent": True, **SESSION}
    assert row["expires_at"] > row["updated_at"] >= row["created_at"]
    assert "Flask" in row["client"]


def run_script(script, *args):
    done = subprocess.run([sys.executable, "-c", script, *map(str, args)], capture_output=True, text=True,
                          timeout=60, check=False, env=clean_environ())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


DJANGO = """
import json, sys, importlib
from django.conf import settings
settings.configure(SECRET_KEY="k", SESSION_CACHE_ALIAS="default", CACHES={"default": {
    "BACKEND": "django_redis.cache.RedisCache", "LOCATION": sys.argv[1],
    "OPTIONS": {"COMPRESSOR": "django_redis.compressors." + sys.argv[2]}}})
import django
django.setup()
from django.contrib.sessions.backends.cache import SessionStore
session = SessionStore()
session.update(json.loads(sys.argv[3]))
session["big"] = "x" * 2000
session.save()
print(session.session_key)
"""


@pytest.mark.parametrize("compressor", ["identity.IdentityCompressor", "zlib.ZlibCompressor"])
def test_django(server, database, compressor):
    session_key = run_script(DJANGO, server.url(), compressor, json.dumps(SESSION))
    row = only(database)
    check_session(row)
    assert row["session_id"] == session_key


PHP = r"""
ini_set('session.save_handler', 'redis'); ini_set('session.save_path', $argv[1]);
ini_set('session.serialize_handler', $argv[2]); ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
session_start(); foreach (json_decode($argv[3], true) as $k => $v) $_SESSION[$k] = $v;
session_write_close(); echo session_id();
"""


@pytest.mark.parametrize("handler", ["php", "php_serialize"])
def test_php(server, database, handler):
    done = subprocess.run(
        ["php", "-r", PHP, "--", f"tcp://127.0.0.1:{server.port}", handler, json.dumps(SESSION)],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and not done.stderr, done
    row = only(database)
    check_session(row)
    assert row["session_id"] == done.stdout.strip()


def test_msgpack_and_json(server, database):
    client = server.client()
    client.setex("session:abc", 60, msgpack.packb(SESSION))
    client.setex("sess:abc", 60, json.dumps(SESSION))
    client.set("beaker_cache:abc:session", json.dumps(SESSION))
    client.set("beaker_cache:abc:other", json.dumps(SESSION))
    client.set("other", json.dumps(SESSION))
    rows = sessions(database)
    assert [r["session_id"] for r in rows] == ["abc", "abc", "abc"]
    for row in rows:
        check_session(row)


# --- columns -------------------------------------------------------------------------------------------

def test_where_columns_are_looked_for(server, database):
    client = server.client()
    for i, (doc, want) in enumerate([
            ({"user": "bob"}, "bob"), ({"user": {"name": "bob"}}, "bob"), ({"user_id": 42}, "42"),
            ({"passport": {"user": 7}}, "7"), ({"user": {"x": 1}}, None), ([1], None), ({}, None),
            ({"username": None, "login": "eve"}, "eve")]):
        client.set(f"session:{i}", json.dumps(doc))
        row = only(database, where=f"key = 'session:{i}'")
        assert row["username"] == want, doc
    client.set("session:x", b"\x00\xff")
    assert only(database, where="key = 'session:x'")["username"] is None


def test_times_of_every_kind(server, database):
    client = server.client()
    for value in ("2026-01-02T03:04:05Z", 1767323045, 1767323045000, 1767323045.0):
        client.set("session:t", json.dumps({"last_activity": value}))
        assert only(database)["last_activity"].timestamp() == 1767323045, value
    client.set("session:t", json.dumps({"last_activity": "never"}))
    row = only(database, columns="last_activity, updated_at")
    assert row["last_activity"] == row["updated_at"]


def test_another_prefix_and_other_paths(server, database):
    client = server.client()
    client.config_set("decode", "sessions app:*")
    database.execute("INSERT INTO respgres.session_formats (prefix, db, username, crisis_detected)"
                     " VALUES ('app:', 0, '{who,$.people[*].name}', '{flags.crisis}')")
    client.set("app:1", json.dumps({"who": "ada", "flags": {"crisis": "yes"}}))
    client.set("app:2", json.dumps({"people": [{"name": "bob"}]}))
    server.client(db=1).set("app:3", json.dumps({"who": "eve"}))
    assert [(r["session_id"], r["username"], r["crisis_detected"]) for r in sessions(database)] == [
        ("1", "ada", True), ("2", "bob", None)]
    database.execute("INSERT INTO respgres.session_formats (prefix) VALUES ('app:2')")
    assert [r["session_id"] for r in sessions(database)] == ["1"]  # "app:2" has no id of its own
    assert client.set("app:22", "{}") and len(sessions(database)) == 2


def test_only_what_lives(server, database):
    client = server.client()
    client.set("session:gone", "{}")
    client.delete("session:gone")
    client.set("session:expired", "{}", px=1)
    client.set("session:here", "{}")
    wait_until(lambda: [r["session_id"] for r in sessions(database)] == ["here"], what="only one is there")


# --- ending sessions -----------------------------------------------------------------------------------

@pytest.fixture
def fleet(lab, database):
    """Two instances, one of which reads from memory."""
    return [lab.respgres(database), lab.respgres(database, consistency="cached")]


def log_in(server, **people):
    client = server.client()
    for key, who in people.items():
        client.setex(f"session:{key}", 600, json.dumps({"username": who}))


@pytest.mark.parametrize("statement", [
    "UPDATE respgres.sessions SET session_active = false WHERE username = 'bob'",
    "DELETE FROM respgres.sessions WHERE username = 'bob'",
    "SELECT respgres.end_sessions('bob')"])
def test_ending_by_username(fleet, database, statement):
    log_in(fleet[0], a="ada", b="bob", c="bob")
    for server in fleet:
        assert server.client().get("session:b")
    conn = database.connect()
    cursor = conn.cursor()
    cursor.execute(statement)
    if statement.startswith("SELECT"):
        assert cursor.fetchone() == (2,)
    else:
        assert cursor.rowcount == 2
    assert fleet[0].client().mget("session:a", "session:b", "session:c")[1:] == [None, None]
    deadline = time.monotonic() + 1.5  # cached-max-lag
    while time.monotonic() < deadline and fleet[1].client().get("session:b"):
        pass
    assert fleet[1].client().get("session:b") is None
    assert usernames(database) == ["ada"]
    assert database.execute("SELECT respgres.end_sessions('bob')") == [(0,)]


def test_a_session_can_be_made_active_again(server, database):
    log_in(server, a="ada")
    database.execute("SELECT respgres.end_sessions('ada')")
    row = only(database)
    assert row["session_active"] is False
    assert server.client().get("session:a") is None
    database.execute("UPDATE respgres.sessions SET session_active = true WHERE session_id = 'a'")
    assert json.loads(server.client().get("session:a")) == {"username": "ada"}


@pytest.mark.parametrize("change", ["username = 'eve'", "doc = '{}'", "key = 'session:x'",
                                    "expires_at = now()", "session_active = NULL", "db = 3"])
def test_nothing_else_can_be_changed(server, database, change):
    log_in(server, a="ada")
    with pytest.raises(psycopg2.errors.FeatureNotSupported) as e:
        database.execute(f"UPDATE respgres.sessions SET {change}")
    assert "only session_active" in e.value.diag.message_primary
    assert "application" in e.value.diag.message_hint
    assert server.client().get("session:a")


def test_a_payload_that_says_so_itself(server, database):
    client = server.client()
    client.set("session:a", json.dumps({"username": "ada", "session_active": True}))
    assert client.get("session:a")
    client.set("session:a", json.dumps({"username": "ada", "session_active": False}))
    assert client.get("session:a") is None
    assert only(database)["session_active"] is False
    client.set("session:a", json.dumps({"username": "ada", "session_active": True}))
    assert client.get("session:a")
    client.pipeline().set("session:a", json.dumps({"session_active": "no"})).incr("n").execute()
    assert client.get("session:a") is None
    pipeline = client.pipeline(transaction=False)
    for i in range(5):
        pipeline.setex(f"session:p{i}", 60, json.dumps({"n": i, "session_active": i % 2 == 0}))
    pipeline.execute()
    assert [client.exists(f"session:p{i}") for i in range(5)] == [1, 0, 1, 0, 1]
    client.set("plain:a", json.dumps({"session_active": False}))
    assert client.get("plain:a")


def test_a_payload_that_says_so_elsewhere(server, database):
    client = server.client()
    client.set("session:a", '{"state": {"on": false}}')
    assert client.get("session:a")
    database.execute("UPDATE respgres.session_formats SET session_active = '{state.on}'"
                     " WHERE prefix = 'session:'")
    client.set("session:a", '{"state": {"on": false}, "n": 1}')
    assert client.get("session:a") is None
    client.set("session:b", '{"session_active": false}')
    assert client.get("session:b")


def test_a_role_that_may_only_end_sessions(server, database, lab):
    log_in(server, a="ada", b="bob")
    postgres = lab.postgres()
    postgres.create_role("support")
    postgres.create_role("viewer")
    try:
        database.execute("GRANT USAGE ON SCHEMA respgres TO support, viewer")
        database.execute("GRANT SELECT, UPDATE (session_active), DELETE ON respgres.sessions TO support")
        database.execute("GRANT SELECT ON respgres.sessions_public, respgres.session_stats TO viewer")
        conn = postgres.connect(database.name, "support")
        cursor = conn.cursor()
        cursor.execute("SELECT respgres.end_sessions('bob')")
        assert cursor.fetchone() == (1,)
        cursor.execute("DELETE FROM respgres.sessions WHERE username = 'ada'")
        assert cursor.rowcount == 1
        assert server.client().keys() == []
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT value FROM respgres.entries")
        conn = postgres.connect(database.name, "viewer")
        cursor = conn.cursor()
        cursor.execute("SELECT * FROM respgres.sessions_public")
        names = [c.name for c in cursor.description]
        assert not {"session_id", "key", "doc", "messages"} & set(names)
        assert [r[names.index("username")] for r in cursor.fetchall()] == ["bob"]
        cursor.execute("SELECT * FROM respgres.session_stats")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM respgres.sessions")
    finally:
        for role in ("support", "viewer"):
            postgres.execute(f"DROP OWNED BY {role}", dbname=database.name)
            postgres.execute(f"DROP ROLE {role}")


# --- statistics ----------------------------------------------------------------------------------------

def test_statistics(server, database):
    client = server.client()
    for i in range(6):
        client.set(f"session:{i}", json.dumps({
            "username": f"u{i % 3}", "user_agent": "Firefox" if i % 2 else None,
            "last_activity": f"2026-01-02T0{i // 3}:30:00Z", "filler": "x" * 2000 * (i == 0)}))
    database.execute("SELECT respgres.end_sessions('u2')")
    stats = {(what, item): n for what, item, n in database.execute(
        "SELECT what, item, sessions FROM respgres.session_stats")}
    assert stats["now", "active"] == 4 and stats["now", "inactive"] == 2
    assert stats["user agent", "Firefox"] == 2 and stats["user agent", "unknown"] == 2
    assert stats["size", "below 1 kB"] == 3 and stats["size", "1 to 8 kB"] == 1
    assert sum(n for (what, _), n in stats.items() if what == "hour of the last activity") == 4


# --- global_state --------------------------------------------------------------------------------------

def state(database):
    return dict(database.execute("SELECT key, queue_data FROM respgres.global_state ORDER BY 1"))


def test_global_state(fleet, database):
    client = fleet[0].client()
    client.set("global_state:queue", json.dumps({"waiting": ["a"]}))
    assert state(database) == {"queue": {"waiting": ["a"]}}
    database.execute("UPDATE respgres.global_state SET queue_data = jsonb_set(queue_data, '{waiting,1}',"
                     " '\"b\"') WHERE key = 'queue'")
    assert json.loads(client.get("global_state:queue")) == {"waiting": ["a", "b"]}
    database.execute("INSERT INTO respgres.global_state (key, queue_data) VALUES ('limits', '{\"n\": 5}')")
    assert json.loads(client.get("global_state:limits")) == {"n": 5}
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.execute("INSERT INTO respgres.global_state (key, queue_data) VALUES ('limits', '1')")
    database.execute("DELETE FROM respgres.global_state WHERE key = 'queue'")
    assert client.get("global_state:queue") is None
    database.execute("INSERT INTO respgres.global_state (key, queue_data) VALUES ('queue', '[]')")
    assert client.get("global_state:queue") == b"[]"
    with pytest.raises(psycopg2.errors.FeatureNotSupported):
        database.execute("UPDATE respgres.global_state SET key = 'x'")
    with pytest.raises(psycopg2.errors.NotNullViolation):
        database.execute("INSERT INTO respgres.global_state (key) VALUES ('x')")
    assert fleet[1].client().get("global_state:limits") == b'{"n": 5}'
    database.execute("UPDATE respgres.global_state SET queue_data = '6' WHERE key = 'limits'")
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline and fleet[1].client().get("global_state:limits") != b"6":
        pass
    assert fleet[1].client().get("global_state:limits") == b"6"
    assert client.incr("global_state:limits") == 7
    assert state(database)["limits"] == 7


def test_global_state_shows_what_is_no_string(server, database):
    client = server.client()
    client.rpush("global_state:queue", "ada", "bob")
    client.hset("global_state:limits", "per_minute", "5")
    assert state(database) == {"queue": ["ada", "bob"], "limits": {"per_minute": "5"}}
    for key in "queue", "limits":
        with pytest.raises(psycopg2.errors.FeatureNotSupported):
            database.execute(f"UPDATE respgres.global_state SET queue_data = '[]' WHERE key = '{key}'")
    assert client.lrange("global_state:queue", 0, -1) == [b"ada", b"bob"]
    database.execute("DELETE FROM respgres.global_state WHERE key = 'queue'")
    assert client.lpush("global_state:queue", "eve") == 1
    assert state(database)["queue"] == ["eve"]


def test_global_state_is_in_its_own_database(server, database):
    database.execute("UPDATE respgres.session_formats SET prefix = 'shared:', db = 2 WHERE kind = 'global'")
    database.execute("INSERT INTO respgres.global_state (key, queue_data) VALUES ('q', '[1]')")
    assert server.client(db=2).get("shared:q") == b"[1]"
    server.client(db=2).set("shared:p", '{"from": "redis"}')  # not decoded: not in decode
    server.client().set("shared:other", "1")
    assert state(database) == {"p": {"from": "redis"}, "q": [1]}
