"""The judge of what clients that wait were told: true histories pass, and each fault is found in a history
that has it and nothing else."""

import pytest

from chaoslib.record import UNKNOWN
from chaoslib.states import States
from harness.replies import array, bulk, number
from test_verify_collections import Tale


@pytest.fixture
def story():
    return Tale()


def moved(story, thing, at, outcome=None):
    """BLMOVE from the line into the nest."""
    more = {"outcome": outcome} if outcome else {}
    told = None if outcome else bulk(thing.encode())
    story.call("line:0", at, "LPOP", told, **more)
    return story.call("nest:1", at, "BLMOVE" if outcome else f"BLMOVE {thing}", told, **more)


def test_moves_without_fault_pass(story):
    story.pushed("line:0", "a", "b", "c", instance=1)
    moved(story, "a", 2)
    moved(story, "b", 12)
    story.held("line:0", "c").held("nest:1", "a", "b").passes()


@pytest.mark.parametrize("line, nest", [(("a", "b"), ()), (("b",), ("a",))])
def test_a_move_in_doubt_is_whole_or_absent(story, line, nest):
    story.pushed("line:0", "a", "b")
    moved(story, "a", 2, UNKNOWN)
    story.held("line:0", *line)
    if nest:
        story.held("nest:1", *nest)
    story.passes()


def test_two_that_were_away_may_hand_out_the_same(story):
    story.pushed("line:0", "a", "b")
    moved(story, "a", 12).call("line:0", 13, "LPOP", bulk(b"a"), instance=1)
    story.held("line:0", "b").held("nest:1", "a").passes()


def test_one_is_handed_out_twice(story):
    story.pushed("line:0", "a", "b")
    moved(story, "a", 2).call("line:0", 3, "LPOP", bulk(b"a"), instance=1)
    story.held("line:0", "b").held("nest:1", "a").fails("was taken twice")


def test_a_move_is_lost_on_the_way(story):
    story.pushed("line:0", "a", "b")
    moved(story, "a", 2)
    story.held("line:0", "b").fails("was moved there")
    story.lost_one("nest:1", "a").passes()


def test_a_move_is_done_by_half(story):
    story.pushed("line:0", "a", "b")
    moved(story, "a", 2, UNKNOWN)
    story.held("line:0", "a", "b").held("nest:1", "a").fails("carried out by half")


def test_a_push_is_lost(story):
    story.pushed("line:0", "a", "b")
    moved(story, "a", 2)
    story.held("nest:1", "a").fails("missing")


def test_what_nobody_pushed(story):
    story.pushed("line:0", "b")
    moved(story, "a", 2, UNKNOWN)
    story.held("line:0", "b").held("nest:1", "x").fails("nobody has pushed it")


def test_more_was_moved_than_anybody_asked_for(story):
    story.pushed("line:0", "a", "b", "c")
    moved(story, "a", 2)
    story.held("line:0", "c").held("nest:1", "a", "b").fails("nobody moved there", "missing")


def test_a_heap(story):
    story.call("heap:0", 1, "ZADD 1 a", number(1)).call("heap:0", 2, "ZADD 2 b", number(1), instance=1)
    story.call("heap:0", 3, "ZPOPMIN", array([bulk(b"a"), bulk(b"1")])).held("heap:0", ("b", 2.0)).passes()
    story.call("heap:0", 4, "ZPOPMIN", array([bulk(b"a"), bulk(b"1")]), instance=1).fails("was taken twice")


@pytest.mark.parametrize("window, passes", [((2.995, 3.5), True), ((3.02, 3.5), False)])
def test_two_where_one_may_have_been_away(story, window, passes):
    """A machine that is busy with others."""
    story.facts.may_be_away = {1: [window]}
    story.pushed("line:0", "a", "b")
    moved(story, "a", 2).call("line:0", 3, "LPOP", bulk(b"a"), instance=1)
    story.held("line:0", "b").held("nest:1", "a")
    if passes:
        story.passes()
    else:
        story.fails("was taken twice")


def test_when_an_instance_may_have_been_away():
    """From the last answer that says otherwise to the next one that does."""
    states = States([])
    states.samples = {0: [(1, 2, "online"), (3, 4, "away"), (5, 6, "away"), (7, 8, None), (9, 10, "online"),
                          (11, 12, "away")], 1: []}
    assert states.around("away") == {0: [(1, 8), (9, 12)], 1: []}
    assert states.said("online") == {0: [(1, 2), (9, 10)], 1: []}
    assert states.windows("away") == {0: [(4, 5)], 1: []}
