"""SETEX of sessions with and without the column doc: instructions, WAL, processor time."""

import collections
import hashlib
import json
import pickle
import re

import msgpack

from .cpu import seconds_of
from .site import Respgres, say, wait_until

SESSIONS = 1000
CLIENTS = 50
COUNTED = 2000  # writes under callgrind, in two runs whose difference is taken


def session(n, turn):
    """What a shop keeps of a visitor; about half a kilobyte of JSON."""
    digest = hashlib.sha256(b"%d %d" % (n, turn)).hexdigest()
    return {"_permanent": True, "username": f"user{n}", "csrf_token": digest, "visits": turn,
            "client_ip": f"192.0.2.{n % 250}", "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"
            " Gecko/20100101 Firefox/140.0", "last_activity": 1764072000.5 + turn,
            "cart": [{"id": n % 97 + i, "name": f"article {n % 97 + i}", "count": i + 1, "price": 9.99}
                     for i in range(3)], "flags": {"beta": False, "newsletter": None}}


Kind = collections.namedtuple("Kind", "title encode")
KINDS = [
    Kind("JSON (connect-redis)", lambda value: json.dumps(value, separators=(",", ":")).encode()),
    Kind("pickle (Flask-Session 0.3, Django)", pickle.dumps),
    Kind("MessagePack (Flask-Session 0.8)", msgpack.packb),
    Kind("4 kB of JSON", lambda value: json.dumps(
        {**value, "messages": [{"role": "user", "content": value["csrf_token"]}] * 35}).encode()),
]

Cost = collections.namedtuple("Cost", "instructions wal cpu_us")


class Counted(Respgres):
    """Under callgrind, which counts instructions whatever else runs."""

    def command_line(self):
        return ["valgrind", "--quiet", "--tool=callgrind",
                f"--callgrind-out-file={self.dir}/callgrind", *super().command_line()]

    def instructions(self):
        """After its end."""
        found = re.search(r"^(?:summary|totals): (\d+)", (self.dir / "callgrind").read_text(), re.MULTILINE)
        return int(found.group(1))


class Clients:
    """CLIENTS connections with one request each, all of them sent before the first answer is read: so
    that batches are of about this size, and each client's write is for itself, as in a web app."""

    def __init__(self, server):
        self._connections = [server.client(socket_timeout=300).connection_pool.get_connection("SETEX")
                             for _ in range(CLIENTS)]

    def write(self, kind, count, same):
        """SETEX of `count` sessions: with new content each time, or with what they have."""
        for first in range(0, count, CLIENTS):
            for n, connection in enumerate(self._connections, first):
                value = session(n % SESSIONS, 0 if same else n)
                connection.send_command("SETEX", f"session:{n % SESSIONS}", 3600, kind.encode(value))
            for connection in self._connections:
                connection.read_response()

    def close(self):
        for connection in self._connections:
            connection.disconnect()


def instructions(site, database, options, kind, same):
    """Per write: two runs of a server, one with more writes."""
    counts = []
    for writes in (COUNTED, 2 * COUNTED):
        server = Counted(database.url, {"pg-timeout": 60000, **site.respgres_options, **options})
        server.binary = lambda: site.build_dir / "respgres"
        server.start()
        clients = Clients(server)
        clients.write(kind, SESSIONS, True)
        clients.write(kind, writes, same)
        clients.close()
        for problem in server.finish():
            raise SystemExit(problem)
        counts.append(server.instructions())
        server.remove()
    return (counts[1] - counts[0]) / COUNTED


def cost(site, kind, decode, writes, same):
    database = site.database()
    options = {"decode": decode}
    server = site.respgres(database, **options)
    clients = Clients(server)
    clients.write(kind, SESSIONS, True)
    wal, cpu = wal_of(site), seconds_of(site.postgres.backends())
    clients.write(kind, writes, same)
    cpu = 1e6 * (seconds_of(site.postgres.backends()) - cpu) / writes
    wal = (wal_of(site) - wal) / writes
    clients.close()
    site.end(server)
    wait_until(lambda: not database.sessions(), 30, "the backends are gone")
    counted = instructions(site, database, options, kind, same)
    site.drop_databases()
    return Cost(counted, wal, cpu)


def wal_of(site):
    return float(site.postgres.psql("SELECT pg_current_wal_lsn() - '0/0'"))


def line(title, size, with_doc, without):
    def pair(one, other, unit):
        return f"{one:,.0f} / {other:,.0f}{unit}"
    return (f"| {title} | {size:,} B | {pair(with_doc.instructions, without.instructions, '')} |"
            f" {pair(with_doc.wal, without.wal, ' B')} | {pair(with_doc.cpu_us, without.cpu_us, ' µs')} |")


def measure(site, writes):
    site.postgres.configure(autovacuum="off", full_page_writes="off")
    lines = ["| value | size | instructions of respgres, decoded / not | WAL | PostgreSQL's processor time |",
             "|---|---:|---:|---:|---:|"]
    for kind in KINDS:
        size = len(kind.encode(session(77, 7)))
        for same, what in ((False, "new bytes"), (True, "the same bytes")):
            say(f"{kind.title}, {what}")
            lines.append(line(f"{kind.title}, {what}", size,
                              *(cost(site, kind, decode, writes, same) for decode in ("sessions", "no"))))
    return "\n".join(lines)
