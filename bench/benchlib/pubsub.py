"""PUBLISH: what it takes while nobody else subscribes, and what arrives at another instance."""

import csv
import io
import statistics
import time

from .report import Row, number
from .site import say

CLIENTS = 50
SIZE = 512


class Contest:
    def __init__(self, site, requests):
        self.site, self.requests = site, requests
        database = site.database()
        self.redis = site.redis()
        self.alone = site.respgres(site.database())
        self.publisher, self.other = site.respgres(database), site.respgres(database)
        self.hearers = [self._subscribe(server) for server in (self.redis, self.other)]

    @staticmethod
    def _subscribe(server):
        """Of another channel: what is measured is the way to the instance, not the last step."""
        hearer = server.client().pubsub()
        hearer.subscribe("other")
        if hearer.get_message(timeout=20) is None:
            raise SystemExit("SUBSCRIBE was not confirmed")
        return hearer

    def published(self, server, depth):
        """Per second, as redis-benchmark sees it."""
        text = self.site.run(["redis-benchmark", "-h", "127.0.0.1", "-p", server.options["port"], "-c", CLIENTS,
                              "-n", self.requests, "-P", depth, "--csv", "PUBLISH", "channel", "x" * SIZE])
        return float(next(csv.DictReader(io.StringIO(text)))["rps"])

    def arrived(self, depth):
        """Per second, until the last one is at the other instance."""
        client = self.other.client()

        def received():
            return client.info("postgres")["postgres_messages_received"]

        expected = received() + self.requests
        began = time.monotonic()
        self.published(self.publisher, depth)
        while received() < expected:
            if time.monotonic() - began > 120:
                raise SystemExit(f"{expected - received()} messages have not arrived")
            time.sleep(0.005)
        return self.requests / (time.monotonic() - began)

    def close(self):
        for hearer in self.hearers:
            hearer.close()
        for server in (self.redis, self.alone, self.publisher, self.other):
            self.site.end(server)
        self.site.drop_databases()


def measure(site, rounds, quick):
    contest = Contest(site, 5000 if quick else 100_000)
    rows = []
    for depth in (1, 16):
        say(f"PUBLISH, P={depth}")
        redis, alone, arrived = [], [], []
        for _ in range(rounds):
            redis.append(contest.published(contest.redis, depth))
            alone.append(contest.published(contest.alone, depth))
            arrived.append(contest.arrived(depth))
        for what, ours in (("PUBLISH, nobody else subscribes", alone),
                           ("PUBLISH, received by another instance", arrived)):
            rows.append(Row(what, f"{CLIENTS} clients, P={depth}, {SIZE} B", f"{number(statistics.median(ours))}/s",
                            {"redis": [mine / theirs for mine, theirs in zip(ours, redis)]}))
    contest.close()
    return rows
