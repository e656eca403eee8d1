"""The judge of the chat: a history without fault passes, and for each complaint there is a faked one
that has this fault. (test_chat.py runs apps with faults, with --long.)"""

import copy

import pytest

from chatlib import judge
from chatlib.browser import Answer
from chatlib.record import (KICKED, LEFT, LOGGED_IN, LOGGED_OUT, Attempt, Facts, Final, Life, Record,
                            Row)


def said(status, begun, messages=(), app=2, username="ada"):
    body = {"username": username, "messages": list(messages)} if status == 200 else {}
    return Answer(status, app, body, begun, begun + 0.1, "GET /messages")


QUESTION = {"id": "ada-1", "role": "user", "content": "hello"}
ANSWER = {"id": "ada-1-admin", "to": "ada-1", "role": "admin", "content": "hi"}


def record(setup="a", affinity=False, **facts):
    made = Record(Facts(setup, affinity, fault_at=100.0, over_at=110.0, **facts))
    made.lives.append(Life("ada", "one", acknowledged={"ada-1": "hello"}))
    made.attempts.append(Attempt("ada-1", "kim", "hi", "given"))
    made.queued["ada-1"] = "ada"
    return made


def final():
    return Final(sessions={"session:one": Row("ada", True, [QUESTION, ANSWER])},
                 answers={"ada-1": "hi"}, views={"one": [QUESTION, ANSWER]})


def heard(made, *answers):
    for answer in answers:
        judge.hears(made, made.lives[0], answer)
    return made.complaints


def ended(made, state, at=50.0):
    life = made.lives[0]
    life.state, life.ended_at = state, at
    if state == KICKED:
        life.kick_begun = at - 1
    return life


# --- each answer --------------------------------------------------------------------------------


def test_what_is_right_passes():
    made = record()
    assert not heard(made, said(200, 10, [QUESTION]), said(200, 105, [QUESTION, ANSWER]))
    assert not judge.at_the_end(made, final())


def test_anothers_session():
    assert "sees the session of bob" in heard(record(), said(200, 10, [QUESTION], username="bob"))[0]


def test_anothers_message():
    other = {"id": "bob-1", "role": "user", "content": "hello"}
    assert "not his" in heard(record(), said(200, 10, [QUESTION, other]))[0]
    changed = {**QUESTION, "content": "good bye"}
    assert "not his" in heard(record(), said(200, 10, [changed]))[0]


@pytest.mark.parametrize("at", [10, 105, 200])
def test_logged_out_by_nobody(at):
    assert "has not logged out" in heard(record(), said(401, at))[0]
    assert "has not logged out" in heard(record("b", killed_app=1), said(401, at))[0]
    assert "has not logged out" in heard(record("c", affinity=True), said(401, at))[0]


def test_missing_reads_are_counted_in_one_set_up_and_for_its_time():
    made = record("c")
    assert not heard(made, said(401, 105))
    assert (made.missing, made.lives[0].state) == (1, LOGGED_IN)
    assert "has not logged out" in heard(made, said(401, 90))[0]
    assert "has not logged out" in heard(made, said(401, 120))[1]


@pytest.mark.parametrize("setup, affinity", [("a", False), ("b", False), ("c", True)])
def test_a_stale_read(setup, affinity):
    assert "without 1 acknowledged" in heard(record(setup, affinity), said(200, 105))[0]


def test_stale_reads_are_counted_in_one_set_up_and_for_its_time():
    made = record("c")
    assert not heard(made, said(200, 105))
    assert made.stale == 1
    assert "without 1 acknowledged" in heard(made, said(200, 90))[0]


def test_errors_of_the_killed_one_alone_while_it_is_away():
    made = record("b", killed_app=1)
    assert not heard(made, said(503, 105, app=1))
    assert "status 503" in heard(made, said(503, 105, app=2))[0]
    assert "status 503" in heard(made, said(503, 90, app=1))[1]
    assert "status 503" in heard(made, said(503, 115, app=1))[2]
    assert "status 0" in heard(made, said(0, 105, app=0))[3]
    assert "status 503" in heard(record("a"), said(503, 105, app=1))[0]


def test_kicked_and_let_in():
    made = record()
    ended(made, KICKED)
    assert not heard(made, said(200, 49.95, [QUESTION]))  # was under way
    assert "was kicked and is let in" in heard(made, said(200, 60, [QUESTION]))[0]


def test_kicked_and_told():
    made = record()
    ended(made, KICKED)
    assert not heard(made, said(401, 60))
    assert made.lives[0].told


def test_a_kick_in_doubt_excuses_no_miss_elsewhere():
    """In the loose set-up a miss in the outage does not mean that the kick was done."""
    made = record("c")
    made.lives[0].kick_begun = 99.0
    assert not heard(made, said(401, 105))
    assert made.lives[0].state == LOGGED_IN


@pytest.mark.parametrize("state", [LOGGED_OUT, KICKED])
def test_an_old_cookie(state):
    made = record()
    life = ended(made, state)
    judge.ghost(made, life, said(401, 60))
    judge.ghost(made, life, said(200, 49))
    assert not made.complaints
    judge.ghost(made, life, said(200, 60, [QUESTION]))
    assert "old cookie" in made.complaints[0]


def test_an_old_cookie_in_the_loose_set_up():
    made = record("c")
    life = ended(made, LOGGED_OUT)
    judge.ghost(made, life, said(200, 105, [QUESTION]))
    assert not made.complaints and life.haunted
    judge.ghost(made, ended(made, KICKED), said(200, 105, [QUESTION]))
    assert "old cookie" in made.complaints[0]


def test_two_answers_and_made_up_ones():
    second = {**ANSWER, "content": "hi again"}
    made = record()
    heard(made, said(200, 10, [QUESTION, ANSWER, second]))
    assert "two answers" in made.complaints[0] and "nobody has given" in made.complaints[1]


def test_a_log_out_that_was_not_known():
    made = record()
    judge.logs_out(made, made.lives[0], Answer(200, 1, {"known": False}, 10, 10.1, "POST /logout"))
    assert "was not known" in made.complaints[0]
    made = record("c")
    judge.logs_out(made, made.lives[0], Answer(200, 1, {"known": False}, 105, 105.1, "POST /logout"))
    assert not made.complaints and made.lives[0].state == LEFT


# --- the end ------------------------------------------------------------------------------------


def at_the_end(change, setup="a", **facts):
    made, rows = record(setup, **facts), copy.deepcopy(final())
    change(made, rows)
    return judge.at_the_end(made, rows)


def test_a_message_is_gone():
    def change(_, rows):
        rows.sessions["session:one"].messages.clear()
    assert "are gone" in at_the_end(change)[0]
    assert "are gone" in at_the_end(change, "c")[0]


def test_what_the_merge_took_is_in_conflicts():
    def change(_, rows):
        rows.sessions["session:one"].messages.clear()
        rows.conflicts["session:one"] = [{"username": "ada", "messages": [QUESTION]}]
    assert "are gone" in at_the_end(change)[0]
    assert not at_the_end(change, "c")


def test_messages_that_are_only_in_conflicts_are_counted():
    counted = []

    def change(made, rows):
        rows.conflicts["session:one"] = [{"username": "ada", "messages": [QUESTION]}]
        counted.append(made)
    assert not at_the_end(change, "c") and counted[0].beside == 0  # they are in the row, too
    assert not at_the_end(lambda *both: (change(*both), both[1].sessions["session:one"].messages.clear()), "c")
    assert counted[1].beside == 1


def test_a_request_that_was_under_way_at_the_merge():
    def change(made, rows, begun):
        rows.sessions["session:one"].messages.clear()
        made.lives[0].answers.append(said(200, begun))
    assert not at_the_end(lambda *both: change(*both, 109), "c", merges=[(109.0, 109.5)])
    assert "are gone" in at_the_end(lambda *both: change(*both, 108), "c", merges=[(109.0, 109.5)])[0]
    assert "are gone" in at_the_end(lambda *both: change(*both, 109), "a", merges=[(109.0, 109.5)])[0]


def test_a_session_is_gone():
    assert "there is no row" in at_the_end(lambda made, rows: rows.sessions.clear())[0]


def test_a_session_is_inactive_without_a_kick():
    def change(_, rows):
        rows.sessions["session:one"].active = False
    assert "the row is inactive" in at_the_end(change)[0]


@pytest.mark.parametrize("state, text", [(KICKED, "the row is active"), (LOGGED_OUT, "the row is live")])
def test_an_ended_session_lives(state, text):
    assert text in at_the_end(lambda made, rows: ended(made, state))[0]


def test_a_row_with_anothers_message():
    def change(_, rows):
        rows.sessions["session:two"] = Row("bob", True, [QUESTION])
    assert "another's message" in at_the_end(change)[0]


def test_something_is_left_in_the_queue():
    assert "left in the queue" in at_the_end(lambda made, rows: rows.queue.append({}))[0]
    assert "have not come" in at_the_end(lambda made, rows: rows.unsent.append("x"))[0]


def test_two_admins_were_told_that_they_have_answered():
    def change(made, _):
        made.attempts.append(Attempt("ada-1", "lee", "hello", "given"))
    assert "was answered by ['kim', 'lee']" in at_the_end(change)[0]


def test_an_answer_that_was_given_is_not_there():
    def change(_, rows):
        rows.answers["ada-1"] = "something else"
        rows.views["one"][1]["content"] = "something else"
    assert "was answered by kim, and the answer is" in at_the_end(change)[0]


def test_a_message_is_never_answered():
    def change(made, rows):
        made.attempts.clear()
        rows.answers.clear()
        rows.views["one"].pop()
    assert "was never answered" in at_the_end(change)[0]


def test_a_user_is_not_shown_the_answer():
    assert "is not shown the answer" in at_the_end(lambda made, rows: rows.views["one"].pop())[0]
