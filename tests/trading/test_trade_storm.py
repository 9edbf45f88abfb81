"""No order is placed twice, and every lost answer is resolved to the truth, whatever happens on the way.

``python -m benchmarks.soak_trading`` runs many more storms of the same kind.
"""

from __future__ import annotations

import pytest
import trio.testing

from tests.trading._trade_storm import TradeStorm


@pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
@pytest.mark.parametrize(("seed", "stale"), [(1, 0), (2, 1500)])
async def test_every_outcome_is_resolved_to_the_truth(
    seed: int, stale: int, lane: int | None, autojump_clock: trio.testing.MockClock
) -> None:
    counts = await TradeStorm(seed=seed, stale=stale, lane=lane).run()
    assert counts["placed"] > 10
    assert counts["unknown"] > 10
