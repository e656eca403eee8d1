"""What must be true after an outage. check(history, facts, final) returns complaints, as texts.

Only what is certain is held against the server: a reply that was lost may have been carried out or
not, two overlapping commands may have come in either order, and what an instance could see of the
other's writes is judged by the times at which it certainly was cut off (Facts).

Each complaint of this file is provoked by a faked history in test_verify.py.
"""

import dataclasses

from harness.replies import NIL

from . import errors, verify_collections, verify_scripts
from .record import (CALL, CAS, DEL, EXPIRE, INCR, PERSIST, READ, SET, UNKNOWN, WRITES, short, when)

NULL, NOTHING = b"*-1\r\n", b"*0\r\n"
TTL_SLACK_S = 1.0      # expiries are compared to the second
SHOWN = 3              # complaints of one kind that are worth reading
RARE = 30              # errors about time that a busy machine may cause, or two of a hundred
BLOCK_IN_DOUBT = b"did not confirm, the transaction may or may not have been applied"
STARTING = b"-LOADING respgres is waiting for its first contact"
EXCESS_S = 0.1         # promised on top of pg-timeout


def check(history, facts, final):
    complaints = list(history.wrong) + final.problems
    if final.looked:
        complaints += contents(history, facts, final)
    elif not final.problems:
        complaints.append("nobody has looked at what is there")
    complaints += timings(history, facts)
    complaints += failures(history, facts)
    return complaints


def contents(history, facts, final):
    complaints = []
    for key, ops in sorted(history.by_key().items()):
        judge = JUDGES[key.split(b":")[0]]
        complaints += [f"{key.decode()}: {text}" for text in judge(Key(key, ops, facts, final))]
    complaints += unknown_keys(history, final)
    complaints += whole_pairs(history, final)
    complaints += verify_collections.whole_duos(history, final)
    complaints += verify_collections.whole_moves(history, final)
    complaints += verify_scripts.check(history, facts, final)
    complaints += agreement(facts, final)
    complaints += [f"a journal is left over: {text}" for text in final.left_over]
    complaints += [f"instance {n} is {state}" for n, state in final.states.items()
                   if state != "online"]
    return complaints


# --- one key -----------------------------------------------------------------------------------

class Key:
    """A key's operations that may have had an effect, and what became of it."""

    def __init__(self, key, ops, facts, final):
        self.key, self.facts, self.final = key, facts, final
        self.ops = [_in_doubt(op, ops, facts) for op in ops if op.effective]
        self.writes = [op for op in self.ops if op.kind in WRITES]
        self.acknowledged = [op for op in self.writes if op.done]
        self.row = final.rows.get(key)
        self.value = self.row.value if self.row else None
        self.lost = final.lost_values(key)
        self.instances = {op.instance for op in self.writes}

    def _in_journal(self, op):
        """The writes up to `op` that may stand in the journal in which it stands, if it does."""
        trouble = self.facts.window_of(self.facts.trouble, op)
        if trouble is None:
            return [op]
        return [w for w in self.writes if w.instance == op.instance and w.ended >= trouble[0]
                and w.begun <= op.begun] or [op]

    def _may_begin_journal(self, op):
        """Those of them that may be the first: what was known then is what counts at the merge."""
        found = []
        for write in self._in_journal(op):
            found.append(write)
            if write.done and self.facts.is_cut_off(write):
                break
        return found + self._first_of_a_new_one(op, found[0])

    def _first_of_a_new_one(self, op, first):
        """The first write since the last start, or `op` if there is none, where the journal that `first` is
        in may have been merged before that."""
        started = self.facts.last_start(op.instance, op.begun)
        before = [w for w in self.acknowledged if w.instance == op.instance and w.begun < started]
        if first.begun >= started or before and any(start <= before[-1].begun and op.ended <= end
                                         for start, end in self.facts.cut_off.get(op.instance, ())):
            return []
        return [w for w in self._in_journal(op) if w.begun >= started][:1] or [op]

    def knew(self, op):
        """Whether the instance certainly knew what the key held when it carried out `op`, or the
        first of the writes of that outage."""
        return all(map(self._knew_before, self._may_begin_journal(op)))

    def _knew_before(self, op):
        started = self.facts.last_start(op.instance, op.begun)
        mine = [earlier for earlier in self.ops if earlier.instance == op.instance
                and earlier.begun >= started and earlier is not op]
        blank = max((earlier.ended for earlier in mine
                     if earlier.begun < op.begun and self._shows_a_blank(earlier, mine)), default=started)
        return any(earlier.ended <= op.begun and earlier.begun >= blank and _tells(earlier)
                   and not self._knows_by_file(earlier, started) for earlier in mine)

    def knew_of_none(self, op):
        """Whether all that the instance knew, when it carried out the first of the writes of its journal, may have
        been that there is none: it had deleted it while PostgreSQL was there, or it had expired. Another one may
        have made it since, or prolonged it, and what is live then stays. The journal may have been merged within
        the trouble, and begun anew."""
        return any(map(self._knew_of_none_before, self._in_journal(op)))

    def _knew_of_none_before(self, op):
        started = self.facts.last_start(op.instance, op.begun)
        told = [e for e in self.ops if e.instance == op.instance and e is not op and e.begun >= started
                and e.ended <= op.begun and _tells(e)]
        last = [e for e in told if not any(later.begun > e.ended for later in told)]
        return any(e.kind == DEL and not self.facts.is_cut_off(e) or _expired_by(e, op)
                   or e.kind == READ and any(w.value == e.reply and _expired_by(w, op) for w in self.writes)
                   for e in last)

    def touched_elsewhere(self, op, makers):
        """Whether another instance has made what is in the row, or prolonged it."""
        return all(maker.instance != op.instance for maker in makers) or any(
            x.instance != op.instance and (x.kind == PERSIST or x.kind == EXPIRE and x.reply != 0)
            and x.ended > min(maker.begun for maker in makers) for x in self.ops)

    def _shows_a_blank(self, op, mine):
        """Whether the instance had nothing to answer this with, though it did not remove the key itself: that
        another one had changed it was all it knew when PostgreSQL went."""
        if not _finds_nothing(op) or not self.facts.overlaps(self.facts.trouble, op):
            return False
        before = [w for w in mine if w.kind in WRITES and w.begun <= op.ended]
        last = [w for w in before if not any(x.done and x.begun > w.ended and x.ended < op.begun for x in before)]
        return not any(_may_remove(w) or _expired_by(w, op) for w in last)

    def _knows_by_file(self, op, started):
        """Whether what the instance knew may be what the warm file said at its start, in an outage:
        not the last that was written before it was killed."""
        trouble = self.facts.window_of(self.facts.trouble, op)
        return trouble is not None and started >= trouble[0]

    def knew_by_file(self, op):
        """Whether the instance, before its first write since its start, had read what its warm file says, all of
        that cut off: what it wrote had a base, if an old one. (What it had in its journal may have none.)"""
        started = self.facts.last_start(op.instance, op.begun)
        first = next((w for w in self.writes if w.instance == op.instance and w.begun >= started), op)
        return self.facts.is_cut_off(op) and any(
            read.kind == READ and read.done and read.reply is not None and read.instance == op.instance
            and started <= read.begun and read.ended <= first.begun and self.facts.is_cut_off(read)
            and not any(w.value == read.reply and (w.ended > started or w.instance == op.instance
                        and self.facts.window_of(self.facts.trouble, w)) for w in self.writes)
            for read in self.ops)

    def may_have_forgotten(self, op):
        """Whether the instance was started again after it had written the key, or had written it with an
        outcome that it does not know and knew nothing of it before, and PostgreSQL may not have been there to
        ask since."""
        started = self.facts.last_start(op.instance, op.begun)
        return (self.facts.overlaps(self.facts.trouble, op) and not self.knew(op) and any(
            earlier.begun < started and earlier.kind in WRITES
            or started <= earlier.begun < op.begun
            and (earlier.outcome == UNKNOWN or self._shows_a_blank(earlier, self.ops))
            for earlier in self.ops if earlier.instance == op.instance))

    def forgot(self):
        """Also before an EXPIRE: it is a write of the bytes that the instance has."""
        return any(self.may_have_forgotten(op) for op in self.ops
                   if op.kind in WRITES or op.kind == EXPIRE and op.done and op.reply != 0)

    def makers(self, value):
        """The writes of it, and each EXPIRE by an instance that may have found it in its warm file: that is a
        write of it, too, by an instance that has not seen what came behind the file."""
        written = [op for op in self.writes if op.kind != DEL and op.value == value]
        return written + [op for op in self.ops if op.kind == EXPIRE and op.done and op.reply != 0
                          and self.may_have_forgotten(op)
                          and any(self._may_be_in_warm_file(op, w) for w in written)]

    def certainly_unknown(self, op):
        """Whether the instance had started without PostgreSQL, and what it knew of the key was at most
        what it wrote itself since, and its warm file: such a write must not replace anything else."""
        outage = self.facts.window_of(self.facts.cut_off, op)
        if outage is None or op.ended > outage[1]:
            return False
        first = self._in_journal(op)[0]
        return (first.begun >= outage[0]
                and self.facts.last_start(op.instance, first.begun) > outage[0])

    def same_journal(self, op, earlier):
        """Whether `earlier` may stand in the journal in which `op` certainly does."""
        trouble = self.facts.window_of(self.facts.trouble, op)
        return (earlier.instance == op.instance and trouble is not None
                and earlier.ended >= trouble[0])

    def may_have_seen(self, later, earlier):
        """Whether `later` may have been computed by an instance that knew of `earlier`."""
        if _ends_before(later, earlier):
            return False
        if self.certainly_unknown(later) and not self.same_journal(later, earlier) \
                and not self._may_be_in_warm_file(later, earlier):
            return False
        if later.instance == earlier.instance:
            return True
        return self._reached(earlier) <= self._last_touch(later)

    def _may_be_in_warm_file(self, later, earlier):
        """Whether the file that the instance found at its last start before `later` may have `earlier`."""
        started = self.facts.last_start(later.instance, later.begun)
        written = self.facts.warm.get(later.instance, {}).get(started)
        return written is not None and earlier.begun <= written

    def _reached(self, op):
        """The first time at which PostgreSQL may have had it."""
        for start, end in self.facts.cut_off.get(op.instance, ()):
            if start <= op.begun and op.ended <= end:
                return end
        return op.begun

    def _last_touch(self, op):
        """The last time at which the instance may have heard of others before it did `op`."""
        for start, end in self.facts.cut_off.get(op.instance, ()):
            if start <= op.begun and op.ended <= end:
                return start
        return op.ended

    def may_have_expired(self, op):
        """Whether what `op` wrote may be gone by the time of the final look."""
        until = self.facts.rows_by() + TTL_SLACK_S
        return any(other.ttl is not None and other.begun + other.ttl <= until
                   for other in self.ops
                   if other is op or (other.kind == EXPIRE and other.ended >= op.begun))

    def conflicts_without_cause(self):
        """One instance alone wrote it, and never without knowing it. What a write of unknown outcome has left in
        PostgreSQL is kept where a later one replaces it that was based on what there was before."""
        doubtful = {op.value for op in self.writes if op.outcome == UNKNOWN and op.value is not None}
        rows = self.final.lost_values(self.key, "row")
        lost = [value for value in self.lost if value not in doubtful or value not in rows]
        if lost and len(self.instances) == 1 and not self.forgot():
            yield f"a conflict, and only one instance wrote it: lost {short(lost)}"


def _in_doubt(op, ops, facts):
    """Where PostgreSQL was there to be asked, a DEL that found nothing leaves no trace. What it may not have
    found stays: what a write of unknown outcome leaves in PostgreSQL later, and what another instance that was
    away comes with when it merges. (An instance that is away journals such a DEL.)"""
    doubtful = op.kind == DEL and op.reply == 0 and not facts.is_cut_off(op) and any(
        earlier.begun < op.begun and earlier.kind in WRITES and earlier.kind != DEL
        and (earlier.outcome == UNKNOWN or _may_not_be_merged(earlier, op, facts)) for earlier in ops)
    return dataclasses.replace(op, outcome=UNKNOWN) if doubtful else op


def _may_not_be_merged(write, op, facts):
    """Unless its instance has said in between that it is online: then all is merged."""
    was_away = any(facts.overlaps(windows, write) for windows in (facts.trouble, facts.may_be_away))
    return write.instance != op.instance and was_away and not any(
        write.ended <= asked and answered <= op.begun
        for asked, answered in facts.online.get(write.instance, ()))


def _ends_before(op, other):
    """One of unknown outcome may be carried out later, but not behind what its own instance has begun since."""
    return op.ended < other.begun and (op.done or op.instance == other.instance)


def _tells(op):
    """Whether the instance knew the key afterwards. While away, a key that is not there may only seem
    so."""
    if op.kind == READ:
        return op.done and op.reply is not None
    return op.done and (op.kind in WRITES or op.reply != 0)


def _finds_nothing(op):
    """Not even the key; an SREM or a SADD that changes nothing says nothing of that."""
    return op.kind == READ and op.done and op.reply is None and op.told in (None, NIL, NULL, NOTHING)


def _may_remove(op):
    return op.kind == DEL or op.kind == CALL and op.command[0] in verify_collections.POPS + verify_collections.REMOVES


# --- registers: SET, DEL, EXPIRE -----------------------------------------------------------------

def register(key):
    yield from written_by_somebody(key)
    yield from nothing_missing(key)
    yield from nothing_stale(key)
    yield from expiry(key)
    yield from key.conflicts_without_cause()
    yield from reads(key)


def written_by_somebody(key):
    values = {op.value for op in key.writes if op.kind in (SET, CAS)}
    for value in [key.value, *key.lost]:
        if value is not None and value not in values:
            yield f"holds or lost {short(value)}, which nobody wrote"


def nothing_missing(key):
    """Each acknowledged write is the row, is kept in `conflicts`, has expired, or was replaced by a
    later write of which the same is true."""
    accounted = [op for op in key.writes if _is_there(key, op)]
    waiting = [op for op in key.writes if not _is_there(key, op)]
    progress = True
    while progress:
        found = [op for op in waiting if any(_replaces(key, x, op) for x in accounted)]
        accounted += found
        waiting = [op for op in waiting if op not in found]
        progress = bool(found)
    for op in waiting:
        if not op.done:
            continue
        if op.kind == DEL:
            yield f"resurrected: DEL {when(op)} was acknowledged, the row is {short(key.value)}"
        else:
            yield f"missing: {short(op.value)} of {when(op)} was acknowledged; the row is " \
                  f"{short(key.value)}, conflicts has {short(key.lost)}"


def _is_there(key, op):
    if op.kind == DEL:
        return key.value is None
    return op.value == key.value or op.value in key.lost or key.may_have_expired(op)


def _replaces(key, later, earlier):
    if later is earlier or _ends_before(later, earlier):
        return False
    # A DEL always applies; and it loses to a later write without leaving anything.
    if DEL in (later.kind, earlier.kind):
        return True
    return key.may_have_seen(later, earlier)


def nothing_stale(key):
    """No acknowledged write that was begun after the one in the row had ended. An exception is one
    that was made without knowing the key: it lost to the row and is in `conflicts`."""
    makers = key.makers(key.value)
    if key.value is None or not makers:
        return
    for op in key.acknowledged:
        if not all(_ends_before(maker, op) and op.begun > maker.ended + _skew(key, op, maker) for maker in makers):
            continue
        if op.kind == DEL:
            yield f"resurrected: {short(key.value)} was written before the DEL of {when(op)}"
        elif not _lost_unknowing(key, op, makers):
            yield f"stale: the row is {short(key.value)}, {short(op.value)} of {when(op)} " \
                  "was acknowledged later"


def _skew(key, op, maker):
    return 0 if op.instance == maker.instance else key.facts.clock_skew


def _lost_unknowing(key, op, makers):
    """It, or what replaced it in the same journal."""
    knew_of_none = key.knew_of_none(op) and key.touched_elsewhere(op, makers)
    if not knew_of_none and (key.knew(op) or key.knew_by_file(op)):
        return False
    return any(x.value in key.lost or key.may_have_expired(x) for x in key.writes
               if x is op or (not _ends_before(x, op) and key.same_journal(x, op)))


def expiry(key):
    """The row's expiry is that of the write that made it, or of a later EXPIRE."""
    if key.row is None:
        return
    makers = [op for op in key.ops
              if (op.kind in (SET, CAS) and op.value == key.value)
              or op.kind == PERSIST or (op.kind == EXPIRE and op.reply != 0)]
    possible = [op for op in makers if not any(_sets_expiry_after(key, x, op) for x in makers)]
    if possible and not any(_expiry_fits(key, op) for op in possible):
        asked = [(op.ttl, when(op)) for op in possible]
        yield f"expires at {key.row.expires_at}; asked for were (TTL, when) {asked}"


def _sets_expiry_after(key, later, op):
    """Whether it is certain that the later one's expiry replaced this one's: an EXPIRE of what has
    another value meanwhile, there, does not."""
    journalled = key.facts.is_cut_off(op) and key.same_journal(later, op)
    if not key.knew(later) and not journalled:
        return False  # it may have lost, as a write that did not know the row
    return later.done and later.begun > op.ended and key.may_have_seen(later, op) and not (
        later.kind == EXPIRE and any(
            w.instance == later.instance and w.value != key.value and w.ended >= op.begun
            and w.begun <= later.ended for w in key.writes))


def _expiry_fits(key, op):
    """A TTL counts from when the command is carried out; one without a reply may be so later."""
    expires_at = key.row.expires_at
    if op.ttl is None or expires_at is None:
        return op.ttl is None and expires_at is None
    latest = op.ended if op.done else key.facts.one_snapshot
    return op.begun + op.ttl - TTL_SLACK_S <= expires_at <= latest + op.ttl + TTL_SLACK_S


def reads(key):
    """What one instance says of a key that it alone writes is what it was told last."""
    values = {op.value for op in key.writes}
    alone = len(key.instances) == 1
    for op in key.ops:
        if op.kind != READ or not op.done:
            continue
        if op.reply is not None and op.reply not in values:
            yield f"GET {when(op)} says {short(op.reply)}, which nobody wrote"
        elif alone and op.instance in key.instances and not key.forgot() \
                and not key.may_have_forgotten(op) and not _readable(key, op):
            yield f"GET {when(op)} says {short(op.reply)}, which is not what was written last"


def _readable(key, read):
    """Whether some write explains the reply: none that is acknowledged came certainly between."""
    before = [op for op in key.writes if op.begun <= read.ended]
    last = [op for op in before
            if not any(x.done and x.begun > op.ended and x.ended < read.begun for x in before)]
    none_yet = not any(op.done and op.ended < read.begun for op in before)
    if read.reply is None:
        return none_yet or any(op.kind == DEL or _expired_by(op, read) for op in last)
    return any(op.value == read.reply for op in last)


def _expired_by(op, read):
    return op.ttl is not None and op.begun + op.ttl <= read.ended + TTL_SLACK_S


# --- counters, compare-and-set, lists ------------------------------------------------------------

def counter(key):
    """INCR by one client, or WATCH and EXEC by the clients of one instance: exact."""
    numbers = [_number(op) for op in key.acknowledged]
    doubts = len(key.writes) - len(key.acknowledged)  # may have been carried out
    final = _as_number(key.value)
    yield from key.conflicts_without_cause()
    if final is None:
        if key.value is not None:
            yield f"is {short(key.value)}, not a number"
        elif numbers:
            yield f"missing: was {numbers[-1]}"
        return
    if key.forgot():
        yield from _counted_or_kept(key, numbers, doubts)
        return
    if len(set(numbers)) != len(numbers):
        yield "a number was given out twice"
    if not len(numbers) <= final <= len(numbers) + doubts:
        yield f"is {final}: {len(numbers)} acknowledged, {doubts} unknown"
    if final < max(numbers, default=0):
        yield f"went back to {final}, {max(numbers)} was given out"


def _counted_or_kept(key, numbers, doubts):
    """Where the instance had forgotten the counter it began anew: each number given out was counted
    on from, is the row, or is kept in `conflicts`."""
    kept = {_as_number(value) for value in [key.value, *key.lost]}
    followed = set(numbers)
    for number in set(numbers):
        span = range(number, number + doubts + 1)
        if not kept & set(span) and not followed & {n + 1 for n in span}:
            yield f"missing: {number} was given out, neither counted on from nor kept; the row is " \
                  f"{short(key.value)}, conflicts has {short(key.lost)}"


def _number(op):
    return op.reply if op.kind == INCR else int(op.value)


def _as_number(value):
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def appended(key):
    """APPEND by one client: each piece once, in order."""
    yield from appended_by_many(key)
    yield from key.conflicts_without_cause()
    begun = {op.value: op.begun for op in key.writes}
    times = [begun[piece] for piece in _pieces(key.value) if piece in begun]
    if times != sorted(times):
        yield "the pieces are not in the order in which they were appended"


def appended_by_many(key):
    """APPEND by many: each piece once, in the row or in what lost."""
    row = _pieces(key.value)
    lost = {piece for value in key.lost for piece in _pieces(value)}
    written = {op.value for op in key.writes}
    if len(set(row)) != len(row):
        yield "a piece was appended twice"
    strange = (set(row) | lost) - written
    if strange:
        yield f"holds or lost {short(sorted(strange))}, which nobody appended"
    missing = [op for op in key.acknowledged if op.value not in row and op.value not in lost]
    if missing:
        yield f"missing: {len(missing)} pieces that were acknowledged, the first {short(missing[0].value)}" \
              f" of {when(missing[0])}"


def _pieces(value):
    """Each piece ends with a semicolon."""
    return [piece + b";" for piece in (value or b"").split(b";")[:-1]]


JUDGES = {
    b"own": register,       # one client
    b"gone": register,      # one client: SET, DEL, never again
    b"pair": register,      # one client, two keys in one MULTI
    b"session": register,   # everybody
    b"count": counter,      # INCR by one client
    b"cas": counter,        # WATCH, EXEC by the clients of one instance
    b"list": appended,      # one client
    b"slist": appended_by_many,
    b"tally": counter,      # a script, by one client
    b"both": counter,       # one client, two keys in one script
    b"twin": register,      # the same
    **verify_collections.JUDGES,
}


# --- across keys ----------------------------------------------------------------------------------

def unknown_keys(history, final):
    """No row and no conflict that no client has anything to do with."""
    written = {op.key for op in history.ops if op.effective}
    strange = ({*final.rows} | {c.key for c in final.conflicts}) - written
    return [f"{key!r} is there, and nobody wrote it" for key in sorted(strange)[:SHOWN]]


def whole_pairs(history, final):
    """pair:a:N and pair:b:N are written in one MULTI: they are equal, unless one of them met a
    conflict."""
    met = {c.key for c in final.conflicts}
    for a in sorted({op.key for op in history.ops if op.key.startswith(b"pair:a:")}):
        b = a.replace(b":a:", b":b:")
        values = [final.rows[key].value if key in final.rows else None for key in (a, b)]
        if values[0] != values[1] and not met & {a, b}:
            yield f"a MULTI was carried out by half: {a.decode()} {short(values[0])}," \
                  f" {b.decode()} {short(values[1])}"


def agreement(facts, final):
    """GET and TTL on each instance say what the row says."""
    found, until = [], facts.rows_by() + TTL_SLACK_S
    for instance, replies in final.replies.items():
        for key, (value, ttl, at) in replies.items():
            row = final.rows.get(key)
            if _just_expiring(row, ttl, at, until):
                continue
            if value != (row.value if row else None):
                found.append(f"{key.decode()}: instance {instance} says {short(value)}, the row "
                             f"{short(row and row.value)}")
            elif not _ttl_fits(row, ttl, at):
                found.append(f"{key.decode()}: instance {instance} says TTL {ttl}, the row "
                             f"{row and row.expires_at and row.expires_at - at}")
    return found


def _just_expiring(row, ttl, at, until):
    """Whether it may have gone between the reply and the look at the rows, or the other way round."""
    if row is None:
        return ttl is not None and ttl >= 0 and at + ttl <= until
    return row.expires_at is not None and row.expires_at <= until + TTL_SLACK_S


def _ttl_fits(row, ttl, at):
    if ttl is None:
        return False
    if row is None:
        return ttl == -2
    if row.expires_at is None:
        return ttl == -1
    return ttl >= 0 and abs(row.expires_at - at - ttl) <= TTL_SLACK_S + 0.5  # TTL is rounded


# --- time and errors ---------------------------------------------------------------------------------

def timings(history, facts):
    """Nothing is slower than pg-timeout and 100 ms; once the instance has said that it is away,
    nothing waits for PostgreSQL. What happened while the instance itself was killed or stopped, or
    the machine was busy with others (Timing.allowance), doesn't count."""
    late, waited = [], []
    for t in history.timings:
        if any(start <= t.ended and t.begun <= end
               for start, end in facts.silent.get(t.instance, ())):
            continue
        took = t.ended - t.begun - t.allowance - EXCESS_S
        if took > facts.pg_timeout:
            late.append(t)
        elif took > 0 and facts.was_within(facts.away.get(t.instance, ()), t.begun, t.ended):
            waited.append(t)
    return [*_slow("slow", late), *_slow("waited for PostgreSQL while away", waited)]


def _slow(what, found):
    found.sort(key=lambda t: t.begun - t.ended)
    return [f"{what}: {t.what} took {(t.ended - t.begun) * 1000:.0f} ms on instance {t.instance}, "
            f"{t.allowance * 1000:.0f} ms of them excused, at {t.begun:.3f} ({len(found)} such)"
            for t in found[:SHOWN]]


def is_the_machines(failure, facts):
    """For most of pg-timeout the machine ran somebody else, not the instance or PostgreSQL's backend."""
    return in_time(failure) and failure.held_up >= facts.pg_timeout / 2


def in_time(failure):
    """PostgreSQL was there and too slow, or a backend that has been left behind holds a row for a
    moment: on a busy machine that is no fault, as long as it is rare."""
    return b" in time" in failure.text or b"the row is locked" in failure.text


def failures(history, facts):
    """Errors that are not documented; where the scenario is none that has errors, all."""
    strange = {f.text: f for f in reversed(history.failures) if errors.outcome_of(f.text) is None}
    found = [f"an undocumented error: {f.what} at {f.at:.3f} on instance {f.instance}: {f.text!r}"
             for f in strange.values()]
    if not facts.errors_expected:
        unexpected = [f for f in history.failures if f.text not in strange
                      and not _has_a_reason(f, facts) and not is_the_machines(f, facts)]
        late = sum(map(in_time, unexpected))
        if facts.slow or late <= max(RARE, len(history.ops) // 50):
            unexpected = [f for f in unexpected if not in_time(f)]
        first = {f.text: f for f in reversed(unexpected)}
        found += [f"an error: {f.what} at {f.at:.3f} on instance {f.instance}: {f.text!r} "
                  f"({sum(other.text == f.text for other in unexpected)} such)"
                  for f in first.values()]
    return found


def _has_a_reason(failure, facts):
    """It follows from another one, or from what was done to the instance itself."""
    if failure.text.startswith(STARTING):
        return len(facts.starts[failure.instance]) > 1
    if BLOCK_IN_DOUBT in failure.text:  # nobody can take it over
        return any(start <= failure.at <= end for start, end in facts.trouble.get(failure.instance, ()))
    return failure.text.startswith(b"-EXECABORT") or any(
        start <= failure.at <= end for start, end in facts.silent.get(failure.instance, ()))
