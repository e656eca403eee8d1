"""Clients that write while a test kills things, and what must be true afterwards.

Every command that was sent has one of two outcomes: acknowledged, or unknown (an error reply, or
the connection was lost: it may have been carried out or not). Afterwards, in the table:
- each acknowledged write is there, and nothing older stands in its place;
- each counter is between the acknowledged increments and these plus the unknown ones, and no two
  increments were answered with the same number;
- what was written in one MULTI is there as a whole or not at all.
"""

import random
import threading

from .util import wait_until


class Unknown(Exception):
    """The outcome of a command is not known."""


class Counter:
    """One key that many clients increment."""

    def __init__(self):
        self.replies = []
        self.unknown = 0


class Worker(threading.Thread):
    """One client. Goes on to the next server when it loses its connection."""

    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.number = number
        self.random = random.Random(f"{load.seed}/{number}")
        self.counter = Counter()      # of INCR on "own:<number>"
        self.shared = Counter()       # this client's share of INCR on "counter"
        self.pairs = Counter()        # of MULTI: INCR on "pair:a:<number>" and "pair:b:<number>"
        self.written = {}             # key → value, acknowledged, each key written once
        self.deleted = set()          # keys whose DEL was acknowledged
        self.last_acknowledged = -1   # of SET "last:<number>" to 0, 1, 2 …
        self.last_sent = -1
        self.acknowledged = 0
        self.wrong = None
        self.raw = None

    # --- one command --------------------------------------------------------------------------

    def command(self, *args):
        """The reply; Unknown if there was none or an error."""
        try:
            reply = self.raw.command(*args)
        except OSError as error:
            self.disconnect()
            raise Unknown from error
        if reply.startswith(b"-"):
            self.load.errors.append(reply)
            self.load.ending.wait(0.01)
            raise Unknown(reply)
        self.acknowledged += 1
        return reply

    def disconnect(self):
        if self.raw:
            self.raw.close()
        self.raw = None

    def connect(self):
        server = self.random.choice(self.load.servers)
        try:
            self.raw = server.raw(timeout=60)
        except OSError:
            self.load.ending.wait(0.02)

    # --- what it does ---------------------------------------------------------------------------

    def run(self):
        actions = (self.increment_shared, self.increment_shared, self.increment_own,
                   self.increment_pair, self.write_new, self.write_new, self.write_and_delete,
                   self.overwrite, self.overwrite, self.read_back)
        while not self.load.ending.is_set() and not self.wrong:
            if not self.raw:
                self.connect()
                continue
            try:
                self.random.choice(actions)()
            except Unknown:
                continue
        self.disconnect()

    def increment(self, counter, *command):
        counter.unknown += 1
        reply = self.command(*command)
        counter.unknown -= 1
        counter.replies.append(int(reply[1:]))

    def increment_shared(self):
        self.increment(self.shared, "INCR", "counter")

    def increment_own(self):
        self.increment(self.counter, "INCR", f"own:{self.number}")

    def increment_pair(self):
        try:
            self.command("MULTI")
            self.command("INCR", f"pair:a:{self.number}")
            self.command("INCR", f"pair:b:{self.number}")
            self.pairs.unknown += 1
            reply = self.command("EXEC")
        except Unknown:
            self.disconnect()  # it may be within MULTI
            raise
        self.pairs.unknown -= 1
        numbers = [int(line[1:]) for line in reply.split(b"\r\n")[1:-1]]
        self.expect(len(numbers) == 2 and numbers[0] == numbers[1], "EXEC", numbers)
        self.pairs.replies.append(numbers[0])

    def write_new(self):
        key = b"new:%d:%d" % (self.number, len(self.written))
        # Never used again, whatever its outcome: the number grows or the name does.
        key += b":%x" % self.random.getrandbits(60)
        value = b"%x" % self.random.getrandbits(800)
        self.command("SETEX", key, 100000, value)
        self.written[key] = value

    def write_and_delete(self):
        key = b"gone:%d:%x" % (self.number, self.random.getrandbits(60))
        self.command("SET", key, "v")
        reply = self.command("DEL", key)
        self.expect(reply == b":1\r\n", "DEL", reply)
        self.deleted.add(key)

    def overwrite(self):
        self.last_sent += 1
        number = self.last_sent
        self.command("SET", f"last:{self.number}", number)
        self.last_acknowledged = number

    def read_back(self):
        reply = self.command("GET", f"last:{self.number}")
        seen = -1 if reply == b"$-1\r\n" else int(reply.split(b"\r\n")[1])
        self.expect(self.last_acknowledged <= seen <= self.last_sent, "GET", seen)

    def expect(self, condition, *what):
        if not condition:
            self.wrong = f"client {self.number}, after {self.last_acknowledged} of " \
                         f"{self.last_sent} overwrites: {what}"


class Load:
    """Starts the clients at once."""

    def __init__(self, servers, seed, clients=12):
        self.servers = servers
        self.seed = seed
        self.ending = threading.Event()
        self.errors = []  # error replies
        self.workers = [Worker(self, n) for n in range(clients)]
        for worker in self.workers:
            worker.start()

    def acknowledged(self):
        return sum(worker.acknowledged for worker in self.workers)

    def wait_for_progress(self, commands, timeout=60):
        """Until so many more commands have been acknowledged."""
        goal = self.acknowledged() + commands
        wait_until(lambda: self.acknowledged() >= goal or self.wrong(), timeout,
                   f"{commands} more commands are acknowledged")
        assert not self.wrong(), self.wrong()

    def wrong(self):
        return [worker.wrong for worker in self.workers if worker.wrong]

    def stop(self):
        self.ending.set()
        for worker in self.workers:
            worker.join(90)
            assert not worker.is_alive(), "a client waits for a reply that does not come"
        assert not self.wrong(), self.wrong()

    def check(self, rows):
        """Compares what was acknowledged with the live rows, key → value."""
        self._check_counter("counter", rows, [worker.shared for worker in self.workers])
        for worker in self.workers:
            n = worker.number
            self._check_counter(f"own:{n}", rows, [worker.counter])
            self._check_counter(f"pair:a:{n}", rows, [worker.pairs])
            pair = [rows.get(b"pair:%s:%d" % (half, n)) for half in (b"a", b"b")]
            assert pair[0] == pair[1], f"a MULTI was carried out by half: {pair}"
            lost = {k: v for k, v in worker.written.items() if rows.get(k) != v}
            assert not lost, f"client {n} lost {len(lost)} of {len(worker.written)}: {lost}"
            back = worker.deleted & rows.keys()
            assert not back, f"deleted keys are back: {back}"
            last = int(rows.get(b"last:%d" % n, b"-1"))
            assert worker.last_acknowledged <= last <= worker.last_sent, \
                f"client {n}: {last}, acknowledged {worker.last_acknowledged}"

    @staticmethod
    def _check_counter(key, rows, parts):
        replies = [reply for part in parts for reply in part.replies]
        unknown = sum(part.unknown for part in parts)
        value = int(rows.get(key.encode(), b"0"))
        assert len(set(replies)) == len(replies), f"{key}: a number was given out twice"
        assert len(replies) <= value <= len(replies) + unknown, \
            f"{key} is {value}: {len(replies)} acknowledged, {unknown} unknown"
        assert max(replies, default=0) <= value, f"{key} went back"
