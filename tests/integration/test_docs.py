#!/usr/bin/python3
"""README and docs/ say what is there: options, commands, tests, links; and what they show runs.

Started as a program it prints the tables of docs/configuration.md, made from conf/respgres.conf.
"""

import pathlib
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from harness import free_port, wait_until
from harness.util import Lifetime, clean_environ

TOP = pathlib.Path(__file__).resolve().parents[2]


def read(name):
    return (TOP / name).read_text(encoding="utf8")


# --- options -------------------------------------------------------------------------------------

def option_tables():
    """conf/respgres.conf as Markdown: (section, [(name, row)]) in its order."""
    tables, prose, run_time = [], [], False
    for line in read("conf/respgres.conf").splitlines():
        section = re.fullmatch(r"# ---- (.+) ----", line)
        option = re.fullmatch(r"#([a-z-]+) (.*)", line)
        if section:
            tables.append((section[1], []))
        elif option:
            text = " ".join(prose).replace("|", ", ").replace("*", r"\*")
            row = f"| `{option[1]}` | `{option[2]}` | {'yes' if run_time else ''} | {text} |"
            tables[-1][1].append((option[1], row))
        if section or option or not line:
            prose, run_time = [], False
        elif line == "# [run time]":
            run_time = True
        else:
            prose.append(line.removeprefix("# "))
    return tables


def print_option_tables():
    for section, rows in option_tables():
        print(f"### {section}\n\n| option | default | run time | |\n|---|---|---|---|")
        print("\n".join(row for _, row in rows) + "\n")


def test_options_are_documented():
    """A row per option, with its default; `tests/integration/test_docs.py` prints them."""
    in_conf = dict(pair for _, rows in option_tables() for pair in rows)
    documented = re.findall(r"^\| `([a-z-]+)` \| `.*$", read("docs/configuration.md"), re.MULTILINE)
    assert documented == list(in_conf)
    lines = read("docs/configuration.md").splitlines()
    assert [row for row in in_conf.values() if row not in lines] == []


def test_help_names_the_same_options(lab):
    text = subprocess.run([lab.respgres(start=False).binary(), "--help"], check=True, text=True,
                          capture_output=True, timeout=20).stdout
    names = re.findall(r"^  --([a-z-]+) .*\(default: ", text, re.MULTILINE)
    assert names == [name for _, rows in option_tables() for name, _ in rows]


# --- commands ------------------------------------------------------------------------------------

@pytest.mark.rows
def test_commands_are_documented(client):
    """What COMMAND LIST names has a row in docs/commands.md, and the other way round."""
    there = {name.decode().replace("|", " ").upper()
             for name in client.execute_command("COMMAND LIST")}
    by_hand, _, made = read("docs/commands.md").partition("\n## Reference\n")
    assert "| `GET key` |" in made
    cells = re.findall(r"^\| (`[^|]+`) \|", by_hand, re.MULTILINE)
    documented = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(documented) == sorted(there)


# --- what names something else -------------------------------------------------------------------

def test_the_tests_named_in_consistency_exist():
    found = set()
    for path in [*TOP.glob("tests/integration/test_*.py"), *TOP.glob("tests/chaos/test_*.py")]:
        found |= set(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf8"), re.MULTILINE))
    for path in TOP.glob("tests/unit/*.c"):
        found |= set(re.findall(r"TEST\((\w+)\)", path.read_text(encoding="utf8")))
    named = set(re.findall(r"`(\w+_\w+_\w+)`", read("docs/consistency.md")))
    named -= set(re.findall(r"^\| `(\w+)` \|", read("docs/operations.md"), re.MULTILINE))  # fields of INFO
    assert len(named) > 30
    assert named - found == set()


def anchors(page):
    """What the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    pages = [TOP / "README.md", TOP / "CHANGELOG.md", *TOP.glob("docs/*.md"),
             *TOP.glob("*/README.md"), *TOP.glob("*/*/README.md")]
    dead = []
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf8")):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            if re.match(r"https?:", link):
                continue
            if not target.exists() or (anchor and anchor not in anchors(target)):
                dead.append(f"{page.relative_to(TOP)}: {link}")
    assert dead == []


@pytest.mark.rows
def test_the_fields_of_info_postgres_are_documented(lab, database):
    client = lab.respgres(database, consistency="cached").client()
    wait_until(lambda: "postgres_instances" in client.info("postgres"))
    fields = {re.sub(r"-\d+$", "-N", name) for name in client.info("postgres")}
    section = read("docs/operations.md").partition("## INFO postgres")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)
    assert sorted(documented) == sorted(fields)


@pytest.mark.rows
def test_the_fields_of_info_respgres_are_documented(client):
    fields = {re.sub("starting|online|away|recovering|standalone", "STATE", name)
              if name.startswith("store_") else name for name in client.info("respgres")}
    section = read("docs/operations.md").partition("## INFO respgres")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(documented) == sorted(fields)


# --- what the pages show -------------------------------------------------------------------------

def test_the_flask_example(server, lab):
    """README shows examples/flask/app.py, and it runs."""
    assert f"```python\n{read('examples/flask/app.py')}```" in read("README.md")
    port = free_port()
    lab.process([sys.executable, "-m", "gunicorn", "--chdir", TOP / "examples/flask", "--bind",
                 f"127.0.0.1:{port}", "app:app"], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env=clean_environ(REDIS_URL=server.url()))
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def ask(path, form=None):
        try:
            with browser.open(f"http://127.0.0.1:{port}{path}", form, timeout=20) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            return error.read()
        except OSError:
            return None

    wait_until(lambda: ask("/"), 60, "gunicorn answers")
    assert ask("/login", b"user=ada") == b"hello ada\n"
    assert [ask("/"), ask("/")] == [b"ada, visit 1\n", b"ada, visit 2\n"]
    assert ask("/logout", b"") == b"bye\n"
    assert ask("/") == b"not logged in\n"


def transcript(text):
    """What was typed and what came, as in a ```console block."""
    steps = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith(("$ ", "respgres=> ")):
                steps.append((line, []))
            elif line.startswith("respgres-> "):
                steps[-1] = (steps[-1][0] + "\n" + line.removeprefix("respgres-> "), [])
            else:
                steps[-1][1].append(line)
    return [(typed, "\n".join(shown)) for typed, shown in steps]


def without_numbers(shown):
    """Times, versions and widths of columns differ from run to run; single digits count."""
    shown = re.sub(r"[-+ ]*\n[-+ ]*", "\n", re.sub(r"\.\d+|\d{2,}", "N", shown).strip())
    return re.sub(r"(N[:. +-]*)+", "N ", re.sub(r"-{3,}|[ ]+", " ", shown))


@pytest.mark.rows
def test_the_transcript_of_docs_sql(server, database):
    """Everything typed in docs/sql.md, in its order: the same answers, but for times."""
    steps = transcript(read("docs/sql.md"))
    assert len(steps) > 20
    for typed, shown in steps:
        if typed.startswith("$ redis-cli "):
            came = server.cli("--no-raw", *shlex.split(typed)[2:])
        else:
            sql = typed.removeprefix("respgres=> ")
            came = subprocess.run(["psql", "-X", "-d", database.url, "-c", sql], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  env=clean_environ(), timeout=60).stdout
        assert without_numbers(came) == without_numbers(shown), typed


@pytest.mark.rows
@pytest.mark.parametrize("durability, setting", [("commit", "on"), ("relaxed", "off")])
def test_durability_is_synchronous_commit(lab, database, durability, setting):
    server = lab.respgres(database, durability=durability)
    database.execute("CREATE TABLE public.seen AS SELECT ''::text AS setting WHERE false")
    database.execute("CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                     " INSERT INTO public.seen VALUES (current_setting('synchronous_commit'));"
                     " RETURN NULL; END $$")
    database.execute("CREATE TRIGGER note AFTER INSERT ON respgres.entries"
                     " FOR EACH ROW EXECUTE FUNCTION public.note()")
    client = server.client()
    client.set("k", "v")
    client.pipeline(transaction=True).set("a", 1).incr("b").execute()
    assert database.execute("SELECT DISTINCT setting FROM public.seen") == [(setting,)]


@pytest.mark.rows
def test_a_dump_is_restored(lab, respgres, database):
    """pg_dump of the schema, while respgres runs, into another database."""
    client = respgres.client()
    life = Lifetime(1000)
    client.setex("session:1", 1000, b"\x80\x04 bytes")
    client.mset({"n": 41, "deleted": "x"})
    client.delete("deleted")
    postgres = database.postgres
    dump = subprocess.run([postgres.programs / "pg_dump", "--schema=respgres", "--no-owner",
                           database.url], capture_output=True, check=True, env=clean_environ(),
                          timeout=60).stdout
    other = lab.database()
    subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", other.url], input=dump,
                   check=True, stdout=subprocess.DEVNULL, env=clean_environ(), timeout=60)
    restored = lab.respgres(other).client()
    assert restored.get("session:1") == b"\x80\x04 bytes"
    assert life.may_be(restored.ttl("session:1"))
    assert restored.incr("n") == 42
    assert restored.mset({f"new{i}": i for i in range(100)})
    assert sorted(restored.scan_iter(count=7)) == sorted(
        [b"session:1", b"n"] + [b"new%d" % i for i in range(100)])
    assert client.get("n") == b"41"


if __name__ == "__main__":
    print_option_tables()
