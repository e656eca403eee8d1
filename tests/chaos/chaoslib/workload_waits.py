"""Clients that wait, besides what clients of collections do: half of them push, half of them wait for what is
pushed, for 200 ms at most, at any instance.

line   BLPOP, BRPOP and BLMOVE of the list that everybody pushes to
nest   a client's own list: what its BLMOVEs have brought
heap   a sorted set that everybody adds to and takes from: ZADD and BZPOPMIN

Judged in verify_collections.py.
"""

from harness.replies import NIL, array, bulks

from .record import CALL, DONE, UNKNOWN, Op
from .workload_collections import CollectionResident, CollectionRoamer

NULL = b"*-1\r\n"
WAITS_S = (0.01, 0.05, 0.2)
LINE, HEAP = b"line:0", b"heap:0"


class WaitClient:
    """What both kinds of clients do."""

    def wait_for(self, name, *words):
        """When, the reply to a command that waits, and the outcome."""
        wait_s = self.chance.choice(WAITS_S)
        begun, ended, (reply,) = self.ask(name, (name, *words, wait_s), wait_s=wait_s)
        return begun, ended, reply, self.judge(name, reply, ended)

    def take(self, key, name, as_if, without_key):
        """Recorded as the command that does not wait."""
        begun, ended, reply, outcome = self.wait_for(name, key)
        if outcome == DONE:
            reply = without_key(reply)
        self.load.history.add(self.op_of(key, (as_if,), begun, ended, outcome, reply))

    def take_from_line(self):
        end = self.chance.choice("LR")
        self.take(LINE, f"B{end}POP", f"{end}POP", lambda reply: NIL if reply == NULL else bulks(reply)[1])

    def take_from_heap(self):
        self.take(HEAP, "BZPOPMIN", "ZPOPMIN",
                  lambda reply: b"*0\r\n" if reply == NULL else array(bulks(reply)[1:]))

    def add_to_heap(self):
        self.call(HEAP, "ZADD", b"%d" % self.chance.randrange(5), self.a_thing())

    def move_to_nest(self):
        nest = b"nest:%d" % self.number
        begun, ended, reply, outcome = self.wait_for("BLMOVE", LINE, nest, "LEFT", "RIGHT")
        if outcome == DONE and reply in (NIL, NULL):
            reply = NIL
        self.load.history.add(self.op_of(LINE, ("LPOP",), begun, ended, outcome, reply))
        if outcome == UNKNOWN or outcome == DONE and reply != NIL:
            thing = () if outcome == UNKNOWN else (reply.split(b"\r\n", 1)[1][:-2],)
            self.load.history.add(Op(nest, CALL, self.instance, self.name_, begun, ended, outcome,
                                     command=("BLMOVE", *thing), told=reply if thing else None))

    def look_at_nest(self):
        self.call(b"nest:%d" % self.number, "LRANGE", b"0", b"-1")


class WaitResident(WaitClient, CollectionResident):
    """Stays with its instance."""

    def __init__(self, load, number, ports):
        super().__init__(load, number, ports)
        self.actions = [self.take_from_line, self.take_from_line, self.move_to_nest, self.move_to_nest,
                        self.stand_in_line, self.stand_in_line, self.stand_in_line, self.stand_in_line,
                        self.take_from_heap, self.add_to_heap, self.add_to_heap, self.look_at_nest,
                        self.queue, self.count]


class WaitRoamer(WaitClient, CollectionRoamer):
    """Comes through a load balancer."""

    def __init__(self, load, number, ports):
        super().__init__(load, number, ports)
        self.actions = [self.take_from_line, self.take_from_line, self.take_from_heap, self.add_to_heap,
                        self.stand_in_line, self.stand_in_line, self.visit]
