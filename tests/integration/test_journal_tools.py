"""respgres --check-journal and --repair-journal on folders that a small program makes."""
import os
import re
import subprocess

import pytest

from harness import Respgres
from harness.servers import SANITIZERS
from harness.util import clean_environ


def call(program, *args):
    return subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=60,
                          env=clean_environ(**SANITIZERS))


def run(*args):
    return call(Respgres.binary(), *args)


def maker():
    return Respgres.binary().parent / "tests" / "journal_make"


def make(path, n):
    """Appends n writes, each a group of its own; the journal's id is printed."""
    return call(maker(), path, n)


@pytest.fixture
def folder(tmp_path):
    """Three segments of four writes each; the journal's id."""
    path = tmp_path / "dir" / "one"
    ids = {make(path, 4).stdout for _ in range(3)}
    assert len(ids) == 1  # it stays
    return path, ids.pop().strip()


def damage(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def test_a_whole_journal(folder):
    path, journal_id = folder
    before = {name: (path / name).read_bytes() for name in os.listdir(path)}
    done = run("--check-journal", path)
    assert done.returncode == 0, done
    assert f'journal {journal_id} of the instance "made"' in done.stdout
    assert "journal.0000000002: whole, 4 records" in done.stdout
    assert "records: 12, write 12" in done.stdout
    assert "keys written: 12" in done.stdout
    done = run("--repair-journal", path)
    assert done.returncode == 0 and "nothing is damaged, nothing was changed" in done.stdout
    assert before.keys() == set(os.listdir(path))
    assert all((path / name).read_bytes() == data for name, data in before.items() if name != "lock")


def test_damage_and_repair(folder):
    path, journal_id = folder
    damage(path / "journal.0000000002", 256 + 60)
    done = run("--check-journal", path)
    assert done.returncode == 1
    assert re.search(r"journal\.0000000002: DAMAGED at offset 293: .*checksum", done.stdout)
    assert "--repair-journal" in done.stdout

    refused = make(path, 1)
    assert refused.returncode == 1
    assert "journal.0000000002 is damaged at offset 293" in refused.stderr
    assert f"respgres --check-journal {path}" in refused.stderr

    done = run("--repair-journal", path)
    assert done.returncode == 0, done
    assert re.search(r"journal\.0000000002: bytes 293 to \d+ lost", done.stdout)
    assert "repaired: 11 records are in snapshot.0000000004" in done.stdout
    assert sorted(os.listdir(path)) == ["journal.0000000002.damaged", "lock", "snapshot.0000000004"]

    done = run("--check-journal", path)
    assert done.returncode == 0 and "records: 11, write 11" in done.stdout
    assert journal_id in done.stdout
    again = make(path, 1)
    assert again.stdout.strip() == journal_id


def test_a_torn_tail_is_no_damage(folder):
    path, _ = folder
    last = path / "journal.0000000003"
    os.truncate(last, last.stat().st_size - 1)
    done = run("--check-journal", path)
    assert done.returncode == 0
    assert "torn tail" in done.stdout and "records: 11," in done.stdout


def test_beside_a_process(folder):
    path, _ = folder
    with subprocess.Popen([maker(), path, "1", "stay"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        process.stdout.readline()
        done = run("--check-journal", path)
        assert done.returncode == 0 and "in use by a process" in done.stdout
        assert "records: 13," in done.stdout
        done = run("--repair-journal", path)
        assert done.returncode == 1 and f"in use by process {process.pid}" in done.stdout
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_wrong_arguments(tmp_path):
    done = run("--check-journal", tmp_path / "nowhere")
    assert done.returncode == 1 and "cannot be opened: No such file or directory" in done.stdout
    for flag in ("--check-journal", "--repair-journal"):
        done = run(flag)
        assert done.returncode == 1 and "need the journal's folder" in done.stderr
    assert run("--check-journal", tmp_path).returncode == 0  # a folder without a journal
