"""What every test may use: the data files, and Hypothesis settings that give the same examples each time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

DATA = Path(__file__).parent / "data"

# Slowness is the machine's, not the test's: no deadline, and no complaint about slow generation.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# For a search at leisure: ``pytest --hypothesis-profile=explore``.
settings.register_profile("explore", settings.get_profile("repeatable"), derandomize=False, max_examples=2000)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def load_data() -> Callable[[str], Any]:
    """Give a function that reads ``tests/data/<name>.json``, anew at each call."""

    def load(name: str) -> Any:
        return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))

    return load
