#!/usr/bin/python3
"""Starts the apps, each beside its own respgres, and the proxy before them; keeps them running until
INT or TERM. `run` calls this with a PostgreSQL that is there."""

import argparse
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PAIRS = 3
# Shared state is readable and not writable while PostgreSQL is away: instances that do not hear of each
# other must not hand out one message twice. Sessions and all else go on from memory and journal.
FALLBACK = "on global_state:* readonly chat:answer:* readonly"


def respgres_options(port, directory, name):
    return {"bind": "127.0.0.1", "port": port, "http-port": 0, "instance-name": name, "dir": directory,
            "fallback": FALLBACK, "preload-refresh": "1s"}


def gunicorn_command(port, threads=8):
    return [sys.executable, "-m", "gunicorn", "--chdir", str(HERE), "--worker-class", "gthread",
            "--workers", "1", "--threads", str(threads), "--backlog", "1024", "--log-level", "warning",
            "--bind", f"127.0.0.1:{port}", "app:app"]


def gunicorn_environment(own, database_url, instances, password):
    return {"REDIS_URL": own, "DATABASE_URL": database_url, "CHAT_INSTANCES": ",".join(instances),
            "CHAT_ADMIN_PASSWORD": password}


def proxy_command(port, app_ports, affinity):
    return [sys.executable, str(HERE / "proxy.py"), "--listen", f"127.0.0.1:{port}",
            *(["--affinity"] if affinity else []), *(f"127.0.0.1:{p}" for p in app_ports)]


class Child:
    """A process that is started again when it ends."""

    def __init__(self, name, command, port, **environment):
        self.name, self.command, self.port = name, [str(c) for c in command], port
        self.environment = {**os.environ, **environment}
        self.process, self.ended_at = None, 0.0

    def start(self):
        # In a session of its own: Ctrl-C comes to this program only, which ends them in order.
        self.process = subprocess.Popen(self.command, env=self.environment, start_new_session=True,
                                        stdin=subprocess.DEVNULL)

    def wait_until_it_listens(self, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(f"{self.name} ended with status {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit(f"{self.name} does not listen")

    def look_after(self):
        if self.process.poll() is None:
            return
        if not self.ended_at:
            self.ended_at = time.monotonic()
            say(f"{self.name} ended with status {self.process.returncode}")
        elif time.monotonic() > self.ended_at + 3:
            say(f"{self.name} is started again")
            self.ended_at = 0.0
            self.start()

    def stop(self, timeout_s=15):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def children(args, password):
    """Servers first, the proxy last."""
    ports = [args.respgres_port + n for n in range(PAIRS)]
    apps = [args.port + 1 + n for n in range(PAIRS)]
    urls = [f"redis://127.0.0.1:{port}/0" for port in ports]
    made = []
    for n, port in enumerate(ports):
        directory = pathlib.Path(args.dir) / f"respgres-{n + 1}"
        directory.mkdir(parents=True, exist_ok=True)
        options = respgres_options(port, directory, f"chat-{n + 1}")
        flags = [text for name, value in options.items() for text in (f"--{name}", value)]
        made.append(Child(f"respgres {n + 1}", [args.respgres, *flags], port,
                          DATABASE_URL=args.database_url))
    for n, port in enumerate(apps):
        made.append(Child(f"app {n + 1}", gunicorn_command(port), port,
                          **gunicorn_environment(urls[n], args.database_url, urls, password)))
    made.append(Child("proxy", proxy_command(args.port, apps, args.affinity), args.port))
    return made


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="the proxy's; the apps have the next ones")
    parser.add_argument("--respgres-port", type=int, default=6381, help="the first one's")
    parser.add_argument("--affinity", action="store_true", help="a browser stays with its app")
    parser.add_argument("--respgres", required=True, help="the program")
    parser.add_argument("--dir", required=True, help="for journals and warm files")
    parser.add_argument("--database-url", required=True)
    return parser.parse_args()


def main():
    args = arguments()
    password = os.environ.get("CHAT_ADMIN_PASSWORD") or secrets.token_urlsafe(9)
    running = children(args, password)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for child in running:
            child.start()
            child.wait_until_it_listens()
        say(f"chat: http://127.0.0.1:{args.port}/")
        say(f"admin: http://127.0.0.1:{args.port}/admin/  password: {password}")
        for child in running:
            say(f"    {child.name}: port {child.port}, pid {child.process.pid}")
        while True:
            time.sleep(0.2)
            for child in running:
                child.look_after()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("stopping")
        for child in reversed(running):
            child.stop()


if __name__ == "__main__":
    main()
