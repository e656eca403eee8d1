"""A Flask application whose sessions are in Flask-Session's redis store.

Run by gunicorn; configured by REDIS_URL and SESSION_SECONDS.
"""

import datetime
import os

import redis
from flask import Flask, jsonify, request, session
from flask_session import Session

app = Flask(__name__)
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=redis.from_url(os.environ["REDIS_URL"]),
    PERMANENT_SESSION_LIFETIME=datetime.timedelta(
        seconds=int(os.environ.get("SESSION_SECONDS", "3600"))),
)
Session(app)


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    session["visits"] = 0
    return jsonify(user=session["user"])


@app.get("/whoami")
def whoami():
    if "user" in session:
        session["visits"] += 1
    return jsonify(user=session.get("user"), visits=session.get("visits"))


@app.post("/logout")
def logout():
    session.clear()
    return jsonify(user=None)
