"""What repeated writes do to the table: HOT updates, WAL, growth."""

import collections
import time

from . import generators
from .report import Goal, Row
from .site import say

Kind = collections.namedtuple("Kind", "title pattern size content")

KINDS = [
    Kind("512 B of text", "rewrite", 512, "text"),
    Kind("512 B, 90 % of them the same bytes", "session", 512, "text"),
    Kind("4 kB of text", "rewrite", 4096, "text"),
    Kind("4 kB of random bytes", "rewrite", 4096, "random"),
    Kind("a chat growing to 32 kB of text", "grow", 32768, "text"),
    Kind("a chat growing to 32 kB of random bytes", "grow", 32768, "random"),
]

SESSIONS = 1000
REWRITES = 20000

SIZES = """
SELECT pg_table_size(e.relid), pg_indexes_size(e.relid), e.n_tup_upd, e.n_tup_hot_upd,
       e.autovacuum_count + t.autovacuum_count
FROM pg_stat_user_tables e JOIN pg_class c ON c.oid = e.relid
JOIN pg_stat_all_tables t ON t.relid = c.reltoastrelid
WHERE e.schemaname = 'respgres' AND e.relname = 'entries'
"""

# The same rows, written once into a table of the same making.
COPY = """
CREATE TABLE fresh_copy (LIKE respgres.entries INCLUDING ALL) WITH (fillfactor = 70);
INSERT INTO fresh_copy SELECT * FROM respgres.entries;
SELECT pg_table_size('fresh_copy'), pg_indexes_size('fresh_copy');
"""


class Table:
    """A respgres with a table of its own, as the server's statistics see it."""

    def __init__(self, site):
        self.site = site
        self.database = site.database()
        self.respgres = site.respgres(self.database)

    def wal(self):
        """Bytes of WAL so far; of the whole cluster, where nothing else writes."""
        return float(self.database.psql("SELECT pg_current_wal_lsn() - '0/0'"))

    def statistics(self):
        """After respgres has ended: a backend reports what it did when it goes, at the latest."""
        table, indexes, updates, hot, vacuums = self.database.execute(SIZES)[0]
        return {"table": table, "indexes": indexes, "updates": updates, "hot": hot,
                "vacuums": vacuums}

    def fresh_copy(self):
        table, indexes = self.database.execute(COPY)[0]
        return {"table": table, "indexes": indexes}


def rewrite(site, kind, rate):
    """Writes SESSIONS sessions once, then REWRITES times one of them; returns what that did."""
    table = Table(site)
    if kind.pattern != "grow":
        generators.fill(site, table.respgres, SESSIONS, kind.size, "s:", content=kind.content)
    wal = table.wal()
    started = time.monotonic()
    generators.load(site, table.respgres, kind.pattern, clients=20, keys=SESSIONS, size=kind.size,
                    content=kind.content, prefix="s:", requests=REWRITES, rate=rate)
    took = time.monotonic() - started
    wal = table.wal() - wal
    site.end(table.respgres)
    time.sleep(0.2)
    stats = table.statistics()
    fresh = table.fresh_copy()
    site.drop_databases()
    return {"wal_per_write": wal / REWRITES, "hot": stats["hot"] / max(1, stats["updates"]),
            "growth": stats["table"] / fresh["table"], "seconds": took,
            "vacuums": stats["vacuums"], "index_growth": stats["indexes"] / fresh["indexes"]}


def upsert_wal(site, size):
    """Bytes of WAL per upsert of pgbench."""
    database = site.database()
    generators.make_hand_made_tables(database)
    generators.fill_hand_made(database, SESSIONS, size)
    before = float(database.psql("SELECT pg_current_wal_lsn() - '0/0'"))
    clients, each = 10, 500
    generators.pgbench(site, database, "set", clients, each, size, SESSIONS)
    after = float(database.psql("SELECT pg_current_wal_lsn() - '0/0'"))
    site.drop_databases()
    return (after - before) / (clients * each)


def row_of(kind, result, hand_made_wal):
    condition = (f"{SESSIONS:,} sessions, {REWRITES:,} rewrites in {result['seconds']:.0f} s,"
                 f" {result['vacuums']} autovacuums")
    ours = (f"table {result['growth']:.2f} times, indexes {result['index_growth']:.2f} times, "
            f"HOT {result['hot']:.2%}, WAL {result['wal_per_write']:,.0f} B a write")
    ratios = {"growth": [result["growth"]], "hot": [100 * result["hot"]]}
    if hand_made_wal:
        ratios["bare"] = [result["wal_per_write"] / hand_made_wal]
    goals = [("growth", Goal("growth", 1.5, at_most=True)), ("hot", Goal("HOT %", 99))]
    return Row(f"rewrites: {kind.title}", condition, ours, ratios, goals)


def measure(site, rate):
    """`rate` in writes per second, 0 = as fast as it goes. Bare PostgreSQL is compared by WAL."""
    rows = []
    for kind in KINDS:
        say(f"{REWRITES:,} rewrites: {kind.title}")
        comparable = kind.pattern == "rewrite" and kind.content == "text"
        hand_made = upsert_wal(site, kind.size) if comparable else None
        rows.append(row_of(kind, rewrite(site, kind, rate), hand_made))
    return rows
