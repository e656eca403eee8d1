"""Tools and introspection that clients and operators rely on."""

import subprocess

import pytest
import redis

from harness import RawClient, wait_until
from harness.util import clean_environ


def benchmark(server, *args):
    """redis-benchmark; returns the lines of its CSV table."""
    done = subprocess.run(["redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "--csv",
                           *map(str, args)], capture_output=True, text=True, timeout=100,
                          env=clean_environ(), check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "rror" not in output.replace("ERR unknown subcommand", ""), output
    return [line.split(",") for line in done.stdout.splitlines() if line.startswith('"')][1:]


@pytest.mark.parametrize("pipeline", [1, 16])
def test_redis_benchmark(server, pipeline):
    table = benchmark(server, "-t", "ping,set,get,incr,mset", "-n", 3200, "-c", 50, "-r", 1000,
                      "-P", pipeline)
    assert [row[0].split()[0].strip('"') for row in table] == [
        "PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"]
    assert all(float(row[1].strip('"')) > 0 for row in table)
    client = server.client()
    assert int(client.get("counter:__rand_int__") or 0) + sum(
        int(client.get(key)) for key in client.scan_iter("counter:*", count=1000)) == 3200


def test_redis_benchmark_resp3(server):
    assert len(benchmark(server, "-3", "-t", "set,get", "-n", 1000, "-c", 10)) == 2


def test_client_list(server):
    one, two = server.client(), server.client(db=3, client_name="zwei")
    one.ping()
    two.get("k")
    listed = {c["name"]: c for c in one.client_list()}
    assert listed["zwei"]["db"] == "3"
    assert listed["zwei"]["cmd"] == "get"
    assert listed["zwei"]["addr"].startswith("127.0.0.1:")
    assert listed["zwei"]["laddr"] == f"127.0.0.1:{server.port}"
    assert int(listed["zwei"]["id"]) != int(listed[""]["id"])
    assert one.client_id() == int(listed[""]["id"])
    assert two.client_getname() == "zwei"
    assert two.client_info()["name"] == "zwei"


def test_client_kill(server):
    one = server.client()
    with server.raw() as victim:
        ident = int(victim.command("CLIENT", "ID")[1:])
        assert one.client_kill_filter(_id=ident) == 1
        assert victim.is_closed()
    assert one.client_kill_filter(_id=ident) == 0
    with pytest.raises(redis.ResponseError, match="No such client"):
        one.client_kill("127.0.0.1:1")


def test_monitor(server):
    with server.raw() as watcher:
        assert watcher.command("MONITOR") == b"+OK\r\n"
        server.client(db=2).set("k", b'a"\n\xff')
        line = watcher.reply()
        while b'"SET"' not in line:
            line = watcher.reply()
    assert line.startswith(b"+1") or line.startswith(b"+2")
    assert b" [2 127.0.0.1:" in line
    assert line.endswith(b'"SET" "k" "a\\"\\n\\xff"\r\n')


def test_a_monitor_does_not_touch_the_keyspace(server):
    with server.raw() as watcher:
        watcher.command("MONITOR")
        for call in (["GET", "k"], ["SET", "k", "v"], ["PUBLISH", "c", "m"], ["EVAL", "return 1", "0"]):
            reply = watcher.command(*call)
            while reply.startswith((b"+1", b"+2")):  # a line of what was called
                reply = watcher.reply()
            assert reply == b"-ERR Replica can't interact with the keyspace\r\n", call
    assert server.client().exists("k") == 0


def test_monitor_shows_no_password(server):
    with server.raw() as watcher:
        watcher.command("MONITOR")
        with server.raw() as raw:
            raw.command("AUTH", "geheim")
            raw.command("PING")
        line = b""
        while b'"PING"' not in line:
            line = watcher.reply()
            assert b"geheim" not in line


def test_info_has_what_clients_read(server):
    info = server.info()
    assert info["redis_version"].startswith("7.")
    assert info["redis_mode"] == "standalone"
    assert info["role"] == "master"
    assert info["loading"] == 0
    assert info["process_id"] == server.pid
    assert info["tcp_port"] == server.port
    assert info["connected_clients"] >= 1
    for field in ("uptime_in_seconds", "used_memory", "maxmemory", "blocked_clients",
                  "total_commands_processed", "total_connections_received"):
        assert isinstance(info[field], int), field
    server.client().set("k", "v", ex=100)
    assert server.info("keyspace")["db0"]["keys"] == 1
    assert server.info("keyspace")["db0"]["expires"] == 1


@pytest.mark.rows
def test_info_postgres(server):
    server.client().set("k", "v")
    text = server.raw().command("INFO", "postgres").decode()
    assert "# Postgres" in text
    assert text.count(":") > 3


def test_command_tables(server):
    client = server.client()
    count = client.command_count()
    assert count > 50
    commands = client.command()
    assert len(commands) == count
    assert commands["get"]["arity"] == 2
    assert "readonly" in commands["get"]["flags"]
    assert commands["mset"]["step_count"] == 2
    with server.raw() as raw:
        assert raw.command("COMMAND", "INFO", "get", "none").startswith(b"*2\r\n*10\r\n$3\r\nget\r\n")
        assert raw.command("COMMAND", "DOCS", "get").startswith(b"*2\r\n$3\r\nget\r\n*")
        # With redis-server, subcommands are listed as well.
        assert int(raw.command("COMMAND", "LIST").split(b"\r\n")[0][1:]) >= count


def test_config(server):
    client = server.client()
    assert client.config_get("port") == {"port": str(server.port)}
    assert set(client.config_get("max*")) >= {"maxclients", "maxmemory"}
    assert client.config_set("timeout", 300) is True
    assert client.config_get("timeout") == {"timeout": "300"}
    with pytest.raises(redis.ResponseError):
        client.config_set("timeout", "soon")
    with pytest.raises(redis.ResponseError):
        client.config_set("nonsense", "1")
    assert client.config_get("timeout") == {"timeout": "300"}
    assert client.config_get("nonsense") == {}
    assert client.config_resetstat() is True


def test_an_idle_client_is_closed_after_timeout(server):
    server.client().config_set("timeout", 1)
    with server.raw() as idle:
        assert idle.command("PING") == b"+PONG\r\n"
        assert idle.is_closed()


def test_slowlog(server):
    client = server.client()
    client.config_set("slowlog-log-slower-than", 0)
    client.set("k", "v")
    entry = client.slowlog_get()[0]
    assert entry["command"].split()[0] in (b"SET", b"CONFIG")
    assert client.slowlog_len() >= 1
    assert client.slowlog_reset() is True


def test_time(server):
    seconds, micros = server.client().time()
    assert seconds > 1_600_000_000
    assert 0 <= micros < 1_000_000


def test_reset(server):
    with server.raw() as raw:
        raw.command("HELLO", "3", "SETNAME", "n")
        raw.command("SELECT", "2")
        raw.command("MULTI")
        assert raw.command("RESET") == b"+RESET\r\n"
        assert raw.command("CLIENT", "GETNAME") == b"$-1\r\n"
        assert raw.command("SET", "k", "v") == b"+OK\r\n"
    assert server.client().get("k") == b"v"


def test_many_connections(server):
    clients = [server.raw() for _ in range(300)]
    for i, raw in enumerate(clients):
        raw.send(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n" * (1 + i % 3))
    total = sum(1 + i % 3 for i in range(300))
    replies = {raw.reply() for i, raw in enumerate(clients) for _ in range(1 + i % 3)}
    assert replies == {b":%d\r\n" % n for n in range(1, total + 1)}
    for raw in clients:
        raw.close()
    wait_until(lambda: server.info("clients")["connected_clients"] < 10)


def test_ipv6_and_several_addresses(lab, request):
    if request.config.getoption("--against") == "redis":
        server = lab.redis(bind="127.0.0.1 ::1")
    else:
        server = lab.respgres(lab.database(), bind="127.0.0.1 ::1")
    client = redis.Redis(host="::1", port=server.port)
    assert client.set("k", "v")
    assert RawClient(("127.0.0.1", server.port)).command("GET", "k") == b"$1\r\nv\r\n"
