"""The checker of histories of lists, hashes, sets and sorted sets: what it must reject and what it must
accept."""

import itertools
import random

import pytest

from harness.history import History, Recorder
from harness.linearize import REGISTER, Operation, apply, fits, why_not_linearizable
from harness.linearize_collections import COLLECTIONS, SPOPPED
from harness.replies import NIL, OK, WRONG_TYPE, array, bulk, number

MS = 1_000_000
NOTHING = array([])


def op(begun, ended, command, reply, *more):
    """An operation by milliseconds; the command as one text."""
    commands = tuple((name, *(word.encode() for word in args))
                     for name, *args in (each.split() for each in (command, *more)))
    return Operation(begun * MS, None if ended is None else ended * MS, commands, reply)


def lost(begun, command):
    return op(begun, None, command, None)


def elements(*values):
    return array([bulk(value) for value in values])


GOOD = {
    "a queue": [op(0, 1, "LPUSH a", number(1)), op(2, 3, "LPUSH b", number(2)),
                op(4, 5, "RPOP", bulk(b"a")), op(6, 7, "RPOP", bulk(b"b")), op(8, 9, "RPOP", NIL)],
    "two push at once, in either order": [
        op(0, 9, "RPUSH a", number(2)), op(1, 8, "RPUSH b", number(1)),
        op(10, 11, "LRANGE 0 -1", elements(b"b", b"a"))],
    "a lost push that happened": [lost(0, "RPUSH a"), op(2, 3, "LPOP", bulk(b"a"))],
    "a lost push that did not": [lost(0, "RPUSH a"), op(2, 3, "LPOP", NIL)],
    "a lost pop that took it": [op(0, 1, "RPUSH a b", number(2)), lost(2, "LPOP"),
                                op(4, 5, "LPOP", bulk(b"b"))],
    "a list ends with its last element": [
        op(0, 1, "RPUSH a", number(1)), op(2, 3, "LPOP", bulk(b"a")), op(4, 5, "HSET f v", number(1))],
    "the wrong type": [op(0, 1, "RPUSH a", number(1)), op(2, 3, "SADD a", WRONG_TYPE),
                       op(4, 5, "SPOP", WRONG_TYPE), op(6, 7, "HLEN", WRONG_TYPE)],
    "a removed list": [op(0, 1, "RPUSH a b a", number(3)), op(2, 3, "LREM 0 a", number(2)),
                       op(4, 5, "LTRIM 1 5", OK), op(6, 7, "LLEN", number(0))],
    "a hash in any order": [op(0, 1, "HSET f 1", number(1)), op(2, 3, "HSET g 2", number(1)),
                            op(4, 5, "HGETALL", elements(b"g", b"2", b"f", b"1"))],
    "counters of a hash": [op(0, 9, "HINCRBY f 2", number(5)), op(1, 8, "HINCRBY f 3", number(3)),
                           op(10, 11, "HINCRBY g -1", number(-1))],
    "a set in any order": [op(0, 1, "SADD a b", number(2)), op(2, 3, "SMEMBERS", elements(b"b", b"a"))],
    "any member is taken": [op(0, 1, "SADD a b", number(2)), op(2, 3, "SPOP", bulk(b"b")),
                            op(4, 5, "SPOP", bulk(b"a")), op(6, 7, "SPOP", NIL)],
    "a lost SPOP took one": [op(0, 1, "SADD a b", number(2)), lost(2, "SPOP"),
                             op(4, 5, "SCARD", number(1)), op(6, 7, "SISMEMBER a", number(1))],
    "or none": [op(0, 1, "SADD a b", number(2)), lost(2, "SPOP"), op(4, 5, "SCARD", number(2))],
    "scores": [op(0, 1, "ZADD 2 a", number(1)), op(2, 3, "ZADD 1 b", number(1)),
               op(4, 5, "ZINCRBY 5 b", bulk(b"6")),
               op(6, 7, "ZRANGE 0 -1 WITHSCORES", elements(b"a", b"2", b"b", b"6")),
               op(8, 9, "ZPOPMIN", elements(b"a", b"2")), op(10, 11, "ZPOPMAX", elements(b"b", b"6")),
               op(12, 13, "ZPOPMIN", NOTHING)],
    "a list expires": [op(0, 1, "RPUSH a", number(1)), op(2, 3, "PEXPIRE 10", number(1)),
                       op(4, 5, "RPUSH b", number(2)), op(20, 21, "RPUSH c", number(1)),
                       op(22, 23, "PTTL", number(-1))],
    "a block": [op(0, 1, "RPUSH a", b"*2\r\n:1\r\n:2\r\n", "RPUSH b"), op(2, 3, "LLEN", number(2))],
}

BAD = {
    "a lost push": [op(0, 1, "RPUSH a", number(1)), op(2, 3, "RPUSH b", number(1))],
    "a push that a read does not show": [op(0, 1, "RPUSH a", number(1)), op(2, 3, "RPUSH b", number(2)),
                                         op(4, 5, "LRANGE 0 -1", elements(b"a"))],
    "a push done twice": [op(0, 1, "RPUSH a", number(1)), op(2, 3, "LLEN", number(2))],
    "a lost push done twice": [lost(0, "RPUSH a"), op(2, 3, "LLEN", number(2))],
    "a lost push that comes, goes, and comes again": [
        lost(0, "RPUSH a"), op(2, 3, "LPOP", bulk(b"a")), op(4, 5, "LLEN", number(1))],
    "taken twice": [op(0, 1, "RPUSH a b", number(2)), op(2, 5, "LPOP", bulk(b"a")),
                    op(3, 6, "LPOP", bulk(b"a"))],
    "taken in the wrong order": [op(0, 1, "LPUSH a", number(1)), op(2, 3, "LPUSH b", number(2)),
                                 op(4, 5, "RPOP", bulk(b"b"))],
    "what was taken is back": [op(0, 1, "RPUSH a", number(1)), op(2, 3, "LPOP", bulk(b"a")),
                               op(4, 5, "LLEN", number(1))],
    "half a push": [op(0, 9, "RPUSH a b", number(2)), op(1, 2, "LLEN", number(1))],
    "half a block": [op(0, 9, "RPUSH a", b"*2\r\n:1\r\n:2\r\n", "RPUSH b"), op(1, 2, "LLEN", number(1))],
    "a stale read of a list": [op(0, 1, "RPUSH a", number(1)), op(2, 3, "RPUSH b", number(2)),
                               op(4, 5, "LLEN", number(1))],
    "a lost field": [op(0, 1, "HSET f 1", number(1)), op(2, 3, "HSET g 2", number(1)),
                     op(4, 5, "HGETALL", elements(b"g", b"2"))],
    "a field of another": [op(0, 1, "HSET f 1", number(1)), op(2, 3, "HSET g 2", number(1)),
                           op(4, 5, "HGETALL", elements(b"g", b"1", b"f", b"2"))],
    "a lost increment": [op(0, 5, "HINCRBY f 1", number(1)), op(1, 6, "HINCRBY f 1", number(1))],
    "an increment done twice": [op(0, 1, "HINCRBY f 1", number(1)), op(2, 3, "HGET f", bulk(b"2"))],
    "two first": [op(0, 5, "HSETNX f a", number(1)), op(1, 6, "HSETNX f b", number(1))],
    "a member is taken twice": [op(0, 1, "SADD a b", number(2)), op(2, 5, "SPOP", bulk(b"b")),
                                op(3, 6, "SPOP", bulk(b"b"))],
    "a member that was never there": [op(0, 1, "SADD a", number(1)), op(2, 3, "SPOP", bulk(b"b"))],
    "nothing is taken though there is something": [op(0, 1, "SADD a", number(1)), op(2, 3, "SPOP", NIL)],
    "a lost SPOP took two": [op(0, 1, "SADD a b c", number(3)), lost(2, "SPOP"),
                             op(4, 5, "SCARD", number(1))],
    "a lost SPOP takes again": [
        op(0, 1, "SADD a b", number(2)), lost(2, "SPOP"), op(4, 5, "SISMEMBER a", number(0)),
        op(6, 7, "SISMEMBER b", number(1)), op(8, 9, "SISMEMBER b", number(0))],
    "added twice": [op(0, 5, "SADD a", number(1)), op(1, 6, "SADD a", number(1))],
    "a lost score": [op(0, 5, "ZINCRBY 1 a", bulk(b"1")), op(1, 6, "ZINCRBY 1 a", bulk(b"1"))],
    "not the least": [op(0, 1, "ZADD 2 a", number(1)), op(2, 3, "ZADD 1 b", number(1)),
                      op(4, 5, "ZPOPMIN", elements(b"a", b"2"))],
    "the least is taken twice": [op(0, 1, "ZADD 2 a", number(1)),
                                 op(2, 5, "ZPOPMIN", elements(b"a", b"2")),
                                 op(3, 6, "ZPOPMIN", elements(b"a", b"2"))],
    "kept alive by a push": [op(0, 1, "RPUSH a", number(1)), op(2, 3, "PEXPIRE 10", number(1)),
                             op(4, 5, "RPUSH b", number(2)), op(20, 21, "RPUSH c", number(3))],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_histories_are_accepted(name):
    assert why_not_linearizable(GOOD[name]) is None


@pytest.mark.parametrize("name", BAD)
def test_bad_histories_are_rejected(name):
    assert "can come next" in why_not_linearizable(BAD[name])


COMMANDS = {
    "list": ["LPUSH a", "RPUSH b", "RPUSH c d", "LPOP", "RPOP", "LREM 0 a", "LTRIM 0 1", "LLEN",
             "LINDEX 1", "LRANGE 0 -1"],
    "hash": ["HSET f 1", "HSET g 2", "HSETNX f 7", "HINCRBY f 2", "HINCRBY h -1", "HDEL f", "HDEL g h",
             "HGET f", "HLEN", "HGETALL"],
    "set": ["SADD a", "SADD b c", "SREM a b", "SREM c", "SPOP", "SPOP", "SISMEMBER a", "SCARD", "SMEMBERS"],
    "zset": ["ZADD 1 a", "ZADD 2 b", "ZADD 0 c", "ZINCRBY 3 a", "ZREM b", "ZPOPMIN", "ZPOPMAX",
             "ZSCORE a", "ZCARD", "ZRANGE 0 -1 WITHSCORES"],
}
OTHERS = ["DEL"]


def answer(chance, state, commands, number_=0):
    """What a true server says: SPOP takes one by chance."""
    if commands != (("SPOP",),):
        state, reply = apply(state, commands, number_)
        if not isinstance(reply, bytes):
            reply = array([bulk(e) for e in shuffled(chance, state[0])] if state else [])
        return state, reply
    if state is not None and state[0][0] != "set":
        return state, WRONG_TYPE
    member = chance.choice(sorted(state[0][1])) if state else None
    return apply(state, ((SPOPPED, member),), number_)


def shuffled(chance, value):
    """The elements of a set, or fields and values of a hash, as some server may list them."""
    kind, content = value
    some = chance.sample(sorted(content), len(content))
    return [word for pair in some for word in pair] if kind == "hash" else some


def some_history(chance, kind, operations, clients=3, lost_share=0.2):
    """What clients may see: each does one thing after another, each at a moment within its bounds. And
    the state at the end."""
    moments, history, state = [], [], None
    for client in range(clients):
        now = 0.0
        for _ in range(operations // clients):
            begun = now + chance.random()
            moment = begun + chance.random() * 3
            now = moment + chance.random() * 3
            moments.append((moment, begun, now, chance.choice(COMMANDS[kind] + OTHERS), client))
    for _, begun, ended, words, client in sorted(moments):
        o = op(begun, ended, words, None)._replace(client=f"client {client}")
        is_lost = chance.random() < lost_share
        if not is_lost or chance.random() < 0.5:
            state, reply = answer(chance, state, o.commands)
        history.append(o._replace(ended=None) if is_lost else o._replace(reply=reply))
    return history, state


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_search_agrees_with_all_permutations(kind, seed):
    """Random histories of six operations, true ones and such with a wrong reply."""
    chance, verdicts = random.Random(f"{kind}/{seed}"), []
    others = [NIL, OK, number(0), number(1), number(2), bulk(b"a"), bulk(b"1"), NOTHING]
    for _ in range(80):
        history, _ = some_history(chance, kind, 6)
        for i, o in enumerate(history):
            if o.ended is not None and chance.random() < 0.12 and o.commands != (("SPOP",),):
                history[i] = o._replace(reply=chance.choice(others))
        verdict = why_not_linearizable(history) is None
        assert verdict == by_permutation(history), history
        verdicts.append(verdict)
    assert 10 < sum(verdicts) < 75


def by_permutation(history):
    """The definition, tried out."""
    known = [o for o in history if o.ended is not None]
    unknown = [o for o in history if o.ended is None]
    return any(explains(order) for count in range(len(unknown) + 1)
               for happened in itertools.combinations(unknown, count)
               for order in itertools.permutations(known + list(happened)))


def explains(order):
    """Whether the operations, in this order, may have been answered so."""
    states, latest_begin = {None}, 0
    for o in order:
        latest_begin = max(latest_begin, o.begun)
        if o.ended is not None and o.ended < latest_begin:
            return False
        states = {after for state in states for after, reply in outcomes(state, o)
                  if o.ended is None or fits(reply, o.reply)}
        if not states:
            return False
    return True


def outcomes(state, o):
    if o.commands != (("SPOP",),) or (state is not None and state[0][0] != "set"):
        commands = o.commands if o.commands != (("SPOP",),) else (("SCARD",),)
        return [apply(state, commands)]
    return [apply(state, ((SPOPPED, member),)) for member in (state[0][1] if state else [None])]


TAILS = {  # what is right, and at which place another reply shows a lost or a doubled one
    "list": ([("RPUSH new", number(1)), ("RPUSH newer", number(2)), ("LPOP", bulk(b"new"))],
             {"lost": (1, number(1)), "doubled": (1, number(3))}),
    "hash": ([("HINCRBY n 1", number(1)), ("HINCRBY n 1", number(2)), ("HGET n", bulk(b"2"))],
             {"lost": (1, number(1)), "doubled": (2, bulk(b"3"))}),
    "set": ([("SADD new", number(1)), ("SPOP", bulk(b"new")), ("SCARD", number(0))],
            {"lost": (1, NIL), "doubled": (2, number(1))}),
    "zset": ([("ZADD 9 new", number(1)), ("ZINCRBY 1 new", bulk(b"10")),
              ("ZPOPMAX", elements(b"new", b"10"))],
             {"lost": (1, bulk(b"1")), "doubled": (2, elements(b"new", b"11"))}),
}


@pytest.mark.parametrize("fault", [None, "lost", "doubled"])
@pytest.mark.parametrize("kind", COMMANDS)
def test_long_histories(kind, fault, seed):
    """240 operations of six clients: true, and with one fault behind them."""
    chance = random.Random(f"{kind}/{fault}/{seed}")
    history, state = some_history(chance, kind, 240, 6, lost_share=0)
    tail, wrong = list(TAILS[kind][0]), TAILS[kind][1]
    if fault:
        at, reply = wrong[fault]
        tail[at] = (tail[at][0], reply)
    end = max(o.ended for o in history) / MS
    for n, each in enumerate([("DEL", number(state is not None)), *tail]):
        history.append(op(end + 2 * n + 1, end + 2 * n + 2, *each))
    assert (why_not_linearizable(history) is None) == (fault is None)


@pytest.mark.parametrize("kind", COMMANDS)
def test_long_histories_with_lost_replies(kind, seed):
    chance = random.Random(f"{kind}/{seed}")
    history, _ = some_history(chance, kind, 240, 6, lost_share=0.03)
    assert sum(o.ended is None for o in history) > 0
    assert why_not_linearizable(history) is None


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_model_answers_like_redis(redis_server, kind, seed):
    """Each command, in random order, against the real one; and now and then one of another type."""
    chance, raw, state = random.Random(f"{kind}/{seed}"), redis_server.raw(), None
    raw.command("FLUSHALL")
    used = set()
    strange = [command for other in COMMANDS.values() for command in other]
    for _ in range(1500):
        words = chance.choice(COMMANDS[kind] * 8 + OTHERS + strange)
        o = op(0, 1, words, None)
        (name, *args), = o.commands
        reply = raw.command(name, "k", *args)
        used.add(name)
        if name == "SPOP":
            assert reply in [told for _, told in outcomes(state, o)], (words, state, reply)
            state = next(after for after, told in outcomes(state, o) if told == reply)
            continue
        state, expected = apply(state, o.commands)
        assert fits(expected, reply), (words, state, reply)
    assert used >= {command.split()[0] for command in COMMANDS[kind]}


def test_every_command_of_the_model_is_tried():
    tried = {command.split()[0] for some in COMMANDS.values() for command in some}
    assert tried == set(COLLECTIONS) - {SPOPPED} | {"SPOP"}
    assert not set(COLLECTIONS) & set(REGISTER)


def test_recorded_histories_of_redis_pass(redis_server, seed):
    """The recorder on redis-server; and a history that was tampered with does not pass."""
    redis_server.client().flushall()
    history, chance = History(), random.Random(seed)
    clients = [Recorder(f"client {i}", [redis_server], history, chance) for i in range(3)]
    for i in range(400):
        kind = chance.choice(list(COMMANDS))
        name, *args = chance.choice(COMMANDS[kind]).split()
        chance.choice(clients).run(kind, (name, *map(str.encode, args)))
    clients[0].run("list", ("RPUSH", b"x"), ("RPUSH", b"y"))
    for client in clients:
        client.close()
    history.check()
    assert history.count() == 401
    tampered = history.operations["set"]
    at = next(i for i, o in enumerate(tampered) if o.commands[0][0] == "SPOP" and o.reply != NIL)
    tampered[at] = tampered[at]._replace(reply=bulk(b"nobody put it there"))
    with pytest.raises(AssertionError, match="history of set is not linearizable"):
        history.check()
