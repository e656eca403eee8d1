"""How respgres gets into PostgreSQL: roles, TLS, passwords and their rotation."""

import re

import psycopg2
import pytest
import redis

from harness import TOP, wait_until
from harness.tls import Authority
from rules import stat, stats

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def nothing_but_postgresql(lab):
    """What works here is to be PostgreSQL."""
    lab.defaults["fallback"] = "off"


def works(server):
    try:
        return server.client().set("k", "v")
    except redis.RedisError:
        return False


# --- roles ---------------------------------------------------------------------------------------

def documented_grants():
    text = (TOP / "docs" / "postgresql.md").read_text(encoding="utf8")
    return re.search(r"^```sql\n(GRANT .*?)```$", text, re.DOTALL | re.MULTILINE).group(1)


def use_everything(server, database):
    """Every statement that an instance sends, a VACUUM apart."""
    client = server.client()
    client.mset({"a": 1, "b": 2})
    client.setex("short", 1000, "v")
    client.get("a")
    client.incr("a")
    client.mget([f"k{i}" for i in range(200)])
    client.delete("b")
    with client.pipeline() as pipe:
        pipe.watch("absent")
        pipe.multi()
        pipe.incr("a")
        pipe.dbsize()
        pipe.flushdb()
        pipe.set("c", "v")
        pipe.execute()
    server.client(db=1).set("other", "v")
    client.swapdb(0, 1)
    client.swapdb(0, 1)
    assert client.keys() == list(client.scan_iter()) == [b"c"]
    client.set("large", b"x" * 300_000)
    # Rows were put back without the sequence of their ids.
    lowest, = database.execute("SELECT id FROM respgres.entries WHERE key = 'c'"
                               " AND space = respgres.space_of(0)")[0]
    database.execute(f"ALTER SEQUENCE respgres.entries_id_seq RESTART {lowest}")
    assert client.mset({f"new{i}": 1 for i in range(5)})
    wait_until(lambda: 'event=sequence-advanced error=""' in server.log, what="the sequence moved")
    # Another instance that hears what is published, by NOTIFY and by the table.
    database.execute("INSERT INTO respgres.instances (slot, name, host, pid, binary_version, wants)"
                     " VALUES (1000, 'other', 'host', 1, '0', 12)"
                     " ON CONFLICT (slot) DO UPDATE SET wants = 12, seen_at = now()")
    client.publish("channel", "x" * 9000)
    wait_until(lambda: stat(server, "postgres_messages_sent") > 0, what="a message was sent")
    # Something for the sweeper.
    database.execute("UPDATE respgres.entries SET expires_at = now() - interval '1 h'"
                     " WHERE key = 'large'")
    wait_until(lambda: stat(server, "postgres_swept_rows") > 3, what="the sweeper works")
    assert client.info("keyspace")["db1"]["keys"] == 1
    wait_until(lambda: stats(server).get("postgres_instances"), what="it has looked at the fleet")


def test_a_role_with_the_documented_grants(lab, database):
    """The schema is another role's. And what is not granted, it has not."""
    lab.respgres(database).sigterm()
    postgres = database.postgres
    user = f"{database.name}_user"
    postgres.create_role(user)
    database.psql(documented_grants().replace("TO respgres;", f"TO {user};"))
    begun = postgres.log_size()
    server = lab.respgres(postgres.url(database.name, user), sweep_interval=50, vacuum="no",
                          databases=20, consistency="cached", auto_migrate="no")
    use_everything(server, database)
    server.restart()
    assert works(server)
    assert server.sigterm() == 0
    assert "permission denied" not in postgres.log_path.read_bytes()[begun:].decode()
    conn = postgres.connect(database.name, user)
    with conn.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("UPDATE respgres.meta SET version = 0")
    conn.close()
    postgres.execute(f'DROP OWNED BY "{user}"', dbname=database.name)
    postgres.execute(f'DROP ROLE "{user}"')


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_documented_grant_is_idle(lab, database):
    """Each privilege, taken away alone, is missed."""
    lab.respgres(database).sigterm()
    postgres = database.postgres
    user = f"{database.name}_user"
    postgres.create_role(user)
    grants = documented_grants().replace("TO respgres;", f"TO {user};")
    database.psql(grants)
    single = []
    for privileges, kind, objects in re.findall(
            r"GRANT ([A-Z, ]+) ON (SCHEMA |SEQUENCE |)(\S+(?:, \S+)*) TO", grants):
        single += [f"{privilege} ON {kind}{name}" for privilege in privileges.split(", ")
                   for name in objects.split(", ")]
    assert len(single) > 15
    idle = []
    for i, privilege in enumerate(single):
        database.psql(f"REVOKE {privilege} FROM {user}")
        begun = postgres.log_size()

        def missed(begun=begun):
            return "permission denied" in postgres.log_path.read_bytes()[begun:].decode()

        server = lab.respgres(postgres.url(database.name, user), sweep_interval=50, vacuum="no",
                              start="answering", pg_timeout=500, databases=17 + i,
                              consistency="cached")
        try:
            wait_until(lambda: missed() or works(server))
            if not missed():
                use_everything(server, database)
            wait_until(missed, 1)
        except redis.RedisError:
            wait_until(missed, 2)
        except AssertionError:
            if not missed():
                idle.append(privilege)
        server.kill9()
        database.psql(grants)
    assert not idle
    postgres.execute(f'DROP OWNED BY "{user}"', dbname=database.name)
    postgres.execute(f'DROP ROLE "{user}"')


def test_what_people_need_to_read_and_to_change(lab, database):
    """As docs/postgresql.md says: the view to read; rights on the rows, and what their triggers ask."""
    postgres = database.postgres
    server = lab.respgres(database)
    server.client().mset({"k": "v", "j": "v"})
    reader, writer = f"{database.name}_reader", f"{database.name}_writer"
    for role in (reader, writer):
        postgres.create_role(role)
        database.psql(f"GRANT USAGE ON SCHEMA respgres TO {role}")
    database.psql(f"GRANT SELECT ON respgres.keys TO {reader}")
    database.psql(f"GRANT SELECT, UPDATE, DELETE, INSERT ON respgres.entries TO {writer};"
                  f"GRANT SELECT ON respgres.spaces, respgres.instances TO {writer}")
    assert postgres.psql("SELECT key FROM respgres.keys ORDER BY key", database.name, reader) == "j\nk"
    postgres.psql("UPDATE respgres.entries SET value = 'w' WHERE key = 'k';"
                  "DELETE FROM respgres.entries WHERE key = 'j'", database.name, writer)
    assert server.client().mget("k", "j") == [b"w", None]
    for role in (reader, writer):
        postgres.execute(f'DROP OWNED BY "{role}"', dbname=database.name)
        postgres.execute(f'DROP ROLE "{role}"')


# --- TLS -----------------------------------------------------------------------------------------

HBA_TLS = """
local all all trust
hostssl all all 127.0.0.1/32 trust
"""


@pytest.fixture(scope="module")
def tls_postgres(module_lab):
    postgres = module_lab.own_postgres()
    (postgres.data / "pg_hba.conf").write_text(HBA_TLS)
    postgres.reload()
    return postgres


def tls_url(database, authority, host="localhost", mode="verify-full"):
    return (f"postgresql://{database.role}@{host}:{database.postgres.port}/{database.name}"
            f"?sslmode={mode}&sslrootcert={authority.path}")


def test_verify_full(lab, tls_postgres, tmp_path):
    """The name that the certificate is checked against is the URL's, although libpq is given an
    address. A certificate for another name, or by another authority, is refused."""
    ours = Authority(tmp_path)
    ours.equip(tls_postgres, "localhost")
    database = lab.database(tls_postgres)
    server = lab.respgres(tls_url(database, ours))
    assert works(server)
    assert set(tls_postgres.execute(
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = %s",
        database.name)) == {(True,)}
    ours.equip(tls_postgres, "elsewhere.example")
    for pid in database.sessions():
        tls_postgres.execute("SELECT pg_terminate_backend(%s)", pid)
    wait_until(lambda: "does not match host name" in server.log, what="the log says why")
    assert not works(server)
    assert works(lab.respgres(tls_url(database, ours, mode="verify-ca")))
    Authority(tmp_path, "other").equip(tls_postgres, "localhost")
    bare = lab.respgres(tls_url(database, ours, mode="disable"), start="answering")
    wait_until(lambda: "no pg_hba.conf entry" in bare.log, what="it is asked for TLS")
    stranger = lab.respgres(tls_url(database, ours), start="answering")
    wait_until(lambda: "certificate verify failed" in stranger.log, what="the log says why")
    ours.equip(tls_postgres, "localhost")
    wait_until(lambda: works(server) and works(stranger), 30, "service resumes by itself")


# --- passwords -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def guarded_database(module_lab):
    postgres = module_lab.postgres()
    postgres.create_role("guarded", "old")
    database = module_lab.database(name="guarded", owner="guarded")
    yield database
    database.drop()


@pytest.fixture
def guarded(guarded_database):
    """A database whose role must give a password, "old"."""
    rotate(guarded_database, "old")
    return guarded_database


def rotate(database, password):
    """The connections that there are go on; then they end, as they do some day."""
    database.postgres.execute(f'ALTER ROLE "{database.role}" PASSWORD %s', password)


def cut(database):
    for pid in database.sessions():
        database.postgres.execute("SELECT pg_terminate_backend(%s)", pid)


def pgpass(path, database, password, host="localhost"):
    path.write_text(f"{host}:{database.postgres.port}:{database.name}:{database.role}:{password}\n")
    path.chmod(0o600)


def named_url(database, password="", more=""):
    return (f"postgresql://{database.role}{password and ':' + password}@localhost:"
            f"{database.postgres.port}/{database.name}{more}")


@pytest.mark.parametrize("how", ["parameter", pytest.param("environment", marks=pytest.mark.long)])
def test_a_pgpass_and_its_rotation(lab, guarded, tmp_path, how):
    """Its lines name the host as the URL does. It is read for every connection: nobody has to tell
    respgres."""
    path = tmp_path / "pgpass"
    pgpass(path, guarded, "old")
    if how == "parameter":
        server = lab.respgres(named_url(guarded, more=f"?passfile={path}"))
    else:
        server = lab.respgres(named_url(guarded), env={"PGPASSFILE": str(path)})
    assert works(server)
    rotate(guarded, "new")
    assert works(server)
    cut(guarded)
    wait_until(lambda: "password authentication failed" in server.log, what="the log says why")
    assert not works(server)
    pgpass(path, guarded, "new")
    wait_until(lambda: works(server), 30, "service resumes by itself")


@pytest.mark.parametrize("where", ["variable's file", "configuration"])
def test_a_password_in_the_url_and_its_rotation(lab, guarded, tmp_path, where):
    """The file is read again on SIGHUP, and what there is goes on."""
    path = tmp_path / "file"

    def write(url):
        path.write_text(f"database-url {url}\n" if where == "configuration" else f"{url}\n")

    write(named_url(guarded, "old"))
    server = lab.respgres(None, start=False)
    if where == "configuration":
        server.config_path = path
    else:
        server.env["DATABASE_URL_FILE"] = str(path)
    server.start()
    assert works(server)
    rotate(guarded, "new")
    write(named_url(guarded, "new"))
    server.sighup()
    wait_until(lambda: "event=database-url-taken" in server.log)
    connects = stat(server, "postgres_lane_commit-0")["connects"]
    assert works(server)
    assert stat(server, "postgres_lane_commit-0")["connects"] == connects
    cut(guarded)
    wait_until(lambda: works(server), 30)
    assert "password authentication failed" not in server.log
    assert "new" not in server.log.replace("for new connections", "")


def test_a_rotation_that_came_late(lab, guarded, tmp_path):
    """The password was changed, the connections are lost, and only then comes the new URL."""
    path = tmp_path / "url"
    path.write_text(named_url(guarded, "old"))
    server = lab.respgres(None, env={"DATABASE_URL_FILE": str(path)})
    rotate(guarded, "new")
    cut(guarded)
    wait_until(lambda: "password authentication failed" in server.log, what="the log says why")
    path.write_text(named_url(guarded, "new"))
    server.sighup()
    wait_until(lambda: works(server), 30, "service resumes")


def test_a_url_to_another_database_needs_a_restart(lab, database, tmp_path):
    """Half of the connections would lead there, half here."""
    path = tmp_path / "url"
    path.write_text(database.url)
    server = lab.respgres(None, env={"DATABASE_URL_FILE": str(path)})
    assert works(server)
    path.write_text(lab.database().url)
    server.sighup()
    wait_until(lambda: "event=database-url-not-taken" in server.log)
    cut(database)
    wait_until(lambda: works(server), 30)
    assert database.row("k").value == b"v"
    assert server.log.count("database-url-not-taken") == 1
    server.restart()
    assert server.client().get("k") is None
