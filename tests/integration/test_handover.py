"""What the PostgreSQL store hands over while PostgreSQL is away, and what it finds out afterwards.
The store is driven without a server before it (harness/store_client.py)."""

import contextlib

import psycopg2
import pytest

from harness import wait_until
from harness.store_client import StoreClient
from rules import lanes, row  # pylint: disable=unused-import

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]


@pytest.fixture
def client_of():
    """A function that starts a store on a URL."""
    with contextlib.ExitStack() as stack:
        yield lambda url, **options: stack.enter_context(StoreClient(url, **options))


def idle(client, lane=0):
    def is_idle():
        return client.ask("idle", lane) == ["yes"]
    wait_until(is_idle, what=f"commit lane {lane} is idle")
    return client


def under_way(client, lane=0):
    """A lane has a batch: it is one that can be taken."""
    wait_until(lambda: client.ask("idle", lane) == ["no"], what=f"commit lane {lane} has a batch")


def taken(client, lane=0):
    """The lane's slot, incarnation, number, stamp; and the items' versions."""
    words = client.ask("take", lane, answer="taken")
    return words[:4], [int(word) for word in words[4:]]


def test_nothing_is_taken_from_an_idle_lane(database, client_of):
    client = client_of(database.url).online()
    assert client.ask("take", 0, answer="taken") == ["none"]
    idle(client).send("commit", 0, "k", "v")
    assert client.expect("commit")[0] == "ok"
    assert client.ask("take", 0, answer="taken") == ["none"]


@pytest.mark.parametrize("applied", (True, False))
def test_a_batch_in_flight_is_taken_and_its_outcome_told(database, lanes, client_of, applied):
    """PostgreSQL has committed and we have not heard of it; or it has not seen the batch."""
    client = client_of(database.url_by(port=lanes.port), pg_timeout=5000).online()
    idle(client)
    gate = lanes.hold("commit-0", "respgres_commit*", "answer" if applied else "request")
    client.send("commit", 0, "a", "1", "b", "2")
    gate.wait()
    lane, versions = taken(client)
    stamp = int(lane[3])
    assert versions == [stamp, stamp + (1 << 10)]
    known, done, whole = client.expect("settled", *lane)
    gate.release()  # late as it may be, it is fenced
    assert (known, done, whole) == ("1", str(int(applied)), str(int(applied)))
    found = row(database, "b", "version, value")
    if applied:
        assert (found[0], bytes(found[1])) == (versions[1], b"2")
    else:
        assert found is None
    assert not [words for words in client.seen if words[0] == "commit"]
    idle(client).send("commit", 0, "c", "3")
    assert client.expect("commit")[0] == "ok"


def test_the_batch_of_a_lost_connection_is_taken(lab, client_of):
    postgres = lab.own_postgres()
    database = postgres.create_database()
    client = client_of(database.url, pg_timeout=2000).online()
    idle(client)
    postgres.freeze()
    client.send("commit", 0, "a", "1")
    under_way(client)
    postgres.kill9()
    client.expect("state", "away")
    lane, versions = taken(client)
    assert len(versions) == 1
    postgres.start()
    known, applied, _ = client.expect("settled", *lane, timeout=30)
    assert (known, applied) == ("1", "0")
    assert row(database, "a") is None


@pytest.mark.alone
def test_a_frozen_servers_batch_is_taken_in_time_and_settled(lab, client_of, machine):
    """Away before pg-timeout is over; the old backend has the batch and wakes up with it."""
    postgres = lab.own_postgres()
    database = postgres.create_database()
    client = client_of(database.url, pg_timeout=2000).online()
    idle(client)
    postgres.freeze()

    def taken_over():
        client.send("commit", 0, "a", "1")
        client.expect("state", "away")
        return taken(client)[0]

    took, lane = machine.seconds(taken_over)
    assert took < 2
    assert client.ask("readable") == ["no"]
    postgres.thaw()
    known, applied, _ = client.expect("settled", *lane, timeout=30)
    client.online()
    assert known == "1"
    assert (row(database, "a") is not None) == (applied == "1")
    assert not [words for words in client.seen if words[0] == "commit"]


def test_behind_a_pooler(lab, database, client_of):
    pooler = lab.pgbouncer(database)
    client = client_of(pooler.url, pg_pooler="transaction", pg_timeout=5000).online()
    holder = database.connect()
    holder.autocommit = False
    idle(client).send("commit", 0, "k", "before")
    client.expect("commit")
    holder.cursor().execute("SELECT FROM respgres.entries WHERE key = 'k' FOR UPDATE")
    idle(client).send("commit", 0, "k", "after")
    under_way(client)
    lane, _ = taken(client)
    assert client.expect("settled", *lane)[:2] == ["1", "0"]
    other = [lane[0], lane[1], lane[2], int(lane[3]) + 1024]
    client.send("settle", *other)
    assert client.expect("settled", *other)[:2] == ["1", "0"]
    holder.close()


def test_a_backend_that_still_waits_for_a_lock_is_fenced_first(database, client_of):
    """It would write after we have told that it did not. A lock that outlives lock_timeout is the
    table's: the batch sits in it."""
    client = client_of(database.url, pg_timeout=20000).online()
    idle(client).send("commit", 0, "k", "before")
    client.expect("commit")
    holder = database.connect()
    holder.autocommit = False
    holder.cursor().execute("SELECT FROM respgres.entries WHERE key = 'k' FOR UPDATE")
    idle(client).send("commit", 0, "k", "after")
    wait_until(lambda: database.postgres.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
        database.name), what="it waits")
    lane, _ = taken(client)
    known, applied, _ = client.expect("settled", *lane)
    assert (known, applied) == ("1", "0")
    holder.rollback()
    holder.close()
    assert bytes(row(database, "k", "value")[0]) == b"before"


def test_which_items_were_applied(database, lanes, client_of):
    """The row tells positions; here it is made up for a batch of which only some counted."""
    client = client_of(database.url_by(port=lanes.port), pg_timeout=5000).online()
    idle(client)
    gate = lanes.hold("commit-0", "respgres_commit*", "answer")
    client.send("commit", 0, "a", "1", "b", "2", "c", "3")
    gate.wait()
    database.execute("UPDATE respgres.lanes SET accepted = '{2,0}' WHERE stamp > 0")
    lane, _ = taken(client)
    assert client.expect("settled", *lane) == ["1", "1", "0", "2", "0"]
    gate.release()


# --- an earlier life -------------------------------------------------------------------------------

def last_life(database, client_of):
    """A process that was killed; its lane as a journal has it."""
    first = client_of(database.url).online()
    idle(first).send("commit", 0, "a", "1")
    stamp = int(first.expect("commit")[1])
    slot, incarnation, _, _ = first.ask("who")
    first.kill()
    return [slot, incarnation, 0, stamp]


def test_the_outcome_of_an_earlier_life(database, client_of):
    lane = last_life(database, client_of)
    client = client_of(database.url).online()
    before = database.execute("SELECT epoch FROM respgres.lanes WHERE slot = %s"
                              " AND incarnation = %s AND lane = 0", lane[0], lane[1])
    client.send("settle", *lane)
    assert client.expect("settled", *lane) == ["1", "1", "1"]
    after = database.execute("SELECT epoch FROM respgres.lanes WHERE slot = %s"
                             " AND incarnation = %s AND lane = 0", lane[0], lane[1])
    assert after[0][0] > before[0][0]
    later = [*lane[:3], lane[3] + 1024]
    client.send("settle", *later)
    assert client.expect("settled", *later) == ["1", "0", "0"]


def test_what_the_row_does_not_know(database, client_of):
    lane = last_life(database, client_of)
    client = client_of(database.url).online()
    for other in ([lane[0], 999, 0, lane[3]], [lane[0], lane[1], 7, lane[3]],
                  [*lane[:3], lane[3] - 1024]):
        client.send("settle", *other)
        assert client.expect("settled", *other) == ["0", "0", "0"]


def test_an_earlier_life_is_asked_for_once_postgresql_is_there(lab, client_of):
    postgres = lab.own_postgres()
    database = postgres.create_database()
    lane = last_life(database, client_of)
    postgres.stop()
    client = client_of(database.url)
    client.send("settle", *lane)
    postgres.start()
    client.online()
    assert client.expect("settled", *lane) == ["1", "1", "1"]


def test_stamps_before_the_first_contact(lab, client_of):
    """Minted from what the journal knows, and everything later is above them, on PostgreSQL too."""
    postgres = lab.own_postgres()
    database = postgres.create_database()
    earlier = client_of(database.url).online()
    offset = earlier.ask("who")[3]
    earlier.stop()
    postgres.stop()
    client = client_of(database.url)
    ahead = (10 ** 15) << 10
    assert client.ask("identity", 5, 3, ahead, offset, answer="ok") == []
    first = int(client.ask("mint", 2)[0])
    assert first > ahead and first & 1023 == 5
    postgres.start()
    client.online()
    slot, _, last, _ = client.ask("who")
    assert int(slot) == 1 and int(last) > first
    idle(client).send("commit", 0, "k", "v")
    version = int(client.expect("commit")[1])
    assert version > first + 1024 and version & 1023 == 1
    wait_until(lambda: database.execute("SELECT high_stamp FROM respgres.instances")[0][0] >= version,
               what="the heartbeat has stored it")


# --- slots -----------------------------------------------------------------------------------------

def slots(database):
    return dict(database.execute("SELECT slot, holds_journal FROM respgres.instances"))


def not_seen_for(database, slot, interval):
    database.execute("UPDATE respgres.instances SET seen_at = clock_timestamp() - %s::interval"
                     " WHERE slot = %s", interval, slot)


def journalling(client_of, database, name, **options):
    """Says that it has a journal before it can have reached PostgreSQL."""
    holder = database.connect()
    holder.autocommit = False
    with contextlib.suppress(psycopg2.Error):
        holder.cursor().execute("LOCK TABLE respgres.meta IN ACCESS EXCLUSIVE MODE")
    client = client_of(database.url, instance_name=name, **options)
    client.ask("holds", 1, answer="ok")
    holder.rollback()
    holder.close()
    return client.online()


def slot_of(client):
    return int(client.ask("who")[0])


@pytest.fixture
def three(database, client_of):
    """A database with the schema and no instance."""
    client_of(database.url).online().stop()
    return database


def test_the_slot_of_a_journal_is_kept_for_its_owner(three, client_of):
    first = journalling(client_of, three, "one")
    assert slot_of(first) == 1 and slots(three) == {1: True}
    first.kill()
    not_seen_for(three, 1, "1 hour")
    assert slot_of(client_of(three.url, instance_name="two").online()) == 2
    again = journalling(client_of, three, "one")
    assert slot_of(again) == 1 and int(again.ask("who")[1]) == 3


def test_a_clean_stop_gives_the_slot_back_unless_it_is_to_be_kept(three, client_of):
    journalling(client_of, three, "one").stop()
    assert slots(three) == {1: False}
    second = journalling(client_of, three, "two")
    assert slot_of(second) == 1
    second.ask("keep", answer="ok")
    second.stop()
    assert slots(three) == {1: True}
    assert slot_of(client_of(three.url, instance_name="three").online()) == 2
    assert slot_of(journalling(client_of, three, "two")) == 1


def test_after_the_retention_anybody_gets_it(three, client_of):
    journalling(client_of, three, "one").kill()
    not_seen_for(three, 1, "8 days")
    other = client_of(three.url, instance_name="two").online()
    assert slot_of(other) == 1
    assert "event=slot-reissued" in other.log and "one" in other.log
    assert slots(three) == {1: False}


def test_when_all_are_taken_the_one_not_seen_longest_goes(three, client_of):
    three.execute("INSERT INTO respgres.instances (slot, name, host, pid, binary_version, seen_at,"
                  " holds_journal) SELECT n, 'i' || n, 'h', 1, '0', clock_timestamp() - "
                  "make_interval(mins => 10 + n % 7, secs => n), true"
                  " FROM generate_series(2, 1023) n")
    three.execute("DELETE FROM respgres.instances WHERE slot = 1")
    three.execute("INSERT INTO respgres.instances (slot, name, host, pid, binary_version)"
                  " VALUES (1, 'lives', 'h', 1, '0')")
    longest = three.execute("SELECT slot FROM respgres.instances ORDER BY seen_at LIMIT 1")[0][0]
    other = client_of(three.url, instance_name="new").online()
    assert slot_of(other) == longest
    assert "event=slot-reissued" in other.log


def test_when_the_slot_was_taken_stamps_stay_above(lab, database, client_of):
    """After a long outage somebody else has it: a new one is claimed."""
    proxy = lab.proxy(("127.0.0.1", lab.postgres_port(database)))
    client = client_of(database.url_by(port=proxy.port)).online()
    assert slot_of(client) == 1
    proxy.refuse()
    proxy.cut()
    client.expect("state", "away")
    minted = int(client.ask("mint", 100)[0])
    not_seen_for(database, 1, "1 hour")
    database.execute("UPDATE respgres.instances SET incarnation = incarnation + 1, name = 'thief',"
                     " seen_at = clock_timestamp(), started_at = clock_timestamp()")
    proxy.pass_on()
    client.online()
    assert slot_of(client) == 2
    assert int(client.ask("mint", 1)[0]) > minted + 99 * 1024


@pytest.mark.parametrize("made_ready", (False, True))
def test_a_late_answer_about_the_old_slot(database, lanes, client_of, made_ready):  # noqa: F811
    """A lane was claimed under a slot that has gone by the time of the answer. Nothing is wrong with the new
    one: it was given up as well, and if it was still being made ready, nobody claimed a third."""
    client = client_of(database.url_by(port=lanes.port), pg_timeout=30000).online()
    idle(client)
    gate = lanes.hold("commit-0", "respgres_claim_lane", "request")
    lanes.connection("commit-0").cut()
    gate.wait()
    database.execute("UPDATE respgres.instances SET incarnation = incarnation + 1, name = 'thief',"
                     " seen_at = clock_timestamp(), started_at = clock_timestamp()")
    lanes.request_delay_s = 0 if made_ready else 0.5
    wait_until(lambda: "event=slot-claimed slot=2" in client.log, what="it has a new slot")
    if made_ready:
        seen = len(lanes.requests)
        wait_until(lambda: any("respgres_heartbeat" in request.statements for request in lanes.requests[seen:]),
                   what="it is ready")
    gate.release()
    idle(client).send("commit", 0, "k", "v")
    assert client.expect("commit")[0] == "ok"
    assert slot_of(client) == 2
    assert client.log.count("event=slot-lost") == 1
