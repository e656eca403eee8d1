"""The image as platforms use it. See tests/container/check."""

import pathlib
import re
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import engines  # noqa: E402
from harness.postgres import Postgres  # noqa: E402
from harness.util import free_port, wait_until  # noqa: E402

pytestmark = pytest.mark.timeout(900)  # the first test builds the image


@pytest.fixture(scope="session")
def engine():
    try:
        chosen = engines.choose()
    except engines.Unavailable as reason:
        pytest.skip(str(reason))
    try:
        chosen.build()
        yield chosen
    finally:
        chosen.close()


@pytest.fixture(scope="session")
def cluster():
    postgres = Postgres()
    postgres.start()
    yield postgres
    postgres.remove()


@pytest.fixture
def database(cluster):
    made = cluster.create_database()
    yield made
    made.drop()


@pytest.fixture
def start(engine):
    """Starts containers; they are gone with the test, and what they said is shown if it failed."""
    made = []

    def run(*args, **options):
        container = engine.run(*args, **options)
        made.append(container)
        return container

    yield run
    for container in made:
        print(container.log)
        container.remove()


def cli(port, *args, host="127.0.0.1"):
    done = subprocess.run(["redis-cli", "-h", host, "-p", str(port), *args], capture_output=True,
                          text=True, timeout=20, check=False)
    return (done.stdout + done.stderr).strip()


@pytest.fixture
def ports():
    """Free ones for Redis' protocol and for HTTP, as flags: the network is the host's."""
    class Ports:
        redis, http = free_port(), free_port()
        flags = ["--port", str(redis), "--http-port", str(http)]
        env = {"RESPGRES_CONF_PORT": str(redis), "RESPGRES_CONF_HTTP_PORT": str(http)}
    return Ports


def url_of(database):
    return database.url_by(tcp=True)


def wait_ready(container, port, *args):
    def ready():
        assert container.is_running(), container.log
        return cli(port, *args, "SET", "probe", "1") == "OK"
    wait_until(ready, 40, "a SET is answered with OK", 0.1)


def stop(container):
    container.signal(signal.SIGTERM)
    return container.wait()


# --- starting -------------------------------------------------------------------------------------

def test_flags_go_to_respgres(start, database, ports):
    container = start(*ports.flags, "--maxmemory", "100mb", env={"DATABASE_URL": url_of(database)})
    wait_ready(container, ports.redis)
    assert cli(ports.redis, "CONFIG", "GET", "maxmemory").split() == ["maxmemory", "104857600"]
    assert cli(ports.redis, "SET", "session:1", "ada") == "OK"
    assert cli(ports.redis, "GET", "session:1") == "ada"
    assert database.row("session:1").value == b"ada"
    assert stop(container) == 0


def test_the_environment_configures_it(start, database, ports):
    container = start(env={"DATABASE_URL": url_of(database), "RESPGRES_CONF_MAXCLIENTS": "77",
                           "RESPGRES_PORT": "tcp://10.0.0.1:6379", **ports.env})
    wait_ready(container, ports.redis)
    assert cli(ports.redis, "CONFIG", "GET", "maxclients").split() == ["maxclients", "77"]
    assert stop(container) == 0


@pytest.mark.parametrize("command", [["redis-server"], ["respgres"]])
def test_a_command_for_the_image_of_redis(start, database, ports, command):
    container = start(*command, *ports.flags, "--appendonly", "yes",
                      env={"DATABASE_URL": url_of(database)})
    wait_ready(container, ports.redis)
    assert stop(container) == 0


def test_a_file_and_flags(start, database, ports, tmp_path):
    path = tmp_path / "respgres.conf"
    path.write_text(f"timeout 33\nport {ports.redis}\n")
    container = start("/tmp/respgres.conf", "--http-port", "0",
                      env={"DATABASE_URL": url_of(database)},
                      mounts={str(path): "/tmp/respgres.conf"})
    wait_ready(container, ports.redis)
    assert cli(ports.redis, "CONFIG", "GET", "timeout").split() == ["timeout", "33"]
    assert container.exec("respgres", "--healthcheck").returncode == 0
    assert stop(container) == 0


def test_secrets_from_files(start, database, ports, tmp_path):
    tmp_path.chmod(0o755)
    for name, text in (("url", url_of(database)), ("password", "opensesame")):
        (tmp_path / name).write_text(text + "\n")
        (tmp_path / name).chmod(0o644)
    container = start(*ports.flags, mounts={str(tmp_path / "url"): "/tmp/url",
                                            str(tmp_path / "password"): "/tmp/password"},
                      env={"DATABASE_URL_FILE": "/tmp/url",
                           "RESPGRES_CONF_REQUIREPASS_FILE": "/tmp/password"})
    wait_ready(container, ports.redis, "--no-auth-warning", "-a", "opensesame")
    assert "NOAUTH" in cli(ports.redis, "GET", "k")
    assert "opensesame" not in container.log
    assert stop(container) == 0


def test_another_command(start):
    container = start("respgres", "--version")
    assert container.wait() == 0
    assert container.log.startswith("respgres ")
    container = start("sh", "-c", "echo one | grep -c o; exit 3")
    assert container.wait() == 3
    assert container.log == "1\n"


def test_without_a_database_it_says_what_to_do(start, ports):
    container = start(*ports.flags)
    assert container.wait() == 1
    assert "DATABASE_URL" in container.log


# --- users and files ------------------------------------------------------------------------------

@pytest.mark.parametrize("user", [None, "123456:0", "4711:4711"])
def test_any_user_and_a_read_only_root(start, database, ports, user):
    container = start(*ports.flags, user=user, read_only=True, env={"DATABASE_URL": url_of(database)})
    wait_ready(container, ports.redis)
    assert container.exec("id", "-u").stdout.strip() == (user or "10001").partition(":")[0]
    assert container.exec("sh", "-c", "echo x >/usr/x").returncode != 0, "the root is read-only"
    assert container.exec("sh", "-c", "echo x >/data/x && cat /data/x").stdout == "x\n"
    directory = cli(ports.redis, "CONFIG", "GET", "dir").split()
    assert directory in ([], ["dir", "."], ["dir", "./"], ["dir", "/data"])
    assert stop(container) == 0


def test_protected_mode_without_a_password(start, database, ports):
    """All interfaces, but strangers are told what to do."""
    container = start(*ports.flags, env={"DATABASE_URL": url_of(database)})
    wait_ready(container, ports.redis)
    outside = own_address()
    if outside is None:
        pytest.skip("this host has no address but 127.0.0.1")
    assert "DENIED" in cli(ports.redis, "GET", "k", host=outside)
    assert cli(ports.redis, "CONFIG", "SET", "requirepass", "geheim") == "OK"
    assert cli(ports.redis, "--no-auth-warning", "-a", "geheim", "SET", "k", "v",
               host=outside) == "OK"
    assert stop(container) == 0


def own_address():
    done = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    addresses = [a for a in done.stdout.split() if "." in a and not a.startswith("127.")]
    return addresses[0] if addresses else None


# --- process 1 ------------------------------------------------------------------------------------

def test_sigterm_drains_and_exits_with_0(start, database, ports):
    container = start(*ports.flags, env={"DATABASE_URL": url_of(database)})
    wait_ready(container, ports.redis)
    assert container.exec("cat", "/proc/1/comm").stdout == "respgres\n"
    assert stop(container) == 0
    assert "event=shutdown" in container.log and "event=stopped" in container.log


def test_no_zombies(start, database, ports):
    """What `docker exec` leaves behind is reaped."""
    container = start(*ports.flags, env={"DATABASE_URL": url_of(database)})
    wait_ready(container, ports.redis)
    container.exec("sh", "-c", "sh -c 'sleep 0.2 & :'")
    wait_until(lambda: "sleep" not in container.exec("ps").stdout, 10, "the orphan is gone", 0.1)
    assert container.exec("sh", "-c", "cat /proc/[0-9]*/status | grep -c '^State:.Z'").stdout == "0\n"
    assert stop(container) == 0


def test_exec_runs_an_application_as_well(start, database, ports):
    container = start("--exec", "--", "sh", "-c",
                      "until redis-cli -s ${REDIS_URL#unix://} SET k v | grep OK; do sleep 0.1; done;"
                      " cat /proc/1/comm; exit 4",
                      env={"DATABASE_URL": url_of(database), **ports.env})
    assert container.wait(40) == 4
    assert "\nrespgres\n" in container.log, "which is process 1"
    assert database.row("k").value == b"v"


def test_exec_with_a_read_only_root(start, database, ports):
    """The socket finds a place in memory."""
    container = start("--exec", "--", "sh", "-c", "echo $REDIS_URL; test -S ${REDIS_URL#unix://}",
                      read_only=True, env={"DATABASE_URL": url_of(database), **ports.env})
    assert container.wait(40) == 0
    assert "unix:///dev/shm/respgres-" in container.log


# --- health ---------------------------------------------------------------------------------------

def health_command(engine):
    test = engine.config()["Healthcheck"]["Test"]
    assert test[0] == "CMD"
    return test[1:]


@pytest.mark.parametrize("by", ["flags", "environment"])
def test_the_health_check_finds_the_port(start, engine, database, ports, by):
    """Wherever the port was moved, also by flags, which the check does not get."""
    args, env = (ports.flags, {}) if by == "flags" else ([], ports.env)
    container = start(*args, env={"DATABASE_URL": url_of(database), **env})
    wait_ready(container, ports.redis)
    done = container.exec(*health_command(engine))
    assert done.returncode == 0, done.stderr
    container.signal(signal.SIGSTOP)
    assert container.exec(*health_command(engine)).returncode == 1, "it does not answer"
    container.signal(signal.SIGCONT)
    assert stop(container) == 0


def test_health_is_not_postgresqls(start, engine, ports):
    container = start(*ports.flags, env={"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    wait_until(lambda: container.exec(*health_command(engine)).returncode == 0, 20, "healthy", 0.1)
    assert cli(ports.redis, "GET", "k").startswith("LOADING")
    assert stop(container) == 0


# --- what is in it --------------------------------------------------------------------------------

def test_what_the_image_says(engine):
    config = engine.config()
    assert config["User"] == "10001:10001"
    assert set(config["Volumes"]) == {"/data"} and config["WorkingDir"] == "/data"
    assert set(config["ExposedPorts"]) == {"6379/tcp", "9379/tcp"}
    size = engine.size() / 1e6
    print(f"size of the image: {size:.0f} MB")
    deploy = (pathlib.Path(__file__).resolve().parents[2] / "docs/deploy.md").read_text()
    stated = int(re.search(r"The image has (\d+) MB", deploy)[1])
    assert abs(size - stated) < 3, f"docs/deploy.md says {stated} MB, it has {size:.0f} MB"


def test_packages_are_named_for_scanners(start):
    container = start("sh", "-c", "cat /var/lib/dpkg/status.d/* | grep ^Package:; "
                                  "ls /usr/share/doc/libpq5/copyright")
    assert container.wait() == 0
    for package in ("libpq5", "libssl3", "libc6", "libevent-core-2.1-7", "redis-tools"):
        assert f"Package: {package}\n" in container.log
