"""Commands that wait (BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP, BZPOPMIN, BZPOPMAX, BZMPOP): one instance.

The scenarios are plays for several connections, whose order is made certain by waiting until the server
says that so many clients are blocked. Each is played by a redis-server and by respgres, and every reply
must be the same, byte for byte. What only respgres has follows below; several instances are in
test_blocking_instances.py."""

import contextlib
import time

import pytest

from harness.raw import encode
from harness.util import wait_until


# --- plays ---------------------------------------------------------------------------------------

class Stage:
    """Connections by name, and what they were told."""

    def __init__(self, server, proto):
        self.server = server
        self.proto = proto
        self.actors = {}
        self.told = []
        self.watcher = server.client()
        self.watcher.flushall()

    def actor(self, name):
        if name not in self.actors:
            self.actors[name] = self.server.raw()
            if self.proto == 3:
                self.actors[name].command("HELLO", 3)
        return self.actors[name]

    def ask(self, name, *commands):
        """Sends commands, words separated by blanks, in one piece."""
        self.actor(name).send(b"".join(encode(*c.split()) for c in commands))

    def hear(self, name, replies=1):
        for _ in range(replies):
            self.told.append((name, self.actor(name).reply()))
        return self.told[-1][1]

    def __call__(self, name, *commands):
        for command in commands:
            self.ask(name, command)
            self.hear(name)
        return self.told[-1][1]

    def blocked(self, n):
        wait_until(lambda: self.watcher.info("clients")["blocked_clients"] == n, 30,
                   f"{n} clients are blocked")

    def waits(self, name, command, n=1):
        """Asks, and it is the n-th that waits."""
        self.ask(name, command)
        self.blocked(n)

    def id_of(self, name):
        reply = self.actor(name).command("CLIENT", "ID")
        return int(reply[1:])

    def goes(self, name):
        self.actors.pop(name).close()

    def close(self):
        for actor in self.actors.values():
            actor.close()
        self.blocked(0)
        self.watcher.close()


def at_once(s):
    """On keys that hold something they do not wait."""
    s("a", "RPUSH l a b c d e f g h i", "ZADD z 1 a 2.5 b 3 c 4 d 5 e 6 f", "SET s text")
    s("a", "BLPOP l 0", "BRPOP none l 0", "BLMOVE l m LEFT RIGHT 0", "BLMOVE l l RIGHT LEFT 0",
      "BRPOPLPUSH l m 0", "BLMPOP 0 2 none l LEFT", "BLMPOP 0 1 l RIGHT COUNT 2", "LRANGE l 0 -1",
      "LRANGE m 0 -1", "BLMPOP 0 1 m LEFT COUNT 100", "EXISTS m")
    s("a", "BZPOPMIN z 0", "BZPOPMAX none z 0", "BZMPOP 0 2 none z MIN", "BZMPOP 0 1 z MAX COUNT 2",
      "BZMPOP 0 1 z MIN COUNT 100", "EXISTS z")
    s("a", "BLPOP l l 0.01", "BLPOP none s 0", "BLPOP l s 0", "BZPOPMIN s 0", "BLMOVE s d LEFT LEFT 0",
      "BLMPOP 0 2 none s LEFT", "BZMPOP 0 2 none s MIN", "LPUSH l 1", "BLMOVE l s LEFT LEFT 0",
      "BRPOPLPUSH l s 0", "BLPOP s l 0", "BLPOP l s 0")


def wrong_arguments(s):
    for t in ("x", "", "-1", "-0.1", "nan", "inf", "-inf", "1e400", "9223372036854776", "1e-5000"):
        s.actor("a").send(encode("BLPOP", "none", t) + encode("BZPOPMAX", "none", t)
                          + encode("BLMOVE", "none", "d", "LEFT", "RIGHT", t)
                          + encode("BLMPOP", t, "1", "none", "LEFT") + encode("BRPOPLPUSH", "n", "d", t))
        s.hear("a", 5)
    for t in ("0.001", "1e-400", "0x.01", "+0.01", ".01"):
        s("a", f"BLPOP none {t}")
    s("a", "BLPOP k", "BLPOP", "BLMOVE a b LEFT 0", "BLMOVE a b LEFT UP 0", "BLMOVE a b UP LEFT x",
      "BRPOPLPUSH a b", "BLMPOP 0 1 k", "BLMPOP 0 0 k LEFT", "BLMPOP 0 x k LEFT", "BLMPOP 0 2 k LEFT",
      "BLMPOP 0 1 k MIN", "BLMPOP 0 1 k LEFT COUNT 0", "BLMPOP 0 1 k LEFT COUNT", "BLMPOP x 0 k LEFT",
      "BLMPOP 0 1 k LEFT COUNT 1 COUNT 1", "BLMPOP -1 1 k UP", "BZMPOP 0 1 k LEFT",
      "BZMPOP 0 1 k MIN COUNT -1", "BZMPOP x 1 k MIN", "BZPOPMIN k", "BZPOPMIN k x", "BLPOP k k2 k3")
    s("a", "SET s text", "BLPOP s x", "BLMOVE s d LEFT LEFT x")


def time_is_up(s):
    for command in ("BLPOP none 0.02", "BRPOP none other 0.02", "BLMOVE none d LEFT LEFT 0.02",
                    "BRPOPLPUSH none d 0.02", "BLMPOP 0.02 1 none LEFT", "BZPOPMIN none 0.02",
                    "BZPOPMAX none 0.02", "BZMPOP 0.02 1 none MIN"):
        s("a", command)
    s("a", "SET s text", "BLMOVE none s LEFT LEFT 0.02")


def within_multi(s):
    s("a", "MULTI", "BLPOP none 0", "BRPOP none 0", "BLMOVE none d LEFT LEFT 0", "BRPOPLPUSH none d 0",
      "BLMPOP 0 1 none LEFT", "BZPOPMIN none 0", "BZPOPMAX none 0", "BZMPOP 0 1 none MIN",
      "RPUSH l a b", "BLPOP l 0", "BLMOVE l m LEFT LEFT 0", "BLPOP l 0", "BLPOP m -1", "SET s 1",
      "BLPOP s 0", "ZADD z 1 a", "BZPOPMIN z 0", "EXEC", "LRANGE m 0 -1")


def each_is_served(s):
    commands = {"BLPOP k 0": "RPUSH k x y", "BRPOP j k 0": "RPUSH k x y",
                "BLMOVE k d LEFT RIGHT 0": "LPUSH k x", "BLMOVE k k LEFT RIGHT 0": "RPUSH k x y",
                "BRPOPLPUSH k d 0": "LPUSH k x", "BLMPOP 0 2 j k LEFT COUNT 2": "RPUSH k x y z",
                "BLMPOP 0 1 k RIGHT": "RPUSH k x y z", "BZPOPMIN j k 0": "ZADD k 2 b 1.5 a",
                "BZPOPMAX k 0": "ZADD k 2 b 1 a", "BZMPOP 0 1 k MIN COUNT 2": "ZADD k 1 a 2 b 3 c",
                "BZMPOP 0 2 j k MAX": "ZADD k 1 a 2 b 3 c"}
    for waits, serves in commands.items():
        s.waits("a", waits)
        s("b", serves)
        s.hear("a")
        s("b", "LRANGE d 0 -1", "TYPE k", "DEL k d")
        s.blocked(0)


def the_one_that_waits_longest_is_first(s):
    for i, name in enumerate("abcd"):
        s.waits(name, "BLPOP k 0" if i % 2 else "BRPOP other k 0", i + 1)
    s("p", "RPUSH k 1")
    s.hear("a")
    s.waits("a", "BLPOP k 0", 4)
    s("p", "RPUSH k 2 3 4 5 6")
    for name in "bcda":
        s.hear(name)
    s("p", "LRANGE k 0 -1")


def keys_of_another_type_are_passed_over(s):
    """A key of another type that comes while they wait is one that they go on waiting for."""
    s.waits("a", "BLPOP k l 0")
    s.waits("b", "BZPOPMIN k 0", 2)
    s.waits("c", "BLMOVE k d LEFT LEFT 0", 3)
    s("p", "SET k text", "DEL k", "HSET k f v", "DEL k", "SADD k x", "TYPE k")
    s.blocked(3)
    s("p", "DEL k", "ZADD k 1 m")
    s.hear("b")
    s.blocked(2)
    s("p", "SET k text", "RPUSH l x")
    s.hear("a")
    s("p", "DEL k", "RPUSH k y")
    s.hear("c")
    s("p", "LRANGE d 0 -1")


def a_destination_of_another_type(s):
    s.waits("a", "BLMOVE k d LEFT LEFT 0")
    s.waits("b", "BLPOP k 0", 2)
    s("p", "SET d text", "RPUSH k x")
    s.hear("a")
    s.hear("b")
    s("p", "EXISTS k", "GET d")


def whatever_makes_the_key_appear(s):
    s("p", "RPUSH l 2 1", "ZADD z 1 m 2 n", "SADD set b a")
    for how in ("RENAME x k", "COPY x k", "RENAMENX x k", "SORT l STORE k", "LMOVE x k LEFT LEFT",
                "RPOPLPUSH x k", "LPUSH k 1", "SORT set ALPHA STORE k"):
        s("p", "DEL x k", "COPY l x")
        s.waits("a", "BLPOP k 0")
        s("p", how)
        s.hear("a")
        s("p", "LRANGE k 0 -1")
    for how in ("RENAME x k", "COPY x k", "ZADD k 1 m", "ZINCRBY k 1 m", "ZUNIONSTORE k 1 x",
                "ZINTERSTORE k 2 x z", "ZDIFFSTORE k 2 x none", "ZRANGESTORE k x 0 -1"):
        s("p", "DEL x k", "COPY z x")
        s.waits("a", "BZPOPMIN k 0")
        s("p", how)
        s.hear("a")
        s("p", "ZRANGE k 0 -1")


def another_database(s):
    s.waits("a", "BLPOP k 0")
    s("p", "SELECT 1", "RPUSH k wrong")
    s.blocked(1)
    s("p", "SWAPDB 0 1")
    s.hear("a")
    s("p", "SELECT 0", "EXISTS k")
    s("b", "SELECT 3")
    s.waits("b", "BLPOP k 0")
    s("p", "RPUSH k x", "MOVE k 3")
    s.hear("b")
    s("p", "FLUSHALL")


def deleted_and_made_again(s):
    s.waits("a", "BLPOP k 0")
    s("p", "MULTI", "LPUSH k x", "DEL k", "EXEC")
    s.blocked(1)
    s("p", "MULTI", "LPUSH k x", "DEL k", "LPUSH k y z", "EXEC", "LRANGE k 0 -1")
    s.hear("a")
    s("p", "FLUSHDB")
    s.waits("a", "BLPOP k 0")
    s("p", "FLUSHDB", "FLUSHALL")
    s.blocked(1)
    s("p", "LPUSH k a")
    s.hear("a")


def a_block_serves_at_its_end(s):
    s.waits("a", "BLPOP one two 0")
    s.waits("b", "BLPOP two one 0", 2)
    s("p", "MULTI", "RPUSH two 2", "RPUSH one 1", "RPUSH one 11", "LLEN one", "EXEC")
    s.hear("a")
    s.hear("b")
    s("p", "LRANGE one 0 -1", "LRANGE two 0 -1")


def chains(s):
    s.waits("a", "BLMOVE one two LEFT RIGHT 0")
    s.waits("b", "BRPOPLPUSH two three 0", 2)
    s.waits("c", "BLPOP three 0", 3)
    s.waits("d", "BLMOVE one one LEFT LEFT 0", 4)
    s("p", "RPUSH one x")
    for name in "abc":
        s.hear(name)
    s.blocked(1)
    s("p", "RPUSH one y")
    s.hear("d")
    s("p", "LRANGE one 0 -1", "EXISTS two three")


def what_is_sent_behind_it_waits(s):
    s("a", "SET n 0")
    s.ask("a", "INCR n", "BLPOP k 0", "INCR n", "BLPOP k 0", "INCR n", "PING", "CLIENT GETNAME")
    s.hear("a")
    s.blocked(1)
    s("p", "GET n", "RPUSH k x")
    s.hear("a", 2)
    s.blocked(1)
    s("p", "GET n", "RPUSH k y")
    s.hear("a", 4)
    s.ask("a", "RPUSH k own", "BLPOP k 0", "LLEN k")
    s.hear("a", 3)


def it_leaves_behind_what_it_waits_for(s):
    s.ask("a", "CLIENT SETNAME someone", "BLPOP k 0", "RESET", "CLIENT GETNAME", "QUIT", "SET never 1")
    s.hear("a")
    s.blocked(1)
    s("p", "RPUSH k x")
    s.hear("a", 4)
    s.told.append(s.actors.pop("a").rest())
    s("p", "GET never")


def watched(s):
    """A block and a wait of one client; WATCH notices what it was served."""
    s("a", "RPUSH k 1", "WATCH k", "BLPOP k 0", "MULTI", "PING", "EXEC")
    s("a", "WATCH k")
    s.waits("a", "BLPOP k 0")
    s("p", "RPUSH k x")
    s.hear("a")
    s("a", "MULTI", "PING", "EXEC")


def monitored(s):
    s("m", "MONITOR")
    s.actor("p")
    if s.proto == 3:
        s.actor("m").reply()
    for name, command in (("a", "BLPOP k 0"), ("b", "BLMOVE j k LEFT LEFT 0")):
        s.ask(name, command)
        seen = b""
        while command.split()[0].encode() not in seen:
            seen = s.actor("m").reply()
        s.told.append(seen.partition(b'"')[2])
    s.ask("p", "RPUSH j x")
    s.hear("p")
    s.hear("a")
    s.hear("b")
    seen = s.actor("m").reply()
    while b"RPUSH" not in seen:
        seen = s.actor("m").reply()
    s.ask("p", "PING")
    s.hear("p")
    s.told.append(s.actor("m").reply().partition(b'"')[2])  # nothing in between


def unblocked_by_a_client(s):
    number = s.id_of("a")
    s("p", f"CLIENT UNBLOCK {number}", "CLIENT UNBLOCK 123456")
    for command in ("BLPOP k 0", "BLMOVE k d LEFT LEFT 0", "BZMPOP 0 1 k MIN"):
        for how in ("", " TIMEOUT", " ERROR", " error"):
            s.waits("a", command)
            s("p", f"CLIENT UNBLOCK {number}{how}")
            s.hear("a")
            s.blocked(0)
    s.ask("a", "BLPOP k 0", "PING")
    s.blocked(1)
    s("p", f"CLIENT UNBLOCK {number} WHATEVER", "MULTI", f"CLIENT UNBLOCK {number}", "EXEC",
      "RPUSH k x")
    s.hear("a", 2)
    s("p", "LRANGE k 0 -1")


def killed(s):
    number = s.id_of("a")
    s.waits("a", "BLPOP k 0")
    s.waits("b", "BLPOP k 0", 2)
    s("p", f"CLIENT KILL ID {number}")
    s.blocked(1)
    s("p", "RPUSH k x y")
    s.hear("b")
    s("p", "LRANGE k 0 -1")


def killed_before_what_it_waits_for_comes(s):
    """In one breath: what comes behind the CLIENT KILL is not given to it, wherever that is said."""
    cases = (("BLMOVE k d LEFT LEFT 0", ("RPUSH k v",)), ("BRPOPLPUSH k d 0", ("RPUSH k v",)),
             ("BLPOP k 0", ("RPUSH k v", "LLEN k")), ("BLMPOP 0 1 k LEFT", ("RPUSH k v w",)),
             ("BZPOPMIN k 0", ("ZADD k 1 m", "EXPIRE k 1000", "ZCARD k")))
    for command, makes in cases:
        for frame in ((), ("MULTI", "EXEC")):
            number = s.id_of("a")
            s.waits("a", command)
            block = (f"CLIENT KILL ID {number}", *makes)
            block = (frame[0], *block, frame[1]) if frame else block
            s.ask("p", *block)
            s.hear("p", len(block))
            s.goes("a")
            s.blocked(0)
            s("p", "TYPE k", "EXISTS k d", "PERSIST k", "DEL k d")
    for kill in ("CLIENT KILL TYPE normal USER waiter", "ACL DELUSER waiter"):
        s("p", "ACL SETUSER waiter on nopass ~* &* +@all")
        s("a", "AUTH waiter any")
        s.waits("a", "BLMOVE k d LEFT LEFT 0")
        s.ask("p", kill, "RPUSH k v")
        s.hear("p", 2)
        s.goes("a")
        s.blocked(0)
        s("p", "EXISTS k d", "DEL k d")
    s("p", "ACL DELUSER waiter")


def killed_by_itself_and_with_others(s):
    """Whoever kills does so while it runs; it is answered, and what it has sent behind that is not done."""
    s.waits("a", "BLPOP k 0")
    s.waits("b", "BLMOVE k d LEFT LEFT 0", 2)
    s.ask("p", "MULTI", "CLIENT KILL TYPE normal SKIPME no", "RPUSH k v", "EXEC")
    s.hear("p", 3)
    s.told.append(len(s.actors["p"].rest()) > 0)
    for name in "abp":
        s.goes(name)
    s.watcher.connection_pool.disconnect()
    s.blocked(0)
    s("p", "LRANGE k 0 -1", "EXISTS d")


def gone(s):
    s.waits("a", "BLPOP k 0")
    s.waits("b", "BLPOP k 0", 2)
    s.waits("c", "BLPOP k 0", 3)
    s.goes("a")
    s.blocked(2)
    s.actor("b").half_close()
    s.blocked(1)
    s("p", "RPUSH k x y")
    s.hear("c")
    s("p", "LRANGE k 0 -1")


def paused(s):
    s.waits("a", "BLPOP k 0")
    s("p", "CLIENT PAUSE 50 WRITE", "RPUSH k x")
    s.hear("a")
    s.waits("a", "BLPOP k 0")
    s("p", "CLIENT PAUSE 10000 WRITE")
    s.ask("b", "RPUSH k y")
    s.blocked(2)
    s("p", "CLIENT UNPAUSE")
    s.hear("b")
    s.hear("a")


def its_time_is_up_and_another_is_served(s):
    s.waits("a", "BLPOP other 100")
    s.told.append(s.watcher.info("clients")["clients_in_timeout_table"])
    s("p", "RPUSH other x")
    s.hear("a")
    s.ask("a", "BLPOP k 0.5")
    s.ask("b", "BLPOP k 0")
    s.hear("a")
    s.blocked(1)
    s("p", "RPUSH k x")
    s.hear("b")


def a_number_of_elements(s):
    s.waits("a", "BLMPOP 0 1 k LEFT COUNT 3")
    s.waits("b", "BLMPOP 0 1 k LEFT COUNT 3", 2)
    s.waits("c", "BLPOP k 0", 3)
    s("p", "RPUSH k 1 2 3 4")
    s.hear("a")
    s.hear("b")
    s.blocked(1)
    s("p", "RPUSH k 5")
    s.hear("c")


def the_names_of_keys_and_flags(s):
    for name in ("blpop", "brpop", "blmove", "brpoplpush", "blmpop", "bzpopmin", "bzpopmax", "bzmpop"):
        s("a", f"COMMAND INFO {name}")
    s("a", "COMMAND GETKEYS BLPOP a b 0", "COMMAND GETKEYS BLMOVE a b LEFT LEFT 0",
      "COMMAND GETKEYS BLMPOP 0 2 a b LEFT", "COMMAND GETKEYS BZMPOP 0 1 a MIN",
      "COMMAND GETKEYS BZPOPMAX a b c 0", "COMMAND GETKEYSANDFLAGS BLMOVE a b LEFT LEFT 0",
      "COMMAND GETKEYSANDFLAGS BLMPOP 0 2 a b LEFT", "COMMAND GETKEYS BRPOPLPUSH a b 0")


def users(s):
    s("p", "ACL SETUSER u on nopass +blpop +blmove +blmpop +client|id +auth ~k* %R~r*")
    s("a", "AUTH u x", "BLPOP k other 0", "BLPOP r 0", "BLMOVE k r LEFT LEFT 0", "BZPOPMIN k 0",
      "BLMPOP 0 2 k other LEFT", "BLMPOP 0.01 2 k k2 LEFT", "BLPOP k 0.01")
    s("p", "ACL SETUSER v on nopass +@all -@blocking ~*")
    s("b", "AUTH v x", "BLPOP k 0", "LPOP k")
    s("p", "ACL DELUSER u", "ACL DELUSER v")


PLAYS = [at_once, wrong_arguments, time_is_up, within_multi, each_is_served,
         the_one_that_waits_longest_is_first, keys_of_another_type_are_passed_over,
         a_destination_of_another_type, whatever_makes_the_key_appear, another_database,
         deleted_and_made_again, a_block_serves_at_its_end, chains, what_is_sent_behind_it_waits,
         it_leaves_behind_what_it_waits_for, watched, monitored,
         unblocked_by_a_client, killed, killed_before_what_it_waits_for_comes,
         killed_by_itself_and_with_others, gone, paused, its_time_is_up_and_another_is_served,
         a_number_of_elements, the_names_of_keys_and_flags, users]


@pytest.fixture(scope="module")
def real(module_lab):
    return module_lab.redis()


@pytest.fixture(scope="module")
def ours(module_lab):
    return module_lab.respgres(module_lab.database(), pg_timeout=10000)


@pytest.fixture(scope="module")
def alone(module_lab):
    return module_lab.respgres(standalone="yes")


def played(server, play, proto):
    with contextlib.closing(Stage(server, proto)) as stage:
        play(stage)
        return stage.told


@pytest.mark.parametrize("proto", (2, 3))
@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_as_redis(real, ours, play, proto):
    assert played(ours, play, proto) == played(real, play, proto)


@pytest.mark.parametrize("play", [p for p in PLAYS if p is not another_database],
                         ids=lambda play: play.__name__)
def test_as_redis_without_postgresql(real, alone, play):
    assert played(alone, play, 2) == played(real, play, 2)
