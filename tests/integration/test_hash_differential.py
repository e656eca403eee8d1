"""Random commands about hashes, sent to a real redis-server and to us. Small hashes are listed in
Redis' own order, to the byte."""

import random
import re

import pytest

from differential_hash import HashCommands, parts, same
from harness import encode

BATCH = 100
STRINGS = re.compile(rb"raw|int|embstr")


def exchange(link, commands):
    link.send(b"".join(encode(*c) for c in commands))
    return [link.reply() for _ in commands]


def compare(ours, real, rng, large, commands):
    make = HashCommands(rng, large)
    done = 0
    while done < commands:
        batch = []
        for _ in range(BATCH):
            command = make.command()
            # asked right before: is the order of this one Redis' own?
            batch += [[b"OBJECT", b"ENCODING", command[1] if len(command) > 1 else b"none"], command]
        answers = list(zip(exchange(ours, batch), exchange(real, batch)))
        for i in range(0, len(batch), 2):
            encoding, (a, b) = answers[i], answers[i + 1]
            # of strings docs/commands.md says how they differ
            assert encoding[0] == encoding[1] or STRINGS.search(encoding[1]), batch[i]
            assert same(batch[i + 1], a, b, b"listpack" in encoding[1]), (batch[i + 1], a, b)
        done += BATCH


@pytest.fixture(scope="module")
def two(module_lab):
    return module_lab.respgres(module_lab.database()), module_lab.redis()


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_hashes_are_those_of_redis(two, seed, resp, large):
    links = [s.raw() for s in two]
    for link in links:
        link.command("HELLO", resp)
        link.command("FLUSHALL")
    compare(*links, random.Random(seed), large, 2000)


@pytest.mark.long
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_hashes_are_those_of_redis_for_long(two, seed, large):
    links = [s.raw() for s in two]
    for link in links:
        link.command("FLUSHALL")
    compare(*links, random.Random(seed), large, 60_000)


def test_what_the_server_says_of_the_commands(two):
    """COMMAND INFO: arity, flags, keys, categories; COMMAND DOCS: the arguments."""
    names = ("hset hmset hsetnx hget hmget hgetall hdel hexists hlen hkeys hvals hstrlen hincrby"
             " hincrbyfloat hscan hrandfield").split()
    ours, real = (s.raw() for s in two)
    for name in names:
        assert ours.command("COMMAND", "INFO", name) == real.command("COMMAND", "INFO", name), name
        docs = [parts(link.command("COMMAND", "DOCS", name))[1][1][1] for link in (ours, real)]
        ours_of, real_of = ({pairs[i]: pairs[i + 1] for i in range(0, len(pairs), 2)} for pairs in docs)
        # Redis calls HRANDFIELD's block "options"; here blocks have the names of what is in them
        for fact in (b"arguments", b"group", b"since")[name == "hrandfield":]:
            assert ours_of[fact] == real_of[fact], (name, fact)
