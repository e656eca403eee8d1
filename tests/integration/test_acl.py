"""Users: from the configuration, from a file, at run time; what they may do, and what becomes of their
connections. What Redis answers to the same is compared in test_acl_differential.py."""

import http.cookiejar
import json
import os
import pathlib
import re
import stat
import subprocess
import sys
import urllib.request

import pytest
import redis

from harness import RawClient, encode, free_port, wait_until
from harness.util import clean_environ

APP_DIR = pathlib.Path(__file__).parent / "flask_app"
HASH = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"
USERS = [
    "user default off",
    "user app on >secret ~session:* +@all -@dangerous -@admin",
    "user operator on >look %R~* +@read +@connection -@dangerous +info +config|get +slowlog|get +client|list",
    "user admin on >root ~* &* +@all",
]


def alone(lab, **options):
    """A server without PostgreSQL: users have nothing to do with it."""
    return lab.respgres(None, standalone="yes", journal_fsync="no", **options)


def refused(call):
    with pytest.raises(redis.exceptions.NoPermissionError) as caught:
        call()
    return str(caught.value)


def admin_of(server):
    return server.client(username="admin", password="root")


def look_at_the_scenario(server):
    app = server.client(username="app", password="secret")
    assert app.set("session:1", "x", ex=60) and app.get("session:1") == b"x"
    assert app.delete("session:1") == 1
    pipeline = app.pipeline()
    assert pipeline.set("session:2", "y").expire("session:2", 60).execute() == [True, True]
    refused(lambda: app.get("other"))
    refused(lambda: app.mget("session:2", "other"))
    refused(lambda: app.rename("session:2", "other"))
    for call in ("FLUSHALL", "KEYS *", "CONFIG GET port", "SHUTDOWN", "ACL LIST", "MONITOR"):
        refused(lambda call=call: app.execute_command(*call.split()))

    operator = server.client(username="operator", password="look")
    assert operator.get("session:2") == b"y" and operator.ttl("session:2") > 50
    assert "redis_version" in operator.info() and operator.config_get("port")
    assert {client["user"] for client in operator.client_list()} >= {"app", "operator"}
    for call in ("SET session:2 z", "DEL session:2", "EXPIRE session:2 1", "CONFIG SET timeout 1",
                 "FLUSHDB", "GETDEL session:2", "CLIENT KILL ID 1"):
        refused(lambda call=call: operator.execute_command(*call.split()))

    with pytest.raises(redis.exceptions.RedisError, match="WRONGPASS|NOAUTH|Authentication"):
        server.client().ping()
    with pytest.raises(redis.exceptions.RedisError, match="WRONGPASS|NOAUTH|Authentication"):
        server.client(username="app", password="look").ping()
    assert admin_of(server).acl_whoami() == "admin"


# --- where users come from ------------------------------------------------------------------------

def test_an_app_and_an_operator_from_a_file(lab):
    look_at_the_scenario(alone(lab, config="\n".join(USERS) + "\n"))


def test_an_app_and_an_operator_from_an_aclfile(lab, tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("\n".join(USERS) + "\n")
    look_at_the_scenario(alone(lab, aclfile=path))


def test_an_app_and_an_operator_from_the_environment(lab):
    lines = [line.removeprefix("user ") for line in USERS]
    look_at_the_scenario(alone(lab, env={"RESPGRES_CONF_USER": "# people\n" + "\n".join(lines)}))


def test_an_app_and_an_operator_from_a_secret_file(lab, tmp_path):
    path = tmp_path / "users"
    path.write_text("\n\n".join(line.removeprefix("user ") for line in USERS) + "\n")
    server = alone(lab, env={"RESPGRES_CONF_USER_FILE": str(path)})
    look_at_the_scenario(server)
    assert admin_of(server).config_get("user") == {"user": "(redacted)"}
    assert "secret" not in server.log and HASH not in server.log


def test_a_user_as_a_flag_is_not_seen(lab):
    server = alone(lab, user="app on >secret ~session:* +@all")
    line = pathlib.Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert b"secret" not in line
    assert server.client(username="app", password="secret").set("session:1", "x")
    assert server.client().ping()  # the default user is as ever


@pytest.mark.parametrize("lines, complaint", [
    (["user app on +nosuch"], "user app: '+nosuch': Unknown command or category name in ACL"),
    (["user app on", "user app off"], "user app: Duplicate user found"),
    (["user app on <secret"], "user app: '<': The password you are trying to remove"),
    (["user app (+get"], "user app: Unmatched parenthesis in acl selector starting at '(+get'"),
    (["user app on", "aclfile /nowhere"], "define them in the file, or by the option, not both"),
    (["aclfile /nowhere"], "Error loading ACLs, opening file '/nowhere'"),
])
def test_wrong_users_stop_the_start(lab, lines, complaint):
    server = alone(lab, config="\n".join(lines) + "\n", start=None)
    assert server.wait() == 1
    server.expected_status = 1
    assert complaint in server.log and "secret" not in server.log


def test_requirepass_is_the_default_users_password(lab, tmp_path):
    server = alone(lab, requirepass="one")
    client = server.client(password="one")
    assert re.match(r"user default on #[0-9a-f]{64} ~\* &\* \+@all", client.acl_list()[0])
    client.config_set("requirepass", "two")
    assert server.client(password="two").ping() and client.ping()
    with pytest.raises(redis.exceptions.RedisError, match="WRONGPASS|NOAUTH|Authentication"):
        server.client(password="one").ping()
    path = tmp_path / "users.acl"
    path.write_text("user app on >secret +ping\n")
    other = alone(lab, requirepass="one", aclfile=path)  # the file says nothing of the default user
    with pytest.raises(redis.exceptions.RedisError, match="WRONGPASS|NOAUTH|Authentication"):
        other.client().ping()
    assert other.client(password="one").ping()


# --- the aclfile ------------------------------------------------------------------------------------

@pytest.fixture
def filed(lab, tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("\n".join(USERS[1:]) + "\n")
    server = alone(lab, aclfile=path)
    server.acl = path
    return server


def test_load_takes_all_or_nothing(filed, lab):
    """What it complains of is what Redis complains of."""
    real = lab.redis(aclfile=filed.acl)
    ours, theirs = filed.client(), real.client()
    before = ours.acl_list()
    for text in ("user a on +foo\nuser b ~x bar\nfoo\nuser b c\nuser d\nuser d\n",
                 "user z (+get\nuser c on <q\nuser x ~a ~*  ~b &\n",
                 "user a\ton\n", "user\n", "# c\n", "user a on #12 <q\n", "user  x\n"):
        filed.acl.write_text(text)
        errors = []
        for client in (ours, theirs):
            with pytest.raises(redis.exceptions.ResponseError) as caught:
                client.acl_load()
            errors.append(str(caught.value))
        assert errors[0] == errors[1]
    assert ours.acl_list() == before
    filed.acl.write_text("user a on >x ~k +get (~z +@read)\n\n  user b  off  \nuser c\n")
    assert ours.acl_load() and theirs.acl_load()
    assert ours.acl_list() == theirs.acl_list()
    filed.acl.unlink()
    for client in (ours, theirs):
        with pytest.raises(redis.exceptions.ResponseError, match="opening file"):
            client.acl_load()


def test_save_writes_what_load_reads(filed):
    admin = admin_of(filed)
    filed.acl.chmod(0o640)
    admin.acl_setuser("new", enabled=True, passwords=["+p"], keys=["k"], commands=["+get"])
    admin.execute_command("ACL", "SETUSER", "new", "(%R~x +@string)", "&c")
    before = admin.acl_list()
    assert admin.acl_save()
    assert stat.S_IMODE(filed.acl.stat().st_mode) == 0o640
    assert sorted(os.listdir(filed.acl.parent)) == ["users.acl"]  # no temporary one is left
    assert filed.acl.read_text().splitlines() == before
    admin.execute_command("ACL", "DELUSER", "new")
    assert admin.acl_load() and admin.acl_list() == before
    filed.restart()
    assert admin_of(filed).acl_list() == before


def test_a_file_that_cannot_be_written(filed):
    folder = filed.acl.parent / "gone"
    admin = admin_of(filed)
    os.rename(filed.acl.parent, folder.parent.with_name("elsewhere"))
    try:
        with pytest.raises(redis.exceptions.ResponseError, match="trying to save the ACLs"):
            admin.acl_save()
    finally:
        os.rename(folder.parent.with_name("elsewhere"), filed.acl.parent)


def test_load_closes_only_whom_it_concerns(filed):
    with filed.raw() as app, filed.raw() as operator, filed.raw() as nobody, filed.raw() as admin:
        app.command("AUTH", "app", "secret")
        operator.command("AUTH", "operator", "look")
        admin.command("AUTH", "admin", "root")
        assert nobody.command("PING") == b"+PONG\r\n"
        filed.acl.write_text("\n".join([USERS[1], USERS[2] + " +flushdb"]) + "\n")
        assert admin.command("ACL", "LOAD") == b"+OK\r\n"
        assert admin.is_closed()  # there is no admin any more
        assert operator.is_closed()  # may do something else now
        assert app.command("ACL", "WHOAMI") == b"$3\r\napp\r\n"
        assert nobody.command("PING") == b"+PONG\r\n"


def test_sighup_reads_the_users_again(filed):
    with filed.raw() as app:
        app.command("AUTH", "app", "secret")
        filed.acl.write_text("user app on >other ~session:* +@all\nuser default on nopass ~* +@all\n")
        filed.sighup()
        assert app.is_closed()
    assert filed.client(username="app", password="other").get("session:1") is None
    filed.acl.write_text("user app on +nosuch\n")
    filed.sighup()
    wait_until(lambda: "config-not-reloaded" in filed.log, 30, "the reload is refused")
    assert "'+nosuch'" in filed.log
    assert filed.client(username="app", password="other").get("session:1") is None


def test_sighup_reads_user_lines_again(lab):
    server = alone(lab, config="\n".join(USERS) + "\n")
    server.config_path.write_text("\n".join(USERS[:2]) + "\nuser late on >late ~l* +@all\n")
    server.sighup()
    wait_until(lambda: "config-reloaded" in server.log, 30, "it is reloaded")
    assert server.client(username="late", password="late").get("l") is None
    with pytest.raises(redis.exceptions.RedisError, match="WRONGPASS|NOAUTH|Authentication"):
        admin_of(server).ping()
    server.config_path.write_text("user late on >late ~l* +nosuch\n")
    server.sighup()
    wait_until(lambda: "config-not-reloaded" in server.log, 30, "the reload is refused")
    assert server.client(username="late", password="late").get("l") is None


def test_users_of_run_time_outlive_a_reload_that_says_nothing_of_users(lab):
    server = alone(lab, config="timeout 0\n")
    server.client().execute_command("ACL", "SETUSER", "u", "on", ">pw", "+ping")
    server.sighup()
    wait_until(lambda: "config-reloaded" in server.log, 30, "it is reloaded")
    assert server.client(username="u", password="pw").ping()


def test_config_rewrite_writes_the_users(lab):
    text = "timeout 0\nuser app on >secret ~session:* +@all\n"
    server = alone(lab, config=text)
    client = server.client()
    client.config_rewrite()
    assert server.config_path.read_text().count("\nuser ") == 1  # nothing about users has changed
    assert ">secret" in server.config_path.read_text()
    client.execute_command("ACL", "SETUSER", "new", "on", ">pw", "%R~a\"b", "(~c +get)", "+select|0")
    client.execute_command("ACL", "SETUSER", "app", "-@dangerous")
    before = client.acl_list()
    client.config_rewrite()
    written = server.config_path.read_text()
    assert written.count("\nuser ") == 3 and ">secret" not in written and HASH in written
    client.config_rewrite()
    assert server.config_path.read_text() == written
    server.restart()
    assert server.client().acl_list() == [
        line.replace("user default on nopass ", "user default on nopass sanitize-payload ")
        for line in before]
    assert server.client(username="app", password="secret").get("session:1") is None


# --- connections -------------------------------------------------------------------------------------

def test_connections_of_a_removed_user_are_closed(lab):
    server = alone(lab, config="\n".join(USERS) + "\n")
    admin = admin_of(server)
    with server.raw() as one, server.raw() as two, server.raw() as other:
        one.command("AUTH", "app", "secret")
        two.command("HELLO", "3", "AUTH", "app", "secret")
        other.command("AUTH", "operator", "look")
        one.command("MULTI")
        one.command("SET", "session:1", "x")
        assert admin.execute_command("ACL", "DELUSER", "app", "nobody") == 1
        assert one.is_closed() and two.is_closed()
        assert other.command("PING") == b"+PONG\r\n"
        assert admin.execute_command("CLIENT", "KILL", "USER", "operator") == 1
        assert other.is_closed()
    with server.raw() as own:
        own.command("AUTH", "admin", "root")
        assert own.command("ACL", "DELUSER", "admin") == b":1\r\n"
        assert own.is_closed()


def test_monitor_and_slowlog_show_no_password(lab):
    server = alone(lab, slowlog_log_slower_than=0)
    client = server.client()
    with server.raw() as monitor, server.raw() as other:
        monitor.command("MONITOR")
        for call in (["AUTH", "default", "hidden"], ["AUTH", "hidden"], ["AUTH", "a", "hidden", "b"],
                     ["HELLO", "2", "AUTH", "default", "hidden", "SETNAME", "shown"],
                     ["hello", "3", "setname", "auth", "auth", "default", "hidden"],
                     ["ACL", "SETUSER", "u", ">hidden"], ["CONFIG", "SET", "requirepass", "hidden"],
                     ["MULTI"], ["CONFIG", "SET", "timeout", "0", "requirepass", "hidden"],
                     ["ACL", "SETUSER", "u", ">hidden"], ["AUTH", "u", "hidden"], ["EXEC"],
                     ["AUTH", "default", "hidden"], ["CONFIG", "SET", "requirepass", ""],
                     ["ACL", "WHOAMI"]):
            other.command(*call)
        seen = b""
        while b"WHOAMI" not in seen:
            seen += monitor.reply()
    assert b"hidden" not in seen and b"(redacted)" in seen and b"shown" in seen
    slow = client.execute_command("SLOWLOG", "GET", "-1")
    assert "hidden" not in str(slow)
    assert "hidden" not in server.log


def test_passwords_are_in_no_list(lab):
    server = alone(lab, config="\n".join(USERS) + "\n")
    admin = admin_of(server)
    shown = str(admin.acl_list()) + str(admin.acl_getuser("app")) + str(admin.config_get("*"))
    assert "secret" not in shown and HASH in shown


def test_protected_mode_asks_the_default_user(lab):
    """A password of the default user that an aclfile or ACL SETUSER gives counts as well."""
    addresses = os.popen("hostname -I").read().split()
    outside = [a for a in addresses if not a.startswith("127.") and ":" not in a]
    if not outside:
        pytest.skip("the machine has no address but its own")
    server = alone(lab, bind="0.0.0.0")

    with RawClient((outside[0], server.port)) as raw:
        assert raw.rest().startswith(b"-DENIED ")
    server.client().execute_command("ACL", "SETUSER", "default", ">pw")
    with RawClient((outside[0], server.port)) as raw:
        assert raw.command("PING") == b"-NOAUTH Authentication required.\r\n"


def test_check_config_looks_at_the_users(lab, tmp_path):
    path = tmp_path / "respgres.conf"
    path.write_text("standalone yes\nuser app on >secret +nosuch\n")
    binary = alone(lab).binary()
    done = subprocess.run([binary, path, "--check-config"], capture_output=True, text=True,
                          env=clean_environ(), timeout=60, check=False)
    assert done.returncode == 1 and "'+nosuch'" in done.stderr and "secret" not in done.stderr
    path.write_text("standalone yes\nuser app on >secret +get\n")
    done = subprocess.run([binary, path, "--check-config"], capture_output=True, text=True,
                          env=clean_environ(), timeout=60, check=False)
    assert done.returncode == 0 and "secret" not in done.stdout


# --- an application ------------------------------------------------------------------------------------

def test_flask_session_as_a_restricted_user(lab, database):
    """REDIS_URL=redis://app:secret@host: the app of test_flask.py, which may touch session:* only."""
    server = lab.respgres(database, config="\n".join(USERS) + "\n")
    port = free_port()
    log_path = server.dir / "gunicorn.log"
    with open(log_path, "wb") as log:
        process = lab.process(
            [sys.executable, "-m", "gunicorn", "--chdir", APP_DIR, "--workers", "1", "--threads",
             "4", "--bind", f"127.0.0.1:{port}", "app:app"], stdout=log, stderr=log,
            env=clean_environ(SESSION_SECONDS="3600",
                              REDIS_URL=f"redis://app:secret@127.0.0.1:{server.port}/0"))
    opener = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def ask(path, form=None):
        with opener.open(f"http://127.0.0.1:{port}{path}", form, timeout=20) as answer:
            return json.load(answer)

    def answers():
        assert process.poll() is None, log_path.read_text()
        try:
            return ask("/whoami")
        except OSError:
            return None

    assert wait_until(answers, 60, "gunicorn answers") or True
    ask("/login", b"user=Ida")
    assert ask("/whoami")["user"] == "Ida"
    ask("/logout", b"x=1")
    assert ask("/whoami")["user"] is None
    assert admin_of(server).acl_log() == []  # nothing that it wanted was refused


# --- who is asked, when it takes a while -------------------------------------------------------------

def test_a_block_belongs_to_whom_its_exec_came_from(lab, database):
    """A pipelined AUTH behind it, while the block still waits for PostgreSQL, is not about it."""
    server = lab.respgres(database, pg_timeout=10000, user="nobody on >secret -@all")
    with server.raw() as raw:
        raw.send(b"".join(encode(*call) for call in (
            ["MULTI"], ["INCR", "n"], ["GET", "n"], ["EXEC"], ["AUTH", "nobody", "secret"],
            ["GET", "n"])))
        assert [raw.reply() for _ in range(5)] == [
            b"+OK\r\n", b"+QUEUED\r\n", b"+QUEUED\r\n", b"*2\r\n:1\r\n$1\r\n1\r\n", b"+OK\r\n"]
        assert raw.reply().startswith(b"-NOPERM this user has no permissions to run the 'get'")


# Runs the block again: only its run tells which key it wants.
WANTS_A_KEY = ["EVAL", "return redis.call('strlen', 'not-declared')", "0"]


def test_a_block_that_runs_again_is_judged_as_before(lab, database):
    """What stands before its AUTH is the first user's, whatever the first run has made of the client."""
    here, there = (lab.respgres(database, pg_timeout=10000, user="nobody on >secret ~not-declared -@all +eval +strlen")
                   for _ in range(2))
    for n in range(1, 4):
        assert here.client().incr("n") == 2 * n - 1   # known here
        assert there.client().incr("n") == 2 * n      # and changed elsewhere
        with here.raw() as raw:
            raw.send(b"".join(encode(*call) for call in (
                ["MULTI"], ["INCRBY", "n", "0"], ["AUTH", "nobody", "secret"], ["GET", "n"],
                WANTS_A_KEY, ["EXEC"])))
            assert [raw.reply() for _ in range(5)] == [b"+OK\r\n"] + [b"+QUEUED\r\n"] * 4
            reply = raw.reply()
            assert reply.startswith(b"*4\r\n:%d\r\n+OK\r\n-NOPERM ACLs rules changed" % (2 * n)), reply
            assert reply.endswith(b"\r\n:0\r\n"), reply


def test_a_block_that_runs_again_changes_a_user_once(lab, database):
    here, there = (lab.respgres(database, pg_timeout=10000) for _ in range(2))
    for n in range(1, 4):
        assert here.client().incr("n") == 2 * n - 1
        assert there.client().incr("n") == 2 * n
        here.client().acl_setuser("someone")
        with here.raw() as raw:
            raw.send(b"".join(encode(*call) for call in (
                ["MULTI"], ["INCRBY", "n", "0"], ["ACL", "DELUSER", "someone"], ["HELLO", "3"],
                ["CONFIG", "GET", "none"], WANTS_A_KEY, ["EXEC"])))
            assert [raw.reply() for _ in range(6)] == [b"+OK\r\n"] + [b"+QUEUED\r\n"] * 5
            reply = raw.reply()
            assert reply.startswith(b"*5\r\n:%d\r\n:1\r\n%%7\r\n" % (2 * n)), reply
            assert reply.endswith(b"%0\r\n:0\r\n")
