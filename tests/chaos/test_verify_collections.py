"""The judge of lists, hashes, sets and sorted sets: true histories pass, and each fault is found in a
history that has it and nothing else; also in true histories into which a fault was put by chance."""

import random

import pytest

from chaoslib import values
from chaoslib.record import CALL, READ, REFUSED, UNKNOWN, Conflict
from chaoslib.verify_collections import kind_of
from harness.linearize import apply
from harness.linearize_collections import SPOPPED
from harness.replies import NIL, array, bulk, number
from test_verify import LOOK, Story, restarted_in_the_outage


class Tale(Story):
    """A Story whose commands are those of collections."""

    def call(self, key, at, words, told, **more):
        name, *args = words.split()
        more.setdefault("kind", CALL)
        kind = more.pop("kind")
        return self.op(kind, key, at, command=(name, *map(str.encode, args)), told=told, **more)

    def unknown(self, key, at, words, **more):
        return self.call(key, at, words, None, outcome=UNKNOWN, **more)

    def pushed(self, key, *things, begin=1, **more):
        for n, thing in enumerate(things, 1):
            self.call(key, begin + n / 10, f"RPUSH {thing}", number(n), **more)
        return self

    def held(self, key, *content):
        """As it is written in `content`: the row."""
        return self.row(key, made(key, content))

    def lost_one(self, key, *content, side="journal"):
        return self.lost(key, made(key, content), side)

    def held_instead(self, key, *content):
        """A second end of the same story."""
        self.final.replies = {0: {}, 1: {}}
        return self.held(key, *content)

    def judged(self):
        for replies in self.final.replies.values():
            for key in {op.key for op in self.history.ops} - set(replies):
                row = self.final.rows.get(key)
                replies[key] = (row and row.value, -1 if row else -2, LOOK)
        return super().judged()


def made(key, content):
    def encoded(each):
        return tuple(map(encoded, each)) if isinstance(each, tuple) else \
            each.encode() if isinstance(each, str) else each
    return kind_of(key.encode()), tuple(map(encoded, content))


@pytest.fixture
def story():
    return Tale()


# --- what is right ----------------------------------------------------------------------------------------

def test_histories_without_fault_pass(story):
    story.pushed("queue:1", "a", "b", "c").call("queue:1", 12, "LPOP", bulk(b"a"))
    story.call("queue:1", 25, "LPUSH x y", number(4)).held("queue:1", "y", "x", "b", "c")
    story.call("hash:1", 1, "HSET f v", number(1)).call("hash:1", 11, "HINCRBY n 3", number(3))
    story.call("hash:1", 12, "HGETALL", array([bulk(w) for w in (b"n", b"3", b"f", b"v")]), kind=READ,
               reply=b"something").held("hash:1", ("f", "v"), ("n", "3"))
    story.call("set:1", 1, "SADD a b", number(2)).call("set:1", 12, "SPOP", bulk(b"b")).held("set:1", "a")
    story.call("zset:1", 1, "ZADD 5 a", number(1)).call("zset:1", 12, "ZINCRBY 2 n", bulk(b"2"))
    story.held("zset:1", ("n", 2.0), ("a", 5.0))
    for n in (1, 2):
        story.call("duo:list:1", n, f"RPUSH {n}", number(n), group=n)
        story.call("duo:hash:1", n, "HINCRBY n 1", number(n), group=n)
    story.held("duo:list:1", "1", "2").held("duo:hash:1", ("n", "2"))
    story.passes()


def test_a_list_that_was_emptied_is_gone(story):
    story.pushed("queue:1", "a").call("queue:1", 12, "RPOP", bulk(b"a"))
    story.call("queue:1", 13, "LPOP", NIL, kind=READ).passes()


@pytest.mark.parametrize("held", [("a", "b"), ("b",), ("a", "b", "c"), ("b", "c")])
def test_what_was_in_doubt_may_have_been_done_or_not(story, held):
    story.pushed("queue:1", "a", "b").unknown("queue:1", 5, "LPOP").unknown("queue:1", 6, "RPUSH c")
    story.held("queue:1", *held).passes()


def test_a_refused_push_left_nothing(story):
    story.pushed("queue:1", "a").call("queue:1", 2, "RPUSH b", None, outcome=REFUSED)
    story.held("queue:1", "a").passes()


def test_two_instances_that_were_away_add(story):
    for kind, words in (("list", "RPUSH %s"), ("set", "SADD %s"), ("zset", "ZADD 1 %s"), ("hash", "HSET %s v")):
        key = f"shared:{kind}:0"
        some = [(e, "v") if kind == "hash" else (e, 1.0) if kind == "zset" else e for e in "abc"]
        story.call(key, 1, words % "a", number(1))
        story.call(key, 12, words % "b", number(1)).call(key, 13, words % "c", number(1), instance=1)
        story.held(key, some[0], some[2]).lost_one(key, some[0], some[1])
    story.passes()


def test_two_instances_that_were_away_take_the_same(story):
    story.pushed("line:0", "a", "b").call("line:0", 12, "LPOP", bulk(b"a"))
    story.call("line:0", 13, "LPOP", bulk(b"a"), instance=1).held("line:0", "b").passes()


def test_what_was_forgotten_is_kept(story):
    restarted_in_the_outage(story)
    story.pushed("queue:1", "a", "b").call("queue:1", 15, "RPUSH c", number(1)).held("queue:1", "a", "b")
    story.lost_one("queue:1", "c").passes()


@pytest.mark.parametrize("cut_off", [True, False])
def test_a_read_of_what_was_forgotten(story, cut_off):
    """By an instance that only answers reads while it is away. Its last write came before the outage, or
    as that began."""
    restarted_in_the_outage(story)
    if not cut_off:
        story.facts.cut_off = {}
        story.call("queue:1", 9.5, "RPUSH c", number(3)).pushed("queue:1", "a", "b")
        story.call("queue:1", 15, "LPOP", NIL, kind=READ).held("queue:1", "a", "b", "c").passes()
        return
    story.pushed("queue:1", "a", "b").call("queue:1", 15, "LPOP", NIL, kind=READ).held("queue:1", "a", "b")
    story.passes()


def test_nothing_but_refused_commands(story):
    story.call("queue:1", 12, "RPUSH a", None, outcome=REFUSED).passes()


# --- what is wrong: one client's own ---------------------------------------------------------------------------

WRONG_LISTS = {  # the row, and what is said besides
    "a lost push": (("a", "c"), []), "a push done twice": (("a", "b", "b", "c"), ["twice"]),
    "another order": (("b", "a", "c"), []), "all are lost": ((), []),
    "nobody pushed it": (("a", "b", "c", "d"), ["nobody put there"])}


@pytest.mark.parametrize("name", WRONG_LISTS)
def test_a_list_is_wrong(story, name):
    held, words = WRONG_LISTS[name]
    story.pushed("queue:1", "a", "b", "c")
    if held:
        story.held("queue:1", *held)
    story.fails("no course of events", *words)


def test_what_was_taken_is_back(story):
    story.pushed("queue:1", "a", "b").call("queue:1", 5, "LPOP", bulk(b"a")).held("queue:1", "a", "b")
    story.fails("no course of events")


def test_a_thing_is_taken_twice(story):
    story.pushed("queue:1", "a", "b").call("queue:1", 5, "LPOP", bulk(b"a"))
    story.call("queue:1", 12, "LPOP", bulk(b"a")).held("queue:1", "b").fails("no course of events")


def test_a_read_that_misses_a_push(story):
    story.pushed("queue:1", "a", "b").call("queue:1", 12, "LRANGE 0 -1", array([bulk(b"a")]), kind=READ)
    story.held("queue:1", "a", "b").fails("no course of events")


def test_more_than_the_doubts_explain(story):
    story.pushed("queue:1", "a", "b", "c").unknown("queue:1", 5, "LPOP").held("queue:1", "c")
    story.fails("no course of events")


@pytest.mark.parametrize("content", [(("f", "1"),), (("f", "2"), ("n", "1")), (("f", "2"), ("n", "3")),
                                     (("n", "2"),)])
def test_a_hash_is_wrong(story, content):
    story.call("hash:1", 1, "HSET f 1", number(1)).call("hash:1", 2, "HSET f 2", number(0))
    story.call("hash:1", 3, "HINCRBY n 1", number(1)).call("hash:1", 12, "HINCRBY n 1", number(2))
    story.held("hash:1", *content).fails("no course of events")


def test_a_set_and_a_sorted_set_are_wrong(story):
    story.call("set:1", 1, "SADD a b", number(2)).call("set:1", 12, "SPOP", bulk(b"b"))
    story.held("set:1", "a", "b")
    story.call("zset:1", 1, "ZADD 5 a", number(1)).call("zset:1", 12, "ZINCRBY 2 n", bulk(b"2"))
    story.held("zset:1", ("n", 4.0), ("a", 5.0))
    assert len([text for text in story.judged() if "no course of events" in text]) == 2


def test_a_list_became_something_else(story):
    story.pushed("queue:1", "a").row("queue:1", b"a")
    story.pushed("queue:2", "a").row("queue:2", ("set", (b"a",))).fails("is no list")


def test_a_conflict_without_cause(story):
    story.pushed("queue:1", "a", "b").held("queue:1", "a", "b").lost_one("queue:1", "a", side="row")
    story.fails("only one instance wrote it")


# --- and where it may have been forgotten, or everybody writes it ------------------------------------------------

@pytest.mark.parametrize("key", ["queue:1", "shared:list:0", "line:0"])
@pytest.mark.parametrize("held, lost, words", [
    (("a",), ("c",), ["missing: 1"]), (("a", "b"), (), ["missing: 1"]), (("a", "b", "b"), ("c",), ["twice"]),
    (("a", "b", "x"), ("c",), ["nobody put there"]), (("a", "b"), ("c", "x"), ["nobody put there"]),
    ((), (), ["missing: 3"])])
def test_a_push_is_not_kept(story, key, held, lost, words):
    restarted_in_the_outage(story)
    story.pushed(key, "a", "b").call(key, 15, "RPUSH c", number(1))
    if held:
        story.held(key, *held)
    if lost:
        story.lost_one(key, *lost)
    story.fails(*words)


def test_doubts_explain_as_many_as_there_are(story):
    story.pushed("line:0", "a", "b", "c").unknown("line:0", 5, "LPOP").held("line:0", "b", "c").passes()
    story.held_instead("line:0", "c").fails("missing: 2")


def test_a_forgotten_hash_is_not_kept(story):
    restarted_in_the_outage(story)
    story.call("hash:1", 1, "HSET f 1", number(1)).call("hash:1", 2, "HSET g 1", number(1))
    story.call("hash:1", 15, "HSET f 2", number(1)).call("hash:1", 16, "HSET f 3", number(0))
    story.held("hash:1", ("f", "1"), ("g", "1")).fails("missing: 1")
    story.lost_one("hash:1", ("f", "3")).passes()


def test_one_is_taken_twice_while_nothing_is_wrong(story):
    story.pushed("line:0", "a", "b").call("line:0", 3, "LPOP", bulk(b"a"))
    story.call("line:0", 4, "LPOP", bulk(b"a"), instance=1).held("line:0", "b").fails("taken twice")


def test_one_is_taken_twice_as_trouble_begins(story):
    """The first to take it was still at it."""
    story.pushed("line:0", "a", "b").call("line:0", 8.8, "LPOP", bulk(b"a"), ended=9.1)
    story.call("line:0", 8.85, "LPOP", bulk(b"a"), instance=1).held("line:0", "b").passes()


def test_half_a_block_of_two_collections(story):
    story.call("duo:list:1", 1, "RPUSH a", number(1), group=1)
    story.call("duo:hash:1", 1, "HINCRBY n 1", number(1), group=1)
    story.unknown("duo:list:1", 12, "RPUSH b", group=2).unknown("duo:hash:1", 12, "HINCRBY n 1", group=2)
    story.held("duo:list:1", "a", "b").held("duo:hash:1", ("n", "2")).passes()
    story.held_instead("duo:list:1", "a").fails("by half")


# --- faults by chance ------------------------------------------------------------------------------------------

WAYS = {"queue:1": ["RPUSH %d", "RPUSH %d", "LPOP", "RPOP", "LPUSH %d"],
        "hash:1": ["HSET a %d", "HSET b %d", "HDEL a", "HINCRBY n 1"],
        "set:1": ["SADD %d", "SADD %d", "SPOP"], "zset:1": ["ZADD 3 %d", "ZADD 1 %d", "ZPOPMIN", "ZINCRBY 1 n"]}


def true_story(key, chance, doubts):
    """A client's course of events; some replies are lost, and of these some were not carried out."""
    story, state = Tale(), None
    for n in range(40):
        words = chance.choice(WAYS[key])
        words = words % (100 + n) if "%" in words else words
        name, *args = words.split()
        command = (name, *map(str.encode, args))
        if name == "SPOP":
            some = chance.choice(sorted(state[0][1])) if state else None
            command = (SPOPPED, some)
        lost = chance.random() < doubts
        if not lost or chance.random() < 0.5:
            after, told = apply(state, (command,), n)
            changed, state = after != state, after
        if lost:
            story.unknown(key, 1 + n / 2, words)
        else:
            story.call(key, 1 + n / 2, words, told, kind=CALL if changed else READ)
    if state is not None:
        story.row(key, values.from_reply(kind_of(key.encode()), words_of_state(state)))
    return story


def words_of_state(state):
    kind, content = state[0]
    if kind in ("list", "set"):
        return list(content)
    return [word for a, b in content for word in (a, b if isinstance(b, bytes) else b"%d" % b)]


def spoil(content, chance):
    """A lost, a doubled or another element."""
    content = list(content)
    at = chance.randrange(len(content))
    way = chance.choice(["lost", "other", "more"])
    other = (b"a", b"other") if isinstance(content[at], tuple) and isinstance(content[at][1], bytes) else \
        (content[at][0], content[at][1] + 1) if isinstance(content[at], tuple) else b"other"
    if way == "lost":
        del content[at]
    elif way == "other":
        content[at] = other
    else:
        content.insert(at, other)
    return tuple(content)


@pytest.mark.parametrize("key", WAYS)
def test_true_stories_pass_and_spoiled_ones_do_not(key, seed):
    chance = random.Random(f"{key}/{seed}")
    spoiled = 0
    for _ in range(60):
        doubts = chance.choice([0, 0.1])
        story = true_story(key, chance, doubts)
        story.passes()
        row = story.final.rows.get(key.encode())
        if doubts or row is None:
            continue
        kind, content = row.value
        row.value = (kind, spoil(content, chance))
        if row.value[1] == content:
            continue
        story.final.replies = {0: {}, 1: {}}
        if not row.value[1]:
            del story.final.rows[key.encode()]
        assert story.judged(), f"{content} became {row.value[1]}"
        spoiled += 1
    assert spoiled > 10


# --- values as they are stored ----------------------------------------------------------------------------------

STORED = {
    (1, b"\x01\x02\x01a\x02bc"): ("list", (b"a", b"bc")),
    (2, b"\x01\x00\x02\x01b\x01a"): ("set", (b"a", b"b")),
    (3, b"\x01\x00\x02" + b"\x00" * 8 + b"\x01b" + b"?\xf0" + b"\x00" * 6 + b"\x01a"):
        ("zset", ((b"b", 0.0), (b"a", 1.0))),
    (4, b"\x01\x00\x01\x01f\x00"): ("hash", ((b"f", b""),)),
    (4, b"\x01\x01seeds...\x01\x01f\x01v"): ("hash", ((b"f", b"v"),)),
    (1, b"\x01\x01\x80\x01" + b"x" * 128): ("list", (b"x" * 128,)),
    (0, b"text"): b"text",
}


@pytest.mark.parametrize("type_, stored", STORED)
def test_stored_values_are_read(type_, stored):
    value = values.decode(type_, stored)
    assert value == STORED[type_, stored]
    if type_:
        assert values.from_reply(value[0], values.words_of(value)) == value


@pytest.mark.parametrize("stored", [b"\x02\x01\x01a", b"\x01\x02\x01a", b"\x01\x01\x01ab", b"\x01\x00"])
def test_damaged_values_are_refused(stored):
    with pytest.raises(ValueError):
        values.decode(1, stored)


def test_an_empty_reply_is_nothing():
    assert values.from_reply("list", []) is None
    assert Conflict(b"k", None, "row").value is None
