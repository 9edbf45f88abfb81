"""The flavours of an answer brought into the one form that a model has.

Pure functions over decoded JSON. What is strange is left as it is, for the model to refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ..models import Id

__all__ = ["Shape", "anything", "book", "depth_of", "keyed", "listed", "under"]

Shape = Callable[[object], object]
"""From any decoded JSON to the form that a model has."""


def _object(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _list(value: object) -> list[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None


def under(*names: str) -> Shape:
    """Return what unpacks an envelope; an answer without it is taken as its content."""

    def unpack(value: object) -> object:
        found = _object(value) or {}
        return next((found[name] for name in names if found.get(name) is not None), value)

    return unpack


def listed(value: object) -> object:
    """Make a list of one out of a single object."""
    found = _object(value)
    return value if found is None else [found]


def keyed(name: str) -> Shape:
    """Return what makes a list out of a map of objects; each gets its key as the field `name`."""

    def unpack(value: object) -> object:
        found = _object(value)
        if found is None:
            return value
        entries = {key: _object(entry) for key, entry in found.items()}
        if None in entries.values():
            return [found]
        return [{name: key, **(entry or {})} for key, entry in entries.items()]

    return unpack


def depth_of(market_id: Id) -> Shape:
    """Return what reads a book: under ``orders`` or ``view`` or bare, with or without its market."""

    def unpack(value: object) -> object:
        found = _object(value)
        if found is None:
            return value
        view = under("orders", "view")(value)
        return {"market_id": found.get("market_id") or market_id, "view": _with_levels(view, "quantity")}

    return unpack


def book(value: object) -> object:
    """Read an aggregated book, whose levels are pairs."""
    return _with_levels(value, "size")


def anything(value: object) -> object:
    """Wrap any answer for :class:`Anything`."""
    return {"content": value}


def _with_levels(value: object, size: str) -> object:
    """Make objects out of levels that are pairs of price and size."""
    sides = _object(value)
    return value if sides is None else {name: _levels(side, size) for name, side in sides.items()}


def _levels(value: object, size: str) -> object:
    levels = _list(value)
    return value if levels is None else [_level(level, size) for level in levels]


def _level(value: object, size: str) -> object:
    pair = _list(value)
    return value if pair is None else dict(zip(("price", size), pair, strict=False))
