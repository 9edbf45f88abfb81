"""The tolerance fuzz job in a bounded size, and proofs that its oracle can be angry.

The same cases each time; ``python -m nox -s fuzz`` tries thousands of new ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.fuzz import _judge
from tests.fuzz._broken import BROKEN, BROKEN_READS, BROKEN_WRITES
from tests.fuzz._change import change_one, places
from tests.fuzz._play import Case, draw_case, play
from tests.fuzz._rest_case import draw_rest
from tests.fuzz._tolerance import FAMILIES, failures

SEED = 20_261_130
COUNTS = {"streams": 60, "answers": 200, "writes": 20}


@pytest.mark.parametrize("family", FAMILIES)
def test_one_change_costs_no_more_than_itself(family: str) -> None:
    found = [failure for failure in failures(SEED, COUNTS[family], family) if failure is not None]
    assert not found, "\n\n".join(map(str, found[:3]))


def test_nothing_is_wrong_with_plain_messages() -> None:
    """The oracle is content where nothing was changed; so what it complains of is the change's."""
    assert _judge.judge(play(Case("nonce", "nothing", at_once=False, messages=[]))) == []


def test_a_case_is_the_same_each_time() -> None:
    for number in range(20):
        assert draw_case(5, number) == draw_case(5, number)
        assert draw_rest(5, number) == draw_rest(5, number)
    first, second = (play(draw_case(5, 3)) for _ in range(2))
    assert first.updates == second.updates
    assert first.events == second.events


def test_a_change_is_one_change() -> None:
    value = {"a": [1, {"b": "2"}], "timestamp": "3"}
    seen = set()
    for number in range(500):
        change = change_one(random.Random(number), value)
        assert change.result != value or str(change.result) != str(value)
        assert change.path in set(places(value))
        seen.add(change.what)
    assert value == {"a": [1, {"b": "2"}], "timestamp": "3"}
    assert len(seen) == 12


# -- the oracle can be angry -----------------------------------------------------------------------


def _found(kind: str, cases: int = 120) -> Iterator[str]:
    for number in range(cases):
        yield from _judge.judge(play(draw_case(SEED, number, kind)))


@pytest.mark.parametrize("name", BROKEN)
def test_the_oracle_catches_a_client_that(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, kind, check = BROKEN[name]
    apply(monkeypatch)
    assert any(problem.startswith(f"{check}:") for problem in _found(kind))


def test_every_check_has_been_angry() -> None:
    assert {check for _, _, check in BROKEN.values()} >= {*_judge.CHECKS}


@pytest.mark.parametrize("name", BROKEN_READS)
def test_the_oracle_catches_a_read_that(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, check = BROKEN_READS[name]
    apply(monkeypatch)
    assert any(
        problem.startswith(f"{check}:")
        for failure in failures(SEED, 1500, "answers")
        if failure is not None
        for problem in failure.problems
    )


@pytest.mark.parametrize("name", BROKEN_WRITES)
def test_the_oracle_catches_a_submission_that(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, check = BROKEN_WRITES[name]
    apply(monkeypatch)
    assert any(
        problem.startswith(f"{check}:")
        for failure in failures(SEED, 60, "writes")
        if failure is not None
        for problem in failure.problems
    )
