"""What respgres promises about its environment, its database's URL, and secrets, sentence by
sentence. Precedence, bad lines and reloads are in test_start.py, CONFIG REWRITE in
test_config_rewrite.py; the parser's corners in tests/unit/config_test.c."""

import http.client
import re
import subprocess

import psycopg2
import pytest
import redis

from harness import free_port, wait_until
from harness.servers import SANITIZERS, Respgres
from harness.util import TOP, clean_environ

pytestmark = pytest.mark.rows


def run(*arguments, **env):
    return subprocess.run([Respgres.binary(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=30, env=clean_environ(**SANITIZERS, **env), check=False)


def options():
    """name → default"""
    text = (TOP / "conf/respgres.conf").read_text(encoding="utf8")
    return dict(re.findall(r"^#([a-z-]+) (.*)$", text, re.MULTILINE))


# --- the environment ------------------------------------------------------------------------------

def test_every_option_has_its_variable():
    env = {"RESPGRES_CONF_" + name.upper().replace("-", "_"): value.strip('"')
           for name, value in options().items()}
    env["RESPGRES_CONF_DATABASE_URL"] = "postgresql://h/d"
    done = run("--check-config", **env)
    assert done.returncode == 0, done.stderr
    sources = dict(re.findall(r"^([a-z-]+) .*  # (\w+)$", done.stdout, re.MULTILINE))
    assert sources == {name: "environment" for name in options()}


@pytest.mark.parametrize("variable", [
    "RESPGRES_PORT", "RESPGRES_PORT_6379_TCP", "RESPGRES_SERVICE_PORT", "RESPGRES_MAXCLIENTS",
    "RESPGRES_CONF", "RESPGRES_HTTP_PORT_9379_TCP_ADDR"])
def test_what_kubernetes_injects_is_not_read(variable):
    done = run("--check-config", "--standalone", "yes", **{variable: "tcp://10.0.0.7:6379"})
    assert done.returncode == 0, done.stderr
    assert "environment" not in done.stdout


@pytest.mark.parametrize("env, words", [
    ({"RESPGRES_CONF_NONSENSE": "1"}, "RESPGRES_CONF_NONSENSE: there is no such option"),
    ({"RESPGRES_CONF_PORT": "tcp://10.0.0.7:6379"}, "RESPGRES_CONF_PORT: port: argument"),
    ({"RESPGRES_CONF_port": "1"}, "RESPGRES_CONF_port: there is no such option"),
    ({"RESPGRES_CONF_PORT_FILE": "/dev/null"}, "RESPGRES_CONF_PORT_FILE: only secrets"),
    ({"RESPGRES_CONF_REQUIREPASS_FILE": "/nowhere/at/all"},
     "RESPGRES_CONF_REQUIREPASS_FILE: cannot read the file: No such file"),
    ({"RESPGRES_CONF_REQUIREPASS_FILE": "/dev/null", "RESPGRES_CONF_REQUIREPASS": "x"},
     "RESPGRES_CONF_REQUIREPASS is set as well"),
    ({"DATABASE_URL": "postgres://h/d", "DATABASE_URL_FILE": "/dev/null"}, "both set"),
    ({"DATABASE_URL": "mysql://u:hush@h/d"}, "DATABASE_URL: database-url: the URL's scheme"),
])
def test_what_is_wrong_in_the_environment_is_named(env, words):
    done = run("--check-config", **env)
    assert done.returncode == 1
    assert words in done.stderr
    assert "hush" not in done.stderr


def test_every_secret_may_be_in_a_file(lab, database, tmp_path):
    for name, text in (("url", database.url), ("password", "geheim"), ("names", 'FLUSHALL ""')):
        (tmp_path / name).write_text(text + "\r\n")
    server = lab.respgres(None, env={"RESPGRES_CONF_DATABASE_URL_FILE": str(tmp_path / "url"),
                                     "RESPGRES_CONF_REQUIREPASS_FILE": str(tmp_path / "password"),
                                     "RESPGRES_CONF_RENAME_COMMAND_FILE": str(tmp_path / "names")},
                          start="answering")
    client = server.client(password="geheim")
    wait_until(lambda: works(client))
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.flushall()
    client.config_set("requirepass", "")


def works(client):
    try:
        return client.set("k", "v")
    except redis.RedisError:
        return False


# --- the URL --------------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme", [
    "postgresql", "postgres", "postgresql+psycopg2", "postgresql+asyncpg", "postgresql+psycopg",
    "postgis", "pgsql", "psql", "timescale", "psycopg2", "POSTGRES"])
def test_schemes_of_frameworks(lab, database, scheme):
    server = lab.respgres(database.url.replace("postgresql", scheme, 1))
    assert server.client().set("k", "v")


@pytest.mark.parametrize("url, words", [
    ("postgresql://u:hush@h/d?sslmode=bogus", 'invalid sslmode value: "bogus"'),
    ("postgresql://u:hush@h/d?target_session_attrs=bogus", 'invalid target_session_attrs value: "bogus"'),
    ("postgresql://u:hush@h:99999/d", "port is not valid: 99999"),
    ("postgresql://u:hush@h1:1,h2:0/d", "port is not valid: 1,0"),
    ("postgresql://u:hush@h/d?connect_timeout=abc", "connect_timeout is not valid: abc"),
    ("host=h1,h2 port=1,2,3 password=hush", "could not match 3 port numbers to 2 hosts"),
    ("service=nobody_has_written_it password=hush", "nobody_has_written_it"),
])
def test_a_url_that_can_never_work_stops_the_start(url, words):
    """It is no PostgreSQL that is away, which the instance would serve without."""
    for action in ((), ("--check-config",), ("--doctor",)):
        done = run(*action, DATABASE_URL=url)
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 1
        assert words in said and "hush" not in said


@pytest.mark.parametrize("url", [
    "postgresql://h1:1,h2/d", "host=a,b,c port=1,,3", "postgresql:///d", "host=/nonexistent dbname=d",
    "host=a,b hostaddr=127.0.0.1,127.0.0.2 port=5432", "postgresql://h/d?sslmode=require&keepalives=0"])
def test_a_url_that_may_work_is_taken(url):
    assert run("--check-config", DATABASE_URL=url).returncode == 0


def test_the_check_refuses_what_the_start_refuses():
    assert "no database" in run("--check-config").stderr
    done = run("--check-config", "--standalone", "yes", DATABASE_URL="postgresql://h/d")
    assert done.returncode == 1 and "exclude each other" in done.stderr
    done = run("a.conf", "b.conf", "--check-config")
    assert done.returncode == 1 and "only one configuration file" in done.stderr


def test_an_empty_secret_file_is_no_secret(tmp_path):
    """A server without a password must not come of a volume that was mounted empty."""
    empty = tmp_path / "password"
    for content in ("", "\n"):
        empty.write_text(content)
        done = run("--check-config", "--standalone", "yes", RESPGRES_CONF_REQUIREPASS_FILE=str(empty))
        assert done.returncode == 1
        assert "RESPGRES_CONF_REQUIREPASS_FILE: the file is empty" in done.stderr


def test_unknown_parameters_are_dropped_and_named(lab, database):
    url = database.url + "&pgbouncer=true&connection_limit=5&pool_hush=secret&application_name=x"
    server = lab.respgres(url)
    assert server.client().set("k", "v")
    line, = [line for line in server.log.splitlines() if "parameters-dropped" in line]
    assert 'names="pgbouncer,connection_limit,pool_hush"' in line and "level=warning" in line
    assert "secret" not in server.log


def test_keyword_form(lab, database):
    postgres = database.postgres
    server = lab.respgres(f"host={postgres.dir} port={postgres.port} user={database.role} "
                          f"dbname='{database.name}'")
    assert server.client().set("k", "v")


def test_the_urls_places_go_from_ours_to_the_platforms(lab, database):
    """RESPGRES_CONF_DATABASE_URL before DATABASE_URL, which may be the application's; the file last."""
    wrong = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    server = lab.respgres(None, config=f"database-url {wrong}\n",
                          env={"RESPGRES_CONF_DATABASE_URL": database.url, "DATABASE_URL": wrong})
    assert server.client().set("k", "v")
    server = lab.respgres(None, config=f"database-url {wrong}\n", env={"DATABASE_URL": database.url})
    assert server.client().set("k", "v")
    server = lab.respgres(None, config=f"database-url {database.url}\n", env={"DATABASE_URL": ""})
    assert server.client().set("k", "v")


SECRET = "s3cr3t"


@pytest.mark.parametrize("url", [
    "postgresql://u:half@s3cr3t@127.0.0.1:1/d", "postgresql://u:half/s3cr3t@127.0.0.1:1/d",
    "postgresql://u:half?s3cr3t@127.0.0.1:1/d", "postgresql://u:half%zzs3cr3t@127.0.0.1:1/d",
    "postgresql://u:half#s3cr3t@127.0.0.1:1/d", "postgresql://u:s3cr3t@[127.0.0.1:1/d",
    "postgresql://u:s3cr3t@127.0.0.1:1x/d", "postgresql://u:12/s3cr3t@127.0.0.1/d",
    "host=127.0.0.1 port=1 password=half s3cr3t user=u", "host=127.0.0.1 password='half's3cr3t",
    "u:s3cr3t@h/d", '"postgresql://u:s3cr3t@h/d"', "redis://u:s3cr3t@h/d",
    "postgresql://u:s3cr3t@127.0.0.1:1/d", "postgresql://u@127.0.0.1:1/d?password=s3cr3t",
    "postgresql://u:s3cr3t@127.0.0.1:1/d?sslmode=nonsense",
])
def test_a_mistyped_url_does_not_show_its_password(lab, url):
    """Wherever libpq would think that the password ends."""
    server = lab.respgres(None, env={"DATABASE_URL": url}, start=False)
    server.start(wait=None)
    wait_until(lambda: not server.is_running() or "lane-not-connected" in server.log)
    if not server.is_running():
        assert server.process.returncode == 1
        server.expected_status = 1
        assert "database-url" in server.log
    assert SECRET not in server.log
    for action in ("--doctor", "--check-config"):
        done = run(action, DATABASE_URL=url)
        assert SECRET not in done.stdout + done.stderr


# --- what is shown --------------------------------------------------------------------------------

def test_the_start_names_the_source_of_each_option(lab, database):
    server = lab.respgres(None, config="timeout 9\nrequirepass geheim\n", maxclients=77,
                          env={"DATABASE_URL": database.url, "RESPGRES_CONF_TCP_KEEPALIVE": "55"},
                          start="answering")
    shown = set(re.findall(r'event=option name=(\S+) value="(.*?)" source=(\w+)', server.log))
    assert {("timeout", "9", "file"), ("requirepass", "(redacted)", "file"),
            ("maxclients", "77", "flag"), ("tcp-keepalive", "55", "environment"),
            ("database-url", "(redacted)", "environment")} <= shown
    assert all(source != "default" for _, _, source in shown)
    server.config_path.write_text("")
    server.sighup()


@pytest.mark.parametrize("form", ["apart", "joined"])
def test_secrets_are_scrubbed_from_the_arguments(lab, database, form):
    server = lab.respgres(None, start=False)
    line = server.command_line
    pairs = [("--database-url", database.url), ("--requirepass", "geheim"),
             ("--rename-command", "FLUSHALL hidden")]
    more = [word for pair in pairs for word in (pair if form == "apart" else ["=".join(pair)])]
    server.command_line = lambda: [*line(), *more]
    server.start("answering")
    shown = open(f"/proc/{server.pid}/cmdline", "rb").read()
    for secret in (b"geheim", b"hidden", database.url.encode(), database.name.encode()):
        assert secret not in shown
    assert b"--requirepass" in shown
    server.client(password="geheim").config_set("requirepass", "")


class Everything:
    """All that a server writes: its log, and what clients and HTTP are told."""

    def __init__(self, server, http_port, password):
        self.server, self.http_port, self.password = server, http_port, password
        self.told = []

    def ask(self, *command, login=True):
        with self.server.raw() as raw:
            if login:
                raw.command("AUTH", self.password)
            self.told.append(raw.command(*command))
            return self.told[-1]

    def page(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=20)
        connection.request("GET", path)
        self.told.append(connection.getresponse().read())
        connection.close()

    def text(self):
        shown = open(f"/proc/{self.server.pid}/cmdline", "rb").read()
        return self.server.log.encode() + b"".join(self.told) + shown


def test_secrets_values_and_keys_are_nowhere(lab):
    """Everything the server writes, over all that can go wrong: passwords, values, and whole keys
    are not in it. (MONITOR and SLOWLOG show commands, as in Redis.)"""
    secret, value, key = "pg-passw0rd", "value-0f-a-session", "session:t0ken-of-a-person"
    postgres = lab.own_postgres()
    postgres.create_role("careful", secret)
    database = lab.database(postgres, owner="careful")
    port = free_port()
    server = lab.respgres(database.url_by(password=secret, tcp=True) + "?pool_hush=" + secret,
                          config="loglevel debug\n", http_port=port, requirepass="client-passw0rd",
                          rename_command="LOLWUT hidden-name", start="answering", pg_timeout=500)
    all_of_it = Everything(server, port, "client-passw0rd")
    ask = all_of_it.ask
    wait_until(lambda: ask("SETEX", key, "100", value) == b"+OK\r\n")
    own = postgres.connect(database.name)
    with own.cursor() as cursor:
        # Refused writes: by a constraint, by a trigger that shouts the row, and data that does not fit.
        cursor.execute("ALTER TABLE respgres.entries ADD CHECK (key <> 'session:t0ken-of-a-person-2')")
        cursor.execute("CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                       " RAISE EXCEPTION 'no % %', NEW.key, NEW.value; END $$")
        cursor.execute("CREATE TRIGGER shout BEFORE INSERT ON respgres.entries FOR EACH ROW"
                       " WHEN (NEW.key = 'session:t0ken-of-a-person-3') EXECUTE FUNCTION shout()")
    for n in (2, 3):
        assert ask("SET", f"{key}-{n}", value).startswith(b"-")
    # A row that somebody holds, a batch that is too late, a connection that ends.
    holder = psycopg2.connect(host=str(postgres.dir), port=postgres.port, user="postgres",
                              dbname=database.name)
    with holder.cursor() as cursor:
        cursor.execute("SELECT FROM respgres.entries WHERE key = %s FOR UPDATE", (key.encode(),))
    assert ask("SET", key, value + "2").startswith(b"-")
    holder.close()
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                     database.name)
    # Clients that do wrong, and one that is asked about.
    ask("AUTH", "wrong-passw0rd", login=False)
    ask("HELLO", "3", "AUTH", "default", "wrong-passw0rd", login=False)
    ask("GET", key, login=False)
    for command in (["INCR", key], ["CONFIG", "GET", "*"], ["CONFIG", "SET", "requirepass"],
                    ["CONFIG", "SET", "requirepass", "client-passw0rd", "timeout", "x"],
                    ["INFO", "everything"], ["CLIENT", "LIST"], ["CLIENT", "INFO"], ["MEMORY", "STATS"],
                    ["MEMORY", "DOCTOR"], ["LATENCY", "DOCTOR"], ["COMMAND", "LIST"], ["CONFIG", "REWRITE"]):
        ask(*command)
    for path in ("/healthz", "/readyz", "/metrics", "/", "/nowhere"):
        all_of_it.page(path)
    # PostgreSQL goes, and comes back with another password.
    postgres.execute("ALTER ROLE careful PASSWORD 'an0ther'")
    postgres.stop("immediate")
    ask("EXISTS", key)
    ask("SET", key, value)
    ask("INFO", "everything")
    for path in ("/readyz", "/metrics", "/"):
        all_of_it.page(path)
    postgres.start()
    wait_until(lambda: "password authentication failed" in postgres.log)
    # A reload that fails and one that does not.
    server.config_path.write_text("requirepass client-passw0rd nonsense\n")
    server.sighup()
    wait_until(lambda: "config-not-reloaded" in server.log)
    server.config_path.write_text(f"loglevel debug\ndatabase-url postgresql://x:{secret}@h/d\n")
    server.sighup()
    wait_until(lambda: "config-reloaded" in server.log)
    text = all_of_it.text()
    for word in (secret, "client-passw0rd", "wrong-passw0rd", "an0ther", value, "t0ken-of-a-person",
                 "hidden-name"):
        places = [line for line in text.splitlines() if word.encode() in line]
        assert places == [], word
    assert b"session:" in text, "a key's prefix is shown"
    assert len(text) > 10000
    server.config_path.write_text("")
    # What was written meanwhile is merged, else the server's end would be a complaint.
    postgres.execute(f"ALTER ROLE careful PASSWORD '{secret}'")
    wait_until(lambda: "store_state:online" in ask("INFO", "respgres").decode(), 60)


def test_every_line_of_the_log_is_one_event(lab, database):
    server = lab.respgres(database, loglevel="debug")
    server.client().set("k", "v")
    server.sigterm()
    for line in server.log.splitlines():
        assert re.fullmatch(r"time=\S+Z level=(debug|verbose|notice|warning) event=[a-z-]+"
                            r"( [\w-]+=(\"[^\"]*\"|[^\s\"]*))*", line), line
