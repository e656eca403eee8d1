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
    while True:
        late = time.monotonic() > deadline  # before the look: this process may stand still as well
        if condition():
            return
        assert not late, f"not within {timeout} s: {what}"
        time.sleep(0.02)


_claims = []  # sockets


def free_port():
    """One that no other test draws while this process lives: the name of a socket is the claim, as in
    tests/integration/harness/util.py."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(10000, 32000)
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                claim.bind(f"\0respgres-tests-port-{port}")
            except OSError:
                claim.close()
                continue
            _claims.append(claim)
            return port
    raise AssertionError("no free port")


class App:
    """A process in a group of its own, started with PORT and whatever else is given."""

    def __init__(self, command, port, **environment):
        self.port = port
        # Its output is not this process' stdout, which belongs to the contract: lib/steps.py.
        self.process = subprocess.Popen(command(port), stdin=subprocess.DEVNULL, start_new_session=True,
                                        env={**os.environ, "PORT": str(port), **environment})

    def wait(self, timeout=120):
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


def _set_cookie(header):
    """(name, value) in a Set-Cookie; the value is None where it deletes the cookie. When it ends is not
    looked at: it is the server that must know."""
    pair, *attributes = (part.strip() for part in header.split(";"))
    name, _, value = pair.partition("=")
    given = {key.lower(): what for key, _, what in (each.partition("=") for each in attributes)}
    long_ago = (http.cookiejar.http2time(given.get("expires", "")) or time.time()) < time.time() - 86400
    deleted = long_ago or given.get("max-age", "1").lstrip("-") == "0" or "-" in given.get("max-age", "")
    return name, None if deleted else value.strip('"')


class Browser:
    """Keeps its cookies. Threads may share one."""

    def __init__(self, app, cookies=()):
        self.app = app
        self.cookies = dict(cookies)

    def ask(self, path, **form):
        """GET, or POST where there is a form or the path ends with an exclamation mark; its JSON."""
        post = form or path.endswith("!")
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.app.port}{path.rstrip('!')}",
            urllib.parse.urlencode(form).encode() if post else None)
        if self.cookies:
            pairs = list(self.cookies.items())
            request.add_header("Cookie", "; ".join(f"{name}={value}" for name, value in pairs))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self._keep(answer.headers)
                return json.load(answer)
        except urllib.error.HTTPError as error:
            self._keep(error.headers)
            raise HttpError(error.code, error.read().decode(errors="replace")) from None

    def _keep(self, headers):
        for header in headers.get_all("Set-Cookie") or []:
            name, value = _set_cookie(header)
            if value is None:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def cookie(self, name):
        value = self.cookies.get(name)
        return None if value is None else urllib.parse.unquote(value)

    def copy(self):
        """Another one with the same cookies, as a thief would have them."""
        return Browser(self.app, self.cookies)
