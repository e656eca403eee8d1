"""Several instances on one database: behind one port, telling each other what they write, and the
sweeper beside live traffic."""

import statistics
import threading
import time

from . import generators
from .report import Goal, Row, number
from .site import RawClient, say, wait_until

KEYS = 10000
PREFIX = "session:"
EXPIRED = 1_000_000

MAKE_EXPIRED = """
INSERT INTO respgres.entries (space, key, value, expires_at, expire_slot)
SELECT respgres.space_of(0), ('gone:' || k)::bytea, repeat('v', 200)::bytea,
       now() - interval '1 hour' - k * interval '1 ms',
       respgres.slot_of(now() - interval '1 hour' - k * interval '1 ms')
FROM generate_series(%s, %s) k
"""

# What watches over writes by people.
TRIGGERS = ("entry_inserted", "entry_updated", "entry_deleted", "entry_renamed", "entries_truncated")


def _per_second(site, server, pattern, clients, depth, seconds):
    return generators.load(site, server, pattern, clients=clients, depth=depth, keys=KEYS,
                           prefix="counter:" if pattern == "incr" else PREFIX,
                           seconds=seconds)["per_second"]


def _compared(site, cases, seconds, rounds):
    """Interleaved rounds; `cases` are (server, pattern, clients, depth). Lists of requests/s."""
    results = [[] for _ in cases]
    for _ in range(rounds):
        for (server, *load), kept in zip(cases, results):
            kept.append(_per_second(site, server, *load, seconds))
    return results


def _row(what, condition, ours, reference, goals=()):
    return Row(what, condition, f"{number(statistics.median(ours))}/s",
               {"bare": [o / r for o, r in zip(ours, reference)]}, goals)


def _wait_serving(server):
    """By its own socket: behind a shared port another one may answer."""
    def serves():
        try:
            with RawClient(str(server.options["unixsocket"])) as client:
                return not client.command("GET", "x").startswith(b"-LOADING")
        except OSError:
            return False  # not there yet
    wait_until(serves, 20, "the instance serves")


def behind_one_port(site, rounds, seconds):
    """1, 2 and 3 processes with so-reuseport, each fleet with a database of its own."""
    rows = []
    fleets = []
    for size in (1, 2, 3):
        database = site.database()
        first = site.respgres(database, **{"so-reuseport": "yes"})
        fleet = [first] + [site.respgres(database, port=first.port, **{"so-reuseport": "yes"})
                           for _ in range(size - 1)]
        for server in fleet:
            _wait_serving(server)
        generators.fill(site, first, KEYS, 512, PREFIX)
        fleets.append(fleet)
    for pattern in ("set", "get", "incr"):
        for clients in (50, 200):
            say(f"one port: {pattern}, {clients} clients")
            results = _compared(site, [(fleet[0], pattern, clients, 1) for fleet in fleets],
                                seconds, rounds)
            for size, ours in enumerate(results, 1):
                rows.append(_row(f"{pattern.upper()}, {size} instance{'s' * (size > 1)} behind one"
                                 " port ÷ one", f"{clients} clients, P=1, 512 B", ours, results[0]))
    for fleet in fleets:
        for server in fleet:
            site.end(server)
    site.drop_databases()
    return rows


def cached_reads(site, rounds, seconds):
    """What reads from memory gain, and what telling costs those who write."""
    alone = site.respgres(site.database())
    shared = site.database()
    strict = site.respgres(shared)
    cached = site.respgres(shared, consistency="cached")
    for server in (alone, strict):
        generators.fill(site, server, KEYS, 512, PREFIX)
    generators.load(site, cached, "get", clients=20, depth=16, keys=KEYS, prefix=PREFIX, requests=50000)
    rows = []
    for clients, depth in ((1, 1), (50, 1), (50, 16), (500, 1)):
        say(f"cached: {clients} clients, P={depth}")
        get_strict, get_cached, set_alone, set_told = _compared(
            site, [(strict, "get", clients, depth), (cached, "get", clients, depth),
                   (alone, "set", clients, depth), (strict, "set", clients, depth)],
            seconds, rounds)
        condition = f"{clients} client{'s' * (clients > 1)}, P={depth}, 512 B"
        rows.append(_row("GET, cached ÷ strict", condition, get_cached, get_strict))
        rows.append(_row("SET, another instance is told ÷ nobody is", condition, set_told,
                         set_alone))
    for server in (alone, strict, cached):
        site.end(server)
    site.drop_databases()
    return rows


def triggers(site, rounds, seconds):
    """Our own writes with and without the triggers that watch over people's."""
    databases = [site.database(), site.database()]
    servers = [site.respgres(database) for database in databases]
    for server in servers:
        generators.fill(site, server, KEYS, 512, PREFIX)
    for trigger in TRIGGERS:
        databases[1].execute(f"DROP TRIGGER {trigger} ON respgres.entries")
    rows = []
    for clients, depth in ((1, 1), (50, 1), (50, 16)):
        say(f"triggers: {clients} clients, P={depth}")
        with_them, without = _compared(
            site, [(server, "set", clients, depth) for server in servers], seconds, rounds)
        rows.append(_row("SET, with triggers ÷ without", f"{clients} clients, P={depth}, 512 B",
                         with_them, without, [("bare", Goal("without", 0.9))]))
    for server in servers:
        site.end(server)
    site.drop_databases()
    return rows


def sweeper(site, seconds):
    """p99 of live traffic while a million expired rows go, against the same traffic before."""
    database = site.database()
    server = site.respgres(database, **{"sweep-interval": 3600000})
    generators.fill(site, server, KEYS, 512, PREFIX)
    say(f"{EXPIRED:,} expired rows")
    for first in range(0, EXPIRED, 100_000):
        database.execute(MAKE_EXPIRED, first, first + 99_999)
    database.execute("VACUUM ANALYZE respgres.entries")

    def p99():
        return generators.load(site, server, "session", clients=20, rate=500, keys=KEYS,
                               prefix=PREFIX, seconds=max(seconds, 3))["p99_us"]

    quiet = [p99() for _ in range(3)]
    server.client().config_set("sweep-interval", 1000)
    started = time.monotonic()
    swept, gone = [], threading.Event()

    def wait_gone():
        while database.execute("SELECT EXISTS (SELECT FROM respgres.entries"
                               " WHERE key BETWEEN 'gone:' AND 'gone;')") == [(True,)]:
            time.sleep(0.5)
        gone.set()

    waiting = threading.Thread(target=wait_gone)
    waiting.start()
    while not gone.is_set():
        swept.append(p99())
    waiting.join()
    took = time.monotonic() - started
    site.end(server)
    site.drop_databases()
    before = statistics.median(quiet)
    return [Row("p99 while expired rows are swept ÷ before",
                f"{EXPIRED:,} rows gone in {took:.0f} s; 20 clients, 500 sessions/s",
                f"{statistics.median(swept) / 1000:.2f} ms",
                {"bare": [one / before for one in swept]},
                [("bare", Goal("quiet p99", 2, at_most=True))])]
