"""The checker of histories itself: what it must reject and what it must accept."""

import itertools
import random

import pytest

from harness.history import History, Recorder, bulks
from harness.linearize import (LEFT, NIL, OK, Operation, REGISTER, Undecided, apply, bulk, number,
                               why_not_linearizable)

MS = 1_000_000


def op(begun, ended, command, reply, *more):
    """An operation by milliseconds; the command as one text."""
    commands = tuple(tuple(word if i == 0 or word in ("NX", "XX", "GET", "PX", "KEEPTTL")
                           else word.encode() for i, word in enumerate(each.split()))
                     for each in (command, *more))
    return Operation(begun * MS, None if ended is None else ended * MS, commands, reply)


def lost(begun, command):
    return op(begun, None, command, None)


GOOD = {
    "nothing": [],
    "one after another": [op(0, 1, "SET a", OK), op(2, 3, "GET", bulk(b"a"))],
    "a read beside a write sees it": [op(0, 9, "SET a", OK), op(1, 2, "GET", bulk(b"a"))],
    "or does not": [op(0, 9, "SET a", OK), op(1, 2, "GET", NIL)],
    "first not, then yes": [op(0, 9, "SET a", OK), op(1, 2, "GET", NIL),
                            op(3, 4, "GET", bulk(b"a"))],
    "concurrent increments": [op(0, 9, "INCR", number(2)), op(1, 8, "INCR", number(1)),
                              op(2, 7, "INCR", number(3))],
    "a lost write that happened": [lost(0, "SET a"), op(2, 3, "GET", bulk(b"a"))],
    "a lost write that did not": [lost(0, "SET a"), op(2, 3, "GET", NIL)],
    "a lost write that happened late": [lost(0, "SET a"), op(2, 3, "SET b", OK),
                                        op(4, 5, "GET", bulk(b"b")), op(6, 7, "GET", bulk(b"a"))],
    "one of two lost increments": [lost(0, "INCR"), lost(1, "INCR"),
                                   op(2, 3, "GET", bulk(b"1")), op(4, 5, "GET", bulk(b"1"))],
    "a block": [op(0, 1, "SET 4", OK), op(2, 3, "GET", b"*2\r\n$1\r\n4\r\n:5\r\n", "INCR")],
    "an error is a reply": [op(0, 1, "SET a", OK),
                            op(2, 3, "INCR", b"-ERR value is not an integer or out of range\r\n")],
    "it expires": [op(0, 1, "SET a PX 10", OK), op(5, 6, "GET", bulk(b"a")), op(14, 15, "GET", NIL),
                   op(16, 17, "INCR", number(1)), op(18, 19, "PTTL", number(-1))],
    "saved in time": [op(0, 1, "SET a PX 10", OK), op(8, 9, "PERSIST", number(1)),
                      op(20, 21, "GET", bulk(b"a"))],
    "an expiry of a value that is written over": [
        op(0, 1, "SET a PX 10", OK), op(2, 3, "SET b", OK), op(20, 21, "GET", bulk(b"b"))],
}

BAD = {
    "a stale read": [op(0, 1, "SET a", OK), op(2, 3, "SET b", OK), op(4, 5, "GET", bulk(b"a"))],
    "a read of what is not there yet": [op(0, 1, "GET", bulk(b"a")), op(2, 3, "SET a", OK)],
    "two reads in the wrong order": [op(0, 9, "SET a", OK), op(1, 2, "GET", bulk(b"a")),
                                     op(3, 4, "GET", NIL)],
    "a lost update": [op(0, 5, "INCR", number(1)), op(1, 6, "INCR", number(1))],
    "a lost update that a read shows": [op(0, 1, "APPEND a", number(1)),
                                        op(2, 3, "APPEND b", number(2)),
                                        op(4, 5, "GET", bulk(b"b"))],
    "a double apply": [op(0, 1, "INCR", number(1)), op(2, 3, "GET", bulk(b"2"))],
    "a double apply of a lost one": [lost(0, "INCR"), op(2, 3, "GET", bulk(b"2"))],
    "a lost write that happens twice": [
        lost(0, "SET a"), op(2, 3, "GET", bulk(b"a")), op(4, 5, "SET b", OK),
        op(6, 7, "GET", bulk(b"a"))],
    "two winners": [op(0, 5, "SET a NX", OK), op(1, 6, "SET b NX", OK)],
    "no winner": [op(0, 5, "SETNX a", number(0))],
    "handed out twice": [op(0, 1, "SET a", OK), op(2, 5, "GETDEL", bulk(b"a")),
                         op(3, 6, "GETDEL", bulk(b"a"))],
    "half a block": [op(0, 9, "SET a", b"*2\r\n+OK\r\n+OK\r\n", "SET b"),
                     op(1, 2, "GET", bulk(b"a"))],
    "expired too early": [op(0, 1, "SET a PX 10", OK), op(4, 5, "GET", NIL)],
    "kept alive": [op(0, 1, "SET a PX 10", OK), op(20, 21, "GET", bulk(b"a"))],
    "an expired value is counted": [op(0, 1, "SET 7 PX 10", OK), op(20, 21, "INCR", number(8))],
    "an expired value is saved": [op(0, 1, "SET 7 PX 10", OK), op(20, 21, "PERSIST", number(1))],
    "the new value inherits the expiry": [
        op(0, 1, "SET 7 PX 10", OK), op(20, 21, "INCR", number(1)), op(40, 41, "GET", NIL)],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_histories_are_accepted(name):
    assert why_not_linearizable(GOOD[name]) is None


@pytest.mark.parametrize("name", BAD)
def test_bad_histories_are_rejected(name):
    assert "can come next" in why_not_linearizable(BAD[name])


COMMANDS = ["GET", "SET a", "SET 1", "SET b NX", "SETNX 5", "GETSET c", "GETDEL", "DEL", "APPEND 0",
            "INCR", "INCR"]


def test_the_search_agrees_with_all_permutations(seed):
    """Random histories of six operations, true ones and such with a wrong reply."""
    chance, verdicts = random.Random(seed), []
    for _ in range(800):
        history = concurrent_history(chance, 6, lost_share=0.2)
        for i, o in enumerate(history):
            if o.ended is not None and chance.random() < 0.15:
                other = chance.choice([NIL, OK, number(0), number(1), number(2), bulk(b"a")])
                history[i] = o._replace(reply=other)
        verdict = why_not_linearizable(history) is None
        assert verdict == by_permutation(history), history
        verdicts.append(verdict)
    assert 100 < sum(verdicts) < 700


def by_permutation(history):
    """The definition, tried out."""
    known = [o for o in history if o.ended is not None]
    unknown = [o for o in history if o.ended is None]
    for count in range(len(unknown) + 1):
        for happened in itertools.combinations(unknown, count):
            if any(map(explains, itertools.permutations(known + list(happened)))):
                return True
    return False


def explains(order):
    state, latest_begin = None, 0
    for o in order:
        latest_begin = max(latest_begin, o.begun)
        state, reply = apply(state, o.commands)
        if o.ended is not None and (o.ended < latest_begin or reply != o.reply):
            return False
    return True


def concurrent_history(chance, operations, clients=4, lost_share=0.0, commands=None):
    """What clients of one register may see: each does one thing after another, each of which
    happens at a moment of its own within its bounds."""
    moments, history = [], []
    for client in range(clients):
        now = 0.0
        for i in range(operations // clients + (client < operations % clients)):
            begun = now + chance.random()
            moment = begun + chance.random() * 3
            now = moment + chance.random() * 3
            command = commands(client, i) if commands else chance.choice(COMMANDS)
            moments.append((moment, begun, now, command, client))
    state = None
    for moment, begun, ended, command, client in sorted(moments):
        o = op(begun, ended, command, None)._replace(client=f"client {client}")
        is_lost = chance.random() < lost_share
        if not is_lost or chance.random() < 0.5:
            state, reply = apply(state, o.commands)
        history.append(o._replace(ended=None) if is_lost else o._replace(reply=reply))
    return history


@pytest.mark.parametrize("fault", [None, "stale read", "lost update", "double apply"])
def test_long_histories(fault, seed):
    """Six clients and 300 operations, some of which were lost: true, and with one fault in the
    middle."""
    chance = random.Random(seed)

    def some(client, i):
        return chance.choice(["GET", "GET", f"SET {client}.{i}", f"APPEND {client}", f"GETSET {i}",
                              "INCR", "DEL"])

    first = concurrent_history(chance, 150, 6, 0.02, some)
    end = max(o.ended for o in first if o.ended) / MS
    middle = {
        None: [("SET 7000", OK), ("INCR", number(7001)), ("GET", bulk(b"7001"))],
        "stale read": [("SET new", OK), ("SET newer", OK), ("GET", bulk(b"new"))],
        "lost update": [("SET 7000", OK), ("INCR", number(7001)), ("GET", bulk(b"7000"))],
        "double apply": [("SET 7000", OK), ("APPEND x", number(5)), ("GET", bulk(b"7000xx"))],
    }[fault]
    history = first + [op(end + n + 0.1, end + n + 1, command, reply)
                       for n, (command, reply) in enumerate(middle + [("DEL", number(1))])]
    for o in concurrent_history(chance, 150, 6, 0.02, some):
        history.append(o._replace(begun=o.begun + (end + 9) * MS,
                                  ended=o.ended and o.ended + (end + 9) * MS))
    assert (why_not_linearizable(history) is None) == (fault is None)


def test_a_search_that_grows_too_large_says_so():
    history = [lost(i, f"APPEND {i}") for i in range(30)] + [op(50, 51, "GET", bulk(b"x"))]
    with pytest.raises(Undecided):
        why_not_linearizable(history, limit=10_000)


def test_the_model_answers_like_redis(redis_server, seed):
    """Each command of the register, in random order, against the real one."""
    chance, raw, state = random.Random(seed), redis_server.raw(), None
    commands = COMMANDS + ["SET x XX", "SET y GET", "SET 3 KEEPTTL", "SET 9223372036854775806",
                           "SET 007", "SET 5 PX 100000", "SET d NX PX 100000", "PEXPIRE 100000",
                           "PERSIST", "PTTL", "FLUSHALL"]
    used = set()
    for i in range(3000):
        command = chance.choice(commands).split()
        used.add(command[0])
        args = [w if w in ("NX", "XX", "GET", "PX", "KEEPTTL") else w.encode() for w in command[1:]]
        state, expected = apply(state, [(command[0], *args)], i)
        reply = raw.command(command[0], *(["k"] if command[0] != "FLUSHALL" else []), *args)
        if expected is LEFT:
            assert 0 < int(reply[1:]) <= 100000
        else:
            assert reply == expected, (command, state)
    assert used == {name for name in REGISTER if name.isalpha()}


def test_recorded_histories_of_redis_pass(redis_server, seed):
    """The recorder, proven on redis-server; and a history that was tampered with does not pass."""
    history, chance = History(), random.Random(seed)
    clients = [Recorder(f"client {i}", [redis_server], history, chance) for i in range(3)]
    for i in range(300):
        client = chance.choice(clients)
        client.run("k", ("SET", b"%d" % i), ("GET",))
        client.run("k", ("APPEND", b"x"))
        client.run_on_all("MSET", ["k", "j"], [b"a%d" % i, b"b%d" % i])
        client.run_on_all("MGET", ["k", "j"])
    for client in clients:
        client.close()
    history.check()
    assert history.count() == 300 * 6
    tampered = history.operations["j"]
    tampered[-1] = tampered[-1]._replace(reply=bulk(b"b7"))
    with pytest.raises(AssertionError, match="history of j is not linearizable"):
        history.check()


def test_arrays_are_split():
    array = b"*3\r\n$1\r\na\r\n$-1\r\n$4\r\n\r\n\r\n\r\n"
    assert bulks(array) == [bulk(b"a"), NIL, bulk(b"\r\n\r\n")]
