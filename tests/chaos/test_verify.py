"""The judge itself: a history without fault passes, and each fault that verify.py knows is found in
a faked history that has it and nothing else."""

import copy

import pytest

from chaoslib import errors, verify
from chaoslib.record import (APPEND, CAS, DEL, EXPIRE, INCR, READ, REFUSED, SET, UNKNOWN, Conflict,
                             Facts, Failure, Final, History, Op, Row, Timing)

OUTAGE = (10.0, 20.0)  # both instances are cut off
LOOK = 30.0            # the final look
FOREVER = 100000


class Story:
    """A scenario that is told in few words. Each operation takes 10 ms."""

    def __init__(self):
        self.history = History()
        self.final = Final(looked=True, states={0: "online", 1: "online"}, replies={0: {}, 1: {}})
        self.facts = Facts(pg_timeout=0.2, starts={0: [0.0], 1: [0.0]},
                           cut_off={0: [OUTAGE], 1: [OUTAGE]}, away={0: [OUTAGE], 1: [OUTAGE]},
                           trouble={0: [(9.0, 21.0)], 1: [(9.0, 21.0)]},
                           one_snapshot=LOOK)

    def op(self, kind, key, at, value=None, instance=0, client="c", **more):
        more.setdefault("ended", at + 0.01)
        self.history.add(Op(key.encode(), kind, instance, client, at, value=value, **more))
        return self

    def row(self, key, value, expires_at=None):
        self.final.rows[key.encode()] = Row(value, expires_at)
        return self

    def lost(self, key, value, side="journal"):
        self.final.conflicts.append(Conflict(key.encode(), value, side))
        return self

    def judged(self):
        """With both instances saying what the row says, unless the story says otherwise."""
        keys = {op.key for op in self.history.ops}
        for replies in self.final.replies.values():
            for key in keys - set(replies):
                row = self.final.rows.get(key)
                ttl = -2 if row is None else -1 if row.expires_at is None \
                    else round(row.expires_at - LOOK)
                replies[key] = (row and row.value, ttl, LOOK)
        return verify.check(self.history, self.facts, self.final)

    def passes(self):
        assert self.judged() == []

    def fails(self, *words):
        """With a complaint that has each of the words, and no other kind of complaint."""
        complaints = self.judged()
        assert complaints, "nothing was found"
        for word in words:
            assert any(word in text for text in complaints), f"no {word!r} in {complaints}"
        strange = [text for text in complaints if not any(word in text for word in words)]
        assert not strange, strange


@pytest.fixture
def story():
    return Story()


# --- what is right ------------------------------------------------------------------------------

def test_a_history_without_fault_passes(story):
    story.op(SET, "own:1", 1, b"a").op(READ, "own:1", 2, reply=b"a").op(SET, "own:1", 12, b"b")
    story.op(READ, "own:1", 13, reply=b"b").row("own:1", b"b")
    story.op(SET, "gone:1", 1, b"x").op(DEL, "gone:1", 11).op(READ, "gone:1", 12, reply=None)
    story.op(SET, "session:1", 1, b"s", ttl=100).row("session:1", b"s", 101.0)
    story.op(EXPIRE, "session:1", 12, ttl=FOREVER, reply=1, instance=1)
    story.final.rows[b"session:1"].expires_at = 12.0 + FOREVER
    for n in range(1, 4):
        story.op(INCR, "count:1", n * 5, reply=n).op(CAS, "cas:1", n * 5, b"%d" % n)
        story.op(APPEND, "list:1", n * 5, b"%d;" % n)
    story.row("count:1", b"3").row("cas:1", b"3").row("list:1", b"1;2;3;")
    story.op(SET, "pair:a:1", 1, b"p", group=1).op(SET, "pair:b:1", 1, b"p", group=1)
    story.row("pair:a:1", b"p").row("pair:b:1", b"p")
    story.passes()


def test_a_lost_reply_may_have_been_carried_out_or_not(story):
    for number, value in enumerate((b"a", b"b")):
        key = f"own:{number}"
        story.op(SET, key, 1, b"a").op(SET, key, 2, b"b", outcome=UNKNOWN).row(key, value)
    story.op(INCR, "count:1", 1, reply=1).op(INCR, "count:1", 2, outcome=UNKNOWN).row("count:1", b"2")
    story.op(INCR, "count:2", 1, reply=1).op(INCR, "count:2", 2, outcome=UNKNOWN).row("count:2", b"1")
    story.op(APPEND, "list:1", 1, b"1;").op(APPEND, "list:1", 2, b"2;", outcome=UNKNOWN)
    story.op(APPEND, "list:1", 3, b"3;").row("list:1", b"1;3;")
    story.op(DEL, "gone:1", 2, outcome=UNKNOWN).op(SET, "gone:1", 1, b"x").row("gone:1", b"x")
    story.passes()


@pytest.mark.parametrize("instance, passes", [(0, True), (1, False)])
def test_what_is_in_doubt_may_be_carried_out_behind_what_another_does(story, instance, passes):
    """By its own instance what came behind it is not overtaken."""
    story.op(SET, "session:1", 21, b"doubtful", instance=instance, outcome=UNKNOWN)
    story.op(SET, "session:1", 22, b"next", instance=1).op(DEL, "session:1", 23, instance=1, reply=1)
    story.row("session:1", b"doubtful")
    if passes:
        story.passes()
    else:
        story.fails("stale", "resurrected", "missing")


@pytest.mark.parametrize("winner, loser, side", [(1, 0, "row"), (1, 0, "journal")])
def test_two_instances_away_the_later_write_wins(story, winner, loser, side):
    values = {0: b"by 0", 1: b"by 1"}
    story.op(SET, "session:1", 1, b"old")
    story.op(SET, "session:1", 12, values[0], instance=0)
    story.op(SET, "session:1", 13, values[1], instance=1)
    story.row("session:1", values[winner]).lost("session:1", values[loser], side).passes()


def test_an_unknowing_write_loses_to_the_row(story):
    story.op(SET, "session:1", 1, b"real", instance=1)
    story.op(SET, "session:1", 12, b"empty", instance=0)
    story.row("session:1", b"real").lost("session:1", b"empty").passes()


def test_a_session_expired(story):
    story.op(SET, "own:1", 1, b"a", ttl=3).op(READ, "own:1", 8, reply=None).passes()


def test_a_refused_command_left_nothing(story):
    story.op(SET, "own:1", 1, b"a").op(SET, "own:1", 2, b"b", outcome=REFUSED).row("own:1", b"a")
    story.passes()


def test_a_journal_that_was_merged_before_a_restart_is_forgotten(story):
    """The outage went on: it had begun again when the instance was started."""
    story.facts.trouble[0] = [(9.0, 29.0)]
    story.facts.starts[0].append(23.0)
    story.op(SET, "gone:1", 1, b"x").op(DEL, "gone:1", 12, reply=1).op(SET, "gone:1", 24, b"y")
    story.lost("gone:1", b"y").passes()


def test_a_key_that_expired_while_the_rows_were_read(story):
    story.op(SET, "own:1", 1, b"a", ttl=33)
    story.final.replies[0][b"own:1"] = (b"a", 4, LOOK - 0.5)
    story.facts.rows_read = LOOK + 5
    story.passes()


def test_what_reads_as_absent_is_not_known(story):
    """It was told of a write elsewhere, and then PostgreSQL went."""
    story.op(SET, "session:1", 1, b"old").op(SET, "session:1", 2, b"real", instance=1)
    story.op(READ, "session:1", 11, reply=None).op(SET, "session:1", 12, b"next")
    story.row("session:1", b"real").lost("session:1", b"next").passes()


@pytest.mark.parametrize("outcome, side, passes", [
    (UNKNOWN, "row", True), (UNKNOWN, "journal", False), ("done", "row", False)])
def test_what_was_in_doubt_is_kept_where_a_later_one_replaces_it(story, outcome, side, passes):
    story.op(SET, "own:1", 1, b"old").op(SET, "own:1", 9, b"doubtful", outcome=outcome)
    story.op(DEL, "own:1", 12, reply=1).lost("own:1", b"doubtful", side)
    if passes:
        story.passes()
    else:
        story.fails("only one instance")


def test_what_was_in_doubt_and_never_known_may_be_replaced_by_itself(story):
    story.op(SET, "own:1", 9, b"first", outcome=UNKNOWN)
    story.op(SET, "own:1", 12, b"next").row("own:1", b"first").lost("own:1", b"next").passes()


# --- what is wrong: registers -------------------------------------------------------------------

def test_a_write_is_missing(story):
    story.op(SET, "own:1", 1, b"a").fails("missing")


@pytest.mark.parametrize("at", [1, 12])
def test_the_last_write_is_missing(story, at):
    story.op(SET, "own:1", at, b"a").op(SET, "own:1", at + 1, b"b").row("own:1", b"a")
    story.fails("missing", "stale")


def test_the_loser_of_a_conflict_is_not_kept(story):
    story.op(SET, "session:1", 1, b"old").op(SET, "session:1", 12, b"by 0", instance=0)
    story.op(SET, "session:1", 13, b"by 1", instance=1).row("session:1", b"by 1").fails("missing")


def test_the_loser_of_a_conflict_is_kept_in_part(story):
    story.op(SET, "session:1", 1, b"old").op(SET, "session:1", 12, b"by 0", instance=0)
    story.op(SET, "session:1", 13, b"by 1", instance=1).row("session:1", b"by 1")
    story.lost("session:1", b"by").fails("missing", "which nobody wrote")


def test_the_earlier_write_wins(story):
    """Even if the later one is kept: it knew the key."""
    for instance in (0, 1):
        story.op(SET, "session:1", 1 + instance, b"old %d" % instance, instance=instance)
        story.op(SET, "session:1", 12 + instance, b"by %d" % instance, instance=instance)
    story.row("session:1", b"by 0").lost("session:1", b"by 1").fails("stale")


def test_both_of_two_overlapping_writes_are_missing(story):
    """Neither can be the reason for the other's absence."""
    story.op(SET, "session:1", 1, b"a", ended=1.5).op(SET, "session:1", 1.2, b"b", instance=1)
    story.fails("missing")


def restarted_in_the_outage(story):
    """Instance 0."""
    story.facts.starts[0].append(13.0)


@pytest.mark.parametrize("instance", [0, 1])
def test_an_unknowing_write_destroys_the_session(story, instance):
    """The case that must never happen: an empty session over a real one."""
    restarted_in_the_outage(story)
    story.op(SET, "session:1", 1, b"real", instance=instance)
    story.op(SET, "session:1", 14, b"empty", instance=0).row("session:1", b"empty").fails("missing")


@pytest.mark.parametrize("written, knows", [(0.9, False), (1.1, True), (None, False)])
def test_what_was_in_the_warm_file_may_be_replaced(story, written, knows):
    restarted_in_the_outage(story)
    if written is not None:
        story.facts.warm[0] = {13.0: written}
    story.op(SET, "session:1", 1, b"real").op(SET, "session:1", 14, b"next").row("session:1", b"next")
    if knows:
        story.passes()
    else:
        story.fails("missing")


@pytest.mark.parametrize("written, knows", [(1.5, True), (0.5, False)])
def test_what_was_in_the_warm_file_may_be_back_by_an_expire(story, written, knows):
    restarted_in_the_outage(story)
    story.facts.warm[0] = {13.0: written}
    story.op(SET, "own:1", 1, b"old").op(SET, "own:1", 2, b"new").op(EXPIRE, "own:1", 14, ttl=FOREVER, reply=1)
    story.row("own:1", b"old", 14.0 + FOREVER).lost("own:1", b"new", "row")
    if knows:
        story.passes()
    else:
        story.fails("stale")


@pytest.mark.parametrize("instance", [0, 1])
def test_a_chain_of_unknowing_writes_destroys_the_session(story, instance):
    restarted_in_the_outage(story)
    story.op(SET, "session:1", 1, b"real", instance=instance)
    story.op(SET, "session:1", 14, b"empty").op(SET, "session:1", 15, b"more")
    story.row("session:1", b"more").fails("missing")


def test_a_chain_of_unknowing_writes_loses(story):
    restarted_in_the_outage(story)
    story.op(SET, "session:1", 1, b"real", instance=1)
    story.op(SET, "session:1", 14, b"empty").op(SET, "session:1", 15, b"more")
    story.row("session:1", b"real").lost("session:1", b"more").passes()


@pytest.mark.parametrize("begun, passes", [(13.9, True), (13, False)])
def test_either_of_two_writes_at_a_time_may_be_the_later_one(story, begun, passes):
    """What began first, and was under way when the other one began, may have replaced it, and lost for both."""
    restarted_in_the_outage(story)
    story.op(SET, "session:1", 1, b"real", instance=1)
    story.op(SET, "session:1", begun, b"first", ended=begun + 0.5).op(SET, "session:1", 14, b"second", client=2)
    story.row("session:1", b"real").lost("session:1", b"first")
    if passes:
        story.passes()
    else:
        story.fails("stale", "missing")


@pytest.mark.parametrize("writer, at, passes", [(1, 1, False), (0, 1, False), (0, 12, True)])
def test_what_was_read_from_the_warm_file_is_a_base(story, writer, at, passes):
    """What is in the journal is none: it may have been written without knowing the key."""
    restarted_in_the_outage(story)
    story.op(SET, "session:1", 0.5, b"real", instance=1)
    story.op(SET, "session:1", at, b"read", instance=writer)
    story.op(READ, "session:1", 14, reply=b"read").op(SET, "session:1", 15, b"next")
    story.row("session:1", b"real").lost("session:1", b"next").lost("session:1", b"read", "row")
    if passes:
        story.passes()
    else:
        story.fails("stale")


def test_an_unknowing_write_is_dropped(story):
    story.op(SET, "session:1", 1, b"real", instance=1)
    story.op(SET, "session:1", 12, b"empty", instance=0).row("session:1", b"real")
    story.fails("missing", "stale")


def test_a_knowing_write_loses_as_if_it_had_not_known(story):
    story.op(SET, "session:1", 1, b"real", instance=1).op(READ, "session:1", 2, reply=b"real")
    story.op(SET, "session:1", 12, b"next", instance=0).row("session:1", b"real")
    story.lost("session:1", b"next").fails("stale")


@pytest.mark.parametrize("doubtful", [EXPIRE, SET, DEL])
def test_what_was_known_before_a_doubt_is_known(story, doubtful):
    story.op(SET, "own:1", 1, b"real").op(doubtful, "own:1", 9, b"real", ttl=FOREVER, outcome=UNKNOWN)
    story.op(SET, "own:1", 12, b"next").row("own:1", b"real").lost("own:1", b"next")
    story.fails("stale", "only one instance")


def test_what_was_deleted_here_is_known_to_be_absent(story):
    story.op(SET, "own:1", 1, b"real").op(DEL, "own:1", 11, reply=1).op(READ, "own:1", 12, reply=None)
    story.op(SET, "own:1", 13, b"next").row("own:1", b"real").lost("own:1", b"next")
    story.fails("stale", "only one instance", "resurrected")


def test_what_has_expired_here_is_known_to_be_absent(story):
    story.op(SET, "own:1", 1, b"real", ttl=3).op(READ, "own:1", 12, reply=None)
    story.op(SET, "own:1", 13, b"next").row("own:1", b"real", 4.0).lost("own:1", b"next")
    story.fails("stale", "only one instance")


def test_an_absence_that_postgresql_has_told_is_known(story):
    story.op(SET, "session:1", 1, b"old").op(DEL, "session:1", 2, instance=1, reply=1)
    story.op(READ, "session:1", 3, reply=None).op(SET, "session:1", 4, b"again")
    story.op(SET, "session:1", 12, b"next").row("session:1", b"again").lost("session:1", b"next").fails("stale")


@pytest.mark.parametrize("at, writer, passes", [(2, 1, True), (11, 1, False), (2, 0, False)])
def test_what_was_deleted_here_may_have_been_made_elsewhere(story, at, writer, passes):
    """A DEL while it was away is journalled, and known for certain."""
    story.op(SET, "session:1", 1, b"old", instance=1).op(READ, "session:1", 1.5, reply=b"old")
    story.op(DEL, "session:1", at, reply=1)
    story.op(SET, "session:1", at + 0.5, b"real", instance=writer).op(SET, "session:1", 12, b"next")
    story.row("session:1", b"real").lost("session:1", b"next")
    if passes:
        story.passes()
    else:
        story.fails("stale")


@pytest.mark.parametrize("instance, passes", [(1, True), (0, False)])
def test_what_has_expired_here_may_have_been_prolonged_elsewhere(story, instance, passes):
    story.op(SET, "session:1", 0.5, b"old", instance=1).op(SET, "session:1", 1, b"real", ttl=3)
    story.op(READ, "session:1", 12, reply=None).op(EXPIRE, "session:1", 2, ttl=FOREVER, reply=1, instance=instance)
    story.op(SET, "session:1", 13, b"next").row("session:1", b"real", 2.0 + FOREVER).lost("session:1", b"next")
    if passes:
        story.passes()
    else:
        story.fails("stale")


def test_what_is_in_the_journal_is_known_after_a_restart(story):
    restarted_in_the_outage(story)
    story.op(SET, "session:1", 1, b"real", instance=1).op(READ, "session:1", 2, reply=b"real")
    story.op(SET, "session:1", 12, b"next").op(SET, "session:1", 16, b"last")
    story.row("session:1", b"next").lost("session:1", b"last").fails("stale")


@pytest.mark.parametrize("at", [2, 12])
def test_a_deleted_key_is_back(story, at):
    story.op(SET, "gone:1", 1, b"x").op(DEL, "gone:1", at).row("gone:1", b"x").fails("resurrected")


def test_a_key_deleted_elsewhere_is_back(story):
    """Deleted by an instance that is away and doesn't know it; written by the other one before."""
    story.op(SET, "session:1", 12, b"x", instance=1).op(DEL, "session:1", 13, instance=0)
    story.row("session:1", b"x").fails("resurrected")


@pytest.mark.parametrize("at, reply, online, passes", [
    (20.5, 0, None, True), (20.5, 0, 20.6, True), (20.5, 0, 11.9, True), (20.5, 0, 20.4, False),
    (20.5, 1, None, False), (13, 0, None, False)])
def test_a_delete_that_found_nothing_because_another_has_not_merged(story, at, reply, online, passes):
    """Only where PostgreSQL was there to be asked, and the other one had not said since that it is online."""
    if online:
        story.facts.online[1] = [(online, online + 0.01)]
    story.op(SET, "session:1", 12, b"x", instance=1).op(DEL, "session:1", at, reply=reply)
    story.row("session:1", b"x")
    if passes:
        story.passes()
    else:
        story.fails("resurrected")


def test_a_write_after_a_delete_is_missing(story):
    story.op(SET, "own:1", 1, b"x").op(DEL, "own:1", 2).op(SET, "own:1", 3, b"y").fails("missing")


@pytest.mark.parametrize("at, doubtful, passes", [(8, SET, True), (12, SET, False), (8, EXPIRE, False)])
def test_a_delete_that_found_nothing_behind_a_doubt(story, at, doubtful, passes):
    """The doubtful write may be carried out later; where the instance is cut off, its DEL is journalled."""
    story.op(SET, "own:1", 1, b"x", ttl=3).op(doubtful, "own:1", 2, b"x", ttl=300, outcome=UNKNOWN)
    story.op(DEL, "own:1", at, reply=0).row("own:1", b"x", 302.0)
    if passes:
        story.passes()
    else:
        story.fails("resurrected")


def test_a_delete_that_found_something_behind_a_doubt(story):
    story.op(SET, "own:1", 1, b"x", ttl=5).op(EXPIRE, "own:1", 2, ttl=300, outcome=UNKNOWN)
    story.op(DEL, "own:1", 12, reply=1).row("own:1", b"x", 302.0).fails("resurrected")


def test_a_foreign_value(story):
    story.op(SET, "own:1", 1, b"a", outcome=UNKNOWN).row("own:1", b"b").fails("which nobody wrote")


def test_a_refused_write_was_carried_out(story):
    story.op(SET, "own:1", 1, b"a").op(SET, "own:1", 2, b"b", outcome=REFUSED).row("own:1", b"b")
    story.fails("which nobody wrote", "missing")


def test_a_key_that_nobody_wrote(story):
    story.row("own:9", b"a").fails("nobody wrote it")


def test_a_conflict_of_a_key_that_nobody_wrote(story):
    story.lost("own:9", b"a").fails("nobody wrote it")


def test_a_conflict_without_cause(story):
    story.op(SET, "own:1", 1, b"a").op(SET, "own:1", 12, b"b").row("own:1", b"b")
    story.lost("own:1", b"a", "row").fails("only one instance wrote it")


@pytest.mark.parametrize("expires_at", [None, 1 + 97.9, 1 + 102.1])
def test_a_wrong_expiry(story, expires_at):
    story.op(SET, "own:1", 1, b"a", ttl=100).row("own:1", b"a", expires_at).fails("expires at")


def test_a_write_in_doubt_may_be_carried_out_later(story):
    story.op(SET, "own:1", 1, b"a", ttl=100, outcome=UNKNOWN).row("own:1", b"a", 110.0).passes()


def test_an_expiry_that_nobody_asked_for(story):
    story.op(SET, "own:1", 1, b"a").row("own:1", b"a", 1000.0).fails("expires at")


def test_an_expire_is_lost(story):
    story.op(SET, "own:1", 1, b"a", ttl=100).op(EXPIRE, "own:1", 12, ttl=500, reply=1)
    story.row("own:1", b"a", 101.0).fails("expires at")


def test_an_expire_of_what_lost_does_not_count(story):
    restarted_in_the_outage(story)
    story.op(SET, "own:1", 1, b"real", ttl=100).op(SET, "own:1", 14, b"x", ttl=50)
    story.op(EXPIRE, "own:1", 15, ttl=500, reply=1).row("own:1", b"real", 101.0)
    story.lost("own:1", b"x").passes()


@pytest.mark.parametrize("at", [1, 9.5])
def test_the_same_bytes_written_without_knowing_them_may_have_lost(story, at):
    """Also where PostgreSQL was going when the first were written, and they may stand in the journal."""
    restarted_in_the_outage(story)
    story.op(SET, "own:1", at, b"real", ttl=100).op(SET, "own:1", 14, b"real", ttl=500)
    story.op(SET, "own:1", 15, b"x").row("own:1", b"real", at + 100.0).lost("own:1", b"x").passes()


def test_the_same_bytes_written_upon_the_journal_are_not_lost(story):
    restarted_in_the_outage(story)
    story.op(SET, "own:1", 11, b"real", ttl=100).op(SET, "own:1", 14, b"real", ttl=500)
    story.row("own:1", b"real", 111.0).fails("expires at")


def test_the_same_bytes_with_a_new_expiry_are_lost(story):
    story.op(SET, "own:1", 1, b"a", ttl=100).op(SET, "own:1", 12, b"a", ttl=100)
    story.row("own:1", b"a", 101.0).fails("expires at")


def test_a_session_expires_too_early(story):
    story.op(SET, "own:1", 1, b"a", ttl=100).fails("missing")


# --- reads ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("reply", [b"a", None])
def test_a_read_that_missed_a_write(story, reply):
    story.op(SET, "own:1", 1, b"a").op(SET, "own:1", 12, b"b").row("own:1", b"b")
    story.op(READ, "own:1", 13, reply=reply).fails("not what was written last")


def test_a_read_after_a_delete(story):
    story.op(SET, "gone:1", 1, b"a").op(DEL, "gone:1", 12).op(READ, "gone:1", 13, reply=b"a")
    story.fails("not what was written last")


def test_a_read_of_what_nobody_wrote(story):
    story.op(SET, "session:1", 1, b"a").op(READ, "session:1", 2, reply=b"?", instance=1)
    story.row("session:1", b"a").fails("which nobody wrote")


# --- counters, lists, pairs ------------------------------------------------------------------------

@pytest.mark.parametrize("final", [b"2", b"4", b"x", None])
@pytest.mark.parametrize("key", ["count:1", "cas:1"])
def test_a_counter_is_wrong(story, key, final):
    for n in range(1, 4):
        story.op(INCR if key == "count:1" else CAS, key, n * 5, b"%d" % n, reply=n)
    if final is not None:
        story.row(key, final)
    story.fails({b"2": "went back", b"4": "is 4", b"x": "not a number"}.get(final, "missing"),
                *(["is 2"] if final == b"2" else []))


def test_a_number_is_given_out_twice(story):
    for n, reply in enumerate((1, 2, 2, 3)):
        story.op(INCR, "count:1", n * 5, reply=reply)
    story.row("count:1", b"4").fails("given out twice")


def test_two_compare_and_sets_won(story):
    story.op(CAS, "cas:1", 1, b"1", client="a").op(CAS, "cas:1", 1, b"1", client="b")
    story.row("cas:1", b"1").fails("given out twice", "is 1")


def forgotten(story):
    """Killed and started in the outage: the counter begins anew."""
    restarted_in_the_outage(story)
    for at, reply in ((1, 1), (2, 2), (3, 3), (15, 1), (16, 2)):
        story.op(INCR, "count:1", at, reply=reply)
    return story.op(INCR, "count:1", 25, reply=4).row("count:1", b"4")


def test_a_forgotten_counter_is_kept(story):
    forgotten(story).lost("count:1", b"2").passes()


def test_a_forgotten_counter_goes_on_elsewhere(story):
    forgotten(story)
    story.history.ops.pop()
    story.row("count:1", b"2").fails("missing: 3")


def test_a_forgotten_list_is_not_kept(story):
    restarted_in_the_outage(story)
    story.op(APPEND, "list:1", 1, b"1;").op(APPEND, "list:1", 15, b"2;").row("list:1", b"1;")
    story.fails("missing: 1 pieces")
    story.lost("list:1", b"2;").passes()


@pytest.mark.parametrize("value, word", [
    (b"1;3;", "missing: 1 pieces"), (b"1;2;2;3;", "twice"), (b"1;3;2;", "order"),
    (b"1;2;3;9;", "which nobody appended"), (None, "missing: 3 pieces")])
def test_a_list_is_wrong(story, value, word):
    for n in range(1, 4):
        story.op(APPEND, "list:1", n * 5, b"%d;" % n)
    if value is not None:
        story.row("list:1", value)
    story.fails(word)


@pytest.mark.parametrize("lost", [b"1;2;", b"1;3;"])
def test_a_list_of_two_instances(story, lost):
    story.op(APPEND, "slist:1", 1, b"1;").op(APPEND, "slist:1", 12, b"2;")
    story.op(APPEND, "slist:1", 13, b"3;", instance=1).row("slist:1", b"1;3;").lost("slist:1", lost)
    if lost == b"1;2;":
        story.passes()
    else:
        story.fails("missing: 1 pieces")


def test_half_a_multi(story):
    for key in ("pair:a:1", "pair:b:1"):
        story.op(SET, key, 1, b"x", group=1).op(SET, key, 12, b"y", group=2, outcome=UNKNOWN)
    story.row("pair:a:1", b"x").row("pair:b:1", b"y").fails("by half")


# --- the instances, time, errors ------------------------------------------------------------------------

@pytest.mark.parametrize("reply", [(b"b", -1), (None, -2), (b"a", 50), (b"a", -2)])
def test_an_instance_disagrees(story, reply):
    story.op(SET, "own:1", 1, b"a").row("own:1", b"a")
    story.final.replies[1][b"own:1"] = (*reply, LOOK)
    story.fails("instance 1 says")


def test_an_instance_has_a_key_that_is_gone(story):
    story.op(SET, "own:1", 1, b"a").op(DEL, "own:1", 2)
    story.final.replies[0][b"own:1"] = (b"a", -1, LOOK)
    story.fails("instance 0 says")


def test_a_key_expires_during_the_look(story):
    story.op(SET, "own:1", 1, b"a", ttl=29)
    story.final.replies[0][b"own:1"] = (b"a", 0, LOOK - 0.5)
    story.passes()
    story.final.replies[0][b"own:1"] = (b"a", 5, LOOK - 0.5)
    story.fails("instance 0 says")


def test_an_instance_answers_with_an_error(story):
    story.op(SET, "own:1", 1, b"a").row("own:1", b"a")
    story.final.replies[0][b"own:1"] = (b"-LOADING", None, LOOK)
    story.fails("instance 0 says")


def test_an_instance_has_another_ttl(story):
    story.op(SET, "own:1", 1, b"a", ttl=100).row("own:1", b"a", 101.0)
    story.final.replies[1][b"own:1"] = (b"a", 70, LOOK)
    story.passes()
    story.final.replies[1][b"own:1"] = (b"a", 69, LOOK)
    story.fails("instance 1 says TTL")


def test_a_journal_is_left_over(story):
    story.final.left_over.append("0: 3 records")
    story.fails("left over")


def test_an_instance_is_not_online(story):
    story.final.states[1] = "recovering"
    story.fails("instance 1 is recovering")


def test_a_scenario_that_broke_off(story):
    """Without a look there is nothing to compare; but that is no success."""
    story.op(SET, "own:1", 1, b"a")
    story.final.looked = False
    story.fails("nobody has looked")
    story.final.problems.append("it broke off")
    story.fails("it broke off")


def test_problems_and_what_clients_saw_are_told(story):
    story.final.problems.append("an assert")
    story.history.complain("no reply")
    story.fails("an assert", "no reply")


@pytest.mark.parametrize("begun, took, allowance, word", [
    (5, 0.25, 0, None), (5, 0.31, 0, "slow"), (5, 0.5, 0.25, None), (5, 0.6, 0.25, "slow"),
    (12, 0.09, 0, None), (12, 0.15, 0, "while away"), (12, 0.15, 0.1, None),
    (25, 5, 0, None)])
def test_slow_commands(story, begun, took, allowance, word):
    story.facts.silent[0] = [(26.0, 27.0)]
    story.history.add_timing(Timing(0, "c", "GET", begun, begun + took, allowance))
    if word:
        story.fails(word)
    else:
        story.passes()


def test_errors(story):
    documented = b"-LOADING PostgreSQL is not reachable, nothing was done\r\n"
    story.history.add_failure(Failure(0, "SET", 12, documented))
    expecting = copy.copy(story)
    expecting.facts = copy.copy(story.facts)
    expecting.facts.errors_expected = True
    expecting.passes()
    story.fails("an error: SET")
    expecting.history.add_failure(Failure(0, "SET", 12, b"-ERR internal\r\n"))
    expecting.fails("undocumented")


def test_errors_about_time_are_rare(story):
    late = b"-LOADING PostgreSQL did not answer in time\r\n"
    for n in range(31):
        story.passes()
        story.history.add_failure(Failure(0, "GET", 12 + n, late))
    story.fails("an error: GET")


def test_errors_about_time_are_the_machines_while_it_runs_others(story):
    late = b"-LOADING PostgreSQL did not answer in time\r\n"
    half = story.facts.pg_timeout / 2
    for n in range(100):
        story.history.add_failure(Failure(0, "GET", 12 + n / 10, late, held_up=half))
    story.passes()
    for n in range(31):
        story.history.add_failure(Failure(0, "GET", 12 + n, late, held_up=half * 0.9))
    story.fails("an error: GET")


def test_other_errors_are_never_the_machines(story):
    story.history.add_failure(Failure(0, "SET", 12, b"-LOADING PostgreSQL is not reachable, nothing was done\r\n",
                                      held_up=100))
    story.fails("an error: SET")


def test_an_instance_that_was_stopped_has_missed_its_deadlines(story):
    doubt = b"-ERR PostgreSQL did not confirm in time, the write may or may not have been applied\r\n"
    story.facts.silent[0] = [(11.0, 12.0)]
    story.history.add_failure(Failure(0, "SET", 11.9, doubt))
    story.history.add_failure(Failure(0, "EXEC", 15.0, b"-EXECABORT Transaction discarded\r\n"))
    story.passes()
    for _ in range(31):
        story.history.add_failure(Failure(0, "SET", 12.1, doubt))
    story.fails("an error: SET")


def test_a_block_with_a_query_may_be_in_doubt_in_an_outage(story):
    doubt = b"-ERR PostgreSQL did not confirm, the transaction may or may not have been applied\r\n"
    begun, ended = story.facts.trouble[0][0]
    story.history.add_failure(Failure(0, "EXEC", (begun + ended) / 2, doubt))
    story.passes()
    story.history.add_failure(Failure(0, "EXEC", begun - 1, doubt))
    story.fails("an error: EXEC")


def test_an_instance_that_was_started_anew_waits(story):
    story.history.add_failure(Failure(
        0, "SET", 14, b"-LOADING respgres is waiting for its first contact with PostgreSQL\r\n"))
    story.fails("an error: SET")
    restarted_in_the_outage(story)
    story.passes()


def test_what_errors_say_is_read_from_the_documentation():
    assert errors.outcome_of(b"-LOADING PostgreSQL is not reachable, nothing was done\r\n") == REFUSED
    assert errors.outcome_of(b"-ERR PostgreSQL did not confirm in time, the write may or may not have"
                             b" been applied\r\n") == UNKNOWN
    assert errors.outcome_of(b"-ERR PostgreSQL refused the write: no\r\n") == REFUSED
    assert errors.outcome_of(b"-ERR something else\r\n") is None
