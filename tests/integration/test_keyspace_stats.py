"""keyspace_hits and keyspace_misses: the same numbers as redis-server's, for every command that takes keys."""

import pytest

pytestmark = pytest.mark.rows

SETUP = [
    "DEL str list hash set zset ints other dest no", "SET str 10", "SET other v", "RPUSH list 1 2 3", "HSET hash f 1",
    "SADD set a b", "ZADD zset 1 a 2 b", "RPUSH ints 1 2", "SET w_1 1",
]

# A key is named by what it holds; each line is run with all of them there, with none, and, where there are
# several, with the first one only.
CALLS = """
GET str | SET str v | SET str v NX | SET str v XX | SET str v GET | SET str v NX GET | SET str v KEEPTTL
SETEX str 100 v | PSETEX str 100000 v | SETNX str v | GETSET str v | GETDEL str | GETEX str | GETEX str EX 100
GETEX str PERSIST | MGET str other | MGET str str | MSET str v other w | MSETNX str v other w | APPEND str v
STRLEN str | GETRANGE str 0 1 | SUBSTR str 0 1 | SETRANGE str 1 x | SETRANGE str 1 "" | INCR str | DECR str
INCRBY str 2 | DECRBY str 2 | INCRBYFLOAT str 2 | LCS str other | GETBIT str 1 | SETBIT str 1 1 | BITCOUNT str
BITPOS str 1 | BITOP AND dest str other | BITOP NOT dest str | BITFIELD str GET u8 0 | BITFIELD str SET u8 0 1
BITFIELD_RO str GET u8 0 | BITFIELD str
DEL str other | UNLINK str other | EXISTS str other | TOUCH str other | TYPE str | TTL str | PTTL str
EXPIRETIME str | PEXPIRETIME str | EXPIRE str 100 | PEXPIRE str 100000 | EXPIREAT str 99999999999
PEXPIREAT str 99999999999000 | EXPIRE str -1 | EXPIRE str 100 GT | PERSIST str | RENAME str dest | RENAMENX str other
COPY str dest | COPY str other | COPY str other REPLACE | MOVE str 1 | OBJECT ENCODING str
OBJECT REFCOUNT str | OBJECT IDLETIME str | MEMORY USAGE str
SORT list | SORT_RO list | SORT list BY w_* GET # GET w_* | SORT list STORE dest
LPUSH list x | RPUSH list x | LPUSHX list x | RPUSHX list x | LINSERT list BEFORE 1 x | LLEN list | LINDEX list 0
LSET list 0 x | LRANGE list 0 -1 | LREM list 0 1 | LTRIM list 0 1 | LPOS list 1 | LPOP list | LPOP list 1 | RPOP list
RPOPLPUSH list ints | LMOVE list ints LEFT LEFT | LMPOP 2 list ints LEFT | BLPOP list ints 0.01
BRPOP list ints 0.01 | BLMOVE list ints LEFT LEFT 0.01 | BRPOPLPUSH list ints 0.01 | BLMPOP 0.01 2 list ints LEFT
HSET hash f 1 | HMSET hash f 1 | HSETNX hash f 1 | HGET hash f | HMGET hash f g | HGETALL hash | HKEYS hash | HVALS hash
HLEN hash | HEXISTS hash f | HSTRLEN hash f | HDEL hash f | HINCRBY hash f 1 | HINCRBYFLOAT hash f 1
HRANDFIELD hash | HRANDFIELD hash 2 | HSCAN hash 0
SADD set x | SREM set a | SCARD set | SISMEMBER set a | SMISMEMBER set a b | SMEMBERS set | SPOP set | SPOP set 1
SRANDMEMBER set | SRANDMEMBER set 2 | SMOVE set dest a | SSCAN set 0 | SINTER set set | SUNION set set | SDIFF set set
SINTERCARD 2 set set | SINTERSTORE dest set set | SUNIONSTORE dest set set | SDIFFSTORE dest set set
ZADD zset 3 c | ZADD zset XX 3 a | ZADD zset INCR 3 a | ZINCRBY zset 1 a | ZREM zset a | ZCARD zset | ZSCORE zset a
ZMSCORE zset a | ZRANK zset a | ZREVRANK zset a | ZCOUNT zset 0 9 | ZLEXCOUNT zset - + | ZRANGE zset 0 -1
ZREVRANGE zset 0 -1 | ZRANGEBYSCORE zset 0 9 | ZREVRANGEBYSCORE zset 9 0 | ZRANGEBYLEX zset - +
ZREVRANGEBYLEX zset + - | ZRANGESTORE dest zset 0 -1 | ZREMRANGEBYRANK zset 0 0 | ZREMRANGEBYSCORE zset 0 1
ZREMRANGEBYLEX zset - + | ZPOPMIN zset | ZPOPMAX zset | ZMPOP 1 zset MIN | BZPOPMIN zset 0.01 | BZPOPMAX zset 0.01
BZMPOP 0.01 1 zset MIN | ZRANDMEMBER zset | ZRANDMEMBER zset 2 | ZSCAN zset 0 | ZUNION 2 zset set | ZINTER 2 zset set
ZDIFF 2 zset set | ZINTERCARD 2 zset set | ZUNIONSTORE dest 2 zset set | ZINTERSTORE dest 2 zset set
ZDIFFSTORE dest 2 zset set
EVAL "return redis.call('get',KEYS[1])" 1 str | EVAL_RO "return redis.call('get',KEYS[1])" 1 str
EVAL "redis.call('get',KEYS[1]) return redis.call('set',KEYS[1],'v')" 1 str | WATCH str | DEBUG OBJECT str
GET list | LLEN str | HGET str f | SINTER str set | INCR list | GETSET list v | GETDEL list | SET list v GET
SINTER set str no | ZUNION 2 str zset | SINTERSTORE dest no str | COPY no dest | LPOP str
RANDOMKEY | KEYS x* | SCAN 0 | DBSIZE
"""

# Its keys are shown by no other way of calling it, or it is another command's name.
ELSEWHERE = {
    "evalsha", "evalsha_ro",  # EVAL's
    "object|freq",            # an error
    "ssubscribe", "sunsubscribe", "spublish",  # channels, not keys
}


def words(call):
    """Blanks part them, but within double quotes."""
    return [part for i, piece in enumerate(call.split('"')) for part in
            ([piece] if i % 2 else piece.split())]


KEYS = {"str", "list", "hash", "set", "zset", "ints", "other"}


def variants():
    for line in CALLS.strip().splitlines():
        for call in line.split(" | "):
            args = words(call)
            at = [i for i, word in enumerate(args) if i > 0 and word in KEYS]
            for missing in dict.fromkeys(((), tuple(at), tuple(at[1:]))):
                yield [f"{word}-absent" if i in missing else word for i, word in enumerate(args)]


def counted(raw):
    fields = dict(line.split(b":", 1) for line in raw.command("INFO", "stats").split(b"\r\n") if b":" in line)
    return int(fields[b"keyspace_hits"]), int(fields[b"keyspace_misses"])


def count_all(server):
    found = {}
    with server.raw() as raw:
        before = counted(raw)
        for args in variants():
            for line in SETUP:
                assert not raw.command(*words(line)).startswith(b"-")
            assert counted(raw) == before, "nothing of this looks a key up to read it"
            raw.command(*args)
            after = counted(raw)
            found[" ".join(args)] = (after[0] - before[0], after[1] - before[1])
            before = after
            for line in ("UNWATCH", "SELECT 1", "DEL str", "SELECT 0", "DEL str-absent other-absent list-absent "
                         "hash-absent set-absent zset-absent ints-absent"):
                raw.command(*words(line))
    return found


@pytest.fixture(scope="module")
def both(module_lab):
    ours = module_lab.respgres(module_lab.database(), enable_debug_command="yes")
    theirs = module_lab.redis(enable_debug_command="yes")
    return ours, theirs


def test_they_are_counted_as_redis_counts(both):
    ours, theirs = map(count_all, both)
    assert {call: (ours[call], theirs[call]) for call in theirs if ours[call] != theirs[call]} == {}
    assert sum(hits for hits, _ in theirs.values()) > 100 < sum(misses for _, misses in theirs.values())


def test_every_command_with_keys_is_compared(both):
    """As COMMAND tells it."""
    tried = set()
    for args in variants():
        tried |= {args[0].lower(), "|".join(args[:2]).lower()}
    with_keys = set()
    connection = both[0].client().connection_pool.get_connection("COMMAND")
    connection.send_command("COMMAND", "LIST")
    names = connection.read_response()
    connection.send_command("COMMAND", "INFO", *names)
    for row in connection.read_response():
        if row[8] and row[0].decode() not in ELSEWHERE:  # key specifications
            with_keys.add(row[0].decode())
    connection.disconnect()
    assert len(with_keys) > 120
    assert with_keys - tried == set()


def test_a_block_and_a_second_run_count_once(both):
    """What ran again because another client was first is counted once."""
    with both[0].raw() as raw:
        raw.command("SET", "n", "1")
        before = counted(raw)
        for args in (["MULTI"], ["GET", "n"], ["GET", "none"], ["INCR", "n"], ["EXEC"]):
            raw.command(*args)
        assert counted(raw) == (before[0] + 1, before[1] + 1)
