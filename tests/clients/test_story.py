"""lib/story.py must find faults: each of its steps passes with an app that does all right, and fails with
one that has the fault of this step."""

import pathlib
import sys

import pytest

from harness import free_port
from runner import client as clients, drive

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE / "lib"))

import story as stories                                           # noqa: E402  pylint: disable=all


@pytest.fixture
def made_story(lab, monkeypatch, tmp_path):
    """A function that starts a story of faulty_app.py on a redis-server."""
    started = []

    def make(fault):
        server = lab.redis(**drive.REDIS_OPTIONS)
        url = f"redis://:{drive.PASSWORD}@127.0.0.1:{server.port}/0"
        for name, value in {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": server.port, "REDIS_URL": url,
                            "REDIS_PASSWORD": drive.PASSWORD, "PORT": free_port(), "FAULT": fault}.items():
            monkeypatch.setenv(name, str(value))
        (tmp_path / "client.json").write_text('{"steps_absent": {}}')
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(stories, "tell", lambda **message: None)
        monkeypatch.setattr(stories, "ask_restart", server.restart)
        made = stories.Story(lambda port: ["/usr/bin/python3", HERE / "faulty_app.py"], cookie="sid",
                             key=lambda cookie: "s:" + cookie, version="none")
        made.start()
        started.append(made)
        assert made.app.wait() and made.short.wait()
        return made

    yield make
    for made in started:
        made.stop()


def test_an_app_without_fault_passes(made_story):
    steps = made_story("none").steps()
    assert tuple(name for name, _ in steps) == clients.STEPS
    for _, step in steps:
        step()


@pytest.mark.parametrize("fault", clients.STEPS)
def test_a_fault_is_found(made_story, monkeypatch, fault):
    wait = stories.wait_until
    monkeypatch.setattr(stories, "wait_until", lambda condition, _timeout, what: wait(condition, 3, what))
    with pytest.raises(AssertionError):
        dict(made_story(fault).steps())[fault]()
