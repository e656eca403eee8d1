"""Where the database is: names, several servers, and a resolver that does not answer."""

import pathlib
import time

import pytest
import redis

from harness import Respgres, free_port, wait_until
from harness.lateness import Lateness
from harness.names import Names
from rules import seconds, send

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def database(module_lab):
    """One for all tests of this file: each makes the keys it needs."""
    return module_lab.database()


@pytest.fixture
def names(tmp_path):
    return Names(tmp_path)


def url(database, *hosts, more=""):
    """hosts: "name:port"."""
    return f"postgresql://{database.role}@{','.join(hosts)}/{database.name}{more}"


def works(server):
    try:
        return server.client().set("k", "v")
    except redis.RedisError:
        return False


def named(lab, names, *args, **options):
    return lab.respgres(*args, env=names.env(Respgres.binary()), **options)


def test_a_name_among_several_hosts(lab, database):
    """The first is a server that is not there; localhost is in /etc/hosts."""
    port = database.postgres.port
    server = lab.respgres(url(database, f"localhost:{free_port()}", f"localhost:{port}"))
    assert works(server)
    assert server.client().get("k") == b"v"


def test_a_name_with_several_addresses(lab, names, database):
    """Nobody listens at the first two; later the name moves to others still."""
    port = database.postgres.port
    names.know(db_test="127.0.0.3 127.0.0.2 127.0.0.1")
    server = named(lab, names, url(database, f"db.test:{port}"))
    assert works(server)
    names.know(db_test="127.0.0.4 127.0.0.1")
    for pid in database.sessions():
        database.postgres.execute("SELECT pg_terminate_backend(%s)", pid)
    wait_until(lambda: works(server), 30, "service goes on")


def test_a_name_that_does_not_exist_is_left_out(lab, names, database):
    names.know(gone_test="", db_test="127.0.0.1")
    port = database.postgres.port
    assert works(named(lab, names, url(database, f"gone.test:{port}", f"db.test:{port}")))
    alone = named(lab, names, url(database, f"gone.test:{port}"), start="answering")
    wait_until(lambda: 'could not translate host name \'gone.test\' to address: '
               "Name or service not known" in alone.log, what="the log says why")
    names.know(gone_test="127.0.0.1")
    wait_until(lambda: works(alone), 30, "the name is there now")


@pytest.mark.alone
def test_a_resolver_that_hangs_holds_up_nobody(lab, names, database):
    """It is asked again after a loss, and does not answer: what needs no PostgreSQL is answered at
    once, what does is told within pg-timeout, and service resumes when the resolver answers."""
    port = database.postgres.port
    names.know(db_test="127.0.0.1")
    server = named(lab, names, url(database, f"db.test:{port}"), pg_timeout=600, fallback="off")
    client = server.client()
    assert client.set("k", "v")
    names.forget("db.test")
    for pid in database.sessions():
        database.postgres.execute("SELECT pg_terminate_backend(%s)", pid)
    wait_until(lambda: "no address in time for host name 'db.test'" in server.log)
    slowest = 0.0
    with Lateness() as late:
        for _ in range(20):
            before = late.total_s
            took, _ = seconds(client.ping)
            slowest = max(slowest, took - (late.total_s - before))
            with pytest.raises(redis.exceptions.BusyLoadingError):
                client.get("k")
    assert slowest < 0.3, "the loop was held up"
    with Lateness() as late:
        took, _ = seconds(lambda: pytest.raises(redis.RedisError, client.set, "k", "w"))
    assert took < 0.6 + 0.3 + late.total_s
    threads = list(pathlib.Path(f"/proc/{server.pid}/task").iterdir())
    assert len(threads) == 2, "one thread asks, however often"
    names.know(db_test="127.0.0.1")
    wait_until(lambda: works(server), 30, "service resumes")


def test_a_name_that_hangs_does_not_hide_the_other_host(lab, names, database):
    """Half of pg-timeout is what it gets; then the ones that are known are tried."""
    names.know(db_test="127.0.0.1")
    port = database.postgres.port
    begun = time.monotonic()
    server = named(lab, names, url(database, f"never.test:{port}", f"db.test:{port}"),
                   pg_timeout=1000)
    wait_until(lambda: works(server), 20)
    assert time.monotonic() - begun > 0.5
    assert server.sigterm() == 0  # a thread still waits


@pytest.mark.parametrize("how", ["blackhole", "refuse"])
def test_a_first_host_that_does_not_answer(lab, database, how):
    """A server that takes connections and says nothing, or ends them (a balancer without servers):
    the second is never reached."""
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    getattr(proxy, how)()
    port = database.postgres.port
    server = lab.respgres(url(database, f"127.0.0.1:{proxy.port}", f"127.0.0.1:{port}"),
                          pg_timeout=2000, fallback="off", start="answering")
    wait_until(lambda: works(server), 30)
    # Connections of later go to the one that works first.
    tried = proxy.accepted
    assert tried > 0
    for pid in database.sessions():
        database.postgres.execute("SELECT pg_terminate_backend(%s)", pid)
    wait_until(lambda: works(server) and send(server, "GET", "k").reply() == b"$1\r\nv\r\n", 30)
    assert proxy.accepted == tried, "the first was tried again"


def test_a_read_only_server_is_passed_over(lab, database):
    """Without target_session_attrs: it takes the first that takes connections, and stays away."""
    postgres = database.postgres
    postgres.execute(f'ALTER ROLE "{database.role}" SET default_transaction_read_only = on')
    server = lab.respgres(database, start="answering")
    wait_until(lambda: "session is read-only" in server.log, what="the log says why")
    postgres.execute(f'ALTER ROLE "{database.role}" RESET default_transaction_read_only')
    wait_until(lambda: works(server), 30)
