"""Histories of single lists, hashes, sets and sorted sets, recorded by clients of two and three
instances while things go wrong, and checked for an order that explains every reply: nothing that was
pushed is lost or comes twice, nothing is taken twice, no sum misses a step."""

import os
import signal
import threading

import pytest

from harness import wait_until
from test_linearizable import (Clients, long, nothing_but_postgresql,  # noqa: F401
                               record_and_check, resume)

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

KINDS = ["queue", "stack", "hash", "set", "zset", "any"]


class Collectors(Clients):
    """Clients that do all sorts of things to a few collections."""

    def __init__(self, servers, seed):
        super().__init__(servers, seed, KINDS)

    def act(self, client, chance, unique):
        key = f"{chance.choice(self.kinds)}{self.generation}"
        return client.run(key, *chance.choice(self.choices(key, chance, unique)))

    @staticmethod
    def choices(key, chance, unique):
        """What may be done to a key: each a command, or the commands of a block."""
        some = CHOICES[key.rstrip("0123456789")]
        return some(unique, b"f%d" % chance.randrange(3), b"%d" % chance.randrange(1, 5))


def a_queue(unique, _field, _n):
    return [[("LPUSH", unique)], [("LPUSH", unique, unique + b"'")], [("RPOP",)], [("RPOP",)],
            [("RPOP",)], [("LLEN",)], [("LRANGE", b"0", b"-1")],
            [("LPUSH", unique), ("LLEN",), ("RPOP",)], [("LTRIM", b"0", b"3")]]


def a_stack(unique, _field, n):
    return [[("RPUSH", unique)], [("RPUSH", b"same")], [("RPOP",)], [("LPOP",)], [("LREM", b"0", b"same")],
            [("LINDEX", n)], [("LRANGE", b"0", b"-1")], [("RPUSH", unique), ("LPOP",)], [("DEL",)]]


def a_hash(unique, field, n):
    return [[("HSET", field, unique)], [("HSETNX", field, unique)], [("HINCRBY", b"n", n)],
            [("HINCRBY", b"n", b"1")], [("HDEL", field)], [("HGET", field)], [("HGETALL",)], [("HLEN",)],
            [("HINCRBY", b"n", b"-1"), ("HGET", field), ("HINCRBY", b"m", n)], [("DEL",)]]


def a_set(unique, field, _n):
    return [[("SADD", unique)], [("SADD", field, unique)], [("SADD", field)], [("SREM", field)], [("SPOP",)],
            [("SPOP",)], [("SPOP",)], [("SISMEMBER", field)], [("SMEMBERS",)], [("SCARD",)],
            [("SADD", field), ("SCARD",)]]


def a_sorted_set(_unique, field, n):
    return [[("ZADD", n, field)], [("ZINCRBY", n, field)], [("ZINCRBY", b"1", field)], [("ZPOPMIN",)],
            [("ZPOPMAX",)], [("ZREM", field)], [("ZSCORE", field)], [("ZRANGE", b"0", b"-1", "WITHSCORES")],
            [("ZINCRBY", n, field), ("ZCARD",)], [("DEL",)]]


def any_type(unique, field, n):
    """Whoever makes it when it is absent says what it is, and that it expires."""
    return [[("RPUSH", unique)], [("HINCRBY", field, n)], [("SADD", field)], [("ZINCRBY", n, field)],
            [("LPOP",)], [("LPOP",)], [("HDEL", field)], [("SPOP",)], [("ZPOPMIN",)], [("DEL",)], [("DEL",)],
            [("PEXPIRE", b"%d" % (int(n) * 10))], [("PEXPIRE", b"5")], [("PTTL",)], [("PERSIST",)]]


CHOICES = {"queue": a_queue, "stack": a_stack, "hash": a_hash, "set": a_set, "zset": a_sorted_set,
           "any": any_type}


def record(servers, seed, faults, disturb, operations=250):
    return record_and_check(servers, seed, faults, disturb, operations,
                            clients=Collectors(servers, seed))


@pytest.mark.parametrize("instances, faults", [(2, 2), (3, 2), long(2, 50), long(3, 50)])
def test_nothing_goes_wrong(lab, database, seed, instances, faults):
    """A lost push, one that is taken twice, a sum that misses a step, a stale read."""
    servers = [lab.respgres(database, pg_timeout=10_000) for _ in range(instances)]
    clients = record(servers, seed, faults, lambda *_: None)
    assert clients.history.unknown() == 0 and sum(clients.refused) == 0


@pytest.mark.parametrize("instances, faults", [(3, 3), long(2, 50), long(3, 50)])
def test_an_instance_is_killed(lab, database, seed, instances, faults):
    """kill -9 of one, whose clients go to another: what had been on its way happens twice, or after
    it has been read as not there."""
    servers = [lab.respgres(database, pg_timeout=10_000) for _ in range(instances)]

    def kill(chance, _):
        server = chance.choice(servers)
        server.kill9()
        server.start()

    record(servers, seed, faults, kill)


@pytest.mark.parametrize("instances, faults", [(2, 4), long(2, 100), long(3, 100)])
def test_lanes_are_cut(lab, database, seed, instances, faults):
    """Before PostgreSQL has the batch, or after its commit: many changes of one collection are one row
    write, which counts as a whole or not at all."""
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    url = database.url_by(port=proxy.port)
    servers = [lab.respgres(url, pg_timeout=10_000) for _ in range(instances - 1)]
    servers.append(lab.respgres(database, pg_timeout=10_000))

    def cut(*_):
        wait_until(proxy.cut, what="there is a connection to cut")

    record(servers, seed, faults, cut)


@pytest.mark.parametrize("instances, faults", [long(2, 50), long(3, 50)])
def test_an_instance_sleeps(lab, database, seed, instances, faults):
    """SIGSTOP, while others go on; when it wakes it goes on with the collections that it has in memory."""
    servers = [lab.respgres(database, pg_timeout=10_000) for _ in range(instances)]

    def sleep(chance, clients):
        server = chance.choice(servers)
        server.signal(signal.SIGSTOP)
        try:
            threading.Event().wait(chance.choice([0.02, 0.2]))
        finally:
            resume(server.pid)

    record(servers, seed, faults, sleep)


@pytest.mark.parametrize("instances, faults", [long(2, 50), long(3, 50)])
def test_a_backend_sleeps(lab, seed, instances, faults):
    """SIGSTOP of a lane's backend for longer than pg-timeout, wherever it is: with its locks, before its
    commit or after."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    servers = [lab.respgres(database, pg_timeout=300) for _ in range(instances)]

    def sleep(chance, _):
        pid, = chance.choice(wait_until(lambda: postgres.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            " AND application_name ~ 'commit-|read-'", database.name)))
        os.kill(pid, signal.SIGSTOP)
        try:
            threading.Event().wait(chance.choice([0.02, 0.4]))
        finally:
            resume(pid)

    record(servers, seed, faults, sleep)


@pytest.mark.parametrize("instances, faults", [(3, 3), long(3, 100)])
def test_backends_are_terminated(lab, database, seed, instances, faults):
    servers = [lab.respgres(database, pg_timeout=10_000) for _ in range(instances)]

    def terminate(chance, _):
        pid = chance.choice(wait_until(database.sessions))
        database.postgres.execute("SELECT pg_terminate_backend(%s)", pid)

    record(servers, seed, faults, terminate)
