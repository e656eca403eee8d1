"""What users and admins were told. Times are of one monotonic clock."""

import dataclasses

LOGGED_IN, LOGGED_OUT, KICKED = "logged in", "logged out", "kicked"
LEFT = "left"  # logged out at an instance that did not know the session


@dataclasses.dataclass
class Life:
    """From one log-in to its end: one session."""

    username: str
    sid: str
    state: str = LOGGED_IN
    acknowledged: dict = dataclasses.field(default_factory=dict)  # message id → content
    doubtful: dict = dataclasses.field(default_factory=dict)      # sent, answered with an error
    ended_at: float = 0.0        # the end was acknowledged
    kick_begun: float = 0.0      # somebody kicks this name; 0: nobody has
    told: bool = False           # its user has been told that he is not logged in any more
    deleted: bool = False        # its row may be gone: a kick or a log-out came to an instance that was away
    haunted: bool = False        # after its end an instance that had not heard of it served it
    answers: list = dataclasses.field(default_factory=list)     # to its user's requests
    kicks: list = dataclasses.field(default_factory=list)       # what admins were told

    @property
    def session_key(self):
        return "session:" + self.sid


@dataclasses.dataclass
class Attempt:
    """An admin's answer to a message. outcome: given, refused, doubtful."""

    message_id: str
    admin: str
    content: str
    outcome: str


@dataclasses.dataclass
class Facts:
    """What is known of the course."""

    setup: str
    affinity: bool
    apps: int = 3
    fault_at: float = float("inf")
    over_at: float = float("inf")      # the instances are online again, or the killed one answers
    killed_app: int = 0                # set-up b: the only one that may answer with errors
    merges: list = dataclasses.field(default_factory=list)  # (from, to): an instance merged its journal

    @property
    def is_loose(self):
        """Instances that do not hear of each other serve one session."""
        return self.setup == "c" and not self.affinity


@dataclasses.dataclass
class Final:
    """What the rows say when all is over."""

    sessions: dict = dataclasses.field(default_factory=dict)   # key → Row
    conflicts: dict = dataclasses.field(default_factory=dict)  # key → [session as dict]
    queue: list = dataclasses.field(default_factory=list)
    answers: dict = dataclasses.field(default_factory=dict)    # message id → content
    unsent: list = dataclasses.field(default_factory=list)
    views: dict = dataclasses.field(default_factory=dict)      # sid → what its user is shown last


@dataclasses.dataclass
class Row:
    """A row of respgres.sessions."""

    username: str
    active: bool
    messages: list


class Record:
    def __init__(self, facts):
        self.facts = facts
        self.lives = []
        self.attempts = []
        self.queued = {}            # message id → username: it was said to wait for a person
        self.errors = []            # answers of users' requests that are errors
        self.complaints = []
        self.requests = self.reads_in_fault = self.stale = self.missing = 0
        self.overwritten = 0        # messages lost to requests under way while an instance merged
        self.beside = 0             # acknowledged messages that the merge put into `conflicts`, and nowhere else
        self.kicks = self.kicks_in_doubt = self.logouts = 0
        self.slow = []              # seconds of each request

    def complain(self, text):
        self.complaints.append(text)
