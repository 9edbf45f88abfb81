"""A nursery out of which one error comes as that error, never as an exception group."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import cast

import trio

__all__ = ["BareNursery", "leaves"]


class BareNursery:
    """An async context manager like :func:`trio.open_nursery`, with two differences.

    Its tasks are cancelled when the body ends, however it ends. And what comes out is one bare error: an
    exit (``KeyboardInterrupt``, ``SystemExit``) if there is one, else the body's own, else the first of a
    task.
    """

    async def __aenter__(self) -> trio.Nursery:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        return self._nursery

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._nursery.cancel_scope.cancel()
        # An error of the body stays out of the nursery, which would take a group of errors apart.
        try:
            if not isinstance(error, Exception):
                return await self._manager.__aexit__(kind, error, traceback)
            await self._manager.__aexit__(None, None, None)
            return False
        except (BaseExceptionGroup, trio.Cancelled) as raised:
            found = list(leaves(raised))
        if isinstance(error, Exception):
            found.append(error)
        chosen = min(found, key=lambda each: (_rank(each), each is not error))
        if chosen is error:
            return False
        context = chosen.__context__
        try:
            raise chosen
        finally:
            # What the error was raised from in its own task, not what the body was doing.
            chosen.__context__ = context


def _rank(error: BaseException) -> int:
    if isinstance(error, trio.Cancelled):
        return 2
    return 1 if isinstance(error, Exception) else 0


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that `error` groups, at every depth; an error that is no group yields itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(inner)
    else:
        yield error
