"""A day of the market maker in a storm: ``python -m benchmarks.soak_market_maker [seed] [hours]``.

It checks what ``tests/examples/test_example_market_maker.py`` checks, for longer: at the end, what the maker
knows of book, orders, balances and its own fills must be exactly what is true on the embedded exchange. It
decides nothing and is no part of the test suite; run it from the root of the project.
"""

from __future__ import annotations

import logging
import resource
import sys
import time

import trio
import trio.testing

from tests.examples._maker_storm import BITCOIN, MakerStorm


def main() -> None:
    """Let the maker trade and say how it went; an error ends it."""
    logging.getLogger("o2trio").setLevel(logging.CRITICAL)
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    hours = int(sys.argv[2]) if len(sys.argv) > 2 else 24
    storm = MakerStorm(seed=seed, seconds=hours * 3600, quoting=BITCOIN, rate=2.0, every=60)
    print(storm, flush=True)
    start = time.perf_counter()
    outcome = trio.run(storm.run, clock=trio.testing.MockClock(autojump_threshold=0))
    took = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"exact after {hours} h: {outcome}\n{took:.0f} s, {memory} MiB")


if __name__ == "__main__":
    main()
