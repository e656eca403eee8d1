"""Rules of the store, 1, 2, 14 and 37, and "exactly once after a lost connection": what became of a
batch whose answer did not come.

A proxy holds a lane's batch, or its answer, and cuts there; see harness/lane_proxy.py."""

import random
import select
import signal
import time

import pytest

from harness import wait_until
from harness.util import process_state
from rules import (  # noqa: F401
    OK, Holder, Threads, behind, bulk, in_one_batch, lanes, number, pair,
    replies, row, seconds, send, send_all, stat, wait_idle, waiting_for_locks)

pytestmark = pytest.mark.rows


def multi(*commands):
    return [["MULTI"], *commands, ["EXEC"]]


# --- 1: the outcome is the lane's row -------------------------------------------------------------

@pytest.mark.parametrize("kind", ["single", "checked"])
def test_a01_outcome_is_the_lane_row(lab, database, lanes, kind):
    """Our INCR commits, its acknowledgement is lost, others write over our stamp: judged by the
    entry's version it is done twice."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    if kind == "single":
        answer = lanes.hold("commit-0", "respgres_commit*", "answer")
        client = send(server, "INCR", "n")
    else:
        answer = lanes.hold("commit-0", "respgres_commit_checked", "answer")
        client = send_all(server, *multi(["INCR", "n"], ["INCR", "m"]))
        assert replies(client, 3)[2] == b"+QUEUED\r\n"
    answer.wait()
    assert [other.incr("n"), other.incr("n")] == [2, 3]
    answer.cut()
    assert client.reply() == (b":1\r\n" if kind == "single" else b"*2\r\n:1\r\n:1\r\n")
    assert other.get("n") == b"3"
    assert server.client().get("n") == b"3"
    assert stat(server, "postgres_settled_applied") == 1


def test_a01_the_lane_row_knows_which_items_were_rejected(lab, database, lanes):
    """Of a batch whose answer is lost one command had been rejected: either it is never done, or
    the others are done twice."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    server.client().incr("x")
    assert other.incr("x") == 2
    clients, answer = in_one_batch(lanes, server, ["INCR", "x"], ["INCR", "y"], ["INCR", "z"],
                                   ["SET", "s", "mine"])
    assert other.get("x") == b"2"  # rejected: the version had moved
    assert other.incr("y") == 2
    other.set("s", "theirs")
    answer.cut()
    assert [c.reply() for c in clients] == [b":3\r\n", b":1\r\n", b":1\r\n", OK]
    assert other.mget("x", "y", "z", "s") == [b"3", b"2", b"1", b"theirs"]


SINGLE = [
    # command on key k, what k held before, reply, what it holds after
    (["SET", "k", "v"], "old", OK, b"v"),
    (["SET", "k", "v", "NX"], None, OK, b"v"),
    (["SET", "k", "v", "GET"], "old", bulk("old"), b"v"),
    (["SETNX", "k", "v"], None, number(1), b"v"),
    (["INCR", "k"], "5", number(6), b"6"),
    (["APPEND", "k", "b"], "a", number(2), b"ab"),
    (["GETSET", "k", "v"], "old", bulk("old"), b"v"),
    (["GETDEL", "k"], "old", bulk("old"), None),
    (["DEL", "k"], "old", number(1), None),
    (["EXPIRE", "k", "100"], "old", number(1), b"old"),
]


@pytest.mark.parametrize("side", ["request", "answer"])
def test_exactly_once_after_a_lost_connection(lab, database, lanes, side):
    """The connection goes before the batch has come to PostgreSQL, or after its commit: a command
    is not done, or done twice, or answered as if it had been somebody else's."""
    server = behind(lab, database, lanes)
    client = server.client()
    keys = [f"k{i}" for i in range(len(SINGLE))]
    commands = [[command[0], key, *command[2:]] for key, (command, *_) in zip(keys, SINGLE)]
    client.mset({key: before for key, (_, before, *_) in zip(keys, SINGLE) if before})
    clients, gate = in_one_batch(lanes, server, *commands, side=side)
    gate.cut()
    assert [c.reply() for c in clients] == [reply for _, _, reply, _ in SINGLE]
    after = [after for *_, after in SINGLE]
    assert client.mget(keys) == after
    gate.release()
    gate.wait_ended()
    assert client.mget(keys) == after
    assert stat(server, f"postgres_settled_{'not_' * (side == 'request')}applied") == 1


def test_exactly_once_while_a_second_instance_writes_the_same_key(lab, database, lanes, seed):
    """Lost before or after the commit, on a counter that another instance increments all the time:
    the sum is not what was acknowledged."""
    chance = random.Random(seed)
    server, other = behind(lab, database, lanes), lab.respgres(database)
    ours, theirs = [], []

    def increment(ending):
        client = other.client()
        while not ending.is_set():
            theirs.append(client.incr("n"))

    with Threads(increment):
        for _ in range(4):
            clients, gate = in_one_batch(lanes, server, *[["INCR", "n"]] * 5,
                                         side=chance.choice(["request", "answer"]))
            gate.cut()
            ours += [int(c.reply()[1:]) for c in clients]
            gate.release()
    everything = ours + theirs
    assert sorted(everything) == list(range(1, len(everything) + 1))
    assert int(other.client().get("n")) == len(everything)


def test_exactly_once_after_pg_terminate_backend(lab, database, lanes):
    """An administrator ends the commit lane's backend with a batch on its way: the client is told
    of an error, or nothing, though nothing was wrong with its command."""
    server = behind(lab, database, lanes)
    client = server.client()
    for i in range(5):
        gate = lanes.hold("commit-0", "respgres_commit*", "request")
        raw = send(server, "INCR", "n")
        gate.wait()
        assert database.postgres.execute(  # the newest: the one before it may be about to end
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
            " WHERE datname = %s AND application_name LIKE %s ORDER BY backend_start DESC LIMIT 1) x",
            database.name, "% commit-0") == [(True,)]
        gate.release()
        assert raw.reply() == number(i + 1)
    assert client.get("n") == b"5"


@pytest.mark.parametrize("lane, statement, command, reply", [
    ("commit-0", "respgres_commit*", ["INCR", "n"], number(1)),
    ("read-0", "respgres_read*", ["GET", "absent"], b"$-1\r\n"),
])
def test_a_backend_is_terminated_behind_its_last_answer(lab, database, lanes, lane, statement,
                                                        command, reply):
    """The FATAL comes where the answer to the Sync is due, as one result too many: the server dies
    of an assertion."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    gate = lanes.hold(lane, statement, "answer")
    raw = send(server, *command)
    gate.wait()
    if command[0] == "INCR":
        assert other.incr("n") == 2
    gate.break_off()
    assert raw.reply() == reply
    assert other.get("n") == (b"2" if command[0] == "INCR" else None)


@pytest.mark.parametrize("side", ["request", "answer"])
def test_exactly_once_of_a_block_with_a_query(lab, database, lanes, side):
    """MULTI with DBSIZE in it takes several steps; the connection goes with its COMMIT: the INCR is
    done twice, or done and answered with an error."""
    server, other = behind(lab, database, lanes), lab.respgres(database).client()
    gate = lanes.hold("commit-0", "respgres_commit*", side)
    raw = send_all(server, *multi(["DBSIZE"], ["INCR", "n"]))
    gate.wait()
    if side == "answer":
        assert other.incr("n") == 2
    gate.cut()
    reply = replies(raw, 4)[3]
    gate.release()
    gate.wait_ended()
    if side == "answer":
        assert reply == b"*2\r\n:0\r\n:1\r\n"
        assert other.get("n") == b"2"
    else:
        done = reply == b"*2\r\n:0\r\n:1\r\n"
        assert done or reply.startswith(b"-")
        assert other.get("n") == (b"1" if done else None)
    assert int(server.client().incr("m")) == 1


# --- 2: the old backend is fenced before its batch is judged --------------------------------------

def test_a02_a_batch_that_arrives_late_is_fenced(lab, database, lanes):
    """The batch is delayed in the network, the connection lost, the batch sent again, a later SET
    acknowledged; then the old batch arrives and writes over it."""
    server = behind(lab, database, lanes)
    client = server.client()
    for command, again in ((["SET", "k", "old"], OK), (["INCR", "n"], number(1))):
        late = lanes.hold("commit-0", "respgres_commit*", "request")
        raw = send(server, *command)
        late.wait().cut()
        assert raw.reply() == again
        client.set(command[1], "100")
        late.release()
        late.wait_ended()
        assert client.get(command[1]) == b"100"
    assert row(database, "k")[2].tobytes() == b"100"


def test_a02_a_checked_batch_that_arrives_late_is_fenced(lab, database, lanes):
    """The same for the three statements of a batch with a MULTI: its placeholders too."""
    server = behind(lab, database, lanes)
    client = server.client()
    late = lanes.hold("commit-0", "respgres_share_spaces", "request")
    raw = send_all(server, *multi(["INCR", "a"], ["SETNX", "b", "old"]))
    late.wait().cut()
    assert replies(raw, 4)[3] == b"*2\r\n:1\r\n:1\r\n"
    client.mset({"a": "7", "b": "new"})
    late.release()
    late.wait_ended()
    assert client.mget("a", "b") == [b"7", b"new"]


@pytest.mark.parametrize("held_s", [0.0, 0.25, 0.8])
def test_a02_the_old_backend_waits_for_a_lock(lab, database, lanes, held_s):
    """The lost connection's backend waits for somebody's row lock and goes on after we have judged
    it: the INCR is done twice."""
    server = behind(lab, database, lanes)  # lock_timeout is about 0.6 s
    client = server.client()
    client.set("n", 1)
    holder = Holder(database, "n")
    with holder:
        raw = send(server, "INCR", "n")
        connection = lanes.connection("commit-0")
        wait_until(lambda: waiting_for_locks(database), what="the batch waits for the lock")
        connection.cut()
        time.sleep(held_s)
    assert raw.reply() == number(2)
    connection.release_all()
    assert client.get("n") == b"2"
    assert client.incr("n") == 3


def test_a02_an_old_backend_that_does_not_end_is_terminated(lab, database, lanes):
    """The old backend is at work for longer than a reconnection waits: it is never judged, and the
    lane does not come back."""
    server = behind(lab, database, lanes)
    database.execute("CREATE SEQUENCE times")
    slow_key(database, "slow", 7, "nextval('public.times') = 1")
    raw = send(server, "INCR", "slow")
    connection = lanes.connection("commit-0")
    wait_until(lambda: sleeping(database), what="the batch is under way")
    old = sleeping(database)
    connection.cut()
    took, _ = seconds(lambda: wait_until(lambda: not set(old) & set(database.sessions())))
    assert took < 5, "the old backend has not been ended"
    assert raw.reply() == number(1)
    assert server.client().get("slow") == b"1"


def slow_key(database, key, sleep_s, when="true"):
    """Writing this key takes a while."""
    database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {when} THEN PERFORM pg_catalog.pg_sleep({sleep_s}); END IF; RETURN NEW; END $$")
    database.execute("CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON respgres.entries FOR EACH ROW"
                     f" WHEN (NEW.key = '{key}') EXECUTE FUNCTION slow()")


def sleeping(database):
    return [pid for pid, in database.postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'",
        database.name)]


def test_a02_a_reclaimed_slot_is_fenced(lab, database, lanes):
    """An instance is taken for dead and its slot given to another; then its last batch arrives and
    writes over what was acknowledged since."""
    lab.defaults["fallback"] = "off"  # the slot of one with a journal is kept for it
    server = behind(lab, database, lanes)
    late = lanes.hold("commit-0", "respgres_commit*", "request")
    send(server, "SET", "k", "old")
    late.wait()
    server.kill9()
    slot, incarnation = database.execute("SELECT slot, incarnation FROM respgres.instances")[0]
    database.execute("UPDATE respgres.instances SET seen_at = seen_at - interval '1 hour'")
    heir = lab.respgres(database)
    assert stat(heir, "postgres_slot") == slot
    assert stat(heir, "postgres_incarnation") == incarnation + 1
    heir.client().set("k", "new")
    late.release()
    late.wait_ended()
    assert heir.client().get("k") == b"new"


def test_a02_an_instance_that_slept_takes_another_slot(lab, database, lanes):
    """A stopped process wakes after its slot was given away: two instances stamp with one slot."""
    lab.defaults["fallback"] = "off"  # the slot of one with a journal is kept for it
    sleeper = behind(lab, database, lanes)
    late = lanes.hold("commit-0", "respgres_commit*", "request")
    raw = send(sleeper, "INCR", "n")
    late.wait()
    sleeper.signal(signal.SIGSTOP)
    wait_until(lambda: process_state(sleeper.pid)[0] == "T", what="it is stopped")
    wait_idle(database)  # a heartbeat that it has sent has arrived
    database.execute("UPDATE respgres.instances SET seen_at = seen_at - interval '1 hour'")
    heir = lab.respgres(database)
    assert stat(heir, "postgres_slot") == 1
    assert heir.client().incr("n") == 1
    late.release()
    sleeper.signal(signal.SIGCONT)
    assert raw.reply() == number(2)
    assert heir.client().get("n") == b"2"
    assert stat(sleeper, "postgres_slot") != 1
    assert sleeper.client().incr("n") == 3


# --- 14: what is no acknowledgement ---------------------------------------------------------------

def test_a14_a_cancelled_wait_for_the_standby_is_no_acknowledgement(lab):
    """PostgreSQL reports success, with a warning, for a commit that no synchronous standby has; the
    client is told OK."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    server = lab.respgres(database)
    server.client().set("before", "v")

    def configure(value):
        conn = postgres.connect(options="-c synchronous_commit=local")
        with conn.cursor() as cursor:
            cursor.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{value}'")
            cursor.execute("SELECT pg_reload_conf()")
        conn.close()

    configure("nobody")
    raw = None
    try:
        def waits():
            nonlocal raw
            if raw and select.select([raw.sock], [], [], 0)[0]:
                assert raw.reply() == OK  # the backend had not read the configuration
                raw = None
            raw = raw or send(server, "SET", "k", "v")
            return [pid for pid, in postgres.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event = 'SyncRep'"
                " AND application_name LIKE '%% commit-0'", database.name)]

        pid, = wait_until(waits, what="the commit waits for the standby")
        postgres.execute("SELECT pg_cancel_backend(%s)", pid)
        reply = raw.reply()
    finally:
        configure("")
    assert reply.startswith(b"-"), reply
    client = server.client()
    wait_until(lambda: works(client), what="service goes on")
    assert client.get("before") == b"v"


def works(client):
    try:
        return client.set("after", "v")
    except Exception:  # pylint: disable=broad-except
        return False


@pytest.mark.alone
def test_a14_statement_timeout_comes_before_pg_timeout(lab, database, machine):
    """A batch that takes too long is given up by us while PostgreSQL goes on with it: the outcome
    is unknown where it could have been known."""
    server = lab.respgres(database, pg_timeout=1000)
    client = server.client()
    client.set("other", "v")
    slow_key(database, "slow", 5)
    took, reply = machine.seconds(lambda: send(server, "SET", "slow", "v").reply())
    assert reply.startswith(b"-")
    assert took < 1.5
    assert "canceling statement due to statement timeout" in database.postgres.log
    took, _ = machine.seconds(client.dbsize)
    assert took < 1.5, "the search for the reason holds up others"
    wait_until(lambda: not sleeping(database))
    assert row(database, "slow") is None or row(database, "slow")[2] is None
    assert stat(server, "postgres_lost_connections") == 0
    took, _ = machine.seconds(lambda: client.set("other", "w"))
    assert took < 1.0


# --- 37: rolling upgrades -------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_d37_lost_prepared_statements_are_prepared_again(lab, database, lanes, command):
    """26000: a pooler, or a person, has thrown away the lanes' prepared statements; clients get
    errors, or for ever."""
    server = behind(lab, database, lanes)
    client = server.client()
    client.set("k", "v")
    lanes.inject("commit-0", command)
    assert client.incr("n") == 1
    lanes.inject("commit-0", command)
    assert client.mset({"a": 1, "b": 2})
    lanes.inject("read-0", command)
    assert client.get("k") == b"v"
    lanes.inject("query-0", command)
    assert client.dbsize() == 4
    assert client.get("n") == b"1"


def test_d37_changed_result_types_are_prepared_again(lab, database, lanes):
    """0A000, "cached plan must not change result type": a migration has touched a column that the
    statements return."""
    server = behind(lab, database, lanes)
    client = server.client()
    assert client.incr("n") == 1
    database.execute("ALTER TABLE respgres.lanes ALTER COLUMN batch_time TYPE timestamptz(3)")
    assert client.incr("n") == 2
    database.execute("ALTER TABLE respgres.lanes ALTER COLUMN batch_time TYPE timestamptz(4)")
    assert client.mset({"a": 1, "b": 2})
    assert client.mget("n", "a", "b") == [b"2", b"1", b"2"]


def test_d37_columns_are_added_under_load(lab, pair, database):
    """A newer version's migration adds columns: commands of the older one fail."""
    errors, done = [], 0

    def load(server, number_):
        def run(ending):
            nonlocal done
            client = server.client()
            while not ending.is_set():
                try:
                    client.incr("n")
                    client.mset({f"a{number_}": 1, f"b{number_}": 2})
                    client.get("n")
                    client.dbsize()
                    done += 1
                except Exception as error:  # pylint: disable=broad-except
                    errors.append(error)
        return run

    with Threads(*(load(server, i) for i, server in enumerate(pair * 2))) as threads:
        for i in range(5):
            database.execute(
                f"ALTER TABLE respgres.entries ADD COLUMN new{i} int NOT NULL DEFAULT 7")
            database.execute(f"ALTER TABLE respgres.lanes ADD COLUMN new{i} text")
            threads.run_for(0.15, lambda at=done: done > at + 4 or errors)
    assert errors == []
    assert int(pair[0].client().get("n")) >= done > 20


def test_d37_a_migration_that_has_to_wait_gives_up_and_tries_again(lab, database):
    """Somebody holds the migration's lock: an instance waits for ever, or ends, instead of saying
    why and trying again."""
    conn = database.connect()
    with conn.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('respgres.migration'),"
                       " hashtext('\"respgres\".'))")
    server = lab.respgres(database, start="answering")
    wait_until(lambda: "lock timeout" in server.log, what="it gives up")
    assert send(server, "GET", "k").reply().startswith(b"-LOADING")
    conn.close()
    wait_until(lambda: works(server.client()), what="it tries again")
