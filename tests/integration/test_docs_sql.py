"""What docs/sql.md shows for copying, besides the transcript that test_docs.py replays."""

import re
import subprocess

import pytest

from harness import TOP
from harness.util import clean_environ

pytestmark = pytest.mark.rows

PAGE = (TOP / "docs" / "sql.md").read_text(encoding="utf8")

# Column of the page's recipes → a question that its index must answer.
QUESTIONS = {
    "session_username(key, doc)": "SELECT session_id FROM respgres.sessions WHERE username = 'ada'",
    "gin (doc": """SELECT session_id FROM respgres.sessions WHERE doc @> '{"username": "ada"}'""",
    "(doc ->> 'last_activity'": "SELECT session_id FROM respgres.sessions"
                                " WHERE doc ->> 'last_activity' < '2026'",
    "(key) WHERE": "SELECT session_id FROM respgres.sessions WHERE NOT session_active",
}


def psql(database, script):
    done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database.url], input=script,
                          capture_output=True, text=True, env=clean_environ(), timeout=60, check=False)
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def people(lab, database):
    """The roles that the page grants something to."""
    roles = [role for role in ("viewer", "support") if not database.postgres.execute(
        "SELECT FROM pg_roles WHERE rolname = %s", role)]
    for role in roles:
        database.postgres.create_role(role)
    yield
    for role in roles:
        database.postgres.execute(f'DROP OWNED BY "{role}"', dbname=database.name)
        database.postgres.execute(f'DROP ROLE "{role}"')


def plan(database, question, others):
    """Of a table that has no other index, however large it is."""
    drops = "".join(f'DROP INDEX respgres."{name}"; ' for name in others)
    drops += "ALTER TABLE respgres.entries DROP CONSTRAINT entries_pkey;"  # as good for the one row here
    return psql(database, f"BEGIN; {drops} SET enable_seqscan = off; EXPLAIN (COSTS OFF) {question};")


def test_every_block_runs_and_every_index_answers_its_question(respgres, database, people):
    respgres.client().setex("session:1", 60, '{"username": "ada", "last_activity": "2025"}')
    blocks = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        psql(database, block)
    indexes = {name: definition for name, definition in database.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'respgres'"
        " AND tablename = 'entries' AND indexname !~ '^entries_(pkey|space_id|expire_slot)$'")}
    assert len(indexes) == len(QUESTIONS)
    for start, question in QUESTIONS.items():
        (name,) = [name for name, definition in indexes.items() if start in definition]
        came = plan(database, question, indexes.keys() - {name})
        assert re.search(rf"Index Scan (?:using|on) {name}\b", came), came
        assert "Index Cond" in came or start == "(key) WHERE", came
