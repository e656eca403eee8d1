"""A client without a library: exact bytes out, exact replies in."""

import socket


class ProtocolError(Exception):
    """The server sent what is not RESP."""


def encode(*args):
    """A command as an array of bulk strings."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        if not isinstance(arg, bytes):
            arg = str(arg).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(out)


class RawClient:
    """Replies are returned as they came over the wire, as bytes, whole ones only."""

    def __init__(self, address, timeout=20):
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # As CLIENT LIST shows it.
            self.address = "%s:%d" % self.sock.getsockname()
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def send_slowly(self, data):
        """A packet per byte."""
        for i in range(len(data)):
            self.sock.sendall(data[i:i + 1])

    def half_close(self):
        """No more will be sent; replies can still come."""
        self.sock.shutdown(socket.SHUT_WR)

    def command(self, *args):
        """Sends one command and returns its reply's bytes."""
        self.send(encode(*args))
        return self.reply()

    def reply(self):
        """The bytes of one reply, nested ones included."""
        line = self._line()
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-:_,#(":
            return line
        if kind in b"$=!":
            length = int(rest)
            return line if length < 0 else line + self._exactly(length + 2)
        if kind in b"*~>%|":
            count = max(int(rest), 0) * (2 if kind in b"%|" else 1)
            reply = line + b"".join(self.reply() for _ in range(count))
            # An attribute precedes the reply it belongs to.
            return reply + self.reply() if kind == b"|" else reply
        raise ProtocolError(f"not RESP: {line!r}")

    def rest(self):
        """Everything until the server closes the connection."""
        data, self._buffer = self._buffer, b""
        while True:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                return data
            if not more:
                return data
            data += more

    def is_closed(self):
        """Waits until the server closes; false if it sends something instead."""
        return self.rest() == b""

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed by the server")
        self._buffer += data

    def _line(self):
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line + b"\r\n"

    def _exactly(self, n):
        while len(self._buffer) < n:
            self._more()
        data, self._buffer = self._buffer[:n], self._buffer[n:]
        return data
