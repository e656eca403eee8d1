"""examples/flask-chat under load: users and admins over HTTP, a fault, and a judge.

`site.py` builds one of three set-ups, `user.py` and `admin.py` are who uses it, `record.py` keeps what
they were told, `judge.py` says what was wrong with it. `simulation.py` is the course of one run.
"""

import sys

import chaoslib
from harness.util import TOP

CHAT = TOP / "examples" / "flask-chat"
if str(CHAT) not in sys.path:
    sys.path.insert(0, str(CHAT))

assert chaoslib  # it makes the harness importable
