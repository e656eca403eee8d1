"""Flask-Session in a real application: two application processes, each with its own instance of
respgres, on one database."""

import http.cookiejar
import json
import pathlib
import pickle
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness import free_port, wait_until
from harness.util import clean_environ

APP_DIR = pathlib.Path(__file__).parent / "flask_app"


class App:
    """The application, served by gunicorn."""

    def __init__(self, lab, server, session_seconds=3600):
        self.port = free_port()
        self.log_path = server.dir / f"gunicorn-{self.port}.log"
        with open(self.log_path, "wb") as log:
            self.process = lab.process(
                [sys.executable, "-m", "gunicorn", "--chdir", APP_DIR, "--workers", "1",
                 "--threads", "4", "--bind", f"127.0.0.1:{self.port}", "app:app"],
                stdout=log, stderr=log, env=clean_environ(
                    REDIS_URL=server.url(), SESSION_SECONDS=str(session_seconds)))
        wait_until(self._answers, 30, "gunicorn answers")

    def _answers(self):
        assert self.process.poll() is None, self.log_path.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/static/none", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False


class Browser:
    """Keeps its cookies, whichever process it talks to."""

    def __init__(self):
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies))

    def _ask(self, app, path, form=None):
        data = None if form is None else urllib.parse.urlencode(form).encode()
        with self._opener.open(f"http://127.0.0.1:{app.port}{path}", data, timeout=20) as answer:
            return json.load(answer)

    def login(self, app, user):
        return self._ask(app, "/login", {"user": user})

    def whoami(self, app):
        return self._ask(app, "/whoami")

    def logout(self, app):
        return self._ask(app, "/logout", {})

    @property
    def session_key(self):
        (cookie,) = [c for c in self.cookies if c.name == "session"]
        return "session:" + cookie.value


@pytest.fixture
def two_servers(request, lab):
    """Two instances on one database; with --against redis one redis-server, twice."""
    if request.config.getoption("--against") == "redis":
        return [lab.redis()] * 2
    database = request.getfixturevalue("database")
    return [lab.respgres(database) for _ in range(2)]


def test_log_in_here_be_known_there_log_out(lab, two_servers):
    here, there = (App(lab, server) for server in two_servers)
    browser, stranger = Browser(), Browser()
    assert browser.whoami(here) == {"user": None, "visits": None}
    browser.login(here, "Zo\u00eb")
    for visits in range(1, 21):
        app = there if visits % 2 else here
        assert browser.whoami(app) == {"user": "Zo\u00eb", "visits": visits}
    assert stranger.whoami(there)["user"] is None
    assert browser.logout(there) == {"user": None}
    assert browser.whoami(here)["user"] is None
    assert browser.whoami(there)["user"] is None


def test_a_session_expires(lab, two_servers):
    here, there = (App(lab, server, session_seconds=1) for server in two_servers)
    browser = Browser()
    client = two_servers[1].client()
    begun = time.monotonic()
    browser.login(here, "eve")
    key = browser.session_key
    assert client.ttl(key) in (0, 1) or time.monotonic() - begun > 1
    wait_until(lambda: not client.exists(key), 30, "the session has expired")
    assert browser.whoami(here)["user"] is None
    assert browser.whoami(there)["user"] is None


@pytest.mark.rows
def test_the_session_is_a_row(lab, two_servers, database):
    here, there = (App(lab, server, session_seconds=500) for server in two_servers)
    browser = Browser()
    browser.login(here, "ada")
    key = browser.session_key
    row = database.row(key)
    assert pickle.loads(row.value)["user"] == "ada"
    assert 490 < row.ttl <= 500
    assert database.psql(f"SELECT key FROM respgres.keys WHERE key = '{key}'") == key
    assert 490 < int(two_servers[1].cli("TTL", key)) <= 500
    assert key in two_servers[0].cli("--scan", "--pattern", "session:*").split()
    # An operator ends the session: it is gone on both at once.
    database.execute("DELETE FROM respgres.entries WHERE key = convert_to(%s, 'UTF8')", key)
    assert browser.whoami(there)["user"] is None
    assert browser.whoami(here)["user"] is None


@pytest.mark.rows
def test_a_session_outlives_every_process(lab, two_servers):
    browser = Browser()
    browser.login(App(lab, two_servers[0]), "ada")
    for server in two_servers:
        server.kill9()
        server.start()
    assert browser.whoami(App(lab, two_servers[1]))["user"] == "ada"
