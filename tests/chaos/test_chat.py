"""examples/flask-chat under 60 users and an outage, in each set-up with what it promises
(chatlib/judge.py has that). `tests/chaos/chat` runs the same with a thousand.

That the judge can find each fault: test_chat_judge.py, and here apps that have one.
"""

import pytest

from chatlib.simulation import Plan, Simulation

SETUPS = [pytest.param("a", False, id="a-one-respgres"), pytest.param("b", False, id="b-pairs"),
          pytest.param("c", True, id="c-pairs-with-affinity"), pytest.param("c", False, id="c-pairs")]


def run(lab, plan):
    simulation = Simulation(lab, plan, print)
    complaints = simulation.run()
    print(simulation.summary())
    return simulation, complaints


refused = []  # answers that came too late, because another admin had given one: of each run


def show(simulation, complaints):
    return "\n".join(complaints[:12]) + f"\n{len(complaints)} complaints\n" + simulation.site.logs()


# A run in which nothing happened proves nothing.
LEAST = {"messages acknowledged": 150, "log-outs": 3, "kicks": 2, "waited for a person": 10}


def happened(simulation):
    numbers = simulation.summary()
    assert all(numbers[name] >= least for name, least in LEAST.items()), numbers
    refused.append(numbers["answers refused"])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("setup, affinity", SETUPS)
def test_an_outage(lab, seed, setup, affinity):
    simulation, complaints = run(lab, Plan(setup, affinity, least=LEAST, seed=seed))
    assert not complaints, show(simulation, complaints)
    happened(simulation)
    if setup == "b":
        assert simulation.record.errors, "the killed instance has not been missed"
    if simulation.record.facts.is_loose:
        assert simulation.record.missing and simulation.record.stale


def test_some_admin_was_too_late():
    """In the runs above, several admins were at one message at once."""
    if len(refused) < len(SETUPS):
        pytest.skip("only some of the set-ups have run")
    assert sum(refused) >= 1


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("setup, affinity", SETUPS)
def test_a_long_outage_with_more_users(lab, seed, setup, affinity):
    simulation, complaints = run(lab, Plan(setup, affinity, users=150, outage_s=20, after_s=5, least=LEAST, seed=seed))
    assert not complaints, show(simulation, complaints)
    happened(simulation)


FAULTS = {
    "ignores_kicks": "was kicked and is let in",
    "revives_the_kicked": "was kicked and is let in",
    "drops_from_the_queue": "waits and was never answered",
    "answers_without_asking": "was answered by",
    "queues_without_watch": "",
    "mixes_sessions": "sees the session of",
    "mixes_messages": "is told 200 and not shown it",
    "loses_messages": "acknowledged messages",
    "forgets_sessions": "has not logged out, and is told that he has",
    "keeps_the_logged_out": "has logged out",
    "fails_now_and_then": "is answered with status 503",
}


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_judge_finds(lab, seed, fault):
    """An app with this fault, and nothing killed."""
    plan = Plan("b", users=30, outage_s=0, before_s=4, after_s=2, seed=seed, app=f"mutants:{fault}()",
                drain_s=10)
    simulation, complaints = run(lab, plan)
    assert any(FAULTS[fault] in text for text in complaints), show(simulation, complaints)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_nothing_is_found_where_nothing_is(lab, seed):
    """The same as above, without a fault."""
    plan = Plan("b", users=30, outage_s=0, before_s=4, after_s=2, seed=seed, app="mutants:healthy()")
    simulation, complaints = run(lab, plan)
    assert not complaints, show(simulation, complaints)
