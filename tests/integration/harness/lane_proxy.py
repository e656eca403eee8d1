"""A proxy between respgres and PostgreSQL that understands their protocol: it holds a lane's batch
before PostgreSQL gets it, or PostgreSQL's answer before respgres gets it, and cuts just there.

https://www.postgresql.org/docs/15/protocol-message-formats.html
"""

import collections
import fnmatch
import re
import socket
import struct
import threading
import time

from .proxy import _reset
from .util import wait_until

SSL_REQUEST = 80877103

# The ErrorResponse of pg_terminate_backend() and of a shutdown.
TERMINATED_FIELDS = b"SFATAL\0VFATAL\0C57P01\0" \
    b"Mterminating connection due to administrator command\0\0"
TERMINATED = b"E" + struct.pack("!i", len(TERMINATED_FIELDS) + 4) + TERMINATED_FIELDS

# What a lane sent up to one Sync: names of its statements, bytes in both directions.
Request = collections.namedtuple("Request", "lane statements sent answered")


class Gate:
    """Holds one request ("request": from this statement on, PostgreSQL has seen none of it) or its
    answer ("answer": PostgreSQL is done, respgres knows nothing) until release()."""

    def __init__(self, lane, statement, side):
        self.lane, self.statement, self.side = lane, statement, side
        self.connection = None
        self.broken_off = False
        self._reached = threading.Event()
        self._open = threading.Event()

    def wait(self, timeout=30):
        """Until something is held."""
        assert self._reached.wait(timeout), f"{self.lane} sent no {self.statement}"
        return self

    def reached(self):
        return self._reached.is_set()

    def release(self):
        """What was held goes on its way, late as it may be."""
        self._open.set()

    def cut(self):
        """respgres loses the connection; its backend does not notice before release()."""
        self.connection.cut()

    def break_off(self):
        """respgres gets the answer but for its end: instead of that, the words of a backend that an
        administrator ends, and the end of the connection."""
        self.broken_off = True
        self.release()

    def wait_ended(self, timeout=30):
        """Until the backend has ended."""
        assert self.connection.ended.wait(timeout), "the backend goes on"

    def hold(self, connection):
        self.connection = connection
        self._reached.set()
        self.wait_open()

    def wait_open(self):
        self._open.wait()


class LaneProxy:
    """Listens on 127.0.0.1, passes on to a (host, port)."""

    def __init__(self, target):
        self.target = target
        self.requests = []
        self.request_delay_s = 0.0  # what respgres sends arrives so much later, answers do not
        self._gates = []
        self._connections = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, lane, statement, side):
        """A Gate for the next request of a lane ("commit-0") with this statement, or one
        that matches ("respgres_commit*")."""
        assert side in ("request", "answer")
        gate = Gate(lane, statement, side)
        with self._lock:
            self._gates.append(gate)
        return gate

    def take_gate(self, lane, statement, side):
        with self._lock:
            for gate in self._gates:
                if (gate.lane, gate.side) == (lane, side) \
                        and fnmatch.fnmatchcase(statement, gate.statement):
                    self._gates.remove(gate)
                    return gate
        return None

    def connection(self, lane):
        """The open connection of a lane."""
        with self._lock:
            found = [c for c in self._connections if c.lane == lane and not c.ended.is_set()
                     and not c.client_gone]
        return found[-1] if found else None

    def inject(self, lane, sql):
        """Runs SQL in a lane's own session, between two of its requests, behind its back."""
        wait_until(lambda: self.connection(lane), what=f"{lane} is connected").inject(sql)

    def release_all(self):
        for connection in list(self._connections):
            connection.release_all()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            connection.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target)
            except OSError:
                _reset(client)
                continue
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, client, server)
            with self._lock:
                self._connections.append(connection)
            connection.start()


class _Connection:
    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.client, self.server = client, server
        self.lane = None
        self.client_gone = False
        self.ended = threading.Event()
        self.gates = []            # that hold this connection or are about to
        self._answer_gate = None
        self._waiting = []         # Requests sent and not answered: [statements, bytes sent]
        self._swallow = None       # an Event while the answer to inject() is due
        self._sending = True       # a request is on its way up to its Sync, or the start of the session
        self._started = False
        self._lock = threading.Lock()

    def start(self):
        for run in (self._from_respgres, self._from_postgres):
            threading.Thread(target=run, daemon=True).start()

    def cut(self):
        self.client_gone = True
        _reset(self.client)

    def release_all(self):
        for gate in self.gates:
            gate.release()

    def close(self):
        self.release_all()
        self.client_gone = True
        _reset(self.client)
        _reset(self.server)

    def inject(self, sql):
        swallowed = threading.Event()

        def start():
            with self._lock:
                if self._sending or self._waiting or self._swallow:
                    return False
                self._swallow = swallowed
                body = sql.encode() + b"\0"
                self.server.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
                return True
        wait_until(start, what=f"{self.lane} is idle")
        assert swallowed.wait(30), "no answer to the injected statement"

    def _may_send(self):
        """A request and inject() do not come in between each other."""
        with self._lock:
            self._sending = self._sending or self._swallow is None
            return self._sending

    # --- from respgres ------------------------------------------------------------------------

    def _from_respgres(self):
        try:
            self._startup()
            self._pass_requests()
        except OSError:
            pass
        for gate in self.gates:
            gate.wait_open()  # what is held keeps the backend from noticing
        try:
            self.server.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _startup(self):
        while True:
            message = _exactly(self.client, 4)
            message += _exactly(self.client, struct.unpack("!i", message)[0] - 4)
            if struct.unpack("!i", message[4:8])[0] != SSL_REQUEST:
                break
            self.client.sendall(b"N")
        words = message[8:].split(b"\0")
        names = dict(zip(words[::2], words[1::2]))
        self.lane = names.get(b"application_name", b"").decode().split(" ")[-1]
        self.server.sendall(message)

    def _pass_requests(self):
        statements, sent = [], 0
        parsed = ""
        while True:
            kind, message = _message(self.client)
            if sent == 0 and self.proxy.request_delay_s:
                time.sleep(self.proxy.request_delay_s)
            wait_until(self._may_send)
            sent += len(message)
            gate = None
            if kind == b"P":
                parsed = _parsed_name(message)
            # Of an unnamed statement nothing is to be seen before its gate: it is held when it comes to
            # be parsed.
            if kind == b"B" and _bound_name(message) or kind == b"P" and parsed:
                statement = parsed if kind == b"P" else _bound_name(message)
                statements.append(statement)
                answer_gate = self.proxy.take_gate(self.lane, statement, "answer")
                if answer_gate:
                    self.gates.append(answer_gate)
                    self._answer_gate = answer_gate
                gate = self.proxy.take_gate(self.lane, statement, "request")
            if gate:
                self.gates.append(gate)
                while kind != b"S":
                    kind, more = _message(self.client)
                    message += more
                    sent += len(more)
                    name = _bound_name(more) if kind == b"B" else \
                        _parsed_name(more) if kind == b"P" else ""
                    if name:
                        statements.append(name)
                gate.hold(self)
            if kind in b"SQ":
                with self._lock:
                    self._waiting.append((tuple(statements), sent))
                    self._sending = False
                statements, sent = [], 0
            self.server.sendall(message)

    # --- from PostgreSQL ------------------------------------------------------------------------

    def _from_postgres(self):
        answer, size = [], 0
        try:
            while True:
                kind, message = _message(self.server)
                if self._swallow:
                    if kind == b"Z":
                        done, self._swallow = self._swallow, None
                        done.set()
                    continue
                answer.append(message)
                size += len(message)
                if kind == b"Z":
                    self._answered(size)
                    size = 0
                    gate = self._answer_gate
                    if gate:
                        gate.hold(self)
                        self._answer_gate = None
                        if gate.broken_off:
                            self._send_to_respgres(b"".join(answer[:-1]) + TERMINATED)
                            break
                if not self._answer_gate:
                    self._send_to_respgres(b"".join(answer))
                    answer = []
        except OSError:
            pass
        if not self.client_gone:
            self.client_gone = True
            try:
                self.client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.client.close()
        self.server.close()
        self.ended.set()

    def _send_to_respgres(self, data):
        if self.client_gone:
            return
        try:
            self.client.sendall(data)
        except OSError:
            self.client_gone = True

    def _answered(self, size):
        with self._lock:
            if not self._started:
                self._started, self._sending = True, False
            elif self._waiting:
                statements, sent = self._waiting.pop(0)
                self.proxy.requests.append(Request(self.lane, statements, sent, size))


def _bound_name(message):
    """The prepared statement that a Bind names, "" for the unnamed one."""
    return message[5:].split(b"\0")[1].decode()


def _parsed_name(message):
    """The name that the text of an unnamed statement begins with, "" where there is none."""
    name, text = message[5:].split(b"\0")[:2]
    found = re.match(rb"/\* (respgres_\w+) \*/", text)
    return found[1].decode() if found and not name else ""


def _exactly(sock, n):
    data = bytearray()
    while len(data) < n:
        more = sock.recv(min(n - len(data), 1 << 20))
        if not more:
            raise ConnectionError("closed")
        data += more
    return bytes(data)


def _message(sock):
    """One message, (type, all its bytes)."""
    head = _exactly(sock, 5)
    return head[:1], head + _exactly(sock, struct.unpack("!i", head[1:])[0] - 4)
