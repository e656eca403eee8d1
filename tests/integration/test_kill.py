"""Servers killed and connections cut under load. What was acknowledged is in the table afterwards,
once. A run is repeated with RESPGRES_SEED=<the printed number> (the clients' and the killer's
choices; not the scheduling)."""

import random

import pytest

from harness import wait_until
from harness.lab import wait_gone
from harness.load import Load


@pytest.fixture(autouse=True)
def nothing_but_postgresql(lab):
    """What is tested here is the PostgreSQL store by itself: while it is away there are errors."""
    lab.defaults["fallback"] = "off"


pytestmark = [pytest.mark.rows, pytest.mark.timeout(300)]

ROUNDS = 10


def run(servers, database, seed, disturb, rounds=ROUNDS, clients=12):
    """Disturbs `rounds` times, each time after some progress, and checks the table in the end."""
    chance = random.Random(seed)
    load = Load(servers, seed, clients)
    try:
        for _ in range(rounds):
            load.wait_for_progress(chance.randrange(50, 1000))
            disturb(chance)
        load.wait_for_progress(200)
    finally:
        load.stop()
    for server in servers:
        assert server.sigterm() == 0
    wait_gone(database)
    rows = database.live()
    load.check(rows)
    print(f"{load.acknowledged()} commands acknowledged, {len(rows)} rows")


def test_respgres_is_killed(lab, database, seed):
    server = lab.respgres(database)

    def kill(_):
        server.kill9()
        server.start()

    run([server], database, seed, kill)


def test_one_of_three_instances_is_killed(lab, database, seed):
    servers = [lab.respgres(database) for _ in range(3)]

    def kill(chance):
        server = chance.choice(servers)
        server.kill9()
        server.start()

    run(servers, database, seed, kill)


def test_instances_are_stopped_and_started_in_turn(lab, database, seed):
    """As in a rolling upgrade."""
    servers = [lab.respgres(database) for _ in range(2)]
    run(servers, database, seed, lambda chance: chance.choice(servers).restart())


def test_postgresql_is_killed(lab, seed):
    postgres = lab.own_postgres()
    database = lab.database(postgres)

    def kill(_):
        postgres.kill9()
        postgres.start()

    run([lab.respgres(database) for _ in range(2)], database, seed, kill)


def test_postgresql_is_restarted(lab, seed):
    postgres = lab.own_postgres()
    database = lab.database(postgres)

    def restart(chance):
        postgres.stop(chance.choice(["fast", "immediate"]))
        postgres.start()

    run([lab.respgres(database)], database, seed, restart, rounds=4)


def test_postgresql_is_frozen_for_longer_than_pg_timeout(lab, seed):
    """The outcome of what was under way is learnt only after the thaw."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    server = lab.respgres(database, pg_timeout=300)

    def freeze(_):
        postgres.freeze()
        wait_until(lambda: server.raw().command("SET", "probe", "v").startswith(b"-"), 20,
                   "an error within pg-timeout")
        postgres.thaw()

    run([server], database, seed, freeze, rounds=5)


def test_connections_to_postgresql_are_cut(lab, database, seed):
    """Often after the commit and before its acknowledgement: the increments show whether a batch
    was sent twice."""
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    url = database.url_by(port=proxy.port)

    def cut(_):
        wait_until(proxy.cut, 20, "there is a connection to cut")

    run([lab.respgres(url) for _ in range(2)], database, seed, cut, rounds=20)


def test_acknowledgements_are_swallowed_before_the_cut(lab, database, seed):
    """The connection goes silent first, as with a lost host: what PostgreSQL commits meanwhile is
    not acknowledged to anybody."""
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    server = lab.respgres(database.url_by(port=proxy.port), pg_timeout=300)

    def lose(chance):
        proxy.blackhole()
        wait_until(lambda: server.raw().command("SET", "probe", "v").startswith(b"-"), 20,
                   "an error within pg-timeout")
        if chance.random() < 0.5:
            proxy.cut()
        proxy.pass_on()

    run([server], database, seed, lose)


def test_backends_are_terminated(lab, database, seed):
    """By an administrator, one at a time: no outage."""
    servers = [lab.respgres(database) for _ in range(2)]

    def terminate(chance):
        pid = chance.choice(wait_until(database.sessions))
        database.postgres.execute("SELECT pg_terminate_backend(%s)", pid)

    run(servers, database, seed, terminate, rounds=30)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_everything_is_killed_for_a_long_time(lab, seed):
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    proxy = lab.proxy(("127.0.0.1", postgres.port))
    servers = [lab.respgres(database), lab.respgres(database.url_by(port=proxy.port)),
               lab.respgres(database)]

    def disturb(chance):
        what = chance.randrange(10)
        if what < 4:
            server = chance.choice(servers)
            server.kill9()
            server.start()
        elif what < 7:
            proxy.cut()
        elif what < 9:
            postgres.kill9()
            postgres.start()
        else:
            postgres.stop("fast")
            postgres.start()

    run(servers, database, seed, disturb, rounds=150, clients=30)


def test_the_check_finds_what_is_lost(lab):
    """The load itself, proven on redis-server: a clean run passes, and rows that were tampered
    with do not."""
    server = lab.redis()
    load = Load([server], seed=1, clients=4)
    load.wait_for_progress(3000)
    load.stop()
    client = server.client()
    rows = {key: client.get(key) for key in client.scan_iter(count=1000)}
    load.check(rows)
    a_written = next(iter(load.workers[0].written))
    a_deleted = next(iter(load.workers[0].deleted))
    for wrong in ({"counter": b"%d" % (int(rows[b"counter"]) + 1)},
                  {"counter": b"%d" % (int(rows[b"counter"]) - 1)},
                  {a_written: None}, {a_written: b"other"}, {a_deleted: b"v"},
                  {"last:0": b"0"}, {"pair:b:1": b"0"}):
        wrong = {k.encode() if isinstance(k, str) else k: v for k, v in wrong.items()}
        with pytest.raises(AssertionError):
            load.check({k: v for k, v in {**rows, **wrong}.items() if v is not None})
