"""SORT with patterns that name other keys, in the random programs of differential.py (the contract of such
a module is in differential_server.py). test_sort.py compares the order of the elements, too: there are
ties whose order Redis leaves open.
"""

from differential_kinds import OWN

SOURCES = (b"sl0", b"sl1", b"ss0", b"sz0", b"order:l", b"order:s")
SETS = (b"ss0", b"order:s")  # unsorted, their order is that of a hash table
ELEMENTS = (b"1", b"2", b"3", b"10", b"a", b"->", b"*", b"")
PATTERNS = (b"w_*", b"w_*", b"o_*->f", b"o_*->f", b"o_*->g", b"o_*->", b"w_*->f", b"o_*", b"*", b"**",
            b"w_*_x", b"none_*", b"w_1", b"#", b"", b"o_*->f->g", b"o_->*", b"->*", b"w_\0*", b"*\0->f",
            b"o_*->f\0", b"#\0")


# Redis' SORT takes an errno of ERANGE that any command has left for its own. This one sets it to 0.
CLEAR = [b"ZADD", b"order:none", b"XX", b"1", b"x"]


def fill(g):
    """A weight, an object, or something to sort."""
    element, number = g.pick(ELEMENTS), b"%d" % g.rng.randint(-9, 99)
    return g.pick((
        [[b"SET", b"w_" + element, g.pick((number, number, number, b"1.5", b"word", b"", b"nan"))]],
        [[b"SET", b"w_" + element, number, b"PX", b"3000000"]], [[b"DEL", b"w_" + element]],
        [[b"HSET", b"o_" + element, b"f", number, b"g", g.pick((number, b"text", b"")), b"f->g", number]],
        [[b"HDEL", b"o_" + element, g.pick((b"f", b"g"))]], [[b"LPUSH", b"o_" + element, b"x"]],
        [[b"RPUSH", b"order:l", element]], [[b"RPUSH", b"order:l", *ELEMENTS[:3]]],
        [[b"SADD", b"order:s", element]], [[b"DEL", b"order:l"]], [[b"SET", element, number]]))


def sort(g):
    """BY of texts only together with all elements: which of those that tie a LIMIT takes is open. What is
    stored is sorted by the elements, for the same reason."""
    key, name = g.pick(SOURCES), g.case(g.pick((b"SORT", b"SORT", b"SORT_RO")))
    options = [(g.case(b"GET"), g.pick(PATTERNS)) for _ in range(g.pick((0, 0, 1, 1, 2, 3)))]
    if g.chance(0.7):
        options.append((g.case(b"BY"), g.pick(PATTERNS[:12] if key in SETS else PATTERNS)))
    way = g.pick((b"ASC", b"DESC", b"ALPHA", b"LIMIT", b""))
    if way == b"LIMIT":
        options.append((way, g.pick((b"0", b"1", b"-1", b"x")), g.pick((b"2", b"100", b"-1", b"0"))))
    elif way:
        options.append((way,))
    g.rng.shuffle(options)
    if g.chance(0.2):
        options = [option for option in options if option[0].upper() != b"BY"]
        options.append((g.case(b"STORE"), g.pick((b"sl1", b"w_1", b"order:l"))))
    return [[name, key, *(word for option in options for word in option)]]


def patterns(g):
    """Between connections that run at the same time there is no order: as differential_kinds says."""
    if g.keys[0].startswith(OWN):
        return g.read()
    if g.chance(0.5):
        return fill(g)
    if g.chance(0.2):
        return fill(g) + [[b"MULTI"], *fill(g), CLEAR, *sort(g), *fill(g), CLEAR, *sort(g), [b"EXEC"]]
    return fill(g) + [CLEAR] + sort(g)


FAMILIES = [(4, "data", patterns)]
