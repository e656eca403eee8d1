"""What commands do to a list, a hash, a set or a sorted set: the model that linearize.py searches with.

A state is None (absent) or ((type, content), deadline), with a content that can be hashed and of which
two are equal if Redis could not tell them apart. Each function here: content, arguments → new content,
reply. Scores are integers; commands of strings never meet a collection.

Which member SPOP takes is the server's choice: the search asks for SPOPPED of the member that was told,
and where there was no reply tries each member that was ever put there (alternatives_of).
"""

from .replies import NIL, OK, WRONG_TYPE, Unordered, array, bulk, number

COLLECTIONS = {}       # name → function of state, arguments, number of the operation
UNCHANGED = {}         # name → the replies that say that nothing has changed; True = any
EMPTY = {"list": (), "hash": frozenset(), "set": frozenset(), "zset": frozenset()}
SPOPPED = "(took)"


def command(kind, name, unchanged=()):
    """Enters a function into the tables."""
    def enter(f):
        def run(state, args, _op):
            if state is not None and state[0][0] != kind:
                return state, WRONG_TYPE
            before = state[0][1] if state else EMPTY[kind]
            after, reply = f(before, *args)
            if after == before:
                return state, reply
            return ((kind, after), state[1] if state else None) if after else None, reply
        COLLECTIONS[name] = run
        UNCHANGED[name] = unchanged
        return f
    return enter


# --- lists: tuples ---------------------------------------------------------------------------------

@command("list", "LPUSH")
def _lpush(content, *values):
    content = values[::-1] + content
    return content, number(len(content))


@command("list", "RPUSH")
def _rpush(content, *values):
    content += values
    return content, number(len(content))


@command("list", "LPOP", (NIL,))
def _lpop(content):
    return content[1:], bulk(content[0] if content else None)


@command("list", "RPOP", (NIL,))
def _rpop(content):
    return content[:-1], bulk(content[-1] if content else None)


@command("list", "LREM", (number(0),))
def _lrem(content, _all, value):
    kept = tuple(each for each in content if each != value)
    return kept, number(len(content) - len(kept))


@command("list", "LTRIM")
def _ltrim(content, first, last):
    return content[int(first):int(last) + 1], OK


@command("list", "LLEN", True)
def _llen(content):
    return content, number(len(content))


@command("list", "LINDEX", True)
def _lindex(content, at):
    return content, bulk(content[int(at)] if int(at) < len(content) else None)


@command("list", "LRANGE", True)
def _lrange(content, _first, _last):
    return content, array(list(map(bulk, content)))


# --- hashes: sets of (field, value) ------------------------------------------------------------------

def _put(content, field, value):
    return frozenset(pair for pair in content if pair[0] != field) | {(field, value)}


@command("hash", "HSET")
def _hset(content, field, value):
    return _put(content, field, value), number(field not in dict(content))


@command("hash", "HSETNX", (number(0),))
def _hsetnx(content, field, value):
    if field in dict(content):
        return content, number(0)
    return _put(content, field, value), number(1)


@command("hash", "HINCRBY")
def _hincrby(content, field, by):
    after = int(dict(content).get(field, 0)) + int(by)
    return _put(content, field, b"%d" % after), number(after)


@command("hash", "HDEL", (number(0),))
def _hdel(content, *fields):
    kept = frozenset(pair for pair in content if pair[0] not in fields)
    return kept, number(len(content) - len(kept))


@command("hash", "HGET", True)
def _hget(content, field):
    return content, bulk(dict(content).get(field))


@command("hash", "HLEN", True)
def _hlen(content):
    return content, number(len(content))


@command("hash", "HGETALL", True)
def _hgetall(content):
    return content, Unordered(content, 2)


# --- sets --------------------------------------------------------------------------------------------

@command("set", "SADD", (number(0),))
def _sadd(content, *members):
    after = content | set(members)
    return after, number(len(after) - len(content))


@command("set", "SREM", (number(0),))
def _srem(content, *members):
    after = content - set(members)
    return after, number(len(content) - len(after))


@command("set", SPOPPED, (NIL,))
def _spopped(content, member):
    if member is None:
        return content, NIL if not content else None  # None: no server would say so
    return content - {member}, bulk(member) if member in content else None


@command("set", "SISMEMBER", True)
def _sismember(content, member):
    return content, number(member in content)


@command("set", "SCARD", True)
def _scard(content):
    return content, number(len(content))


@command("set", "SMEMBERS", True)
def _smembers(content):
    return content, Unordered([(member,) for member in content])


# --- sorted sets: sets of (member, score) --------------------------------------------------------------

def _in_order(content):
    return sorted(content, key=lambda pair: (pair[1], pair[0]))


def _told(pairs):
    return array([part for member, score in pairs for part in (bulk(member), bulk(b"%d" % score))])


@command("zset", "ZADD")
def _zadd(content, score, member):
    return _put(content, member, int(score)), number(member not in dict(content))


@command("zset", "ZINCRBY")
def _zincrby(content, by, member):
    after = dict(content).get(member, 0) + int(by)
    return _put(content, member, after), bulk(b"%d" % after)


@command("zset", "ZREM", (number(0),))
def _zrem(content, *members):
    return _hdel(content, *members)


@command("zset", "ZPOPMIN", (array([]),))
def _zpopmin(content):
    first = _in_order(content)[:1]
    return content - set(first), _told(first)


@command("zset", "ZPOPMAX", (array([]),))
def _zpopmax(content):
    last = _in_order(content)[-1:]
    return content - set(last), _told(last)


@command("zset", "ZSCORE", True)
def _zscore(content, member):
    score = dict(content).get(member)
    return content, bulk(None if score is None else b"%d" % score)


@command("zset", "ZCARD", True)
def _zcard(content):
    return content, number(len(content))


@command("zset", "ZRANGE", True)
def _zrange(content, *_all_with_scores):
    return content, _told(_in_order(content))


# --- SPOP --------------------------------------------------------------------------------------------

def alternatives_of(operation, operations):
    """What an operation may have done: itself, or a SPOPPED of one member each."""
    if operation.commands != (("SPOP",),):
        assert all(name != "SPOP" for name, *_ in operation.commands), "SPOP in a block is not modelled"
        return [operation]
    if operation.ended is not None:
        if operation.reply == WRONG_TYPE:
            return [operation._replace(commands=(("SCARD",),))]  # says the same of the same
        told = None if operation.reply == NIL else operation.reply.split(b"\r\n", 1)[1][:-2]
        return [operation._replace(commands=((SPOPPED, told),))]
    members = {member for o in operations for name, *args in o.commands if name == "SADD"
               for member in args}
    return [operation._replace(commands=((SPOPPED, member),)) for member in sorted(members) or [None]]
