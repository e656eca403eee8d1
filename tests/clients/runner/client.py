"""A client as its folder describes it."""

import dataclasses
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parents[1]
TOP = HERE.parents[1]
CACHE = TOP / ".cache" / "clients"

STEPS = ("log in", "read", "touch", "expire", "concurrent requests", "regenerate id", "destroy",
         "list", "clear", "wrong password", "reconnect")
RUNTIMES = ("python", "php", "ruby", "go", "node", "raw")


@dataclasses.dataclass
class Client:
    """`folder` is the client's name on the command line; the rest is client.json."""

    folder: str
    name: str
    library: str
    runtime: str
    about: str
    packages: list = dataclasses.field(default_factory=list)
    npm: dict = dataclasses.field(default_factory=dict)
    steps_absent: dict = dataclasses.field(default_factory=dict)
    commands_needed: list = dataclasses.field(default_factory=list)
    commands_vary: dict = dataclasses.field(default_factory=dict)
    timeout: float = 240

    @property
    def path(self):
        return HERE / self.folder

    @property
    def home(self):
        return CACHE / self.folder

    def wrong(self):
        """What its description lacks or has too much, as a list of texts."""
        found = [f"steps_absent: there is no step {step!r}" for step in self.steps_absent
                 if step not in STEPS]
        found += [f"steps_absent: no reason for {step!r}" for step, why in self.steps_absent.items()
                  if not why.strip()]
        if self.runtime not in RUNTIMES:
            found.append(f"runtime {self.runtime!r} is none of {', '.join(RUNTIMES)}")
        if not (self.path / "run").is_file():
            found.append("it has no program `run`")
        return found


def read_client(folder):
    text = (HERE / folder / "client.json").read_text(encoding="utf8")
    try:
        return Client(folder=folder, **json.loads(text))
    except (TypeError, ValueError) as error:
        raise SystemExit(f"tests/clients/{folder}/client.json: {error}") from None


def all_clients():
    return [read_client(path.parent.name) for path in sorted(HERE.glob("*/client.json"))]
