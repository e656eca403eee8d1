"""What was asked and answered (Op), what is known of the course of a scenario (Facts), and what was
found when everything was online again (Final). Only data: the driver fills it, verify.py judges it.

All times are seconds of time.monotonic(). A key's name begins with its class, "own:3:1"; the class
says who may write it (workload.py) and what must be true of it (verify.py).
"""

import collections
import dataclasses
import threading
import time

# Outcomes of an operation.
DONE = "done"          # acknowledged
REFUSED = "refused"    # an error that says that nothing was done
UNKNOWN = "unknown"    # no reply, or an error that says that it may or may not have been done

NEVER = None           # of an expiry

# What a command did to a key, if it was carried out.
SET, DEL, INCR, APPEND, EXPIRE, PERSIST, CAS = "SET DEL INCR APPEND EXPIRE PERSIST CAS".split()
READ = "GET"
CALL = "CALL"          # a command of a collection that changed something, or may have: Op.command
WRITES = frozenset((SET, DEL, INCR, APPEND, CAS, CALL))  # they change the value, not only the expiry


@dataclasses.dataclass
class Op:
    """One command's effect on one key. A MULTI block is several, with the same `group`."""
    key: bytes
    kind: str
    instance: int
    client: str
    begun: float
    ended: float            # when the reply came, or when there was none to be had any more
    outcome: str = DONE
    value: bytes | None = None  # SET, CAS: the new value; APPEND: what is appended
    ttl: int | None = NEVER     # SET, EXPIRE: seconds
    reply: bytes | int | None = None
    group: int = 0
    command: tuple = ()         # of a collection: name and arguments but for the key
    told: bytes | None = None   # and the reply to it as it came

    @property
    def effective(self):
        return self.outcome != REFUSED

    @property
    def done(self):
        return self.outcome == DONE


@dataclasses.dataclass
class Timing:
    """One round trip of a client, for the bounds on time."""
    instance: int
    client: str
    what: str
    begun: float
    ended: float
    allowance: float = 0.0  # how long machine and disk, not PostgreSQL, may have held it up


@dataclasses.dataclass
class Failure:
    """An error reply."""
    instance: int
    what: str
    at: float
    text: bytes
    held_up: float = 0.0  # by the machine, in the pg-timeout before it


@dataclasses.dataclass
class ScriptCall:
    """EVAL or EVALSHA: carried out (known), or answered NOSCRIPT."""
    name: str
    instance: int
    begun: float
    ended: float
    known: bool


class History:
    """Filled by many threads."""

    def __init__(self):
        self.ops = []
        self.timings = []
        self.failures = []
        self.scripts = []
        self.wrong = []     # what a client saw that can't be: texts
        self._lock = threading.Lock()

    def add(self, *ops):
        with self._lock:
            self.ops.extend(ops)

    def add_timing(self, timing):
        with self._lock:
            self.timings.append(timing)

    def add_failure(self, failure):
        with self._lock:
            self.failures.append(failure)

    def add_script(self, call):
        with self._lock:
            self.scripts.append(call)

    def complain(self, text):
        with self._lock:
            self.wrong.append(text)

    def count(self, outcome=DONE):
        with self._lock:
            return sum(op.outcome == outcome for op in self.ops)

    def by_key(self):
        """key → its operations, in the order in which they were begun."""
        found = collections.defaultdict(list)
        for op in sorted(self.ops, key=lambda op: op.begun):
            found[op.key].append(op)
        return found


@dataclasses.dataclass
class Facts:
    """The course of a scenario, as far as it is certain."""
    pg_timeout: float
    starts: dict = dataclasses.field(default_factory=dict)   # instance → times of its starts
    # instance → {time of a start: when the warm file that it found was written}
    warm: dict = dataclasses.field(default_factory=dict)
    # instance → (from, to): PostgreSQL can't have taken anything from it, nor given anything to it.
    cut_off: dict = dataclasses.field(default_factory=dict)
    # instance → (from, to): it was killed or stopped; it can't have answered.
    silent: dict = dataclasses.field(default_factory=dict)
    # instance → (from, to): PostgreSQL may have been in trouble for it, until it was online again.
    trouble: dict = dataclasses.field(default_factory=dict)
    # instance → (from, to): it said itself, before and after, that it was away.
    away: dict = dataclasses.field(default_factory=dict)
    # instance → (from, to): it may have been away, by what it said before and after.
    may_be_away: dict = dataclasses.field(default_factory=dict)
    # instance → (asked, answered): it said that it is online, so all of its journal is merged.
    online: dict = dataclasses.field(default_factory=dict)
    slow: bool = False               # PostgreSQL is there, and too slow
    errors_expected: bool = False    # the scenario has commands refused, with documented errors
    clock_skew: float = 0.05         # of stamps of two instances, in seconds
    one_snapshot: float = 0.0        # when the final look began
    rows_read: float = 0.0           # when it had the rows

    def rows_by(self):
        return max(self.one_snapshot, self.rows_read)

    def was_within(self, windows, begun, ended):
        return any(start <= begun and ended <= end for start, end in windows)

    def is_cut_off(self, op):
        """Nothing of this operation came from PostgreSQL, nothing of it reached it before its end."""
        return self.was_within(self.cut_off.get(op.instance, ()), op.begun, op.ended)

    def window_of(self, windows, op):
        """The window of the operation's instance in which it was begun, or None."""
        return next((w for w in windows.get(op.instance, ()) if w[0] <= op.begun <= w[1]), None)

    def overlaps(self, windows, op):
        return any(start <= op.ended and op.begun <= end
                   for start, end in windows.get(op.instance, ()))

    def last_start(self, instance, at):
        return max((t for t in self.starts.get(instance, ()) if t <= at), default=float("-inf"))


@dataclasses.dataclass
class Row:
    """A live row: tombstones and expired rows are none. What a value is: values.py."""
    value: bytes | tuple
    expires_at: float | None = NEVER  # monotonic, PostgreSQL's clock translated


@dataclasses.dataclass
class Conflict:
    """A row of respgres.conflicts."""
    key: bytes
    value: bytes | tuple | None
    lost: str                # 'journal' or 'row'
    reason: str = ""


@dataclasses.dataclass
class Final:
    """What was found after the scenario."""
    looked: bool = False     # false: the scenario broke off before
    rows: dict = dataclasses.field(default_factory=dict)       # key → Row
    conflicts: list = dataclasses.field(default_factory=list)  # of Conflict
    replies: dict = dataclasses.field(default_factory=dict)    # instance → {key → (value, TTL reply)}
    left_over: list = dataclasses.field(default_factory=list)  # journals that are not empty: texts
    states: dict = dataclasses.field(default_factory=dict)     # instance → its state
    problems: list = dataclasses.field(default_factory=list)   # logs, exit statuses: texts

    def lost_values(self, key, lost=None):
        return [c.value for c in self.conflicts
                if c.key == key and (lost is None or c.lost == lost)]


def now():
    return time.monotonic()


# --- in complaints --------------------------------------------------------------------------------------

def when(op):
    return f"{op.client} on instance {op.instance} at {op.begun:.3f}-{op.ended:.3f}"


def short(value):
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:40]}…{text[-40:]}"
