"""The admin's page: who is there, which instances answer, the two switches, and the queue."""

import functools
import hmac
import os
import re
import time
import uuid

import redis
from flask import Blueprint, jsonify, render_template, session

import app as chat
from sessions import Sessions, Unavailable
from shared import SWITCHES, Busy, Gone, is_taken

COLLECT_EVERY_S = 2

pages = Blueprint("admin", __name__, url_prefix="/admin")
people = Sessions(os.environ.get("DATABASE_URL", ""))
password = os.environ.get("CHAT_ADMIN_PASSWORD", "")
instances = [(url, redis.from_url(url, socket_timeout=2, socket_connect_timeout=1))
             for url in os.environ.get("CHAT_INSTANCES", "").split(",") if url]
collected_at = 0.0


def admin_only(view):
    @functools.wraps(view)
    def wrapped(*args, **kwargs):
        if "admin" not in session:
            return jsonify(error="not logged in"), 401
        return view(*args, **kwargs)
    return wrapped


@pages.get("/")
def index():
    if "admin" not in session:
        return render_template("admin_login.html")
    return render_template("admin.html", name=session["admin"], switches=SWITCHES)


@pages.post("/login")
def login():
    name, given = str(chat.body().get("name", "")).strip(), str(chat.body().get("password", ""))
    if not password or not hmac.compare_digest(given.encode(), password.encode()):
        return jsonify(error="That is not the password."), 403
    if not re.fullmatch(r"\w[\w .-]{0,39}", name):
        return jsonify(error="A name has 1 to 40 letters, digits, blanks, dots and dashes."), 400
    chat.begin_session(admin=name, admin_id=uuid.uuid4().hex)
    return jsonify(admin=name)


@pages.post("/logout")
def logout():
    chat.end_session()
    return jsonify(admin=None)


@pages.get("/state")
@admin_only
def state():
    collect()
    listed = sessions()
    return jsonify(instances=[status(url, client) for url, client in instances],
                   switches=chat.shared.switches(), queue=[shown(e) for e in chat.shared.queue()],
                   **listed)


def collect():
    """Now and then: what could not be put into the queue when it was sent."""
    global collected_at
    if time.monotonic() < collected_at + COLLECT_EVERY_S:
        return
    collected_at = time.monotonic()
    try:
        chat.shared.collect()
    except (redis.RedisError, Busy):
        pass  # not yet


def sessions():
    try:
        rows, count = people.live()
    except Unavailable:
        return {"sessions": None, "session_count": None}
    return {"sessions": rows, "session_count": count}


def label(url):
    return url.rpartition("@")[2].removeprefix("redis://").removesuffix("/0")


def status(url, client):
    return {"name": label(url), "state": state_of(client)}


def state_of(client):
    """online, away, recovering (it merges what was written meanwhile) …; down; silent."""
    try:
        return client.info("postgres")["store_state"]
    except redis.ConnectionError:
        return "down"
    except redis.RedisError:
        return "silent"


def shown(entry):
    """Without the secret of the admin who has it."""
    taken = is_taken(entry, time.time())
    return {**{name: entry[name] for name in ("id", "username", "content", "at", "crisis_detected")},
            "taken": taken, "mine": taken and entry["taken_by"] == session["admin_id"]}


@pages.post("/switch")
@admin_only
def switch():
    name, on = chat.body().get("name"), chat.body().get("on")
    if not isinstance(name, str) or name not in SWITCHES or not isinstance(on, bool):
        return jsonify(error="no such switch"), 400
    chat.shared.switch(name, on)
    return jsonify(switches=chat.shared.switches())


@pages.post("/take")
@admin_only
def take():
    collect()
    entry = chat.shared.take(session["admin_id"])
    return jsonify(entry=entry and shown(entry))


@pages.post("/give-back")
@admin_only
def give_back():
    chat.shared.give_back(session["admin_id"], str(chat.body().get("id", "")))
    return jsonify(entry=None)


@pages.post("/answer")
@admin_only
def answer():
    content = str(chat.body().get("content", "")).strip()[:chat.TEXT_MOST]
    if not content:
        return jsonify(error="an answer is needed"), 400
    try:
        chat.shared.answer(session["admin_id"], session["admin"], str(chat.body().get("id", "")),
                           content)
    except Gone:
        return jsonify(error="Somebody else has this message, or has answered it."), 409
    return jsonify(answered=chat.body()["id"])


@pages.post("/kick")
@admin_only
def kick():
    """Who is kicked stays out, on every instance, also if PostgreSQL goes away in the next moment:
    `untold` names those for which that is not certain."""
    username = str(chat.body().get("username", ""))
    if "\0" in username:
        return jsonify(error="Nobody has such a name."), 400  # PostgreSQL could not even be asked
    unsure = {label(url) for url, client in instances if state_of(client) not in ("online", "down")}
    ended, keys = people.end(username)
    told = {label(url): tell(client, keys) for url, client in instances}
    unsure |= {name for name, deleted in told.items() if deleted is None}
    return jsonify(ended=ended, deleted=sum(n or 0 for n in told.values()), untold=sorted(unsure))


def tell(client, keys):
    """Has an instance look at sessions that SQL has ended, so that it knows. If PostgreSQL went away
    just now, they are deleted there. Returns how many were, None if that is not known."""
    try:
        served = [key for key in keys if client.exists(key)]
        return client.delete(*served) if served else 0
    except redis.BusyLoadingError:
        return None  # it is there, and cannot look now
    except redis.ConnectionError:
        return 0  # it is down, and what it will know comes from PostgreSQL
    except redis.RedisError:
        return None


@pages.errorhandler(Unavailable)
def away(error):
    return jsonify(error="PostgreSQL is away: nobody can be listed or kicked until it is back.",
                   done=error.done), 503


@pages.errorhandler(redis.ReadOnlyError)
def read_only(_error):
    return jsonify(error="PostgreSQL is away: the queue and the switches can be read, and changed again "
                         "when it is back."), 503


@pages.errorhandler(Busy)
def busy(_error):
    return jsonify(error="Too many at once: try again."), 503
