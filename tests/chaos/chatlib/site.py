"""The chat as one of three set-ups: apps, respgres instances and PostgreSQL, all real.

  a    three apps share one respgres
  b, c three apps, each beside its own respgres
"""

import datetime
import pathlib
import re
import sys
import time
import urllib.request

import pairs
from chaoslib.site import state_of
from harness import free_port, wait_until
from harness.util import clean_environ, tail

from . import admin

APPS = 3
MUTANTS = pathlib.Path(__file__).with_name("mutants")  # apps with a fault, for the test of the judge


class Site:
    def __init__(self, lab, setup, affinity, app="app:app", threads=8):
        self.lab, self.setup = lab, setup
        self.postgres = lab.own_postgres()
        self.database = lab.database(self.postgres)
        self.servers = [self._respgres(n) for n in range(1 if setup == "a" else APPS)]
        for server in self.servers:
            wait_until(lambda s=server: state_of(s) == "online", 20, "online")
        self._logs = self.servers[0].dir
        self.app_ports = [free_port() for _ in range(APPS)]
        self._processes = [self._app(n, app, threads) for n in range(APPS)]
        self.port = free_port()
        self._processes.append(self._start("proxy", pairs.proxy_command(
            self.port, self.app_ports, affinity), clean_environ()))
        for port in [*self.app_ports, self.port]:
            wait_until(lambda p=port: self._answers(p), 60, f"the app at {port} answers")

    def _respgres(self, number):
        server = self.lab.respgres(self.database, start=False)
        options = pairs.respgres_options(0, server.dir / "journals", f"chat-{number + 1}")
        del options["port"]
        server.options.update(options, preload="yes")
        # A PostgreSQL that is killed is missed at once. Longer than the usual second, so that a busy
        # machine is not taken for one that is gone.
        server.options["pg-timeout"] = 3000
        if self.setup == "a":
            server.options["fallback"] = "on"  # nobody else could hand out what it does
        return server.start()

    def _app(self, number, app, threads):
        command = [sys.executable, *pairs.gunicorn_command(self.app_ports[number], threads)[1:-1],
                   "--pythonpath", str(MUTANTS), app]
        own = self.servers[number % len(self.servers)]
        return self._start(f"app-{number + 1}", command, clean_environ(**pairs.gunicorn_environment(
            own.url(), self.database.url, [server.url() for server in self.servers], admin.PASSWORD)))

    def _start(self, name, command, environment):
        with open(self._logs / f"{name}.log", "wb") as log:
            return self.lab.process(command, stdout=log, stderr=log, env=environment)

    def _answers(self, port):
        for process in self._processes:
            assert process.poll() is None, self.logs()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/static/icon.svg", timeout=5):
                return True
        except OSError:
            return False

    def logs(self):
        """What apps and proxy wrote, shortened."""
        return "\n".join(f"--- {path.name}\n{tail(path, 15)}" for path in sorted(self._logs.glob("*.log"))
                         if path.stat().st_size)

    def merges(self):
        """(from, to) of each time an instance merged its journal, on the monotonic clock."""
        found, offset = [], time.time() - time.monotonic()
        for server in self.servers:
            begun = None
            for when, state in re.findall(r"^time=(\S+) .*event=state from=\w+ to=(\w+)", server.log,
                                          re.MULTILINE):
                at = datetime.datetime.fromisoformat(when).timestamp() - offset
                if state == "online" and begun is not None:
                    found.append((begun, at))
                begun = at if state == "recovering" else None
        return found

    def are_online(self):
        return all(server.is_running() and state_of(server) == "online" for server in self.servers)
