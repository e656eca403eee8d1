#!/usr/bin/python3
"""Sends the same random commands on lists, sets and sorted sets to two servers, and compares every reply.

    differential_collections.py --ref HOST:PORT --sub HOST:PORT --commands 20000 --seed 1 --resp 3

The reference is a redis-server 7.0, the subject is respgres; both are emptied first (FLUSHALL). The
commands come from the seed alone, right ones and wrong ones. Compared other than byte for byte:

  SMEMBERS SINTER SUNION SDIFF       as sets
  SPOP SRANDMEMBER ZRANDMEMBER       kind and length; the key is removed after SPOP
  SSCAN ZSCAN                        whole walks, as sets
  SORT of a set, or of members with NUL, which Redis takes for the end: as sets
  TTL                                within 2 seconds

Never sent: ranges by bytes of members that have different scores (Redis says nothing of them). SORT with
a pattern that names keys is differential_sort.py's. SORT has keys of its own: in Redis it makes a
skiplist of a sorted set that it reads, and a set has no order in which the two could agree. Scores out
of the range of a double: Redis' next SORT takes the errno for its own. LPOS with a rank of -2^63.

The last line is "N commands compared, M mismatches"; the exit status is 1 if M > 0.
"""
import argparse
import random
import socket
import sys

BURST = 40
UNORDERED = {b"smembers", b"sinter", b"sunion", b"sdiff"}
RANDOM = {b"spop", b"srandmember", b"zrandmember"}


# --- protocol -------------------------------------------------------------------------------------

def encode(args):
    return b"".join([b"*%d\r\n" % len(args)] + [b"$%d\r\n%s\r\n" % (len(a), a) for a in args])


class Server:
    def __init__(self, address, resp):
        host, port = address.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), timeout=60)
        self.file = self.sock.makefile("rb")
        if resp == 3:
            self.ask([[b"HELLO", b"3"]])
        self.ask([[b"FLUSHALL"]])

    def read(self):
        line = self.file.readline()
        if not line:
            raise EOFError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-:_#,(":
            return kind, rest
        n = int(rest)
        if n < 0:
            return kind, None
        if kind in b"$=":
            return kind, self.file.read(n + 2)[:-2]
        return kind, [self.read() for _ in range(n * (2 if kind == b"%" else 1))]

    def ask(self, commands):
        self.sock.sendall(b"".join(map(encode, commands)))
        return [self.read() for _ in commands]


# --- comparison -----------------------------------------------------------------------------------

def scan_all(server, command, key, count):
    """All pages of a walk: replies that are no pages, and elements."""
    cursor, seen = b"0", []
    while True:
        reply = server.ask([[command, key, cursor, b"COUNT", b"%d" % count]])[0]
        if reply[0] != b"*":
            return reply
        cursor = reply[1][0][1]
        elements = [e[1] for e in reply[1][1][1]]
        step = 2 if command.lower() == b"zscan" else 1
        seen += [tuple(elements[i:i + step]) for i in range(0, len(elements), step)]
        if cursor == b"0":
            return sorted(set(seen))


def shape(reply):
    """Kind and length, of parts too."""
    kind, value = reply
    if isinstance(value, list):
        return kind, [shape(v) for v in value]
    return kind if kind != b"-" else reply


def has_nul(reply):
    return isinstance(reply[1], list) and any(b"\0" in (v[1] or b"") for v in reply[1])


def same(command, ref, sub):
    if ref == sub:
        return True
    name = command[0].lower()
    if ref[0] != sub[0] or ref[0] == b"-":
        return False
    if name in RANDOM:
        return shape(ref) == shape(sub)
    as_set = name in UNORDERED or name in (b"sort", b"sort_ro") and (
        command[1][:2] == b"ss" or has_nul(ref))
    if as_set and isinstance(ref[1], list) and isinstance(sub[1], list):
        return sorted(ref[1]) == sorted(sub[1])
    if name == b"ttl" and ref[0] == b":":
        return abs(int(ref[1]) - int(sub[1])) <= 2
    return False


# --- generator ------------------------------------------------------------------------------------

class Generator:
    """Keys are named after the type they mostly have: l0, s0, z0; x0 is a sorted set with one score."""

    def __init__(self, rnd):
        self.rnd = rnd
        self.families = (self.list_command, self.list_command, self.set_command, self.set_command,
                         self.zset_command, self.zset_command, self.zset_command, self.any_command)

    def one_of(self, *choices):
        return self.rnd.choice(choices)

    def chance(self, p):
        return self.rnd.random() < p

    def key(self, family):
        if self.chance(0.07):
            family = self.one_of("l", "s", "z", "str")
        return b"%s%d" % (family.encode(), self.rnd.randrange(4))

    def keys(self, family, most=4):
        return [self.key(family) for _ in range(self.rnd.randint(1, most))]

    def word(self, text):
        """An option, in some case; now and then another one."""
        if self.chance(0.02):
            return self.one_of(b"foo", b"LIMIT", b"COUNT", b"")
        return text.encode() if self.chance(0.7) else text.lower().encode()

    def member(self):
        pick = self.rnd.randrange(12)
        if pick < 5:
            return b"%d" % self.rnd.randint(-3, 12)
        if pick < 9:
            return self.one_of(b"a", b"b", b"c", b"d", b"aa", b"ab", b"abc", b"B")
        return self.one_of(b"", b"\x00\xff", b"z" * 70, b"9223372036854775807", b"-9223372036854775808",
                           b"9223372036854775808", b"01", b"-0", b"1.5", b"caf\xc3\xa9", b"+1",
                           b"x\r\ny")

    def members(self, most=4):
        return [self.member() for _ in range(self.rnd.randint(1, most))]

    def number(self):
        pick = self.rnd.randrange(20)
        if pick < 16:
            return b"%d" % self.rnd.randint(-5, 8)
        return self.one_of(b"x", b"1000", b"-1000", b"9223372036854775807", b"-9223372036854775808",
                           b"-9223372036854775807", b"", b"1.5", b"99999999999999999999")

    def count(self):
        if self.chance(0.85):
            return b"%d" % self.rnd.randint(0, 6)
        return self.number()

    def score(self):
        pick = self.rnd.randrange(20)
        if pick < 12:
            return b"%d" % self.rnd.randint(-4, 8)
        if pick < 17:
            return self.one_of(b"1.5", b"-0.25", b"3.0e2", b"0.1", b"1e-7", b"123456789012345678",
                               b"inf", b"-inf", b"+inf", b"1e21", b"-0", b"0.30000000000000004",
                               b"2.5000000000000001", b"1e300")
        return self.one_of(b"nan", b"x", b"", b" 1", b"1 ", b"0x10", b"infinity",
                           b"1_0", b"1\x00")

    def border(self):
        return self.one_of(b"", b"", b"(") + self.one_of(self.score(), b"-inf", b"+inf", b"0", b"5")

    def lex_border(self):
        if self.chance(0.25):
            return self.one_of(b"-", b"+")
        if self.chance(0.05):
            return self.one_of(b"", b"a", b"+x", b"-x", b"(", b"[")
        return self.one_of(b"[", b"(") + self.member()

    def options(self, *options):
        """Each with some chance, in any order."""
        chosen = [o for o in options if self.chance(0.35)]
        self.rnd.shuffle(chosen)
        return [word for option in chosen for word in option()]

    def limit(self):
        return [self.word("LIMIT"), self.number(), self.number()]

    def literal(self, *words):
        return lambda: [self.word(w) for w in words]

    def numkeys(self, family):
        keys = self.keys(family)
        n = b"%d" % len(keys)
        if self.chance(0.07):
            n = self.one_of(b"0", b"-1", b"x", b"9", b"1", b"9223372036854775807")
        return [n] + keys

    # --- lists ---

    def list_command(self):
        name = self.one_of("lpush", "rpush", "lpush", "rpush", "lpushx", "rpushx", "lpop", "rpop", "llen",
                           "lrange", "lrange", "lindex", "lset", "linsert", "lrem", "ltrim", "lpos",
                           "lmove", "rpoplpush", "lmpop")
        build = getattr(self, name, None)
        if build:
            return [name.encode()] + build()
        key = self.key("l")
        if name in ("lpush", "rpush", "lpushx", "rpushx"):
            return [name.encode(), key] + self.members()
        if name in ("lpop", "rpop"):
            return [name.encode(), key] + ([self.count()] if self.chance(0.5) else [])
        if name in ("lrange", "ltrim"):
            wide = self.chance(0.5)
            return [name.encode(), key] + ([b"0", b"-1"] if wide else [self.number(), self.number()])
        if name == "lindex":
            return [b"lindex", key, self.number()]
        return [name.encode(), key]

    def lset(self):
        return [self.key("l"), self.number(), self.member()]

    def linsert(self):
        return [self.key("l"), self.word(self.one_of("BEFORE", "AFTER")), self.member(), self.member()]

    def lrem(self):
        return [self.key("l"), self.number(), self.member()]

    def lpos(self):
        return [self.key("l"), self.member()] + self.options(
            lambda: [self.word("RANK"), self.number_not_least()], lambda: [self.word("COUNT"), self.count()],
            lambda: [self.word("MAXLEN"), self.count()])

    def lmove(self):
        ends = [self.word(self.one_of("LEFT", "RIGHT")) for _ in range(2)]
        return [self.key("l"), self.key("l")] + ends

    def rpoplpush(self):
        return [self.key("l"), self.key("l")]

    def lmpop(self):
        return self.numkeys("l") + [self.word(self.one_of("LEFT", "RIGHT"))] + self.options(
            lambda: [self.word("COUNT"), self.count()])

    def number_not_least(self):
        n = self.number()
        return b"1" if n == b"-9223372036854775808" else n

    # --- sets ---

    def set_command(self):
        name = self.one_of("sadd", "sadd", "sadd", "sadd", "srem", "sismember", "smismember", "smembers", "scard", "srandmember",
                           "smove", "sinter", "sunion", "sdiff", "sintercard", "sinterstore", "sunionstore", "sdiffstore")
        key = self.key("s")
        command = [name.encode()]
        if name in ("sadd", "srem", "smismember"):
            return command + [key] + self.members(8)
        if name == "sismember":
            return command + [key, self.member()]
        if name == "srandmember":
            return command + [key] + self.options(lambda: [self.number_not_huge()])
        if name == "smove":
            return command + [key, self.key("s"), self.member()]
        if name in ("sinter", "sunion", "sdiff"):
            return command + self.keys("s")
        if name == "sintercard":
            return command + self.numkeys("s") + self.options(
                lambda: [self.word("LIMIT"), self.count()])
        if name.endswith("store"):
            return command + [key] + self.keys("s")
        return command + [key]

    def number_not_huge(self):
        """A reply of 2^63 random members is not asked for."""
        n = self.number()
        return b"-7" if n.startswith(b"-922") else n

    # --- sorted sets ---

    def zset_command(self):
        name = self.one_of("zadd", "zadd", "zadd", "zadd", "zlex", "zlex", "zincrby", "zrem", "zcard", "zscore", "zmscore",
                           "zrank", "zrevrank", "zcount", "zrange", "zrange", "zrangestore", "zold",
                           "zold", "zremrange", "zpop", "zmpop", "zrandmember", "zalgebra", "zalgebra",
                           "zintercard")
        build = getattr(self, name, None)
        if build:
            return build()
        command = [name.encode(), self.key("z")]
        if name in ("zrem", "zmscore"):
            return command + self.members()
        if name in ("zscore", "zrank", "zrevrank"):
            return command + [self.member()]
        if name == "zcount":
            return command + [self.border(), self.border()]
        return command

    def zadd(self):
        pairs = []
        for member in self.members():
            pairs += [self.score(), member]
        if self.chance(0.03):
            pairs.pop()
        options = [self.literal("NX"), self.literal("XX"), self.literal("GT"), self.literal("LT"),
                   self.literal("CH"), self.literal("INCR")]
        chosen = []
        if self.chance(0.5):
            chosen = [w for o in self.rnd.sample(options, self.rnd.randint(0, 2)) for w in o()]
        return [b"zadd", self.key("z")] + chosen + pairs

    def zincrby(self):
        return [b"zincrby", self.key("z"), self.score(), self.member()]

    def zlex(self):
        """Of members that all have one score."""
        key = b"x%d" % self.rnd.randrange(3)
        name = self.one_of("zadd", "zadd", "zadd", "zlexcount", "zrangebylex", "zrevrangebylex",
                           "zremrangebylex", "zrange", "zrangestore")
        if name == "zadd":
            pairs = [w for m in self.members(6) for w in (b"0", m)]
            return [b"zadd", key] + pairs
        borders = [self.lex_border(), self.lex_border()]
        if name in ("zlexcount", "zremrangebylex"):
            return [name.encode(), key] + borders
        if name == "zrange":
            return [b"zrange", key] + borders + [b"BYLEX"] + self.options(
                self.literal("REV"), self.limit, self.literal("WITHSCORES"))
        if name == "zrangestore":
            return [b"zrangestore", self.key("z"), key] + borders + [b"BYLEX"] + self.options(
                self.literal("REV"), self.limit)
        return [name.encode(), key] + borders + self.options(self.limit)

    def zrange_arguments(self, *more):
        by_score = self.chance(0.5)
        borders = [self.border(), self.border()] if by_score else [self.number(), self.number()]
        words = [self.word("BYSCORE")] if by_score else []
        return borders + words + self.options(self.literal("REV"), self.limit, *more)

    def zrange(self):
        return [b"zrange", self.key("z")] + self.zrange_arguments(self.literal("WITHSCORES"))

    def zrangestore(self):
        return [b"zrangestore", self.key("z"), self.key("z")] + self.zrange_arguments()

    def zold(self):
        """The commands that ZRANGE replaces."""
        name = self.one_of(b"zrangebyscore", b"zrevrangebyscore", b"zrevrange")
        if name == b"zrevrange":
            return [name, self.key("z"), self.number(), self.number()] + self.options(
                self.literal("WITHSCORES"))
        return [name, self.key("z"), self.border(), self.border()] + self.options(
            self.literal("WITHSCORES"), self.limit)

    def zremrange(self):
        if self.chance(0.5):
            return [b"zremrangebyrank", self.key("z"), self.number(), self.number()]
        return [b"zremrangebyscore", self.key("z"), self.border(), self.border()]

    def zpop(self):
        return [self.one_of(b"zpopmin", b"zpopmax"), self.key("z")] + self.options(
            lambda: [self.count()])

    def zmpop(self):
        return [b"zmpop"] + self.numkeys("z") + [self.word(self.one_of("MIN", "MAX"))] + self.options(
            lambda: [self.word("COUNT"), self.count()])

    def zrandmember(self):
        command = [b"zrandmember", self.key("z")]
        if self.chance(0.7):
            command += [self.number_not_huge()] + self.options(self.literal("WITHSCORES"))
        return command

    def weights(self, n):
        n += self.chance(0.05)
        return [self.word("WEIGHTS")] + [self.score() for _ in range(n)]

    def zalgebra(self):
        name = self.one_of(b"zunion", b"zinter", b"zdiff", b"zunionstore", b"zinterstore", b"zdiffstore")
        keys = self.numkeys(self.one_of("z", "z", "z", "s"))
        options = [lambda: [self.word("AGGREGATE"), self.word(self.one_of("SUM", "MIN", "MAX"))],
                   lambda: self.weights(len(keys) - 1)]
        if name.endswith(b"store"):
            return [name, self.key("z")] + keys + (self.options(*options) if b"diff" not in name else [])
        options.append(self.literal("WITHSCORES"))
        if name == b"zdiff" and self.chance(0.9):
            options = options[-1:]
        return [name] + keys + self.options(*options)

    def zintercard(self):
        return [b"zintercard"] + self.numkeys("z") + self.options(
            lambda: [self.word("LIMIT"), self.count()])

    # --- all ---

    def any_command(self):
        key = self.key(self.one_of("l", "s", "z", "x"))
        pick = self.rnd.randrange(24)
        if pick < 5:
            return self.sort()
        if pick < 9:
            return [b"object", b"encoding", key]
        if pick < 11:
            return [b"type", key]
        if pick < 13:
            return [b"del", key]
        if pick < 15:
            other = b"%s%d" % (key[:1], self.rnd.randrange(3))
            return [self.one_of(b"copy", b"rename"), key, other]
        if pick == 15:
            return [b"set", b"str%d" % self.rnd.randrange(4), b"v"]
        if pick == 16:
            return [b"expire", key, b"1000"]
        if pick == 17:
            return [b"ttl", key]
        if pick == 18:
            return [b"sadd", self.key("s")] + [b"%d" % i for i in range(self.one_of(20, 400, 520))]
        if pick == 19:
            n = self.one_of(20, 127, 128, 129, 300)
            return [b"zadd", self.key("z")] + [w for i in range(n) for w in (b"%d" % (i % 7), b"%d" % i)]
        if pick == 20:
            return [b"rpush", self.key("l")] + [b"%d" % (i % 50) for i in range(300)]
        if pick == 21:
            return [b"command", b"getkeys"] + self.one_of(
                self.zalgebra, self.lmpop_whole, self.zmpop, self.sort, self.zintercard)()
        return [b"exists", key]

    def lmpop_whole(self):
        return [b"lmpop"] + self.lmpop()

    def sort_key(self):
        kind = self.one_of("sl", "ss", "sz")
        return kind, b"%s%d" % (kind.encode(), self.rnd.randrange(2))

    def sort_fill(self):
        kind, key = self.sort_key()
        if self.chance(0.1):
            return [b"del", key]
        values = self.members(8) if self.chance(0.3) else [b"%d" % self.rnd.randint(-9, 99) for _ in range(5)]
        if kind == "sz":
            return [b"zadd", key] + [w for v in values for w in (b"%d" % self.rnd.randrange(4), v)]
        return [b"rpush" if kind == "sl" else b"sadd", key] + values

    def sort(self):
        if self.chance(0.4):
            return self.sort_fill()
        family, key = self.sort_key()
        if self.chance(0.05):
            family, key = "ss", b"str1"  # some commands leave a set there
        options = [self.literal("ALPHA"), self.literal(self.one_of("ASC", "DESC"))]
        if family != "ss":
            options += [lambda: [self.word("BY"), b"nosort"]]
        options += [self.limit, lambda: [self.word("GET"), self.one_of(b"#", b"#", b"nothing")]]
        store = []
        name = self.one_of(b"sort", b"sort", b"sort_ro")
        if self.chance(0.3):
            store = [self.word("STORE"), self.one_of(b"sl0", b"l3")]
        return [name, key] + self.options(*options) + store

    def commands(self, n):
        """In groups that are sent together."""
        made = 0
        while made < n:
            group = [self.rnd.choice(self.families)()]
            if self.chance(0.01):
                key = self.key("s")
                group += [[b"spop", key] + self.options(lambda: [self.count()]), [b"scard", key],
                          [b"del", key]]
            made += len(group)
            yield group


# --- the run --------------------------------------------------------------------------------------

def contents(server, key):
    """What a key holds, for a look at the state now and then."""
    kind = server.ask([[b"type", key]])[0][1]
    reads = {b"list": [b"lrange", key, b"0", b"-1"], b"set": [b"smembers", key],
             b"zset": [b"zrange", key, b"0", b"-1", b"WITHSCORES"], b"string": [b"get", key]}
    if kind not in reads:
        return kind
    reply = server.ask([reads[kind]])[0]
    return kind, sorted(reply[1]) if kind == b"set" else reply


class Run:
    def __init__(self, ref, sub, generator, seed):
        self.ref, self.sub, self.generator, self.seed = ref, sub, generator, seed
        self.compared = 0
        self.mismatches = 0

    def report(self, what, ref, sub):
        self.mismatches += 1
        if self.mismatches <= 20:
            print(f"seed {self.seed}, after {self.compared} commands: {what!r}\n"
                  f"  ref {ref!r}\n  sub {sub!r}")

    def burst(self, commands):
        for command, ref, sub in zip(commands, self.ref.ask(commands), self.sub.ask(commands)):
            self.compared += 1
            if not same(command, ref, sub):
                self.report(command, ref, sub)

    def look(self):
        rnd = self.generator.rnd
        for command, family in ((b"sscan", b"s"), (b"zscan", b"z")):
            key = b"%s%d" % (family, rnd.randrange(4))
            count = rnd.choice((1, 10, 100))
            ref = scan_all(self.ref, command, key, count)
            sub = scan_all(self.sub, command, key, count)
            if ref != sub:
                self.report([command, key], ref, sub)
        for family in (b"l", b"s", b"z", b"x"):
            key = b"%s%d" % (family, rnd.randrange(3))
            ref, sub = contents(self.ref, key), contents(self.sub, key)
            if ref != sub:
                self.report([b"contents", key], ref, sub)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ref", required=True)
    parser.add_argument("--sub", required=True)
    parser.add_argument("--commands", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resp", type=int, choices=(2, 3), default=2)
    args = parser.parse_args()
    generator = Generator(random.Random(args.seed))
    run = Run(Server(args.ref, args.resp), Server(args.sub, args.resp), generator, args.seed)
    pending = []
    for group in generator.commands(args.commands):
        pending += group
        if len(pending) >= BURST:
            run.burst(pending)
            pending = []
            if generator.chance(0.1):
                run.look()
    run.burst(pending)
    run.look()
    print(f"{run.compared} commands compared, {run.mismatches} mismatches")
    sys.exit(run.mismatches > 0)


if __name__ == "__main__":
    main()
