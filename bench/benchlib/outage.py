"""The way into an outage and out of it: how long clients wait, when it is noticed, how long the merge
takes, and what memory and journal serve meanwhile."""

import statistics
import subprocess
import threading
import time

from . import generators
from .site import clean_environ, say, wait_until

KEYS = 10000
PREFIX = "session:"
OUTAGE_S = 3.0        # of each transition
LEAD_S = 1.5          # of load before it, and after it
FAULTS = ("kill9", "freeze")


def table(head, rows):
    """Markdown; the first two columns are words, the others numbers."""
    rule = ["---", "---"] + ["---:"] * (len(head) - 2)
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [head, rule, *rows])


def state(server):
    info = server.info("postgres")
    return info.get("store_state") or info.get("postgres_state")


def wait_state(server, wanted, timeout=120):
    """Seconds until it says so."""
    begun = time.monotonic()
    wait_until(lambda: state(server) == wanted, timeout, f"the instance is {wanted}", 0.001)
    return time.monotonic() - begun


def _ms(us):
    return f"{us / 1000:.1f}"


def _median(values):
    return statistics.median(values)


# --- the way in and out ------------------------------------------------------------------------------

class Background:
    """bench_load beside what happens meanwhile."""

    def __init__(self, site, server, pattern, **options):
        command = [site.tool("bench_load"), *generators.target(server), "--pattern", pattern]
        for name, value in options.items():
            command += [f"--{name}", value]
        self._process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True, env=clean_environ())

    def numbers(self):
        out, errors = self._process.communicate(timeout=300)
        if not out:
            raise SystemExit(f"bench_load failed: {errors}")
        return generators.parse(out), errors.strip()


def transition(site, args):
    """p99 and maximum of GET and SET at a steady rate, without and with an outage in it."""
    rows = []
    for fault in ("none", *FAULTS):
        for pattern in ("get", "set"):
            say(f"transition: {fault}, {pattern}")
            rounds = [_one_transition(site, args, fault, pattern) for _ in range(args.rounds)]
            rows.append([f"PostgreSQL: {fault}", pattern.upper(),
                         *(_ms(_median([r[name] for r in rounds])) for name in ("p50_us", "p99_us")),
                         _ms(max(r["max_us"] for r in rounds)),
                         f"{sum(r['errors'] for r in rounds):.0f}",
                         *(_seconds([r[name] for r in rounds]) for name in ("away_s", "back_s"))])
    return table([f"{args.rate} requests/s, 20 clients", "", "p50 ms", "p99 ms", "max ms", "errors",
                  "away after ms", "online after ms"], rows)


def _seconds(values):
    return "" if None in values else f"{_median(values) * 1000:.0f}"


def _one_transition(site, args, fault, pattern):
    server = site.respgres(site.database(), **journal_in(site))
    generators.fill(site, server, KEYS, 512, PREFIX)
    load = Background(site, server, pattern, clients=20, rate=args.rate, keys=KEYS, prefix=PREFIX,
                      seconds=2 * LEAD_S + OUTAGE_S)
    away_s = back_s = None
    time.sleep(LEAD_S)
    if fault != "none":
        getattr(site.postgres, fault)()
        away_s = wait_state(server, "away")
        time.sleep(max(OUTAGE_S - away_s, 0))
        begun = time.monotonic()
        if fault == "freeze":
            site.postgres.thaw()
        else:
            site.postgres.start()
        wait_state(server, "online")
        back_s = time.monotonic() - begun
    numbers, errors = load.numbers()
    if errors:
        say(errors)
    site.end(server)
    return {**numbers, "away_s": away_s, "back_s": back_s}


def journal_in(site):
    """Options for a journal of its own, on the disk that PostgreSQL is on."""
    journal_in.count += 1
    return {"dir": site.dir / f"journals-{journal_in.count}"}


journal_in.count = 0


# --- the merge ------------------------------------------------------------------------------------------

def merge(site, args):
    """Sessions written while PostgreSQL was away, until they are rows."""
    rows = []
    for known in ("new keys", "known keys"):
        say(f"merge: {args.sessions:,} sessions, {known}")
        database = site.database()
        server = site.respgres(database, **journal_in(site))
        if known == "known keys":
            generators.fill(site, server, args.sessions, 512, PREFIX)
        site.postgres.kill9()
        wait_state(server, "away")
        begun = time.monotonic()
        generators.fill(site, server, args.sessions, 512, PREFIX, seed=2)
        written_s = time.monotonic() - begun
        bytes_ = sum(f.stat().st_size for f in server.options["dir"].rglob("*") if f.is_file())
        site.postgres.start()
        latencies = Latencies(server)
        back_s = wait_state(server, "online", 600)
        worst = latencies.end()
        merge_s = server.info("postgres")["merge_last_ms"] / 1000
        count = database.execute("SELECT count(*) FROM respgres.keys")[0][0]
        if count != args.sessions:
            raise SystemExit(f"{count} rows after the merge, not {args.sessions}")
        rows.append([f"{args.sessions:,} sessions of 512 B", known, f"{written_s:.2f}",
                     f"{bytes_ / 1e6:.0f}", f"{back_s:.2f}", f"{merge_s:.2f}",
                     f"{args.sessions / merge_s:,.0f}",
                     f"{worst * 1000:.1f}"])
        site.end(server)
    return table(["journal", "", "written in s", "MB", "online after s", "merge s", "per second",
                  "slowest GET meanwhile ms"], rows)


class Latencies:
    """One client that asks for one key all the time."""

    def __init__(self, server):
        self._server, self._ending, self._worst = server, threading.Event(), 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with self._server.raw() as raw:
            while not self._ending.is_set():
                begun = time.monotonic()
                raw.command("GET", PREFIX + "1")
                self._worst = max(self._worst, time.monotonic() - begun)

    def end(self):
        self._ending.set()
        self._thread.join()
        return self._worst


# --- memory and journal ------------------------------------------------------------------------------

def away(site, args):
    """SET and GET without PostgreSQL against redis-server with an AOF, by fsync policy."""
    rows = []
    for fsync in ("always", "everysec"):
        ours = site.respgres(site.database(), **{**journal_in(site), "journal-fsync": fsync})
        theirs = site.redis(appendonly="yes", appendfsync=fsync, auto_aof_rewrite_percentage=0)
        for server in (ours, theirs):
            generators.fill(site, server, KEYS, 512, PREFIX)
        site.postgres.kill9()
        wait_state(ours, "away")
        for pattern in ("set", "get"):
            for clients, depth in ((1, 1), (50, 1), (50, 16)):
                say(f"away: {pattern}, fsync {fsync}, {clients} clients, P={depth}")
                rows.append(_compared(site, args, fsync, pattern, clients, depth, ours, theirs))
        site.postgres.start()
        wait_state(ours, "online")
        for server in (ours, theirs):
            site.end(server)
    return table(["away", "conditions", "respgres/s", "redis AOF/s", "÷ AOF", "p99 ms", "AOF p99 ms"],
                 rows)


def _compared(site, args, fsync, pattern, clients, depth, ours, theirs):
    rounds = []
    for _ in range(args.rounds):
        rounds.append([generators.load(site, server, pattern, clients=clients, depth=depth, keys=KEYS,
                                       prefix=PREFIX, seconds=args.seconds)
                       for server in (ours, theirs)])
    speeds = [[r[n]["per_second"] for r in rounds] for n in (0, 1)]
    p99 = [_ms(_median([r[n]["p99_us"] for r in rounds])) for n in (0, 1)]
    ratio = _median([a / b for a, b in zip(*speeds)])
    return [f"{pattern.upper()}, fsync {fsync}", f"{clients} client{'s' * (clients > 1)}, P={depth}, 512 B",
            f"{_median(speeds[0]):,.0f}", f"{_median(speeds[1]):,.0f}", f"{ratio:.2f}", *p99]
