"""The load generators: bench_load for servers that speak RESP, pgbench for PostgreSQL, and the two
bare loops over libpq."""

import random
import re

from .site import TOP

WORDS = ("session user the of and to in is you that it was for are with his they at one have this "
         "from by word but what some we can other were all there when up your how said").split()


def parse(line):
    """A line of name=value as a dictionary of numbers."""
    return {name: float(value) for name, value in re.findall(r"(\w+)=([-\d.]+)", line)}


def target(server, unix=False):
    if unix:
        return ["--socket", server.options["unixsocket"]]
    return ["--port", server.port]


def load(site, server, pattern, unix=False, **options):
    """Runs bench_load; returns its numbers. A GET that finds nothing makes the run void."""
    command = [site.tool("bench_load"), *target(server, unix), "--pattern", pattern]
    for name, value in options.items():
        command += [f"--{name}", value]
    numbers = parse(site.run(command))
    if numbers["missing"] > 0:
        raise SystemExit(f"{pattern}: {numbers['missing']:.0f} values were missing\n{command}")
    return numbers


def fill(site, server, keys, size, prefix, **options):
    """Writes each key once."""
    return load(site, server, "fill", keys=keys, size=size, prefix=prefix, clients=20, depth=16,
                **options)


def text_value(size):
    """Words, for pgbench."""
    words = random.Random(size)
    return " ".join(words.choice(WORDS) for _ in range(size // 2))[:size]


def make_hand_made_tables(database):
    """The tables that pgbench and the bare upsert write to."""
    database.execute((TOP / "bench" / "pgbench" / "tables.sql").read_text())


def fill_hand_made(database, keys, size):
    database.execute("INSERT INTO bench.rows (key, value) SELECT %s || ':' || k, %s::bytea"
                     " FROM generate_series(0, %s - 1) k", str(size), text_value(size), keys)
    database.execute("INSERT INTO bench.counters (key, n) SELECT k::text, 0"
                     " FROM generate_series(0, %s - 1) k ON CONFLICT DO NOTHING", keys)


def pgbench(site, database, script, clients, transactions, size, keys):
    """Each client runs the script `transactions` times; returns scripts per second. The values it
    writes are slices of `pool`: an update to the same bytes would hardly write any WAL."""
    postgres = database.postgres
    pool = text_value(2 * size)
    out = site.run(["pgbench", "-n", "-M", "prepared", "-c", clients, "-t", transactions,
                    "-D", f"keys={keys}", "-D", f"size={size}", "-D", f"pool={pool}",
                    "-f", TOP / "bench" / "pgbench" / f"{script}.sql",
                    "-h", postgres.dir, "-p", postgres.port, "-U", database.role, database.name])
    return float(re.search(r"^tps = ([\d.]+)", out, re.MULTILINE).group(1))


def bare_commit(site, database, rows, keys, prefix, seconds):
    """Respgres' commit statement in a bare loop: rows per second."""
    return parse(site.run([site.tool("bench_commit"), "--url", database.url, "--rows", rows,
                           "--keys", keys, "--prefix", prefix, "--seconds", seconds]))


def bare_upsert(site, database, seconds):
    return parse(site.run([site.tool("bench_upsert"), "--url", database.url,
                           "--seconds", seconds]))
