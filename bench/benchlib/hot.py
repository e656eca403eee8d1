"""One hot key, INCR by clients of several instances at once, against one UPDATE per increment over as
many connections to PostgreSQL."""

import concurrent.futures
import statistics

from . import generators
from .report import Goal, Row, number
from .site import say

CLIENTS = 50


def shares(clients, instances):
    """How many clients each instance has."""
    return [clients // instances + (i < clients % instances) for i in range(instances)]


def by_respgres(site, servers, seconds):
    """INCRs per second of all instances together, and the longest that one took in ms."""
    with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
        runs = [pool.submit(generators.load, site, server, "incr-hot", clients=clients,
                            prefix="hot:", seconds=seconds)
                for server, clients in zip(servers, shares(CLIENTS, len(servers)))]
        numbers = [run.result() for run in runs]
    return (sum(each["per_second"] for each in numbers),
            max(each["max_us"] for each in numbers) / 1000)


def by_updates(site, hand_made, seconds):
    """UPDATEs per second: about as long as the others' round."""
    return generators.pgbench(site, hand_made, "update-hot", CLIENTS,
                              max(10, round(1000 * seconds / CLIENTS)), 512, 1)


def measure(site, rounds, seconds):
    hand_made = site.database()
    generators.make_hand_made_tables(hand_made)
    hand_made.execute("INSERT INTO bench.counters VALUES ('hot', 0)")
    rows = []
    for instances in (1, 3):
        say(f"one hot key: {CLIENTS} clients of {instances} instances")
        database = site.database()
        servers = [site.respgres(database) for _ in range(instances)]
        ours, slowest, ratios = [], [], []
        for _ in range(rounds):
            per_second, longest = by_respgres(site, servers, seconds)
            ours.append(per_second)
            slowest.append(longest)
            ratios.append(per_second / by_updates(site, hand_made, seconds))
        for server in servers:
            site.end(server)
        plural = "s" if instances > 1 else ""
        rows.append(Row("INCR of one hot key against UPDATE … SET n = n + 1",
                        f"{CLIENTS} clients of {instances} instance{plural}, P=1",
                        f"{number(statistics.median(ours))}/s, slowest {max(slowest):.0f} ms",
                        {"bare": ratios}, [("bare", Goal("UPDATE", 20))]))
    site.drop_databases()
    return rows
