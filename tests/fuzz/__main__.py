"""Run the tolerance fuzz job: ``python -m tests.fuzz [--seed N] [--cases M] [--only FAMILY | --case CASE]``.

Without a seed it takes a fresh one and prints it. It exits with status 1 if the oracle found something.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter

from tests.fuzz._tolerance import FAMILIES, Failure, failures


def main() -> int:
    """Try cases and print each failure with the command that replays it."""
    parser = argparse.ArgumentParser(prog="fuzz", description="change one thing in real shapes, and judge")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**9), help="of every case; fresh without"
    )
    parser.add_argument("--cases", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--only", choices=list(FAMILIES), default="", help="one family of cases")
    parser.add_argument("--case", default="", help="one case, as family:number")
    parser.add_argument("--show", type=int, default=20, help="failures that are printed in full (20)")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    found: list[Failure] = []
    tried = 0
    for failure in failures(options.seed, options.cases, options.case or options.only):
        tried += 1
        if failure is not None:
            found.append(failure)
            if len(found) <= options.show:
                print(failure, flush=True)
    kinds = Counter(f"{failure.family}: {failure.problems[0].split(':')[0]}" for failure in found)
    for kind, count in kinds.most_common():
        print(f"{count:>6,} {kind}")
    print(f"{tried:,} cases with seed {options.seed}, {len(found):,} failures")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
