"""What must be true. `hears` judges each answer as it comes, `at_the_end` the whole.

Everywhere: nobody sees another's session; who was kicked stays out; each message that waits for a person
is answered by one person, once. And by set-up:

  a            PostgreSQL is killed, all apps share one respgres: nothing is noticed
  b            one respgres is killed: its app answers with errors until it is back, the others do not
  c, affinity  PostgreSQL is killed, three respgres: nothing is noticed
  c            the same, each request at any app: reads may be stale or missing while it lasts; what a
               session has lost by the merge is in respgres.conflicts
"""

from .record import KICKED, LEFT, LOGGED_IN, LOGGED_OUT

SLACK_S = 1.0    # until an app has a connection again, and a merge is seen by all


def hears(record, life, answer):
    """An answer to a request with the session of `life`, sent while it was logged in as far as its user
    knew. Returns True if it shows the session."""
    facts = record.facts
    life.answers.append(answer)
    record.requests += 1
    record.slow.append(answer.ended - answer.begun)
    in_fault = _in_fault(facts, answer)
    if answer.status == 401:
        if facts.is_loose and in_fault and life.state != KICKED:
            missing(record)
        elif life.kick_begun:
            life.state, life.told = KICKED, True
            life.ended_at = life.ended_at or answer.ended
        else:
            record.complain(f"{life.username} has not logged out, and is told that he has (app"
                            f" {answer.app}, {_when(facts, answer)}): {life.sid}")
        return False
    if answer.status != 200:
        error(record, life, answer)
        return False
    if in_fault:
        record.reads_in_fault += 1
    _view(record, life, answer, in_fault)
    return True


def missing(record):
    """A session that an instance does not know, while it does not hear of the others."""
    record.missing += 1
    record.reads_in_fault += 1


def logs_out(record, life, answer):
    life.answers.append(answer)
    if answer.status != 200:
        error(record, life, answer)
        return
    record.requests += 1
    record.logouts += 1
    if life.state != LOGGED_IN:
        life.deleted = True  # kicked before
        return
    life.state, life.ended_at = LOGGED_OUT, answer.ended
    if answer.body["known"] or life.kick_begun:
        return
    life.state = LEFT
    if record.facts.is_loose and _in_fault(record.facts, answer):
        missing(record)
    else:
        record.complain(f"{life.username} logs out, and was not known (app {answer.app},"
                        f" {_when(record.facts, answer)}): {life.sid}")


def _view(record, life, answer, in_fault):
    said = answer.body
    if said.get("username") != life.username:
        record.complain(f"{life.username} sees the session of {said.get('username')}")
        return
    if life.state == KICKED and life.ended_at and answer.begun > life.ended_at:
        record.complain(f"{life.username} was kicked and is let in {_when(record.facts, answer)},"
                        f" {answer.begun - life.ended_at:.3f} s later: {life.sid}"
                        f"{'' if life.haunted else _story(record, life)}")
        life.haunted = True
    if "messages" not in said:
        return
    shown = {m["id"]: m for m in said["messages"] if m["role"] == "user"}
    for message_id, message in shown.items():
        sent = life.acknowledged.get(message_id) or life.doubtful.get(message_id)
        if sent != message["content"]:
            record.complain(f"{life.username} is shown a message that is not his: {message}")
    _answers(record, life, said["messages"])
    lost = [i for i in life.acknowledged if i not in shown]
    if not lost:
        return
    if record.facts.is_loose and answer.ended >= record.facts.fault_at:
        record.stale += in_fault  # afterwards one side of each session stands, for good
    else:
        record.complain(f"{life.username} is shown a session without {len(lost)} acknowledged messages"
                        f" (app {answer.app}, {_when(record.facts, answer)}): {lost[:3]} {life.sid}")


def _answers(record, life, messages):
    seen = set()
    for message in messages:
        if message["role"] != "admin":
            continue
        if message["to"] in seen:
            record.complain(f"{life.username} is shown two answers to {message['to']}")
        seen.add(message["to"])
        if not any(a.message_id == message["to"] and a.content == message["content"]
                   for a in record.attempts):
            record.complain(f"{life.username} is shown an answer that nobody has given: {message}")


def error(record, life, answer):
    facts = record.facts
    record.errors.append(answer)
    expected = (facts.killed_app and answer.app == facts.killed_app
                and _in_fault(facts, answer))
    if not expected:
        record.complain(f"{life.username}: {answer.request} is answered with status {answer.status} by app"
                        f" {answer.app}, {_when(facts, answer)}: {answer.body.get('error', '')}")


def ghost(record, life, answer):
    """A request with the cookie of a session that has ended."""
    if answer.status != 200 or not answer.body.get("username") or answer.begun <= life.ended_at:
        return
    facts = record.facts
    if life.state == LOGGED_OUT and facts.is_loose and _in_fault(facts, answer):
        record.stale += 1
        record.reads_in_fault += 1
        life.haunted = True
        return
    record.complain(f"{life.username} is {life.state}, and his old cookie lets him in by app {answer.app}"
                    f" {_when(facts, answer)}: {life.sid}")


def _in_fault(facts, answer):
    return answer.begun - SLACK_S <= facts.over_at and answer.ended >= facts.fault_at


def _when(facts, answer):
    if answer.ended < facts.fault_at:
        return "before the fault"
    return f"{answer.ended - facts.fault_at:.2f} s after the fault" + (
        f", {answer.begun - facts.over_at:.2f} s after its end" if answer.begun > facts.over_at else "")


def at_the_end(record, final):
    """All is online, users and admins have stopped, the queue has been worked through."""
    owner = {i: life for life in record.lives for i in {**life.acknowledged, **life.doubtful}}
    for life in record.lives:
        _rows_of(record, final, life)
    for key, row in final.sessions.items():
        for message in _of_users(row.messages):
            whose = owner.get(message["id"])
            if whose is None or whose.session_key != key or whose.username != row.username:
                record.complain(f"the row {key} of {row.username} has another's message {message['id']}")
    _queue(record, final)
    return record.complaints


def _of_users(messages):
    return [m for m in messages if m["role"] == "user"]


def _rows_of(record, final, life):
    row = final.sessions.get(life.session_key)
    if life.state == LOGGED_OUT:
        if row is not None and row.active and not life.haunted:
            record.complain(f"{life.username} has logged out {life.ended_at - record.facts.fault_at:.2f} s"
                            f" after the fault, and the row is live: {life.sid}")
        return
    if life.deleted or life.state == LEFT:
        return
    if row is None:
        record.complain(f"{life.username} is {life.state}, and there is no row: {life.sid}"
                        f"{_story(record, life)}")
        return
    if row.active != (life.state == LOGGED_IN):
        record.complain(f"{life.username} is {life.state}, and the row is"
                        f" {'' if row.active else 'in'}active: {life.sid}")
    there = shown = {m["id"] for m in _of_users(row.messages)}
    if record.facts.is_loose or life.state == KICKED:
        # What was written while PostgreSQL was away to a session that SQL has ended before the merge is
        # there as well: rule 6 of docs/consistency.md.
        there = shown | {m["id"] for session in final.conflicts.get(life.session_key, [])
                  for m in _of_users(session.get("messages", []))}
    if life.state == LOGGED_IN:
        record.beside += sum(i in there and i not in shown for i in life.acknowledged)
    lost = [i for i in life.acknowledged if i not in there]
    if lost and record.facts.is_loose and _was_under_way(record.facts, life):
        record.overwritten += len(lost)
    elif lost:
        record.complain(f"{len(lost)} acknowledged messages of {life.username} are gone: {lost[:3]}"
                        f" {life.sid}{_story(record, life)}")


def _queue(record, final):
    if final.queue or final.unsent:
        record.complain(f"{len(final.queue)} entries are left in the queue, {len(final.unsent)} have not"
                        f" come there")
    given = {}
    for attempt in record.attempts:
        if attempt.outcome == "given":
            given.setdefault(attempt.message_id, []).append(attempt)
    for message_id, attempts in given.items():
        if len({a.content for a in attempts}) > 1:
            record.complain(f"{message_id} was answered by {[a.admin for a in attempts]}")
        if final.answers.get(message_id) != attempts[0].content:
            record.complain(f"{message_id} was answered by {attempts[0].admin}, and the answer is"
                            f" {final.answers.get(message_id)!r}")
    for message_id, username in record.queued.items():
        if message_id not in final.answers:
            record.complain(f"{message_id} of {username} waits and was never answered")
    _told(record, final)


def _told(record, final):
    """Who is still logged in has been shown each answer."""
    for life in record.lives:
        if life.state != LOGGED_IN:
            continue
        view = final.views.get(life.sid, [])
        told = {m["to"]: m["content"] for m in view if m["role"] == "admin"}
        for message in _of_users(view):
            message_id = message["id"]
            if message_id in record.queued and told.get(message_id) != final.answers.get(message_id):
                record.complain(f"{life.username} is not shown the answer to {message_id}")


def _was_under_way(facts, life):
    """Flask-Session reads a session when a request begins, and writes it when it ends, whatever was put
    there in between. So a request may write over what another instance has just merged: the later one
    stands, and there is no conflict that respgres could see."""
    return any(answer.begun <= to and answer.ended >= since
               for answer in life.answers for since, to in facts.merges)


def _story(record, life):
    """All requests of a life, in seconds from the fault."""
    zero = record.facts.fault_at
    return "".join(f"\n      {a.begun - zero:8.3f} to {a.ended - zero:8.3f} app {a.app} {a.status}"
                   f" {a.request} {'' if a in life.answers else a.body}" for a in
                   sorted(life.answers + life.kicks, key=lambda a: a.begun))
