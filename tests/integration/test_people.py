"""What people's own transactions can do to us: deadlocks, serialization failures, locked tables,
transactions that are left open. It is bounded, tried again or reported, and other keys go on."""

import contextlib
import re
import time

import psycopg2
import pytest

from harness import TOP, wait_until
from harness.lateness import Lateness
from rules import (  # noqa: F401
    OK, Holder, Threads, incrementing, number, pair, replies, seconds, send, send_all, stat,
    waiting_for_locks)
from test_rules_people import Others

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def database(module_lab):
    """One for all tests of this file: each makes the keys it needs."""
    module_lab.expects_deadlocks = True
    return module_lab.database()


class Person:
    """A transaction that is open until the block ends."""

    def __init__(self, database, **options):
        self.conn = database.connect(**options) if not options.pop("superuser", False) \
            else database.postgres.connect(database.name)
        self.conn.autocommit = False
        self.cursor = self.conn.cursor()

    def run(self, sql, *args):
        self.cursor.execute(sql, args or None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.conn.close()


UPDATE = "UPDATE respgres.entries SET value = '100' WHERE key = %s"


# --- deadlocks -------------------------------------------------------------------------------------

@pytest.mark.alone
@pytest.mark.parametrize("victim", ["respgres", "person"])
def test_a_deadlock_with_a_person(lab, database, victim):
    """A person locks b, then a; a block of ours locks a, then b. PostgreSQL ends one of the two:
    the person gets an error, or our batch is sent again. Either way the block is carried out once."""
    lab.expects_deadlocks = True
    database.postgres.execute(f'ALTER ROLE "{database.role}" SET deadlock_timeout = '
                              + ("'900ms'" if victim == "respgres" else "'30s'"))
    server = lab.respgres(database, pg_timeout=20000)  # it waits 1250 ms for a lock
    client = server.client()
    client.mset({"a": "1", "b": "1"})
    with Others(server) as others, Person(database, superuser=True) as person:
        person.run("SET deadlock_timeout = " + ("'30s'" if victim == "respgres" else "'10ms'"))
        person.run(UPDATE, "b")
        begun = time.monotonic()
        block = send_all(server, ["MULTI"], ["INCR", "a"], ["INCR", "b"], ["EXEC"])
        wait_until(lambda: waiting_for_locks(database), what="the block waits for b")
        if victim == "person":
            with pytest.raises(psycopg2.errors.DeadlockDetected):
                person.run(UPDATE, "a")
            person.conn.rollback()
        else:
            person.run(UPDATE, "a")
            person.conn.commit()
        assert replies(block, 4)[3] == (b"*2\r\n:2\r\n:2\r\n" if victim == "person"
                                        else b"*2\r\n:101\r\n:101\r\n")
        assert time.monotonic() - begun < 5
        wait_until(lambda: len(others.took) > 200)
    assert max(t for _, t in others.took) < 2
    assert client.mget("a", "b") == ([b"2", b"2"] if victim == "person" else [b"101", b"101"])
    assert stat(server, "postgres_lost_connections") == 0
    database.postgres.execute(f'ALTER ROLE "{database.role}" RESET deadlock_timeout')


# --- serialization failures --------------------------------------------------------------------------

@contextlib.contextmanager
def failing(database, key, condition, code):
    """Writes of a key meet a trigger that raises an error."""
    database.psql(f"""
        CREATE SEQUENCE tries;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {condition} THEN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON respgres.entries FOR EACH ROW
            WHEN (NEW.key = '{key}') EXECUTE FUNCTION public.refuse();""")
    try:
        yield
    finally:
        database.psql("DROP FUNCTION refuse CASCADE; DROP SEQUENCE tries;")


COMMANDS = [[["INCR", "k"]], [["SET", "k", "1"]], [["MULTI"], ["INCR", "k"], ["INCR", "j"], ["EXEC"]]]


@pytest.mark.parametrize("code, commands", [("40001", COMMANDS[0]), ("40P01", COMMANDS[1]),
                                            ("40001", COMMANDS[2])], ids=["incr", "set", "multi"])
def test_a_failure_that_passes_is_tried_again(lab, database, commands, code):
    """A trigger of somebody's meets a serialization failure, or a deadlock, twice."""
    server = lab.respgres(database)
    server.client().delete("k", "j")
    with failing(database, "k", "nextval('public.tries') <= 2", code):
        *_, reply = replies(send_all(server, *commands), len(commands))
    assert reply == {"INCR": number(1), "SET": OK, "MULTI": b"*2\r\n:1\r\n:1\r\n"}[commands[0][0]]
    assert database.row("k").value == b"1"


@pytest.mark.alone
@pytest.mark.parametrize("commands", COMMANDS, ids=["incr", "set", "multi"])
def test_a_failure_that_does_not_pass_hits_only_its_key(lab, database, commands):
    """It was sent again and again, until pg-timeout, with everybody else's writes in the batch."""
    server = lab.respgres(database, pg_timeout=3000)
    server.client().delete("k", "j")
    with failing(database, "k", "true", "40001"), Others(server) as others:
        begun = time.monotonic()
        while time.monotonic() < begun + 1.2:
            took, got = seconds(lambda: replies(send_all(server, *commands), len(commands)))
            assert b"not now" in got[-1] and got[-1].startswith(b"-"), got
            assert took < 1
        others.check(begun, time.monotonic())
    assert server.client().mget("k", "j") == [None, None]


def test_a_persons_serializable_transactions(pair, database):  # noqa: F811
    """They are refused when they meet our writes, as they would be among each other; nothing is lost
    and ours are not refused."""
    pair[0].client().set("n", 0)
    done, refused = [], []

    def person(ending):
        conn = database.connect()
        conn.set_session(isolation_level="SERIALIZABLE", autocommit=False)
        cursor = conn.cursor()
        while not ending.is_set():
            try:
                cursor.execute("SELECT convert_from(value, 'UTF8')::int FROM respgres.entries"
                               " WHERE key = 'n'")
                value, = cursor.fetchone()
                cursor.execute("UPDATE respgres.entries SET value = %s WHERE key = 'n'",
                               (str(value + 1),))
                conn.commit()
                done.append(1)
            except psycopg2.errors.SerializationFailure:
                conn.rollback()
                refused.append(1)
        conn.close()

    counting = [incrementing(server, "n", done) for server in pair]
    with Threads(*counting, person) as threads:
        wait_until(lambda: len(done) > 100 and len(refused) > 3, 30)
        threads.run_for(0)
    assert int(pair[1].client().get("n")) == len(done)


# --- transactions that are left open -----------------------------------------------------------------

HELD = {
    # what a person holds; which commands then have to wait
    "LOCK TABLE respgres.entries IN SHARE MODE": {"SET"},
    "LOCK TABLE respgres.entries IN ACCESS EXCLUSIVE MODE": {"SET", "GET"},
    "SELECT FROM respgres.lanes FOR UPDATE": {"SET"},
    "SELECT FROM respgres.instances FOR UPDATE": set(),
    "SELECT FROM respgres.spaces FOR UPDATE": set(),
}


@pytest.mark.alone
@pytest.mark.parametrize("sql", HELD)
def test_somebody_holds_what_everybody_needs(lab, database, sql):
    """Whoever has to wait is told within pg-timeout; when the transaction ends, service resumes at
    once, and what was said to be undone is."""
    server = lab.respgres(database, pg_timeout=600, fallback="off")
    client = server.client()
    client.mset({"k": "5", "n": "5"})
    doubt = False
    with Person(database) as person, Lateness() as late:
        person.run(sql)
        for command in (["SET", "k", "v"], ["GET", "k"], ["INCR", "n"], ["GET", "n"]):
            before = late.total_s
            took, reply = seconds(lambda command=command: send(server, *command).reply())
            waits = ("GET" if command[0] == "GET" else "SET") in HELD[sql]
            assert reply.startswith(b"-") == waits, (command, reply)
            assert took < 0.6 + 0.3 + late.total_s - before, command
            doubt |= b"may or may not" in reply
        person.conn.rollback()
        before = late.total_s
        took, _ = seconds(lambda: wait_until(lambda: send(server, "SET", "probe", "v").reply() == OK))
        assert took < 1 + late.total_s - before
    waited = "SET" in HELD[sql]
    assert not doubt or "lanes" in sql  # there a batch may be under way when the time is over
    if not doubt:
        assert client.mget("k", "n") == ([b"5", b"5"] if waited else [b"v", b"6"])


@pytest.mark.alone
def test_postgresql_ends_an_idle_transaction(lab, database):
    """With idle_in_transaction_session_timeout for people, nobody's forgotten BEGIN lasts."""
    server = lab.respgres(database, pg_timeout=5000)
    client = server.client()
    client.mset({"k": "5"})
    with Person(database, options="-c idle_in_transaction_session_timeout=500") as person:
        person.run(UPDATE, "k")
        took, value = seconds(lambda: client.incr("k"))
        assert value == 6
        assert took < 2


def documented_query():
    text = (TOP / "docs" / "postgresql.md").read_text(encoding="utf8")
    return re.search(r"^```sql\n(SELECT DISTINCT a\.pid.*?)```$", text,
                     re.DOTALL | re.MULTILINE).group(1)


def test_the_documented_query_finds_who_holds_rows(lab, database):
    """While a write is told that its row is locked: by whom?"""
    server = lab.respgres(database, pg_timeout=1500)
    client = server.client()
    client.mset({"k": "5", "j": "5"})
    assert database.execute(documented_query()) == []
    with Holder(database, "k") as holder:
        assert send(server, "INCR", "k").reply().startswith(b"-ERR the row is locked by another")
        found = database.execute(documented_query())
        assert [row[0] for row in found] == [holder.conn.info.backend_pid]
        assert found[0][3] == "idle in transaction"
    assert client.incr("j") == 6
