"""When PostgreSQL counts as away: upon an outage and upon nothing else, and before a command's
pg-timeout has passed. (While it is away commands on keys are answered with -LOADING.)"""

import datetime
import re
import threading
import time

import pytest
import redis

from harness import wait_until
from harness.machine import Machine
from harness.store_client import StoreClient
from rules import Holder, lanes, send, stat, stats  # pylint: disable=unused-import


@pytest.fixture(autouse=True)
def nothing_but_postgresql(lab):
    """What is tested here is the PostgreSQL store by itself: while it is away there are errors."""
    lab.defaults["fallback"] = "off"


pytestmark = [pytest.mark.rows, pytest.mark.alone, pytest.mark.timeout(120)]

T = 2.0  # pg-timeout, seconds
OPTIONS = {"pg_timeout": int(T * 1000)}


@pytest.fixture
def own(lab):
    """A database of a cluster of this test's own."""
    return lab.own_postgres().create_database()


def state(server):
    return stat(server, "postgres_state")


def reason(server):
    return stat(server, "postgres_last_outage_reason")


def wait_state(server, wanted, timeout=30):
    wait_until(lambda: state(server) == wanted, timeout, f"it is {wanted}")


@pytest.fixture
def delays():
    """What of a time the machine itself took: bounds are beside that."""
    made = Machine().start()
    yield made
    made.stop()


class Watch:
    """Begins now. How long something takes that the server does, beside what the machine held it up."""

    def __init__(self, delays, server):
        self.delays, self.server = delays, server
        delays.follow(server, server.pid)
        self.began, self.began_at = time.monotonic(), time.time()

    def seconds(self):
        """Until now."""
        now = time.monotonic()
        return now - self.began - self.delays.held_up(self.server, self.began, now)

    def away(self):
        """Until it was away, by its log."""
        wait_state(self.server, "away")
        took = moment(self.server.log, "event=store-state from=online to=away") - self.began_at
        return took - self.delays.held_up(self.server, self.began, self.began + took)


class Traffic:
    """Clients that write and read keys of their own until stop(); how long each command took."""

    def __init__(self, server, clients=4):
        self.seconds, self.errors = [], []
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(server, n), daemon=True)
                         for n in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, server, number):
        client = server.client()
        while not self._ending.is_set():
            for command in (("SET", f"other-{number}", "v"), ("GET", f"other-{number}")):
                before = time.monotonic()
                try:
                    client.execute_command(*command)
                except redis.RedisError as error:
                    self.errors.append(error)
                self.seconds.append(time.monotonic() - before)

    def stop(self):
        self._ending.set()
        for thread in self._threads:
            thread.join(30)
        return self

    def percentile(self, percent):
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


# --- outages ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", (("SET", "k", "v"), ("GET", "k"), ("DBSIZE",)))
def test_a_frozen_server_is_away_before_a_command_gives_up(lab, own, delays, command):
    server = lab.respgres(own, **OPTIONS)
    server.client().set("k", "before")
    freezing = time.time()
    own.postgres.freeze()
    watch = Watch(delays, server)
    waiting = send(server, *command)
    if command[0] != "SET":
        assert waiting.reply().startswith(b"-")
        assert watch.seconds() < T
    assert watch.away() < T
    assert moment(server.log, "event=store-state from=online to=away") - freezing > 0.5 * T
    assert "silent" in reason(server)
    assert send(server, "GET", "other").reply().startswith(b"-LOADING")
    own.postgres.thaw()
    wait_state(server, "online")
    assert server.client().get("k") in (b"before", b"v")
    assert stat(server, "postgres_outages") == 1


def test_a_black_hole(lab, own, delays):
    proxy = lab.proxy(("127.0.0.1", own.postgres.port))
    server = lab.respgres(own.url_by(port=proxy.port), **OPTIONS)
    assert server.client().set("k", "v")
    proxy.blackhole()
    watch = Watch(delays, server)
    send(server, "SET", "k", "w")
    assert watch.away() < T
    proxy.pass_on()
    wait_state(server, "online")
    assert server.client().get("k") in (b"v", b"w")


def test_a_black_hole_behind_cut_connections(lab, own, delays):
    """Nothing is in flight on any connection, because there is none."""
    proxy = lab.proxy(("127.0.0.1", own.postgres.port))
    server = lab.respgres(own.url_by(port=proxy.port), **OPTIONS)
    assert server.client().set("k", "v")
    proxy.blackhole()
    proxy.cut()
    watch = Watch(delays, server)
    waiting = send(server, "GET", "k")
    assert watch.away() < T
    assert waiting.reply().startswith(b"-")
    proxy.pass_on()
    wait_state(server, "online")


def test_a_killed_server_is_away_at_once(lab, own, delays):
    server = lab.respgres(own, **OPTIONS)
    server.client().set("k", "v")
    watch = Watch(delays, server)
    own.postgres.kill9()
    assert watch.away() < T / 2 + 0.5
    own.postgres.start()
    wait_state(server, "online")
    assert server.client().get("k") == b"v"


@pytest.mark.parametrize("mode", ("fast", "immediate"))
def test_a_stopped_server(lab, own, delays, mode):
    server = lab.respgres(own, **OPTIONS)
    watch = Watch(delays, server)
    own.postgres.stop(mode)
    assert watch.away() < T / 2 + 1
    own.postgres.start()
    wait_state(server, "online")


# --- no outages -------------------------------------------------------------------------------------

@pytest.mark.parametrize("seconds", [2 * T, pytest.param(60, marks=pytest.mark.long)])
def test_a_row_that_is_held_for_seconds(lab, database, delays, seconds):
    server = lab.respgres(database, **OPTIONS)
    server.client().set("held", "v")
    with Holder(database, "held") as holder:
        traffic = Traffic(server)
        try:
            ended = time.monotonic() + seconds
            while time.monotonic() < ended:
                watch = Watch(delays, server)
                assert send(server, "SET", "held", "w").reply().startswith(b"-")
                assert watch.seconds() < T + 0.3
        finally:
            traffic.stop()
        holder.release()
    assert traffic.errors == []
    assert traffic.percentile(99) < T / 4
    assert state(server) == "online" and stat(server, "postgres_outages") == 0
    assert server.client().set("held", "x")


@pytest.mark.parametrize("lane", ("read-0", "commit-0", "query-0"))
def test_one_terminated_backend(lab, database, lane):
    server = lab.respgres(database, **OPTIONS)
    traffic = Traffic(server)
    try:
        for _ in range(3):
            lost = stat(server, "postgres_lost_connections")
            wait_until(lambda: database.postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND application_name LIKE %s", database.name, f"% {lane}"), 30,
                "there is one to end")
            wait_until(lambda before=lost: stat(server, "postgres_lost_connections") > before, 30, "it is lost")
            time.sleep(0.3)
    finally:
        traffic.stop()
    assert traffic.errors == []
    assert stats(server)["postgres_lost_connections"] >= 3
    assert stat(server, "postgres_outages") == 0


def test_a_slow_answer_of_a_server_that_lives(lab, database, lanes):
    """The probe finds it alive; the one lane is given up after pg-timeout, and nothing else."""
    server = lab.respgres(database.url_by(port=lanes.port), sweep_interval=60000, **OPTIONS)
    assert server.client().set("k", "v")
    gate = lanes.hold("commit-0", "respgres_commit*", "answer")
    waiting = send(server, "SET", "k", "w")
    gate.wait()
    wait_until(lambda: stat(server, "postgres_probes") >= 1, 30, "it has asked")
    assert server.client().get("other") is None
    waiting.reply()
    wait_until(lambda: stat(server, "postgres_lane_commit-0")["connects"] == 2, 30)
    assert state(server) == "online" and stat(server, "postgres_outages") == 0
    gate.release()
    assert server.client().get("k") == b"w"


def number_of_lanes(database):
    """Of the connections to a database; 0 while there are others, which go or have not said what they are."""
    names = [name.split(" ")[-1] for name, in database.postgres.execute(
        "SELECT application_name FROM pg_stat_activity WHERE datname = %s"
        " AND backend_type = 'client backend'", database.name)]
    known = {"read-0", "commit-0", "query-0"}
    return len(names) if {"read-0", "commit-0"} <= set(names) <= known and len(set(names)) == len(names) else 0


@pytest.mark.parametrize("large", (False, True))
def test_a_refused_extra_connection(lab, database, lanes, large):
    """The probe itself is refused: too many connections. Somebody says so: the server lives. With a
    large value the bulk lane does not come either, and the others work."""
    server = lab.respgres(database.url_by(port=lanes.port), sweep_interval=60000, **OPTIONS)
    assert server.client().set("k", "v")
    limit = wait_until(lambda: number_of_lanes(database), 30, "nothing but lanes is connected")
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT {limit}')
    if large:
        large = send(server, "SET", "large", "x" * 300_000)
        wait_until(lambda: "lane=commit-1" in server.log and "too many connections" in server.log, 30,
                   "the bulk lane is refused")
    gate = lanes.hold("commit-0", "respgres_commit*", "answer")
    began = time.monotonic()
    waiting = send(server, "SET", "k", "w")
    gate.wait()
    if large:
        time.sleep(0.8 * T)
    else:
        wait_until(lambda: stat(server, "postgres_probes") >= 2 or time.monotonic() - began >= T,
                   what="it has asked twice")
    gate.release()
    reply = waiting.reply()
    assert reply == b"+OK\r\n" or (time.monotonic() - began >= T
                                    and reply.startswith(b"-ERR PostgreSQL did not confirm"))
    assert state(server) == "online" and stat(server, "postgres_outages") == 0
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT -1')
    if large:
        large.reply()
        wait_until(lambda: stat(server, "postgres_lane_commit-1")["state"] == "idle", 30)
        assert server.client().set("large", "x" * 300_000)


def test_our_own_long_sleep_is_not_an_outage(lab, database):
    """What PostgreSQL has sent meanwhile is read before silence is believed."""
    server = lab.respgres(database, **OPTIONS)
    traffic = Traffic(server, clients=2)
    try:
        for _ in range(2):
            server.process.send_signal(19)  # SIGSTOP
            time.sleep(1.2 * T)
            server.process.send_signal(18)  # SIGCONT
            time.sleep(0.5)
    finally:
        traffic.stop()
    assert stat(server, "postgres_outages") == 0


# --- readable, but not writable ------------------------------------------------------------------

FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON respgres.{} FOR EACH ROW
EXECUTE FUNCTION full_disk();"""


@pytest.mark.parametrize("table", ("entries", "lanes"))
def test_a_full_disk(lab, database, table):
    server = lab.respgres(database, **OPTIONS)
    with StoreClient(database.url, **OPTIONS) as client:
        client.online()
        server.client().set("k", "v")
        database.execute(FULL.format(table))
        send(server, "SET", "k", "w")
        wait_until(lambda: stat(server, "postgres_outages") >= 1, 30, "it is away")
        assert "disk is full" in reason(server)
        wait_until(lambda: client.ask("idle", 0) == ["yes"])
        client.send("commit", 0, "k", "w")
        client.expect("state", "away")
        lane = client.ask("take", 0, answer="taken")[:4]
        assert client.ask("readable") == ["yes"]
        client.send("read", "k")
        assert client.expect("read")[::2] == ["ok", "v"]
        database.execute("DROP FUNCTION full_disk CASCADE")
        client.online()
        assert client.expect("settled", *lane) == ["1", "0", "0"]
        wait_state(server, "online")
        wait_until(lambda: server.client().get("k") in (b"v", b"w"))


def test_it_tries_less_and_less_often_whether_the_disk_is_full(lab, database):
    """The lane's own row can be written, the keys' cannot: each trial is twice as long."""
    server = lab.respgres(database, **OPTIONS)
    server.client().set("k", "v")
    database.execute(FULL.format("entries"))
    ended = time.monotonic() + 6
    while time.monotonic() < ended:
        send(server, "SET", "k", "w")
        time.sleep(0.05)
    assert 2 <= stat(server, "postgres_outages") <= 5
    database.execute("DROP FUNCTION full_disk CASCADE")
    wait_state(server, "online", 40)


def test_a_server_that_becomes_read_only(own):
    """Those that read stay, and come back when they are lost."""
    own.postgres.execute("SELECT 1")
    with StoreClient(own.url, **OPTIONS) as client:
        client.online()
        wait_until(lambda: client.ask("idle", 0) == ["yes"])
        client.send("commit", 0, "k", "v")
        assert client.expect("commit")[0] == "ok"
        own.postgres.configure(default_transaction_read_only="on")
        client.send("commit", 0, "k", "w")
        client.expect("state", "away")
        assert "read-only" in " ".join(client.ask("info", "postgres_last_outage_reason"))
        assert client.ask("readable") == ["yes"]
        client.send("read", "k")
        assert client.expect("read")[::2] == ["ok", "v"]
        own.postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                             " WHERE application_name LIKE '% read-0'")
        wait_until(lambda: client.ask("readable") == ["no"] or
                   "lane=read-0" in client.log)
        wait_until(lambda: client.ask("readable") == ["yes"], what="a read link is back")
        client.send("read", "k")
        assert client.expect("read")[::2] == ["ok", "v"]
        admin = own.postgres.connect(options="-c default_transaction_read_only=off")
        admin.cursor().execute("ALTER SYSTEM RESET default_transaction_read_only")
        admin.close()
        own.postgres.reload()
        client.online()
        assert client.expect("commit")[0] == "ok"  # nobody took it: it was sent again


def test_a_standby_is_read_and_nothing_else(lab):
    """The primary is gone, and where it was there is a server in recovery now."""
    primary = lab.own_postgres()
    database = primary.create_database()
    proxy = lab.proxy(("127.0.0.1", primary.port))
    with StoreClient(database.url_by(port=proxy.port), **OPTIONS) as client:
        client.online()
        wait_until(lambda: client.ask("idle", 0) == ["yes"])
        client.send("commit", 0, "k", "v")
        assert client.expect("commit")[0] == "ok"
        standby = lab.standby(primary)
        wait_until(lambda: standby.execute("SELECT count(*) FROM respgres.entries",
                                           dbname=database.name) == [(1,)])
        proxy.target = ("127.0.0.1", standby.port)
        proxy.cut()
        client.expect("state", "away")
        wait_until(lambda: client.ask("readable") == ["yes"], what="it can be read")
        client.send("read", "k")
        assert client.expect("read")[::2] == ["ok", "v"]
        proxy.target = ("127.0.0.1", primary.port)
        client.online()
        # The commit links came first; what read the standby has been replaced.
        assert "a server that can be written to" in client.log
        client.close()


# --- coming back --------------------------------------------------------------------------------------

def moment(text, pattern):
    """When the last line of a log was written that has the pattern, as time.time() counts."""
    when = re.findall(rf"^time=(\S+)Z .*{pattern}.*$", text, re.MULTILINE)[-1]
    return datetime.datetime.fromisoformat(when + "+00:00").timestamp()


def test_it_is_not_online_before_it_has_held_for_a_while(lab, own):
    server = lab.respgres(own, loglevel="verbose", **OPTIONS)
    own.postgres.kill9()
    wait_state(server, "away")
    own.postgres.start()
    wait_state(server, "online")
    usable = max(moment(server.log, "event=lane-ready lane=read-0"),
                 moment(server.log, "event=lane-ready lane=commit-0"))
    assert moment(server.log, "event=store-state from=away to=online") - usable >= 0.24


def test_every_change_is_logged_and_counted(lab, own):
    proxy = lab.proxy(("127.0.0.1", own.postgres.port))
    server = lab.respgres(own.url_by(port=proxy.port), **OPTIONS)
    assert stat(server, "postgres_last_outage_reason") == ""
    for number in range(1, 5):
        assert ("event=store-unsteady" in server.log) == (number > 4)
        proxy.refuse()
        proxy.cut()
        wait_state(server, "away")
        assert stat(server, "postgres_outages") == number
        if number == 1:
            wait_until(lambda: stat(server, "postgres_away_seconds") >= 1, 30)
        proxy.pass_on()
        wait_state(server, "online")
    assert "event=store-unsteady" in server.log
    assert len(re.findall(r"event=store-state from=online to=away why=", server.log)) == 4
    assert len(re.findall(r"event=store-state from=away to=online why=", server.log)) == 4
    assert reason(server) != ""
