"""What breaks. A fault of PostgreSQL has begin() and end(); `hard` says that while it lasts nothing
passes between respgres and PostgreSQL, for certain, except what was already under way.

A fault that can't be had here raises Unavailable with the reason: the scenario is skipped.
"""

import contextlib
import os
import pathlib
import subprocess
import tempfile
import time

from harness import faketime, wait_until
from harness.util import remove_tree


class Unavailable(Exception):
    pass


class Fault:
    """`site` is the scenario's: its PostgreSQL, database, proxies and servers."""

    hard = True
    needs = ()       # of "standby", "tablespace"
    instances = None  # the instances concerned, None = all

    def __init__(self, site):
        self.site = site

    def begin(self):
        raise NotImplementedError

    def end(self):
        raise NotImplementedError


class Kill(Fault):
    """kill -9 of every process, and a start after a while."""

    def begin(self):
        self.site.postgres.kill9()

    def end(self):
        self.site.postgres.start()


class Stop(Kill):
    """A shutdown that ends the sessions (pg_ctl stop -m fast), and a start after a while."""

    def begin(self):
        self.site.postgres.stop("fast")


class Restart(Fault):
    """Down and up at once."""

    hard = False

    def begin(self):
        self.site.postgres.stop("fast")
        self.site.postgres.start()

    def end(self):
        pass


class Freeze(Fault):
    """Connections stay open, nothing answers, then everything goes on."""

    def begin(self):
        self.site.postgres.freeze()

    def end(self):
        self.site.postgres.thaw()


class Blackhole(Fault):
    """The network swallows everything; afterwards the old connections go on."""

    def proxies(self):
        return self.site.proxies

    def begin(self):
        for proxy in self.proxies():
            proxy.blackhole()

    def end(self):
        for proxy in self.proxies():
            proxy.pass_on()


class BlackholeOne(Blackhole):
    """One instance is cut off, the other is not: it goes on with the rows."""

    instances = (0,)

    def proxies(self):
        return self.site.proxies[:1]


class Unreachable(Fault):
    """Connections are reset, new ones are refused."""

    def begin(self):
        for proxy in self.site.proxies:
            proxy.refuse()
            proxy.cut()

    def end(self):
        for proxy in self.site.proxies:
            proxy.pass_on()


class UnreachableOne(Unreachable):
    instances = (0,)

    def begin(self):
        self.site.proxies[0].refuse()
        self.site.proxies[0].cut()


class Cut(Fault):
    """All connections are reset, new ones are accepted."""

    hard = False

    def begin(self):
        for proxy in self.site.proxies:
            proxy.cut()

    end = begin


class Terminated(Fault):
    """All backends are ended by an operator."""

    hard = False

    def begin(self):
        self.site.terminate_backends()

    end = begin


class Failover(Fault):
    """The primary is killed, its synchronous standby takes over."""

    needs = ("standby",)

    def begin(self):
        self.site.postgres.kill9()

    def end(self):
        self.site.fail_over()


class DiskFull(Fault):
    """The disk of the table is full: what needs no room goes on, the rest fails."""

    hard = False
    needs = ("tablespace",)

    def begin(self):
        self.filler = pathlib.Path(self.site.tablespace) / "filler"
        with open(self.filler, "wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
                file.flush()

    def end(self):
        self.filler.unlink()


class ReadOnly(Fault):
    """default_transaction_read_only: what a managed database does when its disk is nearly full."""

    hard = False

    def begin(self):
        self.site.postgres.configure(default_transaction_read_only="on")

    def end(self):
        self.site.postgres.configure(default_transaction_read_only="off")


class NoConnections(Fault):
    """Backends were ended, and others have taken all connections."""

    def begin(self):
        self.site.limit_connections(0)
        self.site.terminate_backends()

    def end(self):
        self.site.limit_connections(-1)


class Slow(Fault):
    """Every statement takes 200 ms more."""

    hard = False

    def begin(self):
        for proxy in self.site.proxies:
            proxy.delay(0.1)

    def end(self):
        for proxy in self.site.proxies:
            proxy.delay(0)


class TableLocked(Fault):
    """Somebody has the table: a migration of another application, VACUUM FULL."""

    hard = False

    def begin(self):
        self.connection = self.site.postgres.connect(self.site.database.name)
        self.connection.autocommit = False
        self.connection.cursor().execute(
            "LOCK TABLE respgres.entries IN ACCESS EXCLUSIVE MODE")

    def end(self):
        self.connection.close()


class Nothing(Fault):
    """For faults of respgres alone."""

    hard = False

    def begin(self):
        pass

    end = begin


OF_POSTGRES = {
    "kill": Kill, "stop": Stop, "restart": Restart, "freeze": Freeze, "blackhole": Blackhole,
    "blackhole-one": BlackholeOne, "unreachable": Unreachable, "unreachable-one": UnreachableOne,
    "cut": Cut, "terminated": Terminated, "failover": Failover, "disk-full": DiskFull,
    "read-only": ReadOnly, "no-connections": NoConnections, "slow": Slow,
    "table-locked": TableLocked, "nothing": Nothing,
}


# --- small disks, wrong clocks ----------------------------------------------------------------------

class SmallDisk:
    """A tmpfs of a few hundred kilobytes."""

    def __init__(self, kilobytes, owner=None):
        if os.geteuid() != 0:
            raise Unavailable("mounting a tmpfs needs root")
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="respgres-disk-"))
        options = f"size={kilobytes}k,mode=0700"
        if owner:
            options += f",uid={owner.pw_uid},gid={owner.pw_gid}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            remove_tree(self.path)
            raise Unavailable(f"a tmpfs can't be mounted: {done.stderr.strip()}")

    def resize(self, kilobytes):
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", self.path], check=True)

    def remove(self):
        def unmounted():
            return subprocess.run(["umount", self.path], capture_output=True,
                                  check=False).returncode == 0
        wait_until(unmounted, 10, f"{self.path} is unmounted", 0.05)
        remove_tree(self.path)


class WrongClock:
    """The host's clock as one server sees it: real time and `offset` seconds (libfaketime). The
    monotonic clocks are left alone, as a clock that is set leaves them."""

    def __init__(self, folder):
        if faketime.library() is None:
            raise Unavailable("libfaketime is missing: install faketime")
        self.path = pathlib.Path(folder) / "clock"
        self.set(0)

    def set(self, offset):
        new = self.path.with_suffix(".new")
        new.write_text(f"{offset:+d}\n")
        new.replace(self.path)  # it is read at any moment

    def wear(self, server):
        """From its next start on."""
        original = server.command_line
        server.command_line = lambda: faketime.under(
            original(), FAKETIME_TIMESTAMP_FILE=self.path, FAKETIME_NO_CACHE=1)


def sleep_until(at):
    time.sleep(max(at - time.monotonic(), 0))
