"""SORT and SORT_RO with patterns that name keys: what they answer, compared with redis-server, and what is
promised of the keys that they name, which are no arguments: one snapshot, and a STORE that counts only
while they are what they were."""

import random
import threading

import pytest
import redis

from harness import wait_until
from rules import Threads, stat


@pytest.fixture(scope="module")
def both(module_lab):
    """respgres, and the real one."""
    return module_lab.respgres(module_lab.database(), pg_timeout=10_000), module_lab.redis()


@pytest.fixture
def ours(both):
    for server in both:
        server.client().flushall()
    return both[0].client()


def store_articles(client):
    client.rpush("ids", 3, 1, 2)
    client.mset({"weight_1": 30, "weight_2": 10, "weight_3": 20})
    for n in (1, 2):
        client.hset(f"object_{n}", mapping={"name": f"name {n}", "rank": 9 - n})


def test_by_and_get(ours):
    store_articles(ours)
    assert ours.sort("ids", by="weight_*") == [b"2", b"3", b"1"]
    assert ours.sort("ids", by="weight_*", desc=True, start=0, num=2) == [b"1", b"3"]
    assert ours.sort("ids", by="object_*->rank", get=["#", "object_*->name", "weight_*"]) == [
        b"3", None, b"20", b"2", b"name 2", b"10", b"1", b"name 1", b"30"]
    assert ours.sort("ids", by="nosort", get="object_*->name") == [None, b"name 1", b"name 2"]
    assert ours.execute_command("SORT_RO", "ids", "BY", "weight_*", "GET", "#") == [b"2", b"3", b"1"]
    assert ours.sort("ids", by="weight_*", get="object_*->name", store="names") == 3
    assert ours.lrange("names", 0, -1) == [b"name 2", b"", b"name 1"]


def test_ten_thousand_keys(ours):
    """A set, with a weight and an object for each member."""
    numbers = list(range(10_000))
    random.Random(1).shuffle(numbers)
    with ours.pipeline(transaction=False) as pipe:
        pipe.sadd("all", *range(10_000))
        for start in range(0, 10_000, 1000):
            pipe.mset({f"w{n}": numbers[n] for n in range(start, start + 1000)})
        pipe.execute()
    expected = sorted(range(10_000), key=lambda n: numbers[n])
    assert list(map(int, ours.sort("all", by="w*"))) == expected
    assert list(map(int, ours.sort("all", by="w*", get="w*", start=5000, num=3))) == [5000, 5001, 5002]
    assert ours.sort("all", by="w*", desc=True, store="sorted") == 10_000
    assert list(map(int, ours.lrange("sorted", 0, -1))) == expected[::-1]


def test_an_element_too_long_for_a_name(both, ours):
    """There can be no such key; nothing asks PostgreSQL for it, and nothing waits for it to stay absent."""
    for server in both:
        client = server.client()
        client.rpush("l", "x" * 3000, "a")
        client.mset({"w_a": -5, "k_a": "v"})
        assert client.sort("l", by="w_*", get=["k_*", "h_*->f"], store="out") == 4
        assert client.lrange("out", 0, -1) == [b"v", b"", b"", b""]
        assert client.sort("l", by="w_*", get="k_*") == [b"v", None]


def test_in_a_block(ours):
    """It sees what the block has written before, keys that it asks for are watched with the others, and
    what asks late sees what asked early."""
    store_articles(ours)
    with ours.pipeline() as pipe:
        pipe.set("weight_2", 99)
        pipe.sort("ids", by="weight_*", store="first")
        pipe.rpush("first", 4)
        pipe.set("weight_4", 0)
        pipe.sort("first", by="weight_*")
        pipe.incr("counted")
        pipe.sort("first", by="nosort", get="object_*->name")
        assert pipe.execute()[4:] == [[b"4", b"3", b"1", b"2"], 1, [None, b"name 1", b"name 2", None]]
    assert ours.get("counted") == b"1", "a run that asked for keys counted"


def test_in_a_block_with_a_query(ours):
    """The whole is a transaction of PostgreSQL's then; what was done before the keys were asked for is
    taken back."""
    store_articles(ours)
    with ours.pipeline() as pipe:
        pipe.incr("counted")
        pipe.dbsize()
        pipe.sort("ids", by="weight_*", get="object_*->name", store="names")
        pipe.dbsize()
        pipe.set("weight_2", 40)
        pipe.sort("ids", by="weight_*")
        assert pipe.execute() == [1, 7, 3, 8, True, [b"3", b"1", b"2"]]
    assert ours.get("counted") == b"1"


def test_a_watched_weight(both, ours):
    store_articles(ours)
    for changes in (True, False):
        with ours.pipeline() as pipe:
            pipe.watch("weight_1")
            if changes:
                both[0].client().set("weight_1", 31)
            pipe.multi()
            pipe.sort("ids", by="weight_*", store="out")
            if changes:
                with pytest.raises(redis.WatchError):
                    pipe.execute()
            else:
                assert pipe.execute() == [3]


def test_expired_weights_are_absent(ours):
    store_articles(ours)
    ours.set("weight_1", 30, px=1)
    wait_until(lambda: not ours.exists("weight_1"))
    assert ours.sort("ids", by="weight_*", get="weight_*") == [None, b"10", b"20"]
    ours.psetex("weight_1", 100_000, 15)
    assert ours.sort("ids", by="weight_*") == [b"2", b"1", b"3"]


def test_other_databases_have_other_weights(both, ours):
    store_articles(ours)
    other = both[0].client(db=3)
    other.rpush("ids", 1, 2, 3)
    assert other.sort("ids", by="weight_*", get="weight_*") == [None, None, None]


def test_a_pipeline_of_sorts(both, ours):
    """Each sees what was sent before it."""
    store_articles(ours)
    with ours.pipeline(transaction=False) as pipe:
        for n in range(50):
            pipe.set("weight_1", n)
            pipe.sort("ids", by="weight_*")
            pipe.sort("ids", by="weight_*", store=f"out{n}")
            pipe.lindex(f"out{n}", 0)
        replies = pipe.execute()
    for n in range(50):
        first = b"1" if n <= 10 else b"2"  # ties: 1 is before 2
        assert replies[4 * n + 1][0] == replies[4 * n + 3] == first


# --- users ------------------------------------------------------------------------------------------------

CALLS = (["SORT", "ids", "BY", "weight_*"], ["SORT", "ids", "GET", "object_*->name"], ["SORT", "ids", "GET", "#"],
         ["SORT_RO", "ids", "BY", "weight_*"], ["SORT_RO", "ids", "BY", "nosort", "GET", "#"],
         ["SORT", "ids", "BY", "nosort"], ["SORT", "ids"], ["SORT", "ids", "BY", "weight_*", "STORE", "out"],
         ["SORT", "ids", "LIMIT", "x", "1", "BY", "weight_*"], ["SORT", "ids", "BY", "weight_*", "LIMIT", "x", "1"],
         ["SORT", "none", "BY", "weight_*"], ["SORT", "weight_1", "BY", "weight_*"], ["SORT", "ids", "BY"])
USERS = (["~*"], ["allkeys"], ["~ids", "~out"], ["%R~*", "%W~out"], ["%W~*"], ["~ids", "(~* +sort)"],
         ["~ids", "(%R~* +sort_ro)"], ["~ids", "(%R~* +get)"], ["~i*", "~o*", "~w*"], ["%R~**", "~ids"])


@pytest.mark.parametrize("rules", USERS, ids=" ".join)
def test_who_may_name_keys(both, ours, rules):
    """Alone and in a block, as Redis says it."""
    answers = []
    for server in both:
        admin = server.client()
        admin.flushall()
        store_articles(admin)
        admin.execute_command("ACL", "SETUSER", "someone", "reset", "on", ">secret", "+@all", *rules)
        with server.raw() as raw:
            assert raw.command("AUTH", "someone", "secret") == b"+OK\r\n"
            alone = [raw.command(*call) for call in CALLS]
            blocks = [block(raw, call) for call in CALLS]
        answers.append((alone, blocks))
        admin.execute_command("ACL", "DELUSER", "someone")
    for words, mine, redis_s in zip(CALLS * 2, *(alone + blocks for alone, blocks in answers)):
        assert mine == redis_s, words


def test_a_block_that_changes_its_user(both, ours):
    """Each command is judged by the user of its moment."""
    answers = []
    for server in both:
        admin = server.client()
        admin.flushall()
        store_articles(admin)
        admin.execute_command("ACL", "SETUSER", "some", "reset", "on", ">p", "+@all", "~ids")
        admin.execute_command("ACL", "SETUSER", "all", "reset", "on", ">p", "+@all", "~*")
        with server.raw() as raw:
            for words in (["MULTI"], ["SORT", "ids", "BY", "weight_*"], ["AUTH", "some", "p"],
                          ["SORT", "ids", "BY", "weight_*"], ["AUTH", "all", "p"],
                          ["SORT", "ids", "BY", "weight_*"], ["EXEC"], ["SORT", "ids", "GET", "#"]):
                answers.append(raw.command(*words))
    assert answers[:8] == answers[8:]


def block(raw, call):
    return [raw.command(*words) for words in (["MULTI"], call, ["EXEC"])]


# --- against Redis, order included ---------------------------------------------------------------------------

def fill(chance):
    """Some commands that make a world, in which no two texts are equal."""
    ids = chance.sample(range(30), chance.randrange(12))
    commands = [["DEL", "l", "s", "z"]]
    for n in ids:
        commands += [["RPUSH", "l", n], ["SADD", "s", n], ["ZADD", "z", chance.randrange(4), n]]
    for n in range(30):
        kind = chance.randrange(6)
        weight = chance.choice([chance.randrange(-5, 5), chance.random(), "1e3", "", " 7", "0x10", "inf"])
        commands.append(["DEL", f"w_{n}", f"t_{n}", f"o_{n}"])
        if kind:
            commands.append(["SET", f"w_{n}", weight])
            commands.append(["SET", f"t_{n}", f"{chance.randrange(3)}:{n}"])
        if kind > 1:
            commands.append(["HSET", f"o_{n}", "f", weight, "t", f"{chance.randrange(3)}:{n}"])
    return commands


def some_sort(chance):
    alpha = chance.random() < 0.4
    by = chance.choice(["t_*", "o_*->t"] if alpha else ["w_*", "o_*->f", "t_*", "none_*", "w_*->f"])
    if chance.random() < 0.15:
        by = chance.choice(["nosort", "w_1", "o_1->f", "#"])
    key = "l" if alpha else chance.choice("llzzs" if "*" in by else "llz")
    words = [chance.choice(["SORT", "SORT_RO"]), key, "BY", by]
    words += [chance.choice(["ASC", "DESC"])] * (chance.random() < 0.5) + ["ALPHA"] * alpha
    if chance.random() < 0.4 and not alpha:  # texts that are absent tie
        words += ["LIMIT", chance.randrange(-1, 5), chance.randrange(-1, 9)]
    for _ in range(chance.choice([0, 0, 1, 2])):
        words += ["GET", chance.choice(["#", "w_*", "o_*->f", "o_*->t", "t_*", "none_*", "w_1", "o_*"])]
    return words


def test_the_order_is_redis_order(both, seed):
    chance = random.Random(seed)
    with both[0].raw() as ours, both[1].raw() as theirs:
        for raw in (ours, theirs):
            raw.command("FLUSHALL")
        for _ in range(4):
            for words in fill(chance):
                assert ours.command(*words) == theirs.command(*words), words
            for _ in range(40):
                words = some_sort(chance)
                if words[0] == "SORT" and chance.random() < 0.2:
                    words += ["STORE", "l"]
                assert ours.command(*words) == theirs.command(*words), words


def test_a_weight_out_of_range(both, ours):
    """(In Redis also the next SORT would fail, of whatever: until a command sets errno to 0.)"""
    for server in both:
        client = server.client()
        client.rpush("ids", 1)
        for weight, error in (("1e999", True), ("1e300", False), ("nan", True), ("-inf", False), ("1 ", True)):
            client.set("w_1", weight)
            client.zadd("none", {"x": 1}, xx=True)
            try:
                assert client.sort("ids", by="w_*") == [b"1"] and not error, weight
            except redis.ResponseError as told:
                assert error and str(told) == "One or more scores can't be converted into double", weight


# --- several at once -------------------------------------------------------------------------------------------

@pytest.mark.rows
@pytest.mark.parametrize("block", [False, True], ids=["alone", "in a block"])
def test_all_keys_are_of_one_moment(lab, database, seed, block):
    """Others give all weights a new order at once, by another instance: a SORT that mixes two orders, or
    stores one that has been replaced."""
    first, second = (lab.respgres(database, pg_timeout=10_000, fallback="off") for _ in range(2))
    ids = list(range(8))
    first.client().rpush("ids", *ids)

    def weights(n):
        """The n-th order; the tag says which it is."""
        order = random.Random(n).sample(ids, len(ids))
        return {**{f"w{i}": order[i] for i in ids}, **{f"tag{i}": n for i in ids}, "now": n}

    first.client().mset(weights(0))

    def write(ending):
        client, n = second.client(), 0
        while not ending.is_set():
            n += 1
            client.mset(weights(n))

    seen = set()

    def read(ending):
        client = first.client()
        while not ending.is_set():
            if block:
                with client.pipeline() as pipe:
                    pipe.get("now")
                    pipe.sort("ids", by="w*", get=["#", "tag*"])
                    now, found = pipe.execute()
            else:
                found = client.sort("ids", by="w*", get=["#", "tag*"])
                now = found[1]
            check(found, now)

    def store(ending):
        """The list and a tag of the same moment are stored together."""
        client = first.client()
        while not ending.is_set():
            with client.pipeline() as pipe:
                pipe.sort("ids", by="w*", get=["#", "tag*"], store="out")
                pipe.lrange("out", 0, -1)
                found = pipe.execute()[1]
            check(found, found[1])

    def check(found, now):
        assert set(found[1::2]) == {now}, found
        expected = sorted(ids, key=lambda i: weights(int(now))[f"w{i}"])
        assert list(map(int, found[::2])) == expected
        seen.add(int(now))

    with Threads(write, read, store) as threads:
        wait_until(lambda: len(seen) > 12 or threads.ending.is_set(), 60, "several orders were seen")
    assert len(seen) > 12


@pytest.mark.rows
@pytest.mark.parametrize("consistency", ["strict", "cached"])
def test_a_stored_order_counts_only_while_the_weights_are_what_they_were(lab, database, consistency):
    """Each client moves a weight to the end of the order and stores the order, with the greatest weight in a
    block, on two instances: the last in the list is the one with the greatest weight, always."""
    servers = [lab.respgres(database, pg_timeout=10_000, fallback="off", consistency=consistency)
               for _ in range(2)]
    ids = list(range(5))
    setup = servers[0].client()
    setup.rpush("ids", *ids)
    setup.mset({f"w{i}": i for i in ids})
    done = []

    def work(number):
        def run(ending):
            client, chance = servers[number % 2].client(), random.Random(number)
            for _ in range(25):
                if ending.is_set():
                    break
                mine = chance.choice(ids)
                with client.pipeline() as pipe:
                    pipe.incr("clock")
                    pipe.incrby(f"w{mine}", 1000)
                    pipe.sort("ids", by="w*", get=["#", "w*"], store="order")
                    pipe.lrange("order", 0, -1)
                    found = pipe.execute()[3]
                weights = list(map(int, found[1::2]))
                assert weights == sorted(weights), found
                done.append((sum(weights), found))
        return run

    with Threads(*(work(n) for n in range(4))) as threads:
        wait_until(lambda: len(done) == 100 or threads.ending.is_set(), 60, "all are through")
    sums = sorted(total for total, _ in done)
    assert sums == [10 + 1000 * n for n in range(1, 101)], "a SORT saw weights that were not the last"
    last = max(done)[1]
    assert lab.respgres(database).client().lrange("order", 0, -1) == last


# --- while PostgreSQL is away ------------------------------------------------------------------------------------

@pytest.mark.rows
def test_while_postgresql_is_away(lab):
    """Of keys that are known it works; a key that is not is absent, or an error as away-miss says."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    server = lab.respgres(database, pg_timeout=1000, away_miss="absent strict_* error")
    client = server.client()
    store_articles(client)
    assert client.sort("ids", by="weight_*") == [b"2", b"3", b"1"]
    postgres.kill9()
    wait_until(lambda: stat(server, "store_state") == "away", what="it is away")
    assert client.sort("ids", by="weight_*", get="unknown_*") == [None, None, None]
    assert client.sort("ids", by="weight_*", store="out") == 3
    with pytest.raises(redis.BusyLoadingError):
        client.sort("ids", by="strict_*")
    postgres.start()
    wait_until(lambda: stat(server, "store_state") == "online", 60, "it is merged")
    assert lab.respgres(database).client().lrange("out", 0, -1) == [b"2", b"3", b"1"]


@pytest.mark.rows
def test_when_memory_is_full(lab, tmp_path):
    """SORT is refused, with STORE or without, as by Redis; SORT_RO is not."""
    server = lab.respgres(None, standalone="yes", dir=tmp_path / "journal", maxmemory="3mb")
    client = server.client()
    store_articles(client)
    with pytest.raises(redis.ResponseError, match="OOM command not allowed"):
        for number in range(200):
            client.set(f"big:{number}", bytes(100_000))
    for more in ([], ["STORE", "out"]):
        with pytest.raises(redis.ResponseError, match="OOM command not allowed when used memory > 'maxmemory'"):
            client.execute_command("SORT", "ids", "BY", "weight_*", *more)
    assert client.execute_command("SORT_RO", "ids", "BY", "weight_*", "GET", "weight_*") == [
        b"10", b"20", b"30"]
