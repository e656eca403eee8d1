"""Processor time per command: how much of it respgres takes and how much PostgreSQL, beside
redis-server. Less disturbed by other load than throughput is."""

import os
import pathlib
import statistics

from . import generators
from .report import Row
from .site import say

KEYS = 10000
CASES = (("set", 1), ("get", 1), ("set", 16), ("get", 16))


def seconds_of(pids):
    """User and system time of processes so far."""
    tick = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / tick
    return total


def per_request(site, server, groups, pattern, depth, seconds):
    """Microseconds per request of each group of processes, and requests per second."""
    before = [seconds_of(pids) for pids in groups]
    # Without a warm-up every request is counted, as its processor time is.
    numbers = generators.load(site, server, pattern, clients=50, depth=depth, keys=KEYS, size=512,
                              prefix="session:", warmup=0, seconds=seconds)
    return [1e6 * (seconds_of(pids) - was) / numbers["requests"]
            for pids, was in zip(groups, before)]


def measure(site, rounds, seconds):
    respgres = site.respgres(site.database())
    rivals = {"redis": site.redis(), "aof": site.redis_aof()}
    for server in (respgres, *rivals.values()):
        generators.fill(site, server, KEYS, 512, "session:")
    rows = []
    for pattern, depth in CASES:
        say(f"processor time: {pattern.upper()}, P={depth}")
        rounds_done = []
        for _ in range(rounds):
            groups = [[respgres.pid], site.postgres.backends()]
            ours = per_request(site, respgres, groups, pattern, depth, seconds)
            theirs = {name: per_request(site, server, [[server.pid]], pattern, depth, seconds)[0]
                      for name, server in rivals.items()}
            rounds_done.append((ours, theirs))
        rows.append(_row(pattern, depth, rounds_done))
    for server in (respgres, *rivals.values()):
        site.end(server)
    site.drop_databases()
    return rows


def _row(pattern, depth, rounds):
    own = statistics.median(ours[0] for ours, _ in rounds)
    postgres = statistics.median(ours[1] for ours, _ in rounds)
    ratios = {name: [sum(ours) / theirs[name] for ours, theirs in rounds]
              for name in rounds[0][1]}
    return Row(f"processor time per {pattern.upper()}", f"50 clients, P={depth}, 512 B",
               f"respgres {own:.1f} µs + PostgreSQL {postgres:.1f} µs", ratios)
