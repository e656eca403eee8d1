"""Commands that wait, with PostgreSQL's part in it: several instances on one database, writes by SQL, a
pooler, PostgreSQL away, and what becomes of an element whose client has gone."""

import threading

import pytest
import redis

from harness.raw import encode
from harness.util import wait_until

pytestmark = pytest.mark.rows

HOUR = 3600000


def blocked(server, n=1):
    wait_until(lambda: server.info("clients")["blocked_clients"] == n, 30, f"{n} wait")


def waiting(server, *command, n=1):
    raw = server.raw(timeout=60)
    raw.send(encode(*command))
    blocked(server, n)
    return raw


def words(reply):
    """The bulk strings in a reply."""
    return [part for part in reply.split(b"\r\n")[:-1] if part[:1] not in b"*$"]


@pytest.fixture
def pooled(request):
    """With --behind pgbouncer nobody can LISTEN."""
    return request.config.getoption("--behind") == "pgbouncer"


@pytest.fixture
def hears(database, pooled):
    """Waits until so many instances are told which keys are written."""
    def hears(n):
        wait_until(lambda: database.execute(
            "SELECT count(*) FROM respgres.instances WHERE caching AND wants & 2 <> 0") == [(n,)], 40,
            f"{n} hear")
    return (lambda n: None) if pooled else hears


@pytest.fixture
def make(lab, database, pooled):
    """Instances that hear of each other's writes by notices, and practically never by the poll; behind a
    pooler by the poll alone."""
    def make(n=1, **options):
        options = {"pg_timeout": 10000, "block_poll_interval": 50 if pooled else HOUR, **options}
        return [lab.respgres(database, **options) for _ in range(n)]
    return make


# --- notices, and the poll -----------------------------------------------------------------------

def test_a_write_elsewhere_wakes(database, make, hears):
    a, b = make(2)
    there = b.client()
    conn = waiting(a, "BLPOP", "k", "j", 0)
    hears(1)
    there.rpush("k", "1", "2")
    assert words(conn.reply()) == [b"k", b"1"]
    assert there.lrange("k", 0, -1) == [b"2"]
    there.delete("k")
    for push, command in ((lambda: there.rename("x", "k"), ("BLPOP", "k", 0)),
                          (lambda: there.copy("x", "k"), ("BRPOP", "j", "k", 0)),
                          (lambda: there.lmove("x", "k"), ("BLMOVE", "k", "d", "LEFT", "LEFT", 0)),
                          (lambda: there.pipeline().rpush("k", 1).delete("k").rpush("k", 2).execute(),
                           ("BLMPOP", 0, 1, "k", "LEFT")),
                          (lambda: there.zadd("k", {"m": 1}), ("BZPOPMIN", "k", 0))):
        there.delete("x", "k")
        there.rpush("x", "y", "z")
        conn.send(encode(*command))
        blocked(a)
        push()
        conn.reply()
    there.select(1)
    there.rpush("k", "swapped")
    conn.send(encode("BLPOP", "k", 0))
    blocked(a)
    there.swapdb(0, 1)
    assert words(conn.reply()) == [b"k", b"swapped"]
    conn.send(encode("BLPOP", "k", 0))
    blocked(a)
    there.pipeline().flushall().rpush("k", "no").select(0).rpush("k", "yes").execute()
    assert words(conn.reply()) == [b"k", b"yes"]


def test_sql_wakes(database, make, hears):
    """A row that a person has copied."""
    server, = make()
    server.client().rpush("kept", "x")
    conn = waiting(server, "BLPOP", "k", 0)
    hears(1)
    database.execute("UPDATE respgres.entries SET key = 'k' WHERE key = 'kept'")
    assert words(conn.reply()) == [b"k", b"x"]


def test_nobody_is_told_unless_somebody_waits(database, make, pooled, hears):
    if pooled:
        pytest.skip("nobody is told")
    a, b = make(2)
    b.client().rpush("other", "x")
    assert database.execute("SELECT bool_or(caching) FROM respgres.instances") == [(False,)]
    conn = waiting(a, "BLPOP", "k", 0)
    hears(1)
    conn.close()
    hears(0)


def test_the_poll_finds_what_no_notice_tells(lab, database):
    """A pooler in transaction mode: no session can LISTEN."""
    pooler = lab.pgbouncer(database)
    a, b = (lab.respgres(pooler.url, pg_pooler="transaction", pg_timeout=10000, block_poll_interval=50)
            for _ in range(2))
    conns = [waiting(a, "BLPOP", "k", "j", 0), waiting(a, "BLPOP", "k", 0, n=2)]
    b.client().rpush("k", "1", "2", "3")
    assert [words(c.reply()) for c in conns] == [[b"k", b"1"], [b"k", b"2"]]
    assert a.client().config_get("block-poll-interval") == {"block-poll-interval": "50"}


def test_who_waits_holds_nothing_of_postgresql(database, make, hears):
    server, = make(block_poll_interval=20)
    server.client().dbsize()  # the connection of such questions is there
    before = len(database.sessions())
    conns = [waiting(server, "BLPOP", f"k{i % 10}", "all", 0, n=i + 1) for i in range(100)]
    hears(1)
    assert len(database.sessions()) <= before + 1  # that of notices
    assert not [row for row in database.execute(
        "SELECT xact_start FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND now() - xact_start > interval '5 s'")]
    server.client().rpush("all", *range(100))
    assert [words(c.reply()) for c in conns] == [[b"all", b"%d" % i] for i in range(100)]


# --- several wait for one key --------------------------------------------------------------------

def test_one_element_is_for_one(database, make, hears):
    servers = make(3)
    conns = [waiting(s, "BLPOP", "k", 0) for s in servers]
    hears(3)
    servers[0].client().rpush("k", "1")
    wait_until(lambda: sum(s.info("clients")["blocked_clients"] for s in servers) == 2, 20)
    servers[1].client().rpush("k", "2", "3", "4")
    assert sorted(words(c.reply()) for c in conns) == [[b"k", b"%d" % i] for i in (1, 2, 3)]
    assert servers[2].client().lrange("k", 0, -1) == [b"4"]


def test_who_has_waited_is_not_overtaken_by_one_who_finds_the_element(database, make):
    """No notice and no poll tells the instance: it finds out by the read of a later command."""
    a, b = make(2, pg_pooler="transaction")
    conn = waiting(a, "BLPOP", "k", 0)
    b.client().rpush("k", "1", "2")
    late = a.raw()
    late.send(encode("BLPOP", "k", 0))
    assert words(late.reply()) == [b"k", b"2"]
    assert words(conn.reply()) == [b"k", b"1"]
    first = waiting(a, "BLPOP", "k", 0)
    b.client().rpush("k", "1")
    assert a.client().lpop("k") is None
    assert words(first.reply()) == [b"k", b"1"]


class Crowd:
    """Producers and consumers of a few lists, and what each was told."""

    def __init__(self, producers, consumers, each):
        self.total = len(producers) * each
        self.lock = threading.Lock()
        self.acknowledged, self.unknown, self.taken, self.waiting_at_death = set(), set(), [], 0
        self.producing = threading.Event()
        self.threads = [threading.Thread(target=self.produce, args=(i, s, each))
                        for i, s in enumerate(producers)]
        self.threads += [threading.Thread(target=self.consume, args=(i, s))
                         for i, s in enumerate(consumers)]
        for t in self.threads:
            t.start()
        self.nproducers = len(producers)

    def produce(self, number, server, each):
        client = server.client(socket_timeout=60)
        for i in range(each):
            element = b"%d:%d" % (number, i)
            try:
                client.rpush(f"q{i % 3}", element)
                with self.lock:
                    self.acknowledged.add(element)
            except (redis.ConnectionError, redis.ResponseError):
                with self.lock:
                    self.unknown.add(element)
                if not server.is_running():
                    return

    def consume(self, number, server):
        how = (("BLPOP", "q0", "q1", "q2", "1"), ("BRPOP", "q2", "q1", "q0", "1"),
               ("BLMPOP", "1", "3", "q1", "q2", "q0", "LEFT", "COUNT", "3"))[number % 3]
        raw = server.raw(timeout=60)
        while True:
            try:
                raw.send(encode(*how))
                reply = raw.reply()
                found = [] if reply[:1] == b"-" else words(reply)
            except (OSError, ConnectionError):
                with self.lock:
                    self.waiting_at_death += 1
                return
            with self.lock:
                self.taken += found[1:]
                done = not found and self.producing.is_set()
            if done:
                return

    def end(self):
        for t in self.threads[:self.nproducers]:
            t.join(100)
            assert not t.is_alive()
        self.producing.set()
        for t in self.threads[self.nproducers:]:
            t.join(100)
            assert not t.is_alive()


@pytest.mark.parametrize("instances", (2, 3))
def test_producers_and_consumers(request, make, instances):
    servers = make(instances, block_poll_interval=500)
    each = 1000 if request.config.getoption("--long") else 60
    crowd = Crowd(servers, servers * 3, each)
    crowd.end()
    assert crowd.unknown == set()
    assert len(crowd.taken) == len(set(crowd.taken))
    assert set(crowd.taken) == crowd.acknowledged
    assert len(crowd.acknowledged) == crowd.total


def test_an_instance_is_killed(request, make):
    """What a kill -9 may cost is an element per client of that instance that waited: its removal was
    committed, and nobody is left to hand it over."""
    servers = make(3, block_poll_interval=200)
    each = 400 if request.config.getoption("--long") else 60
    consumers = servers * 2
    crowd = Crowd(servers, consumers, each)
    wait_until(lambda: len(crowd.taken) > crowd.total // 4, 60)
    servers[0].kill9()
    crowd.end()
    assert crowd.waiting_at_death == 2
    left = {e for i in range(3) for e in servers[1].client().lrange(f"q{i}", 0, -1)}
    assert len(crowd.taken) == len(set(crowd.taken))
    assert left & set(crowd.taken) == set()
    assert set(crowd.taken) | left <= crowd.acknowledged | crowd.unknown
    lost = crowd.acknowledged - set(crowd.taken) - left
    assert len(lost) <= 1 + 3  # of BLPOP or BRPOP one, of BLMPOP its count


# --- a client that is gone -----------------------------------------------------------------------

def test_what_was_taken_for_one_who_is_gone_is_put_back(database, make):
    """A transaction of somebody else holds the row until the client is gone."""
    server, = make()
    client = server.client()
    for number, (command, made) in enumerate((
            (("BLPOP", "k", "0"), ("RPUSH", "k", "1", "2", "3")),
            (("BRPOP", "k", "0"), ("RPUSH", "k", "1", "2", "3")),
            (("BLMPOP", "0", "1", "k", "LEFT", "COUNT", "2"), ("RPUSH", "k", "1", "2", "3")),
            (("BLMPOP", "0", "2", "left", "k", "RIGHT", "COUNT", "9"), ("RPUSH", "k", "1", "2", "3")),
            (("BZPOPMAX", "k", "0"), ("ZADD", "k", "1", "a", "2.5", "b")),
            (("BZMPOP", "0", "1", "k", "MIN", "COUNT", "5"), ("ZADD", "k", "0.1", "a", "-inf", "b")))):

        def content(made=made):
            return client.lrange("k", 0, -1) if made[0] == "RPUSH" else \
                client.zrange("k", 0, -1, withscores=True)

        client.delete("k")
        client.execute_command(*made)
        before = content()
        done = server.info("respgres")["blocked_pops_put_back"]
        raw = server.raw()
        raw.command("HELLO", 2 + number % 2)
        with database.connect() as holder:
            holder.autocommit = False
            with holder.cursor() as cursor:
                cursor.execute("SELECT FROM respgres.entries WHERE key = 'k' AND value IS NOT NULL FOR UPDATE")
                raw.send(encode(*command))
                wait_until(lambda: server.info("postgres")["postgres_locked_groups"] == 1, 20)
                raw.close()
                client.ping()  # the end of the connection has been seen by then
                holder.rollback()
        wait_until(lambda: server.info("respgres")["blocked_pops_put_back"] > done, 20, command)
        wait_until(lambda: content() == before, 20, f"it is there again: {command}")
    assert server.info("respgres")["blocked_pops_lost"] == 0


def test_who_goes_while_the_push_is_committed_gets_nothing(database, make):
    server, = make()
    pusher = server.raw()
    raw = waiting(server, "BLPOP", "k", 0)
    with database.connect() as holder:
        holder.autocommit = False
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE respgres.entries IN EXCLUSIVE MODE")
            pusher.send(encode("RPUSH", "k", "1"))
            blocked(server, 0)
            raw.close()
            server.client().ping()
            holder.rollback()
    assert pusher.reply() == b":1\r\n"
    wait_until(lambda: server.client().lrange("k", 0, -1) == [b"1"], 20)


# --- PostgreSQL away, and the end of an instance -------------------------------------------------

def test_away_and_back(lab):
    """They go on waiting, are served from memory, and by what others have written meanwhile."""
    postgres = lab.own_postgres()
    database = postgres.create_database()
    a, b = (lab.respgres(database, pg_timeout=10_000, block_poll_interval=200) for _ in range(2))
    conns = [waiting(a, "BLPOP", "k", 0), waiting(a, "BLPOP", "other", 0, n=2),
             waiting(a, "BLPOP", "late", 0, n=3), waiting(a, "BLPOP", "never", 0, n=4)]
    elsewhere = waiting(b, "BLPOP", "k", 0)
    postgres.kill9()
    for server in (a, b):
        wait_until(lambda s=server: s.info("respgres")["store_state"] == "away", 30)
    a.client().rpush("k", "1", "2")
    assert words(conns[0].reply()) == [b"k", b"1"]
    assert a.client().blpop("k", 0) == (b"k", b"2")
    assert a.client().blpop("k", 0.05) is None
    conns.append(waiting(a, "BLPOP", "new", 0, n=4))
    b.client().rpush("other", "x")
    b.client().rpush("new", "y")
    blocked(b, 1)
    postgres.start()
    for server in (a, b):
        wait_until(lambda s=server: s.info("respgres")["store_state"] == "online", 30)
    assert words(conns[1].reply()) == [b"other", b"x"]
    assert words(conns[4].reply()) == [b"new", b"y"]
    b.client().rpush("late", "z")
    assert words(conns[2].reply()) == [b"late", b"z"]
    blocked(a, 1)
    a.client().rpush("k", "3")
    assert words(elsewhere.reply()) == [b"k", b"3"]


def test_an_outage_in_the_middle(request, lab):
    """Of one instance nothing is lost and nothing doubled, whatever PostgreSQL does meanwhile."""
    postgres = lab.own_postgres()
    server = lab.respgres(postgres.create_database(), pg_timeout=10_000, block_poll_interval=100)
    rounds, each = (20, 3000) if request.config.getoption("--long") else (2, 200)
    crowd = Crowd([server] * 3, [server] * 4, each)
    for i in range(rounds):
        wait_until(lambda i=i: len(crowd.taken) > crowd.total * (i + 1) // (rounds + 2), 100)
        postgres.kill9()
        wait_until(lambda: server.info("respgres")["store_state"] == "away", 30)
        postgres.start()
        wait_until(lambda: server.info("respgres")["store_state"] == "online", 30)
    crowd.end()
    left = [e for i in range(3) for e in server.client().lrange(f"q{i}", 0, -1)]
    everything = crowd.taken + left
    assert len(everything) == len(set(everything))
    assert crowd.acknowledged <= set(everything) <= crowd.acknowledged | crowd.unknown
    assert server.info("respgres")["blocked_pops_lost"] == 0


def test_away_without_fallback(lab):
    postgres = lab.own_postgres()
    database = postgres.create_database()
    server = lab.respgres(database, pg_timeout=10_000, fallback="off", block_poll_interval=200)
    conn = waiting(server, "BLPOP", "k", 0)
    timed = waiting(server, "BLPOP", "k", 3, n=2)
    postgres.kill9()
    wait_until(lambda: server.info("respgres")["store_state"] == "away", 30)
    with pytest.raises(redis.exceptions.BusyLoadingError):
        server.client().blpop("k", 0)
    assert timed.reply() == b"*-1\r\n"
    postgres.start()
    wait_until(lambda: server.info("respgres")["store_state"] == "online", 30)
    server.client().rpush("k", "1")
    assert words(conn.reply()) == [b"k", b"1"]


def test_an_instance_that_stops_closes_who_waits(make):
    a, b = make(2)
    conns = [waiting(a, "BLPOP", "k", 0), waiting(a, "BZPOPMIN", "k", 0, n=2)]
    conns[0].send(encode("SET", "never", 1))
    assert a.sigterm() == 0
    assert [c.is_closed() for c in conns] == [True, True]
    b.client().rpush("k", "1")
    assert b.client().lrange("k", 0, -1) == [b"1"]
    assert b.client().get("never") is None


def test_a_limit_of_time_is_kept_beside_others(make):
    server, = make()
    conns = []
    for i in range(9):
        conn = server.raw()
        conn.send(encode("BLPOP", "k", "0.3" if i % 3 == 0 else "0"))
        conns.append(conn)
    for conn in conns[::3]:
        assert conn.reply() == b"*-1\r\n"
    blocked(server, 6)
    server.client().rpush("k", *range(6))
    left = [words(c.reply())[1] for i, c in enumerate(conns) if i % 3]
    assert sorted(left) == [b"%d" % i for i in range(6)]
