"""HTTP: health and readiness, the page for people, and clients that mean no good."""

import json
import re
import resource
import socket
import threading
import time

import pytest

from harness import free_port, wait_until
from harness.http import Http
from harness.util import children_of


@pytest.fixture
def server(lab, database):
    return lab.respgres(database, http_port=free_port())


@pytest.fixture
def http(server):
    return Http(server)


class Wire:
    """A connection to the http-port, bytes as they are."""

    def __init__(self, http, timeout=20):
        self.socket = socket.create_connection(http.address, timeout)

    def send(self, data):
        self.socket.sendall(data)
        return self

    def rest(self):
        """Everything up to the end of the connection."""
        found = b""
        while True:
            try:
                chunk = self.socket.recv(65536)
            except ConnectionResetError:
                return found
            if not chunk:
                return found
            found += chunk

    def answer(self):
        """One answer with a Content-Length: (status, body)."""
        head = b""
        while b"\r\n\r\n" not in head:
            byte = self.socket.recv(1)
            assert byte, head
            head += byte
        length = int(re.search(rb"Content-Length: (\d+)\r\n", head)[1])
        body = b""
        while len(body) < length:
            chunk = self.socket.recv(length - len(body))
            assert chunk
            body += chunk
        return int(head.split(b" ")[1]), body

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()


# --- health and readiness ------------------------------------------------------------------------

def test_healthy_says_nothing_about_postgresql(lab):
    postgres = lab.own_postgres()
    server = lab.respgres(lab.database(postgres), http_port=free_port(), fallback="off", pg_timeout=2000)
    http = Http(server)
    assert http.ask("/healthz")[::2] == (200, b"ok\n")
    postgres.freeze()
    client = server.client()
    with pytest.raises(Exception):
        client.set("a", 1)
    assert http.ask("/healthz")[::2] == (200, b"ok\n")


def test_ready_while_online_not_while_away(lab):
    """Without a fallback, away is not ready; the body says the state, since when and why."""
    postgres = lab.own_postgres()
    server = lab.respgres(lab.database(postgres), http_port=free_port(), fallback="off")
    http = Http(server)
    status, headers, body = http.ask("/readyz")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert re.fullmatch(rb"ready\nstate: online\nage_seconds: \d+\.\d{3}\nwhy: PostgreSQL answers\n"
                        rb"dir_is: persistent\n", body)
    assert http.status("/readyz?pg=1") == 200
    postgres.kill9()
    wait_until(lambda: http.status("/readyz") == 503)
    status, headers, body = http.ask("/readyz?format=json")
    assert (status, headers["Content-Type"]) == (503, "application/json")
    said = json.loads(body)
    assert (said["ready"], said["state"]) == (False, "away")
    assert 0 <= said["age_seconds"] < 60 and said["why"]
    assert "\n" not in said["why"]
    assert http.status("/readyz?pg=1") == 503
    assert http.status("/healthz") == 200
    postgres.start()
    wait_until(lambda: http.status("/readyz?format=json&pg=1") == 200, 30)
    assert http.metrics().value("respgres_state_transitions_total", to="online") == 2


def test_not_ready_before_the_first_contact(lab):
    port = free_port()
    server = lab.respgres(f"postgresql://127.0.0.1:{free_port()}/none", start="answering",
                          http_port=port)
    http = Http(server)
    said = json.loads(http.ask("/readyz?format=json")[2])
    assert (said["ready"], said["state"]) == (False, "starting")
    wait_until(lambda: "refused" in json.loads(http.ask("/readyz?format=json")[2])["why"])
    assert http.status("/readyz") == 503
    assert http.status("/healthz") == 200
    assert http.metrics().value("respgres_ready") == 0


def test_not_ready_while_draining(lab):
    """From SIGTERM on new work goes elsewhere, while what was taken is answered."""
    postgres = lab.own_postgres()
    server = lab.respgres(lab.database(postgres), http_port=free_port(), pg_timeout="20s")
    http = Http(server)
    assert http.status("/readyz") == 200
    with server.raw() as raw:
        postgres.freeze()
        raw.send(b"SET a 1\r\n")
        wait_until(lambda: http.metrics().value("respgres_transactions", stage="gathered") == 1)
        server.signal(15)
        wait_until(lambda: http.status("/readyz") == 503)
        said = json.loads(http.ask("/readyz?format=json")[2])
        assert said["why"] == "the server is about to end"
        assert http.status("/healthz") == 200
        postgres.thaw()
        assert raw.reply() == b"+OK\r\n"
    assert server.wait() == 0


def test_no_secret_in_the_reason(lab):
    server = lab.respgres(f"postgresql://u:hunter2@127.0.0.1:{free_port()}/none",
                          start="answering", http_port=free_port())
    http = Http(server)
    wait_until(lambda: b"refused" in http.ask("/readyz")[2])
    for path in ("/readyz", "/readyz?format=json", "/", "/metrics"):
        assert b"hunter2" not in http.ask(path)[2]


# --- where it listens ----------------------------------------------------------------------------

def test_port_0_is_off(respgres):
    assert "for=http-bind" not in respgres.log


def test_several_addresses_and_ipv6(lab, database):
    server = lab.respgres(database, http_port=free_port(), http_bind="127.0.0.1 127.0.0.2 ::1")
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        assert Http(server, host).status("/healthz") == 200


def test_a_taken_port_stops_the_start(lab, database):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = lab.respgres(database, start=None, http_port=taken.getsockname()[1])
        assert server.wait() == 1
        server.expected_status = 1
    assert "http-bind 127.0.0.1" in server.log


# --- the page for people -------------------------------------------------------------------------

def test_the_status_page(lab, database):
    begun = time.monotonic()
    server = lab.respgres(database, http_port=free_port(), instance_name="web-1")
    wait_until(lambda: Http(server).metrics().value("respgres_connected_clients") == 0, what="nobody is left")
    status, headers, body = Http(server).ask("/")
    text = body.decode()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<h1>respgres web-1</h1>" in text
    age = int(re.search(r"ready, online, for (\d+) s: PostgreSQL answers", text)[1])
    assert 0 <= age <= time.monotonic() - begun
    fields = dict(re.findall(r'<tr><th scope="row">([^<]+)</th><td>([^<]*)</td></tr>', text))
    assert fields["store_state"] == "online" and fields["connected_clients"] == "0"
    assert "<script" not in text
    for tag in ("table", "h2", "tr", "td", "html", "body"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>") > 0


# --- clients of all sorts ------------------------------------------------------------------------

def test_get_and_head_only(http):
    status, headers, body = http.ask("/healthz", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "3", b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        status, headers, _ = http.ask("/healthz", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert http.status("/nothing") == 404
    assert http.status("/healthz/") == 404
    assert http.status("/../etc/passwd") == 404
    assert http.metrics().value("respgres_http_bad_requests_total") == 6


@pytest.mark.parametrize("bytes_, status", [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"*1\r\n$4\r\nPING\r\n", 400),
    (b"hello\r\n\r\n", 400),
    (b"GET / HTTP/3.0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nbroken\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400),
    (b"\0" * 100, 400),
    (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413),
    (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 405),
    (b"GET / HTTP/1.1\r\nX: " + b"x" * 20000, 431),
    (b"GET /" + b"x" * 20000, 431),
])
def test_bad_requests(http, bytes_, status):
    """Answered, then closed; a reset does not take the answer away."""
    with Wire(http) as wire:
        answer = wire.send(bytes_).rest()
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"\r\nConnection: close\r\n" in answer
    assert http.status("/healthz") == 200


def test_keep_alive_and_pipelining(http):
    with Wire(http) as wire:
        for _ in range(3):
            assert wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").answer() == (200, b"ok\n")
        wire.send(b"GET /healthz HTTP/1.1\r\n\r\nGET /no HTTP/1.1\r\n\r\n"
                  b"HEAD /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n")
        answers = wire.rest()
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"404", b"200", b"200"]
    assert answers.count(b"ok\n") == 2
    with Wire(http) as wire:
        assert wire.send(b"GET /healthz HTTP/1.0\nConnection: keep-alive\n\n").answer()[0] == 200
        assert wire.send(b"GET /healthz HTTP/1.0\n\n").rest().endswith(b"ok\n")


def test_a_request_in_pieces(http):
    with Wire(http) as wire:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n":
            wire.send(bytes([byte]))
        assert wire.answer() == (200, b"ok\n")


@pytest.mark.alone
def test_a_slow_request_is_cut_off(http):
    """A byte now and then does not keep a connection: a request has five seconds as a whole."""
    began = time.monotonic()
    with Wire(http) as wire, Wire(http) as silent:
        wire.send(b"GET /healthz HTTP/1.1\r\n")
        ended = []

        def read(connection):
            ended.append((connection.rest(), time.monotonic() - began))

        threads = [threading.Thread(target=read, args=(c,)) for c in (wire, silent)]
        for thread in threads:
            thread.start()

        def trickle():
            try:
                wire.send(b"X: y\r\n")
            except OSError:
                pass
            return len(ended) == 2

        wait_until(trickle, 15, interval=0.2)
        for thread in threads:
            thread.join()
    for answer, seconds in ended:
        assert answer == b""
        assert 4 < seconds < 8
    assert http.metrics().value("respgres_http_evicted_connections_total") == 1


@pytest.mark.alone
def test_many_slow_connections_keep_nobody_out(http):
    """There is room for 64; one more takes the place of the one that has been silent longest."""
    slow = [Wire(http).send(b"GET / HT") for _ in range(200)]
    try:
        began = time.monotonic()
        for _ in range(5):
            assert http.status("/healthz") == 200
        assert time.monotonic() - began < 3
        metrics = http.metrics()
        assert metrics.value("respgres_http_evicted_connections_total") >= 136
        assert metrics.value("respgres_process_open_fds") < 64 + 40
    finally:
        for wire in slow:
            wire.socket.close()


@pytest.mark.alone
def test_http_does_not_hold_up_commands(server, http):
    """A client that asks for pages as fast as it can and reads none of them."""
    client = server.client()
    client.set("a", 1)
    with Wire(http) as greedy:
        greedy.socket.setblocking(False)
        slowest = 0
        for _ in range(300):
            try:
                greedy.socket.send(b"GET /metrics HTTP/1.1\r\n\r\n" * 300)
            except BlockingIOError:
                pass
            began = time.monotonic()
            assert client.get("a") == b"1"
            slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1
    assert server.rss() < 400 << 20


def test_out_of_descriptors(lab, database):
    """New connections wait; those that are there go on; then all goes on."""
    server = lab.respgres(database, http_port=free_port(), maxclients=1000)
    http = Http(server)
    client = server.client()
    client.set("a", 1)
    with Wire(http) as kept:
        assert kept.send(b"GET /healthz HTTP/1.1\r\n\r\n").answer()[0] == 200
        used = http.metrics().value("respgres_process_open_fds")
        old = resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (int(used) - 1, 20000))
        waiting = Wire(http).send(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert kept.send(b"GET /healthz HTTP/1.1\r\n\r\n").answer()[0] == 200
        assert client.get("a") == b"1"
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, old)
        assert waiting.answer() == (200, b"ok\n")
        waiting.socket.close()
    assert children_of(server.pid) == []
