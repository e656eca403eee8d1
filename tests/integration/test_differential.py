"""Random programs, sent to a real redis-server and to us: every reply is compared (differential.py).

RESPGRES_SEED replays one. WATCH of an absent key across FLUSH and SWAPDB differs by design, so each
run leaves out one side of that. `tests/differential/run` does the same for millions of commands."""

import os
import pathlib
import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import differential
import pytest

SCRIPT = pathlib.Path(__file__).with_name("differential.py")
SEED = int(os.environ.get("RESPGRES_SEED", "21"))

# Commands that the random program cannot have, and why.
EXEMPT = {
    "client|setinfo": "Redis 7.0 does not know it; test_commands.py has it",
    "replconf": "what it answers differs by design: test_commands.py",
    "debug": None,  # there, though off by default
    **dict.fromkeys(("unsubscribe", "punsubscribe", "sunsubscribe"), "test_pubsub.py compares them"),
}


def differ(ours, real, resp, skip, commands):
    command = ["/usr/bin/python3", SCRIPT, "--ref", f"127.0.0.1:{real.port}",
               "--sub", f"127.0.0.1:{ours.port}", "--commands", str(commands),
               "--seed", str(SEED + resp), "--resp", str(resp)]
    for category in skip:
        command += ["--skip", category]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False,
                          errors="replace")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " 0 mismatches" in done.stdout


def test_replies_are_those_of_redis(lab):
    """A hundred thousand: four programs side by side, each on servers of its own."""
    pairs = [(lab.respgres(lab.database(), enable_debug_command="yes"),
              lab.redis(enable_debug_command="yes")) for _ in range(4)]
    kinds = [(resp, skip) for resp in (2, 3) for skip in (("watch",), ("swapdb", "flush", "expiry"))]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(differ, *pair, *kind, commands=25000)
                     for pair, kind in zip(pairs, kinds)]:
            done.result()


# --- what the programs have in them --------------------------------------------------------------

def names_of(command):
    """A command, and a container's subcommand with it."""
    if isinstance(command, bytes):
        command = command.split()
    words = [word.lower().decode("latin1") for word in command[:2]]
    return {words[0], "|".join(words)}


def generated():
    """What the generator has returned in many tries."""
    found = set()
    for resp in (2, 3):
        generator = differential.Generator(random.Random(1), 3, resp, ())
        for _, _, function in generator.table.rows:
            for _ in range(2000):
                for command in function():
                    found |= names_of(command)
        for function in generator.families:
            for _ in range(200):
                for command in function(generator):
                    found |= names_of(command)
    return found


@pytest.mark.rows
def test_every_command_has_a_generator(client):
    """A row of commands.def or subcommands.def that no random program would ever have in it: add a
    function to FAMILIES of a module differential_*.py, or a reason to EXEMPT."""
    there = {name.decode() for name in client.execute_command("COMMAND LIST")}
    missing = there - generated() - set(EXEMPT)
    assert missing == set()
    assert set(EXEMPT) - there == set()


def test_the_minimiser_finds_what_matters(lab, database):
    """A difference is made: respgres has a limit of its own to the length of keys. Of the program, that
    command is left."""
    ours, real = lab.respgres(database), lab.redis()
    program = pathlib.Path(__file__).parents[1] / "differential"
    code = f"""
import argparse, sys
sys.path[:0] = [{str(program)!r}, {str(SCRIPT.parent)!r}]
import differential, minimise
options = argparse.Namespace(ref=("127.0.0.1", {real.port}), sub=("127.0.0.1", {ours.port}), seed=1,
                             resp=2, commands=1, connections=2, dbs=1, skip=["expiry"])
program = differential.Program(options)
link = differential.Link(0, program.checker, options.ref, options.sub, 2)
try:
    for i in range(30):
        link.run([[b"SET", b"k", b"%d" % i], [b"PING"]])
    link.run([[b"PING"], [b"SET", b"x" * 2601, b"v"], [b"PING"]])
except differential.Mismatch:
    print(minimise.minimised(program))
"""
    done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True,
                          timeout=120, check=True)
    smallest = done.stdout.partition("The smallest program found that shows it:\n")[2]
    assert len(smallest.splitlines()) == 1
    assert re.match(r"  c0 'SET' 'x+", smallest)
