"""Histories of single keys, recorded by clients of two and three instances while things go wrong,
and checked for an order that explains every reply (harness/linearize.py)."""

import os
import random
import signal
import threading
import time

import pytest

from harness import wait_until
from harness.history import History, Recorder
from harness.linearize import NIL, OK, Operation
from rules import Threads, as_key, faketime

@pytest.fixture(autouse=True)
def nothing_but_postgresql(lab):
    """Instances agree while PostgreSQL is there: one that is away for a moment must not serve alone."""
    lab.defaults["fallback"] = "off"


pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

CLIENTS = 8
OPERATIONS_PER_FAULT = 250

# Each does what a command does.
SCRIPTS = {
    "GET": "return redis.call('GET', KEYS[1])",
    "INCR": "local n = (redis.call('GET', KEYS[1]) or 0) + 1 redis.call('SET', KEYS[1], n) return n",
    "APPEND": "local v = (redis.call('GET', KEYS[1]) or '') .. ARGV[1] redis.call('SET', KEYS[1], v) return #v",
    "GETSET": "local v = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1]) return v",
    "GETDEL": "local v = redis.call('GET', KEYS[1]) redis.call('DEL', KEYS[1]) return v",
}


class Clients:
    """Clients that do all sorts of things to a few keys, and record it. With each fault the keys
    are new ones, so that what was lost on the way to one of them stays countable."""

    def __init__(self, servers, seed, kinds):
        self.servers, self.seed, self.kinds = servers, seed, kinds
        self.history = History()
        self.generation = 0
        self.answered = [0] * CLIENTS
        self.refused = [0] * CLIENTS

    def run(self, number):
        def run(ending):
            chance = random.Random(f"{self.seed}/{number}")
            client = Recorder(f"client {number}", self.servers, self.history, chance)
            for i in range(1 << 30):
                if ending.is_set():
                    break
                if self.act(client, chance, b"%d.%d" % (number, i)) is not None:
                    self.answered[number] += 1
                if chance.random() < 0.02:
                    client.close()  # and on to another instance
            self.refused[number] = client.refused
            client.close()
        return run

    def act(self, client, chance, unique):
        keys = [f"{kind}{self.generation}" for kind in self.kinds]
        kind = chance.randrange(12)
        if kind == 0:
            client.run_on_all("MGET", keys)
            return True
        if kind == 1:
            client.run_on_all("MSET", keys[:2], [unique, unique])
            return True
        key = chance.choice(keys)
        if kind == 2 and not key.startswith("lease"):
            name = chance.choice(["INCR"] if key.startswith("counter") else ["APPEND", "GETSET", "GETDEL", "GET"])
            as_if = (name, unique[:1]) if name in ("APPEND", "GETSET") else (name,)
            return client.run_script(key, SCRIPTS[name], as_if)
        return client.run(key, *chance.choice(self.choices(key, chance, unique)))

    @staticmethod
    def choices(key, chance, unique):
        """What may be done to a key: each a command, or the commands of a block."""
        if key.startswith("register"):
            return [[("GET",)], [("GET",)], [("SET", unique)], [("SETNX", unique)],
                    [("SET", unique, "NX")], [("SET", unique, "XX", "GET")], [("GETSET", unique)],
                    [("GETDEL",)], [("DEL",)], [("GET",), ("SET", unique)]]
        if key.startswith("text"):
            return [[("APPEND", unique[:1])], [("APPEND", b"-")], [("GET",)], [("GET",)],
                    [("SET", b"")], [("GETDEL",)], [("APPEND", b"<"), ("APPEND", b">")]]
        if key.startswith("lease"):
            ms = b"%d" % chance.choice([5, 20, 60])
            return [[("SET", unique, "NX", "PX", ms)], [("SET", b"5", "PX", ms)],
                    [("PEXPIRE", ms)], [("PERSIST",)], [("INCR",)], [("INCR",)], [("GET",)],
                    [("GET",)], [("PTTL",)], [("GETDEL",)]]
        return [[("INCR",)]] * 5 + [[("GET",)], [("GET",), ("INCR",)], [("INCR",), ("INCR",)],
                                    [("GETSET", b"%d" % chance.randrange(100))], [("DEL",)]]

    def wait_for_operations(self, count):
        goal = sum(self.answered) + count
        wait_until(lambda: sum(self.answered) >= goal, 60, f"{count} more operations are answered")


def record_and_check(servers, seed, faults, disturb, operations=OPERATIONS_PER_FAULT, leases=True,
                     clients=None):
    """disturb(chance, clients) so often, each time on new keys and after some operations. `leases`:
    also keys that expire, by our own clock. `clients`: others than those of strings."""
    kinds = ["register", "text", "counter"] + (["lease"] if leases else [])
    clients, chance = clients or Clients(servers, seed, kinds), random.Random(seed)

    def make_trouble(ending):
        try:
            for _ in range(faults):
                clients.generation += 1
                clients.wait_for_operations(chance.randrange(20, operations))
                disturb(chance, clients)
                clients.wait_for_operations(operations // 2)
        finally:
            ending.set()

    with Threads(make_trouble, *map(clients.run, range(CLIENTS))) as threads:
        threads.ending.wait(300)
    history = clients.history
    print(f"{history.count()} operations, {history.unknown()} of unknown outcome,"
          f" {sum(clients.refused)} refused")
    history.check()
    assert history.count() > faults * operations // 2
    return clients


def resume(pid):
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def long(*case):
    return pytest.param(*case, marks=[pytest.mark.long, pytest.mark.timeout(1800)])


@pytest.mark.parametrize("instances, faults", [(2, 3), (3, 3), long(2, 50), long(3, 50)])
def test_nothing_goes_wrong(lab, database, seed, instances, faults):
    """A stale read, a lost update, a write done twice."""
    servers = [lab.respgres(database, pg_timeout=10_000) for _ in range(instances)]
    clients = record_and_check(servers, seed, faults, lambda *_: None)
    assert clients.history.unknown() == 0 and sum(clients.refused) == 0


@pytest.mark.parametrize("instances, faults", [(3, 3), long(2, 50), long(3, 50)])
def test_an_instance_is_killed(lab, database, seed, instances, faults):
    """kill -9 of one, whose clients go to another: what had been on its way happens twice, or after
    it has been read as not there."""
    servers = [lab.respgres(database) for _ in range(instances)]

    def kill(chance, _):
        server = chance.choice(servers)
        server.kill9()
        server.start()

    record_and_check(servers, seed, faults, kill)


@pytest.mark.parametrize("instances, faults", [(2, 5), long(2, 100), long(3, 100)])
def test_lanes_are_cut(lab, database, seed, instances, faults):
    """Before PostgreSQL has the batch, or after its commit."""
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    url = database.url_by(port=proxy.port)
    servers = [lab.respgres(url) for _ in range(instances - 1)] + [lab.respgres(database)]

    def cut(*_):
        wait_until(proxy.cut, what="there is a connection to cut")

    record_and_check(servers, seed, faults, cut)


@pytest.mark.parametrize("instances, faults", [(3, 3), long(3, 50)])
def test_lanes_are_slow_and_silent(lab, database, seed, instances, faults):
    """What travels to PostgreSQL and back takes its time, another time for each instance; and now
    and then nothing comes through for longer than pg-timeout."""
    proxies = [lab.proxy(("127.0.0.1", database.postgres.port)) for _ in range(2)]
    servers = [lab.respgres(database.url_by(port=proxy.port), pg_timeout=300)
               for proxy in proxies]
    servers += [lab.respgres(database, pg_timeout=300) for _ in range(instances - 2)]
    proxies[0].delay(0.004)

    def silence(chance, _):
        proxy = chance.choice(proxies)
        proxy.blackhole()
        server = servers[proxies.index(proxy)]
        wait_until(lambda: server.raw().command("SET", "probe", "v").startswith(b"-"), 20,
                   "an error within pg-timeout")
        if chance.random() < 0.5:
            proxy.cut()
        proxy.pass_on()

    record_and_check(servers, seed, faults, silence, operations=150)


@pytest.mark.parametrize("instances, faults", [(2, 3), long(2, 50), long(3, 50)])
def test_an_instance_sleeps(lab, database, seed, instances, faults):
    """SIGSTOP, while others go on; when it wakes it goes on with what it had."""
    servers = [lab.respgres(database) for _ in range(instances)]

    def sleep(chance, _):
        server = chance.choice(servers)
        others = [s for s in servers if s is not server]
        server.signal(signal.SIGSTOP)
        try:
            client = chance.choice(others).client()
            for i in range(chance.randrange(5, 50)):
                client.incr("meanwhile")
        finally:
            resume(server.pid)

    record_and_check(servers, seed, faults, sleep)


@pytest.mark.parametrize("instances, pg_timeout, faults", [
    (2, 5000, 2), (3, 300, 3), long(2, 5000, 50), long(3, 300, 50)])
def test_a_backend_sleeps(lab, seed, instances, pg_timeout, faults):
    """SIGSTOP of a lane's backend, for a moment or for longer than pg-timeout, wherever it is: with
    its locks, before its commit or after. A cluster of its own: it may have any lock."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    servers = [lab.respgres(database, pg_timeout=pg_timeout) for _ in range(instances)]

    def sleep(chance, _):
        pids = wait_until(lambda: [pid for pid, in postgres.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            " AND application_name ~ 'commit-|read-'", database.name)])
        pid = chance.choice(pids)
        os.kill(pid, signal.SIGSTOP)
        try:
            threading.Event().wait(chance.choice([0.02, 0.4]))
        finally:
            resume(pid)

    record_and_check(servers, seed, faults, sleep)


@pytest.mark.parametrize("instances, faults", [(3, 4), long(2, 50), long(3, 50)])
def test_a_person_writes_and_holds_rows(lab, database, seed, instances, faults):
    """An UPDATE in psql that is committed after a while, which may be longer than pg-timeout, or
    taken back: it is lost or not seen, or what was refused because of it is done later."""
    servers = [lab.respgres(database, pg_timeout=300) for _ in range(instances)]
    conn = database.connect()
    conn.autocommit = False

    def write(chance, clients):
        key, value = f"register{clients.generation}", b"%x" % chance.getrandbits(60)
        begun = time.monotonic_ns()
        with conn.cursor() as cursor:
            cursor.execute("UPDATE respgres.entries SET value = %s WHERE key = %s AND active"
                           " AND value IS NOT NULL", (value, as_key(key)))
            found = cursor.rowcount
        threading.Event().wait(chance.choice([0.0, 0.05, 0.5]))
        if chance.random() < 0.3:
            conn.rollback()
            return
        conn.commit()
        clients.history.add(key, Operation(
            begun, time.monotonic_ns(), (("SET", value, "XX", "KEEPTTL"),), OK if found else NIL,
            "a person"))

    record_and_check(servers, seed, faults, write)
    conn.close()


@pytest.mark.parametrize("instances, faults", [(3, 5), long(2, 100), long(3, 100)])
def test_backends_are_terminated(lab, database, seed, instances, faults):
    """By an administrator."""
    servers = [lab.respgres(database) for _ in range(instances)]

    def terminate(chance, _):
        pid = chance.choice(wait_until(database.sessions))
        database.postgres.execute("SELECT pg_terminate_backend(%s)", pid)

    record_and_check(servers, seed, faults, terminate)


@pytest.mark.parametrize("instances, faults", [long(2, 40)])
def test_postgresql_crashes(lab, seed, instances, faults):
    """kill -9 of all its processes."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    servers = [lab.respgres(database) for _ in range(instances)]

    def kill(*_):
        postgres.kill9()
        postgres.start()

    record_and_check(servers, seed, faults, kill)


# --- clocks ---------------------------------------------------------------------------------------

class Clock:
    """What some processes take for the time."""

    def __init__(self, folder, name, seconds):
        self.path = folder / name
        self.set(seconds)

    def set(self, seconds):
        self.path.write_text(f"{seconds:+d}\n")


@pytest.mark.parametrize("instances, faults", [(2, 3), (3, 3), long(2, 100), long(3, 100)])
def test_clocks_differ_and_jump(lab, database, tmp_path, seed, instances, faults):
    """The hosts' clocks are 5 seconds fast and slow, are set while the instances run, and an
    instance is started again with its clock stepped back: its writes lose against older ones,
    or what it stamps was stamped before."""
    clocks = [Clock(tmp_path, f"clock{i}", seconds)
              for i, seconds in enumerate([5, -5, 0][:instances])]
    servers = [faketime(lab.respgres(database, start=False), clock.path) for clock in clocks]
    times = [int(server.client().info("server")["server_time_usec"]) / 1e6 for server in servers]
    assert 8 < times[0] - times[1] < 12, "the clocks do not differ"

    def jump(chance, _):
        server, clock = chance.choice(list(zip(servers, clocks)))
        if chance.random() < 0.5:
            clock.set(chance.choice([-5, 0, 5]))
        else:
            clock.set(5)
            server.client().incr("before the restart")
            status = server.sigterm()
            assert status == 0
            clock.set(-5)
            server.start()

    record_and_check(servers, seed, faults, jump)


class PostgresqlsClock:
    """In one database, PostgreSQL's own functions say another time."""

    NAMES = {"clock_timestamp": "VOLATILE", "statement_timestamp": "STABLE", "now": "STABLE"}

    def __init__(self, database):
        self.conn = database.postgres.connect(database.name)
        self._execute("CREATE TABLE shift (shift) AS SELECT interval '0'")
        self._execute("GRANT SELECT ON shift TO PUBLIC")
        for name, kind in self.NAMES.items():
            self._execute(f"ALTER FUNCTION pg_catalog.{name}() RENAME TO real_{name}")
            self.define(name, kind, "(SELECT shift FROM public.shift)")

    def define(self, name, kind, shift):
        self._execute(f"CREATE OR REPLACE FUNCTION pg_catalog.{name}() RETURNS timestamptz LANGUAGE sql {kind}"
                      f" AS $$SELECT pg_catalog.real_{name}() + {shift}$$")

    def set(self, seconds):
        self._execute("UPDATE shift SET shift = make_interval(secs => %s)", seconds)

    def _execute(self, sql, *args):
        with self.conn.cursor() as cursor:
            cursor.execute(sql, args or None)


@pytest.mark.parametrize("instances, faults", [(2, 2), (3, 3), long(2, 100), long(3, 100)])
def test_postgresqls_clock_steps_back(lab, database, seed, instances, faults):
    """It is what everybody goes by. It is set back by 10 seconds, while an instance runs or is
    started again, as after a failover to a host with another clock: new versions are below those
    that are there, a write is lost, WATCH or a cache takes an old value for the present one."""
    clock = PostgresqlsClock(database)
    clock.set(5)
    servers = [lab.respgres(database) for _ in range(instances)]
    ahead, = database.execute("SELECT extract(epoch FROM clock_timestamp())::float8")[0]
    assert 3 < ahead - time.time() < 7, "its clock is not shifted"

    def step(chance, _):
        clock.set(5)
        server = chance.choice(servers)
        server.client().incr("before the step")
        kind = chance.choice(["runs", "ends", "is killed"])
        if kind == "ends":
            assert server.sigterm() == 0
        elif kind == "is killed":
            server.kill9()
        clock.set(-5)
        versions = database.execute("SELECT max(version) > (respgres.stamp()) FROM respgres.entries")
        assert versions == [(True,)], "nothing was written ahead of the clock"
        if kind != "runs":
            server.start()

    record_and_check(servers, seed, faults, step, leases=False)
    clock.conn.close()
