"""The cost of each stage of a message's way, beside a reference of the same run.

A figure is the best of many short rounds, in which stage and reference take turns, so that other work on the
machine hardly counts; only the ratio may be compared between runs, and with care between machines. The
references are a few steps of plain Python (loop), ``msgspec.json.decode`` of the same bytes into dictionaries
and lists (json), and msgspec straight into attrs classes, text numbers included, without any check and
without the updates, ids and identities made of what it reads (typed): what cannot be avoided.

Beside them stand the counts that ``tests/bench/test_stage_counts.py`` guards: instructions and calls into C
for each message, and the most bytes at once. ``--write-counts`` makes those found the ones that are meant.

Counts do not see how long C works, so ``--check`` holds the ratios of the stages that live in C against those
they had. It measures a stage again before it complains. On one machine that is steady: in 16 runs, half of
them beside four busy processes on two cores, no ratio of these was more than 10 % above its usual one. On a
processor of another make the usual ones may be others, so no test and no other check relies on this.
"""

from __future__ import annotations

import argparse
import gc
import platform
import time

import trio

from ._counts import BASELINE, PYTHON, Counts, count_all, write_counts
from ._stages import STAGES, Setup, Stage

ROUNDS = 60
ATTEMPTS = 5
TOLERANCE = 0.1
USUAL = {
    "frame": 2.7,
    "decode change of 6 levels": 1.55,
    "decode view of 20 levels": 1.34,
    "decode snapshot of 1,000": 1.38,
    "decode snapshot of 10,000": 1.41,
    "decode trade": 2.35,
    "decode order": 2.24,
    "decode balance": 2.87,
    "decode nonce": 2.77,
}
"""The ratios of the stages whose work is mostly done in C."""


async def one_round(setup: Setup, messages: int) -> float:
    """Return the microseconds that each message took."""
    async with setup(messages) as work:
        start = time.thread_time()
        await work()
        return (time.thread_time() - start) / messages * 1e6


async def measure(stage: Stage, rounds: int) -> tuple[float, float]:
    """Return the best microseconds for a message, of the stage and of its reference."""
    best = reference = float("inf")
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        best = min(best, await one_round(stage.setup, stage.messages))
        reference = min(reference, await one_round(stage.reference, stage.messages))
    gc.enable()
    return best, reference


async def print_table(rounds: int) -> dict[str, Counts]:
    """Measure, count and print; return the counts."""
    counts = await count_all(STAGES)
    print(f"{'stage':26}{'us':>10}{'reference':>18}{'ratio':>8}{'instructions':>14}{'calls':>8}{'bytes':>11}")
    for name, stage in STAGES.items():
        best, reference = await measure(stage, rounds)
        instructions, calls, most = counts[name].values()
        print(
            f"{name:26}{best:10.2f}{reference:12.2f} {stage.unit:5}{best / reference:8.2f}"
            f"{instructions:14.0f}{calls:8.1f}{most:11.0f}"
        )
    return counts


async def check(rounds: int) -> list[str]:
    """Return what is dearer than usual, in words."""
    complaints: list[str] = []
    for name, usual in USUAL.items():
        least = float("inf")
        for _ in range(ATTEMPTS):
            best, reference = await measure(STAGES[name], rounds)
            least = min(least, best / reference)
            if least <= usual * (1 + TOLERANCE):
                break
        else:
            complaints.append(f"{name}: {least:.2f} times its reference, usually {usual:g}")
    return complaints


def main() -> None:
    """Measure, count and print a table, or do as the options say."""
    parser = argparse.ArgumentParser(description="the cost of each stage of a message's way")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each stage; the best one counts")
    parser.add_argument("--write-counts", action="store_true", help=f"into {BASELINE.name}, and no more")
    parser.add_argument("--check", action="store_true", help="fail if a stage in C is dearer than usual")
    options = parser.parse_args()
    if options.write_counts:
        write_counts(trio.run(count_all, STAGES))
        return
    if options.check:
        raise SystemExit("\n".join(trio.run(check, options.rounds)) or None)
    print(f"{platform.python_implementation()} {PYTHON} on {platform.machine()}")
    print(f"best of {options.rounds} rounds; processor time and steps for a message, bytes at once")
    trio.run(print_table, options.rounds)


if __name__ == "__main__":
    main()
