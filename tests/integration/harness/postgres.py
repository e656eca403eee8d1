"""A private PostgreSQL cluster: started, killed, frozen by the tests."""

import atexit
import collections
import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.parse

import psycopg2

from .util import (children_of, clean_environ, free_port, is_alive, make_temp_dir, postgres_owner,
                   process_state, remove_tree, tail, wait_until)

SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 64MB
max_wal_size = 512MB
fsync = on
synchronous_commit = on
log_min_messages = warning
log_line_prefix = '%m [%p] %a '
log_lock_waits = on
timezone = 'UTC'
"""

# Members of needs_password are asked for it; nobody else is.
HBA = """
local all +needs_password scram-sha-256
host  all +needs_password 127.0.0.1/32 scram-sha-256
local all all trust
host  all all 127.0.0.1/32 trust
local replication postgres trust
host  replication postgres 127.0.0.1/32 trust
"""


def find_programs():
    """The folder with initdb and postgres, of the newest version."""
    def version(path):
        return [int(x) for x in path.parts[-3].split(".")]
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=version)
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    assert initdb, "no initdb: install postgresql"
    return pathlib.Path(initdb).resolve().parent


@functools.cache
def _fresh_folder(owner):
    """Where this process keeps a cluster that was never started."""
    folder = make_temp_dir(owner)
    if owner:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    atexit.register(remove_tree, folder)
    return folder


# How often a database is used before a new one is made: dropped tables leave dead rows in the catalogs.
MOST_USES = 20

SESSIONS = ("SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'")

# What the current database, which belongs to a role of its name, has that a new one has not.
LEFT_OVER = """
WITH me AS (SELECT d.*, r.* FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = current_database())
SELECT 'a relation' FROM pg_class WHERE oid >= 16384
UNION ALL SELECT 'a function' FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT 'a type' FROM pg_type WHERE oid >= 16384
UNION ALL SELECT 'a schema' FROM pg_namespace WHERE oid >= 16384
UNION ALL SELECT 'an extension' FROM pg_extension WHERE oid >= 16384
UNION ALL SELECT 'a language' FROM pg_language WHERE oid >= 16384
UNION ALL SELECT 'an operator' FROM pg_operator WHERE oid >= 16384
UNION ALL SELECT 'a cast' FROM pg_cast WHERE oid >= 16384
UNION ALL SELECT 'a collation' FROM pg_collation WHERE oid >= 16384
UNION ALL SELECT 'an event trigger' FROM pg_event_trigger
UNION ALL SELECT 'a publication' FROM pg_publication
UNION ALL SELECT 'a server' FROM pg_foreign_server
UNION ALL SELECT 'a large object' FROM pg_largeobject_metadata
UNION ALL SELECT 'default privileges' FROM pg_default_acl
UNION ALL SELECT 'privileges' FROM pg_namespace WHERE nspname = 'public' AND
    (pg_get_userbyid(nspowner) <> 'pg_database_owner'
     OR nspacl::text <> '{pg_database_owner=UC/pg_database_owner,=U/pg_database_owner}')
UNION ALL SELECT 'a privilege' FROM pg_class WHERE oid < 16384 AND relacl::text LIKE '%' || current_database() || '%'
UNION ALL SELECT 'a setting' FROM pg_db_role_setting s, me
    WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    OR s.setrole = me.datdba
UNION ALL SELECT 'of the database' FROM me WHERE datacl IS NOT NULL OR datconnlimit <> -1 OR NOT datallowconn
UNION ALL SELECT 'of the role' FROM me WHERE rolname <> datname OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication
    OR rolbypassrls OR rolconnlimit <> -1 OR rolvaliduntil IS NOT NULL OR NOT rolcanlogin OR NOT rolinherit
UNION ALL SELECT 'a membership' FROM pg_auth_members m, me WHERE m.member = me.datdba OR m.roleid = me.datdba
UNION ALL SELECT 'a password' FROM pg_authid WHERE rolname = current_database() AND rolpassword IS NOT NULL
UNION ALL SELECT 'a prepared transaction' FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL SELECT 'a slot' FROM pg_replication_slots WHERE database = current_database()
"""

# A row of respgres.entries: value is None in a tombstone; ttl in seconds, None = never expires.
Row = collections.namedtuple("Row", "value ttl version")


class Postgres:
    """Listens on 127.0.0.1 and on a Unix socket, at a port of its own. Superuser: postgres."""

    def __init__(self):
        self.programs = find_programs()
        self.owner = postgres_owner()
        self.dir = make_temp_dir(self.owner)
        if self.owner:
            os.chown(self.dir, self.owner.pw_uid, self.owner.pw_gid)
        self.data = self.dir / "data"
        self.log_path = self.dir / "server.log"
        self.log_path.touch()
        self.port = free_port()
        self.process = None
        self._frozen = []
        self._databases = 0
        self._spare = []  # databases without anything in them
        self.environ = {}  # more of it, for the server
        self._initdb()

    def _as_owner(self):
        if not self.owner:
            return {}
        return {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}

    def _initdb(self):
        """A copy of what initdb has made once: it takes seconds, a copy less than one."""
        fresh = pathlib.Path(_fresh_folder(self.owner)) / "data"
        if not fresh.exists():
            subprocess.run(
                [self.programs / "initdb", "-D", fresh, "-U", "postgres", "--no-locale",
                 "--encoding=UTF8", "--no-sync", "--auth=trust"],
                check=True, stdout=subprocess.DEVNULL, cwd="/", env=clean_environ(),
                **self._as_owner())
        subprocess.run(["cp", "-a", fresh, self.data], check=True, cwd="/", **self._as_owner())
        with open(self.data / "postgresql.conf", "a", encoding="utf8") as f:
            f.write(SETTINGS + f"unix_socket_directories = '{self.dir}'\n")
        (self.data / "pg_hba.conf").write_text(HBA)

    # --- running -----------------------------------------------------------------------------

    def start(self):
        """Starts the server and waits until it accepts connections."""
        assert not self.is_running()
        for _ in range(50):
            try:
                return self._start()
            except AssertionError:
                # After kill -9 the children may take a moment to notice.
                if "pre-existing shared memory" not in tail(self.log_path):
                    raise
                time.sleep(0.2)
        return self._start()

    def _start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.data, "-p", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env={**clean_environ(), **self.environ}, start_new_session=True, **self._as_owner())
        wait_until(self._accepts, 60, "PostgreSQL accepts connections")
        return self

    def _accepts(self):
        assert self.process.poll() is None, "PostgreSQL did not start:\n" + tail(self.log_path)
        try:
            self.connect().close()
            return True
        except psycopg2.OperationalError:
            return False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, mode="fast"):
        """smart waits for clients, fast ends them, immediate is a crash."""
        if not self.is_running():
            return
        self.thaw()
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        self._end(signals[mode])

    def kill9(self):
        """What a power cut or the OOM killer does: every process at once, without a word."""
        self._end(signal.SIGKILL)

    def _end(self, signum):
        if signum == signal.SIGKILL and self.is_running():
            self._stop_postmaster()  # a child that it makes meanwhile would outlive it
        children = children_of(self.process.pid)
        self.process.send_signal(signum)
        if signum == signal.SIGKILL:
            _signal_all(children, signum)
        self.process.wait(60)
        self._frozen = []
        # Before they are gone they hold the shared memory, and the next start would be refused.
        wait_until(lambda: not any(map(is_alive, children)), 30, "the backends are gone")

    def freeze(self):
        """Stops every process of the server: connections stay open and nothing answers."""
        pid = self.process.pid
        self._stop_postmaster()
        self._frozen = [pid]
        children = children_of(pid)  # none can be added now
        _signal_all(children, signal.SIGSTOP)
        self._frozen = children + [pid]

    def _stop_postmaster(self):
        os.kill(self.process.pid, signal.SIGSTOP)
        wait_until(lambda: process_state(self.process.pid)[0] == "T",
                   what="the postmaster is stopped")

    def thaw(self):
        _signal_all(self._frozen, signal.SIGCONT)
        self._frozen = []

    def remove(self):
        """Stops the server and removes the cluster."""
        self.stop("immediate")
        remove_tree(self.dir)

    # --- talking -----------------------------------------------------------------------------

    def connect(self, dbname="postgres", user="postgres", **options):
        """A psycopg2 connection in autocommit mode, over the Unix socket."""
        conn = psycopg2.connect(host=str(self.dir), port=self.port, user=user, dbname=dbname,
                                **options)
        conn.autocommit = True
        return conn

    def psql(self, sql, dbname="postgres", user="postgres"):
        """What psql prints, unaligned and without headers."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", self.dir, "-p",
             str(self.port), "-U", user, "-d", dbname, "-c", sql],
            capture_output=True, text=True, env=clean_environ(), timeout=60, check=False)
        assert done.returncode == 0, f"psql: {done.stderr}"
        return done.stdout.rstrip("\n")

    def execute(self, sql, *args, dbname="postgres"):
        """Runs one statement as superuser; returns its rows if it has any."""
        return _execute(self.connect(dbname), sql, args)

    def configure(self, **settings):
        """Changes settings of the running server that a reload can change."""
        for name, value in settings.items():
            self.execute(f"ALTER SYSTEM SET {name} = %s", value)
        self.reload()

    def reload(self):
        """Reads its configuration again, pg_hba.conf included."""
        loaded = self.execute("SELECT pg_conf_load_time()")
        self.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.execute("SELECT pg_conf_load_time()") != loaded,
                   what="the configuration is loaded")

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_size(self):
        return self.log_path.stat().st_size

    # --- databases ---------------------------------------------------------------------------

    def create_role(self, name, password=None):
        """An ordinary role: no superuser, no right to create anything outside its database."""
        if password is None:
            self.execute(f'CREATE ROLE "{name}" LOGIN')
            return
        self.execute("DO $$ BEGIN CREATE ROLE needs_password; "
                     "EXCEPTION WHEN duplicate_object THEN END $$")
        self.execute(f'CREATE ROLE "{name}" LOGIN PASSWORD %s IN ROLE needs_password', password)

    def create_database(self, name=None, owner=None):
        """A new database; without `owner` it belongs to an ordinary role of the same name."""
        if name is None and owner is None and self._spare:
            return self._spare.pop()
        plain = name is None and owner is None
        self._databases += 1
        name = name or f"test_{self._databases}"
        if owner is None:
            owner = name
            self.create_role(owner)
        self.execute(f'CREATE DATABASE "{name}" OWNER "{owner}"')
        return Database(self, name, owner, plain)

    def give_back(self, database):
        """Made anew it would cost hundreds of files: one that only respgres has written to is kept for the next
        test, without its schema; another one is dropped."""
        if database.plain and database.uses < MOST_USES and database.empty():
            database.uses += 1
            self._spare.append(database)
        else:
            database.drop()

    def url(self, dbname, user, password=None, port=None, tcp=False):
        """A connection URL, over the Unix socket unless `tcp` or a `port` (a proxy's) is given."""
        who = urllib.parse.quote(user, safe="")
        if password is not None:
            who += ":" + urllib.parse.quote(password, safe="")
        if tcp or port:
            return f"postgresql://{who}@127.0.0.1:{port or self.port}/{dbname}"
        host = urllib.parse.quote(str(self.dir), safe="/")
        return f"postgresql://{who}@/{dbname}?host={host}&port={self.port}"


class Database:
    """One database and the ordinary role that owns it."""

    def __init__(self, postgres, name, role, plain=False):
        self.postgres = postgres
        self.name = name
        self.role = role
        self.plain = plain  # made without further wishes
        self.uses = 1

    @property
    def url(self):
        return self.postgres.url(self.name, self.role)

    def url_by(self, **options):
        return self.postgres.url(self.name, self.role, **options)

    def connect(self, **options):
        """As its ordinary role, in autocommit mode."""
        return self.postgres.connect(self.name, self.role, **options)

    def psql(self, sql):
        return self.postgres.psql(sql, self.name, self.role)

    def execute(self, sql, *args):
        """Runs one statement as its ordinary role; returns its rows if it has any."""
        return _execute(self.connect(), sql, args)

    def sessions(self):
        """The pids of the backends that clients of this database have."""
        return [pid for pid, in self.postgres.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid",
            self.name)]

    def empty(self):
        """Drops respgres' schema. Returns whether nothing else is left of what was done here: a difference from a
        new database, or its role from a new role, is what LEFT_OVER finds."""
        try:
            conn = self.postgres.connect(self.name)
        except psycopg2.OperationalError:  # the test has dropped it, or lets nobody in
            return False
        with contextlib.closing(conn), conn.cursor() as cursor:
            def found(query):
                cursor.execute(query)
                return cursor.fetchall()
            try:  # one that was ended may take a moment
                wait_until(lambda: not found(SESSIONS), 0.5, "nobody else is connected")
            except AssertionError:
                return False
            try:
                cursor.execute("DROP SCHEMA IF EXISTS respgres CASCADE")
            except psycopg2.Error:  # it is read-only
                return False
            return not found(LEFT_OVER)

    def drop(self):
        self.postgres.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        if self.role == self.name:
            self.postgres.execute(f'DROP ROLE IF EXISTS "{self.role}"')

    # --- respgres' rows ----------------------------------------------------------------------

    def live(self, db=0):
        """key → value of the rows that read as present."""
        return {bytes(key): bytes(value) for key, value in self.execute(
            "SELECT key, value FROM respgres.entries JOIN respgres.spaces USING (space)"
            " WHERE db = %s AND value IS NOT NULL AND active"
            " AND (expires_at IS NULL OR expires_at > clock_timestamp())", db)}

    def row(self, key, db=0):
        """A key's row, tombstone or not, as a Row; None where there is none."""
        key = key if isinstance(key, bytes) else key.encode()
        rows = self.execute(
            "SELECT value, extract(epoch FROM expires_at - clock_timestamp())::float8, version"
            " FROM respgres.entries JOIN respgres.spaces USING (space)"
            " WHERE db = %s AND key = %s", db, psycopg2.Binary(key))
        if not rows:
            return None
        value, ttl, version = rows[0]
        return Row(None if value is None else bytes(value), ttl, version)


def _execute(conn, sql, args):
    try:
        with conn.cursor() as cursor:
            cursor.execute(sql, args or None)
            return cursor.fetchall() if cursor.description else None
    finally:
        conn.close()


def _signal_all(pids, signum):
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            pass
