"""Handshakes and records that were tampered with, against tls-port: nothing leaks, nobody is stuck."""

import contextlib
import os
import pathlib
import random
import socket
import ssl
import tempfile
import time

import pytest

from harness import encode, free_port, wait_until
from harness.tls import Authority
from harness.util import remove_tree

pytestmark = pytest.mark.rows


class Peer:
    """A client whose bytes pass through our hands before they are sent."""

    def __init__(self, port, context, rng):
        self.rng = rng
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        self.sock.settimeout(0.5)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def tampered(self, data):
        """One to four changes of the kinds that length fields, types and truncations are made of."""
        data, rng = bytearray(data), self.rng
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) + 1)
            kind = rng.randrange(6)
            if kind == 0 and at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[at:at] = rng.randbytes(rng.randint(1, 40))
            elif kind == 2:
                del data[at:at + rng.randint(1, 40)]
            elif kind == 3 and at + 2 <= len(data):
                data[at:at + 2] = rng.choice((b"\x00\x00", b"\xff\xff", b"\x40\x00", b"\x00\x01"))
            elif kind == 4:
                data[at:at] = data[max(0, at - rng.randint(1, 200)):at]
            else:
                del data[at:]
        return bytes(data)

    def flush(self, tamper):
        """Sends what TLS has to say, in pieces; false if that was nothing."""
        data = self.outgoing.read()
        if tamper and data:
            data = self.tampered(data)
        while data:
            n = len(data) if self.rng.random() < 0.7 else self.rng.randint(1, len(data))
            self.sock.sendall(data[:n])
            data = data[n:]

    def take(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed")
        self.incoming.write(data)

    def shake_hands(self, tampered_flight):
        """The number of the flight that is tampered with; None: none is."""
        flight = 0
        while True:
            try:
                self.tls.do_handshake()
                self.flush(tampered_flight == flight)
                return
            except ssl.SSLWantReadError:
                self.flush(tampered_flight == flight)
                flight += 1
                self.take()

    def talk(self, tampered):
        for _ in range(self.rng.randint(1, 4)):
            self.tls.write(encode("ECHO", self.rng.randbytes(self.rng.choice((1, 100, 20000)))))
            self.flush(tampered and self.rng.random() < 0.5)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.read(100)

    def end(self):
        if self.rng.random() < 0.3:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()


def one(port, contexts, rng):
    peer = Peer(port, rng.choice(contexts), rng)
    peer.sock.settimeout(0.05)
    try:
        what = rng.randrange(4)
        peer.shake_hands(what if what < 3 else None)
        peer.talk(rng.random() < 0.8)
        peer.take()
    except (OSError, ssl.SSLError, ValueError):
        pass
    finally:
        peer.end()


@pytest.fixture(name="fuzzed")
def fixture_fuzzed(lab):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="respgres-tls-"))
    authority = Authority(folder)
    cert, key = authority.issue("server")
    mine = authority.issue("client")
    server = lab.respgres(lab.database(), tls_port=free_port(), tls_cert_file=cert, tls_key_file=key,
                          tls_ca_cert_file=authority.path, tls_auth_clients="optional")
    contexts = []
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for with_certificate in (False, True):
            context = ssl.create_default_context(cafile=str(authority.path))
            context.minimum_version = context.maximum_version = version
            if with_certificate:
                context.load_cert_chain(*mine)
            contexts.append(context)
    yield server, server.options["tls-port"], contexts
    remove_tree(folder)


def open_files(server):
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def fuzz(fuzzed, seed, seconds, rounds):
    server, port, contexts = fuzzed
    rng = random.Random(seed)
    client = server.client()
    for context in contexts:  # what is made once
        Peer(port, context, rng).shake_hands(None)
    wait_until(lambda: len(client.client_list()) == 1)
    files, sizes = open_files(server), []

    def enough():
        counts = client.info("respgres")
        return counts["tls_handshakes"] > 4 and counts["tls_handshakes_failed"] > 4

    for _ in range(rounds):
        until = time.monotonic() + seconds / rounds
        while time.monotonic() < until or not enough():
            assert time.monotonic() < until + 60, "too few of one kind"
            one(port, contexts, rng)
        assert client.ping()
        # Those that stopped in the middle of something have ten seconds, unless they went away.
        wait_until(lambda: len(client.client_list()) == 1, 40)
        wait_until(lambda: open_files(server) == files, what="nothing is left open")
        sizes.append(server.rss())
    return sizes


def test_tampered_handshakes(fuzzed, seed):
    """The sanitizers and the leak check at the end of the process are the judges."""
    fuzz(fuzzed, seed, 4, 1)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_tampered_handshakes_for_minutes(fuzzed, seed):
    sizes = fuzz(fuzzed, seed, 180, 6)
    # What is freed is kept back for a while by the sanitizer (256 MB): it fills up first.
    assert sizes[-1] < sizes[2] + (300 << 20)
