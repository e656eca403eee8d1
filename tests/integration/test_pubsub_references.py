"""Large messages of pub/sub, which a NOTIFY only refers to: whoever may NOTIFY can repeat a reference as often
as he likes, and lie about sizes. An instance fetches no more at a time than it means to."""

import base64
import select
import struct

import pytest

from harness import encode, wait_until
from harness.servers import PROMPT

pytestmark = pytest.mark.rows

HEADER = 16  # sender, number
MB = 1 << 20


def packet(sender, number, *references):
    """A packet as src/store/postgres/packet.h has it: (number, size) of each reference."""
    raw = struct.pack(">QQ", sender, number)
    raw += b"".join(b"\2" + struct.pack(">QQ", *reference) for reference in references)
    return "m" + base64.b64encode(raw).decode()


class Tap:
    """Hears what instances send each other, and sends what it likes."""

    def __init__(self, database):
        self.connection = database.postgres.connect(database.name)
        self.cursor = self.connection.cursor()
        self.cursor.execute("LISTEN respgres")

    def reference(self):
        """The next one that comes: (sender, number, size)."""
        while True:
            ready, _, _ = select.select([self.connection], [], [], 20)
            assert ready, "no reference came"
            self.connection.poll()
            for notice in self.connection.notifies:
                raw = base64.b64decode(notice.payload[1:] + "==") if notice.payload[0] == "m" else b""
                if raw[HEADER:HEADER + 1] == b"\2":
                    self.connection.notifies.clear()
                    number, size = struct.unpack(">QQ", raw[HEADER + 1:HEADER + 17])
                    return struct.unpack(">Q", raw[:8])[0], number, size
            self.connection.notifies.clear()

    def send(self, payload):
        self.cursor.execute("SELECT pg_notify('respgres', %s)", [payload])


@pytest.fixture
def two(request, lab, database):
    if request.config.getoption("--behind") == "pgbouncer":
        pytest.skip("nobody is notified of anything")
    return [lab.respgres(database, pg_timeout=10000, env=PROMPT) for _ in range(2)]


@pytest.mark.parametrize("size", [0, 2 ** 64 - 1])
def test_references_are_repeated_with_other_sizes(two, database, size):
    """100 references to 5 MB are 500 MB. What they refer to is fetched in pieces of some 16 MB."""
    first, second = two
    hears = first.raw(timeout=60)  # what the repeated messages are for is nothing that it listens to
    hears.command("SUBSCRIBE", "end")
    talks, tap = second.raw(timeout=60), Tap(database)
    talks.command("PUBLISH", "large", b"x" * 5 * MB)
    sender, number, true_size = tap.reference()
    assert true_size == 5 * MB + 9 + len("large")
    before, most = first.rss(), 0
    for at in range(5):
        tap.send(packet(sender, 1000 + at, *[(number, size)] * 20))
    talks.command("PUBLISH", "end", "1")
    hears.sock.setblocking(False)

    def has_come():
        nonlocal most
        most = max(most, first.rss())
        return select.select([hears.sock], [], [], 0)[0]

    wait_until(has_come, 60, "the message behind them")
    hears.sock.settimeout(20)
    assert hears.reply() == encode("message", "end", "1")
    assert most - before < 120 * MB, f"{(most - before) / MB:.0f} MB"
    assert first.raw().command("PING") == b"+PONG\r\n"
