"""respgres --import: sessions of other backends become keys, and nobody is logged out. The sessions are
made, and read again, by the real libraries."""

import base64
import hashlib
import http.cookiejar
import json
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import urllib.request
import zlib

import pytest
from flask import Flask, session
from flask_session import Session

from harness import TOP, Respgres, wait_until
from harness.servers import SANITIZERS
from harness.util import clean_environ

pytestmark = pytest.mark.rows

APPS = pathlib.Path(__file__).parent / "import_apps"
RESULT = re.compile(r"(\d+) rows: (\d+) (?:would be )?written, (\d+) the same here already, "
                    r"(\d+) kept as they live here, (\d+) ended here, (\d+) expired, "
                    r"(\d+) could not become keys\n")
FIELDS = ("rows", "written", "same", "live", "ended", "expired", "skipped")


def run(*args, env=None, status=0):
    """respgres as a program that ends; what it said on (standard output, standard error)."""
    done = subprocess.run([Respgres.binary(), *map(str, args)], capture_output=True, text=True,
                          timeout=120, check=False, env=clean_environ(**SANITIZERS, **(env or {})))
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def imported(database, kind, *args, status=0, **env):
    """What became of the rows; fields that are 0 are left out."""
    said, _ = run("--import", kind, *args, status=status, env={"DATABASE_URL": database.url, **env})
    counts = dict(zip(FIELDS, map(int, RESULT.fullmatch(said).groups())))
    return {field: n for field, n in counts.items() if n}


@pytest.fixture(scope="module")
def database(module_lab):
    """One for all tests of this file that does not say otherwise."""
    return module_lab.database()


@pytest.fixture(scope="module")
def server(module_lab, database):
    """On that database. It reads from memory, so what is imported must also be told."""
    return module_lab.respgres(database, consistency="cached")


@pytest.fixture
def client(server):
    client = server.client()
    client.flushall()
    return client


# --- Flask-Session -------------------------------------------------------------------------------

def the_way_out(heading):
    """The code that docs/adoption.md shows below a heading."""
    text = (TOP / "docs" / "adoption.md").read_text(encoding="utf8").partition(f"### {heading}\n")[2]
    return re.search(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL).group(1)


def flask_app(**config):
    app = Flask(__name__)
    app.config.update(SECRET_KEY="of the app", **config)
    Session(app)

    @app.route("/login/<user>")
    def login(user):
        session["user"] = user
        session["visits"] = 0
        return {}

    @app.route("/whoami")
    def whoami():
        if "user" in session:
            session["visits"] += 1
        return {"user": session.get("user"), "visits": session.get("visits")}

    @app.route("/logout")
    def logout():
        session.clear()
        return {}

    return app


def sqlalchemy_app(database, **config):
    app = flask_app(SESSION_TYPE="sqlalchemy", **config,
                    SQLALCHEMY_DATABASE_URI=database.url_by(tcp=True))
    with app.app_context():
        app.session_interface.db.create_all()
    return app


def redis_app(server, **config):
    return flask_app(SESSION_TYPE="redis", SESSION_REDIS=server.client(), **config)


def ask(browser, path):
    """A request, by the browser of an app."""
    return browser.get(path).get_json()


def moved(browser, app):
    """The same person's browser, at another app."""
    (cookie,) = browser.cookie_jar
    other = app.test_client()
    other.set_cookie("localhost", cookie.name, cookie.value)
    return other


@pytest.mark.parametrize("signed", [False, True], ids=["plain", "signed"])
def test_flask_session(server, client, database, signed):
    """In the database that respgres is in, too."""
    database.execute("DROP TABLE IF EXISTS sessions")
    old = sqlalchemy_app(database, SESSION_USE_SIGNER=signed)
    people = {name: old.test_client() for name in ("ada", "Zo\u00eb", "gone")}
    for name, browser in people.items():
        ask(browser, f"/login/{name}")
        assert ask(browser, "/whoami") == {"user": name, "visits": 1}
    ask(people["gone"], "/logout")

    assert imported(database, "sqlalchemy") == {"rows": 2, "written": 2}
    new = redis_app(server, SESSION_USE_SIGNER=signed)
    for name in ("ada", "Zo\u00eb"):
        assert ask(moved(people[name], new), "/whoami") == {"user": name, "visits": 2}
    assert database.execute("SELECT username, doc ->> 'visits', session_active FROM respgres.sessions"
                            " WHERE session_active ORDER BY username COLLATE \"C\"") == [
        ("Zo\u00eb", "2", True), ("ada", "2", True)]

    ask(moved(people["ada"], new), "/logout")
    database.psql(the_way_out("Into Flask-Session's table"))
    assert ask(people["Zo\u00eb"], "/whoami") == {"user": "Zo\u00eb", "visits": 3}
    assert ask(people["ada"], "/whoami")["user"] is None


def test_flask_session_keeps_its_expiry(client, database):
    database.execute("DROP TABLE IF EXISTS sessions")
    old = sqlalchemy_app(database, SESSION_KEY_PREFIX="app:", SESSION_SQLALCHEMY_TABLE="logins",
                         PERMANENT_SESSION_LIFETIME=500)
    ask(old.test_client(), "/login/ada")
    assert imported(database, "sqlalchemy", "--table", "logins") == {"rows": 1, "written": 1}
    (key,) = client.keys()
    assert key.startswith(b"app:")
    assert 400 < client.ttl(key) <= 500
    database.execute("DROP TABLE logins")


# --- Django --------------------------------------------------------------------------------------

def django(site, mode, *args, port=1):
    """What the site printed, as lines."""
    done = subprocess.run([sys.executable, APPS / "django_app.py", *map(str, args)], timeout=60,
                          capture_output=True, text=True, check=False,
                          env=clean_environ(DATABASE_URL=site.url, SITE_SESSIONS=mode,
                                            REDIS_PORT=str(port)))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def site(module_lab):
    """The database of a Django site, with its tables and the user "zoe"."""
    site = module_lab.database()
    django(site, "db", "migrate")
    return site


@pytest.mark.parametrize("old, new, options", [
    ("db", "cache", []),
    pytest.param("pickled", "cache", [], marks=pytest.mark.long),
    pytest.param("db", "json-cache", ["--as", "json"], marks=pytest.mark.long),
    pytest.param("db", "redis-sessions", ["--as", "text"], marks=pytest.mark.long),
])
def test_django(server, client, database, site, old, new, options):
    """From a database of its own."""
    site.execute("DELETE FROM django_session")
    cookie, short = django(site, old, "login")
    assert imported(database, "django", "--from", site.url, *options) == {"rows": 2, "written": 2}
    assert django(site, new, "whoami", cookie, short, "x" * 32, port=server.port) == [
        "zoe True", "zoe True", "nobody False"]
    prefix = "" if new == "redis-sessions" else ":1:django.contrib.sessions.cache"
    assert 800 < client.ttl(prefix + short) <= 1000
    assert 14 * 86400 - 200 < client.ttl(prefix + cookie) <= 14 * 86400

    if (old, new) == ("db", "cache"):
        client.delete(prefix + short)
        django(site, new, "run", the_way_out("Into Django's table"), port=server.port)
        assert django(site, old, "whoami", cookie, short) == ["zoe True", "nobody False"]


def test_django_before_3_1(client, database, site):
    """base64(hash:payload), and a payload that nobody can read."""
    site.execute("DELETE FROM django_session")
    sessions = {"a": {"_auth_user_id": "1"}, "b": {}}
    for key, content in sessions.items():
        text = base64.b64encode(b"0" * 40 + b":" + json.dumps(content).encode()).decode()
        site.execute("INSERT INTO django_session VALUES (%s, %s, now() + interval '1 day')", key, text)
    site.execute("INSERT INTO django_session VALUES ('c', 'neither this', now() + interval '1 day')")
    assert imported(database, "django", status=2, IMPORT_DATABASE_URL=site.url) == {
        "rows": 3, "written": 2, "skipped": 1}
    for key, content in sessions.items():
        assert pickle.loads(client.get(f":1:django.contrib.sessions.cache{key}")) == content


def test_every_json_becomes_its_pickle(client, database, site):
    """What Python makes of a JSON text, it makes of the pickle."""
    texts = ['{}', ' {"a" : [ ] , "b":{ } }\n', '{"n": [0, -0, 1, -1, 255, 65536, -2147483648, 2147483648,'
             ' 9223372036854775807, -9223372036854775809, 123456789012345678901234567890]}',
             '{"f": [0.0, -0.0, 1e5, 1E-5, 0.1, 1.7976931348623157e308, 1e999, -1e999, 5e-324]}',
             '{"w": [NaN, Infinity, -Infinity, true, false, null]}', '{"d": 1, "d": 2}',
             r'{"s": "\u0000\u00e9\ud83d\ude00\ud800\udc00\udc00x\ud800\n\t\b\f\r\/\\\"", "": ""}',
             '{"l": "' + "x" * 255 + '", "m": "' + "y" * 256 + '", "n": "' + "z" * 70000 + '"}',
             '{"raw": "\u00e9\u00ff"}', '[' * 499 + ']' * 499]
    texts[-1] = '{"deep": ' + texts[-1] + '}'
    wrong = ['[]', '"x"', '1', 'null', '', '{', '{"a":}', '{"a":1,}', '{"a" 1}', '{a:1}', '{"a":01}',
             '{"a":1}x', '{"a":"\t"}', r'{"a":"\x"}', '{"a":[1,]}', '{"a":' + '[' * 500 + ']' * 500 + '}']
    site.execute("DELETE FROM django_session")
    for number, text in enumerate(texts + wrong):
        packed = base64.urlsafe_b64encode(zlib.compress(text.encode("latin-1"))).rstrip(b"=").decode()
        site.execute("INSERT INTO django_session VALUES (%s, %s, now() + interval '1 day')",
                     str(number), f".{packed}:1qXYZa:{'s' * 43}")
    assert imported(database, "django", "--from", site.url, status=2) == {
        "rows": len(texts + wrong), "written": len(texts), "skipped": len(wrong)}
    for number, text in enumerate(texts):
        value = client.get(f":1:django.contrib.sessions.cache{number}")
        assert repr(pickle.loads(value)) == repr(json.loads(text)), text[:100]


# --- connect-pg-simple -----------------------------------------------------------------------------

class Express:
    """express.js, and a browser that can be taken along."""

    def __init__(self, lab, folder, *args):
        process = lab.process(["node", APPS / "express.js", folder, *map(str, args)],
                              stdout=subprocess.PIPE, env=clean_environ())
        self.url = f"http://127.0.0.1:{int(process.stdout.readline())}"

    def ask(self, browser, path):
        with browser.open(self.url + path, timeout=20) as answer:
            return json.load(answer)


@pytest.mark.long
def test_connect_pg_simple(lab, server, client, database):
    """npm fetches the packages."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm")
    folder = server.dir / "npm"
    folder.mkdir()
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, "express@4",
                    "express-session@1", "connect-pg-simple@10", "pg@8", "connect-redis@7", "redis@4"],
                   check=True, capture_output=True, timeout=110, cwd=folder)
    old = Express(lab, folder, "pg", database.url_by(tcp=True))
    new = Express(lab, folder, "redis", server.port)
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(
        http.cookiejar.CookieJar()))
    assert old.ask(browser, "/login?user=Zo%C3%AB") == {"user": "Zo\u00eb"}
    assert old.ask(browser, "/whoami") == {"user": "Zo\u00eb", "visits": 1}
    assert imported(database, "connect-pg-simple") == {"rows": 1, "written": 1}
    (key,) = client.keys("sess:*")
    assert 3400 < client.ttl(key) <= 3602  # it rounds up
    assert new.ask(browser, "/whoami") == {"user": "Zo\u00eb", "visits": 2}
    database.psql(the_way_out("Into connect-pg-simple's table"))
    assert old.ask(browser, "/whoami") == {"user": "Zo\u00eb", "visits": 3}
    assert database.execute("SELECT username FROM respgres.sessions") == [("Zo\u00eb",)]


def make_express_table(database, rows=""):
    """As its table.sql has it."""
    database.execute("DROP TABLE IF EXISTS session; CREATE TABLE session (sid varchar NOT NULL PRIMARY"
                     " KEY, sess json NOT NULL, expire timestamp(6) NOT NULL);" + rows)


def test_rows_of_connect_pg_simple(client, database):
    """expire is local time of the server; --time-zone says of which. The JSON is the very text."""
    text = '{"cookie":{"originalMaxAge":3600000}, "user": "\\u0000Zo\u00eb"}'
    make_express_table(database)
    database.execute("INSERT INTO session VALUES ('a', %s, now() + interval '1 hour'),"
                     " ('b', '[1]', now() + interval '1 hour')", text)
    assert imported(database, "connect-pg-simple", status=2) == {"rows": 2, "written": 1, "skipped": 1}
    assert client.get("sess:a").decode() == text
    assert 3400 < client.ttl("sess:a") <= 3600
    client.set("sess:c", '{"user": "eve"}', ex=500)
    database.psql(the_way_out("Into connect-pg-simple's table"))
    assert database.execute("SELECT sid, sess::text, expire BETWEEN now() + interval '300 s' AND now() +"
                            " interval '1 hour' FROM session ORDER BY 1") == [
        ("a", text, True), ("c", '{"user": "eve"}', True)]

    client.flushdb()
    make_express_table(database, "INSERT INTO session VALUES ('a', '{}', now() + interval '1 hour')")
    assert imported(database, "connect-pg-simple", "--time-zone", "America/New_York") == {
        "rows": 1, "written": 1}
    wait_until(lambda: client.ttl("sess:a") > 4 * 3600, what="it is told")


def test_an_expiry_beyond_all_clocks(client, database):
    """The years from 294247 on are PostgreSQL's, and too far for microseconds since 1970."""
    make_express_table(database, "INSERT INTO session VALUES ('far', '{}', '294276-12-31'), ('ever', '{}', 'infinity')")
    assert imported(database, "connect-pg-simple") == {"rows": 2, "written": 2}
    assert client.mget("sess:far", "sess:ever") == [b"{}", b"{}"]
    assert client.ttl("sess:far") == -1
    for far in ("294247-01-11", "294276-01-01"):
        database.execute(f"UPDATE respgres.entries SET expires_at = '{far}' WHERE key = 'sess:far'")
        assert client.get("sess:far") == b"{}" and client.ttl("sess:far") == -1
        assert client.append("sess:far", " ") == 3 and client.set("sess:far", "{}", keepttl=True)
        assert client.get("sess:far") == b"{}"


# --- which rows --------------------------------------------------------------------------------------

def make_flask_table(database, values, name="sessions"):
    """`values`: what stands behind VALUES for session_id, data, expiry."""
    database.execute(f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (id serial PRIMARY KEY, session_id"
                     " varchar(255) UNIQUE, data bytea, expiry timestamp);"
                     f"INSERT INTO {name} (session_id, data, expiry) {values}")


def versions(database):
    return {bytes(key): version for key, version in database.execute(
        "SELECT key, version FROM respgres.entries WHERE space = respgres.space_of(0)")}


def test_what_lives_or_has_ended_here_stays_so(client, database):
    make_flask_table(database, "SELECT 'session:' || n, convert_to('{\"user\": \"' || n || '\"}', 'UTF8'),"
                     " now() AT TIME ZONE 'UTC' + interval '1 hour' FROM generate_series(1, 9) n")
    client.set("session:1", "of the app")
    client.set("session:2", "x")
    client.delete("session:2")
    client.set("session:3", "x")
    database.execute("UPDATE respgres.sessions SET session_active = false WHERE session_id = '3'")
    client.set("session:4", "x", px=1)
    wait_until(lambda: not client.exists("session:4"))
    database.execute("INSERT INTO respgres.entries (space, key, version) VALUES"
                     " (respgres.space_of(0), 'session:5', 0)")

    assert imported(database, "sqlalchemy", "--dry-run") == {"rows": 9, "written": 6, "live": 1, "ended": 2}
    assert client.mget("session:5", "session:6") == [None, None]
    assert imported(database, "sqlalchemy") == {"rows": 9, "written": 6, "live": 1, "ended": 2}
    wait_until(lambda: client.mget([f"session:{n}" for n in range(1, 7)]) == [
        b"of the app", None, None, b'{"user": "4"}', b'{"user": "5"}', b'{"user": "6"}'], what="it is told")
    before = versions(database)
    assert imported(database, "sqlalchemy") == {"rows": 9, "same": 6, "live": 1, "ended": 2}
    client.set("session:7", "changed")  # by the app, which goes on
    client.delete("session:8")
    assert imported(database, "sqlalchemy") == {"rows": 9, "same": 4, "live": 2, "ended": 3}
    assert client.mget("session:7", "session:8") == [b"changed", None]

    assert imported(database, "sqlalchemy", "--overwrite", "--dry-run") == {
        "rows": 9, "written": 5, "same": 4}
    assert client.get("session:1") == client.get("session:1") == b"of the app"
    assert imported(database, "sqlalchemy", "--overwrite") == {"rows": 9, "written": 5, "same": 4}
    wait_until(lambda: client.mget([f"session:{n}" for n in range(1, 10)]) == [
        b'{"user": "%d"}' % n for n in range(1, 10)], what="it is told, of what was in memory, too")
    after = versions(database)
    assert all(after[key] >= version for key, version in before.items())
    assert [after[key] > version for key, version in sorted(before.items())] == [
        True, True, True, False, False, False, True, True, False]


def test_rows_are_as_writes_by_sql(client, database):
    make_flask_table(database, "VALUES ('session:new', '{\"user\": \"ada\"}', 'infinity'),"
                     " ('session:over', '{\"user\": \"bob\", \"session_active\": false}', '2100-01-01')")
    assert imported(database, "sqlalchemy") == {"rows": 2, "written": 2}
    assert database.execute(
        "SELECT convert_from(key, 'UTF8'), doc, active, type, version & 1023, value_version & 1023,"
        " expires_at::text, respgres.slot_of(expires_at) - expire_slot BETWEEN 1 AND 3, revoked"
        " FROM respgres.entries WHERE space = respgres.space_of(0) ORDER BY key") == [
            ("session:new", {"user": "ada"}, True, 0, 0, 0, None, None, None),
            ("session:over", {"user": "bob", "session_active": False}, False, 0, 0, 0,
             "2100-01-01 00:00:00+00", True, None)]
    assert client.ttl("session:new") == -1
    assert client.get("session:over") is None  # the payload says so
    client.set("session:new", "x")
    assert client.get("session:new") == b"x"


def test_expired_rows_and_rows_without_what_it_takes(client, database):
    make_flask_table(database, "VALUES ('session:old', 'x', now() AT TIME ZONE 'UTC' - interval '1 s'),"
                     "('session:never', 'x', '-infinity'), (NULL, 'x', '2100-01-01'),"
                     "('session:empty', NULL, '2100-01-01'), ('session:no', 'x', NULL)")
    said = run("--import", "sqlalchemy", "--ttl", 770, env={"DATABASE_URL": database.url}, status=2)[1]
    assert re.search(r"row 3, .*: it has no key\n", said)
    assert re.search(r"row 4, session:[0-9a-f#*.]+: it has no value\n", said), said
    assert client.keys() == [b"session:no"]
    assert 0 < client.ttl("session:no") <= 770


def test_a_row_that_postgresql_refuses(client, database):
    """By a trigger, in the middle of a batch: its neighbours are written."""
    make_flask_table(database, "SELECT 'session:' || n, '\\x00', timestamp '2100-01-01'"
                     " FROM generate_series(1, 300) n")
    database.execute("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                     " IF NEW.key IN ('session:77', 'session:78') THEN RAISE 'not this one'; END IF;"
                     " RETURN NEW; END $$; CREATE TRIGGER no BEFORE INSERT ON respgres.entries"
                     " FOR EACH ROW EXECUTE FUNCTION no()")
    try:
        assert imported(database, "sqlalchemy", status=2) == {"rows": 300, "written": 298, "skipped": 2}
    finally:
        database.execute("DROP FUNCTION no() CASCADE")
    assert client.dbsize() == 298


def peak_of_import(database, *args):
    """The most memory in bytes that the import needed."""
    sanitizers = {**SANITIZERS, "ASAN_OPTIONS": "quarantine_size_mb=1:" + SANITIZERS["ASAN_OPTIONS"]}
    process = subprocess.Popen([Respgres.binary(), "--import", "sqlalchemy", *args],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=clean_environ(**sanitizers, DATABASE_URL=database.url))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_many_rows_need_no_more_memory_than_few(database, client):
    make_flask_table(database, "SELECT 'session:' || n, convert_to(repeat(md5(n::text), 64), 'UTF8'),"
                     " timestamp '2100-01-01' FROM generate_series(1, 12000) n")
    database.execute("CREATE VIEW few AS SELECT * FROM sessions WHERE id <= 2000")
    few = peak_of_import(database, "--table", "few", "--into-db", "3", "--prefix", "copy:")
    many = peak_of_import(database)
    assert many - few < 8 << 20 < 10000 * 2048
    assert client.dbsize() == 12000
    assert client.get("session:12000") == 64 * hashlib.md5(b"12000").hexdigest().encode()
    assert client.execute_command("SELECT", 3) and client.dbsize() == 2000
    database.execute("DROP VIEW few")


# --- what goes wrong ---------------------------------------------------------------------------------

@pytest.mark.parametrize("words, why", [
    (["php"], "one of sqlalchemy, connect-pg-simple, django"),
    (["sqlalchemy", "--as", "pickle"], "--as pickle"),
    (["django", "--batch", "0"], "--batch 0: a number from 1 to 100000"),
    (["django", "--into-db", "16"], "--into-db 16"),
    (["sqlalchemy", "--table", "none_such"], 'relation "none_such" does not exist'),
    (["sqlalchemy", "--table", "x; DROP TABLE y"], "invalid name syntax"),
    (["sqlalchemy", "--table", "pg_class"], 'column "session_id" does not exist'),
    (["sqlalchemy", "--from", "postgresql://u:secret@127.0.0.1:1/none"], "onnection refused"),
    (["sqlalchemy", "--standalone", "yes"], "exclude each other|standalone yes"),
    ([], "misses its value"),
    (["sqlalchemy", "--prefix", "--database-url", "postgresql://u:secret@127.0.0.1:1/none"], "misses its value"),
    (["sqlalchemy", "postgresql://u:secret@127.0.0.1:1/none"], r"<URL>: No such file"),
    (["postgresql://u:secret@127.0.0.1:1/none"], r"--import <URL>: one of"),
    (["sqlalchemy", "--batch", "host=h password=secret"], r"--batch <URL>: a number"),
    (["sqlalchemy", "--databas-url", "postgresql://u:secret@127.0.0.1:1/none"], "unknown option 'databas-url'"),
    (["sqlalchemy", "--postgresql://u:secret@127.0.0.1:1/none"], r"unknown option '<URL>'"),
])
def test_what_cannot_be_done_is_told(database, words, why):
    said, error = run("--import", *words, env={"DATABASE_URL": database.url}, status=1)
    assert said == "" and re.search(why, error) and "secret" not in error


def test_through_a_pooler(lab):
    """Table and keys behind a PgBouncer in transaction mode."""
    database = lab.database()
    make_flask_table(database, "SELECT 'session:' || n, 'x', '2100-01-01' FROM generate_series(1, 2500) n")
    url = lab.pgbouncer(database).url
    assert imported(database, "sqlalchemy", "--pg-pooler", "transaction", DATABASE_URL=url) == {
        "rows": 2500, "written": 2500}
    assert len(database.live()) == 2500


def test_a_schema_is_made_where_there_is_none(lab):
    database = lab.database()
    make_flask_table(database, "VALUES ('session:1', 'x', '2100-01-01')")
    assert imported(database, "sqlalchemy", "--dry-run") == {"rows": 1, "written": 1}
    assert database.execute("SELECT to_regnamespace('respgres')") == [(None,)]
    assert imported(database, "sqlalchemy", "--pg-schema", "keys") == {"rows": 1, "written": 1}
    assert lab.respgres(database, pg_schema="keys").client().get("session:1") == b"x"


# What is wrong with each stands in the last column; libpq would take the text for a database's name, or a host.
NO_URLS = [
    ("mysql://x:secretpw@127.0.0.1/db", "scheme is not PostgreSQL's"),
    ("sqlite:///secretpw.db", "scheme is not PostgreSQL's"),
    ("postgresql://u:s@ecretpw@127.0.0.1:1/db", "cannot be told apart"),
    ("postgresql://u:se/cretpw@127.0.0.1:1/db", "cannot be told apart"),
    ("postgresql://u:secretpw%zz@127.0.0.1:1/db", "two hexadecimal digits"),
    ("secretpw", "neither a postgresql:// URL nor keyword=value"),
    ("host=127.0.0.1 password=a secretpw", "libpq cannot read it"),
    ("postgresql://u:secretpw@127.0.0.1:99999/db", "port is not valid"),
]


@pytest.mark.parametrize("url, why", NO_URLS)
def test_the_url_of_the_table_is_judged_as_database_url(module_lab, database, url, why):
    """By the same words, before anybody is connected to, and without a secret."""
    postgres = database.postgres
    env = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": database.role}
    told = run("--check-config", "--database-url", url, env=env, status=1)[1].rpartition("database-url: ")[2]
    assert why in told
    before = len(postgres.log)
    for words, given in ((["--from", url], {}), (["--from=" + url], {}), ([], {"IMPORT_DATABASE_URL": url})):
        said, error = run("--import", "sqlalchemy", *words, status=1,
                          env={"DATABASE_URL": database.url, **env, **given})
        assert said == "" and error.endswith(told) and "cretpw" not in error, error
        assert ("IMPORT_DATABASE_URL: " if given else "--from: ") in error
    assert "cretpw" not in postgres.log[before:]


def test_an_empty_variable_says_nothing(client, database):
    make_flask_table(database, "VALUES ('session:here', 'x', '2100-01-01')")
    assert imported(database, "sqlalchemy", IMPORT_DATABASE_URL="") == {"rows": 1, "written": 1}
    said, error = run("--import", "sqlalchemy", "--from", "", env={"DATABASE_URL": database.url}, status=1)
    assert said == "" and "--from: neither a postgresql:// URL" in error


def test_parameters_that_libpq_does_not_know(client, database):
    make_flask_table(database, "VALUES ('session:here', 'x', '2100-01-01')")
    url = database.url_by(tcp=True).replace("postgresql:", "postgresql+psycopg2:")
    said, error = run("--import", "sqlalchemy", "--from", url + "?pool_size=5&sec ret=1",
                      env={"DATABASE_URL": database.url})
    assert said.startswith("1 rows: 1 written") and error == (
        "respgres: --from: parameters that libpq does not know are left out: pool_size,?\n")


def test_a_key_that_no_command_could_name_is_left_out(client, database):
    """connect-pg-simple takes ids of any length."""
    make_express_table(database, "INSERT INTO session SELECT repeat('x', n), '{}', now() + interval '1 hour'"
                       " FROM unnest(ARRAY[2595, 2596]) n")
    said, error = run("--import", "connect-pg-simple", env={"DATABASE_URL": database.url}, status=2)
    assert said.startswith("2 rows: 1 written") and "longer than commands accept" in error
    assert client.get("sess:" + "x" * 2595) == b"{}"
    assert database.execute("SELECT count(*) FROM respgres.entries WHERE value IS NOT NULL AND"
                            " length(key) > 2600") == [(0,)]
