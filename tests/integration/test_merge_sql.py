"""The merge of a journal into PostgreSQL: who wins, key by key (docs/consistency.md has the rules).
The store is driven without a server before it (harness/store_client.py), rows are made by SQL."""

import collections
import itertools
import re
import time

import psycopg2
import pytest

from harness import TOP, wait_until
from harness.lane_proxy import LaneProxy
from harness.store_client import StoreClient
from rules import Holder, as_key, lanes, row  # pylint: disable=unused-import

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]

EPOCH_2025 = 1735689600
STEP = 1 << 10
DAY = 86400
BULK = "commit-1"

Conflict = collections.namedtuple("Conflict", "key reason lost value")


def stamp(seconds, slot=5):
    """The version of a write so many seconds from now."""
    return int((time.time() - EPOCH_2025 + seconds) * 1e6) << 10 | slot


def us(seconds):
    return int((time.time() + seconds) * 1e6)


def word(value):
    """A value as store_client takes it."""
    if value is None:
        return "-"
    return "x" + (value if isinstance(value, bytes) else str(value).encode()).hex()


class Merger:
    """A store that merges journals. Items are dicts: key, value (None = removed), version, base ..."""

    def __init__(self, client, journal="a" * 32):
        self.client, self.journal, self.number = client, journal, 0

    def add(self, key, value, version, base="live", base_version=0, maybe=0, expires="never",
            group=0, db=0, value_version=None):
        vv = value_version if value_version is not None else (0 if value is None else version)
        self.client.send("item", db, word(key), word(value), version, vv, expires, base,
                         base_version, maybe, group)

    def send(self, number=None, journal=None):
        self.number = number if number is not None else self.number + 1
        self.client.send("merge", journal or self.journal, "node", self.number)

    def answer(self):
        """result, rows replaced, then [(outcome, version)] or the error."""
        words = self.client.expect("merge", timeout=60)
        if words[0] != "ok":
            return words[0], int(words[1]), " ".join(words[2:])
        return "ok", int(words[1]), [(words[i], int(words[i + 1])) for i in range(2, len(words), 2)]

    def merge(self, *items, **batch):
        """The outcomes of a batch of dicts."""
        for item in items:
            self.add(**item)
        self.send(**batch)
        result, self.replaced, outcomes = self.answer()
        assert result == "ok", (result, outcomes)
        return outcomes

    def flush(self, db, before, number=None):
        self.number = number if number is not None else self.number + 1
        self.client.send("flush", self.journal, "node", self.number, db, before)
        return self.answer()

    def merged(self, journal=None):
        ok, number = self.client.ask("merged", journal or self.journal)
        assert ok == "yes"
        return int(number)


@pytest.fixture
def client(database):
    with StoreClient(database.url) as made:
        yield made.online()


@pytest.fixture
def merger(client):
    return Merger(client)


def put(database, key, value, version, expires=None, active=True, revoked=None):
    """A row as instances leave them; value None = a tombstone."""
    database.execute(
        "INSERT INTO respgres.entries (key, value, version, value_version, expires_at, active, revoked)"
        " VALUES (%s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s), %s, %s)", as_key(key),
        None if value is None else as_key(value), version, version, expires, active, revoked)


def note(database, key, version, kind):
    """What an earlier merge has left about that row: 1 = from an unknown base, 2 = a removal."""
    database.execute("INSERT INTO respgres.merges (space, key, version, kind)"
                     " VALUES (respgres.space_of(0), %s, %s, %s)", as_key(key), version, kind)


def conflicts(database):
    return [Conflict(bytes(key).decode(), reason, lost, bytes(value).decode())
            for key, reason, lost, value in database.execute(
                "SELECT key, reason, lost, value FROM respgres.conflicts ORDER BY id")]


def text(database, key):
    """What a client would read."""
    found = database.live().get(key.encode())
    return None if found is None else found.decode()


def merge_one(database, merger, there, item, noted=None):
    """One row (value, version[, options]) or None, one item; → outcome, version, value now, the
    conflict as (reason, lost, value)."""
    if there is not None:
        value, version, *options = there
        put(database, "k", value, version, **(options[0] if options else {}))
        if noted:
            note(database, "k", version, noted)
    outcome, version = merger.merge({"key": "k", **item})[0]
    found = [conflict[1:] for conflict in conflicts(database)]
    assert len(found) <= 1
    return outcome, version, text(database, "k"), found[0] if found else None


V0 = stamp(-100, slot=7)  # what was there
W = stamp(-50)            # written meanwhile
LATE = stamp(-20, slot=7)  # what others wrote after that
SQL = stamp(-90, slot=0)
MINE = stamp(-70)         # by the instance of the journal, of an outcome that it was not told

OLD = stamp(-8 * DAY)
GONE = {"expires": -1}


def past():
    return us(-1)


# name: row, item, [kind noted of the row]; → outcome, value now, conflict
RULES = {
    "1 ours already": (("mine", W), {"value": "w", "version": W, "base": "unknown"},
                       "same", "mine", None),
    "2 no row": (None, {"value": "w", "version": W, "base": "absent"}, "applied", "w", None),
    "2 no row, unknown": (None, {"value": "w", "version": W, "base": "unknown"},
                          "applied", "w", None),
    "2 expired and swept": (None, {"value": "w", "version": W, "base": "live", "base_version": V0},
                            "applied", "w", None),
    "2 too old": (None, {"value": "w", "version": OLD, "base": "live", "base_version": OLD - STEP},
                  "lost", None, ("too-old", "journal", "w")),
    "2 too old and expired": (None, {"value": "w", "version": OLD, "expires": past},
                              "dropped", None, None),
    "2 an old removal": (None, {"value": None, "version": OLD, "base": "unknown"},
                         "applied", None, None),
    "2 placeholder": ((None, 0), {"value": "w", "version": W, "base": "unknown"},
                      "applied", "w", None),
    "3 removal as based": (("v", V0), {"value": None, "version": W, "base_version": V0},
                           "applied", None, None),
    "3 removal as perhaps written": (("v", LATE), {"value": None, "version": W, "maybe": LATE},
                                     "applied", None, None),
    "3 removal of a later one": (("v", LATE), {"value": None, "version": W, "base_version": V0},
                                 "applied", None, ("deleted-while-away", "row", "v")),
    "3 removal of an unknown one": (("v", V0), {"value": None, "version": W, "base": "unknown"},
                                    "applied", None, ("deleted-while-away", "row", "v")),
    "3 removal of a tombstone": ((None, LATE), {"value": None, "version": W, "base_version": V0},
                                 "applied", None, None),
    "3 removal of what SQL removed": ((None, SQL), {"value": None, "version": W, "base": "unknown"},
                                      "applied", None, None),
    "3 removal of what has expired": (("v", LATE, GONE), {"value": None, "version": W},
                                      "applied", None, None),
    "4 as based": (("v", V0), {"value": "w", "version": W, "base_version": V0},
                   "applied", "w", None),
    "4 as based, expired there": (("v", V0, GONE), {"value": "w", "version": W, "base_version": V0},
                                  "applied", "w", None),
    "4 on its tombstone": ((None, V0), {"value": "w", "version": W, "base": "absent",
                                        "base_version": V0}, "applied", "w", None),
    "4 as perhaps written": (("v", LATE), {"value": "w", "version": W, "base_version": V0,
                                           "maybe": LATE}, "applied", "w", None),
    "4 as based, expired itself": (("v", V0), {"value": "w", "version": W, "base_version": V0,
                                               "expires": past}, "applied", None, None),
    "4 an unknown base has no version": (("v", V0), {"value": "w", "version": W, "base": "unknown",
                                                     "base_version": V0},
                                         "lost", "v", ("unknown-base", "journal", "w")),
    "5 the same bytes": (("w", LATE), {"value": "w", "version": W, "base_version": V0},
                         "same", "w", None),
    "5 the same bytes, unknown": (("w", V0), {"value": "w", "version": W, "base": "unknown"},
                                  "same", "w", None),
    "6 made inactive": (("v", V0 + STEP, {"active": False}),
                        {"value": "w", "version": W, "base_version": V0},
                        "lost", None, ("revoked", "journal", "w")),
    "6 deleted by SQL": ((None, SQL), {"value": "w", "version": W, "base_version": V0},
                         "lost", None, ("revoked", "journal", "w")),
    "6 and has expired": ((None, SQL), {"value": "w", "version": W, "base_version": V0,
                                        "expires": past}, "dropped", None, None),
    "6 deleted by SQL, unknown": ((None, SQL), {"value": "w", "version": W, "base": "unknown"},
                                  "lost", None, ("revoked", "journal", "w")),
    "7 removed in another journal": ((None, V0 + STEP), {"value": "w", "version": W,
                                                         "base_version": V0, "noted": 2},
                                     "lost", None, ("deleted", "journal", "w")),
    "8 unknown, live": (("v", V0), {"value": "w", "version": W, "base": "unknown"},
                        "lost", "v", ("unknown-base", "journal", "w")),
    "8 unknown, live, expired itself": (("v", V0), {"value": "w", "version": W, "base": "unknown",
                                                    "expires": past}, "dropped", "v", None),
    "8 unknown, both, later": (("v", V0), {"value": "w", "version": W, "base": "unknown",
                                           "noted": 1},
                               "applied", "w", ("both-unknown", "row", "v")),
    "8 unknown, both, earlier": (("v", LATE), {"value": "w", "version": W, "base": "unknown",
                                               "noted": 1},
                                 "lost", "v", ("unknown-base", "journal", "w")),
    "8 unknown, a later tombstone": ((None, LATE), {"value": "w", "version": W, "base": "unknown"},
                                     "lost", None, ("deleted", "journal", "w")),
    "8 unknown, an earlier tombstone": ((None, V0), {"value": "w", "version": W,
                                                     "base": "unknown"}, "applied", "w", None),
    "8 unknown, expired": (("v", V0, GONE), {"value": "w", "version": W, "base": "unknown"},
                           "applied", "w", None),
    "4 was absent once, and still is": ((None, SQL), {"value": "w", "version": W, "base": "unknown",
                                                      "base_version": SQL}, "applied", "w", None),
    "4 was absent once, and its own write since was held back": (
        ("v", MINE, {"active": False, "revoked": SQL}),
        {"value": "w", "version": W, "base": "unknown", "base_version": SQL}, "applied", "w", None),
    "4 was absent once, and another's write since was held back": (
        ("v", LATE, {"active": False, "revoked": SQL}),
        {"value": "w", "version": W, "base": "unknown", "base_version": SQL}, "applied", "w", None),
    "6 was absent once, and has been ended since": (
        ("v", MINE, {"active": False, "revoked": SQL}),
        {"value": "w", "version": W, "base": "unknown", "base_version": V0},
        "lost", None, ("revoked", "journal", "w")),
    "6 was live, and what it wrote was held back": (
        ("v", MINE, {"active": False, "revoked": SQL}),
        {"value": "w", "version": W, "base_version": V0, "maybe": MINE},
        "lost", None, ("revoked", "journal", "w")),
    "8 was absent once": (("v", V0), {"value": "w", "version": W, "base": "unknown",
                                      "base_version": V0 - STEP},
                          "lost", "v", ("unknown-base", "journal", "w")),
    "8 had no row once": (("v", V0), {"value": "w", "version": W, "base": "unknown", "base_version": 1},
                          "lost", "v", ("unknown-base", "journal", "w")),
    "8 was absent once, live before": (("v", MINE), {"value": "w", "version": W, "base": "unknown",
                                                     "base_version": MINE + STEP},
                                       "lost", "v", ("unknown-base", "journal", "w")),
    "9 known beats unknown": (("v", LATE), {"value": "w", "version": W, "base_version": V0,
                                            "noted": 1},
                              "applied", "w", ("unknown-base", "row", "v")),
    "10 later": (("v", V0), {"value": "w", "version": W, "base_version": V0 - STEP},
                 "applied", "w", ("both-changed", "row", "v")),
    "10 was absent once, its own since": (("v", MINE), {"value": "w", "version": W, "base": "unknown",
                                                        "base_version": V0},
                                          "applied", "w", ("both-changed", "row", "v")),
    "10 had no row once, its own since": (("v", MINE), {"value": "w", "version": W, "base": "unknown",
                                                        "base_version": 1},
                                          "applied", "w", ("both-changed", "row", "v")),
    "10 earlier": (("v", LATE), {"value": "w", "version": W, "base_version": V0},
                   "lost", "v", ("both-changed", "journal", "w")),
    "10 earlier and expired": (("v", LATE), {"value": "w", "version": W, "base_version": V0,
                                             "expires": past}, "dropped", "v", None),
    "10 later than a tombstone": ((None, V0), {"value": "w", "version": W,
                                               "base_version": V0 - STEP}, "applied", "w", None),
    "10 earlier than a tombstone": ((None, LATE), {"value": "w", "version": W, "base_version": V0},
                                    "lost", None, ("both-changed", "journal", "w")),
}


@pytest.mark.parametrize("name", RULES)
def test_rule(database, merger, name):
    there, item, outcome, now, conflict = RULES[name]
    item = dict(item)
    noted = item.pop("noted", None)
    if "expires" in item:
        item["expires"] = item["expires"]()
    got = merge_one(database, merger, there, item, noted)
    assert (got[0], got[2], got[3]) == (outcome, now, conflict)
    version = row(database, "k", "version")[0] if outcome in ("applied", "same") else None
    if version is not None:
        assert got[1] == version
    if outcome == "applied":
        there_version = there[1] if there else 0
        assert version == item["version"] if item["version"] > there_version else \
            version > there_version and version & 1023 == item["version"] & 1023
    elif outcome != "same":
        assert row(database, "k", "version")[0] == (there[1] if there else 0)


def test_an_applied_write_is_the_row(database, merger):
    """No trigger takes it for a person's: versions, expiry and bucket are the journal's."""
    put(database, "k", "v", V0, expires=10)
    expires = us(3600)
    assert merger.merge({"key": "k", "value": b"\0\xff", "version": W, "base_version": V0,
                         "value_version": W - STEP, "expires": expires})[0] == ("applied", W)
    version, value_version, value, expires_at, slot = row(database, "k")
    assert (version, value_version, bytes(value)) == (W, W - STEP, b"\0\xff")
    assert abs(expires_at.timestamp() * 1e6 - expires) < 2
    assert slot is not None
    assert database.execute("SELECT count(*) FROM respgres.merges") == [(0,)]


def test_the_same_bytes_take_the_later_expiry(database, merger):
    put(database, "k", "v", V0, expires=10)
    put(database, "l", "v", LATE, expires=10)
    outcomes = merger.merge({"key": "k", "value": "v", "version": W, "base_version": V0 - STEP},
                            {"key": "l", "value": "v", "version": W, "base_version": V0})
    assert outcomes == [("same", W), ("same", LATE)]
    assert row(database, "k", "version, value_version, expires_at") == (W, V0, None)
    assert row(database, "l", "expires_at")[0] is not None
    assert conflicts(database) == []


def test_what_is_kept_of_a_conflict(database, merger):
    put(database, "k", "v", V0, expires=100)
    merger.merge({"key": "k", "value": "w", "version": W, "base_version": V0 - STEP, "group": 3})
    assert merger.replaced == 1
    found = database.execute(
        "SELECT instance, journal, lost, db, type, base, base_version, lost_version, kept_version,"
        " group_id, expires_at > clock_timestamp(), at <= clock_timestamp() FROM respgres.conflicts")
    assert found == [("node", "a" * 32, "row", 0, 0, "live", V0 - STEP, V0, W, 3, True, True)]


def test_notes_make_later_journals_know(database, merger):
    merger.merge({"key": "u", "value": "1", "version": W, "base": "unknown"},
                 {"key": "d", "value": None, "version": W, "base": "live"},
                 {"key": "n", "value": "1", "version": W, "base": "absent"})
    assert sorted((bytes(key), version, kind) for key, version, kind in database.execute(
        "SELECT key, version, kind FROM respgres.merges")) == [(b"d", W, 2), (b"u", W, 1)]


def test_several_databases_and_an_expired_removal(database, merger):
    outcomes = merger.merge({"db": 1, "key": "k", "value": "one", "version": W},
                            {"db": 0, "key": "k", "value": "zero", "version": W + STEP},
                            {"db": 3, "key": "b", "value": None, "version": W})
    assert [outcome for outcome, _ in outcomes] == ["applied"] * 3
    assert database.live(0) == {b"k": b"zero"} and database.live(1) == {b"k": b"one"}


# --- convergence ---------------------------------------------------------------------------------

BASES = (("unknown", 0), ("absent", 0), ("absent", V0), ("live", V0))
STARTS = {"none": None, "live": ("v", {}), "tombstone": (None, {}), "expired": ("v", GONE)}
A_STAMP, B_STAMP = stamp(-40, slot=5), stamp(-30, slot=6)


def pairs():
    """(name, A, B, start) for every base and operation of both, and either one the later."""
    ops = list(itertools.product(BASES, ("write", "remove", "same")))
    for start, swapped in itertools.product(STARTS, (False, True)):
        for number, ((base_a, op_a), (base_b, op_b)) in enumerate(itertools.product(ops, ops)):
            stamps = (B_STAMP, A_STAMP) if swapped else (A_STAMP, B_STAMP)
            name = f"{start}-{int(swapped)}-{number}"
            yield name, *[
                {"value": {"write": who, "remove": None, "same": "both"}[op], "version": version,
                 "base": base[0], "base_version": base[1]}
                for who, op, base, version in zip("AB", (op_a, op_b), (base_a, base_b), stamps)], \
                start


def test_two_journals_converge_whatever_the_order(database, client):
    """Every pair in both orders: the same value, or none, is there in the end."""
    cases = list(pairs())
    conn = database.connect()
    with conn.cursor() as cursor:
        for (name, _, _, start), order in itertools.product(cases, ("ab", "ba")):
            if STARTS[start] is None:
                continue
            value, options = STARTS[start]
            cursor.execute(
                "INSERT INTO respgres.entries (key, value, version, value_version, expires_at)"
                " VALUES (%s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
                (as_key(f"{name}-{order}"), value and as_key(value), V0, V0,
                 options.get("expires")))
    conn.close()
    firsts = [{"key": f"{name}-ab", **a} for name, a, _, _ in cases] + \
             [{"key": f"{name}-ba", **b} for name, _, b, _ in cases]
    seconds = [{"key": f"{name}-ab", **b} for name, _, b, _ in cases] + \
              [{"key": f"{name}-ba", **a} for name, a, _, _ in cases]
    for journal, items in (("1" * 32, firsts), ("2" * 32, seconds)):
        merger = Merger(client, journal)
        for i in range(0, len(items), 1000):
            merger.merge(*items[i:i + 1000])
    live = database.live()
    different = [(name, a, b, start, live.get(f"{name}-ab".encode()), live.get(f"{name}-ba".encode()))
                 for name, a, b, start in cases
                 if live.get(f"{name}-ab".encode()) != live.get(f"{name}-ba".encode())]
    assert different == []
    assert len(cases) == 2 * 4 * 12 * 12
    assert set(live.values()) == {b"A", b"B", b"both", b"v"}
    assert 0 < len(live) < 2 * len(cases)


# --- exactly once --------------------------------------------------------------------------------

def test_a_number_counts_once(database, merger):
    assert merger.merged() == 0
    assert merger.merge({"key": "k", "value": "v", "version": W, "base": "absent"}) == [
        ("applied", W)]
    assert merger.merged() == 1
    again = {"key": "k", "value": "other", "version": W + STEP, "base_version": W}
    assert merger.merge(again, number=1) == [("same", 0)]
    assert text(database, "k") == "v"
    assert merger.merge(again, number=7) == [("applied", W + STEP)]
    assert merger.merged() == 7
    assert merger.merged("b" * 32) == 0
    assert database.execute("SELECT merged, instance FROM respgres.journals ORDER BY journal") == [
        (7, "client"), (0, "client")]


@pytest.fixture
def killable(lab):
    """A database of its own cluster, and lanes to it."""
    database = lab.own_postgres().create_database()
    proxy = LaneProxy(("127.0.0.1", database.postgres.port))
    yield database, proxy
    proxy.release_all()
    proxy.close()


@pytest.mark.parametrize("side", ("answer", "request"))
def test_postgresql_is_killed_around_a_commit(killable, side):
    """Between the commit and its answer, or before the batch has come: what PostgreSQL says
    afterwards is what is there, and the batch counts once."""
    database, proxy = killable
    with StoreClient(database.url_by(port=proxy.port), pg_timeout=2000) as client:
        merger = Merger(client.online())
        assert merger.merged() == 0
        gate = proxy.hold(BULK, "respgres_merge", side)
        items = [{"key": f"k{n}", "value": "1", "version": W + n * STEP, "base": "absent"}
                 for n in range(50)]
        for item in items:
            merger.add(**item)
        merger.send()
        gate.wait()
        database.postgres.kill9()
        if side == "answer":
            gate.cut()  # else the end of the connection is held as well
        assert merger.answer()[0] == "lost"
        database.postgres.start()
        if side == "request":
            gate.release()
        client.online()

        def number():
            ok, found = client.ask("merged", merger.journal)
            return int(found) + 1 if ok == "yes" else 0
        done = wait_until(number, 30, "PostgreSQL has said") or number()
        applied = number() - 1
        assert applied == (1 if side == "answer" else 0), done
        assert len(database.live()) == (50 if applied else 0)
        outcomes = merger.merge(*items, number=1)
        assert outcomes == ([("same", 0)] * 50 if applied else
                            [("applied", item["version"]) for item in items])
        assert len(database.live()) == 50
        assert database.execute("SELECT count(*) FROM respgres.conflicts") == [(0,)]


def test_a_merge_that_comes_late_is_fenced(database, lanes):
    """Its connection is lost, we have asked, and it only then reaches PostgreSQL."""
    with StoreClient(database.url_by(port=lanes.port), pg_timeout=2000) as client:
        merger = Merger(client.online())
        merger.merged()
        gate = lanes.hold(BULK, "respgres_merge_number", "request")
        merger.add("k", "late", W, base="absent")
        merger.send()
        gate.wait()
        gate.cut()
        assert merger.answer()[0] == "lost"
        assert merger.merged() == 0
        gate.release()
        gate.wait_ended()
        assert merger.merge({"key": "k", "value": "v", "version": W, "base": "absent"}, number=1) == [
            ("applied", W)]
        assert text(database, "k") == "v"


def test_a_merge_that_waits_is_ended_before_its_number_is_told(database, client):
    """The backend of a lost connection holds the journal's row and would commit afterwards."""
    merger = Merger(client)
    assert merger.merged() == 0
    holder = database.connect()
    holder.autocommit = False
    holder.cursor().execute("UPDATE respgres.journals SET merged = 1, pid = pg_backend_pid()")
    pid = holder.info.backend_pid
    database.postgres.execute("SELECT 1")
    conn = database.connect()
    with conn.cursor() as cursor:
        cursor.execute("SELECT pid <> %s FROM respgres.journals", (pid,))
        assert cursor.fetchone() == (True,)
    conn.close()
    holder.rollback()
    database.execute("UPDATE respgres.journals SET pid = %s", pid)
    holder.cursor().execute("UPDATE respgres.journals SET merged = 1")
    assert merger.merged() == 0
    with pytest.raises(psycopg2.Error):
        holder.commit()
    holder.close()


def test_two_that_merge_one_journal(database, client):
    """The one that has opened it last may; the other one is told that it does not know."""
    with StoreClient(database.url, instance_name="second") as second:
        first, other = Merger(client), Merger(second.online())
        assert first.merged() == 0
        assert other.merged() == 0
        first.add("k", "first", W, base="absent")
        first.send()
        assert first.answer()[0] == "lost"
        assert other.merge({"key": "k", "value": "v", "version": W, "base": "absent"}) == [
            ("applied", W)]
    assert text(database, "k") == "v"


# --- what does not go through ------------------------------------------------------------------------

def test_a_row_that_is_held(database, merger):
    put(database, "held", "v", V0)
    held = {"key": "held", "value": "w", "version": W, "base_version": V0}
    free = {"key": "free", "value": "w", "version": W, "base": "absent"}
    with Holder(database, "held") as holder:
        for item in (held, free):
            merger.add(**item)
        start = time.monotonic()
        merger.send()
        assert merger.answer()[0] == "locked"
        assert time.monotonic() - start < 5
        assert text(database, "free") is None
        assert merger.merge(free) == [("applied", W)]
        holder.release()
    assert merger.merge(held) == [("applied", W)]


def test_bad_data_is_refused_and_the_rest_goes_through(database, merger):
    database.execute("ALTER TABLE respgres.entries ADD CHECK (value <> 'bad')")
    items = [{"key": f"k{n}", "value": "bad" if n == 3 else "good", "version": W + n * STEP,
              "base": "absent"} for n in range(8)]
    for item in items:
        merger.add(**item)
    merger.send()
    result, _, error = merger.answer()
    assert result == "refused" and "check constraint" in error and "bad" not in error
    assert database.live() == {} and merger.merged() == 0
    assert {outcome for outcome, _ in merger.merge(*items[:3], *items[4:])} == {"applied"}
    merger.add(**items[3])
    merger.send()
    assert merger.answer()[0] == "refused"
    assert len(database.live()) == 7


def test_live_traffic_goes_on(lab, database, merger):
    """A merge and clients' writes of the same keys, large values on the same lane included."""
    server = lab.respgres(database)
    writer = server.client()
    for number in range(20):
        merger.add(**{"key": f"k{number % 10}-{number}", "value": "m", "version": stamp(0)})
        merger.send()
        writer.set(f"k{number % 10}", number)
        writer.set("large", bytes(300_000 + number))
        assert merger.answer()[0] == "ok"
    assert len(writer.get("large")) == 300_019


def test_large_values_take_turns_with_merges(database, client):
    merger = Merger(client)
    merger.merged()
    wait_until(lambda: client.ask("idle", 1) == ["yes"])
    for number in range(5):
        client.send("commit", 1, f"large{number}", "x" + "00" * 100_000)
        merger.add(f"m{number}", "v", stamp(0), base="absent")
        merger.send()
        assert client.expect("commit")[0] == "ok"
        assert merger.answer()[0] == "ok"


def test_a_cached_instance_sees_a_merge(lab, database, merger):
    server = lab.respgres(database, consistency="cached")
    reader = server.client()
    reader.set("k", "v")
    wait_until(lambda: reader.info("postgres")["postgres_cache_state"] == "trusted")
    assert reader.get("k") == b"v"
    based = row(database, "k", "version")[0]
    newer = max(stamp(0), based + STEP)
    assert merger.merge({"key": "k", "value": "w", "version": newer, "base_version": based}) == [
        ("applied", newer)]
    wait_until(lambda: reader.get("k") == b"w", 2, "the notice has come")


def test_behind_a_pooler(lab, database):
    pooler = lab.pgbouncer(database)
    with StoreClient(pooler.url, pg_pooler="transaction") as client:
        merger = Merger(client.online())
        assert merger.merged() == 0
        put(database, "k", "v", LATE)
        outcomes = merger.merge({"key": "k", "value": "w", "version": W, "base_version": V0},
                                {"key": "d", "value": None, "version": W},
                                {"key": "n", "value": "n", "version": W, "base": "absent"})
        assert outcomes == [("lost", LATE), ("applied", W), ("applied", W)]
        assert merger.flush(0, W + STEP)[0] == "ok"
        assert merger.merged() == 2
    assert database.live() == {b"k": b"v"}


# --- FLUSH ----------------------------------------------------------------------------------------

def test_a_flush_while_away(database, merger):
    """What is older than it is gone, what is newer stays as it is; SCAN's ids included."""
    put(database, "old", "v", V0)
    put(database, "dead", None, V0)
    put(database, "new", "v", LATE, expires=500)
    put(database, "gone", None, LATE)
    database.execute("INSERT INTO respgres.entries (space, key, value, version)"
                     " VALUES (respgres.space_of(1), 'other', 'v', %s)", V0)
    note(database, "gone", LATE, 2)
    columns = "id, version, value_version, value, expires_at, updated_at"
    before = row(database, "new", columns)
    space = database.execute("SELECT respgres.space_of(0)")
    assert merger.flush(0, W)[0] == "ok"
    assert database.execute("SELECT respgres.space_of(0)") != space
    assert database.live() == {b"new": b"v"} and database.live(1) == {b"other": b"v"}
    assert row(database, "new", columns) == before
    assert row(database, "gone", "version") == (LATE,)
    assert row(database, "dead") is None and row(database, "old") is None
    assert database.execute("SELECT version FROM respgres.merges"
                            " WHERE space = respgres.space_of(0)") == [(LATE,)]
    assert database.execute("SELECT count(*) FROM respgres.abandoned_spaces") == [(1,)]
    assert merger.flush(0, LATE + STEP, number=1)[0] == "ok"  # it had been already
    assert database.live() == {b"new": b"v"}
    assert merger.flush(-1, LATE + STEP)[0] == "ok"
    assert database.live() == {} and database.live(1) == {}


@pytest.mark.alone
def test_a_flush_does_not_wait_for_long(database, merger):
    put(database, "k", "v", V0)
    with Holder(database, "k") as holder:
        holder.cursor.execute("UPDATE respgres.entries SET value = 'w' WHERE key = 'k'")
        start = time.monotonic()
        assert merger.flush(0, W)[0] == "locked"
        assert time.monotonic() - start < 2
        holder.release()
    assert merger.flush(0, W)[0] == "ok"
    assert database.live() == {}


def test_a_flush_reaches_cached_instances(lab, database, merger):
    server = lab.respgres(database, consistency="cached")
    reader = server.client()
    reader.set("k", "v")
    wait_until(lambda: reader.info("postgres")["postgres_cache_state"] == "trusted")
    assert reader.get("k") == b"v"
    assert merger.flush(-1, stamp(3600))[0] == "ok"
    wait_until(lambda: reader.get("k") is None, 2, "the notice has come")


# --- for people --------------------------------------------------------------------------------------

def lost(database, merger, key=b"\xc3\xa9"):
    put(database, key, "v", LATE)
    merger.merge({"key": key, "value": "w", "version": W, "base_version": V0})
    return database.execute("SELECT id FROM respgres.lost ORDER BY id DESC LIMIT 1")[0][0]


def test_the_view_is_readable(database, merger):
    lost(database, merger)
    assert database.execute("SELECT db, key, reason, lost, value, instance FROM respgres.lost") == [
        (0, "é", "both-changed", "journal", "w", "node")]


@pytest.mark.parametrize("consistency", ("strict", "cached"))
def test_what_lost_can_be_restored(lab, database, merger, consistency):
    server = lab.respgres(database, consistency=consistency)
    reader = server.client()
    number = lost(database, merger)
    if consistency == "cached":
        wait_until(lambda: reader.info("postgres")["postgres_cache_state"] == "trusted")
    assert reader.get("é") == b"v"
    assert database.execute("SELECT respgres.restore_conflict(%s)", number) == [(True,)]
    wait_until(lambda: reader.get("é") == b"w", 2)
    if consistency == "strict":
        assert reader.get("é") == b"w"
    assert row(database, "é", "version")[0] > LATE
    assert database.execute("SELECT restored_at IS NOT NULL FROM respgres.lost") == [(True,)]
    assert database.execute("SELECT respgres.restore_conflict(%s)", number + 99) == [(False,)]
    database.execute("DELETE FROM respgres.entries")
    assert database.execute("SELECT respgres.restore_conflict(%s)", number) == [(True,)]
    wait_until(lambda: reader.get("é") == b"w", 2)


def test_the_grants_for_a_merge(database, client):  # pylint: disable=unused-argument
    """Those of docs/postgresql.md are sufficient, and each is needed."""
    blocks = re.findall(r"^```sql\n(GRANT .*?)```$",
                        (TOP / "docs" / "postgresql.md").read_text(encoding="utf8"),
                        re.DOTALL | re.MULTILINE)
    user = f"{database.name}_user"
    postgres = database.postgres
    postgres.create_role(user)
    grants = "".join(blocks[:2]).replace("TO respgres;", f"TO {user};")
    database.psql(grants)
    put(database, "k", "v", LATE)
    with StoreClient(postgres.url(database.name, user), vacuum="no", auto_migrate="no") as other:
        merger = Merger(other.online())
        merger.merge({"key": "k", "value": "w", "version": W, "base_version": V0},
                     {"key": "d", "value": None, "version": W})
        assert merger.flush(0, V0)[0] == "ok"
        for privilege, table in re.findall(r"([A-Z]+)(?=[A-Z, ]* ON respgres\.(\w+) )", blocks[1]):
            if privilege in ("GRANT", "ON"):
                continue
            begun = postgres.log_size()
            database.psql(f"REVOKE {privilege} ON respgres.{table} FROM {user}")
            merger.add("d", None, W + STEP)
            merger.add("u", "v", W, base="unknown")
            try:
                merger.send()
                result = merger.answer()[0]
                if result == "ok":  # the journal was open: for a new one it is needed
                    assert other.ask("merged", "f" * 32)[0] == "no", (privilege, table)
                else:
                    assert result == "lost", (privilege, table)
                assert "permission denied" in postgres.log_path.read_bytes()[begun:].decode()
            finally:
                database.psql(grants)
    postgres.execute(f'DROP OWNED BY "{user}"', dbname=database.name)
    postgres.execute(f'DROP ROLE "{user}"')


def test_what_has_expired_is_not_restored(database, merger):
    put(database, "k", "v", LATE)
    merger.merge({"key": "k", "value": "w", "version": W, "base_version": V0, "expires": us(3600)})
    number = database.execute("SELECT max(id) FROM respgres.conflicts")[0][0]
    database.execute("UPDATE respgres.conflicts SET expires_at = clock_timestamp() - interval '1 ms'")
    assert database.execute("SELECT respgres.restore_conflict(%s)", number) == [(False,)]
    assert text(database, "k") == "v"


def test_conflicts_and_notes_are_swept(lab, database, merger):
    lost(database, merger)
    merger.merge({"key": "d", "value": None, "version": W, "base": "live"})
    database.execute("UPDATE respgres.conflicts SET at = at - interval '29 days'")
    database.execute("UPDATE respgres.merges SET at = at - interval '6 days'")
    server = lab.respgres(database, sweep_interval=50)
    wait_until(lambda: server.client().info("postgres")["postgres_table_bytes"] > 0)
    assert database.execute("SELECT count(*) FROM respgres.conflicts") == [(1,)]
    assert database.execute("SELECT count(*) FROM respgres.merges") == [(1,)]
    server.client().config_set("conflict-retention", "28d")
    server.client().config_set("tombstone-retention", "5d")
    wait_until(lambda: database.execute("SELECT count(*) FROM respgres.conflicts") == [(0,)])
    wait_until(lambda: database.execute("SELECT count(*) FROM respgres.merges") == [(0,)])


# --- speed ---------------------------------------------------------------------------------------

@pytest.mark.long
def test_a_hundred_thousand_items(database, client):
    """Within seconds, rows that are there and new ones alike."""
    count, size = 100_000, 1000
    database.execute("INSERT INTO respgres.entries (key, value, version, value_version)"
                     " SELECT convert_to('k' || n, 'UTF8'), 'v', %s, %s"
                     " FROM generate_series(0, %s, 2) n", V0, V0, count - 1)
    merger = Merger(client)
    merger.merged()
    took = 0
    for start in range(0, count, size):
        for n in range(start, start + size):
            merger.add(f"k{n}", "w" * 100, W, base="live" if n % 2 == 0 else "absent",
                       base_version=V0 if n % 2 == 0 else 0)
        client.ask("idle", 0)  # the items have been taken
        before = time.monotonic()
        merger.send()
        result, _, outcomes = merger.answer()
        took += time.monotonic() - before
        assert result == "ok" and {outcome for outcome, _ in outcomes} == {"applied"}
    print(f"{count} items in batches of {size}: {took:.1f} s")
    assert database.execute("SELECT count(*) FROM respgres.entries WHERE version = %s", W) == [
        (count,)]
    assert took < 60
