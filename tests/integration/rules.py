"""What the tests of the store's rules (test_rules_*.py) share."""

import random
import threading
import time

import psycopg2
import pytest

from harness import encode, wait_until
from harness.faketime import under
from harness.lane_proxy import LaneProxy

OK = b"+OK\r\n"
NIL = b"$-1\r\n"
HOUR_OF_VERSIONS = 3_600_000_000 << 10  # a version is microseconds, shifted by the slot's bits


@pytest.fixture
def pair(lab, database):
    """Two instances on one database."""
    return lab.respgres(database), lab.respgres(database)


@pytest.fixture
def lanes(lab, database):
    """A LaneProxy to the database's cluster; goes after the servers behind it."""
    proxy = LaneProxy(("127.0.0.1", lab.postgres_port(database)))
    yield proxy
    proxy.release_all()
    for server in lab.servers:
        if server.is_running():
            try:
                server.sigterm()
            except AssertionError:
                pass  # lab reports it
    proxy.close()


def behind(lab, database, lanes, **options):
    """An instance whose lanes go through the proxy. It may be held up for a while."""
    return lab.respgres(database.url_by(port=lanes.port), **options)


def faketime(server, path, wait="ready"):
    """Starts it; its clock is what the file at `path` says."""
    original = server.command_line
    server.command_line = lambda: under(original(), FAKETIME_TIMESTAMP_FILE=path,
                                        FAKETIME_NO_CACHE=1)
    return server.start(wait)


# --- clients -------------------------------------------------------------------------------------

def send(server, *command):
    """A client of its own that has sent a command and not read the reply."""
    raw = server.raw()
    raw.send(encode(*command))
    return raw


def send_all(server, *commands):
    """One client that has sent several commands at once."""
    raw = server.raw()
    raw.send(b"".join(encode(*command) for command in commands))
    return raw


def replies(raw, count):
    return [raw.reply() for _ in range(count)]


def bulk(value):
    value = value if isinstance(value, bytes) else str(value).encode()
    return b"$%d\r\n%s\r\n" % (len(value), value)


def number(value):
    return b":%d\r\n" % value


def stats(server):
    """INFO without the sections that ask PostgreSQL."""
    client = server.client()
    return {**client.info("stats"), **client.info("postgres"), **client.info("memory")}


def stat(server, name):
    return stats(server)[name]


def set_and_see(client, key, value, ttl_ms, reader=None):
    """Sets a key that expires soon, and reads it; again with a longer time where it was gone already."""
    while not (client.set(key, value, px=ttl_ms) and (reader or client).get(key)):
        assert ttl_ms < 60_000, "a new key is not there"
        ttl_ms *= 3


def grown(server, name, action):
    """By how much a counter of INFO grows while `action` runs."""
    before = stat(server, name)
    action()
    return stat(server, name) - before


def wait_quiet(server):
    """Until what has been sent has been read from PostgreSQL and waits, if at all, for a commit."""
    def quiet():
        return stat(server, "postgres_lane_read-0")["state"] == "idle"
    for _ in range(3):
        wait_until(quiet)


def wait_arrived(probe, commands):
    """Until the server of the client `probe` has taken so many commands, the looks not counted."""
    looks = 0

    def arrived():
        nonlocal looks
        looks += 1
        return probe.info("stats")["total_commands_processed"] - looks >= commands

    wait_until(arrived)


def in_one_batch(lanes, server, *commands, side="answer"):
    """Sends each command by a client of its own while the commit lane is busy, so that they share
    the next batch; returns the clients and the gate that holds the batch, or its answer."""
    plug = lanes.hold("commit-0", "respgres_commit*", "answer")
    plugged = send(server, "SET", "plug", random.random())
    plug.wait()
    probe = server.client()
    before = probe.info("stats")["total_commands_processed"]
    clients = [send(server, *command) for command in commands]
    wait_arrived(probe, before + len(commands))
    wait_quiet(server)
    gate = lanes.hold("commit-0", "respgres_commit*", side)
    plug.release()
    assert plugged.reply() == OK
    return clients, gate.wait()


class Threads:
    """Runs functions in threads until the block ends; what one of them raises, the block raises."""

    def __init__(self, *functions):
        self.ending = threading.Event()
        self._errors = []
        self._threads = [threading.Thread(target=self._run, args=(f,), daemon=True)
                         for f in functions]

    def _run(self, function):
        try:
            function(self.ending)
        except Exception as error:  # pylint: disable=broad-except
            self._errors.append(error)
            self.ending.set()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.ending.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a thread does not end"
        if self._errors:  # the cause of what the block may have run into
            raise self._errors[0]

    def run_for(self, seconds, until=None):
        """So long, and on until enough has been done; not after one of them has raised."""
        self.ending.wait(seconds)
        if until:
            wait_until(lambda: self.ending.is_set() or until(), 60, "enough is done")


def incrementing(server, key, done):
    """For Threads: increments a key all the time, and adds to the list `done` for each."""
    def run(ending):
        client = server.client()
        while not ending.is_set():
            client.incr(key)
            done.append(1)
    return run


# --- rows, as a person has them -------------------------------------------------------------------

ROW = "space = respgres.space_of(0) AND key = %s"


def row(database, key, columns="version, value_version, value, expires_at, expire_slot"):
    """The columns of a key's row in database 0, None where there is none."""
    found = database.execute(f"SELECT {columns} FROM respgres.entries WHERE {ROW}", as_key(key))
    return found[0] if found else None


def update(database, key, assignments, *args):
    database.execute(f"UPDATE respgres.entries SET {assignments} WHERE {ROW}", *args, as_key(key))


def as_key(key):
    return psycopg2.Binary(key if isinstance(key, bytes) else key.encode())


def run_ahead(database, key, by=HOUR_OF_VERSIONS):
    """As if an instance whose clock is ahead had written the key."""
    update(database, key, "version = version + %s, value_version = value_version + %s", by, by)


def purge(database, key):
    """Removes a row as the sweeper does, without a tombstone."""
    conn = database.postgres.connect(database.name)
    with conn.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(f"DELETE FROM respgres.entries WHERE {ROW}", (as_key(key),))
    conn.close()


class Holder:
    """Somebody in psql: holds the rows of keys locked until the block ends."""

    def __init__(self, database, *keys):
        self.conn = database.connect()
        self.conn.autocommit = False
        self.cursor = self.conn.cursor()
        for key in keys:
            self.cursor.execute(f"SELECT FROM respgres.entries WHERE {ROW} FOR UPDATE",
                                (as_key(key),))
            assert self.cursor.rowcount == 1, key

    def release(self):
        self.conn.rollback()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.conn.close()


def waiting_for_locks(database):
    """The pids of this database's backends that wait for a lock."""
    return [pid for pid, in database.postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
        database.name)]


def wait_idle(database):
    """Until no backend of ours has been at work for a while: what a server that is stopped had sent has
    been carried out."""
    wait_until(lambda: database.postgres.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'respgres %%'"
        " AND (state = 'active' OR state_change > clock_timestamp() - interval '1 s')",
        database.name) == [(0,)], what="no backend is at work")


def wait_keys_locked(database):
    """Until the lock pass of a batch that lacks its last statement is through."""
    wait_until(lambda: database.postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND state = 'active'"
        " AND wait_event = 'ClientRead' AND application_name LIKE '%% commit-%%'",
        database.name), what="the keys are locked")


def seconds(action):
    """How long `action` takes, and what it returns."""
    before = time.monotonic()
    value = action()
    return time.monotonic() - before, value
