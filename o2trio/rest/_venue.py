"""Spot or Turbo: whether an answer, and each of its rows, is about the venue that was asked for.

The same market exists on both venues under one id, so their data must never mix. An answer of the Turbo venue
says ``"turbo": true`` at its top or in each row; only a bare list of trades or bars has no mark at all. An
answer of the spot venue has no mark, or ``false``. Pure functions over decoded JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from .._errors import WrongVenue
from ..models import NotUnderstood, Rows
from ..wire._structure import fail, not_understood
from ..wire._verdict import venue_of
from ._envelope import layers

__all__ = ["check_one", "check_venue", "of_venue", "says_venue"]

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
    failed = {entry.index: entry for entry in rows.not_understood}
    readable = iter(rows)
    kept: list[T] = []
    for index, entry in enumerate(entries):
        said = says_venue(entry, turbo=turbo)
        if index in failed:
            continue
        row = next(readable)
        if unmarked if said is None else said:
            kept.append(row)
        else:
            failed[index] = _foreign(index, entry, turbo)
    return Rows(kept, (failed[index] for index in sorted(failed)))


def says_venue(value: object, *, turbo: bool) -> bool | None:
    """Return whether an object says that it is about this venue; None if it says nothing.

    A mark that cannot be read is not one of this venue.
    """
    try:
        mark = venue_of(value)
    except ValueError:
        return False
    return None if mark is None else mark is turbo


def _foreign(index: int, entry: object, turbo: bool) -> NotUnderstood:
    return not_understood(index, entry, f"it is not marked as one of the {_NAMES[turbo]} venue at $.turbo")


def _wrong(body: bytes, turbo: bool, problem: str = "") -> WrongVenue:
    problem = problem or f"expected an answer about the {_NAMES[turbo]} venue, not about the other one"
    return WrongVenue(problem, path="$.turbo", frame=fail(problem, body).frame)
