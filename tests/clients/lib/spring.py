"""What Spring Session's two repositories share: the hash of a session, with values as Java serialises them."""

import time

import recording
import starts

PREFIX = "spring:session:"


def java_long(n):
    """java.lang.Long."""
    return (b"\xac\xed\x00\x05sr\x00\x0ejava.lang.Long;\x8b\xe4\x90\xcc\x8f#\xdf\x02\x00\x01J\x00\x05valuexr"
            b"\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp" + n.to_bytes(8, "big"))


def java_integer(n):
    """java.lang.Integer."""
    return (b"\xac\xed\x00\x05sr\x00\x11java.lang.Integer\x12\xe2\xa0\xa4\xf7\x81\x878\x02\x00\x01I\x00\x05"
            b"valuexr\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp" + n.to_bytes(4, "big"))


def java_string(text):
    data = text.encode()
    return b"\xac\xed\x00\x05t" + len(data).to_bytes(2, "big") + data


CREATED = java_long(1764115200000)
LATER = java_long(1764115201234)


def fields(value, life):
    """A session's hash. The first three must be there, or the whole of it is an error to Spring."""
    return {b"creationTime": CREATED, b"lastAccessedTime": CREATED, b"maxInactiveInterval": java_integer(life),
            b"sessionAttr:data": value}


def pairs(mapping):
    return [part for item in mapping.items() for part in item]


def in_ms(seconds):
    return round((time.time() + seconds) * 1000)


class Spring(recording.Recording):
    life = 1800
    value = java_string("Zo\u00eb \U0001f600")
    other_value = java_string("else")

    def connect(self, password=recording.PASSWORD):
        return starts.lettuce()

    # HGETALL of RESP3 is a map; none of the times may be missing.
    def load_hash(self, wire, key, value):
        def right(reply):
            if value is None:
                return reply == {}
            return (reply[b"creationTime"] == CREATED and reply[b"lastAccessedTime"] in (CREATED, LATER)
                    and b"maxInactiveInterval" in reply and reply[b"sessionAttr:data"] == value)
        return wire.expect(right, "HGETALL", key)

    def refused(self, password):
        starts.hello3_refused(password)
