"""A Flask application that keeps its sessions in PostgreSQL, through respgres.

REDIS_URL says where respgres is. README.md beside this file shows how to run it.
"""

import os

import redis
from flask import Flask, request, session
from flask_session import Session

app = Flask(__name__)
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")),
    PERMANENT_SESSION_LIFETIME=3600,  # seconds
)
Session(app)


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    session["visits"] = 0
    return f"hello {session['user']}\n"


@app.get("/")
def index():
    if "user" not in session:
        return "not logged in\n", 401
    session["visits"] += 1
    return f"{session['user']}, visit {session['visits']}\n"


@app.post("/logout")
def logout():
    session.clear()
    return "bye\n"
