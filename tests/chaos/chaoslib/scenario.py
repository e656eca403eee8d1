"""One scenario from its plan: two instances, clients, faults, and the final look."""

import contextlib
import pathlib
import random
import re
import time

from harness import Proxy, wait_until
from harness.machine import Machine
from harness.replies import bulks
from harness.servers import Respgres
from harness.util import make_temp_dir, remove_tree, tail

from . import faults, verify
from .faults import Unavailable, sleep_until
from .plan import plan
from .record import Conflict, Facts, Final, History, Row, now
from .states import States
from .values import READS, decode, from_reply
from .verify_collections import kind_of
from .workload import Load, bulk, number
from .workload_collections import CollectionResident, CollectionRoamer
from .workload_scripts import ScriptResident, ScriptRoamer, load_scripts
from .workload_waits import WaitResident, WaitRoamer

PG_TIMEOUT_S = 0.2
WARM_S = 0.4           # of load before anything breaks
AFTER_S = 0.3          # of load after everything is whole
SETTLE_S = 2 * PG_TIMEOUT_S + 0.1  # after the beginning of an outage: until nothing is under way
SHUTDOWN_S = 3         # with PostgreSQL away, and something in flight that is not journalled
BACK_S = 30            # until all are online and have merged
CACHED_MAX_LAG_S = 0.3  # with consistency cached
WARM_SLACK_S = 0.01  # a file's time is the kernel's last tick
LOOKS = 4              # at most
SLOW_PERMILLE, SLOW_MS = 60, 300  # of a slow disk's syncs, and how long one takes at most
USUAL_S = 0.1  # a command may take, of a sanitized build, two instances and all clients on two cores
INSTANCES = (0, 1)


class Scenario:
    """`ground` has the PostgreSQL that scenarios of this process share. run() returns a Result."""

    def __init__(self, seed, ground, say=lambda text: None):
        self.plan = plan(seed)
        self.ground, self._say = ground, say
        self.chance = random.Random(f"scenario/{seed}")
        self.history = History()
        self.facts = Facts(PG_TIMEOUT_S)
        self.final = Final()
        self.dir = make_temp_dir()
        self.servers, self.proxies, self._cleanup = [], [], contextlib.ExitStack()
        self.clock = self.machine = self.states = self.load = None
        self._begun = now()

    def run(self):
        try:
            self._build()
            self._play()
            self._look()
        except Unavailable as reason:
            return Result(self, skipped=str(reason))
        except Exception as error:  # the next scenario must go on
            self.final.problems.append(f"the scenario broke off: {first_line(str(error) or repr(error))}")
        finally:
            self._tear_down()
        self._excuse()
        return Result(self)

    def say(self, text):
        self._say(f"{now() - self._begun:7.3f}  {text}")

    # --- what there is --------------------------------------------------------------------------

    def _build(self):
        fault = faults.OF_POSTGRES[self.plan.fault]
        self.pair = self.ground.pair() if "standby" in fault.needs else None
        self.postgres = self.pair.primary if self.pair else self.ground.postgres()
        self.tablespace = None
        options = {}
        if "tablespace" in fault.needs:
            disk = faults.SmallDisk(16 * 1024, self.postgres.owner)
            self._cleanup.callback(disk.remove)
            self.tablespace = disk.path
            options["tablespace"] = disk.path
        self.database = self.ground.database(self.postgres, **options)
        self._cleanup.callback(self.ground.drop, self.database)
        if self.plan.slow_disk:
            self.ground.disk.begin(SLOW_PERMILLE, SLOW_MS)
            self._cleanup.callback(self.ground.disk.end)
        self.fault = fault(self)
        for instance in INSTANCES:
            self._add_server(instance)
        self.servers[0].start(timeout=30)  # it makes the schema
        self.servers[1].start(timeout=30)
        self.machine = Machine(self.dir).start()
        self.machine.follow_children(lambda: self.postgres.process and self.postgres.process.pid)
        self._cleanup.callback(self.machine.stop)
        self.states = States(self.servers)
        self._cleanup.callback(self.states.stop)
        for instance, server in enumerate(self.servers):
            self.facts.starts[instance] = [float("-inf")]
            self.machine.follow(instance, server.pid)
        self.wait_for_state("online", 20)

    def _add_server(self, instance):
        options = {"pg-timeout": round(PG_TIMEOUT_S * 1000), "instance-name": f"instance-{instance}",
                   "shutdown-timeout": SHUTDOWN_S, "consistency": self.plan.consistency}
        if self.plan.consistency == "cached":
            options["cached-max-lag"] = round(CACHED_MAX_LAG_S * 1000)
        if self.ground.has_fallback:
            options.update({"dir": self._journal_dir(instance), "fallback": self.plan.fallback,
                            "journal-fsync": self.plan.journal_fsync})
        server = Respgres(self._url(), options)
        if self.plan.clock and instance == 0:
            self.clock = faults.WrongClock(server.dir)
            self.clock.wear(server)
        self.servers.append(server)

    def _journal_dir(self, instance):
        if self.plan.journal_full and instance == 0:
            self.small_disk = faults.SmallDisk(256)
            self._cleanup.callback(self.small_disk.remove)
            return self.small_disk.path
        folder = self.dir / f"journals-{instance}"
        folder.mkdir()
        return folder

    def _url(self):
        if self.pair:
            return self.pair.url(self.database)
        proxy = Proxy(("127.0.0.1", self.postgres.port))
        self._cleanup.callback(proxy.close)
        self.proxies.append(proxy)
        return self.database.url_by(port=proxy.port)

    # --- what faults ask for ----------------------------------------------------------------------

    def terminate_backends(self):
        self.postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname"
                              " = %s AND backend_type = 'client backend'", self.database.name)

    def limit_connections(self, most):
        self.postgres.execute(f'ALTER ROLE "{self.database.role}" CONNECTION LIMIT {most}')

    def fail_over(self):
        self.postgres = self.pair.fail_over()
        self.database.postgres = self.postgres

    # --- the play -----------------------------------------------------------------------------------

    def _play(self):
        if self.plan.scripts:
            load_scripts(self.servers)
        self.load = Load(self.history, {n: s.port for n, s in enumerate(self.servers)},
                         self.plan.seed, sizes=(3000, 6000) if self.plan.large_values else
                         (10, 10, 60, 300), classes=self._classes())
        self._cleanup.callback(self.load.stop)
        sleep_until(now() + WARM_S)
        self._do("online")
        if self.clock:
            self.clock.set(self.plan.clock)
            self.say(f"the clock of instance 0 is moved by {self.plan.clock} s")
        self._outage(self.plan.duration_s)
        if self.plan.again:
            self._when_it_is_back()
            self._outage(0.4, deeds=False)
        self._do("merging")
        for proxy in self.proxies:
            proxy.delay(0)
        self._start_those_down()
        sleep_until(now() + AFTER_S)
        self.wait_for_state("online", BACK_S)
        self._end_trouble()
        sleep_until(now() + 0.1)
        self.load.stop()
        self.say("all are online")

    def _classes(self):
        if self.plan.scripts:
            return ScriptResident, ScriptRoamer
        if self.plan.waits:
            return WaitResident, WaitRoamer
        return (CollectionResident, CollectionRoamer) if self.plan.collections else None

    def _outage(self, duration_s, deeds=True):
        concerned = INSTANCES if self.fault.instances is None else self.fault.instances
        begun = now()
        self.say(f"{self.plan.fault} begins")
        for instance in concerned:
            self.facts.trouble.setdefault(instance, []).append([begun, float("inf")])
        self.fault.begin()
        broken = now()
        if deeds:
            self._do("journal")
            self._do("away")
            self._do("compacting")
        sleep_until(broken + duration_s)
        if any(when == "merging" for _, when, _ in self.plan.deeds):
            for proxy in self.proxies:
                proxy.delay(0.01)  # so that there is a time in which it merges
        ended = now()
        self.fault.end()
        self.say(f"{self.plan.fault} has ended")
        if self.fault.hard and ended > broken + SETTLE_S:
            for instance in concerned:
                self.facts.cut_off.setdefault(instance, []).append((broken + SETTLE_S, ended))

    def _when_it_is_back(self):
        """As soon as an instance begins to merge, or the outage is over for it."""
        limit = now() + 3
        while now() < limit and all(self.states.ask(n) in ("away", None) for n in INSTANCES):
            time.sleep(0.002)

    def _do(self, when):
        for deed, moment, instance in self.plan.deeds:
            if moment == when and self.servers[instance].is_running():
                self._wait_for_moment(when, instance)
                self.say(f"{deed} of instance {instance} when {when}, it is "
                         f"{self.states.last(instance)}")
                getattr(self, f"_{deed}")(instance)

    def _wait_for_moment(self, when, instance):
        if when == "journal":
            time.sleep(self.chance.uniform(0, 3 * PG_TIMEOUT_S))
        elif when in ("away", "compacting"):
            limit = now() + 2 * PG_TIMEOUT_S + 0.2
            while now() < limit and self.states.ask(instance) != "away":
                time.sleep(0.005)
            time.sleep(self.chance.uniform(0, 0.3))
            if when == "compacting":
                self.states.command(instance, "BGREWRITEAOF")
                time.sleep(self.chance.choice((0, 0.001, 0.003, 0.01, 0.03)))
        elif when == "merging":
            limit = now() + 3
            while now() < limit and self.states.ask(instance) in ("away", None):
                time.sleep(0.002)
            time.sleep(self.chance.choice((0, 0, 0.01, 0.03)))

    def _kill(self, instance):
        begun = now()
        self.servers[instance].kill9()
        self._start(instance, begun)

    def _term(self, instance):
        begun = now()
        status = self.servers[instance].sigterm(20)
        excused = re.search("event=(not-merged|shutdown-timeout)", self.servers[instance].log)
        if status != 0 and not excused:
            self.final.problems.append(f"instance {instance} ended with {status}")
        self._start(instance, begun)

    def _down(self, instance):
        self.facts.silent.setdefault(instance, []).append([now(), float("inf")])
        self.servers[instance].kill9()

    def _start_those_down(self):
        for instance, server in enumerate(self.servers):
            if not server.is_running():
                self._start(instance, self.facts.silent[instance].pop()[0])

    def _start(self, instance, down_since):
        time.sleep(self.chance.choice((0, 0, 0.1)))
        server = self.servers[instance]
        begun = now()
        self.facts.starts[instance].append(begun)
        for path in pathlib.Path(server.options.get("dir", self.dir)).glob("*/warm"):
            written = path.stat().st_mtime - time.time() + begun
            self.facts.warm.setdefault(instance, {})[begun] = written + WARM_SLACK_S
        self.facts.trouble.setdefault(instance, []).append([down_since, float("inf")])
        server.start("answering", timeout=20)
        self.machine.follow(instance, server.pid)
        self.facts.silent.setdefault(instance, []).append([down_since, now()])
        self.say(f"instance {instance} is there again")

    def _stop(self, instance):
        begun = now()
        server = self.servers[instance]
        server.signal(19)
        time.sleep(self.chance.choice((0.05, 0.5, 1.0)))
        server.signal(18)
        # What PostgreSQL answered meanwhile looks late.
        self.facts.silent.setdefault(instance, []).append([begun, now() + 2 * PG_TIMEOUT_S])
        self.facts.trouble.setdefault(instance, []).append([begun, float("inf")])

    def wait_for_state(self, state, timeout):
        for instance in INSTANCES:
            wait_until(lambda n=instance: self.states.ask(n) == state, timeout,
                       f"instance {instance} is {state}, it is {self.states.last(instance)}")

    def _end_trouble(self):
        for windows in self.facts.trouble.values():
            for window in windows:
                window[1] = min(window[1], now())

    # --- the final look -------------------------------------------------------------------------------

    def _look(self):
        """While all are online, that is: PostgreSQL may be slow for a moment, and what an instance then
        says of others' keys is old."""
        keys = sorted({op.key for op in self.history.ops})
        for _ in range(LOOKS):
            self.wait_for_state("online", BACK_S)
            before = self._outages()
            if self.plan.consistency == "cached":
                time.sleep(CACHED_MAX_LAG_S)
            rows = rows_of(self.database)
            self._look_once(keys)
            if self._outages() == before and set(self.final.states.values()) == {"online"} \
                    and not was_written(rows, self.final.rows):
                break
            self.say("an instance was away meanwhile, or something was still on its way: once more")
        self.final.looked = True

    def _outages(self):
        return [(self.states.info(n) or {}).get("store_outages") for n in INSTANCES]

    def _look_once(self, keys):
        self.final.left_over = []
        for instance, server in enumerate(self.servers):
            self.final.replies[instance] = ask_all(server, keys)
        self.facts.one_snapshot = now()
        self.final.rows = rows_of(self.database)
        self.facts.rows_read = now()
        self.final.conflicts = conflicts_of(self.database)
        for instance in INSTANCES:
            self.final.left_over += self.states.journal_left(instance)
            self.final.states[instance] = self.states.ask(instance)

    def _excuse(self):
        if self.machine:
            for timing in self.history.timings:
                timing.allowance = USUAL_S + self.machine.held_up(
                    timing.instance, timing.begun, timing.ended)
            for failure in self.history.failures:
                window = failure.at - PG_TIMEOUT_S, failure.at
                failure.held_up = self.machine.held_up(failure.instance, *window) \
                    + self.machine.child_held_up(*window)
        self.facts.slow = self.plan.fault == "slow" or self.plan.slow_disk
        self.facts.errors_expected = (not self.ground.has_fallback or self.plan.fallback != "on"
                                      or self.plan.journal_full)

    def _tear_down(self):
        if self.states:
            self.states.stop()
            self.facts.away, self.facts.online = self.states.windows("away"), self.states.said("online")
            self.facts.may_be_away = self.states.around("away")
        if self.load:
            self.load.stop()
        self.ground.postgres_goes_on()
        for instance, server in enumerate(self.servers):
            if server.is_running():
                server.signal(18)
            self.final.problems += [f"instance {instance}: {first_line(text)}" for text in server.finish()]
        self.logs = [(f"instance {n}", tail(s.log_path, 80)) for n, s in enumerate(self.servers)]
        try:
            self._cleanup.close()
        except Exception as error:
            self.final.problems.append(f"tearing down: {error!r}")
        for server in self.servers:
            server.remove()
        if self.pair:
            self.pair.remove()
        remove_tree(self.dir)

    pair = None


class Result:
    def __init__(self, scenario, skipped=""):
        self.seed, self.name, self.skipped = scenario.plan.seed, str(scenario.plan), skipped
        self.complaints = [] if skipped else verify.check(scenario.history, scenario.facts,
                                                          scenario.final)
        self.logs = getattr(scenario, "logs", []) + told(self.complaints, scenario)
        history, facts = scenario.history, scenario.facts
        self.summary = {
            "operations": len(history.ops), "unknown": history.count("unknown"),
            "refused": history.count("refused"), "errors": len(history.failures),
            "conflicts": len(scenario.final.conflicts),
            "away_ms": round(1000 * sum(b - a for w in facts.away.values() for a, b in w)),
            "slowest_ms": round(1000 * max((t.ended - t.begun for t in history.timings
                                            if not any(a <= t.ended and t.begun <= b for a, b in
                                                       facts.silent.get(t.instance, ()))),
                                           default=0)),
            "seconds": round(now() - scenario._begun, 1)}

    def as_json(self):
        return {"seed": self.seed, "name": self.name, "skipped": self.skipped,
                "complaints": self.complaints, "summary": self.summary, "logs": self.logs}


def told(complaints, scenario):
    """(title, text): the story of each key that a complaint begins with."""
    stories, histories = [], scenario.history.by_key()
    for key in sorted({text.partition(": ")[0].encode() for text in complaints} & set(histories)):
        lines = [f"{op.begun:.4f}-{op.ended:.4f} {op.client} instance {op.instance} {op.kind} "
                 f"value={verify.short(op.command or op.value)} ttl={op.ttl} {op.outcome} "
                 f"reply={verify.short(op.told or op.reply)}" for op in histories[key]]
        lines.append(f"row: {scenario.final.rows.get(key)}")
        lines += [f"{c.lost} lost, {c.reason}: {verify.short(c.value)}" for c in scenario.final.conflicts
                  if c.key == key]
        stories.append((key.decode(), "\n".join(lines)))
    facts = scenario.facts
    windows = [f"{name}: {getattr(facts, name)}" for name in
               ("starts", "cut_off", "silent", "trouble", "away", "may_be_away")]
    return stories + [("what is certain", "\n".join(windows))]


# --- reading what there is -----------------------------------------------------------------------------

def ask_all(server, keys):
    """key → (value, TTL, when) as this server says."""
    found = {}
    with server.raw(timeout=20) as raw:
        for key in keys:
            kind = kind_of(key)
            read = ("GET", key) if kind is None else (READS[kind][0], key, *READS[kind][1:])
            value, ttl = patiently(raw, *read), patiently(raw, "TTL", key)
            if ttl == b":-2\r\n":
                value = patiently(raw, *read)  # it may have expired in between
            if value.startswith(b"-") or ttl.startswith(b"-"):
                found[key] = (value + ttl, None, now())
            else:
                said = bulk(value) if kind is None else from_reply(kind, list(map(bulk, bulks(value))))
                found[key] = (said, number(ttl), now())
    return found


def patiently(raw, *command):
    """Again, where PostgreSQL is slower than pg-timeout for a moment."""
    for _ in range(20):
        reply = raw.command(*command)
        if not reply.startswith(b"-LOADING PostgreSQL did not answer in time"):
            break
    return reply


def rows_of(database):
    offset = time.time() - now()
    return {bytes(key): Row(decode(type_, bytes(value)), None if expires is None else expires - offset)
            for key, type_, value, expires in database.execute(
                "SELECT key, type, value, extract(epoch FROM expires_at)::float8"
                " FROM respgres.entries JOIN respgres.spaces USING (space)"
                " WHERE db = 0 AND value IS NOT NULL AND active"
                " AND (expires_at IS NULL OR expires_at > clock_timestamp())")}


def was_written(before, after):
    """Whether a key came or changed between two looks, or went that has no expiry."""
    return any(key not in before or before[key].value != row.value for key, row in after.items()) or any(
        key not in after and row.expires_at is None for key, row in before.items())


def conflicts_of(database):
    if database.execute("SELECT to_regclass('respgres.conflicts')") == [(None,)]:
        return []
    return [Conflict(bytes(key), None if value is None else decode(type_, bytes(value)), lost, str(reason))
            for key, type_, value, lost, reason in database.execute(
                "SELECT key, type, value, lost, reason FROM respgres.conflicts")]


def first_line(text):
    return text.partition("\n")[0]
