"""RESP as a client that is not at hand here sends it: commands byte for byte, each reply compared.

An expectation is the bytes of a reply, a compiled pattern that matches them, or a function that is given
the reply's value (as parse() makes it) and says whether that is right.
"""

import os
import pathlib
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "integration"))

from harness.raw import RawClient, encode  # noqa: E402

ADDRESS = (os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"]))
PASSWORD = os.environ["REDIS_PASSWORD"]

OK = b"+OK\r\n"
PONG = b"+PONG\r\n"
QUEUED = b"+QUEUED\r\n"
NIL2, NIL3 = b"$-1\r\n", b"_\r\n"
ANY_ERROR = re.compile(rb"-[A-Z]+ [^\r\n]*\r\n")
# What Redis 7.0 does not know and later ones do: all these clients ignore the answer.
OK_OR_ERROR = re.compile(rb"\+OK\r\n|-ERR [^\r\n]*\r\n")
WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
NOAUTH = b"-NOAUTH Authentication required.\r\n"


def bulk(data):
    data = data if isinstance(data, bytes) else str(data).encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


def integer(n):
    return b":%d\r\n" % n


def array(*items, kind=b"*"):
    count = len(items) // 2 if kind == b"%" else len(items)
    return b"%s%d\r\n" % (kind, count) + b"".join(items)


class Error(str):
    """An error reply, without its minus."""


def parse(reply):
    """A whole reply as Python's values: bytes, int, float, bool, None, list, set, dict, Error."""
    value, rest = _parse(reply)
    assert rest == b"", f"more than one reply: {reply!r}"
    return value


def _parse(data):
    line, _, rest = data.partition(b"\r\n")
    kind, head = line[:1], line[1:]
    if kind == b"+":
        return head, rest
    if kind == b"-":
        return Error(head.decode()), rest
    if kind in (b":", b"("):
        return int(head), rest
    if kind == b",":
        return float(head), rest
    if kind == b"#":
        return head == b"t", rest
    if kind == b"_" or head == b"-1":
        return None, rest
    length = int(head)
    if kind in (b"$", b"="):
        body = rest[:length]
        return (body[4:] if kind == b"=" else body), rest[length + 2:]
    items = []
    for _ in range(length * (2 if kind == b"%" else 1)):
        item, rest = _parse(rest)
        items.append(item)
    if kind == b"%":
        return dict(zip(items[::2], items[1::2])), rest
    return (set(items) if kind == b"~" else items), rest


def check(reply, expected, command):
    shown = b" ".join(arg if isinstance(arg, bytes) else str(arg).encode() for arg in command)[:200]
    if isinstance(expected, bytes):
        assert reply == expected, f"{shown!r}: {reply!r} instead of {expected!r}"
    elif isinstance(expected, re.Pattern):
        assert expected.fullmatch(reply), f"{shown!r}: {reply!r} does not match {expected.pattern!r}"
    else:
        assert expected(parse(reply)), f"{shown!r}: {reply!r} is not what the client needs"


class Wire(RawClient):
    """A connection. `resp` is the protocol that was agreed upon, for what a client expects."""

    def __init__(self):
        super().__init__(ADDRESS)
        self.resp = 2

    @property
    def nil(self):
        return NIL3 if self.resp == 3 else NIL2

    def expect(self, expected, *command):
        """Sends a command, waits for its reply and compares it."""
        reply = self.command(*command)
        check(reply, expected, command)
        return parse(reply)

    def burst(self, *pairs):
        """Sends all commands in one write, as a pipelining client does: pairs of (command, expected)."""
        self.send(b"".join(encode(*command) for command, _ in pairs))
        values = []
        for command, expected in pairs:
            reply = self.reply()
            check(reply, expected, command)
            values.append(parse(reply))
        return values

    def hello(self, version, *rest, name=b"HELLO"):
        """HELLO, and the fields of its reply: some clients take them by position."""
        return self.expect(greeting(version), name, version, *rest)

    def is_quiet(self):
        """Pools look for unsolicited bytes before they use an idle connection, and then drop it."""
        self.sock.setblocking(False)
        try:
            return self._buffer == b"" and self.sock.recv(1) is None
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(20)


def greeting(version):
    """Expects HELLO's reply: a map under RESP3, its fields in Redis' order."""
    fields = [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]

    def right(reply):
        if version == 3:
            if not isinstance(reply, dict):
                return False
        else:
            if not isinstance(reply, list):
                return False
            reply = dict(zip(reply[::2], reply[1::2]))
        return (list(reply) == fields and reply[b"server"] == b"redis" and reply[b"proto"] == version
                and re.fullmatch(rb"\d+\.\d+\.\d+", reply[b"version"]) and isinstance(reply[b"id"], int)
                and reply[b"mode"] == b"standalone" and reply[b"role"] == b"master"
                and reply[b"modules"] == [])
    return right


def sections(*names):
    """Expects INFO's text, with lines `name:` of these names."""
    def right(text):
        lines = text.decode().split("\r\n")
        there = {line.partition(":")[0] for line in lines if not line.startswith("#")}
        return set(names) <= there and "\n" not in "".join(lines)
    return right


def until(what, condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
