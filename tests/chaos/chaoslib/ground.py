"""The PostgreSQL that the scenarios of one process stand on, one after the other; replicated pairs
for those that break theirs for good."""

import subprocess

from harness.lab import wait_gone
from harness.postgres import Database, Postgres
from harness.replica import Standby, replicate_synchronously
from harness.servers import Respgres

from .slow_disk import SlowDisk


class Ground:
    def __init__(self):
        self._postgres = self.disk = None
        help_text = subprocess.run([Respgres.binary(), "--help"], capture_output=True, text=True,
                                   check=True, timeout=20).stdout
        self.has_fallback = "--fallback" in help_text

    def postgres(self):
        if self._postgres is None:
            self._postgres = Postgres()
            self.disk = SlowDisk(self._postgres)
        self.postgres_goes_on()
        return self._postgres

    def postgres_goes_on(self):
        """Whatever a scenario has left."""
        if self._postgres is not None:
            self._postgres.thaw()
            if not self._postgres.is_running():
                self._postgres.start()

    def database(self, postgres, tablespace=None):
        if tablespace is None:
            return postgres.create_database()
        postgres._databases += 1
        name = f"test_{postgres._databases}"
        postgres.create_role(name)
        postgres.execute(f"CREATE TABLESPACE {name} OWNER {name} LOCATION '{tablespace}'")
        postgres.execute(f"CREATE DATABASE {name} OWNER {name} TABLESPACE {name}")
        made = Database(postgres, name, name)
        made.tablespace = name
        return made

    def drop(self, database):
        if not database.postgres.is_running():
            return  # half of a pair that has ended
        wait_gone(database)
        database.postgres.execute(f'DROP DATABASE IF EXISTS "{database.name}" WITH (FORCE)')
        if getattr(database, "tablespace", None):
            database.postgres.execute(f"DROP TABLESPACE {database.tablespace}")
        database.postgres.execute(f'DROP ROLE IF EXISTS "{database.role}"')

    def pair(self):
        return Pair()

    def close(self):
        if self._postgres is not None:
            self._postgres.remove()


class Pair:
    """A primary and a synchronous standby."""

    def __init__(self):
        self.primary = Postgres().start()
        self.standby = Standby(self.primary).start()
        replicate_synchronously(self.primary)

    def url(self, database):
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in (self.primary, self.standby))
        return f"postgresql://{database.role}@{hosts}/{database.name}"

    def fail_over(self):
        self.standby.promote()
        self.standby.configure(synchronous_standby_names="")
        return self.standby

    def remove(self):
        for server in (self.standby, self.primary):
            server.remove()
