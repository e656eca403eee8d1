"""Many clients of two and three instances on the same few keys, round after round: nothing may
err, hang or deviate. The runs of --long have thousands of rounds."""

import collections
import random
import threading
import time

import pytest

from harness import encode, wait_until
from harness.history import History, Recorder
from rules import NIL, OK, Threads, bulk, number, replies

@pytest.fixture(autouse=True)
def nothing_but_postgresql(lab):
    """Instances agree while PostgreSQL is there: one that is away for a moment must not serve alone."""
    lab.defaults["fallback"] = "off"


pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

CLIENTS_EACH = 8
NO_SUCH_KEY = b"-ERR no such key\r\n"
NULL = b"*-1\r\n"


def rounds(short, long):
    return pytest.mark.parametrize("rounds", [short, pytest.param(long, marks=[
        pytest.mark.long, pytest.mark.timeout(1800)])])


class Fleet:
    """Instances on one database, and clients of all of them."""

    def __init__(self, lab, instances):
        self.database = lab.database()
        # What would be a deadlock in a second is one at once.
        self.database.postgres.execute(
            f"ALTER DATABASE {self.database.name} SET deadlock_timeout = '20ms'")
        self.servers = [lab.respgres(self.database, pg_timeout=20_000, databases=100)
                        for _ in range(instances)]
        self.size = CLIENTS_EACH * instances

    def server(self, number_):
        return self.servers[number_ % len(self.servers)]

    def run(self, seed, work, size=None, others=()):
        """work(Client) in a thread for each client, until all are through. `others` go on until
        then, with an Event that ends them."""
        size = size or self.size
        finished = []

        def one(number_):
            def run(_):
                client = Client(self, number_, seed)
                work(client)
                finished.append(number_)
            return run

        with Threads(*map(one, range(size)), *others) as threads:
            wait_until(lambda: len(finished) == size or threads.ending.is_set(), 1500,
                       "all clients are through")


class Client:
    def __init__(self, fleet, number_, seed):
        self.fleet, self.number = fleet, number_
        self.chance = random.Random(f"{seed}/{number_}")
        self.raw = fleet.server(number_).raw(60)

    def ask(self, *command, error=None):
        """The reply, which is no error but for the one given."""
        reply = self.raw.command(*command)
        assert not reply.startswith(b"-") or reply == error, (command, reply)
        return reply

    def ask_all(self, *commands):
        """The replies to what is sent at once."""
        self.raw.send(b"".join(encode(*command) for command in commands))
        found = replies(self.raw, len(commands))
        assert not any(reply.startswith(b"-") for reply in found), (commands, found)
        return found

    def exec(self, *commands):
        """The replies of a block, None if EXEC answers nil."""
        reply = self.ask_all(["MULTI"], *commands, ["EXEC"])[-1]
        return None if reply == NULL else split(reply)


def split(reply):
    """The parts of an array of bulk strings, numbers and states."""
    parts, rest = [], reply.partition(b"\r\n")[2]
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        if line[:1] == b"$" and line != b"$-1":
            length = int(line[1:])
            parts.append(rest[:length])
            rest = rest[length + 2:]
        else:
            parts.append(None if line == b"$-1" else line)
    return parts


@pytest.fixture(scope="module", params=[2, 3])
def running_fleet(request, module_lab):
    return Fleet(module_lab, request.param)


@pytest.fixture
def fleet(running_fleet):
    """On an empty database."""
    assert running_fleet.servers[0].client().flushall()
    return running_fleet


# --- single keys ---------------------------------------------------------------------------------

def check_chain(steps, what):
    """Each step was (by how much, what came of it): together they are one sum."""
    total = 0
    for after, by in sorted((after, by) for by, after in steps):
        total += by
        assert after == total, f"{what}: {after} comes after {total - by} and adds {by}"
    return total


@rounds(12, 1000)
def test_totals_are_exact(fleet, seed, rounds):
    """INCR, INCRBY, INCRBYFLOAT and APPEND of shared keys, one at a time and pipelined: an update
    is lost, or done twice, or two clients are told the same number."""
    steps = collections.defaultdict(list)

    def command(client, i):
        kind = client.chance.randrange(4)
        if kind == 0:
            return "n", 1, ["INCR", "n"]
        if kind == 1:
            by = client.chance.randrange(1, 9)
            return "m", by, ["INCRBY", "m", by]
        if kind == 2:
            return "f", 0.25, ["INCRBYFLOAT", "f", "0.25"]
        token = b"%04d:%06d;" % (client.number, i)
        return "a", token, ["APPEND", "a", token]

    def work(client):
        for i in range(rounds):
            some = [command(client, 10 * i + n) for n in range(client.chance.choice([1, 1, 4]))]
            for (key, by, _), reply in zip(some, client.ask_all(*(words for _, _, words in some))):
                if key == "f":
                    steps[key].append((by, float(reply.split(b"\r\n")[1])))
                else:
                    steps[key].append((by, int(reply[1:])))

    fleet.run(seed, work)
    for server in fleet.servers:
        n, m, f, text = server.client().mget("n", "m", "f", "a")
        assert check_chain(steps["n"], "INCR") == int(n)
        assert check_chain(steps["m"], "INCRBY") == int(m)
        assert check_chain(steps["f"], "INCRBYFLOAT") == float(f)
        assert check_chain([(len(token), end) for token, end in steps["a"]], "APPEND") == len(text)
        for token, end in steps["a"]:
            assert text[end - len(token):end] == token


@rounds(40, 3000)
def test_set_nx_ex_has_one_winner(fleet, seed, rounds):
    """All at once want the same lock: of a key that never was, of one that was known as live
    everywhere and has expired since, and is not swept, and of one that expired just now."""
    client = fleet.servers[0].client()
    old = [f"lock{i}" for i in range(rounds) if i % 3]
    client.mset(dict.fromkeys(old, "old"))
    for server in fleet.servers:
        assert set(server.client().mget(old)) == {b"old"}
    conn = fleet.database.connect()
    with conn.cursor() as cursor:
        cursor.execute("UPDATE respgres.entries SET expires_at = clock_timestamp() - interval"
                       " '1 second' WHERE value = 'old'")
        assert cursor.rowcount == len(old)
    conn.close()
    for i in range(2, rounds, 3):
        client.set(f"lock{i}", "older", px=1)
    wait_until(lambda: not client.exists(*old))
    barrier = threading.Barrier(fleet.size)
    won = [[] for _ in range(rounds)]

    def work(client):
        for i in range(rounds):
            barrier.wait(60)
            if client.ask("SET", f"lock{i}", client.number, "NX", "EX", 1000) == OK:
                won[i].append(client.number)

    fleet.run(seed, work)
    for server in fleet.servers:
        values = server.client().mget([f"lock{i}" for i in range(rounds)])
        assert [[b"%d" % w for w in each] for each in won] == [[value] for value in values]


@rounds(20, 2000)
def test_each_value_is_handed_out_once(fleet, seed, rounds):
    """By GETSET, which passes one thing around, and by GETDEL, which takes what somebody has put
    there with SETNX."""
    put, got = collections.defaultdict(list), collections.defaultdict(list)

    def work(client):
        for i in range(rounds):
            token = b"%d.%d" % (client.number, i)
            put["ball"].append(token)
            got["ball"].append(client.ask("GETSET", "ball", token))
            if client.ask("SETNX", "box", token) == number(1):
                put["box"].append(token)
            reply = client.ask("GETDEL", "box")
            if reply != NIL:
                got["box"].append(reply)

    fleet.run(seed, work)
    ball, box = fleet.servers[0].client().mget("ball", "box")
    assert got["ball"].count(NIL) == 1
    got["ball"].remove(NIL)
    for key, last in (("ball", ball), ("box", box)):
        left = [bulk(last)] if last is not None else []
        assert sorted(got[key] + left) == sorted(map(bulk, put[key])), key
        assert len(put[key]) >= fleet.size


# --- several keys ---------------------------------------------------------------------------------

@pytest.mark.parametrize("with_rename", [False, True])
@rounds(10, 1000)
def test_nobody_sees_half(fleet, seed, rounds, with_rename):
    """MSET, blocks and DEL write all of the keys, each in an order of its own, RENAME moves one:
    readers see keys of two writes, or, without RENAME, some that are there and some that are
    not; or a client is told of a deadlock."""
    keys = [f"k{i}" for i in range(6)]
    seen = collections.Counter()

    def write(client, i):
        order = client.chance.sample(keys, len(keys))
        tag = b"%d.%d" % (client.number, i)
        pairs = [word for key in order for word in (key, tag)]
        kind = client.chance.randrange(6)
        if kind < 2:
            assert client.ask("MSET", *pairs) == OK
        elif kind == 2:
            assert client.exec(*(["SET", key, tag] for key in order)) == [b"+OK"] * len(keys)
        elif kind == 3:
            client.ask("MSETNX", *pairs)
        elif kind == 4:
            client.ask("DEL", *order)
        elif with_rename:
            client.ask("RENAME", *order[:2], error=NO_SUCH_KEY)

    def read(client):
        order = client.chance.sample(keys, len(keys))
        if client.chance.random() < 0.5:
            found = split(client.ask("MGET", *order))
        else:
            found = client.exec(*(["GET", key] for key in order))
        tags = set(found)
        seen[len(tags)] += 1
        if with_rename:
            tags.discard(None)
        assert len(tags) <= 1, found

    def work(client):
        for i in range(rounds):
            write(client, i)
            read(client)
            read(client)

    fleet.run(seed, work)
    assert seen[1] > rounds
    assert bool(seen[2]) == with_rename, "RENAME was never seen"


@rounds(15, 1500)
def test_renamenx_moves_and_does_not_copy(fleet, seed, rounds):
    """Three things are moved between six places: one is in two of them, or in none."""
    places = [f"p{i}" for i in range(6)]
    things = [b"x", b"y", b"z"]
    fleet.servers[0].client().mset(dict(zip(places, things)))
    moved = []

    def work(client):
        for _ in range(rounds):
            some = client.chance.sample(places, 2)
            if client.ask("RENAMENX", *some, error=NO_SUCH_KEY) == number(1):
                moved.append(some)
            order = client.chance.sample(places, len(places))
            found = split(client.ask("MGET", *order))
            assert sorted(filter(None, found)) == things, found

    fleet.run(seed, work)
    assert len(moved) > fleet.size


Span = collections.namedtuple("Span", "watched begun execed ended accounts committed")


@rounds(10, 1000)
def test_transfers_keep_the_sum(fleet, seed, rounds):
    """WATCH, read, MULTI, EXEC: money is made or lost, a reader sees it under way, EXEC is carried
    out though somebody has written a watched account, or is nil though nobody has."""
    accounts = [f"account{i}" for i in range(8)]
    fleet.servers[0].client().mset(dict.fromkeys(accounts, 100))
    spans, total = [], 100 * len(accounts)

    def transfer(client, source, target):
        begun = time.monotonic()
        assert client.ask("WATCH", source, target) == OK
        watched = time.monotonic()
        amounts = [int(a) for a in split(client.ask("MGET", source, target))]
        amount = client.chance.randrange(1, 20)
        execed = time.monotonic()
        done = client.exec(["SET", source, amounts[0] - amount], ["INCRBY", target, amount])
        if done is not None:
            assert done == [b"+OK", b":%d" % (amounts[1] + amount)]
        spans.append(Span(watched, begun, execed, time.monotonic(), {source, target},
                          done is not None))

    def work(client):
        for _ in range(rounds):
            transfer(client, *client.chance.sample(accounts, 2))
            if client.chance.random() < 0.5:
                found = split(client.ask("MGET", *accounts))
            else:
                found = client.exec(*(["GET", account] for account in accounts))
            assert sum(map(int, found)) == total, found

    fleet.run(seed, work)
    found = [int(a) for a in fleet.servers[-1].client().mget(accounts)]
    assert sum(found) == total
    check_spans(spans)
    refused = sum(not span.committed for span in spans)
    print(f"{len(spans)} transfers, {refused} of them nil")
    assert refused > 0 and len(spans) - refused > fleet.size


def check_spans(spans):
    """Nil needs somebody else's commit that may have been between WATCH and EXEC; and where one
    certainly was, EXEC is nil."""
    commits = sorted((span for span in spans if span.committed), key=lambda s: s.execed)
    slowest = max(span.ended - span.execed for span in spans)
    first = 0
    for span in sorted(spans, key=lambda s: s.begun):
        while first < len(commits) and commits[first].execed < span.begun - slowest:
            first += 1
        possible = certain = False
        for other in commits[first:]:
            if other.execed > span.ended:
                break
            if other is not span and other.accounts & span.accounts:
                possible |= other.ended > span.begun
                certain |= other.execed > span.watched and other.ended < span.execed
        assert span.committed or possible, f"nil though nobody wrote: {span}"
        assert not (span.committed and certain), f"carried out though somebody wrote: {span}"


# --- WATCH ----------------------------------------------------------------------------------------
# Each: what is done to the watched key "k" by a client of another or the same instance, in the
# database that only one client of the test uses. The key is there before, "5", without a TTL.

class Other:
    """Who changes the watched key, or does not: a client of some instance, and a person."""

    def __init__(self, client, conn):
        self.client, self.conn = client, conn

    def sql(self, sql):
        with self.conn.cursor() as cursor:
            cursor.execute(sql.replace("ROW", "space = respgres.space_of(%d) AND key = 'k'")
                           % self.client.number)

    def expire_it(self):
        """With a TTL that WATCH has seen; false if it was too short for that."""
        if self.client.ask("PTTL", "k") == number(-2):
            return False
        wait_until(lambda: self.client.ask("GET", "k") == NIL, interval=0.002)
        return True


CHANGES = {
    "SET": lambda o: o.client.ask("SET", "k", "new"),
    "SET of the same bytes": lambda o: o.client.ask("SET", "k", "5"),
    "INCR": lambda o: o.client.ask("INCR", "k"),
    "there and back": lambda o: (o.client.ask("INCR", "k"), o.client.ask("DECR", "k")),
    "APPEND": lambda o: o.client.ask("APPEND", "k", "0"),
    "EXPIRE": lambda o: o.client.ask("EXPIRE", "k", 1000),
    "DEL": lambda o: o.client.ask("DEL", "k"),
    "DEL and SET": lambda o: o.client.ask_all(["DEL", "k"], ["SET", "k", "5"]),
    "GETDEL": lambda o: o.client.ask("GETDEL", "k"),
    "RENAME of it": lambda o: o.client.ask("RENAME", "k", "j"),
    "RENAME to it": lambda o: o.client.ask_all(["SET", "j", "5"], ["RENAME", "j", "k"]),
    "a block": lambda o: o.client.exec(["GET", "k"], ["SET", "k", "6"]),
    "MSET": lambda o: o.client.ask("MSET", "a", 1, "k", 2, "z", 3),
    "FLUSHDB": lambda o: o.client.ask("FLUSHDB"),
    "SQL UPDATE": lambda o: o.sql("UPDATE respgres.entries SET value = 'sql' WHERE ROW"),
    "SQL expiry": lambda o: o.sql("UPDATE respgres.entries SET expires_at = now() + interval '1 h'"
                                  " WHERE ROW"),
    "SQL DELETE": lambda o: o.sql("DELETE FROM respgres.entries WHERE ROW"),
    "it expires": Other.expire_it,
}
NO_CHANGES = {
    "nothing": lambda o: None,
    "reads": lambda o: o.client.ask_all(["GET", "k"], ["MGET", "k", "j"], ["STRLEN", "k"],
                                        ["TTL", "k"], ["EXISTS", "k"], ["TOUCH", "k"]),
    "SETNX": lambda o: o.client.ask("SETNX", "k", "new"),
    "SET NX": lambda o: o.client.ask("SET", "k", "new", "NX"),
    "PERSIST without a TTL": lambda o: o.client.ask("PERSIST", "k"),
    "MSETNX with it": lambda o: o.client.ask("MSETNX", "j%d" % o.client.chance.randrange(10), 1,
                                             "k", 2),
    "RENAMENX to it": lambda o: o.client.ask_all(["SET", "j", "5"], ["RENAMENX", "j", "k"]),
    "other keys": lambda o: o.client.ask_all(["SET", "j", "5"], ["DEL", "j"], ["INCR", "n"]),
    "the same key elsewhere": lambda o: o.client.ask_all(
        ["SELECT", 99], ["INCR", "k"], ["SELECT", o.client.number]),
    "WATCH": lambda o: o.client.ask_all(["WATCH", "k"], ["UNWATCH"]),
    "a nil EXEC": lambda o: o.client.ask_all(
        ["SET", "j", 1], ["WATCH", "k", "j"], ["SET", "j", 2], ["MULTI"], ["SET", "k", "no"],
        ["EXEC"]),
    "SQL SELECT FOR UPDATE": lambda o: o.sql("SELECT FROM respgres.entries WHERE ROW FOR UPDATE"),
    "SQL UPDATE rolled back": lambda o: o.sql(
        "BEGIN; UPDATE respgres.entries SET value = 'sql' WHERE ROW; ROLLBACK"),
}


@rounds(12, 600)
def test_exec_is_nil_exactly_when_a_watched_key_changed(fleet, seed, rounds):
    """By commands of any instance, by SQL, by expiry, by FLUSHDB. Each client has a database of its
    own, but all of them share the batches."""
    tried = collections.Counter()

    def work(client):
        conn = fleet.database.connect()
        changers = []
        for n in range(len(fleet.servers)):
            other = Client(fleet, client.number + n, seed)
            other.number = client.number
            changers.append(Other(other, conn))
        for each in (client, *(changer.client for changer in changers)):
            each.ask("SELECT", client.number)
        for _ in range(rounds):
            name = client.chance.choice([*CHANGES, *NO_CHANGES])
            changes, act = name in CHANGES, {**CHANGES, **NO_CHANGES}[name]
            client.ask("SET", "k", "5", *(["PX", 60] if name == "it expires" else []))
            assert client.ask("WATCH", "k") == OK
            if act(client.chance.choice(changers)) is False:
                client.ask("UNWATCH")
                continue
            done = client.exec(["SET", "out", "v"], ["EXISTS", "k"])
            assert (done is None) == changes, (name, done)
            assert client.ask("DEL", "out") == number(0 if changes else 1), name
            tried[name] += 1
        conn.close()

    fleet.run(seed, work)
    assert len(tried) > 20, tried


@rounds(8, 500)
def test_exec_is_nil_after_flushall(fleet, seed, rounds):
    """All clients watch keys of theirs when one of them says FLUSHALL, or FLUSHALL of what had been
    there before."""
    barrier = threading.Barrier(fleet.size)
    flushed = []

    def work(client):
        key = f"key{client.number}"
        chance = random.Random(seed)  # the same for all
        for i in range(rounds):
            who, when = chance.randrange(fleet.size), chance.choice(["before", "after", "never"])
            flushes = i > 0 and who == client.number
            barrier.wait(60)
            if flushes and when == "before":
                client.ask("FLUSHALL")
            barrier.wait(60)
            client.ask("SET", key, i)
            client.ask("WATCH", key)
            barrier.wait(60)
            if flushes and when == "after":
                client.ask("FLUSHALL")
                flushed.append(i)
            barrier.wait(60)
            done = client.exec(["INCR", f"{key}:n"], ["GET", key])
            # The one that flushes does so while it watches; that counts, too.
            assert (done is None) == (i in flushed), (when, done)

    fleet.run(seed, work)


# --- histories ------------------------------------------------------------------------------------

class Recorded:
    """Clients that do what `choices` says on keys that change all the time, and a check of it."""

    def __init__(self, fleet, seed, choices):
        self.fleet, self.seed, self.choices = fleet, seed, choices
        self.keys = "abcdef"[:fleet.size // 4]  # four clients each
        self.history = History()
        self.generation = 0

    def run(self, rounds, others=()):
        barrier = threading.Barrier(self.fleet.size, action=self.next)

        def work(client):
            recorder = Recorder(f"client {client.number}", [self.fleet.server(client.number)],
                                self.history, client.chance)
            for i in range(rounds):
                if i % 20 == 0:
                    barrier.wait(60)
                key = f"{client.chance.choice(self.keys)}{self.generation}"
                command = client.chance.choice(self.choices(b"%d.%d" % (client.number, i)))
                reply = recorder.run(key, command)
                assert reply is not None, command
            recorder.close()

        self.fleet.run(self.seed, work, others=others)
        assert self.history.unknown() == 0
        self.history.check()

    def next(self):
        self.generation += 1


@rounds(20, 400)
def test_expiry_against_writes(fleet, seed, rounds):
    """What expires in milliseconds is counted, extended, saved, written over and looked at: an INCR
    counts what had expired, a PERSIST or EXPIRE keeps it alive, a new value inherits the
    expiry of the old one, or it goes too early or too late."""
    chance = random.Random(seed)

    def choices(unique):
        ms = b"%d" % chance.choice([1, 3, 8, 20, 40])
        return [("SET", b"7", "PX", ms), ("SET", b"7", "PX", ms), ("SET", unique, "NX", "PX", ms),
                ("SET", unique, "KEEPTTL"), ("SET", b"0"), ("SETNX", b"3"), ("PEXPIRE", ms),
                ("PEXPIRE", ms), ("PERSIST",), ("INCR",), ("INCR",), ("INCR",), ("APPEND", b"0"),
                ("GETDEL",), ("GETSET", b"1"), ("PTTL",), ("PTTL",), ("GET",), ("GET",), ("DEL",)]

    Recorded(fleet, seed, choices).run(rounds)


@rounds(40, 400)
def test_flushall_under_load(fleet, seed, rounds):
    """It is one moment for all keys and instances: a write before it survives, or one behind it
    does not."""
    recorded = Recorded(fleet, seed, lambda unique: [
        ("SET", unique), ("SET", b"4"), ("INCR",), ("INCR",), ("APPEND", b"1"), ("GET",), ("GET",),
        ("SETNX", unique), ("GETDEL",)])

    def flush(ending):
        chance = random.Random(seed)
        client = Recorder("who flushes", fleet.servers, recorded.history, chance)
        while not ending.is_set():
            now = recorded.generation  # what is older is not used any more
            client.run_on_all("FLUSHALL", [f"{key}{generation}" for key in recorded.keys
                                           for generation in range(now, now + 3)])
            client.close()  # another instance the next time
            ending.wait(0.01)

    recorded.run(rounds, others=[flush])


# --- one hot key ----------------------------------------------------------------------------------

@rounds(8, 400)
def test_everybody_finishes_on_one_hot_key(fleet, seed, rounds):
    """Fifty clients: one that loses again and again never gets its turn."""
    told, slowest = [], [0.0] * 50

    def work(client):
        for _ in range(rounds):
            begun = time.monotonic()
            if client.number % 5:
                told.append(int(client.ask("INCR", "hot")[1:]))
            else:  # a group of its own, which is rejected as a whole
                some = client.exec(["INCR", "hot"], ["INCR", f"own{client.number}"])
                told.append(int(some[0][1:]))
            slowest[client.number] = max(slowest[client.number], time.monotonic() - begun)

    fleet.run(seed, work, size=50)
    assert sorted(told) == list(range(1, 50 * rounds + 1))
    for server in fleet.servers:
        assert int(server.client().get("hot")) == 50 * rounds
        assert int(server.client().get("own5")) == rounds
    print(f"the slowest took {max(slowest):.3f} s")
