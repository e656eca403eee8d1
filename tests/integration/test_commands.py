"""Commands that are more than a function over loaded values: of several databases, of the table as
a whole, of the server."""

import pytest
import redis

from harness import encode, wait_until

# --- several databases ---------------------------------------------------------------------------

def test_copy_and_move_between_databases(server):
    zero, one = server.client(db=0), server.client(db=1)
    zero.set("k", b"\x00v", px=100_000)
    at = zero.pexpiretime("k")
    assert zero.copy("k", "c", destination_db=1)
    assert (one.get("c"), one.pexpiretime("c")) == (b"\x00v", at)
    assert zero.execute_command("MOVE", "k", 1) == 1
    assert (zero.exists("k"), one.get("k"), one.pexpiretime("k")) == (0, b"\x00v", at)
    assert one.execute_command("MOVE", "k", 0) == 1
    assert (zero.get("k"), one.exists("k")) == (b"\x00v", 0)


def test_move_is_seen_by_watch_in_both_databases(server):
    zero, one = server.client(db=0), server.client(db=1)
    zero.set("k", "v")
    with zero.pipeline() as from_zero, one.pipeline() as to_one:
        for pipe in (from_zero, to_one):
            pipe.watch("k")
            pipe.multi()
            pipe.set("result", "ran")
        assert zero.execute_command("MOVE", "k", 1) == 1
        for pipe in (from_zero, to_one):
            with pytest.raises(redis.WatchError, match="Watched variable changed"):
                pipe.execute()
    assert (zero.exists("result"), one.exists("result")) == (0, 0)


def live_rows(database):
    return database.execute("SELECT db, convert_from(key, 'utf8'), expires_at FROM respgres.entries"
                            " JOIN respgres.spaces USING (space) WHERE value IS NOT NULL"
                            " ORDER BY 1")


@pytest.mark.rows
def test_a_rename_keeps_the_expiry_to_the_microsecond(respgres, database):
    client = respgres.client()
    client.set("k", "v", ex=1000)
    (_, _, expires_at), = live_rows(database)
    client.rename("k", "renamed")
    client.copy("renamed", "copy")
    client.execute_command("MOVE", "renamed", 2)
    assert live_rows(database) == [(0, "copy", expires_at), (2, "renamed", expires_at)]


# --- RANDOMKEY -----------------------------------------------------------------------------------

def test_randomkey(client):
    assert client.randomkey() is None
    client.mset({f"k{n}": n for n in range(300)})
    client.delete(*(f"k{n}" for n in range(0, 300, 2)))
    seen = {client.randomkey() for _ in range(200)}
    assert seen <= {b"k%d" % n for n in range(1, 300, 2)}
    assert len(seen) > 50
    assert client.pipeline().set("k1", 1).execute_command("RANDOMKEY").execute()[1] in {
        b"k%d" % n for n in range(1, 300, 2)}
    client.flushdb()
    assert client.randomkey() is None


@pytest.mark.rows
def test_randomkey_finds_the_only_live_row(client, database):
    client.mset({f"k{n}": n for n in range(5000)})
    database.execute("UPDATE respgres.entries SET value = NULL WHERE id % 3 = 0")
    database.execute("UPDATE respgres.entries SET expires_at = clock_timestamp() WHERE id % 3 = 1")
    database.execute("UPDATE respgres.entries SET active = false WHERE id % 3 = 2")
    assert client.randomkey() is None
    for key in ("k0", "k4999", "k2500"):
        client.set(key, "live")
        assert {client.randomkey() for _ in range(20)} == {key.encode()}
        client.delete(key)


# --- the server ----------------------------------------------------------------------------------

@pytest.mark.rows  # Redis loses what it has not saved
@pytest.mark.parametrize("words", [[], ["NOSAVE"], ["NOW", "SAVE", "FORCE"]])
def test_shutdown_ends_the_server_and_answers_what_was_taken(server, words):
    """Nothing of what was acknowledged is lost by it, and what follows it is not carried out."""
    busy = server.raw()
    busy.send(b"".join(encode("INCR", "n") for _ in range(200)))
    last = server.raw()
    last.send(encode("PING") + encode("SHUTDOWN", *words) + encode("SET", "late", "1"))
    assert last.reply() == b"+PONG\r\n"
    assert last.is_closed()
    assert server.wait() == 0
    answers = busy.rest().count(b":")
    server.start()
    client = server.client()
    assert int(client.get("n") or 0) == answers
    assert not client.exists("late")


def test_shutdown_takes_its_options_or_nothing(server):
    raw = server.raw()
    for words in (["foo"], ["SAVE", "NOSAVE"], ["ABORT", "NOW"], ["NOW", "foo"]):
        assert raw.command("SHUTDOWN", *words) == b"-ERR syntax error\r\n"
    assert raw.command("SHUTDOWN", "ABORT") == b"-ERR No shutdown in progress.\r\n"
    raw.command("MULTI")
    assert raw.command("shutdown") == b"-ERR Command not allowed inside a transaction\r\n"
    assert raw.command("EXEC").startswith(b"-EXECABORT")
    assert raw.command("PING") == b"+PONG\r\n"


def test_redis_cli_shuts_down(server):
    server.cli("shutdown", "nosave")
    assert server.wait() == 0


@pytest.mark.rows  # Redis takes a while for it
def test_saving_answers_as_if_done(client):
    assert client.save()
    before = client.lastsave()
    assert client.bgsave()
    wait_until(lambda: client.lastsave() > before, 30, "LASTSAVE moves on")
    assert client.execute_command("ROLE") == [b"master", 0, []]
    assert client.wait(0, 0) == 0
    assert client.execute_command("MODULE LIST") == []
    assert client.execute_command("LATENCY LATEST") == []
    assert client.memory_usage("none") is None
    client.set("k", "v" * 1000)
    assert 1000 < client.memory_usage("k", samples=0) < 2000
    stats = client.memory_stats()
    assert stats["keys.count"] >= 1 and stats["dataset.bytes"] > 1000
    assert stats["total.allocated"] <= stats["peak.allocated"]
    assert client.memory_purge()


@pytest.mark.rows
def test_replication_and_cluster_are_refused(client):
    for command in ("REPLCONF listening-port 1", "SYNC", "PSYNC ? -1"):
        with pytest.raises(redis.ResponseError, match="replication is not supported"):
            client.execute_command(*command.split())
    for command in ("CLUSTER INFO", "CLUSTER SLOTS", "READONLY", "READWRITE", "ASKING"):
        with pytest.raises(redis.ResponseError, match="cluster support disabled"):
            client.execute_command(*command.split(maxsplit=1))


# --- in Redis' words -----------------------------------------------------------------------------

def test_what_is_forbidden_is_refused_in_redis_words(lab, database):
    """DEBUG and modules, unless the configuration allows them, and what CLIENT says."""
    ours, real = lab.respgres(database).raw(), lab.redis().raw()
    for command in ("DEBUG SLEEP 0", "DEBUG HELP", "MODULE LOAD x", "MODULE LOADEX x", "MODULE UNLOAD x",
                    "CONFIG SET enable-debug-command yes", "CLIENT HELP", "COMMAND HELP", "CONFIG HELP",
                    "LATENCY HELP", "MEMORY HELP", "MODULE HELP", "OBJECT HELP", "SLOWLOG HELP", "ACL HELP",
                    "CLUSTER HELP", "CLIENT TRACKINGINFO", "CLIENT CACHING yes"):
        assert ours.command(*command.split()) == real.command(*command.split()), command


def test_all_fields_of_redis_are_in_info(lab, database):
    """Section by section, in Redis' order; ours come behind."""
    def fields(server):
        sections, section = {}, None
        for line in server.raw().command("INFO", "everything").decode().splitlines()[1:]:
            if line.startswith("# "):
                section = sections.setdefault(line[2:], [])
            elif ":" in line and not line.startswith(("cmdstat_", "latency_", "errorstat_")):
                section.append(line.partition(":")[0])
        return sections
    ours, real = fields(lab.respgres(database)), fields(lab.redis())
    assert {name: sorted(set(found) - set(ours[name])) for name, found in real.items()} == \
        {name: [] for name in real}
    assert [name for name in ours if name in real] == list(real)


def test_idle_time_is_known_from_the_row(lab, database):
    """An instance that has not used the key knows when it was written; asking is no use of it."""
    one, two = lab.respgres(database).client(), lab.respgres(database).client()
    one.set("k", "v")
    wait_until(lambda: two.object("idletime", "k") >= 3, 30, "it is idle")
    assert two.get("k") == b"v"
    assert two.object("idletime", "k") < 3
    wait_until(lambda: one.object("idletime", "k") >= 3, 30, "the first one has not used it")


def test_a_paused_server_writes_nothing(server):
    """CLIENT PAUSE WRITE, as for a failover; reads go on."""
    client, other = server.client(), server.client()
    client.set("k", "1")
    assert client.client_pause(60_000, all=False)
    raw = server.raw()
    raw.send(encode("INCR", "k"))
    wait_until(lambda: client.info("clients")["blocked_clients"] == 1, 30, "the INCR is held")
    assert other.get("k") == b"1"
    assert client.client_unpause()
    assert raw.reply() == b":2\r\n"
