"""The way out of docs/adoption.md, where not every key under the prefix is a session."""

import re
import subprocess

import pytest

from harness import TOP, wait_until
from harness.util import clean_environ
from test_import import django, imported, make_express_table, make_flask_table, the_way_out

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def database(module_lab):
    return module_lab.database()


@pytest.fixture(scope="module")
def server(module_lab, database):
    return module_lab.respgres(database)


@pytest.fixture
def client(server):
    client = server.client()
    client.flushall()
    return client


def left_out(database, heading):
    """What the second query below a heading lists."""
    text = (TOP / "docs" / "adoption.md").read_text(encoding="utf8").partition(f"### {heading}\n")[2]
    query = re.findall(r"^```sql\n(.*?)^```", text.partition("\n### ")[0], re.MULTILINE | re.DOTALL)[1]
    return sorted(database.execute(query))


def test_into_the_table_of_flask_session(client, database):
    make_flask_table(database, "VALUES ('session:old', 'x', '2100-01-01')")
    client.setex("session:1", 600, b"\x80\x04}.")
    client.set("session:\u00fc", b"{}")
    client.set(b"session:\xff\x00", b"{}")
    client.rpush("session:list", "a")
    client.hset("session:hash", "a", "b")
    client.set("session:" + "x" * 300, "{}")
    client.set("sessions", "{}")
    database.psql(the_way_out("Into Flask-Session's table"))
    assert [(key, bytes(data)) for key, data in database.execute(
            "SELECT session_id, data FROM sessions ORDER BY session_id COLLATE \"C\"")] == [
        ("session:1", b"\x80\x04}."), ("session:\\377\\000", b"{}"), ("session:\u00fc", b"{}")]
    assert left_out(database, "Into Flask-Session's table") == [
        ("session:hash", "hash"), ("session:list", "list"), ("session:" + "x" * 300, "string")]


def into_another(database, other, cwd):
    """Runs what stands below "Into another database", with the SELECT of Flask-Session's way."""
    text = (TOP / "docs" / "adoption.md").read_text(encoding="utf8").partition("### Into another database\n")[2]
    lines = re.search(r"(?:^    .*\n)+", text, re.MULTILINE).group()
    select = re.search(r"SELECT.*?(?=;\nCOMMIT)", the_way_out("Into Flask-Session's table"), re.DOTALL).group()
    assert lines.count("SELECT \u2026") == 1 and '"' not in select
    return subprocess.run(["bash", "-c", lines.replace("SELECT \u2026", select)], check=False, timeout=60, cwd=cwd,
                          capture_output=True, text=True,
                          env=clean_environ(DATABASE_URL=database.url, OTHER_URL=other.url))


def test_into_another_database(module_lab, client, database, tmp_path):
    """The table is emptied before, in the same transaction; if the sessions cannot be read, it stays as it is."""
    other = module_lab.database()
    make_flask_table(other, "VALUES ('session:old', 'x', '2100-01-01'), ('session:1', 'x', '2100-01-01')")
    client.setex("session:1", 600, b"\x80\x04}.")
    client.setex("session:2", 600, b"tab\tand\\line\n")
    client.rpush("session:list", "a")

    database.psql("ALTER TABLE respgres.spaces RENAME TO gone")
    try:
        assert into_another(database, other, tmp_path).returncode != 0
    finally:
        database.psql("ALTER TABLE respgres.gone RENAME TO spaces")
    assert other.execute("SELECT count(*) FROM sessions") == [(2,)]

    done = into_another(database, other, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [(key, bytes(data)) for key, data in other.execute(
            "SELECT session_id, data FROM sessions WHERE expiry < now() AT TIME ZONE 'UTC' + interval '601 s'"
            " ORDER BY 1")] == [("session:1", b"\x80\x04}."), ("session:2", b"tab\tand\\line\n")]
    assert other.execute("SELECT count(*) FROM sessions") == [(2,)]
    assert not list(tmp_path.iterdir()), "nothing is left that would log somebody in"


def test_into_the_table_of_connect_pg_simple(client, database):
    make_express_table(database, "INSERT INTO session VALUES ('old', '{}', '2100-01-01')")
    text = '{"user": "\\u0000Zo\u00eb", "user" : 1}'
    client.setex("sess:1", 600, text)
    for key, value in (("json", "[1]"), ("text", "plain"), ("bytes", b"\xff{}"), ("broken", '{"a":'), ("", "")):
        client.set(f"sess:{key}", value)
    client.hset("sess:hash", "a", "b")
    database.psql(the_way_out("Into connect-pg-simple's table"))
    assert database.execute("SELECT sid, sess::text FROM session") == [("1", text)]
    assert left_out(database, "Into connect-pg-simple's table") == [
        ("sess:", "string"), ("sess:broken", "string"), ("sess:bytes", "string"), ("sess:hash", "hash"),
        ("sess:json", "string"), ("sess:text", "string")]


def test_into_djangos_table(module_lab, server, client, database):
    site = module_lab.database()
    django(site, "db", "migrate")
    cookie, short = django(site, "db", "login")
    assert imported(database, "django", "--from", site.url) == {"rows": 2, "written": 2}
    prefix = ":1:django.contrib.sessions.cache"
    assert client.pexpire(prefix + short, 1)  # it ends meanwhile
    wait_until(lambda: not client.exists(prefix + short), what="it has ended")
    client.rpush(prefix + "l" * 32, "a")
    client.set(prefix + "n" * 32, 7)
    client.set(prefix + "b" * 32, b"\x80\x04 broken")
    client.copy(prefix + cookie, prefix + "d_db" + "c" * 32)
    said = django(site, "cache", "run", the_way_out("Into Django's table"), port=server.port)
    assert sorted(line[:9] + line.split(prefix[3:])[1][:1] for line in said) == [
        "left out:b", "left out:l", "left out:n"]
    assert site.execute("SELECT session_key FROM django_session") == [(cookie,)]
    assert django(site, "db", "whoami", cookie, short) == ["zoe True", "nobody False"]
