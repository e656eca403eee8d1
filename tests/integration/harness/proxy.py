"""A proxy in front of a TCP or Unix socket that delays, swallows or cuts."""

import socket
import struct
import threading


class Proxy:
    """Listens on 127.0.0.1 and passes on to `target`, a (host, port) or the path of a socket.

    A mode holds for open and new connections alike: "pass", "blackhole" (nothing is read or
    written any more, connections stay open), "refuse" (new connections are reset).
    """

    def __init__(self, target):
        self.target = target
        self.delay_s = 0.0
        self._mode = "pass"
        self._changed = threading.Condition()
        self._closed = False
        self.accepted = 0  # connections that came, refused ones included
        self._pairs = {}  # (client, server) → how many of its two directions are open
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def pass_on(self):
        self._set_mode("pass")

    def blackhole(self):
        self._set_mode("blackhole")

    def refuse(self):
        self._set_mode("refuse")

    def delay(self, seconds):
        """Each piece of data waits so long, in each direction."""
        self.delay_s = seconds

    def cut(self):
        """Resets every open connection; returns how many."""
        with self._changed:
            pairs, self._pairs = self._pairs, {}
            self._changed.notify_all()
        for pair in pairs:
            for sock in pair:
                _reset(sock)
        return len(pairs)

    def connections(self):
        with self._changed:
            return len(self._pairs)

    def close(self):
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # A close alone does not end an accept() of another thread.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _set_mode(self, mode):
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._mode == "refuse":
                _reset(client)
                continue
            try:
                server = self._connect()
            except OSError:
                _reset(client)
                continue
            pair = (client, server)
            with self._changed:
                refused = self._mode == "refuse" or self._closed
                if not refused:
                    self._pairs[pair] = 2
            if refused:  # the mode was set meanwhile: cut() could not know of it
                _reset(client)
                _reset(server)
                continue
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._pump, args=(pair, source, sink),
                                 daemon=True).start()

    def _connect(self):
        if isinstance(self.target, tuple):
            return socket.create_connection(self.target, timeout=None)
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.target))
        return sock

    def _pump(self, pair, source, sink):
        try:
            while self._may_pass(pair):
                data = source.recv(65536)
                if self.delay_s:
                    with self._changed:
                        self._changed.wait_for(lambda: self._closed, self.delay_s)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    self._direction_ended(pair)
                    return
                # Bytes that came in before the hole opened are swallowed too, until it closes.
                if self._may_pass(pair):
                    sink.sendall(data)
        except OSError:
            self._drop(pair)

    def _direction_ended(self, pair):
        with self._changed:
            if pair in self._pairs:
                self._pairs[pair] -= 1
            ended = self._pairs.get(pair) == 0
        if ended:
            self._drop(pair)

    def _drop(self, pair):
        with self._changed:
            self._pairs.pop(pair, None)
        for sock in pair:
            _reset(sock)

    def _may_pass(self, pair):
        """Waits while the hole is open; false once the connection is gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._mode != "blackhole" or self._closed
                                   or pair not in self._pairs)
            return not self._closed and pair in self._pairs


def _reset(sock):
    """Closes with RST; wakes a thread that is blocked on it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()
