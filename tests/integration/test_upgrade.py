"""Making and upgrading the schema; old and new binaries on one database.

The newer binary is made from the same sources, with one more migration (newer_migration.sql)."""

import re
import subprocess

import pytest

from harness import Respgres, wait_until
from harness.lab import wait_gone
from harness.load import Load
from harness.servers import SANITIZERS
from harness.util import clean_environ

pytestmark = pytest.mark.rows


def newer_binary():
    path = Respgres.binary().parent / "tests" / "respgres_newer"
    assert path.is_file(), f"{path} does not exist: build it"
    return path


def run(*arguments, program=None, database_url=None):
    """respgres as a command that ends."""
    program = program or Respgres.binary()
    env = {} if database_url is None else {"DATABASE_URL": database_url}
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=90, env=clean_environ(**SANITIZERS, **env))


def newer(lab, database, start="ready", **options):
    server = lab.respgres(database, start=False, **options)
    server.program = newer_binary()
    return server if start is False else server.start(start)


def refused(server):
    """Starts a server that must end by itself; returns its log."""
    server.start(wait=None)
    server.expected_status = server.wait(40)
    assert server.expected_status == 1
    return server.log


def version(database):
    return database.execute("SELECT version FROM respgres.meta")[0][0]


def psql(url, script):
    subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url], input=script,
                   check=True, text=True, stdout=subprocess.DEVNULL, env=clean_environ(),
                   timeout=60)


def dump(database):
    """The schema without what differs from dump to dump."""
    text = subprocess.run(
        [database.postgres.programs / "pg_dump", "--schema-only", "--schema=respgres", "--no-owner",
         "--no-privileges", database.url], capture_output=True, text=True, check=True,
        env=clean_environ(), timeout=60).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


@pytest.fixture
def own_version():
    """The schema version of the binary under test."""
    return int(re.search(r"from version 0 to (\d+)\.", run("--print-schema").stdout)[1])


# --- --migrate and auto-migrate ----------------------------------------------------------------------

def test_migrate_makes_the_schema(lab, database):
    made = run("--migrate", database_url=database.url)
    assert made.returncode == 0, made.stderr
    now = version(database)
    assert made.stdout == f"schema respgres was at version 0 and is at version {now} now\n"
    again = run("--migrate", "--database-url", database.url)
    assert (again.returncode, again.stdout) == (
        0, f"schema respgres is at version {now}, nothing to do\n")
    assert database.execute("SELECT count(*) FROM respgres.instances") == [(0,)]
    server = lab.respgres(database, auto_migrate="no")
    assert server.client().set("k", "v")


def test_migrate_upgrades(lab, database, own_version):
    server = lab.respgres(database)
    server.client().set("k", "v")
    done = run("--migrate", program=newer_binary(), database_url=database.url)
    assert done.stdout == (f"schema respgres was at version {own_version} and is at version "
                           f"{own_version + 1} now\n")
    assert server.client().get("k") == b"v"
    older = run("--migrate", database_url=database.url)
    assert older.stdout == f"schema respgres is at version {own_version + 1}, nothing to do\n"
    assert newer(lab, database, auto_migrate="no").client().get("k") == b"v"


def test_migrate_says_why_it_cannot(lab, database):
    assert "no database" in run("--migrate").stderr
    nobody = run("--migrate", "--database-url", "postgresql://nobody@127.0.0.1:1/none")
    assert nobody.returncode == 1 and "refused" in nobody.stderr
    lab.postgres().create_role("reader")
    poor = run("--migrate", database_url=lab.postgres().url(database.name, "reader"))
    assert poor.returncode == 1 and "permission denied" in poor.stderr
    lab.postgres().execute("DROP ROLE reader")
    assert run("--migrate", database_url=database.url).returncode == 0
    database.execute("UPDATE respgres.meta SET version = 9999, least_binary = 9999")
    old = run("--migrate", database_url=database.url)
    assert old.returncode == 1 and "9999" in old.stderr


def test_without_auto_migrate_a_missing_schema_stops_the_start(lab, database):
    log = refused(lab.respgres(database, start=False, auto_migrate="no"))
    assert "there is no schema respgres" in log
    assert "respgres --migrate" in log
    assert database.execute("SELECT to_regnamespace('respgres') IS NULL") == [(True,)]


def test_without_auto_migrate_an_older_schema_stops_the_start(lab, database, own_version):
    server = lab.respgres(database)
    log = refused(newer(lab, database, start=False, auto_migrate="no"))
    assert f"is at version {own_version}, this binary needs {own_version + 1}" in log
    assert "respgres --migrate" in log
    assert version(database) == own_version
    assert server.client().set("k", "v")


def test_without_auto_migrate_a_newer_schema_that_serves_is_fine(lab, database, own_version):
    assert newer(lab, database).client().set("k", "v")
    assert version(database) == own_version + 1
    assert lab.respgres(database, auto_migrate="no").client().get("k") == b"v"


# --- --print-schema ------------------------------------------------------------------------------

def test_the_printed_schema_is_the_one_that_is_made(lab, database):
    other = lab.database()
    printed = run("--print-schema")
    assert printed.returncode == 0 and printed.stderr == ""
    psql(database.url, printed.stdout)
    assert run("--migrate", database_url=other.url).returncode == 0
    assert dump(database) == dump(other)
    server = lab.respgres(database, auto_migrate="no")
    assert server.client().set("k", "v")
    assert server.client().get("k") == b"v"


def test_the_printed_upgrade(lab, database, own_version):
    other = lab.database()
    lab.respgres(database).client().set("k", "v")
    printed = run("--print-schema", own_version, program=newer_binary()).stdout
    assert "CREATE SCHEMA" not in printed
    psql(database.url, printed)
    assert version(database) == own_version + 1
    assert run("--migrate", program=newer_binary(), database_url=other.url).returncode == 0
    assert dump(database) == dump(other)
    assert newer(lab, database, auto_migrate="no").client().get("k") == b"v"
    assert "BEGIN" not in run("--print-schema", own_version).stdout


def test_the_printed_schema_has_the_name_that_was_asked_for(lab, database):
    psql(database.url, run("--pg-schema", "elsewhere", "--print-schema").stdout)
    server = lab.respgres(database, pg_schema="elsewhere", auto_migrate="no")
    assert server.client().set("k", "v")
    assert database.execute("SELECT to_regnamespace('respgres') IS NULL") == [(True,)]


def test_a_role_that_may_only_use_the_tables(lab, database):
    """One role makes the schema, another one serves."""
    postgres = lab.postgres()
    postgres.create_role("server")
    psql(database.url, run("--print-schema").stdout + """
        GRANT USAGE ON SCHEMA respgres TO server;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA respgres TO server;
        GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA respgres TO server;""")
    server = lab.respgres(postgres.url(database.name, "server"), auto_migrate="no",
                          sweep_interval=100)
    client = server.client()
    assert client.set("k", "v", px=1)
    assert client.incr("n") == 1
    assert client.pipeline(transaction=True).set("a", 1).dbsize().execute() == [True, 2]
    assert client.flushdb()
    assert client.dbsize() == 0
    wait_until(lambda: client.info("postgres")["postgres_table_bytes"] > 0, what="it has swept")
    assert "sweep-failed" not in server.log
    server.sigterm()
    postgres.execute("DROP OWNED BY server", dbname=database.name)
    postgres.execute("DROP ROLE server")


# --- old and new on one schema ---------------------------------------------------------------------

def test_rolling_upgrade_and_roll_back(lab, database, seed, own_version):
    """Under load: the new binary migrates, old ones go on, one of them starts again on the new
    schema; all are replaced; then back to old ones only."""
    old = [lab.respgres(database, pg_timeout=10000) for _ in range(2)]
    load = Load(list(old), seed, clients=8)

    def leave(server):
        load.servers.remove(server)
        assert server.sigterm() == 0

    def join(server):
        load.servers.append(server)
        load.wait_for_progress(400)

    try:
        load.wait_for_progress(400)
        new = [newer(lab, database, pg_timeout=10000)]
        assert version(database) == own_version + 1
        join(new[0])
        leave(old[0])
        join(old[0].start())
        leave(old[1])
        new.append(newer(lab, database, pg_timeout=10000))
        join(new[1])
        leave(old[0])
        load.wait_for_progress(400)
        join(old[1].start())
        for server in new:
            leave(server)
        load.wait_for_progress(400)
    finally:
        load.stop()
    leave(old[1])
    wait_gone(database)
    load.check(database.live())
    assert load.errors == []
    assert version(database) == own_version + 1
    assert database.execute("SELECT DISTINCT newer_note FROM respgres.entries") == [
        ("from the newer version",)]


def test_a_migration_waits_for_a_table_without_making_others_wait(lab, database, seed,
                                                                  own_version):
    """Somebody has the table open (pg_dump, say): the migration gives up after its lock_timeout,
    again and again; those that run serve without an error."""
    old = lab.respgres(database, pg_timeout=10000)
    load = Load([old], seed, clients=4)
    holder = database.connect()
    holder.autocommit = False
    try:
        load.wait_for_progress(100)
        holder.cursor().execute("LOCK TABLE respgres.entries IN ACCESS SHARE MODE")
        server = newer(lab, database, start=None, pg_timeout=10000)
        wait_until(lambda: server.log.count("event=schema-busy") >= 3, 60, "it has tried thrice")
        load.wait_for_progress(500)
        assert version(database) == own_version
        holder.rollback()
        wait_until(lambda: "to=online" in server.log, 60, "it is online")
        assert version(database) == own_version + 1
        load.servers.append(server)
        load.wait_for_progress(500)
    finally:
        load.stop()
        holder.close()
    assert load.errors == []
    load.check(database.live())


def test_the_command_migrate_tries_again_while_a_table_is_held(lab, database, own_version):
    lab.respgres(database)
    holder = database.connect()
    holder.autocommit = False
    holder.cursor().execute("LOCK TABLE respgres.entries IN ACCESS SHARE MODE")
    log = lab.servers[-1].dir / "migrate.log"
    with open(log, "wb") as out:
        process = lab.process([newer_binary(), "--migrate", "--database-url", database.url],
                              stdout=out, stderr=out, env=clean_environ(**SANITIZERS))
    wait_until(lambda: log.read_text().count("event=schema-busy") >= 2, 60, "it has tried twice")
    assert process.poll() is None
    holder.rollback()
    assert process.wait(30) == 0
    assert version(database) == own_version + 1
