"""Outages with a seed: what clients do, what breaks meanwhile, and what must be true afterwards."""

import pathlib
import sys

INTEGRATION = pathlib.Path(__file__).resolve().parents[2] / "integration"
if str(INTEGRATION) not in sys.path:
    sys.path.insert(0, str(INTEGRATION))
