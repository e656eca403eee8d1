"""`timeout`: who reads or writes, waits for a key, hears a channel or is paused is not idle; who does nothing
is closed. The same of redis-server."""

import concurrent.futures
import socket
import time

import pytest

from harness import wait_until
from harness.raw import RawClient, encode

TIMEOUT_S = 2
LONGER_S = 5
LARGE = 20_000_000

pytestmark = [pytest.mark.alone, pytest.mark.timeout(240)]


class NarrowClient(RawClient):
    """The kernel takes little for it before it reads."""

    def __init__(self, server):
        super().__init__(("127.0.0.1", server.port), 60)
        self.close()
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        self.sock.settimeout(60)
        self.sock.connect(("127.0.0.1", server.port))

    def read_slowly(self, rate, seconds):
        """So many bytes a second, in steps."""
        got, start = 0, time.monotonic()
        while (now := time.monotonic() - start) < seconds:
            while got < rate * now:
                data = self.sock.recv(min(65536, int(rate * now) - got + 1))
                if not data:
                    return got
                got += len(data)
            time.sleep(0.05)
        return got


def reads_slowly(server, rate):
    """Nobody who takes what it is sent is cut off in the middle."""
    with NarrowClient(server) as raw:
        raw.send(encode("GET", "large"))
        got = raw.read_slowly(rate, LONGER_S)
        while got < len(b"$%d\r\n\r\n" % LARGE) + LARGE:
            data = raw.sock.recv(1 << 20)
            assert data, f"closed after {got} bytes"
            got += len(data)
        assert raw.command("PING") == b"+PONG\r\n"


def reads_steadily(server):
    reads_slowly(server, LARGE // (LONGER_S + 2))


def reads_very_slowly(server):
    reads_slowly(server, 250_000)


def reads_nothing(server):
    with NarrowClient(server) as raw:
        raw.send(encode("GET", "large"))
        time.sleep(LONGER_S + 2)
        assert len(raw.rest()) < LARGE


def writes_slowly(server):
    request = encode("SET", "uploaded", b"x" * 100_000)
    with server.raw() as raw:
        for at in range(0, len(request), 4096):
            raw.send(request[at:at + 4096])
            time.sleep(LONGER_S / (len(request) / 4096))
        assert raw.reply() == b"+OK\r\n"


def is_paused(server):
    with server.raw(timeout=60) as raw:
        assert raw.command("PING") == b"+PONG\r\n"
        with server.raw() as other:
            assert other.command("CLIENT", "PAUSE", LONGER_S * 1000, "WRITE") == b"+OK\r\n"
        assert raw.command("SET", "paused", "v") == b"+OK\r\n"
        assert raw.command("PING") == b"+PONG\r\n"


def waits_in_vain(server):
    with server.raw(timeout=60) as raw:
        for _ in range(2):
            assert raw.command("BLPOP", "nothing", TIMEOUT_S + 1.5).startswith(b"*-1")
            time.sleep(0.7)  # the look for idle ones comes every second at most


def is_given_something(server):
    with server.raw(timeout=60) as raw, server.raw() as other:
        raw.send(encode("BLPOP", "something", 0))
        for _ in range(LONGER_S):
            time.sleep(1)
            other.command("PING")
        assert other.command("RPUSH", "something", "x") == b":1\r\n"
        assert raw.reply() == b"*2\r\n$9\r\nsomething\r\n$1\r\nx\r\n"
        assert raw.command("PING") == b"+PONG\r\n"


def hears(server):
    with server.raw(timeout=60) as raw:
        raw.command("SUBSCRIBE", "news")
        time.sleep(LONGER_S)
        raw.command("PING")


def does_nothing(server):
    with server.raw(timeout=60) as raw:
        start = time.monotonic()
        assert raw.command("PING") == b"+PONG\r\n"
        assert raw.is_closed()
        assert time.monotonic() - start > TIMEOUT_S - 0.1


BOTH = [reads_steadily, reads_nothing, writes_slowly, waits_in_vain, is_given_something, hears, does_nothing]


def run(server, scenarios):
    server.client().set("large", b"x" * LARGE)
    server.client().config_set("timeout", TIMEOUT_S)
    problems = []
    with concurrent.futures.ThreadPoolExecutor(len(scenarios)) as pool:
        for scenario, done in [(s, pool.submit(s, server)) for s in scenarios]:
            if (error := done.exception()) is not None:
                problems.append(f"{scenario.__name__}: {error!r}")
    assert not problems, "\n".join(problems)


def test_only_who_is_idle_is_closed(server):
    # redis-server thinks that one is idle who has not yet taken what the kernel has kept for him.
    run(server, BOTH + ([reads_very_slowly] if server.name == "respgres" else []))


@pytest.mark.long
def test_redis_does_so_too(redis_server):
    run(redis_server, BOTH)


def test_what_a_pause_holds_is_not_dropped(server):
    run(server, [is_paused])


@pytest.mark.long
@pytest.mark.rows
def test_the_last_replies_are_taken_slowly(server):
    """Longer than a peer has that takes nothing."""
    client = server.client()
    client.set("large", b"x" * LARGE)
    with NarrowClient(server) as raw:
        raw.send(encode("GET", "large") + encode("QUIT"))
        got = raw.read_slowly(LARGE // 25, 13)
        assert got + len(raw.rest()) == len(b"$%d\r\n\r\n+OK\r\n" % LARGE) + LARGE
    wait_until(lambda: client.info("clients")["connected_clients"] == 1, 20, "it is gone")
