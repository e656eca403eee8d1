"""The table: rows of text, goals beside the ratios."""

import statistics


class Goal:
    """`ratio` of the median must be at least (or with `at_most`, at most) `limit`."""

    def __init__(self, name, limit, at_most=False):
        self.name = name
        self.limit = limit
        self.at_most = at_most

    def judge(self, ratio):
        met = ratio <= self.limit if self.at_most else ratio >= self.limit
        sign = "≤" if self.at_most else "≥"
        return f"{self.name} {sign} {self.limit:g}: {'met' if met else 'NOT MET'}"


class Row:
    """One measurement. `ratios` maps a column to the ratios of the rounds."""

    COLUMNS = ("redis", "aof", "bare")

    def __init__(self, what, condition, respgres, ratios=None, goals=()):
        self.what = what
        self.condition = condition
        self.respgres = respgres
        self.ratios = ratios or {}
        self.goals = goals

    def median(self, column):
        return statistics.median(self.ratios[column])

    def verdicts(self):
        return [goal.judge(self.median(column)) for column, goal in self.goals]

    def cells(self):
        ratios = [_ratio(self.median(c)) if c in self.ratios else "" for c in self.COLUMNS]
        return [self.what, self.condition, self.respgres, *ratios, "; ".join(self.verdicts())]

    def as_json(self):
        return {"what": self.what, "condition": self.condition, "respgres": self.respgres,
                "ratios": self.ratios, "goals": self.verdicts()}


HEAD = ["what", "conditions", "respgres", "÷ redis", "÷ AOF always", "÷ bare PostgreSQL", "goal"]


def _ratio(x):
    return f"{x:.2f}" if x < 100 else f"{x:.0f}"


def table(rows):
    """Markdown, with columns aligned so that a terminal shows it well."""
    lines = [HEAD] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]

    def line(cells):
        padded = [cell.ljust(w) if i < 2 or i == 6 else cell.rjust(w)
                  for i, (cell, w) in enumerate(zip(cells, widths))]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * (w - 1) + (":" if 2 <= i <= 5 else "-") for i, w in enumerate(widths)]
    return "\n".join([line(HEAD), line(rule)] + [line(cells) for cells in lines[1:]])


def number(x):
    """12,345 or 1.23."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.2f}"
