"""Lists, by redis-py: what they are as values and as rows, and as queues of several instances. What
each command answers is compared with Redis in test_collections_differential.py."""

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


def test_both_ends(client):
    assert client.rpush("l", "b", "c") == 2
    assert client.lpush("l", "a") == 3
    assert client.lrange("l", 0, -1) == [b"a", b"b", b"c"]
    assert client.lpop("l") == b"a"
    assert client.rpop("l", 5) == [b"c", b"b"]
    assert client.exists("l") == 0
    assert client.lpop("l") is None
    assert client.type("l") == b"none"


def test_a_list_is_a_value_like_any_other(client):
    client.rpush("l", "a", b"\x00\xff", "")
    client.expire("l", 1000)
    client.rpush("l", "d")
    assert 990 < client.ttl("l") <= 1000  # a change keeps the expiry
    assert client.copy("l", "m")
    client.rename("l", "n")
    client.lset("n", 0, "changed")
    assert client.lrange("m", 0, -1) == [b"a", b"\x00\xff", b"", b"d"]
    assert client.lindex("n", 0) == b"changed"
    assert client.object("encoding", "m") == b"quicklist"
    assert client.type("m") == b"list"
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.get("m")
    client.set("s", "text")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.rpush("s", "x")
    assert list(client.scan_iter(_type="list")) in ([b"m", b"n"], [b"n", b"m"])


def test_a_long_list(client):
    n = 20_000
    client.rpush("l", *range(n))
    assert client.llen("l") == n
    assert client.lindex("l", 12_345) == b"12345"
    assert client.linsert("l", "before", "10000", "x") == n + 1
    assert client.lrange("l", 9_999, 10_001) == [b"9999", b"x", b"10000"]
    assert client.lpos("l", "19999") == n
    assert client.ltrim("l", 5_000, -5_001)
    assert client.llen("l") == n + 1 - 10_000
    assert client.lrem("l", 0, "x") == 1
    assert client.lrange("l", 0, -1) == [b"%d" % i for i in range(5_000, 15_000)]


def test_inside_multi_they_see_each_other(client):
    with client.pipeline(transaction=True) as p:
        p.rpush("q", "1", "2", "3").lmove("q", "done", "LEFT", "RIGHT").llen("q")
        p.rpoplpush("q", "q").lrange("q", 0, -1).delete("q").llen("q")
        assert p.execute() == [3, b"1", 2, b"3", [b"3", b"2"], 1, 0]
    assert client.lrange("done", 0, -1) == [b"1"]


def test_sort(client):
    client.rpush("l", "3", "10", "2")
    client.sadd("s", "b", "a", "c")
    client.zadd("z", {"x": 3, "y": 1, "w": 2})
    assert client.sort("l") == [b"2", b"3", b"10"]
    assert client.sort("l", desc=True, start=0, num=2) == [b"10", b"3"]
    assert client.sort("s", alpha=True) == [b"a", b"b", b"c"]
    assert client.sort("z", by="nosort", desc=True) == [b"x", b"w", b"y"]
    assert client.sort("l", alpha=True, store="d") == 3
    assert client.lrange("d", 0, -1) == [b"10", b"2", b"3"]
    with pytest.raises(redis.ResponseError, match="can't be converted into double"):
        client.sort("s")
    assert client.sort("none", store="d") == 0
    assert client.exists("d") == 0


@pytest.mark.rows
def test_its_row(lab, database):
    client = lab.respgres(database, decode="*").client()
    client.rpush("l", "text", b"\xff", "12")
    assert database.execute("SELECT type, doc->>0, doc->>2 FROM respgres.entries WHERE key = 'l'") == [
        (1, "text", "12")]


@pytest.mark.rows
def test_it_outlives_a_restart(lab, database):
    respgres = lab.respgres(database)
    respgres.client().rpush("l", *range(1000))
    respgres.restart()
    assert respgres.client().lrange("l", 0, -1) == [b"%d" % i for i in range(1000)]


# --- several instances ---------------------------------------------------------------------------

def in_threads(*functions):
    failures = []

    def run(f):
        try:
            f()
        except Exception as e:  # told by the test
            failures.append(e)

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []


@pytest.mark.rows
def test_two_instances_push_and_nothing_is_lost(lab, database):
    servers = [lab.respgres(database), lab.respgres(database)]
    each = 60

    def pusher(server, name):
        def push():
            client = server.client()
            for i in range(each):
                client.rpush("l", f"{name}:{i}")
        return push

    in_threads(*[pusher(servers[n % 2], n) for n in range(6)])
    elements = servers[0].client().lrange("l", 0, -1)
    assert elements == servers[1].client().lrange("l", 0, -1)
    for n in range(6):  # each one's in its order
        mine = [e for e in elements if e.startswith(b"%d:" % n)]
        assert mine == [b"%d:%d" % (n, i) for i in range(each)]
    assert len(elements) == 6 * each


@pytest.mark.rows
def test_a_queue_of_two_instances_gives_each_element_once(lab, database):
    servers = [lab.respgres(database), lab.respgres(database)]
    n = 200
    servers[0].client().rpush("q", *range(n))
    taken = [[] for _ in range(6)]

    def worker(number):
        def work():
            client = servers[number % 2].client()
            while (element := client.lmove("q", f"busy:{number}", "LEFT", "RIGHT")) is not None:
                taken[number].append(int(element))
                assert client.lpop(f"busy:{number}") == element
        return work

    in_threads(*map(worker, range(6)))
    assert sorted(e for mine in taken for e in mine) == list(range(n))
    for mine in taken:
        assert mine == sorted(mine)
    assert servers[0].client().dbsize() == 0
