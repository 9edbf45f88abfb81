"""Do the same work for many things, several at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import trio

from ._nursery import BareNursery

__all__ = ["side_by_side"]

T = TypeVar("T")


async def side_by_side(things: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Call ``work(thing)`` for each of `things`, at most `at_once` at a time.

    A thing is taken when its work begins, so an iterator may decide late which one is next. Returns when all
    are done. The first error ends the others and arrives as that error. Cancelling it cancels what has begun,
    and begins nothing more.
    """
    waiting = iter(things)
    workers = at_once
    over = trio.Event()

    async def go_on() -> None:
        nonlocal workers
        for thing in waiting:
            await work(thing)
        workers -= 1
        if not workers:
            over.set()

    async with BareNursery() as nursery:
        for _ in range(workers):
            nursery.start_soon(go_on, name=f"{trio.lowlevel.current_task().name}: side by side")
        await over.wait()
