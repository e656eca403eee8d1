"""What happens in the scenario of a seed: which fault of PostgreSQL, what is done to respgres meanwhile,
with which options. The first seeds go through all single faults and then through the combinations
that matter most; the others are drawn."""

import dataclasses
import random

from .faults import OF_POSTGRES

# What is done to an instance, and when: kill -9 or SIGSTOP. "down" is a kill after which it is
# started again only when the outage is over.
DEEDS = ("kill", "stop", "down", "term")
WHEN = ("online", "away", "journal", "merging", "compacting")


@dataclasses.dataclass
class Plan:
    seed: int
    fault: str = "nothing"
    duration_s: float = 1.1
    deeds: tuple = ()                 # of (deed, when, instance)
    again: bool = False               # the fault comes back as soon as the merge begins
    fallback: str = "on"
    journal_fsync: str = "everysec"
    consistency: str = "strict"
    journal_full: bool = False        # dir is on a disk that is full after a while
    clock: int = 0                    # seconds that the host's clock of instance 0 is moved by
    large_values: bool = False
    collections: bool = False         # lists, hashes, sets and sorted sets, or strings
    scripts: bool = False             # the same and strings, much of it in scripts
    waits: bool = False               # the same, and clients that wait for what is pushed
    slow_disk: bool = False           # PostgreSQL's, at times

    def __str__(self):
        parts = [self.fault]
        parts += [f"{deed}-{instance}-{when}" for deed, when, instance in self.deeds]
        parts += ["again"] * self.again + ["journal-full"] * self.journal_full
        parts += [f"clock{self.clock:+d}"] * bool(self.clock) + ["large"] * self.large_values
        parts += ["collections"] * self.collections + ["scripts"] * self.scripts
        parts += ["waits"] * self.waits
        parts += ["slow-disk"] * self.slow_disk
        parts += [self.fallback] * (self.fallback != "on")
        parts += [f"fsync-{self.journal_fsync}"] * (self.journal_fsync != "everysec")
        parts += [self.consistency] * (self.consistency != "strict")
        return "+".join(parts)


def _chosen():
    """The scenarios of tools/test, as seeds 1, 2, 3 …"""
    for fault in OF_POSTGRES:
        if fault != "nothing":
            yield {"fault": fault}
    for when in ("online",):
        yield {"deeds": (("kill", when, 0),)}
        yield {"deeds": (("stop", when, 0),)}
    outages = ("kill", "freeze", "blackhole", "unreachable")
    for number, when in enumerate(("away", "journal", "merging", "compacting")):
        yield {"fault": outages[number], "deeds": (("kill", when, 0),)}
        yield {"fault": outages[number - 1], "deeds": (("stop", when, 1),)}
        yield {"fault": outages[number - 2], "deeds": (("kill", when, 0), ("kill", when, 1))}
    yield {"fault": "kill", "deeds": (("down", "away", 0),)}
    yield {"fault": "freeze", "deeds": (("term", "away", 0),)}
    yield {"fault": "kill", "deeds": (("down", "online", 0), ("kill", "away", 1))}
    yield {"fault": "freeze", "deeds": (("kill", "away", 0), ("kill", "merging", 0))}
    yield {"fault": "kill", "again": True}
    yield {"fault": "freeze", "again": True, "deeds": (("kill", "merging", 0),)}
    yield {"fault": "blackhole-one", "deeds": (("kill", "away", 0),)}
    yield {"fault": "unreachable-one", "deeds": (("kill", "merging", 0),)}
    yield {"fault": "failover", "deeds": (("kill", "away", 0),)}
    yield {"fault": "disk-full", "deeds": (("kill", "away", 0),)}
    yield {"fault": "read-only", "deeds": (("kill", "away", 1),)}
    for fsync in ("always", "no"):
        yield {"fault": "kill", "journal_fsync": fsync}
        yield {"fault": "freeze", "journal_fsync": fsync, "deeds": (("kill", "journal", 0),)}
    for fallback in ("readonly", "off"):
        yield {"fault": "kill", "fallback": fallback}
        yield {"fault": "freeze", "fallback": fallback, "deeds": (("kill", "online", 0),)}
    yield {"fault": "kill", "journal_full": True, "large_values": True}
    yield {"fault": "blackhole", "journal_full": True, "large_values": True,
           "deeds": (("kill", "away", 0),)}
    yield {"fault": "kill", "clock": 3600}
    yield {"fault": "freeze", "clock": -3600}
    yield {"fault": "kill", "clock": -3600, "deeds": (("kill", "away", 0),)}
    yield {"fault": "kill", "large_values": True}
    yield {"fault": "kill", "consistency": "cached"}
    yield {"fault": "blackhole-one", "consistency": "cached"}
    yield {"fault": "slow", "deeds": (("stop", "online", 1),)}
    for chosen in (
            {"fault": "kill"}, {"fault": "freeze", "deeds": (("kill", "away", 0),)},
            {"fault": "blackhole", "deeds": (("kill", "merging", 0), ("kill", "merging", 1))},
            {"fault": "unreachable-one", "deeds": (("stop", "away", 0),)},
            {"fault": "kill", "deeds": (("kill", "compacting", 0),), "large_values": True},
            {"fault": "failover"}, {"fault": "freeze", "again": True, "clock": 3600},
            {"fault": "blackhole-one", "consistency": "cached", "deeds": (("kill", "online", 1),)}):
        yield {"collections": True, **chosen}
    yield {"scripts": True, "fault": "freeze", "deeds": (("kill", "away", 0),)}
    yield {"scripts": True, "fault": "blackhole-one", "deeds": (("kill", "online", 1),)}
    yield {"waits": True, "fault": "freeze", "deeds": (("kill", "away", 0),)}
    yield {"slow_disk": True, "fault": "kill", "consistency": "cached"}
    yield {"slow_disk": True, "fault": "freeze", "deeds": (("kill", "merging", 0),), "collections": True}


CHOSEN = tuple(_chosen())


def plan(seed):
    if 1 <= seed <= len(CHOSEN):
        return Plan(seed, **CHOSEN[seed - 1])
    chance = random.Random(f"plan/{seed}")
    fault = chance.choice(sorted(OF_POSTGRES))
    deeds = [(chance.choice(DEEDS), chance.choice(WHEN), chance.randrange(2))
             for _ in range(chance.choice((0, 0, 1, 1, 1, 2)))]
    return Plan(
        seed, fault, round(chance.uniform(0.1, 1.5), 2), tuple(deeds),
        again=chance.random() < 0.2 and fault != "failover",  # there is one standby
        fallback=chance.choice(("on",) * 10 + ("readonly", "off")),
        journal_fsync=chance.choice(("always", "everysec", "everysec", "no")),
        consistency=chance.choice(("strict", "strict", "cached")),
        journal_full=chance.random() < 0.08,
        clock=chance.choice((0,) * 12 + (3600, -3600)),
        large_values=chance.random() < 0.15,
        **_clients(chance),
        slow_disk=chance.random() < 0.15 and fault != "failover")  # that one has a PostgreSQL of its own


def _clients(chance):
    collections = chance.random() < 0.4
    kind = chance.choices(("scripts", "waits", "collections" if collections else ""), (25, 15, 60))[0]
    return {kind: True} if kind else {}
