"""Two paths looked at alone: a quiet client's write, and the commit path under load."""

import statistics

from . import generators
from .report import Goal, Row, number
from .site import say

KEYS = 10000
PREFIX = "session:"


class Pair:
    """One respgres, and beside it databases for the bare loops in the same cluster."""

    def __init__(self, site):
        self.site = site
        self.database = site.database()
        self.respgres = site.respgres(self.database)
        self.bare = site.database()
        generators.make_hand_made_tables(self.bare)
        site.end(site.respgres(self.bare))  # makes the schema
        generators.fill(site, self.respgres, KEYS, 512, PREFIX)

    def close(self):
        self.site.end(self.respgres)
        self.site.drop_databases()


def quiet_client(pair, rounds, seconds):
    """One client's SET against one prepared upsert, each on a Unix socket of its server."""
    say("one quiet client")
    site = pair.site
    ours, over_tcp, bare = [], [], []
    for _ in range(rounds):
        for results, unix in ((ours, True), (over_tcp, False)):
            results.append(generators.load(site, pair.respgres, "set", unix=unix, clients=1,
                                           keys=KEYS, prefix=PREFIX, seconds=seconds)["p50_us"])
        bare.append(generators.bare_upsert(site, pair.bare, seconds)["p50_us"])
    return [_latency_row("Unix socket", ours, bare, [("bare", Goal("upsert", 1.3, at_most=True))]),
            _latency_row("TCP", over_tcp, bare)]


def _latency_row(socket, ours, bare, goals=()):
    return Row("latency of SET, one quiet client", f"512 B, {socket}, p50",
               f"{statistics.median(ours):.0f} µs",
               {"bare": [o / b for o, b in zip(ours, bare)]}, goals)


def commit_path(pair, rounds, seconds):
    """With 200 and more commands waiting, against the same statement in a bare loop, in batches of
    the size that respgres made."""
    rows = []
    for clients, depth in ((250, 1), (50, 16)):
        say(f"commit path: {clients} clients, P={depth}")
        results = [_commit_round(pair, clients, depth, seconds) for _ in range(rounds)]
        speed = statistics.median(ours for ours, _, _ in results)
        batch = statistics.median(size for _, size, _ in results)
        rows.append(Row("commit path, ≥ 200 SETs waiting",
                        f"{clients} clients, P={depth}, 512 B; bare loop in batches of {batch:.0f}",
                        f"{number(speed)} rows/s",
                        {"bare": [ours / bare for ours, _, bare in results]},
                        [("bare", Goal("bare loop", 0.8))]))
    return rows


def _commit_counts(respgres):
    info = respgres.info("postgres")
    return info["postgres_commit_batches"], info["postgres_commit_items"]


def _commit_round(pair, clients, depth, seconds):
    """(SETs per second, rows per batch, rows per second of the bare loop)"""
    batches, items = _commit_counts(pair.respgres)
    ours = generators.load(pair.site, pair.respgres, "set", clients=clients, depth=depth, keys=KEYS,
                           prefix=PREFIX, seconds=seconds)["per_second"]
    batches_after, items_after = _commit_counts(pair.respgres)
    size = (items_after - items) / (batches_after - batches)
    bare = generators.bare_commit(pair.site, pair.bare, round(size), KEYS, PREFIX, seconds)
    return ours, size, bare["per_second"]
