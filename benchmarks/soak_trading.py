"""Storms over submissions, again and again: ``python -m benchmarks.soak_trading [first] [last]``.

It checks what ``tests/trading/test_trade_storm.py`` checks, for each seed on both tracks, with REST up to
date and lagging. It measures nothing and is no part of the test suite; run it from the root of the project.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter

import trio
import trio.testing

from tests.trading._trade_storm import TradeStorm


def main() -> None:
    """Let the storms rage and say how they went; an error ends it."""
    logging.getLogger("o2trio").setLevel(logging.CRITICAL)
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    last = int(sys.argv[2]) if len(sys.argv) > 2 else first + 9
    ends: Counter[str] = Counter()
    for seed in range(first, last + 1):
        for lane in (None, 0):
            for stale in (0, 1500):
                storm = TradeStorm(seed=seed, lane=lane, stale=stale)
                print(storm, flush=True)
                ends += trio.run(storm.run, clock=trio.testing.MockClock(autojump_threshold=0))
    print(", ".join(f"{count} {end}" for end, count in ends.most_common()))


if __name__ == "__main__":
    main()
