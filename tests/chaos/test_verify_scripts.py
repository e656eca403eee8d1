"""The judge of scripts: true histories pass, and each fault is found in a history that has it and nothing
else."""

import re

import pytest

from chaoslib.record import INCR, READ, SET, UNKNOWN, ScriptCall
from chaoslib.workload_scripts import SCRIPTS
from harness.replies import number
from test_verify_collections import Tale


@pytest.fixture
def story():
    return Tale()


def ran(story, name, at, known=True, instance=0):
    story.history.add_script(ScriptCall(name, instance, at, at + 0.01, known))
    return story


def moved(story, thing, at, told=1, **more):
    """By the script of the till: 0 = it was not in the list."""
    outcome = more.get("outcome")
    story.call("till:list:1", at, f"LREM 0 {thing}", None if outcome else number(told),
               kind=READ if told == 0 else "CALL", **more)
    if told:
        story.call("till:hash:1", at, f"HSET {thing} moved", None if outcome else number(1), **more)
    return story


def counted(story, a, b):
    for n in (1, 2):
        for half in "ab":
            story.op(INCR, f"both:{half}:1", n * 5, reply=n)
    return story.row("both:a:1", a).row("both:b:1", b)


def test_scripts_without_fault_pass(story):
    counted(story, b"2", b"2").op(INCR, "tally:1", 1, reply=1).row("tally:1", b"1")
    story.op(SET, "twin:a:1", 1, b"v").op(SET, "twin:b:1", 1, b"v").row("twin:a:1", b"v").row("twin:b:1", b"v")
    story.pushed("till:list:1", "a", "b")
    moved(story, "a", 12)
    moved(story, "a", 13, told=0)
    story.held("till:list:1", "b").held("till:hash:1", ("a", "moved")).passes()


def test_what_was_in_doubt_is_whole_or_absent(story):
    story.pushed("till:list:1", "a", "b")
    moved(story, "a", 5, outcome=UNKNOWN)
    story.held("till:list:1", "a", "b").passes()
    story.final.rows.clear()
    story.held_instead("till:list:1", "b").held("till:hash:1", ("a", "moved")).passes()


@pytest.mark.parametrize("words, a, b", [("carried out by half", b"2", b"3"), ("carried out by half", b"3", b"2")])
def test_half_of_two_counters(story, words, a, b):
    """Each by itself would pass: the last call is in doubt."""
    for half in "ab":
        story.op(INCR, f"both:{half}:1", 15, outcome=UNKNOWN)
    counted(story, a, b).fails(words)


def test_half_of_two_registers(story):
    for half in "ab":
        story.op(SET, f"twin:{half}:1", 1, b"v").op(SET, f"twin:{half}:1", 15, b"w", outcome=UNKNOWN)
    story.row("twin:a:1", b"v").row("twin:b:1", b"w").fails("carried out by half")
    story.lost("twin:a:1", b"v", "row").op(SET, "twin:a:1", 14, b"x", instance=1, outcome=UNKNOWN).passes()


def test_half_of_a_move(story):
    story.pushed("till:list:1", "a", "b")
    moved(story, "a", 5, outcome=UNKNOWN)
    story.held("till:list:1", "a", "b").held("till:hash:1", ("a", "moved")).fails("carried out by half")


def test_a_move_is_lost(story):
    story.pushed("till:list:1", "a", "b")
    moved(story, "a", 5)
    story.held("till:list:1", "b").fails("no course of events")


def test_a_count_is_lost(story):
    story.op(INCR, "tally:1", 1, reply=1).op(INCR, "tally:1", 12, reply=2).row("tally:1", b"1")
    story.fails("went back", "acknowledged")


@pytest.mark.parametrize("at, passes", [(1, False), (15, True), (25, False)])
def test_noscript(story, at, passes):
    ran(story, "tally", at, known=False)
    if passes:
        story.passes()
    else:
        story.fails("PostgreSQL was there")


@pytest.mark.parametrize("restarted", [False, True])
def test_noscript_of_what_it_has_run(story, restarted):
    if restarted:
        story.facts.starts[0].append(14.0)
    ran(story, "tally", 12)
    ran(story, "tally", 13, instance=1)
    ran(story, "tally", 15, known=False)
    if restarted:
        story.passes()
    else:
        story.fails("which had run it")


def test_scripts_declare_what_they_use():
    """Each looks at its keys by number, and at none that it does not get."""
    for name, text in SCRIPTS.items():
        assert not re.search(r"redis\.call\('\w+', (?!key\(\d\))", text), name
