"""Fixtures for pytest with pytest-trio.

A test module enables them, or the topmost ``conftest.py``::

    pytest_plugins = ["o2trio.testing.plugin"]

A test that uses one of them, itself or through a fixture of its own, runs as :func:`o2trio.testing.run` runs
a program: in virtual time, everything following from ``o2_seed``. It needs no ``autojump_clock`` and no mark.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from ..simulator import Simulator, open_simulator
from ._determinism import run
from ._hostile import HostileExchange, open_exchange

__all__ = ["hostile_exchange", "o2_seed", "simulator", "virtual_clock"]

T = TypeVar("T")


@pytest.fixture
def o2_seed() -> int:
    """Give what everything follows from.

    Others than 7 come from ``@pytest.mark.parametrize("o2_seed", range(20))``.
    """
    return 7


@pytest.fixture
def virtual_clock(o2_seed: int) -> MockClock:
    """Give Trio's clock of the test: it jumps to the next deadline as soon as every task waits."""
    return MockClock(autojump_threshold=0)


@pytest.fixture
async def simulator(virtual_clock: MockClock, o2_seed: int) -> AsyncGenerator[Simulator]:
    """Open an embedded exchange, as :func:`open_simulator` opens it."""
    async with open_simulator(o2_seed) as opened:
        yield opened


@pytest.fixture
async def hostile_exchange(virtual_clock: MockClock, o2_seed: int) -> AsyncGenerator[HostileExchange]:
    """Open an embedded exchange behind a hostile network, as :func:`open_exchange` opens it."""
    async with open_exchange(o2_seed) as opened:
        yield opened


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the tests that use our clock run by it, whether or not they name it themselves."""
    function: object = getattr(item, "function", None)
    if (
        isinstance(item, pytest.Function)
        and "virtual_clock" in item.fixturenames
        and inspect.iscoroutinefunction(function)
    ):
        item.add_marker(pytest.mark.trio(run=partial(_run, item)), append=False)


def _run(
    item: pytest.Function,
    main: Callable[[], Awaitable[T]],
    *,
    clock: trio.abc.Clock | None,
    instruments: Sequence[trio.abc.Instrument],
) -> T:
    """Stand where ``trio.run`` is for pytest-trio, which knows only of clocks that the test itself names."""
    ours, seed = item.funcargs["virtual_clock"], item.funcargs["o2_seed"]
    assert isinstance(ours, MockClock)
    assert isinstance(seed, int)
    if clock not in {None, ours}:
        raise ValueError("a test has one clock: leave autojump_clock and mock_clock out")
    return run(seed, main, clock=ours, instruments=instruments)
