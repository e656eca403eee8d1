"""Starting, stopping and reloading: what an operator meets first."""

import re
import signal
import subprocess
import threading

import pytest
import redis

from harness import encode, free_port, wait_until
from harness.servers import SANITIZERS, Respgres
from harness.util import TOP, clean_environ

pytestmark = pytest.mark.rows  # redis-server has other options and no database


def refused(server):
    """Starts a server that must refuse; returns its log."""
    server.start(wait=None)
    assert server.wait() not in (0, 99)
    server.expected_status = server.process.returncode
    assert server.process.returncode > 0, "killed by a signal"
    return server.log


# --- options -------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, line, word", [
    ("port 7000\nnonsense 1\n", 2, "nonsense"),
    ("\n# a comment\n  port seven\n", 3, "port"),
    ("port 70000\n", 1, "port"),
    ("timeout\n", 1, "timeout"),
    ('bind "127.0.0.1\n', 1, ""),
    ("pg-timeout -1\n", 1, "pg-timeout"),
    ("consistency sometimes\n", 1, "consistency"),
])
def test_a_bad_line_in_the_file(lab, database, text, line, word):
    server = lab.respgres(database, config=text, start=False)
    log = refused(server)
    assert f"{server.config_path}:{line}:" in log
    assert word in log.split(f":{line}:")[1]


@pytest.mark.parametrize("options, env", [
    ({"nonsense": "1"}, {}),
    ({"maxclients": "many"}, {}),
    ({}, {"RESPGRES_CONF_NONSENSE": "1"}),
    ({}, {"RESPGRES_CONF_MAXCLIENTS": "many"}),
])
def test_a_bad_flag_or_variable(lab, database, options, env):
    log = refused(lab.respgres(database, env=env, start=False, **options))
    assert "nonsense" in log.lower() or "maxclients" in log.lower()


@pytest.mark.parametrize("url", [None, ""])
def test_without_a_database_url_it_says_what_to_do(lab, url):
    log = refused(lab.respgres(url, start=False))
    assert "database-url" in log
    assert "DATABASE_URL" in log


def test_a_file_that_is_not_there(lab, database):
    server = lab.respgres(database, config="", start=False)
    server.config_path.unlink()
    assert str(server.config_path) in refused(server)


def test_a_port_that_is_taken(lab, database, respgres):
    log = refused(lab.respgres(database, start=False, port=respgres.port))
    assert str(respgres.port) in log
    assert respgres.client().ping()


def test_flags_beat_environment_beats_file(lab, database):
    server = lab.respgres(
        database, config="maxclients 11\ntimeout 12\ntcp-keepalive 13\n",
        env={"RESPGRES_CONF_MAXCLIENTS": "21", "RESPGRES_CONF_TIMEOUT": "22"}, maxclients=31)
    client = server.client()
    assert client.config_get("maxclients") == {"maxclients": "31"}
    assert client.config_get("timeout") == {"timeout": "22"}
    assert client.config_get("tcp-keepalive") == {"tcp-keepalive": "13"}


def test_a_services_variables_are_not_read(lab, database):
    """Kubernetes injects these for a service of the name respgres."""
    server = lab.respgres(database, env={"RESPGRES_PORT": "tcp://10.0.0.1:6379",
                                         "RESPGRES_SERVICE_HOST": "10.0.0.1"})
    assert server.client().ping()


@pytest.mark.parametrize("variable", ["DATABASE_URL", "RESPGRES_CONF_DATABASE_URL"])
@pytest.mark.parametrize("as_file", [False, True])
def test_the_url_from_the_environment(lab, database, tmp_path, variable, as_file):
    value = database.url
    if as_file:
        path = tmp_path / "url"
        path.write_text(value + "\n")
        variable, value = variable + "_FILE", str(path)
    assert lab.respgres(None, env={variable: value}).client().set("k", "v")
    assert database.row("k").value == b"v"


def test_the_password_is_shown_nowhere(lab):
    """Neither in the log, nor by CONFIG GET, nor to those who list processes."""
    postgres = lab.postgres()
    secret = "ganz+geheim/1"
    postgres.create_role("shy", secret)
    database = lab.database(owner="shy")
    server = lab.respgres(database.url_by(password=secret, tcp=True), requirepass=secret)
    client = server.client(password=secret)
    client.set("k", "v")
    shown = [server.log, str(client.config_get("*")), str(client.info()),
             open(f"/proc/{server.pid}/cmdline", encoding="utf8").read()]
    for text in shown:
        assert secret not in text
        assert "ganz" not in text
    server.sigterm()
    database.drop()
    postgres.execute("DROP ROLE shy")


# --- PostgreSQL that is not there ----------------------------------------------------------------

def loading(server):
    """Asserts that it runs and says that it has no database yet."""
    with server.raw() as raw:
        assert raw.command("GET", "k").startswith(b"-LOADING ")
        assert raw.command("SET", "k", "v").startswith(b"-LOADING ")
        assert b"\r\nloading:1\r\n" in raw.command("INFO")


def test_a_wrong_password(lab):
    postgres = lab.postgres()
    postgres.create_role("forgetful", "right")
    database = lab.database(owner="forgetful")
    server = lab.respgres(database.url_by(password="wrong", tcp=True), start="answering")
    wait_until(lambda: "password authentication failed" in server.log, what="the log says why")
    loading(server)
    postgres.execute("ALTER ROLE forgetful PASSWORD 'wrong'")
    wait_until(lambda: server.client().config_get("port") and works(server), 40)
    server.sigterm()
    database.drop()
    postgres.execute("DROP ROLE forgetful")


def works(server):
    try:
        return server.client().set("k", "v")
    except redis.RedisError:
        return False


def test_a_database_that_does_not_exist(lab, database):
    server = lab.respgres(database.url.replace(database.name + "?", "missing?"),
                          start="answering")
    wait_until(lambda: re.search("database .missing. does not exist", server.log),
               what="the log says why")
    loading(server)
    assert server.sigterm() == 0


def test_a_host_that_does_not_exist(lab):
    server = lab.respgres("postgresql://nobody@nowhere.invalid/none", start="answering")
    loading(server)
    assert server.sigterm() == 0


def test_nobody_listens(lab):
    server = lab.respgres(f"postgresql://nobody@127.0.0.1:{free_port()}/none", start="answering")
    loading(server)
    assert server.sigterm() == 0


def test_a_host_that_never_answers(lab):
    proxy = lab.proxy(("127.0.0.1", free_port()))
    proxy.blackhole()
    server = lab.respgres(f"postgresql://nobody@127.0.0.1:{proxy.port}/none", start="answering")
    loading(server)
    assert server.sigterm() == 0


def test_service_begins_when_postgresql_does(lab):
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    postgres.stop()
    server = lab.respgres(database, start="answering")
    loading(server)
    postgres.start()
    wait_until(lambda: works(server), 40, "respgres has found PostgreSQL")
    assert b"\r\nloading:0\r\n" in server.raw().command("INFO")
    assert database.row("k").value == b"v"


@pytest.mark.parametrize("how", ["stop", "kill9", "freeze", "cut"])
def test_postgresql_goes_and_comes_back(lab, how):
    """An error within pg-timeout and no hanging; then service again without a restart."""
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    proxy = lab.proxy(("127.0.0.1", postgres.port))
    server = lab.respgres(database.url_by(port=proxy.port), pg_timeout=1000, fallback="off")
    server.client().set("before", "v")
    if how == "cut":
        proxy.refuse()
        proxy.cut()
    else:
        getattr(postgres, how)()
    for command in (["SET", "meanwhile", "v"], ["GET", "before"], ["INCR", "n"]):
        with server.raw(timeout=10) as raw:
            assert raw.command(*command).startswith(b"-")
            assert raw.command("CONFIG", "GET", "port").startswith(b"*2\r\n")
    {"stop": postgres.start, "kill9": postgres.start, "freeze": postgres.thaw,
     "cut": proxy.pass_on}[how]()
    wait_until(lambda: works(server), 40, "respgres has found PostgreSQL again")
    assert server.client().get("before") == b"v"


# --- stopping ------------------------------------------------------------------------------------

class Writers:
    """Clients that write distinct keys until the server ends, and keep what was acknowledged."""

    def __init__(self, server, count=8):
        self.acknowledged = {}
        self._server = server
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True)
                         for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        try:
            with self._server.raw() as raw:
                i = 0
                while True:
                    key = b"w%d:%d" % (number, i)
                    if raw.command("SETEX", key, 1000, b"v%d" % i) != b"+OK\r\n":
                        return
                    self.acknowledged[key] = b"v%d" % i
                    i += 1
        except OSError:
            return

    def join(self):
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()


def test_sigterm_while_busy_loses_nothing(respgres, database):
    writers = Writers(respgres)
    wait_until(lambda: len(writers.acknowledged) > 200, 30)
    assert respgres.sigterm() == 0
    writers.join()
    rows = database.live()
    assert {k: rows.get(k) for k in writers.acknowledged} == writers.acknowledged


def test_sigterm_answers_what_it_has_taken(lab):
    """The reply to a command that waits for PostgreSQL is sent before the server ends."""
    postgres = lab.own_postgres()
    server = lab.respgres(lab.database(postgres), pg_timeout=10000)
    with server.raw() as raw:
        raw.command("GET", "k")
        postgres.freeze()
        raw.send(encode("SET", "k", "w"))
        wait_until(lambda: "cmd=set" in server.raw().command("CLIENT", "LIST").decode())
        server.signal(signal.SIGTERM)
        postgres.thaw()
        assert raw.rest() == b"+OK\r\n"
    assert server.wait() == 0


def test_a_second_sigterm_ends_at_once(lab):
    postgres = lab.own_postgres()
    server = lab.respgres(lab.database(postgres), pg_timeout=20000)
    with server.raw() as raw:
        raw.command("GET", "k")
        postgres.freeze()
        raw.send(encode("SET", "k", "w"))
        wait_until(lambda: "cmd=set" in server.raw().command("CLIENT", "LIST").decode())
        server.signal(signal.SIGTERM)
        wait_until(lambda: not accepts(server), what="it has stopped accepting")
        assert server.is_running()
        server.signal(signal.SIGTERM)
        status = server.wait(8)  # far from pg-timeout
    assert status != 99
    server.expected_status = status


def accepts(server):
    try:
        with server.raw() as raw:
            return raw.command("PING") == b"+PONG\r\n"
    except OSError:
        return False


def test_sigint_is_like_sigterm(respgres):
    respgres.signal(signal.SIGINT)
    assert respgres.wait() == 0


# --- reloading -----------------------------------------------------------------------------------

def test_sighup_reloads_the_file(lab, database):
    server = lab.respgres(database, config="timeout 100\nmaxclients 50\n")
    client = server.client()
    server.config_path.write_text("timeout 200\nmaxclients 50\n")
    server.sighup()
    wait_until(lambda: client.config_get("timeout") == {"timeout": "200"})
    assert client.config_get("maxclients") == {"maxclients": "50"}
    assert client.set("k", "v")


def test_sighup_with_a_bad_file_changes_nothing_and_says_why(lab, database):
    server = lab.respgres(database, config="timeout 100\n")
    client = server.client()
    server.config_path.write_text("timeout 200\nnonsense 1\n")
    server.sighup()
    wait_until(lambda: f"{server.config_path}:2:" in server.log, what="the log says why")
    assert client.config_get("timeout") == {"timeout": "100"}
    assert client.set("k", "v")


# --- many, and few rights ------------------------------------------------------------------------

def test_five_instances_start_at_once_on_an_empty_database(lab, database):
    servers = [lab.respgres(database, start=None) for _ in range(5)]
    for i, server in enumerate(servers):
        wait_until(lambda: works(server), 60)
        server.client().set(f"from{i}", i)
    for server in servers:
        assert server.client().mget([f"from{i}" for i in range(5)]) == [b"0", b"1", b"2", b"3",
                                                                         b"4"]
        assert server.client().incr("n") == servers.index(server) + 1
    slots = database.execute("SELECT slot FROM respgres.instances")
    assert len(slots) == 5


def test_it_starts_again_on_its_own_schema(lab, respgres, database):
    respgres.client().set("k", "v")
    for _ in range(3):
        respgres.restart()
    assert respgres.client().get("k") == b"v"
    assert lab.respgres(database, pg_schema="other_schema").client().get("k") is None


def test_a_role_that_may_only_create_a_schema(lab):
    """As on a managed database: not superuser, not the database's owner."""
    postgres = lab.postgres()
    database = lab.database()
    postgres.create_role("tenant")
    postgres.execute(f'GRANT CREATE ON DATABASE "{database.name}" TO tenant')
    server = lab.respgres(postgres.url(database.name, "tenant"))
    assert server.client().set("k", "v")
    assert server.client().get("k") == b"v"
    server.sigterm()
    postgres.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')
    postgres.execute("DROP ROLE tenant")


def test_a_role_that_was_given_an_empty_schema(lab):
    postgres = lab.postgres()
    database = lab.database()
    postgres.create_role("guest")
    postgres.execute("CREATE SCHEMA respgres AUTHORIZATION guest", dbname=database.name)
    server = lab.respgres(postgres.url(database.name, "guest"))
    assert server.client().set("k", "v")
    server.sigterm()
    postgres.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')
    postgres.execute("DROP ROLE guest")


def test_a_schema_newer_than_it_can_serve(lab, respgres, database):
    assert respgres.sigterm() == 0
    database.execute("UPDATE respgres.meta SET version = 9999, least_binary = 9999")
    server = lab.respgres(database, start=None)
    wait_until(lambda: not server.is_running(), 20, "it refuses to start")
    server.expected_status = server.process.returncode
    assert server.process.returncode == 1
    assert "9999" in server.log
    assert database.execute("SELECT version FROM respgres.meta") == [(9999,)]


def test_a_schema_that_is_newer_but_serves_this_binary(lab, respgres, database):
    assert respgres.sigterm() == 0
    database.execute("UPDATE respgres.meta SET version = 9999")
    assert lab.respgres(database).client().set("k", "v")


def test_a_unix_socket(lab, database):
    server = lab.respgres(database, start=False)
    server.options["unixsocket"] = server.dir / "socket"
    server.options["unixsocketperm"] = "700"
    server.start()
    client = redis.Redis(unix_socket_path=str(server.dir / "socket"))
    assert client.set("k", "v")
    assert (server.dir / "socket").stat().st_mode & 0o777 == 0o700
    server.restart()  # the file of the last run is not in the way
    assert client.get("k") == b"v"
    server.kill9()
    server.start()
    assert redis.Redis(unix_socket_path=str(server.dir / "socket")).get("k") == b"v"


# --- asking instead of serving -------------------------------------------------------------------

def run(*arguments, **env):
    return subprocess.run([Respgres.binary(), *arguments], capture_output=True, text=True, timeout=20,
                          env=clean_environ(**SANITIZERS, **env), check=False)


def test_check_config_shows_every_option_with_its_source(tmp_path):
    path = tmp_path / "respgres.conf"
    path.write_text("timeout 12\nmaxclients 7\n")
    done = run(path, "--maxclients", "8", "--requirepass", "geheim", "--check-config",
               RESPGRES_CONF_LOGLEVEL="warning", DATABASE_URL="postgres://u:secret@h/d")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line in ("timeout 12  # file", "maxclients 8  # flag", "loglevel warning  # environment",
                 "requirepass (redacted)  # flag", "database-url (redacted)  # environment",
                 "pg-schema respgres  # default", 'unixsocket ""  # default', f"# file: {path}"):
        assert line in lines
    assert "geheim" not in done.stdout + done.stderr and "secret" not in done.stdout + done.stderr
    names = [line.split()[0] for line in lines if not line.startswith("#")]
    assert names == re.findall(r"^#([a-z-]+) ", (TOP / "conf/respgres.conf").read_text(), re.MULTILINE)


def test_check_config_refuses_as_the_start_does(tmp_path):
    path = tmp_path / "respgres.conf"
    path.write_text("timeout 12\nnonsense 7\n")
    done = run(path, "--check-config")
    assert done.returncode == 1
    assert f"{path}:2: unknown option 'nonsense'" in done.stderr
    assert done.stdout == ""
    done = run("--check-config", "--pg-pooler", "transaction", "--consistency", "cached")
    assert done.returncode == 1 and "pg-pooler" in done.stderr


def test_healthcheck(lab, database):
    """Says whether the process lives, by HTTP or, without that, by a PING; not how PostgreSQL is."""
    port = free_port()
    server = lab.respgres("postgresql://nobody@127.0.0.1:1/none", start="answering", http_port=port)
    assert run("--healthcheck", "--http-port", str(port)).returncode == 0
    assert run("--healthcheck", RESPGRES_CONF_HTTP_PORT=str(port),
               RESPGRES_CONF_HTTP_BIND="* -::*").returncode == 0
    assert run("--healthcheck", "--port", str(server.port), "--bind", "*").returncode == 0
    server.signal(signal.SIGSTOP)
    done = run("--healthcheck", "--http-port", str(port))
    server.signal(signal.SIGCONT)
    assert done.returncode == 1 and "no answer" in done.stderr
    server.sigterm()
    done = run("--healthcheck", "--http-port", str(port))
    assert done.returncode == 1 and "Connection refused" in done.stderr


def test_healthcheck_by_a_unix_socket(lab, database):
    server = lab.respgres(database, start=False, requirepass="geheim")
    path = server.dir / "socket"
    server.options["unixsocket"] = path
    server.start()
    assert run("--healthcheck", "--port", "0", "--unixsocket", str(path)).returncode == 0
    server.sigterm()
    assert run("--healthcheck", "--port", "0", "--unixsocket", str(path)).returncode == 1
