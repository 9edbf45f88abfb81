"""One peer in a process of its own: ``python -m benchmarks.race._peer NAME TASK`` prints its result."""

from __future__ import annotations

import json
import sys
from importlib import import_module

from benchmarks.race._meter import load, pin

MISSING = 3
"""Exit status of a peer whose library is not installed."""

_MODULES = {"sdk": "_official", "sdk-book": "_official", "ours": "_ours", "ours-batches": "_ours"}
"""Where the clients are; the others are in ``_bare``. Nobody imports what another needs."""


def main() -> None:
    """Measure, and print."""
    name, text = sys.argv[1:]
    task = load(text)
    pin(0)
    try:
        module = import_module(f"benchmarks.race.{_MODULES.get(name, '_bare')}")
        result = module.MEASURES[name, task.scenario.measure](task)
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed")
        sys.exit(MISSING)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
