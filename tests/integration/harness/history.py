"""Clients that record what they asked and what they were told, and when, key by key."""

import collections
import threading
import time

from .linearize import Operation, why_not_linearizable
from .raw import encode
from .replies import bulks

# Words of an error (docs/consistency.md) and what was done.
NOTHING_DONE = (b"-LOADING ", b"-EXECABORT ", b"nothing was written")
UNKNOWN = (b"-ERR PostgreSQL did not confirm",)


class History:
    """The operations of all clients, key by key."""

    def __init__(self):
        self.operations = collections.defaultdict(list)
        self._lock = threading.Lock()

    def add(self, key, operation):
        with self._lock:
            self.operations[key].append(operation)

    def count(self):
        with self._lock:
            return sum(map(len, self.operations.values()))

    def unknown(self):
        return sum(o.reply is None for each in self.operations.values() for o in each)

    def check(self):
        """That each key's history is linearizable."""
        for key, operations in self.operations.items():
            wrong = why_not_linearizable(operations)
            assert wrong is None, f"the history of {key} is not linearizable: {wrong}"


class Recorder:
    """One client. It goes on with another server when it has lost its connection. A command of
    which it was told that nothing was done is left out: it must have had no effect at all."""

    def __init__(self, name, servers, history, chance, timeout=30):
        self.name, self.servers, self.history = name, servers, history
        self.chance, self.timeout = chance, timeout
        self.refused = 0
        self._raw = None

    def run(self, key, *commands):
        """One command on a key, or a MULTI block of several; the key is put behind each name.
        Returns the reply, None if there was none or it says nothing."""
        words = [_with_key(key, command) for command in commands]
        if len(words) > 1:
            words = [["MULTI"], *words, ["EXEC"]]
        begun, ended, reply = self._ask(words)
        return self._record(key, begun, ended, commands, reply)

    def run_script(self, key, script, as_if):
        """A script that does to its key what the command `as_if` does to it, and answers the same."""
        begun, ended, reply = self._ask([["EVAL", script, 1, key, *as_if[1:]]])
        return self._record(key, begun, ended, (as_if,), reply)

    def run_on_all(self, name, keys, values=()):
        """MGET, MSET or FLUSHALL: an operation on each of the keys."""
        words = {"MGET": ["MGET", *keys], "FLUSHALL": ["FLUSHALL"],
                 "MSET": ["MSET", *(word for pair in zip(keys, values) for word in pair)]}[name]
        begun, ended, reply = self._ask([words])
        parts, commands = [reply] * len(keys), [(("FLUSHALL",),)] * len(keys)
        if name == "MGET":
            commands = [(("GET",),)] * len(keys)
            if reply and reply.startswith(b"*"):
                parts = bulks(reply)
        elif name == "MSET":
            commands = [(("SET", value),) for value in values]
        for key, part, command in zip(keys, parts, commands):
            self._record(key, begun, ended, command, part)

    def close(self):
        if self._raw:
            self._raw.close()
        self._raw = None

    def _ask(self, words):
        """When it was sent, when answered, and the last reply; None where there is none."""
        if not self._connect():
            return None, None, None
        begun = time.monotonic_ns()
        try:
            self._raw.send(b"".join(encode(*each) for each in words))
            reply = [self._raw.reply() for _ in words][-1]
        except TimeoutError as error:
            raise AssertionError(f"{self.name}: no reply within {self.timeout} s") from error
        except OSError:
            self.close()
            return begun, None, None
        return begun, time.monotonic_ns(), reply

    def _connect(self):
        if self._raw is None:
            try:
                self._raw = self.chance.choice(self.servers).raw(self.timeout)
            except OSError:
                time.sleep(0.01)  # it is being started again
        return self._raw is not None

    def _record(self, key, begun, ended, commands, reply):
        if begun is None:
            return None
        if reply is not None and any(word in reply for word in NOTHING_DONE):
            self.refused += 1
            time.sleep(0.005)  # as clients do that are told to come later
            return None
        if reply is not None and reply.startswith(UNKNOWN):
            ended = reply = None
        self.history.add(key, Operation(begun, ended, tuple(commands), reply, self.name))
        return reply


def _with_key(key, command):
    name, *args = command
    return [name, key, *args]
