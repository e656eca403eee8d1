"""Sets, by redis-py: what they are as values and as rows, chance, and cursors. What each command answers is
compared with Redis in test_collections_differential.py."""

import collections
import threading

import pytest
import redis


@pytest.fixture(scope="module")
def home(module_lab):
    return module_lab.database()


@pytest.fixture(scope="module")
def server(request, module_lab, home):
    if request.config.getoption("--against") == "redis":
        return module_lab.redis()
    return module_lab.respgres(home)


@pytest.fixture
def client(server):
    client = server.client()
    client.flushall()
    return client


def test_members(client):
    assert client.sadd("s", "a", "b", "a") == 2
    assert client.sadd("s", "b") == 0
    assert client.smembers("s") == {b"a", b"b"}
    assert client.sismember("s", "a") and not client.sismember("s", "x")
    assert client.execute_command("SMISMEMBER", "s", "x", "b") == [0, 1]
    assert client.srem("s", "a", "x", "b") == 2
    assert client.exists("s") == 0


def test_integers_are_in_order_up_to_512(client):
    client.sadd("s", *range(511, -1, -1))
    assert client.object("encoding", "s") == b"intset"
    assert client.execute_command("SRANDMEMBER", "s", 1)[0].isdigit()
    assert [int(m) for m in client.sscan("s", count=1)[1]] == list(range(512))
    client.sadd("s", 512)
    assert client.object("encoding", "s") == b"hashtable"
    assert {int(m) for m in client.smembers("s")} == set(range(513))


def test_algebra(client):
    client.sadd("a", 1, 2, 3, 4)
    client.sadd("b", 3, 4, 5)
    client.sadd("c", 4)
    assert client.sinter("a", "b", "c") == {b"4"}
    assert client.sunion("a", "c", "none") == {b"1", b"2", b"3", b"4"}
    assert client.sdiff("a", "b", "none") == {b"1", b"2"}
    assert client.execute_command("SINTERCARD", 2, "a", "b", "LIMIT", 1) == 1
    client.expire("c", 100)
    assert client.sunionstore("c", "a", "b") == 5
    assert client.ttl("c") == -1
    assert client.sinterstore("c", "a", "none") == 0
    assert client.exists("c") == 0
    assert client.smove("a", "b", 1) and client.smembers("b") == {b"1", b"3", b"4", b"5"}
    client.set("str", "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.sunion("a", "str")
    assert client.sdiffstore("str", "a", "b") == 1  # whatever it held before
    assert client.type("str") == b"set"


def test_every_member_is_drawn_alike(client):
    """A set of 20 drawn 3000 times: 150 each, and 5 standard deviations of 12 about it."""
    for members in (range(20), "abcdefghijklmnopqrst"):
        client.delete("s")
        client.sadd("s", *members)
        drawn = collections.Counter(client.execute_command("SRANDMEMBER", "s", -3000))
        assert len(drawn) == 20
        assert all(90 <= n <= 210 for n in drawn.values()), drawn
        pipe = client.pipeline(transaction=False)
        for _ in range(600):
            pipe.srandmember("s", 5)
        some = pipe.execute()
        assert all(len(set(five)) == 5 for five in some)
        drawn = collections.Counter(m for five in some for m in five)
        assert all(90 <= n <= 210 for n in drawn.values()), drawn


def test_spop(client):
    client.sadd("s", *range(100))
    one = client.spop("s")
    some = client.spop("s", 90)
    assert len(set(some)) == 90 and one not in some
    rest = client.smembers("s")
    assert len(rest) == 9 and rest.isdisjoint(some)
    assert set(client.spop("s", 100)) == rest
    assert client.exists("s") == 0
    assert client.spop("s") is None


def test_a_walk_sees_what_stays(client):
    client.sadd("s", *[f"m{i}" for i in range(1000)])
    seen = collections.Counter()
    cursor, n = client.sscan("s", 0, count=20)
    seen.update(n)
    step = 0
    while cursor:
        client.srem("s", *[f"m{i}" for i in range(2 * step, 1000, 100) if i % 2 == 0])
        client.sadd("s", f"new{step}")
        cursor, n = client.sscan("s", cursor, count=20)
        seen.update(n)
        step += 1
    assert all(seen[b"m%d" % i] >= 1 for i in range(1, 1000, 2))
    assert set(client.sscan_iter("s", match="m*1", count=100)) == {
        b"m%d" % i for i in range(1, 1000, 10)}


@pytest.mark.rows
def test_a_cursor_is_good_at_every_instance(lab, database):
    clients = [lab.respgres(database).client() for _ in range(2)]
    clients[0].sadd("s", *[f"m{i}" for i in range(500)])
    clients[0].zadd("z", {f"m{i}": i for i in range(500)})
    for walk in ("sscan", "zscan"):
        seen, cursor, turn = [], 0, 0
        while turn == 0 or cursor != 0:
            cursor, page = getattr(clients[turn % 2], walk)(walk[0], cursor, count=10)
            seen += [member[0] if walk == "zscan" else member for member in page]
            turn += 1
        assert turn > 20
        assert sorted(seen) == sorted(b"m%d" % i for i in range(500))


@pytest.mark.rows
def test_its_row(lab, database):
    client = lab.respgres(database, decode="*").client()
    client.sadd("s", "b", "a", "10", "9")
    assert database.execute("SELECT type, doc::text FROM respgres.entries WHERE key = 's'") == [
        (2, '["10", "9", "a", "b"]')]


@pytest.mark.rows
def test_two_instances_add_and_take_each_member_once(lab, database):
    servers = [lab.respgres(database), lab.respgres(database)]
    added = [0] * 4
    taken = [[] for _ in range(4)]

    def work(number):
        client = servers[number % 2].client()
        for i in range(60):
            added[number] += client.sadd("s", i)
        barrier.wait()
        while (member := client.spop("s")) is not None:
            taken[number].append(int(member))

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(added) == 60
    assert sorted(m for mine in taken for m in mine) == list(range(60))
