"""Files that the configuration names and that are none: a FIFO, a device, a folder. Whoever opens a FIFO waits
for its other end: at a reload nobody would be answered."""

import os

import pytest

from harness import free_port, wait_until
from harness.tls import Authority

pytestmark = pytest.mark.rows


def fails_at_the_start(server, words):
    server.start(wait=None)
    assert server.wait() == 1
    server.expected_status = 1
    assert words in server.log


def make_fifo(path):
    path.unlink()
    os.mkfifo(path)


def reloads_in_vain(server, words):
    """It says so, and goes on as before."""
    client = server.client()
    before = server.log.count(words)
    server.sighup()
    wait_until(lambda: server.log.count(words) > before, 20, f"it says {words!r}")
    assert client.ping()


@pytest.mark.parametrize("option", ["tls-cert-file", "tls-key-file", "tls-ca-cert-file"])
def test_of_tls(lab, database, tmp_path, option):
    authority = Authority(tmp_path)
    cert, key = authority.issue("server")
    files = {"tls-cert-file": cert, "tls-key-file": key, "tls-ca-cert-file": authority.path}
    server = lab.respgres(database, tls_port=free_port(), **files)
    make_fifo(files[option])
    words = f"{option} {files[option]}: not a regular file"
    reloads_in_vain(server, words)
    assert server.sigterm() == 0
    fails_at_the_start(server, words)


def test_of_the_configuration(lab, database):
    server = lab.respgres(database, config="timeout 0\n")
    make_fifo(server.config_path)
    reloads_in_vain(server, f"{server.config_path}: not a regular file")
    with server.raw() as raw:
        raw.command("CONFIG", "SET", "timeout", "1000")
        assert raw.command("CONFIG", "REWRITE").endswith(b": not a regular file\r\n")


def test_of_the_users(lab, database, tmp_path):
    path = tmp_path / "users"
    path.write_text("user default on nopass ~* &* +@all\n")
    server = lab.respgres(database, aclfile=path)
    make_fifo(path)
    with server.raw() as raw:
        assert raw.command("ACL", "LOAD").startswith(b"-ERR Error loading ACLs, opening file '%s': not a regular"
                                                     b" file" % os.fsencode(path))
    reloads_in_vain(server, "not a regular file")


def test_of_a_secret(lab, database, tmp_path):
    path = tmp_path / "password"
    path.write_text("secret\n")
    server = lab.respgres(database, env={"RESPGRES_CONF_REQUIREPASS_FILE": str(path)}, start="answering")
    make_fifo(path)
    server.sighup()
    wait_until(lambda: "cannot read the file: not a regular file" in server.log, 20, "it says so")
    with server.raw() as raw:
        assert raw.command("AUTH", "secret") == b"+OK\r\n"


@pytest.mark.parametrize("path, why", [("/dev/zero", "not a regular file"), ("/tmp", "Is a directory")])
def test_other_things(lab, database, path, why):
    server = lab.respgres(database, start=False, config="")
    server.config_path = path
    fails_at_the_start(server, f"{path}: {why}")
