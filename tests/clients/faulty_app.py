"""An app for test_story.py, with one fault for each step: FAULT names it, "none" is a correct app."""

import http.cookies
import json
import os
import secrets
import socketserver
import urllib.parse
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import redis

FAULT = os.environ["FAULT"]
SECONDS = int(os.environ["SESSION_SECONDS"])
SERVER = redis.Redis.from_url(os.environ["REDIS_URL"])
memory = {}  # what the faults remember


class Session(dict):
    def __init__(self, sid):
        self.sid = sid
        super().__init__(json.loads(sid and SERVER.get("s:" + sid) or "{}"))

    def save(self):
        self.sid = self.sid or secrets.token_hex(8)
        seconds = 10 * SECONDS if FAULT == "log in" else SECONDS
        SERVER.set("s:" + self.sid, json.dumps(self), ex=None if FAULT == "expire" else seconds)

    def delete(self):
        SERVER.delete("s:" + self.sid)
        self.clear()


def all_keys():
    return [key.decode() for key in SERVER.scan_iter(match="s:*")]


def login(session, form):
    session["user"] = form["user"][0]
    if FAULT == "read":
        session["user"] = session["user"].encode("ascii", "replace").decode()
    try:
        session.save()
    except redis.RedisError:
        if FAULT != "wrong password":
            raise
    return {"user": form["user"][0]}


def whoami(session, _form):
    if FAULT == "reconnect" and memory.setdefault("run", SERVER.info()["run_id"]) != SERVER.info()["run_id"]:
        return {"user": None}
    if session and FAULT != "touch":
        session.save()
    return {"user": session.get("user")}


def count(session, _form):
    if FAULT == "concurrent requests":  # of all who count at once, one is counted
        session = memory.setdefault("session", session)
    session["count"] = session.get("count", 0) + 1
    session.save()
    return dict(session)


def renew(session, _form):
    if FAULT != "regenerate id":
        SERVER.delete("s:" + session.sid)
    session.sid = None
    session.save()
    return {}


def logout(session, _form):
    if FAULT == "destroy":
        session.sid = ""
    else:
        session.delete()
    return {}


def list_sessions(_session, _form):
    return {"keys": all_keys()[1:] if FAULT == "list" else all_keys()}


def clear(_session, _form):
    keys = all_keys()
    return {"deleted": SERVER.delete(*(keys[1:] if FAULT == "clear" else keys))}


VIEWS = {"/login": login, "/whoami": whoami, "/count": count, "/renew": renew, "/logout": logout,
         "/list": list_sessions, "/clear": clear}


def app(environ, start_response):
    cookies = http.cookies.SimpleCookie(environ.get("HTTP_COOKIE", ""))
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    session = Session(cookies["sid"].value if "sid" in cookies else None)
    answer = json.dumps(VIEWS[environ["PATH_INFO"]](session, urllib.parse.parse_qs(body)))
    start_response("200 OK", [("Content-Type", "application/json")]
                   + ([("Set-Cookie", f"sid={session.sid}")] if session.sid is not None else []))
    return [answer.encode()]


class Threaded(socketserver.ThreadingMixIn, WSGIServer):
    request_queue_size = 64
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_args):
        pass


make_server("127.0.0.1", int(os.environ["PORT"]), app, Threaded, Quiet).serve_forever()
