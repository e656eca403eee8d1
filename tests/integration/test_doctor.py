"""respgres --doctor: each thing that it can find, with a real PostgreSQL that has it."""

import re
import subprocess

import pytest

from harness import faketime, wait_until
from harness.pgbouncer import PgBouncer
from harness.servers import SANITIZERS, Respgres
from harness.tls import Authority
from harness.util import TOP, clean_environ, free_port

pytestmark = pytest.mark.rows


class Report:
    """What it said: findings as (level, text, remedy)."""

    def __init__(self, url, *flags, wrapper=(), program=None, **env):
        if url is not None:
            env["DATABASE_URL"] = url
        done = subprocess.run(
            [*wrapper, program or Respgres.binary(), *flags, "--doctor"], capture_output=True,
            text=True, timeout=60, check=False, env=clean_environ(**SANITIZERS, **env))
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        self.status, self.text, self.stderr = done.returncode, done.stdout, done.stderr
        joined = re.sub(r"\n {9}(?!->)", " ", done.stdout)
        self.findings = [(level, what.strip(), (remedy or "").strip()) for level, what, remedy in
                         re.findall(r"^(ok|note|warning|BLOCKER) +(.*?)(?:\n {9}-> (.*?))?$", joined,
                                    re.MULTILINE)]

    def at(self, *levels):
        """But for what it says of the folder, which depends on where the test runs
        (tests/unit/doctor_test.c), and of the time that a round trip takes, on when."""
        return [f for f in self.findings if f[0] in levels and "dir (" not in f[1]
                and "A round trip takes" not in f[1]]

    def has(self, level, words, remedy=""):
        """Asserts one finding of this level with these words, and something in its remedy."""
        found = [f for f in self.findings if f[0] == level and words in f[1] and remedy in f[2]]
        assert found, self.text
        if level in ("warning", "BLOCKER"):
            assert found[0][2], "a remedy"
        assert self.status == (1 if "\nBLOCKER" in self.text else 0)
        return found[0]


HTTP = ("--http-port", "1")  # else a note says that it is off


def test_all_is_well(lab, respgres, database):
    """Nothing but good findings, and the numbers of the instance that runs."""
    report = Report(database.url, *HTTP)
    assert report.status == 0, report.text
    assert report.at("note", "warning", "BLOCKER") == [], report.text
    report.has("ok", "PostgreSQL 15.")
    report.has("ok", f"database {database.name}, role {database.role}")
    report.has("ok", "is at version")
    # 5 ms are far; nobody is as near as that while the machine runs others.
    wait_until(lambda: any(level == "ok" and "A round trip takes" in what
                           for level, what, _ in Report(database.url, *HTTP).findings), 60, "PostgreSQL is near")
    report.has("ok", "The clocks differ by 0.0")
    report.has("ok", "fsync is on, synchronous_commit is on")
    report.has("ok", "an instance takes up to 5, and 1 run")
    assert report.text.startswith("respgres ") and report.text.endswith(" respgres can serve.\n")
    assert max(map(len, report.text.splitlines())) <= 90


def test_an_empty_database(database):
    Report(database.url).has("ok", "There are no tables in schema respgres yet")


# --- reaching it ----------------------------------------------------------------------------------

def test_no_database_is_named():
    Report(None).has("BLOCKER", "No database is named", "DATABASE_URL")


@pytest.mark.parametrize("words", [("--standalone", "yes"), ()])
def test_standalone_needs_no_database(words):
    report = Report(None, *words, **({} if words else {"RESPGRES_CONF_STANDALONE": "yes"}))
    report.has("note", "standalone: memory and journal are the store")
    assert not any("database" in what for _, what, _ in report.findings), report.text
    assert report.status == 0 and "respgres can serve." in report.text


def test_nobody_listens():
    Report(f"postgresql://u:secret@127.0.0.1:{free_port()}/d").has(
        "BLOCKER", "Connection refused", "Start PostgreSQL")


def test_a_host_without_address():
    Report("postgresql://u@nowhere.invalid/d").has("BLOCKER", "could not translate host name", "host")


def test_a_database_or_role_that_is_not_there(lab, database):
    Report(database.url.replace(database.name + "?", "missing?")).has(
        "BLOCKER", 'database "missing" does not exist', "Make that database")
    Report(lab.postgres().url(database.name, "nobody")).has(
        "BLOCKER", 'role "nobody" does not exist', "Make that database or role")


def test_passwords(lab):
    postgres = lab.postgres()
    postgres.create_role("patient", "right")
    database = lab.database(owner="patient")
    wrong = Report(database.url_by(password="wr0ng", tcp=True))
    wrong.has("BLOCKER", "password authentication failed", "user and password")
    assert "wr0ng" not in wrong.text + wrong.stderr
    Report(database.url_by(tcp=True)).has("BLOCKER", "no password supplied", "PGPASSWORD")
    good = Report(database.url_by(password="right", tcp=True))
    assert good.status == 0 and "right@" not in good.text
    database.drop()
    postgres.execute("DROP ROLE patient")


def test_a_url_that_libpq_cannot_read():
    """Nothing of it is shown."""
    report = Report("host=h password=half secret user=u")
    report.has("BLOCKER", "libpq cannot read it", "postgresql://")
    assert "secret" not in report.text + report.stderr


def test_a_server_that_does_not_answer(lab, database):
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    proxy.blackhole()
    Report(database.url_by(port=proxy.port) + "?connect_timeout=2").has(
        "BLOCKER", "timeout expired", "firewall")


def test_a_standby(lab):
    primary = lab.own_postgres()
    database = lab.database(primary)
    standby = lab.standby(primary)
    url = standby.url(database.name, database.role)
    wait_until(lambda: can_connect(standby, database), 30)
    Report(url).has("BLOCKER", "read-only", "primary")
    Report(url + "&target_session_attrs=any").has("BLOCKER", "is a standby", "primary")


def can_connect(postgres, database):
    try:
        postgres.connect(database.name, database.role).close()
        return True
    except Exception:  # pylint: disable=broad-except
        return False


def test_a_role_that_may_only_read(database):
    database.postgres.execute(f'ALTER ROLE "{database.role}" SET default_transaction_read_only = on')
    Report(database.url + "&target_session_attrs=any").has(
        "BLOCKER", "read-only", "RESET default_transaction_read_only")


def test_too_many_connections(database):
    database.postgres.execute(f'ALTER ROLE "{database.role}" CONNECTION LIMIT 1')
    with database.connect():
        Report(database.url).has("BLOCKER", "too many connections for role", "limit")


# --- TLS ------------------------------------------------------------------------------------------

def test_tls(lab, tmp_path):
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    authority = Authority(tmp_path)
    authority.equip(postgres, "localhost")
    url = database.url_by(tcp=True)
    Report(url + "?sslmode=require").has("note", "nobody looks at the server's certificate (sslmode require)",
                                         "verify-full")
    Report(url.replace("127.0.0.1", "localhost") + f"?sslmode=verify-full&sslrootcert={authority.path}"
           ).has("ok", "certificate is checked (sslmode verify-full)")
    Report(url + f"?sslmode=verify-full&sslrootcert={authority.path}").has(
        "BLOCKER", "does not match host name", "sslrootcert")
    Report(url + "?sslmode=disable").has("ok", "stays on this host")


def test_without_tls_to_another_host(lab):
    addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True,
                               check=False).stdout.split()
    if not addresses:
        pytest.skip("this host has no address but loopback")
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    postgres.stop()
    with open(postgres.data / "postgresql.conf", "a", encoding="utf8") as f:
        f.write(f"listen_addresses = '127.0.0.1,{addresses[0]}'\n")
    with open(postgres.data / "pg_hba.conf", "a", encoding="utf8") as f:
        f.write(f"hostnossl {database.name} all {addresses[0]}/32 trust\n")
    postgres.start()
    url = database.url_by(tcp=True).replace("127.0.0.1", addresses[0])
    Report(url).has("warning", "to another host is not encrypted", "sslmode=require")


# --- rights and schema ----------------------------------------------------------------------------

def documented_grants():
    """(kind, privilege, name) of each in docs/postgresql.md."""
    text = (TOP / "docs/postgresql.md").read_text(encoding="utf8")
    _, block, rest = text[text.index("```sql\nGRANT USAGE ON SCHEMA"):].split("```", 2)
    merging = rest.partition("```sql\n")[2].partition("```")[0]
    assert "journals" in merging
    block += merging
    found = []
    for privileges, kind, names in re.findall(r"GRANT ([A-Z, ]+) ON (SCHEMA |SEQUENCE |)(.*?) TO", block):
        found += [(kind, privilege, name) for privilege in privileges.split(", ")
                  for name in names.split(", ")]
    return found


def test_each_documented_grant_is_missed(lab, respgres, database):
    """And with all of them nothing is."""
    postgres = lab.postgres()
    role = f"{database.name}_guest"
    postgres.create_role(role)
    grants = documented_grants()
    assert len(grants) > 15
    for kind, privilege, name in grants:
        database.execute(f'GRANT {privilege} ON {kind}{name} TO "{role}"')
    url = postgres.url(database.name, role)
    flags = (*HTTP, "--auto-migrate", "no", "--vacuum", "no")
    report = Report(url, *flags)
    assert report.status == 0 and report.at("warning", "note") == [], report.text
    report.has("ok", "The role has the rights it needs")
    Report(url, *HTTP).has("note", "does not own the tables", "vacuum no")
    for kind, privilege, name in grants:
        database.execute(f'REVOKE {privilege} ON {kind}{name} FROM "{role}"')
        report = Report(url, *flags)
        database.execute(f'GRANT {privilege} ON {kind}{name} TO "{role}"')
        if kind == "SCHEMA ":
            report.has("BLOCKER", "may not use schema", "GRANT USAGE")
        else:
            _, _, remedy = report.has("BLOCKER", "lacks rights on the tables")
            assert remedy == f"GRANT {privilege} ON {kind}{name} TO {role};"
    postgres.execute(f'DROP OWNED BY "{role}"', dbname=database.name)
    postgres.execute(f'DROP ROLE "{role}"')


def test_a_role_that_may_make_nothing(lab, database):
    postgres = lab.postgres()
    role = f"{database.name}_poor"
    postgres.create_role(role)
    _, _, remedy = Report(postgres.url(database.name, role)).has("BLOCKER", "may not make it")
    assert f'GRANT CREATE ON DATABASE "{database.name}" TO "{role}"' in remedy
    postgres.execute(remedy[:remedy.index(";")])
    Report(postgres.url(database.name, role)).has("ok", "the start makes them")
    Report(postgres.url(database.name, role), "--auto-migrate", "no").has(
        "BLOCKER", "auto-migrate is no", "--migrate")
    postgres.execute(f'REVOKE ALL ON DATABASE "{database.name}" FROM "{role}"')
    postgres.execute(f'DROP ROLE "{role}"')


def test_a_schema_for_newer_binaries(respgres, database):
    database.execute("UPDATE respgres.meta SET version = 9999, least_binary = 9998")
    Report(database.url).has("BLOCKER", "serves only binaries made for 9998", "newer respgres")


def test_a_schema_that_is_older(lab, respgres, database):
    newer = Respgres.binary().parent / "tests/respgres_newer"
    Report(database.url, program=newer).has("note", "the start brings it to")
    Report(database.url, "--auto-migrate", "no", program=newer).has(
        "BLOCKER", "auto-migrate is no", "--migrate")


# --- poolers --------------------------------------------------------------------------------------

def test_a_pooler_in_transaction_mode(lab, database):
    pooler = lab.pgbouncer(database)
    Report(pooler.url).has("BLOCKER", "A pooler in transaction mode stands between",
                           "Set pg-pooler transaction")
    Report(pooler.url, "--pg-pooler", "transaction").has("note", "as pg-pooler says")


def test_a_pooler_in_session_mode(lab, database):
    pooler = PgBouncer(database, pool_size=5)
    path = pooler.dir / "pgbouncer.ini"
    path.write_text(path.read_text().replace("pool_mode = transaction", "pool_mode = session"))
    lab._poolers.append(pooler)  # pylint: disable=protected-access
    pooler.start()
    report = Report(pooler.url)
    report.has("note", "keeps a connection for each client", "pg-pooler transaction")
    assert report.status == 0


def test_a_pooler_that_is_not_there(database):
    Report(database.url, "--pg-pooler", "transaction").has(
        "warning", "this is PostgreSQL itself", "pg-pooler none")


def test_a_pooler_needs_read_committed(lab, database):
    database.postgres.execute(
        f'ALTER ROLE "{database.role}" SET default_transaction_isolation = serializable')
    pooler = lab.pgbouncer(database)
    Report(pooler.url, "--pg-pooler", "transaction").has(
        "BLOCKER", "default_transaction_isolation is serializable", "RESET")


# --- room for connections -------------------------------------------------------------------------

def test_room_for_connections(database):
    """An instance takes up to five, two of them only when they are needed; during a deployment there
    are two instances."""
    limit = f'ALTER ROLE "{database.role}" CONNECTION LIMIT '
    for n, level in ((10, "ok"), (9, "warning"), (4, "warning"), (3, "warning"), (2, "BLOCKER")):
        database.postgres.execute(limit + str(n))
        report = Report(database.url)
        report.has(level, f"The role has room for {n} more connections")
    database.postgres.execute(limit + "20")
    Report(database.url, "--pg-read-lanes", "9", "--pg-commit-lanes", "9").has(
        "warning", "an instance takes up to 21", "lower pg-read-lanes")
    database.postgres.execute(limit + "-1")
    database.postgres.execute(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT 2')
    Report(database.url).has("BLOCKER", "The database has room for 2")
    database.postgres.execute(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT -1')
    found = Report(database.url).has("ok", "The server has room for")
    assert re.search(r"of 197 are used", found[1]), "200 less 3 for superusers"


def test_room_beside_instances_that_run(lab, database):
    """Their connections are used already; while all are replaced at once as many again are needed."""
    servers = [lab.respgres(database) for _ in range(3)]
    limit = f'ALTER ROLE "{database.role}" CONNECTION LIMIT '
    for n, level, words in ((2, "warning", "none can be added to the 3 that run"),
                            (4, "warning", "3 run: they cannot all be replaced at the same time"),
                            (14, "warning", "3 run: they cannot all be replaced at the same time"),
                            (15, "ok", "an instance takes up to 5, and 3 run")):
        database.postgres.execute(limit + str(3 * len(servers) + n))
        Report(database.url).has(level, words)


# --- what the server promises ---------------------------------------------------------------------

def test_settings_that_lose_data(lab):
    postgres = lab.own_postgres()
    database = lab.database(postgres)
    postgres.configure(fsync="off")
    Report(database.url).has("warning", "fsync is off", "Set fsync")
    postgres.configure(fsync="on", full_page_writes="off")
    Report(database.url).has("warning", "full_page_writes is off", "full_page_writes on")
    postgres.configure(full_page_writes="on", synchronous_commit="off")
    Report(database.url).has("ok", "respgres sets it to on for its own writes")
    Report(database.url, "--durability", "relaxed").has("note", "durability is relaxed")
    postgres.configure(autovacuum="off")
    Report(database.url).has("warning", "autovacuum is off", "Set autovacuum")
    postgres.configure(autovacuum="on", track_counts="off")
    Report(database.url).has("warning", "track_counts is off", "track_counts on")


def test_a_server_far_away(lab, database):
    proxy = lab.proxy(("127.0.0.1", database.postgres.port))
    proxy.delay(0.02)
    report = Report(database.url_by(port=proxy.port), "--pg-timeout", "100")
    report.has("warning", "each command of a client waits that long", "region")
    report.has("warning", "pg-timeout is 100 ms", "Raise pg-timeout")


def test_a_wrong_clock(database):
    Report(database.url, wrapper=faketime.under([], FAKETIME="+1h")).has("warning", "The clocks differ by 3", "NTP")


# --- options --------------------------------------------------------------------------------------

@pytest.mark.parametrize("flags, level, words, remedy", [
    (["--port", "0"], "BLOCKER", "nothing to listen on", "unixsocket"),
    (["--http-port", "6379"], "BLOCKER", "http-port and port are the same", "another http-port"),
    (["--http-port", "0"], "note", "no /healthz", "http-port"),
    (["--bind", "*"], "warning", "without a password their commands are refused", "requirepass"),
    (["--bind", "127.0.0.1 10.1.2.3", "--protected-mode", "no"], "warning",
     "Whoever reaches the port", "requirepass"),
    (["--unixsocket", "/tmp/s", "--unixsocketperm", "777"], "warning", "Every user of this host", "770"),
    (["--maxmemory", "8000gb"], "warning", "it may be killed", "Lower maxmemory"),
    (["--maxclients", "4000000000"], "warning", "the limit of open files", "ulimit"),
    (["--shutdown-timeout", "0"], "warning", "replies that are due are lost", "seconds"),
    (["--consistency", "cached", "--cached-max-lag", "30"], "note", "makes reads strict", ""),
])
def test_options_that_do_not_fit(database, flags, level, words, remedy):
    Report(database.url, *flags).has(level, words, remedy)


def test_options_that_fit(database):
    for flags in (["--bind", "127.0.0.1 -::1 localhost"], ["--bind", "*", "--requirepass", "x"],
                  ["--bind", "*", "--user", "default on >x ~* +@all"],
                  ["--port", "0", "--unixsocket", "/tmp/s", "--unixsocketperm", "770"]):
        report = Report(database.url, *HTTP, *flags)
        assert report.at("warning", "note", "BLOCKER") == [], report.text


def test_bad_options_stop_it_like_a_start():
    done = subprocess.run([Respgres.binary(), "--doctor", "--nonsense", "1"], capture_output=True,
                          text=True, check=False, timeout=20, env=clean_environ(**SANITIZERS))
    assert done.returncode == 1 and "nonsense" in done.stderr and done.stdout == ""
