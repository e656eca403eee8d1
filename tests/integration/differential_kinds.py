"""Lists, sets, sorted sets and users in the random programs of differential.py (the contract of such a
module is in differential_server.py). The commands on collections are those of
differential_collections.py, which has a program of its own, too."""

import differential_collections as collections

# Their keys; so that the rounds in which connections have keys of their own leave them alone.
OWN = b"own"


def collection(generator):
    """Between connections that run at the same time there is no order: then a read of a key that only
    this one has."""
    if generator.keys[0].startswith(OWN):
        return generator.read()
    made = collections.Generator(generator.rng)
    if generator.chance(0.06):
        return emptied(generator, made)
    return [generator.rng.choice(made.families)()]


def emptied(generator, made):
    """What takes or shows everything, in whatever order."""
    key = made.key(generator.pick(("s", "z")))
    return generator.pick((
        [[b"SPOP", key, b"100000"]], [[b"SPOP", key], [b"DEL", key]], [[b"SPOP", key, b"x"]],
        [[b"SSCAN", key, b"0", b"COUNT", b"1000000"]], [[b"SSCAN", key, b"x"]], [[b"SSCAN", key]],
        [[b"ZSCAN", key, b"0", b"COUNT", b"1000000"]], [[b"ZSCAN", key, b"0", b"COUNT", b"0"]],
        [[b"ZSCAN", key, b"0", b"foo"]]))


ACL_RULES = (b"on", b"off", b"nopass", b"~*", b"~a*", b"+@all", b"-@all", b"+get", b"-set", b"reset",
             b"resetkeys", b"%R~x", b"&*", b"foo", b"", b"+nosuch", b"+@nosuch", b"~", b"allkeys",
             b"+config|get", b"-config|set", b">secret", b"<other", b"#12", b"(+get ~y*)", b"nocommands")


def users(generator):
    """Only about users that nobody logs in as."""
    name = generator.pick((b"someone", b"another", b"nobody"))
    rules = [generator.pick(ACL_RULES) for _ in range(generator.rng.randint(0, 4))]
    return [[generator.case(b"ACL"), *generator.pick((
        (b"WHOAMI",), (b"WHOAMI", b"x"), (b"USERS",), (b"LIST", b"x"), (b"CAT", b"nosuch"),
        (b"CAT", b"a", b"b"), (b"GETUSER", b"nosuch"), (b"GETUSER",), (b"SETUSER",),
        (b"SETUSER", name, *rules), (b"SETUSER", name, *rules), (b"DELUSER", name), (b"DELUSER",),
        (b"DELUSER", b"default"), (b"GENPASS",), (b"GENPASS", b"x"), (b"GENPASS", b"5"),
        (b"GENPASS", b"0"), (b"LOG", b"x"), (b"LOG", b"RESET"), (b"LOG", b"0"), (b"SAVE",), (b"LOAD",),
        (b"DRYRUN", b"default", b"get", b"k"), (b"DRYRUN", b"nosuch", b"get", b"k"), (b"DRYRUN", b"x"),
        (b"DRYRUN", b"default", b"nosuch", b"k"), (b"HELP",), (b"HELP", b"x"), (b"nosuch",)))]]


def alike(command, ref, sub):
    """Are these parts of replies the same, as far as Redis says what they are?"""
    name = command[0].lower()
    if name == b"acl":
        return command[1].lower() == b"genpass" and len(ref[1]) == len(sub[1])
    if not isinstance(ref[1], list):
        return name in collections.RANDOM
    if name in (b"spop", b"sscan", b"zscan") or name in collections.UNORDERED or \
            name in (b"sort", b"sort_ro"):
        return flat(ref) == flat(sub)
    return name in collections.RANDOM and len(ref[1]) == len(sub[1])


def flat(part):
    if not isinstance(part[1], list):
        return [part]
    return sorted((one for item in part[1] for one in flat(item)), key=repr)


FAMILIES = [(14, "data", collection), (2, "acl", users)]
READERS = {b"list": lambda key: [b"LRANGE", key, b"0", b"-1"],
           b"set": lambda key: [b"SMEMBERS", key],
           b"zset": lambda key: [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]}
ALIKE = collections.UNORDERED | collections.RANDOM | {b"sscan", b"zscan", b"sort", b"sort_ro", b"acl"}
