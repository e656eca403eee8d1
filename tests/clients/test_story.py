"""lib/story.py must find faults: each of its steps passes with an app that does all right, and fails with
one that has the fault of this step."""

import email.utils
import pathlib
import sys

import pytest

from harness import free_port
from runner import client as clients, drive

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE / "lib"))

import story as stories                                           # noqa: E402  pylint: disable=all
import web                                                        # noqa: E402


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


@pytest.mark.parametrize("header, name, value", [
    ("sid=abc=; Path=/; HttpOnly; SameSite=Lax", "sid", "abc="),
    ('sid="a b"; Max-Age=3600', "sid", "a b"),
    ("sid=abc; Max-Age=0", "sid", None),
    ("sid=abc; Max-Age=-1", "sid", None),
    ("sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0", "sid", None),
    ("sid=abc; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/", "sid", None),
])
def test_cookies(header, name, value):
    assert web._set_cookie(header) == (name, value)


def test_a_cookie_that_has_just_ended_is_kept():
    """It is the server that must know."""
    now = email.utils.formatdate(usegmt=True)
    assert web._set_cookie(f"sid=abc; expires={now}") == ("sid", "abc")
