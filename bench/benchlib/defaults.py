"""redis-benchmark as it is called without options: all of its tests, on respgres, on redis-server twice,
and what a statement per command does in PostgreSQL.

Its tests follow one another on the same few keys: LPOP takes what LPUSH has put there, LRANGE reads a list
of as many elements as there were requests. So all servers get the same number of requests, and an empty
database before each round."""

import csv
import io
import statistics

from . import generators
from .report import Row, number
from .site import TOP, say

CLIENTS = 50  # redis-benchmark's own number

# redis-benchmark's name, or the beginning of it → the script of pgbench that is the same by hand.
BY_HAND = {
    "SET": "single-set", "GET": "single-get", "INCR": "incr-hot", "LPUSH": "list-push", "RPUSH": "list-push",
    "LPOP": "list-pop", "RPOP": "list-pop", "SADD": "member", "HSET": "member", "ZADD": "member",
    "LRANGE_100": "list-range", "LRANGE_600": "list-range", "MSET": "single-mset",
}


def short(name):
    """Without what it says in parentheses, but for the LPUSH that fills a list."""
    return name if name.startswith("LPUSH (") else name.partition(" (")[0]


class Contest:
    def __init__(self, site, requests):
        self.site, self.requests = site, requests
        self.by_hand = site.database()
        generators.make_hand_made_tables(self.by_hand)
        self.by_hand.execute((TOP / "bench" / "pgbench" / "collections.sql").read_text())
        self.servers = {"respgres": site.respgres(site.database()), "redis": site.redis(),
                        "aof": site.redis_aof()}

    def round(self, depth):
        """name of the server → {test: requests per second}, and what it said of the median."""
        return {name: self._benchmark(server, depth) for name, server in self.servers.items()}

    def _benchmark(self, server, depth):
        server.client().flushall()
        text = self.site.run(["redis-benchmark", "-h", "127.0.0.1", "-p", server.options["port"], "-c", CLIENTS,
                              "-n", self.requests, "-P", depth, "--csv"])
        rows = list(csv.DictReader(io.StringIO(text)))
        if len(rows) < 20:
            raise SystemExit(f"redis-benchmark has measured {len(rows)} tests only:\n{text}")
        return {short(row["test"]): (float(row["rps"]), float(row["p50_latency_ms"])) for row in rows}

    def statements(self, test):
        """Per second; pgbench has no pipeline."""
        size = int(test.partition("_")[2]) if test.startswith("LRANGE") else 3
        transactions = max(10, self.requests // 2 // CLIENTS)
        return generators.pgbench(self.site, self.by_hand, BY_HAND[test], CLIENTS, transactions, size, 1)

    def close(self):
        for server in self.servers.values():
            self.site.end(server)
        self.site.drop_databases()


def measure(site, rounds, quick):
    requests = 3000 if quick else 20_000
    contest = Contest(site, requests)
    rows = []
    for depth in (1,) if quick else (1, 16):
        say(f"redis-benchmark: {requests} requests of each test, P={depth}")
        found, by_hand = [], []
        for _ in range(rounds):
            found.append(contest.round(depth))
            by_hand.append({script: contest.statements(test)
                            for script, test in {BY_HAND[t]: t for t in BY_HAND}.items()})
        rows += [_row(test, depth, requests, found, by_hand) for test in found[0]["respgres"]]
    contest.close()
    return rows


def _row(test, depth, requests, found, by_hand):
    ours = [each["respgres"][test] for each in found]
    ratios = {name: [mine / each[name][test][0] for (mine, _), each in zip(ours, found)]
              for name in ("redis", "aof")}
    if test in BY_HAND:
        ratios["bare"] = [mine / each[BY_HAND[test]] for (mine, _), each in zip(ours, by_hand)]
    rate, p50 = (statistics.median(each[i] for each in ours) for i in (0, 1))
    return Row(f"redis-benchmark {test}", f"{CLIENTS} clients, P={depth}, {requests:,} requests",
               f"{number(rate)}/s, p50 {p50:.2f} ms", ratios)
