"""The servers under test: respgres, and the real redis-server to compare it with."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import redis

from .raw import RawClient
from .util import TOP, clean_environ, free_port, remove_tree, tail, wait_until

# A gcc build prints symbols by itself, a clang build needs llvm-symbolizer on PATH.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:strict_string_checks=1:"
                    "detect_stack_use_after_return=1:check_initialization_order=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "LSAN_OPTIONS": "exitcode=99",
}

# For a server whose memory is measured: a sanitizer gives back at once what was freed.
PROMPT = {"ASAN_OPTIONS": SANITIZERS["ASAN_OPTIONS"]
                          + ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"}

BAD_LOG = re.compile(
    r"^.*(?:(?:Address|Leak|UndefinedBehavior|Memory|Thread)Sanitizer|: runtime error: "
    r"|event=assert-failed).*$", re.MULTILINE)


class Server:
    """A process that speaks RESP on 127.0.0.1, with a folder and a log of its own.

    `expected_status` is what it must exit with: 0, unless a test that killed it says otherwise.
    """

    name = "server"

    def __init__(self, options=None, env=None):
        self.options = dict(options or {})
        self.own_port = "port" not in self.options
        self.env = dict(env or {})
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.log_path = self.dir / "server.log"
        self.log_path.touch()
        self.process = None
        self.expected_status = 0
        self.socket_path = None
        self.before_exec = None  # runs in the process that becomes the server
        self.log_to = None  # a path or a descriptor in place of log_path, which stays empty

    def command_line(self):
        raise NotImplementedError

    @property
    def port(self):
        return self.options["port"]

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    # --- running -----------------------------------------------------------------------------

    def start(self, wait="ready", timeout=60):
        """Waits until it answers PING with PONG ("ready"), with anything ("answering"), or not
        at all (None)."""
        choose_port = self.own_port and self.process is None
        for attempts_left in (2, 1, 0):
            if choose_port:
                self.options["port"] = free_port()
            self._spawn()
            if wait is None:
                return self
            try:
                wait_until(lambda: self._answers(wait), timeout, f"{self.name} is {wait}")
                return self
            except AssertionError as error:
                taken = choose_port and "already in use" in self.log
                if not (taken and attempts_left and self.process.poll() is not None):
                    raise AssertionError(f"{error}\n{tail(self.log_path)}") from None

    def _spawn(self):
        assert not self.is_running(), "already running"
        self.expected_status = 0
        to = self.log_path if self.log_to is None else self.log_to
        with open(to, "ab", closefd=not isinstance(to, int)) as log:
            self.process = subprocess.Popen(
                [str(arg) for arg in self.command_line()], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.dir, env=clean_environ(**{**SANITIZERS, **self.env}),
                start_new_session=True, preexec_fn=self.before_exec)

    def _answers(self, how):
        status = self.process.poll()
        assert status is None, f"{self.name} exited with {status}"
        try:
            with self.raw(timeout=5) as raw:
                if self.options.get("requirepass"):
                    raw.command("AUTH", self.options["requirepass"])
                reply = raw.command("PING")
        except OSError:
            return False
        return how == "answering" or reply == b"+PONG\r\n" or reply.startswith(b"-NOAUTH")

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, timeout=10):
        """Waits for its end; returns the exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} (pid {self.pid}) did not end within {timeout} s\n"
                                 f"{tail(self.log_path)}") from None

    def signal(self, signum):
        self.process.send_signal(signum)

    def sigterm(self, timeout=10):
        """Asks it to end; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def sighup(self):
        self.signal(signal.SIGHUP)

    def kill9(self):
        self.expected_status = -signal.SIGKILL
        self.process.kill()
        self.process.wait(30)

    def restart(self, wait="ready"):
        """Again, with the same options and port; ends it first if it is running."""
        if self.is_running():
            status = self.sigterm()
            assert status == 0, f"exit status {status}"
        return self.start(wait)

    def finish(self):
        """Ends it and returns what is wrong with how it ended, as a list of texts."""
        problems = []
        if self.process is None:
            return problems
        try:
            status = self.sigterm() if self.is_running() else self.process.returncode
            if status != self.expected_status:
                problems.append(f"{self.name} exited with {status}, not {self.expected_status}")
        except AssertionError as error:
            problems.append(str(error))
            self.process.kill()
            self.process.wait(10)
        problems += [f"in {self.name}'s log: {line}" for line in BAD_LOG.findall(self.log)[:5]]
        return problems

    def remove(self):
        remove_tree(self.dir)

    def rss(self):
        """Resident memory in bytes."""
        pages = int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    # --- talking -----------------------------------------------------------------------------

    def client(self, **options):
        """A redis-py client."""
        options.setdefault("socket_timeout", 20)
        return redis.Redis(host="127.0.0.1", port=self.port, **options)

    def raw(self, timeout=20):
        return RawClient(("127.0.0.1", self.port), timeout)

    def cli(self, *args, stdin=None, check=True, timeout=30, text=True):
        """redis-cli; returns what it printed."""
        encoding = {"encoding": "utf8", "errors": "surrogateescape"} if text else {}
        if stdin is None:
            encoding["stdin"] = subprocess.DEVNULL
        else:
            encoding["input"] = stdin
        done = subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", str(self.port),
                               *map(str, args)], capture_output=True, env=clean_environ(),
                              timeout=timeout, check=False, **encoding)
        assert not check or done.returncode == 0, \
            f"redis-cli {args}: status {done.returncode}, {done.stdout!r} {done.stderr!r}"
        return done.stdout

    def info(self, section=""):
        return self.client().info(section) if section else self.client().info()

    def url(self, db=0):
        return f"redis://127.0.0.1:{self.port}/{db}"


class Respgres(Server):
    """`options` become flags. `config` is the text of a configuration file, named first."""

    name = "respgres"

    def __init__(self, database_url=None, options=None, env=None, config=None):
        super().__init__({"bind": "127.0.0.1", "http-port": 0, **(options or {})}, env)
        if database_url is not None:
            self.options["database-url"] = database_url
        self.program = None  # where it is not binary()
        self.config_path = None
        if config is not None:
            self.config_path = self.dir / "respgres.conf"
            self.config_path.write_text(config)

    @staticmethod
    def binary():
        path = pathlib.Path(os.environ.get("RESPGRES_BIN") or TOP / "build-asan" / "respgres")
        assert path.is_file(), f"{path} does not exist: build it, or set RESPGRES_BIN"
        return path.resolve()

    def command_line(self):
        line = [self.program or self.binary()]
        if self.config_path:
            line.append(self.config_path)
        for name, value in self.options.items():
            line += [f"--{name}", value]
        return line


class RedisServer(Server):
    """The real one, without persistence."""

    name = "redis-server"

    def __init__(self, options=None):
        super().__init__({"bind": "127.0.0.1", "save": "", "appendonly": "no",
                          **(options or {})})

    def command_line(self):
        line = ["redis-server"]
        for name, value in self.options.items():
            line += [f"--{name}", value]
        return line


def later(*servers):
    """Returns when what comes now is later by each one's clock: they follow PostgreSQL's, and say how far
    they may be off."""
    errors = [server.info("postgres")["postgres_clock_error_us"] for server in servers]
    time.sleep((sum(errors) + 1000) / 1e6)
