"""Scripts of many long strings that are alike. Lua keeps every string once, and its hash looks at few bytes of a
long one, so each new one is compared with all those before it: that takes its time, and others are served
meanwhile (docs/scripts.md, "Long scripts")."""

import threading
import time

import pytest
import redis

from harness import wait_until

pytestmark = pytest.mark.rows
MANY = 7000
SERVED_S = 1.5  # a ping beside it; as one piece it takes several seconds where memory is checked


def job(i):
    return b'{"body":"%s","id":%d}' % (b"x" * 900, i)


@pytest.fixture(scope="module")
def server(module_lab):
    return module_lab.respgres(module_lab.database(), pg_timeout=10000, busy_reply_threshold=0)


class Pinger:
    """Asks all the time, until it is told to end: how long the longest wait was, without what the machine
    stood still."""

    def __init__(self, server, machine):
        self.client = server.client()
        self.client.ping()
        self.machine = machine
        self.waits = []
        self.pings = 0
        self.ended = False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended:
            start = time.monotonic()
            self.client.ping()
            self.waits.append((start, time.monotonic()))
            self.pings += 1
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join(60)

    @property
    def longest(self):
        return max(end - start - self.machine.within(start, end)
                   for start, end in self.waits if end - start > 0.1 or start == self.waits[0][0])


@pytest.mark.alone
def test_others_are_served_beside_many_arguments(server, machine):
    c = server.client(socket_timeout=120)
    args = [job(i) for i in range(MANY)]
    with Pinger(server, machine) as others:
        assert c.eval("return #ARGV", 0, *args) == MANY
    assert others.longest < SERVED_S, others.longest


@pytest.mark.alone
def test_others_are_served_beside_a_long_list(server, machine):
    c = server.client(socket_timeout=120)
    c.delete("jobs")
    for at in range(0, MANY, 1000):
        c.rpush("jobs", *(job(i) for i in range(at, at + 1000)))
    with Pinger(server, machine) as others:
        assert c.eval("return #redis.call('lrange','jobs',0,-1)", 1, "jobs") == MANY
    assert others.longest < SERVED_S, others.longest


def killed(server, *command):
    """What the command is answered that SCRIPT KILL has ended, before it could have come to its end."""
    for _ in range(10):  # it may have: whoever kills can come too late
        answer = run_and_kill(server, *command)
        if "killed" in answer:
            break
    return answer


def run_and_kill(server, *command):
    answers = []

    def run():
        try:
            answers.append(server.client(socket_timeout=120).execute_command(*command))
        except redis.ResponseError as e:
            answers.append(str(e))

    def kill():
        try:
            return server.client().script_kill()
        except redis.ResponseError:
            return bool(answers)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(kill, 60, "there is a script to kill")
    thread.join(60)
    return str(answers[0])


def test_it_is_killed_while_its_arguments_are_made_ready(server):
    args = [job(i) for i in range(3 * MANY)]
    assert "Script killed by user with SCRIPT KILL..." in str(killed(server, "EVAL", "return #ARGV", 0, *args))
    assert server.client().ping()


def test_it_is_ended_by_its_time_limit_there_too(module_lab):
    limited = module_lab.respgres(module_lab.database(), pg_timeout=10000, script_time_limit=200)
    c = limited.client(socket_timeout=120)
    with pytest.raises(redis.ResponseError, match="script-time-limit"):
        c.eval("return #ARGV", 0, *(job(i) for i in range(3 * MANY)))
    assert c.eval("return 1", 0) == 1
