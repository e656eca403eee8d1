"""respgres --exec -- COMMAND: an application and its respgres with one start command."""

import datetime
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pytest
import redis

from harness import Proxy, free_port, wait_until
from harness.servers import SANITIZERS, Respgres
from harness.util import children_of, clean_environ, is_alive

pytestmark = pytest.mark.rows
TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """What is started here keeps its journal where it runs."""
    monkeypatch.chdir(tmp_path)


# The application: does what its argument says, with the respgres of its environment.
PREAMBLE = "import json, os, redis, signal, sys, time\nr = redis.from_url(os.environ['REDIS_URL'])\n" \
    "def ready():\n" \
    "    for _ in range(600):\n" \
    "        try:\n" \
    "            return r.set('probe', 1)\n" \
    "        except redis.RedisError: time.sleep(0.05)\n" \
    "    sys.exit(99)\n"


class Running:
    """respgres with a command, its output kept."""

    def __init__(self, lab, database, command, *flags, env=None, wrapper=()):
        url = getattr(database, "url", database)
        environ = clean_environ(**SANITIZERS, **({"DATABASE_URL": url} if url else {}),
                                **(env or {}))
        self.log = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would stop the command
        self.process = lab.process(
            [*wrapper, Respgres.binary(), *flags, "--exec", "--", *command], env=environ,
            stdout=subprocess.PIPE, stderr=self.log, text=True)

    def end(self, timeout=40):
        """(exit status, stdout, stderr)"""
        out, _ = self.process.communicate(timeout=timeout)
        err = self.log_text()
        assert "ERROR: AddressSanitizer" not in err and "runtime error" not in err, err
        return self.process.returncode, out, err

    def log_text(self):
        return os.pread(self.log.fileno(), 1 << 24, 0).decode()

    def line(self):
        return self.process.stdout.readline().rstrip("\n")


def python(text, *args):
    return [sys.executable, "-c", PREAMBLE + text, *args]


def test_the_child_finds_respgres_in_its_redis_url(lab, database):
    running = Running(lab, database, python(
        "ready()\nr.setex('session:1', 100, 'ada')\n"
        "folder = os.path.dirname(os.environ['REDIS_URL'].removeprefix('unix://'))\n"
        "print(json.dumps([folder, os.stat(folder).st_mode & 0o777]))\n"
        "sys.exit(5)"))
    status, out, log = running.end()
    assert status == 5, log
    folder, mode = json.loads(out)
    assert mode == 0o700
    assert not os.path.exists(folder), "it is removed in the end"
    assert database.row("session:1").value == b"ada"
    assert "address=" not in log, "nothing listens on TCP"


@pytest.mark.parametrize("command, status", [
    (["sh", "-c", "exit 0"], 0), (["sh", "-c", "exit 42"], 42), (["sh", "-c", "kill -9 $$"], 137),
    (["sh", "-c", "kill -TERM $$"], 143), (["/nowhere/no-such-program"], 127), (["/etc/passwd"], 126),
])
def test_the_exit_code_is_the_childs(lab, database, command, status):
    assert Running(lab, database, command).end()[0] == status


def test_words_behind_exec_are_the_commands(lab, database):
    """Those that respgres would know, too; and without the two dashes."""
    status, out, _ = Running(lab, database, ["sh", "-c", "echo $0 $*", "--version", "--port", "7"]).end()
    assert (status, out) == (0, "--version --port 7\n")


def test_sigterm_ends_the_child_first(lab, database):
    """What it writes while it ends is kept."""
    running = Running(lab, database, python(
        "def end(*_):\n    time.sleep(0.3)\n    r.set('last', 'words')\n    sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, end)\nready()\nprint('up', flush=True)\ntime.sleep(100)"))
    assert running.line() == "up"
    running.process.send_signal(signal.SIGTERM)
    assert running.end()[0] == 7
    assert database.row("last").value == b"words"


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "USR2", "TTIN", "TTOU", "WINCH"])
def test_signals_are_passed_on(lab, database, name):
    """Those that gunicorn knows, for instance."""
    running = Running(lab, database, python(
        # (Not print: it cannot be entered again where the signal comes in the middle of another.)
        f"import os\n"
        f"def on(number, _):\n    os.write(1, signal.Signals(number).name.encode() + b'\\n')\n"
        f"    sys.exit(3)\n"
        f"signal.signal(signal.SIG{name}, on)\nprint('up', flush=True)\n"
        f"for _ in range(1000): time.sleep(0.05)"))
    assert running.line() == "up"
    running.process.send_signal(getattr(signal, "SIG" + name))
    assert running.line() == "SIG" + name
    assert running.end()[0] == 3


def test_the_child_starts_with_plain_signals_and_few_files(lab, database):
    """Nothing ignored or blocked, no descriptor of ours."""
    _, out, _ = Running(lab, database, [
        # (A shell blocks signals itself for a moment when it starts a program.)
        "sh", "-c", "ls /proc/$$/fd; exec grep -E 'Sig(Blk|Ign)' /proc/self/status"]).end()
    lines = out.split()
    assert [x for x in lines if x.isdigit() and int(x) > 2 and len(x) < 5] == []
    assert lines[lines.index("SigBlk:") + 1] == "0" * 16
    assert lines[lines.index("SigIgn:") + 1] == "0" * 16


def test_when_respgres_is_killed_the_child_ends(lab, database):
    running = Running(lab, database, ["sh", "-c", "echo $$; exec sleep 100"])
    child = int(running.line())
    running.process.kill()
    wait_until(lambda: not is_alive(child), what="the child is gone")


def test_shutdown_by_a_client_ends_the_child_first(lab, database):
    running = Running(lab, database, python(
        "signal.signal(signal.SIGTERM, lambda *_: (print('term', flush=True), sys.exit(0)))\nready()\n"
        "other = redis.from_url(os.environ['REDIS_URL'])\n"
        "try:\n    other.shutdown()\nexcept redis.RedisError: pass\ntime.sleep(100)"))
    status, out, log = running.end()
    assert (status, out) == (0, "term\n"), log


def test_a_schema_that_cannot_be_served_starts_no_child(lab, respgres, database):
    assert respgres.sigterm() == 0
    database.execute("UPDATE respgres.meta SET version = 9999, least_binary = 9999")
    status, _, log = Running(lab, database, ["touch", "started"]).end()
    assert status == 1
    assert "9999" in log and "event=child-started" not in log
    assert not os.path.exists("started")


def test_a_schema_that_cannot_be_served_ends_the_child(lab, respgres, database):
    """One that is met when the command runs already."""
    assert respgres.sigterm() == 0
    database.execute("UPDATE respgres.meta SET version = 9999, least_binary = 9999")
    with Proxy(("127.0.0.1", database.postgres.port)) as proxy:
        proxy.refuse()
        running = Running(lab, url_through(proxy, database), ["sh", "-c", "echo up; exec sleep 100"],
                          "--pg-timeout", "1s")
        assert running.line() == "up"
        proxy.pass_on()
        status, _, log = running.end()
    assert status == 1
    assert "9999" in log and "event=child-ended" in log


# --- when it starts ------------------------------------------------------------------------------

def url_through(proxy, database):
    return database.url_by(port=proxy.port)


def test_the_first_command_is_served(lab, respgres, database):
    """However far away PostgreSQL is: no LOADING, and not from memory."""
    assert respgres.sigterm() == 0  # the schema is there
    with Proxy(("127.0.0.1", database.postgres.port)) as proxy:
        proxy.delay(0.1)
        running = Running(lab, url_through(proxy, database), python("r.set('first', 'words')"),
                          "--pg-timeout", "20s")
        status, _, log = running.end()
    assert status == 0, log
    assert log.index("event=state from=starting to=online") < log.index("event=child-started")
    assert database.row("first").value == b"words"


def test_a_silent_postgresql_is_not_waited_for(lab, database):
    """5 s, whatever pg-timeout is."""
    with Proxy(("127.0.0.1", database.postgres.port)) as proxy:
        proxy.blackhole()
        begun = time.monotonic()
        running = Running(lab, url_through(proxy, database), ["sh", "-c", "echo up"], "--pg-timeout", "60s",
                          "--shutdown-timeout", "2s")
        assert running.line() == "up"
        assert 4.9 < time.monotonic() - begun < 40
        assert "to=" not in running.log_text().partition("event=child-started")[0]
        assert running.end()[0] == 0


NOBODY = "postgresql://nobody@127.0.0.1:1/none"


def seconds_to_the_child(log):
    """From the first line of the log to the start of the child, which has its own time to take."""
    first, child = (datetime.datetime.fromisoformat(re.search(rf"^time=(\S+)Z {words}", log, re.MULTILINE)[1])
                    for words in ("", ".*event=child-started"))
    return (child - first).total_seconds()


def test_one_that_is_away_is_not_waited_for(lab, database):
    """As soon as that is known, here after pg-timeout, it is served from memory: that of an earlier run."""
    assert Running(lab, database, python("ready()")).end()[0] == 0
    running = Running(lab, NOBODY, python("print(r.get('probe'))"), "--pg-timeout", "300ms")
    status, out, log = running.end()
    assert (status, out) == (0, "b'1'\n"), log
    assert log.index("to=away") < log.index("event=child-started")
    assert seconds_to_the_child(log) < 4.9


def test_without_postgresql_it_starts_at_once(lab):
    status, _, log = Running(lab, None, ["true"], "--standalone", "yes").end()
    assert status == 0
    assert seconds_to_the_child(log) < 4.9, log


def test_sigterm_before_the_start(lab, database):
    with Proxy(("127.0.0.1", database.postgres.port)) as proxy:
        proxy.blackhole()
        running = Running(lab, url_through(proxy, database), ["touch", "started"], "--pg-timeout", "60s",
                          "--shutdown-timeout", "2s")
        wait_until(lambda: "event=started" in running.log_text())
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 0
    assert not os.path.exists("started")


# --- its journal ---------------------------------------------------------------------------------

def folders():
    return [path.name for path in pathlib.Path().iterdir() if path.is_dir()]


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_the_next_start_merges_the_journal(lab, database, kind):
    """Although the port is another one."""
    with Proxy(("127.0.0.1", database.postgres.port)) as proxy:
        away = Running(lab, url_through(proxy, database), python(
            "ready()\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\nprint('up', flush=True)\n"
            "signal.sigwait([signal.SIGUSR1])\nr.set('k', 'kept')"), "--exec-url", kind, "--pg-timeout", "1s",
            "--shutdown-timeout", "2s")
        assert away.line() == "up"
        proxy.refuse()
        proxy.cut()
        away.process.send_signal(signal.SIGUSR1)
        status, _, log = away.end()
    assert status == 1 and "the next start merges it" in log, log
    (folder,) = folders()
    assert folder.endswith(":exec")
    status, _, log = Running(lab, database, ["true"], "--exec-url", kind, "--pg-timeout", "10s").end()
    assert status == 0, log
    assert database.row("k").value == b"kept"
    assert folders() == [folder]


def test_two_of_one_folder_need_names(lab, database):
    first = Running(lab, database, ["sh", "-c", "echo up; exec sleep 100"])
    assert first.line() == "up"
    status, _, log = Running(lab, database, ["true"]).end()
    assert status == 1 and "two with --exec on one host" in log and "instance-name" in log
    assert Running(lab, database, ["true"], "--instance-name", "other").end()[0] == 0
    first.process.send_signal(signal.SIGTERM)
    assert first.end()[0] == 143


def test_a_port_that_was_chosen_is_part_of_the_name(lab, database):
    port = free_port()
    assert Running(lab, database, ["true"], "--port", str(port)).end()[0] == 0
    (folder,) = folders()
    assert folder.endswith(f":{port}")


def test_tcp_is_for_clients_without_unix_sockets(lab, database):
    """A port of 127.0.0.1 and a password nobody else knows."""
    running = Running(lab, database, python(
        "ready()\nr.set('k', 'v')\n"
        "print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('REDIS_')}), flush=True)\n"
        "signal.sigwait([signal.SIGUSR1])"), "--exec-url", "tcp", env={"REDIS_HOST": "old.example"})
    env = json.loads(running.line())
    password = env["REDIS_PASSWORD"]
    assert len(password) == 32
    assert env == {"REDIS_URL": f"redis://:{password}@127.0.0.1:{env['REDIS_PORT']}/0",
                   "REDIS_HOST": "127.0.0.1", "REDIS_PORT": env["REDIS_PORT"],
                   "REDIS_PASSWORD": password}
    stranger = redis.Redis(port=int(env["REDIS_PORT"]))
    with pytest.raises(redis.AuthenticationError):
        stranger.get("k")
    assert redis.Redis(port=int(env["REDIS_PORT"]), password=password).get("k") == b"v"
    running.process.send_signal(signal.SIGTERM)
    status, _, log = running.end()
    assert status == 143
    assert password not in log


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_password_of_ones_own_stands_in_the_url(lab, database, kind):
    secret = "p@ss/w:rd?% ü"
    running = Running(lab, database, python("ready()\nprint(r.ping())"), "--exec-url=" + kind,
                      env={"RESPGRES_CONF_REQUIREPASS": secret})
    status, out, log = running.end()
    assert (status, out) == (0, "True\n"), log
    assert secret not in log


def test_a_port_given_as_well_is_opened(lab, database):
    port = free_port()
    running = Running(lab, database, python("ready()\nprint('up', flush=True)\ntime.sleep(100)"),
                      "--port", str(port))
    assert running.line() == "up"
    assert redis.Redis(port=port).get("probe") == b"1"
    running.process.send_signal(signal.SIGTERM)
    assert running.end()[0] == 143


@pytest.mark.parametrize("arguments, words", [
    (["--exec"], "needs a command"), (["--exec", "--"], "needs a command"),
    (["--exec-url", "carrier-pigeon", "--exec", "--", "true"], "unix or tcp"),
    (["--exec-url", "tcp"], "is for --exec"),
    (["--nonsense", "1", "--exec", "--", "touch", "started"], "nonsense"),
    (["--exec", "--", "touch", "started"], "DATABASE_URL"),
    (["--unixsocket", "", "--port", str(free_port()), "--database-url", "postgresql://h/d",
      "--fallback", "off", "--exec", "--", "touch", "started"], "unixsocket is turned off"),
    (["--exec-url", "tcp", "--port", "0", "--unixsocket", "s", "--database-url", "postgresql://h/d",
      "--fallback", "off", "--exec", "--", "touch", "started"], "port is turned off"),
])
def test_what_cannot_start_says_why(tmp_path, arguments, words):
    done = subprocess.run([Respgres.binary(), *arguments], capture_output=True, text=True, timeout=20,
                          env=clean_environ(**SANITIZERS, TMPDIR=str(tmp_path)), cwd=tmp_path,
                          check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == [], "no child was started, and no folder is left"


needs_namespaces = pytest.mark.skipif(
    subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], check=False,
                   stderr=subprocess.DEVNULL).returncode != 0,
    reason="a process 1 needs a PID namespace, which this user may not make")
AS_PROCESS_1 = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@needs_namespaces
def test_as_process_1_it_reaps_what_the_child_leaves(lab, database):
    """Grandchildren that lost their parent become ours and must not stay as zombies."""
    running = Running(lab, database, [
        "sh", "-c", "for i in 1 2 3 4 5; do sh -c 'sleep 0.1 & :'; done;"
        # Until nobody but this shell is a child of ours, or for half a minute.
        " for i in $(seq 300); do [ $(grep -lx 'PPid:.1' /proc/[0-9]*/status | wc -l) = 1 ] && break;"
        " sleep 0.1; done; cat /proc/1/comm; grep -c '^State:.Z' /proc/[0-9]*/status | grep -v ':0$'; exit 9"],
        wrapper=AS_PROCESS_1)
    status, out, log = running.end()
    assert (status, out) == (9, "respgres\n"), log


@needs_namespaces
def test_as_process_1_without_a_child_it_reaps_too(lab, database, tmp_path):
    """`docker exec` leaves such processes."""
    port = free_port()
    server = lab.process(
        [*AS_PROCESS_1, Respgres.binary(), "--port", str(port)], stderr=subprocess.DEVNULL,
        env=clean_environ(**SANITIZERS, DATABASE_URL=database.url))
    client = redis.Redis(port=port)
    wait_until(lambda: pings(client), 30, "it answers")
    inside = child_of(server.pid)
    done = subprocess.run(["nsenter", "--target", str(inside), "--pid", "--mount", "sh", "-c",
                           "sh -c 'sleep 0.1 & :'; grep -lx 'PPid:.1' /proc/[0-9]*/status"],
                          capture_output=True, text=True, check=False, timeout=20)
    assert done.stdout, "it has become a child of process 1"
    wait_until(lambda: children_of(inside) == [], what="it is reaped")
    os.kill(inside, signal.SIGTERM)
    assert server.wait(20) == 0


def pings(client):
    try:
        return client.ping()
    except redis.RedisError:
        return False


def child_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_at_a_terminal(lab, database):
    """The command has the terminal: it reads from it, Ctrl-C is for it alone, and the terminal is
    given back."""
    pid, terminal = pty.fork()
    if pid == 0:
        env = clean_environ(**SANITIZERS, DATABASE_URL=database.url)
        # As from a shell: the respgres is a job of a session that goes on.
        os.execvpe("sh", ["sh", "-c", f"{Respgres.binary()} --exec -- {sys.executable} -c "
                          "'try:\n print(\"got \" + input())\n input()\nexcept KeyboardInterrupt: "
                          "print(\"interrupted\"); raise SystemExit(5)' 2>/dev/null; echo status $?; "
                          "read line; echo again $line"], env)
    seen = b""

    def until(words):
        nonlocal seen
        while words not in seen:
            seen += os.read(terminal, 4096)

    os.write(terminal, b"hello\n")
    until(b"got hello")
    os.write(terminal, b"\x03")
    until(b"interrupted")
    until(b"status 5")
    os.write(terminal, b"shell\n")
    until(b"again shell")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(terminal)


def test_gunicorn_and_flask(lab, database):
    """The example of the documentation: one command, sessions in PostgreSQL, a clean end."""
    port = free_port()
    running = Running(lab, database, [
        sys.executable, "-m", "gunicorn", "--chdir", str(TOP / "examples/flask"), "--workers", "2",
        "--bind", f"127.0.0.1:{port}", "app:app"])
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def ask(path, form=None):
        try:
            with browser.open(f"http://127.0.0.1:{port}{path}", form, timeout=20) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            return b"status " + str(error.code).encode()
        except OSError:
            return None

    try:
        wait_until(lambda: ask("/login", b"user=ada") == b"hello ada\n", 40, interval=0.2)
    except AssertionError as error:
        raise AssertionError(f"nobody can log in\n{running.log_text()}") from error
    assert ask("/") == b"ada, visit 1\n"
    running.process.send_signal(signal.SIGTERM)
    status, _, log = running.end()
    assert status == 0, log
    assert len([key for key in database.live() if key.startswith(b"session:")]) == 1
