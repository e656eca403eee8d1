"""What people write into respgres.entries and global_state, and what the columns for people then say."""

import json
import pickle

import psycopg2
import pytest

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]

UPDATE = "UPDATE respgres.entries SET value = %s WHERE space = respgres.space_of(0) AND key = 'session:1'"
UPSERT = ("INSERT INTO respgres.entries (key, value) VALUES ('session:1', %s) ON CONFLICT (key, space)"
          " DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at, active = true")
INSERT = "INSERT INTO respgres.entries (key, value) VALUES ('session:1', %s)"
ADA, MALLORY = b'{"username": "ada"}', b'{"username": "mallory"}'


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


def row(database, columns="doc", key="session:1"):
    (values,) = database.execute(f"SELECT {columns} FROM respgres.entries WHERE space = respgres.space_of(0)"
                                 " AND key = %s", key.encode())
    return values if "," in columns else values[0]


def usernames(database):
    return [name for name, in database.execute("SELECT username FROM respgres.sessions WHERE session_active"
                                               " ORDER BY 1")]


# --- doc follows value -----------------------------------------------------------------------------------

@pytest.mark.parametrize("sql", [UPDATE, UPSERT])
def test_doc_follows_a_value_that_sql_changes(client, database, sql):
    """The person that the view shows, and end_sessions ends, is the one whom clients see."""
    client.setex("session:1", 600, ADA)
    database.execute(sql, MALLORY)
    assert client.get("session:1") == MALLORY
    assert usernames(database) == ["mallory"] and row(database) == json.loads(MALLORY)
    assert database.execute("SELECT respgres.end_sessions('ada'), respgres.end_sessions('mallory')") == [(0, 1)]
    assert client.get("session:1") is None


@pytest.mark.parametrize("sql", [INSERT, UPSERT])
def test_a_row_that_sql_makes_has_a_doc(client, database, sql):
    database.execute(sql, MALLORY)
    assert client.get("session:1") == MALLORY and usernames(database) == ["mallory"]
    assert database.execute("SELECT respgres.end_sessions('mallory')") == [(1,)]


@pytest.mark.parametrize("sql", [UPDATE, UPSERT, INSERT])
@pytest.mark.parametrize("on", [False, True])
def test_a_payload_that_says_its_session_is_over(client, database, sql, on):
    if sql == UPDATE:
        client.set("session:1", ADA)
    database.execute(sql, json.dumps({"username": "ada", "session_active": on}).encode())
    assert client.exists("session:1") == on
    assert usernames(database) == ["ada"] * on


@pytest.mark.parametrize("value", [
    pickle.dumps({"username": "mallory"}), b"\xff{", b"{\"broken\": ", b"", b"   ", b"plain", b"17",
    b'{"nul": "\\u0000"}', b'{"pad": "' + b"x" * 270_000 + b'"}'], ids=range(9))
@pytest.mark.parametrize("sql", [UPDATE, UPSERT])
def test_what_sql_cannot_decode_has_no_doc_until_a_client_writes(client, database, sql, value):
    """Never that of the value before."""
    client.set("session:1", ADA)
    database.execute(sql, value)
    assert row(database) is None and client.get("session:1") == value
    assert client.setex("session:1", 60, value)  # the very same bytes, and they are known here
    client.set("session:2", value)
    assert row(database) == row(database, key="session:2")


def test_a_client_that_writes_the_same_bytes_brings_the_doc(client, database):
    """Also over a document that was left behind, by SQL before the triggers looked after it."""
    client.set("session:1", ADA)
    database.postgres.execute("SET session_replication_role = replica; UPDATE respgres.entries SET value ="
                              f" '{MALLORY.decode()}', version = respgres.stamp(),"
                              " value_version = respgres.stamp() WHERE key = 'session:1'",
                              dbname=database.name)
    assert client.get("session:1") == MALLORY and usernames(database) == ["ada"]
    client.setex("session:1", 60, MALLORY)
    assert usernames(database) == ["mallory"]
    before = row(database, "value_version, version")
    client.setex("session:1", 70, MALLORY)       # and from then on only the expiry moves
    after = row(database, "value_version, version")
    assert after[0] == before[0] and after[1] > before[1]


def test_what_sql_gives_to_doc_stays(client, database):
    client.set("session:1", ADA)
    database.execute("UPDATE respgres.entries SET value = '{\"a\": 1}', doc = '{\"b\": 2}'"
                     " WHERE key = 'session:1'")
    assert row(database) == {"b": 2}
    database.execute("UPDATE respgres.entries SET expires_at = now() + interval '1 hour', doc = NULL"
                     " WHERE key = 'session:1'")
    assert row(database) is None
    database.execute("INSERT INTO respgres.entries (key, value, doc) VALUES ('session:2', '{}', '[3]')")
    assert row(database, key="session:2") == [3]


def test_which_keys_get_a_doc(client, database):
    """Those of session_formats, and those that had one: as they would have from a client."""
    client.config_set("decode", "sessions app:*")
    client.set("app:1", '{"a": 1}')
    database.execute("INSERT INTO respgres.entries (key, value) VALUES ('cache:1', '{}'),"
                     " ('global_state:q', ' [1, 2]'), ('beaker_cache:x:other', '{}')")
    database.execute("UPDATE respgres.entries SET value = '{\"a\": 2}' WHERE key IN ('app:1', 'cache:1')")
    client.config_set("decode", "sessions")
    assert [row(database, key=key) for key in ("app:1", "cache:1", "global_state:q")] == [
        {"a": 2}, None, [1, 2]]


def test_collections_and_tombstones(client, database):
    client.hset("session:1", "username", "ada")
    database.execute("UPDATE respgres.entries SET value = '{}' WHERE key = 'session:1'")
    assert row(database) is None  # it is not the JSON of a string
    client.delete("session:1")
    client.set("session:1", ADA)
    database.execute("UPDATE respgres.entries SET value = NULL WHERE key = 'session:1'")
    assert row(database, "doc, value, revoked IS NULL") == (None, None, False)


def test_a_restored_conflict_has_a_doc(client, database):
    client.set("session:1", ADA)
    database.execute("INSERT INTO respgres.conflicts (instance, journal, reason, lost, db, type, key, value, base,"
                     " base_version, lost_version, kept_version) VALUES ('i', 'j', 'both-changed', 'journal', 0,"
                     " 0, 'session:1', %s, 'live', 1, 1, 1)", MALLORY)
    assert database.execute("SELECT respgres.restore_conflict(max(id)) FROM respgres.conflicts") == [(True,)]
    assert usernames(database) == ["mallory"]


# --- global_state ----------------------------------------------------------------------------------------

def test_global_state_does_not_become_null(client, database):
    """jsonb_set with a NULL is NULL."""
    client.set("global_state:queue", '{"n": 1}')
    for value in ("NULL", "jsonb_set(queue_data, '{n}', NULL)"):
        with pytest.raises(psycopg2.errors.NotNullViolation) as e:
            database.execute(f"UPDATE respgres.global_state SET queue_data = {value}")
        assert "DELETE" in e.value.diag.message_hint and "queue" in e.value.diag.message_primary
    assert client.get("global_state:queue") == b'{"n": 1}'
    database.execute("UPDATE respgres.global_state SET queue_data = 'null'")
    assert client.get("global_state:queue") == b"null"


def test_global_state_takes_the_database_that_is_given(server, client, database):
    insert = "INSERT INTO respgres.global_state (key, queue_data, db) VALUES (%s, '[1]', %s) RETURNING db"
    assert database.execute(insert, "a", 0) == [(0,)]
    with pytest.raises(psycopg2.errors.InvalidParameterValue) as e:
        database.execute(insert, "b", 3)
    assert "3" in e.value.diag.message_primary and "session_formats" in e.value.diag.message_hint
    assert database.execute("SELECT key, db FROM respgres.global_state") == [("a", 0)]
    database.execute("INSERT INTO respgres.session_formats (kind, prefix, db)"
                     " VALUES ('global', 'global_state:', 3)")
    try:
        assert database.execute(insert, "b", 3) == [(3,)]
        assert database.execute(insert, "c", None) == [(0,)]
        assert server.client(db=3).get("global_state:b") == client.get("global_state:c") == b"[1]"
    finally:
        database.execute("DELETE FROM respgres.session_formats WHERE kind = 'global' AND db = 3")
