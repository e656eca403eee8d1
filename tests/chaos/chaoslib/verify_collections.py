"""What must be true of lists, hashes, sets and sorted sets after an outage. A collection is a row: a merge
takes one instance's or the other's, as a whole, and keeps what loses in `conflicts`.

One client's own collection, of which its instance always knew: its commands, one after another, with those
of unknown outcome anywhere behind their beginning or nowhere, and the row at last, are one course of
events. That is the search of the integration tests (harness/linearize.py).

Where the instance may have forgotten it, and of what several instances write: what was put there is in the
row or in what lost, or it was taken out; it is nowhere else, and no merge makes it come twice into one list.
"""

import collections

from harness.linearize import Operation, Undecided, why_not_linearizable
from harness.replies import array, bulk, bulks

from .record import CALL, READ, short, when
from .values import READS, words_of

KIND_OF_CLASS = {b"queue": "list", b"line": "list", b"nest": "list", b"heap": "zset",
                 b"hash": "hash", b"set": "set", b"zset": "zset"}
PUTS = ("RPUSH", "LPUSH", "SADD", "ZADD", "HSET")
POPS = ("LPOP", "RPOP", "SPOP", "ZPOPMIN")
REMOVES = ("SREM", "HDEL", "LREM")
COUNTS = ("HINCRBY", "ZINCRBY")
COUNTED = b"n"  # their field or member
LINE = b"line:0"
MS = 1e9


def kind_of(key):
    """The type of a key that holds a collection, by its name; None for those of strings."""
    first, *others = key.split(b":")
    if first in (b"duo", b"shared", b"till"):
        return others[0].decode()
    return KIND_OF_CLASS.get(first)


# --- one client's own -----------------------------------------------------------------------------------

def owned(key):
    if (yield from is_of_another_type(key)):
        return
    yield from nothing_strange(key)
    if key.forgot():
        yield from nothing_missing(key)
        return
    yield from key.conflicts_without_cause()
    yield from one_course_of_events(key)


def one_course_of_events(key):
    """Without what an instance has said that may have had to forget it (a read; forgot() is about writes). Where
    doubts leave too many ways to try them all, what is where must do."""
    kind = kind_of(key.key)
    last = max([key.facts.one_snapshot, *(op.ended for op in key.ops)]) + 1
    words = words_of(key.value) if key.value is not None else []
    look = Operation(last * MS, last * MS + 1, (READS[kind],), array(list(map(bulk, words))), "the row")
    told = [op for op in key.ops if op.kind != READ or not key.may_have_forgotten(op)]
    try:
        wrong = why_not_linearizable([*map(_operation, told), look])
    except Undecided:
        yield from nothing_missing(key)
        return
    if wrong is not None:
        yield "no course of events explains what its client was told and the row: " \
              + " | ".join(wrong.splitlines())


def _operation(op):
    return Operation(op.begun * MS, op.ended * MS if op.done else None, (op.command,), op.told, op.client)


# --- what is where ----------------------------------------------------------------------------------------

def elements(value):
    """Of a hash pairs of field and value; of a sorted set without scores. Without what is counted."""
    if value is None:
        return []
    kind, content = value
    if kind == "zset":
        content = [member for member, _ in content]
    return [each for each in content if each != COUNTED and each[0] != COUNTED]


def put_by(op):
    name, *args = op.command
    if name == "HSET":
        return [tuple(args)]
    if name == "ZADD":
        return args[1:]
    return args if name in PUTS else []


def taken_by(op):
    """Of an acknowledged one."""
    name, *args = op.command
    if name in POPS:
        return [part.split(b"\r\n", 1)[1][:-2] for part in
                (bulks(op.told)[:1] if op.told.startswith(b"*") else [op.told])]
    return args if name in REMOVES else []


def is_of_another_type(key):
    wrong = [value for value in [key.value, *key.lost]
             if value is not None and (isinstance(value, bytes) or value[0] != kind_of(key.key))]
    for value in wrong:
        yield f"holds or lost {short(value)}, which is no {kind_of(key.key)}"
    return bool(wrong)


def nothing_strange(key):
    put = {element for op in key.writes for element in put_by(op)}
    held = {element for value in [key.value, *key.lost] for element in elements(value)}
    if held - put:
        yield f"holds or lost {short(sorted(held - put))}, which nobody put there"
    twice = [element for element, n in collections.Counter(elements(key.value)).items() if n > 1]
    if twice:
        yield f"holds {short(sorted(twice))} twice"


def nothing_missing(key):
    """A pop of unknown outcome may have taken any one thing."""
    held = {element for value in [key.value, *key.lost] for element in elements(value)}
    gone = {element for op in key.acknowledged for element in taken_by(op)}
    gone |= {element for op in key.writes if not op.done and op.command[0] in REMOVES
             for element in op.command[1:]}
    doubts = sum(not op.done and op.command[0] in POPS for op in key.writes)
    missing = [(element, op) for op in key.acknowledged for element in put_by(op)
               if element not in held and element not in gone and not _is_replaced(key, op)]
    if len(missing) > doubts:
        element, op = missing[0]
        yield f"missing: {len(missing)} that were put there, {doubts} may have been taken out; the first " \
              f"is {short(element)} of {when(op)}"


def _is_replaced(key, op):
    """Whether the field of an HSET was written or removed by another one that does not precede it."""
    return op.command[0] == "HSET" and any(
        other is not op and other.command[0] in ("HSET", "HDEL") and other.command[1] == op.command[1]
        and other.ended >= op.begun for other in key.writes)


# --- everybody's --------------------------------------------------------------------------------------------

def shared(key):
    """It is only added to."""
    if (yield from is_of_another_type(key)):
        return
    yield from nothing_strange(key)
    yield from nothing_missing(key)


def line(key):
    """Each that was pushed is taken once while nothing is wrong; two instances that are away at once may
    both take it."""
    yield from shared(key)
    takers = collections.defaultdict(list)
    for op in key.acknowledged:
        for element in taken_by(op):
            takers[element].append(op)
    for element, ops in sorted(takers.items()):
        for first, second in zip(ops, ops[1:]):
            if not _trouble_within(key.facts, first.begun, max(first.ended, second.ended)):
                yield f"{short(element)} was taken twice: {when(first)}, {when(second)}"


def nest(key):
    """What was moved there by commands that waited is there, or in what lost. One of unknown outcome may have
    moved anything."""
    if (yield from is_of_another_type(key)):
        return
    held = {element for value in [key.value, *key.lost] for element in elements(value)}
    moved = {op.command[1] for op in key.acknowledged}
    doubts = len(key.writes) - len(key.acknowledged)
    if moved - held:
        yield f"missing: {short(sorted(moved - held))} was moved there"
    if len(held - moved) > doubts:
        yield f"holds or lost {short(sorted(held - moved))}, which nobody moved there; {doubts} may have been"
    if len(set(elements(key.value))) < len(elements(key.value)):
        yield "holds something twice"


def _trouble_within(facts, begun, ended):
    """Or an instance said that it is away, as it may on a machine that is busy with others."""
    return any(start <= ended and begun <= end for some in (facts.trouble, facts.may_be_away)
               for windows in some.values() for start, end in windows)


def whole_moves(history, final):
    """What a BLMOVE has brought into a nest is not in the line, unless one of them met a conflict; and somebody
    has put it there."""
    met = {c.key for c in final.conflicts}
    put = {element for op in history.ops if op.key == LINE and op.kind == CALL for element in put_by(op)}
    for key in sorted({op.key for op in history.ops if op.key.startswith(b"nest:")}):
        there, waiting = (elements(final.rows[k].value) if k in final.rows else [] for k in (key, LINE))
        if set(there) - put:
            yield f"{key.decode()}: {short(sorted(set(there) - put))} is there, and nobody has pushed it"
        if set(there) & set(waiting) and not met & {key, LINE}:
            yield f"a BLMOVE was carried out by half: {short(sorted(set(there) & set(waiting)))} is in" \
                  f" {key.decode()} and {LINE.decode()}"


# --- two in one MULTI -----------------------------------------------------------------------------------------

def whole_duos(history, final):
    """As many in the list as were counted in the hash, unless one of them met a conflict."""
    met = {c.key for c in final.conflicts}
    for key in sorted({op.key for op in history.ops
                       if op.kind == CALL and op.key.startswith(b"duo:list:")}):
        other = key.replace(b":list:", b":hash:")
        pushed, counted = (final.rows[k].value if k in final.rows else None for k in (key, other))
        count = int(dict(counted[1]).get(COUNTED, 0)) if counted else 0
        if len(elements(pushed)) != count and not met & {key, other}:
            yield f"a MULTI was carried out by half: {key.decode()} has {len(elements(pushed))}," \
                  f" {other.decode()} {count}"


JUDGES = {b"queue": owned, b"hash": owned, b"set": owned, b"zset": owned, b"duo": owned,
          b"till": owned,
          b"shared": shared, b"line": line, b"heap": line, b"nest": nest}
