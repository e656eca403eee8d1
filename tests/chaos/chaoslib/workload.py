"""What the clients do. Each class of keys has rules of its own for who writes it, so that the judge
(verify.py) knows what must come of it:

own      a client's own registers: SET, SETEX (often of the same bytes), GET, DEL, EXPIRE
count    a client's own counter: INCR
pair     two registers that a client writes in one MULTI, sometimes with a query between them
list     a client's own list: APPEND
gone     SET and DEL, once each, never used again
cas      WATCH, GET, MULTI, SET, EXEC by the clients of one instance
session  what an application does behind a load balancer: a visit is GET and SETEX on any instance
slist    APPEND on any instance

Half of the clients stay with one instance, the others take any. The seed makes every choice; the
scheduling is the machine's.
"""

import random
import threading
import time

from harness.raw import RawClient, encode

from . import errors
from .record import (APPEND, CAS, DEL, DONE, EXPIRE, INCR, READ, REFUSED, SET, UNKNOWN, Failure, Op,
                     Timing, now)

NIL = b"$-1\r\n"
PATIENCE_S = 10   # a reply that takes longer does not come
LONG, SHORT = (300, 3600, 86400), (1, 2)


class Lost(Exception):
    """There was no reply, or one that says nothing about what was asked."""


class Client(threading.Thread):
    """One connection at a time, to one instance at a time. `ports` are those of its instances."""

    def __init__(self, load, number, ports):
        super().__init__(daemon=True)
        self.load, self.number, self.ports = load, number, ports
        self.name_ = f"client {number}"
        self.chance = random.Random(f"{load.seed}/{number}")
        self.instance = self.chance.choice(sorted(ports))
        self.raws = {}
        self.serial = 0
        self.last = {}        # own key → its bytes, as acknowledged last

    # --- a round trip ---------------------------------------------------------------------------

    def ask(self, what, *commands, wait_s=0):
        """Sends the commands together. Returns when, and the replies; None for those that did not
        come, and when nothing could be sent, no list at all. They may wait for so long."""
        raw = self._connected()
        if raw is None:
            raise Lost
        begun = now()
        replies = []
        try:
            raw.send(b"".join(encode(*command) for command in commands))
            for _ in commands:
                replies.append(raw.reply())
        except TimeoutError:
            self.load.history.complain(f"{self.name_}: no reply to {what} within {PATIENCE_S} s, "
                                       f"instance {self.instance}, sent at {begun:.3f}")
            self._disconnect()
        except OSError:
            self._disconnect()
        ended = now()
        if len(replies) == len(commands) and ended > begun + wait_s:
            self.load.history.add_timing(Timing(self.instance, self.name_, what, begun + wait_s, ended))
        return begun, ended, replies + [None] * (len(commands) - len(replies))

    def judge(self, what, reply, at):
        """The outcome of one reply; an error is recorded."""
        if reply is None:
            return UNKNOWN
        if not reply.startswith(b"-"):
            return DONE
        self.load.history.add_failure(Failure(self.instance, what, at, reply))
        self.load.ending.wait(0.01)
        return errors.outcome_of(reply) or UNKNOWN

    def run_one(self, kind, key, *command, value=None, ttl=None, parse=None):
        """A command on one key; records and returns its Op, or raises Lost if it was never sent."""
        begun, ended, (reply,) = self.ask(command[0], command)
        outcome = self.judge(command[0], reply, ended)
        op = Op(key, kind, self.instance, self.name_, begun, ended, outcome, value, ttl)
        if outcome == DONE and parse:
            op.reply = parse(reply)
        self.load.history.add(op)
        return op

    def _connected(self):
        if self.instance not in self.raws:
            try:
                self.raws[self.instance] = RawClient(("127.0.0.1", self.ports[self.instance]),
                                                     PATIENCE_S)
            except OSError:
                self.load.ending.wait(0.02)  # it is being started again
                return None
        return self.raws[self.instance]

    def _disconnect(self):
        self.raws.pop(self.instance).close()

    # --- the loop ---------------------------------------------------------------------------------

    def run(self):
        try:
            while not self.load.ending.is_set():
                self.instance = self.chance.choice(sorted(self.ports))
                try:
                    self.chance.choice(self.actions)()
                except Lost:
                    pass
                time.sleep(self.chance.uniform(0.001, self.load.pause_s))
        except Exception as error:  # a client that ends early would prove nothing
            self.load.history.complain(f"{self.name_} ended: {error!r}")
            raise
        finally:
            for raw in self.raws.values():
                raw.close()

    def some_value(self):
        """Never the same twice."""
        self.serial += 1
        size = self.chance.choice(self.load.sizes)
        return b"%d.%d." % (self.number, self.serial) + self.chance.randbytes(size).hex().encode()

    def some_ttl(self):
        return self.chance.choice((None, None, *LONG, self.chance.choice(SHORT)))


class Resident(Client):
    """Stays with its instance."""

    def __init__(self, load, number, ports):
        super().__init__(load, number, ports)
        self.actions = [self.set, self.set, self.set, self.touch, self.touch, self.get, self.get,
                        self.delete, self.expire, self.count, self.count, self.pair, self.append,
                        self.append_shared, self.gone, self.compare_and_set, self.visit]

    def own(self):
        return b"own:%d:%d" % (self.number, self.chance.randrange(6))

    def set(self):
        self._set(self.own(), self.some_value(), self.some_ttl())

    def touch(self):
        """The bytes that are there, with another expiry: most of what a session store does."""
        key = self.own()
        if self.last.get(key) is not None:
            self._set(key, self.last[key], self.chance.choice(LONG))

    def _set(self, key, value, ttl):
        command = ("SET", key, value) if ttl is None else ("SETEX", key, ttl, value)
        self.last[key] = None
        if self.run_one(SET, key, *command, value=value, ttl=ttl).outcome == DONE:
            self.last[key] = value

    def get(self):
        key = self.own()
        self.run_one(READ, key, "GET", key, parse=bulk)

    def delete(self):
        key = self.own()
        self.last[key] = None
        self.run_one(DEL, key, "DEL", key, parse=number)

    def expire(self):
        key, ttl = self.own(), self.chance.choice(LONG)
        self.run_one(EXPIRE, key, "EXPIRE", key, ttl, ttl=ttl, parse=number)

    def count(self):
        key = b"count:%d" % self.number
        self.run_one(INCR, key, "INCR", key, parse=number)

    def append(self):
        self._append(b"list:%d" % self.number)

    def append_shared(self):
        self._append(b"slist:%d" % self.chance.randrange(2))

    def _append(self, key):
        self.serial += 1
        piece = b"%d.%d;" % (self.number, self.serial)
        self.run_one(APPEND, key, "APPEND", key, piece, value=piece, parse=number)

    def gone(self):
        self.serial += 1
        key, value = b"gone:%d:%d" % (self.number, self.serial), self.some_value()
        if self.run_one(SET, key, "SET", key, value, value=value).outcome == DONE:
            self.run_one(DEL, key, "DEL", key, parse=number)

    def visit(self):
        visit(self, self.chance.randrange(self.load.users))

    def pair(self):
        keys = [b"pair:%s:%d" % (half, self.number) for half in (b"a", b"b")]
        value = self.some_value()
        block = [("SET", key, value) for key in keys]
        if self.chance.random() < 0.2:
            block.insert(1, ("DBSIZE",))  # then it is a PostgreSQL transaction of its own
        begun, ended, replies = self.ask("EXEC", ("MULTI",), *block, ("EXEC",))
        outcome = self.judge("EXEC", replies[-1], ended)
        for reply in replies[1:-1]:
            if reply is not None:
                self.judge("SET in MULTI", reply, ended)
        self.serial += 1
        self.load.history.add(*(Op(key, SET, self.instance, self.name_, begun, ended, outcome, value,
                                   group=self.serial) for key in keys))

    def compare_and_set(self):
        key = b"cas:%d" % self.instance
        begun, ended, (watched, old) = self.ask("WATCH", ("WATCH", key), ("GET", key))
        for what, reply in (("WATCH", watched), ("GET", old)):
            if self.judge(what, reply, ended) != DONE:
                self._forget_watch()
                return
        value = b"%d" % (int(bulk(old) or 0) + 1)
        begun, ended, replies = self.ask("EXEC", ("MULTI",), ("SET", key, value), ("EXEC",))
        outcome = self.judge("EXEC", replies[-1], ended)
        if outcome == DONE and replies[-1] in (b"*-1\r\n", NIL):
            outcome = REFUSED  # somebody was faster
        self.load.history.add(Op(key, CAS, self.instance, self.name_, begun, ended, outcome, value))

    def _forget_watch(self):
        if self.instance in self.raws:
            self._disconnect()


class Roamer(Client):
    """Comes through a load balancer: any instance for each request, as users of a web site do."""

    def __init__(self, load, number, ports):
        super().__init__(load, number, ports)
        self.actions = [self.visit, self.visit, self.visit, self.visit, self.logout, self.append]

    def visit(self):
        visit(self, self.chance.randrange(self.load.users))

    def logout(self):
        key = b"session:%d" % self.chance.randrange(self.load.users)
        self.run_one(DEL, key, "DEL", key, parse=number)

    append = Resident.append_shared
    _append = Resident._append


def visit(client, user):
    """As Flask-Session does: the session is read, and written back with a new expiry, in nine of ten
    cases with the same bytes; where there is none, a new one is written."""
    key = b"session:%d" % user
    read = client.run_one(READ, key, "GET", key, parse=bulk)
    if read.outcome != DONE:
        return
    value = read.reply
    if value is None or client.chance.random() < 0.3:
        value = client.some_value()
    ttl = client.chance.choice(LONG)
    client.run_one(SET, key, "SETEX", key, ttl, value, value=value, ttl=ttl)


class Load:
    """All clients, begun at once. `ports`: instance → port. `classes`: of those that stay and those that
    roam; by default those of strings."""

    def __init__(self, history, ports, seed, residents=3, roamers=2, pause_s=0.012,
                 sizes=(10, 10, 60, 300), users=12, classes=None):
        self.history, self.seed, self.pause_s, self.sizes = history, seed, pause_s, sizes
        self.users = users
        self.ending = threading.Event()
        resident, roamer = classes or (Resident, Roamer)
        kinds = [(resident, {instance: ports[instance]}) for instance in sorted(ports)] * residents
        kinds += [(roamer, ports)] * roamers
        self.clients = [kind(self, n, some) for n, (kind, some) in enumerate(kinds)]
        for client in self.clients:
            client.start()

    def stop(self):
        self.ending.set()
        for client in self.clients:
            client.join(PATIENCE_S + 5)
            if client.is_alive():
                self.history.complain(f"{client.name_} does not end")


def bulk(reply):
    return None if reply == NIL else reply[reply.index(b"\r\n") + 2:-2]


def number(reply):
    return int(reply[1:-2])
