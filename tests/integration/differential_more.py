"""More random commands for differential.py: names, bits, LCS, what is said about the server. The
class is a part of its Generator, which has the small choices (pick, key, integer …)."""


class MoreCommands:
    """A method returns one or more commands, each a list of arguments."""

    # names, and what is said about values

    def rename(self):
        name = self.pick((b"RENAME", b"RENAME", b"RENAMENX"))
        return [[self.case(name), self.key(), self.key()]]

    def db(self):
        if self.chance(0.85):
            return b"%d" % self.rng.randrange(self.dbs)
        return self.pick([b"-1", b"16", b"100000", b"4294967296", b"2147483648"] + self.NO_INTEGERS)

    def copy(self):
        if self.chance(0.3):
            return [[self.case(b"MOVE"), self.key(), self.db()]]
        args = []
        for _ in range(self.pick((0, 0, 1, 1, 2, 3))):
            args += self.pick(([self.case(b"REPLACE")], [self.case(b"DB"), self.db()],
                               [self.case(b"DB"), self.db()], [b"DB"], [b"foo"], [b""]))
        return [[self.case(b"COPY"), self.key(), self.key()] + args]

    def describe(self):
        """OBJECT: what is said of a value that was set a moment ago is the same."""
        key = self.key()
        if self.chance(0.3):
            return [[b"OBJECT", self.pick((b"nosuch", b"ENCODING", b"FREQ", b"refcount"))],
                    [b"OBJECT", b"ENCODING", key, key], [b"DEL", key],
                    [b"OBJECT", self.pick((b"IDLETIME", b"FREQ", b"ENCODING", b"REFCOUNT")), key]]
        value = b"x" * self.rng.randint(43, 46) if self.chance(0.2) else self.value()
        what = self.pick((b"ENCODING", b"ENCODING", b"REFCOUNT", b"IDLETIME", b"FREQ"))
        return [[b"SET", key, value], [self.case(b"OBJECT"), self.case(what), key]]

    # bits

    def bit_offset(self):
        if self.chance(0.9):
            return b"%d" % self.rng.randint(0, 700)
        return self.pick(self.NO_INTEGERS + [b"-1", b"4294967296", b"9223372036854775807", b"#1"])

    def bit(self):
        return self.pick((b"0", b"1", b"0", b"1", b"0", b"1", b"2", b"-1", b"x", b"", b"01"))

    def bits(self):
        r = self.rng.random()
        key = self.key()
        if r < 0.25:
            return [[self.case(b"GETBIT"), key, self.bit_offset()]]
        if r < 0.5:
            return [[self.case(b"SETBIT"), key, self.bit_offset(), self.bit()]]
        args = [key] if r < 0.75 else [key, self.bit()]
        name = b"BITCOUNT" if r < 0.75 else b"BITPOS"
        for _ in range(self.pick((0, 0, 1, 2, 2, 2))):
            args.append(self.position() if self.chance(0.7) else
                        b"%d" % self.rng.randint(-600, 600))
        if len(args) > 2 and self.chance(0.6):
            args.append(self.case(self.pick((b"BIT", b"BIT", b"BYTE", b"foo"))))
        return [[self.case(name)] + args]

    def bitop(self):
        name = self.pick((b"AND", b"OR", b"XOR", b"NOT", b"NOT", b"foo", b""))
        count = 1 if name == b"NOT" and self.chance(0.8) else self.rng.randint(0, 4)
        destination = self.key()
        return [[self.case(b"BITOP"), self.case(name), destination] +
                [self.key() for _ in range(count)], [b"GET", destination]]

    def field_type(self):
        if self.chance(0.93):
            return b"%c%d" % (self.pick(b"iu"), self.rng.randint(1, 63))
        return self.pick((b"i64", b"i64", b"u64", b"u0", b"i65", b"u", b"", b"I8", b"u8x", b"u08",
                          b"u-1", b"x8", b"i9999999999999999999999"))

    def field_offset(self):
        if self.chance(0.9):
            return b"%d" % self.rng.randint(0, 300) if self.chance(0.6) else \
                b"#%d" % self.rng.randint(0, 12)
        return self.pick((b"#", b"#-1", b"-1", b"#x", b"4294967296", b"#9223372036854775807", b"",
                          b"##1", b"# 1", b"#01"))

    def bitfield(self):
        args = []
        for _ in range(self.pick((0, 1, 1, 2, 3, 6))):
            name = self.pick((b"GET", b"SET", b"INCRBY", b"INCRBY", b"OVERFLOW"))
            if name == b"OVERFLOW":
                args += [self.case(name), self.case(self.pick((b"WRAP", b"SAT", b"FAIL") * 4 +
                                                              (b"foo",)))]
                continue
            args += [self.case(name), self.field_type(), self.field_offset()]
            if name != b"GET":
                args.append(self.pick(self.NUMBERS) if self.chance(0.5) else self.integer())
        if self.chance(0.06):
            args.append(self.pick((b"GET", b"SET", b"OVERFLOW", b"foo", b"")))
        name = self.case(self.pick((b"BITFIELD",) * 4 + (b"BITFIELD_RO",)))
        key = self.key()
        return [[name, key] + args, [b"GET", key]]

    def lcs(self):
        commands = []
        keys = [self.key(), self.key()]
        if self.chance(0.5):
            for key in keys:
                text = bytes(self.pick(b"abc") for _ in range(self.rng.randint(0, 40)))
                commands.append([b"SET", key, text])
        args = []
        for _ in range(self.pick((0, 1, 1, 2, 3))):
            args += self.pick(([b"LEN"], [b"IDX"], [b"IDX"], [b"WITHMATCHLEN"],
                               [b"MINMATCHLEN", b"%d" % self.rng.randint(-1, 5)],
                               [b"IDX", b"WITHMATCHLEN"], [b"MINMATCHLEN", self.integer()],
                               [b"MINMATCHLEN"], [b"foo"]))
        return commands + [[self.case(b"LCS")] + keys + [self.case(a) for a in args]]

    # the server

    def server(self):
        return [[self.case(w) if i == 0 else w for i, w in enumerate(self.pick((
            (b"LATENCY", b"LATEST"), (b"LATENCY", b"HISTORY", b"x"), (b"LATENCY", b"RESET"),
            (b"LATENCY", b"RESET", b"a", b"b"), (b"LATENCY", b"GRAPH", b"a\r\nb"),
            (b"LATENCY", b"GRAPH", b"a\x00b"), (b"LATENCY", b"GRAPH"), (b"LATENCY",),
            (b"LATENCY", b"HISTOGRAM", b"nosuch"), (b"LATENCY", b"nosuch"),
            (b"LATENCY", b"LATEST", b"x"), (b"LATENCY", b"doctor"),
            (b"MEMORY",), (b"MEMORY", b"nosuch"), (b"MEMORY", b"USAGE"), (b"MEMORY", b"PURGE"),
            (b"MEMORY", b"usage", self.key()), (b"MEMORY", b"USAGE", b"none", b"SAMPLES"),
            (b"MEMORY", b"USAGE", self.key(), b"samples", self.integer()),
            (b"MEMORY", b"USAGE", self.key(), b"foo"), (b"MEMORY", b"DOCTOR", b"x"),
            (b"MEMORY", b"DOCTOR"), (b"MEMORY", b"STATS"), (b"MEMORY", b"MALLOC-STATS"),
            (b"MODULE",), (b"MODULE", b"LIST"), (b"MODULE", b"LIST", b"x"), (b"MODULE", b"nosuch"),
            (b"ROLE",), (b"ROLE", b"x"), (b"WAIT", b"0", b"0"), (b"WAIT", b"-1", b"100"),
            (b"WAIT", self.pick(self.NO_INTEGERS), self.pick(self.NO_INTEGERS)), (b"WAIT", b"0"),
            (b"WAIT", b"0", self.pick(self.NO_INTEGERS + [b"-1"])), (b"LASTSAVE",),
            (b"LASTSAVE", b"x"), (b"SAVE",), (b"SAVE", b"x"), (b"BGSAVE", b"x"),
            (b"BGSAVE", b"SCHEDULE", b"x"),
            (b"BGREWRITEAOF", b"x"), (b"CLUSTER",), (b"CLUSTER", b"INFO"), (b"CLUSTER", b"SLOTS"),
            (b"READONLY",), (b"READWRITE",), (b"READONLY", b"x"), (b"ASKING",), (b"LOLWUT",),
            (b"LOLWUT", b"VERSION", b"x"), (b"LOLWUT", b"x", b"y"), (b"PSYNC", b"x"),
            (b"SYNC", b"x"), (b"SHUTDOWN", b"foo"), (b"SHUTDOWN", b"SAVE", b"NOSAVE"),
            (b"SHUTDOWN", b"ABORT"), (b"SHUTDOWN", b"NOW", b"ABORT"),
            (b"SENTINEL", b"masters"))))]]
