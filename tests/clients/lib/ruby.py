"""The commands of Ruby apps, and how Rack names a session's key."""

import hashlib
import subprocess


def ruby(script):
    return lambda _port: ["ruby", script]


def gem_version(name):
    code = f"print Gem::Specification.find_by_name('{name}').version"
    return subprocess.run(["ruby", "-e", code], check=True, capture_output=True, text=True).stdout


def private_id(prefix):
    """Rack stores under a hash of the cookie: who reads the store can't be somebody."""
    return lambda cookie: f"{prefix}2::{hashlib.sha256(cookie.encode()).hexdigest()}"
