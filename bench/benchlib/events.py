"""Commands with and without keyspace events, subscribers and waiting clients: instructions per command."""

import re
import subprocess

from .decoding import Counted
from .site import say

CLIENTS = 50
KEYS = 1000
COUNTED = 2000  # commands in the shorter of two runs whose difference is taken

COMMANDS = {
    "SET": lambda n: ("SET", f"key:{n % KEYS}", "v" * 100 + str(n)),
    "GET": lambda n: ("GET", f"key:{n % KEYS}"),
    "RPUSH": lambda n: ("RPUSH", f"list:{n % KEYS}", "element"),
    "EVAL of a SET": lambda n: ("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", f"key:{n % KEYS}",
                           "v" * 100 + str(n)),
}

# By source file; what the compiler has inlined counts where it stands in the source.
PARTS = {"events": re.compile(r"engine/events\.c|command/event\.[ch]"),
         "blocking": re.compile(r"engine/block\.[ch]"),
         "pub/sub": re.compile(r"engine/(pubsub|channels|bus)\.[ch]"),
         "scripts": re.compile(r"engine/script\w*\.[ch]|src/script/|liblua")}


def raise_on_error(reply):
    if isinstance(reply, Exception):
        raise reply


class Clients:
    """One request each, all of them sent before the first answer is read."""

    def __init__(self, server):
        self._connections = [server.client(socket_timeout=300).connection_pool.get_connection("PING")
                             for _ in range(CLIENTS)]

    def run(self, command, count):
        for first in range(0, count, CLIENTS):
            for n, connection in enumerate(self._connections, first):
                connection.send_command(*command(n))
            for connection in self._connections:
                raise_on_error(connection.read_response())

    def close(self):
        for connection in self._connections:
            connection.disconnect()


def places(server):
    """{file and function: instructions in it}, after its end."""
    text = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no", f"{server.dir}/callgrind"],
                          check=True, capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        match = re.match(r" *([\d,]+) \([^)]*\) +(?!=>)(\S+)(.*)", line)
        if match:
            place = match[2] + match[3]
            found[place] = found.get(place, 0) + int(match[1].replace(",", ""))
    return found


def run(site, database, flags, hearers, command, count):
    """(all instructions, {part: instructions}) of a server that does it so many times."""
    server = Counted(database.url, {"pg-timeout": 60000, "notify-keyspace-events": flags,
                                    **site.respgres_options})
    server.binary = lambda: site.build_dir / "respgres"
    server.start()
    raws = [server.raw(timeout=600) for _ in range(2 if hearers else 0)]
    if hearers:
        raws[0].command("SUBSCRIBE", "nothing")
        raws[1].send(b"BLPOP nothing 0\r\n")
    clients = Clients(server)
    clients.run(command, KEYS)
    clients.run(command, count)
    clients.close()
    for problem in server.finish():
        raise SystemExit(problem)
    names = places(server)
    parts = {part: sum(n for name, n in names.items() if pattern.search(name))
             for part, pattern in PARTS.items()}
    total = server.instructions()
    server.remove()
    return total, parts


def cost(site, flags, hearers, command):
    """Per command."""
    database = site.database()
    (low, low_parts), (high, high_parts) = [run(site, database, flags, hearers, command, count)
                                            for count in (COUNTED, 3 * COUNTED)]
    site.drop_databases()
    return (high - low) / COUNTED / 2, {part: (high_parts[part] - low_parts[part]) / COUNTED / 2
                                        for part in PARTS}


def measure(site):
    site.postgres.configure(autovacuum="off")
    lines = ["| command | events | others | instructions | of these events, blocking, pub/sub, scripts |",
             "|---|---|---|---:|---:|"]
    for name, command in COMMANDS.items():
        for flags, hearers in (("", False), ("", True), ("KEA", False)):
            say(f"{name}, events {flags or 'off'}{', others' if hearers else ''}")
            total, parts = cost(site, flags, hearers, command)
            lines.append(f"| {name} | {flags or 'off'} | {'a subscriber, a BLPOP' if hearers else 'none'} |"
                         f" {total:,.0f} | {', '.join(f'{n:,.0f}' for n in parts.values())} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)
