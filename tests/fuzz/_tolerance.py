"""The tolerance fuzz job: many cases from one seed, and a report that replays each failure.

Three families: ``streams`` (one change to what a socket sends), ``answers`` (one change to a REST answer) and
``writes`` (one change to the answer of a signed submission). What a case is, how it is played and how it is
judged is in ``_play`` and ``_judge``, ``_rest_case`` and ``_write_case``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from tests.fuzz._judge import judge
from tests.fuzz._play import Case, Played, draw_case, play
from tests.fuzz._rest_case import RestCase, RestPlayed, draw_rest, judge_rest, play_rest
from tests.fuzz._write_case import WriteCase, WritePlayed, draw_write, judge_write, play_write

__all__ = ["FAMILIES", "Failure", "Family", "failures"]


@attrs.frozen
class Family:
    """One kind of case.

    Attributes:
      draw: makes a case from a seed and a number.
      try_case: plays and judges it; returns the violations and what there is to show.
      share: of a hundred cases.
    """

    draw: Callable[[int, int], Any]
    try_case: Callable[[Any], tuple[list[str], list[str]]]
    share: int


@attrs.frozen
class Failure:
    """A case in which the oracle found something."""

    family: str
    seed: int
    number: int
    problems: list[str]
    shown: list[str]

    def __str__(self) -> str:
        lines = [f"{self.family}:{self.number} of seed {self.seed}", *(f"  {line}" for line in self.problems)]
        lines += [f"    {line}" for line in self.shown]
        replay = f"python -m nox -s fuzz -- --seed {self.seed} --case {self.family}:{self.number}"
        return "\n".join([*lines, f"  replay: {replay}"])


def _streams(case: Case) -> tuple[list[str], list[str]]:
    played: Played = play(case)
    shown = [f"{case.kind}: {case.what}"]
    for meant, message in case.messages:
        shown += [f"meant: {json.dumps(meant)}", f"sent:  {json.dumps(message)}"]
    return judge(played), [*shown, *(f"event: {event}" for event in played.events)]


def _answers(case: RestCase) -> tuple[list[str], list[str]]:
    played: RestPlayed = play_rest(case)
    shown = [f"{case.path}, status {case.status}: {case.what}", f"before: {json.dumps(case.before)}"]
    return judge_rest(case, played), [
        *shown,
        f"after:  {json.dumps(case.after)}",
        f"gave:   {played.found!r}",
    ]


def _writes(case: WriteCase) -> tuple[list[str], list[str]]:
    played: WritePlayed = play_write(case)
    shown = [f"{case.path}: {played.what}", f"before: {json.dumps(played.before)}"]
    shown += [
        f"after:  {json.dumps(played.after)}",
        *(f"{name}: {one!r}" for name, one in played.steps.items()),
    ]
    return judge_write(case, played), shown


FAMILIES: dict[str, Family] = {
    "streams": Family(draw_case, _streams, 60),
    "answers": Family(draw_rest, _answers, 30),
    "writes": Family(draw_write, _writes, 10),
}


def failures(seed: int, cases: int, only: str = "") -> Iterator[Failure | None]:
    """Try `cases` cases of a seed; yield for each its failure, or None.

    Args:
      seed: of every case.
      cases: how many, of all families by their shares.
      only: one family, or one case of it as ``family:number``.
    """
    name, _, number = only.partition(":")
    for family, kind in FAMILIES.items():
        if name not in {"", family}:
            continue
        count = cases if name else cases * kind.share // 100
        for each in [int(number)] if number else range(count):
            problems, shown = kind.try_case(kind.draw(seed, each))
            yield Failure(family, seed, each, problems, shown) if problems else None
