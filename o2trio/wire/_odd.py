"""Which carried fields of finished models could not be read, in words and as shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import cast

import attrs

from ..models import DepthChanges, NotUnderstood
from ._frames import OddField
from ._hooks import FAILURES, READERS
from ._snapshot import DepthView

__all__ = ["odd_fields"]

_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "an integer",
    Decimal: "a number with a fraction",
    float: "a number without measure",
    str: "text",
    tuple: "a list",
}


def odd_fields(value: object) -> tuple[OddField, ...]:
    """Return the fields that could not be read in `value` and everything inside, once for each shape.

    Args:
      value: a model, or any nesting of tuples and mappings of models.
    """
    found: dict[str, OddField] = {}
    for model, unread in _odd_models(value):
        for name, raw in unread.items():
            odd = _odd_field(type(model), name, raw)
            found.setdefault(odd.shape, odd)
    return tuple(found.values())


def _odd_models(value: object) -> Iterator[tuple[object, Mapping[str, object]]]:
    """Yield every model with something unread, and that."""
    if isinstance(value, tuple):
        for entry in cast("tuple[object, ...]", value):
            yield from _odd_models(entry)
    elif isinstance(value, Mapping):
        for entry in cast("Mapping[str, object]", value).values():
            yield from _odd_models(entry)
    else:
        names = _parts(type(value))  # type: ignore[arg-type]  # a class can be hashed
        if "unread" in names and (unread := cast("Mapping[str, object]", getattr(value, "unread"))):  # noqa: B009
            yield value, unread
        for name in names:
            if name != "unread":
                yield from _odd_models(getattr(value, name))


@cache
def _parts(kind: type[object]) -> tuple[str, ...]:
    """Return the fields of a class in which something may be unread."""
    # Levels are the bulk of all objects, and are read whole or not at all.
    if not attrs.has(kind) or kind in (DepthChanges, NotUnderstood):
        return ()
    return tuple(field.name for field in attrs.fields(kind) if field.name != "raw")


def _odd_field(kind: type[object], name: str, raw: object) -> OddField:
    # An update has the precision of the view that it was made of.
    reader = READERS.get((kind, name)) or READERS.get((DepthView, name))
    field = f"{kind.__name__}.{reader.field if reader else name}"
    shape = _KINDS.get(type(raw), "an object")
    problem = f"cannot be read from {shape}"
    if reader is not None:
        try:
            reader.hook(_mutable(raw), reader.kind)
        except KeyError as error:
            problem = f"{error.args[0]} is missing in an entry"
        except FAILURES as error:
            problem = str(error)
    return OddField(field=field, problem=problem, shape=f"{field}: {shape}")


def _mutable(value: object) -> object:
    """Return JSON as it was before it became immutable."""
    if isinstance(value, Mapping):
        return {name: _mutable(entry) for name, entry in cast("Mapping[str, object]", value).items()}
    if isinstance(value, tuple):
        return [_mutable(entry) for entry in cast("tuple[object, ...]", value)]
    return value
