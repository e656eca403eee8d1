"""Indexes on sessions: the questions that they answer, and what a write costs with each of them."""

import collections
import hashlib
import json
import random
import time

from .cpu import seconds_of
from .site import say, wait_until

# A recipe of docs/sql.md: what is built, and what is asked. The first is none, the last a warning.
Recipe = collections.namedtuple("Recipe", "name index question")

ANALYZE = "ANALYZE respgres.spaces, respgres.session_formats"
ENTRIES = "CREATE INDEX {} ON respgres.entries "
RECIPES = [
    Recipe("none", None, "SELECT session_id, last_activity FROM respgres.sessions"
                         " WHERE username = 'user77'"),
    Recipe("username", ENTRIES + "(respgres.session_username(key, doc))",
           "SELECT session_id, last_activity FROM respgres.sessions WHERE username = 'user77'"),
    Recipe("doc", ENTRIES + "USING gin (doc jsonb_path_ops)",
           "SELECT session_id, last_activity FROM respgres.sessions"
           " WHERE doc @> '{\"username\": \"user77\"}'"),
    Recipe("last_activity", ENTRIES + "((doc ->> 'last_activity'))",
           "SELECT session_id, username FROM respgres.sessions"
           " WHERE doc ->> 'last_activity' >= '2026-11-25T11:59:59' ORDER BY doc ->> 'last_activity'"),
    Recipe("inactive", ENTRIES + "(key) WHERE NOT active",
           "SELECT session_id, username FROM respgres.sessions WHERE NOT session_active"),
    Recipe("updated_at", ENTRIES + "(updated_at)", None),
]

PEOPLE = 250_000  # each has four sessions of a million
CHUNK = 100_000
PIPELINE = 100
TTL_S = 30 * 86400

# Rows as respgres writes them: doc is the value, expire_slot a bucket below that of the expiry.
FILL = f"""
INSERT INTO respgres.entries (key, value, doc, expires_at, expire_slot)
    SELECT convert_to('session:' || md5(n::text), 'UTF8'), convert_to(v, 'UTF8'), v::jsonb, t,
           respgres.slot_of(t - interval '2 min')
    FROM (SELECT n, now() + interval '{TTL_S} s' AS t, '{{"_permanent": true, "username": "user'
                 || n %% {PEOPLE} || '", "client_ip": "192.0.2.' || n %% 250 || '", "user_agent": '
                 '"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", '
                 '"last_activity": "' || to_char(timestamp '2026-11-25 12:00' - n * interval '0.1 s',
                 'YYYY-MM-DD"T"HH24:MI:SS') || '", "page": 0, "cart": ["' || md5('a' || n) || '", "'
                 || md5('b' || n) || '"]}}' AS v
          FROM generate_series(%s, %s) n) x
"""

COUNTERS = ("SELECT n_tup_upd, n_tup_hot_upd, n_tup_ins FROM pg_stat_user_tables"
            " WHERE schemaname = 'respgres' AND relname = 'entries'")

Cost = collections.namedtuple("Cost", "wal cpu_us hot")


def key_of(n):
    return b"session:" + hashlib.md5(b"%d" % n).hexdigest().encode()


def content(n, page):
    """Of session n, older than all that the questions ask for."""
    return json.dumps({
        "_permanent": True, "username": f"user{n % PEOPLE}", "client_ip": f"192.0.2.{n % 250}",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "last_activity": f"2026-11-20T12:{page // 60 % 60:02}:{page % 60:02}", "page": page,
        "cart": [hashlib.md5(b"%d" % (n + page + i)).hexdigest() for i in range(2)]})


class Table:
    """A database with the sessions in it, and what its server has counted."""

    def __init__(self, site, sessions):
        self.site = site
        self.database = site.database()
        # What else would write WAL, or make it depend on when a page was written to disk last.
        site.postgres.configure(autovacuum="off", full_page_writes="off")
        site.end(site.respgres(self.database))  # makes the schema
        self.random = random.Random(1)
        self.sessions = sessions
        self._fill()

    def _fill(self):
        say(f"{self.sessions:,} sessions")
        for first in range(1, self.sessions + 1, CHUNK):
            self.database.execute(FILL, first, min(first + CHUNK - 1, self.sessions))
        self.database.execute("UPDATE respgres.entries SET active = false WHERE space = respgres.space_of(0)"
                              " AND key = ANY (ARRAY(SELECT convert_to('session:' || md5(n::text), 'UTF8')"
                              " FROM generate_series(1, 100) n))")
        self.database.execute("VACUUM ANALYZE respgres.entries")
        self.database.execute(ANALYZE)

    def some(self, count):
        """Numbers of sessions that are active."""
        return self.random.sample(range(101, self.sessions + 1), count)

    def wal(self):
        return float(self.database.psql("SELECT pg_current_wal_lsn() - '0/0'"))

    def counters(self):
        """Backends have told when they have gone."""
        wait_until(lambda: not self.database.sessions(), 30, "the backends are gone")
        updates, hot, inserts = self.database.execute(COUNTERS)[0]
        return {"updates": updates, "hot": hot, "inserts": inserts}


def setex(client, pairs):
    for at in range(0, len(pairs), PIPELINE):
        pipeline = client.pipeline(transaction=False)
        for key, value in pairs[at:at + PIPELINE]:
            pipeline.setex(key, TTL_S, value)
        pipeline.execute()


def cost(table, pairs, read_before=False):
    """Of SETEX of these by an instance that is started for it."""
    before = table.counters()
    server = table.site.respgres(table.database)
    client = server.client()
    if read_before:
        for at in range(0, len(pairs), PIPELINE):
            client.mget([key for key, _ in pairs[at:at + PIPELINE]])
    wal = table.wal()
    cpu = seconds_of(table.site.postgres.backends())
    setex(client, pairs)
    cpu = seconds_of(table.site.postgres.backends()) - cpu
    wal = table.wal() - wal
    table.site.end(server)
    after = table.counters()
    updates = after["updates"] - before["updates"]
    hot = (after["hot"] - before["hot"]) / updates if updates > len(pairs) // 2 else None
    return Cost(wal / len(pairs), 1e6 * cpu / len(pairs), hot)


def costs(table, writes):
    """(new sessions, new content, only the expiry)"""
    page = table.random.randrange(1000, 1 << 30)
    pairs = [(key_of(n), content(n, page)) for n in table.some(writes)]
    fresh = [(b"session:new-" + key_of(n), content(n, page)) for n in table.some(writes)]
    result = cost(table, fresh), cost(table, pairs), cost(table, pairs, read_before=True)
    # Without the trigger: its tombstones would be the next instance's work.
    table.site.postgres.execute(
        "SET session_replication_role = replica; DELETE FROM respgres.entries"
        " WHERE key >= 'session:new-' AND key < 'session:new.'", dbname=table.database.name)
    table.database.execute("VACUUM respgres.entries")
    return result


def build(table, recipe):
    """(seconds, bytes)"""
    if recipe.index is None:
        return None, None
    say(f"index: {recipe.name}")
    started = time.monotonic()
    table.database.execute(recipe.index.format("people_index"))
    took = time.monotonic() - started
    table.database.execute("VACUUM ANALYZE respgres.entries")
    return took, table.database.execute("SELECT pg_relation_size('respgres.people_index')")[0][0]


def explain(table, recipe):
    """The plan of the fastest of three; without an index one is enough to wait for."""
    plans = []
    for _ in range(3 if recipe.index else 1):
        rows = table.database.execute("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + recipe.question)
        text = "\n".join(line for line, in rows)
        plans.append((float(text.split("Execution Time: ")[1].split()[0]), text))
    return min(plans)


def line(recipe, built, milliseconds, results):
    took, size = built
    cells = [recipe.name, f"{took:.0f} s, {size / 1e6:.0f} MB" if took else "",
             f"{milliseconds:,.1f} ms" if milliseconds is not None else ""]
    for result in results:
        hot = "" if result.hot is None else f", {100 * result.hot:.0f} % HOT"
        cells.append(f"{result.wal:,.0f} B, {result.cpu_us:.0f} µs{hot}")
    return "| " + " | ".join(cells) + " |"


def measure(site, recipes, sessions, writes):
    table = Table(site, sessions)
    lines = ["| index | built in, size | question | new session | new content | only its expiry |",
             "|---|---|---|---|---|---|"]
    plans = []
    for recipe in recipes:
        built = build(table, recipe)
        say(f"question: {recipe.name}")
        milliseconds, plan = explain(table, recipe) if recipe.question else (None, "")
        plans.append(f"{recipe.name}: {recipe.question}\n{plan}\n")
        say(f"writes: {recipe.name}")
        lines.append(line(recipe, built, milliseconds, costs(table, writes)))
        if recipe.index:
            table.database.execute("DROP INDEX respgres.people_index")
    return "\n".join([*lines, "", *plans])
