"""The seeds kept for bugs that scenarios found: each must be passed. What was wrong is told in the docs."""

from __future__ import annotations

from collections import defaultdict

import pytest

from benchmarks._former_bugs import FORMER_BUGS
from o2trio.testing._soak import run_seed

KEPT = defaultdict[tuple[int, float], list[str]](list)
for bug in FORMER_BUGS:
    assert bug.kept is not None
    KEPT[bug.kept].append(bug.name)


@pytest.mark.parametrize(("seed", "hours"), KEPT, ids=map("+".join, KEPT.values()))
def test_a_seed_that_finds_a_bug_is_passed(seed: int, hours: float) -> None:
    """Slow, but only as long as these hours are simulated."""
    report = run_seed(seed, hours)
    assert report.failure is None
    assert report.recoveries
