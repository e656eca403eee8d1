"""tests/tools/store_client.c as a test sees it: lines in, lines out."""

import queue
import subprocess
import tempfile
import threading

from .servers import BAD_LOG, SANITIZERS, Respgres
from .util import clean_environ


class StoreClient:
    """The PostgreSQL store of a process of its own, on a database's URL. Unless told otherwise it is patient:
    a PostgreSQL that is late is not one that is away."""

    def __init__(self, url, **options):
        self.program = Respgres.binary().parent / "tests" / "store_client"
        self._log = tempfile.NamedTemporaryFile(prefix="store_client-")
        options.setdefault("pg_timeout", 10000)
        flags = [word for name, value in options.items()
                 for word in (f"--{name.replace('_', '-')}", str(value))]
        self.process = subprocess.Popen(
            [self.program, "--database-url", url, "--instance-name",
             options.pop("instance_name", "client"), *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=clean_environ(**SANITIZERS), start_new_session=True)
        self._lines = queue.Queue()
        self.seen = []
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close(check=exc[0] is None)

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line.split())

    @property
    def log(self):
        with open(self._log.name, encoding="utf8", errors="replace") as log:
            return log.read()

    def send(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def expect(self, *start, timeout=20):
        """The next line that begins with these words; what comes before it is kept for later."""
        start = [str(word) for word in start]
        for i, words in enumerate(self.seen):
            if words[:len(start)] == start:
                return self.seen.pop(i)[len(start):]
        while True:
            try:
                words = self._lines.get(timeout=timeout)
            except queue.Empty:
                raise AssertionError(f"no line {start}; {self.seen}\n{self.log[-3000:]}") from None
            if words[:len(start)] == start:
                return words[len(start):]
            self.seen.append(words)

    def ask(self, *words, answer=None):
        self.send(*words)
        return self.expect(answer or words[0])

    def online(self):
        self.expect("state", "online")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """A clean stop."""
        self.send("stop")
        self.expect("stopped")
        assert self.process.wait(10) == 0

    def close(self, check=True):
        """Ends it; a leak or a failed assertion fails the test."""
        killed = self.process.poll() is not None and self.process.returncode == -9
        if self.process.poll() is None:
            self.process.stdin.close()
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        bad = BAD_LOG.findall(self.log)
        self.process.stdout.close()
        if check and not killed:
            assert status == 0 and not bad, f"store_client: {status}\n{self.log[-3000:]}"
