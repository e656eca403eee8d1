"""respgres.session_formats: what may stand in a row, which row counts for a key, and what depends on it."""

import json

import psycopg2
import pytest

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]

INDEX = "CREATE INDEX name_of ON respgres.entries (respgres.session_username(key, doc))"


@pytest.fixture(scope="module")
def database(module_lab):
    """One for all tests of this file, which leave session_formats as it was."""
    return module_lab.database()


@pytest.fixture(scope="module")
def server(module_lab, database):
    server = module_lab.respgres(database, decode="sessions app:* tmp:*")
    database.execute("CREATE TABLE formats AS SELECT id, kind, prefix, suffix, db, client, username, messages,"
                     " last_activity, client_ip, user_agent, user_attributes, session_active,"
                     " crisis_detected, type FROM respgres.session_formats")
    return server


@pytest.fixture
def client(server, database):
    client = server.client()
    client.flushall()
    yield client
    database.psql("""
        DROP INDEX IF EXISTS respgres.name_of;
        DELETE FROM respgres.session_formats;
        INSERT INTO respgres.session_formats (id, kind, prefix, suffix, db, client, username, messages,
            last_activity, client_ip, user_agent, user_attributes, session_active, crisis_detected, type)
            SELECT * FROM formats""")


def usernames(database, where="true"):
    return dict(database.execute(f"SELECT key || '@' || db, username FROM respgres.sessions WHERE {where}"))


def add_format(database, prefix, **columns):
    names = "".join(f", {name}" for name in columns)
    database.execute(f"INSERT INTO respgres.session_formats (prefix{names}) VALUES (%s"
                     + ", %s" * len(columns) + ")", prefix, *columns.values())


# --- paths that cannot be used ---------------------------------------------------------------------------

WRONG = {"$.x[": "syntax error", "$user": "variable", "$.a ? (@.b == $x)": "variable", "$..": "syntax",
         '$.a ? (@ like_regex "(")': "regular expression", "$": None}
COLUMNS = ("username", "messages", "last_activity", "client_ip", "user_agent", "user_attributes",
           "session_active", "crisis_detected")


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_path_is_refused(client, database, path):
    """The message names the column and the path."""
    client.set("session:1", '{"username": "ada"}')
    for column in COLUMNS if path == "$.x[" else ("username",):
        for sql in (f"UPDATE respgres.session_formats SET {column} = %s WHERE prefix = 'session:'",
                    f"INSERT INTO respgres.session_formats (prefix, {column}) VALUES ('app:', %s)"):
            if WRONG[path] is None:
                database.execute(sql, ["name", path])
                continue
            with pytest.raises(psycopg2.errors.InvalidParameterValue) as e:
                database.execute(sql, ["name", path])
            assert column in e.value.diag.message_primary and path in e.value.diag.message_primary
            assert WRONG[path] in e.value.diag.message_primary
            assert "begins with $" in e.value.diag.message_hint
    if WRONG[path] is not None:
        assert usernames(database) == {"session:1@0": "ada"}
        assert database.execute("SELECT respgres.end_sessions('ada')") == [(1,)]


@pytest.mark.parametrize("path", ['$.who', '$."$user"', '$.a ? (@ == "$x")', "$.people[*].name", "$[0]",
                                  '$ ? (@.at.datetime() < "2026-01-01 00:00:00+00".datetime()).who'])
def test_good_paths_are_taken(client, database, path):
    """Whatever then stands in a document, nobody gets an error because of it."""
    add_format(database, "app:", username=[path], session_active=[path])
    add_format(database, "app:2", username=["{$user}", "who"])  # a key with an odd name
    database.execute(INDEX)
    docs = [{"who": "joe", "at": "2025-01-01"}, {"$user": "x"}, {"a": "$x"}, [1], {"at": "2025-01-01"}]
    for i, doc in enumerate(docs):
        for text in (json.dumps(doc), json.dumps(doc), json.dumps(doc) + " "):
            assert client.setex(f"app:1{i}", 60, text)
    assert client.set("app:21", '{"who": "joe"}')
    usernames(database)
    assert usernames(database, "username = 'joe'")["app:21@0"] == "joe"


def test_wrong_paths_of_before_do_no_harm(lab, client, database):
    """A schema of before version 8, with rows that were not checked then, is upgraded."""
    from test_upgrade import psql, run
    other = lab.database()
    script = run("--print-schema").stdout
    before, found, after = script.partition("\n-- ---- version 8 ----\n")
    assert found
    psql(other.url, before + "COMMIT;")
    other.psql("""
        UPDATE respgres.session_formats SET username = '{$user,$.x[,username,$.name}',
            session_active = '{$[,session_active}' WHERE prefix = 'session:'""")
    psql(other.url, "BEGIN; SET LOCAL search_path = '';" + after)
    new = lab.respgres(other).client()
    other.execute(INDEX)
    for _ in range(2):
        new.setex("session:1", 60, '{"name": "ada"}')
    new.expire("session:1", 50)
    assert usernames(other) == {"session:1@0": "ada"}
    assert other.execute("SELECT username, session_active FROM respgres.session_formats"
                         " WHERE prefix = 'session:'") == [
        (["unusable: $user", "unusable: $.x[", "username", "$.name"], ["unusable: $[", "session_active"])]
    assert other.execute("SELECT respgres.end_sessions('ada')") == [(1,)]


# --- which row counts ----------------------------------------------------------------------------------

def test_the_row_of_one_database(server, client, database):
    """Its columns are those of that database, username included; with the index, too."""
    other = server.client(db=3)
    add_format(database, "session:", db=3, username=["who3"], messages=["lines"])
    doc = {"username": "generic", "who3": "x", "lines": [3], "messages": [0]}
    client.set("session:1", json.dumps({"who3": "x"}))
    client.set("session:2", json.dumps(doc))
    other.set("session:2", json.dumps(doc))
    for step in range(2):
        assert usernames(database) == {"session:1@0": None, "session:2@0": "generic", "session:2@3": "x"}
        assert usernames(database, "username = 'x'") == {"session:2@3": "x"}
        assert usernames(database, "username = 'generic'") == {"session:2@0": "generic"}
        assert database.execute("SELECT db, messages FROM respgres.sessions WHERE key = 'session:2'"
                                " ORDER BY db") == [(0, [0]), (3, [3])]
        if step == 0:
            database.execute(INDEX)
    assert database.execute("SELECT respgres.end_sessions('x')") == [(1,)]
    assert client.get("session:1") and client.get("session:2") and other.get("session:2") is None


def test_rows_of_several_databases(server, client, database):
    """Each has its own names for one prefix, and no row is for all."""
    add_format(database, "app:", db=1, username=["one"])
    add_format(database, "app:", db=2, username=["two"])
    add_format(database, "app:long:", db=2, username=["three"])
    doc = json.dumps({"one": "a", "two": "b", "three": "c"})
    for db in range(3):
        server.client(db=db).mset({"app:1": doc, "app:long:1": doc})
    assert usernames(database) == {"app:1@1": "a", "app:long:1@1": "a", "app:1@2": "b", "app:long:1@2": "c"}
    assert usernames(database, "username = 'a'") == {"app:1@1": "a", "app:long:1@1": "a"}
    database.execute("UPDATE respgres.sessions SET session_active = false WHERE username = 'b'")
    assert server.client(db=2).mget("app:1", "app:long:1") == [None, doc.encode()]
    database.execute("DELETE FROM respgres.session_formats WHERE db = 1")
    assert usernames(database) == {"app:1@2": "b", "app:long:1@2": "c"}


def test_the_longest_prefix_counts_for_the_name_as_well(client, database):
    add_format(database, "sess:admin:", username=["adminname"])
    client.set("sess:admin:1", '{"user": "ada"}')
    client.set("sess:admin:2", '{"adminname": "root"}')
    assert usernames(database) == {"sess:admin:1@0": None, "sess:admin:2@0": "root"}
    assert database.execute("SELECT respgres.end_sessions('ada')") == [(0,)]


@pytest.mark.parametrize("db, key, value", [
    (0, "tmp:1", "x"),                                      # tmp: is for database 3
    (0, "beaker_cache:foo:cache", "x"),                     # it does not end with :session
    (0, "beaker_cache::session", None), (0, "session:", "x"),
    (0, "spring:session:sessions:expires:abc", "x"),        # hashes are sessions there
    (3, "tmp:1", None), (0, "beaker_cache:foo:session", None), (0, "session:1", None)])
def test_only_sessions_have_a_grace(server, client, database, db, key, value):
    """Of any other key, a SET that is answered OK is there."""
    add_format(database, "tmp:", db=3)
    client = server.client(db=db)
    if key == "beaker_cache::session":
        value = "x"                                         # nothing between prefix and suffix
    for sql in ("DELETE FROM respgres.entries WHERE key = %s",
                "UPDATE respgres.entries SET active = false WHERE key = %s"):
        writer = server.client(db=db)
        writer.set(key, "before")
        database.execute(sql, key.encode())
        assert writer.set(key, "x")
        assert writer.get(key) == (value and value.encode()), sql
        server.client(db=db).delete(key)


def test_a_payload_ends_its_own_session_only(server, client, database):
    """Whether session_active counts depends on the database, the suffix and the type, too."""
    add_format(database, "session:", db=3, session_active=["on"])
    off, other = '{"session_active": false}', '{"on": false}'
    for db, on, gone in ((0, other, off), (3, off, other)):
        client = server.client(db=db)
        client.mset({"session:a": on, "session:b": gone})
        client.set("session:c", gone)
        client.pipeline().set("session:d", gone).set("session:e", on).incr("n").execute()
        assert [client.exists(f"session:{i}") for i in "abcde"] == [1, 0, 0, 0, 1], db
    client.set("beaker_cache:foo:cache", off)
    client.set("spring:session:sessions:expires:abc", off)
    assert client.exists("beaker_cache:foo:cache", "spring:session:sessions:expires:abc") == 2


def test_a_suffix_is_compared_by_bytes(client, database):
    add_format(database, "session:s\u00fc\\", suffix=":s\u00e9ance\\1")
    client.set("session:s\u00fc\\42:s\u00e9ance\\1", '{"username": "ada"}')
    client.set("session:s\u00fc\\42:seance", '{"username": "bob"}')
    assert database.execute("SELECT session_id, username FROM respgres.sessions") == [("42", "ada")]
    assert database.execute("SELECT respgres.end_sessions('ada')") == [(1,)]


# --- the index -----------------------------------------------------------------------------------------

def warnings(database, sql):
    connection = database.connect()
    try:
        connection.cursor().execute(sql)
        return connection.notices
    finally:
        connection.close()


def test_a_change_names_the_indexes_that_depend_on_it(client, database):
    client.set("app:1", '{"who": "joe"}')
    assert warnings(database, "UPDATE respgres.session_formats SET username = '{name}'"
                              " WHERE prefix = 'sess:'") == []  # there is no index
    database.execute(INDEX)
    database.execute("CREATE INDEX other_one ON respgres.entries ((doc ->> 'x'))")
    for sql in ("INSERT INTO respgres.session_formats (prefix, username) VALUES ('app:', '{who}')",
                "UPDATE respgres.session_formats SET username = '{who,name}' WHERE prefix = 'app:'",
                "UPDATE respgres.session_formats SET prefix = 'app:1' WHERE prefix = 'app:'",
                "UPDATE respgres.session_formats SET db = 0, prefix = 'app:' WHERE prefix = 'app:1'",
                "DELETE FROM respgres.session_formats WHERE prefix = 'app:'"):
        (said,) = warnings(database, sql)
        assert "WARNING" in said and "other_one" not in said, sql
        assert "REINDEX INDEX CONCURRENTLY respgres.name_of" in said
    for sql in ("UPDATE respgres.session_formats SET client = 'x', suffix = ':x' WHERE prefix = 'sess:'",
                "UPDATE respgres.session_formats SET username = username, prefix = prefix",
                "UPDATE respgres.session_formats SET username = '{x}' WHERE prefix = 'none:'",
                "INSERT INTO respgres.session_formats (kind, prefix) VALUES ('global', 'state:')",
                "DELETE FROM respgres.session_formats WHERE prefix = 'state:'"):
        assert warnings(database, sql) == [], sql
    assert warnings(database, "TRUNCATE respgres.session_formats")
    database.execute("DROP INDEX respgres.other_one")


def test_after_the_reindex_the_new_rows_count(client, database):
    client.set("app:1", '{"who": "joe"}')
    database.execute(INDEX)
    add_format(database, "app:", username=["who"])
    database.execute("REINDEX INDEX CONCURRENTLY respgres.name_of")
    cursor = database.connect().cursor()
    cursor.execute("SET enable_seqscan = off")
    cursor.execute("SELECT username FROM respgres.sessions WHERE username = 'joe'")
    assert cursor.fetchall() == [("joe",)]


@pytest.mark.parametrize("row", [
    {}, {"prefix": "session:", "db": 3}, pytest.param({"prefix": "app:", "db": 0}, marks=pytest.mark.long)],
                         ids=["as-it-comes", "one-database-has-another", "only-one-database"])
def test_the_index_is_used(client, database, row):
    """That it is there is of no use if the planner does not take it."""
    if row:
        add_format(database, **row)
    for i in range(100):
        client.set(f"session:{i}", json.dumps({"username": f"u{i}"}))
        client.set(f"app:{i}", json.dumps({"username": f"a{i}"}))
    database.execute(INDEX)
    database.execute("ANALYZE respgres.entries, respgres.spaces, respgres.session_formats")
    for name in ["u7"] + ["a7"] * (row.get("prefix") == "app:"):
        cursor = database.connect().cursor()
        cursor.execute("SET enable_seqscan = off")  # it is a small table
        for sql in (f"SELECT key FROM respgres.sessions WHERE username = '{name}'",
                    f"UPDATE respgres.sessions SET session_active = false WHERE username = '{name}'"):
            cursor.execute("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + sql)
            plan = "\n".join(line for line, in cursor.fetchall())
            assert f"Index Cond: (respgres.session_username(key, doc) = '{name}'::text)" in plan, plan
