"""The servers that are compared: built, started, filled, and ended again."""

import os
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "integration"))

from harness.postgres import Postgres                             # noqa: E402
from harness.raw import RawClient                                 # noqa: E402,F401
from harness.servers import RedisServer, Respgres                 # noqa: E402
from harness.util import children_of, clean_environ, remove_tree, wait_until  # noqa: E402

# Besides what the tests' cluster has: room for 500 clients of pgbench, and no checkpoint while
# something is measured. Autovacuum is as PostgreSQL ships it.
SETTINGS = """
max_connections = 600
shared_buffers = 256MB
max_wal_size = 16GB
checkpoint_timeout = 1h
"""


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def build(build_dir):
    """Brings the release build and the tools of bench/ up to date."""
    default = TOP / "build"
    say(f"building {build_dir}")
    if not (build_dir / "CMakeCache.txt").exists():
        if build_dir.resolve() != default:
            raise SystemExit(f"{build_dir} is not a build folder")
        _run_quietly(["cmake", "--preset", "release"])
    _run_quietly(["cmake", "--build", str(build_dir), "--target", "bench"])
    kind = [line for line in (build_dir / "CMakeCache.txt").read_text().splitlines()
            if line.startswith("CMAKE_BUILD_TYPE:")]
    if not kind or not kind[0].endswith("=Release"):
        raise SystemExit(f"{build_dir} is not a release build: {kind}")


def _run_quietly(command):
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


class Cluster(Postgres):
    """A PostgreSQL cluster of our own in a temporary folder."""

    def _initdb(self):
        super()._initdb()
        with open(self.data / "postgresql.conf", "a", encoding="utf8") as f:
            f.write(SETTINGS)

    def backends(self):
        """The pids of all processes but the postmaster's."""
        return children_of(self.process.pid)


class Site:
    """Owns every process that a benchmark starts. Use it in a with statement."""

    def __init__(self, build_dir, respgres_options=None):
        self.build_dir = build_dir
        self.respgres_options = dict(respgres_options or {})
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="respgres-bench-"))
        self.postgres = None
        self._servers = []
        self._databases = []

    def __enter__(self):
        try:
            say("starting PostgreSQL")
            self.postgres = Cluster()
            self.postgres.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        for server in list(self._servers):
            self.end(server)
        if self.postgres:
            self.postgres.remove()
        remove_tree(self.dir)

    # --- servers and databases ---------------------------------------------------------------

    def database(self):
        """A new database in the cluster."""
        database = self.postgres.create_database()
        self._databases.append(database)
        return database

    def drop_databases(self):
        """Between measurements, so that autovacuum does not work on what an earlier one left."""
        while self._databases:
            self._databases.pop().drop()

    def respgres(self, database, **options):
        """A running respgres on a database, with a Unix socket too."""
        # A second of silence from an overloaded disk must not end a run with an error reply.
        defaults = {"pg-timeout": 20000}
        server = Respgres(database.url, {**defaults, **self.respgres_options, **options})
        server.binary = lambda: self.build_dir / "respgres"
        server.options["unixsocket"] = server.dir / "socket"
        return self._start(server)

    def redis(self, **options):
        """redis-server in memory; keywords with _ for - are options."""
        return self._start(RedisServer({n.replace("_", "-"): v for n, v in options.items()}))

    def redis_aof(self):
        """redis-server that fsyncs each write before it answers."""
        return self.redis(appendonly="yes", appendfsync="always", auto_aof_rewrite_percentage=0)

    def _start(self, server):
        self._servers.append(server)
        return server.start()

    def end(self, server):
        """Ends a server before the site is closed."""
        self._servers.remove(server)
        for problem in server.finish():
            say(f"PROBLEM: {problem}")
        server.remove()

    def tool(self, name):
        return self.build_dir / "bench" / name

    def run(self, command, **options):
        """Runs a load generator to its end and returns what it printed."""
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              env=clean_environ(LC_ALL="C"), check=False, timeout=1200, **options)
        if done.returncode != 0:
            raise SystemExit(f"{command[0]} failed: {done.stdout}{done.stderr}\n{command}")
        return done.stdout


def conditions(site):
    """What the figures were measured on."""
    version = site.postgres.psql("SHOW server_version").split()[0]
    redis = site.run(["redis-server", "--version"]).split("v=")[1].split()[0]
    kind = site.run(["findmnt", "-n", "-o", "FSTYPE", "-T", site.postgres.data]).strip()
    return (f"{os.cpu_count()} cores for servers and generators together, PostgreSQL {version}, "
            f"Redis {redis}, data on {kind}")


def load_average():
    return " ".join(f"{x:.1f}" for x in os.getloadavg())
