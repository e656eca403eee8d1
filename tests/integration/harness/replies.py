"""Replies as bytes, RESP2: what models say and what histories have."""

OK, NIL = b"+OK\r\n", b"$-1\r\n"
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"


def bulk(value):
    return NIL if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


def number(value):
    return b":%d\r\n" % value


def array(parts):
    """Of replies."""
    return b"*%d\r\n" % len(parts) + b"".join(parts)


def bulks(reply):
    """The replies of an array of bulk strings."""
    parts, at = [], reply.index(b"\r\n") + 2
    while at < len(reply):
        end = reply.index(b"\r\n", at) + 2
        length = int(reply[at + 1:end - 2])
        if length >= 0:
            end += length + 2
        parts.append(reply[at:end])
        at = end
    return parts


class Unordered:
    """An array of which Redis does not say the order: of single elements, or of fields and values."""

    def __init__(self, elements, width=1):
        self.width = width
        self.elements = sorted(b"".join(map(bulk, each)) for each in elements)

    def fits(self, told):
        if not told.startswith(b"*"):
            return False
        parts = bulks(told)
        return self.elements == sorted(b"".join(parts[i:i + self.width])
                                       for i in range(0, len(parts), self.width))
