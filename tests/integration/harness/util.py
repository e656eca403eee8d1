"""Small things that everything else uses."""

import collections
import os
import pathlib
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[3]

_ports = random.SystemRandom()
_claims = collections.deque(maxlen=400)  # a socket each


def wait_until(condition, timeout=30.0, what="", interval=0.01):
    """Polls until `condition()` is true and returns its value; fails if it is not when it is looked at
    after `timeout` seconds. (A look that began before may be of long ago: whoever looks can be stopped.)"""
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() > deadline
        value = condition()
        if value:
            return value
        if late:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(interval)


class Lifetime:
    """Of a key that is about to be given so many seconds: how many are left."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.began = time.monotonic()

    def may_be(self, ttl):
        """Whether that is a time to live that can be told now."""
        return self.seconds - (time.monotonic() - self.began) - 1 <= ttl <= self.seconds


def _claim(port):
    """No other test process is given it: the name of a socket is the claim, and goes with this process."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0respgres-tests-port-{port}")
    except OSError:
        name.close()
        return False
    if len(_claims) == _claims.maxlen:
        _claims[0].close()
    _claims.append(name)
    return True


def free_port():
    """A port that is free now on 127.0.0.1, and that no test draws soon. Somebody else may take it: callers
    that can, try again. It lies below those that the kernel gives to clients, so that a server finds its
    port free again after a restart."""
    for _ in range(1000):
        port = _ports.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if _claim(port):
            return port
    raise AssertionError("no free port")


def tail(path, lines=60):
    try:
        text = pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def clean_environ(**extra):
    """The environment without what would redirect a client or server of ours."""
    prefixes = ("PG", "DATABASE_URL", "RESPGRES_CONF_", "REDIS", "REDISCLI")
    env = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
    env["LC_ALL"] = "C.UTF-8"
    env.update(extra)
    return env


def postgres_owner():
    """The user that PostgreSQL must run as where this is root, else None."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


def make_temp_dir(owner=None):
    """A temporary folder with a short path, which `owner` (of pwd) can enter."""
    for parent in (tempfile.gettempdir(), "/tmp"):
        if len(parent) <= 40 and (owner is None or can_enter(owner, parent)):
            break
    path = pathlib.Path(tempfile.mkdtemp(prefix="respgres-", dir=parent))
    path.chmod(0o755)
    return path


def can_enter(owner, path):
    return subprocess.run(["test", "-x", path], user=owner.pw_uid, group=owner.pw_gid,
                          extra_groups=[], check=False).returncode == 0


def remove_tree(path):
    shutil.rmtree(path, ignore_errors=True)


def process_state(pid):
    """(state letter, parent's pid) from /proc, or None where there is no such process."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state, int(parent)


def is_alive(pid):
    state = process_state(pid)
    return state is not None and state[0] not in "ZX"


def children_of(pid):
    """The pids of a process' children."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            state = process_state(entry.name)
            if state and state[1] == pid:
                found.append(int(entry.name))
    return found
