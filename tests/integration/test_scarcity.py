"""Where the machine gives no more: memory, open files, room for the log. What a client decides about is
refused with an error; the server goes on, or, where a small piece of memory is missing, ends with a
message, and nothing that was acknowledged is lost."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import struct
import subprocess
import time

import pytest
import redis

from harness import Respgres, encode, wait_until

MB = 1 << 20


# --- memory --------------------------------------------------------------------------------------

class Starved:
    """A respgres whose allocations fail on order (tests/tools/fail_malloc.c)."""

    def __init__(self, lab, database, **options):
        program = Respgres.binary().parent / "tests" / "respgres_starved"
        if not program.is_file():
            pytest.skip("RESPGRES_BIN is not a build of this tree")
        self.server = lab.respgres(database, start=False, **options)
        self.server.program = program
        self._orders = self.server.dir / "starve"
        self.feed()
        self.server.env["RESPGRES_STARVE"] = str(self._orders)
        self.server.start()

    def starve(self, least, permille=1000, seed=1):
        """Of the requests of `least` bytes and more so many in a thousand fail from now on."""
        with open(self._orders, "r+b" if self._orders.exists() else "wb") as f:
            f.write(struct.pack("QQQ", least, permille, seed))

    def feed(self):
        self.starve(0, 0)


@pytest.fixture
def starved(lab, database):
    return Starved(lab, database)


def test_what_is_too_large_gets_an_error(starved):
    """No memory for anything of 300 kB and more: others and smaller things go on."""
    client = starved.server.client()
    client.set("large", b"v" * MB)
    client.set("small", b"w" * 1000)
    starved.starve(300_000)

    def told():
        """As with Redis, who is closed with bytes on the way may not get to see why."""
        with starved.server.raw() as raw, contextlib.suppress(ConnectionError):
            raw.send(encode("SET", "new", b"x" * MB))
            rest = raw.rest()
            assert rest in (b"", b"-ERR Protocol error: out of memory for this request\r\n")
            return rest
        return b""

    for _ in range(3):
        wait_until(told)  # the request itself does not fit
        with pytest.raises(redis.ResponseError, match="memory"):
            client.get("large")
        with pytest.raises(redis.ResponseError, match="memory"):
            client.append("large", "x")
        with pytest.raises(redis.ResponseError, match="memory"):
            client.setrange("small", 2 * MB, "x")
        with pytest.raises(redis.ResponseError, match="memory"):
            client.setbit("bits", 8 * MB * 2, 1)
        assert client.get("small") == b"w" * 1000
        assert client.incr("n")
        assert client.setrange("small", 0, "w") == 1000
    starved.feed()
    assert client.get("large") == b"v" * MB
    assert client.append("large", "x") == MB + 1
    assert client.exists("new", "bits") == 0 and client.get("n") == b"3"


def test_many_values_in_one_reply(starved):
    """The error stands where there was no memory; the reply is whole."""
    client = starved.server.client()
    for i in range(8):
        client.set(f"k{i}", bytes([65 + i]) * 100_000)
    starved.starve(300_000)
    with starved.server.raw() as raw:
        reply = raw.command("MGET", *[f"k{i}" for i in range(8)])
        assert reply.startswith(b"*8\r\n$100000\r\nA") and b"-OOM out of memory" in reply
        assert raw.command("ECHO", "still here") == b"$10\r\nstill here\r\n"
        assert raw.command("GET", "k7") == b"$100000\r\n%s\r\n" % (b"H" * 100_000)
    starved.feed()
    assert len(client.mget(*[f"k{i}" for i in range(8)])) == 8


def test_large_replies_that_are_not_taken(starved):
    """A client whose output cannot grow is closed; nobody else."""
    client = starved.server.client()
    client.set("k", b"v" * 200_000)
    with starved.server.raw() as raw:
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        starved.starve(300_000)
        raw.send(encode("GET", "k") * 200)
        wait_until(lambda: client.get("k"))
        received = raw.rest() if "client-out-of-memory" in starved.server.log else b""
        assert b"-" not in received
    starved.feed()
    assert client.strlen("k") == 200_000


def answers(server):
    try:
        return server.client(socket_timeout=5).ping()
    except (redis.ConnectionError, redis.TimeoutError):
        return False


@pytest.mark.parametrize("least, permille", [(1, 3), (200, 10), (4096, 50)])
def test_memory_fails_anywhere(starved, least, permille, seed):
    """Errors, or an end with a message; whatever was acknowledged is there afterwards."""
    server = starved.server
    acknowledged, deaths = {}, 0
    for attempt in range(3):
        starved.starve(least, permille, seed + attempt)
        try:
            with redis.Redis(port=server.port, socket_timeout=10) as client:
                for number in range(300):
                    key = f"k:{attempt}:{number}"
                    value = os.urandom(1 + number * 37)
                    try:
                        client.set(key, value)
                        acknowledged[key] = value
                        client.mget(key, "k:0:0", "k:1:1")
                    except redis.ResponseError as error:
                        assert "memory" in str(error)
        except (redis.ConnectionError, redis.TimeoutError):
            pass
        starved.feed()
        wait_until(lambda: server.process.poll() is not None or answers(server))
        if server.process.poll() is not None:
            deaths += 1
            assert server.process.returncode == -signal.SIGABRT
            assert "event=out-of-memory bytes=" in server.log
            server.start()
    print(f"{len(acknowledged)} acknowledged, {deaths} deaths")
    client = server.client()
    for key, value in acknowledged.items():
        assert client.get(key) == value


@pytest.mark.alone  # when every build is there
def test_a_limit_on_the_address_space(lab, database):
    """Real ENOMEM. A sanitizer's shadow would need terabytes, so this is the build without one."""
    program = Respgres.binary().parents[1] / "build-clang" / "respgres"
    if "asan" not in str(Respgres.binary()):
        program = Respgres.binary()
    if not program.is_file():
        pytest.skip("no build without sanitizers")
    server = lab.respgres(database, maxmemory="100mb", pg_timeout=50_000, start=False)
    server.program = program
    server.before_exec = lambda: resource.setrlimit(resource.RLIMIT_AS, (700 * MB, 700 * MB))
    server.start()
    client = server.client(socket_timeout=60)
    assert client.set("here", "before")
    for size in (50, 150, 250, 400, 500):
        try:
            client.set("large", b"v" * size * MB)
        except redis.RedisError as error:
            assert "memory" in str(error) or isinstance(error, redis.ConnectionError)
        assert client.get("here") == b"before"
        try:
            got = client.get("large")
            assert got is None or len(got) >= 50 * MB
        except redis.ResponseError as error:
            assert "memory" in str(error)
    client.setrange("grown", 20 * MB, "x")
    for _ in range(5):
        with pytest.raises(redis.ResponseError, match="memory"):
            client.setrange("grown", 480 * MB, "x")
    assert client.strlen("grown") == 20 * MB + 1
    assert server.process.poll() is None


# --- open files ----------------------------------------------------------------------------------

def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_out_of_open_files(lab, database):
    """New connections wait in the kernel's queue; those that are there go on; no spinning, one line in
    the log; and all goes on when there are files again."""
    server = lab.respgres(database)
    client = server.client(single_connection_client=True)
    client.set("k", "v")
    used = len(os.listdir(f"/proc/{server.pid}/fd"))
    old = resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + 5, 20000))
    waiting = []
    for _ in range(40):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.settimeout(20)
        s.sendall(encode("GET", "k"))
        waiting.append(s)
    before, began = cpu_seconds(server.pid), time.monotonic()
    while time.monotonic() - began < 1.5:
        assert client.get("k") == b"v" and client.incr("n")
        time.sleep(0.05)
    assert cpu_seconds(server.pid) - before < 0.75
    assert server.log.count("event=accept-failed") == 1
    assert re.search(r"event=accept-failed connections=\d+ reason=\"Too many open files\"", server.log)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, old)
    for s in waiting:
        assert s.recv(100) == b"$1\r\nv\r\n"
        s.close()


def test_out_of_open_files_with_postgresql_away(lab):
    """No file for a new lane: it is tried again."""
    postgres = lab.own_postgres()
    server = lab.respgres(lab.database(postgres), pg_timeout=2000)
    client = server.client(single_connection_client=True)
    client.set("k", "v")
    postgres.stop("immediate")
    wait_until(lambda: client.info("postgres")["store_state"] == "away")
    client.set("k", "u")  # the journal has its file
    used = len(os.listdir(f"/proc/{server.pid}/fd"))
    old = resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used - 1, 20000))
    postgres.start()
    time.sleep(0.5)
    assert client.set("k", "w") and client.get("k") == b"w"
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, old)
    wait_until(lambda: client.info("postgres")["store_state"] == "online")
    assert client.get("k") == b"w"


# --- the log -------------------------------------------------------------------------------------

class LogOn:
    """A server whose log goes where the test says."""

    def __init__(self, lab, database, log):
        self.server = lab.respgres(database, start=False, loglevel="debug")
        self.server.log_to = log
        self.server.start()

    def chatter(self, count=200):
        """Each connection is a few lines at this level."""
        for _ in range(count):
            with self.server.raw() as raw:
                assert raw.command("PING") == b"+PONG\r\n"


def test_a_log_that_is_always_full(lab, database):
    log = LogOn(lab, database, "/dev/full")
    log.chatter()
    assert log.server.client().incr("n") == 1


def test_a_log_whose_reader_stands_still(lab, database):
    """A pipe that is full: a collector that hangs, a terminal that is stopped. When it is read again, the
    log says how many lines are missing."""
    reader, writer = os.pipe()
    log = LogOn(lab, database, writer)
    os.close(writer)
    log.chatter(800)
    assert log.server.client().incr("n") == 1
    os.set_blocking(reader, False)
    kept = os.read(reader, 1 << 20)
    assert len(kept) >= 60_000 and kept.endswith(b"\n")
    log.chatter(5)
    text = os.read(reader, 1 << 20).decode()
    os.close(reader)
    assert len(re.findall(r"event=log-lines-lost count=\d+", text)) == 1
    assert "event=connection" in text
    assert log.server.client().incr("n") == 2


def test_a_log_that_nobody_reads(lab, database):
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    log = LogOn(lab, database, writer)
    os.close(writer)
    log.chatter()
    assert log.server.client().incr("n") == 1


def test_a_log_on_a_full_disk(lab, database, tmp_path):
    """The server goes on; when there is room again, the log tells once how many lines are missing."""
    if os.geteuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=False,
            capture_output=True).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        log = LogOn(lab, database, tmp_path / "log")
        log.chatter(800)
        assert (tmp_path / "log").stat().st_size >= 60_000
        assert log.server.client().incr("n") == 1
        os.truncate(tmp_path / "log", 0)
        log.chatter(5)
        text = (tmp_path / "log").read_bytes().replace(b"\0", b"").decode()
        assert len(re.findall(r"event=log-lines-lost count=\d+", text)) == 1
        assert "event=connection" in text
        log.server.finish()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_log_as_large_as_it_may_be(lab, database, tmp_path):
    """RLIMIT_FSIZE: no signal ends the server."""
    log = LogOn.__new__(LogOn)
    log.server = lab.respgres(database, start=False, loglevel="debug", fallback="off")
    log.server.log_to = tmp_path / "log"
    log.server.before_exec = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    log.server.start()
    log.chatter(300)
    assert log.server.client().incr("n") == 1
    assert (tmp_path / "log").stat().st_size <= 30_000


def test_signals_that_mean_nothing(lab, database):
    server = lab.respgres(database)
    for signum in (signal.SIGPIPE, signal.SIGXFSZ):
        server.signal(signum)
    assert server.client().incr("n") == 1
