"""The clock of one program, other than the host's (libfaketime)."""

import glob


def library():
    """Its path, or None if it is not installed."""
    return next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)


def under(command, **env):
    """A command line that runs `command` under libfaketime with these variables of its
    environment, the monotonic clocks left alone, as a clock that is set leaves them.

    libfaketime makes objects of shared memory with the process's number in their names, and ends a
    program that finds them made. A process that was killed leaves its own, and its number comes
    round again."""
    path = library()
    assert path, "libfaketime is missing: install faketime"
    variables = {"LD_PRELOAD": path, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                 "DONT_FAKE_MONOTONIC": "1",
                 "ASAN_OPTIONS": "detect_leaks=0:exitcode=99:verify_asan_link_order=0", **env}
    script = 'rm -f "/dev/shm/faketime_shm_$$" "/dev/shm/sem.faketime_sem_$$"; exec env "$@"'
    return ["sh", "-c", script, "sh", *(f"{name}={value}" for name, value in variables.items()),
            *command]
