"""A server that has nothing to do keeps its connections to PostgreSQL: no lane is given up, and made
again, because nothing has come on it for several times `pg-timeout`."""

import time

import pytest

from harness import free_port, wait_until
from harness.http import Http

TIMEOUT_MS = 1000

pytestmark = [pytest.mark.alone, pytest.mark.rows, pytest.mark.timeout(300)]


def subscribe(server):
    raw = server.raw()
    raw.command("SUBSCRIBE", "news")
    return [raw]


def subscribe_to_events(server):
    raw = server.raw()
    raw.command("PSUBSCRIBE", "__keyevent@*__:*")
    return [raw]


def block(server):
    blocked = [server.raw(timeout=600), server.raw(timeout=600)]
    blocked[0].send(b"BLPOP nothing 0\r\n")
    blocked[1].send(b"BZPOPMIN nothing2 0\r\n")
    wait_until(lambda: server.info("clients")["blocked_clients"] == 2, 20, "they are blocked")
    return blocked


KINDS = {
    "nobody": ({}, lambda server: []),
    "a subscriber": ({}, subscribe),
    "events": ({"notify_keyspace_events": "KEA"}, subscribe_to_events),
    "blocked clients": ({}, block),
    "reads from memory": ({"consistency": "cached"}, lambda server: []),
}


class Idle:
    """A server with a database of its own, all of whose lanes have been in use."""

    def __init__(self, lab, options, bring):
        self.database = lab.database()
        self.server = lab.respgres(self.database, pg_timeout=TIMEOUT_MS, http_port=free_port(), **options)
        raw = self.server.raw()
        for command in (["SET", "key", "v"], ["SET", "large", b"x" * 3_000_000], ["GET", "key"], ["DBSIZE"],
                        ["EVAL", "return redis.call('incr', KEYS[1])", 1, "n"]):
            assert not raw.command(*command).startswith(b"-"), command
        self.clients = [raw, *bring(self.server)]

    def lanes(self):
        """pid and name of each connection."""
        return dict(self.database.postgres.execute(
            "SELECT pid, application_name FROM pg_stat_activity WHERE datname = %s"
            " AND application_name LIKE 'respgres %%'", self.database.name))

    def counters(self):
        """What counts connections that are made and lost, and outages."""
        info, page = self.server.info("postgres"), Http(self.server).metrics()
        return {"connects": page.labelled("respgres_lane_connects_total", "lane"),
                "up": page.labelled("respgres_lane_up", "lane"),
                "lost": page.value("respgres_lost_connections_total"),
                "lost messages": info["postgres_messages_lost"]}

    def check(self, kind, lanes, counters):
        assert self.lanes() == lanes, kind
        assert self.counters() == counters, kind
        assert counters["lost"] == counters["lost messages"] == 0, kind
        assert set(counters["up"].values()) == {1}, kind
        assert "event=lane-lost" not in self.server.log, kind


@pytest.mark.parametrize("seconds", [8, pytest.param(100, marks=pytest.mark.long)])
def test_an_idle_server_keeps_its_lanes(lab, seconds):
    idle = {kind: Idle(lab, *how) for kind, how in KINDS.items()}
    for kind in ("a subscriber", "events", "blocked clients", "reads from memory"):
        wait_until(lambda it=idle[kind]: any("listen" in name for name in it.lanes().values()), 20,
                   f"{kind}: it listens")
    before = {kind: (it.lanes(), it.counters()) for kind, it in idle.items()}
    assert all(len(lanes) >= 3 for lanes, _ in before.values()), before
    time.sleep(seconds)  # nothing is to happen
    for kind, it in idle.items():
        it.check(kind, *before[kind])
    # They still work: what is published and written now arrives.
    for kind in ("a subscriber", "events", "blocked clients"):
        raw, waiting = idle[kind].clients[:2]
        raw.command("PUBLISH", "news", "now")
        raw.command("RPUSH", "nothing", "x")
        assert waiting.reply().startswith(b"*"), kind
        idle[kind].check(kind, *before[kind])
