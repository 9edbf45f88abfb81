"""Whether an answer, and each of its rows, is about the venue and the market that were asked for.

The same market exists on both venues under one id, so their data must never mix. An answer of the Turbo venue
says ``"turbo": true`` at its top or in each row; only a bare list of trades or bars has no mark at all. An
answer of the spot venue has no mark, or ``false``. What names another market is not about the one that was
asked for; what names none is. Pure functions over decoded JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from .._errors import WrongVenue
from ..models import Rows
from ..wire._structure import fail, not_understood
from ..wire._verdict import venue_of
from ._envelope import layers
from ._shapes import market_named

__all__ = ["check_market", "check_one", "check_venue", "of_market", "of_venue", "says_venue"]

T = TypeVar("T")

_NAMES = {True: "Turbo", False: "spot"}


def check_venue(content: object, entries: Sequence[object], body: bytes, *, turbo: bool) -> bool:
    """Refuse an answer that is about the other venue.

    Args:
      content: the answer as it came, with everything around its entries.
      entries: what in it may hold a mark of its own, such as its rows.
      body: its text, for the error.
      turbo: the venue that was asked for.

    Returns:
      whether an entry without a mark is about that venue.

    Raises:
      WrongVenue: the answer says the other venue, or should be marked and nothing in it is.
    """
    said = [says_venue(layer, turbo=turbo) for layer in layers(content)]
    if False in said:
        raise _wrong(body, turbo)
    if not turbo or True in said:
        return True
    if entries and not any(says_venue(entry, turbo=turbo) for entry in entries):
        raise _wrong(body, turbo, "nothing in the answer says that it is about the Turbo venue")
    return False


def check_one(content: object, entry: object, body: bytes, *, turbo: bool) -> None:
    """Refuse an answer of one `entry` that is about the other venue, as :func:`check_venue` does."""
    unmarked, said = check_venue(content, [entry], body, turbo=turbo), says_venue(entry, turbo=turbo)
    if not (unmarked if said is None else said):
        raise _wrong(body, turbo)


def of_venue(rows: Rows[T], entries: Sequence[object], *, turbo: bool, unmarked: bool) -> Rows[T]:
    """Return `rows` without those that are about the other venue: they are not understood.

    Args:
      rows: what was read of `entries`.
      entries: the rows as they came.
      turbo: the venue that was asked for.
      unmarked: whether a row without a mark is about that venue.
    """

    def problem(entry: object) -> str | None:
        said = says_venue(entry, turbo=turbo)
        if unmarked if said is None else said:
            return None
        return f"it is not marked as one of the {_NAMES[turbo]} venue at $.turbo"

    return _without(rows, entries, problem)


def check_market(content: object, entry: object, body: bytes, market_id: object) -> None:
    """Refuse an answer that names another market, around its content or in its one `entry`.

    Raises:
      DecodeError: the answer is about another market.
    """
    for layer in (*layers(content), entry):
        problem = _other_market(layer, market_id)
        if problem is not None:
            raise fail(problem, body, "$.market_id")


def of_market(rows: Rows[T], entries: Sequence[object], market_id: object) -> Rows[T]:
    """Return `rows` without those that name another market: they are not understood."""

    def problem(entry: object) -> str | None:
        found = _other_market(entry, market_id)
        return None if found is None else f"{found} at $.market_id"

    return _without(rows, entries, problem)


def says_venue(value: object, *, turbo: bool) -> bool | None:
    """Return whether an object says that it is about this venue; None if it says nothing.

    A mark that cannot be read is not one of this venue.
    """
    try:
        mark = venue_of(value)
    except ValueError:
        return False
    return None if mark is None else mark is turbo


def _without(rows: Rows[T], entries: Sequence[object], problem_of: Callable[[object], str | None]) -> Rows[T]:
    """Return `rows` without those whose entry has a problem."""
    failed = {entry.index: entry for entry in rows.not_understood}
    readable = iter(rows)
    kept: list[T] = []
    for index, entry in enumerate(entries):
        if index in failed:
            continue
        row = next(readable)
        problem = problem_of(entry)
        if problem is None:
            kept.append(row)
        else:
            failed[index] = not_understood(index, entry, problem)
    return Rows(kept, (failed[index] for index in sorted(failed)))


def _other_market(value: object, market_id: object) -> str | None:
    """Return what is wrong with an object that names another market; one that cannot be read names none."""
    named = market_named(value)
    if not isinstance(named, str) or named == market_id:
        return None
    return f"expected something about market {market_id}, not about {named}"


def _wrong(body: bytes, turbo: bool, problem: str = "") -> WrongVenue:
    problem = problem or f"expected an answer about the {_NAMES[turbo]} venue, not about the other one"
    return WrongVenue(problem, path="$.turbo", frame=fail(problem, body).frame)
