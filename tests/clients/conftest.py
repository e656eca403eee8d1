"""The fixtures of the integration tests serve here, too."""

import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
INTEGRATION = HERE.parent / "integration"
sys.path[:0] = [str(INTEGRATION), str(HERE)]

_spec = importlib.util.spec_from_file_location("integration_fixtures", INTEGRATION / "conftest.py")
_integration = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_integration)

shared_postgres, lab = _integration.shared_postgres, _integration.lab
pytest_runtest_makereport = _integration.pytest_runtest_makereport


def pytest_addoption(parser):
    try:
        _integration.pytest_addoption(parser)
    except ValueError:
        pass  # the integration tests run as well, and have added them


def pytest_collection_modifyitems(config, items):
    _integration.pytest_collection_modifyitems(config, items)
