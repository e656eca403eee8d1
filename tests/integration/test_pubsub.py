"""Pub/sub: compared with redis-server; among instances; what becomes of slow subscribers, of outages, and
of what a user's rules take away (docs/pubsub.md)."""

import random
import socket
import threading
import time

import pytest

from harness import encode, wait_until
from harness.lab import a_lab
from harness.pooled import PooledLab
from rules import bulk, number, stat, stats

pytestmark = pytest.mark.rows  # two servers of our own and one of theirs, whatever --against says

TIMEOUT_MS = 10000  # pg-timeout: no outage for want of a processor
WORD = random.SystemRandom().randbytes(4).hex()  # channels of this run


# --- helpers --------------------------------------------------------------------------------------

def confirmation(kind, name, count, sign=b"*"):
    return sign + b"3\r\n" + bulk(kind) + (bulk(name) if name is not None else b"$-1\r\n") + number(count)


def message(channel, text, sign=b"*"):
    return sign + b"3\r\n" + bulk(b"message") + bulk(channel) + bulk(text)


def subscriber(server, *channels, command=b"SUBSCRIBE", timeout=30):
    """A raw client that subscribes, and has been told so."""
    raw = server.raw(timeout)
    raw.send(encode(command, *channels))
    for _ in channels:
        assert raw.reply().startswith(b"*3\r\n" + bulk(command.lower()))
    return raw


def texts(raw, count):
    """The texts of the next messages."""
    return [message_text(raw.reply()) for _ in range(count)]


def message_text(reply):
    return reply[:-2].split(b"\r\n", reply.count(b"\r\n"))[-1]


@pytest.fixture(scope="module")
def shared_database(module_lab):
    return module_lab.database()


@pytest.fixture(scope="module")
def shared_fleet(module_lab, shared_database):
    return [module_lab.respgres(shared_database, pg_timeout=TIMEOUT_MS) for _ in range(3)]


@pytest.fixture
def fleet(shared_fleet):
    for server in shared_fleet:
        assert server.is_running()
    return shared_fleet


@pytest.fixture(scope="module")
def shared_both(module_lab):
    return (module_lab.redis(), module_lab.respgres(module_lab.database(), pg_timeout=TIMEOUT_MS))


@pytest.fixture(autouse=True)
def nobody_is_left(request):
    """A test that failed leaves no subscriber to the next."""
    yield
    if "shared_both" in request.fixturenames:
        for server in request.getfixturevalue("shared_both"):
            server.client().execute_command("CLIENT KILL TYPE pubsub")


# --- as Redis ------------------------------------------------------------------------------------

def conversation(server, steps):
    """Each step is sent when the one before has been answered; a marker command shows where its answers
    end. Steps are bytes, or (bytes, number of replies) where nothing may be asked in between."""
    answers = []
    with server.raw() as raw:
        for step in steps:
            words, count = step if isinstance(step, tuple) else (step, 1)
            raw.send(words + b"\r\n")
            answers.append([raw.reply() for _ in range(count)])
    return answers


CONVERSATIONS = {
    "resp2": [
        (b"SUBSCRIBE a b a", 3), (b"PSUBSCRIBE a* ?", 2), (b"SSUBSCRIBE s t s", 3), b"PING", b"PING hello",
        b"PING a b", b"GET x", b"CLIENT LIST", b"CONFIG GET foo", b"EXEC", b"MULTI", b"HELLO 3", b"nosuch",
        b"SUBSCRIBE", b"MONITOR", b"PUBLISH a x", b"PUBSUB CHANNELS", b"UNSUBSCRIBE none",
        b"PUNSUBSCRIBE none", b"SUNSUBSCRIBE t", b"UNSUBSCRIBE a", b"PUNSUBSCRIBE ?", b"UNSUBSCRIBE",
        b"SUNSUBSCRIBE", b"GET x", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"GET x", b"UNSUBSCRIBE",
        (b"UNSUBSCRIBE a b", 2), b"SUNSUBSCRIBE"],
    "resp3": [
        b"HELLO 3", b"CLIENT TRACKINGINFO", (b"SUBSCRIBE a", 1), (b"PUBLISH a hi", 2),
        (b"PSUBSCRIBE a* b*", 2), (b"PUBLISH a \"\"", 3), b"PING", b"PING x", b"GET none",
        (b"SSUBSCRIBE s", 1), (b"SPUBLISH s hi", 2), b"PUBLISH s hi", b"UNSUBSCRIBE", b"SUNSUBSCRIBE",
        (b"PUBLISH a hi", 2), b"RESET", b"PUBLISH a hi", b"GET none"],
    "block": [
        b"MULTI", b"SUBSCRIBE b", b"PING", b"SET k v", b"GET k", b"PSUBSCRIBE b*", b"UNSUBSCRIBE b",
        b"EXEC", b"ECHO", b"PING", b"GET k"],
    "block-refuses": [
        b"MULTI", b"SSUBSCRIBE s t", b"SUNSUBSCRIBE s", b"SUNSUBSCRIBE", b"MONITOR", b"SPUBLISH s x", b"SET k v",
        b"EXEC", b"GET k", b"PUBSUB SHARDCHANNELS", b"SPUBLISH s x", b"HELLO 3", b"MULTI", b"SSUBSCRIBE s",
        b"MONITOR", b"SUBSCRIBE a", b"PSUBSCRIBE a*", b"UNSUBSCRIBE a", b"SET k v", b"EXEC", b"GET k",
        b"PUBSUB SHARDCHANNELS", b"PUNSUBSCRIBE", b"GET k"],
    "reset": [
        (b"SUBSCRIBE a b", 2), (b"PSUBSCRIBE *", 1), b"RESET", b"PUBLISH a x", b"PUBSUB NUMPAT",
        b"PUBSUB CHANNELS"],
    "quiet": [
        (b"CLIENT REPLY OFF\r\nSUBSCRIBE a", 1), (b"PUBLISH a x\r\nUNSUBSCRIBE a", 1),
        b"PUBLISH a x\r\nCLIENT REPLY ON", (b"CLIENT REPLY SKIP\r\nSUBSCRIBE a", 1), b"PING",
        b"UNSUBSCRIBE"],
    "pubsub": [
        b"PUBSUB CHANNELS", b"PUBSUB CHANNELS x*", b"PUBSUB CHANNELS a b", b"PUBSUB NUMSUB",
        b"PUBSUB NUMSUB a b a", b"PUBSUB NUMPAT", b"PUBSUB NUMPAT x", b"PUBSUB SHARDCHANNELS",
        b"PUBSUB SHARDCHANNELS a b", b"PUBSUB SHARDNUMSUB", b"PUBSUB SHARDNUMSUB a", b"PUBSUB HELP",
        b"PUBSUB HELP x", b"PUBSUB nosuch", b"PUBSUB", b"PUBLISH a", b"PUBLISH a b c", b"SPUBLISH a",
        b"PUBLISH a b", b"SPUBLISH a b", b"CLIENT KILL TYPE pubsub", b"CLIENT LIST TYPE pubsub",
        b"COMMAND GETKEYS SPUBLISH a b", b"COMMAND GETKEYS SUBSCRIBE a",
        b"COMMAND INFO publish subscribe psubscribe unsubscribe punsubscribe spublish ssubscribe"
        b" sunsubscribe pubsub|numsub pubsub|help pubsub|channels",
        b"ACL CAT pubsub"],
    "one-channel-in-detail": [
        (b"SUBSCRIBE a", 1), b"SUBSCRIBE a", b"UNSUBSCRIBE a", b"UNSUBSCRIBE a", b"PING"],
}


def comparable(answer):
    """The order within a long list is nobody's promise."""
    return [sorted(reply.split(b"\r\n")) if reply.count(b"\r\n") > 24 else reply for reply in answer]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_as_redis(shared_both, name):
    """Whoever ends all subscriptions is told of one after the other in no order of Redis': so there is
    one of each kind left then."""
    theirs, ours = (conversation(server, CONVERSATIONS[name]) for server in shared_both)
    for step, expected, got in zip(CONVERSATIONS[name], theirs, ours):
        if step == b"HELLO 3" and name in ("resp3", "block-refuses"):
            continue  # it tells the number of the connection
        assert comparable(got) == comparable(expected), step


def test_messages_reach_their_subscribers(shared_both):
    """The channel's first, then those of patterns, in whichever order; each with its form."""
    got = []
    for server in shared_both:
        plain, pattern = subscriber(server, "news"), subscriber(server, "n*s", "n?ws", command=b"PSUBSCRIBE")
        shard, other = subscriber(server, "news", command=b"SSUBSCRIBE"), subscriber(server, "new")
        client = server.client()
        binary = bytes(range(256))
        counts = [client.publish("news", binary), client.publish("nows", ""), client.publish("none", "x"),
                  client.execute_command("SPUBLISH", "news", "to the shard")]
        answers = [plain.reply(), sorted(pattern.reply() for _ in range(4)), shard.reply()]
        for raw in (plain, pattern, shard, other):
            raw.send(encode("PING"))
            answers.append(raw.reply())  # nothing before it
            raw.close()
        got.append((counts, answers))
    assert got[0] == got[1]
    assert got[1][0] == [3, 2, 0, 1]


def test_numbers_of_subscriptions(shared_both):
    got = []
    for server in shared_both:
        raws = [subscriber(server, "a", "b"), subscriber(server, "a"),
                subscriber(server, "p*", "q*", command=b"PSUBSCRIBE"),
                subscriber(server, "p*", command=b"PSUBSCRIBE"),
                subscriber(server, "s", command=b"SSUBSCRIBE")]
        client = server.client()
        found = [sorted(client.pubsub_channels()), client.pubsub_numsub("a", "b", "c"),
                 client.pubsub_numpat(), client.execute_command("PUBSUB SHARDCHANNELS"),
                 client.execute_command("PUBSUB SHARDNUMSUB", "s", "a")]
        info = client.info("stats")
        found += [info[name] for name in ("pubsub_channels", "pubsub_patterns")]
        found.append(sorted(tuple(c[word] for word in ("sub", "psub", "ssub", "flags"))
                            for c in client.client_list(_type="pubsub")))
        found.append(client.execute_command("CLIENT KILL TYPE pubsub"))
        for raw in raws:
            assert raw.is_closed()
        wait_until(lambda c=client: c.pubsub_channels() == [] and c.pubsub_numpat() == 0)
        got.append(found)
    assert got[0] == got[1]
    assert got[1][-1] == 5 and got[1][0] == [b"a", b"b"]


def test_a_pipeline_keeps_its_order(shared_both):
    """What stands behind SUBSCRIBE is read by a client that subscribes; PUBLISH goes out when the writes
    before it are visible."""
    for server in shared_both:
        with server.raw() as raw:
            raw.send(b"SET a 1\r\nSUBSCRIBE x\r\nGET a\r\nPING\r\nUNSUBSCRIBE x\r\nGET a\r\n")
            assert raw.reply() == b"+OK\r\n"
            assert raw.reply() == confirmation(b"subscribe", b"x", 1)
            assert raw.reply().startswith(b"-ERR Can't execute 'get'")
            assert raw.reply() == b"*2\r\n" + bulk(b"pong") + bulk(b"")
            assert raw.reply() == confirmation(b"unsubscribe", b"x", 0)
            assert raw.reply() == bulk(b"1")


def test_a_block_publishes_if_it_ran(shared_both):
    for server in shared_both:
        raw = subscriber(server, "block")
        client = server.client()
        with client.pipeline() as block:
            block.watch("watched")
            client.set("watched", "changed")
            block.multi()
            block.publish("block", "must not be seen")
            with pytest.raises(Exception):
                block.execute()
        with client.pipeline() as block:
            block.set("k", "v").publish("block", "1").publish("block", "2").lpush("k", "wrong type")
            assert block.execute(raise_on_error=False)[1:3] == [1, 1]
        client.publish("block", "3")
        assert texts(raw, 3) == [b"1", b"2", b"3"]
        raw.close()


def test_publish_while_writes_are_paused(shared_both):
    for server in shared_both:
        raw = subscriber(server, "paused")
        client = server.client()
        client.execute_command("CLIENT PAUSE", 60000, "WRITE")
        with server.raw() as publisher:
            publisher.send(encode("PUBLISH", "paused", "x"))
            wait_until(lambda c=client: c.info("clients")["blocked_clients"] == 1)
            client.execute_command("CLIENT UNPAUSE")
            assert publisher.reply() == b":1\r\n"
        assert texts(raw, 1) == [b"x"]
        raw.close()


def test_rules_about_channels(shared_both):
    """A pattern is compared with the rules as it stands. A user who loses a channel loses the connections
    that subscribe to it."""
    got = []
    for server in shared_both:
        client = server.client()
        client.execute_command("ACL LOG", "RESET")
        client.execute_command("ACL SETUSER", "ann", "reset", "on", "nopass", "+@all", "~*", "resetchannels",
                               "&news.*", "&open")
        found = []

        def ann(*words, server=server, found=found):
            raw = server.raw()
            raw.command("AUTH", "ann", "x")
            found.append(raw.command(*words))
            return raw

        for words in (("SUBSCRIBE", "news.a", "secret"), ("PSUBSCRIBE", "news.a*"), ("PUBLISH", "secret", "x"),
                      ("SPUBLISH", "secret", "x"), ("SSUBSCRIBE", "x"), ("PUBLISH", "open", "x")):
            ann(*words).close()
        raws = [ann("SUBSCRIBE", "news.a"), ann("PSUBSCRIBE", "news.*"), ann("SSUBSCRIBE", "open")]
        client.execute_command("ACL SETUSER", "ann", "&more")
        for raw in raws:
            found.append(raw.command("PING"))
        client.execute_command("ACL SETUSER", "ann", "resetchannels", "&open")
        assert raws[0].is_closed() and raws[1].is_closed()
        found.append(raws[2].command("PING"))
        found.append([(entry["reason"], entry["object"]) for entry in client.acl_log()])
        client.execute_command("ACL DELUSER", "ann")
        assert raws[2].is_closed()
        got.append(found)
    assert got[0] == got[1]


# --- slow subscribers -----------------------------------------------------------------------------

def slow_subscriber(server, channel):
    raw = server.raw()
    raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.send(encode("SUBSCRIBE", channel))
    assert raw.reply().startswith(b"*3\r\n$9\r\nsubscribe")
    return raw


def test_the_hard_limit_of_subscribers(shared_both):
    for server in shared_both:
        client = server.client()
        client.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
        raw = slow_subscriber(server, "slow")
        other = subscriber(server, "slow-not")
        text = b"x" * 100000
        wait_until(lambda c=client, t=text: c.publish("slow", t) == 0, 30)
        assert [c["sub"] for c in client.client_list(_type="pubsub")] == ["1"]
        raw.close()
        other.close()
        client.config_set("client-output-buffer-limit", "pubsub 32mb 8mb 60")


def test_the_soft_limit_of_subscribers(shared_both):
    """It is closed only when it has been beyond the soft limit for longer than the seconds."""
    for server in shared_both:
        client = server.client()
        client.config_set("client-output-buffer-limit", "pubsub 0 100kb 1")
        raw = slow_subscriber(server, "slow")
        began = time.monotonic()
        for _ in range(60):  # beyond it after the first that the kernel does not take
            if client.publish("slow", b"x" * 100000) == 0:
                break
        wait_until(lambda c=client: c.client_list(_type="pubsub") == [], 30)
        assert time.monotonic() - began > 0.9
        raw.close()
        client.config_set("client-output-buffer-limit", "pubsub 32mb 8mb 60")


def test_limits_in_the_configuration(shared_both):
    """Classes that are not named keep what they have."""
    name = "client-output-buffer-limit"
    got = []
    for server in shared_both:
        client = server.client()
        found = []
        for value in ("normal 1mb 2mb 3", "pubsub 7k 6k 5", "replica 1 2 3 normal 4mb 5mb 6", "normal 1 2",
                      "foo 1 2 3", "normal x 2 3", "normal 1 2 -3", "", "pubsub 33554432 8388608 60",
                      "normal 0 0 0 slave 268435456 67108864 60"):
            try:
                found.append(client.config_set(name, value))
            except Exception as error:  # pylint: disable=broad-except
                found.append(str(error))
            found.append(client.config_get(name))
        got.append(found)
    assert got[0] == got[1]


# --- among instances ------------------------------------------------------------------------------

def test_every_instance_is_reached(fleet):
    channel = "every-" + WORD
    raws = [subscriber(server, channel) for server in fleet]
    pattern = subscriber(fleet[1], "every-*", command=b"PSUBSCRIBE")
    shard = subscriber(fleet[2], channel, command=b"SSUBSCRIBE")
    for i, server in enumerate(fleet):
        assert server.client().publish(channel, f"from {i}") == (2 if i == 1 else 1)
    for raw in raws:
        assert sorted(texts(raw, 3)) == [b"from 0", b"from 1", b"from 2"]
    assert sorted(texts(pattern, 3)) == [b"from 0", b"from 1", b"from 2"]
    fleet[0].client().execute_command("SPUBLISH", channel, "to the shard")
    assert shard.reply() == b"*3\r\n" + bulk(b"smessage") + bulk(channel) + bulk(b"to the shard")
    for raw in (*raws, pattern):  # no doubles, and nothing of the shard's
        raw.send(encode("PING"))
        assert raw.reply().startswith(b"*2\r\n$4\r\npong")
        raw.close()
    shard.close()


def test_a_confirmed_subscription_hears_what_follows(fleet):
    """Without a pause: the confirmation waits until the others know."""
    for i in range(10):
        raw = subscriber(fleet[i % 3], f"at-once-{WORD}-{i}")
        fleet[(i + 1) % 3].client().publish(f"at-once-{WORD}-{i}", i)
        assert texts(raw, 1) == [b"%d" % i]
        raw.close()


def test_any_bytes_of_any_size(fleet, seed):
    """Beyond what a NOTIFY can carry, too, and in order all the same."""
    dice = random.Random(seed)
    channel = bytes(range(256)) + WORD.encode()
    raw = subscriber(fleet[0], channel)
    sent = [dice.randbytes(n) for n in (0, 1, 100, 5600, 5900, 6000, 8000, 70000, 10, 3_000_000, 7, 0, 6001)]
    sent += [b"same"] * 5
    client = fleet[1].client()
    with client.pipeline(transaction=False) as pipe:
        for text in sent:
            pipe.publish(channel, text)
        pipe.execute()
    for text in sent:
        assert raw.reply() == message(channel, text)
    long_name = b"c" * 9000
    raw.send(encode("SUBSCRIBE", long_name))
    raw.reply()
    client.publish(long_name, "x")
    assert raw.reply() == message(long_name, b"x")
    raw.close()


def test_what_a_subscriber_reads_is_written(fleet):
    """SET, then PUBLISH, in one pipeline: who hears of it reads it, on any instance."""
    channel = "written-" + WORD
    raw = subscriber(fleet[1], channel)
    publisher, reader = fleet[0].client(), fleet[1].client()
    for i in range(20):
        with publisher.pipeline(transaction=i % 2 == 0) as pipe:
            pipe.set("written", i).publish(channel, i).execute()
        assert texts(raw, 1) == [b"%d" % i]
        assert reader.get("written") == b"%d" % i
    raw.close()


def test_a_block_that_runs_again_publishes_once(fleet):
    """Two instances count one key in blocks that are rejected and run again, and tell."""
    channel = "again-" + WORD
    raw = subscriber(fleet[2], channel, timeout=60)
    count = 60

    def work(server, name):
        client = server.client(socket_timeout=60)
        for i in range(count):
            with client.pipeline() as block:
                block.incr("again").publish(channel, f"{name}-{i}").execute()

    fleet[0].client().delete("again")
    before = sum(stat(server, "postgres_rejected_items") for server in fleet[:2])
    workers = [threading.Thread(target=work, args=(server, name)) for server, name in zip(fleet, "abd")]
    workers.append(threading.Thread(target=work, args=(fleet[1], "c")))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    heard = texts(raw, count * len(workers))
    raw.send(encode("PING"))
    assert raw.reply().startswith(b"*2\r\n$4\r\npong"), "no more than that"
    raw.close()
    assert int(fleet[0].client().get("again")) == len(heard)
    assert sum(stat(server, "postgres_rejected_items") for server in fleet[:2]) > before, "none ran again"


class Publisher(threading.Thread):
    """Numbers its messages; some are too long for a NOTIFY."""

    def __init__(self, server, channel, name, count, dice):
        super().__init__()
        self.server, self.channel, self.name_, self.count, self.dice = server, channel, name, count, dice

    def run(self):
        client = self.server.client(socket_timeout=60)
        sent = 0
        while sent < self.count:
            burst = min(self.dice.choice((1, 3, 30)), self.count - sent)
            with client.pipeline(transaction=False) as pipe:
                for i in range(sent, sent + burst):
                    pad = "x" * self.dice.choice((0, 10, 10, 10, 9000))
                    pipe.publish(self.channel, f"{self.name_} {i} {pad}")
                pipe.execute()
            sent += burst


def order_under_load(fleet, count, seed):
    channel = "order-" + WORD
    dice = random.Random(seed)
    raws = [subscriber(server, channel, timeout=60) for server in fleet]
    publishers = [Publisher(fleet[i % len(fleet)], channel, f"p{i}", count, random.Random(dice.random()))
                  for i in range(5)]
    for server in fleet:  # they are read one after the other
        server.client().config_set("client-output-buffer-limit", "pubsub 0 0 0")
    for publisher in publishers:
        publisher.start()
    for raw in raws:
        heard = {}
        for text in texts(raw, count * len(publishers)):
            name, i, _ = text.split(b" ")
            assert int(i) == heard.get(name, -1) + 1, f"{name} {i} behind {heard.get(name)}"
            heard[name] = int(i)
        assert heard == {p.name_.encode(): count - 1 for p in publishers}
        raw.close()
    for publisher in publishers:
        publisher.join()
    for server in fleet:
        server.client().config_set("client-output-buffer-limit", "pubsub 32mb 8mb 60")


def test_each_publisher_keeps_its_order(fleet, seed):
    lost = [stat(server, "postgres_messages_lost") for server in fleet]
    order_under_load(fleet, 300, seed)
    assert [stat(server, "postgres_messages_lost") for server in fleet] == lost
    sent = stats(fleet[0])
    assert sent["postgres_messages_batches"] < sent["postgres_messages_sent"]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_publisher_keeps_its_order_for_long(fleet, seed):
    order_under_load(fleet, 5000, seed)


def listeners(database):
    return {row[0] for row in database.postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE '%% listen-0'",
        database.name)}


def test_the_link_comes_and_goes(lab, database):
    """Nobody listens, nobody is told anything. The first subscriber brings the connection and the mark;
    some seconds after the last they are gone. A publisher connects to ask, and says nothing while nobody
    else subscribes."""
    one, two = (lab.respgres(database, pg_timeout=TIMEOUT_MS) for _ in range(2))
    assert listeners(database) == set()
    raw = subscriber(one, "a")
    assert len(listeners(database)) == 1
    assert database.execute("SELECT wants, caching FROM respgres.instances WHERE wants <> 0") == [(4, False)]
    assert database.execute("SELECT count(*) FROM respgres.fleet WHERE subscribed") == [(1,)]
    one.client().publish("a", "only here")
    assert texts(raw, 1) == [b"only here"]
    assert stat(one, "postgres_messages_sent") == 0
    two.client().publish("a", "from there")
    assert texts(raw, 1) == [b"from there"]
    assert len(listeners(database)) == 2
    raw.close()
    wait_until(lambda: listeners(database) == set(), 60, "the connections go")
    wait_until(lambda: database.execute("SELECT count(*) FROM respgres.instances WHERE wants <> 0") == [(0,)],
               what="and their marks")
    raw = subscriber(two, "a")
    one.client().publish("a", "again")
    assert texts(raw, 1) == [b"again"]
    raw.close()


def test_messages_in_the_table_are_swept(lab, database):
    one, two = (lab.respgres(database, pg_timeout=TIMEOUT_MS, sweep_interval=200) for _ in range(2))
    raw = subscriber(one, "a")
    two.client().publish("a", "x" * 20000)
    assert len(texts(raw, 1)[0]) == 20000
    assert database.execute("SELECT count(*), count(body) FROM respgres.messages") == [(1, 1)]
    database.execute("UPDATE respgres.messages SET at = at - interval '2 minutes'")
    wait_until(lambda: database.execute("SELECT count(*) FROM respgres.messages") == [(0,)], 30)
    raw.close()


def test_what_is_no_message_of_ours(fleet, shared_database):
    """Anybody may NOTIFY."""
    raw = subscriber(fleet[0], "sane")
    for payload in ("m", "m=", "mAAAA", "m" + "A" * 7000, "m!!!!", "mgarbage", "m" + "/" * 400, "x", ""):
        shared_database.execute("SELECT pg_notify('respgres', %s)", payload)
    fleet[1].client().publish("sane", "still")
    assert texts(raw, 1) == [b"still"]
    raw.close()


# --- outages --------------------------------------------------------------------------------------

def test_postgresql_goes_away(lab):
    """Within an instance messages go on; when PostgreSQL is back, among instances again, by themselves."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    one, two = (lab.respgres(database) for _ in range(2))
    raws = [subscriber(server, "a") for server in (one, two)]
    client = one.client()
    client.publish("a", "before")
    assert [texts(raw, 1) for raw in raws] == [[b"before"]] * 2
    postgres.kill9()
    wait_until(lambda: client.info("respgres")["store_state"] == "away", 20)
    assert client.publish("a", "meanwhile") == 1
    assert texts(raws[0], 1) == [b"meanwhile"]
    late = subscriber(two, "a")  # answered at once: there is nobody to be heard
    assert two.client().publish("a", "there") == 2
    assert texts(raws[1], 1) == texts(late, 1) == [b"there"]
    postgres.start()

    def reached():
        client.publish("a", "after")
        return stat(two, "postgres_messages_received") > received

    received = stat(two, "postgres_messages_received")
    wait_until(reached, 60, "messages arrive again", interval=0.2)
    assert message_text(raws[1].reply()) == b"after"
    for raw in (*raws, late):
        raw.close()


@pytest.mark.long
def test_a_large_message_takes_nothing_from_small_ones(lab):
    """While it is under way, and a second one behind it, what others publish waits, and is not dropped: neither for
    want of room nor because of the time that it takes."""
    base = lab.database()
    here, there = (lab.respgres(base, pg_timeout=TIMEOUT_MS) for _ in range(2))
    channel = WORD + "small"
    raw = subscriber(there, channel, timeout=120)
    done = threading.Event()

    def publish_large():
        with here.raw(300) as publisher:
            for _ in range(2):
                publisher.send(encode("PUBLISH", "large", b"x" * 70_000_000))
            for _ in range(2):
                assert publisher.reply().startswith(b":")
        done.set()

    c = here.client(socket_timeout=120)
    large = threading.Thread(target=publish_large)
    large.start()
    sent = 0
    while not done.is_set() or stat(there, "postgres_messages_by_reference_received") < 2:
        assert [stat(server, "postgres_messages_lost") for server in (here, there)] == [0, 0]
        c.publish(channel, f"{sent}")
        sent += 1
        time.sleep(0.01)
    large.join()
    assert texts(raw, sent) == [b"%d" % i for i in range(sent)]
    assert [stat(server, "postgres_messages_lost") for server in (here, there)] == [0, 0]
    raw.close()


def test_the_connection_is_lost(lab, database):
    one, two = (lab.respgres(database, pg_timeout=TIMEOUT_MS) for _ in range(2))
    raw = subscriber(one, "a")
    for pid in listeners(database):
        database.postgres.execute("SELECT pg_terminate_backend(%s)", pid)

    def reached():
        two.client().publish("a", "x")
        return stat(one, "postgres_messages_received") > 0

    wait_until(reached, 60, interval=0.2)
    assert message_text(raw.reply()) == b"x"
    raw.close()


def test_an_instance_is_killed(lab, database):
    """Its mark goes with its lease; the others are not disturbed."""
    one, two, three = (lab.respgres(database, pg_timeout=TIMEOUT_MS) for _ in range(3))
    raws = [subscriber(server, "a") for server in (one, two)]
    one.kill9()
    three.client().publish("a", "x")
    assert texts(raws[1], 1) == [b"x"]
    raws[1].close()


def test_a_clean_stop_sends_what_was_published(lab, database):
    one, two = (lab.respgres(database, pg_timeout=TIMEOUT_MS) for _ in range(2))
    raw = subscriber(one, "a")
    with two.raw() as publisher:
        publisher.send(b"".join(encode("PUBLISH", "a", i) for i in range(2000)))
        for _ in range(2000):
            assert publisher.reply() == b":0\r\n"
    two.sigterm()
    assert texts(raw, 2000) == [b"%d" % i for i in range(2000)]
    raw.close()


# --- behind a pooler ------------------------------------------------------------------------------

@pytest.fixture
def pooled(shared_postgres):
    yield from a_lab(shared_postgres, PooledLab)


def test_behind_a_pooler(pooled, seed):
    """Nobody can LISTEN there: messages come by the table, in order, of any size, and to those who can."""
    database = pooled.database()
    fleet = [pooled.respgres(database, pg_timeout=TIMEOUT_MS) for _ in range(2)]
    direct = pooled.respgres(database.url, pg_timeout=TIMEOUT_MS, pg_pooler="none")
    assert stats(direct)["postgres_lane_query-0"]
    order_under_load([*fleet, direct], 60, seed)
    wants = database.execute("SELECT wants FROM respgres.instances ORDER BY slot")
    assert wants == [(8,), (8,), (4,)]
