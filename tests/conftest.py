"""What every test has or may use: an order of tasks that can be had again, the same examples, the data.

Trio runs the tasks that are ready at one time in an order that it draws, on purpose: no program may depend on
it. Every promise holds in every order. So the tests must pass with every seed of these draws; they run with
seed 1 unless ``--trio-seed`` says otherwise, so that a run can be repeated.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from trio._core import _run as trio_scheduler

DATA = Path(__file__).parent / "data"

# It takes coincurve for a witness, which has no release for Python 3.14 yet.
collect_ignore = [] if find_spec("coincurve") else ["trading/test_keys.py"]

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


def _seed(text: str) -> int:
    return random.SystemRandom().randrange(10**6, 10**9) if text == "fresh" else int(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--trio-seed``."""
    parser.addoption(
        "--trio-seed",
        type=_seed,
        default=1,
        metavar="N|fresh",
        help="from which Trio draws the order of tasks; 'fresh' takes a new one and prints it",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Say with which seed the tests run."""
    return _replay(config)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Repeat the seed after a failure; a quiet run has no header."""
    if exitstatus:
        terminalreporter.write_line(_replay(config))


def _replay(config: pytest.Config) -> str:
    return f"order of tasks: --trio-seed={config.getoption('trio_seed')}"


@pytest.fixture(autouse=True)
def _same_order_of_tasks(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    """Begin the draws of Trio's scheduler again for each test."""
    monkeypatch.setattr(trio_scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    trio_scheduler._r.seed(pytestconfig.getoption("trio_seed"))


@pytest.fixture(scope="session")
def load_data() -> Callable[[str], Any]:
    """Give a function that reads ``tests/data/<name>.json``, again at each call."""

    def load(name: str) -> Any:
        return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))

    return load
