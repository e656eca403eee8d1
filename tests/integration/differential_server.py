"""Random commands for differential.py about the connection and the server: what is not data.

A module of this kind (differential_*.py) adds to the random program by up to four lists:

  FAMILIES   (weight, category, function): function(generator) returns one or more commands, each a
             list of arguments. The category "data" is for commands about keys; its weights count
             among those of the data commands. `--skip CATEGORY` leaves a category out.
  COMMANDS   names of commands about keys that are also sent with wrong arguments, and asked about by
             COMMAND INFO and GETKEYS
  READERS    type as TYPE names it -> function(key) returning the command that reads all of it

  ALIKE      names of commands whose replies may differ in bytes; alike(command, ref, sub) decides of two
             decoded replies (kind, value) of the same kind

test_differential.py fails for a command of the server that no function returns, unless it is named in
EXEMPT there.
"""


class Silent(list):
    """A command that neither server answers."""


def client(g):
    return [[g.case(b"CLIENT"), *g.pick((
        (b"TRACKINGINFO",), (b"GETREDIR",), (b"GETREDIR", b"x"), (b"CACHING", b"yes"),
        (b"CACHING", b"foo"), (b"CACHING",), (b"TRACKING", b"off"), (b"TRACKING", b"off", b"NOLOOP"),
        (b"TRACKING", b"foo"), (b"TRACKING", b"off", b"PREFIX"), (b"TRACKING", b"off", b"foo"),
        (b"UNBLOCK", b"x"), (b"UNBLOCK", b"99999999"), (b"UNBLOCK", b"99999999", b"TIMEOUT"),
        (b"UNBLOCK", b"99999999", b"foo"), (b"UNBLOCK", b"1", b"error", b"x"),
        (b"PAUSE", b"x"), (b"PAUSE", b"-1"), (b"PAUSE", b"1", b"foo"), (b"PAUSE", b"1", b"write"),
        (b"PAUSE", b"1", b"ALL", b"x"), (b"PAUSE", b"0"), (b"UNPAUSE",), (b"UNPAUSE", b"x"),
        (b"NO-EVICT", b"on"), (b"NO-EVICT", b"off"), (b"NO-EVICT", b"foo"), (b"NO-EVICT",),
        (b"NO-TOUCH", b"on"), (b"REPLY", b"foo"), (b"REPLY", b"ON"), (b"REPLY",),
        (b"LIST", b"TYPE", b"foo"), (b"LIST", b"TYPE", b"master"), (b"LIST", b"TYPE"),
        (b"LIST", b"ID"), (b"LIST", b"ID", b"x"), (b"LIST", b"ID", b"0"),
        (b"LIST", b"ID", b"99999999", b"x"), (b"LIST", b"foo"), (b"LIST", b"type", b"normal"),
        (b"KILL", b"foo"), (b"KILL", b"ID"), (b"KILL", b"ID", b"x"), (b"KILL", b"ID", b"0"),
        (b"KILL", b"ID", b"99999999"), (b"KILL", b"TYPE", b"foo"), (b"KILL", b"TYPE", b"master"),
        (b"KILL", b"TYPE", b"replica", b"ID", b"9999999"), (b"KILL", b"USER", b"nobody"),
        (b"KILL", b"SKIPME", b"foo"), (b"KILL", b"SKIPME"), (b"KILL", b"LADDR", b"1.2.3.4:5"),
        (b"KILL", b"ADDR", b"1.2.3.4:5", b"SKIPME", b"yes"), (b"KILL", b"foo", b"bar"),
        (b"KILL", b"ADDR", b"1.2.3.4:5", b"LADDR"), (b"KILL", b"1.2.3.4:5"), (b"HELP",),
        (b"HELP", b"x"), (b"MAINT_NOTIFICATIONS", b"ON")))]]


def silence(g):
    """CLIENT REPLY. Within MULTI it would silence the block, so that it would not be known what was queued;
    and to a user who may not call it it would be an error."""
    first = [[b"DISCARD"], [b"AUTH", b"default", b"anything"]]
    if g.chance(0.5):
        return [*first, Silent([g.case(b"CLIENT"), b"REPLY", g.case(b"SKIP")]),
                Silent(g.read()[0])]
    silent = [Silent(c) for c in g.read() + g.write()]
    return [*first, Silent([g.case(b"CLIENT"), b"REPLY", b"OFF"]), *silent,
            [b"CLIENT", b"REPLY", b"ON"]]


def config(g):
    return [[g.case(b"CONFIG"), *g.pick((
        (b"HELP",), (b"HELP", b"x"), (b"GET", b"save"), (b"GET", b"appendonl"), (b"GET", b"maxclients"),
        (b"GET", b"maxclients", b"MAXCLIENTS", b"maxclient?"), (b"GET", b"timeout", b"databases"),
        (b"GET", b"databases"), (b"GET", b"slowlog-max-len", b"timeout"), (b"GET", b"tcp-keepaliv[e]"),
        (b"GET", b"latency-monitor-threshold"), (b"GET", b"proto-max-bulk-len"), (b"GET", b""),
        (b"GET", b"notify-keyspace-events"), (b"GET", b"maxmemory-policy"), (b"GET", b"\x00"),
        (b"SET", b"timeout"), (b"SET", b"timeout", b"0"), (b"SET", b"TIMEOUT", b"0"),
        (b"SET", b"timeout", b"-1"), (b"SET", b"timeout", b"x"), (b"SET", b"timeout", b""),
        (b"SET", b"timeout", b"0", b"slowlog-max-len", b"128"),
        (b"SET", b"timeout", b"0", b"timeout", b"0"), (b"SET", b"timeout", b"0", b"nosuch", b"1"),
        (b"SET", b"timeout", b"0", b"slowlog-max-len"), (b"SET", b"databases", b"3"),
        (b"SET", b"maxclients", b"0"), (b"SET", b"tcp-keepalive", b"-1"),
        (b"SET", b"slowlog-max-len", b"-1"), (b"SET", b"latency-monitor-threshold", b"x"),
        (b"SET", b"proto-max-bulk-len", b"1"), (b"SET", b"enable-debug-command", b"no"),
        (b"RESETSTAT",), (b"RESETSTAT", b"x"), (b"REWRITE", b"x"), (b"REWRITE",)))]]


def server(g):
    return [[g.case(w) if i == 0 else w for i, w in enumerate(g.pick((
        (b"REPLICAOF", b"no", b"ONE"), (b"REPLICAOF", b"no", b"x"), (b"REPLICAOF", b"a"),
        (b"SLAVEOF", b"NO", b"one"), (b"SLAVEOF", b"127.0.0.1", b"x"),
        (b"REPLICAOF", b"127.0.0.1", b"70000"), (b"REPLICAOF", b"127.0.0.1", b"-1"),
        (b"FAILOVER",), (b"FAILOVER", b"ABORT"), (b"FAILOVER", b"TO", b"x", b"1"),
        (b"FAILOVER", b"TO", b"x", b"y"), (b"FAILOVER", b"foo"), (b"FAILOVER", b"TO"),
        (b"FAILOVER", b"TIMEOUT", b"1"), (b"FAILOVER", b"TIMEOUT", b"0"),
        (b"FAILOVER", b"TIMEOUT", b"x", b"foo"), (b"FAILOVER", b"FORCE"),
        (b"FAILOVER", b"ABORT", b"x"), (b"FAILOVER", b"TIMEOUT", b"1", b"TIMEOUT", b"2"),
        (b"MONITOR", b"x"), (b"MODULE", b"HELP"),
        (b"MODULE", b"LOAD", b"x"), (b"MODULE", b"LOADEX", b"x"), (b"MODULE", b"UNLOAD", b"x"),
        (b"MODULE", b"UNLOAD"), (b"MEMORY", b"HELP"), (b"LATENCY", b"HELP"), (b"LATENCY", b"HISTORY"),
        (b"LATENCY", b"HISTORY", b"command"), (b"LATENCY", b"GRAPH", b"command"),
        (b"LATENCY", b"RESET", b"command"), (b"LATENCY", b"HISTOGRAM", b"nosuch", b"x|y"),
        (b"SLOWLOG", b"HELP"), (b"SLOWLOG", b"LEN", b"x"), (b"SLOWLOG", b"RESET"), (b"SLOWLOG",),
        (b"SLOWLOG", b"GET", b"-2"), (b"SLOWLOG", b"GET", b"0"), (b"SLOWLOG", b"LEN"),
        (b"OBJECT", b"HELP"), (b"OBJECT",), (b"COMMAND", b"HELP"), (b"COMMAND", b"COUNT", b"x"),
        (b"BGSAVE", b"foo"), (b"BGREWRITEAOF", b"x"), (b"WAIT", b"0", b"1"),
        (b"LOLWUT", b"VERSION"), (b"LOLWUT", b"VERSION", b"1"), (b"PSYNC", b"x"),
        (b"INFO", b"nosuch"), (b"INFO", b"cluster"), (b"INFO", b"modules", b"cluster"))))]]


CLUSTER = (b"ADDSLOTS ADDSLOTSRANGE BUMPEPOCH COUNT-FAILURE-REPORTS COUNTKEYSINSLOT DELSLOTS "
           b"DELSLOTSRANGE FAILOVER FLUSHSLOTS FORGET GETKEYSINSLOT HELP INFO KEYSLOT LINKS MEET MYID "
           b"NODES REPLICAS REPLICATE RESET SAVECONFIG SET-CONFIG-EPOCH SETSLOT SHARDS SLAVES SLOTS "
           b"NOSUCH").split()


def cluster(g):
    args = [g.pick((b"1", b"x", b"10")) for _ in range(g.rng.randint(0, 3))]
    return [[g.case(b"CLUSTER"), g.case(g.pick(CLUSTER))] + args]


def debug(g):
    """What needs a value is only asked of keys that are absent: see docs/commands.md."""
    return [[g.case(b"DEBUG"), *g.pick((
        (b"PROTOCOL", g.case(g.pick((
            b"string", b"integer", b"double", b"bignum", b"null", b"array", b"set", b"map",
            b"verbatim", b"true", b"false", b"foo")))),
        (b"PROTOCOL",), (b"ERROR", b"CODE text"), (b"ERROR", b"with\r\nlines"), (b"ERROR",),
        (b"OBJECT", b"nosuchkey"), (b"OBJECT",), (b"SDSLEN", b"nosuchkey"), (b"LISTPACK", b"nosuchkey"),
        (b"QUICKLIST", b"nosuchkey"), (b"QUICKLIST", b"nosuchkey", b"1"), (b"SLEEP", b"0"),
        (b"SLEEP", b"x"), (b"SLEEP",), (b"SET-ACTIVE-EXPIRE", b"1"), (b"SET-ACTIVE-EXPIRE",),
        (b"JMAP",), (b"nosuch",), (b"STRINGMATCH-LEN", b"1", b"*"), (b"CHANGE-REPL-ID",),
        (b"LOG", b"x"), (b"LOG",), (b"QUICKLIST-PACKED-THRESHOLD", b"x"),
        (b"SET-SKIP-CHECKSUM-VALIDATION", b"0"), (b"RELOAD", b"foo"), ()))]]


def command_docs(g):
    """One by one: a container's subcommands come in random order."""
    if g.chance(0.3):
        return [[g.case(b"COMMAND"), *g.pick((
            (b"LIST", b"FILTERBY", b"PATTERN", b"client|se?name"), (b"LIST", b"FILTERBY", b"foo", b"x"),
            (b"LIST", b"FILTERBY", b"PATTERN", b"nosuch*"), (b"LIST", b"FILTERBY"),
            (b"GETKEYSANDFLAGS",), (b"GETKEYSANDFLAGS", b"nosuch", b"x"), (b"INFO", b"client|x"),
            (b"GETKEYS", b"MEMORY", b"USAGE", b"k"), (b"GETKEYS", b"OBJECT", b"FREQ", b"k"),
            (b"GETKEYSANDFLAGS", b"OBJECT", b"encoding", b"k"), (b"GETKEYS", b"DEBUG", b"OBJECT", b"k"),
            (b"DOCS", b"nosuch", b"x|y"), (b"COUNT", b"x", b"y")))]]
    return [[g.case(b"COMMAND"), g.case(b"DOCS"), g.case(g.pick(g.ALL_DATA))]]


FAMILIES = [(4, "client", client), (1, "silence", silence), (3, "config", config),
            (3, "server", server), (2, "server", cluster), (2, "debug", debug),
            (1, "command", command_docs)]
