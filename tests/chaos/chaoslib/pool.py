"""Scenarios in processes of their own: each has its PostgreSQL, its clients and proxies. A worker
reads seeds from its input and writes a result in JSON for each."""

import contextlib
import json
import pathlib
import queue
import subprocess
import threading

from .ground import Ground
from .plan import plan
from .scenario import Scenario

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "run"
PATIENCE_S = 180  # no scenario takes so long


def serve(seeds, tell, say=None):
    """The scenarios of these seeds, one after the other, in this process."""
    ground = Ground()
    try:
        for seed in seeds:
            tell(Scenario(seed, ground, say or (lambda text: None)).run().as_json())
    finally:
        ground.close()


class Worker:
    def __init__(self):
        self._process = None

    def run(self, seed):
        if self._process is None:
            self._process = subprocess.Popen([PROGRAM, "--worker"], stdin=subprocess.PIPE, text=True,
                                             stdout=subprocess.PIPE, start_new_session=True)
        timer = threading.Timer(PATIENCE_S, self._process.terminate)
        timer.start()
        try:
            self._process.stdin.write(f"{seed}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if line:
            return json.loads(line)
        self.close()
        return {"seed": seed, "name": str(plan(seed)), "skipped": "", "summary": {}, "logs": [],
                "complaints": ["the process of this scenario broke off"]}

    def close(self):
        """It takes down its PostgreSQL when its input ends."""
        if self._process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process = None


class Pool:
    """Some workers. run() waits for all results; start() lets result() wait for one."""

    def __init__(self, jobs):
        self._jobs = jobs
        self._threads = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for thread in self._threads:
            thread.join()

    def start(self, seeds, done, stop=None):
        todo = queue.SimpleQueue()
        for seed in seeds:
            todo.put(seed)
        for _ in range(self._jobs):
            thread = threading.Thread(target=self._work, args=(todo, done, stop or threading.Event()))
            thread.start()
            self._threads.append(thread)

    def run(self, seeds, done, stop=None):
        self.start(seeds, done, stop)
        for thread in self._threads:
            thread.join()

    @staticmethod
    def _work(todo, done, stop):
        worker = Worker()
        try:
            while not stop.is_set():
                try:
                    seed = todo.get_nowait()
                except queue.Empty:
                    return
                done(worker.run(seed))
        finally:
            worker.close()
