"""The Debian package: built, looked at, installed in a fresh system, used, upgraded, removed.

The fresh system is one that debootstrap makes, so this runs as root only. It has no init; what a
running systemd does with the unit is asked of systemd-analyze, where that is installed."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness.postgres import Postgres  # noqa: E402
from harness.util import TOP, clean_environ, free_port, wait_until  # noqa: E402

pytestmark = pytest.mark.timeout(900)  # the first tests build the package and the system
HERE = pathlib.Path(__file__).resolve().parent


def call(*args, **options):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=False,
                          env=clean_environ(DEBIAN_FRONTEND="noninteractive"), **options)
    assert done.returncode == 0, f"{args}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The .deb, built as docs/deploy.md says, in a folder of its own."""
    missing = [name for name in ("dpkg-deb", "dpkg-shlibdeps", "cmake") if not shutil.which(name)]
    if missing:
        pytest.skip(f"not there: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("package")
    call("cmake", "-S", TOP, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
         "-DCMAKE_INSTALL_PREFIX=/usr")
    call("cmake", "--build", folder, "--target", "package", "-j", "2")
    made, = folder.glob("respgres_*.deb")
    return made


@pytest.fixture(scope="module")
def system(tmp_path_factory, package):
    """A fresh Debian with the package installed."""
    if os.geteuid() != 0:
        pytest.skip("a fresh system is made by root only")
    if not shutil.which("debootstrap"):
        pytest.skip("not there: debootstrap")
    made = System(pathlib.Path(tmp_path_factory.mktemp("system")) / "root")
    made.install(package)
    yield made
    made.remove_all()


class System:
    def __init__(self, root):
        self.root = root
        call("debootstrap", "--variant=minbase", "bookworm", root)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        call("mount", "-t", "proc", "proc", root / "proc")
        call("mount", "--bind", "/dev", root / "dev")

    def run(self, *args):
        return call("chroot", self.root, *args)

    def install(self, package):
        shutil.copy(package, self.root / "tmp")
        self.run("apt-get", "update", "-qq")
        return self.run("apt-get", "install", "-qq", "--no-install-recommends", "-y",
                        f"/tmp/{package.name}")

    def wants(self):
        return (self.root / "etc/systemd/system/multi-user.target.wants/respgres.service")

    def remove_all(self):
        for name in ("dev", "proc"):
            subprocess.run(["umount", "--lazy", self.root / name], check=False)
        shutil.rmtree(self.root, ignore_errors=True)


# --- the file -------------------------------------------------------------------------------------

def test_what_is_in_it(package):
    listed = {line.split()[5]: line.split()[0] for line in call("dpkg-deb", "-c", package).splitlines()}
    for path, mode in {"./usr/bin/respgres": "-rwxr-xr-x", "./etc/respgres/respgres.conf": "-rw-r--r--",
                       "./etc/default/respgres": "-rw-------",
                       "./usr/lib/systemd/system/respgres.service": "-rw-r--r--",
                       "./usr/share/man/man1/respgres.1.gz": "-rw-r--r--",
                       "./usr/share/doc/respgres/copyright": "-rw-r--r--",
                       "./usr/share/doc/respgres/changelog.gz": "-rw-r--r--"}.items():
        assert listed.get(path) == mode, path
    assert not [path for path in listed if "local" in path]
    depends = call("dpkg-deb", "-f", package, "Depends")
    for name in ("libc6", "libpq5", "libevent-core-2.1-7", "libhiredis0.14", "libssl3", "liblua5.1-0", "lua-cjson",
                 "lua-bitop"):
        assert name in depends
    assert call("dpkg-deb", "-f", package, "Maintainer").strip()


def test_lintian(package):
    if not shutil.which("lintian"):
        pytest.skip("not there: lintian")
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", package],
                          capture_output=True, text=True, check=False, timeout=300)
    tags = [line for line in done.stdout.splitlines() if re.match("[EW]:", line)]
    assert tags == [] and done.returncode == 0, done.stdout + done.stderr


def test_the_unit_is_valid_and_hardened():
    """systemd's own verdict; "exposure" goes from 0 to 10, an ordinary unit has 9.6."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("not there: systemd-analyze")
    unit = TOP / "conf/respgres.service"
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", unit],
                          capture_output=True, text=True, check=False, timeout=60)
    exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)[1])
    assert exposure < 2.5, done.stdout
    text = unit.read_text(encoding="utf8")
    for line in ("DynamicUser=yes", "StateDirectory=respgres", "WorkingDirectory=%S/respgres",
                 "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet="):
        assert line in text.splitlines()


# --- a system -------------------------------------------------------------------------------------

def test_it_is_installed(system):
    assert system.run("respgres", "--version").startswith("respgres ")
    assert "installed" in system.run("dpkg-query", "-W", "-f", "${db:Status-Status}", "respgres")
    assert system.wants().is_symlink(), "the service is enabled"
    assert system.run("respgres", "/etc/respgres/respgres.conf", "--database-url", "postgresql://h/d",
                      "--check-config")


def test_the_manual_page(system):
    """Every option is in it, and groff has nothing to complain about."""
    page = system.root / "usr/share/man/man1/respgres.1.gz"
    if not shutil.which("man"):
        pytest.skip("not there: man")
    done = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, check=False,
                          env=clean_environ(MANWIDTH="80", MAN_KEEP_FORMATTING=""), timeout=60)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    shown = re.sub(r".\x08", "", done.stdout)
    names = re.findall(r"^#([a-z-]+) ", (TOP / "conf/respgres.conf").read_text(), re.MULTILINE)
    assert [name for name in names if not re.search(rf"^ +--{name} ", shown, re.MULTILINE)] == []
    for words in ("--exec -- COMMAND", "--doctor", "/etc/default/respgres", "SIGHUP", "DATABASE_URL"):
        assert words in shown


def test_it_serves(system):
    """As nobody, with the package's file, on this host's PostgreSQL; then it ends well."""
    postgres = Postgres()
    postgres.start()
    database = postgres.create_database()
    port = free_port()
    server = subprocess.Popen(
        ["chroot", "--userspec=65534:65534", system.root, "respgres", "/etc/respgres/respgres.conf",
         "--port", str(port)], env=clean_environ(DATABASE_URL=database.url_by(tcp=True)),
        stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: cli(port, "SET", "k", "v") == "OK", 30)
        assert cli(port, "GET", "k") == "v" and database.row("k").value == b"v"
        server.terminate()
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()
        postgres.remove()


def cli(port, *args):
    return subprocess.run(["redis-cli", "-p", str(port), *args], capture_output=True, text=True,
                          check=False, timeout=20).stdout.strip()


def test_upgrade_removal_and_purge(system, package):
    """What was changed in /etc survives all but the purge, which leaves nothing."""
    conf = system.root / "etc/respgres/respgres.conf"
    conf.write_text(conf.read_text() + "timeout 77\n")
    default = system.root / "etc/default/respgres"
    default.write_text("DATABASE_URL=postgresql://u:secret@h/d\n")
    system.run("dpkg", "--install", "--force-confold", f"/tmp/{package.name}")
    assert conf.read_text().endswith("timeout 77\n")
    assert oct(default.stat().st_mode & 0o777) == "0o600"
    state = system.root / "var/lib/private/respgres"
    state.mkdir(parents=True)
    (state / "journal").write_text("x")
    system.run("apt-get", "remove", "-qq", "-y", "respgres")
    assert not (system.root / "usr/bin/respgres").exists()
    assert conf.exists() and default.exists() and (state / "journal").exists()
    system.run("apt-get", "purge", "-qq", "-y", "respgres")
    left = call("find", system.root, "-xdev", "-name", "*respgres*", "-not", "-path", "*/proc/*",
                "-not", "-path", "*/tmp/*").splitlines()
    assert left == [], "nothing is left"
    started = time.monotonic()
    system.install(package)
    assert system.wants().is_symlink(), "it can be installed again"
    assert time.monotonic() - started < 600
