"""One client against one server: starts its `run`, answers what it asks, judges what it says."""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import signal
import subprocess
import tempfile
import threading
import time

from harness.util import clean_environ, free_port, tail

from .client import STEPS
from .recorder import Recorder

PASSWORD = "Ein-langes_Passwort.4711"

# Each keeps its keys over a restart.
REDIS_OPTIONS = {"requirepass": PASSWORD, "appendonly": "yes", "appendfsync": "always"}
RESPGRES_OPTIONS = {"requirepass": PASSWORD, "preload": "no", "pg-timeout": 10000}

# What redis-server 7.0 does not have, and so does not show to MONITOR, though clients try it.
NEWER_THAN_REDIS = {"CLIENT SETINFO"}


@dataclasses.dataclass
class Result:
    """What came of one run. `steps` has (ok, why) for each step reported, in order."""

    version: str = ""
    steps: dict = dataclasses.field(default_factory=dict)
    skipped: str = ""
    wrong: list = dataclasses.field(default_factory=list)
    commands: set = dataclasses.field(default_factory=set)
    said: str = ""  # the end of its stderr
    seconds: float = 0.0

    @property
    def passed(self):
        return not self.skipped and not self.complaints()

    def complaints(self):
        return [f"{step}: {why}" for step, (ok, why) in self.steps.items() if not ok] + self.wrong


class _Run:
    """A running `run`."""

    def __init__(self, client, server, result):
        self.client = client
        self.server = server
        self.result = result
        self.recorder = Recorder(server, PASSWORD)
        self.said = tempfile.NamedTemporaryFile()
        self.process = None
        self.late = False
        self.mark = f"CLIENT_MARK={secrets.token_hex(16)}".encode()

    def _environment(self):
        url = f"redis://:{PASSWORD}@127.0.0.1:{self.server.port}/0"
        return clean_environ(
            REDIS_HOST="127.0.0.1", REDIS_PORT=str(self.server.port), REDIS_PASSWORD=PASSWORD,
            REDIS_URL=url, PORT=str(free_port()), CLIENT_HOME=str(self.client.home),
            NODE_PATH=str(self.client.home / "node_modules"), PYTHONDONTWRITEBYTECODE="1",
            PYTHONNOUSERSITE="1", CLIENT_MARK=self.mark.decode().partition("=")[2])

    def go(self):
        started = time.monotonic()
        self.recorder.start()
        self.process = subprocess.Popen(
            [str(self.client.path / "run")], cwd=self.client.path, env=self._environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, start_new_session=True)
        alarm = threading.Timer(self.client.timeout, self._out_of_time)
        alarm.start()
        try:
            for line in self.process.stdout:
                self._take(line)
            status = self.process.wait()
        finally:
            alarm.cancel()
            self._kill()  # also what it left behind
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        self.recorder.stop()
        self._judge_end(status)
        self.result.commands = self.recorder.names
        self.result.said = tail(self.said.name)
        self.result.seconds = time.monotonic() - started

    def _out_of_time(self):
        self.late = True
        self._kill()

    def _kill(self):
        """Whatever it has started has its mark, also what left its process group or lost its parent; what
        starts another process just then is found with the next look."""
        for _ in range(200):
            found = [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if self._is_its_own(entry)]
            if not found:
                break
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def _is_its_own(self, entry):
        try:
            return entry.name.isdigit() and self.mark in (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False

    def _take(self, line):
        try:
            message = json.loads(line)
            if "step" in message:
                self._take_step(message["step"], message["ok"], message.get("why", ""))
            elif "version" in message:
                self.result.version = message["version"]
            elif "own" in message:
                self.recorder.own.add(message["own"])
            elif "skip" in message:
                self.result.skipped = message["skip"]
            elif message == {"ask": "restart"}:
                self._restart()
            else:
                raise ValueError("not in the contract")
        except (ValueError, KeyError, TypeError) as error:
            self.result.wrong.append(f"said {line!r}: {error}")

    def _take_step(self, step, ok, why):
        if step not in STEPS:
            self.result.wrong.append(f"there is no step {step!r}")
        elif step in self.client.steps_absent:
            self.result.wrong.append(f"reported {step!r}, which client.json calls absent")
        elif step in self.result.steps:
            self.result.wrong.append(f"reported {step!r} twice")
        else:
            self.result.steps[step] = (ok is True, why or "no reason given")

    def _restart(self):
        self.recorder.stop()
        self.server.restart()
        self.recorder.start()
        try:
            self.process.stdin.write(b"done\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end says why

    def _judge_end(self, status):
        wrong = self.result.wrong
        if self.late:
            wrong.append(f"did not end within {self.client.timeout:g} s")
        elif status != 0:
            wrong.append(f"`run` ended with {status}")
        if self.result.skipped:
            return
        left_out = [step for step in STEPS
                    if step not in self.result.steps and step not in self.client.steps_absent]
        if left_out:
            wrong.append(f"did not report: {', '.join(left_out)}")
        if not self.result.version:
            wrong.append("did not tell its version")
        unseen = sorted(set(self.client.commands_needed) - self.recorder.names)
        if unseen:
            wrong.append(f"never asked for: {', '.join(unseen)}")


def drive(client, server):
    """`server` runs, is empty, asks for PASSWORD, and keeps its keys over a restart."""
    result = Result(wrong=client.wrong())
    if result.wrong:
        return result
    client.home.mkdir(parents=True, exist_ok=True)
    run = _Run(client, server, result)
    with run.said:
        run.go()
    return result


def compare_commands(client, real, ours):
    """What one server was asked and the other was not, as a list of texts."""
    found = []
    for name in sorted((real.commands ^ ours.commands) - set(client.commands_vary) - NEWER_THAN_REDIS):
        asked = "redis-server" if name in real.commands else "respgres"
        found.append(f"only {asked} was asked for {name}")
    return found
