"""Many simulated hours, and their figures for the documentation: ``python -m benchmarks.soak_report``.

It carries out what ``o2trio soak`` does, then writes ``docs/explanation/soak-figures.rst``: what was
simulated, what went wrong, how fast it was mended in virtual time, on which machine and commit. If a promise
is broken it writes nothing, and tells how to replay the failure. Run it from the root of the project, on a
commit without further changes. With ``--journal FILE`` a run that was stopped goes on where it was: what the
file says of the same commit is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import trio

from o2trio.cli._soak import describe, replay
from o2trio.testing._soak import Report, soak

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "soak-figures.rst"

HEAD = ".. Written by benchmarks/soak_report.py; what is changed here by hand is lost.\n"

Rows = Iterable[tuple[str, str]]

Figures = dict[str, Any]
"""What is added up of one report."""


class Sums:
    """What many reports come to."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.hours = self.cpu = 0.0
        self.recoveries: list[float] = []

    def add(self, figures: Figures) -> None:
        """Take in the figures of one report."""
        self.hours += figures["hours"]
        self.cpu += figures["cpu"]
        self.faults.update(figures["faults"])
        self.recoveries += figures["recoveries"]
        self.counts.update(figures["counts"])


def figures_of(report: Report) -> Figures:
    """Return what is added up of a report, as JSON can say it."""
    return {
        "hours": report.hours,
        "cpu": report.cpu,
        "faults": dict(report.faults),
        "recoveries": list(report.recoveries),
        "counts": {
            "seeds": 1,
            "frames": report.frames,
            "updates": report.updates,
            "backfilled": report.backfilled,
            "gaps": report.gaps,
            "clients": report.clients,
            "starts": report.eras - 1,
            "consumers": len(report.plan.consumers),
        },
    }


class Journal:
    """A file with a line for each report that broke no promise, or no file at all.

    Attributes:
      done: the figures of the same commit and hours, by seed.
    """

    def __init__(self, path: Path | None, commit: str, hours: float) -> None:
        self.done: dict[int, Figures] = {}
        self._path = path
        self._key = [commit, hours]
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                key, seed, figures = json.loads(line)
                if key == self._key:
                    self.done[seed] = figures

    def write(self, seed: int, figures: Figures) -> None:
        """Add a line."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                print(json.dumps([self._key, seed, figures]), file=file)


def main() -> None:
    """Soak, and write the page."""
    parser = argparse.ArgumentParser(description="Soak, and write the figures into the documentation.")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 2000), metavar=("FIRST", "LAST"))
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=PAGE)
    parser.add_argument("--journal", type=Path, help="where to write down what is done, and read it")
    arguments = parser.parse_args()
    first, last = arguments.seeds
    seeds = range(first, last + 1)
    commit, sums, broken = commit_of(), Sums(), list[Report]()
    journal = Journal(arguments.journal, commit, arguments.hours)
    for seed in journal.done.keys() & set(seeds):
        sums.add(journal.done[seed])
    missing = [seed for seed in seeds if seed not in journal.done]
    for report in soak(missing, arguments.hours, processes=arguments.processes):
        figures = figures_of(report)
        sums.add(figures)
        if report.failure is not None:
            print(describe(report), f"  replay: {replay(report.plan)}", sep="\n", flush=True)
            broken.append(report)
            continue
        journal.write(report.plan.seed, figures)
        if not sums.counts["seeds"] % 100:
            print(f"{sums.counts['seeds']} seeds, {sums.hours:.0f} h", flush=True)
    if broken:
        sys.exit(f"{len(broken)} of {sums.counts['seeds']} seeds broke a promise; nothing was written")
    text = page(sums, seeds, commit, arguments.processes)
    arguments.output.write_text(text, encoding="utf-8")
    print(f"wrote {arguments.output}")


def page(sums: Sums, seeds: Sequence[int], commit: str, processes: int) -> str:
    """Return the figures as reStructuredText."""
    counts, waits = sums.counts, sorted(sums.recoveries)
    totals = [
        ("Seeds", f"{seeds[0]} to {seeds[-1]}: {number(counts['seeds'])}"),
        ("Promises broken", "none"),
        ("Simulated hours", number(round(sums.hours))),
        ("Consumers", number(counts["consumers"])),
        ("Clients opened, one after the other", number(counts["clients"])),
        ("WebSocket messages received", number(counts["frames"])),
        ("Updates delivered and judged", number(counts["updates"])),
        ("of these repaired over REST", number(counts["backfilled"])),
        ("of these marks of what could not be", number(counts["gaps"])),
        ("Faults", number(sums.faults.total())),
        ("Exchanges that forgot their books", number(counts["starts"])),
        ("Breaks of a stream and their repair", number(len(waits))),
        *recovery(waits),
        ("Commit", commit),
        ("Machine", machine(processes)),
        ("Processor time", f"{sums.cpu / 60:.0f} min; {sums.cpu / sums.hours:.1f} s for a simulated hour"),
    ]
    kinds = [(kind, number(count)) for kind, count in sums.faults.most_common()]
    both = (table(("What", "How much"), totals), table(("Fault", "How often"), kinds))
    return "\n".join([HEAD, *both])


def recovery(ascending: Sequence[float]) -> Iterator[tuple[str, str]]:
    """Yield how long repairs took, outages included, from the break until the stream was whole."""
    for name, share in (("half of them within", 0.5), ("99 of 100 within", 0.99), ("all within", 1.0)):
        if ascending:
            place = min(int(len(ascending) * share), len(ascending) - 1)
            yield name, f"{ascending[place]:.1f} s of virtual time"


def number(value: int) -> str:
    """Return a number with spaces between its thousands."""
    return f"{value:,}".replace(",", " ")


def table(head: tuple[str, str], rows: Rows) -> str:
    """Return a table as reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for left, right in (head, *rows):
        lines += [f"   * - {left}", f"     - {right}"]
    return "\n".join([*lines, ""])


def machine(processes: int) -> str:
    """Name the machine and what runs on it."""
    return (
        f"{platform.system()} on {platform.machine()}, {processes} processes on {os.cpu_count()} processors,"
        f" {platform.python_implementation()} {platform.python_version()}, Trio {trio.__version__}"
    )


def commit_of() -> str:
    """Name the commit that is checked out, and say if there is more than that."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short=12", "HEAD") + (" and changes" if changed else "")


if __name__ == "__main__":
    main()
