"""The guard of speed: no stage of a message's way may need more than a tenth more steps than is meant.

Steps are counted, never timed, so the machine and its load do not matter. What goes on inside of C is seen by
the calls that lead there, by the memory it takes, and by the road that frames take.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from benchmarks._counts import PYTHON, SLACK, count, count_all, differences, read_counts
from benchmarks._samples import BACK, DEPTH, OTHERS
from benchmarks._stages import STAGES, Stage, Work
from o2trio import DecodeError
from o2trio.wire import Frame, _decode, decode

MEANT = read_counts().get(PYTHON, {})
# What an instruction is, and which of them are seen, is the interpreter's own business.
counted = pytest.mark.skipif(
    not MEANT, reason=f"no counts for Python {PYTHON}; python -m benchmarks.bench_stages --write-counts"
)


@counted
def test_no_stage_takes_a_tenth_more_or_fewer_steps_than_is_meant() -> None:
    found = trio.run(count_all, STAGES)
    assert not differences(found, MEANT), "\n".join(differences(found, MEANT))


def dearer(stage: Stage, extra: Callable[[int], object]) -> Stage:
    """Return a stage that does something more for a number of messages."""

    @asynccontextmanager
    async def setup(messages: int) -> AsyncGenerator[Work]:
        async with stage.setup(messages) as work:

            async def more() -> None:
                kept = extra(messages)
                await work()
                del kept

            yield more

    return attrs.evolve(stage, setup=setup)


def step(number: float) -> None:
    for _ in range(round(number / 3)):
        pass


def call(number: float) -> None:
    for _ in range(round(number)):
        abs(-1)


@counted
@pytest.mark.parametrize("name", ["frame", "decode change of 6 levels", "book change", "route", "receive"])
def test_a_stage_that_became_dearer_is_found(name: str) -> None:
    stage = STAGES[name]
    usual = trio.run(count, stage)

    def complaints(extra: Callable[[int], object]) -> list[str]:
        return differences({name: trio.run(count, dearer(stage, extra))}, {name: usual})

    assert complaints(lambda messages: step(0.08 * usual["instructions"] * messages)) == []
    (complaint,) = complaints(lambda messages: step(0.12 * usual["instructions"] * messages))
    assert complaint.startswith(f"{name}: instructions were {usual['instructions']:g} and are ")
    assert complaint.endswith("; if that is meant: python -m benchmarks.bench_stages --write-counts")
    complaint = complaints(lambda messages: call(0.15 * usual["calls"] * messages))[0]
    assert complaint.startswith(f"{name}: calls were ")
    (complaint,) = complaints(lambda _messages: bytes(int(0.1 * usual["bytes"]) + SLACK["bytes"]))
    assert complaint.startswith(f"{name}: bytes were ")


def test_a_stage_that_became_cheaper_is_found() -> None:
    # Or it could become dearer again unseen.
    (complaint,) = differences({"book": {"calls": 7.0}}, {"book": {"calls": 8.0}})
    assert complaint.startswith("book: calls were 8 and are 7 (-12%);")


def test_a_stage_that_is_not_in_the_baseline_is_named() -> None:
    (complaint,) = differences({"old": {}, "new": {}}, {"old": {}})
    assert complaint.startswith("not the same stages: new;")


@counted
def test_counting_does_not_depend_on_what_ran_before_and_leaves_no_trace() -> None:
    before = sys.gettrace(), sys.getprofile()
    first = trio.run(count, STAGES["book change"])
    assert trio.run(count, STAGES["book change"]) == first
    assert (sys.gettrace(), sys.getprofile()) == before


def test_every_kind_of_data_frame_takes_the_native_road(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: str) -> Frame:
        raise DecodeError("the careful road", path="$", frame=data)

    monkeypatch.setattr(_decode, "decode_carefully", refuse)
    for text in (BACK, *DEPTH.values(), *OTHERS.values()):
        assert decode(text).body is not None
    with pytest.raises(DecodeError, match="the careful road"):
        decode('{"action": "what"}')
