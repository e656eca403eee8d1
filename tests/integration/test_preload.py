"""What an instance knows when PostgreSQL goes away, of what others have done since it looked last. Two
instances; the second one, `b`, is cut off."""

import time

import pytest

from harness import later, wait_until
from harness.lane_proxy import LaneProxy

pytestmark = [pytest.mark.rows, pytest.mark.timeout(180)]

REAL, EMPTY, OTHER = b'{"username":"ada","cart":[1,2,3]}', b"{}", b'{"username":"bob"}'
MANY = 300  # newer keys, more than are looked at again because they may have been committed late


class Pair:
    """`a` is behind no proxy but its own; `b` has the lanes' one, too."""

    def __init__(self, lab, database):
        self.lab, self.database = lab, database
        self.links, self.servers = [], []

    def start(self, **options):
        options = {"pg_timeout": 10000, "preload": "yes", "preload_refresh": 1, **options}
        for name in "ab":
            link = self.lab.proxy(("127.0.0.1", self.lab.postgres_port(self.database)))
            link.lanes = LaneProxy(("127.0.0.1", link.port))
            self.links.append(link)
            server = self.lab.respgres(self.database.url_by(port=link.lanes.port),
                                       instance_name=name, **options)
            self.servers.append(server)
        return [server.client() for server in self.servers]

    def stop(self):
        for link in self.links:
            link.lanes.release_all()
            link.pass_on()
        for server in self.servers:
            if server.is_running():
                server.sigterm()
        for link in self.links:
            link.lanes.close()

    def info(self, number):
        return self.servers[number].info("postgres")

    def cut_off(self, *numbers):
        for number in numbers:
            self.links[number].refuse()
            self.links[number].cut()
        for number in numbers:
            wait_until(lambda n=number: self.info(n)["store_state"] == "away", 60, "it is away")

    def come_back(self, *numbers):
        for number in numbers:
            self.links[number].pass_on()
        for number in numbers:
            wait_until(lambda n=number: self.info(n)["store_state"] == "online", 60, "it is online")

    def later(self):
        """Returns when what comes now is later by both clocks."""
        later(*self.servers)

    def refreshed(self, number, entries=2 * MANY + 40):
        """Returns when all that was in memory has been compared again, several times over."""
        wait_until(lambda: self.info(number)["preload_state"] == "following", 60, "it follows")
        goal = self.info(number)["preload_refreshed"] + entries
        wait_until(lambda: self.info(number)["preload_refreshed"] >= goal, 60, "all is compared again")

    def loaded(self, keys, number):
        wait_until(lambda: self.info(number)["preload_keys"] >= keys, 60, "what others wrote is read")

    def conflicts(self):
        return sorted((bytes(key).decode(), reason, lost, bytes(value)) for key, reason, lost, value
                      in self.database.execute("SELECT key, reason, lost, value FROM respgres.conflicts"))


@pytest.fixture
def pair(lab, database):
    made = Pair(lab, database)
    yield made
    made.stop()


def many(client, name="other"):
    client.mset({f"{name}:{n}": "x" for n in range(MANY)})


# --- an absence is true only when it is told ------------------------------------------------------------

def absent(a, b):
    assert b.exists("s") == 0
    a.setex("s", 3600, REAL)


def deleted_elsewhere(a, b):
    a.setex("s", 3600, OTHER)
    assert b.get("s") == OTHER
    a.delete("s")
    absent(a, b)


def deleted_here(a, b):
    a.setex("s", 3600, OTHER)
    assert b.delete("s") == 1
    a.setex("s", 3600, REAL)


def missed_here(a, b):
    assert b.delete("s") == 0
    a.setex("s", 3600, REAL)


def prolonged_elsewhere(a, b):
    a.setex("s", 3, REAL)
    assert b.get("s") == REAL
    a.expire("s", 3600)


STORIES = [absent, deleted_elsewhere, deleted_here, missed_here, prolonged_elsewhere]


@pytest.mark.parametrize("story", [
    absent, deleted_here, prolonged_elsewhere,
    *(pytest.param(story, marks=pytest.mark.long) for story in (deleted_elsewhere, missed_here))])
def test_an_absence_is_read_again(pair, story):
    """It was remembered for good, and the session that had been made since was not to be had."""
    a, b = pair.start()
    many(a)
    story(a, b)
    pair.refreshed(1)
    pair.cut_off(1)
    assert b.get("s") == REAL
    assert 3000 < b.ttl("s") <= 3600


@pytest.mark.parametrize("story", STORIES)
def test_an_old_absence_destroys_nothing(pair, story):
    """With nobody reading it again. What the application writes that could not find its session does not
    replace it."""
    a, b = pair.start(preload="no")
    story(a, b)
    pair.cut_off(1)
    wait_until(lambda: b.get("s") is None, 30, "it is not to be had")
    assert b.setex("s", 3600, EMPTY)
    assert b.append("s", "!") == 3
    pair.servers[1].kill9()  # the journal says it as well
    pair.servers[1].options["pg-timeout"] = 1000  # for which it waits for PostgreSQL when it starts
    pair.servers[1].start("answering")
    wait_until(lambda: pair.info(1)["store_state"] == "away", 30, "it is away")
    b = pair.servers[1].client()
    assert b.setex("s", 3600, OTHER)
    pair.come_back(1)
    assert a.get("s") == b.get("s") == REAL
    assert pair.conflicts() == [("s", "unknown-base", "journal", OTHER)]


@pytest.mark.parametrize("end", [
    lambda a, b, db: b.delete("s"), lambda a, b, db: a.delete("s"), lambda a, b, db: b.pexpire("s", 1),
    lambda a, b, db: db.execute("DELETE FROM respgres.entries WHERE key = 's'")],
    ids=["deleted-here", "deleted-elsewhere", "expired", "deleted-by-sql"])
def test_what_is_absent_still_is_written(pair, end):
    """As based: neither what SQL has ended nor a tombstone stands in the way of a new session."""
    a, b = pair.start(preload="no", revoke_grace=0)
    a.setex("s", 3600, OTHER)
    assert b.get("s") == OTHER
    end(a, b, pair.database)
    wait_until(lambda: b.get("s") is None, 30, "it is gone")
    pair.cut_off(1)
    assert b.get("s") is None
    assert b.setex("s", 3600, REAL)
    pair.come_back(1)
    assert a.get("s") == REAL
    assert pair.conflicts() == []


def test_what_was_deleted_in_two_outages_is_written(pair):
    """The removal of the first one is merged, and what it left is what the second one is based on, also
    behind another removal."""
    a, b = pair.start(preload="no")
    pair.cut_off(1)
    assert b.delete("s") == 0
    pair.come_back(1)
    pair.cut_off(1)
    assert b.setex("s", 3600, OTHER)
    assert b.delete("s") == 1
    assert b.setex("s", 3600, REAL)
    pair.come_back(1)
    assert a.get("s") == REAL
    assert pair.conflicts() == []


def test_away_miss_error_and_what_was_absent(pair):
    """What PostgreSQL told to be absent may be there by now; what has ended here is as far as anybody knows."""
    _, b = pair.start(preload="no", away_miss="absent strict:* error")
    b.mset({"strict:deleted": 1, "strict:live": 1})
    b.set("strict:expired", 1, px=300)
    b.delete("strict:deleted")
    assert b.get("strict:told") is None
    pair.cut_off(1)
    assert b.get("strict:live") == b"1"
    assert b.get("strict:deleted") is None
    wait_until(lambda: b.get("strict:expired") is None, 30, "it has expired")
    for command in (("GET", "strict:told"), ("SETNX", "strict:told", 1), ("INCR", "strict:told")):
        with pytest.raises(Exception, match="not known here"):
            b.execute_command(*command)
    assert b.delete("strict:live") == 1
    assert b.get("strict:live") is None
    assert b.set("strict:told", 1)
    assert b.get("strict:told") == b"1"


# --- what is not known any more is read again -------------------------------------------------------------

@pytest.mark.parametrize("consistency", ["strict", pytest.param("cached", marks=pytest.mark.long)])
def test_a_second_outage_after_a_merge(pair, consistency):
    """Both have written all four: of two of them each has lost. Then nobody asked for them."""
    a, b = pair.start(consistency=consistency)
    for n in range(4):
        a.setex(f"s:{n}", 3600, OTHER)
    many(a)
    pair.loaded(4 + MANY, 1)
    pair.cut_off(0, 1)
    for n, clients in enumerate([(a, b), (b, a), (a, b), (b, a)]):
        for client in clients:
            client.setex(f"s:{n}", 3600, b"%d by %d" % (n, client is b))
            pair.later()
    pair.come_back(0, 1)
    time.sleep(1)  # what a cached instance has heard of needs no comparison, and nothing tells the end of that
    for number in 0, 1:
        pair.refreshed(number, 0 if consistency == "cached" else 2 * MANY + 40)
    time.sleep(3 if consistency == "cached" else 0)
    pair.cut_off(0, 1)
    for n in range(4):
        assert a.get(f"s:{n}") == b.get(f"s:{n}") == b"%d by %d" % (n, n % 2 == 0)
    assert {(key, reason) for key, reason, *_ in pair.conflicts()} == {
        (f"s:{n}", "both-changed") for n in range(4)}


def test_what_was_written_with_its_rows_locked(pair):
    a, b = pair.start()
    a.setex("s", 3600, OTHER)
    many(a)
    pair.loaded(1 + MANY, 1)
    block = b.pipeline()
    block.setex("s", 3600, REAL).dbsize()
    assert block.execute() == [True, 1 + MANY]
    pair.refreshed(1)
    pair.cut_off(1)
    assert b.get("s") == REAL


def test_what_another_has_changed(pair):
    """A cached instance was told, and nobody asked it for the key since."""
    a, b = pair.start(consistency="cached")
    a.setex("s", 3600, OTHER)
    assert b.get("s") == OTHER
    many(a)
    before = pair.info(1)["preload_refreshed"]
    a.setex("s", 3600, REAL)
    wait_until(lambda: pair.info(1)["preload_refreshed"] > before, 60, "it is compared again")
    time.sleep(2)
    pair.cut_off(1)
    assert b.get("s") == REAL


def test_keys_of_several_databases(pair):
    """The refresh took those of one database, and went past the others."""
    a, b = pair.start(databases=4)
    clients = [server.client(db=3) for server in pair.servers]
    for client in a, clients[0]:
        many(client)
        client.mset({f"s:{n}": OTHER for n in range(MANY)})
    pair.loaded(4 * MANY, 1)
    for client in a, clients[0]:
        client.mset({f"s:{n}": REAL for n in range(MANY)})
    pair.refreshed(1, 8 * MANY)
    pair.cut_off(1)
    for client in b, clients[1]:
        assert set(client.mget([f"s:{n}" for n in range(MANY)])) == {REAL}


def test_new_keys_whose_read_was_lost(pair):
    """They had been found, and PostgreSQL went before they were read; then others came."""
    a, b = pair.start(preload_refresh=3600)
    lanes = pair.links[1].lanes
    wait_until(lambda: pair.info(1)["preload_state"] == "following", 60, "it follows")
    first = lanes.hold("read-0", "respgres_read*", "request")
    a.mset({"s": REAL, **{f"with:{n}": "x" for n in range(MANY)}})
    first.wait()
    second = lanes.hold("read-0", "respgres_read*", "request")  # the last ones are read first
    first.release()
    second.wait()
    pair.cut_off(1)
    lanes.release_all()
    many(a, "later")
    pair.come_back(1)
    pair.loaded(1 + 2 * MANY, 1)
    pair.cut_off(1)
    assert b.get("s") == REAL
