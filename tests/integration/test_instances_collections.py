"""Many clients of two and three instances on the same lists, hashes, sets and sorted sets: what is pushed
is taken once, what is counted adds up. Also where reads are answered from memory, and where instances are
killed meanwhile. The runs of --long have thousands of rounds."""

import collections
import random
import threading
import time

import pytest

from harness import wait_until
from harness.replies import NIL, bulk, bulks
from rules import Threads
from test_cached import Watch, cached, stat
from test_instances_stress import Fleet, check_chain, rounds

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

NOTHING = b"*0\r\n"
LAG_S = 0.5  # how old a read may be where it is answered from memory


@pytest.fixture(scope="module", params=[(2, "strict"), (3, "strict"), (3, "cached")],
                ids=lambda p: f"{p[0]}-{p[1]}")
def running_fleet(request, module_lab):
    instances, consistency = request.param
    module_lab.defaults.update({"fallback": "off", "consistency": consistency,
                                "cached-max-lag": round(LAG_S * 1000)})
    return Fleet(module_lab, instances)


@pytest.fixture
def fleet(running_fleet):
    """On an empty database."""
    assert running_fleet.servers[0].client().flushall()
    return running_fleet


def settle(fleet):
    """Until what is read from memory is not older than the last write."""
    time.sleep(LAG_S if fleet.servers[0].options["consistency"] == "cached" else 0)


def taken(reply):
    """The first element of what a pop answers; None where there was nothing."""
    if reply in (NIL, NOTHING):
        return None
    return bulks(reply)[0] if reply.startswith(b"*") else reply


# --- nothing lost, nothing doubled -----------------------------------------------------------------

# How a thing is put into the key and taken out of it, and what is left.
BOXES = {
    "LPUSH and RPOP": (lambda thing, _: ("LPUSH", "box", thing), ("RPOP", "box"),
                       ("LRANGE", "box", 0, -1)),
    "RPUSH and LMPOP": (lambda thing, _: ("RPUSH", "box", thing), ("LMPOP", 1, "box", "LEFT"),
                        ("LRANGE", "box", 0, -1)),
    "SADD and SPOP": (lambda thing, _: ("SADD", "box", thing), ("SPOP", "box"), ("SMEMBERS", "box")),
    "ZADD INCR and ZPOPMIN": (lambda thing, chance: ("ZADD", "box", "INCR", chance.randrange(5), thing),
                              ("ZPOPMIN", "box"), ("ZRANGE", "box", 0, -1)),
}


@pytest.mark.parametrize("way", BOXES)
@rounds(15, 1500)
def test_each_thing_is_taken_once(fleet, seed, rounds, way):
    """Everybody puts things in and takes some out: one is lost, or taken by two."""
    put, take, rest = BOXES[way]
    things, got = [], []

    def work(client):
        for i in range(rounds):
            thing = b"%d.%d" % (client.number, i)
            client.ask(*put(thing, client.chance))
            things.append(bulk(thing))
            if client.chance.random() < 0.9:
                got.append(popped(client.ask(*take)))

    fleet.run(seed, work)
    settle(fleet)
    for server in fleet.servers:
        with server.raw() as raw:
            left = bulks(raw.command(*rest))
            assert collections.Counter(filter(None, got)) + collections.Counter(left) == \
                collections.Counter(things)
    assert len(left) < len(things) // 2


def popped(reply):
    """As taken(), and of what LMPOP says the element, which stands behind the key's name."""
    if reply.startswith(b"*2\r\n$3\r\nbox\r\n*1\r\n"):
        return reply[len(b"*2\r\n$3\r\nbox\r\n*1\r\n"):]
    return None if reply == b"*-1\r\n" else taken(reply)


@rounds(15, 1000)
def test_a_queue_keeps_the_order_of_each_producer(fleet, seed, rounds):
    """Half of the clients push numbers that rise, the others take from the other end, one at a time."""
    got = collections.defaultdict(list)
    producers = set(range(0, fleet.size, 2))
    through = []

    def work(client):
        if client.number in producers:
            for i in range(rounds):
                client.ask("LPUSH", "queue", b"%d.%d" % (client.number, i))
            through.append(client.number)
            return
        mine, last = [], False
        while not last:
            last = len(through) == len(producers)
            thing = taken(client.ask("RPOP", "queue"))
            if thing is not None:
                mine.append(tuple(map(int, thing.split(b"\r\n")[1].split(b"."))))
                last = False
        got[client.number] = mine

    fleet.run(seed, work)
    everything = sorted(pair for mine in got.values() for pair in mine)
    assert everything == sorted((producer, i) for producer in producers for i in range(rounds))
    for mine in got.values():
        for producer in producers:
            numbers = [i for who, i in mine if who == producer]
            assert numbers == sorted(numbers), "one was taken behind a later one"


@rounds(15, 1500)
def test_things_move_between_two_lists(fleet, seed, rounds):
    """LMOVE to and fro, in blocks, too: each thing is in one of the lists, whoever looks."""
    things = [b"%d" % n for n in range(8)]
    fleet.servers[0].client().rpush("a", *things)
    moves = []

    def work(client):
        for _ in range(rounds):
            source, target = client.chance.sample(["a", "b"], 2)
            words = ("LMOVE", source, target, client.chance.choice(["LEFT", "RIGHT"]), "LEFT")
            if client.chance.random() < 0.7:
                moves.append(client.ask(*words))
            else:
                moves.append(client.exec(["RPOPLPUSH", source, target], ["LLEN", source])[0])
            both = client.ask_all(["MULTI"], ["LRANGE", "a", 0, -1], ["LRANGE", "b", 0, -1],
                                  ["EXEC"])[-1]
            assert sorted(word for word in both.split(b"\r\n") if word.isdigit()) == things, both

    fleet.run(seed, work)
    assert len(set(moves)) >= len(things)


# --- sums ------------------------------------------------------------------------------------------

@rounds(12, 1000)
def test_totals_of_fields_and_scores_are_exact(fleet, seed, rounds):
    """HINCRBY, HINCRBYFLOAT, ZINCRBY and ZADD INCR of shared keys, one at a time and pipelined: an
    update is lost, done twice, or two clients are told the same number."""
    steps = collections.defaultdict(list)

    def command(client):
        by = client.chance.randrange(1, 9)
        field = client.chance.choice("fg")
        return client.chance.choice([
            (field, by, ["HINCRBY", "h", field, by]), ("x", 0.25, ["HINCRBYFLOAT", "h", "x", "0.25"]),
            ("m", by, ["ZINCRBY", "z", by, "m"]), ("m", by, ["ZADD", "z", "INCR", by, "m"])])

    def work(client):
        for _ in range(rounds):
            some = [command(client) for _ in range(client.chance.choice([1, 1, 4]))]
            for (name, by, _), reply in zip(some, client.ask_all(*(words for _, _, words in some))):
                told = reply[1:] if reply.startswith(b":") else reply.split(b"\r\n")[1]
                steps[name].append((by, float(told)))

    fleet.run(seed, work)
    settle(fleet)
    for server in fleet.servers:
        found = {**server.client().hgetall("h"), b"m": server.client().zscore("z", "m")}
        for name in "fgxm":
            assert check_chain(steps[name], name) == float(found[name.encode()])


@rounds(15, 1000)
def test_two_collections_change_together(fleet, seed, rounds):
    """In one block a list grows and a counter of a hash rises; a reader sees both or neither."""
    def work(client):
        for i in range(rounds):
            if client.chance.random() < 0.5:
                thing = b"%d.%d" % (client.number, i)
                length, count = client.exec(["RPUSH", "l", thing], ["HINCRBY", "h", "n", 1])
                assert length == count
            else:
                length, count = client.exec(["LLEN", "l"], ["HGET", "h", "n"])
                assert int(length[1:]) == int(count or 0)

    fleet.run(seed, work)


@rounds(10, 500)
def test_members_are_added_once(fleet, seed, rounds):
    """All at once add the same member, set the same field if it is not there: one is told that it did."""
    barrier = threading.Barrier(fleet.size)
    won = []

    def work(client):
        for i in range(rounds):
            barrier.wait(60)
            for words in (["SADD", "s", i], ["HSETNX", "h", i, client.number],
                          ["ZADD", "z", "NX", client.number, i]):
                if client.ask(*words) == b":1\r\n":
                    won.append((words[0], i))

    fleet.run(seed, work)
    assert sorted(won) == sorted((name, i) for name in ("SADD", "HSETNX", "ZADD") for i in range(rounds))


# --- instances are killed -----------------------------------------------------------------------------

@pytest.mark.parametrize("instances, kills", [
    (2, 3), pytest.param(3, 60, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_queue_survives_kills(lab, database, seed, instances, kills):
    """Producers and consumers lose their instance and go on with the next. A push of which nothing is
    known may have happened once or not at all, a pop may have taken one thing. Nothing else is lost, and
    nothing comes twice."""
    servers = [lab.respgres(database, pg_timeout=10_000, fallback="off") for _ in range(instances)]
    told = Told()
    chance = random.Random(seed)

    def kill(ending):
        try:
            for _ in range(kills):
                goal = told.count() + 150
                wait_until(lambda goal=goal: told.count() >= goal, 60, "more is pushed and taken")
                server = chance.choice(servers)
                server.kill9()
                server.start()
        finally:
            ending.set()

    with Threads(kill, *(told.client(n, servers, seed) for n in range(8))) as threads:
        threads.ending.wait(1500)
    told.check(servers[0].client().lrange("queue", 0, -1))


class Told:
    """What producers and consumers of a queue were told."""

    def __init__(self):
        self.pushed, self.maybe_pushed, self.taken = [], [], []
        self.maybe_taken = 0

    def count(self):
        return len(self.pushed) + len(self.taken)

    def client(self, number, servers, seed):
        def run(ending):
            chance, raw, i = random.Random(f"{seed}/{number}"), None, 0
            while not ending.is_set():
                try:
                    raw = raw or chance.choice(servers).raw(60)
                except OSError:
                    ending.wait(0.01)
                    continue
                i += 1
                thing = b"%d.%d" % (number, i) if chance.random() < 0.52 else None
                try:
                    reply = raw.command(*(("LPUSH", "queue", thing) if thing else ("RPOP", "queue")))
                except OSError:
                    reply, raw = None, raw.close()
                self.note(thing, reply)
        return run

    def note(self, thing, reply):
        lost = reply is None or reply.startswith(b"-ERR PostgreSQL did not confirm")
        if not lost and reply.startswith(b"-"):
            assert reply.startswith(b"-LOADING") or b"nothing was written" in reply, reply
        elif thing and lost:
            self.maybe_pushed.append(thing)
        elif thing:
            self.pushed.append(thing)
        elif lost:
            self.maybe_taken += 1
        elif reply != NIL:
            self.taken.append(reply.split(b"\r\n")[1])

    def check(self, left):
        found = collections.Counter(self.taken) + collections.Counter(left)
        print(f"{len(self.pushed)} pushed, {len(self.maybe_pushed)} perhaps; {len(self.taken)} taken,"
              f" {self.maybe_taken} perhaps; {len(left)} left")
        assert max(found.values()) == 1, "a thing came twice"
        assert set(found) <= {*self.pushed, *self.maybe_pushed}, "nobody pushed it"
        missing = set(self.pushed) - set(found)
        assert len(missing) <= self.maybe_taken, f"{missing} are lost"


def test_the_check_of_the_queue_finds_what_is_wrong():
    def told(pushed, taken, left, maybe_taken=0):
        some = Told()
        some.pushed, some.taken, some.maybe_taken = pushed, taken, maybe_taken
        some.check(left)

    told([b"a", b"b"], [b"a"], [b"b"])
    told([b"a", b"b"], [b"a"], [], maybe_taken=1)
    for wrong in (([b"a", b"b"], [b"a"], []), ([b"a"], [b"a", b"a"], []), ([b"a"], [b"a"], [b"a"]),
                  ([b"a"], [b"a", b"b"], [])):
        with pytest.raises(AssertionError):
            told(*wrong)


# --- from memory ----------------------------------------------------------------------------------------

GROWING = {  # how a number is written, and read
    "a list": (lambda c, n: c.rpush("k", n), lambda c: c.llen("k")),
    "a hash": (lambda c, n: c.hset("k", "n", n), lambda c: int(c.hget("k", "n") or 0)),
    "a set": (lambda c, n: c.sadd("k", n), lambda c: c.scard("k")),
    "a sorted set": (lambda c, n: c.zadd("k", {"n": n}), lambda c: int(c.zscore("k", "n") or 0)),
}


class WatchCollection(Watch):
    """As Watch; the number is that of a collection."""

    def __init__(self, writer, reader, how):
        put, self.get = how
        client = writer.client()
        super().__init__(lambda n: put(client, n), reader)

    def reading(self, ending):
        client = self.server.client(socket_timeout=30)
        while not ending.is_set():
            at = time.monotonic()
            self.judge(at, self.get(client))


@pytest.mark.alone
@pytest.mark.parametrize("kind", GROWING)
def test_a_collection_from_memory_is_not_older_than_promised(lab, database, kind):
    """It is written by an instance that answers from memory, too."""
    writer, reader = cached(lab, database), cached(lab, database)
    watching = WatchCollection(writer, reader, GROWING[kind])
    before = stat(reader, "postgres_cached_reads")
    with Threads(watching.writing, watching.reading) as threads:
        threads.run_for(1.2)
        wait_until(lambda: threads.ending.is_set() or
                   min(len(watching.acknowledged), len(watching.ages_s)) > 20, what="it has been looked at often")
    assert stat(reader, "postgres_cached_reads") > before


def test_what_was_read_from_memory_is_not_written_back(lab, database):
    """A change of what memory says, where the row has another element since: both are kept."""
    writer, reader = (cached(lab, database, cached_max_lag=60_000) for _ in range(2))
    ours, theirs = writer.client(), reader.client()
    for i in range(30):
        ours.rpush("l", f"a{i}")
        ours.hincrby("h", "n", 1)
        ours.sadd("s", f"a{i}")
        ours.zincrby("z", 1, "m")
        assert theirs.rpush("l", f"b{i}") == 2 * i + 2
        assert theirs.hincrby("h", "n", 1) == 2 * i + 2
        theirs.sadd("s", f"b{i}")
        assert theirs.zincrby("z", 1, "m") == 2 * i + 2
    strict = lab.respgres(database).client()
    assert strict.scard("s") == 60
    assert strict.lrange("l", 0, -1) == [f"{who}{i}".encode() for i in range(30) for who in "ab"]
