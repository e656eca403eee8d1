"""Random commands for differential.py about pub/sub (see differential_server.py). Who subscribes takes
part in a conversation of another kind: test_pubsub.py."""


def publish(g):
    return [[g.case(g.pick((b"PUBLISH", b"SPUBLISH"))), g.pick((b"a", b"", b"news.1", b"\xff\x00")),
             g.pick((b"", b"x", b"text" * 500))]]


def pubsub(g):
    return [[g.case(b"PUBSUB"), *g.pick((
        (b"CHANNELS",), (b"channels", b"*"), (b"CHANNELS", b"a", b"b"), (b"NUMPAT",), (b"NUMPAT", b"x"),
        (b"NUMSUB",), (b"NUMSUB", b"a", b"b", b"a"), (b"SHARDCHANNELS",), (b"SHARDCHANNELS", b"*"),
        (b"SHARDCHANNELS", b"a", b"b"), (b"SHARDNUMSUB",), (b"SHARDNUMSUB", b"a", b""), (b"HELP",),
        (b"HELP", b"x"), (b"foo",), ()))]]


def wrong(g):
    """Without their arguments."""
    return [[g.case(g.pick((b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"PUBLISH", b"SPUBLISH")))]]


FAMILIES = [(2, "server", publish), (1, "server", pubsub), (1, "server", wrong)]
