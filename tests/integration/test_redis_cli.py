"""redis-cli in each of its modes, against respgres and against the real redis-server: it says the same
but for the numbers."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from harness import encode, wait_until
from harness.util import clean_environ

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[78=>]")


@pytest.fixture(scope="module")
def servers(module_lab):
    """respgres and Redis, with the same keys."""
    pair = module_lab.respgres(module_lab.database()), module_lab.redis()
    for server in pair:
        fill(server.client())
    return pair


def fill(client):
    client.flushall()
    client.mset({f"session:{i}": "x" * (i + 1) for i in range(30)})
    client.set("number", 17, ex=1000)
    client.set(b"with\x00nul", b"\xff\x00")


def cli(server, *args, stdin=None, timeout=60):
    """(exit status, what it printed on both its outputs)."""
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run(
        ["redis-cli", "-h", "127.0.0.1", "-p", str(server.port), *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environ(), timeout=timeout,
        check=False, **given)
    return done.returncode, done.stdout.decode("utf8", "surrogateescape")


def both(servers, *args, **options):
    """What it printed for respgres; for Redis it was the same but for numbers."""
    ours, real = (cli(server, *args, **options) for server in servers)
    assert ours[0] == real[0]
    assert shape(ours[1]) == shape(real[1])
    return ours[1]


def shape(text):
    """Without numbers, terminal codes and the width of columns."""
    text = re.sub(r"\d+(\.\d+)?", "N", ESCAPES.sub("", text).replace("\r", "\n"))
    text = re.sub(r"N[BKMG]\b", "N", text)
    return re.sub(r"[ \t]+", " ", text).strip()


def endless(server, *args, until, timeout=40):
    """Of a mode that goes on for ever: what it has printed when `until`(text) is true."""
    process = subprocess.Popen(
        ["stdbuf", "-oL", "redis-cli", "-h", "127.0.0.1", "-p", str(server.port), *map(str, args)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=clean_environ())
    text = ""
    deadline = time.monotonic() + timeout
    try:
        while not until(text) and process.poll() is None:
            assert time.monotonic() < deadline, text
            if select.select([process.stdout], [], [], 0.2)[0]:
                text += os.read(process.stdout.fileno(), 65536).decode()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert until(text), text
    return text


# --- one command ---------------------------------------------------------------------------------

FORMATS = [[], ["-3"], ["--no-raw"], ["--raw"], ["--csv"], ["--json"], ["-3", "--json"], ["--quoted-json"],
           ["-2", "--json"], ["-3", "--no-raw"], ["-D", "|"]]
SAMPLES = [["GET", "session:3"], ["GET", "none"], ["MGET", "session:1", "none"], ["GET", "with\\x00nul"],
           ["CONFIG", "GET", "databases"], ["SET", "session:3", "xxxx"], ["STRLEN", "session:3"],
           ["NOSUCH"], ["GET"], ["TYPE", "none"], ["COMMAND", "GETKEYSANDFLAGS", "set", "k", "v"],
           ["CLIENT", "TRACKINGINFO"], ["LCS", "session:4", "session:6", "IDX"], ["PING"],
           ["COMMAND", "INFO", "get"], ["EXISTS", "session:1"], ["MEMORY", "HELP"]]


@pytest.mark.parametrize("form", FORMATS, ids=" ".join)
def test_formats_of_output(servers, form):
    for words in SAMPLES:
        ours, real = (cli(server, *form, *words) for server in servers)
        assert ours == real


def test_options(servers):
    both(servers, "-n", "3", "SET", "k", "v")
    assert both(servers, "-n", "3", "GET", "k") == "v\n"
    assert both(servers, "-r", "3", "-i", "0.01", "PING") == "PONG\n" * 3
    assert both(servers, "-x", "SET", "x", stdin=b"a\0b") == "OK\n"
    assert both(servers, "-X", "tag", "SET", "x", "tag", stdin=b"y") == "OK\n"
    assert cli(servers[0], "-e", "NOSUCH")[0] == cli(servers[1], "-e", "NOSUCH")[0] != 0
    for server in servers:
        url = f"redis://127.0.0.1:{server.port}/3"
        done = subprocess.run(["redis-cli", "-u", url, "GET", "k"], capture_output=True, check=True)
        assert done.stdout == b"v\n"
    both(servers, "-a", "wrong", "PING")
    both(servers, "--user", "nobody", "--pass", "x", "--no-auth-warning", "PING")
    both(servers, "-n", "99", "PING")
    both(servers, "-n", "3", "DEL", "k", "x")
    both(servers, "DEL", "x")


def test_commands_from_a_pipe(servers):
    lines = b"SET a 1\nINCR a\nGET a\nNOSUCH x\nMULTI\nGET a\nEXEC\nSELECT 3\nDBSIZE\n4 PING\nDEL a\nquit\n"
    both(servers, stdin=lines)
    both(servers, "-3", stdin=b"HELLO 3\nCONFIG GET databases\nGET none\n")
    both(servers, "DEL", "a")


# --- the keys ------------------------------------------------------------------------------------

def test_scan(servers):
    for args in ([], ["--pattern", "session:1*"], ["--quoted-pattern", '"with\\x00*"'],
                 ["--pattern", "nothing*"]):
        ours, real = (cli(server, "--scan", *args) for server in servers)
        assert ours[0] == real[0] == 0
        assert sorted(ours[1].splitlines()) == sorted(real[1].splitlines())


@pytest.mark.parametrize("mode", [["--bigkeys"], ["--memkeys"], ["--memkeys", "--memkeys-samples", "0"],
                                  ["--bigkeys", "-i", "0.001"]], ids=" ".join)
def test_bigkeys(servers, mode):
    """The order of keys is each server's own, so only the summary is the same."""
    summaries = []
    for server in servers:
        status, text = cli(server, *mode)
        assert status == 0
        summaries.append(text.partition("-------- summary")[2])
    assert "Biggest string found '\"session:29\"'" in summaries[0]
    assert shape(summaries[0]) == shape(summaries[1])


def test_hotkeys_is_refused(servers):
    assert "LFU" in both(servers, "--hotkeys")


# --- the server ----------------------------------------------------------------------------------

def test_stat(servers):
    """Each second a line."""
    def enough(text):
        return text.count("\n") >= 4
    columns = []
    for server in servers:
        lines = endless(server, "--stat", "-i", "0.1", until=enough).splitlines()
        assert lines[1].split() == ["keys", "mem", "clients", "blocked", "requests", "connections"]
        columns.append(shape(lines[3]))
        assert lines[3].split()[0] == "32"
    assert columns[0] == columns[1]


def test_latency(servers):
    both(servers, "--latency", "-i", "0.3")
    both(servers, "--latency", "--csv", "-i", "0.3")
    def two_lines(text):
        return text.count("\n") >= 2
    history = [endless(s, "--latency-history", "-i", "0.2", until=two_lines) for s in servers]
    assert [shape(text.splitlines()[0]) for text in history][0] == \
        [shape(text.splitlines()[0]) for text in history][1]


def test_latency_dist(servers):
    """Colours on a terminal; it asks with PING."""
    for server in servers:
        text = endless(server, "--latency-dist", "-i", "0.2", until=lambda t: "From 0 to 100%" in t)
        assert "milliseconds" in text


def test_lru_test(module_lab, servers):
    del servers
    pair = module_lab.respgres(module_lab.database()), module_lab.redis()
    texts = [endless(s, "--lru-test", "1000", until=lambda t: "Hits" in t) for s in pair]
    lines = [shape(text.splitlines()[-1]) for text in texts]
    assert lines[0] == lines[1]


def test_intrinsic_latency():
    """Asks no server."""
    done = subprocess.run(["redis-cli", "-p", "1", "--intrinsic-latency", "1"], capture_output=True,
                          text=True, check=False, timeout=30)
    assert "Max latency so far" in done.stdout


def test_monitor(servers):
    texts = []
    for server in servers:
        client = server.client()
        words = [["SET", "k", "a b"], ["GET", b"\x00\xff\"\\"], ["CONFIG", "GET", "save"], ["DEL", "k"],
                 ["SELECT", "2"], ["SELECT", "99"], ["MULTI"], ["SELECT", "1"], ["SET", "m", "1"],
                 ["NOSUCH"], ["DISCARD"], ["MULTI"], ["SELECT", "1"], ["GET", "m"], ["PING"], ["EXEC"],
                 ["AUTH", "user", "secret"], ["GET"], ["EVIL"], ["INCR", "last"]]

        said = []

        def talk(text, server=server, words=words, said=said):
            if text.startswith("OK") and not said:
                said.append(True)
                with server.raw() as raw:
                    for command in words:
                        raw.command(*command)
            return text.count('"last"') >= 1
        text = endless(server, "MONITOR", until=talk)
        client.flushall()
        fill(client)
        texts.append([re.sub(r"^[\d.]+ \[(\d+) [\d.]+:\d+\]", r"[\1]", line)
                      for line in text.splitlines()])
    assert texts[0] == texts[1]
    assert texts[0][1] == '[0] "SET" "k" "a b"'


# --- a million commands ---------------------------------------------------------------------------

def mass(n):
    return b"".join(encode("SET", f"mass:{i}", "v") for i in range(n))


def check_pipe(servers, n):
    commands = mass(n)
    text = both(servers, "--pipe", stdin=commands, timeout=600)
    assert f"errors: 0, replies: {n}\n" in text
    for server in servers:
        assert server.client().get(f"mass:{n - 1}") == b"v"
        server.client().flushall()
        fill(server.client())


def test_pipe(servers):
    check_pipe(servers, 50000)


@pytest.mark.long
def test_pipe_of_a_million(servers):
    check_pipe(servers, 1000000)


def test_pipe_with_errors_and_inline_commands(servers):
    text = both(servers, "--pipe", stdin=b"SET a 1\r\nNOSUCH\r\nGET\r\nPING\r\nDEL a\r\n")
    assert "errors: 2, replies: 5" in text


# --- on a terminal -------------------------------------------------------------------------------

class Terminal:
    """redis-cli on a pseudo-terminal of 200 columns."""

    def __init__(self, server, *args):
        self.process, self.fd = pty.fork()
        if self.process == 0:
            os.execvpe("redis-cli", ["redis-cli", "-h", "127.0.0.1", "-p", str(server.port), *args],
                       {**clean_environ(), "TERM": "xterm", "REDISCLI_HISTFILE": "/dev/null"})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self.text = ""
        self.prompt = f"127.0.0.1:{server.port}> "

    def __enter__(self):
        self.wait_for(self.prompt)
        return self

    def __exit__(self, *_):
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.fd)

    def read(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        try:
            self.text += os.read(self.fd, 65536).decode("utf8", "replace")
        except OSError:
            return False
        return True

    def wait_until(self, condition, timeout=40):
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, self.text
            self.read(0.2)

    def wait_for(self, what):
        self.wait_until(lambda: what in ESCAPES.sub("", self.text))

    def picture(self):
        """The last line as it stands there."""
        return ESCAPES.sub("", self.text.replace("\r", "\n")).strip("\n").split("\n")[-1]

    def hint(self, typed):
        """What stands behind the cursor once a line has been typed: the last picture of the line."""
        self.text = ""
        for c in typed:
            os.write(self.fd, c.encode())
            self.read(2)
        self.wait_until(lambda: self.picture().startswith(self.prompt + typed))
        while self.read(0.1):
            pass
        line = self.picture()
        os.write(self.fd, b"\x15")  # ^U: the line is empty again
        self.wait_until(lambda: self.picture().strip() == self.prompt.strip())
        return line.replace(self.prompt, "")

    def ask(self, line):
        """What it prints between the line and the next prompt, which is (TX) and [3] richer at times."""
        self.text = ""
        os.write(self.fd, line.encode() + b"\r")
        prompt = re.compile(re.escape(self.prompt.rstrip("> ")) + r"(\(TX\)|\[\d+\])*> ?")
        self.wait_until(lambda: "\n" in self.text and prompt.fullmatch(self.picture()))
        lines = ESCAPES.sub("", self.text).replace("\r", "\n").split("\n")
        return [text for text in lines if text and self.prompt.strip() not in text]


HINTED = ["get ", "set k ", "expire k ", "mget ", "client id ", "client pause ", "config set ",
          "object encoding ", "nosuch ", "bitop ", "copy a b ", "getrange k 1 "]


def test_hints_while_typing(servers):
    """From COMMAND DOCS, as soon as the name is complete."""
    hints = []
    for server in servers:
        with Terminal(server) as terminal:
            hints.append([terminal.hint(typed) for typed in HINTED])
    assert hints[0] == hints[1]
    assert hints[0][0] == "get key"
    assert "milliseconds" in hints[0][1]


def test_a_session_on_a_terminal(servers):
    lines = ["SET k v", "GET k", "CONFIG GET databases", "NOSUCH", "MULTI", "SET k w", "GET k", "EXEC",
             "SELECT 0", "OBJECT ENCODING k", "HELLO 3", "CONFIG GET databases", "GET none", "DEL k"]
    sessions = []
    for server in servers:
        with Terminal(server) as terminal:
            # In MULTI and in another database the prompt is another one: asked without it.
            terminal.prompt = f"127.0.0.1:{server.port}"
            said = []
            for line in lines:
                said += [text for text in terminal.ask(line) if text != line and '"id"' not in text]
        sessions.append(said)
    assert sessions[0] == sessions[1]
    assert '"v"' in sessions[0]


def test_help_on_a_terminal(servers):
    """The summary of a command is ours, the rest is as Redis says it."""
    texts = []
    for server in servers:
        with Terminal(server) as terminal:
            texts.append([line for line in terminal.ask("help get") if "summary" not in line])
    assert texts[0] == texts[1]
    assert "GET key" in "\n".join(texts[0])


# --- what there is not ---------------------------------------------------------------------------

@pytest.mark.parametrize("mode", [["--rdb", "/dev/null"], ["--functions-rdb", "/dev/null"], ["--replica"]],
                         ids=lambda mode: mode[0])
def test_replication_is_refused(servers, mode):
    """At once, and with words."""
    status, text = cli(servers[0], *mode, timeout=20)
    assert status != 0
    assert "replication is not supported" in text
    assert servers[0].client().ping()


def test_cluster_modes_are_refused(servers):
    for server in servers:
        assert "cluster" in cli(server, "--cluster", "check", f"127.0.0.1:{server.port}")[1]
    ours, real = (cli(s, "--cluster", "info", f"127.0.0.1:{s.port}") for s in servers)
    assert ours[0] == real[0] != 0
    assert shape(ours[1]) == shape(real[1])


def test_the_server_is_there_after_all_that(servers):
    for server in servers:
        wait_until(lambda server=server: server.client().ping(), what="it answers")
