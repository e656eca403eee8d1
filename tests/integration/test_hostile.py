"""Clients that mean no good, beside one that works all the time and must not notice. (What single bytes
do is in test_bad_input.py, what is held before a client has logged in in test_limits.py.)"""

import socket
import threading
import time

import pytest

from harness import encode, wait_until
from harness.servers import PROMPT
from test_bad_input import (MB, Bystander, assert_same, both, bystander,  # noqa: F401 pylint: disable=unused-import
                            everything_sent_back, send_until_blocked, shared_both)

TCP_REPAIR = 19  # <linux/tcp.h>

PROTOCOL = {
    "RESP3 push": b">2\r\n$4\r\nPING\r\n$1\r\na\r\n",
    "RESP3 set": b"~1\r\n$4\r\nPING\r\n",
    "RESP3 push inside": b"*1\r\n>1\r\n$4\r\nPING\r\n",
    "RESP3 attribute inside": b"*2\r\n$4\r\nECHO\r\n|1\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nx\r\n",
    "RESP3 boolean": b"*2\r\n$3\r\nGET\r\n#t\r\n",
    "RESP3 verbatim": b"*1\r\n=8\r\ntxt:PING\r\n",
    "RESP3 big number": b"*2\r\n$3\r\nGET\r\n(12345678901234567890\r\n",
    "streamed string": b"*2\r\n$3\r\nGET\r\n$?\r\n;1\r\na\r\n;0\r\n",
    "streamed array": b"*?\r\n$4\r\nPING\r\n.\r\n",
    "least array": b"*-9223372036854775808\r\n",
    "array below 64 bits": b"*-9223372036854775809\r\n",
    "array of 2^63": b"*9223372036854775808\r\n",
    "array of 2^64": b"*18446744073709551616\r\n",
    "array of 2^31": b"*2147483648\r\n",
    "least bulk": b"*1\r\n$-9223372036854775808\r\n",
    "bulk of 2^63 - 1": b"*1\r\n$9223372036854775807\r\n",
    "bulk of 2^64 - 1": b"*1\r\n$18446744073709551615\r\n",
    "bulk of 2^32 + 4": b"*1\r\n$4294967300\r\nPING\r\n",
    "bulk of -2": b"*1\r\n$-2\r\nPING\r\n",
    "minus zero": b"*-0\r\n",
    "hexadecimal": b"*0x1\r\n$4\r\nPING\r\n",
}


@pytest.mark.parametrize("name", PROTOCOL)
def test_protocol(both, name):  # noqa: F811
    assert_same(both, PROTOCOL[name])
    assert_same(both, PROTOCOL[name], slowly=True)


def test_multi_in_multi_a_thousand_times(both):  # noqa: F811
    assert_same(both, encode("MULTI") * 1000 + encode("EXEC") * 1000 + encode("DISCARD") * 10)


def test_a_block_of_many_commands(both, bystander):  # noqa: F811
    count = 20_000
    for server in both:
        with server.raw() as raw:
            threading.Thread(target=raw.send, daemon=True, args=(
                encode("MULTI") + encode("INCR", "n") * count + encode("EXEC"),)).start()
            assert raw.reply() == b"+OK\r\n"
            assert all(raw.reply() == b"+QUEUED\r\n" for _ in range(count))
            assert raw.reply() == b"*%d\r\n" % count + b"".join(
                b":%d\r\n" % n for n in range(1, count + 1))


def test_a_pipeline_that_nobody_reads(lab, database):
    """Small commands without end. It is held up, it holds little, and what was taken was done once."""
    ours = lab.respgres(database, env=PROMPT)
    other = Bystander(ours.client(), ours.pid)
    before = ours.rss()
    with ours.raw() as raw:
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = send_until_blocked(raw, encode("INCR", "pipe") * 1000, most=50 * MB)
        other.finish()
        assert sent < 50 * MB, "it was never held up"
        assert ours.rss() - before < 50 * MB
        raw.sock.settimeout(20)
        for expected in range(1, 2001):
            assert raw.reply() == b":%d\r\n" % expected


def test_many_that_send_a_byte_now_and_then(both, bystander):  # noqa: F811
    ours = both[1]
    request = encode("INCR", "slow")
    clients = [ours.raw() for _ in range(100)]
    for i in range(len(request)):
        for raw in clients:
            raw.send(request[i:i + 1])
        time.sleep(0.01)
    assert sorted(int(raw.reply()[1:]) for raw in clients) == list(range(1, 101))
    for raw in clients:
        raw.close()
    assert bystander.error is None


def test_a_storm_of_connections(both, bystander):  # noqa: F811
    """They come and go as fast as they can, half of them with a reset; some say something."""
    ours = both[1]
    ending = threading.Event()

    def storm():
        number = 0
        while not ending.is_set():
            number += 1
            try:
                with socket.create_connection(("127.0.0.1", ours.port), timeout=20) as s:
                    if number % 3 == 0:
                        s.sendall(encode("SET", "storm", number))
                    if number % 2 == 0:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            except OSError:
                pass  # reset while it was accepted

    threads = [threading.Thread(target=storm, daemon=True) for _ in range(4)]
    start = bystander.rounds
    for thread in threads:
        thread.start()
    probe = ours.client()
    before = probe.info("stats")["total_connections_received"]
    wait_until(lambda: probe.info("stats")["total_connections_received"] > before + 1000, what="it is a storm")
    wait_until(lambda: bystander.error or bystander.rounds > start + 20, what="the storm starves nobody")
    ending.set()
    for thread in threads:
        thread.join(20)
    bystander.finish()
    probe.close()
    wait_until(lambda: ours.client().info("clients")["connected_clients"] <= 3)


def vanish(s):
    """The peer is not told. Needs CAP_NET_ADMIN."""
    try:
        s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except OSError:
        pytest.skip("no socket can vanish here")
    s.close()


def test_half_open_sockets_are_found_out(lab, database):
    """By tcp-keepalive; before that they hold what they sent, and no more."""
    server = lab.respgres(database, tcp_keepalive=1)
    with server.raw() as raw:
        assert raw.command("SET", "k", "v") == b"+OK\r\n"
        before = server.rss()
        begun = time.monotonic()
        for number in range(50):
            s = socket.create_connection(("127.0.0.1", server.port))
            s.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nx" if number % 2 else b"PING\r\n")
            if number % 2 == 0:
                s.recv(100)
            vanish(s)
        held = int(server.info("clients")["connected_clients"])
        assert held > 40 or time.monotonic() - begun > 1
        assert server.rss() - before < 50 * MB
        wait_until(lambda: raw.command("INFO", "clients").count(b"connected_clients:1\r\n"), 20,
                   "only this one is left")
        assert raw.command("GET", "k") == b"$1\r\nv\r\n"


def test_garbage_again_and_again(both, bystander):  # noqa: F811
    payload = bytes(range(256)) * 300 + b"\r\n" + b"*1\r\n$1000000000000\r\n"
    for _ in range(100):
        assert everything_sent_back(both[1], payload).count(b"-ERR") >= 1
    bystander.finish()
    assert "protocol-error" not in both[1].log, "the log is flooded"
