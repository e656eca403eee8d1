"""The wire of the random comparison: requests as bytes, replies cut out of bytes, and sockets that are
read and written side by side."""

import select
import socket
import time

CRLF = b"\r\n"
REPLY_TIMEOUT_S = 30


def encode(args):
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(parts)


def reply_end(buf, pos):
    """Where the reply that starts at pos ends; -1 = not there yet."""
    eol = buf.find(CRLF, pos)
    if eol < 0:
        return -1
    kind = buf[pos]
    if kind in b"+-:_#,(":
        return eol + 2
    n = int(buf[pos + 1:eol])
    pos = eol + 2
    if n < 0:
        return pos
    if kind in b"$=!":
        pos += n + 2
        return pos if pos <= len(buf) else -1
    if kind in b"%|":
        n *= 2
    elif kind not in b"*~>":
        raise ValueError("not a reply: %r" % bytes(buf[pos:pos + 60]))
    for _ in range(n):
        pos = reply_end(buf, pos)
        if pos < 0:
            return -1
    return pos


def decode(buf, pos=0):
    """(kind, value) of the reply at pos, and its end. Aggregates are lists of such pairs."""
    eol = buf.index(CRLF, pos)
    kind = chr(buf[pos])
    head = buf[pos + 1:eol]
    pos = eol + 2
    if kind in "+-:_#,(":
        return (kind, bytes(head)), pos
    n = int(head)
    if n < 0:
        return (kind, None), pos
    if kind in "$=!":
        return (kind, bytes(buf[pos:pos + n])), pos + n + 2
    items = []
    for _ in range(2 * n if kind in "%|" else n):
        item, pos = decode(buf, pos)
        items.append(item)
    return (kind, items), pos


class Conn:
    """One socket: bytes to send, replies received."""

    def __init__(self, address):
        self.address = address
        self.sock = None
        self.open()

    def open(self):
        if self.sock is not None:
            self.sock.close()
        self.sock = socket.create_connection(self.address, timeout=REPLY_TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.out = memoryview(b"")
        self.buf = bytearray()
        self.parsed = 0
        self.replies = []
        self.wanted = 0
        self.closed = False

    def submit(self, data, replies):
        self.out = memoryview(data)
        self.replies = []
        self.wanted = replies

    def busy(self):
        return not self.closed and (len(self.out) > 0 or len(self.replies) < self.wanted)

    def on_writable(self):
        try:
            self.out = self.out[self.sock.send(self.out):]
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True

    def on_readable(self):
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        self.buf += data
        while len(self.replies) < self.wanted:
            end = reply_end(self.buf, self.parsed) if self.parsed < len(self.buf) else -1
            if end < 0:
                break
            self.replies.append(bytes(self.buf[self.parsed:end]))
            self.parsed = end
        if self.parsed == len(self.buf):
            self.buf.clear()
            self.parsed = 0
        elif self.parsed > 1 << 20:
            del self.buf[:self.parsed]
            self.parsed = 0


def pump(conns):
    """Sends and receives on all of them until each has its replies or is closed. Something must come every
    so often."""
    deadline = time.monotonic() + REPLY_TIMEOUT_S
    while True:
        busy = [c for c in conns if c.busy()]
        if not busy:
            return
        if time.monotonic() > deadline:
            raise TimeoutError("no reply from %s:%d within %d s" %
                               (busy[0].address + (REPLY_TIMEOUT_S,)))
        by_sock = {c.sock: c for c in busy}
        writers = [c.sock for c in busy if len(c.out)]
        readable, writable, _ = select.select(list(by_sock), writers, [], 1)
        for s in writable:
            by_sock[s].on_writable()
        for s in readable:
            by_sock[s].on_readable()
            deadline = time.monotonic() + REPLY_TIMEOUT_S
