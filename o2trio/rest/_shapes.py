"""The flavors of an answer brought into the one form that a model has.

Pure functions over decoded JSON. What is strange is left as it is, for the model to refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ..models import Id, Identity, normalize_id

__all__ = [
    "Shape",
    "anything",
    "as_is",
    "balance_of",
    "book",
    "depth_of",
    "entry_about",
    "keyed",
    "listed",
    "market_named",
    "markets_of",
    "under",
]

Shape = Callable[[object], object]
"""From any decoded JSON to the form that a model has."""


def _object(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _list(value: object) -> list[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None


def as_is(value: object) -> object:
    """Return an answer that needs no shaping."""
    return value


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


def markets_of(value: object) -> dict[str, object]:
    """Return the answer about markets, which may be a bare list."""
    return dict(_object(value) or {"markets": value})


def entry_about(market_id: Id, entries: list[object]) -> object | None:
    """Return the entry about a market: one that names it, or one that names none.

    Returns:
      an entry whose market cannot be read if there is neither, for the model to refuse; None if all are
      about other markets.
    """
    named = [(market_named(entry), entry) for entry in entries]
    wanted = (market_id, None, _UNREADABLE)
    return next((entry for each in wanted for name, entry in named if name == each), None)


_UNREADABLE = object()


def market_named(entry: object) -> object:
    """Return the id of the market that an object names; None if none, no text if unreadable."""
    name = (_object(entry) or {}).get("market_id")
    if name is None:
        return None
    try:
        return normalize_id(cast("str", name))
    except ValueError:
        return _UNREADABLE


def depth_of(market_id: Id) -> Shape:
    """Return what reads a book: under ``orders`` or ``view`` or bare, with or without its market."""

    def unpack(value: object) -> object:
        found = _object(value)
        if found is None:
            return value
        view = under("orders", "view")(value)
        named = (market_named(layer) for layer in (found, view))
        return {
            "market_id": next((name for name in named if isinstance(name, str)), market_id),
            "view": _with_levels(view, "quantity"),
            "turbo": (_object(view) or {}).get("turbo"),
        }

    return unpack


def balance_of(identity: Identity, asset_id: Id) -> Shape:
    """Return what reads a balance that leaves out whose and of what."""

    def unpack(value: object) -> object:
        found = _object(value)
        if found is None:
            return value
        return {**found, "identity": {identity.kind.value: identity.id}, "asset_id": asset_id}

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
