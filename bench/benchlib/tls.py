"""TLS for clients: respgres against redis-server's own TLS, and each against itself without it. The
load generator is redis-benchmark, which encrypts as well: on shared cores that is half of the work."""

import csv
import io
import socket
import ssl
import statistics

from harness.tls import Authority
from harness.util import free_port

from .report import Row, number
from .site import say

KEYS = 10000
CASES = (("PING", "ping_mbulk"), ("GET", "get"), ("SET", "set"))


class Pair:
    """respgres and redis-server with one certificate, each with both ports."""

    def __init__(self, site):
        self.site = site
        self.authority = Authority(site.dir, "bench-ca")
        cert, key = self.authority.issue("bench-server")
        options = {"tls-cert-file": cert, "tls-key-file": key, "tls-auth-clients": "no"}
        self.servers = {"respgres": site.respgres(site.database(), **options, **{"tls-port": free_port()}),
                        "redis": site.redis(**options, **{"tls-port": free_port()})}
        for name in self.servers:
            self.ask(name, "set", 50, 16, 5 * KEYS, tls=False)

    def ask(self, name, test, clients, depth, requests, tls=True, more=()):
        """Requests per second, by redis-benchmark."""
        options = self.servers[name].options
        where = ["-p", options["tls-port"], "--tls", "--cacert", self.authority.path] if tls \
            else ["-p", options["port"]]
        text = self.site.run(["redis-benchmark", "-h", "127.0.0.1", *where, "-t", test, "-c", clients,
                              "-P", depth, "-n", requests, "-r", KEYS, "-d", 512, "--csv", *more])
        rows = list(csv.DictReader(io.StringIO(text)))
        return float(rows[-1]["rps"])

    def requests(self, name, test, clients, depth, seconds, tls, more=()):
        """How many take about that long."""
        rate = self.ask(name, test, clients, depth, 20 * clients * depth, tls, more)
        return max(20 * clients * depth, int(rate * seconds))

    def close(self):
        for server in self.servers.values():
            self.site.end(server)
        self.site.drop_databases()


def _throughput(pair, rounds, seconds):
    rows = []
    for title, test in CASES:
        for clients, depth in ((50, 1), (50, 16), (1, 1)):
            say(f"TLS: {title}, {clients} clients, P={depth}")
            ways = [(name, tls) for name in pair.servers for tls in (True, False)]
            requests = {way: pair.requests(way[0], test, clients, depth, seconds, way[1]) for way in ways}
            speed = {way: [] for way in ways}
            for _ in range(rounds):
                for name, tls in ways:
                    speed[name, tls].append(pair.ask(name, test, clients, depth, requests[name, tls], tls))
            condition = f"{clients} client{'s' * (clients > 1)}, P={depth}, 512 B"
            ours, theirs = speed["respgres", True], speed["redis", True]
            rows.append(Row(f"{title} over TLS", condition, f"{number(statistics.median(ours))}/s",
                            {"redis": [a / b for a, b in zip(ours, theirs)]}))
            for name in pair.servers:
                rows.append(Row(f"{title} of {name}, TLS ÷ without", condition,
                                f"{number(statistics.median(speed[name, True]))}/s",
                                {"bare": [a / b for a, b in zip(speed[name, True], speed[name, False])]}))
    return rows


def _handshakes(pair, rounds, seconds):
    say("TLS: a connection per command")
    more = ("-k", 0)
    requests = {name: pair.requests(name, "ping_mbulk", 20, 1, seconds, True, more) for name in pair.servers}
    speed = {name: [] for name in pair.servers}
    for _ in range(rounds):
        for name in pair.servers:
            speed[name].append(pair.ask(name, "ping_mbulk", 20, 1, requests[name], True, more))
    return Row("connect with TLS, PING, disconnect", "20 clients, EC P-256, full handshakes",
               f"{number(statistics.median(speed['respgres']))}/s",
               {"redis": [a / b for a, b in zip(speed["respgres"], speed["redis"])]})


def _memory(pair, connections):
    say("TLS: memory per connection")
    context = ssl.create_default_context(cafile=str(pair.authority.path))
    took = {}
    for name, server in pair.servers.items():
        before, held = server.rss(), []
        for _ in range(connections):
            plain = socket.create_connection(("127.0.0.1", server.options["tls-port"]), 20)
            held.append(context.wrap_socket(plain, server_hostname="localhost"))
            held[-1].sendall(b"PING\r\n")
            assert held[-1].recv(100) == b"+PONG\r\n"
        took[name] = (server.rss() - before) / connections
        for sock in held:
            sock.close()
    return Row("memory per idle TLS connection", f"{connections:,} connections, after one PING",
               f"{took['respgres']:,.0f} B", {"redis": [took["respgres"] / took["redis"]]})


def measure(site, rounds, seconds, connections):
    pair = Pair(site)
    rows = [_memory(pair, connections), *_throughput(pair, rounds, seconds),
            _handshakes(pair, rounds, seconds)]
    pair.close()
    return rows
