"""Scripts of clients of two and three instances on the same few keys: what a script writes is seen whole or
not at all, nothing that it acknowledged is lost, and it is carried out once. Also while instances are killed
and lanes are cut. The runs of --long have thousands of rounds and hundreds of faults."""

import collections
import random

import pytest

from harness import wait_until
from harness.replies import NIL
from rules import Threads
from test_instances_stress import Fleet, rounds, split

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

ACCOUNTS = [b"account%d" % n for n in range(5)]
START = 100

# From KEYS[1] to KEYS[2], as much as there is; and a note in a list that the call does not declare.
TRANSFER = b"""
    local have, amount = tonumber(redis.call('GET', KEYS[1])), tonumber(ARGV[1])
    if have < amount then return -1 end
    redis.call('DECRBY', KEYS[1], amount)
    redis.call('INCRBY', KEYS[2], amount)
    redis.call('RPUSH', 'notes', ARGV[2])
    return amount"""
# Takes from a list, puts into a hash.
TAKE = b"""
    local thing = redis.call('RPOP', KEYS[1])
    if thing then redis.call('HSET', KEYS[2], thing, ARGV[1]) end
    return thing"""
SUM = b"local n = 0 for i = 1, #KEYS do n = n + redis.call('GET', KEYS[i]) end return n"


def transfer(chance, note):
    return "EVAL", TRANSFER, 2, *chance.sample(ACCOUNTS, 2), chance.randrange(1, 60), note


def total(chance):
    """By a script, or by a plain command."""
    some = chance.sample(ACCOUNTS, len(ACCOUNTS))
    return ("EVAL", SUM, len(some), *some) if chance.random() < 0.5 else ("MGET", *some)


def check_total(reply):
    found = sum(map(int, split(reply))) if reply.startswith(b"*") else int(reply[1:-2])
    assert found == START * len(ACCOUNTS), f"{found}: a reader saw half of a script"


# --- nothing goes wrong ----------------------------------------------------------------------------

@pytest.fixture(scope="module", params=[2, 3])
def fleet(request, module_lab):
    module_lab.defaults["fallback"] = "off"
    return Fleet(module_lab, request.param)


@rounds(15, 1500)
def test_amounts_move_by_scripts(fleet, seed, rounds):
    server = fleet.servers[0].client()
    assert server.flushall() and server.mset(dict.fromkeys(ACCOUNTS, START))
    done = []

    def work(client):
        for i in range(rounds):
            note = b"%d.%d" % (client.number, i)
            if client.ask(*transfer(client.chance, note)) != b":-1\r\n":
                done.append(note)
            check_total(client.ask(*total(client.chance)))

    fleet.run(seed, work)
    assert collections.Counter(server.lrange("notes", 0, -1)) == collections.Counter(done)
    assert len(done) > fleet.size


@rounds(15, 1500)
def test_things_move_from_a_list_into_a_hash(fleet, seed, rounds):
    server = fleet.servers[0].client()
    assert server.flushall()
    pushed, taken = [], {}

    def work(client):
        for i in range(rounds):
            thing = b"%d.%d" % (client.number, i)
            client.ask("LPUSH", "list", thing)
            pushed.append(thing)
            reply = client.ask("EVAL", TAKE, 2, "list", "hash", thing)
            if reply != NIL:
                taken[reply.split(b"\r\n")[1]] = thing

    fleet.run(seed, work)
    assert server.hgetall("hash") == taken
    assert collections.Counter([*taken, *server.lrange("list", 0, -1)]) == collections.Counter(pushed)


# --- instances are killed, lanes are cut -----------------------------------------------------------

class Told:
    """What clients were told, of whom some got no answer."""

    def __init__(self):
        self.pushed, self.maybe_pushed, self.taken, self.maybe_taken = [], [], {}, 0
        self.notes, self.maybe_notes = [], []

    def count(self):
        return len(self.pushed) + len(self.taken) + len(self.notes)

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
                act = chance.choice([self.push, self.take, self.transfer, self.look])
                try:
                    act(lambda *words, raw=raw: _answer(raw.command(*words)), chance, b"%d.%d" % (number, i))
                except OSError:
                    raw = raw.close()
        return run

    def push(self, ask, _chance, thing):
        outcome, _ = self._in_doubt(ask, self.maybe_pushed, thing, "LPUSH", "list", thing)
        if outcome == "done":
            self.pushed.append(thing)

    def take(self, ask, _chance, name):
        self.maybe_taken += 1
        outcome, reply = ask("EVAL", TAKE, 2, "list", "hash", name)
        if outcome != "unknown":
            self.maybe_taken -= 1
        if outcome == "done" and reply != NIL:
            self.taken[reply.split(b"\r\n")[1]] = name

    def transfer(self, ask, chance, note):
        outcome, reply = self._in_doubt(ask, self.maybe_notes, note, *transfer(chance, note))
        if outcome == "done" and reply != b":-1\r\n":
            self.notes.append(note)

    def look(self, ask, chance, _):
        outcome, reply = ask(*total(chance))
        if outcome == "done":
            check_total(reply)

    @staticmethod
    def _in_doubt(ask, doubts, what, *words):
        """Among the doubts until there is an answer."""
        doubts.append(what)
        outcome, reply = ask(*words)
        if outcome != "unknown":
            doubts.remove(what)
        return outcome, reply

    def check(self, listed, hashed, notes):
        print(f"{len(self.pushed)} pushed, {len(self.taken)} taken, {len(self.notes)} transfers; in doubt "
              f"{len(self.maybe_pushed)}, {self.maybe_taken}, {len(self.maybe_notes)}")
        assert not set(listed) & set(hashed), "a script was carried out by half"
        found = collections.Counter([*listed, *hashed])
        assert set(found.values()) <= {1}, "a thing came twice"
        assert set(self.pushed) <= set(found) <= {*self.pushed, *self.maybe_pushed}, "pushed and not there"
        assert self.taken.items() <= hashed.items(), "taken and not in the hash"
        assert len(hashed) <= len(self.taken) + self.maybe_taken, "a script was carried out twice"
        twice = [note for note, n in collections.Counter(notes).items() if n > 1]
        assert not twice, "a script was carried out twice"
        assert set(self.notes) <= set(notes) <= {*self.notes, *self.maybe_notes}, "a transfer is lost"


def _answer(reply):
    if reply.startswith(b"-ERR PostgreSQL did not confirm"):
        return "unknown", reply
    if reply.startswith(b"-"):
        assert reply.startswith(b"-LOADING") or b"nothing was written" in reply, reply
        return "refused", reply
    return "done", reply


def run_with_faults(servers, seed, faults, disturb):
    client = servers[0].client()
    assert client.mset(dict.fromkeys(ACCOUNTS, START))
    told, chance = Told(), random.Random(seed)

    def make_trouble(ending):
        try:
            for _ in range(faults):
                goal = told.count() + 80
                wait_until(lambda goal=goal: told.count() >= goal, 60, "more is pushed, taken and moved")
                disturb(chance)
        finally:
            ending.set()

    with Threads(make_trouble, *(told.client(n, servers, seed) for n in range(8))) as threads:
        threads.ending.wait(1500)
    last = servers[0].client()
    assert sum(map(int, last.mget(ACCOUNTS))) == START * len(ACCOUNTS)
    told.check(last.lrange("list", 0, -1), last.hgetall("hash"), last.lrange("notes", 0, -1))


@pytest.mark.parametrize("instances, faults", [
    (3, 4), pytest.param(2, 100, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    pytest.param(3, 100, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_scripts_survive_kills_and_cuts(lab, database, seed, instances, faults):
    """kill -9 of one, or all its lanes are cut, before PostgreSQL has the batch or after its commit."""
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    url = database.url_by(port=proxy.port)
    servers = [lab.respgres(url, pg_timeout=10_000, fallback="off") for _ in range(instances - 1)]
    servers.append(lab.respgres(database, pg_timeout=10_000, fallback="off"))

    def disturb(chance):
        if chance.random() < 0.5:
            wait_until(proxy.cut, what="there is a connection to cut")
            return
        server = chance.choice(servers)
        server.kill9()
        server.start()

    run_with_faults(servers, seed, faults, disturb)


def test_the_check_finds_what_is_wrong():
    def told(listed=(b"b",), hashed=((b"a", b"1"),), notes=(b"n",), **more):
        some = Told()
        some.pushed, some.taken, some.notes = [b"a", b"b"], {b"a": b"1"}, [b"n"]
        vars(some).update(more)
        some.check(listed, dict(hashed), notes)

    told()
    told(listed=(), hashed=((b"a", b"1"), (b"b", b"2")), maybe_taken=1)
    told(listed=(b"b", b"c"), maybe_pushed=[b"c"], notes=(b"n", b"m"), maybe_notes=[b"m"])
    for wrong in ({"listed": ()}, {"hashed": ()}, {"listed": (b"b", b"a")}, {"listed": (b"b", b"c")},
                  {"hashed": ((b"a", b"2"),)}, {"listed": (), "hashed": ((b"a", b"1"), (b"b", b"2"))},
                  {"notes": ()}, {"notes": (b"n", b"n")}, {"notes": (b"n", b"m")}):
        with pytest.raises(AssertionError):
            told(**wrong)
