"""Values as they are stored (src/value), read by code of its own. A string is its bytes, a collection a
pair of its type's name and a tuple: of elements, of fields and values, of members, of members and scores,
but for a list in an order that only depends on what is in it."""

import struct

KINDS = {1: "list", 2: "set", 3: "zset", 4: "hash"}


def decode(type_, stored):
    """ValueError where that is not what is stored of this type."""
    if type_ == 0 or stored is None:
        return stored
    read = Reader(stored)
    kind = KINDS[type_]
    if read.byte() != 1:
        raise ValueError(f"an unknown encoding of a {kind}")
    content = getattr(read, kind)()
    if read.at != len(stored):
        raise ValueError(f"{len(stored) - read.at} bytes too many in a {kind}")
    if not content:
        raise ValueError(f"an empty {kind} is stored")
    return kind, content


class Reader:
    def __init__(self, stored):
        self.stored, self.at = stored, 0

    def take(self, count):
        if self.at + count > len(self.stored):
            raise ValueError("the value ends too early")
        self.at += count
        return self.stored[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        return self.take(self.varint())

    def list(self):
        return tuple(self.text() for _ in range(self.varint()))

    def set(self):
        self.byte()  # whether all are integers
        return tuple(sorted(self.text() for _ in range(self.varint())))

    def zset(self):
        self.byte()
        pairs = []
        for _ in range(self.varint()):
            score, = struct.unpack(">d", self.take(8))
            pairs.append((self.text(), score))
        return in_order(pairs)

    def hash(self):
        if self.byte() & 1:
            self.take(8)  # the seed
        return tuple(sorted((self.text(), self.text()) for _ in range(self.varint())))


def in_order(pairs):
    """Of a sorted set."""
    return tuple(sorted(pairs, key=lambda pair: (pair[1], pair[0])))


# --- the same from replies ---------------------------------------------------------------------------

READS = {"list": ("LRANGE", b"0", b"-1"), "hash": ("HGETALL",), "set": ("SMEMBERS",),
         "zset": ("ZRANGE", b"0", b"-1", b"WITHSCORES")}


def from_reply(kind, words):
    """Of the elements of a reply to READS; None where there are none."""
    if not words:
        return None
    if kind == "list":
        return kind, tuple(words)
    if kind == "set":
        return kind, tuple(sorted(words))
    pairs = list(zip(words[::2], words[1::2]))
    if kind == "hash":
        return kind, tuple(sorted(pairs))
    return kind, in_order((member, float(score)) for member, score in pairs)


def words_of(value):
    """The elements that a server would answer READS with."""
    kind, content = value
    if kind in ("list", "set"):
        return list(content)
    if kind == "hash":
        return [word for pair in content for word in pair]
    return [word for member, score in content for word in (member, b"%d" % score)]
