"""The steps of the contract, told over HTTP. The app may be in any language; it answers, in JSON,

    POST /login user=U     a session for U: {"user": U}
    GET  /whoami           {"user": U} or {"user": null}
    GET  /count            adds 1 to the session's counter: {"user": U, "count": N}
    POST /renew            gives the session another id
    POST /logout           destroys it
    GET  /list             {"keys": [...]}: the server's keys of all sessions
    POST /clear            ends all sessions

and takes from the environment PORT, REDIS_HOST, REDIS_PORT, REDIS_PASSWORD, REDIS_URL and
SESSION_SECONDS, the life of a session. A Redis error in a request is a status of 500.
"""

import concurrent.futures
import json
import os
import time
import urllib.parse

import redis

from steps import ask_restart, step, tell
from web import App, Browser, HttpError, free_port, wait_until

LONG = 3000
SHORT = 1
WRONG = "falsch"


class OwnConnection(redis.Connection):
    """What the story itself asks the server is not the client's."""

    def on_connect(self):
        tell(own="%s:%d" % self._sock.getsockname())
        super().on_connect()


class Story:
    """`command(port)` starts the app, `key(cookie)` names the server's key of a session.

    expires:  "server": the key itself ends with the session's life; "client": the library compares times
              and leaves the key for longer, until the server ends that too
    lossless: requests of one session wait for each other, so that no count is lost
    empties:  destroying a session leaves its key, with an empty session
    swallows: the library logs an error of the server, and goes on as if no session had been there
    """

    def __init__(self, command, cookie, key, version, expires="server", lossless=False, empties=False,
                 swallows=False):
        self.command, self.cookie, self.key, self.version = command, cookie, key, version
        self.expires, self.lossless, self.empties, self.swallows = expires, lossless, empties, swallows
        with open("client.json", encoding="utf8") as file:
            self.absent = json.load(file)["steps_absent"]
        self.server = redis.Redis(connection_pool=redis.ConnectionPool(
            OwnConnection, host=os.environ["REDIS_HOST"], port=int(os.environ["REDIS_PORT"]),
            password=os.environ["REDIS_PASSWORD"], socket_timeout=60))
        self.app = self.short = self.wrong = None

    def start(self):
        """Three of the app, side by side, because some take long."""
        host = f"{os.environ['REDIS_HOST']}:{os.environ['REDIS_PORT']}"
        self.app = App(self.command, int(os.environ["PORT"]), SESSION_SECONDS=str(LONG))
        self.short = App(self.command, free_port(), SESSION_SECONDS=str(SHORT))
        self.wrong = App(self.command, free_port(), SESSION_SECONDS=str(LONG), REDIS_PASSWORD=WRONG,
                         REDIS_URL=f"redis://:{WRONG}@{host}/0")

    def stop(self):
        for app in (self.app, self.short, self.wrong):
            app.stop()

    def tell(self):
        tell(version=self.version)
        self.start()
        try:
            assert self.app.wait() and self.short.wait(), "the app ended"
            for name, method in self.steps():
                if name not in self.absent:
                    with step(name):
                        method()
        finally:
            self.stop()

    def steps(self):
        return (("log in", self.log_in), ("read", self.read), ("touch", self.touch),
                ("expire", self.expire), ("concurrent requests", self.concurrent_requests),
                ("regenerate id", self.regenerate_id), ("destroy", self.destroy),
                ("list", self.list), ("clear", self.clear), ("wrong password", self.wrong_password),
                ("reconnect", self.reconnect))

    # --- what all steps use ------------------------------------------------------------------

    def logged_in(self, user, app=None):
        browser = Browser(app or self.app)
        answer = browser.ask("/login", user=user)
        assert answer["user"] == user, answer
        return browser

    def key_of(self, browser):
        cookie = browser.cookie(self.cookie)
        assert cookie, f"no cookie {self.cookie!r}"
        return self.key(cookie)

    def ttl(self, browser):
        return self.server.pttl(self.key_of(browser)) / 1000

    @staticmethod
    def user(browser):
        return browser.ask("/whoami")["user"]

    # --- the steps ---------------------------------------------------------------------------

    def log_in(self):
        browser = self.logged_in("ada")
        key = self.key_of(browser)
        assert self.server.type(key) == b"string", f"{key}: {self.server.type(key)}"
        assert LONG / 2 < self.ttl(browser) < 2 * LONG, f"TTL {self.ttl(browser)}"

    def read(self):
        browser, stranger = self.logged_in("Zo\u00eb \U0001f98a"), Browser(self.app)
        for _ in range(3):
            assert self.user(browser) == "Zo\u00eb \U0001f98a"
        assert [browser.ask("/count")["count"] for _ in range(3)] == [1, 2, 3]
        assert self.user(stranger) is None

    def touch(self):
        browser = self.logged_in("ada")
        assert self.server.expire(self.key_of(browser), 60)
        assert self.user(browser) == "ada"
        assert self.ttl(browser) > LONG / 2, f"TTL {self.ttl(browser)}"

    def expire(self):
        browser = self.logged_in("eve", self.short)
        key = self.key_of(browser)
        assert self.server.pttl(key) != -1, "the key never ends"
        if self.expires == "server":
            wait_until(lambda: not self.server.exists(key), 30, "the key has expired")
            assert self.user(browser) is None
            return
        time.sleep(SHORT + 1)
        assert self.user(browser) is None
        lasting = self.logged_in("ida")
        self.server.pexpire(self.key_of(lasting), 1)
        wait_until(lambda: not self.server.exists(self.key_of(lasting)), 30, "the key has expired")
        assert self.user(lasting) is None

    def concurrent_requests(self):
        names = [f"user {i}" for i in range(6)]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            browsers = list(pool.map(self.logged_in, names))
            assert len({self.key_of(browser) for browser in browsers}) == len(names)
            counts = 4
            asked = [(i, path) for path in ("/count", "/whoami") * counts for i in range(len(names))]
            answers = pool.map(lambda one: (one[0], browsers[one[0]].ask(one[1])), asked)
            for i, answer in answers:
                assert answer["user"] == names[i], f"{names[i]} is told {answer}"
        for name, browser in zip(names, browsers):
            answer = browser.ask("/count")
            assert answer["user"] == name, answer
            # Whoever saves last has it all: also a /whoami that had read before the first /count.
            low = counts + 1 if self.lossless else 1
            assert low <= answer["count"] <= counts + 1, f"counted {answer['count']}"

    def regenerate_id(self):
        browser = self.logged_in("ada")
        assert browser.ask("/count")["count"] == 1
        old, thief = self.key_of(browser), browser.copy()
        browser.ask("/renew!")
        assert self.key_of(browser) != old
        assert not self.server.exists(old)
        assert browser.ask("/count") == {"user": "ada", "count": 2}
        assert self.user(thief) is None
        assert self.user(browser) == "ada"

    def destroy(self):
        browser = self.logged_in("ada")
        key, thief = self.key_of(browser), browser.copy()
        before = self.server.get(key)
        browser.ask("/logout!")
        after = self.server.get(key)
        assert after is None or (self.empties and after != before), f"{key} has {after!r}"
        assert self.user(browser) is None
        assert self.user(thief) is None

    def list(self):
        self.server.flushall()
        browsers = [self.logged_in(f"ada {i}") for i in range(25)]
        keys = Browser(self.app).ask("/list")["keys"]
        assert sorted(keys) == sorted(self.key_of(browser) for browser in browsers), keys

    def clear(self):
        browsers = [self.logged_in(f"ada {i}") for i in range(25)]
        keys = [self.key_of(browser) for browser in browsers]
        Browser(self.app).ask("/clear!")
        assert self.server.exists(*keys) == 0
        assert [self.user(browser) for browser in browsers] == [None] * len(browsers)

    def wrong_password(self):
        before = self.server.dbsize()
        try:
            if self.wrong.wait():
                browser = Browser(self.wrong)
                answer = browser.ask("/login", user="mallory")
                assert self.swallows and self.user(browser) is None, f"logged in: {answer}"
        except HttpError as error:
            assert error.status == 500, error
        assert self.server.dbsize() == before

    def reconnect(self):
        browser = self.logged_in("ada")
        assert self.user(browser) == "ada"
        ask_restart()
        wait_until(lambda: self._knows(browser, "ada"), 40, "the app answers again")
        assert self.user(browser) == "ada"
        assert self.user(self.logged_in("ida")) == "ida"

    def _knows(self, browser, user):
        """False where the request fails; who is there must not be taken for a stranger."""
        try:
            answer = self.user(browser)
        except HttpError:
            return False
        assert answer == user, f"after the restart {user} is {answer}"
        return True


def unquoted(prefix):
    """The key of a session whose id is the cookie's text."""
    return lambda cookie: prefix + urllib.parse.unquote(cookie)


def gunicorn(module, threads=8):
    """The command of a WSGI app."""
    return lambda port: ["/usr/bin/python3", "-m", "gunicorn", "--workers", "1", "--threads", str(threads),
                         "--bind", f"127.0.0.1:{port}", "--log-level", "warning", module]
