"""The harness itself, proven on PostgreSQL and redis-server."""

import contextlib
import signal
import time

import psycopg2
import pytest
import redis

from harness import RawClient, encode, wait_until
from harness.servers import BAD_LOG
from harness.stalls import StallWatch


@pytest.fixture
def own_postgres(lab):
    return lab.own_postgres()


def test_a_database_belongs_to_an_ordinary_role(database):
    assert database.psql("SELECT current_user, usesuper FROM pg_user"
                         " WHERE usename = current_user") == f"{database.role}|f"
    assert database.postgres.execute("SHOW fsync") == [("on",)]


# What makes a database, or its role, another one than a new one.
DIFFERENCES = [
    "CREATE TABLE t ()", "CREATE SCHEMA s", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE DOMAIN d AS int", "SELECT lo_create(0)", "REVOKE USAGE ON SCHEMA public FROM public",
    "GRANT CREATE ON SCHEMA public TO public", "GRANT SELECT ON pg_authid TO {me}",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO public", "ALTER DATABASE {me} SET lock_timeout = 1",
    "ALTER ROLE {me} SET lock_timeout = 1", "ALTER DATABASE {me} CONNECTION LIMIT 7",
    "REVOKE CONNECT ON DATABASE {me} FROM public", "ALTER ROLE {me} PASSWORD 'p'", "ALTER ROLE {me} CREATEDB",
    "GRANT pg_monitor TO {me}", "ALTER DATABASE {me} SET default_transaction_read_only = on", "CREATE PUBLICATION p", "ALTER DATABASE {me} OWNER TO postgres"]


def test_a_database_is_used_again_where_it_is_as_new(lab, own_postgres):
    database = own_postgres.create_database()
    lab.respgres(database).client().set("k", "v")
    lab.servers[-1].sigterm()
    own_postgres.give_back(database)
    assert own_postgres.create_database() is database
    assert lab.respgres(database).client().get("k") is None
    lab.servers[-1].sigterm()
    for sql in DIFFERENCES:
        with contextlib.closing(own_postgres.connect(database.name)) as connection:
            connection.cursor().execute(sql.format(me=database.role))
        own_postgres.give_back(database)
        assert own_postgres.execute("SELECT count(*) FROM pg_database WHERE datname = %s", database.name) == [(0,)], sql
        database = own_postgres.create_database()


def test_a_database_that_the_test_has_dropped_is_not_used_again(own_postgres):
    database = own_postgres.create_database()
    own_postgres.execute(f'DROP DATABASE "{database.name}"')
    own_postgres.give_back(database)
    assert own_postgres.create_database() is not database


def test_a_database_that_somebody_uses_is_not_given_to_another(own_postgres):
    database = own_postgres.create_database()
    with database.connect().cursor() as cursor:
        cursor.execute("SELECT 1")
        own_postgres.give_back(database)
    assert own_postgres.create_database() is not database


def test_a_committed_row_survives_kill_9(lab, own_postgres):
    database = lab.database(own_postgres)
    database.execute("CREATE TABLE t AS SELECT 1 AS x")
    own_postgres.kill9()
    own_postgres.start()
    assert database.execute("SELECT x FROM t") == [(1,)]


def test_a_frozen_server_answers_nothing_until_thawed(own_postgres):
    with own_postgres.connect().cursor() as cursor:
        own_postgres.freeze()
        with pytest.raises(psycopg2.OperationalError):
            own_postgres.connect(connect_timeout=2)
        own_postgres.thaw()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_a_password_is_asked_of_those_who_have_one(lab, database):
    lab.postgres().create_role("with_password", "geheim")
    try:
        for options in ({}, {"tcp": True}):
            url = lab.postgres().url("postgres", "with_password", "geheim", **options)
            psycopg2.connect(url).close()
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                psycopg2.connect(url.replace("geheim", "falsch"))
    finally:
        lab.postgres().execute("DROP ROLE with_password")


def test_raw_replies_are_whole(redis_server):
    with redis_server.raw() as raw:
        assert raw.command("SET", "k", b"a\r\nb\0") == b"+OK\r\n"
        assert raw.command("GET", "k") == b"$5\r\na\r\nb\0\r\n"
        assert raw.command("MGET", "k", "none") == b"*2\r\n$5\r\na\r\nb\0\r\n$-1\r\n"
        assert raw.command("HELLO", "3").startswith(b"%7\r\n")
        raw.send_slowly(encode("GET", "none") + b"NONSENSE\r\n")
        assert raw.reply() == b"_\r\n"
        assert raw.reply().startswith(b"-ERR unknown command 'NONSENSE'")
        raw.half_close()
        assert raw.is_closed()


def test_a_server_restarts_on_its_port_and_ends_with_0(redis_server):
    port = redis_server.port
    redis_server.kill9()
    assert redis_server.finish() == []
    redis_server.start()
    assert redis_server.port == port
    assert redis_server.cli("PING") == "PONG\n"
    assert redis_server.sigterm() == 0


def test_proxy_delays_swallows_and_cuts(lab, redis_server):
    proxy = lab.proxy(("127.0.0.1", redis_server.port))
    client = redis.Redis(port=proxy.port, socket_timeout=20)
    assert client.ping()
    proxy.delay(0.05)
    before = time.monotonic()
    assert client.ping()
    assert time.monotonic() - before >= 0.1
    proxy.delay(0)
    with RawClient(("127.0.0.1", proxy.port)) as raw:
        assert raw.command("PING") == b"+PONG\r\n"
        proxy.blackhole()
        raw.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            raw.command("PING")
        proxy.pass_on()
        raw.sock.settimeout(20)
        assert raw.reply() == b"+PONG\r\n"
        assert client.ping()
        assert proxy.cut() >= 2
        assert raw.is_closed()
    proxy.refuse()
    with pytest.raises(OSError), RawClient(("127.0.0.1", proxy.port)) as raw:
        assert raw.is_closed()
        raise ConnectionError("closed as it should be")
    wait_until(lambda: proxy.connections() == 0)


@pytest.mark.parametrize("line", [
    "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1",
    "==7==ERROR: LeakSanitizer: detected memory leaks",
    "src/a.c:3:4: runtime error: shift exponent 64 is too large",
    'event=assert-failed where=src/a.c:3 what="x > 0"',
])
def test_faults_in_a_log_are_found(line):
    assert BAD_LOG.findall(f"event=start port=1\n{line}\nevent=stop\n") == [line]


def test_a_stall_is_noted_before_it_is_asked_for():
    """Of a process that is stopped as a processor's are: who asks at once is told all the same."""
    watch = StallWatch()
    try:
        begun = time.monotonic()
        assert watch.within(begun, time.monotonic()) <= time.monotonic() - begun
        watcher = watch._watchers[0]._program  # pylint: disable=protected-access
        watcher.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        stopped = time.monotonic()
        watcher.send_signal(signal.SIGCONT)
        assert watch.longest_since(begun) > 0.25
        assert 0.25 < watch.within(begun, stopped) <= stopped - begun
    finally:
        watch.close()
