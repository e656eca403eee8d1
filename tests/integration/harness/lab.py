"""What one test has built: its servers, proxies and databases, and how they are taken down."""

import subprocess

import pytest

from .pgbouncer import PgBouncer
from .postgres import Postgres
from .proxy import Proxy
from .replica import Standby
from .servers import RedisServer, Respgres
from .util import tail, wait_until


class Lab:
    """Everything a test makes here is ended when the test ends, servers before databases. A server
    that does not end cleanly, or whose log shows a fault, is a failure of the test."""

    def __init__(self, shared_postgres):
        self._shared_postgres = shared_postgres  # a function: starting it takes a while
        self._postgres_log_from = {}
        self._databases = []
        self._clusters = []
        self._proxies = []
        self._processes = []
        self._poolers = []
        self.servers = []
        # Options of every respgres, unless a test says otherwise. What preload reads in the background
        # would be in the way of tests that count what is read. A machine stands still for a second now
        # and then: a PostgreSQL that is late is not to be taken for one that is away.
        self.defaults = {"preload": "no", "pg-timeout": 10000}
        self.expects_deadlocks = False  # people's own transactions may be in one

    # --- making ------------------------------------------------------------------------------

    def postgres(self):
        """The cluster that all tests share, running."""
        postgres = self._shared_postgres()
        if postgres not in self._postgres_log_from:
            self._postgres_log_from[postgres] = postgres.log_size()
        return postgres

    def own_postgres(self):
        """A cluster of this test's own, running: for tests that kill, stop or freeze it."""
        return self._add_cluster(Postgres())

    def standby(self, primary, port=None):
        """A running hot standby of a cluster of this test's own; `port` is a proxy's between them."""
        return self._add_cluster(Standby(primary, port))

    def _add_cluster(self, postgres):
        self._clusters.append(postgres)
        self._postgres_log_from[postgres] = 0
        return postgres.start()

    def database(self, postgres=None, **options):
        """A new database in the shared cluster, or in the one given."""
        database = (postgres or self.postgres()).create_database(**options)
        self._databases.append(database)
        return database

    def respgres(self, database=None, start="ready", env=None, config=None, **options):
        """respgres on a Database, on a URL, or on none. `start` is for Server.start(), False
        leaves it unstarted. Options are written with _ for -."""
        url = database.url if hasattr(database, "url") else database
        return self._add(Respgres(url, _dashed({**self.defaults, **options}), env, config), start)

    def postgres_port(self, database):
        """Where a proxy between respgres and a database has to lead."""
        return database.postgres.port

    def redis(self, start="ready", **options):
        return self._add(RedisServer(_dashed(options)), start)

    def _add(self, server, start):
        self.servers.append(server)
        return server if start is False else server.start(start)

    def pgbouncer(self, database, **options):
        """In front of a Database, running."""
        pooler = PgBouncer(database, **options)
        self._poolers.append(pooler)
        return pooler.start()

    def proxy(self, target):
        proxy = Proxy(target)
        self._proxies.append(proxy)
        return proxy

    def process(self, args, **options):
        """Any other process; it is ended with the test."""
        process = subprocess.Popen(args, stdin=subprocess.DEVNULL, start_new_session=True,
                                   **options)
        self._processes.append(process)
        return process

    # --- taking down -------------------------------------------------------------------------

    def logs(self):
        """(title, text) of each server's and cluster's log since the test began, shortened."""
        found = [(f"log of {s.name} {number}", tail(s.log_path))
                 for number, s in enumerate(self.servers)]
        found += [("log of PgBouncer", pooler.log) for pooler in self._poolers]
        for postgres in self._postgres_log_from:
            found.append(("log of PostgreSQL", "\n".join(
                self._postgres_log(postgres).splitlines()[-40:])))
        return [(title, text) for title, text in found if text]

    def _postgres_log(self, postgres):
        start = self._postgres_log_from[postgres]
        return postgres.log_path.read_bytes()[start:].decode(errors="replace")

    def close(self):
        """Ends everything; returns the problems found."""
        for process in self._processes:
            _end(process)
        for postgres in self._postgres_log_from:
            postgres.thaw()
        problems = [problem for server in self.servers for problem in server.finish()]
        for proxy in self._proxies:
            proxy.close()
        for pooler in self._poolers:
            pooler.remove()
        for postgres in self._postgres_log_from:
            if "deadlock detected" in self._postgres_log(postgres) and not self.expects_deadlocks:
                problems.append("PostgreSQL's log: deadlock detected")
        if problems:
            problems += [f"--- {title}\n{text}" for title, text in self.logs()]
        for database in self._databases:
            if database.postgres not in self._clusters:
                database.postgres.give_back(database)
        for postgres in self._clusters:
            postgres.remove()
        for server in self.servers:
            server.remove()
        return problems


def a_lab(shared_postgres, kind=Lab):
    """The body of a fixture."""
    made = kind(shared_postgres)
    yield made
    problems = made.close()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def _dashed(options):
    return {name.replace("_", "-"): value for name, value in options.items()}


def _end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_gone(database, timeout=30):
    """Waits until nobody is connected to a database: whatever was in flight has ended."""
    wait_until(lambda: not database.sessions(), timeout, "no connection is left")
