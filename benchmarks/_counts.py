"""How many steps each stage takes for a message: figures that depend on neither the machine nor its load.

Counted are, for one message, the instructions that Python carries out and its calls of functions written in
C; and, for the whole work on some messages, the most bytes that it holds at once. What goes on inside of C
shows only there. The loops of ``_stages``, which are not the library's, are left out.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from . import _stages
from ._stages import Stage

if TYPE_CHECKING:
    from _typeshed import TraceFunction

__all__ = ["BASELINE", "PYTHON", "count", "count_all", "differences", "read_counts", "write_counts"]

Counts = Mapping[str, float]
"""What was counted, by what it is."""

BASELINE = Path(__file__).with_name("stage-counts.json")
"""The counts that are meant, by Python's minor version and stage."""
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TOLERANCE = 0.1
"""How much a count may differ from the one that is meant, as a share of it."""
SLACK = {"bytes": 1024}
"""How much more beside: what Trio holds around a stage, and Python for later, is not always the same."""
REWRITE = "python -m benchmarks.bench_stages --write-counts"

_MOST_MESSAGES = 192
"""More show nothing new: every third time, 64 of them are a turn."""
_NOT_COUNTED = frozenset({__file__, _stages.__file__})


class _Steps:
    """Counts steps inside a ``with`` block, in frames that begin or go on there; they may call anything.

    Attributes:
      instructions: of Python.
      calls: of functions written in C.
    """

    def __init__(self) -> None:
        self.instructions = self.calls = 0
        self._former = (sys.gettrace(), sys.getprofile())

    def __enter__(self) -> None:
        sys.settrace(self._enter)
        sys.setprofile(self._call)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        trace, profile = self._former
        sys.setprofile(profile)
        sys.settrace(trace)

    def _enter(self, frame: FrameType, _event: str, _what: object) -> TraceFunction | None:
        if frame.f_code.co_filename in _NOT_COUNTED:
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self._step

    def _step(self, _frame: FrameType, event: str, _what: object) -> TraceFunction | None:
        self.instructions += event == "opcode"
        return self._step

    def _call(self, frame: FrameType, event: str, _what: object) -> None:
        self.calls += event == "c_call" and frame.f_code.co_filename not in _NOT_COUNTED


@contextmanager
def _no_collection() -> Generator[None]:
    """Begin without garbage, and without what Python keeps for the next tuples and lists; leave it at that.

    A collection in between would come at any time, and may call what others have left to be called then.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _memory() -> Generator[list[int]]:
    """Put the most bytes that were held at once inside the block into a list."""
    was_tracing, most = tracemalloc.is_tracing(), [0]
    tracemalloc.start()
    # What is older counts neither now nor when it is given back.
    tracemalloc.clear_traces()
    try:
        yield most
    finally:
        _, most[0] = tracemalloc.get_traced_memory()
        if not was_tracing:
            tracemalloc.stop()


async def count(stage: Stage) -> Counts:
    """Return the counts of one stage. Runs in Trio."""
    messages = min(stage.messages, _MOST_MESSAGES)
    # What is looked up or made the first time and then kept is no part of it.
    async with stage.setup(messages) as work:
        await work()
    async with stage.setup(messages) as work:
        steps = _Steps()
        with _no_collection(), steps:
            await work()
    async with stage.setup(messages) as work:
        with _no_collection(), _memory() as most:
            await work()
    return {
        "instructions": round(steps.instructions / messages),
        "calls": round(steps.calls / messages, 1),
        "bytes": most[0],
    }


async def count_all(stages: Mapping[str, Stage]) -> dict[str, Counts]:
    """Return the counts of every stage."""
    return {name: await count(stage) for name, stage in stages.items()}


def read_counts() -> dict[str, dict[str, Counts]]:
    """Return the counts that are meant, by Python's minor version and stage."""
    counts: dict[str, dict[str, Counts]] = json.loads(BASELINE.read_text())
    return counts


def write_counts(found: Mapping[str, Counts]) -> None:
    """Make these the counts that are meant with this Python."""
    counts = (read_counts() if BASELINE.exists() else {}) | {PYTHON: found}
    BASELINE.write_text(json.dumps(counts, indent=2) + "\n")


def differences(found: Mapping[str, Counts], meant: Mapping[str, Counts]) -> list[str]:
    """Return what differs by more than a tenth, in words; what became cheaper, too, so that it stays so."""
    if found.keys() != meant.keys():
        return [f"not the same stages: {', '.join(sorted(found.keys() ^ meant.keys()))}; {REWRITE}"]
    return [
        f"{name}: {what} were {then:g} and are {now:g} ({now / then - 1 if then else 1:+.0%}); "
        f"if that is meant: {REWRITE}"
        for name, counts in found.items()
        for what, now in counts.items()
        if abs(now - (then := meant[name][what])) > TOLERANCE * then + SLACK.get(what, 0)
    ]
