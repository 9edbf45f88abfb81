"""JSON to models, one value or a list of independent entries, and errors that say what is wrong where.

How a class is read is in ``_hooks``, single values are in ``_values``; what the action of a frame means is
the matter of ``_decode``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TypeVar, cast

import msgspec
from cattrs import AttributeValidationNote, BaseValidationError, IterableValidationNote

from .._errors import DecodeError
from ..models import Id, NotUnderstood, Rows
from . import _values as read
from ._hooks import EXPLAINING, FAILURES, FAST
from ._snapshot import DepthView, Snapshot
from ._values import is_list, is_object, show
from ._vocabulary import spellings

__all__ = [
    "DepthView",
    "Snapshot",
    "fail",
    "not_understood",
    "parse",
    "read_entries",
    "structure",
    "structure_json",
    "structure_rows",
]

T = TypeVar("T")

_IDS = ("order_id", "market_id", "asset_id", "contract_id")
_IDENTITIES = ("account", "owner", "identity")

_SHORT = 200
"""Characters of a frame that an error keeps."""

_DECODER = msgspec.json.Decoder(float_hook=read.number)


def structure(value: object, kind: type[T], data: str | bytes) -> T:
    """Turn decoded JSON into `kind`.

    Args:
      value: what :func:`parse` returned for `data`.
      kind: a model class, or ``tuple[X, ...]`` of one.
      data: the text that `value` came from, for the error.

    Raises:
      DecodeError: `value` does not have the shape, or a value is out of range.
    """
    try:
        return FAST.structure(value, kind)
    except FAILURES as error:
        problem, path = _explain(error, value, kind)
    raise fail(problem, data, path)


def structure_rows(value: object, kind: type[T], data: str | bytes) -> Rows[T]:
    """Turn a decoded list into models of `kind`, each entry independent of its neighbors.

    Raises:
      DecodeError: `value` is not a list.
    """
    if not is_list(value):
        raise fail(f"expected a list, not {show(value)}", data)
    entries = read_entries(value, lambda _entry: kind, data)
    return Rows(
        [entry for entry in entries if not isinstance(entry, NotUnderstood)],
        [entry for entry in entries if isinstance(entry, NotUnderstood)],
    )


def read_entries(
    values: Sequence[object], kind_of: Callable[[object], type[T]], data: str | bytes
) -> list[T | NotUnderstood]:
    """Turn each of `values` into a model, or into what says that it was not understood.

    Args:
      values: decoded JSON.
      kind_of: returns the model class of an entry, or raises ValueError to say why there is none.
      data: the text that the values came from.
    """
    entries: list[T | NotUnderstood] = []
    for index, value in enumerate(values):
        try:
            entries.append(structure(value, kind_of(value), data))
        except DecodeError as error:
            entries.append(not_understood(index, value, f"{error.problem} at {error.path}"))
        except ValueError as error:
            entries.append(not_understood(index, value, str(error)))
    return entries


def not_understood(index: int, entry: object, problem: str) -> NotUnderstood:
    """Return `entry` as one that could not be read, with those of its ids that can be."""
    ids: dict[str, str] = {}
    if is_object(entry):
        for name in _IDS:
            with suppress(ValueError):
                ids[name] = read.read_id(entry.get(name), Id)
        for name in _IDENTITIES:
            with suppress(ValueError):
                ids[name] = read.read_identity(entry.get(name), object).id
        with suppress(ValueError):
            ids["trade_id"] = read.read_trade_id(entry.get("trade_id"), str)
    return NotUnderstood(index=index, problem=problem, raw=read.keep(entry), ids=MappingProxyType(ids))


def structure_json(data: bytes | str, kind: type[T], shape: Callable[[object], object] | None = None) -> T:
    """Decode JSON text, for example the body of a REST answer, into `kind`.

    Args:
      data: JSON in UTF-8, or already as text.
      kind: a model class, or ``tuple[X, ...]`` of one.
      shape: brings the decoded JSON into the one form that `kind` has; must take whatever JSON can be.

    Raises:
      DecodeError: `data` is not JSON, does not have the shape, or a value is out of range.
    """
    value = parse(data)
    return structure(value if shape is None else shape(value), kind, data)


def parse(data: bytes | str) -> object:
    """Decode JSON into Python's own types; a number that is no integer becomes an exact Decimal.

    A number beyond anything sensible becomes a float, which every reader refuses.

    Raises:
      DecodeError: not JSON, not UTF-8, too deep, or an integer of thousands of digits.
    """
    try:
        return _DECODER.decode(data)
    except RecursionError:
        problem = "JSON is nested too deeply"
    except ValueError as error:
        problem = str(error)
    raise fail(problem, data)


def fail(problem: str, data: bytes | str, path: str = "$") -> DecodeError:
    """Return the error about `data`, shortened so that it can be printed whatever the data is."""
    text = data[:_SHORT] if isinstance(data, str) else data[:_SHORT].decode(errors="backslashreplace")
    if len(data) > _SHORT:
        text += "..."
    text = text.encode(errors="backslashreplace").decode()
    return DecodeError(problem, path=path, frame=text)


def _explain(error: Exception, value: object, kind: type[object]) -> tuple[str, str]:
    """Return what is wrong and where: the first fault that the explaining converter finds."""
    try:
        EXPLAINING.structure(value, kind)
    except FAILURES as found:
        error = found
    path = "$"
    for note in _notes(error):
        step, value = _follow(note, value)
        path += step
    while isinstance(error, BaseValidationError):
        error = error.exceptions[0]
    return ("missing" if isinstance(error, KeyError) else str(error)), path


def _notes(error: BaseException) -> Iterator[AttributeValidationNote | IterableValidationNote]:
    """Yield the notes about the first fault, outermost first."""
    for note in reversed(getattr(error, "__notes__", ())):
        if isinstance(note, (AttributeValidationNote, IterableValidationNote)):
            yield note
    if isinstance(error, BaseValidationError):
        yield from _notes(error.exceptions[0])


def _follow(note: AttributeValidationNote | IterableValidationNote, value: object) -> tuple[str, object]:
    """Return the step that `note` tells, as the wire spells it, and what is found there."""
    if isinstance(note, AttributeValidationNote):
        # A level may also be a pair.
        found = value if is_object(value) else {}
        names = spellings(note.name)
        name = next((name for name in names if found.get(name) is not None), names[0])
        return f".{name}", found.get(name)
    if isinstance(note.index, str):
        return f"[{show(note.index)}]", cast("dict[str, object]", value)[note.index]
    return f"[{note.index}]", cast("list[object]", value)[note.index]
