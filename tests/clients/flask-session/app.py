"""A Flask app whose sessions Flask-Session keeps in Redis."""

import os

import redis
from flask import Flask, jsonify, request, session
from flask_session import Session

app = Flask(__name__)
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=redis.from_url(os.environ["REDIS_URL"]),
    PERMANENT_SESSION_LIFETIME=int(os.environ["SESSION_SECONDS"]),
)
Session(app)


def all_keys():
    return [key.decode() for key in app.config["SESSION_REDIS"].scan_iter(match="session:*")]


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    return jsonify(user=session["user"])


@app.get("/whoami")
def whoami():
    return jsonify(user=session.get("user"))


@app.get("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    return jsonify(user=session.get("user"), count=session["count"])


@app.post("/logout")
def logout():
    session.clear()
    return jsonify(user=None)


@app.get("/list")
def list_sessions():
    return jsonify(keys=all_keys())


@app.post("/clear")
def clear():
    keys = all_keys()
    return jsonify(deleted=app.config["SESSION_REDIS"].delete(*keys) if keys else 0)
