"""Redis' limits, under Redis' names and with Redis' words: each compared with redis-server. And what
holds before a client has logged in, where it can make the server hold next to nothing."""

import resource
import socket

import pytest

from harness import encode, wait_until
from harness.servers import PROMPT
from test_bad_input import AFTER, MB, assert_same, make_both

PASSWORD = "geheim"


@pytest.fixture(scope="module")
def shared_pair(request, module_lab):
    return make_both(request, module_lab, client_query_buffer_limit="1mb", protected_mode="yes")


@pytest.fixture
def pair(shared_pair):
    for server in shared_pair:
        assert server.is_running(), f"{server.name} died in an earlier test"
        server.client().flushall()
    return shared_pair


@pytest.fixture(scope="module")
def shared_guarded(request, module_lab):
    """Both with a password."""
    if request.config.getoption("--against") == "redis":
        return make_both(request, module_lab, requirepass=PASSWORD)
    return (module_lab.redis(requirepass=PASSWORD),
            module_lab.respgres(module_lab.database(), requirepass=PASSWORD,
                                env=PROMPT))


@pytest.fixture
def guarded(shared_guarded):
    for server in shared_guarded:
        assert server.is_running(), f"{server.name} died in an earlier test"
    return shared_guarded


# --- client-query-buffer-limit -------------------------------------------------------------------

def closed_without_a_word(server, *parts):
    """What the server has said by the time it closes the connection, which it must."""
    with server.raw() as raw:
        try:
            for part in parts:
                raw.send(part)
        except OSError:
            pass  # closed before we were done
        return raw.rest()


def test_a_request_over_the_query_buffer_limit(pair):
    payload = b"*2\r\n$3\r\nGET\r\n$3000000\r\n" + b"x" * 2 * MB
    for server in pair:
        assert closed_without_a_word(server, payload) == b""
        assert server.client().ping()


def test_all_arguments_count(pair):
    """Redis counts the last one only."""
    payload = b"*40\r\n" + b"$100000\r\n%s\r\n" % (b"x" * 100_000) * 30
    assert closed_without_a_word(pair[1], payload) == b""


def test_a_multi_block_counts_as_not_yet_read(pair):
    """As in Redis since 7.2: one that is smaller than the limit, and one that is larger."""
    small = encode("SET", "k", "x" * 100_000)
    for server in pair:
        with server.raw() as raw:
            raw.send(encode("MULTI") + small * 8 + encode("EXEC"))
            assert [raw.reply() for _ in range(9)] == [b"+OK\r\n"] + [b"+QUEUED\r\n"] * 8
            assert raw.reply() == b"*8\r\n" + b"+OK\r\n" * 8
    said = closed_without_a_word(pair[1], encode("MULTI"), *[small] * 30)
    assert said.startswith(b"+OK\r\n+QUEUED\r\n") and said.count(b"QUEUED") < 12
    assert pair[1].client().strlen("k") == 100_000


def test_a_multi_block_of_many_megabytes(lab, database):
    """More than a connection may owe: it waits for its client, not for us."""
    server = lab.respgres(database)
    with server.raw() as raw:
        block = [encode("SET", f"k{i}", b"x" * 3 * MB) for i in range(5)]
        raw.send(encode("MULTI") + b"".join(block) + encode("EXEC") + AFTER)
        assert [raw.reply() for _ in range(6)] == [b"+OK\r\n"] + [b"+QUEUED\r\n"] * 5
        assert raw.reply() == b"*5\r\n" + b"+OK\r\n" * 5
        assert raw.reply() == b"$10\r\nstill here\r\n"
    with server.raw() as raw:
        raw.send(encode("MULTI") + b"".join(block) + encode("DISCARD") + AFTER)
        assert [raw.reply() for _ in range(8)][6:] == [b"+OK\r\n", b"$10\r\nstill here\r\n"]


# --- client-output-buffer-limit ------------------------------------------------------------------

def test_the_output_buffer_limit(pair):
    for server in pair:
        client = server.client()
        client.setrange("big", 4 * MB - 1, "x")
        client.config_set("client-output-buffer-limit", "normal 1mb 0 0")
        try:
            with server.raw() as raw:
                raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                raw.send(encode("GET", "big"))
                assert len(raw.rest()) < 4 * MB
        finally:
            client.config_set("client-output-buffer-limit", "normal 0 0 0")
        assert client.strlen("big") == 4 * MB


# --- proto-max-bulk-len, maxclients, databases ---------------------------------------------------

def test_the_longest_argument_is_changed_while_running(pair):
    for server in pair:
        client = server.client()
        before = client.config_get("proto-max-bulk-len")["proto-max-bulk-len"]
        assert client.config_set("proto-max-bulk-len", "1mb")
        with server.raw() as raw:
            raw.send(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n")
            assert raw.rest() == b"-ERR Protocol error: invalid bulk length\r\n"
        client.config_set("proto-max-bulk-len", before)
    for value in ("1", "1048575", "-1", "text"):
        assert_same(pair, encode("CONFIG", "SET", "proto-max-bulk-len", value))


@pytest.mark.parametrize("value", ["0", "-1", "text", "4294967296"])
def test_no_number_of_clients(pair, value):
    assert_same(pair, encode("CONFIG", "SET", "maxclients", value))


def test_fewer_clients_than_there_are(pair):
    """Those that are there stay."""
    for server in pair:
        client = server.client(single_connection_client=True)
        others = [server.raw() for _ in range(5)]
        assert all(raw.command("PING") == b"+PONG\r\n" for raw in others)
        before = client.config_get("maxclients")["maxclients"]
        client.config_set("maxclients", "3")
        with server.raw() as one_more:
            assert one_more.rest() == b"-ERR max number of clients reached\r\n"
        assert all(raw.command("PING") == b"+PONG\r\n" for raw in others)
        assert client.info("clients")["maxclients"] == 3
        assert client.info("stats")["rejected_connections"] == 1
        client.config_set("maxclients", before)
        with server.raw() as one_more:
            assert one_more.command("PING") == b"+PONG\r\n"
        for raw in others:
            raw.close()
        client.config_resetstat()


@pytest.mark.parametrize("words", [
    ["SELECT", "15"], ["SELECT", "16"], ["SELECT", "-1"], ["SELECT", "2147483648"],
    ["SELECT", "99999999999999999999"], ["MOVE", "k", "16"], ["MOVE", "k", "-1"],
    ["COPY", "k", "m", "DB", "16"], ["SWAPDB", "0", "16"], ["CONFIG", "SET", "databases", "20"],
    ["CONFIG", "GET", "databases"]], ids=" ".join)
def test_databases(pair, words):
    assert_same(pair, encode("SET", "k", "v") + encode(*words))


def test_the_limit_of_open_files_is_raised(lab, database):
    """The soft one, and as root the hard one; where that is not enough, fewer clients are let in and
    the log tells how many."""
    def low():
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
    server = lab.respgres(database, start=False, maxclients=5000)
    server.before_exec = low
    server.start()
    soft, _ = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    if soft < 5000:  # not root
        assert soft == 300
        assert "event=maxclients-lowered wanted=5000 effective=236" in server.log
        assert server.info("clients")["maxclients"] == 236
    else:
        assert "maxclients-lowered" not in server.log


# --- protected-mode ------------------------------------------------------------------------------

def address_of_this_host():
    """One that is not the loopback interface's, or None. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = s.getsockname()[0]
        return None if address.startswith("127.") else address


def test_protected_mode(request, lab):
    address = address_of_this_host()
    if address is None:
        pytest.skip("this host has the loopback interface only")
    for server in make_both(request, lab, bind=f"127.0.0.1 {address}"):
        def answer(server=server):
            with socket.create_connection((address, server.port)) as s:
                s.settimeout(20)
                try:
                    s.sendall(b"PING\r\n")
                except OSError:
                    pass
                try:
                    return s.recv(2000)
                except ConnectionResetError:
                    return b"-DENIED"
        client = server.client()
        assert answer().startswith(b"-DENIED")
        client.config_set("protected-mode", "no")
        assert answer() == b"+PONG\r\n"
        client.config_set("protected-mode", "yes")
        assert answer().startswith(b"-DENIED")
        client.config_set("requirepass", PASSWORD)
        assert answer() == b"-NOAUTH Authentication required.\r\n"
        server.options["requirepass"] = PASSWORD


# --- before a client has logged in ---------------------------------------------------------------

COUNT = 300  # connections at a time

ATTEMPTS = {
    "nothing": b"",
    "an argument without its end": b"*2\r\n$4\r\nAUTH\r\n$16384\r\n" + b"x" * 16000,
    "ten arguments": b"*10\r\n" + b"".join(b"$1638\r\n%s\r\n" % (b"x" * 1638) for _ in range(9)),
    "ten long arguments": b"*10\r\n" + b"".join(
        b"$16384\r\n%s\r\n" % (b"x" * 16384) for _ in range(9)),
    "a line without its end": b"x" * 16000,
    "a long line": b"x" * 65000,
    "a pipeline": encode("GET", "k") * 2000,
    "a pipeline of nonsense": b"P\n" * 20000,
    "blocks": encode("MULTI") * 1000,
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_unauthenticated_client_holds_little(guarded, name):
    """Of the server's memory, per connection; redis-server's is printed beside it."""
    held = {}
    for server in guarded:
        with server.raw() as judge:
            assert judge.command("AUTH", PASSWORD) == b"+OK\r\n"
            before = server.rss()
            clients = [connect_with_small_buffers(server) for _ in range(COUNT)]
            for s in clients:
                send_what_goes(s, ATTEMPTS[name])
            for _ in range(3):
                judge.command("PING")  # all that has come by now has been looked at
            held[server.name] = (server.rss() - before) / COUNT
            for s in clients:
                s.close()
            wait_until(lambda server=server: server.client(
                password=PASSWORD).info("clients")["connected_clients"] <= 3)
    print({name: f"{size / 1024:.1f} kB" for name, size in held.items()})
    assert held[guarded[1].name] < 40 * 1024


def connect_with_small_buffers(server):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", server.port))
    s.setblocking(False)
    return s


def send_what_goes(s, data):
    try:
        while data:
            data = data[s.send(data):]
    except OSError:
        pass  # blocked, or closed


def test_replies_that_an_unauthenticated_client_does_not_take(guarded):
    """Both close it once a kilobyte is left. What we have is small in the kernel, too."""
    for server in guarded:
        s = connect_with_small_buffers(server)
        sent = 0
        s.settimeout(20)
        with pytest.raises(OSError):
            while True:
                sent += s.send(encode("GET", "k") * 100)
                assert sent < 50 * MB
        s.close()


def test_once_it_has_logged_in_it_is_as_any_other(guarded):
    for server in guarded:
        with server.raw() as raw:
            raw.send(encode("GET", "k") * 5 + encode("AUTH", PASSWORD)
                     + encode("SET", "k", b"v" * MB) + encode("MGET", *["k"] * 20))
            assert [raw.reply() for _ in range(5)] == [b"-NOAUTH Authentication required.\r\n"] * 5
            assert [raw.reply() for _ in range(2)] == [b"+OK\r\n"] * 2
            assert len(raw.reply()) > 20 * MB
            assert raw.command("RESET") == b"+RESET\r\n"
            raw.send(b"*1\r\n$16385\r\n")
            assert raw.rest() == b"-ERR Protocol error: unauthenticated bulk length\r\n"


def test_ten_arguments_have_16_kilobytes_together(guarded):
    """Redis allows each of them as much."""
    with guarded[1].raw() as raw:
        raw.send(b"*3\r\n$4\r\nAUTH\r\n$8000\r\n%s\r\n$8381\r\n" % (b"x" * 8000))
        assert raw.rest() == b"-ERR Protocol error: unauthenticated bulk length\r\n"
    with guarded[1].raw() as raw:
        raw.send(b"*3\r\n$4\r\nAUTH\r\n$8000\r\n%s\r\n$8380\r\n%s\r\n" % (b"x" * 8000, b"x" * 8380))
        assert raw.reply().startswith(b"-WRONGPASS ")
    with guarded[1].raw() as raw:
        raw.send(b"x" * 16385)
        assert raw.rest() == b"-ERR Protocol error: too big inline request\r\n"
