"""TLS for clients: redis-cli, redis-py and raw sockets against tls-port, with an authority of our own."""

import contextlib
import os
import pathlib
import random
import re
import select
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

import pytest
import redis

from harness import TOP, RawClient, Respgres, encode, free_port, wait_until
from harness.servers import SANITIZERS
from harness.tls import Authority
from harness.util import clean_environ, remove_tree

CLIENTS = pathlib.Path(__file__).with_name("tls_apps") / "clients.js"

pytestmark = pytest.mark.rows


class Papers:
    """An authority and what it has signed, and another one that nobody trusts."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = Authority(folder)
        self.cert, self.key = self.ca.issue("server")
        self.client_cert, self.client_key = self.ca.issue("client", host="somebody")
        self.foreign = Authority(folder, "foreign")
        self.foreign_cert, self.foreign_key = self.foreign.issue("stranger")

    def options(self, **more):
        return {"tls_port": free_port(), "tls_cert_file": self.cert, "tls_key_file": self.key,
                "tls_ca_cert_file": self.ca.path, "tls_auth_clients": "optional", **more}

    def context(self, cert=None, key=None, ca=None):
        """What a careful client has."""
        made = ssl.create_default_context(cafile=str(ca or self.ca.path))
        if cert:
            made.load_cert_chain(cert, key)
        return made


@pytest.fixture(name="papers", scope="module")
def fixture_papers():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="respgres-tls-"))
    yield Papers(folder)
    remove_tree(folder)


class Site:
    """One respgres with both ports, that the tests of this file share, and ways to talk to it."""

    def __init__(self, server, papers):
        self.server = server
        self.papers = papers
        self.port = server.options["tls-port"]

    def connect(self, context=None, timeout=20, port=None):
        """A raw TLS socket."""
        plain = socket.create_connection(("127.0.0.1", port or self.port), timeout)
        try:
            return (context or self.papers.context()).wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise

    def raw(self, context=None, timeout=20, port=None):
        client = RawClient.__new__(RawClient)
        client.sock = self.connect(context, timeout, port)
        client.address = "%s:%d" % client.sock.getsockname()
        client._buffer = b""  # pylint: disable=protected-access
        return client

    def client(self, **options):
        return redis.Redis(**{"host": "127.0.0.1", "port": self.port, "ssl": True,
                              "ssl_ca_certs": str(self.papers.ca.path), "socket_timeout": 20, **options})

    def cli(self, *args, ca=None, port=None, check=False):
        done = subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", str(port or self.port), "--tls",
                               "--cacert", str(ca or self.papers.ca.path), *map(str, args)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                              env=clean_environ(), check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip() or done.stderr.strip()

    def failed(self):
        return self.server.client().info("respgres")["tls_handshakes_failed"]

    def timed_out(self):
        """How many of the two whose ten seconds ended at some time count as failed, too."""
        def closed(sock):
            sock.settimeout(0)
            try:
                return sock.recv(1, socket.MSG_PEEK) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True
        return closed(self.silent) + closed(self.half)

    def says(self, pattern, start=0, again=lambda: None):
        """Waits until the log, from `start`, has it. What others did before may be in the way of a
        line about a handshake; then `again` gives it another cause."""
        wait_until(lambda: re.search(pattern, self.server.log[start:]) or again(), 20, pattern, 0.1)


@pytest.fixture(name="site", scope="module")
def fixture_site(module_lab, papers):
    server = module_lab.respgres(module_lab.database(), loglevel="verbose", **papers.options())
    site = Site(server, papers)
    # For test_half_a_handshake_ends, which would have to wait for them otherwise.
    site.silent = socket.create_connection(("127.0.0.1", site.port))
    site.half = socket.create_connection(("127.0.0.1", site.port))
    site.half.sendall(b"\x16\x03\x01\x02\x00\x01")
    yield site
    site.silent.close()
    site.half.close()


# --- clients -------------------------------------------------------------------------------------

def test_redis_cli(site):
    assert site.cli("SET", "tls:cli", "värde", check=True) == "OK"
    assert site.cli("GET", "tls:cli", check=True) == "värde"
    assert site.server.cli("GET", "tls:cli").strip() == "värde"
    assert site.cli("INFO", "server", check=True).count("tcp_port:%d" % site.server.port) == 1


def test_who_does_not_trust_the_authority_does_not_connect(site):
    start, failed = len(site.server.log), site.failed()

    def distrust():
        assert "certificate verify failed" in site.cli("PING", ca=site.papers.foreign.path)

    distrust()
    wait_until(lambda: site.failed() > failed)
    site.says('reason="tlsv1 alert unknown ca"', start, distrust)
    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        site.client(ssl_ca_certs=str(site.papers.foreign.path)).ping()


@pytest.mark.parametrize("checks", ["required", "none"])
def test_redis_py_by_url(site, checks):
    url = f"rediss://localhost:{site.port}/1?ssl_cert_reqs={checks}"
    if checks == "required":
        url += f"&ssl_ca_certs={site.papers.ca.path}&ssl_check_hostname=true"
    client = redis.from_url(url, socket_timeout=20, decode_responses=True)
    assert client.set("tls:url", checks, ex=60) and client.get("tls:url") == checks
    with client.pipeline() as pipeline:
        assert pipeline.incr("tls:n").incr("tls:n").delete("tls:n").execute() == [1, 2, 1]
    mine = client.client_info()
    assert mine["laddr"] == f"127.0.0.1:{site.port}" and mine["db"] == 1


def test_the_certificate_is_for_a_name(site):
    context = site.papers.context()
    plain = socket.create_connection(("127.0.0.1", site.port), 20)
    with plain, pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        context.wrap_socket(plain, server_hostname="elsewhere.example")


def test_a_byte_a_record(site):
    with site.raw() as raw:
        raw.send_slowly(encode("SET", "tls:slow", "1") + encode("GET", "tls:slow"))
        assert (raw.reply(), raw.reply()) == (b"+OK\r\n", b"$1\r\n1\r\n")


@pytest.mark.long
def test_node_redis_and_ioredis(site):
    """npm fetches the packages."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm")
    folder = site.server.dir / "npm"
    folder.mkdir()
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, "redis@4", "ioredis@5"],
                   check=True, capture_output=True, timeout=110)
    done = subprocess.run(["node", CLIENTS, folder, f"rediss://localhost:{site.port}", site.papers.ca.path],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "node-redis 1 100000 true", 'ioredis [[null,"OK"],[null,2],[null,"2"]]', "refused true"]


# --- certificates of clients -------------------------------------------------------------------------

def asked(site, context, port):
    """PING's reply; with TLS 1.3 a client learns that it is refused only when it reads."""
    with site.raw(context, port=port) as raw:
        return raw.command("PING")


def test_client_certificates_are_required(lab, site, papers):
    # Without a word tls-auth-clients is yes, as in Redis.
    options = papers.options()
    del options["tls_auth_clients"]
    server = lab.respgres(site.server.options["database-url"], **options)
    port = options["tls_port"]
    assert asked(site, papers.context(papers.client_cert, papers.client_key), port) == b"+PONG\r\n"
    for context in (papers.context(), papers.context(papers.foreign_cert, papers.foreign_key)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            asked(site, context, port)
    assert "peer did not return a certificate" in server.log
    old = papers.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        asked(site, old, port)
    assert server.client().info("respgres")["tls_handshakes_failed"] == 3
    assert site.cli("--cert", papers.client_cert, "--key", papers.client_key, "PING", port=port) == "PONG"
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(b"PING\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(100) == b""
    assert re.search(r'event=tls-handshake-failed peer=127.0.0.1:\d+ reason="what the peer sends is not TLS"',
                     server.log)
    done = healthcheck("--tls-port", port, "--tls-cert-file", papers.cert, "--tls-key-file", papers.key)
    assert done.returncode == 0, done.stderr
    done = healthcheck("--tls-port", port)  # refused, so it lives
    assert done.returncode == 0, done.stderr


def test_client_certificates_are_optional(site, papers):
    assert asked(site, papers.context(), site.port) == b"+PONG\r\n"
    assert asked(site, papers.context(papers.client_cert, papers.client_key), site.port) == b"+PONG\r\n"

    def stranger():
        with pytest.raises((ssl.SSLError, ConnectionError)):
            asked(site, papers.context(papers.foreign_cert, papers.foreign_key), site.port)

    stranger()
    site.says('reason="unable to get local issuer certificate"', len(site.server.log), stranger)


def test_authorities_in_a_folder(site, papers):
    folder = papers.folder / "hashed"
    folder.mkdir()
    (folder / "one.pem").write_bytes(pathlib.Path(papers.foreign.path).read_bytes())
    subprocess.run(["openssl", "rehash", folder], check=True)
    client = site.server.client()
    try:
        assert client.config_set("tls-ca-cert-dir", str(folder))
        assert asked(site, papers.context(papers.foreign_cert, papers.foreign_key), site.port) == b"+PONG\r\n"
    finally:
        client.config_set("tls-ca-cert-dir", "")


# --- what is spoken ----------------------------------------------------------------------------------

def spoken(site, context):
    with site.connect(context) as sock:
        return sock.version(), sock.cipher()[0]


def test_protocols_and_ciphers(site, papers):
    client = site.server.client()
    old, new = papers.context(), papers.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    assert (spoken(site, old)[0], spoken(site, new)[0]) == ("TLSv1.2", "TLSv1.3")
    try:
        client.config_set("tls-protocols", "tlsv1.3")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            spoken(site, old)
        assert spoken(site, new)[0] == "TLSv1.3"
        client.config_set("tls-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256")
        assert spoken(site, new)[1] == "TLS_CHACHA20_POLY1305_SHA256"
        client.execute_command("CONFIG SET", "tls-protocols", "TLSv1.2", "tls-ciphers",
                               "ECDHE-ECDSA-AES128-GCM-SHA256", "tls-prefer-server-ciphers", "yes")
        assert spoken(site, old) == ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            spoken(site, new)
    finally:
        client.execute_command("CONFIG SET", "tls-protocols", "", "tls-ciphers", "", "tls-ciphersuites", "",
                               "tls-prefer-server-ciphers", "no")
    assert (spoken(site, old)[0], spoken(site, new)[0]) == ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_sessions_are_resumed(site, papers, version):
    context = papers.context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

    def visit(session=None):
        plain = socket.create_connection(("127.0.0.1", site.port), 20)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as sock:
            sock.sendall(b"PING\r\n")
            assert sock.recv(100) == b"+PONG\r\n"
            return sock.session, sock.session_reused

    session, reused = visit()
    assert not reused
    assert visit(session)[1]
    client = site.server.client()
    client.config_set("tls-session-caching", "no")
    try:
        session, reused = visit(session)  # a new context does not know the old one's sessions
        assert not reused
        assert not visit(session)[1]
    finally:
        client.config_set("tls-session-caching", "yes")


class OpenSslClient:
    """openssl s_client, for what no client library has a function for."""

    def __init__(self, lab, site, *options):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-CAfile", site.papers.ca.path,
             "-brief", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            bufsize=0)
        lab._processes.append(self.process)  # pylint: disable=protected-access
        self.seen = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while more := os.read(self.process.stdout.fileno(), 1000):
            self.seen += more

    def send(self, line):
        self.process.stdin.write(line)

    def ping(self):
        before = self.seen.count(b"+PONG")
        self.send(b"PING\n")
        wait_until(lambda: self.seen.count(b"+PONG") > before)


def test_keys_are_updated(module_lab, site):
    """A letter at the beginning of what s_client reads is a command: K asks for new keys both ways."""
    client = OpenSslClient(module_lab, site, "-tls1_3")
    client.ping()
    for count, letter in enumerate((b"K\n", b"k\n", b"K\n"), 1):
        client.send(letter)
        wait_until(lambda: client.seen.count(b"KEYUPDATE") == count)  # pylint: disable=cell-var-from-loop
        client.ping()


def test_nobody_renegotiates(module_lab, site):
    client = OpenSslClient(module_lab, site, "-tls1_2")
    client.ping()
    client.send(b"R\n")
    wait_until(lambda: b"RENEGOTIATING" in client.seen)
    wait_until(lambda: client.process.poll() is not None)  # it does not put up with the refusal
    before = cpu_seconds(site.server.pid)
    time.sleep(0.3)
    assert cpu_seconds(site.server.pid) - before < 0.2
    assert site.client().ping()


# --- options -----------------------------------------------------------------------------------------

def refused(client, *pairs):
    with pytest.raises(redis.ResponseError) as info:
        client.execute_command("CONFIG SET", *map(str, pairs))
    return str(info.value)


def test_a_bad_file_leaves_what_was(site, papers):
    client = site.server.client()
    junk = papers.folder / "junk"
    junk.write_text("no PEM\n")
    before = client.config_get("tls-*")
    for name, value, reason in (
            ("tls-cert-file", "/nowhere/a.crt", "/nowhere/a.crt: No such file or directory"),
            ("tls-cert-file", junk, "no certificate in PEM form"),
            ("tls-cert-file", papers.client_cert, "does not belong to the certificate"),
            ("tls-key-file", papers.client_key, "does not belong to the certificate"),
            ("tls-key-file", junk, "no private key in PEM form"),
            ("tls-ca-cert-file", junk, "no certificate in PEM form"),
            ("tls-ca-cert-file", "", "tls-auth-clients no"),
            ("tls-ca-cert-dir", "/nowhere", "no such folder"),
            ("tls-dh-params-file", junk, "no parameters in PEM form"),
            ("tls-ciphers", "nonsense", "no cipher match"),
            ("tls-ciphersuites", "nonsense", "tls-ciphersuites: "),
            ("tls-cert-file", "", "needs tls-cert-file")):
        said = refused(client, name, value)
        assert said.startswith("CONFIG SET failed (possibly related to argument "
                               f"'{name}') - Unable to update TLS configuration. "), said
        assert reason in said
        assert client.config_get("tls-*") == before
    assert "Invalid tls-protocols specified. Use a combination of 'TLSv1'" in refused(
        client, "tls-protocols", "TLSv1.2 SSLv3")
    assert "must be one of the following" in refused(client, "tls-auth-clients", "maybe")
    assert "Unknown option" in refused(client, "tls-nonsense", "1")
    # All or nothing, with what has nothing to do with it.
    timeout = client.config_get("timeout")
    refused(client, "timeout", "77", "tls-key-file", junk)
    assert client.config_get("timeout") == timeout
    assert site.client().ping()


def test_options_as_redis_has_them(site, lab, papers):
    """The names that Redis has, and its defaults, are ours."""
    plain = lab.redis()
    theirs = plain.client().config_get("tls-*")
    defaults = lab.respgres(site.server.options["database-url"]).client().config_get("tls-*")
    assert defaults == theirs


def test_a_key_with_a_password(lab, site, papers):
    cert, key = papers.ca.issue("locked", password="geheim")
    secret = papers.folder / "password"
    secret.write_text("geheim\n")
    options = papers.options(tls_cert_file=cert, tls_key_file=key)
    url = site.server.options["database-url"]
    server = lab.respgres(url, env={"RESPGRES_CONF_TLS_KEY_FILE_PASS_FILE": str(secret)}, **options)
    assert asked(site, None, options["tls_port"]) == b"+PONG\r\n"
    client = server.client()
    assert client.config_get("tls-key-file-pass") == {"tls-key-file-pass": "(redacted)"}
    assert "one with a password that is not that of tls-key-file-pass" in refused(
        client, "tls-key-file-pass", "falsch")
    assert "geheim" not in server.log and "falsch" not in server.log
    # Nobody is asked on a terminal.
    done = check("--tls-port", "1", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients",
                 "no")
    assert done.returncode == 1
    assert f"tls-key-file {key}: no private key in PEM form, or one with a password and there is no " \
           "tls-key-file-pass" in done.stderr


def test_only_tls(lab, site, papers):
    """port 0, and a tls-port that is opened, moved and closed at run time."""
    options = papers.options()
    server = lab.respgres(site.server.options["database-url"], port=0, start=None, **options)
    port, other = options["tls_port"], free_port()
    wait_until(lambda: re.search("event=state .*to=online", server.log), 60)
    client = site.client(port=port)
    info = client.info()
    assert info["tcp_port"] == port and info["instance_name"].endswith(f":{port}")
    assert healthcheck("--port", "0", "--tls-port", port).returncode == 0
    assert client.client_list()[0]["laddr"] == f"127.0.0.1:{port}"

    assert client.config_set("tls-port", other)
    assert client.ping() and site.client(port=other).ping()  # who was there stays
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    said = refused(client, "tls-port", str(site.port))
    assert "tls-port" in said and "Address already in use" in said
    assert site.client(port=other).ping() and client.config_get("tls-port") == {"tls-port": str(other)}
    assert client.config_set("tls-port", 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", other))
    assert client.info("respgres")["tls_certificate_expires"] == 0
    assert client.config_set("tls-port", port) and site.client(port=port).ping()
    server.sigterm()
    assert healthcheck("--port", "0", "--tls-port", port).returncode == 1


def test_tls_port_and_port_are_two(site):
    said = refused(site.server.client(), "tls-port", str(site.server.port))
    assert "the same as port" in said


def run(*arguments, **env):
    return subprocess.run([Respgres.binary(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=30, stdin=subprocess.DEVNULL, env=clean_environ(**SANITIZERS, **env),
                          check=False, start_new_session=True)


def check(*arguments):
    return run("--check-config", "--standalone", "yes", *arguments)


def healthcheck(*arguments):
    return run("--healthcheck", "--port", "0", *arguments)


def test_the_start_and_the_checks_say_what_is_wrong(papers):
    expired = papers.ca.issue("expired", when="2021-01-01 12:00:00", days=30)
    soon = papers.ca.issue("soon", days=5)
    files = {"server": (papers.cert, papers.key), "mixed": (papers.cert, papers.client_key),
             "expired": expired, "soon": soon}
    flags = {name: ["--tls-port", "1", "--tls-auth-clients", "no", "--tls-cert-file", cert,
                    "--tls-key-file", key] for name, (cert, key) in files.items()}
    done = check(*flags["server"])
    assert done.returncode == 0 and "# certificate: /CN=localhost, until 20" in done.stdout
    for start in (["--check-config", "--standalone", "yes"], ["--standalone", "yes", "--port", "0", "--dir", papers.folder]):
        done = run(*start, *flags["mixed"])
        assert done.returncode == 1 and done.stdout == ""
        assert f"respgres: tls-key-file {papers.client_key} does not belong to the certificate in " \
               f"tls-cert-file {papers.cert}" in done.stderr
    done = check("--tls-port", "1")
    assert done.returncode == 1 and "needs tls-cert-file and tls-key-file" in done.stderr
    done = check("--tls-port", "7", "--port", "7")
    assert done.returncode == 1 and "the same as port" in done.stderr
    found = {name: run("--doctor", *options).stdout for name, options in flags.items()}
    text = {name: " ".join(out.split()) for name, out in found.items()}
    assert "ok The certificate for clients, /CN=localhost, is valid until 20" in text["server"]
    assert "BLOCKER tls-key-file" in text["mixed"]
    assert "warning The certificate for clients, /CN=localhost, expired on 2021-01-31 12:00 UTC" \
        in text["expired"]
    assert "warning The certificate for clients, /CN=localhost, expires on 20" in text["soon"]


def test_the_page_shows_what_works(lab, tmp_path):
    """docs/tls.md: its authority, its certificates, its respgres and its redis-cli."""
    text = (TOP / "docs/tls.md").read_text(encoding="utf8").replace("\\\n", "")
    typed = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    port = free_port()

    def shell(line):
        done = subprocess.run(line.replace("6380", str(port)), shell=True, cwd=tmp_path, text=True,
                              capture_output=True, timeout=30, env=clean_environ(), check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done.stdout.strip()

    for line in typed:
        if line.startswith("openssl req"):
            shell(line)
    (start,) = [line for line in typed if line.startswith("respgres --port 0")]
    options = dict(zip(*[iter(start.split()[1:])] * 2))
    server = lab.respgres(lab.database(), start=None, **{
        name.removeprefix("--").replace("-", "_"): tmp_path / value if "." in value else value
        for name, value in options.items()} | {"tls_port": port})
    wait_until(lambda: re.search("event=state .*to=online", server.log), 60)
    asked_for = [line for line in typed if line.startswith("redis-cli -p 6380")]
    assert len(asked_for) == 2
    assert [shell(line) for line in asked_for] == ["PONG", "PONG"]
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}/ca.crt&ssl_check_hostname=true"
    assert redis.from_url(url + f"&ssl_certfile={tmp_path}/client.crt&ssl_keyfile={tmp_path}/client.key").ping()


# --- reload ------------------------------------------------------------------------------------------

def serial(site, port):
    with site.connect(port=port) as sock:
        return sock.getpeercert()["serialNumber"]


def test_reload_while_fifty_connections_work(lab, site, papers):
    """SIGHUP reads new files: none of the connections breaks, new ones see the new certificate."""
    cert, key = papers.folder / "live.crt", papers.folder / "live.key"

    def put(name):
        made = papers.ca.issue(name)
        os.replace(made[0], cert)
        os.replace(made[1], key)

    put("first")
    options = papers.options(tls_cert_file=cert, tls_key_file=key)
    server = lab.respgres(site.server.options["database-url"], **options)
    port, stop, counts, errors = options["tls_port"], threading.Event(), [0] * 50, []

    def work(number):
        try:
            with site.raw(port=port) as raw:
                while not stop.is_set():
                    assert raw.command("ECHO", "x" * 3000) == b"$3000\r\n" + b"x" * 3000 + b"\r\n"
                    counts[number] += 1
        except (OSError, AssertionError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: min(counts) > 2 or errors, 30)
        seen = {serial(site, port)}
        expires = server.client().info("respgres")["tls_certificate_expires"]
        for name in ("second", "third"):
            put(name)
            logged = server.log.count("config-reloaded")
            server.sighup()
            wait_until(lambda: server.log.count("config-reloaded") > logged)  # pylint: disable=cell-var-from-loop
            seen.add(serial(site, port))
        assert len(seen) == 3
        assert server.client().info("respgres")["tls_certificate_expires"] >= expires > time.time()
        # A bad one: the log says why, and the last good one stays.
        key.write_text("no key\n")
        server.sighup()
        wait_until(lambda: "config-not-reloaded" in server.log)
        assert "no private key in PEM form" in server.log
        assert serial(site, port) in seen
        before = list(counts)
        wait_until(lambda: all(now > then for now, then in zip(counts, before)) or errors, 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []


def test_setting_the_same_file_reads_it_again(lab, site, papers):
    cert, key = papers.ca.issue("same")
    options = papers.options(tls_cert_file=cert, tls_key_file=key)
    server = lab.respgres(site.server.options["database-url"], **options)
    before = serial(site, options["tls_port"])
    papers.ca.issue("same")
    assert serial(site, options["tls_port"]) == before
    assert server.client().config_set("maxclients", 500)
    assert serial(site, options["tls_port"]) == before
    assert server.client().config_set("tls-cert-file", str(cert))
    assert serial(site, options["tls_port"]) != before


# --- amounts -----------------------------------------------------------------------------------------

def test_a_hundred_megabytes_both_ways(site):
    value = random.Random(1).randbytes(1 << 20) * 100
    client = site.client(socket_timeout=100)
    assert client.echo(value) == value


@pytest.mark.long
def test_a_value_of_a_hundred_megabytes(lab, papers):
    options = papers.options()
    server = lab.respgres(lab.database(), pg_timeout="60s", **options)
    client = Site(server, papers).client(socket_timeout=100)
    value = random.Random(2).randbytes(1 << 20) * 100
    assert client.set("tls:large", value) and client.get("tls:large") == value


class BothWays:
    """Sends and reads at once in one thread: two may not use one TLS connection at the same time."""

    def __init__(self, raw, data):
        self.sock = raw.sock
        self.sock.setblocking(False)
        self.unsent = memoryview(data)
        self.got = bytearray()

    def push(self):
        """Sends what the server takes."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent[:16384]):]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass

    def pull(self):
        try:
            while True:
                more = self.sock.recv(65536)
                assert more, "closed by the server"
                self.got += more
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass

    def until(self, size, timeout=60):
        """All is sent, and so many bytes have come."""
        deadline = time.monotonic() + timeout
        while self.unsent or len(self.got) < size:
            assert time.monotonic() < deadline, (len(self.unsent), len(self.got))
            select.select([self.sock], [self.sock] if self.unsent else [], [], 1)
            self.push()
            self.pull()
        return bytes(self.got)


def test_ten_thousand_commands_at_once(site):
    with site.raw() as raw:
        asked_for = b"".join(encode("SET", f"tls:{n % 50}", n) + encode("GET", f"tls:{n % 50}")
                             for n in range(5000))
        expected = b"".join(b"+OK\r\n$%d\r\n%d\r\n" % (len(str(n)), n) for n in range(5000))
        assert BothWays(raw, asked_for).until(len(expected)) == expected


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.alone
def test_who_does_not_read_is_waited_for(site):
    """It is paused in the middle of what has been read ahead, costs nothing, and then gets all."""
    with site.raw() as raw:
        total = 30000
        values = [b"%06d" % n + b"y" * 994 for n in range(total)]
        talk = BothWays(raw, b"".join(encode("ECHO", value) for value in values))
        client = site.server.client()

        def waiting():
            talk.push()
            found = [c for c in client.client_list() if c["addr"] == raw.address]
            return found and int(found[0]["omem"]) > 500000

        wait_until(waiting, 30)
        time.sleep(0.3)
        before = cpu_seconds(site.server.pid)
        time.sleep(1)
        assert cpu_seconds(site.server.pid) - before < 0.3
        assert talk.unsent, "it has taken all"
        assert site.server.rss() < 1 << 30
        expected = b"".join(b"$1000\r\n%s\r\n" % value for value in values)
        assert talk.until(len(expected)) == expected


def test_who_does_not_read_is_closed_at_the_limit(site):
    client = site.server.client()
    start = len(site.server.log)
    client.config_set("client-output-buffer-limit", "normal 500000 0 0")
    try:
        with site.raw() as raw:
            value = b"z" * 900000
            with pytest.raises(OSError):
                for _ in range(100):
                    raw.send(encode("ECHO", value))
            site.says("client-output-limit", start)
    finally:
        client.config_set("client-output-buffer-limit", "normal 0 0 0")
    assert site.client().ping()


# --- ends --------------------------------------------------------------------------------------------

def test_quit_says_goodbye(site):
    context = site.papers.context()
    plain = socket.create_connection(("127.0.0.1", site.port), 20)
    with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
        sock.sendall(b"QUIT\r\n")
        assert sock.recv(100) == b"+OK\r\n"
        assert sock.recv(100) == b""  # without close_notify this would be an SSLEOFError


def test_the_peers_goodbye_comes_before_the_replies(site):
    """What was sent before the end is answered: as after a shutdown of the plain socket's one half."""
    context, to_us, to_them = site.papers.context(), ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(to_us, to_them, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", site.port), 20) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(to_them.read())
                to_us.write(sock.recv(65536))
        sock.sendall(to_them.read())
        tls.write(encode("SET", "tls:half", "1") + encode("GET", "tls:half"))
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        sock.sendall(to_them.read())
        came = b""
        while True:
            more = sock.recv(65536)
            if not more:
                break
            to_us.write(more)
        try:
            while True:
                came += tls.read(1000)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
    assert came == b"+OK\r\n$1\r\n1\r\n"


def test_an_end_without_goodbye(site):
    with site.raw() as raw:
        raw.send(encode("SET", "tls:ragged", "1"))
        socket.socket.shutdown(raw.sock, socket.SHUT_WR)  # SSLSocket's own would forget TLS
        assert raw.reply() == b"+OK\r\n"
    assert site.server.client().get("tls:ragged") == b"1"


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_resets(site):
    """In the middle of the handshake, of a request, and of a reply."""
    count = len(site.server.client().client_list())
    for _ in range(20):
        sock = socket.create_connection(("127.0.0.1", site.port))
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        reset(sock)
        raw = site.raw()
        raw.send(b"*2\r\n$4\r\nECHO\r\n$100000\r\n" + b"x" * 50000)
        reset(raw.sock)
        raw = site.raw()
        raw.send(encode("ECHO", b"x" * 5000000))
        reset(raw.sock)
    wait_until(lambda: len(site.server.client().client_list()) <= count, 20)
    assert site.client().ping()


# --- what is not TLS ---------------------------------------------------------------------------------

def test_garbage_on_the_tls_port(site, seed):
    rng = random.Random(seed)
    before, start, failed = site.timed_out(), len(site.server.log), site.failed()
    sent = [b"*1\r\n$4\r\nPING\r\n", b"PING\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00" * 300,
            b"\x16\x03\x01\xff\xff" + b"a" * 300, b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
            b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", b"\x80\x2e\x01\x00\x02", b"\x15\x03\x01\x00\x02\x02\x28",
            b"\x16" + b"\x80" * 20000]
    sent += [rng.randbytes(rng.randrange(1, 2000)) for _ in range(40)]
    sent += [b"\x16\x03\x03" + struct.pack(">H", n) + rng.randbytes(n) for n in (1, 2, 40, 500, 16000)]
    for data in sent:
        with socket.create_connection(("127.0.0.1", site.port), 20) as sock:
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1000):
                    pass
            except OSError:
                pass
    wait_until(lambda: site.failed() - failed >= len(sent))
    assert site.failed() - failed - len(sent) <= site.timed_out() - before
    # Ten lines in ten seconds, however many there are.
    assert site.server.log[start:].count("tls-handshake-failed") <= 20
    assert site.client().ping()


def test_a_look_at_the_port_is_not_worth_a_line(site):
    before, start, failed = site.timed_out(), len(site.server.log), site.failed()
    for _ in range(5):
        socket.create_connection(("127.0.0.1", site.port)).close()
    assert site.client().ping()
    failed, lines = site.failed() - failed, site.server.log[start:].count("tls-handshake-failed")
    assert max(failed, lines) <= site.timed_out() - before


# --- limits ------------------------------------------------------------------------------------------

def test_maxclients_counts_them(site):
    client = site.server.client()

    def full():
        """Nobody more is let in; some of those that were counted may have gone since."""
        client.config_set("maxclients", len(client.client_list()))
        try:
            site.connect().close()
            return False
        except (ssl.SSLError, ConnectionError):
            return True

    try:
        with site.raw() as one, site.raw() as two:
            assert one.command("PING") == two.command("PING") == b"+PONG\r\n"
            wait_until(full)
            assert one.command("PING") == b"+PONG\r\n"
            client.config_set("maxclients", 10000)
            assert site.client().ping()
    finally:
        client.config_set("maxclients", 10000)
    assert site.client().ping()


def outside_address():
    """An address of this host that is not the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # nothing is sent
            found = sock.getsockname()[0]
        except OSError:
            found = "127.0.0.1"
    return None if found.startswith("127.") else found


def test_protected_mode_answers_over_tls(lab, site, papers):
    address = outside_address()
    if address is None:
        pytest.skip("this host has no address but the loopback's")
    options = papers.options(bind=f"127.0.0.1 {address}")
    server = lab.respgres(site.server.options["database-url"], **options)
    context = papers.context()
    context.check_hostname = False
    with context.wrap_socket(socket.create_connection((address, options["tls_port"]), 20)) as sock:
        text = b""
        while more := sock.recv(1000):
            text += more
    assert text.startswith(b"-DENIED Redis is running in protected mode") and text.endswith(b"\r\n")
    client = server.client()
    assert client.info("stats")["rejected_connections"] == 1
    client.config_set("protected-mode", "no")
    with context.wrap_socket(socket.create_connection((address, options["tls_port"]), 20)) as sock:
        sock.sendall(b"PING\r\n")
        assert sock.recv(100) == b"+PONG\r\n"


def test_a_storm_of_connections(site):
    """Hundreds of handshakes at once: all come in, and who is there already is served meanwhile."""
    workers, each, errors, slowest, done = 20, 15, [], [0.0], threading.Event()

    def storm():
        try:
            held = [site.raw(timeout=60) for _ in range(each)]
            for raw in held:
                assert raw.command("PING") == b"+PONG\r\n"
                raw.close()
        except (OSError, AssertionError) as error:
            errors.append(error)

    def calm():
        with site.server.raw() as raw:
            while not done.is_set():
                from_s = time.monotonic()
                assert raw.command("PING") == b"+PONG\r\n"
                slowest[0] = max(slowest[0], time.monotonic() - from_s)

    watcher = threading.Thread(target=calm)
    threads = [threading.Thread(target=storm) for _ in range(workers)]
    for thread in [watcher, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    watcher.join()
    assert errors == []
    assert slowest[0] < 5


def test_half_a_handshake_ends(site):
    """Who has said nothing, or the half of a hello, is closed after ten seconds. They were opened when
    the tests of this file began."""
    for sock in (site.silent, site.half):
        sock.settimeout(40)
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass
    assert site.client().ping()


@pytest.mark.long
def test_half_handshakes_take_little_memory(lab, papers):
    """A thousand that stop in the middle of their hello, and two thousand that say nothing."""
    options = papers.options()
    server = lab.respgres(lab.database(), **options)
    address = ("127.0.0.1", options["tls_port"])
    assert server.client().ping()
    before = server.rss()
    socks = [socket.create_connection(address) for _ in range(2000)]
    wait_until(lambda: len(server.client().client_list()) > 2000, 60)
    silent = server.rss() - before
    for sock in socks[:1000]:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 100)
    time.sleep(2)
    half = server.rss() - before
    asan = "asan" in str(Respgres.binary())
    assert silent < 2000 * (60000 if asan else 8000)
    assert half - silent < 1000 * (200000 if asan else 60000)
    wait_until(lambda: len(server.client().client_list()) < 5, 60)
    for sock in socks:
        sock.close()


def test_the_process_ends_with_connections_open(lab, site, papers):
    options = papers.options()
    server = lab.respgres(site.server.options["database-url"], **options)
    open_ones = [site.raw(port=options["tls_port"]) for _ in range(5)]
    half = socket.create_connection(("127.0.0.1", options["tls_port"]))
    half.sendall(b"\x16\x03\x01\x02")
    assert open_ones[0].command("PING") == b"+PONG\r\n"
    assert server.sigterm() == 0
    for raw in open_ones:
        assert raw.rest() == b""
        raw.close()
    half.close()
