"""What the column doc costs: SET of sessions that are decoded, against SET of the same that are not."""

import statistics

from . import generators
from .report import Row, number
from .site import say

KEYS = 10000
PREFIX = "session:"


def measure(site, rounds, seconds):
    """The generator's values are words: decoded as text, so that doc is as large as the value."""
    servers = {decode: site.respgres(site.database(), decode=decode) for decode in ("sessions", "no")}
    rows = []
    for clients, depth, size in ((1, 1, 512), (50, 1, 512), (50, 16, 512), (50, 1, 4096)):
        say(f"documents: {clients} clients, P={depth}, {size} B")
        speed = {decode: [] for decode in servers}
        for _ in range(rounds):
            for decode, server in servers.items():
                speed[decode].append(generators.load(
                    site, server, "set", clients=clients, depth=depth, keys=KEYS, size=size,
                    prefix=PREFIX, seconds=seconds)["per_second"])
        rows.append(Row("SET, decoded ÷ decode no", f"{clients} clients, P={depth}, {size} B of text",
                        f"{number(statistics.median(speed['sessions']))}/s",
                        {"bare": [a / b for a, b in zip(speed["sessions"], speed["no"])]}))
    for server in servers.values():
        site.end(server)
    site.drop_databases()
    return rows
