"""Random programs, sent to a real redis-server and to us: every reply is compared (differential.py).

RESPGRES_SEED replays one. WATCH of an absent key across FLUSH and SWAPDB differs by design, so each
run leaves out one side of that."""

import os
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).with_name("differential.py")
SEED = int(os.environ.get("RESPGRES_SEED", "21"))


def differ(ours, real, resp, skip, commands):
    command = ["/usr/bin/python3", SCRIPT, "--ref", f"127.0.0.1:{real.port}",
               "--sub", f"127.0.0.1:{ours.port}", "--commands", str(commands),
               "--seed", str(SEED + resp), "--resp", str(resp)]
    for category in skip:
        command += ["--skip", category]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False,
                          errors="replace")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " 0 mismatches" in done.stdout


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("skip", [("watch",), ("swapdb", "flush", "expiry")])
def test_replies_are_those_of_redis(lab, database, resp, skip):
    differ(lab.respgres(database), lab.redis(), resp, skip, commands=8000)
