"""Scripts: what a reply to the byte (test_scripts_differential.py) does not show. One transaction each, whole or not
at all, on all instances; keys that were not declared; limits; SCRIPT KILL, BUSY; users; MONITOR; the schema."""

import threading
import time

import psycopg2
import pytest
import redis

from harness import wait_until
from rules import row

pytestmark = pytest.mark.rows
OPTIONS = dict(pg_timeout=10000)


@pytest.fixture(scope="module")
def base(module_lab):
    return module_lab.database()


@pytest.fixture(scope="module")
def one(module_lab, base):
    return module_lab.respgres(base, **OPTIONS)


@pytest.fixture(scope="module")
def other(module_lab, base):
    return module_lab.respgres(base, **OPTIONS)


@pytest.fixture
def client(one):
    c = one.client(decode_responses=True)
    c.flushall()
    return c


def ask(c, *command):
    try:
        return c.execute_command(*command)
    except redis.ResponseError as e:
        return f"{type(e).__name__} {e}"


def error_of(function, *args):
    with pytest.raises(redis.ResponseError) as e:
        function(*args)
    return str(e.value)


# --- keys ---


def test_keys_that_were_not_declared_are_loaded(client, other):
    elsewhere = other.client(decode_responses=True)
    elsewhere.set("a", "b")
    elsewhere.set("b", "c")
    elsewhere.rpush("c", "x", "y")
    script = """
        local name = redis.call('get', redis.call('get', 'a'))
        redis.call('rpush', name, 'z')
        return redis.call('lrange', name, 0, -1)"""
    assert client.eval(script, 0) == ["x", "y", "z"]
    assert elsewhere.lrange("c", 0, -1) == ["x", "y", "z"]


def test_a_key_that_its_block_only_writes_over_is_loaded_for_a_script(client, other):
    """SET needs not know what a key holds, so the block had not asked for it."""
    other.client().mset({"n": 41, "m": "x"})
    with client.pipeline(transaction=True) as pipe:
        pipe.eval("return redis.call('INCR', ARGV[1])", 0, "n")
        pipe.set("n", "over")
        pipe.set("m", "new")
        pipe.eval("return redis.call('GET', 'm') .. redis.call('APPEND', 'm', 'er')", 0)
        assert pipe.execute() == [42, True, True, "new5"]
    assert client.mget("n", "m") == ["over", "newer"]


def test_a_loop_over_many_keys(client):
    client.mset({f"k{i}": i for i in range(500)})
    script = "local s = 0 for i = 0, 499 do s = s + redis.call('get', 'k' .. i) end return s"
    assert client.eval(script, 0) == sum(range(500))
    # in a block, too, and behind a change that must not count twice
    p = client.pipeline()
    p.incr("n")
    p.eval("for i = 0, 99 do redis.call('incr', 'm' .. i) end return redis.call('incr', 'n')", 0)
    p.dbsize()
    p.eval("for i = 100, 150 do redis.call('incr', 'm' .. i) end return redis.call('incr', 'n')", 0)
    assert p.execute() == [1, 2, 601, 3]
    assert client.mget("m0", "m99", "m100", "m150", "n") == ["1", "1", "1", "1", "3"]


def test_a_block_that_flushes_and_asks_for_keys(client):
    client.set("old", "x")
    p = client.pipeline()
    p.set("before", "1")
    p.flushdb()
    p.eval("redis.call('set', 'after', tostring(redis.call('get', 'old'))) return redis.call('get', 'before')", 0)
    assert p.execute()[2] is None
    assert client.get("after") == "false"
    assert client.keys() == ["after"]


# --- one transaction ---


def test_two_instances_count_together(one, other, client):
    each, workers = 40, 4
    script = """
        local n = tonumber(redis.call('get', KEYS[1]) or 0)
        redis.call('set', KEYS[1], n + 1)
        redis.call('hincrby', 'undeclared', ARGV[1], 1)
        redis.call('rpush', 'all', n)
        return n"""
    seen = []

    def work(server, name):
        c = server.client()
        seen.extend(c.eval(script, 1, "counter", name) for _ in range(each))

    threads = [threading.Thread(target=work, args=(s, f"{i}{s.port}")) for s in (one, other) for i in range(workers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    total = each * workers * 2
    assert client.get("counter") == str(total)
    assert sorted(seen) == list(range(total))
    assert client.lrange("all", 0, -1) == [str(n) for n in range(total)]
    assert sum(int(n) for n in client.hvals("undeclared")) == total


def test_an_error_leaves_what_was_written_before(client):
    """As in Redis."""
    assert "oops" in error_of(client.eval, "redis.call('set', 'x', 1) error('oops')", 0)
    assert client.get("x") == "1"


def test_whole_or_not_at_all_when_postgresql_is_killed(lab):
    base = lab.database(lab.own_postgres())
    server = lab.respgres(base, fallback="off", **OPTIONS)
    script = "local n = redis.call('incr', 'a') redis.call('set', 'b', n) redis.call('rpush', 'c', n) return n"
    acknowledged = []
    stop = threading.Event()

    def work():
        c = server.client()
        while not stop.is_set():
            try:
                acknowledged.append(c.eval(script, 0))
            except redis.RedisError:
                time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for _ in range(3):
        wait_until(lambda n=len(acknowledged): len(acknowledged) > n + 5, 60, "scripts run")
        base.postgres.kill9()
        base.postgres.start()
    wait_until(lambda n=len(acknowledged): len(acknowledged) > n + 5, 60, "scripts run again")
    stop.set()
    for t in threads:
        t.join()
    c = server.client(decode_responses=True)
    n = int(c.get("a"))
    assert c.get("b") == str(n)
    assert c.lrange("c", 0, -1) == [str(i) for i in range(1, n + 1)]
    assert len(set(acknowledged)) == len(acknowledged) and max(acknowledged) <= n


def test_time_stands_still(client):
    script = """
        local a = redis.call('time')
        for i = 1, 300000 do end
        local b = redis.call('time')
        return a[1] == b[1] and a[2] == b[2]"""
    assert client.eval(script, 0) == 1


# --- limits ---


@pytest.fixture
def busy(lab, base):
    return lab.respgres(base, busy_reply_threshold=200, **OPTIONS)


FOREVER = "while true do end"


def in_background(server, *command):
    answers = []

    def run():
        try:
            answers.append(server.client(decode_responses=True).execute_command(*command))
        except redis.RedisError as e:
            answers.append(e)

    t = threading.Thread(target=run)
    t.start()
    return t, answers


def is_busy(c):
    try:
        c.get("x")
    except redis.ResponseError as e:
        return "BUSY" in str(e) or "busy" in str(e)
    return False


def test_a_busy_script_is_killed(busy):
    c = busy.client(decode_responses=True)
    assert "NOTBUSY" in ask(c, "SCRIPT", "KILL")
    thread, answers = in_background(busy, "EVAL", FOREVER, 0)
    wait_until(lambda: is_busy(c), 30, "the server is busy")
    assert ask(c, "GET", "x").endswith(
        "Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")
    assert "BUSY" in ask(c, "SHUTDOWN")
    assert c.execute_command("SCRIPT", "KILL") in ("OK", True)
    thread.join(30)
    assert "Script killed by user with SCRIPT KILL... script: " in str(answers[0])
    assert c.set("x", 1)


def test_others_go_on_until_it_is_busy(lab, base):
    server = lab.respgres(base, busy_reply_threshold=0, **OPTIONS)
    thread, _ = in_background(server, "EVAL", "redis.call('get', 'mine') " + FOREVER, 0)
    c = server.client(decode_responses=True)
    for i in range(50):
        assert c.set("theirs", i) and c.get("theirs") == str(i)
    wait_until(lambda: ask(c, "SCRIPT", "KILL") in ("OK", True), 30, "the script is killed")
    thread.join(30)


def test_a_script_that_wrote_is_not_killed_and_shutdown_ends_it(lab, base):
    server = lab.respgres(base, busy_reply_threshold=200, **OPTIONS)
    c = server.client(decode_responses=True)
    thread, answers = in_background(server, "EVAL", "redis.call('set', 'half', 1) " + FOREVER, 0)
    wait_until(lambda: is_busy(c), 30, "the server is busy")
    assert "UNKILLABLE" in ask(c, "SCRIPT", "KILL")
    with pytest.raises(redis.ConnectionError):
        c.execute_command("SHUTDOWN", "NOSAVE")
    assert server.wait(30) == 0
    thread.join(30)
    assert len(answers) == 1
    assert row(base, "half") is None


def test_pcall_keeps_no_script_alive(busy):
    c = busy.client(decode_responses=True)
    script = "while true do pcall(function() while true do end end) end"
    thread, answers = in_background(busy, "EVAL", script, 0)
    wait_until(lambda: is_busy(c), 30, "the server is busy")
    c.execute_command("SCRIPT", "KILL")
    thread.join(30)
    assert "killed" in str(answers[0])


def test_the_time_limit(lab, base):
    server = lab.respgres(base, script_time_limit=300, **OPTIONS)
    c = server.client(decode_responses=True)
    c.set("t", "before")
    assert "script-time-limit" in error_of(c.eval, "redis.call('set', 't', 'x') " + FOREVER, 0)
    assert "script-time-limit" in error_of(c.eval, "return string.find(('a'):rep(50), ('a?'):rep(50)..('a'):rep(51))", 0)
    assert c.get("t") == "before"  # what it wrote is not applied
    p = c.pipeline()
    p.set("t", "block")
    p.eval("redis.call('set', 'u', 'x') " + FOREVER, 0)
    with pytest.raises(redis.ResponseError, match="EXECABORT|stopped"):
        p.execute()
    assert c.get("t") == "before" and c.get("u") is None


def test_the_memory_limit(client):
    client.set("m", "before")
    assert "lua-memory-limit" in error_of(
        client.eval, "redis.call('set', 'm', 'x') local t = {} while true do t[#t + 1] = {#t} end", 0)
    assert client.get("m") == "before"
    assert client.eval("return 1", 0) == 1


def test_a_long_script_commits(client):
    assert client.eval("for i = 1, 3e6 do end return redis.call('incr', KEYS[1])", 1, "long") == 1
    assert client.eval("for i = 1, 3e6 do end return redis.call('incr', 'undeclared')", 0) == 1
    p = client.pipeline()
    p.incr("long")
    p.eval("for i = 1, 3e6 do end return redis.call('incr', KEYS[1])", 1, "long")
    p.dbsize()
    assert p.execute() == [2, 3, 2]
    assert client.mget("long", "undeclared") == ["3", "1"]


def test_two_long_scripts_on_one_key(one, other, client):
    script = "local n = redis.call('incr', KEYS[1]) for i = 1, 2e6 do end return n"
    threads = [in_background(s, "EVAL", script, 1, "race") for s in (one, other, one)]
    for t, _ in threads:
        t.join(60)
    assert sorted(a[0] for _, a in threads) == [1, 2, 3]


# --- what is known ---


def test_scripts_are_known_everywhere(client, other, base):
    elsewhere = other.client(decode_responses=True)
    sha = client.script_load("return ARGV[1]")
    assert elsewhere.script_exists(sha, "0" * 40) == [True, False]
    assert elsewhere.evalsha(sha, 0, "x") == "x"
    client.eval("return 'evaluated'", 0)
    client.eval("return 'evaluated'", 0)
    with psycopg2.connect(base.url) as connection:
        def stored():
            with connection.cursor() as cursor:
                cursor.execute("SELECT sha FROM respgres.scripts WHERE body = %s", (b"return 'evaluated'",))
                found = cursor.fetchone()
            connection.rollback()
            return found
        wait_until(stored, 30, "what EVAL brought is stored")
        by_eval = stored()[0]
    assert elsewhere.evalsha(by_eval, 0) == "evaluated"
    client.script_flush()
    with pytest.raises(redis.exceptions.NoScriptError):
        client.evalsha(sha, 0)
    wait_until(lambda: elsewhere.script_exists(sha) == [False], 30, "forgotten elsewhere, too")


def test_scripts_in_an_outage(lab):
    base = lab.database(lab.own_postgres())
    server = lab.respgres(base, pg_timeout=5000)
    c = server.client(decode_responses=True)
    sha = c.script_load("return redis.call('incr', KEYS[1])")
    assert c.evalsha(sha, 1, "n") == 1
    base.postgres.stop()
    wait_until(lambda: c.evalsha(sha, 1, "n") > 3, 60, "it runs on in memory")
    new = c.script_load("return 'new'")
    assert c.evalsha(new, 0) == "new"
    base.postgres.start()
    wait_until(lambda: row(base, "n") is not None and c.ping(), 60, "merged")
    second = lab.respgres(base, **OPTIONS).client(decode_responses=True)
    wait_until(lambda: second.script_exists(new) == [True], 60, "stored when PostgreSQL was back")


# --- who may, and who sees ---


def test_a_script_has_its_users_rights(client, one):
    client.execute_command("ACL", "SETUSER", "u", "on", ">p", "~mine*", "+eval", "+get", "+set")
    u = one.client(username="u", password="p", decode_responses=True)
    assert u.eval("redis.call('set', 'mine1', 'x') return redis.call('get', 'mine1')", 0) == "x"
    assert "can't access at least one of the keys" in error_of(u.eval, "return redis.call('get', 'other')", 0)
    assert "can't run this command" in error_of(u.eval, "return redis.call('del', 'mine1')", 0)
    assert "permissions" in ask(u, "EVAL", "return 1", 1, "other")
    assert u.eval("return {redis.acl_check_cmd('get', 'mine1'), redis.acl_check_cmd('get', 'other')}", 0) == [1, None]
    assert "lua" in {entry["context"] for entry in client.acl_log()}
    client.execute_command("ACL", "DELUSER", "u")


def test_client_pause_holds_scripts_that_may_write(client, one):
    other = one.client(decode_responses=True)
    client.client_pause(100000, all=False)
    try:
        assert other.execute_command("EVAL_RO", "return 1", 0) == 1
        assert other.eval("#!lua flags=no-writes\nreturn 2", 0) == 2
        thread, answers = in_background(one, "EVAL", "return 3", 0)
        time.sleep(0.5)
        assert answers == []
    finally:
        client.client_unpause()
    thread.join(30)
    assert answers == [3]


def test_monitor_shows_its_calls(client, one):
    with one.client(decode_responses=True).monitor() as m:
        client.eval("redis.call('set', KEYS[1], ARGV[1]) return redis.call('get', 'undeclared')", 1, "k", "v")
        lines = []
        while len(lines) < 3:
            line = m.next_command()
            if line["command"].split(" ")[0].upper() not in ("CLIENT", "HELLO"):
                lines.append((line["client_type"], line["command"]))
    assert lines[0][1].startswith("eval ") or lines[0][1].startswith("EVAL ")
    assert lines[1:] == [("lua", "set k v"), ("lua", "get undeclared")]


def test_calls_are_counted_once(client):
    client.config_resetstat()
    client.eval("redis.call('set', 'c1', 1) redis.call('set', 'c2', 1) redis.pcall('incr', 'nolist', 1) return 1", 0)
    stats = client.info("commandstats")
    assert stats["cmdstat_set"]["calls"] == 2
    assert stats["cmdstat_eval"]["calls"] == 1
    assert client.info("memory")["number_of_cached_scripts"] >= 1


def test_over_the_whole_keyspace_it_says_so(client):
    for call in ("'keys', '*'", "'dbsize'", "'scan', 0", "'flushdb'", "'randomkey'"):
        assert "whole keyspace" in error_of(client.eval, f"return redis.call({call})", 0)


def test_redis_py_lock(client):
    lock = client.lock("a-lock", timeout=10)
    assert lock.acquire(blocking=False)
    assert not client.lock("a-lock", timeout=10).acquire(blocking=False)
    assert lock.extend(10) and lock.reacquire() and lock.owned()
    lock.release()
    assert client.get("a-lock") is None


def test_what_it_publishes_goes_out_once(client, one):
    """Also if it ran more than once; and not if it was stopped."""
    with one.client(decode_responses=True).pubsub() as p:
        p.subscribe("news")
        assert p.get_message(timeout=10)["type"] == "subscribe"
        assert client.eval("redis.call('publish', 'news', 'hello') return redis.call('get', 'undeclared')", 0) is None
        assert ask(client, "EVAL", "redis.call('publish', 'news', 'never') "
                   "redis.call('set', 'x', 1) local t = {} while true do t[#t + 1] = {#t} end", 0)
        client.publish("news", "end")
        assert [p.get_message(timeout=30)["data"] for _ in range(2)] == ["hello", "end"]
