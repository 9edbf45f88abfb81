"""A nursery out of which one error comes as that error, never as an exception group."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import cast

import trio

__all__ = ["BareNursery", "leaves"]

_log = logging.getLogger("o2trio")

_NOTES = 8
"""How many further errors are noted at the one that comes out."""
_NOTE_CHARACTERS = 300


class BareNursery:
    """An async context manager like :func:`trio.open_nursery`, with two differences.

    Its tasks are cancelled when the body ends, however it ends. And what comes out is one bare error: an
    exit (``KeyboardInterrupt``, ``SystemExit``) if there is one, else the body's own, else the first of a
    task. Further errors are logged with their tracebacks and named in notes of that one.
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
        _keep_trace(chosen, found)
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


def _keep_trace(chosen: BaseException, found: Iterable[BaseException]) -> None:
    """Note and log the errors that do not come out because `chosen` does; a cancellation is not one."""
    others = [each for each in found if each is not chosen and not isinstance(each, trio.Cancelled)]
    for number, other in enumerate(others):
        text = f"{type(other).__name__}: {other}"
        # The same twice, for example from the reader and the writer of a lost connection, says nothing new.
        is_same = type(other) is type(chosen) and str(other) == str(chosen)
        _log.log(
            logging.DEBUG if is_same else logging.WARNING,
            "%s occurred together with %s: %s",
            text,
            type(chosen).__name__,
            chosen,
            exc_info=other,
        )
        if number < _NOTES:
            chosen.add_note(f"occurred together with {text:.{_NOTE_CHARACTERS}}")
    if len(others) > _NOTES:
        chosen.add_note(f"and with {len(others) - _NOTES} further errors; the log has them all")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that `error` groups, at every depth; an error that is not a group yields itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(inner)
    else:
        yield error
