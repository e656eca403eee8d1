"""Session clients in real apps, on redis-server and on respgres; README.md beside this file."""

import json
import os
import re

import pytest

from harness.util import is_alive, wait_until
from runner import client as clients, drive, install, recorder, report

TOP = clients.TOP

# Of all clients those that take the least time, with packages that the tests need anyway.
FASTEST = ("flask-session", "django-redis-sessions", "phpredis", "spring-session", "flask-session-0.8")

ALL = clients.all_clients()
NAMED = {client.folder: client for client in ALL}


def packages_in(*lists):
    lines = "\n".join((TOP / "deps" / name).read_text(encoding="utf8") for name in lists).splitlines()
    return {line.split("#")[0].strip() for line in lines} - {""}


# --- the clients ---------------------------------------------------------------------------------

def run_on_both(lab, client):
    """What is wrong, as a list of texts."""
    real = drive.drive(client, lab.redis(**drive.REDIS_OPTIONS))
    if real.skipped:
        pytest.skip(real.skipped)
    assert not real.complaints(), f"the test itself fails: {real.complaints()}\n{real.said}"
    ours = drive.drive(client, lab.respgres(lab.database(), **drive.RESPGRES_OPTIONS))
    if ours.skipped:
        pytest.skip(ours.skipped)
    assert not ours.complaints(), f"{ours.complaints()}\n{ours.said}"
    assert drive.compare_commands(client, real, ours) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FASTEST)
def test_the_fastest(lab, name):
    assert install.missing_packages(NAMED[name]) == []
    run_on_both(lab, NAMED[name])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in NAMED if name not in FASTEST])
def test_each(lab, name):
    try:
        install.install(NAMED[name])
    except install.Missing as missing:
        pytest.skip(str(missing))
    run_on_both(lab, NAMED[name])


@pytest.mark.parametrize("client", ALL, ids=lambda client: client.folder)
def test_a_client_is_described(client):
    assert client.wrong() == []
    assert os.access(client.path / "run", os.X_OK)
    assert set(client.packages) <= packages_in("packages-test", "packages-run", "packages-clients")


def test_the_fastest_need_no_package_of_their_own():
    for name in FASTEST:
        assert set(NAMED[name].packages) <= packages_in("packages-test", "packages-run")


def test_the_page_has_each_client():
    """docs/clients.md is of these clients, with what they lack; `run --update-docs` writes it."""
    page = report.DOC.read_text(encoding="utf8")
    rows = re.findall(r"^\| \[(.+?)\]\(#(.+?)\) \|", page, re.MULTILINE)
    assert rows == [(client.name, report.anchor(client.name)) for client in ALL]
    for client in ALL:
        section = page.split(f"\n### {client.name}\n")[1].split("\n### ")[0]
        assert client.about[1:] in section
        assert re.findall(r"^- no \*.*$", section, re.MULTILINE) == report.absent_lines(client)


def test_the_page_is_as_it_was_written():
    page = report.DOC.read_text(encoding="utf8")
    version = re.search(r"on redis-server ([0-9.]+) and", page)[1]
    parts = report.parts_of(page)
    assert report.document([parts[client.name] for client in ALL], version) == page


# --- the judge -----------------------------------------------------------------------------------

ABSENT = {step: "it has none" for step in clients.STEPS[1:]}
GOOD = [{"version": "Made up 1"}, {"step": "log in", "ok": True}]


@pytest.fixture
def made_up(tmp_path):
    """A function that makes a client whose `run` is lines of bash."""
    def make(*lines, **description):
        (tmp_path / "run").write_text("\n".join(["#!/bin/bash", *lines]))
        (tmp_path / "run").chmod(0o755)
        return clients.Client(**{"folder": str(tmp_path), "name": "made up", "library": "none",
                                 "runtime": "raw", "about": "a test", "steps_absent": ABSENT,
                                 **description})
    return make


def say(message):
    return f"echo '{json.dumps(message)}'"


def complaints(lab, client):
    return drive.drive(client, lab.redis(**drive.REDIS_OPTIONS)).complaints()


def test_a_client_that_tells_all_passes(lab, made_up):
    result = drive.drive(made_up(*map(say, GOOD)), lab.redis(**drive.REDIS_OPTIONS))
    assert result.passed
    assert result.version == "Made up 1"
    assert result.steps == {"log in": (True, "no reason given")}


@pytest.mark.parametrize("lines, complaint", [
    ([say(GOOD[0])], "did not report: log in"),
    ([say(GOOD[1])], "did not tell its version"),
    ([*map(say, GOOD), say({"step": "list", "ok": True})], "reported 'list', which client.json calls absent"),
    ([*map(say, GOOD), say(GOOD[1])], "reported 'log in' twice"),
    ([*map(say, GOOD), say({"step": "log out", "ok": True})], "there is no step 'log out'"),
    ([*map(say, GOOD), "exit 3"], "`run` ended with 3"),
    ([*map(say, GOOD), "sleep 600"], "did not end within 5 s"),
    ([say(GOOD[0]), say({"step": "log in", "ok": False, "why": "401"})], "log in: 401"),
    ([say(GOOD[0]), say({"step": "log in", "ok": 1})], "log in: no reason given"),
])
def test_a_client_that_breaks_the_contract_fails(lab, made_up, lines, complaint):
    assert complaints(lab, made_up(*lines, timeout=5 if "sleep 600" in lines else 60)) == [complaint]


def test_nothing_is_left_of_a_client_that_hangs(lab, made_up, tmp_path):
    """Not even what left its group and lost its parent."""
    left = tmp_path / "left"
    client = made_up(*map(say, GOOD), f"setsid bash -c 'sleep 600 & echo $! > {left}; exit 0'", "sleep 600",
                     timeout=6)
    assert complaints(lab, client) == ["did not end within 6 s"]
    wait_until(lambda: not is_alive(int(left.read_text())), what="it is gone")


def test_what_is_not_json_is_a_fault(lab, made_up):
    (complaint,) = complaints(lab, made_up(*map(say, GOOD), "echo hello"))
    assert complaint.startswith(r"said b'hello\n'")


def test_a_step_may_not_be_absent_without_a_reason(lab, made_up):
    client = made_up(*map(say, GOOD), steps_absent={**ABSENT, "list": " ", "sing": "it can't"})
    assert complaints(lab, client) == ["steps_absent: there is no step 'sing'",
                                       "steps_absent: no reason for 'list'"]


def test_a_reason_to_skip_is_kept(lab, made_up):
    result = drive.drive(made_up(say({"skip": "no sockets"})), lab.redis(**drive.REDIS_OPTIONS))
    assert result.skipped == "no sockets"
    assert not result.passed
    assert result.complaints() == []


def test_what_can_not_be_installed_is_told(made_up, monkeypatch):
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(install.shutil, "which", lambda name: name if name == "dpkg-query" else None)
    with pytest.raises(install.Missing, match="^needs the Debian packages made-up: not root, and no sudo$"):
        install.install(made_up(packages=["made-up", "python3"]))
    with pytest.raises(install.Missing, match="^there is no npm$"):
        install.install(made_up(npm={"made-up": "1.0.0"}))


def test_the_server_is_restarted_with_its_keys(lab, made_up):
    ask = 'redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" -a "$REDIS_PASSWORD" --no-auth-warning'
    client = made_up(f"{ask} SET before 1 >&2", say({"ask": "restart"}), "read -r answer",
                     '[ "$answer" = done ] || exit 4', f'[ "$({ask} GET before)" = 1 ] || exit 5',
                     *map(say, GOOD))
    for server in (lab.redis(**drive.REDIS_OPTIONS), lab.respgres(lab.database(), **drive.RESPGRES_OPTIONS)):
        pid = server.pid
        result = drive.drive(client, server)
        assert result.complaints() == []
        assert result.commands == {"AUTH", "SET", "GET"}
        assert server.pid != pid


def test_a_command_that_must_be_seen(lab, made_up):
    assert complaints(lab, made_up(*map(say, GOOD), commands_needed=["EXPIRE"])) == [
        "never asked for: EXPIRE"]


def test_commands_of_the_test_are_not_the_clients(lab, made_up):
    hand = 'exec 3<>"/dev/tcp/$REDIS_HOST/$REDIS_PORT"; echo "AUTH $REDIS_PASSWORD" >&3; read -r <&3'
    client = made_up(hand, 'echo "CLIENT INFO" >&3; read -r <&3; read -r -a info <&3',
                     'echo "{\\"own\\": \\"${info[1]#addr=}\\"}"', *map(say, GOOD))
    server = lab.redis(**drive.REDIS_OPTIONS)
    result = drive.drive(client, server)
    assert result.complaints() == []
    assert result.commands == set()


def test_commands_that_one_server_was_not_asked_for(made_up):
    client = made_up(commands_vary={"PING": "by chance"})
    real, ours = drive.Result(commands={"GET", "EVAL", "PING"}), drive.Result(commands={"GET", "DEL"})
    assert drive.compare_commands(client, real, ours) == [
        "only respgres was asked for DEL", "only redis-server was asked for EVAL"]


@pytest.mark.parametrize("line, asked", [
    (b'+1339518083.107412 [0 127.0.0.1:60866] "get" "k"\r\n', ("127.0.0.1:60866", "GET")),
    (b'+1339518083.107412 [0 [::1]:608] "client" "setinfo" "lib-name"\r\n', ("[::1]:608", "CLIENT SETINFO")),
    (b'+1339518083.107412 [12 unix:/a/b] "PING"\r\n', ("unix:/a/b", "PING")),
    (b'+1339518083.107412 [0 lua] "get" "k"\r\n', None),
    (b"+OK\r\n", None),
])
def test_lines_of_monitor(line, asked):
    assert recorder.who_asked_what(line) == asked
