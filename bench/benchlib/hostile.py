"""Clients that mean no good, and what a decent client's p99 is beside them."""

import multiprocessing
import resource
import socket
import statistics
import time

from . import generators
from .site import RawClient, say

TCP_REPAIR = 19  # <linux/tcp.h>: a socket closed in this state says nothing to its peer
BIG = 100_000    # bytes of the value that slow readers ask for
SAFE_FILES = 200

GET_BIG = b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n"
HALF = b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1000\r\nxxx"


# --- what they do: each runs in a process of its own until it is ended ----------------------------

def _connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    s.setblocking(False)
    return s


def _push(s, data):
    """What the socket takes."""
    try:
        while data:
            data = data[s.send(data):]
    except OSError:
        pass


def idle(port, ready, count):
    held = [_connect(port) for _ in range(count)]
    for s in held:
        _push(s, b"PING\r\n")
    ready.set()
    time.sleep(3600)


def storm(port, ready, _count):
    """Connects, says PING, goes, without a pause; half of them with a reset."""
    ready.set()
    for number in range(1 << 60):
        try:
            s = socket.create_connection(("127.0.0.1", port), timeout=20)
            if number % 2:
                s.sendall(b"PING\r\n")
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        except OSError:
            time.sleep(0.01)


def slow_readers(port, ready, count):
    """They ask for far more than they read: a little, ten times a second."""
    held = []
    for _ in range(count):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", port))
        s.setblocking(False)
        _push(s, GET_BIG * 100)
        held.append(s)
    ready.set()
    while True:
        time.sleep(0.1)
        for s in held:
            try:
                s.recv(1000)
            except OSError:
                pass


def half_open(port, ready, count):
    """Half of a request, then silence. Where it may, the socket vanishes without telling."""
    for number in range(count):
        s = _connect(port)
        _push(s, HALF)
        if number % 2:
            try:
                s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
                s.close()
                continue
            except OSError:
                pass
        _held.append(s)
    ready.set()
    time.sleep(3600)


_held = []


def mute(port, ready, count):
    """Thousands of commands at once, and nobody reads the replies."""
    held = [_connect(port) for _ in range(count)]
    for s in held:
        _push(s, b"*2\r\n$4\r\nINCR\r\n$4\r\nmute\r\n" * 20000)
    ready.set()
    while True:
        time.sleep(0.05)
        for s in held:
            _push(s, b"*2\r\n$4\r\nINCR\r\n$4\r\nmute\r\n" * 100)


def garbage(port, ready, _count):
    """Bytes that are no protocol, one connection after the other."""
    ready.set()
    data = bytes(range(256)) * 200 + b"\r\n*1000000000\r\n"
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
                s.sendall(data)
        except OSError:
            pass
        time.sleep(0.001)


CONDITIONS = [
    ("{count:,} idle connections", idle, 10000),
    ("a connection storm", storm, 0),
    ("{count} slow readers of 100 kB values", slow_readers, 100),
    ("{count:,} half-open sockets", half_open, 1000),
    ("{count} that pipeline and never read", mute, 20),
    ("garbage, again and again", garbage, 0),
]


class Hostile:
    """One of these at work, in a with statement."""

    def __init__(self, server, deed, count):
        ready = multiprocessing.Event()
        self._process = multiprocessing.Process(target=deed, args=(server.port, ready, count),
                                                daemon=True)
        self._ready = ready

    def __enter__(self):
        self._process.start()
        if not self._ready.wait(120):
            raise SystemExit("the hostile clients did not get ready")
        return self

    def __exit__(self, *exception):
        self._process.kill()
        self._process.join()


# --- measuring -----------------------------------------------------------------------------------

def decent(site, server, args):
    """The decent clients: GET, then SETEX."""
    numbers = generators.load(site, server, "session", clients=args.clients, keys=1000,
                              size=512, prefix="s:", seconds=args.seconds)
    if numbers["requests"] == 0:  # the whole time was too short for one
        numbers["p99_us"] = args.seconds * 1e6
    return numbers


def raise_open_files(want):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want += SAFE_FILES
    if soft < want:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (want, max(hard, want)))
        except (OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SAFE_FILES


def measure(site, args):
    """A line per condition: p99 without and with it, here and at redis-server."""
    most = raise_open_files(max(count for _, _, count in CONDITIONS))
    servers = {"respgres": site.respgres(site.database(), maxclients=12000),
               "redis-server": site.redis(maxclients=12000)}
    for server in servers.values():
        generators.fill(site, server, 1000, 512, "s:")
        with RawClient(("127.0.0.1", server.port)) as raw:
            raw.command("SET", "big", b"v" * BIG)
        decent(site, server, args)  # plans are made, pages are there
    lines = []
    for name, deed, count in CONDITIONS:
        count = min(count, most) // (10 if args.quick and deed is idle else 1)
        name = name.format(count=count)
        if args.only not in name:
            continue
        say(name)
        lines.append([name, *_compare(site, servers, deed, count, args)])
    for server in servers.values():
        site.end(server)
    site.drop_databases()
    return lines


def _compare(site, servers, deed, count, args):
    cells = []
    for server in servers.values():
        quiet, beside, held = [], [], 0
        for _ in range(args.rounds):
            quiet.append(decent(site, server, args)["p99_us"])
            before = server.rss()
            with Hostile(server, deed, count):
                held = max(held, server.rss() - before)  # later rounds find memory that is there
                beside.append(decent(site, server, args)["p99_us"])
            _settle(server)
        ratio = statistics.median(b / q for q, b in zip(quiet, beside))
        per = f"{held / count / 1024:.1f} kB" if deed in (idle, half_open) and count else ""
        cells += [f"{statistics.median(quiet) / 1000:.2f}",
                  f"{statistics.median(beside) / 1000:.2f}", f"{ratio:.2f}", per]
    return cells


def _settle(server):
    """Until the hostile ones are gone, but for those that nobody can see are gone."""
    with RawClient(("127.0.0.1", server.port)) as raw:
        deadline = time.monotonic() + 10
        last = -1
        while time.monotonic() < deadline:
            info = raw.command("INFO", "clients").decode()
            clients = int(info.split("connected_clients:")[1].split("\r\n")[0])
            if clients <= 2 or clients == last:
                return
            last = clients
            time.sleep(0.3)


HEAD = ["beside", "p99 alone, ms", "p99 beside, ms", "×", "held each",
        "Redis: p99 alone", "p99 beside", "×", "held each"]


def table(lines):
    widths = [max(len(line[i]) for line in [HEAD] + lines) for i in range(len(HEAD))]

    def row(cells):
        return "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w)
                                 for i, (c, w) in enumerate(zip(cells, widths))) + " |"

    rule = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([row(HEAD), row(rule)] + [row(line) for line in lines])
