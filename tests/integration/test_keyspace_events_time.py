"""How soon `expired` comes for keys that nobody reads: the bound of docs/events.md, for each of some
hundred keys, in one instance and in a fleet."""

import collections
import concurrent.futures
import random
import time

import pytest

from harness.lateness import Lateness
from harness.raw import encode

CHANNEL = b"__keyevent@0__:expired"
BOUND = 1.0  # seconds, of docs/events.md
KEYS = 300

pytestmark = [pytest.mark.alone, pytest.mark.timeout(120)]


class Listener:
    """Notes which key was told when, on the clock that PostgreSQL has, too."""

    def __init__(self, server):
        self.told = collections.defaultdict(list)
        self.raw = server.raw(timeout=60)
        self.raw.command("SUBSCRIBE", CHANNEL)

    def read_until(self, keys, deadline):
        """Until all of the keys have been told, or the time is over."""
        missing = set(keys) - set(self.told)
        while missing and time.time() < deadline:
            key = self.raw.reply().split(b"\r\n")[6]  # message, channel, key
            self.told[key].append(time.time())
            missing.discard(key)
        return missing


def set_keys(clients, rng):
    """Keys that end within some seconds, and when each does."""
    keys = [b"key-%d" % number for number in range(KEYS)]
    for number, client in enumerate(clients):
        mine = keys[number::len(clients)]
        client.send(b"".join(encode("SET", key, "v", "PX", rng.randrange(1500, 5000)) for key in mine))
        assert [client.reply() for _ in mine] == [b"+OK\r\n"] * len(mine)
    clients[0].send(b"".join(encode("PEXPIRETIME", key) for key in keys))
    return {key: int(clients[0].reply()[1:]) / 1000 for key in keys}


def end_all(clients, listeners):
    """A key of each instance ends, for which it has looked at all that had expired before; then each says
    that this was all."""
    ends = [b"end-%d" % number for number in range(len(clients))]
    for client, end in zip(clients, ends):
        client.command("SET", end, "v", "PX", "1")
    for listener in listeners:
        assert not listener.read_until(ends, time.time() + 20)
    for client, end in zip(clients, ends):
        client.command("PUBLISH", CHANNEL, end + b"-said")
    for listener in listeners:
        assert not listener.read_until([end + b"-said" for end in ends], time.time() + 20)


@pytest.mark.parametrize("instances, wanting",
                         [pytest.param(1, 1, marks=pytest.mark.long), (3, 3),
                          pytest.param(3, 1, marks=pytest.mark.long)])
def test_each_key_is_told_within_a_second(lab, seed, instances, wanting):
    database = lab.database()
    servers = [lab.respgres(database, pg_timeout=10000,
                            notify_keyspace_events="Ex" if number < wanting else "")
               for number in range(instances)]
    clients = [server.raw() for server in servers]
    listeners = [Listener(server) for server in servers]
    clients[0].command("SET", "first", "v", "PX", "1")
    for listener in listeners:
        assert not listener.read_until([b"first"], time.time() + 20)
    ends = set_keys(clients, random.Random(seed))
    assert min(ends.values()) > time.time(), "none has ended yet"
    deadline, clock = max(ends.values()) + 20, time.time() - time.monotonic()
    with Lateness() as machine, concurrent.futures.ThreadPoolExecutor() as pool:
        missing = list(pool.map(lambda listener: listener.read_until(ends, deadline), listeners))
    assert not any(missing)
    end_all(clients, listeners)
    for listener in listeners:
        late = {key: listener.told[key][0] - end for key, end in ends.items()}
        print(f"the first {min(late.values()):.3f} s, the last {max(late.values()):.3f} s after its end")
        ours = [late[key] - machine.between(end - clock, end + late[key] - clock) for key, end in ends.items()]
        assert [times for times in listener.told.values() if len(times) != 1] == []
        assert min(late.values()) > -0.002 and max(ours) < BOUND
