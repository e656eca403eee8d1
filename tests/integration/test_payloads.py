"""The column doc: what session clients store, as JSON that people can query."""

import json
import pathlib
import pickle
import random
import zlib

import msgpack
import pytest

from harness import wait_until
from rules import Threads, stat

pytestmark = [pytest.mark.rows, pytest.mark.timeout(120)]

CORPUS = pathlib.Path(__file__).parents[1] / "payload" / "corpus"


@pytest.fixture(scope="module")
def database(module_lab):
    return module_lab.database()


def docs(database, prefix):
    return dict(database.execute(
        "SELECT convert_from(key, 'UTF8'), doc FROM respgres.entries"
        " WHERE starts_with(convert_from(key, 'UTF8'), %s) AND value IS NOT NULL", prefix))


def doc(database, key):
    return docs(database, key).get(key)


def test_jsonb_takes_what_we_make_of_every_payload(lab, database):
    """The whole corpus, each payload as its own format, through a server into jsonb: alone and in
    batches. What must come out is compared by PostgreSQL."""
    payloads = sorted(CORPUS.glob("*/*.in"))
    assert len(payloads) > 150
    formats = {p.parent.name for p in payloads}
    server = lab.respgres(database, payload=" ".join(f"corpus:{f}:* {f}" for f in formats))
    client = server.client()
    pipeline = client.pipeline(transaction=False)
    for path in payloads:
        client.set(f"corpus:{path.parent.name}:one:{path.stem}", path.read_bytes())
        pipeline.set(f"corpus:{path.parent.name}:batch:{path.stem}", path.read_bytes())
    pipeline.execute()
    assert stat(server, "postgres_docs_refused") == 0
    got = docs(database, "corpus:")
    for path in payloads:
        want = path.with_suffix(".json")
        for how in ("one", "batch"):
            stored = got[f"corpus:{path.parent.name}:{how}:{path.stem}"]
            if not want.exists():
                assert stored is None, path
            else:
                same, = database.execute("SELECT %s::jsonb = %s::jsonb",
                                         json.dumps(stored), want.read_text())[0]
                assert same, path
    assert client.get("corpus:json:one:session") == (CORPUS / "json/session.in").read_bytes()


def mutated(data, chance):
    """A few bytes changed, cut out, doubled or swapped with another payload's."""
    data = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice([1, 1, 2, 5, 20]))
        data[at:end] = chance.choice([
            b"", data[at:end] * 2, bytes([chance.randrange(256)]), b"\\u0000", b"\\ud800", b"1e999",
            b"\x00", b"\xff", bytes(reversed(data[at:end])), b'"', b"\xed\xa0\x80", b"-"])
    return bytes(data)


def test_jsonb_takes_what_we_make_of_anything(lab, database, seed):
    """Payloads of all formats with mistakes in them: what is decoded at all, jsonb accepts."""
    chance = random.Random(seed)
    payloads = [p for p in sorted(CORPUS.glob("*/*.in")) if p.stat().st_size < 4096]
    server = lab.respgres(database, payload="wild:auto:* auto " + " ".join(
        f"wild:{p}:* {p}" for p in {p.parent.name for p in payloads}))
    client = server.client()
    database.execute("DELETE FROM respgres.entries")
    for _ in range(20):
        pipeline = client.pipeline(transaction=False)
        for n in range(200):
            path = chance.choice(payloads)
            hint = chance.choice(["auto", path.parent.name])
            pipeline.set(f"wild:{hint}:{n}", mutated(path.read_bytes(), chance))
        assert all(pipeline.execute())
    assert stat(server, "postgres_docs_refused") == 0
    assert stat(server, "postgres_docs") > 200


def test_known_prefixes_are_decoded_by_content(lab, database):
    client = lab.respgres(database).client()
    session = {"username": "ada", "n": 1}
    client.set("session:pickle", pickle.dumps(session))
    client.setex("session:msgpack", 60, msgpack.packb(session))
    client.set("sess:json", json.dumps(session))
    client.set(":1:django.contrib.sessions.cachexyz", zlib.compress(pickle.dumps(session)))
    client.set("PHPREDIS_SESSION:1", b'username|s:3:"ada";n|i:1;')
    client.set("other", json.dumps(session))
    for key in ("session:pickle", "session:msgpack", "sess:json", "PHPREDIS_SESSION:1",
                ":1:django.contrib.sessions.cachexyz"):
        assert doc(database, key) == session, key
    assert doc(database, "other") is None


def test_what_cannot_be_decoded_has_no_doc(lab, database):
    client = lab.respgres(database).client()
    client.set("session:x", json.dumps({"a": 1}))
    assert doc(database, "session:x") == {"a": 1}
    client.set("session:x", b"\x00\x01\xff")
    assert doc(database, "session:x") is None
    assert client.get("session:x") == b"\x00\x01\xff"


def test_a_touch_keeps_the_doc(lab, database):
    server = lab.respgres(database)
    client = server.client()
    client.setex("session:t", 60, '{"a": 1}')
    before = stat(server, "postgres_docs")
    client.expire("session:t", 600)
    client.setex("session:t", 900, '{"a": 1}')  # the same bytes
    assert doc(database, "session:t") == {"a": 1}
    assert stat(server, "postgres_docs") - before <= 1
    client.append("session:t", " ")
    client.pipeline().set("session:t2", '{"b": 2}').incr("n").execute()
    assert doc(database, "session:t") == {"a": 1}
    assert doc(database, "session:t2") == {"b": 2}


def test_only_new_bytes_are_decoded(lab, database):
    """What moves an expiry, reads or removes costs no decoding; nor do keys of nobody's sessions."""
    server = lab.respgres(database)
    client = server.client()

    def decoded(*commands):
        before = stat(server, "postgres_docs")
        for command in commands:
            client.execute_command(*command)
        return stat(server, "postgres_docs") - before

    value, other = '{"user": "ada", "n": 1}', '{"user": "ada", "n": 2}'
    assert decoded(["SETEX", "session:d", 60, value]) == 1
    assert decoded(*[["SETEX", "session:d", 60 + n, value] for n in range(20)]) == 0
    assert decoded(["SET", "session:d", value, "EX", 90], ["SET", "session:d", value, "PX", 90000]) == 0
    assert decoded(["EXPIRE", "session:d", 100], ["PEXPIREAT", "session:d", 2 ** 42],
                   ["PERSIST", "session:d"], ["GETEX", "session:d", "EX", 50], ["TOUCH", "session:d"]) == 0
    assert decoded(["GET", "session:d"], ["TTL", "session:d"], ["EXISTS", "session:d"]) == 0
    assert decoded(["SETEX", "session:d", 60, other]) == 1
    assert decoded(["SETEX", "plain:d", 60, value], ["INCR", "n"]) == 0
    assert doc(database, "session:d") == {"user": "ada", "n": 2}
    # Somebody else has changed the bytes: the touch is refused, becomes a full write, and is decoded.
    database.execute("UPDATE respgres.entries SET value = '{}' WHERE key = 'session:d'")
    assert decoded(["SETEX", "session:d", 60, other]) == 1
    assert doc(database, "session:d") == {"user": "ada", "n": 2}
    assert decoded(["DEL", "session:d"]) == 0


def test_options_are_changed_while_running(lab, database):
    client = lab.respgres(database, decode="no").client()
    client.set("session:o", "{}")
    assert doc(database, "session:o") is None
    client.config_set("decode", "session:* cart:*")
    client.set("session:o", '{"a": 1}')
    client.set("cart:1", "[1]")
    assert doc(database, "session:o") == {"a": 1}
    assert doc(database, "cart:1") == [1]
    client.config_set("payload", "cart:* text")
    client.set("cart:1", "[2]")
    assert doc(database, "cart:1") == "[2]"
    with pytest.raises(Exception, match="pairs of a pattern"):
        client.config_set("payload", "cart:* yaml")
    with pytest.raises(Exception, match="no format"):
        client.config_set("payload", "cart:*")


@pytest.mark.parametrize("how", ["alone", "batch", "block", "exclusive"])
def test_a_document_that_postgresql_refuses(lab, database, how):
    """A rule of somebody's (or a limit of jsonb that we do not know): the write succeeds without its
    document, the neighbours keep theirs."""
    server = lab.respgres(database, pg_timeout=10000)
    client = server.client()
    database.execute("ALTER TABLE respgres.entries ADD CONSTRAINT no_bad_docs"
                     " CHECK (doc IS NULL OR doc -> 'bad' IS NULL) NOT VALID")
    try:
        if how == "alone":
            assert client.set("session:bad", '{"bad": 1}')
        elif how == "batch":
            def writing(key, value):
                neighbour = server.client()
                return lambda _: [neighbour.set(key, value) for _ in range(5)]

            with Threads(writing("session:bad", '{"bad": 1}'), *(
                    writing(f"session:good{i}", json.dumps({"good": i})) for i in range(20))):
                pass
        elif how == "block":
            assert all(client.pipeline().set("session:bad", '{"bad": 1}').incr("n").execute())
        else:
            done = client.pipeline().set("session:bad", '{"bad": 1}').dbsize().execute()
            assert done[0] is True
    finally:
        database.execute("ALTER TABLE respgres.entries DROP CONSTRAINT no_bad_docs")
    assert client.get("session:bad") == b'{"bad": 1}'
    assert doc(database, "session:bad") is None
    assert stat(server, "postgres_docs_refused") >= 1
    if how == "batch":
        got = docs(database, "session:good")
        assert got == {f"session:good{i}": {"good": i} for i in range(20)}
    client.delete("session:bad")


def test_a_database_of_another_encoding_has_no_docs(lab):
    database = lab.database()
    name = f"{database.name}_latin"
    lab.postgres().execute(f'CREATE DATABASE "{name}" OWNER "{database.role}" ENCODING LATIN1'
                           " LOCALE 'C' TEMPLATE template0")
    server = lab.respgres(lab.postgres().url(name, database.role))
    client = server.client()
    assert client.set("session:1", '{"a": "\u20ac"}')
    assert client.get("session:1") == '{"a": "\u20ac"}'.encode()
    assert lab.postgres().execute("SELECT doc FROM respgres.entries", dbname=name) == [(None,)]
    assert server.sigterm() == 0
    wait_until(lambda: not lab.postgres().execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = %s", name))
    lab.postgres().execute(f'DROP DATABASE "{name}"')
