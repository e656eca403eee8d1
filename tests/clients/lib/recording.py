"""The steps of a client that is known by what it sends.

A client is a subclass of Recording in a folder's `run`, with the commands of each thing it does; run()
goes through the steps. Those that client.json calls absent are left out. Beside the client's own
connections there is a probe, which asks the server in plain RESP2 what there is.
"""

import json
import pathlib
import socket
import threading
import time

from steps import ask_restart, step, tell
from wire import PASSWORD, WRONGPASS, Wire, until

# No text: as pickle, msgpack, igbinary and the like come.
VALUE = bytes(range(256)) + "Zo\u00eb \U0001f600\r\n$-1\r\n".encode() + b"\0" * 7
LIFE = 1440


class Recording:
    """What a client does to sessions. Each method sends and compares every reply."""

    version = ""          # as {"version": ...} tells it
    life = LIFE           # seconds that the client gives a session
    brief = 1             # seconds of the shortest one it can ask for
    value = VALUE         # what it stores, in whatever form its methods take
    other_value = VALUE[::-1]

    def key(self, sid):
        raise NotImplementedError

    def connect(self, password=PASSWORD):
        """A connection after the client's start."""
        raise NotImplementedError

    def save(self, wire, sid, value, seconds):
        """A session's first write."""
        raise NotImplementedError

    def again(self, wire, sid, value, seconds):
        """A later one."""
        self.save(wire, sid, value, seconds)

    def load(self, wire, sid, value):
        """A read that must find `value`, or None: there is no such session."""
        raise NotImplementedError

    def touch(self, wire, sid, value, seconds):
        """What a request does that changed nothing."""
        self.again(wire, sid, value, seconds)

    def regenerate(self, wire, sid, new, value):
        raise NotImplementedError

    def destroy(self, wire, sid, there=True):
        raise NotImplementedError

    def list(self, wire, sids):
        """Must find these and no other."""
        raise NotImplementedError

    def clear(self, wire, sids):
        raise NotImplementedError

    def refused(self, password):
        """A start with a wrong password; compares the errors."""
        with Wire() as wire:
            wire.expect(WRONGPASS, "AUTH", password)

    def more(self, name, wire, probe):
        """What else belongs to a step, called at its end."""


def probe_of():
    wire = Wire()
    wire.expect(b"+OK\r\n", "AUTH", PASSWORD)
    tell(own=wire.address)
    return wire


class Steps:
    def __init__(self, client):
        self.client = client
        about = json.loads(pathlib.Path("client.json").read_text(encoding="utf8"))
        self.absent = about.get("steps_absent", {})
        self.probe = probe_of()
        self.wire = None
        self.many = set()

    def run(self):
        tell(version=self.client.version)
        for name, body in [
                ("log in", self.log_in), ("read", self.read), ("touch", self.touch),
                ("expire", self.expire), ("concurrent requests", self.concurrent),
                ("regenerate id", self.regenerate), ("destroy", self.destroy), ("list", self.list),
                ("clear", self.clear), ("wrong password", self.wrong_password),
                ("reconnect", self.reconnect)]:
            if name not in self.absent:
                with step(name):
                    assert self.wire or name in ("log in", "wrong password"), "it is not connected"
                    body()
                    self.client.more(name, self.wire, self.probe)

    def there(self, sid):
        return self.probe.command("EXISTS", self.client.key(sid)) == b":1\r\n"

    def has_life(self, sid):
        reply = self.probe.command("TTL", self.client.key(sid))
        ttl = int(reply[1:])
        assert self.client.life - 60 < ttl <= self.client.life, f"its TTL is {ttl}"

    def log_in(self):
        self.wire = self.client.connect()
        self.client.load(self.wire, "zoe", None)
        self.client.save(self.wire, "zoe", self.client.value, self.client.life)
        assert self.there("zoe")
        self.has_life("zoe")

    def read(self):
        self.client.load(self.wire, "zoe", self.client.value)
        self.client.load(self.wire, "nobody", None)
        assert not self.there("nobody")
        assert self.wire.is_quiet()

    def touch(self):
        self.probe.expect(b":1\r\n", "EXPIRE", self.client.key("zoe"), 30)
        self.client.touch(self.wire, "zoe", self.client.value, self.client.life)
        self.has_life("zoe")
        self.client.load(self.wire, "zoe", self.client.value)

    def expire(self):
        self.client.save(self.wire, "brief", self.client.value, self.client.brief)
        until("the key goes", lambda: not self.there("brief"))
        self.client.load(self.wire, "brief", None)
        self.client.load(self.wire, "zoe", self.client.value)

    def concurrent(self):
        troubles = []

        def visit(name):
            try:
                with self.client.connect() as wire:
                    mine = [self.client.value, self.client.other_value]
                    self.client.save(wire, name, mine[0], self.client.life)
                    for turn in range(1, 8):
                        self.client.load(wire, "zoe", self.client.value)
                        self.client.again(wire, name, mine[turn % 2], self.client.life)
                        self.client.load(wire, name, mine[turn % 2])
                    self.client.destroy(wire, name)
                    self.client.load(wire, name, None)
            except Exception as error:  # pylint: disable=broad-except
                troubles.append(f"{name}: {error!r}")

        threads = [threading.Thread(target=visit, args=(f"user{i}",)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not troubles, "; ".join(troubles[:3])

    def regenerate(self):
        self.client.save(self.wire, "old", self.client.value, self.client.life)
        self.client.regenerate(self.wire, "old", "new", self.client.value)
        self.client.load(self.wire, "old", None)
        self.client.load(self.wire, "new", self.client.value)
        assert self.there("new") and not self.there("old")
        self.has_life("new")
        self.client.destroy(self.wire, "new")

    def destroy(self):
        self.client.save(self.wire, "leaving", self.client.value, self.client.life)
        self.client.destroy(self.wire, "leaving")
        assert not self.there("leaving")
        self.client.load(self.wire, "leaving", None)
        self.client.destroy(self.wire, "leaving", there=False)
        self.client.load(self.wire, "zoe", self.client.value)

    def _all(self):
        if not self.many:
            self.probe.expect(b"+OK\r\n", "SET", "other:1", "not a session")
            self.many = {f"many{i}" for i in range(40)}
            for sid in self.many:
                self.client.save(self.wire, sid, self.client.value, self.client.life)
        return self.many | {"zoe"}

    def list(self):
        self.client.list(self.wire, self._all())

    def clear(self):
        sids = self._all()
        self.client.clear(self.wire, sids)
        for sid in sids:
            assert not self.there(sid), f"{sid} is still there"
        self.client.save(self.wire, "zoe", self.client.value, self.client.life)

    def wrong_password(self):
        before = self.probe.command("DBSIZE")
        self.client.refused("wrong")
        assert self.probe.command("DBSIZE") == before

    def reconnect(self):
        ask_restart()
        try:
            self.wire.send(b"")
            assert self.wire.rest() == b"", "more than an end came over the old connection"
        finally:
            self.wire.close()
        self.probe = probe_of()
        deadline = time.monotonic() + 10
        while True:
            try:
                self.wire = self.client.connect()
                break
            except (OSError, socket.timeout):
                assert time.monotonic() < deadline
        self.client.load(self.wire, "zoe", self.client.value)
        self.client.save(self.wire, "newcomer", self.client.value, self.client.life)
        self.client.load(self.wire, "newcomer", self.client.value)


def run(client):
    Steps(client).run()
