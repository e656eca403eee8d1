"""What must be true of scripts after an outage: what one has written is there as a whole or not at all, and
an instance knows a script where docs/scripts.md says so. The keys are judged as those of other commands."""

from .record import short
from .verify_collections import elements


def check(history, facts, final):
    yield from whole_scripts(history, final)
    yield from nothing_in_both(history, final)
    yield from unknown_scripts(history, facts)


def _value(final, key):
    return final.rows[key].value if key in final.rows else None


def _couples(history, name, first, second):
    """Pairs of keys that one script writes."""
    for key in sorted({op.key for op in history.ops if op.key.startswith(b"%s:%s:" % (name, first))}):
        yield key, key.replace(b":%s:" % first, b":%s:" % second)


def whole_scripts(history, final):
    """Both of the keys, unless one of them met a conflict."""
    met = {c.key for c in final.conflicts}
    for name in (b"both", b"twin"):
        for a, b in _couples(history, name, b"a", b"b"):
            values = [_value(final, key) for key in (a, b)]
            if values[0] != values[1] and not met & {a, b}:
                yield f"a script was carried out by half: {a.decode()} {short(values[0])}," \
                      f" {b.decode()} {short(values[1])}"


def nothing_in_both(history, final):
    """What was moved is not where it was. (That it is somewhere says the judge of each key.)"""
    met = {c.key for c in final.conflicts}
    for a, b in _couples(history, b"till", b"list", b"hash"):
        twice = set(elements(_value(final, a))) & {field for field, _ in elements(_value(final, b))}
        if twice and not met & {a, b}:
            yield f"a script was carried out by half: {short(sorted(twice))} is in {a.decode()} and {b.decode()}"


def unknown_scripts(history, facts):
    """NOSCRIPT is true only of an instance that could not ask PostgreSQL, which has them all, and that
    has not run the script since its start."""
    for call in history.scripts:
        if call.known:
            continue
        started = facts.last_start(call.instance, call.begun)
        if any(other.known and other.name == call.name and other.instance == call.instance
               and started <= other.begun and other.ended <= call.begun for other in history.scripts):
            yield f"NOSCRIPT for {call.name} on instance {call.instance} at {call.begun:.3f}, which had run it"
        elif not any(facts.overlaps(windows, call) for windows in (facts.trouble, facts.may_be_away)):
            yield f"NOSCRIPT for {call.name} on instance {call.instance} at {call.begun:.3f}, " \
                  "and PostgreSQL was there"
