"""A hot standby of a cluster, made by pg_basebackup, fed by streaming replication, promoted by
pg_ctl."""

import subprocess

from .postgres import Postgres
from .util import clean_environ, wait_until

NAME = "standby"  # as the primary knows it


class Standby(Postgres):
    """`port`: a proxy's, through which it follows the primary."""

    def __init__(self, primary, port=None):
        self._primary = primary
        self._host, self._port = ("127.0.0.1", port) if port else (primary.dir, primary.port)
        super().__init__()

    def _initdb(self):
        subprocess.run(
            [self.programs / "pg_basebackup", "-D", self.data, "-X", "stream", "-R", "-c", "fast",
             "--no-sync", "-d", f"host={self._host} port={self._port} user=postgres"
             f" application_name={NAME}"],
            check=True, stdout=subprocess.DEVNULL, cwd="/", env=clean_environ(),
            **self._as_owner())
        with open(self.data / "postgresql.conf", "a", encoding="utf8") as f:
            f.write(f"unix_socket_directories = '{self.dir}'\n")

    def promote(self):
        """Returns when it takes writes."""
        subprocess.run([self.programs / "pg_ctl", "promote", "-D", self.data, "-w", "-t", "60"],
                       check=True, stdout=subprocess.DEVNULL, cwd="/", env=clean_environ(),
                       **self._as_owner())


def replicate_synchronously(primary):
    """From now on a commit is acknowledged when the standby has it on its disk."""
    primary.configure(synchronous_standby_names=NAME)
    wait_until(lambda: primary.execute("SELECT sync_state FROM pg_stat_replication")
               == [("sync",)], 30, "the standby is synchronous")
