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


@pytest.mark.timeout(240)
def test_the_largest_conversation_can_be_ended(lab):
    """150 messages of 8 kB each would be more than a document is made of."""
    site = Site(lab, "a", affinity=False)
    asyncio.run(fill(site.port, 150))
