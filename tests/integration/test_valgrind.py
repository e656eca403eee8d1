"""A smoke run under valgrind: no invalid access, no use of what was never written, no definite leak. It
finds what AddressSanitizer cannot: reads of uninitialised memory, and what libraries do."""

import pathlib
import shutil
import subprocess

import pytest

from harness import TOP, Respgres, encode, wait_until

pytestmark = [pytest.mark.rows, pytest.mark.long, pytest.mark.timeout(900)]


def plain_build():
    """A build without sanitizers."""
    if "asan" not in str(Respgres.binary()):
        return Respgres.binary()
    subprocess.run(["cmake", "--preset", "dev"], cwd=TOP, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", "build-dev", "--target", "respgres", "-j2"], cwd=TOP,
                   check=True, capture_output=True)
    return TOP / "build-dev" / "respgres"


class Valgrind(Respgres):
    name = "valgrind"

    def command_line(self):
        self.report = pathlib.Path(self.dir) / "report"
        return ["valgrind", "--quiet", "--error-exitcode=97", "--leak-check=full",
                "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite",
                "--num-callers=30", f"--log-file={self.report}", *super().command_line()]


def all_kinds_of_work(server, client):
    client.set("k", "v" * 1000, ex=100)
    client.mset({f"k{i}": f"{i}" * 50 for i in range(50)})
    assert client.mget([f"k{i}" for i in range(50)])[7] == b"7" * 50
    for command in (["SETRANGE", "k", 5, "x"], ["APPEND", "k", "y"], ["INCR", "n"], ["GETEX", "k"],
                    ["INCRBYFLOAT", "f", "1.5"], ["SETBIT", "b", 100, 1], ["BITCOUNT", "b"],
                    ["EXPIRE", "k", 50], ["PERSIST", "k"], ["RENAME", "k0", "r"], ["COPY", "r", "s"],
                    ["KEYS", "*"], ["SCAN", 0], ["DBSIZE"], ["RANDOMKEY"], ["TYPE", "k"],
                    ["OBJECT", "ENCODING", "k"], ["COMMAND"], ["COMMAND", "DOCS"], ["INFO"],
                    ["CONFIG", "GET", "*"], ["CLIENT", "LIST"], ["SLOWLOG", "GET"], ["HELLO", 3],
                    ["DEL", "k1", "k2"], ["FLUSHDB"], ["SET", "large", b"z" * 400_000],
                    ["GET", "large"]):
        with server.raw(timeout=120) as raw:
            assert not raw.command(*command).startswith(b"-"), command
    with client.pipeline() as pipe:
        pipe.watch("n")
        pipe.multi()
        pipe.incr("n").get("n").set("m", "1")
        pipe.execute()
    for payload in (b"*1\r\n$-5\r\n", b"\0\xff\r\n", encode("GET"), b"*3\r\n$3\r\nSET\r\n$1\r\nk"):
        with server.raw(timeout=120) as raw:
            raw.send(payload)
            raw.half_close()
            raw.rest()


@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind")
@pytest.mark.parametrize("consistency", ["strict", "cached"])
def test_memcheck(lab, consistency):
    postgres = lab.own_postgres()
    server = Valgrind(lab.database(postgres).url, {"pg-timeout": 5000, "consistency": consistency})
    server.program = plain_build()
    lab.servers.append(server)
    server.start(timeout=120)
    client = server.client(socket_timeout=120)
    all_kinds_of_work(server, client)
    postgres.stop("immediate")
    wait_until(lambda: client.info("postgres")["store_state"] == "away", 60)
    client.set("away", "1")
    client.incr("n")
    assert client.get("away") == b"1"
    postgres.start()
    wait_until(lambda: client.info("postgres")["store_state"] == "online", 120)
    assert client.get("away") == b"1"
    all_kinds_of_work(server, client)
    status = server.sigterm(timeout=120)
    report = server.report.read_text()
    assert status == 0 and report == "", report
