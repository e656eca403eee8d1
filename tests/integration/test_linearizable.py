"""Histories of single keys, recorded by clients of two and three instances while things go wrong,
and checked for an order that explains every reply (harness/linearize.py)."""

import os
import random
import signal
import threading

import pytest

from harness import wait_until
from harness.history import History, Recorder
from rules import Threads, lanes  # noqa: F401

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

CLIENTS = 8
OPERATIONS_PER_FAULT = 250


class Clients:
    """Clients that do all sorts of things to a few keys, and record it. With each fault the keys are
    new ones, so that what was lost on the way to one of them stays countable."""

    def __init__(self, servers, seed):
        self.servers, self.seed = servers, seed
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
        keys = [f"{kind}{self.generation}" for kind in ("register", "text", "counter")]
        kind = chance.randrange(12)
        if kind == 0:
            client.run_on_all("MGET", keys)
            return True
        if kind == 1:
            client.run_on_all("MSET", keys[:2], [unique, unique])
            return True
        key = chance.choice(keys)
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
        return [[("INCR",)]] * 5 + [[("GET",)], [("GET",), ("INCR",)], [("INCR",), ("INCR",)],
                                    [("GETSET", b"%d" % chance.randrange(100))], [("DEL",)]]

    def wait_for_operations(self, count):
        goal = sum(self.answered) + count
        wait_until(lambda: sum(self.answered) >= goal, 60, f"{count} more operations are answered")


def record_and_check(servers, seed, faults, disturb, operations=OPERATIONS_PER_FAULT):
    """`disturb` so often, each time on new keys and after some operations."""
    clients, chance = Clients(servers, seed), random.Random(seed)

    def make_trouble(ending):
        try:
            for _ in range(faults):
                clients.generation += 1
                clients.wait_for_operations(chance.randrange(20, operations))
                disturb(chance)
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


@pytest.mark.parametrize("instances, faults", [(2, 3), (3, 3), long(2, 150), long(3, 150)])
def test_nothing_goes_wrong(lab, database, seed, instances, faults):
    """A stale read, a lost update, a write done twice."""
    servers = [lab.respgres(database, pg_timeout=10_000) for _ in range(instances)]
    clients = record_and_check(servers, seed, faults, lambda _: None)
    assert clients.history.unknown() == 0 and sum(clients.refused) == 0


@pytest.mark.parametrize("instances, faults", [(3, 4), long(2, 150), long(3, 150)])
def test_an_instance_is_killed(lab, database, seed, instances, faults):
    """kill -9 of one, whose clients go to another: what had been on its way happens twice, or after
    it has been read as not there."""
    servers = [lab.respgres(database) for _ in range(instances)]

    def kill(chance):
        server = chance.choice(servers)
        server.kill9()
        server.start()

    record_and_check(servers, seed, faults, kill)


@pytest.mark.parametrize("instances, faults", [(2, 5), long(2, 300), long(3, 300)])
def test_lanes_are_cut(lab, database, seed, instances, faults):
    """Before PostgreSQL has the batch, or after its commit."""
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    url = database.url_by(port=proxy.port)
    servers = [lab.respgres(url) for _ in range(instances - 1)] + [lab.respgres(database)]

    def cut(_):
        wait_until(proxy.cut, what="there is a connection to cut")

    record_and_check(servers, seed, faults, cut)


@pytest.mark.parametrize("instances, faults", [(3, 3), long(3, 150)])
def test_lanes_are_slow_and_silent(lab, database, seed, instances, faults):
    """What travels to PostgreSQL and back takes its time, another time for each instance; and now
    and then nothing comes through for longer than pg-timeout."""
    proxies = [lab.proxy(("127.0.0.1", database.postgres.port)) for _ in range(2)]
    servers = [lab.respgres(database.url_by(port=proxy.port), pg_timeout=300)
               for proxy in proxies]
    servers += [lab.respgres(database, pg_timeout=300) for _ in range(instances - 2)]
    proxies[0].delay(0.004)

    def silence(chance):
        proxy = chance.choice(proxies)
        proxy.blackhole()
        server = servers[proxies.index(proxy)]
        wait_until(lambda: server.raw().command("SET", "probe", "v").startswith(b"-"), 20,
                   "an error within pg-timeout")
        if chance.random() < 0.5:
            proxy.cut()
        proxy.pass_on()

    record_and_check(servers, seed, faults, silence, operations=150)


@pytest.mark.parametrize("instances, faults", [(2, 4), long(2, 150), long(3, 150)])
def test_an_instance_sleeps(lab, database, seed, instances, faults):
    """SIGSTOP, while others go on; when it wakes it goes on with what it had."""
    servers = [lab.respgres(database) for _ in range(instances)]

    def sleep(chance):
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
    (2, 5000, 3), (3, 300, 4), long(2, 5000, 150), long(3, 300, 150)])
def test_a_backend_sleeps(lab, seed, instances, pg_timeout, faults):
    """SIGSTOP of a lane's backend, for a moment or for longer than pg-timeout, wherever it is: with
    its locks, before its commit or after. A cluster of its own: it may have any lock."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    servers = [lab.respgres(database, pg_timeout=pg_timeout) for _ in range(instances)]

    def sleep(chance):
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


@pytest.mark.parametrize("instances, faults", [(3, 5), long(2, 300), long(3, 300)])
def test_backends_are_terminated(lab, database, seed, instances, faults):
    """By an administrator."""
    servers = [lab.respgres(database) for _ in range(instances)]

    def terminate(chance):
        pid = chance.choice(wait_until(database.sessions))
        database.postgres.execute("SELECT pg_terminate_backend(%s)", pid)

    record_and_check(servers, seed, faults, terminate)


@pytest.mark.parametrize("instances, faults", [long(2, 40)])
def test_postgresql_crashes(lab, seed, instances, faults):
    """kill -9 of all its processes."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    servers = [lab.respgres(database) for _ in range(instances)]

    def kill(_):
        postgres.kill9()
        postgres.start()

    record_and_check(servers, seed, faults, kill)
