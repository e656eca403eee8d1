"""The application with Flask-Session, one respgres with a disk, many users; PostgreSQL is killed, and
respgres is killed and started again while it is away. Nobody is logged out, nobody's visits are
forgotten, and errors are seen only while respgres itself is down."""

import pickle
import random
import threading
import time
import urllib.error

import pytest

from chaoslib.site import wait_for_state
from harness import wait_until
from test_flask import App, Browser

USERS = 40
THREADS = 8
SLACK_S = 1.0  # until the application has a connection again


class Visitor(threading.Thread):
    """Some of the users, one request at a time."""

    def __init__(self, app, users, seed, ending):
        super().__init__(daemon=True)
        self.app, self.ending = app, ending
        self.chance = random.Random(seed)
        self.browsers = {user: Browser() for user in users}
        self.visits = dict.fromkeys(users, 0)      # as answered last
        self.doubts = dict.fromkeys(users, 0)      # requests with an error since
        self.seen_at = dict.fromkeys(users, 0.0)
        self.errors, self.wrong = [], []           # (from, to, what); texts
        for user, browser in self.browsers.items():
            browser.login(app, user)

    def run(self):
        while not self.ending.is_set():
            user = self.chance.choice(sorted(self.browsers))
            begun = time.monotonic()
            try:
                answer = self.browsers[user].whoami(self.app)
            except (urllib.error.URLError, OSError) as error:
                self.errors.append((begun, time.monotonic(), f"{user}: {error!r}"))
                self.doubts[user] += 1
                continue
            self.check(user, answer)
            self.seen_at[user] = begun
            time.sleep(self.chance.uniform(0, 0.02))

    def check(self, user, answer):
        if answer["user"] != user:
            self.wrong.append(f"{user} was taken for {answer['user']}")
            return
        least = self.visits[user] + 1
        if not least <= answer["visits"] <= least + self.doubts[user]:
            self.wrong.append(f"{user} had {self.visits[user]} visits, {self.doubts[user]} in doubt,"
                              f" and is told {answer['visits']}")
        self.visits[user], self.doubts[user] = answer["visits"], 0


def all_have_come(visitors, since):
    return all(seen > since for visitor in visitors for seen in visitor.seen_at.values())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("outage_s", [5, pytest.param(30, marks=pytest.mark.long)])
def test_nobody_is_logged_out(lab, seed, outage_s):
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    server = lab.respgres(database, start=False, pg_timeout=10_000)
    server.options["dir"] = server.dir / "journals"
    server.start()
    app, ending = App(lab, server), threading.Event()
    visitors = [Visitor(app, [f"user-{n}" for n in range(first, USERS, THREADS)], seed + first, ending)
                for first in range(THREADS)]
    for visitor in visitors:
        visitor.start()
    try:
        wait_until(lambda: all_have_come(visitors, 0), 60, "all users have come")
        postgres.kill9()
        killed = time.monotonic()
        wait_for_state(server, "away")
        wait_until(lambda: all_have_come(visitors, killed), 60, "all users have come again")
        down = time.monotonic()
        server.kill9()
        server.options["pg-timeout"] = 500  # so long it waits for PostgreSQL before it serves from memory
        server.start("answering")
        up = time.monotonic()
        time.sleep(max(killed + outage_s - time.monotonic(), 1))
        assert not any(visitor.wrong for visitor in visitors)
        server.client().config_set("pg-timeout", 10_000)
        postgres.start()
        wait_for_state(server, "online")
        wait_until(lambda now=time.monotonic(): all_have_come(visitors, now), 60, "they come still")
    finally:
        ending.set()
        for visitor in visitors:
            visitor.join(30)
    assert [text for visitor in visitors for text in visitor.wrong] == []
    errors = [error for visitor in visitors for error in visitor.errors]
    assert [error for error in errors if error[1] < down or error[0] > up + SLACK_S] == []
    rows = {key: pickle.loads(value) for key, value in database.live().items()}
    for visitor in visitors:
        for user, browser in visitor.browsers.items():
            session = rows[browser.session_key.encode()]
            assert session["user"] == user
            assert visitor.visits[user] <= session["visits"] <= visitor.visits[user] + \
                visitor.doubts[user]
