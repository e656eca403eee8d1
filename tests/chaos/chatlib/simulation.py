"""The course of one run: everybody logs in and chats; something is killed and comes back; the queue is
worked through; the rows are looked at."""

import asyncio
import dataclasses
import pickle
import statistics
import time

import redis
import shared

from . import judge
from .admin import Answerer, Bouncer, Racer, Switcher
from .record import LOGGED_IN, Facts, Final, Record, Row
from .site import Site
from .user import User

REQUESTS_PER_S = 100    # of all users together: two cores serve more, but not with much to spare
LEAST_THINK_S = 0.5
AT_ONCE = 32
LONGER_S = 90           # at most, until there was as much as is wanted


@dataclasses.dataclass
class Plan:
    setup: str = "b"
    affinity: bool = False
    users: int = 60
    outage_s: float = 5         # 0: nothing is killed
    before_s: float = 2         # after all have logged in
    after_s: float = 2          # at least
    least: dict = dataclasses.field(default_factory=dict)  # name → number of summary(): it goes on until then
    kick_every_s: float = 0.3
    drain_s: float = 180        # how long admins may take to work through what is left
    seed: int = 0
    app: str = "app:app"

    @property
    def answerers(self):
        return max(4, self.users // 80)

    @property
    def think_s(self):
        return max(LEAST_THINK_S, self.users / REQUESTS_PER_S)


class Simulation:
    def __init__(self, lab, plan, say=lambda text: None):
        self.plan, self.say = plan, say
        self.site = Site(lab, plan.setup, plan.affinity, plan.app)
        self.record = Record(Facts(plan.setup, plan.affinity))
        self.final = Final()
        port, record, seed = self.site.port, self.record, plan.seed
        self.users = [User(n, port, record, seed, plan.think_s) for n in range(plan.users)]
        self.answerers = [Answerer(f"admin-{n}", port, record, seed, 0.1)
                          for n in range(plan.answerers)]
        self.others = [Racer("racer", port, record, seed, 0.3), Switcher("switcher", port, record, seed, 1,
                                share=min(0.25, 15 / plan.users)),
                       Bouncer("bouncer", port, record, seed, self.plan.kick_every_s,
                               users=self.users)]

    def run(self):
        """Returns the complaints."""
        asyncio.run(self._course())
        self._look_at_rows()
        return judge.at_the_end(self.record, self.final)

    # --- the course --------------------------------------------------------------------------

    async def _course(self):
        no_more_talk, no_more_work = asyncio.Event(), asyncio.Event()
        talkers = [asyncio.create_task(who.run(no_more_talk)) for who in self.users + self.others]
        workers = [asyncio.create_task(who.run(no_more_work)) for who in self.answerers]
        await self._until(lambda: all(user.life for user in self.users), 60 + self.plan.think_s * 3,
                          "all have logged in")
        self.say(f"{len(self.users)} users have logged in")
        await asyncio.sleep(self.plan.before_s)
        if self.plan.outage_s:
            await self._fault()
        await asyncio.sleep(self.plan.after_s)
        await self._go_on_until_enough()
        no_more_talk.set()
        await asyncio.gather(*talkers)
        await self._drain()
        no_more_work.set()
        await asyncio.gather(*workers)
        await self._last_look()

    async def _fault(self):
        facts = self.record.facts
        facts.killed_app = 1 if self.plan.setup == "b" else 0
        server, postgres = self.site.servers[0], self.site.postgres
        facts.fault_at = time.monotonic()
        await asyncio.to_thread(server.kill9 if facts.killed_app else postgres.kill9)
        self.say("respgres 1 is killed" if facts.killed_app else "PostgreSQL is killed")
        await asyncio.sleep(self.plan.outage_s)
        await asyncio.to_thread(server.start if facts.killed_app else postgres.start)
        await self._until(self.site.are_online, 60, "all instances are online")
        facts.over_at = time.monotonic()
        self.say(f"all is online again after {facts.over_at - facts.fault_at:.1f} s")

    async def _go_on_until_enough(self):
        """On a slow machine it takes longer."""
        deadline = time.monotonic() + LONGER_S
        while any(self.summary()[name] < least for name, least in self.plan.least.items()):
            if time.monotonic() > deadline:
                return  # whoever asked for it will see
            await asyncio.sleep(0.2)

    async def _until(self, condition, timeout_s, what):
        deadline = time.monotonic() + timeout_s
        while not await asyncio.to_thread(condition):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s:.0f} s: {what}\n{self.site.logs()}")
            await asyncio.sleep(0.05)

    async def _drain(self):
        """The admins go on until nothing waits."""
        client = self.site.servers[-1].client()

        def is_empty():
            try:
                return client.get(shared.QUEUE) in (None, b"[]") and not any(
                    client.scan_iter(shared.UNSENT + "*", count=1000))
            except redis.ConnectionError:
                return False  # not in time: the machine is busy
        try:
            await self._until(is_empty, self.plan.drain_s, "the queue is empty")
        except AssertionError as error:
            self.record.complain(str(error).partition("\n")[0])

    async def _last_look(self):
        """What each user who is still logged in is shown now."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def look(user):
            async with gate:
                if user.life.state == LOGGED_IN:
                    shown = await user.look()
                    if shown is not None:
                        self.final.views[user.life.sid] = shown
                user.browser.close()
        await asyncio.gather(*(look(user) for user in self.users))

    # --- afterwards --------------------------------------------------------------------------

    def _look_at_rows(self):
        final, database = self.final, self.site.database
        self.record.facts.merges = self.site.merges()
        for key, username, active, messages in database.execute(
                "SELECT key, username, session_active, messages FROM respgres.sessions"
                " WHERE username IS NOT NULL"):
            final.sessions[key] = Row(username, active, messages or [])
        for key, value in database.execute("SELECT key, value FROM respgres.conflicts"
                                           " WHERE value IS NOT NULL"):
            key = bytes(key).decode()
            if key.startswith("session:"):
                final.conflicts.setdefault(key, []).append(pickle.loads(bytes(value)))
        client = redis.Redis.from_url(self.site.servers[-1].url())
        store = shared.Shared(client)
        final.queue = store.queue()
        final.unsent = list(client.scan_iter(shared.UNSENT + "*", count=1000))
        ids = {attempt.message_id for attempt in self.record.attempts} | set(self.record.queued)
        final.answers = {i: a["content"] for i, a in store.answers(sorted(ids)).items()}

    def summary(self):
        """name → number, in the order to be shown."""
        record, slow = self.record, sorted(self.record.slow)
        given = sum(attempt.outcome == "given" for attempt in record.attempts)
        numbers = {
            "requests": record.requests,
            "sessions": len(record.lives),
            "messages acknowledged": sum(len(life.acknowledged) for life in record.lives),
            "log-outs": record.logouts,
            "kicks": record.kicks,
            "waited for a person": len(record.queued),
            "answers given": given,
            "answers refused": sum(a.outcome == "refused" for a in record.attempts),
            "errors": len(record.errors),
            "outage, s": round(record.facts.over_at - record.facts.fault_at, 1),
            "median, ms": round(statistics.median(slow) * 1000),
            "99 %, ms": round(slow[int(len(slow) * 0.99)] * 1000),
            "longest, ms": round(slow[-1] * 1000),
        }
        if record.facts.is_loose:
            reads = max(record.reads_in_fault, 1)
            numbers |= {"reads in the outage": record.reads_in_fault,
                        "stale, %": round(100 * record.stale / reads, 1),
                        "missing, %": round(100 * record.missing / reads, 1),
                        "sessions with conflicts": len(self.final.conflicts),
                        "messages only there": record.beside,
                        "messages overwritten": record.overwritten}
        return numbers
