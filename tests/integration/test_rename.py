"""rename-command: as redis.conf has it."""

import pytest


TEXT = 'rename-command GET fetch\nrename-command FLUSHALL ""\nrename-command config "my config"\n'

# What is asked of both; the replies must be the same.
SCRIPT = [
    ["GET", "k"], ["SET", "k", "v"], ["fetch", "k"], ["FETCH", "k"], ["fetch"], ["FLUSHALL"], ["flushall", "async"],
    ["COMMAND", "INFO", "get"], ["COMMAND", "INFO", "flushall"], ["COMMAND", "DOCS", "get"],
    ["COMMAND", "GETKEYS", "fetch", "k"], ["COMMAND", "GETKEYS", "get", "k"],
    ["COMMAND", "GETKEYSANDFLAGS", "fetch", "k"], ["COMMAND", "INFO", "config|get"],
    ["CONFIG", "GET", "timeout"], ["my config", "GET", "timeout"], ["MY Config", "get", "timeout"],
    ["my config", "HELP", "me"], ["my config", "nonsense"], ["my config", "get"], ["my config"], ["", "x"], [""],
    ["MULTI"], ["fetch", "k"], ["SET", "k", "w"], ["EXEC"],
    ["MULTI"], ["get", "k"], ["fetch", "k"], ["EXEC"],
]


def replies(server):
    found = []
    with server.raw() as raw:
        for command in SCRIPT:
            found.append(raw.command(*command))
    return found


@pytest.mark.rows
def test_names_are_as_redis_has_them(lab, database, tmp_path):
    """The script's replies, byte by byte, of both servers."""
    real = lab.redis(start=False)
    path = tmp_path / "redis.conf"
    path.write_text(TEXT)
    line = real.command_line
    real.command_line = lambda: [line()[0], path, *line()[1:]]
    ours = replies(lab.respgres(database, config=TEXT))
    theirs = replies(real.start())
    for command, our, their in zip(SCRIPT, ours, theirs):
        assert our == their, command


@pytest.mark.rows
def test_names_that_are_shown(lab, database):
    """Lists and statistics have a command's own name; one that was turned off is gone."""
    plain = lab.respgres(database).client()
    client = lab.respgres(database, config=TEXT).client()
    listed = {name.decode() for name in client.execute_command("COMMAND LIST")}
    assert {"get", "config", "config|set"} <= listed
    assert "flushall" not in listed and "fetch" not in listed
    assert client.command_count() == plain.command_count() - 1
    assert len(client.execute_command("COMMAND")) == client.command_count()
    assert len(client.execute_command("COMMAND DOCS")) == 2 * client.command_count()
    client.execute_command("fetch", "k")
    assert client.info("commandstats")["cmdstat_get"]["calls"] == 1


@pytest.mark.rows
@pytest.mark.parametrize("how", ["environment", "flag", "two flags", "file of the environment"])
def test_other_places(lab, database, how, tmp_path):
    options, env = {}, {}
    if how == "environment":
        env = {"RESPGRES_CONF_RENAME_COMMAND": "FLUSHALL '' GET \"fetch it\""}
    elif how == "file of the environment":
        (tmp_path / "names").write_text("FLUSHALL '' GET \"fetch it\"\n")
        env = {"RESPGRES_CONF_RENAME_COMMAND_FILE": str(tmp_path / "names")}
    server = lab.respgres(database, start=False, env=env, config='rename-command SET put\n')
    line = server.command_line
    if how == "flag":
        server.command_line = lambda: [*line(), "--rename-command", "FLUSHALL", "", "GET", "fetch it"]
    elif how == "two flags":
        server.command_line = lambda: [*line(), "--rename-command", "FLUSHALL", "",
                                       "--rename-command", "GET", "fetch it"]
    client = server.start().client()
    with server.raw() as raw:
        assert raw.command("SET", "k", "v") == b"+OK\r\n", "what the file says is replaced as a whole"
        assert raw.command("fetch it", "k") == b"$1\r\nv\r\n"
        assert raw.command("GET", "k").startswith(b"-ERR unknown command")
        assert raw.command("FLUSHALL").startswith(b"-ERR unknown command")
    assert "fetch it" not in server.log and "fetch" not in str(client.config_get("*"))
    assert "fetch" not in open(f"/proc/{server.pid}/cmdline", encoding="utf8").read()


@pytest.mark.rows
@pytest.mark.parametrize("text, words", [
    ("rename-command GET\n", ":1: rename-command: needs a command and its new name"),
    ("rename-command GET fetch it\n", ":1: rename-command: needs a command and its new name"),
    ("rename-command NONSENSE x\n", ":1: rename-command NONSENSE: there is no such command"),
    ("port 1\nrename-command GET SET\n", ":2: rename-command GET: there is a command of the new name"),
    ("rename-command GET x\nrename-command GET y\n", ":2: rename-command GET: there is no such command"),
    ("rename-command MIGRATE x\nrename-command MIGRATE y\n",
     ":2: rename-command MIGRATE: there is no such command"),
    ("rename-command GET XADD\n", ":1: rename-command GET: there is a command of the new name"),
    ("rename-command config|get x\n", ":1: rename-command config|get: there is no such command"),
])
def test_what_cannot_be_renamed_stops_the_start(lab, database, text, words):
    server = lab.respgres(database, config=text, start=False)
    server.start(wait=None)
    assert server.wait() == 1
    server.expected_status = 1
    assert words in server.log


@pytest.mark.rows
def test_a_renamed_name_can_be_taken(lab, database):
    """The rows count in their order, as in Redis."""
    server = lab.respgres(database, config="rename-command GET old\nrename-command SET get\n"
                                           "rename-command old set\n")
    with server.raw() as raw:
        assert raw.command("get", "k", "v") == b"+OK\r\n"
        assert raw.command("set", "k") == b"$1\r\nv\r\n"


@pytest.mark.rows
def test_an_included_file_is_named(lab, database, tmp_path):
    included = tmp_path / "names.conf"
    included.write_text("# names\nrename-command SET put\nrename-command nonsense x\n")
    server = lab.respgres(database, config=f"rename-command GET fetch\ninclude {included}\n", start=False)
    server.start(wait=None)
    assert server.wait() == 1
    server.expected_status = 1
    assert f"{included}:3: rename-command nonsense: there is no such command" in server.log


# A file made for Redis, and the same to a letter in another case.
OTHERS = [*(f'rename-command {name} ""' for name in ("MIGRATE", "restore", "FUNCTION", "XADD", "GEOADD")),
          "rename-command DUMP save-it", "rename-command save-it XADD", "rename-command PFADD get-it",
          "rename-command get GET", "rename-command Pfadd2 x"]


@pytest.mark.rows
def test_commands_that_are_not_here_can_be_renamed(lab, database, tmp_path):
    """Whatever Redis 7.0 takes, and not what it does not take."""
    for text in ("\n".join(OTHERS[:-1]) + "\n", "\n".join(OTHERS) + "\n"):
        ours = lab.respgres(database, config=text, start=False)
        theirs = lab.redis(start=False)
        (tmp_path / "redis.conf").write_text(text)
        line = theirs.command_line
        theirs.command_line = lambda line=line: [line()[0], tmp_path / "redis.conf", *line()[1:]]
        if text.endswith("x\n"):
            for server in (ours, theirs):
                server.start(wait=None)
                assert server.wait() == 1
                server.expected_status = 1
            continue
        for server in (ours.start(), theirs.start()):
            with server.raw() as raw:
                assert raw.command("MIGRATE", "a").startswith(b"-ERR unknown command 'MIGRATE'")
                assert raw.command("SET", "k", "v") == b"+OK\r\n"
                assert raw.command("GET", "k") == b"$1\r\nv\r\n"
