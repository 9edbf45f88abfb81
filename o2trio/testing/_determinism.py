"""Runs a Trio program so that everything it does follows from one seed.

The contract. Under :func:`run` these follow from the seed, and from nothing else:

- time: the clock is virtual and jumps to the next deadline as soon as every task waits, so nothing
  depends on how fast the machine is; ``time.monotonic`` tells the same virtual time to libraries that ask it
  (httpcore2 does, for how long idle connections are kept);
- the order of tasks: Trio draws it, here from the seed;
- chance: the module ``random`` and ``os.urandom`` are seeded (wsproto draws WebSocket keys and masks from
  the latter, trio-websocket the payload of pings from the former); everything of this project has a source of
  its own;
- the collector of cyclic garbage, which ends forgotten asynchronous generators: it runs every
  :data:`COLLECT_SECONDS` of virtual time instead of whenever enough has been allocated.

These do not follow from it, and a simulated program must not look at them: ``time.time``,
``time.perf_counter`` (httpx2 notes with it how long a request took; nobody reads that) and every other clock
of the machine, threads, sockets, subprocesses and files, the order of a set of texts (it follows from
PYTHONHASHSEED), addresses (``id``, the default ``hash`` and ``repr``), and what libraries written in C draw.
In ``tests/testing``, ``test_determinism.py`` forbids the first ones by making them raise, and finds the
others by comparing digests between processes with different hash seeds.

The same seed gives the same run for the same versions of Python and of the libraries; another version may
draw differently.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TypeVar

import trio
from trio._core import _run as trio_scheduler
from trio.testing import MockClock

__all__ = ["COLLECT_SECONDS", "run"]

T = TypeVar("T")

COLLECT_SECONDS = 600.0
"""Virtual seconds between two collections of cyclic garbage."""


def run(
    seed: int,
    main: Callable[[], Awaitable[T]],
    *,
    clock: MockClock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run `main` in virtual time, everything following from `seed`, and return its result.

    For one thread at a time: it changes Trio's scheduler, ``random``, ``os.urandom``, ``time.monotonic`` and
    the garbage collector of the process, and restores them in any case.

    Args:
      seed: determines everything.
      main: an async function without arguments.
      clock: for who wants to hold it; one that jumps by default.
      instruments: go to ``trio.run``.

    An error of `main` comes out as it is.
    """
    clock = clock or MockClock(autojump_threshold=0)

    async def collected() -> T:
        trio.lowlevel.spawn_system_task(_collect_garbage, name="o2trio garbage collection")
        return await main()

    with (
        _seeded(random, f"o2 library chance {seed}"),
        _seeded(trio_scheduler._r, f"o2 scheduler {seed}"),
        _replaced(trio_scheduler, _ALLOW_DETERMINISTIC_SCHEDULING=True),
        _replaced(os, urandom=random.Random(f"o2 bytes {seed}").randbytes),
        _replaced(time, monotonic=clock.current_time),
        _garbage_kept(),
    ):
        return trio.run(collected, clock=clock, instruments=instruments)


async def _collect_garbage() -> None:
    while True:
        await trio.sleep(COLLECT_SECONDS)
        gc.collect()


@contextmanager
def _garbage_kept() -> Generator[None]:
    """Keep the collector from running by itself; what exists already is left alone, which is also faster."""
    enabled = gc.isenabled()
    gc.disable()
    # Garbage that is frozen would stay, and more would come with every run.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()


@contextmanager
def _seeded(source: random.Random | ModuleType, seed: str) -> Generator[None]:
    state = source.getstate()
    source.seed(seed)
    try:
        yield
    finally:
        source.setstate(state)


@contextmanager
def _replaced(module: ModuleType, **values: object) -> Generator[None]:
    names = vars(module)
    before = {name: names[name] for name in values}
    names.update(values)
    try:
        yield
    finally:
        names.update(before)
