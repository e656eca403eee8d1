"""Keyspace notifications: what a subscriber gets, compared with a real redis-server; and in a fleet, each
event once."""

import collections
import itertools
import random
import re
import threading
import time

import pytest

from harness import wait_until
from keyspace_steps import steps

ALL_CHANNELS = "__key*__:*"
RANDOM_KEYS = (b"RANDOMKEY", b"SPOP", b"SRANDMEMBER")  # which one is taken differs


class Subscriber:
    """Collects what it is sent, in a thread of its own."""

    def __init__(self, server, *patterns):
        self.raw = server.raw(timeout=600)
        for pattern in patterns or (ALL_CHANNELS,):
            self.raw.command("PSUBSCRIBE", pattern)
        self.got = []
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while True:
                parts = self.raw.reply().split(b"\r\n")
                with self._changed:
                    self.got.append((parts[6], parts[8]))
                    self._changed.notify_all()
        except OSError:
            pass  # the server has ended

    def wait(self, condition, timeout=60):
        """Until the condition of all that has come holds."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.got), timeout), self.got[-20:]
            return list(self.got)

    def wait_for(self, channel, message, timeout=60):
        return self.wait(lambda got: (channel, message) in got, timeout)

    def take_until(self, channel, message):
        """What came before this, and forgets all of it."""
        got = self.wait_for(channel, message)
        with self._changed:
            at = self.got.index((channel, message))
            del self.got[:at + 1]
        return got[:at]

    def expired(self):
        return [message for channel, message in self.got if channel.endswith(b"__:expired")]


class Watched:
    """A server, a client of it, and what a subscriber hears of each step."""

    marks = itertools.count()

    def __init__(self, server):
        self.client = server.raw()
        self.other = server.raw()
        self.subscriber = Subscriber(server)

    def set_flags(self, flags):
        assert self.other.command("CONFIG", "SET", "notify-keyspace-events", flags) == b"+OK\r\n"

    def step(self, command):
        mark = b"%d" % next(self.marks)
        reply = self.client.command(*command)
        self.other.command("PUBLISH", "__keymark__:", mark)
        return reply, self.subscriber.take_until(b"__keymark__:", mark)


@pytest.fixture(scope="module")
def two(module_lab):
    ours = module_lab.respgres(module_lab.database(), pg_timeout=10000)
    return Watched(ours), Watched(module_lab.redis())


@pytest.mark.parametrize("flags", ["KEAnm", "Kg$", "Elshz", "KEn", "Em", "gE", "KE", "A", ""])
def test_the_events_are_those_of_redis(two, flags):
    every = 1 if flags == "KEAnm" else 2  # the others look at half of the commands: it takes long
    for watched in two:
        watched.set_flags(flags)
        watched.step([b"FLUSHALL"])
    seen = 0
    for number, command in enumerate(steps()):
        if every > 1 and number % 2 and b"MULTI" not in command and number < 300:
            continue
        (reply, ours), (real_reply, real) = (watched.step(command) for watched in two)
        if command[0] not in RANDOM_KEYS and command[0] != b"SCAN":
            assert reply == real_reply, command
        assert ours == real, (flags, number, command)
        seen += len(real)
    assert (seen > 0) == (flags not in ("KE", "A", "")), seen


def test_the_option_is_that_of_redis(two):
    for flags in ("KEA", "AKEnm", "xK", "g$lshzxetdn", "nmK", "mnA", "q", "KEAq", "", "Egx", "E", "AA"):
        for asked in (["CONFIG", "SET", "notify-keyspace-events", flags],
                      ["CONFIG", "GET", "notify-keyspace-events"]):
            ours, real = (watched.other.command(*asked) for watched in two)
            assert ours == real, asked
    for watched in two:
        watched.set_flags("")


def test_what_has_expired_is_told_before_what_replaces_it(two):
    for watched in two:
        watched.set_flags("KEA")
        watched.step([b"FLUSHALL"])
    def expired(watched):
        """What is heard of a key up to when it has expired, which may be told at any moment from then on."""
        heard = watched.step([b"SET", b"e", b"v", b"PX", b"30"])[1]
        wait_until(lambda: watched.other.command("PTTL", "e") == b":-2\r\n", 20, "it has expired")
        return heard

    made = [b"set", b"expire"]
    for write in ([b"SET", b"e", b"w"], [b"INCR", b"e"], [b"HSET", b"e", b"f", b"v"], [b"SETNX", b"e", b"w"]):
        heard = []
        for watched in two:
            heard.append(expired(watched) + watched.step(write)[1])
            watched.step([b"DEL", b"e"])
        assert heard[0] == heard[1], write
        assert [m for c, m in heard[0] if c == b"__keyspace@0__:e"][:3] == [*made, b"expired"]
    # A block that has its rows locked.
    ours = two[0]
    heard = expired(ours)
    for command in ([b"MULTI"], [b"SET", b"e", b"w"], [b"DBSIZE"], [b"APPEND", b"e", b"x"], [b"EXEC"]):
        heard += ours.step(command)[1]
    assert [m for c, m in heard if c == b"__keyspace@0__:e"] == [*made, b"expired", b"set", b"append"]
    for watched in two:
        watched.set_flags("")


def test_expired_comes_within_a_second(module_lab, two):
    """On a machine with time; here ten times as long is let pass. Access and none."""
    ours = two[0]
    ours.set_flags("Ex")
    for accessed in (False, True):
        for number in range(5):
            key = b"soon-%d-%d" % (accessed, number)
            ours.client.command("SET", key, "v", "PX", "200")
            start = time.monotonic()
            if accessed:
                wait_until(lambda: ours.other.command("EXISTS", key) == b":0\r\n", 20, "it has expired")
            ours.subscriber.wait_for(b"__keyevent@0__:expired", key)
            assert time.monotonic() - start < 12
    assert collections.Counter(ours.subscriber.expired()).most_common(1)[0][1] == 1
    ours.set_flags("")


# --- a fleet --------------------------------------------------------------------------------------

def fleet(lab, count=3, **options):
    database = lab.database()
    servers = [lab.respgres(database, pg_timeout=10000, **options) for _ in range(count)]
    return database, servers


def wait_for_flags(servers, subscriber):
    """Until all make the events that one of them wants ($ and E among them)."""
    for number, server in enumerate(servers):
        raw, key = server.raw(), b"probe-%d" % number

        def told():
            raw.command("SET", key, "1")
            return (b"__keyevent@0__:set", key) in subscriber.got

        wait_until(told, 60, "the flags have come to all instances")


def test_expired_is_told_once(lab):
    """A thousand keys, some of which are touched or written while they expire, by all instances; one of
    them wants the events, and each has a subscriber."""
    _, servers = fleet(lab)
    clients = [server.raw() for server in servers]
    clients[0].command("CONFIG", "SET", "notify-keyspace-events", "E$x")
    subscribers = [Subscriber(server, "__keyevent@0__:*") for server in servers]
    wait_for_flags(servers, subscribers[0])
    rng = random.Random(5)
    keys = [b"key-%d" % n for n in range(1000)]
    for some in range(0, len(keys), 100):  # pipelined
        for client in clients:
            mine = keys[some:some + 100][clients.index(client)::3]
            client.send(b"".join(encode_set(key, rng.randrange(200, 4000)) for key in mine))
            for _ in mine:
                assert client.reply() == b"+OK\r\n"
    replaced = set()
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        key, client = rng.choice(keys), rng.choice(clients)
        if int(key[4:]) % 4:
            client.command(rng.choice(["GET", "EXISTS", "TTL", "DEL"]) if int(key[4:]) % 4 == 1
                           else "GET", key)
        elif client.command("SET", key, "w", "NX") == b"+OK\r\n":
            replaced.add(key)
    told_surely = {key for key in keys if int(key[4:]) % 4 != 1}
    for subscriber in subscribers:
        subscriber.wait(lambda got, s=subscriber: told_surely <= set(s.expired()), 120)
    clients[1].command("SET", "last", "v", "PX", "1")
    for subscriber in subscribers:
        subscriber.wait_for(b"__keyevent@0__:expired", b"last", 120)
    # An instance that stood still meanwhile tells late what it had found.
    wait_until(lambda: len({frozenset(subscriber.expired()) for subscriber in subscribers}) == 1, 60,
               "all have heard the same")
    assert replaced
    for subscriber in subscribers:
        counted = collections.Counter(subscriber.expired())
        assert set(counted.values()) == {1}, counted.most_common(3)


def encode_set(key, ttl_ms):
    ttl = b"%d" % ttl_ms
    return b"*5\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\nv\r\n$2\r\nPX\r\n$%d\r\n%s\r\n" % (
        len(key), key, len(ttl), ttl)


def test_conflicts_double_nothing(lab):
    """Three instances count on the same keys: transactions are rejected and run again."""
    _, servers = fleet(lab)
    servers[1].raw().command("CONFIG", "SET", "notify-keyspace-events", "E$g")
    subscriber = Subscriber(servers[2])
    wait_for_flags(servers, subscriber)
    start = len(subscriber.got)
    rounds = 60

    def count(server):
        raw = server.raw(timeout=60)
        for number in range(rounds):
            assert raw.command("INCR", "hot").startswith(b":")
            raw.command("MULTI")
            raw.command("APPEND", "hot2", "x")
            raw.command("EXPIRE", "hot2", "100")
            assert raw.command("EXEC").startswith(b"*2")

    threads = [threading.Thread(target=count, args=(server,)) for server in servers for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    servers[0].raw().command("SET", "done", "1")
    subscriber.wait_for(b"__keyevent@0__:set", b"done")
    events = [(b"__keyevent@0__:" + name, key) for name, key in (
        (b"incrby", b"hot"), (b"append", b"hot2"), (b"expire", b"hot2"))]

    def counted():
        found = collections.Counter(subscriber.got[start:])
        return [found[event] for event in events]

    wait_until(lambda: min(counted()) >= len(threads) * rounds, 30, "all have come")
    assert counted() == [len(threads) * rounds] * 3
    assert servers[0].raw().command("GET", "hot") == b"$3\r\n%d\r\n" % (len(threads) * rounds)
    conflicts = sum(int(server.client().info("postgres")["postgres_conflicts"]) for server in servers)
    assert conflicts > 0


def test_nothing_is_told_that_did_not_happen(lab, database):
    server = lab.respgres(database, pg_timeout=10000, notify_keyspace_events="KEA")
    raw, other, subscriber = server.raw(), server.raw(), Subscriber(server)
    raw.command("SET", "watched", "1")
    raw.command("WATCH", "watched")
    other.command("SET", "watched", "2")
    raw.command("MULTI")
    raw.command("SET", "never", "1")
    assert raw.command("EXEC") == b"*-1\r\n"
    database.execute("CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS"
                     " $$ BEGIN RAISE EXCEPTION 'no'; END $$")
    database.execute("CREATE TRIGGER no BEFORE INSERT ON respgres.entries FOR EACH ROW"
                     " WHEN (NEW.key = 'refused') EXECUTE FUNCTION public.no()")
    assert raw.command("SET", "refused", "1").startswith(b"-ERR PostgreSQL refused")
    raw.command("SET", "end", "1")
    got = subscriber.wait_for(b"__keyevent@0__:set", b"end")
    assert {message for channel, message in got if channel == b"__keyevent@0__:set"} == {b"watched", b"end"}


# --- the store ------------------------------------------------------------------------------------

def test_what_expired_in_an_outage_is_told(lab):
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    server = lab.respgres(database, pg_timeout=2000, notify_keyspace_events="Ex")
    other = lab.respgres(database, pg_timeout=2000, notify_keyspace_events="Ex")
    raw, subscribers = server.raw(timeout=60), [Subscriber(server), Subscriber(other)]
    raw.command("SET", "short", "v", "PX", "4000")
    raw.command("SET", "extended", "v", "PX", "4000")
    end = time.monotonic() + 4
    postgres.stop("immediate")  # "fast" writes a checkpoint before it goes
    wait_until(lambda: raw.command("SET", "extended", "v", "PX", "600000") == b"+OK\r\n" and
               b"store_state:away" in raw.command("INFO", "postgres"), 60, "it is away")
    assert time.monotonic() < end, "it was extended in time"
    assert raw.command("SET", "meanwhile", "v", "PX", "100") == b"+OK\r\n"
    wait_until(lambda: time.monotonic() > end + 0.2, what="all but one have expired")
    postgres.start()
    for subscriber in subscribers:
        subscriber.wait_for(b"__keyevent@0__:expired", b"short", 120)
        subscriber.wait_for(b"__keyevent@0__:expired", b"meanwhile", 120)
    raw.command("SET", "after", "v", "PX", "1")
    for subscriber in subscribers:
        subscriber.wait_for(b"__keyevent@0__:expired", b"after", 120)
        assert sorted(subscriber.expired()) == [b"after", b"meanwhile", b"short"]


def test_standalone_tells_what_expires(lab, tmp_path):
    server = lab.respgres(None, standalone="yes", dir=tmp_path, notify_keyspace_events="KEA")
    raw, subscriber = server.raw(), Subscriber(server, "__keyevent@0__:expired")
    for number in range(30):
        raw.command("SET", "key-%d" % number, "v", "PX", "100")
    wait_until(lambda: raw.command("EXISTS", "key-29") == b":0\r\n", 20, "they have expired")
    raw.command("SET", "key-1", "w")
    raw.command("INCR", "key-2")
    raw.command("GET", "key-3")
    keys = {b"key-%d" % number for number in range(30)}
    subscriber.wait(lambda got: {message for _, message in got} >= keys)
    raw.command("SET", "last", "v", "PX", "1")
    subscriber.wait_for(b"__keyevent@0__:expired", b"last")
    assert sorted(subscriber.expired()) == sorted(keys | {b"last"})


@pytest.mark.rows
def test_rows_that_were_told_go_as_others_do(lab, database):
    server = lab.respgres(database, pg_timeout=10000, notify_keyspace_events="Ex")
    raw, subscriber = server.raw(), Subscriber(server)
    raw.command("SET", "a", "v", "PX", "1")
    raw.command("SET", "b", "v", "PX", "1")
    for key in (b"a", b"b"):
        subscriber.wait_for(b"__keyevent@0__:expired", key)
    # A person gives it another time: it is there again, and its end is told again.
    ends = "UPDATE respgres.entries SET expires_at = now() + interval %s WHERE key = 'a'"
    database.execute(ends, "1 hour")
    assert raw.command("GET", "a") == b"$1\r\nv\r\n"
    database.execute(ends, "100 ms")
    subscriber.wait(lambda got: subscriber.expired().count(b"a") == 2)
    # As if a few minutes had passed.
    database.execute("UPDATE respgres.entries SET expires_at = expires_at - interval '10 minutes',"
                     " expire_slot = expire_slot - 10, batch_item = batch_item, version = version + 1024")
    wait_until(lambda: database.execute("SELECT count(*) FROM respgres.entries") == [(0,)], 60, "they are gone")
    assert sorted(subscriber.expired()) == [b"a", b"a", b"b"]


# --- Spring Session -------------------------------------------------------------------------------

def test_a_client_like_spring_session(lab):
    """What RedisIndexedSessionRepository sends, with its applications on two instances."""
    _, servers = fleet(lab, 2)
    first, second = (server.raw() for server in servers)
    flags = first.command("CONFIG", "GET", "notify-keyspace-events")
    assert flags == b"*2\r\n$22\r\nnotify-keyspace-events\r\n$0\r\n\r\n"
    for client in (first, second):
        assert client.command("CONFIG", "SET", "notify-keyspace-events", "Egx") == b"+OK\r\n"
    listeners = [Subscriber(server, "__keyevent@0__:del", "__keyevent@0__:expired",
                            "spring:session:event:0:created:*") for server in servers]

    def save(client, session, ttl_ms):
        base = "spring:session:"
        client.command("HMSET", f"{base}sessions:{session}", "creationTime", "1", "maxInactiveInterval", "2",
                       "lastAccessedTime", "3")
        client.command("SADD", f"{base}index:PRINCIPAL_NAME_INDEX_NAME:user", session)
        client.command("PUBLISH", f"{base}event:0:created:{session}", "x")
        client.command("APPEND", f"{base}sessions:expires:{session}", "")
        client.command("PEXPIRE", f"{base}sessions:expires:{session}", ttl_ms)
        client.command("PEXPIRE", f"{base}sessions:{session}", ttl_ms + 300000)

    for number in range(20):
        save((first, second)[number % 2], "s%d" % number, 1000 if number < 10 else 100000)
    for number in range(10, 20):
        second.command("DEL", "spring:session:sessions:expires:s%d" % number)
    wanted = [(b"__keyevent@0__:%s" % (b"expired" if number < 10 else b"del"),
               b"spring:session:sessions:expires:s%d" % number) for number in range(20)]
    for listener in listeners:
        got = listener.wait(lambda got: set(wanted) <= set(got) and  # by another way than the events
                            sum(b":created:" in channel for channel, _ in got) >= 20)
        assert all(got.count(event) == 1 for event in wanted)
        created = [channel for channel, _ in got if b":created:" in channel]
        assert len(created) == len(set(created)) == 20
    # Then it cleans up, which the session's own hash still allows.
    assert first.command("HGET", "spring:session:sessions:s1", "creationTime") == b"$1\r\n1\r\n"
