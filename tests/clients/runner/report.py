"""What came of it: on the terminal, and as docs/clients.md."""

import re

from .client import STEPS, TOP

DOC = TOP / "docs" / "clients.md"
SERVERS = {"redis": "redis-server", "respgres": "respgres"}


class Outcome:
    """A client's results by server ("redis", "respgres")."""

    def __init__(self, client):
        self.client = client
        self.results = {}
        self.skipped = ""
        self.differences = []

    @property
    def verdict(self):
        if self.skipped:
            return "skipped"
        results = self.results.values()
        failed = self.differences or any(result.complaints() for result in results)
        return "failed" if failed else "passed"

    @property
    def version(self):
        return next((r.version for r in self.results.values() if r.version), "")

    @property
    def commands(self):
        return sorted(set().union(*(r.commands for r in self.results.values())))

    def of_server(self, server):
        """The cell of a table."""
        result = self.results.get(server)
        if self.skipped and (result is None or result.skipped):
            return "skipped"
        if result is None:
            return "not run"
        if result.complaints():
            failed = [step for step, (ok, _) in result.steps.items() if not ok]
            return "fails: " + (", ".join(failed) or "see its output")
        return f"{len(result.steps)} of {len(STEPS) - len(self.client.steps_absent)}"


# --- the terminal --------------------------------------------------------------------------------

def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
                     for row in rows)


def print_troubles(outcome):
    for server, result in outcome.results.items():
        for complaint in result.complaints():
            print(f"    {SERVERS[server]}: {complaint}")
        if result.complaints() and result.said:
            print("      " + result.said.replace("\n", "\n      "))
    for difference in outcome.differences:
        print(f"    {difference}")
    if outcome.skipped:
        print(f"    skipped: {outcome.skipped}")


def print_table(outcomes, servers):
    rows = [["client", "version", *(SERVERS[server] for server in servers), "seconds"]]
    for outcome in outcomes:
        seconds = sum(result.seconds for result in outcome.results.values())
        rows.append([outcome.client.folder, outcome.version,
                     *(outcome.of_server(server) for server in servers), f"{seconds:.1f}"])
    print(table(rows))
    count = [outcome.verdict for outcome in outcomes].count
    print(f"{count('passed')} passed, {count('failed')} failed, {count('skipped')} skipped")


# --- docs/clients.md -----------------------------------------------------------------------------

HEAD = """\
# Session clients

Made by `tests/clients/run --update-docs`; don't edit it. Each client is a real app with the real library,
driven through the same steps on redis-server {redis} and on respgres, both with a password:
{steps}.
[tests/clients](../tests/clients/README.md) says what each step shows. Those of the runtime `raw` are
recordings: neither Debian 12 nor npm has the library, and what it sends is sent byte for byte.

A number is how many of the client's steps passed. Not every library has every step; what is absent is
listed below with the reason. The commands are those that MONITOR has shown, the same ones on both.
"""


def _row(outcome):
    client = outcome.client
    version = outcome.version or client.library
    return (f"| [{client.name}](#{anchor(client.name)}) | {version} | {client.runtime} "
            f"| {outcome.of_server('redis')} | {outcome.of_server('respgres')} |")


def anchor(name):
    """As GitHub makes it of a headline."""
    kept = "".join(c for c in name.lower() if c.isalnum() or c in "-_ ")
    return kept.replace(" ", "-")


def absent_lines(client):
    return [f"- no *{step}*: {why}" for step, why in client.steps_absent.items()]


def _section(outcome):
    client = outcome.client
    lines = [f"### {client.name}", "", f"{client.about[:1].upper()}{client.about[1:]}.", ""]
    if outcome.skipped:
        lines += [f"Skipped: {outcome.skipped}.", ""]
    if outcome.commands:
        lines += ["Commands: " + ", ".join(f"`{name}`" for name in outcome.commands), ""]
    if client.steps_absent:
        lines += [*absent_lines(client), ""]
    return "\n".join(lines)


def parts_of(page):
    """{client's name: (row, section)} in a page that was written before."""
    rows = {found[1]: found[0] for found in re.finditer(r"^\| \[(.+?)\]\(#.*$", page, re.MULTILINE)}
    sections = page.partition("\n## Each client\n")[2].split("\n### ")[1:]
    by_name = {text.split("\n", 1)[0]: "### " + text.rstrip() + "\n" for text in sections}
    return {name: (row, by_name[name]) for name, row in rows.items() if name in by_name}


def document(parts, redis_version):
    return "\n".join([
        HEAD.format(redis=redis_version, steps=", ".join(STEPS)),
        "| client | library | runtime | redis-server | respgres |", "|---|---|---|---|---|",
        *[row for row, _ in parts], "", "## Each client", "",
        *[section for _, section in parts]]).rstrip() + "\n"


def update_document(outcomes, clients, redis_version):
    """The parts of the clients that ran are new, those of the others stay as they are."""
    parts = {client.name: (_row(Outcome(client)), _section(Outcome(client))) for client in clients}
    if DOC.exists():
        parts.update(parts_of(DOC.read_text(encoding="utf8")))
    parts.update({outcome.client.name: (_row(outcome), _section(outcome)) for outcome in outcomes})
    DOC.write_text(document([parts[client.name] for client in clients], redis_version), encoding="utf8")
