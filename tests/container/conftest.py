"""The image, built once, and a PostgreSQL beside it."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import engines  # noqa: E402
from harness.postgres import Postgres  # noqa: E402


@pytest.fixture(scope="session")
def engine():
    try:
        chosen = engines.choose()
    except engines.Unavailable as reason:
        pytest.skip(str(reason))
    try:
        chosen.build()
        yield chosen
    finally:
        chosen.close()


@pytest.fixture(scope="session")
def cluster():
    postgres = Postgres()
    postgres.start()
    yield postgres
    postgres.remove()


@pytest.fixture
def database(cluster):
    made = cluster.create_database()
    yield made
    made.drop()


@pytest.fixture
def start(engine):
    """Starts containers; they are gone with the test, and what they said is shown if it failed."""
    made = []

    def run(*args, **options):
        container = engine.run(*args, **options)
        made.append(container)
        return container

    yield run
    for container in made:
        print(container.log)
        container.remove()
