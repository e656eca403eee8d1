#!/usr/bin/python3
"""Sends the same random programs to two servers and compares every reply, byte for byte.

    differential.py --ref 127.0.0.1:6379 --sub 127.0.0.1:6380 --commands 100000 --seed 1 --resp 3

The reference is a redis-server 7.0, the subject is respgres; both are emptied first (FLUSHALL).
The programs come from the seed alone: several connections, pipelined bursts, MULTI and WATCH,
several databases, valid and invalid arguments, binary keys and values. A burst of one connection
is answered before another connection's is sent, so that both servers run the same order; in
"parallel" rounds all connections send at once, each to keys of its own.

Compared other than byte for byte (see Normaliser):
  KEYS                              as sets; SCAN: a whole iteration's keys as sets
  TTL PTTL EXPIRETIME PEXPIRETIME   within 2 seconds, and any two times beyond the year 280,000 are
                                    equal: respgres stores nothing later than PostgreSQL can
  HKEYS HVALS HGETALL HSCAN         in any order (test_hash_differential.py compares the order)
  SORT SORT_RO                      may succeed where Redis finds a score out of range that is none: it looks at
                                    what an earlier command has left in errno
  HELLO                             but for id and version
  RANDOMKEY HRANDFIELD              nil, or not; how many
  OBJECT                            of values that were just set; of IDLETIME
                                    and REFCOUNT the kind of reply only
  TIME INFO CLIENT ID|INFO|LIST, LASTSAVE LOLWUT LATENCY DOCTOR MEMORY DOCTOR|STATS|USAGE
  SLOWLOG GET|LEN                   the kind of reply only
  COMMAND DOCS                      group, and which subcommands
  CONFIG GET                        in any order
Never sent: what differs by design (COMMAND COUNT and the whole COMMAND LIST, CONFIG GET of options
that are ours, CLIENT SETINFO, CLIENT TRACKING ON). MONITOR has a test of its own.

Times: the random program's expiries are long past or at least 1000 seconds away. Short ones have
phases of their own: set, sleep well beyond, look. So no reply depends on the speed of a server.

The last line is "N commands compared, M mismatches"; the exit status is 1 if M > 0.
"""
import argparse
import collections
import importlib
import itertools
import pathlib
import random
import select
import sys
import time

from differential_more import MoreCommands
from differential_server import Silent
from differential_wire import Conn, decode, encode, pump

BURST_MAX = 120
TTL_SLACK_MS = 2000
FAR_MS = 8_900_000_000_000_000  # beyond this, times are cut to PostgreSQL's range


# --- comparison -------------------------------------------------------------------------------

class Normaliser:
    """Decides whether two replies that differ in bytes say the same."""

    KIND_ONLY = {(b"time",), (b"info",), (b"client", b"id"), (b"client", b"info"),
                 (b"client", b"list"), (b"lastsave",), (b"lolwut",), (b"latency", b"doctor"),
                 (b"memory", b"doctor"), (b"memory", b"stats"), (b"memory", b"malloc-stats"),
                 (b"memory", b"usage"), (b"slowlog", b"len"), (b"slowlog", b"get")}
    TIMES = {b"ttl": 1000, b"pttl": 1, b"expiretime": 1000, b"pexpiretime": 1}  # unit in ms

    # Redis looks at an errno that an earlier command may have left.
    SORT_RANGE = b"ERR One or more scores can't be converted into double"

    LONG_KEY = b"ERR key is too long (the limit is 2600 bytes) script: "

    def same(self, cmd, queued, ref, sub):
        """`queued`: the commands of the transaction, for the reply of EXEC."""
        if ref == sub:
            return True
        try:
            a, _ = decode(ref)
            b, _ = decode(sub)
        except (ValueError, IndexError):
            return False
        return self.same_value(cmd, queued, a, b)

    def same_value(self, cmd, queued, a, b):
        if a == b:
            return True
        name = cmd[0].lower()
        if name in (b"sort", b"sort_ro") and a == ("-", self.SORT_RANGE):
            return b[0] == "*"
        if b[0] == "-" and b[1].startswith(self.LONG_KEY) and name.startswith(b"eval"):
            return any(len(x) > 2600 for x in cmd)  # docs/commands.md: the limit of keys
        if a[0] != b[0] or "-" in (a[0], b[0]) or a[1] is None or b[1] is None:
            return False
        if name == b"exec":
            return (len(a[1]) == len(b[1]) == len(queued) and
                    all(self.same_value(c, [], x, y) for c, x, y in zip(queued, a[1], b[1])))
        if (name,) in self.KIND_ONLY or tuple(x.lower() for x in cmd[:2]) in self.KIND_ONLY:
            return a[0] == b[0]
        if name in self.TIMES and a[0] == ":":
            return self.same_time(self.TIMES[name], int(a[1]), int(b[1]))
        if name == b"keys":
            return sorted(a[1]) == sorted(b[1])
        if name in (b"hkeys", b"hvals"):  # from a hash table, once a field or value was longer than 64
            return sorted(a[1]) == sorted(b[1])
        if name == b"hgetall":
            return self.pairs(a) == self.pairs(b)
        if name == b"hscan":
            return a[1][0] == b[1][0] and self.pairs(a[1][1]) == self.pairs(b[1][1])
        if name == b"randomkey":
            return True  # some key, or none: nil has been told apart above
        if [x.lower() for x in cmd[:2]] in ([b"object", b"idletime"], [b"object", b"refcount"]):
            return a[0] == b[0] == ":"  # a queued SET holds a reference
        for module in more_modules():
            if name in getattr(module, "ALIKE", ()):
                return module.alike(cmd, a, b)
        if name == b"hrandfield":  # some of the fields
            return not isinstance(a[1], list) or len(a[1]) == len(b[1])
        if name == b"hello":
            return self.without(a[1]) == self.without(b[1])
        if tuple(x.lower() for x in cmd[:2]) == (b"config", b"get"):
            return self.pairs(a) == self.pairs(b)  # Redis' order is that of a hash table
        if tuple(x.lower() for x in cmd[:2]) == (b"command", b"docs"):
            return self.docs(a) == self.docs(b)
        return False

    # Texts, history and names of alternatives are our own, and nothing is called deprecated.
    OWN_DOCS = (b"summary", b"complexity", b"history", b"deprecated_since", b"replaced_by",
                b"doc_flags", b"since", b"arguments")

    @classmethod
    def docs(cls, reply):
        """What COMMAND DOCS says of commands, but for OWN_DOCS."""
        found = {}
        for name, doc in zip(reply[1][::2], reply[1][1::2]):
            found[name[1]] = [(field[1], value) for field, value in zip(doc[1][::2], doc[1][1::2])
                              if field[1] not in cls.OWN_DOCS]
        return found

    @staticmethod
    def same_time(unit_ms, a, b):
        if a < 0 or b < 0:
            return a == b
        if a * unit_ms > FAR_MS and b * unit_ms > FAR_MS:
            return True
        return abs(a - b) * unit_ms <= TTL_SLACK_MS

    @staticmethod
    def pairs(reply):
        return sorted(zip(reply[1][::2], reply[1][1::2]))

    @staticmethod
    def without(items):
        """A HELLO reply as pairs, id and version left out."""
        pairs = list(zip(items[::2], items[1::2]))
        return [p for p in pairs if p[0][1] not in (b"id", b"version")]


class Mismatch(Exception):
    pass


def readable(processes):
    """Those whose output can be read."""
    by_file = {process.stdout: process for process in processes}
    return [by_file[f] for f in select.select(list(by_file), [], [])[0]]


class Link:
    """A pair of connections, one to each server, that get the same commands."""

    def __init__(self, number, checker, ref, sub, resp):
        self.number = number
        self.checker = checker
        self.resp = resp
        self.ref = Conn(ref)
        self.sub = Conn(sub)
        self.reset_state()

    def reset_state(self):
        self.queued = []  # commands answered QUEUED
        self.sent = []

    def submit(self, commands):
        """commands: lists of arguments, or bytes sent as they are (inline)."""
        data = b"".join(c if isinstance(c, bytes) else encode(c) for c in commands)
        self.sent = [c.split() if isinstance(c, bytes) else c for c in commands
                     if not isinstance(c, Silent)]
        self.checker.note_burst(self, commands)
        self.ref.submit(data, len(self.sent))
        self.sub.submit(data, len(self.sent))

    def check(self):
        for i, cmd in enumerate(self.sent):
            ref = self.ref.replies[i] if i < len(self.ref.replies) else b"(connection closed)"
            sub = self.sub.replies[i] if i < len(self.sub.replies) else b"(connection closed)"
            self.checker.compare(self, cmd, ref, sub)
            self.follow(cmd, ref)

    def follow(self, cmd, reply):
        """Keeps track of the transaction, to know what EXEC's elements answer."""
        name = cmd[0].lower() if cmd else b""
        if reply == b"+QUEUED\r\n":
            self.queued.append(cmd)
        elif name == b"multi" and reply == b"+OK\r\n":
            self.queued = []
        elif name in (b"exec", b"discard", b"reset") and not reply.startswith(b"-ERR wrong"):
            self.queued = []

    def run(self, commands):
        self.submit(commands)
        pump([self.ref, self.sub])
        self.check()

    def reopen(self):
        """After QUIT: both must close."""
        for conn in (self.ref, self.sub):
            conn.wanted = len(conn.replies) + 1
        pump([self.ref, self.sub])
        self.ref.open()
        self.sub.open()
        self.reset_state()
        self.greet()

    def greet(self):
        if self.resp == 3:
            self.run([[b"HELLO", b"3"]])

    def close(self):
        self.ref.sock.close()
        self.sub.sock.close()


class Checker:
    def __init__(self, seed):
        self.seed = seed
        self.count = 0
        self.mismatches = 0
        self.normaliser = Normaliser()
        self.history = collections.deque(maxlen=3000)
        self.steps = []  # the program so far: (connection, commands), or seconds to sleep
        self.mismatch = None  # the command that was answered differently

    def note_burst(self, link, commands):
        self.steps.append((link.number, commands))

    def sleep(self, seconds):
        self.steps.append(seconds)
        time.sleep(seconds)

    def compare(self, link, cmd, ref, sub):
        self.count += 1
        self.history.append((self.count, link.number, cmd, ref, sub))
        if ref != sub and not (cmd and self.normaliser.same(cmd, link.queued, ref, sub)):
            self.mismatches += 1
            self.mismatch = cmd
            self.report(link, cmd, ref, sub)
            raise Mismatch()

    def report(self, link, cmd, ref, sub):
        print("MISMATCH seed=%d command=%d connection=%d" % (self.seed, self.count, link.number))
        keys = {a for a in cmd[1:] if self.is_key(a)}
        for c in link.queued if cmd and cmd[0].lower() == b"exec" else []:
            keys.update(a for a in c[1:] if self.is_key(a))
        related = [h for h in self.history if keys.intersection(h[2][1:])][-16:]
        own = [h for h in self.history if h[1] == link.number][-16:]
        print("the last commands on its keys and on its connection, with the reference's replies:")
        for h in sorted({h[0]: h for h in related + own}.values(), key=lambda h: h[0]):
            print("  %7d c%d %s -> %s" % (h[0], h[1], show(h[2]), clip(repr(h[3]))))
        print("command: %s" % show(cmd, 2000))
        print("ref:     %s" % clip(repr(ref), 4000))
        print("sub:     %s" % clip(repr(sub), 4000))


    @staticmethod
    def is_key(arg):
        return arg in SHARED_KEYS or arg.startswith((b"own", b"exp"))


def clip(text, limit=160):
    return text if len(text) <= limit else text[:limit] + "...(%d)" % len(text)


def show(cmd, limit=160):
    return clip(" ".join(repr(a)[1:] for a in cmd), limit)


# --- random programs --------------------------------------------------------------------------

SHARED_KEYS = [b"k%d" % i for i in range(16)] + [
    b"", b"session:1", b"session:2", b"\x00", b"nul\x00in\x00it", b"\xff\xfe\xfd", b"caf\xc3\xa9",
    b"\xc3", b"with blank", b"line\r\nend", b"'quoted\"", b"{tag}a", b"UPPER", b"upper",
    b"*", b"[a-c]", b"long:" + b"x" * 900]

NUMBERS = [b"0", b"1", b"-1", b"7", b"10", b"-10", b"100", b"9223372036854775807",
           b"-9223372036854775808", b"9223372036854775806", b"-9223372036854775807",
           b"4294967296"]

NO_INTEGERS = [b"", b" ", b"abc", b"1 ", b" 1", b"+1", b"01", b"-0", b"0x10", b"1.0", b"1e3",
               b"9223372036854775808", b"-9223372036854775809", b"99999999999999999999999", b"-",
               b"1\x00", b"\xff"]

FLOATS = [b"1.5", b"-1.5", b"0.1", b"3.0e3", b"1e17", b"-2.5e-5", b"0.00000000000000001", b"5",
          b"1e10", b"10.10", b".5", b"5.", b"0x1p4", b"+3", b"-0", b"-0.0", b"1e-20", b"1e30"]

NO_FLOATS = [b"", b"abc", b" 1", b"1 ", b"nan", b"NaN", b"1e", b"1e5000", b"-1e5000", b"1e-5000",
             b"1,5", b"--1", b"1\x00", b"0x"]

SPECIAL_FLOATS = [b"inf", b"-inf", b"+infinity", b"1e4932", b"-1e4932", b"1e300"]

VALUES = [b"", b"v", b"value", b"\x00", b"\x00\x01\x02\xff", b"\xf0\x9f\x92\xbe", b"\r\n",
          b"{\"a\": 1}", b"\x80\x04}\x94.", b"hello world", b"  7", b"3.0", b"not a number"]

# Not "GET\0": that is GET to a redis-server whose hash of commands, seeded by chance, has both in
# one bucket.
UNKNOWN = [b"FOO", b"gett", b"SETX", b"se", b"", b"\x00GET", b"no\r\nsuch", b"x" * 200,
           b"caf\xc3\xa9", b"client|id", b"config|get", b"get ", b"hgetall2", b"*1", b"\xff"]

TIME_COMMANDS = (b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT")
READ_TIMES = (b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME")


class Weighted:
    """(weight, category, function), to be chosen from."""

    def __init__(self, rows):
        self.rows = list(rows)
        self.functions = [row[2] for row in self.rows]
        self.bounds = list(itertools.accumulate(row[0] for row in self.rows))


MODULES = []


def more_modules():
    """The modules beside this one that add commands: see differential_server.py."""
    if MODULES:
        return MODULES
    names = sorted(p.stem for p in pathlib.Path(__file__).parent.glob("differential_*.py"))
    MODULES.extend(importlib.import_module(name) for name in names)
    return MODULES


def bound(function, generator):
    return lambda: function(generator)


class Generator(MoreCommands):
    """Random commands. A method returns one or more commands, each a list of arguments."""

    NUMBERS = NUMBERS
    NO_INTEGERS = NO_INTEGERS

    def __init__(self, rng, dbs, resp, skip):
        self.rng = rng
        self.dbs = dbs
        self.resp = resp
        self.now_ms = int(time.time() * 1000)
        self.keys = SHARED_KEYS
        table = [
            (100, "data", self.data), (12, "wrong", self.wrong_arity), (5, "wrong", self.unknown),
            (10, "multi", self.multi), (4, "watch", self.watch), (5, "select", self.select),
            (1, "swapdb", self.swapdb), (1, "flush", self.flush), (2, "keys", self.keys_query),
            (3, "scan", self.scan_errors), (2, "hello", self.hello), (4, "client", self.client),
            (4, "command", self.command), (3, "auth", self.auth), (3, "misc", self.misc),
            (3, "server", self.server),
            (1, "reset", self.reset), (1, "quit", self.quit), (2, "inline", self.inline)]
        self.families = list(self.FAMILIES)
        for module in more_modules():
            for weight, category, function in getattr(module, "FAMILIES", ()):
                if category == "data":
                    self.families += [function] * weight
                else:
                    table.append((weight, category, bound(function, self)))
            self.ALL_DATA = self.ALL_DATA + [
                name for name in getattr(module, "COMMANDS", ()) if name not in self.ALL_DATA]
        self.table = Weighted(row for row in table if row[1] not in skip)
        self.private_table = Weighted(row for row in self.table.rows
                                      if row[1] in ("data", "wrong", "multi"))
        self.data_table = Weighted(row for row in self.table.rows if row[1] == "data")
        self.in_multi_table = Weighted(
            row for row in self.table.rows
            if row[1] not in ("multi", "watch", "quit", "reset", "inline", "silence"))
        if "multi-query" in skip:
            self.in_multi_table = Weighted(row for row in self.in_multi_table.rows
                                           if row[1] not in ("keys", "flush", "swapdb"))

    # small choices

    def pick(self, items):
        return items[int(self.rng.random() * len(items))]

    def chance(self, p):
        return self.rng.random() < p

    def weighted(self, table):
        return self.rng.choices(table.functions, cum_weights=table.bounds)[0]

    def case(self, word):
        r = self.rng.random()
        if r < 0.6:
            return word
        if r < 0.8:
            return word.lower()
        return bytes(self.pick((c, c ^ 32)) if 65 <= (c & ~32) <= 90 else c for c in word)

    def key(self):
        return self.pick(self.keys)

    def integer(self):
        r = self.rng.random()
        if r < 0.5:
            return b"%d" % self.rng.randint(-1000, 1000)
        return self.pick(NUMBERS if r < 0.85 else NO_INTEGERS)

    def number(self):
        r = self.rng.random()
        if r < 0.4:
            return self.pick(FLOATS)
        if r < 0.6:
            return b"%.*f" % (self.rng.randint(0, 20), self.rng.uniform(-1e6, 1e6))
        if r < 0.75:
            return b"%d" % self.rng.randint(-1000000, 1000000)
        return self.pick(NO_FLOATS if r < 0.93 else SPECIAL_FLOATS)

    def value(self):
        r = self.rng.random()
        if r < 0.4:
            return self.pick(VALUES)
        if r < 0.6:
            return b"%d" % self.rng.randint(-100, 100)
        if r < 0.68:
            return self.number()
        if r < 0.72:
            return self.integer()
        if r < 0.99:
            return self.rng.randbytes(self.rng.randint(0, 64))
        return self.rng.randbytes(self.rng.randint(1000, 40000))

    def time_arg(self, seconds, absolute, far=True):
        """Anything an expiry may be given: never within 1000 s of now, but for the past."""
        unit = 1000 if seconds else 1
        r = self.rng.random()
        if r < 0.62:
            ms = self.rng.randint(1_000_000, 10_000_000_000) + (self.now_ms if absolute else 0)
            return b"%d" % (ms // unit)
        if r < 0.75:
            ms = self.rng.randint(1, self.now_ms - 1_000_000) if absolute else \
                -self.rng.randint(1, 10_000_000)
            return b"%d" % (ms // unit)
        if r < 0.85:
            return self.pick((b"0", b"-1", b"-9223372036854775808"))
        if r < 0.93 or not far:
            return self.pick(NO_INTEGERS)
        return self.pick((b"9223372036854775807", b"9223372036854775", b"9223372036854776",
                          b"-9223372036854775", b"-9223372036854776", b"9223370000000000000",
                          b"9000000000000000000"))

    # data commands

    def data(self):
        return self.pick(self.families)(self)

    def read(self):
        name = self.pick((b"GET", b"GET", b"GET", b"STRLEN", b"TYPE", b"GETDEL") + READ_TIMES)
        return [[self.case(name), self.key()]]

    def write(self):
        name = self.pick((b"SETNX", b"GETSET", b"APPEND", b"SET"))
        return [[self.case(name), self.key(), self.value()]]

    def several(self):
        name = self.pick((b"MGET", b"DEL", b"UNLINK", b"EXISTS", b"TOUCH"))
        return [[self.case(name)] + [self.key() for _ in range(self.rng.randint(1, 5))]]

    def pairs(self):
        name = self.pick((b"MSET", b"MSET", b"MSETNX"))
        args = []
        for _ in range(self.rng.randint(1, 4)):
            args += [self.key(), self.value()]
        if self.chance(0.05):
            args.append(b"odd")
        return [[self.case(name)] + args]

    def set_for(self):
        name = self.pick((b"SETEX", b"PSETEX"))
        when = self.time_arg(name == b"SETEX", False)
        return [[self.case(name), self.key(), when, self.value()]]

    def time_option(self):
        word = self.pick((b"EX", b"PX", b"EXAT", b"PXAT"))
        return [self.case(word), self.time_arg(b"EX" in word, b"AT" in word)]

    def set_options(self):
        args = []
        for _ in range(self.pick((0, 1, 1, 1, 2, 2, 3))):
            r = self.rng.random()
            if r < 0.5:
                args += self.time_option()
            else:
                args.append(self.case(self.pick((b"NX", b"XX", b"GET", b"KEEPTTL", b"NX", b"XX",
                                                 b"GET", b"PERSIST", b"FOO", b"", b"EX"))))
        if self.chance(0.5):
            self.rng.shuffle(args)
        key = self.key()
        # An expired key is gone for every command, but Redis counts it until it is touched.
        return [[self.case(b"SET"), key, self.value()] + args, [b"GET", key]]

    def getex(self):
        args = []
        r = self.rng.random()
        if r < 0.6:
            args = self.time_option()
        elif r < 0.8:
            args = [self.case(b"PERSIST")]
        elif r < 0.9:
            args = self.time_option() + self.pick(([b"PERSIST"], [b"KEEPTTL"], self.time_option()))
        return [[self.case(b"GETEX"), self.key()] + args]

    def expire(self):
        name = self.pick(TIME_COMMANDS)
        words = self.pick(([], [], [b"NX"], [b"XX"], [b"GT"], [b"LT"], [b"XX", b"GT"],
                           [b"LT", b"XX"], [b"NX", b"GT"], [b"GT", b"LT"], [b"foo"],
                           [b"NX", b"b\x00r"], [b"NX", b"NX"], [b"e\r\n"], [b"NX", b"XX", b"x"]))
        seconds = not name.startswith(b"P")
        when = self.time_arg(seconds, name.endswith(b"AT"), far=not words)
        return [[self.case(name), self.key(), when] + [self.case(w) for w in words]]

    def persist(self):
        return [[self.case(b"PERSIST"), self.key()]]

    def count(self):
        name = self.pick((b"INCR", b"DECR", b"INCRBY", b"DECRBY"))
        args = [self.case(name), self.key()]
        return [args + [self.integer()] if name.endswith(b"BY") else args]

    def count_float(self):
        return [[self.case(b"INCRBYFLOAT"), self.key(), self.number()]]

    def ranges(self):
        r = self.rng.random()
        if r < 0.6:
            name = self.pick((b"GETRANGE", b"SUBSTR"))
            return [[self.case(name), self.key(), self.position(), self.position()]]
        offset = b"%d" % self.rng.randint(0, 80) if self.chance(0.8) else self.pick(
            NO_INTEGERS + [b"-1", b"536870912", b"9223372036854775807", b"536870905"])
        value = self.pick((b"", b"longer than that", self.value()))
        if offset == b"536870905":
            value = b"longer than that"  # or half a gigabyte would be made
        return [[self.case(b"SETRANGE"), self.key(), offset, value]]

    def position(self):
        if self.chance(0.85):
            return b"%d" % self.rng.randint(-70, 70)
        return self.pick(NUMBERS + NO_INTEGERS)

    FAMILIES = (read, read, read, write, write, several, several, pairs, set_for, set_options,
                set_options, getex, expire, expire, persist, count, count, count_float, ranges,
                MoreCommands.rename, MoreCommands.copy, MoreCommands.describe, MoreCommands.bits,
                MoreCommands.bits, MoreCommands.bitop, MoreCommands.bitfield,
                MoreCommands.bitfield, MoreCommands.lcs)

    # commands that fail

    ALL_DATA = (b"GET SET SETEX PSETEX SETNX GETSET GETDEL GETEX MGET MSET MSETNX APPEND STRLEN "
                b"INCR DECR INCRBY DECRBY INCRBYFLOAT DEL UNLINK EXISTS TYPE TOUCH EXPIRE "
                b"PEXPIRE EXPIREAT PEXPIREAT TTL PTTL EXPIRETIME PEXPIRETIME PERSIST GETRANGE "
                b"SUBSTR SETRANGE RENAME RENAMENX "
                b"COPY MOVE LCS GETBIT SETBIT BITCOUNT BITPOS BITOP BITFIELD BITFIELD_RO").split()
    ARITY_ONLY = (b"ECHO SELECT KEYS SCAN DBSIZE SWAPDB MULTI EXEC DISCARD WATCH UNWATCH TIME "
                  b"AUTH CLIENT CONFIG SLOWLOG RESET").split()

    def wrong_arity(self):
        name = self.pick(self.ALL_DATA)
        if self.chance(0.7):
            args = [self.key() for _ in range(self.rng.randint(0, 6))]
            if len(args) > 2 and name in (b"SETRANGE",):
                args[1] = b"x"  # no key is a number by chance, but stay clear of large offsets
            return [[self.case(name)] + args]
        name = self.pick(self.ARITY_ONLY)
        if name in (b"SELECT", b"ECHO", b"KEYS", b"SCAN", b"WATCH", b"AUTH", b"CLIENT", b"CONFIG",
                    b"SLOWLOG"):
            args = []
        else:
            args = [b"a", b"b", b"c"]
        return [[self.case(name)] + args]

    def unknown(self):
        args = [self.value() for _ in range(self.rng.randint(0, 6))]
        return [[self.pick(UNKNOWN)] + args]

    # transactions

    def multi(self):
        """A whole transaction, now and then with a mistake in it."""
        commands = [[self.case(b"MULTI")]]
        table = self.in_multi_table if self.keys is SHARED_KEYS else self.data_table
        for _ in range(self.rng.randint(0, 8)):
            commands += self.weighted(table)()
        if self.chance(0.04):
            commands.append(self.pick(([b"MULTI"], [b"WATCH", b"k1"], [b"UNWATCH"])))
        if self.chance(0.9):  # otherwise it goes on, while other connections do things
            commands.append([self.case(self.pick((b"EXEC",) * 8 + (b"DISCARD",)))])
        if self.chance(0.05):
            commands.append([self.pick((b"EXEC", b"DISCARD"))])
        return commands

    def watch(self):
        if self.chance(0.25):
            return [[self.case(b"UNWATCH")]]
        return [[self.case(b"WATCH")] + [self.key() for _ in range(self.rng.randint(1, 3))]]

    # the connection and the keyspace

    def select(self):
        if self.chance(0.85):
            return [[self.case(b"SELECT"), b"%d" % self.rng.randrange(self.dbs)]]
        return [[b"SELECT", self.pick((b"-1", b"abc", b"", b"1 ", b"9999999999", b"100000"))]]

    def swapdb(self):
        if self.chance(0.7):
            return [[self.case(b"SWAPDB"), b"%d" % self.rng.randrange(self.dbs),
                     b"%d" % self.rng.randrange(self.dbs)]]
        return [[b"SWAPDB", self.pick((b"-1", b"abc", b"0")), self.pick((b"100000", b"x", b"0"))]]

    def flush(self):
        name = self.pick((b"FLUSHDB", b"FLUSHDB", b"FLUSHALL"))
        args = self.pick(([], [], [b"ASYNC"], [b"sync"], [b"foo"], [b"ASYNC", b"SYNC"]))
        return [[self.case(name)] + args]

    def pattern(self):
        return self.pick((b"*", b"k*", b"k?", b"k[0-5]", b"k[^0-5]", b"*a*", b"session:*",
                          b"\\*", b"\\[a-c\\]", b"", b"u[p]per", b"*\x00*", b"*[", b"k1*"))

    def keys_query(self):
        if self.chance(0.4):
            return [[self.case(b"DBSIZE")]]
        if self.chance(0.3):
            return [[self.case(b"RANDOMKEY")]]
        return [[self.case(b"KEYS"), self.pattern()]]

    def scan_errors(self):
        return [[self.case(b"SCAN"), *self.pick((
            (b"abc",), (b"1 ",), (b" 1",), (b"\t1",), (b"x\x00",), (b"0", b"MATCH"), (b"0", b"COUNT"),
            (b"0", b"COUNT", b"0"), (b"0", b"COUNT", b"-1"), (b"0", b"COUNT", b"x"),
            (b"0", b"foo"), (b"0", b"foo", b"bar"), (b"18446744073709551616",),
            (b"0", b"COUNT", b"9223372036854775808"), (b"x", b"COUNT", b"y")))]]

    def hello(self):
        return [[self.case(b"HELLO"), *self.pick((
            (b"2",), (b"3",), (), (b"4",), (b"1",), (b"abc",), (b"3", b"AUTH", b"a"),
            (b"3", b"SETNAME", b"me"), (b"2", b"foo"), (b"3", b"SETNAME", b"a b"), (b"",),
            (b"3", b"AUTH", b"nobody", b"secret")))]]

    def client(self):
        return [[self.case(b"CLIENT"), *self.pick((
            (b"ID",), (b"GETNAME",), (b"getname",), (b"SETNAME", b"name%d" % self.rng.randrange(9)),
            (b"SETNAME", b""), (b"SETNAME", b"a b"), (b"SETNAME", b"a\nb"), (b"GETNAME", b"x"),
            (b"SETNAME",), (b"nosuch",), (b"no\r\nsuch", b"x"), (b"",), (b"INFO",), (b"LIST",),
            (b"ID", b"x"), (b"KILL",), (b"x" * 150,), (b"i\x00d",)))]]

    def command(self):
        r = self.rng.random()
        if r < 0.3:
            names = [self.pick(self.ALL_DATA) for _ in range(self.rng.randint(1, 3))]
            return [[self.case(b"COMMAND"), b"INFO"] + [self.case(n) for n in names]]
        if r < 0.6:
            call = self.pick((self.data, self.wrong_arity))()[0]
            return [[b"COMMAND", self.pick((b"GETKEYS", b"GETKEYSANDFLAGS"))] + call]
        return [[self.case(b"COMMAND"), *self.pick((
            (b"INFO", b"nosuch"), (b"INFO", b"config|get", b"get|x"), (b"DOCS", b"nosuch"),
            (b"nosuch",), (b"LIST", b"x"), (b"LIST", b"FILTERBY", b"PATTERN"), (b"COUNT", b"x"),
            (b"LIST", b"FILTERBY", b"ACLCAT", b"nosuch"), (b"LIST", b"FILTERBY", b"MODULE", b"x"),
            (b"LIST", b"FILTERBY", b"PATTERN", b"setrange"), (b"LIST", b"FILTERBY", b"X", b"y"),
            (b"GETKEYS",), (b"GETKEYS", b"nosuch", b"x"), (b"GETKEYS", b"PING", b"x"),
            (b"GETKEYS", b"CONFIG", b"GET"), (b"GETKEYS", b"CONFIG", b"nosuch"), (b"HELP", b"x"),
            (b"INFO", b"ping", b"auth", b"hello", b"select", b"watch", b"info", b"monitor"),
            (b"INFO", b"keys", b"scan", b"dbsize", b"flushall", b"swapdb", b"multi", b"exec")))]]

    def auth(self):
        return [[self.case(b"AUTH"), *self.pick((
            (b"secret",), (b"default", b"anything"), (b"nobody", b"secret"), (b"a", b"b", b"c"),
            (b"",)))]]

    def misc(self):
        return [list(self.pick((
            (b"PING",), (b"ping", b"hi"), (b"PING", b"a", b"b"), (b"ECHO", b"\x00\xff"), (b"TIME",),
            (b"ECHO", b""), (b"INFO",), (b"info", b"server"), (b"CONFIG", b"GET", b"nosuchoption"),
            (b"CONFIG", b"nosuch"), (b"CONFIG", b"GET"), (b"SLOWLOG", b"nosuch"),
            (b"SLOWLOG", b"GET", b"x"), (b"CONFIG", b"SET", b"nosuchoption", b"1"),
            (b"CONFIG", b"SET", b"a"))))]

    def reset(self):
        again = [[b"HELLO", b"3"]] if self.resp == 3 else []
        return [[self.case(b"RESET")]] + again

    def quit(self):
        return [[self.case(b"QUIT")]]

    def inline(self):
        return [self.pick((b"PING\r\n", b"SET inline value\r\n", b"get inline\r\n",
                           b"GET \"k1\"\r\n", b"ECHO 'a b'\r\n", b"echo \"\\x41\\n\"\r\n",
                           b"  PING  hi  \r\n", b"ping\n", b"nosuch a b\r\n", b"GET\r\n"))]


class Program:
    """Drives the links through the random program."""

    def __init__(self, options):
        self.options = options
        self.rng = random.Random(options.seed)
        self.skip = set(options.skip)
        self.checker = Checker(options.seed)
        self.gen = Generator(self.rng, options.dbs, options.resp, self.skip)
        self.links = []

    def run(self):
        options = self.options
        self.links = [Link(i, self.checker, options.ref, options.sub, options.resp)
                      for i in range(options.connections)]
        self.links[0].run([[b"FLUSHALL"]])
        for link in self.links:
            link.greet()
        self.surface()
        rounds = 0
        next_expiry = 0
        while self.checker.count < self.options.commands:
            rounds += 1
            if "expiry" not in self.skip and self.checker.count >= next_expiry:
                self.expiry_phase()
                next_expiry = self.checker.count + max(self.options.commands // 6, 2000)
            if "parallel" not in self.skip and rounds % 10 == 0:
                self.parallel_round()
            elif rounds % 40 == 0:
                self.full_check()
            else:
                self.burst(self.rng.choice(self.links))
        self.full_check()

    def close(self):
        for link in self.links:
            link.close()

    def commands_until(self, n, table):
        commands = []
        while len(commands) < n:
            new = self.gen.weighted(table)()
            commands += new
            if self.is_quit(new[0]):
                break
        return commands

    @staticmethod
    def is_quit(command):
        return isinstance(command, list) and command[0].upper() == b"QUIT"

    def burst(self, link):
        length = self.rng.choice((1, 2, 5, 20, 60, BURST_MAX))
        commands = self.commands_until(length, self.gen.table)
        link.run(commands)
        if self.is_quit(commands[-1]):
            link.reopen()

    def parallel_round(self):
        """All connections at once, each on its own keys."""
        for link in self.links:
            link.run([[b"DISCARD"]])
        for link in self.links:
            self.gen.keys = [b"own%d:%d" % (link.number, i) for i in range(12)]
            link.submit(self.commands_until(self.rng.randint(1, BURST_MAX),
                                            self.gen.private_table))
        self.gen.keys = SHARED_KEYS
        pump([conn for link in self.links for conn in (link.ref, link.sub)])
        for link in self.links:
            link.check()

    # What COMMAND INFO says differently: Redis 7.0 has no such thing.
    NOT_IN_REDIS = (b"client|setinfo",)

    def surface(self):
        """COMMAND INFO of every command of the subject, once. Containers list their subcommands in
        random order: these are asked for one by one."""
        if "command" in self.skip:
            return
        conn = self.links[0].sub
        conn.submit(encode([b"COMMAND", b"LIST"]), 1)
        pump([conn])
        names = [item[1] for item in decode(conn.replies[0])[0][1]]
        containers = {name.split(b"|")[0] for name in names if b"|" in name}
        self.links[0].run([[b"COMMAND", b"INFO", name] for name in names
                           if name not in containers and name not in self.NOT_IN_REDIS])

    # the state

    def scan_all(self, link, conn, args):
        """A whole SCAN iteration on one server: the set of keys, or the error."""
        cursor, keys = b"0", set()
        for _ in range(100000):
            conn.submit(encode([b"SCAN", cursor] + args), 1)
            pump([conn])
            if conn.closed:
                return "closed"
            reply, _ = decode(conn.replies[0])
            if reply[0] == "-":
                return reply
            cursor = reply[1][0][1]
            keys.update(item[1] for item in reply[1][1][1])
            if cursor == b"0":
                return keys
        return "SCAN does not end"

    def compare_scan(self, link, args):
        found = [self.scan_all(link, conn, args) for conn in (link.ref, link.sub)]
        texts = [repr(sorted(f) if isinstance(f, set) else f).encode() for f in found]
        self.checker.compare(link, [b"SCAN", b"..."] + args, texts[0], texts[1])

    def reader(self, kind, key):
        for module in more_modules():
            if kind in getattr(module, "READERS", {}):
                return module.READERS[kind](key)
        return [b"GET", key]

    def full_check(self):
        """Every key of every database: its value and its expiry."""
        link = self.links[0]
        link.run([[b"DISCARD"], [b"UNWATCH"]])
        for db in range(self.options.dbs):
            link.run([[b"SELECT", b"%d" % db], [b"DBSIZE"], [b"KEYS", b"*"]])
            reply, _ = decode(link.ref.replies[2])
            if reply[0] != "*":
                raise ValueError(f"KEYS * is answered {reply}")
            keys = [item[1] for item in reply[1]]
            link.run([c for k in keys for c in ([b"TYPE", k], [b"PTTL", k])] or [[b"PING"]])
            types = [reply[1:-2] for reply in link.ref.replies[::2]]
            link.run([self.reader(kind, k) for kind, k in zip(types, keys)] or [[b"PING"]])
            if "scan" not in self.skip:
                self.compare_scan(link, self.rng.choice((
                    [], [b"COUNT", b"3"], [b"MATCH", self.gen.pattern()], [b"TYPE", b"string"],
                    [b"MATCH", b"k*", b"COUNT", b"1000"], [b"TYPE", b"hash"],
                    [b"count", b"1", b"match", b"own*", b"type", b"STRING"])))

    # expiry

    def expiry_phase(self):
        """Short times: some keys are looked at while they surely live, then after they surely
        died."""
        link = self.rng.choice(self.links)
        prefix = b"exp%d:" % self.checker.count
        keys = [prefix + b"%d" % i for i in range(40)]
        commands = [[b"DISCARD"], [b"UNWATCH"], [b"SELECT", b"0"]]
        for i, key in enumerate(keys):
            commands += self.short_lived(i % 10, key)
        link.run(commands)
        self.checker.sleep(1.9)
        # Touch each first: Redis counts expired keys that nobody has looked at.
        self.rng.shuffle(keys)
        looks = (b"GET", b"EXISTS", b"TTL", b"PTTL", b"STRLEN", b"TYPE", b"PERSIST", b"DEL",
                 b"GETDEL", b"EXPIRETIME", b"TOUCH", b"MGET")
        commands = [[self.rng.choice(looks), key] for key in keys]
        commands += [[b"EXPIRE", keys[0], b"1000"], [b"SET", keys[1], b"x", b"XX"],
                     [b"SET", keys[2], b"x", b"NX"], [b"APPEND", keys[3], b"x"],
                     [b"INCR", keys[4]], [b"TTL", keys[4]], [b"GETEX", keys[5], b"PERSIST"],
                     [b"SET", keys[6], b"x", b"KEEPTTL"], [b"TTL", keys[6]],
                     [b"SETRANGE", keys[7], b"2", b"x"], [b"TTL", keys[7]], [b"TTL", keys[3]]]
        commands += [[b"GET", key] for key in keys] + [[b"DBSIZE"], [b"KEYS", prefix + b"*"]]
        link.run(commands + [[b"DEL"] + keys])

    def short_lived(self, kind, key):
        ms = b"%d" % self.rng.randint(50, 400)
        soon_ms = int(time.time() * 1000)
        value = self.gen.value()
        return ([[b"SET", key, value, b"PX", ms]],
                [[b"PSETEX", key, ms, value]],
                [[b"SET", key, value], [b"PEXPIRE", key, ms]],
                [[b"SET", key, b"1", b"EX", b"1"]],
                [[b"SET", key, value, b"PXAT", b"%d" % (soon_ms + 400)]],
                [[b"SET", key, value], [b"PEXPIREAT", key, b"%d" % (soon_ms + 300)]],
                [[b"SETEX", key, b"1", b"5"], [b"SET", key, b"6", b"KEEPTTL"]],
                [[b"SET", key, value, b"EX", b"1"], [b"PERSIST", key], [b"GETEX", key, b"PX", ms]],
                [[b"MULTI"], [b"SET", key, b"1"], [b"PEXPIRE", key, ms], [b"INCR", key], [b"EXEC"]],
                [[b"SET", key, value, b"PX", ms], [b"SET", key, value]])[kind]


def address(text):
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def parse_options(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ref", type=address, required=True, metavar="HOST:PORT")
    parser.add_argument("--sub", type=address, required=True, metavar="HOST:PORT")
    parser.add_argument("--commands", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resp", type=int, choices=(2, 3), default=2)
    parser.add_argument("--connections", type=int, default=5)
    parser.add_argument("--dbs", type=int, default=3, help="databases used, from 0 on")
    parser.add_argument("--skip", action="append", default=[], metavar="CATEGORY",
                        help="leave out: wrong multi multi-query watch select swapdb flush keys "
                             "scan hello client command auth misc server reset quit inline "
                             "parallel expiry")
    return parser.parse_args(argv)


def main(argv):
    options = parse_options(argv)
    program = Program(options)
    started = time.monotonic()
    broken = 0
    try:
        program.run()
    except Mismatch:
        pass
    except (OSError, ValueError) as error:
        print("seed=%d after %d commands: %s" % (options.seed, program.checker.count, error))
        broken = 1
    print("seed=%d resp=%d %.1f s" % (options.seed, options.resp, time.monotonic() - started))
    mismatches = program.checker.mismatches + broken
    print("%d commands compared, %d mismatches" % (program.checker.count, mismatches))
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
