"""Ever new mutations against every boundary: ``python -m benchmarks.soak_fuzz [seconds] [seed] [names...]``.

It runs the checks of ``tests/fuzz`` in turn, each time with another seed, until the time is over; a failure
ends it with the smallest case found. It measures nothing; run it from the root of the project.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter

from tests.fuzz._checks import CHECKS

_EXAMPLES = 400


def main() -> None:
    """Run the checks and say how many cases each survived."""
    logging.getLogger("o2trio").setLevel(logging.CRITICAL)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    number = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**9
    names = sys.argv[3:] or list(CHECKS)
    end, tried = time.monotonic() + seconds, Counter[str]()
    while time.monotonic() < end:
        for name in names:
            print(f"{name} with seed {number}", end="\r", flush=True)
            CHECKS[name].search(_EXAMPLES, number)
            tried[name] += _EXAMPLES
        number += 1
    print(f"survived in {seconds:.0f} s, up to {number - 1} as the seed:")
    for name in names:
        print(f"  {name:<10} {tried[name]:>9,} cases")


if __name__ == "__main__":
    main()
