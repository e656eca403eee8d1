"""Clients that use scripts, besides what clients of collections do. Each script gets its keys twice, in
KEYS those that are declared and in ARGV all of them, and one in three calls leaves the last one undeclared.
The scripts were loaded on one of the instances; a call is EVALSHA or EVAL, by chance.

tally  a client's own counter: GET and SET in a script
both   two counters that a client raises in one script
twin   two registers that a client writes in one script
till   a client's own list and hash: RPUSH, and a script that moves an element from one to the other
slist  as ever, and in a script: GET and SET of what is there and a piece
line   as ever, and in a script: LPOP, and where that found something an HSET of shared:hash:0

Judged in verify.py, verify_collections.py and verify_scripts.py.
"""

import hashlib

from harness.replies import NIL, bulk, number

from .record import APPEND, CALL, DONE, INCR, READ, REFUSED, SET, Op, ScriptCall
from .workload_collections import CollectionResident, CollectionRoamer

KEY = "local function key(i) return KEYS[i] or ARGV[i] end "
SCRIPTS = {name: KEY + body for name, body in {
    "tally": "local n = (tonumber(redis.call('GET', key(1))) or 0) + 1 redis.call('SET', key(1), n) return n",
    "both": "return {redis.call('INCR', key(1)), redis.call('INCR', key(2))}",
    "twin": "redis.call('SET', key(1), ARGV[3]) return redis.call('SET', key(2), ARGV[3])",
    "till": "if redis.call('LREM', key(1), 0, ARGV[3]) == 0 then return 0 end "
            "return 1 + redis.call('HSET', key(2), ARGV[3], 'moved')",
    "append": "local v = (redis.call('GET', key(1)) or '') .. ARGV[2] redis.call('SET', key(1), v) return #v",
    "take": "local x = redis.call('LPOP', key(1)) "
            "if x then redis.call('HSET', key(2), ARGV[3], 'v' .. ARGV[3]) end return x",
}.items()}
SHA = {name: hashlib.sha1(text.encode()).hexdigest() for name, text in SCRIPTS.items()}
NOSCRIPT = b"-NOSCRIPT "


def load_scripts(servers):
    """Each on one instance; every other one knows it from then on."""
    for n, (name, text) in enumerate(sorted(SCRIPTS.items())):
        with servers[n % len(servers)].raw(timeout=20) as raw:
            assert raw.command("SCRIPT", "LOAD", text) == bulk(SHA[name].encode())


class ScriptClient:
    """What both kinds of clients do."""

    def run_script(self, name, *keys, args=()):
        """When, the reply and the outcome."""
        declared = len(keys) - (self.chance.randrange(3) == 0)
        rest = (b"%d" % declared, *keys[:declared], *keys, *args)
        by_name = self.chance.random() < 0.6
        words = ("EVALSHA", SHA[name], *rest) if by_name else ("EVAL", SCRIPTS[name], *rest)
        begun, ended, (reply,) = self.ask(f"the script {name}", words)
        if reply is not None and reply.startswith(NOSCRIPT):
            self.load.history.add_script(ScriptCall(name, self.instance, begun, ended, False))
            return begun, ended, None, REFUSED
        outcome = self.judge(f"the script {name}", reply, ended)
        if outcome == DONE:
            self.load.history.add_script(ScriptCall(name, self.instance, begun, ended, True))
        return begun, ended, reply if outcome == DONE else None, outcome

    def part(self, key, kind, call, **more):
        begun, ended, _, outcome = call
        return Op(key, kind, self.instance, self.name_, begun, ended, outcome, **more)

    def tally(self):
        key = b"tally:%d" % self.number
        call = self.run_script("tally", key)
        self.load.history.add(self.part(key, INCR, call, reply=call[2] and int(call[2][1:-2])))

    def both(self):
        keys = [b"both:%s:%d" % (half, self.number) for half in (b"a", b"b")]
        call = self.run_script("both", *keys)
        told = [int(line[1:]) for line in call[2].split(b"\r\n")[1:3]] if call[2] else (None, None)
        self.load.history.add(*(self.part(key, INCR, call, reply=n) for key, n in zip(keys, told)))

    def twin(self):
        keys = [b"twin:%s:%d" % (half, self.number) for half in (b"a", b"b")]
        value = self.some_value()
        call = self.run_script("twin", *keys, args=(value,))
        self.load.history.add(*(self.part(key, SET, call, value=value) for key in keys))

    def put_into_till(self):
        thing = self.a_thing()
        self.call(b"till:list:%d" % self.number, "RPUSH", thing)
        self.things.append(thing)

    def move_in_till(self):
        """One that may be there; of those that were moved, the latest again."""
        if not self.things:
            return
        thing = self.things[0]
        if len(self.things) > 1 and self.chance.random() < 0.9:
            self.things.pop(0)
        keys = [b"till:%s:%d" % (kind, self.number) for kind in (b"list", b"hash")]
        call = self.run_script("till", *keys, args=(thing,))
        command = ("LREM", b"0", thing)
        if call[2] == number(0):
            self.load.history.add(self.part(keys[0], READ, call, told=call[2], command=command))
            return
        is_new = call[2] and number(int(call[2][1:-2]) - 1)
        self.load.history.add(
            self.part(keys[0], CALL, call, told=call[2] and number(1), command=command),
            self.part(keys[1], CALL, call, told=is_new, command=("HSET", thing, b"moved")))

    def append_by_script(self):
        self.serial += 1
        key, piece = b"slist:%d" % self.chance.randrange(2), b"%d.%d;" % (self.number, self.serial)
        call = self.run_script("append", key, args=(piece,))
        self.load.history.add(self.part(key, APPEND, call, value=piece))

    def take_by_script(self):
        thing, keys = self.a_thing(), (b"line:0", b"shared:hash:0")
        call = self.run_script("take", *keys, args=(thing,))
        if call[2] == NIL:
            self.load.history.add(self.part(keys[0], READ, call, told=NIL, command=("LPOP",)))
            return
        self.load.history.add(
            self.part(keys[0], CALL, call, told=call[2], command=("LPOP",)),
            self.part(keys[1], CALL, call, told=call[2] and number(1), command=("HSET", thing, b"v" + thing)))


class ScriptResident(ScriptClient, CollectionResident):
    """Stays with its instance."""

    def __init__(self, load, number_, ports):
        super().__init__(load, number_, ports)
        self.things = []  # that were put into the till, and perhaps moved
        self.actions = [self.tally, self.tally, self.both, self.both, self.twin, self.twin,
                        self.put_into_till, self.put_into_till, self.move_in_till, self.move_in_till,
                        self.append_by_script, self.append_shared, self.take_by_script,
                        self.stand_in_line, self.take_from_line, self.set, self.visit]


class ScriptRoamer(ScriptClient, CollectionRoamer):
    """Comes through a load balancer."""

    def __init__(self, load, number_, ports):
        super().__init__(load, number_, ports)
        self.actions = [self.append_by_script, self.append_by_script, self.take_by_script,
                        self.take_by_script, self.stand_in_line, self.stand_in_line, self.add_to_shared,
                        self.append, self.visit]
