"""COMMAND DOCS: facts are those of redis-server; words are our own."""

import pytest

pytestmark = pytest.mark.rows

FACTS = ("deprecated_since", "doc_flags", "group", "since")


def plain(value):
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value.decode() if isinstance(value, bytes) else value


def pairs(flat):
    return dict(zip(flat[::2], flat[1::2]))


def docs(server):
    """{full name: {field: value}}"""
    found = {}
    connection = server.client().connection_pool.get_connection("COMMAND")
    connection.send_command("COMMAND", "DOCS")
    for name, fields in pairs(plain(connection.read_response())).items():
        found[name] = pairs(fields)
        for sub, sub_fields in pairs(found[name].get("subcommands", [])).items():
            found[sub] = pairs(sub_fields)
    connection.disconnect()
    return found


def types(arguments):
    """{name: types}, of arguments that are values."""
    found = {}
    for argument in map(pairs, arguments):
        for name, ones in types(argument.get("arguments", [])).items():
            found.setdefault(name, set()).update(ones)
        if argument["type"] not in ("pure-token", "oneof", "block"):
            found.setdefault(argument["name"], set()).add(argument["type"])
    return found


def test_what_docs_say_is_what_redis_says(respgres, redis_server):
    ours, theirs = docs(respgres), docs(redis_server)
    both = ours.keys() & theirs.keys()
    assert len(both) > 200
    differs = {(name, fact, str(ours[name].get(fact)), str(theirs[name].get(fact))) for name in both
               for fact in FACTS if ours[name].get(fact) != theirs[name].get(fact)}
    assert differs == {("wait", "group", "connection", "generic")}  # docs/commands.md
    assert sum("deprecated_since" in ours[name] for name in both) > 10
    assert all(("replaced_by" in ours[name]) == ("replaced_by" in theirs[name]) for name in both)
    differs = set()
    compared = 0
    for name in both:
        mine, real = (types(d[name].get("arguments", [])) for d in (ours, theirs))
        compared += len(mine.keys() & real.keys())
        differs |= {(name, a, *mine[a], *real[a]) for a in mine.keys() & real.keys() if mine[a] != real[a]}
    assert differs == set()
    assert compared > 200
