"""Random commands on lists, sets and sorted sets, sent to a real redis-server and to us: every reply is
compared (differential_collections.py). RESPGRES_SEED replays a run."""

import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).with_name("differential_collections.py")

NAMES = """
    lpush rpush lpushx rpushx lpop rpop llen lrange lindex lset linsert lrem ltrim lpos lmove rpoplpush
    lmpop sadd srem sismember smismember smembers scard spop srandmember smove sinter sunion sdiff
    sintercard sinterstore sunionstore sdiffstore sscan zadd zincrby zrem zcard zscore zmscore zrank
    zrevrank zcount zlexcount zrange zrangestore zrangebyscore zrevrangebyscore zrangebylex
    zrevrangebylex zrevrange zremrangebyrank zremrangebyscore zremrangebylex zpopmin zpopmax zmpop
    zrandmember zunion zinter zdiff zintercard zunionstore zinterstore zdiffstore zscan sort sort_ro
""".split()


@pytest.fixture(scope="module")
def two(module_lab):
    return module_lab.respgres(module_lab.database()), module_lab.redis()


def differ(two, resp, seed, commands):
    ours, real = two
    done = subprocess.run(
        ["/usr/bin/python3", SCRIPT, "--ref", f"127.0.0.1:{real.port}",
         "--sub", f"127.0.0.1:{ours.port}", "--commands", str(commands), "--seed", str(seed),
         "--resp", str(resp)],
        capture_output=True, text=True, timeout=1500, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " 0 mismatches" in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("resp", [2, 3])
def test_replies_are_those_of_redis(two, seed, resp):
    differ(two, resp, seed, 10_000)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("resp", [2, 3])
def test_replies_are_those_of_redis_for_long(two, seed, resp):
    differ(two, resp, seed + 1, 200_000)


@pytest.mark.parametrize("name", NAMES)
def test_what_command_info_says(two, name):
    """Arity, flags, places of keys, categories, tips."""
    ours, real = (s.raw() for s in two)
    assert ours.command("COMMAND", "INFO", name) == real.command("COMMAND", "INFO", name)


GETKEYS = [
    "lmpop 2 a b LEFT", "lmpop 3 a b LEFT", "lmpop x a LEFT", "lmpop 0 a LEFT", "sintercard 1 a b",
    "zunion 2 a b WEIGHTS 1 2", "zunionstore d 2 a b", "zunionstore d 9 a b", "zdiffstore d 1 a",
    "zintercard 2 a b LIMIT 1", "zmpop 1 z MAX COUNT 2", "sort a", "sort a STORE b",
    "sort a BY x GET y LIMIT 0 1 STORE b", "sort a GET store STORE c", "sort_ro a", "zrangestore a b 0 1",
    "smove a b c", "sunionstore a b c", "lmove a b LEFT RIGHT", "zadd a 1 b", "zunion 1", "zunion",
]


@pytest.mark.parametrize("call", GETKEYS)
def test_where_keys_are(two, call):
    ours, real = (s.raw() for s in two)
    for question in ("GETKEYS", "GETKEYSANDFLAGS"):
        asked = ["COMMAND", question, *call.split()]
        assert ours.command(*asked) == real.command(*asked), question
