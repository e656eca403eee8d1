"""Several hundred scripts, run by a real redis-server and by us: each reply to the byte, under RESP2 and RESP3."""

import pytest

from differential_scripts import CALLS, SCRIPTS
from harness import encode


@pytest.fixture(scope="module")
def two(module_lab):
    return module_lab.respgres(module_lab.database(), pg_timeout=10000), module_lab.redis()


def differences(ours, real, commands):
    found = []
    for command in commands:
        a, b = ours.command(*command), real.command(*command)
        if a != b:
            found.append(f"{command}\n   ours  {a}\n   redis {b}")
    return found


@pytest.mark.parametrize("resp", [2, 3])
def test_scripts_answer_as_in_redis(two, resp):
    wires = [s.raw(timeout=60) for s in two]
    for w in wires:
        w.command("HELLO", resp)
        w.command("FLUSHALL")
        w.command("SCRIPT", "FLUSH")
    evals = [["EVAL", script, len(keys), *keys, *args] for script, keys, args in SCRIPTS]
    assert len(evals) > 500
    found = differences(*wires, evals + CALLS)
    assert not found, f"{len(found)} of {len(evals)}\n" + "\n".join(found)


def test_the_deepest_reply(two):
    """A table that contains itself: as deep as Lua's stack."""
    replies = []
    for server in two:
        link = server.raw(timeout=60)
        link.send(encode("EVAL", "local t={} t[1]=t return t", 0))
        data = b""
        while not data.endswith(b"lua stack limit\r\n"):
            data += link.sock.recv(65536)
        replies.append(data)
    assert replies[0] == replies[1]
