"""Seeds that found a bug of the client, kept: each must be passed now. What was wrong is told in the docs."""

from __future__ import annotations

import pytest

from o2trio.testing._soak import run_seed

HOURS = 1.0

KEPT = {
    "a request that was read late": 90,
    "a heartbeat that was meant for the connection before": 1343,
    "a repair that was given up, on a wire that was late": 1799,
    "an order's end that was forgotten while older state was read": 1067,
}


@pytest.mark.parametrize("seed", KEPT.values(), ids=KEPT)
def test_a_seed_that_found_a_bug_is_passed(seed: int) -> None:
    """Slow, but only as long as these hours are simulated."""
    report = run_seed(seed, HOURS)
    assert report.failure is None
    assert report.recoveries
