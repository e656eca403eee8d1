"""Clients of lists, hashes, sets and sorted sets. As in workload.py each class of keys has rules of its
own for who writes it:

queue  a client's own list: RPUSH, LPUSH of things that are there once, LPOP, RPOP
hash   a client's own hash: HSET, HDEL, HINCRBY of a field, HGETALL
set    a client's own set: SADD, SREM, SPOP
zset   a client's own sorted set: ZADD, ZPOPMIN, ZINCRBY of one member
duo    a list and a hash that a client changes in one MULTI: RPUSH and HINCRBY
shared a list, a hash, a set and a sorted set that everybody adds to
line   a list that everybody pushes to and takes from

Judged in verify_collections.py.
"""

from harness.replies import NIL, bulks

from .record import CALL, DONE, READ, REFUSED, Op
from .workload import Resident, Roamer

# Replies that say that nothing has changed.
NOTHING = {"LPOP": (NIL,), "RPOP": (NIL,), "SPOP": (NIL,), "ZPOPMIN": (b"*0\r\n",), "HDEL": (b":0\r\n",),
           "SREM": (b":0\r\n",), "ZREM": (b":0\r\n",), "SADD": (b":0\r\n",)}
READS = ("HGETALL", "LRANGE", "SMEMBERS", "ZRANGE")
FIELDS = (b"a", b"b", b"c")


class CollectionClient:
    """What both kinds of clients do."""

    def call(self, key, name, *args):
        """A command on one key, recorded."""
        begun, ended, (reply,) = self.ask(name, (name, key, *args))
        outcome = self.judge(name, reply, ended)
        self.load.history.add(self.op_of(key, (name, *args), begun, ended, outcome, reply))

    def op_of(self, key, command, begun, ended, outcome, reply, group=0):
        read = command[0] in READS
        if outcome == DONE and (read or reply in NOTHING.get(command[0], ())):
            kind, said = READ, reply if read and bulks(reply) else None
        else:
            kind, said = READ if read else CALL, None
        return Op(key, kind, self.instance, self.name_, begun, ended, outcome, reply=said, group=group,
                  command=command, told=reply if outcome == DONE else None)

    def a_thing(self):
        """Never the same twice."""
        self.serial += 1
        return b"%d.%d" % (self.number, self.serial)

    def add_to_shared(self):
        thing = self.a_thing()
        self.call(*self.chance.choice([
            (b"shared:list:0", "RPUSH", thing), (b"shared:hash:0", "HSET", thing, b"v" + thing),
            (b"shared:set:0", "SADD", thing),
            (b"shared:zset:0", "ZADD", b"%d" % self.chance.randrange(9), thing)]))

    def stand_in_line(self):
        self.call(b"line:0", "RPUSH", self.a_thing())

    def take_from_line(self):
        self.call(b"line:0", "LPOP")


class CollectionResident(CollectionClient, Resident):
    """Stays with its instance."""

    def __init__(self, load, number, ports):
        super().__init__(load, number, ports)
        self.actions = [self.queue, self.queue, self.queue, self.hash, self.hash, self.hash, self.set_,
                        self.set_, self.zset, self.zset, self.duo, self.add_to_shared, self.add_to_shared,
                        self.stand_in_line, self.take_from_line, self.set, self.count, self.visit]

    def queue(self):
        way, key = self.chance.randrange(9), b"queue:%d" % self.number
        if way < 3:
            self.call(key, "RPUSH", self.a_thing())
        elif way == 3:
            self.call(key, "LPUSH", self.a_thing(), self.a_thing())
        elif way < 7:
            self.call(key, "LPOP")
        else:
            self.call(key, *self.chance.choice([("RPOP",), ("LRANGE", b"0", b"-1")]))

    def hash(self):
        key, field = b"hash:%d" % self.number, self.chance.choice(FIELDS)
        self.call(key, *self.chance.choice([
            ("HSET", field, self.some_value()), ("HSET", field, self.some_value()), ("HDEL", field),
            ("HINCRBY", b"n", b"1"), ("HINCRBY", b"n", b"3"), ("HGETALL",)]))

    def set_(self):
        key = b"set:%d" % self.number
        self.call(key, *self.chance.choice([
            ("SADD", self.a_thing()), ("SADD", self.a_thing()), ("SADD", self.a_thing(), self.a_thing()),
            ("SPOP",), ("SPOP",), ("SREM", b"%d.%d" % (self.number, self.serial)), ("SMEMBERS",)]))

    def zset(self):
        key = b"zset:%d" % self.number
        self.call(key, *self.chance.choice([
            ("ZADD", b"%d" % self.chance.randrange(5), self.a_thing()), ("ZINCRBY", b"2", b"n"),
            ("ZPOPMIN",)]))

    def duo(self):
        commands = [(b"duo:list:%d" % self.number, "RPUSH", self.a_thing()),
                    (b"duo:hash:%d" % self.number, "HINCRBY", b"n", b"1")]
        words = [(name, key, *args) for key, name, *args in commands]
        begun, ended, replies = self.ask("EXEC", ("MULTI",), *words, ("EXEC",))
        outcome = self.judge("EXEC", replies[-1], ended)
        for reply in replies[1:-1]:
            if reply is not None:
                self.judge("a command in MULTI", reply, ended)
        parts = [None, None]
        if outcome == DONE:
            parts = [line + b"\r\n" for line in replies[-1].split(b"\r\n")[1:-1]]
        self.serial += 1
        if outcome != REFUSED:
            self.load.history.add(*(
                self.op_of(key, tuple(command), begun, ended, outcome, part, self.serial)
                for (key, *command), part in zip(commands, parts)))


class CollectionRoamer(CollectionClient, Roamer):
    """Comes through a load balancer."""

    def __init__(self, load, number, ports):
        super().__init__(load, number, ports)
        self.actions = [self.add_to_shared, self.add_to_shared, self.stand_in_line, self.take_from_line,
                        self.visit, self.visit, self.logout]
