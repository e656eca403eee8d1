"""What drivers send when they connect.

Each function gives a connected Wire, or fails where the driver would.
"""

import uuid

from wire import (ANY_ERROR, NIL2, NOAUTH, OK, OK_OR_ERROR, PASSWORD, PONG, WRONGPASS, Wire, bulk, greeting,
                  sections)

HELLO_NEEDS_AUTH = (
    b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> "
    b"<pass> option can be used to authenticate the client and select the RESP protocol version at the same "
    b"time\r\n")


def _hello3(wire, *rest, name=b"HELLO"):
    wire.hello(3, *rest, name=name)
    wire.resp = 3


def redis_py_8():
    """RESP3 by default; each command waits for its reply."""
    wire = Wire()
    _hello3(wire, "AUTH", "default", PASSWORD)
    wire.expect(OK_OR_ERROR, "CLIENT", "SETINFO", "LIB-NAME", "redis-py")
    wire.expect(OK_OR_ERROR, "CLIENT", "SETINFO", "LIB-VER", "8.0.0")
    wire.expect(ANY_ERROR, "CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "internal-ip")
    return wire


def redis_py_6():
    """RESP2 by default."""
    wire = Wire()
    wire.expect(OK, "AUTH", PASSWORD)
    wire.expect(OK_OR_ERROR, "CLIENT", "SETINFO", "LIB-NAME", "redis-py")
    wire.expect(OK_OR_ERROR, "CLIENT", "SETINFO", "LIB-VER", "6.4.0")
    return wire


def go_redis():
    """Lower case; what follows HELLO is one write."""
    wire = Wire()
    _hello3(wire, "auth", "default", PASSWORD, name=b"hello")
    wire.burst((("client", "setinfo", "LIB-NAME", "go-redis(,go1.22.2)"), OK_OR_ERROR),
               (("client", "setinfo", "LIB-VER", "9.7.3"), OK_OR_ERROR))
    return wire


def go_redis_refused(password):
    """Any error to HELLO makes it try AUTH."""
    with Wire() as wire:
        wire.expect(WRONGPASS, "hello", 3, "auth", "default", password)
        wire.expect(WRONGPASS, "auth", password)
        wire.expect(NOAUTH, "get", "x")


def lettuce():
    wire = Wire()
    _hello3(wire, "AUTH", "default", PASSWORD, "SETNAME", "app")
    wire.burst((("CLIENT", "SETINFO", "lib-name", "Lettuce"), OK_OR_ERROR),
               (("CLIENT", "SETINFO", "lib-ver", "7.8.0"), OK_OR_ERROR),
               (("CLIENT", "MAINT_NOTIFICATIONS", "ON"), ANY_ERROR))
    return wire


def hello3_refused(password):
    """Drivers that fall back only where HELLO is unknown give up at WRONGPASS; one that has no password at
    all is told what HELLO asks for."""
    with Wire() as wire:
        wire.expect(WRONGPASS, "HELLO", 3, "AUTH", "default", password)
        wire.expect(HELLO_NEEDS_AUTH, "HELLO", 3)
        wire.expect(NOAUTH, "GET", "x")


def predis_3():
    """HELLO 2 and what follows are one write. The version is taken by position from the flat list."""
    wire = Wire()
    wire.burst((("HELLO", 2, "AUTH", "default", PASSWORD, "SETNAME", "predis"), greeting(2)),
               (("CLIENT", "SETINFO", "LIB-NAME", "predis"), OK_OR_ERROR),
               (("CLIENT", "SETINFO", "LIB-VER", "3.6.0"), OK_OR_ERROR),
               (("SELECT", 0), OK))
    return wire


def phpredis():
    wire = Wire()
    wire.expect(OK, "AUTH", PASSWORD)
    wire.expect(OK, "SELECT", 0)
    return wire


def fred():
    wire = Wire()
    wire.expect(OK, "AUTH", PASSWORD)
    wire.expect(lambda n: isinstance(n, int) and n > 0, "CLIENT", "ID")
    wire.expect(sections("redis_version", "redis_mode", "tcp_port"), "INFO", "server")
    return wire


def _setting(wire, name, value):
    """Expects CONFIG GET of one setting: a map under RESP3, two elements under RESP2."""
    pair = {name: value} if wire.resp == 3 else [name, value]
    return lambda reply: reply == pair


def stackexchange(resp=2):
    """The whole start is written before the first reply is read; its last command, the tracer, must come back.
    3.x says HELLO 3, bare, after AUTH."""
    wire = Wire()
    tracer = uuid.uuid4().bytes
    start = [(("AUTH", PASSWORD), OK)]
    if resp == 3:
        wire.resp = 3
        start.append((("HELLO", 3), greeting(3)))
    start += [
        (("CLIENT", "SETNAME", "WEB01(SE.Redis-v2.8.16)"), OK),
        (("CLIENT", "SETINFO", "lib-name", "SE.Redis"), OK_OR_ERROR),
        (("CLIENT", "SETINFO", "lib-ver", "2.8.16"), OK_OR_ERROR),
        (("CLIENT", "ID"), lambda n: isinstance(n, int) and n > 0),
        (("CONFIG", "GET", "timeout"), _setting(wire, b"timeout", b"0")),
        (("CONFIG", "GET", "replica-read-only"), lambda reply: len(reply) in (0, 1, 2)),
        (("CONFIG", "GET", "databases"), _setting(wire, b"databases", b"16")),
        (("SENTINEL", "MASTERS"), ANY_ERROR),
        (("INFO", "replication"), sections("role", "connected_slaves", "master_repl_offset")),
        (("INFO", "server"), sections("redis_version", "redis_mode", "run_id")),
        (("CLUSTER", "NODES"), ANY_ERROR),
        (("GET", "__Booksleeve_TieBreak"), wire.nil),
        (("ECHO", tracer), bulk(tracer))]
    wire.burst(*start)
    return wire


def stackexchange_refused(password):
    """It goes on after a refused AUTH: the tracer's error tells that the connection is no good."""
    with Wire() as wire:
        wire.burst((("AUTH", password), WRONGPASS), (("CLIENT", "SETNAME", "WEB01"), NOAUTH),
                   (("INFO", "server"), NOAUTH), (("ECHO", uuid.uuid4().bytes), NOAUTH))


def stackexchange_subscriber():
    """RESP2 needs a second connection: the same start, then SUBSCRIBE, and PING in that mode."""
    wire = stackexchange()
    channel = "__Booksleeve_MasterChanged"
    wire.expect(lambda r: r == [b"subscribe", channel.encode(), 1], "SUBSCRIBE", channel)
    wire.expect(lambda r: r == [b"pong", b""], "PING")
    return wire


def ioredis():
    """ioredis 5: lower case, one after the other, and INFO as its ready check."""
    wire = Wire()
    wire.burst((("auth", PASSWORD), OK),
               (("client", "setname", "redisinsight-browser-1"), OK),
               (("client", "SETINFO", "LIB-VER", "5.11.1"), OK_OR_ERROR),
               (("client", "SETINFO", "LIB-NAME", "ioredis"), OK_OR_ERROR),
               (("info",), lambda text: b"\r\nloading:0\r\n" in text and b"master_link_status:" not in text))
    assert wire.resp == 2 and wire.nil == NIL2
    wire.expect(PONG, "ping")
    return wire
