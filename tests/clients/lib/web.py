"""An app that listens on a port, in whatever language, and the browsers that ask it."""

import http.cookiejar
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request


def wait_until(condition, timeout, what):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.02)


def free_port():
    for _ in range(1000):
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


class App:
    """A process in a group of its own, started with PORT and whatever else is given."""

    def __init__(self, command, port, **environment):
        self.port = port
        # Its output is not this process' stdout, which belongs to the contract: lib/steps.py.
        self.process = subprocess.Popen(command(port), stdin=subprocess.DEVNULL, start_new_session=True,
                                        env={**os.environ, "PORT": str(port), **environment})

    def wait(self, timeout=60):
        """Until it accepts connections; false if it ended instead."""
        wait_until(lambda: self.process.poll() is not None or self._accepts(), timeout, "the app listens")
        return self.process.poll() is None

    def _accepts(self):
        with socket.socket() as s:
            s.settimeout(5)
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        """It has nothing to save, and a polite end takes servers seconds."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class HttpError(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text[-300:]}")
        self.status = status


class _LongJar(http.cookiejar.CookieJar):
    """Keeps a cookie until it is deleted, so that it is the server that must know when it ends."""

    def set_cookie(self, cookie):
        cookie.expires = None
        super().set_cookie(cookie)


class Browser:
    """Keeps its cookies. Threads may share one."""

    def __init__(self, app):
        self.app = app
        self.cookies = _LongJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def ask(self, path, **form):
        """GET, or POST where there is a form or the path ends with an exclamation mark; its JSON."""
        post = form or path.endswith("!")
        data = urllib.parse.urlencode(form).encode() if post else None
        url = f"http://127.0.0.1:{self.app.port}{path.rstrip('!')}"
        try:
            with self._opener.open(url, data, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise HttpError(error.code, error.read().decode(errors="replace")) from None

    def cookie(self, name):
        found = [c.value for c in self.cookies if c.name == name]
        return urllib.parse.unquote(found[0]) if found else None

    def with_cookies_of(self):
        """Another one with the same cookies, as a thief would have them."""
        other = Browser(self.app)
        for cookie in self.cookies:
            other.cookies.set_cookie(cookie)
        return other
