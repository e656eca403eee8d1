"""A WSGI app whose sessions Beaker keeps in Redis."""

import json
import os
import urllib.parse

from beaker.middleware import SessionMiddleware


def login(session, form):
    session["user"] = form["user"][0]
    session.save()
    return {"user": session["user"]}


def whoami(session, _form):
    return {"user": session.get("user")}


def count(session, _form):
    session["count"] = session.get("count", 0) + 1
    session.save()
    return {"user": session.get("user"), "count": session["count"]}


def renew(session, _form):
    left = session.namespace
    session.regenerate_id()
    session.save()
    left.do_remove()
    return {}


def logout(session, _form):
    session.delete()
    session.save()
    return {"user": None}


VIEWS = {"POST /login": login, "GET /whoami": whoami, "GET /count": count, "POST /renew": renew,
         "POST /logout": logout}


def views(environ, start_response):
    view = VIEWS[f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = view(environ["beaker.session"], urllib.parse.parse_qs(body.decode()))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


app = SessionMiddleware(views, {"session.type": "ext:redis", "session.url": os.environ["REDIS_URL"],
                                "session.timeout": int(os.environ["SESSION_SECONDS"])})
