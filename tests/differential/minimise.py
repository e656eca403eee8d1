"""Makes a program whose replies differ smaller: what is not needed for the difference is left out.

A program is a list of steps: (connection, commands), or seconds to sleep. The same difference is one
of the same command's name; the last step is the one that shows it."""

import contextlib
import io
import time

import differential

LIMIT_S = 60


def replay(program, steps):
    """Does the difference come again? The number of steps it takes, or 0."""
    checker = differential.Checker(program.options.seed)
    options = program.options
    links = {}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            for n in sorted({step[0] for step in steps if isinstance(step, tuple)} | {0}):
                links[n] = differential.Link(n, checker, options.ref, options.sub, options.resp)
                if n == 0:
                    links[0].run([[b"FLUSHALL"], [b"CONFIG", b"RESETSTAT"]])
                links[n].greet()
            for at, step in enumerate(steps):
                if not isinstance(step, tuple):
                    time.sleep(step)
                    continue
                links[step[0]].run(step[1])
                if program.is_quit(step[1][-1]):
                    links[step[0]].reopen()
    except differential.Mismatch:
        same = name(checker.mismatch) == name(program.checker.mismatch)
        return at + 1 if same else 0
    except (OSError, ValueError, IndexError):
        return 0
    finally:
        for link in links.values():
            link.close()
    return 0


def name(command):
    return command[0].lower() if command else b""


def without_parts(items, still, deadline):
    """Leaves out larger parts first, then smaller ones, for as long as still(rest) holds."""
    size = max(len(items) // 2, 1)
    while size >= 1 and time.monotonic() < deadline:
        at = 0
        while at < len(items) and time.monotonic() < deadline:
            rest = items[:at] + items[at + size:]
            if rest and still(rest):
                items = rest
            else:
                at += size
        size //= 2
    return items


def minimised(program):
    """The text of the smallest program that was found in the time there is."""
    deadline = time.monotonic() + LIMIT_S
    steps = list(program.checker.steps)
    used = replay(program, steps)
    if not used:
        return "The program alone does not show it again: it depends on the time, or on chance."
    steps = without_parts(steps[:used], lambda rest: replay(program, rest), deadline)
    single = [(step[0], [c]) if isinstance(step, tuple) else step for step in steps
              for c in (step[1] if isinstance(step, tuple) else [None])]
    if replay(program, single):
        steps = without_parts(single, lambda rest: replay(program, rest), deadline)
    lines = ["The smallest program found that shows it:"]
    for step in steps:
        if not isinstance(step, tuple):
            lines.append(f"  sleep {step}")
            continue
        lines += [f"  c{step[0]} {differential.show(c, 2000) if isinstance(c, list) else repr(c)}"
                  for c in step[1]]
    return "\n".join(lines)
