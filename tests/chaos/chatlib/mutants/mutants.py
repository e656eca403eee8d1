"""The chat with one fault each: the judge must find it. gunicorn is given "mutants:NAME()"."""

import itertools

import app as chat  # before admin, which needs it
import admin
import redis
from flask import jsonify, session
from shared import Shared

every = itertools.count(1)


def healthy():
    return chat.app


def ignores_kicks():
    """The admin is told that somebody has been kicked."""
    admin.people.end = lambda username: (1, [])
    return chat.app


def revives_the_kicked():
    """What SQL has ended is written again, by a SET that says that it is meant to be new."""
    end, kept = admin.people.end, chat.client.get

    def revive(username):
        values = {key: kept(key) for key in chat.client.scan_iter("session:*", count=1000)}
        ended = end(username)
        for key, value in values.items():
            if value is not None:
                chat.client.set(key, value, nx=True, ex=3600)
        return ended
    admin.people.end = revive
    return chat.app


def drops_from_the_queue():
    put = Shared._put
    Shared._put = lambda self, entries, patience_s: next(every) % 4 and put(self, entries, patience_s)
    return chat.app


def answers_without_asking():
    """No WATCH, no look at who has taken it."""
    def answer(self, admin_id, name, message_id, content):
        rest = [e for e in self.queue() if e["id"] != message_id]
        self.redis.set("global_state:MANUAL_REPLY_QUEUE", chat_json(rest))
        self.redis.set("chat:answer:" + message_id, chat_json(
            {"by": name, "admin": admin_id, "content": content, "at": 0}))
    Shared.answer = answer
    return chat.app


def queues_without_watch():
    """Reads the queue, and writes it back: what came in between is gone."""
    def change(self, keys, step, patience_s=0):
        with self.redis.pipeline() as pipe:
            pipe.watch("nobody writes this")
            result = step(pipe)
            if pipe.command_stack:
                pipe.execute()
            return result
    Shared._change = change
    return chat.app


def mixes_sessions():
    kept = {}
    tell = chat.conversation

    def conversation():
        answer = tell()
        kept.setdefault("answer", answer)
        return kept["answer"] if next(every) % 30 == 0 else answer
    chat.conversation = conversation
    return chat.app


def mixes_messages():
    """A message goes into the session of whoever comes next."""
    add, kept = chat.add_message, []

    def add_message(message_id, content):
        kept.append((message_id, content))
        if next(every) % 30:
            add(*kept.pop(0))
    chat.add_message = add_message
    return chat.app


def loses_messages():
    """Answered, and now and then not stored."""
    save = chat.app.session_interface.save_session

    def save_session(app, kept, response):
        if "messages" not in (kept or {}) or next(every) % 30:
            save(app, kept, response)
    chat.app.session_interface.save_session = save_session
    return chat.app


def forgets_sessions():
    def forget():
        if "username" in session and next(every) % 60 == 0:
            return jsonify(error="not logged in"), 401
        return None
    chat.app.before_request(forget)
    return chat.app


def keeps_the_logged_out():
    chat.end_session = lambda: None
    return chat.app


def fails_now_and_then():
    def fail():
        if "username" in session and next(every) % 60 == 0:
            raise redis.ConnectionError("made up")
    chat.app.before_request(fail)
    return chat.app


def chat_json(value):
    return chat.app.json.dumps(value)
