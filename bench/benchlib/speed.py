"""Throughput and latency under load: respgres against redis-server twice and pgbench, in
interleaved rounds, so that whatever else the machine does falls on all of them."""

import collections
import statistics

from . import generators
from .report import Goal, Row, number
from .site import say

Case = collections.namedtuple("Case", "pattern clients depth size")

TITLES = {"set": "SET", "get": "GET", "incr": "INCR, many keys", "incr-hot": "INCR, one hot key",
          "session": "GET then SETEX, 90 % the same bytes"}
HAS_SIZE = ("set", "get", "session")

# The pattern's name in bench_load → what --only calls it.
GROUPS = {"set": "SET", "get": "GET", "incr": "INCR", "incr-hot": "INCR", "session": "SESSION"}

GOALS = {
    Case("set", 50, 1, 512): [("aof", Goal("AOF", 0.65)), ("bare", Goal("pgbench", 4))],
    Case("get", 50, 1, 512): [("redis", Goal("redis", 0.7)), ("bare", Goal("pgbench", 4))],
}

QUICK = [
    Case("set", 50, 1, 512), Case("set", 50, 16, 512), Case("set", 1, 1, 512),
    Case("set", 500, 1, 512), Case("set", 50, 1, 4096),
    Case("get", 50, 1, 512), Case("get", 50, 16, 512), Case("get", 1, 1, 512),
    Case("incr-hot", 50, 1, 512), Case("incr", 50, 1, 512), Case("session", 50, 1, 512),
]


def full_cases():
    return [Case(pattern, clients, depth, size)
            for pattern in TITLES
            for size in ((512, 4096) if pattern in HAS_SIZE else (512,))
            for clients in (50, 1, 500)
            for depth in (1, 16)]


def chosen(cases, only):
    return [case for case in cases if not only or GROUPS[case.pattern] in only]


class Contest:
    """The four of them, with the same keys in each."""

    def __init__(self, site, keys, seconds):
        self.site = site
        self.keys = keys
        self.seconds = seconds
        self.database = site.database()
        self.hand_made = site.database()
        generators.make_hand_made_tables(self.hand_made)
        self.servers = {"respgres": site.respgres(self.database), "redis": site.redis(),
                        "aof": site.redis_aof()}
        self._filled = set()
        self._pgbench = {}

    def fill(self, size):
        if size in self._filled:
            return
        self._filled.add(size)
        for server in self.servers.values():
            generators.fill(self.site, server, self.keys, size, f"{size}:")
        generators.fill_hand_made(self.hand_made, self.keys, size)

    def prefix(self, case):
        if case.pattern in HAS_SIZE:
            return f"{case.size}:"
        return "hot:" if case.pattern == "incr-hot" else "counter:"

    def round(self, case, number_of_round):
        """One round of each: name → numbers."""
        results = {name: generators.load(
            self.site, server, case.pattern, clients=case.clients, depth=case.depth,
            size=case.size, keys=self.keys, prefix=self.prefix(case), seconds=self.seconds)
            for name, server in self.servers.items()}
        results["bare"] = {"per_second": self.pgbench(case, number_of_round)}
        return results

    def pgbench(self, case, number_of_round):
        """It cannot pipeline: what it did at P=1 is what others are compared with at any P."""
        key = (case.pattern, case.clients, case.size, number_of_round)
        if key not in self._pgbench:
            # About as long as a round. By number, because -T counts the time to connect, which
            # with 500 clients is longer than a round.
            total = (2000 if case.clients == 1 else 5000) * self.seconds
            transactions = max(20, round(total / case.clients))
            self._pgbench[key] = generators.pgbench(
                self.site, self.hand_made, case.pattern, case.clients, transactions, case.size,
                self.keys)
        return self._pgbench[key]

    def close(self):
        for server in self.servers.values():
            self.site.end(server)
        self.site.drop_databases()


def describe(case):
    parts = [f"{case.clients} client{'s' if case.clients > 1 else ''}", f"P={case.depth}"]
    if case.pattern in HAS_SIZE:
        parts.append(f"{case.size // 1024} kB" if case.size >= 1024 else f"{case.size} B")
    return ", ".join(parts)


def row_of(case, rounds):
    def median(name, what):
        return statistics.median(r[name][what] for r in rounds)

    ours = (f"{number(median('respgres', 'per_second'))}/s, p50 "
            f"{median('respgres', 'p50_us') / 1000:.2f} ms, p99 "
            f"{median('respgres', 'p99_us') / 1000:.2f} ms")
    ratios = {name: [r["respgres"]["per_second"] / r[name]["per_second"] for r in rounds]
              for name in Row.COLUMNS}
    return Row(TITLES[case.pattern], describe(case), ours, ratios, GOALS.get(case, ()))


def measure(site, cases, rounds, keys, seconds):
    contest = Contest(site, keys, seconds)
    rows = []
    for case in cases:
        contest.fill(case.size)
        say(f"{TITLES[case.pattern]}: {describe(case)}")
        rows.append(row_of(case, [contest.round(case, i) for i in range(rounds)]))
    contest.close()
    return rows
