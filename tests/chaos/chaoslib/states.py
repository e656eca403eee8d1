"""What the instances say of themselves: INFO, asked again and again on connections of their own."""

import re
import threading

from .record import now

EVERY_S = 0.02


class States:
    def __init__(self, servers):
        self.servers = servers
        self.samples = {n: [] for n in range(len(servers))}  # of (asked, answered, state or None)
        self._raws, self._locks = {}, {n: threading.Lock() for n in range(len(servers))}
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(n,), daemon=True)
                         for n in range(len(servers))]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._ending.set()
        for thread in self._threads:
            thread.join()
        for raw in self._raws.values():
            raw.close()
        self._raws = {}

    def command(self, instance, *words):
        """The reply, None if there is none."""
        with self._locks[instance]:
            try:
                if instance not in self._raws:
                    self._raws[instance] = self.servers[instance].raw(timeout=2)
                return self._raws[instance].command(*words)
            except (OSError, KeyError):
                if instance in self._raws:
                    self._raws.pop(instance).close()
                return None

    def info(self, instance):
        """INFO's fields, None while it doesn't answer."""
        reply = self.command(instance, "INFO", "postgres")
        return reply and dict(re.findall(r"^(\w+):(.*?)\r?$", reply.decode(errors="replace"),
                                         re.MULTILINE))

    def ask(self, instance):
        asked = now()
        info = self.info(instance)
        state = info and (info.get("store_state") or info.get("postgres_state"))
        self.samples[instance].append((asked, now(), state))
        return state

    def last(self, instance):
        return self.samples[instance][-1][2] if self.samples[instance] else None

    def windows(self, state):
        """instance → (from, to) in which each answer was this state."""
        found = {}
        for instance, samples in self.samples.items():
            found[instance] = windows = []
            since = last = None
            for asked, answered, said in sorted(samples):
                if said != state:
                    if since is not None and last > since:
                        windows.append((since, last))
                    since = None
                    continue
                since, last = since or answered, asked
            if since is not None and last > since:
                windows.append((since, last))
        return found

    def around(self, state):
        """instance → (from, to) in which it may have been so: to the answers before and behind that say
        otherwise."""
        found = {}
        for instance, samples in self.samples.items():
            samples, found[instance] = sorted(samples), []
            for i, (_, _, said) in enumerate(samples):
                if said != state:
                    continue
                before, behind = samples[max(i - 1, 0)][0], samples[min(i + 1, len(samples) - 1)][1]
                if found[instance] and before <= found[instance][-1][1]:
                    before = found[instance].pop()[0]
                found[instance].append((before, behind))
        return found

    def said(self, state):
        """instance → (asked, answered) of each answer that was this state."""
        return {instance: [(asked, answered) for asked, answered, said in samples if said == state]
                for instance, samples in self.samples.items()}

    def journal_left(self, instance):
        """What INFO says of a journal that isn't empty."""
        info = self.info(instance) or {}
        return [f"instance {instance}: {name} is {info[name]}" for name in ("journal_keys",)
                if int(info.get(name, 0))]

    def _watch(self, instance):
        while not self._ending.wait(EVERY_S):
            self.ask(instance)
