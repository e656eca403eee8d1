"""A PgBouncer in transaction mode in front of one database: started, killed by the tests."""

import os
import pathlib
import shutil
import socket
import subprocess

import psycopg2

from .util import (clean_environ, free_port, make_temp_dir, postgres_owner, remove_tree, tail,
                   wait_until)

SETTINGS = """
[databases]
{name} = host={host} port={port} dbname={name} user={role}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = trust
auth_file = {dir}/users
admin_users = {role}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 500
server_login_retry = 0.1
logfile = {dir}/pgbouncer.log
pidfile = {dir}/pgbouncer.pid
"""


class PgBouncer:
    """Listens on 127.0.0.1. `pool_size` is how many connections to PostgreSQL it has."""

    def __init__(self, database, pool_size=3, port=None):
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        assert pathlib.Path(program).is_file(), "no pgbouncer: install it"
        self.program = program
        self.database = database
        self.pool_size = pool_size
        self.owner = postgres_owner()  # it refuses to be root
        self.dir = make_temp_dir(self.owner)
        if self.owner:
            os.chown(self.dir, self.owner.pw_uid, self.owner.pw_gid)
        self.log_path = self.dir / "pgbouncer.log"
        self.port = port or free_port()
        self.process = None
        postgres = database.postgres
        (self.dir / "users").write_text(f'"{database.role}" ""\n')
        (self.dir / "pgbouncer.ini").write_text(SETTINGS.format(
            name=database.name, role=database.role, host=postgres.dir, port=postgres.port,
            listen_port=self.port, dir=self.dir, pool_size=pool_size))

    @property
    def url(self):
        return self.database.url_by(port=self.port)

    @property
    def log(self):
        return tail(self.log_path)

    def start(self):
        options = {}
        if self.owner:
            options = {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}
        self.process = subprocess.Popen(
            [self.program, "-q", self.dir / "pgbouncer.ini"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", env=clean_environ(),
            start_new_session=True, **options)
        wait_until(self._listens, 20, "PgBouncer listens")
        return self

    def _listens(self):
        assert self.process.poll() is None, "PgBouncer did not start:\n" + self.log
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            return False

    def kill9(self):
        self.process.kill()
        self.process.wait(10)

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.kill9()
        remove_tree(self.dir)

    def connect(self):
        """A psycopg2 connection through it, in autocommit mode."""
        conn = psycopg2.connect(self.url)
        conn.autocommit = True
        return conn

    def server_connections(self):
        """How many backends it has."""
        return len(self.database.sessions())
