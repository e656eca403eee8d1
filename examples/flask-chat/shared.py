"""What all processes of the app share beside the sessions: two switches, the queue of messages that
wait for a person, and the answers. All of it are keys of respgres; there is no SQL here.

  global_state:ADMIN_MODE           true: people answer, not the program
  global_state:AI_AUTO_REPLY        true: the program answers what people do not
  global_state:MANUAL_REPLY_QUEUE   JSON list of entries, the oldest first
  chat:answer:<id>                  the one answer to the message <id>
  chat:unsent:<id>                  an entry that could not be put into the queue yet

The queue is one key, changed under WATCH and MULTI: who comes second begins again with what the first
has left. An entry leaves the queue in the transaction that writes its answer, and is put in only
where neither the queue nor an answer has its id. So each step may be repeated after an error whose
outcome is unknown, and still a message is answered once.
"""

import json
import random
import threading
import time

import redis

SWITCHES = {"ADMIN_MODE": False, "AI_AUTO_REPLY": True}  # with what they are before anybody set them
STATE = "global_state:"
QUEUE = STATE + "MANUAL_REPLY_QUEUE"
ANSWER = "chat:answer:"
UNSENT = "chat:unsent:"
KEEP_S = 7 * 86400      # answers and unsent entries; longer than any session lives
LEASE_S = 120           # how long an entry is kept for the admin who took it
PATIENCE_S = 10         # of admins, until the queue could be changed
USERS_PATIENCE_S = 0.3  # beyond it a message is kept for `collect`, so that nobody waits for the queue
QUEUE_MOST = 5000


class Busy(Exception):
    """Others were in between too often."""


class Gone(Exception):
    """The entry is not there for this admin: answered, or taken by another."""


def _loads(value, default):
    return default if value is None else json.loads(value)


class Shared:
    def __init__(self, client):
        self.redis = client
        # Threads of one process need not race each other for the queue; processes do.
        self._turn = threading.Lock()

    # --- switches ----------------------------------------------------------------------------

    def switches(self):
        values = self.redis.mget([STATE + name for name in SWITCHES])
        return {name: bool(_loads(value, SWITCHES[name])) for name, value in zip(SWITCHES, values)}

    def switch(self, name, on):
        self.redis.set(STATE + name, json.dumps(bool(on)))

    # --- the queue ---------------------------------------------------------------------------

    def queue(self):
        return _loads(self.redis.get(QUEUE), [])

    def enqueue(self, entry):
        """The entry is in the queue, or kept until `collect` puts it there."""
        try:
            self._put([entry], USERS_PATIENCE_S)
        except (redis.RedisError, Busy):
            # Many write at once; or PostgreSQL is away: then the queue is read-only, so that instances
            # which do not hear of each other cannot hand out one message twice. A key of the entry's
            # own is nobody else's.
            self.redis.set(UNSENT + entry["id"], json.dumps(entry), ex=KEEP_S)

    def collect(self):
        """Puts into the queue what could not be before. Several may do this at once."""
        keys = list(self.redis.scan_iter(match=UNSENT + "*", count=1000))
        if keys:
            found = [json.loads(value) for value in self.redis.mget(keys) if value is not None]
            self._put(sorted(found, key=lambda entry: entry["at"]), PATIENCE_S)
            self.redis.delete(*keys)

    def _put(self, entries, patience_s):
        answers = [ANSWER + entry["id"] for entry in entries]

        def step(pipe):
            waiting = _loads(pipe.get(QUEUE), [])
            known = {entry["id"] for entry in waiting}
            new = [entry for entry, answer in zip(entries, pipe.mget(answers))
                   if answer is None and entry["id"] not in known]
            if len(waiting) + len(new) > QUEUE_MOST:
                raise Busy
            if new:
                pipe.multi()
                pipe.set(QUEUE, json.dumps(waiting + new))
        if entries:
            self._change([QUEUE, *answers], step, patience_s)

    def take(self, admin):
        """The oldest entry that nobody has, now this admin's; the one that is the admin's already;
        None if there is none."""
        def step(pipe):
            waiting, now = _loads(pipe.get(QUEUE), []), time.time()
            for entry in waiting:
                if entry.get("taken_by") == admin:
                    return entry
            for entry in waiting:
                if not is_taken(entry, now):
                    entry.update(taken_by=admin, taken_until=now + LEASE_S)
                    pipe.multi()
                    pipe.set(QUEUE, json.dumps(waiting))
                    return entry
            return None
        return self._change([QUEUE], step)

    def give_back(self, admin, message_id):
        def step(pipe):
            waiting = _loads(pipe.get(QUEUE), [])
            for entry in waiting:
                if entry["id"] == message_id and entry.get("taken_by") == admin:
                    del entry["taken_by"], entry["taken_until"]
                    pipe.multi()
                    pipe.set(QUEUE, json.dumps(waiting))
        self._change([QUEUE], step)

    def answer(self, admin, name, message_id, content):
        """Answers an entry that this admin has taken."""
        given = {"by": name, "admin": admin, "content": content}

        def step(pipe):
            waiting = _loads(pipe.get(QUEUE), [])
            rest = [e for e in waiting if not (e["id"] == message_id and e.get("taken_by") == admin)]
            if len(rest) == len(waiting):
                there = _loads(pipe.get(ANSWER + message_id), {})
                if {name: there.get(name) for name in given} == given:
                    return  # it was us, the reply of the first try was lost
                raise Gone
            pipe.multi()
            pipe.set(QUEUE, json.dumps(rest))
            pipe.set(ANSWER + message_id, json.dumps({**given, "at": time.time()}), ex=KEEP_S)
        self._change([QUEUE, ANSWER + message_id], step)

    def answers(self, message_ids):
        """id → answer, of those that have one."""
        if not message_ids:
            return {}
        values = self.redis.mget([ANSWER + message_id for message_id in message_ids])
        return {message_id: json.loads(value)
                for message_id, value in zip(message_ids, values) if value is not None}

    def _change(self, keys, step, patience_s=PATIENCE_S):
        """`step` reads through the pipe, then calls multi() and writes; again if somebody was faster,
        or if the connection was lost (then it is not known whether it was done)."""
        deadline = time.monotonic() + patience_s
        if not self._turn.acquire(timeout=patience_s):
            raise Busy
        try:
            with self.redis.pipeline() as pipe:
                while True:
                    try:
                        pipe.watch(*keys)
                        result = step(pipe)
                        if pipe.command_stack:
                            pipe.execute()
                        return result
                    except redis.WatchError:
                        pipe.reset()
                        if time.monotonic() > deadline:
                            raise Busy from None
                        time.sleep(random.uniform(0, 0.01))
        finally:
            self._turn.release()


def is_taken(entry, now):
    return "taken_by" in entry and entry["taken_until"] > now
