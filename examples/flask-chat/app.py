"""A chat whose sessions are Flask-Session's, on respgres.

A conversation lives in its session: name, messages, attributes, whether it gave cause for alarm. What
the sessions share is in shared.py, the admin's page in admin.py. Configured by the environment:

  REDIS_URL            the respgres beside this process
  DATABASE_URL         PostgreSQL, for the admin's page alone
  CHAT_INSTANCES       URLs of all respgres instances, for the admin's page, separated by commas
  CHAT_ADMIN_PASSWORD  without it nobody is an admin
"""

import datetime
import functools
import json
import os
import re
import time
import uuid

import redis
from flask import Flask, abort, jsonify, make_response, render_template, request, session
from flask_session import Session

import talk
from shared import Shared

TEXT_MOST = 2000
MESSAGES_MOST = 500
# Of what is kept of a conversation, as JSON. The admin's page finds sessions by what is in them, and of one
# that is too large (1 MB, docs/sql.md) nothing is known: nobody may be able to make his own so large.
CONVERSATION_MOST = 256 * 1024
ATTRIBUTES = {"color": r"#[0-9a-f]{6}", "language": r"[\w -]{0,30}", "about": r"[^\0]{0,200}"}


class Chat(Flask):
    def log_exception(self, exc_info):
        if issubclass(exc_info[0], redis.RedisError):
            self.logger.warning("%s %s: %s", request.method, request.path, exc_info[1])
        else:
            super().log_exception(exc_info)


app = Chat(__name__)
client = redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), socket_timeout=10)
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=client,
    # Nothing is stored for somebody who is not logged in. It also means that a session which cannot
    # be read (an instance that is away and does not know it) is left alone.
    SESSION_PERMANENT=False,
    PERMANENT_SESSION_LIFETIME=datetime.timedelta(hours=12),
    SESSION_COOKIE_NAME="session",
    MAX_CONTENT_LENGTH=64 * 1024,
)
Session(app)
shared = Shared(client)


# --- who is it ----------------------------------------------------------------------------------


def begin_session(**content):
    """A new id for each log-in: an old one may be known to others, or have been ended."""
    session.clear()
    session.sid = str(uuid.uuid4())
    session.update(content, client_ip=request.headers.get("X-Forwarded-For", request.remote_addr),
                   user_agent=request.headers.get("User-Agent", "")[:200], last_activity=time.time())


def end_session():
    session.clear()  # Flask-Session deletes the key


def is_user():
    return "username" in session and "admin" not in session


def user_only(view):
    @functools.wraps(view)
    def wrapped(*args, **kwargs):
        if not is_user():
            # The session is not touched: it may only be unknown here, and come back.
            return jsonify(error="not logged in"), 401
        return view(*args, **kwargs)
    return wrapped


def body():
    """The JSON object of a POST. Another site's form cannot send one, so this is also what keeps
    others from acting in a user's name."""
    content = request.get_json()
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate: no page could show it, and no database take it
        abort(make_response(jsonify(error="That is no text."), 400))
    return content if isinstance(content, dict) else {}


@app.before_request
def same_site_only():
    if request.method == "POST" and not request.is_json:
        return jsonify(error="send JSON"), 415
    return None


# --- the user's pages ---------------------------------------------------------------------------


@app.get("/")
def index():
    if not is_user():
        return render_template("login.html")
    return render_template("chat.html", username=session["username"],
                           attributes=session["user_attributes"])


@app.post("/login")
def login():
    username = str(body().get("username", "")).strip()
    if not re.fullmatch(r"\w[\w .-]{0,39}", username):
        return jsonify(error="A name has 1 to 40 letters, digits, blanks, dots and dashes."), 400
    begin_session(username=username, messages=[], user_attributes={"color": "#4f46e5"},
                  crisis_detected=False)
    return jsonify(username=username)


@app.post("/logout")
def logout():
    known = is_user()
    end_session()
    return jsonify(username=None, known=known)


@app.get("/messages")
@user_only
def messages():
    take_answers()
    return conversation()


@app.post("/messages")
@user_only
def send():
    content = str(body().get("content", "")).strip()[:TEXT_MOST]
    # Chosen by the browser, so that what it sends again after an error is not there twice.
    message_id = str(body().get("id", ""))
    if not content or not re.fullmatch(r"[\w-]{8,64}", message_id):
        return jsonify(error="id and content are needed"), 400
    if not any(m["id"] == message_id for m in session["messages"]):
        add_message(message_id, content)
    take_answers()
    return conversation()


@app.post("/attributes")
@user_only
def attributes():
    chosen = {name: str(body()[name]) for name in ATTRIBUTES if name in body()}
    if not all(re.fullmatch(ATTRIBUTES[name], value) for name, value in chosen.items()):
        return jsonify(error="not possible"), 400
    session["user_attributes"] = {**session["user_attributes"], **chosen}
    return jsonify(user_attributes=session["user_attributes"])


# --- what a message leads to --------------------------------------------------------------------


def add_message(message_id, content):
    alarming, switches = talk.is_alarming(content), shared.switches()
    by_hand = alarming or switches["ADMIN_MODE"] or not switches["AI_AUTO_REPLY"]
    now = time.time()
    new = [{"id": message_id, "role": "user", "content": content, "at": now, "waiting": by_hand}]
    if not by_hand:
        new.append(said(message_id, "bot", talk.reply(session["username"], content), now))
    elif alarming or not any(m.get("waiting") for m in session["messages"]):
        new.append(said(message_id, "notice",
                        talk.ALARM_NOTICE if alarming else talk.WAIT_NOTICE, now))
    if by_hand:
        shared.enqueue({"id": message_id, "username": session["username"], "content": content,
                        "at": now, "crisis_detected": alarming})
    session["messages"] = latest(session["messages"] + new)
    session["crisis_detected"] = session["crisis_detected"] or alarming
    session["last_activity"] = now


def latest(messages):
    """As many of the last messages as are kept."""
    size, kept = 0, 0
    for message in reversed(messages[-MESSAGES_MOST:]):
        size += len(json.dumps(message))
        if size > CONVERSATION_MOST:
            break
        kept += 1
    return messages[len(messages) - kept:]


def said(message_id, role, content, at, **more):
    """An answer of whatever kind, with an id that follows from the question's."""
    return {"id": f"{message_id}-{role}", "to": message_id, "role": role, "content": content,
            "at": at, **more}


def take_answers():
    """Answers are keys, and stay for days: if two requests of one user write the session at the same
    time, and the later one did not know of an answer, the next request takes it again."""
    there = shared.answers([m["id"] for m in session["messages"] if m.get("waiting")])
    if not there:
        return
    told = []
    for message in session["messages"]:
        told.append(message)
        answer = there.get(message["id"])
        if answer and message.get("waiting"):
            message["waiting"] = False
    told += [said(message_id, "admin", answer["content"], answer["at"], by=answer["by"])
             for message_id, answer in there.items()]
    session["messages"] = latest(told)


def conversation():
    return jsonify(username=session["username"], messages=session["messages"],
                   crisis_detected=session["crisis_detected"])


# --- when something is not there ----------------------------------------------------------------


@app.errorhandler(500)
def went_wrong(error):
    """respgres is not there, or says that it cannot: the browser may try again."""
    cause = getattr(error, "original_exception", None)
    if isinstance(cause, redis.RedisError):
        return jsonify(error=f"The session cannot be reached: {cause}"), 503
    return jsonify(error="Something went wrong."), 500


@app.after_request
def not_kept(response):
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


import admin  # noqa: E402  (it needs what is above)

app.register_blueprint(admin.pages)
