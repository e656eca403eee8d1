"""Commands that wait, in the random programs of differential.py (the contract of such a module is in
differential_server.py): where they do not wait for long. What several connections do to each other while
some wait is in test_blocking.py, where the order is certain.
"""

from differential_kinds import OWN

TIMES = (b"0.001", b"0.002", b".001", b"1e-3", b"0x.001", b"+0.001")
WRONG = (b"-1", b"x", b"", b"nan", b"inf", b"-0.5", b"1e999", b"9223372036854775807", b" 1", b"1\0")
ENDS = (b"LEFT", b"RIGHT")


NAMES = (b"bl0", b"bl1", b"bz0", b"bz1")


def fill(g):
    l0, l1, z0, z1 = NAMES
    return g.pick((
        [[b"RPUSH", g.pick((l0, l1)), b"%d" % g.rng.randint(0, 9), b"x"]],
        [[b"RPUSH", l0, *(b"%d" % i for i in range(5))]],
        [[b"ZADD", g.pick((z0, z1)), b"%d" % g.rng.randint(-2, 9), g.pick((b"a", b"b", b"c")), b"1.5", b"d"]],
        [[b"SET", g.pick((l0, l1, z0, z1)), b"text"]], [[b"DEL", l0, z0]], [[b"DEL", l1, z1]]))


def count(g):
    return g.pick(([], [], [g.case(b"COUNT"), g.pick((b"1", b"2", b"100", b"0", b"-1", b"x"))],
                   [g.case(b"COUNT")], [b"foo"]))


def one(g, time):
    """Keys of the other kind are among them, now and then."""
    l0, l1, z0, z1 = NAMES
    sorted_set = g.chance(0.4)
    keys = [g.pick((z0, z1, z0, z1, l0) if sorted_set else (l0, l1, l0, l1, z0))
            for _ in range(g.rng.randint(1, 3))]
    if g.chance(0.4):
        name, ends = (b"BZMPOP", (b"MIN", b"MAX")) if sorted_set else (b"BLMPOP", ENDS)
        number = b"%d" % len(keys) if g.chance(0.9) else g.pick((b"0", b"9", b"x", b"-1"))
        end = g.pick(ends) if g.chance(0.95) else b"UP"
        return [g.case(name), time, number, *keys, g.case(end), *count(g)]
    if sorted_set:
        return [g.case(g.pick((b"BZPOPMIN", b"BZPOPMAX"))), *keys, time]
    if g.chance(0.4):
        end = g.pick((*ENDS, *ENDS, b"MIDDLE"))
        return [g.case(b"BLMOVE"), keys[0], keys[-1], g.case(g.pick(ENDS)), g.case(end), time]
    if g.chance(0.3):
        return [g.case(b"BRPOPLPUSH"), keys[0], keys[-1], time]
    return [g.case(g.pick((b"BLPOP", b"BRPOP"))), *keys, time]


def read(g):
    l0, l1, z0, z1 = NAMES
    return [[b"LRANGE", g.pick((l0, l1)), b"0", b"-1"],
            [b"ZRANGE", g.pick((z0, z1)), b"0", b"-1", b"WITHSCORES"]]


def waiting(g):
    """Within a block there may be any time: it does not wait there. Between connections that run at the
    same time there is no order: as differential_kinds says."""
    if g.keys[0].startswith(OWN):
        return g.read()
    if g.chance(0.25):
        times = (*TIMES, *WRONG[:3], b"0", b"1000", b"0")
        block = [one(g, g.pick(times)) for _ in range(g.rng.randint(1, 3))]
        return [[b"MULTI"], *fill(g), *block, [b"EXEC"], *read(g)]
    return [*fill(g), one(g, g.pick(TIMES if g.chance(0.9) else WRONG)), *read(g)]


FAMILIES = [(3, "data", waiting)]
