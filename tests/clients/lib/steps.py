"""What a Python `run` tells the runner. From the first thing told on, stdout belongs to the contract, and
what anything prints goes to stderr."""

import contextlib
import functools
import json
import os
import sys
import traceback


@functools.cache
def _runner():
    told = os.fdopen(os.dup(1), "w", encoding="utf8")
    os.dup2(2, 1)
    return told


def tell(**message):
    _runner().write(json.dumps(message) + "\n")
    _runner().flush()


@contextlib.contextmanager
def step(name):
    """A step of the contract: it fails where the block raises, and the next one goes on."""
    try:
        yield
    except Exception as error:  # pylint: disable=broad-except
        traceback.print_exc()
        line = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(line.filename)}:{line.lineno}"
        tell(step=name, ok=False, why=f"{type(error).__name__} at {where}: {error}")
    else:
        tell(step=name, ok=True)


def ask_restart():
    """Returns when the server runs again."""
    tell(ask="restart")
    assert sys.stdin.readline() == "done\n", "the runner did not answer"


def skip(reason):
    tell(skip=reason)
    sys.exit(0)
