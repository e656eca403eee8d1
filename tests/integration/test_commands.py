"""Commands that are more than a function over loaded values: of several databases, of the table as a
whole, of the server."""

import pytest

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
            with pytest.raises(Exception, match="Watched variable changed"):
                pipe.execute()
    assert (zero.exists("result"), one.exists("result")) == (0, 0)


def live_rows(database):
    return database.execute("SELECT db, convert_from(key, 'utf8'), expires_at FROM respgres.entries"
                            " JOIN respgres.spaces USING (space) WHERE value IS NOT NULL ORDER BY 1")


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
