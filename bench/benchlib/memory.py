"""Resident memory: what a session and an idle connection cost respgres, and redis-server."""

import subprocess

from . import generators
from .report import Row
from .site import say


def measure(site, sessions, connections):
    say("memory")
    respgres = site.respgres(site.database())
    redis = site.redis()
    rows = []
    # First, because later connections could live in what the sessions' batches have freed.
    ours, theirs = (_per_connection(site, server, connections) for server in (respgres, redis))
    rows.append(Row("memory per idle connection", f"{connections:,} connections, after one PING",
                    f"{ours:,.0f} B", {"redis": [ours / theirs]}))
    for size in (512, 4096):
        ours, theirs = (_per_session(site, server, sessions, size) for server in (respgres, redis))
        rows.append(Row("memory per session", f"{sessions:,} sessions of {size} B, resident",
                        f"{ours:,.0f} B", {"redis": [ours / theirs]}))
    site.end(respgres)
    site.end(redis)
    site.drop_databases()
    return rows


def _per_session(site, server, sessions, size):
    before = server.rss()
    generators.fill(site, server, sessions, size, f"{size}:")
    return (server.rss() - before) / sessions


def _per_connection(site, server, connections):
    before = server.rss()
    holder = subprocess.Popen(
        [str(word) for word in (site.tool("bench_load"), *generators.target(server), "--pattern",
                                "ping", "--clients", connections, "--requests", connections,
                                "--hold")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        return (server.rss() - before) / connections
    finally:
        holder.stdin.close()
        holder.wait(60)
        holder.stdout.close()
