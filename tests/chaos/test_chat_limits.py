"""Who fills his conversation up to the limits of examples/flask-chat is seen by the team, and can be ended."""

import asyncio

import pytest

from chatlib.admin import PASSWORD
from chatlib.browser import Browser
from chatlib.site import Site


async def fill(port, messages):
    user, admin = Browser(port), Browser(port)
    assert (await user.post("/login", {"username": "mallory"})).status == 200
    assert (await admin.post("/admin/login", {"name": "root", "password": PASSWORD})).status == 200
    for i in range(messages):
        answer = await user.post("/messages", {"id": f"message-{i:08}", "content": "\U0001f600" * 2000})
        assert answer.status == 200, answer
    kept = answer.body["messages"]
    assert kept[-1]["to"] == f"message-{messages - 1:08}" and 10 < len(kept) < messages
    state = (await admin.get("/admin/state")).body
    seen = [session for session in state["sessions"] if session["username"] == "mallory"]
    assert len(seen) == 1 and seen[0]["messages"] == len(kept)
    assert (await admin.post("/admin/kick", {"username": "mallory"})).body["ended"] == 1
    assert (await user.get("/messages")).status == 401
    user.close()
    admin.close()


async def ask_oddly(port):
    user, admin = Browser(port), Browser(port)

    async def refused(browser, path, body):
        answer = await browser.post(path, body)
        assert answer.status == 400 and answer.body["error"], (path, body, answer)
    await refused(admin, "/admin/login", {"name": "root", "password": "\ud800"})
    assert (await user.post("/login", {"username": "ada"})).status == 200
    assert (await admin.post("/admin/login", {"name": "root", "password": PASSWORD})).status == 200
    await refused(user, "/attributes", {"about": "\ud800"})
    await refused(user, "/messages", {"id": "message-1", "content": "\udfff"})
    assert (await user.post("/attributes", {"about": "\U0001f600"})).body["user_attributes"]["about"] == "\U0001f600"
    for name in (["ADMIN_MODE"], {}, None, 7):
        await refused(admin, "/admin/switch", {"name": name, "on": True})
    for name in ("a\0b", "\ud800", "ada\udfff"):
        await refused(admin, "/admin/kick", {"username": name})
    await refused(admin, "/admin/answer", {"id": "\ud800", "content": "x"})
    assert (await user.get("/")).status == 200
    assert (await admin.post("/admin/kick", {"username": "ada"})).body["ended"] == 1
    user.close()
    admin.close()


def test_texts_that_nothing_can_hold(lab):
    """A lone surrogate is no Unicode, and PostgreSQL knows no U+0000: 400, and the pages go on."""
    asyncio.run(ask_oddly(Site(lab, "a", affinity=False).port))


@pytest.mark.timeout(240)
def test_the_largest_conversation_can_be_ended(lab):
    """150 messages of 8 kB each would be more than a document is made of."""
    site = Site(lab, "a", affinity=False)
    asyncio.run(fill(site.port, 150))
