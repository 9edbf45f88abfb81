"""Does the soak find what is broken? Mutants of the client, hunted: ``python -m benchmarks.soak_mutants``.

Each mutant of ``_mutants`` is applied to a copy of the package, never to the checkout, and seeds are carried
out with this copy until a promise is broken; for a bug of ``_former_bugs`` only the seed that is kept.
Then the version without mutants must pass the same seeds, as otherwise a find would mean nothing. If all are
found, ``docs/explanation/soak-mutants.rst`` is written.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs

import o2trio
from benchmarks._former_bugs import FORMER_BUGS, RARE_BUGS
from benchmarks._mutants import MUTANTS, Mutant
from benchmarks.soak_report import commit_of, machine, number, table
from o2trio.testing._soak import run_seed

EVERY = (*MUTANTS, *FORMER_BUGS)
"""What must be found. The rare ones are hunted only if they are named."""

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "o2trio"
PAGE = ROOT / "docs" / "explanation" / "soak-mutants.rst"

HEAD = ".. Written by benchmarks/soak_mutants.py; what is changed here by hand is lost.\n"

NOTE = "Only mistakes that are found are listed. This shows what the judges notice, not what they miss.\n"

Run = tuple[int, float]
"""A seed, and the simulated hours it is carried out for."""

_CHILD = "import sys; from benchmarks.soak_mutants import hunt; hunt(*sys.argv[1:])"


@attrs.frozen(slots=True, kw_only=True)
class Outcome:
    """What became of a hunt.

    Attributes:
      seed: that broke a promise, or 0.
      promise, consumer, detail: which one, whose, and what was seen; without a seed, why not.
      seconds: how long it took.
    """

    seed: int = 0
    promise: str = ""
    consumer: str = ""
    detail: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.seed:
            return f"NOT FOUND: {self.detail}, {self.seconds:.0f} s"
        whose = f"{self.consumer}: " if self.consumer else ""
        return f"seed {self.seed}, {self.promise}: {whose}{self.detail:.120} ({self.seconds:.0f} s)"


def main() -> None:
    """Hunt, and write the page."""
    arguments = _arguments()
    named = tuple(mutant for mutant in (*EVERY, *RARE_BUGS) if mutant.name in arguments.names)
    chosen = named or EVERY
    began, commit, outcomes = time.monotonic(), commit_of(), list[Outcome]()
    with copied() as package, ThreadPoolExecutor(arguments.processes) as pool:
        fresh = [(seed, arguments.hours) for seed in range(1, arguments.seeds + 1)]
        search = partial(hunted, package, runs=fresh, limit=arguments.limit)
        for mutant, outcome in zip(chosen, pool.map(search, chosen), strict=True):
            outcomes.append(outcome)
            print(f"{mutant.name}: {outcome}", flush=True)
        missed = [mutant.name for mutant, each in zip(chosen, outcomes, strict=True) if not each.seed]
        kept = {mutant.kept for mutant in chosen if mutant.kept}
        highest = max(
            (each.seed for mutant, each in zip(chosen, outcomes, strict=True) if not mutant.kept), default=0
        )
        needed = [*fresh[:highest], *sorted(kept)]
        shares = (needed[first :: arguments.processes] for first in range(arguments.processes))
        unbroken = list(pool.map(partial(run_apart, package, limit=arguments.limit), filter(None, shares)))
    print(f"{len(chosen) - len(missed)} of {len(chosen)} mutants were found")
    wrong = [f"without a mutant: {each}" for each in unbroken if each.detail != PASSED]
    wrong += [f"not found: {', '.join(missed)}"] if missed else []
    if wrong:
        sys.exit("\n".join(wrong))
    print("all of these seeds are passed without a mutant")
    if chosen is EVERY:
        took = time.monotonic() - began
        text = page(outcomes, arguments.hours, commit, took, arguments.processes)
        arguments.output.write_text(text, encoding="utf-8")
        print(f"wrote {arguments.output}")


def _arguments() -> argparse.Namespace:
    names = [mutant.name for mutant in (*EVERY, *RARE_BUGS)]
    parser = argparse.ArgumentParser(description="Hunt deliberately broken versions of the client.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names)}")
    parser.add_argument("--seeds", type=int, default=60, help="to be found within")
    parser.add_argument("--hours", type=float, default=0.5, help="simulated hours of each seed")
    parser.add_argument("--processes", type=int, default=2, help="at the same time")
    parser.add_argument("--limit", type=float, default=900.0, help="real seconds for a mutant")
    parser.add_argument("--output", type=Path, default=PAGE)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    return arguments


# -- hunting --------------------------------------------------------------------------------------------

PASSED = "every seed was passed"


@contextmanager
def copied(package: Path = ROOT / PACKAGE, mutant: Mutant | None = None) -> Iterator[Path]:
    """Copy a package into a directory of its own, and break it there; without a mutant it stays whole."""
    with TemporaryDirectory(prefix="o2-mutant-") as directory:
        copy = Path(directory, PACKAGE)
        shutil.copytree(package, copy)
        if mutant is not None:
            file = copy / mutant.file
            file.write_text(broken(mutant, file.read_text(encoding="utf-8")), encoding="utf-8")
        yield copy


def broken(mutant: Mutant, source: str) -> str:
    """Return a source with the mutant in it.

    Raises:
      ValueError: what it replaces does not occur exactly once.
    """
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its text occurs {source.count(mutant.old)} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)


def hunted(package: Path, mutant: Mutant, *, runs: Collection[Run], limit: float) -> Outcome:
    """Carry out seeds with a mutant until one breaks a promise; only the one that is kept, if any."""
    with copied(package, mutant) as copy:
        return run_apart(copy, [mutant.kept] if mutant.kept else runs, limit=limit)


def run_apart(package: Path, runs: Collection[Run], *, limit: float) -> Outcome:
    """Carry out seeds with the package at this place, in a process of its own, until one breaks a promise.

    Args:
      package: its directory.
      runs: which seeds, and the simulated hours of each.
      limit: real seconds that all may take; a mutant may well go round in circles.
    """
    began = time.monotonic()
    command = [sys.executable, "-c", _CHILD, str(package), json.dumps([*runs])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(package.parent), str(ROOT)))}
    try:
        # The directory is part of the path, too.
        done = subprocess.run(
            command,
            cwd=package.parent,
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(detail="took too long", seconds=time.monotonic() - began)
    seconds = time.monotonic() - began
    if done.returncode:
        return Outcome(detail=f"broke off: {done.stderr.strip()[-200:]}", seconds=seconds)
    return Outcome(**json.loads(done.stdout.splitlines()[-1]), seconds=seconds)


def hunt(package: str, runs: str) -> None:
    """Carry out seeds until one breaks a promise, and print one line of JSON. Runs in a child process."""
    if not Path(o2trio.__file__).is_relative_to(package):
        sys.exit(f"another package was imported: {o2trio.__file__}")
    found = Outcome(detail=PASSED)
    for seed, hours in json.loads(runs):
        failure = run_seed(seed, hours).failure
        if failure is not None:
            found = Outcome(
                seed=seed, promise=failure.promise, consumer=failure.consumer, detail=failure.detail
            )
            break
    told = attrs.asdict(found)
    del told["seconds"]
    print(json.dumps(told))


# -- telling --------------------------------------------------------------------------------------------


def page(outcomes: Sequence[Outcome], hours: float, commit: str, took: float, processes: int) -> str:
    """Return what was found as reStructuredText; `outcomes` are those of all mutants."""
    count = len(MUTANTS)
    highest = max(outcome.seed for outcome in outcomes[:count])
    at_once = sum(outcome.seed == 1 for outcome in outcomes[:count])
    totals = [
        ("Mistakes", number(count)),
        ("Bugs that were there once, put back", number(len(FORMER_BUGS))),
        ("found", "all"),
        ("Mistakes found by the first seed", number(at_once)),
        ("Seeds that they needed at most", f"{number(highest)}, of {hours:g} simulated hours each"),
        ("The same seeds without a mutant", "no promise broken"),
        ("Commit", commit),
        ("Machine", machine(processes)),
        ("Time it took", f"{took / 60:.0f} min"),
    ]
    finds = [
        (f"{mutant.what[0].upper()}{mutant.what[1:]} (``{mutant.file}``)", f"{each.seed}: {each.promise}")
        for mutant, each in zip(EVERY, outcomes, strict=True)
    ]
    tables = (
        table(("What", "How much"), totals),
        table(("Mistake, and where it was made", "Found by seed: promise"), finds[:count]),
        table(("Bug that was put back, and where", "Found by the seed that is kept: promise"), finds[count:]),
    )
    return "\n".join([HEAD, *tables, NOTE])


if __name__ == "__main__":
    main()
