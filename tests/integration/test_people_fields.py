"""Sessions that are hashes, as Spring Session keeps them: whose they are stands in a field that a serialiser
has written. The view, end_sessions and the index on session_username say the same."""

import json
import re

import psycopg2
import pytest

from harness import TOP

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]

PREFIX = "spring:session:sessions:"
PRINCIPAL = "sessionAttr:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME"
CONTEXT = "sessionAttr:SPRING_SECURITY_CONTEXT"
INDEX = "CREATE INDEX name_of ON respgres.entries (respgres.session_username(key, doc))"


def java_string(text):
    data = text.encode()
    return b"\xac\xed\x00\x05t" + len(data).to_bytes(2, "big") + data


def java_long(n):
    return (b"\xac\xed\x00\x05sr\x00\x0ejava.lang.Long;\x8b\xe4\x90\xcc\x8f#\xdf\x02\x00\x01J\x00\x05valuexr"
            b"\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp" + n.to_bytes(8, "big"))


def security_context(principal):
    """As GenericJackson2JsonRedisSerializer with Spring Security's modules writes it, in short."""
    return json.dumps({"@class": "org.springframework.security.core.context.SecurityContextImpl",
                       "authentication": {"authenticated": True, "principal": principal}})


@pytest.fixture(scope="module")
def database(module_lab):
    return module_lab.database()


@pytest.fixture(scope="module")
def server(module_lab, database):
    return module_lab.respgres(database, decode="sessions app:*")


@pytest.fixture
def client(server, database):
    client = server.client()
    client.flushall()
    database.psql("DROP INDEX IF EXISTS respgres.name_of")
    return client


def usernames(database, where="true"):
    return dict(database.execute(f"SELECT session_id, username FROM respgres.sessions WHERE {where}"))


NAMED = {
    "a plain field": {"username": "ada"},
    "a text": {"sessionAttr:username": "ada"},
    "JSON": {"sessionAttr:username": '"ada"'},
    "JSON, escaped": {"sessionAttr:username": r'"\u0061da"'},
    "an object": {"sessionAttr:user": '{"@class": "app.User", "username": "ada", "age": 36}'},
    "a text as user": {"sessionAttr:user": '"ada"'},
    "Java's String": {"sessionAttr:username": java_string("ada")},
    "the principal's name": {PRINCIPAL: java_string("ada")},
    "the principal's name, JSON": {PRINCIPAL: '"ada"'},
    "Spring Security": {CONTEXT: security_context({"@class": "app.User", "username": "ada"})},
    "Spring Security, a name": {CONTEXT: security_context("ada")},
    "behind removed ones": {PRINCIPAL: "", "sessionAttr:username": "null", "sessionAttr:user": '"ada"'},
}


def test_whose_session_it_is(client, database):
    """With the index and without."""
    for number, fields in enumerate(NAMED.values()):
        client.hset(f"{PREFIX}{number}", mapping={"lastAccessedTime": "1767323045000", **fields})
    client.hset(PREFIX + "other", "sessionAttr:username", '"kim"')
    everybody = {**{str(number): "ada" for number in range(len(NAMED))}, "other": "kim"}
    assert usernames(database) == everybody
    database.execute(INDEX)
    assert usernames(database, "username = 'kim'") == {"other": "kim"}
    assert len(usernames(database, "username = 'ada'")) == len(NAMED)
    plan = "\n".join(row for row, in database.execute(
        "SET enable_seqscan = off; EXPLAIN SELECT session_id FROM respgres.sessions WHERE username = 'ada'"))
    assert "name_of" in plan
    client.hset(PREFIX + "late", "sessionAttr:username", '"ada"')  # the index is kept up
    assert database.execute("SELECT respgres.end_sessions('ada')") == [(len(NAMED) + 1,)]
    assert client.exists(PREFIX + "0", PREFIX + "late", PREFIX + "other") == 1


NOBODY = {
    "an object of the app's": b"\xac\xed\x00\x05sr\x00\x08app.User" + bytes(20),
    "another length": java_string("ada") + b"x",
    "no UTF-8": b"\xac\xed\x00\x05t\x00\x02\xc0\x80",
    "a JSON array": "[1]",
    "a JSON object": '{"name": "ada"}',
    "JSON's null": None,
}


def test_what_is_no_name(client, database):
    """Nothing is an error, whatever stands there; what only begins like JSON is a text."""
    database.execute(INDEX)
    for number, value in enumerate(NOBODY.values()):
        client.hset(f"{PREFIX}{number}", "sessionAttr:username", value if value is not None else '{"username": null}')
    assert set(usernames(database).values()) == {None}
    client.flushall()
    texts = ['"ada', "{ada}", r'"\u0000"', r'"\ud800"', "[", "  ", '"ada" x']
    for number, text in enumerate(texts):
        client.hset(f"{PREFIX}{number}", "sessionAttr:username", text)
    assert usernames(database) == {str(number): text for number, text in enumerate(texts)}


@pytest.mark.parametrize("value", ["1767323045000", java_long(1767323045000)], ids=["JSON", "Java"])
def test_when_it_was_there(client, database, value):
    client.hset(PREFIX + "1", mapping={"lastAccessedTime": value})
    assert database.execute("SELECT extract(epoch FROM last_activity)::bigint, client FROM respgres.sessions") == [
        (1767323045, "Spring Session")]


def test_a_text_with_quotes_is_its_own_elsewhere(client, database):
    """Whoever may choose a name with quotes in it is not somebody else."""
    client.set("session:1", json.dumps({"username": '"ada"'}))
    assert usernames(database) == {"1": '"ada"'}


PATHS = {"@": "a name is missing", "@|name": "a name is missing", "@who|": "a name is missing",
         "@who|$.x[": "syntax error", "@who|$x": "there are no variables"}


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_path_is_refused(client, database, path):
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="username") as e:
        database.execute("INSERT INTO respgres.session_formats (prefix, username) VALUES ('app:', ARRAY[%s])", path)
    assert PATHS[path] in e.value.diag.message_primary and "@sessionAttr" in e.value.diag.message_hint


@pytest.mark.parametrize("path", ["@a.b", "@a.b|c.d", "@a.b|$.c.d", "@a.b|@c.d", "@a.b|$[*].c.d"])
def test_paths_of_ones_own(client, database, path):
    database.execute("INSERT INTO respgres.session_formats (prefix, username) VALUES ('app:', ARRAY[%s])", path)
    try:
        value = {"@a.b": '"ada"', "@a.b|@c.d": '{"c.d": "\\"ada\\""}', "@a.b|$[*].c.d": '[{"c": {"d": "ada"}}]'}
        client.hset("app:1", "a.b", value.get(path, '{"c": {"d": "ada"}}'))
        assert usernames(database) == {"1": "ada"}
    finally:
        database.execute("DELETE FROM respgres.session_formats WHERE prefix = 'app:'")


def test_an_empty_prefix_is_refused(database, server):
    for sql in ("INSERT INTO respgres.session_formats (prefix) VALUES ('')",
                "UPDATE respgres.session_formats SET prefix = '' WHERE prefix = 'session:'"):
        with pytest.raises(psycopg2.errors.CheckViolation, match="prefix cannot be empty") as e:
            database.execute(sql)
        assert "session:" in e.value.diag.message_hint


def test_a_parallel_plan_is_no_error(client, database):
    """PostgreSQL before 17 refuses a subtransaction in one; an index may be built in parallel."""
    for number in range(50):
        client.hset(f"{PREFIX}{number}", "sessionAttr:username", '"ada"')
    conn = database.connect()
    with conn.cursor() as cursor:
        cursor.execute("SET force_parallel_mode = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;"
                       " SET min_parallel_table_scan_size = 0; SET max_parallel_maintenance_workers = 4;"
                       " ALTER TABLE respgres.entries SET (parallel_workers = 4)")
        cursor.execute("SELECT count(*) FROM respgres.sessions WHERE username = 'ada'")
        assert cursor.fetchone() == (50,)
        cursor.execute("SELECT count(*) FROM respgres.entries WHERE respgres.session_username(key, doc) = 'ada'")
        assert cursor.fetchone() == (50,)
        cursor.execute(INDEX)
        cursor.execute("ALTER TABLE respgres.entries RESET (parallel_workers)")


def test_the_row_of_before(lab):
    """An upgrade gives Spring's row the paths, unless it is not as it was; an index is said to be outdated."""
    from test_upgrade import psql, run
    script = run("--print-schema").stdout
    before, found, after = script.partition("\n-- ---- version 9 ----\n")
    assert found
    for own in (False, True):
        other = lab.database()
        psql(other.url, before + "COMMIT;")
        other.psql("CREATE INDEX name_of ON respgres.entries (respgres.session_username(key, doc))")
        if own:
            other.psql("UPDATE respgres.session_formats SET username = '{who}' WHERE client = 'Spring Session'")
        psql(other.url, "BEGIN; SET LOCAL search_path = '';" + after)
        (paths,), = other.execute("SELECT username FROM respgres.session_formats WHERE client = 'Spring Session'")
        assert (paths == ["who"]) if own else ("@sessionAttr:username" in paths and paths[0] == "username")


def sql_of(heading):
    """The code in SQL that docs/sql.md shows below a heading."""
    text = (TOP / "docs" / "sql.md").read_text(encoding="utf8").partition(f"## {heading}\n")[2]
    return re.findall(r"^```sql\n(.*?)^```", text.partition("\n## ")[0], re.MULTILINE | re.DOTALL)


def test_what_the_page_says_about_other_attributes_and_namespaces(lab):
    """docs/sql.md, Hashes."""
    database = lab.database()
    client = lab.respgres(database, decode="sessions shop:*").client()
    own, namespace = sql_of("Hashes")
    database.psql(own)
    database.psql(namespace)
    client.hset(PREFIX + "1", mapping={"username": "kim", "sessionAttr:login": '{"name": "ada"}'})
    client.hset("shop:sessions:2", mapping={"lastAccessedTime": java_long(1767323045000),
                                            PRINCIPAL: java_string("ada")})
    client.set("shop:sessions:expires:2", "")
    assert usernames(database) == {"1": "ada", "2": "ada"}
    assert database.execute("SELECT respgres.end_sessions('ada')") == [(2,)]
