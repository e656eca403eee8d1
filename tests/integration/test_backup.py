"""Dumps, backups, and databases that are put back: nothing is lost on the way that was in them."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest
import redis

from harness import Respgres, free_port, wait_until
from harness.http import Http
from harness.servers import SANITIZERS
from harness.util import children_of, clean_environ


def run(*args, env=None, check=True, stdin=None):
    """respgres as a program that ends."""
    done = subprocess.run([Respgres.binary(), *map(str, args)], capture_output=True, timeout=120,
                          check=False, input=stdin, env=clean_environ(**SANITIZERS, **(env or {})))
    assert not check or done.returncode == 0, done.stderr.decode()
    return done


def dump(database, *args, **options):
    return run("--dump", *args, env={"DATABASE_URL": database.url}, **options)


def pipe(server, commands):
    """redis-cli --pipe; how many replies it counted."""
    said = server.cli("--pipe", stdin=commands, text=False)
    said = said if isinstance(said, str) else said.decode()
    errors, replies = re.search(r"errors: (\d+), replies: (\d+)", said).groups()
    assert errors == "0", said
    return int(replies)


def content(server, databases=16):
    """{(db, key): (value, expiry in ms or -1)}"""
    found = {}
    for db in range(databases):
        client = server.client(db=db)
        keys = list(client.scan_iter(count=500))
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(key)
            pipeline.execute_command("PEXPIRETIME", key)
        told = pipeline.execute()
        found |= {(db, key): place for key, place in zip(keys, zip(told[::2], told[1::2]))}
    return found


def same(one, other):
    """Keys, values, and expiries within a second."""
    assert one.keys() == other.keys()
    for place, (value, expiry) in one.items():
        assert other[place][0] == value, place
        assert abs(other[place][1] - expiry) <= 1000, place


def fill(server):
    """Keys and values of all sorts in three databases."""
    client = server.client()
    every = bytes(range(256))
    client.set(every, every * 3)
    client.set(b"empty", b"")
    client.set(b"", b"of the empty key")
    client.set(b"\r\n*1\r\n$8\r\nFLUSHALL\r\n", b"\r\n$-1\r\n")
    client.set("large", os.urandom(3 << 20))
    client.set("soon", "x", px=100_000)
    client.set("later", "x", ex=3600 * 24 * 365)
    client.set("gone", "x", px=1)
    client.set("deleted", "x")
    client.delete("deleted")
    pipeline = client.pipeline(transaction=False)
    for i in range(2500):
        pipeline.set(f"many:{i}", os.urandom(i % 40), ex=None if i % 3 else 1000 + i)
    pipeline.execute()
    server.client(db=3).set("only", "here", ex=500)
    server.client(db=15).set("n", 41)
    server.client(db=7).set("flushed", 1)
    server.client(db=7).flushdb()
    wait_until(lambda: client.get("gone") is None)


# --- dumps ---------------------------------------------------------------------------------------

@pytest.mark.rows
def test_a_dump_goes_into_respgres_and_into_redis(lab, respgres, database):
    fill(respgres)
    before = content(respgres)
    commands = dump(database).stdout
    other, redis_server = lab.respgres(lab.database()), lab.redis()
    replies = len(before) + commands.count(b"*2\r\n$6\r\nSELECT\r\n")
    for target in (other, redis_server):
        assert pipe(target, commands) == replies
        same(before, content(target))
    assert content(respgres) == before
    assert other.client(db=15).incr("n") == 42


@pytest.mark.rows
def test_a_dump_is_of_one_moment(lab, respgres, database):
    """Pairs of keys that always change together are together in the dump, too."""
    client = respgres.client()
    client.mset({f"pad:{i}": os.urandom(200) for i in range(5000)})
    client.mset({"a": 0, "b": 0})
    stop = threading.Event()

    def write():
        writer, n = respgres.client(), 0
        while not stop.is_set():
            n += 1
            writer.mset({"a": n, "b": n})
            writer.set(f"pad:{n % 5000}", n)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            commands = dump(database).stdout
            found = re.findall(rb"\*3\r\n\$3\r\nSET\r\n\$1\r\n([ab])\r\n\$\d+\r\n(\d+)\r\n", commands)
            assert sorted(key for key, _ in found) == [b"a", b"b"]
            assert len({value for _, value in found}) == 1
            assert commands.count(b"pad:") == 5000
    finally:
        stop.set()
        thread.join()


@pytest.mark.rows
def test_a_dump_through_a_pooler(lab, respgres, database):
    respgres.client().mset({f"k{i}": i for i in range(3000)})
    through = run("--dump", env={"DATABASE_URL": lab.pgbouncer(database).url})
    assert sorted(through.stdout.split(b"*3\r\n")) == sorted(dump(database).stdout.split(b"*3\r\n"))


@pytest.mark.rows
def test_a_dump_of_another_schema(lab, database):
    """pg-schema, also from a file and in the process that an instance starts."""
    server = lab.respgres(database, pg_schema="other", backup_interval=1)
    server.client().set("a", 1)
    assert dump(database, "--pg-schema", "other").stdout.endswith(b"a\r\n$1\r\n1\r\n")
    wait_until(lambda: server.client().info("respgres")["backup_last_bytes"] == 50, 60)


@pytest.mark.rows
def test_a_dump_by_a_role_that_may_only_read(respgres, database):
    respgres.client().set("a", 1)
    reader = database.name + "_reader"
    database.postgres.create_role(reader)
    try:
        database.execute(f"GRANT USAGE ON SCHEMA respgres TO {reader}")
        url = database.postgres.url(database.name, reader)
        refused = run("--dump", env={"DATABASE_URL": url}, check=False)
        assert refused.returncode == 1 and b"permission denied" in refused.stderr
        database.execute("GRANT SELECT ON respgres.meta, respgres.spaces, respgres.entries"
                         f" TO {reader}")
        assert run("--dump", env={"DATABASE_URL": url}).stdout == dump(database).stdout != b""
    finally:
        database.postgres.execute(f"DROP OWNED BY {reader}; DROP ROLE {reader}",
                                  dbname=database.name)


@pytest.mark.rows
def test_a_dump_from_a_standby(lab):
    primary = lab.own_postgres()
    database = lab.database(primary)
    client = lab.respgres(database).client()
    client.mset({f"k{i}": i for i in range(2000)})
    standby = lab.standby(primary)
    commands = dump(database).stdout
    wait_until(lambda: run("--dump", env={
        "DATABASE_URL": standby.url(database.name, database.role)}).stdout == commands, 60)


@pytest.mark.rows
def test_a_dump_of_nothing(database, respgres):
    assert dump(database).stdout == b""


@pytest.mark.rows
def test_a_dump_into_a_file(respgres, database, tmp_path):
    """It appears when it is whole, over an older one, readable by nobody else."""
    respgres.client().set("a", 1)
    path = tmp_path / "keys.resp"
    path.write_text("older")
    done = dump(database, path)
    assert done.stdout == b"" and b"1 keys, 50 bytes" in done.stderr
    assert path.read_bytes() == b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["keys.resp"]
    assert dump(database, "-").stdout == path.read_bytes()


@pytest.mark.rows
def test_a_dump_that_fails_leaves_the_older_one(lab, respgres, database, tmp_path):
    path = tmp_path / "keys.resp"
    path.write_text("older")
    database.execute("INSERT INTO respgres.entries (key, value, type) VALUES ('k', 'v', 77)")
    failed = dump(database, path, check=False)
    assert failed.returncode == 1
    assert b"a key has type 77, which this version does not know" in failed.stderr
    assert path.read_text() == "older" and os.listdir(tmp_path) == ["keys.resp"]
    nowhere = dump(database, tmp_path / "none" / "x", check=False)
    assert nowhere.returncode == 1 and b"No such file or directory" in nowhere.stderr
    empty = lab.database()
    no_schema = dump(empty, check=False)
    assert no_schema.returncode == 1 and b"does not exist" in no_schema.stderr
    nobody = run("--dump", "--database-url", f"postgresql://x:hunter2@127.0.0.1:{free_port()}/none",
                 check=False)
    assert nobody.returncode == 1 and b"refused" in nobody.stderr
    assert b"hunter2" not in nobody.stderr
    full = subprocess.run(f"{Respgres.binary()} --dump > /dev/full", shell=True, check=False,
                          capture_output=True, timeout=60,
                          env=clean_environ(**SANITIZERS, DATABASE_URL=respgres_url(respgres)))
    assert full.returncode == 1


def respgres_url(server):
    return server.options["database-url"]


@pytest.mark.rows
def test_a_dump_that_is_stopped_leaves_nothing(lab, respgres, database, tmp_path):
    """A signal takes the unfinished file along. A lock holds the dump up."""
    respgres.client().set("a", 1)
    with database.connect() as connection:
        connection.cursor().execute("LOCK TABLE respgres.entries")
        process = lab.process([Respgres.binary(), "--dump", tmp_path / "keys.resp"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=clean_environ(**SANITIZERS, DATABASE_URL=database.url))
        wait_until(lambda: os.listdir(tmp_path), 30)
        assert re.fullmatch(r"keys\.resp\.tmp\.\d+", os.listdir(tmp_path)[0])
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
        assert os.listdir(tmp_path) == []
        connection.rollback()


@pytest.mark.rows
def test_expiries_that_people_have_set(respgres, database):
    """infinity is never; a dump of an expiry in the past cannot be."""
    client = respgres.client()
    client.mset({"never": 1, "past": 1, "far": 1})
    database.execute("UPDATE respgres.entries SET expires_at = 'infinity' WHERE key = 'never'")
    database.execute("UPDATE respgres.entries SET expires_at = '-infinity' WHERE key = 'past'")
    database.execute("UPDATE respgres.entries SET expires_at = '20000-01-01Z' WHERE key = 'far'")
    commands = dump(database).stdout
    assert b"past" not in commands
    assert b"*3\r\n$3\r\nSET\r\n$5\r\nnever\r\n$1\r\n1\r\n" in commands
    assert b"$3\r\nfar\r\n$1\r\n1\r\n$4\r\nPXAT\r\n$15\r\n568971820800000\r\n" in commands


# --- backups at intervals ------------------------------------------------------------------------

def backups(folder):
    return sorted(name for name in os.listdir(folder)) if folder.exists() else []


@pytest.mark.rows
def test_backups_at_intervals(lab, database):
    server = lab.respgres(database, http_port=free_port(), backup_interval=1, backup_keep=2)
    folder = server.dir / "backups"
    client = server.client()
    client.set("a", 1, ex=1000)
    other = folder / "respgres-notes.resp"
    began = time.time()
    wait_until(lambda: backups(folder), 30)
    other.write_text("somebody's")
    wait_until(lambda: client.info("respgres")["backup_count"] >= 4, 60)
    client.config_set("backup-interval", 0)
    wait_until(lambda: not children_of(server.pid), 30)
    names = [name for name in backups(folder) if name != other.name]
    assert len(names) == 2
    assert all(re.fullmatch(r"respgres-\d{8}T\d{6}Z\.resp", name) for name in names)
    assert other.exists()
    assert folder.stat().st_mode & 0o777 == 0o700
    info = client.info("respgres")
    newest = folder / names[-1]
    assert info["backup_last_bytes"] == newest.stat().st_size > 50
    assert began < info["backup_last_time"] <= time.time()
    assert info["backup_failures"] == 0
    assert time.strftime("respgres-%Y%m%dT%H%M%SZ.resp",
                         time.gmtime(info["backup_last_time"])) == names[-1]
    metrics = Http(server).metrics()
    assert metrics.value("respgres_backups_total") == info["backup_count"]
    assert metrics.value("respgres_backup_last_success_timestamp_seconds") == info["backup_last_time"]
    target = lab.redis()
    pipe(target, newest.read_bytes())
    same(content(server), content(target))
    assert "event=backup-written file=" in server.log


@pytest.mark.rows
def test_a_backup_that_fails_is_counted_and_tried_again(lab, database, tmp_path):
    folder = tmp_path / "b"
    folder.write_text("a file, no folder")
    server = lab.respgres(database, backup_interval=1, backup_dir=folder)
    client = server.client()
    wait_until(lambda: client.info("respgres")["backup_failures"] >= 2, 60)
    assert "event=backup-failed why=" in server.log
    assert client.info("respgres")["backup_last_time"] == 0
    folder.unlink()
    wait_until(lambda: client.info("respgres")["backup_count"] >= 1, 60)
    assert backups(folder)


@pytest.mark.rows
def test_the_first_backup_waits_until_there_is_something(lab, database):
    """On a new database it failed where the schema took more than a second, and came a tenth of the interval
    later. What PostgreSQL says of an error is told with its first line."""
    proxy = lab.proxy(("127.0.0.1", lab.postgres_port(database)))
    proxy.refuse()
    server = lab.respgres(database.url_by(port=proxy.port), start="answering", backup_interval=1)

    def told(name):
        return server.info("respgres")[name]

    time.sleep(2.5)  # it would come after one second
    assert told("backup_failures") == 0
    proxy.pass_on()
    wait_until(lambda: told("backup_count") >= 1, 60)
    assert told("backup_failures") == 0
    database.execute("ALTER TABLE respgres.spaces RENAME TO away")
    wait_until(lambda: told("backup_failures") >= 1, 60)
    database.execute("ALTER TABLE respgres.away RENAME TO spaces")
    assert re.search('event=backup-failed why=".*relation .* does not exist', server.log)


@pytest.mark.rows
def test_a_restart_does_not_begin_the_interval_anew(lab, database):
    """The latest backup that is there counts, in INFO as well."""
    server = lab.respgres(database, backup_interval=3600)
    folder = server.dir / "backups"
    wait_until(lambda: server.client().info("respgres")["backup_count"] == 1, 30)
    first = backups(folder)
    server.restart()
    assert server.client().info("respgres")["backup_last_bytes"] == 0  # of no keys
    last = server.client().info("respgres")["backup_last_time"]
    assert time.time() - 100 < last
    time.sleep(2.5)  # a first backup would come after one second
    assert backups(folder) == first
    assert server.client().info("respgres")["backup_count"] == 0


@contextlib.contextmanager
def backup_held_up(server, database):
    """The process that writes a backup, which waits for a lock until the block ends. (Only then are there
    backups: one that has begun before the lock could be done with what is locked.)"""
    with database.connect() as connection:
        connection.cursor().execute("LOCK TABLE respgres.spaces")
        server.client().config_set("backup-interval", 1)
        (child,) = wait_until(lambda: children_of(server.pid), 30)
        wait_until(lambda: any(".tmp." in name for name in backups(server.dir / "backups")), 30)
        yield child
        connection.rollback()


def sockets(pid):
    """What a process has open of them."""
    found = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(entry))
        except OSError:
            pass
    return {name for name in found if name.startswith("socket:")}


@pytest.mark.rows
def test_the_secret_is_not_among_the_arguments(lab, database):
    """Nobody sees the URL in ps; the process goes with the server, and so does its file."""
    server = lab.respgres(database, backup_interval=0)
    folder = server.dir / "backups"
    with backup_held_up(server, database) as child:
        line = pathlib.Path(f"/proc/{child}/cmdline").read_bytes()
        assert line == b"respgres\0--backup\0"
        with server.raw() as raw:
            raw.command("PING")
            assert sockets(child) & sockets(server.pid) == set()
        assert server.client().ping()  # nobody waits for it
        assert server.sigterm() == 0
        wait_until(lambda: not pathlib.Path(f"/proc/{child}").exists(), 30, "the process is gone")
        assert not any(".tmp." in name for name in backups(folder))


@pytest.mark.rows
def test_a_child_that_is_killed_is_a_failure(lab, database):
    server = lab.respgres(database, backup_interval=0)
    client = server.client()
    with backup_held_up(server, database) as child:
        failures = client.info("respgres")["backup_failures"]
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: client.info("respgres")["backup_failures"] == failures + 1, 30)
    assert 'why="the process that writes it has died"' in server.log
    wait_until(lambda: client.info("respgres")["backup_count"] >= 1, 60)


@pytest.mark.rows
def test_one_backup_by_hand(lab, respgres, database, tmp_path):
    """respgres --backup, as cron would call it."""
    respgres.client().set("a", 1)
    old = [tmp_path / f"respgres-2020010{i}T000000Z.resp" for i in range(1, 6)]
    left = tmp_path / "respgres-20200101T000000Z.resp.tmp.4711"
    for path in (*old, left):
        path.write_text("old")
    done = run("--backup", "--backup-dir", tmp_path, "--backup-keep", 3,
               env={"DATABASE_URL": database.url})
    found = backups(tmp_path)
    assert found[:2] == [old[3].name, old[4].name] and len(found) == 3
    assert done.stdout.decode() == f'backup file="{tmp_path}/{found[2]}" keys=1 bytes=50\n'


# --- databases that are put back -----------------------------------------------------------------

def pg_dump(database, *options):
    return subprocess.run([database.postgres.programs / "pg_dump", *options, database.url],
                          capture_output=True, check=True, env=clean_environ(), timeout=60).stdout


def psql(database, script):
    subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database.url], input=script,
                   check=True, stdout=subprocess.DEVNULL, env=clean_environ(), timeout=60)


@pytest.mark.rows
def test_pg_dump_into_a_new_cluster(lab, respgres, database, tmp_path):
    """pg_restore of the custom format, and a new instance on it."""
    fill(respgres)
    before = content(respgres)
    archive = tmp_path / "archive"
    archive.write_bytes(pg_dump(database, "--format=custom", "--schema=respgres", "--no-owner"))
    other = lab.database(lab.own_postgres())
    subprocess.run([other.postgres.programs / "pg_restore", "--no-owner", "--exit-on-error", "-d",
                    other.url, archive], check=True, env=clean_environ(), timeout=60)
    restored = lab.respgres(other)
    same(before, content(restored))
    client = restored.client()
    client.mset({f"new:{i}": i for i in range(100)})
    assert len(list(client.scan_iter(count=10))) == sum(db == 0 for db, _ in before) + 100
    assert restored.client(db=15).incr("n") == 42


class Writers:
    """Clients of two instances that write and check; every write must be answered OK, and be what the
    next reads see on both."""

    def __init__(self, servers):
        self.clients = [server.client() for server in servers]
        self.n = 0

    def round(self, count=20):
        for _ in range(count):
            self.n += 1
            writer, reader = self.clients[self.n % 2], self.clients[1 - self.n % 2]
            key = f"k{self.n % 7}"
            assert writer.set(key, self.n)
            assert reader.get(key) == writer.get(key) == b"%d" % self.n
            assert writer.get("counter") == reader.get("counter")
            before = int(reader.get("counter") or 0)
            assert writer.incr("counter") == before + 1
            assert int(reader.get("counter")) == before + 1

    def agree(self, keys):
        one, other = ([client.get(key) for key in keys] for client in self.clients)
        assert one == other
        return one


def versions(database):
    return dict(database.execute("SELECT convert_from(key, 'UTF8'), version FROM respgres.entries"))


def in_place(database, script):
    """Statements of the instances lock the tables in another order: then it is done again."""
    for _ in range(10):
        done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database.url],
                              input=b"BEGIN;\n" + script + b"COMMIT;\n", check=False, timeout=60,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_environ())
        if b"deadlock detected" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr


def replaced_in_place(database, script):
    """The tables' content as it was: one transaction, while the instances go on."""
    tables = database.execute("SELECT 'respgres.' || tablename FROM pg_tables"
                              " WHERE schemaname = 'respgres'")
    in_place(database, f"TRUNCATE {', '.join(name for name, in tables)};\n".encode() + script)


def schema_replaced(database, script):
    in_place(database, b"DROP SCHEMA respgres CASCADE;\n" + script)


@pytest.mark.rows
@pytest.mark.parametrize("how", ["content", "schema"])
@pytest.mark.parametrize("consistency", ["strict", "cached"])
def test_a_database_put_back_under_live_instances(lab, database, how, consistency):
    """Everything is as in the dump, then goes on: stamps rise, no write is refused or lost, the
    instances agree."""
    servers = [lab.respgres(database, consistency=consistency, cached_max_lag="50ms",
                            pg_timeout="10s") for _ in range(2)]
    writers = Writers(servers)
    clients = writers.clients
    clients[0].mset({"kept": "then", "changed": "then", "removed": "then", "counter": 10})
    lag(servers)
    writers.round() if consistency == "strict" else None
    was = int(clients[0].get("counter"))
    options = ("--data-only",) if how == "content" else ("--schema=respgres", "--no-owner")
    script = pg_dump(database, *options)
    clients[0].set("changed", "now")
    clients[1].delete("removed")
    clients[1].set("added", "now")
    clients[0].incrby("counter", 100)
    lag(servers)
    writers.round() if consistency == "strict" else None
    newest = max(versions(database).values())
    (replaced_in_place if how == "content" else schema_replaced)(database, script)
    settle(servers)
    keys = ["kept", "changed", "removed", "added", "counter"]
    # One key at a time: these are the reads that may come from memory.
    wait_until(lambda: [[client.get(key) for key in keys] for client in clients] ==
               [[b"then", b"then", b"then", None, b"%d" % was]] * 2, 60, "both read the old content")
    for client in clients:
        client.set("after", "x")
    assert versions(database)["after"] > newest
    if consistency == "strict":
        writers.round(60)
    else:
        for n in range(40):
            writer = clients[n % 2]
            assert writer.set(f"w{n}", n)
            assert writer.incr("counter") == was + n + 1
        lag(servers)
        writers.agree([f"w{n}" for n in range(40)] + keys)
    after = versions(database)
    assert after["counter"] > newest
    assert [client.dbsize() for client in clients] == [len(list(clients[0].scan_iter()))] * 2
    claimed = [client.info("postgres")["postgres_slot"] for client in clients]
    assert len(set(claimed)) == 2


def lag(servers):
    """Until what was written is seen by all, with consistency cached."""
    del servers
    time.sleep(0.15)


def settle(servers):
    """Until each takes a write: its connections may have to be made anew."""
    for server in servers:
        def takes_a_write():
            try:
                client = server.client(socket_timeout=10)
                return (client.info("respgres")["store_state"] == "online"
                        and client.set("settle", "x"))
            except Exception:
                return False
        wait_until(takes_a_write, 60)


@pytest.mark.rows
@pytest.mark.parametrize("consistency", ["strict", pytest.param("cached", marks=pytest.mark.long)])
def test_an_old_dump_that_does_not_know_the_instances(lab, database, consistency):
    """The instances that serve have come after the dump: their slots are not in it, or are others'."""
    options = {"consistency": consistency, "cached_max_lag": "50ms", "pg_timeout": "10s"}
    first = lab.respgres(database, **options)
    first.client().mset({"kept": "then", "counter": 10})
    script = pg_dump(database, "--data-only")
    first.sigterm()
    servers = [lab.respgres(database, **options) for _ in range(3)]
    clients = [server.client() for server in servers]
    for n in range(30):
        clients[n % 3].incr("counter")
        clients[n % 3].set("kept", "now")
    newest = max(versions(database).values())
    replaced_in_place(database, script)
    settle(servers)
    wait_until(lambda: [(c.get("kept"), c.get("counter")) for c in clients] ==
               [(b"then", b"10")] * 3, 60, "all read the old content")
    for n in range(60):
        assert clients[n % 3].incr("counter") == 11 + n
        assert clients[n % 3].set(f"w{n}", n)
    wait_until(lambda: [c.get("counter") for c in clients] == [b"70"] * 3, 30)
    assert [c.get("w59") for c in clients] == [b"59"] * 3
    assert all(version > newest for key, version in versions(database).items()
               if key.startswith("w") or key == "counter")
    wait_until(lambda: len({c.info("postgres")["postgres_slot"] for c in clients}) == 3, 30)
    wait_until(lambda: database.execute(
        "SELECT count(*) FROM respgres.instances WHERE seen_at > now() - interval '10 s'")[0][0] == 3,
        30, "each has a slot of its own")


@pytest.mark.rows
@pytest.mark.parametrize("consistency", ["strict", "cached"])
def test_a_data_folder_put_back(lab, consistency):
    """As a restored base backup is: PostgreSQL comes back with an older folder."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    servers = [lab.respgres(database, consistency=consistency, cached_max_lag="50ms",
                            pg_timeout="10s") for _ in range(2)]
    clients = [server.client() for server in servers]
    clients[0].mset({"kept": "then", "counter": 10})
    copy = postgres.dir / "copy"
    postgres.stop()
    subprocess.run(["cp", "-a", postgres.data, copy], check=True)
    postgres.start()
    settle(servers)
    for n in range(20):
        clients[n % 2].incr("counter")
        clients[n % 2].set("kept", "now")
        clients[n % 2].set(f"added:{n}", 1)
    newest = max(versions(database).values())
    postgres.stop()
    postgres.data.rename(postgres.dir / "gone")
    copy.rename(postgres.data)
    postgres.start()
    settle(servers)
    wait_until(lambda: [(c.get("kept"), c.get("counter"), c.get("added:1")) for c in clients] ==
               [(b"then", b"10", None)] * 2, 60, "both read the old content")
    for n in range(60):
        assert clients[n % 2].incr("counter") == 11 + n
        assert clients[n % 2].set(f"w{n}", n)
    wait_until(lambda: [c.get("counter") for c in clients] == [b"70"] * 2, 30)
    assert all(version > newest for key, version in versions(database).items()
               if key.startswith("w") or key == "counter")
    assert sorted(clients[0].scan_iter(count=7)) == sorted(clients[1].scan_iter(count=1000))


class Busy(threading.Thread):
    """A client that counts and writes without a pause; it remembers what it was told, and when."""

    def __init__(self, server, name):
        super().__init__()
        self.client = server.client()
        self.name = name
        self.stop = threading.Event()
        self.said = []  # (began, INCR's answer; or what was wrong)

    def run(self):
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                n = self.client.incr(f"count:{self.name}")
                self.client.set(f"last:{self.name}", n)
                read = self.client.get(f"last:{self.name}")
                self.said.append((began, n if read == b"%d" % n else (n, read)))
            except redis.RedisError as error:
                self.said.append((began, error))

    def finish(self):
        self.stop.set()
        self.join()


@pytest.mark.rows
@pytest.mark.parametrize("how", ["content", "schema"])
@pytest.mark.parametrize("consistency", ["strict", "cached"])
def test_a_database_put_back_while_clients_write(lab, database, how, consistency):
    """When the old content is back and the instances are online, every INCR counts from it, one by one,
    and none is refused. (With a fallback they count on while the tables are locked, and merge that.)"""
    lab.expects_deadlocks = True
    lab.defaults["fallback"] = "off"
    servers = [lab.respgres(database, consistency=consistency, cached_max_lag="50ms",
                            pg_timeout="10s") for _ in range(2)]
    busy = [Busy(server, f"{n}{server.port}") for server in servers for n in range(3)]
    options = ("--data-only",) if how == "content" else ("--schema=respgres", "--no-owner")
    for thread in busy:
        thread.client.set(f"count:{thread.name}", 0)
    script = pg_dump(database, *options)
    for thread in busy:
        thread.start()
    try:
        wait_until(lambda: all(len(thread.said) > 20 for thread in busy), 60)
        (replaced_in_place if how == "content" else schema_replaced)(database, script)
        settle(servers)
        put_back = time.monotonic()
        wait_until(lambda: all(sum(began > put_back for began, _ in thread.said) > 50
                               for thread in busy), 60)
    finally:
        for thread in busy:
            thread.finish()
    for thread in busy:
        later = [answer for began, answer in thread.said if began > put_back]
        assert [answer for answer in later if not isinstance(answer, int)] == []
        assert later == list(range(later[0], later[0] + len(later)))
        assert later[0] < len(thread.said) - len(later)  # counted from the dump's 0
        for server in servers:
            wait_until(lambda s=server, t=thread, n=later[-1]:
                       int(s.client().get(f"count:{t.name}")) == n, 30)
