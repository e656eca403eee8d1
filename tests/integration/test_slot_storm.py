"""Connections are cut, requests and answers come late, and the slot goes to somebody else, in an order that a
seed decides: when that ends, the store is back, writes what is asked for, and its stamps have gone on."""

import random
import threading
import time

import pytest

from harness import wait_until
from harness.store_client import StoreClient
from rules import lanes  # noqa: F401 pylint: disable=unused-import

pytestmark = [pytest.mark.rows, pytest.mark.timeout(300)]

IN_EVERY_RUN = 2
IN_ALL = 60


class Storm:
    def __init__(self, dice, database, link, lanes):  # noqa: F811 pylint: disable=redefined-outer-name
        self.dice, self.database, self.link, self.lanes = dice, database, link, lanes
        self._releases = []

    def blow(self):
        kinds = (self.cut, self.steal, self.hang_up, self.slow_down, self.hold)
        for _ in range(self.dice.randrange(3, 14)):
            self.dice.choices(kinds, (3, 2, 1, 1, 1))[0]()
            time.sleep(self.dice.choice((0, 0.001, 0.01, 0.05, 0.3, 1)))

    def end(self):
        self.link.pass_on()
        self.lanes.request_delay_s = 0
        for release in self._releases:
            release.join()

    def cut(self):
        connection = self.lanes.connection(self.dice.choice(("query-0", "query-0", "commit-0", "commit-0", "read-0")))
        if connection:
            connection.cut()

    def steal(self):
        self.database.execute("UPDATE respgres.instances SET incarnation = incarnation + 1, name = 'thief',"
                              " seen_at = clock_timestamp(), started_at = clock_timestamp()")

    def hang_up(self):
        self.link.refuse()
        self.link.cut()
        time.sleep(self.dice.choice((0, 0.01, 0.1, 0.5)))
        self.link.pass_on()

    def slow_down(self):
        self.lanes.request_delay_s = self.dice.choice((0, 0.001, 0.005, 0.02, 0.1))

    def hold(self):
        statement = self.dice.choice(("respgres_claim_lane", "respgres_heartbeat"))
        gate = self.lanes.hold(self.dice.choice(("commit-0", "query-0")), statement,
                               self.dice.choice(("request", "answer")))
        release = threading.Timer(self.dice.choice((0.1, 0.5, 1, 3)), gate.release)
        release.start()
        self._releases.append(release)


def write(client, value):
    """The version it has then, or None if that cannot be done now."""
    if client.ask("idle", 0) != ["yes"]:
        return None
    client.send("commit", 0, "k", value)
    result, version = client.expect("commit")
    return int(version) if result == "ok" else None


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.long] if seed >= IN_EVERY_RUN else [])
                                  for seed in range(IN_ALL)])
def test_it_comes_back(lab, database, lanes, seed):  # noqa: F811
    link = lab.proxy(("127.0.0.1", lab.postgres_port(database)))
    lanes.target = ("127.0.0.1", link.port)
    storm = Storm(random.Random(seed), database, link, lanes)
    with StoreClient(database.url_by(port=lanes.port), pg_timeout=2000) as client:
        client.online()
        last = 0
        for number in range(4):
            storm.blow()
            storm.end()
            version = wait_until(lambda value=number: write(client, value), 60, "it writes again")
            assert version > last
            last = version
            assert database.execute("SELECT value FROM respgres.entries WHERE key = 'k'")[0][0].tobytes() \
                == str(number).encode()
