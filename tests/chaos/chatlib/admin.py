"""Simulated admins: who answer what waits, who kick, and one who turns the switches."""

import asyncio
import random

from .browser import Browser, pause
from .record import KICKED, LOGGED_IN, Attempt

PASSWORD = "of-the-simulation"
LATE_S = 0.1


class Admin:
    def __init__(self, name, port, record, seed, think_s):
        self.name, self.record, self.think_s = name, record, think_s
        self.browser = Browser(port)
        self.chance = random.Random(f"{seed}-{name}")
        self._is_in = False
        self._answered = 0

    async def run(self, ending):
        while not ending.is_set():
            if self._is_in or await self._log_in():
                await self.step()
            await pause(ending, self.chance.expovariate(1 / self.think_s))
        self.browser.close()

    async def _log_in(self):
        answer = await self.browser.post("/admin/login", {"name": self.name, "password": PASSWORD})
        assert answer.status != 403, "the password of the simulation is not the app's"
        self._is_in = answer.status == 200
        return self._is_in

    async def ask(self, path, content=None):
        answer = await (self.browser.get(path) if content is None else
                        self.browser.post(path, content))
        if answer.status == 401 and not self.record.facts.is_loose:
            self.record.complain(f"{self.name} has not logged out, and is told that he has (app"
                                 f" {answer.app})")
            self._is_in = False
        return answer


class Answerer(Admin):
    """Takes, writes, answers; now and then gives back, or looks around."""

    async def step(self):
        if self.chance.random() < 0.1:
            await self.ask("/admin/state")
        await self.work()

    async def work(self):
        """Returns True if there was something to do, or if that is not known."""
        answer = await self.ask("/admin/take", {})
        if answer.status != 200:
            return True
        entry = answer.body["entry"]
        if entry is None:
            return False
        if self.chance.random() < 0.05:
            await self.ask("/admin/give-back", {"id": entry["id"]})
        else:
            await asyncio.sleep(self.chance.uniform(0, self.think_s))
            await self._answer(entry["id"])
        return True

    async def _answer(self, message_id):
        self._answered += 1
        content = f"answer {self._answered} of {self.name} to {message_id}"
        attempt = Attempt(message_id, self.name, content, "doubtful")
        self.record.attempts.append(attempt)
        for _ in range(3):
            answer = await self.ask("/admin/answer", {"id": message_id, "content": content})
            if answer.status == 200:
                attempt.outcome = "given"
                return
            if answer.status == 409:
                attempt.outcome = "refused"
                return
            await asyncio.sleep(LATE_S)


class Racer(Admin):
    """Answers what others have taken: must always be refused."""

    async def step(self):
        answer = await self.ask("/admin/state")
        if answer.status != 200:
            return
        for entry in answer.body["queue"]:
            if entry["taken"] and not entry["mine"]:
                attempt = Attempt(entry["id"], self.name, f"{self.name} is faster", "doubtful")
                self.record.attempts.append(attempt)
                said = await self.ask("/admin/answer", {"id": entry["id"], "content": attempt.content})
                attempt.outcome = {200: "given", 409: "refused"}.get(said.status, "doubtful")
                return


class Bouncer(Admin):
    """Kicks somebody."""

    def __init__(self, *args, users):
        super().__init__(*args)
        self.users = users

    async def step(self):
        user = self.chance.choice(self.users)
        life = user.life
        if user.is_moving or user.kick_under_way or life is None or life.state != LOGGED_IN:
            return
        user.kick_under_way = True
        before = life.kick_begun  # of one whose outcome is not known
        life.kick_begun = before or self.browser.clock()
        self._note(life, before, await self.ask("/admin/kick", {"username": user.name}))
        user.kick_under_way = False

    def _note(self, life, before, answer):
        said = answer.body
        life.kicks.append(answer)
        if said.get("deleted"):
            for other in self.record.lives:
                other.deleted |= other.username == life.username and other.ended_at > 0
            life.deleted = True
        if answer.status == 200 and said["ended"] and not said["untold"]:
            self.record.kicks += 1
            life.state, life.ended_at = KICKED, answer.ended
        elif answer.status == 401 or said.get("done") is False or said.get("ended") == 0:
            life.kick_begun = before  # nothing was done
        else:
            self.record.kicks_in_doubt += 1


class Switcher(Admin):
    """Now people answer, now the program does."""

    def __init__(self, *args, share):
        super().__init__(*args)
        self.share = share  # of the time in which everything waits for a person

    async def step(self):
        name, on = ("ADMIN_MODE", self.chance.random() < self.share) if self.chance.random() < 0.8 else (
            "AI_AUTO_REPLY", self.chance.random() < 0.9)
        await self.ask("/admin/switch", {"name": name, "on": on})
