"""The names of the commands that a server is asked, seen by MONITOR."""

import re
import secrets
import threading

# 1339518083.107412 [0 127.0.0.1:60866] "set" "k" "v"; what scripts call has `lua` for the address.
LINE = re.compile(rb'^\+\d+\.\d+ \[\d+ (\S+)\] "([^"]*)"(?: "((?:[^"\\]|\\.)*)")?')
WITH_SUBCOMMAND = {b"ACL", b"CLIENT", b"CLUSTER", b"COMMAND", b"CONFIG", b"MEMORY", b"OBJECT", b"PUBSUB",
                   b"SCRIPT"}


def who_asked_what(line):
    """(address, name with its subcommand) in a line of MONITOR; None where no client asked."""
    found = LINE.match(line)
    if not found or found[1] == b"lua":
        return None
    name = found[2].upper()
    if name in WITH_SUBCOMMAND and found[3]:
        name += b" " + found[3].upper()
    return found[1].decode(), name.decode("ascii", "backslashreplace")


class Recorder:
    """Watches from start() to stop(); both may be called again, after a restart of the server."""

    def __init__(self, server, password):
        self.server = server
        self.password = password
        self.own = set()  # addresses of the test's connections
        self._asked = set()
        self._thread = None
        self._token = None
        self._other = None

    @property
    def names(self):
        return {name for address, name in self._asked if address not in self.own}

    def _connect(self):
        raw = self.server.raw(timeout=60)
        assert raw.command("AUTH", self.password) == b"+OK\r\n"
        return raw

    def start(self):
        self._other = self._connect()  # now, so that its AUTH is not seen
        raw = self._connect()
        assert raw.command("MONITOR") == b"+OK\r\n"
        raw.sock.settimeout(None)  # there may be nothing to see for long
        self._token = secrets.token_hex(8).encode()
        self._thread = threading.Thread(target=self._watch, args=(raw,), daemon=True)
        self._thread.start()

    def _watch(self, raw):
        with raw:
            while True:
                line = raw.reply()
                if self._token in line:
                    return
                asked = who_asked_what(line)
                if asked:
                    self._asked.add(asked)

    def stop(self):
        """Returns when all that was asked before has been seen."""
        with self._other:
            self._other.command("ECHO", self._token)
        self._thread.join(60)
        assert not self._thread.is_alive(), "MONITOR did not show what was asked"
