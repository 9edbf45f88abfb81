"""What every test has or may use: the same order of tasks and the same examples each time; the data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from trio._core import _run as trio_scheduler

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


@pytest.fixture(autouse=True)
def _same_order_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio draws which of several tasks runs first; each test begins these draws anew."""
    monkeypatch.setattr(trio_scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    trio_scheduler._r.seed(1)


@pytest.fixture(scope="session")
def load_data() -> Callable[[str], Any]:
    """Give a function that reads ``tests/data/<name>.json``, anew at each call."""

    def load(name: str) -> Any:
        return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))

    return load
