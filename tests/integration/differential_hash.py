"""Random commands about hashes, and how to compare their replies where Redis leaves the order open.
`HashCommands` makes them; `same` compares. Used by test_hash_differential.py."""

EDGES = (b"0", b"-1", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"",
         b" 1", b"1.5", b"x", b"+1", b"01", b"1e3", b"inf", b"-inf", b"nan", b"3.0e-2", b"0x10")


def parts(reply):
    """A reply of RawClient as a tree: (kind, [parts]) for what has parts, else the bytes."""
    def take(at):
        end = reply.index(b"\r\n", at)
        kind, rest = reply[at:at + 1], reply[at + 1:end]
        if kind in b"$=" and int(rest) >= 0:
            return reply[end + 2:end + 2 + int(rest)], end + 4 + int(rest)
        if kind in b"*~>%" and int(rest) >= 0:
            items, at = [], end + 2
            for _ in range(int(rest) * (2 if kind == b"%" else 1)):
                item, at = take(at)
                items.append(item)
            return (kind, items), at
        return reply[at:end], end + 2
    return take(0)[0]


class HashCommands:
    def __init__(self, rng, large):
        self.rng = rng
        self.large = large
        self.keys = [b"h%d" % n for n in range(4)]

    def key(self):
        return self.rng.choice(self.keys)

    def field(self):
        r = self.rng.random()
        if r < 0.03:
            return self.rng.choice((b"", b"\x00", b"\xff\xfe\r\n", b"F" * 64, b"F" * 65))
        return b"f%d" % self.rng.randrange(1000 if self.large else 24)

    def value(self):
        r = self.rng.random()
        if r < 0.5:
            return b"%d" % self.rng.randint(-1000, 1000)
        if r < 0.6:
            return self.rng.choice(EDGES)
        if r < 0.62 and self.large:
            return b"v" * self.rng.choice((64, 65, 300))
        return bytes(self.rng.randrange(256) for _ in range(self.rng.randrange(12)))

    def pairs(self):
        n = self.rng.choice((1, 1, 1, 2, 3, 200 if self.large else 5))
        args = [self.rng.choice((self.field, self.value))() if i % 2 else self.field() for i in range(2 * n)]
        return args[:-1] if self.rng.random() < 0.03 else args

    def number(self):
        return self.rng.choice(EDGES) if self.rng.random() < 0.2 else b"%d" % self.rng.randint(-50, 50)

    def count(self):
        return self.rng.choice((b"0", b"1", b"2000", b"-3", b"x", b"-9223372036854775808",
                                b"9223372036854775807"))

    def other_type(self):
        """The key becomes something else, or is asked to be."""
        key = self.key()
        return self.rng.choice((
            [b"SET", key, b"text"], [b"DEL", key], [b"GET", key], [b"APPEND", key, b"x"],
            [b"INCR", key], [b"STRLEN", key], [b"TYPE", key],
            [b"EXISTS", key], [b"RENAME", key, self.key()], [b"COPY", key, self.key()],
            [b"COPY", key, self.key(), b"REPLACE"], [b"SETRANGE", key, b"1", b"x"],
            [b"GETSET", key, b"g"], [b"GETDEL", key], [b"GETEX", key], [b"SET", key, b"v", b"GET"],
            [b"SETNX", key, b"v"], [b"BITCOUNT", key], [b"SETBIT", key, b"1", b"1"], [b"MGET", key],
            [b"LCS", key, self.key()], [b"INCRBYFLOAT", key, b"1"], [b"GETRANGE", key, b"0", b"1"],
            [b"BITOP", b"NOT", key, self.key()], [b"BITFIELD", key, b"GET", b"u8", b"0"],
            [b"PERSIST", key], [b"EXPIREAT", key, b"4000000000"], [b"EXPIRETIME", key], [b"TYPE", key],
            [b"MSETNX", key, b"a", self.key(), b"b"]))

    def command(self):
        key = self.key()
        rng = self.rng
        r = rng.random()
        if r < 0.08:
            return self.other_type()
        return rng.choice((
            lambda: [rng.choice((b"HSET", b"hset", b"HMSET")), key, *self.pairs()],
            lambda: [b"HSET", key, *self.pairs()],
            lambda: [b"HSETNX", key, self.field(), self.value()],
            lambda: [b"HGET", key, self.field()],
            lambda: [b"HMGET", key, *(self.field() for _ in range(rng.randint(1, 4)))],
            lambda: [rng.choice((b"HGETALL", b"HKEYS", b"HVALS")), key],
            lambda: [b"HDEL", key, *(self.field() for _ in range(rng.choice((1, 1, 2, 6))))],
            lambda: [b"HEXISTS", key, self.field()],
            lambda: [b"HLEN", key],
            lambda: [b"HSTRLEN", key, self.field()],
            lambda: [b"HINCRBY", key, self.field(), self.number()],
            lambda: [b"HINCRBYFLOAT", key, self.field(), self.number()],
            lambda: [b"HSCAN", key, rng.choice((b"0", b"0", b"x", b"", b"-1")),
                     *rng.choice(([], [], [b"MATCH", b"f1*"], [b"COUNT", b"1000000"], [b"COUNT", b"0"],
                                  [b"count", b"x"], [b"MATCH"], [b"NOVALUES"]))],
            lambda: [b"HRANDFIELD", key],
            lambda: [b"HRANDFIELD", key, self.count(),
                     *rng.choice(([], [b"WITHVALUES"], [b"withvalues"], [b"x"]))],
            lambda: [rng.choice((b"HGET", b"HSET", b"HLEN", b"HSCAN", b"HINCRBY")), key],
        ))()


def grouped(items, n):
    return sorted(tuple(repr(x) for x in items[i:i + n]) for i in range(0, len(items), n))


def same(command, ours, real, sorted_order):
    """Are these replies the same, as far as Redis promises? `sorted_order`: both hold the hash in its
    order (a small one)."""
    if ours == real:
        return True
    name = command[0].upper()
    a, b = parts(ours), parts(real)
    if not isinstance(a, tuple) or not isinstance(b, tuple):
        return name == b"HRANDFIELD" and len(command) == 2 and all(
            r.startswith(b"$") and not r.startswith(b"$-") for r in (ours, real))
    if a[0] != b[0]:
        return False
    if name == b"HRANDFIELD":
        flat = 2 if len(command) > 3 and not isinstance(a[1][0], tuple) else 1
        if int(command[2]) >= 2000: # more than there are: all of them
            return grouped(a[1], flat) == grouped(b[1], flat)
        return len(a[1]) == len(b[1])
    if sorted_order:
        return False
    if name == b"HSCAN": # all at once: a COUNT that is large enough, else only the shape
        return len(command) < 5 or command[2] != b"0" or command[-1] != b"1000000" or \
            (a[1][0] == b[1][0] and grouped(a[1][1][1], 2) == grouped(b[1][1][1], 2))
    if name in (b"HGETALL", b"HKEYS", b"HVALS"):
        n = 2 if name == b"HGETALL" else 1
        return grouped(a[1], n) == grouped(b[1], n)
    return False


# --- in the random programs of differential.py -----------------------------------------------------

class SmallHashes(HashCommands):
    """About the program's keys, and never so large that Redis' order is that of a hash table."""

    def __init__(self, generator):
        super().__init__(generator.rng, large=False)
        self.key = generator.key

    def field(self):
        if self.rng.random() < 0.03:
            return self.rng.choice((b"", b"\x00", b"\xff\xfe\r\n"))
        return b"f%d" % self.rng.randrange(24)


def hashes(generator):
    made = SmallHashes(generator)
    return [made.command() for _ in range(generator.rng.choice((1, 1, 3)))]


FAMILIES = [(8, "data", hashes)]
COMMANDS = (b"HSET HMSET HGET HMGET HDEL HGETALL HKEYS HVALS HLEN HEXISTS HSETNX HSTRLEN HINCRBY "
            b"HINCRBYFLOAT HSCAN HRANDFIELD").split()
READERS = {b"hash": lambda key: [b"HGETALL", key]}
