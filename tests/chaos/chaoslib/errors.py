"""What an error reply says was done. docs/consistency.md is the list; an error that isn't there is
a complaint."""

import functools
import re

from harness.util import TOP

from .record import REFUSED, UNKNOWN

# Redis' own, which the workload can cause: EXEC after a refused command of its block.
OF_REDIS = ((b"-EXECABORT ", REFUSED),)


@functools.cache
def documented():
    """(beginning of the error, outcome) of each row of the table "What an error says"."""
    text = (TOP / "docs" / "consistency.md").read_text(encoding="utf8")
    table = text.split("## What an error says", 1)[1].split("\n## ", 1)[0]
    found = list(OF_REDIS)
    for error, done in re.findall(r"^\| `(-[^`]+)` \| ([^|]+) \|", table, re.MULTILINE):
        beginning = error.split("…")[0].encode()
        found.append((beginning, REFUSED if done.startswith("nothing") else UNKNOWN))
    assert len(found) > 5, "the table of errors is not where it was"
    return sorted(found, reverse=True)  # the longer of two beginnings first


def outcome_of(error):
    """What was done, or None if the error is not documented."""
    for beginning, outcome in documented():
        if error.startswith(beginning):
            return outcome
    return None
