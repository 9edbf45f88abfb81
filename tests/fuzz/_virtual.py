"""One run of Trio on virtual time that is the same each time and says nothing in the log."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from trio._core import _run as trio_scheduler
from trio.testing import MockClock

__all__ = ["run_virtual"]

T = TypeVar("T")


def run_virtual(main: Callable[..., Awaitable[T]], *args: object) -> T:
    """Return what `main` returns; tasks have their turns in the same order each time."""
    trio_scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_scheduler._r.seed(0)
    logger = logging.getLogger("o2trio")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        return trio.run(main, *args, clock=MockClock(autojump_threshold=0))
    finally:
        logger.setLevel(level)
