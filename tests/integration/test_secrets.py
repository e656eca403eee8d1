"""Passwords, keys and values stand nowhere but where they belong: not in logs of any level, INFO, CONFIG
GET, error replies, SLOWLOG and MONITOR, metrics, the status page, the arguments of the process, or what
a crash leaves behind. What goes wrong with PostgreSQL meanwhile is in test_contract.py
(test_secrets_values_and_keys_are_nowhere)."""

import pathlib
import random
import re
import signal
import subprocess

import differential
import pytest

from harness import free_port
from harness.http import Http

TOP = pathlib.Path(__file__).resolve().parents[2]
REDACTED = b"(redacted)"


def secret_options():
    """The rows of options.def with the flag SECRET."""
    text = (TOP / "src/config/options.def").read_text(encoding="utf8")
    rows = re.findall(r'^OPTION\("([a-z-]+)", (.*?)\)$', text, re.MULTILINE | re.DOTALL)
    return [name for name, rest in rows if re.search(r"\bSECRET\b", rest)]


def clean(text, words, where):
    for word in words:
        word = word if isinstance(word, bytes) else word.encode()
        lines = [line for line in text.splitlines() if word in line]
        assert not lines, (word, where, lines[:3])


# --- options -------------------------------------------------------------------------------------

# What a secret option is set to; the secret itself is in it. A new one needs a row here.
SETTINGS = {
    "requirepass": "s3cret-of-clients",
    "rename-command": "LOLWUT s3cret-name",
    "tls-key-file-pass": "s3cret-of-a-file",
    "user": "someone on >s3cret-of-someone ~* +@all",
    "database-url": None,  # the test's own, which has s3cret-of-postgres
}
WORDS = ["s3cret-of-clients", "s3cret-name", "s3cret-of-a-file", "s3cret-of-someone",
         "s3cret-of-postgres"]


def test_every_secret_option_is_in_these_tests():
    assert set(secret_options()) == set(SETTINGS)


@pytest.fixture(name="guarded")
def _guarded(lab):
    """A server with every secret there is, at the most talkative log level, and its HTTP port."""
    postgres = lab.postgres()
    postgres.create_role("guarded", "s3cret-of-postgres")
    database = lab.database(postgres, owner="guarded")
    port = free_port()
    settings = {name.replace("-", "_"): value for name, value in SETTINGS.items() if value}
    server = lab.respgres(database.url_by(password="s3cret-of-postgres", tcp=True), http_port=port,
                          loglevel="debug", slowlog_log_slower_than=0, **settings)
    return server, Http(server)


def test_secret_options_are_shown_nowhere(guarded):
    server, http = guarded
    client = server.client(password="s3cret-of-clients")
    shown = client.config_get("*")
    for name in SETTINGS:
        assert shown[name] == "(redacted)", name
    raw = server.raw()
    raw.command("AUTH", "s3cret-of-clients")
    said = b""
    for command in (["INFO", "everything"], ["CONFIG", "GET", "*"], ["CLIENT", "LIST"], ["CLIENT", "INFO"],
                    ["CONFIG", "SET", "requirepass"], ["CONFIG", "REWRITE"], ["COMMAND", "LIST"],
                    ["CONFIG", "SET", "timeout", "x", "requirepass", "s3cret-of-clients"],
                    ["CONFIG", "SET", "requirepass", "s3cret-of-clients", "nosuch", "1"],
                    ["CONFIG", "SET", "database-url", "postgresql://u:s3cret-of-postgres@h/d"],
                    ["AUTH", "s3cret-wrong"], ["AUTH", "nobody", "s3cret-wrong"],
                    ["HELLO", "3", "AUTH", "default", "s3cret-wrong"], ["SLOWLOG", "GET", "-1"],
                    ["LATENCY", "DOCTOR"], ["MEMORY", "DOCTOR"], ["MEMORY", "STATS"], ["INFO"]):
        said += raw.command(*command)
    clean(said, WORDS + ["s3cret-wrong"], "replies")
    pages = b"".join(http.ask(path)[2] for path in ("/", "/metrics", "/healthz", "/readyz"))
    clean(pages, WORDS, "pages")
    clean(server.log.encode(), WORDS + ["s3cret-wrong"], "log")
    clean(pathlib.Path(f"/proc/{server.pid}/cmdline").read_bytes(), WORDS, "arguments")


# --- SLOWLOG and MONITOR -------------------------------------------------------------------------

PASSING_BY = [["AUTH", "s3cret"], ["AUTH", "nobody", "s3cret"], ["HELLO", "3", "AUTH", "default", "s3cret"],
              ["hello", "3", "auth", "nobody", "s3cret", "setname", "me"],
              ["CONFIG", "SET", "timeout", "0", "requirepass", "s3cret"],
              ["CONFIG", "SET", "requirepass", "s3cret", "timeout", "x"]]


@pytest.mark.rows  # Redis notes each command of a block, and says so much more
def test_the_slowlog_does_not_have_them(lab, database):
    """In a block they wait for PostgreSQL like the rest of it."""
    server = lab.respgres(database, slowlog_log_slower_than=0)
    raw = server.raw()
    for command in PASSING_BY:
        raw.command("MULTI")
        raw.command(*command)
        raw.command("SET", "k", "v")
        raw.command("EXEC")
        raw.command("HELLO", "2", "AUTH", "default", "s3cret")
        raw.command("CONFIG", "SET", "requirepass", "")
    entries = server.client().slowlog_get(100)
    assert any(REDACTED in entry["command"] for entry in entries)
    clean(repr(entries).encode(), ["s3cret"], "slowlog")


def monitored(server, commands):
    """What a monitor is shown of them, without time and address."""
    watcher, raw = server.raw(), server.raw()
    watcher.command("MONITOR")
    for command in commands:
        raw.command(*command)
    raw.command("ECHO", "end")
    lines = []
    while not lines or '"end"' not in lines[-1]:
        lines.append(watcher.reply().decode())
    return [re.sub(r"^\+[\d.]+ \[(\d+) [\d.]+:\d+\]", r"[\1]", line) for line in lines]


def test_monitors_are_shown_what_redis_shows(lab, database):
    """AUTH and HELLO without user and password, CONFIG not at all."""
    commands = [["AUTH", "s3cret"], ["AUTH", "nobody", "s3cret"], ["HELLO", "3", "SETNAME", "a"],
                ["HELLO", "3", "AUTH", "default", "s3cret", "SETNAME", "b"],
                ["CONFIG", "SET", "timeout", "0", "nosuch", "s3cret"], ["GET", "k"]]
    ours, real = monitored(lab.respgres(database), commands), monitored(lab.redis(), commands)
    assert ours == real
    clean("\n".join(ours).encode(), ["s3cret"], "monitor")


# --- keys and values -----------------------------------------------------------------------------

class Marked(differential.Generator):
    """Random commands whose keys and values are known by what they begin with."""

    def key(self):
        return b"session:t0ken-%d" % self.rng.randrange(12)

    def value(self):
        return b"va1ue-%d" % self.rng.randrange(12) if self.chance(0.7) else super().value()


def commands_of_all_kinds(seed, n):
    generator = Marked(random.Random(seed), 3, 2, ("reset", "quit", "inline", "silence", "auth", "hello",
                                                   "debug"))
    found = []
    while len(found) < n:
        found += generator.weighted(generator.table)()
    return found


def test_keys_and_values_stand_in_no_log(lab, database, seed):
    """At every level, over random commands of all kinds, valid and not; keys that are too long, values
    that PostgreSQL refuses, a protocol error, and a crash."""
    port = free_port()
    server = lab.respgres(database, http_port=port, latency_monitor_threshold=1, config="")
    raw = server.raw()
    for level in ("debug", "verbose", "notice", "warning"):
        raw.command("CONFIG", "SET", "loglevel", level)
        for command in commands_of_all_kinds(seed, 400):
            raw.command(*command)
        raw.command("DISCARD")
    with database.postgres.connect(database.name) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE respgres.entries ADD CHECK (key <> 'session:t0ken-refused')")
    raw.command("CONFIG", "SET", "loglevel", "debug")
    said = raw.command("SET", "session:t0ken-refused", "va1ue-refused")
    assert said.startswith(b"-ERR")
    said += raw.command("SET", b"session:t0ken" + b"x" * 3000, "va1ue")
    with server.raw() as broken:
        broken.send(b"*2\r\n$3\r\nGET\r\n$-7\r\nsession:t0ken\r\n")
        broken.rest()
    with server.raw() as broken:
        broken.send(b"session:t0ken \"unbalanced\r\n")
        broken.rest()
    said += b"".join(raw.command(*command) for command in (
        ["INFO", "everything"], ["CLIENT", "LIST"], ["LATENCY", "DOCTOR"], ["LATENCY", "LATEST"],
        ["LATENCY", "HISTOGRAM"], ["MEMORY", "STATS"], ["MEMORY", "DOCTOR"], ["CONFIG", "GET", "*"]))
    http = Http(server)
    pages = b"".join(http.ask(path)[2] for path in ("/", "/metrics", "/readyz", "/session:t0ken"))
    server.signal(signal.SIGABRT)
    server.process.wait(60)
    server.expected_status = server.process.returncode
    for text, where in ((said, "replies"), (pages, "pages"), (server.log.encode(), "log")):
        clean(text, ["t0ken", "va1ue"], where)
    assert "protocol-error" in server.log and "event=connection" in server.log


def test_a_user_of_acl_keeps_its_password(lab, database):
    """Where there are users."""
    server = lab.respgres(database, loglevel="debug", slowlog_log_slower_than=0)
    raw = server.raw()
    if raw.command("ACL", "WHOAMI").startswith(b"-ERR unknown command"):
        pytest.skip("there is no ACL yet")
    assert raw.command("ACL", "SETUSER", "u", "on", ">s3cret-of-u", "~*", "+@all") == b"+OK\r\n"
    raw.command("ACL", "SETUSER", "u", ">s3cret-of-u", "nonsense")
    raw.command("AUTH", "u", "s3cret-of-u")
    raw.command("AUTH", "u", "s3cret-of-nobody")
    said = b"".join(raw.command(*command) for command in (
        ["ACL", "LIST"], ["ACL", "GETUSER", "u"], ["ACL", "LOG"], ["SLOWLOG", "GET", "-1"],
        ["INFO", "everything"], ["CLIENT", "LIST"], ["CONFIG", "GET", "*"]))
    clean(said + server.log.encode(), ["s3cret"], "ACL")


def test_the_report_of_the_options_has_none(lab, database):
    """respgres --check-config, which prints every option."""
    program = lab.respgres(start=False).binary()
    done = subprocess.run([program, "--requirepass", "s3cret-a", "--tls-key-file-pass", "s3cret-b",
                           "--user", "u on >s3cret-d",
                           "--database-url", "postgresql://u:s3cret-c@127.0.0.1/d", "--check-config"],
                          capture_output=True, check=False, timeout=30)
    assert b"requirepass" in done.stdout
    clean(done.stdout + done.stderr, ["s3cret"], "report")
