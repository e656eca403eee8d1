"""A simulated user: logs in, chats, logs out, one request at a time."""

import asyncio
import random

from . import judge
from .browser import Browser, pause
from .record import KICKED, LEFT, LOGGED_IN, LOGGED_OUT, Life

TALK = ("hello", "how much is it?", "I cannot log in", "thanks", "tell me more", "just looking around")
ALARM = ("I feel hopeless", "I can't go on")
GHOSTS = 6


class User:
    def __init__(self, number, port, record, seed, think_s):
        self.number, self.record, self.think_s = number, record, think_s
        self.name = f"user-{number}"
        self.browser = Browser(port)
        self.chance = random.Random(f"{seed}-{number}")
        self.life = None
        self.kick_under_way = False     # then the session is neither left nor made,
        self.is_moving = False          # and the other way round
        self._said = 0
        self._unsent = None             # (id, content) that was answered with an error
        self._ghosts = []

    async def run(self, ending):
        await asyncio.sleep(self.chance.uniform(0, self.think_s))
        while not ending.is_set():
            await self.step()
            await pause(ending, self.chance.expovariate(1 / self.think_s))
        self.browser.close()

    async def step(self):
        if self.life is None or self.life.state in (LOGGED_OUT, LEFT) or self.life.told:
            await self._move(self._log_in)
        elif self._unsent:
            await self._send(*self._unsent)
        else:
            draw = self.chance.random()
            if draw < 0.62:
                await self._say()
            elif draw < 0.88:
                await self.look()
            elif draw < 0.92:
                await self._tell_about_me()
            elif draw < 0.96:
                await self._move(self._log_out)
            else:
                await self._haunt()

    async def _move(self, log_in_or_out):
        if not self.kick_under_way:
            self.is_moving = True
            await log_in_or_out()
            self.is_moving = False

    async def _log_in(self):
        old, self.browser.cookies = self.life, {
            name: value for name, value in self.browser.cookies.items() if name != "session"}
        answer = await self.browser.post("/login", {"username": self.name})
        life = Life(self.name, self.browser.cookies.get("session", ""))
        if answer.status != 200:
            judge.error(self.record, life, answer)
            return
        if old:
            self._ghosts = ([old] + self._ghosts)[:GHOSTS]
        self.record.requests += 1
        self.record.slow.append(answer.ended - answer.begun)
        self.record.lives.append(life)
        self.life, self._unsent = life, None

    async def _say(self):
        self._said += 1
        text = self.chance.choice(ALARM if self.chance.random() < 0.1 else TALK)
        message_id = f"{self.name}-{self._said}-{self.chance.getrandbits(40):x}"
        await self._send(message_id, f"{text} ({message_id})")

    async def _send(self, message_id, content):
        life = self.life
        life.doubtful[message_id] = content
        self._unsent = message_id, content
        answer = await self.browser.post("/messages", {"id": message_id, "content": content})
        if judge.hears(self.record, life, answer):
            shown = {m["id"]: m for m in answer.body["messages"]}
            if message_id not in shown:
                self.record.complain(f"{self.name} has sent {message_id}, is told 200 and not shown it")
            life.acknowledged[message_id] = life.doubtful.pop(message_id)
            self._unsent = None
            self._note_queued(answer)

    def _note_queued(self, answer):
        for message in answer.body["messages"]:
            if message.get("waiting"):
                self.record.queued[message["id"]] = self.name

    async def look(self):
        """Returns the messages shown, None if none are."""
        answer = await self.browser.get("/messages")
        return answer.body["messages"] if judge.hears(self.record, self.life, answer) else None

    async def _tell_about_me(self):
        answer = await self.browser.post("/attributes", {"about": f"I am {self.name}"})
        if answer.status == 200:
            answer.body["username"] = self.life.username  # it is not in this answer
        judge.hears(self.record, self.life, answer)

    async def _log_out(self):
        judge.logs_out(self.record, self.life, await self.browser.post("/logout", {}))

    async def _haunt(self):
        """Tries the cookie of a session that has ended."""
        if not self._ghosts:
            return
        life = self.chance.choice(self._ghosts)
        answer = await self.browser.get("/messages", {**self.browser.cookies, "session": life.sid})
        if life.state in (LOGGED_OUT, KICKED):
            judge.ghost(self.record, life, answer)
