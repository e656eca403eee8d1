"""Is a recorded history of one key linearizable? Each operation must be explained by one moment
between its invocation and its response at which it happened alone.

Wing, Gong: Testing and Verifying Concurrent Objects (1993): try each operation that may come next,
go back where none fits. Lowe: Testing for Linearizability (2017): never search twice from the same
set of operations and the same value.

The key is a string register with an expiry, or a collection (linearize_collections.py). An operation without a response (the connection was
lost, or "may or may not have been applied") may have happened at any later moment, or never. What
expires does so at a moment of its own: that is one more operation, whose bounds follow from those
of the one that set the expiry.
"""

import collections

from .linearize_collections import COLLECTIONS, alternatives_of
from .linearize_collections import UNCHANGED as COLLECTION_UNCHANGED
from .replies import NIL, OK, WRONG_TYPE, Unordered, bulk, number

NOT_A_NUMBER = b"-ERR value is not an integer or out of range\r\n"
OVERFLOW = b"-ERR increment or decrement would overflow\r\n"
LEFT = b"some TTL"  # PTTL of what expires: any number from 0 on

EXPIRES = "(expires)"
CLOCK_GRAIN_NS = 2_000_000  # expiries are kept in milliseconds, PostgreSQL's clock is not ours

# Times in nanoseconds of one clock. `commands`: one, or those of a MULTI block, each a tuple of a
# name and its arguments but for the key. `ended` and `reply` are None where there was none.
Operation = collections.namedtuple("Operation", "begun ended commands reply client",
                                   defaults=("",))


class Undecided(Exception):
    """The search became too large: split the history, or lose fewer connections per key."""


# --- the register --------------------------------------------------------------------------------
# A state is None (absent) or (value, deadline): the number of the operation that set the expiry, or
# None. Each function: state, arguments, number of the operation → new state, reply.

def _value(state):
    return state[0] if state else None


def _get(state, _args, _op):
    return state, bulk(_value(state))


def _set(state, args, op):
    """SET value [NX] [XX] [GET] [KEEPTTL] [PX ms]"""
    value, options = args[0], args[1:]
    reply = bulk(_value(state)) if "GET" in options else OK
    if ("NX" in options and state) or ("XX" in options and not state):
        return state, reply if "GET" in options else NIL
    deadline = op if "PX" in options else None
    if "KEEPTTL" in options and state:
        deadline = state[1]
    return (value, deadline), reply


def _setnx(state, args, _op):
    return (state, number(0)) if state else ((args[0], None), number(1))


def _getset(state, args, _op):
    return (args[0], None), bulk(_value(state))


def _getdel(state, _args, _op):
    return None, bulk(_value(state))


def _del(state, _args, _op):
    return None, number(state is not None)


def _flushall(_state, _args, _op):
    return None, OK


def _append(state, args, _op):
    value, deadline = state or (b"", None)
    return (value + args[0], deadline), number(len(value) + len(args[0]))


def _incr(state, _args, _op):
    value, deadline = state or (b"0", None)
    try:
        old = int(value)
    except ValueError:
        old = None
    if old is None or b"%d" % old != value or not -1 << 63 <= old < 1 << 63:
        return state, NOT_A_NUMBER
    if old + 1 == 1 << 63:
        return state, OVERFLOW
    return (b"%d" % (old + 1), deadline), number(old + 1)


def _persist(state, _args, _op):
    if not state or state[1] is None:
        return state, number(0)
    return (state[0], None), number(1)


def _pexpire(state, _args, op):
    return ((state[0], op), number(1)) if state else (None, number(0))


def _pttl(state, _args, _op):
    if not state:
        return state, number(-2)
    return state, number(-1) if state[1] is None else LEFT


def _expires(state, args, _op):
    gone = state is not None and state[1] is not None and state[1] == args[0]
    return (None if gone else state), None


REGISTER = {
    "GET": _get, "SET": _set, "SETNX": _setnx, "GETSET": _getset, "GETDEL": _getdel, "DEL": _del,
    "FLUSHALL": _flushall, "APPEND": _append, "INCR": _incr, "PERSIST": _persist, "PEXPIRE": _pexpire, "PTTL": _pttl,
    EXPIRES: _expires,
}
OPERATIONS = {**REGISTER, **COLLECTIONS}


def apply(state, commands, op=0):
    """What commands do to a state: the new one and the reply, that of EXEC where there are several."""
    replies = []
    for name, *args in commands:
        state, reply = OPERATIONS[name](state, args, op)
        replies.append(reply)
    if len(commands) == 1:
        return state, replies[0]
    return state, b"*%d\r\n" % len(commands) + b"".join(replies)


def fits(reply, told):
    """Whether what the model says allows what was told."""
    if isinstance(reply, Unordered):
        return reply.fits(told)
    return reply == told or (reply is LEFT and told.startswith(b":") and int(told[1:]) >= 0)


# Name → the replies that say that nothing has changed; True = any.
UNCHANGED = {
    "GET": True, "PTTL": True, "SETNX": (number(0),), "GETDEL": (NIL,), "DEL": (number(0),),
    "INCR": (NOT_A_NUMBER, OVERFLOW), "PERSIST": (number(0),), "PEXPIRE": (number(0),),
    **COLLECTION_UNCHANGED,
}


def changed_nothing(operation):
    """Whether its reply tells that, whatever the state was."""
    if operation.ended is None:
        return False
    if operation.reply == WRONG_TYPE:
        return True
    if len(operation.commands) > 1:
        return all(name in ("GET", "PTTL") for name, *_ in operation.commands)
    (name, *args), = operation.commands
    if name == "SET":
        return "GET" not in args and operation.reply == NIL
    replies = UNCHANGED.get(name, ())
    return replies is True or operation.reply in replies


def expiry_ms(commands):
    """The relative expiry that commands may set, or None."""
    for name, *args in commands:
        if name == "PEXPIRE":
            return int(args[0])
        if name == "SET" and "PX" in args:
            return int(args[args.index("PX") + 1])
    return None


# --- the search ----------------------------------------------------------------------------------

class _Search:
    """What has been placed so far (`order`), and a list of the beginnings and ends of what has
    not, in the order of their times: an operation may come next if no end stands before it."""

    HEAD = 0

    def __init__(self, operations, limit):
        self.operations, self.alternatives = _with_alternatives(operations)
        self.operations = _with_expiries(self.operations)
        self.reads = [changed_nothing(o) for o in self.operations]
        self.limit = limit
        self.state = None
        self.done, self.used = 0, 0  # sets, as bits: of those answered, of those that may be left out
        self.order, self._undo = [], []
        self.longest = []
        self.ways = 0
        self._seen = {}  # (done, state) → the sets `used` with which a search began there
        events = sorted((time, is_end, i) for i, o in enumerate(self.operations)
                        if o.ended is not None
                        for time, is_end in ((o.begun, False), (o.ended, True)))
        # Nodes: 0 is the head, then one per event, doubly linked.
        self.events = [None] + events
        self.next = list(range(1, len(events) + 1)) + [0]
        self.prev = [len(events)] + list(range(len(events)))
        self.nodes = collections.defaultdict(list)
        for node, (_, _, i) in enumerate(events, 1):
            self.nodes[i].append(node)
        self.optional = sorted((i for i, o in enumerate(self.operations) if o.ended is None),
                               key=lambda i: self.operations[i].begun)

    def run(self):
        """True if there is an order that explains every reply; it stands in `order` then."""
        stack = [self._candidates()]
        while self.next[self.HEAD]:
            for i in stack[-1]:
                if self._take(i):
                    stack.append(self._candidates())
                    break
            else:
                stack.pop()
                if not stack:
                    return False
                self._take_back()
        return True

    def _candidates(self):
        """What may come next. What changes nothing and fits comes at once, and alone: whatever
        follows can follow it. What was not answered comes last: only where it is needed."""
        ready, node = [], self.next[self.HEAD]
        while node and not self.events[node][1]:
            i = self.events[node][2]
            if self.reads[i] and self._fits(i, apply(self.state, self.operations[i].commands)[1]):
                yield i
                return
            ready.append(i)
            node = self.next[node]
        yield from ready
        before = self.events[node][0]
        tried = set()
        for i in self.optional:
            operation = self.operations[i]
            if operation.begun > before:
                break
            if self.used >> i & 1 or operation.commands in tried:
                continue
            if expiry_ms(operation.commands) is None:
                tried.add(operation.commands)  # which one of two that do the same does not matter
            yield i

    def _take(self, i):
        operation = self.operations[i]
        state, reply = apply(self.state, operation.commands, i)
        done, used = self.done, self.used
        if operation.ended is None:
            used |= self.alternatives.get(i, 1 << i)
            if state == self.state:
                return False
        else:
            done |= 1 << i
            if not self._fits(i, reply):
                return False
        if not self._is_new(done, state, used):
            return False
        self._undo.append((self.state, self.done, self.used))
        self.state, self.done, self.used = state, done, used
        self.order.append(i)
        if len(self.order) > len(self.longest):
            self.longest = list(self.order)
        for node in self.nodes[i]:
            before, after = self.prev[node], self.next[node]
            self.next[before], self.prev[after] = after, before
        return True

    def _fits(self, i, reply):
        return fits(reply, self.operations[i].reply)

    def _is_new(self, done, state, used):
        """False if the search has been here with as little used: what is left can do the same."""
        before = self._seen.setdefault((done, state), [])
        if any(each & used == each for each in before):
            return False
        before.append(used)
        self.ways += 1
        if self.ways > self.limit:
            raise Undecided(f"{self.ways} ways tried, {len(self.operations)} operations")
        return True

    def _take_back(self):
        i = self.order.pop()
        self.state, self.done, self.used = self._undo.pop()
        for node in reversed(self.nodes[i]):
            self.next[self.prev[node]] = self.prev[self.next[node]] = node


def _with_alternatives(operations):
    """The operations, those with several outcomes once for each of them; and of these, which exclude
    each other: number → a set, as bits."""
    found, alternatives = [], {}
    for o in operations:
        some = alternatives_of(o, operations)
        numbers = range(len(found), len(found) + len(some))
        if len(some) > 1:
            alternatives.update(dict.fromkeys(numbers, sum(1 << i for i in numbers)))
        found += some
    return found, alternatives


def _with_expiries(operations):
    """The operations, and what each expiry that one of them sets will do."""
    operations, found = list(operations), []
    for i, o in enumerate(operations):
        ms = expiry_ms(o.commands)
        if ms is not None:
            ended = None if o.ended is None else o.ended + ms * 1_000_000 + CLOCK_GRAIN_NS
            found.append(Operation(o.begun + ms * 1_000_000 - CLOCK_GRAIN_NS, ended,
                                   ((EXPIRES, i),), None))
    return operations + found


def why_not_linearizable(operations, limit=1_000_000):
    """None where there is an order that explains the history of one key (absent at first), else a
    text: how far an order goes, and what cannot come next."""
    search = _Search(operations, limit)
    if search.run():
        return None
    placed = set(search.longest)
    state = None
    for i in search.longest:
        state, _ = apply(state, search.operations[i].commands, i)
    left = sorted((o for i, o in enumerate(search.operations) if i not in placed),
                  key=lambda o: o.begun)
    first_end = min(o.ended for o in left if o.ended is not None)
    start = search.operations[search.longest[0]].begun if search.longest else left[0].begun
    lines = [f"{len(search.longest)} of {len(search.operations)} operations can be ordered:"]
    lines += [describe(search.operations[i], start) for i in search.longest[-12:]]
    lines += [f"then it is {state!r}, and none of these can come next:"]
    lines += [describe(o, start) for o in left if o.begun <= first_end]
    return "\n".join(lines)


def describe(operation, start=0):
    def ms(time):
        return "?" if time is None else f"{(time - start) / 1e6:.3f}"

    words = "; ".join(" ".join(w.decode(errors="replace") if isinstance(w, bytes) else str(w)
                               for w in command) for command in operation.commands)
    return f"  {ms(operation.begun)} to {ms(operation.ended)} ms, {operation.client}: " \
           f"{words} → {operation.reply!r}"
