"""What no decent client sends. Each is answered, or closed, exactly as redis-server does it, and a
decent client beside it notices nothing."""

import socket
import threading
import time

import pytest

from harness import encode, wait_until

AFTER = encode("ECHO", "still here")
MB = 1 << 20


def make_both(request, lab, **options):
    """(redis-server, respgres); with --against redis twice the real one."""
    real = lab.redis(**options)
    if request.config.getoption("--against") == "redis":
        return real, lab.redis(**options)
    return real, lab.respgres(lab.database(), **options)


@pytest.fixture(scope="module")
def shared_both(request, module_lab):
    return make_both(request, module_lab)


@pytest.fixture
def both(shared_both, module_lab):
    """Shared by the tests of this file, emptied for each."""
    for server in shared_both:
        assert server.is_running(), f"{server.name} died in an earlier test"
        server.client().flushall()
    return shared_both


@pytest.fixture
def bystander(both):
    """A decent client that works on the server under test all the time; afterwards it tells that
    nothing was wrong and nothing took long."""
    watch = Bystander(both[1].client(), both[1].pid)
    yield watch
    watch.finish()
    assert both[1].is_running() and both[1].pid == watch.pid


class Bystander(threading.Thread):
    """Counts up in a thread of its own."""

    def __init__(self, client, pid):
        super().__init__(daemon=True)
        self.client = client
        self.pid = pid
        self.longest_s = 0.0
        self.rounds = 0
        self.error = None
        self._ending = threading.Event()
        self.start()

    def run(self):
        try:
            while not self._ending.is_set():
                before = time.monotonic()
                assert self.client.incr("bystander") == self.rounds + 1
                assert self.client.get("bystander") == b"%d" % (self.rounds + 1)
                self.longest_s = max(self.longest_s, time.monotonic() - before)
                self.rounds += 1
        except BaseException as error:  # reported by finish()
            self.error = error

    def finish(self):
        """Checks it; a second call does nothing."""
        if self._ending.is_set():
            return
        start = self.rounds
        wait_until(lambda: self.error or self.rounds > start + 1, what="the bystander is served")
        self._ending.set()
        self.join(20)
        if self.error:
            raise self.error
        assert self.longest_s < 5


def everything_sent_back(server, payload, slowly=False):
    """What comes back for `payload` and a command behind it, until the connection is closed."""
    with server.raw() as raw:
        try:
            if slowly:
                raw.send_slowly(payload + AFTER)
            else:
                raw.send(payload + AFTER)
            raw.half_close()
        except OSError:
            pass  # closed before we were done, as it may
        return raw.rest()


def assert_same(both, payload, slowly=False):
    real, ours = (everything_sent_back(server, payload, slowly) for server in both)
    assert ours == real


PROTOCOL = {
    "nil array": b"*-1\r\n",
    "very negative array": b"*-99\r\n",
    "empty array": b"*0\r\n",
    "huge array": b"*1000000000\r\n",
    "array over 32 bits": b"*4294967297\r\n",
    "array beyond 64 bits": b"*99999999999999999999\r\n",
    "one over the most arguments": b"*1048577\r\n",
    "array without a number": b"*\r\n",
    "array with a bad number": b"*1x\r\n",
    "array with a plus": b"*+1\r\n",
    "array with a zero before": b"*01\r\n$4\r\nPING\r\n",
    "array with a blank": b"* 1\r\n$4\r\nPING\r\n",
    "huge bulk": b"*1\r\n$99999999999\r\n",
    "bulk beyond 64 bits": b"*1\r\n$99999999999999999999\r\n",
    "nil bulk": b"*1\r\n$-1\r\n",
    "bulk without a number": b"*1\r\n$\r\n",
    "bulk with a bad number": b"*1\r\n$4x\r\nPING\r\n",
    "bulk with a zero before": b"*1\r\n$04\r\nPING\r\n",
    "nested array": b"*1\r\n*1\r\n$4\r\nPING\r\n",
    "nested empty array": b"*2\r\n$4\r\nPING\r\n*0\r\n",
    "integer": b"*2\r\n$3\r\nGET\r\n:1\r\n",
    "simple string": b"*1\r\n+PING\r\n",
    "error": b"*1\r\n-PING\r\n",
    "RESP3 null": b"*2\r\n$3\r\nGET\r\n_\r\n",
    "RESP3 map": b"%1\r\n$4\r\nPING\r\n$1\r\na\r\n",
    "RESP3 attribute": b"|1\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n$4\r\nPING\r\n",
    "inline inside an array": b"*1\r\nPING\r\n",
    "wrong length, too short": b"*1\r\n$3\r\nPING\r\n",
    "wrong length, too long": b"*1\r\n$6\r\nPING\r\n",
    "no CRLF after a bulk": b"*1\r\n$4\r\nPINGxx",
    "LF only": b"*1\n$4\nPING\n",
    "CR only": b"*1\r$4\rPING\r",
    "CR without LF in a number": b"*1\rx\r\n",
    "bulk at the top": b"$4\r\nPING\r\n",
    "inline unbalanced quotes": b'SET k "a\r\n',
    "inline bad after quote": b'SET k "a"b\r\n',
    "inline escapes": b'ECHO "a\\x41\\n\\t\\q"\r\n',
    "inline blanks": b"   \r\n\t\r\n  PING  \r\n",
    "inline too long": b"x" * (64 * 1024 + 10) + b"\r\n",
    "inline too long without an end": b"x" * (64 * 1024 + 10),
    "count too long": b"*" + b"1" * (64 * 1024 + 10),
    "length too long": b"*1\r\n$" + b"1" * (64 * 1024 + 10),
    "empty command name": b"*1\r\n$0\r\n\r\n",
    "garbage": bytes(range(128, 256)) * 8 + b"\r\n",
    "TLS hello": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x5a" * 150 + b"\r\n",
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP POST": b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n",
    "array ends early": b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n",
    "nothing but zero bytes": b"\0" * 100 + b"\r\n",
}


# Where we answer and Redis does not: it takes a CR without LF for the end of a line, and waits for
# more where a NUL hides the line's end from it.
ODD = {"CR only", "CR without LF in a number", "TLS hello", "nothing but zero bytes"}


@pytest.mark.parametrize("name", [n for n in PROTOCOL if n not in ODD])
def test_protocol(both, name):
    assert_same(both, PROTOCOL[name])


@pytest.mark.parametrize("name", sorted(ODD))
def test_protocol_where_we_differ(both, name):
    for slowly in (False, True):
        assert everything_sent_back(both[1], PROTOCOL[name], slowly).startswith(b"-ERR ")


def test_a_decent_client_is_undisturbed(both, bystander):
    for payload in PROTOCOL.values():
        everything_sent_back(both[1], payload)
    assert bystander.error is None


# HTTP: whether the reply before "Host:" gets out is a race in redis-server, too.
@pytest.mark.parametrize("name", [
    n for n in PROTOCOL if len(PROTOCOL[n]) < 300 and n not in ODD and not n.startswith("HTTP")])
def test_protocol_byte_by_byte(both, name):
    assert_same(both, PROTOCOL[name], slowly=True)


def test_a_good_client_that_sends_byte_by_byte(both):
    assert_same(both, encode("SET", b"k\0\xff", "v" * 100) + b"GET nokey\r\n"
                + encode("GET", b"k\0\xff"), slowly=True)


COMMANDS = {
    "unknown": ["NONSENSE", "a", "b"],
    "unknown without arguments": ["NONSENSE"],
    "unknown with many arguments": ["NONSENSE", *["argument"] * 50],
    "unknown with a long argument": ["NONSENSE", "x" * 500, "y"],
    "unknown with a long name": ["N" * 500, "y"],
    "unknown with odd bytes": ["NON\r\nSENSE", b"\0\xff\r\n"],
    "unknown subcommand": ["CLIENT", "NONSENSE"],
    "container alone": ["CLIENT"],
    "GET without a key": ["GET"],
    "GET of two keys": ["GET", "a", "b"],
    "SET without a value": ["SET", "k"],
    "SET with a bad option": ["SET", "k", "v", "NONSENSE"],
    "SET NX XX": ["SET", "k", "v", "NX", "XX"],
    "SET EX PX": ["SET", "k", "v", "EX", "1", "PX", "1"],
    "SET EX without a number": ["SET", "k", "v", "EX"],
    "SET EX 0": ["SET", "k", "v", "EX", "0"],
    "SET EX -1": ["SET", "k", "v", "EX", "-1"],
    "SET EX text": ["SET", "k", "v", "EX", "ten"],
    "SET EX too big": ["SET", "k", "v", "EX", str(2 ** 63 - 1)],
    "SET EX beyond 64 bits": ["SET", "k", "v", "EX", str(2 ** 64)],
    "SET KEEPTTL EX": ["SET", "k", "v", "KEEPTTL", "EX", "1"],
    "SETEX 0": ["SETEX", "k", "0", "v"],
    "SETEX text": ["SETEX", "k", "ten", "v"],
    "SETEX too big": ["SETEX", "k", str(2 ** 60), "v"],
    "PSETEX negative": ["PSETEX", "k", "-5", "v"],
    "EXPIRE text": ["EXPIRE", "k", "ten"],
    "EXPIRE too big": ["EXPIRE", "k", str(2 ** 63 - 1)],
    "EXPIRE NX XX": ["EXPIRE", "k", "10", "NX", "XX"],
    "EXPIRE bad option": ["EXPIRE", "k", "10", "YY"],
    "MSET odd": ["MSET", "a", "1", "b"],
    "MSETNX odd": ["MSETNX", "a", "1", "b"],
    "INCRBY text": ["INCRBY", "n", "ten"],
    "INCRBY with blanks": ["INCRBY", "n", " 1"],
    "INCRBYFLOAT nan": ["INCRBYFLOAT", "n", "nan"],
    "DECRBY least": ["DECRBY", "n", str(-2 ** 63)],
    "SELECT text": ["SELECT", "ten"],
    "SELECT 16": ["SELECT", "16"],
    "SELECT -1": ["SELECT", "-1"],
    "SCAN bad cursor": ["SCAN", "ten"],
    "SCAN COUNT 0": ["SCAN", "0", "COUNT", "0"],
    "SCAN bad option": ["SCAN", "0", "NONSENSE"],
    "AUTH without a password set": ["AUTH", "x"],
    "HELLO 1": ["HELLO", "1"],
    "HELLO text": ["HELLO", "x"],
    "HELLO bad option": ["HELLO", "3", "NONSENSE"],
    "CLIENT SETNAME with a blank": ["CLIENT", "SETNAME", "a b"],
    "EXEC without MULTI": ["EXEC"],
    "DISCARD without MULTI": ["DISCARD"],
    "GETEX EX 0": ["GETEX", "k", "EX", "0"],
    "PING twice": ["PING", "a", "b"],
    "empty key": ["SET", "", "v"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_arguments(both, name):
    assert_same(both, encode(*COMMANDS[name]))


def test_increments_of_what_is_no_number(both):
    assert_same(both, b"".join(encode(*command) for command in (
        ["SET", "text", "abc"], ["INCR", "text"], ["INCRBYFLOAT", "text", "1"],
        ["SET", "blank", " 1"], ["INCR", "blank"], ["SET", "top", str(2 ** 63 - 1)],
        ["INCR", "top"], ["GET", "top"], ["SET", "bottom", str(-2 ** 63)], ["DECR", "bottom"],
        ["SET", "float", "1e400"], ["INCRBYFLOAT", "float", "1"], ["SET", "e", ""], ["INCR", "e"],
    )))


def test_a_multi_with_an_error_in_it(both):
    assert_same(both, b"".join(encode(*command) for command in (
        ["MULTI"], ["SET", "k", "v"], ["NONSENSE"], ["EXEC"], ["GET", "k"],
        ["MULTI"], ["MULTI"], ["WATCH", "k"], ["SET", "k", "v"], ["INCR", "k"], ["EXEC"],
        ["GET", "k"], ["MULTI"], ["SET", "k"], ["EXEC"],
    )))


def test_odd_keys_and_values(both):
    odd = [b"", b"\0", b"a\0b", b"\xff\xfe\x80", b"\r\n$3\r\n", bytes(range(256)), b"k" * 2600,
           b"' OR 1=1; --", b"{\\x00}", b"\\000", b"NULL", b"%s%n"]
    commands = [encode("SET", key, key[::-1]) for key in odd]
    commands += [encode("GET", key) for key in odd]
    commands += [encode("MGET", *odd), encode("EXISTS", *odd), encode("DEL", *odd),
                 encode("DBSIZE")]
    assert_same(both, b"".join(commands))


# --- sizes ---------------------------------------------------------------------------------------

@pytest.fixture
def both_small(request, lab):
    """Both with the least proto-max-bulk-len there is."""
    return make_both(request, lab, proto_max_bulk_len="1mb")


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_values_at_and_over_the_limit(both_small, over):
    value = b"v" * (MB + over)
    assert_same(both_small, encode("SET", "k", value) + encode("STRLEN", "k"))


def test_a_value_that_grows_over_the_limit(both_small):
    assert_same(both_small, b"".join([
        encode("SET", "k", b"v" * (MB - 1)), encode("APPEND", "k", "x"),
        encode("APPEND", "k", "y"), encode("STRLEN", "k")]))


def test_a_declared_length_costs_no_memory(both, bystander):
    """Thirty clients announce half a gigabyte each and send nothing."""
    before = both[1].rss()
    clients = [both[1].raw() for _ in range(30)]
    for raw in clients:
        raw.send(b"*2\r\n$3\r\nGET\r\n$536870912\r\nx")
    for raw in clients[:3]:
        raw.send(b"x" * 100_000)
    bystander.finish()
    assert both[1].rss() - before < 200 * MB
    for raw in clients:
        raw.close()


def test_unauthenticated_clients_are_kept_short(request, lab):
    both = make_both(request, lab, requirepass="geheim")
    for payload in (b"*11\r\n", b"*10\r\n$4\r\nPING\r\n", b"*1\r\n$16385\r\n", b"*-1\r\n",
                    b"*1000000000\r\n", encode("GET", "k"), encode("NONSENSE"), encode("GET"),
                    encode("AUTH"), encode("AUTH", "x"), encode("AUTH", "x", "y"),
                    encode("AUTH", "a", "b", "c"), encode("HELLO", "3"),
                    encode("HELLO", "3", "AUTH", "default", "x"), encode("MULTI"), encode("PING"),
                    encode("SET", "k", b"v" * 16385), encode("QUIT"), encode("RESET"),
                    b"GET k\r\n", b"*1\r\n$-5\r\n"):
        assert_same(both, payload)


# --- clients that don't take part ----------------------------------------------------------------

def send_until_blocked(raw, data, most):
    """Sends `data` again and again until the server has taken nothing for a second; returns how
    many bytes it took, `most` at most."""
    raw.sock.settimeout(1)
    sent = 0
    try:
        while sent < most:
            sent += raw.sock.send(data[sent % len(data):])
    except socket.timeout:
        pass
    return sent


def wait_until_forgotten(server, addresses):
    client = server.client()
    wait_until(lambda: addresses.isdisjoint(c["addr"] for c in client.client_list()), 30,
               "the server has forgotten the clients")


def test_a_client_that_never_reads(request, both, bystander):
    """It asks for gigabytes. The server stops reading from it instead of keeping the replies."""
    if request.config.getoption("--against") == "redis":
        pytest.skip("redis keeps them all, unless told otherwise")
    ours = both[1]
    ours.client().set("big", b"v" * MB)
    before = ours.rss()
    with ours.raw() as raw:
        address = raw.address
        send_until_blocked(raw, encode("GET", "big") * 1000, most=200 * MB)
        bystander.finish()
        assert ours.rss() - before < 500 * MB
    wait_until_forgotten(ours, {address})


def test_a_client_that_reads_late_gets_everything(both, bystander):
    ours = both[1]
    ours.client().set("big", b"v" * 100_000)
    count = 300
    with ours.raw() as raw:
        sender = threading.Thread(
            target=lambda: [raw.send(encode("GET", "big") + encode("INCR", "n"))
                            for _ in range(count)], daemon=True)
        sender.start()
        wait_until(lambda: not sender.is_alive() or ours.client().get("n"))
        for i in range(1, count + 1):
            assert raw.reply() == b"$100000\r\n" + b"v" * 100_000 + b"\r\n"
            assert raw.reply() == b":%d\r\n" % i
        sender.join(20)
    assert bystander.error is None


def test_clients_that_vanish_in_the_middle(both, bystander):
    ours = both[1]
    commands = encode("SET", "vanished", "v" * 1000) * 50
    addresses = set()
    for cut in range(0, len(commands), 1777):
        with ours.raw() as raw:
            addresses.add(raw.address)
            raw.send(commands[:cut])
    wait_until_forgotten(ours, addresses)
    assert ours.client().get("vanished") == b"v" * 1000
    assert bystander.error is None


def test_more_clients_than_the_system_has_files_for(both):
    """More than fs.nr_open, which not even root may pass."""
    for server in both:
        before = server.client().config_get("maxclients")
        error = server.cli("CONFIG", "SET", "maxclients", "1500000")
        assert "possibly related to argument 'maxclients') - The operating system is not able to handle" \
            " the specified number of clients, try with " in error
        assert server.client().config_get("maxclients") == before


def test_maxclients(request, lab):
    both = make_both(request, lab, maxclients=5)
    for server in both:
        first = server.raw()
        wait_until(lambda c=first: b"\r\nconnected_clients:1\r\n" in c.command("INFO", "clients"),
                   what="the connections that saw it start are gone")
        clients = [first] + [server.raw() for _ in range(4)]
        assert all(raw.command("PING") == b"+PONG\r\n" for raw in clients)
        with server.raw() as one_more:
            assert one_more.rest() == b"-ERR max number of clients reached\r\n"
        clients[0].close()
        wait_until(lambda: server.raw().command("PING") == b"+PONG\r\n")
