"""An hour of virtual time in a storm, again and again: ``python -m benchmarks.soak_repair [seed] [seconds]``.

It checks what ``tests/repair/test_repair_storm.py`` checks, for longer and with every kind of fault. It
measures nothing and is no part of the test suite; run it from the root of the project.
"""

from __future__ import annotations

import logging
import sys
import time
from functools import partial

import trio
import trio.testing

from o2trio import Origin
from tests.repair._storm import Storm


def main() -> None:
    """Let each kind of storm rage and say how it went; an error ends it."""
    logging.getLogger("o2trio").setLevel(logging.ERROR)
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3600.0
    make = partial(Storm, seed=seed, seconds=seconds)
    for storm in (
        make(),
        make(naps=120),
        make(rest=0.3),
        make(stale=1.9, naps=30),
        make(latency=0.7),
        make(naps=60, latency=0.7, stale=1.9, rest=0.2),
    ):
        start = time.perf_counter()
        diaries = trio.run(storm.run, clock=trio.testing.MockClock(autojump_threshold=0))
        told = sum(len(diary.updates) for diary in diaries)
        healed, gaps = (sum(d.count(origin) for d in diaries) for origin in (Origin.BACKFILL, Origin.GAP))
        took = time.perf_counter() - start
        print(f"{storm}\n  exact: {told} updates, {healed} backfilled, {gaps} gap marks, {took:.0f} s")


if __name__ == "__main__":
    main()
