"""A smoke run under valgrind: no invalid access, no use of what was never written, no definite leak. It
finds what AddressSanitizer cannot: reads of uninitialised memory, and what libraries do."""

import hashlib
import pathlib
import shutil
import subprocess

import pytest

from harness import TOP, Respgres, encode, wait_until

pytestmark = [pytest.mark.rows, pytest.mark.long, pytest.mark.timeout(900)]


def plain_build():
    """A build without sanitizers."""
    if "asan" not in str(Respgres.binary()):
        return Respgres.binary()
    subprocess.run(["cmake", "--preset", "dev"], cwd=TOP, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", "build-dev", "--target", "respgres", "-j2"], cwd=TOP,
                   check=True, capture_output=True)
    return TOP / "build-dev" / "respgres"


class Valgrind(Respgres):
    name = "valgrind"

    def command_line(self):
        self.report = pathlib.Path(self.dir) / "report"
        return ["valgrind", "--quiet", "--error-exitcode=97", "--leak-check=full",
                "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite",
                "--num-callers=30", f"--log-file={self.report}", *super().command_line()]


def all_kinds_of_work(server, client):
    client.set("k", "v" * 1000, ex=100)
    client.mset({f"k{i}": f"{i}" * 50 for i in range(50)})
    assert client.mget([f"k{i}" for i in range(50)])[7] == b"7" * 50
    for command in (["SETRANGE", "k", 5, "x"], ["APPEND", "k", "y"], ["INCR", "n"], ["GETEX", "k"],
                    ["INCRBYFLOAT", "f", "1.5"], ["SETBIT", "b", 100, 1], ["BITCOUNT", "b"],
                    ["EXPIRE", "k", 50], ["PERSIST", "k"], ["RENAME", "k0", "r"], ["COPY", "r", "s"],
                    ["KEYS", "*"], ["SCAN", 0], ["DBSIZE"], ["RANDOMKEY"], ["TYPE", "k"],
                    ["OBJECT", "ENCODING", "k"], ["COMMAND"], ["COMMAND", "DOCS"], ["INFO"],
                    ["CONFIG", "GET", "*"], ["CLIENT", "LIST"], ["SLOWLOG", "GET"], ["HELLO", 3],
                    ["DEL", "k1", "k2"], ["FLUSHDB"], ["SET", "large", b"z" * 400_000],
                    ["GET", "large"]):
        with server.raw(timeout=120) as raw:
            assert not raw.command(*command).startswith(b"-"), command
    with client.pipeline() as pipe:
        pipe.watch("n")
        pipe.multi()
        pipe.incr("n").get("n").set("m", "1")
        pipe.execute()
    for payload in (b"*1\r\n$-5\r\n", b"\0\xff\r\n", encode("GET"), b"*3\r\n$3\r\nSET\r\n$1\r\nk"):
        with server.raw(timeout=120) as raw:
            raw.send(payload)
            raw.half_close()
            raw.rest()


SCRIPTS = [
    "return redis.call('SET', KEYS[1], ARGV[1])",
    "return {1, 'two', {3, false, {ok='fine'}}, redis.call('GET', KEYS[1])}",
    "return redis.pcall('INCR', KEYS[1])",
    "return redis.call('NOSUCH')",
    "error({err='mine'})",
    "return cjson.encode(cjson.decode('[1, {\"a\": [null, \"\\\\u00e4\"]}, 1e300]'))",
    "return cmsgpack.unpack(cmsgpack.pack({a = {1, 2, 3}, b = 'x'}))[1]",
    "return struct.unpack('>I4', struct.pack('>I4', 7)) + bit.band(255, 15)",
    "local c = coroutine.wrap(function() for i = 1, 9 do coroutine.yield(redis.call('INCR', 'w' .. i)) end end)"
    " for i = 1, 9 do c() end return redis.sha1hex(ARGV[1])",
    "local t = {} for i = 1, 20000 do t[i] = 'x' .. i end table.sort(t) return #table.concat(t)",
    "return redis.call('LPUSH', KEYS[1] .. 'l', unpack(ARGV))",
    "for i = 1, 1e7 do end return redis.call('APPEND', KEYS[1], 'long')",
    "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
    "this is no Lua",
    "#!lua flags=no-writes\nreturn redis.call('SET', KEYS[1], 'x')",
    "redis.log(redis.LOG_WARNING, 'said') return redis.call('PUBLISH', 'a', 'from a script')",
]


def scripts_and_messages(server, client):
    """Scripts that end in each way, messages of all sizes to subscribers, waiting clients, events."""
    client.config_set("notify-keyspace-events", "KEA")
    with server.raw(timeout=300) as hears, server.raw(timeout=300) as waits, server.raw(timeout=300) as raw:
        hears.command("PSUBSCRIBE", "a*", "__key*__:*")
        waits.send(encode("BLPOP", "wanted", 0))
        for script in SCRIPTS:
            raw.command("EVAL", script, 1, "script", "a", "b", "c")
            raw.command("EVALSHA", hashlib.sha1(script.encode()).hexdigest(), 1, "script", "a", "b", "c")
        raw.command("MULTI")
        raw.command("EVAL", SCRIPTS[1], 1, "script")
        raw.command("EVAL", SCRIPTS[3], 1, "script")
        assert raw.command("EXEC").startswith(b"*2")
        raw.send(encode("EVAL", "while true do end", 0))
        wait_until(lambda: b"+OK" in server.raw(timeout=120).command("SCRIPT", "KILL"), 60)
        assert raw.reply().startswith(b"-")
        for size in (0, 100, 7000, 300_000):
            raw.command("PUBLISH", "abc", b"m" * size)
        raw.command("SET", "gone soon", "v", "PX", 1)
        raw.command("SCRIPT", "FLUSH")
        raw.command("RPUSH", "wanted", "x")
        assert waits.reply().startswith(b"*2")
        raw.command("PUBLISH", "aend", "1")
        while b"aend" not in hears.reply():
            pass


@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind")
def test_memcheck_of_scripts_and_messages(lab):
    """Two instances, so that messages travel."""
    database = lab.database()
    servers = [Valgrind(database.url, {"pg-timeout": 20000, "lua-memory-limit": "8mb"}) for _ in range(2)]
    for server in servers:
        server.program = plain_build()
        lab.servers.append(server)
        server.start(timeout=120)
    for server in servers:
        scripts_and_messages(server, server.client(socket_timeout=120))
    for server in servers:
        status = server.sigterm(timeout=120)
        report = server.report.read_text()
        assert status == 0 and report == "", report


@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind")
@pytest.mark.parametrize("consistency", ["strict", "cached"])
def test_memcheck(lab, consistency):
    postgres = lab.own_postgres()
    server = Valgrind(lab.database(postgres).url, {"pg-timeout": 20000, "consistency": consistency})
    server.program = plain_build()
    lab.servers.append(server)
    server.start(timeout=120)
    client = server.client(socket_timeout=120)
    all_kinds_of_work(server, client)
    postgres.stop("immediate")
    wait_until(lambda: client.info("postgres")["store_state"] == "away", 60)
    client.set("away", "1")
    client.incr("n")
    assert client.get("away") == b"1"
    postgres.start()
    wait_until(lambda: client.info("postgres")["store_state"] == "online", 120)
    assert client.get("away") == b"1"
    all_kinds_of_work(server, client)
    status = server.sigterm(timeout=120)
    report = server.report.read_text()
    assert status == 0 and report == "", report
