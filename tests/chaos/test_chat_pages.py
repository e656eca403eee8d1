"""The pages of examples/flask-chat in headless Chromium, through log-in, chat, alarm, the team's page, a
kick, an outage and a log-out: examples/flask-chat/walkthrough, on a site of this test's own."""

import shlex
import subprocess

import pytest

from chatlib import CHAT
from chatlib.admin import PASSWORD
from chatlib.site import Site
from harness.util import clean_environ


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_pages(lab, tmp_path):
    site = Site(lab, "c", affinity=True)
    name, postgres = site.database.name, site.postgres
    psql = ["psql", "-X", "-q", "-h", postgres.dir, "-p", postgres.port, "-U", "postgres", "-d", "postgres"]
    away = [*psql, "-c", f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", "-c",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"]
    back = [*psql, "-c", f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"]
    done = subprocess.run(
        [CHAT / "walkthrough", "--pictures", tmp_path], capture_output=True, text=True, check=False,
        env=clean_environ(CHAT_URL=f"http://127.0.0.1:{site.port}", CHAT_ADMIN_PASSWORD=PASSWORD,
                          CHAT_AWAY=shlex.join(map(str, away)), CHAT_BACK=shlex.join(map(str, back))))
    assert done.returncode == 0, done.stdout + done.stderr + site.logs()
    assert "all pages are as they must be" in done.stdout
    pictures = sorted(path.name for path in tmp_path.iterdir())
    assert len(pictures) == 6 and all(path.stat().st_size < 150_000 for path in tmp_path.iterdir())
