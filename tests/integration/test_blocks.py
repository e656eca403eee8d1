"""MULTI blocks with more than keys in them: commands about the connection and the server, which cannot be
taken back, and scripts beside commands over the whole keyspace (docs/consistency.md)."""

import hashlib

import pytest

from harness import encode, wait_until
from rules import Holder, OK, bulk, number, waiting_for_locks
from test_doubt_away import come_back, cut_off, link  # noqa: F401 pylint: disable=unused-import

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

NIL_ARRAY = b"*-1\r\n"
TIMEOUT_MS = 10_000  # pg-timeout: no outage for want of a processor


@pytest.fixture(scope="module")
def shared_database(module_lab):
    return module_lab.database()


@pytest.fixture(scope="module")
def fleet(module_lab, shared_database):
    return [module_lab.respgres(shared_database, pg_timeout=TIMEOUT_MS) for _ in range(2)]


@pytest.fixture(scope="module")
def theirs(module_lab):
    return module_lab.redis()


def words(command):
    return command.split() if isinstance(command, str) else command


def block(raw, *commands):
    """What EXEC answers."""
    assert raw.command("MULTI") == OK
    for command in commands:
        assert raw.command(*words(command)) == b"+QUEUED\r\n"
    return raw.command("EXEC")


def connection(raw):
    """What CLIENT INFO tells of a connection's own state."""
    fields = dict(field.split(b"=", 1) for field in raw.command("CLIENT", "INFO").split() if b"=" in field)
    return {name: fields[name] for name in (b"name", b"db", b"flags", b"sub", b"resp")}


def eval_of(text, *args):
    return ["EVAL", text, "0", *args]


def publishing(text):
    return eval_of("redis.call('incr', 'counted') return redis.call('publish', 'told', ARGV[1])", text)


# --- a WATCH that does not hold ------------------------------------------------------------------------

BLOCKS = [
    ["SELECT 3", "GET k"],
    ["GET k", "SELECT 3", "CLIENT SETNAME me"],
    ["SELECT 3", "DBSIZE"],
    ["CLIENT SETNAME me"],
    ["HELLO 3"],
    ["HELLO 3 SETNAME me", "INCR counted"],
    ["SUBSCRIBE told", "GET k"],
    ["CLIENT REPLY OFF"],
    ["CLIENT REPLY SKIP", "SET k 2"],
    ["CLIENT NO-EVICT ON"],
    ["CONFIG SET slowlog-max-len 77"],
    ["ACL SETUSER somebody on nopass"],
    ["SCRIPT LOAD return(77)"],
    [eval_of("return redis.call('incr', 'counted')"), "SELECT 3"],
]


def after_nil(server, other, commands):
    """What is to be seen of a block whose watched key `other` has changed."""
    with server.raw() as raw, other.raw() as changing:
        before = connection(raw)
        assert changing.command("MSET", "k", "1", "w", "1", "counted", "1") == OK
        assert raw.command("WATCH", "w") == OK
        assert changing.command("SET", "w", "2") == OK
        assert block(raw, *commands, "SET w 9") == NIL_ARRAY
        assert connection(raw) == before
        return [raw.command(*words(command)) for command in (
            "MGET k w counted", "CONFIG GET slowlog-max-len", "ACL GETUSER somebody",
            f"SCRIPT EXISTS {hashlib.sha1(b'return(77)').hexdigest()}", "HGETALL none")]


@pytest.mark.parametrize("commands", BLOCKS, ids=str)
def test_a_nil_exec_has_done_nothing(fleet, theirs, commands):
    """Also if it is another instance that has changed the key: this one's memory does not know."""
    mine, other = fleet
    expected = after_nil(theirs, theirs, commands)
    assert after_nil(mine, other, commands) == expected
    assert after_nil(mine, mine, commands) == expected


def test_a_nil_exec_has_done_nothing_when_it_ran_for_its_keys(fleet, shared_database):
    """A first run, in which the WATCH held, has told which key the script wants; in the second it holds no
    more."""
    mine, other = fleet
    with mine.raw(30) as raw, other.raw() as changing:
        assert changing.command("MSET", "a-key-not-declared", "1", "w", "1") == OK
        assert raw.command("WATCH", "w") == OK
        with Holder(shared_database, "a-key-not-declared") as holder:
            raw.send(b"".join(encode(*words(command)) for command in (
                "MULTI", "SELECT 3", "CLIENT SETNAME me", "HELLO 3", "SELECT 0",
                eval_of("return redis.call('get', 'a-key-not-declared')"), "SELECT 5", "SET w 9", "EXEC")))
            wait_until(lambda: waiting_for_locks(shared_database), what="it waits for the row")
            assert changing.command("SET", "w", "2") == OK
            holder.release()
        assert [raw.reply() for _ in range(8)] == [OK] + [b"+QUEUED\r\n"] * 7
        assert raw.reply() == NIL_ARRAY
        found = connection(raw)
        assert (found[b"db"], found[b"name"], found[b"resp"]) == (b"0", b"", b"2")
        assert raw.command("GET", "w") == bulk("2")


def test_a_block_whose_watch_holds_does_it_all(fleet, theirs):
    for server in (theirs, fleet[0]):
        with server.raw() as raw:
            assert raw.command("MSET", "k", "1", "w", "1") == OK
            assert raw.command("WATCH", "w") == OK
            assert block(raw, "GET k", "SELECT 3", "SET of-three 3", "CLIENT SETNAME me",
                         eval_of("return redis.call('get', 'of-three')"), "SELECT 4", "DBSIZE") == \
                b"*7\r\n" + bulk("1") + OK + OK + OK + bulk("3") + OK + number(0)
            found = connection(raw)
            assert (found[b"db"], found[b"name"]) == (b"4", b"me")


# --- a block that PostgreSQL refuses -------------------------------------------------------------------

def test_a_refused_block_leaves_the_connection_as_it_was(lab, database):
    server = lab.respgres(database, pg_timeout=TIMEOUT_MS)
    raw = server.raw()
    assert raw.command("SET", "k", "1") == OK
    assert raw.command("CLIENT", "SETNAME", "before") == OK
    database.execute("ALTER TABLE respgres.entries ADD CHECK (key <> 'refused' OR value IS NULL)")
    before = connection(raw)
    for commands in (["SET refused 1", "SELECT 3", "CLIENT SETNAME me", "HELLO 3", "CLIENT NO-EVICT ON"],
                     ["SELECT 3", "CLIENT SETNAME me", "HELLO 3", "SET k 2", "SELECT 0", "SET refused 1",
                      "SELECT 2", "CLIENT REPLY OFF"],
                     ["SELECT 3", "SELECT 0", "SET refused 1", "SELECT 2", "DBSIZE"],
                     ["SELECT 2", eval_of("return redis.call('set', 'refused', 1)"), "SELECT 3"]):
        assert block(raw, *commands).startswith(b"-ERR PostgreSQL refused the write"), commands
        assert connection(raw) == before
    assert raw.command("MGET", "k", "refused") == b"*2\r\n" + bulk("1") + b"$-1\r\n"


# --- while PostgreSQL is away --------------------------------------------------------------------------

def test_watches_are_judged_first_while_memory_is_the_truth(lab, database, link):  # noqa: F811
    server = lab.respgres(database.url_by(port=link.lanes.port), pg_timeout=TIMEOUT_MS)
    with server.raw() as raw, server.raw() as changing:
        assert changing.command("MSET", "k", "1", "w", "1") == OK
        assert changing.command("MGET", "k", "w") == b"*2\r\n" + bulk("1") * 2
        cut_off(link, server)
        before = connection(raw)
        for commands in BLOCKS[:5]:
            assert raw.command("WATCH", "w") == OK
            assert changing.command("SET", "w", "2") == OK
            assert block(raw, *commands, "SET w 9") == NIL_ARRAY
            assert connection(raw) == before
        assert raw.command("WATCH", "w", "k") == OK
        assert block(raw, "SET w 3", "SELECT 3", "CLIENT SETNAME me") == b"*3\r\n" + OK * 3
        assert connection(raw)[b"db"] == b"3"
        assert changing.command("GET", "w") == bulk("3")
        come_back(link, server)
        assert changing.command("GET", "w") == bulk("3")


# --- scripts beside commands over the whole keyspace ---------------------------------------------------

def told(server, commands):
    """What a subscriber hears of a block."""
    with server.raw() as hears, server.raw() as raw:
        assert hears.command("SUBSCRIBE", "told").startswith(b"*3\r\n")
        raw.command("SET", "counted", "1")
        answer = block(raw, *commands)
        assert raw.command("PUBLISH", "told", "end") == number(1)
        texts = []
        while not texts or texts[-1] != b"end":
            texts.append(hears.reply().split(b"\r\n")[-2])
        return answer, texts[:-1]


@pytest.mark.parametrize("commands, texts", [
    ([publishing("1"), "KEYS none-*"], [b"1"]),
    ([publishing("1"), "KEYS none-*", publishing("2"), "KEYS none-*", publishing("3")], [b"1", b"2", b"3"]),
    ([publishing("1"), "KEYS none-*", eval_of("return redis.call('get', 'none' .. redis.call('incr', 'counted'))")],
     [b"1"]),
    ([publishing("1"), "PUBLISH told 2", publishing("3"), "PUBLISH told 4"], [b"1", b"2", b"3", b"4"]),
    (["PUBLISH told 1", publishing("2"), "KEYS none-*", "PUBLISH told 3", publishing("4")],
     [b"1", b"2", b"3", b"4"]),
], ids=str)
def test_what_a_blocks_scripts_publish_is_heard_in_order(fleet, theirs, commands, texts):
    """Also what was published before a command over the whole keyspace; and each once."""
    expected = told(theirs, commands)
    assert expected[1] == texts
    assert told(fleet[0], commands) == expected


def test_what_a_blocks_scripts_did_before_a_query_is_noted(lab, database):
    """Logged, shown by MONITOR, counted: once, if it runs again for its keys as well."""
    server = lab.respgres(database, pg_timeout=TIMEOUT_MS)
    client = server.client()
    client.config_resetstat()
    with server.raw() as raw, server.raw() as monitor:
        assert monitor.command("MONITOR") == OK
        logging = "redis.log(redis.LOG_WARNING, ARGV[1]) return redis.call('incr', 'k' .. ARGV[2])"
        assert block(raw, eval_of(logging, "logged-first", "1"), "DBSIZE", eval_of(logging, "logged-then", "2")) == \
            b"*3\r\n" + number(1) * 3
        raw.command("ECHO", "end")
        lines = []
        while not lines or b'"end"' not in lines[-1]:
            lines.append(monitor.reply())
    assert sum(b"lua" in line and b"incr" in line for line in lines) == 2
    assert client.info("commandstats")["cmdstat_incr"]["calls"] == 2
    for text in ("logged-first", "logged-then"):
        wait_until(lambda word=text: word in server.log, what=text)
        assert server.log.count(text) == 1
