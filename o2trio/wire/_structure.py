"""JSON to models: one strict cattrs converter, in a fast and in an explaining configuration.

How the wire's vocabulary differs from the models' is told by ``_vocabulary``. Readers of single values live
in ``_values``; what the action of a frame means is the matter of ``_decode``.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, TypeVar, cast, get_args, get_origin

import attrs
import msgspec
from cattrs import (
    AttributeValidationNote,
    BaseValidationError,
    Converter,
    IterableValidationNote,
    gen,
)
from cattrs.preconf.msgspec import make_converter

from .._errors import DecodeError
from ..models import (
    DepthChanges,
    DepthUpdate,
    Id,
    Level,
    NotUnderstood,
    Origin,
    Rows,
)
from . import _values as read
from ._values import Hook, is_list, is_object, show
from ._vocabulary import FIELDS, OURS, REQUIRED, TYPES, names_of, spellings

__all__ = [
    "DepthView",
    "Snapshot",
    "fail",
    "not_understood",
    "parse",
    "structure",
    "structure_json",
    "structure_rows",
]

T = TypeVar("T")

_ID_FIELDS = ("order_id", "market_id", "asset_id", "contract_id")

_SHORT = 200
"""Characters of a frame that an error keeps."""

_generate: Callable[..., Hook] = cast("Any", gen).make_dict_structure_fn_from_attrs
"""Makes the reader of an attrs class; its own signature leaves a type open, which strict checkers refuse."""

_DECODER = msgspec.json.Decoder(float_hook=read.number)


@attrs.frozen(slots=True, kw_only=True)
class DepthView:
    """The whole book of one snapshot; sizes are absolute."""

    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    precision: int | None = None


@attrs.frozen(slots=True, kw_only=True)
class Snapshot:
    """The wire's shape of a depth snapshot, a depth view and the REST answer about depth."""

    market_id: Id
    view: DepthView
    onchain_timestamp: int | None = None
    seen_timestamp: int | None = None

    def to_update(self) -> DepthUpdate:
        """Return the model's form of this snapshot."""
        return DepthUpdate(
            market_id=self.market_id,
            changes=DepthChanges(self.view.bids, self.view.asks),
            precision=self.view.precision,
            onchain_timestamp=self.onchain_timestamp,
            seen_timestamp=self.seen_timestamp,
            origin=Origin.SNAPSHOT,
        )


_FAILURES = (ValueError, KeyError, TypeError, RecursionError)
"""What structuring raises for bad input."""


def _object(value: object) -> dict[str, object]:
    if is_object(value):
        return value
    raise ValueError(f"expected an object, not {show(value)}")


def _list(value: object) -> list[object]:
    if is_list(value):
        return value
    raise ValueError(f"expected a list, not {show(value)}")


def _without_none(kind: object) -> object:
    arguments = get_args(kind)
    if type(None) in arguments:
        return next(argument for argument in arguments if argument is not type(None))
    return kind


def _class_hook(cls: type[Any], converter: Converter, known: Mapping[str, Hook] = FIELDS) -> Hook:
    """Return the reader of an attrs class: null means missing, unknown fields are ignored."""
    attrs.resolve_types(cls)
    required = REQUIRED.get(cls, ())
    fields = [field for field in attrs.fields(cls) if field.name not in OURS.get(cls, ())]
    fields = [field.evolve(default=attrs.NOTHING) if field.name in required else field for field in fields]
    overrides: dict[str, Any] = {}
    choices: list[tuple[str, str, bool]] = []
    for field in fields:
        kind = _without_none(field.type)
        first, *others = names_of(cls, field.name)
        named = None if kind is Decimal else known.get(field.name)
        hook = named or converter.get_structure_hook(kind)
        overrides[field.name] = gen.override(rename=first, struct_hook=hook)
        choices += [(first, other, get_origin(kind) is tuple) for other in others]
    generated = _generate(fields, cls, converter, **overrides)
    optional = any(field.default is not attrs.NOTHING for field in fields)
    if not (converter.detailed_validation or optional or choices):
        # Nothing is optional, nothing has two names: levels, the bulk of all objects, skip the detour below.
        return generated

    def read_class(value: object, _type: object) -> object:
        found = _object(value)
        if None in found.values():
            found = {name: entry for name, entry in found.items() if entry is not None}
        for first, other, many in choices:
            if other in found and first not in found:
                entry = found[other]
                found = {**found, first: [entry] if many and is_object(entry) else entry}
        return generated(found, cls)

    return read_class


def _tuple_of(hook: Hook, inner: object, converter: Converter) -> Hook:
    """Return the reader of ``tuple[inner, ...]``, which comes as a list and nothing else."""

    def read_list(value: object, _type: object) -> object:
        return tuple([hook(entry, inner) for entry in _list(value)])

    def explain_list(value: object, _type: object) -> object:
        return tuple([_noted(hook, entry, inner, index) for index, entry in enumerate(_list(value))])

    return explain_list if converter.detailed_validation else read_list


def _tuple_hook(kind: object, converter: Converter) -> Hook:
    inner = get_args(kind)[0]
    return _tuple_of(converter.get_structure_hook(inner), inner, converter)


def _changes_hook(cls: type[DepthChanges], converter: Converter) -> Hook:
    """Return the reader of live changes, whose sizes are signed; everywhere else they are not."""
    level = _class_hook(Level, converter, {**FIELDS, "quantity": read.I128})
    levels = _tuple_of(level, Level, converter)
    return _class_hook(cls, converter, {"bids": levels, "asks": levels})


def _mapping_hook(kind: object, converter: Converter) -> Hook:
    """Return the reader of ``Mapping[K, V]``, which comes as an object."""
    key_kind, inner = get_args(kind)
    key_hook, hook = converter.get_structure_hook(key_kind), converter.get_structure_hook(inner)

    def read_mapping(value: object, _type: object) -> object:
        return {key_hook(key, key_kind): hook(entry, inner) for key, entry in _object(value).items()}

    def explain_mapping(value: object, _type: object) -> object:
        for key, entry in _object(value).items():
            _noted(key_hook, key, key_kind, key)
            _noted(hook, entry, inner, key)
        return read_mapping(value, _type)

    return explain_mapping if converter.detailed_validation else read_mapping


def _noted(hook: Hook, value: object, kind: object, index: int | str) -> object:
    """Read one entry of a list or mapping; a failure learns its index and ends the search."""
    try:
        return hook(value, kind)
    except (*_FAILURES, BaseValidationError) as error:
        error.add_note(IterableValidationNote("", index, kind))
        raise


def _is_tuple(kind: object) -> bool:
    return get_origin(kind) is tuple


def _is_mapping(kind: object) -> bool:
    return get_origin(kind) is abc.Mapping


def _make(*, detailed: bool) -> Converter:
    converter = make_converter(detailed_validation=detailed)
    converter.register_structure_hook_factory(attrs.has, _class_hook)
    converter.register_structure_hook_factory(lambda kind: kind is DepthChanges, _changes_hook)
    converter.register_structure_hook_factory(_is_tuple, _tuple_hook)
    converter.register_structure_hook_factory(_is_mapping, _mapping_hook)
    for kind, hook in TYPES.items():
        converter.register_structure_hook(kind, hook)
    return converter


_FAST = _make(detailed=False)
_EXPLAINING = _make(detailed=True)


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
        return _FAST.structure(value, kind)
    except _FAILURES as error:
        problem, path = _explain(error, value, kind)
    raise fail(problem, data, path)


def structure_rows(value: object, kind: type[T], data: str | bytes) -> Rows[T]:
    """Turn a decoded list into models of `kind`, each entry independent of its neighbors.

    Raises:
      DecodeError: `value` is not a list.
    """
    if not is_list(value):
        raise fail(f"expected a list, not {show(value)}", data)
    rows: list[T] = []
    failed: list[NotUnderstood] = []
    for index, entry in enumerate(value):
        try:
            rows.append(structure(entry, kind, data))
        except DecodeError as error:
            failed.append(not_understood(index, entry, f"{error.problem} at {error.path}"))
    return Rows(rows, failed)


def not_understood(index: int, entry: object, problem: str) -> NotUnderstood:
    """Return `entry` as one that could not be read, with those of its ids that can be."""
    ids: dict[str, str] = {}
    for name in _ID_FIELDS if is_object(entry) else ():
        with suppress(ValueError):
            ids[name] = read.read_id(cast("dict[str, object]", entry).get(name), Id)
    return NotUnderstood(index=index, problem=problem, raw=read.read_anything(entry, object), ids=ids)


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
        _EXPLAINING.structure(value, kind)
    except (*_FAILURES, BaseValidationError) as found:
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
        found = cast("dict[str, object]", value)
        names = spellings(note.name)
        name = next((name for name in names if found.get(name) is not None), names[0])
        return f".{name}", found.get(name)
    if isinstance(note.index, str):
        return f"[{show(note.index)}]", cast("dict[str, object]", value)[note.index]
    if isinstance(value, list):
        return f"[{note.index}]", cast("list[object]", value)[note.index]
    return "", value  # the only entry of a list, sent without the list
