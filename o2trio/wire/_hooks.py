"""Readers of JSON, made of the tables: one strict cattrs converter, in a fast and in an explaining form.

Theory of operation: a class is read with the reader that cattrs generates for it, which fails at the first
fault. Only then it is asked which fields are at fault. If all of these are *carried* (``_ranks``), they are
taken out, the class is read again without them, and the model keeps their raw values in its ``unread``. So
what is plain costs nothing, and a fault in a needed field is reported as it is.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast, get_args, get_origin

import attrs
from cattrs import BaseValidationError, Converter, IterableValidationNote, gen
from cattrs.preconf.msgspec import make_converter

from ..models import DepthChanges, Level
from . import _values as read
from ._ranks import ranks_of
from ._values import Hook, is_list, is_object, show
from ._vocabulary import FIELDS, PREPARED, SINGLE, TYPES, hook_of, names_of

__all__ = ["EXPLAINING", "FAILURES", "FAST", "READERS", "Reader", "reads"]

_generate: Callable[..., Hook] = cast("Any", gen).make_dict_structure_fn_from_attrs
"""Makes the reader of an attrs class; its own signature leaves a type open, which strict checkers refuse."""

FAILURES = (ValueError, KeyError, TypeError, RecursionError, BaseValidationError)
"""What structuring raises for bad input."""


@attrs.frozen(slots=True)
class Reader:
    """How a carried field is read.

    Attributes:
      field: its name in the model.
      hook: reads it, or raises one of :data:`FAILURES`.
      kind: what `hook` returns.
      readable: returns the part of a list or object whose entries can be read; None if all of it counts.
    """

    field: str
    hook: Hook
    kind: object
    readable: Callable[[object], object] | None


READERS: dict[tuple[type[object], str], Reader] = {}
"""The readers of carried fields by class and wire name."""


def reads(hook: Hook, value: object, kind: object) -> bool:
    """Whether `hook` can read `value`."""
    try:
        hook(value, kind)
    except FAILURES:
        return False
    return True


def _object(value: object) -> dict[str, object]:
    if is_object(value):
        return value
    raise ValueError(f"expected an object, not {show(value)}")


def _list(value: object) -> list[object]:
    if is_list(value):
        return value
    raise ValueError(f"expected a list, not {show(value)}")


def _without_none(kind: object) -> object:
    arguments = [argument for argument in get_args(kind) if argument is not type(None)]
    return arguments[0] if type(None) in get_args(kind) and len(arguments) == 1 else kind


# -- classes -----------------------------------------------------------------------------------------


_LEVELS = ("bids", "asks", "view")
"""Fields that hold the levels of a book."""


@attrs.frozen(slots=True)
class _Names:
    """The wire names of a field: the first one that is sent (and not null) counts.

    Of the levels of a book an empty one yields to another, because a book is never taken for empty.
    """

    first: str
    others: tuple[str, ...]
    moves_book: bool

    def take(self, found: dict[str, object]) -> str | None:
        """Put the field under its first name; return the other name that it was sent under, or None.

        Raises:
          ValueError: two names hold different levels of a book.
        """
        sent = [name for name in (self.first, *self.others) if name in found]
        if self.moves_book and (filled := [name for name in sent if found[name] not in ({}, [])]):
            if any(found[name] != found[filled[0]] for name in filled[1:]):
                raise ValueError(f"{' and '.join(filled)} say different things")
            sent = filled
        name = next(iter(sent), self.first)
        if name == self.first:
            return None
        entry = found[name]
        found[self.first] = [entry] if name in SINGLE and is_object(entry) else entry
        return name


def _class_hook(cls: type[Any], converter: Converter, known: Mapping[str, Hook] = FIELDS) -> Hook:
    """Return the reader of an attrs class: null means missing, fields that have no rank are ignored."""
    attrs.resolve_types(cls)
    ranks = ranks_of(cls)
    fields = list(attrs.fields(cls))
    if ranks is not None:
        ranked = {name for _, names in ranks for name in names}
        # Some have a default only because a gap has no content.
        fields = [
            field.evolve(default=attrs.NOTHING) if field.name in ranks.needed else field
            for field in fields
            if field.name in ranked
        ]
    overrides: dict[str, Any] = {}
    several: list[_Names] = []
    carried: list[tuple[str, Reader]] = []
    for field in fields:
        kind = _without_none(field.type)
        first, *others = names_of(cls, field.name)
        hook = hook_of(cls, field.name, kind, known) or converter.get_structure_hook(kind)
        overrides[field.name] = gen.override(rename=first, struct_hook=hook)
        if others:
            several.append(_Names(first, tuple(others), moves_book=field.name in _LEVELS))
        if ranks is not None and field.name in ranks.carried:
            reader = Reader(field.name, hook, kind, _readable_part(kind, converter))
            carried.append((first, reader))
            if not converter.detailed_validation:
                READERS.update({(cls, name): reader for name in (first, *others)})
    generated, prepare = _generate(fields, cls, converter, **overrides), PREPARED.get(cls)
    optional = any(field.default is not attrs.NOTHING for field in fields)
    if prepare is not None and not (converter.detailed_validation or optional or several):
        # Nothing is optional, nothing has two names: levels, the bulk of all objects, skip the detour below.
        return lambda value, _type: generated(prepare(value), cls)

    def read_class(value: object, _type: object) -> object:
        sent = _object(value if prepare is None else prepare(value))
        found = {name: entry for name, entry in sent.items() if entry is not None}
        spelled = {names.first: other for names in several if (other := names.take(found))}
        try:
            return generated(found, cls)
        except FAILURES:
            unread = _take_out(found, carried)
            if not unread:
                raise
        raw = {(name := spelled.get(first, first)): read.keep(sent[name]) for first in unread}
        return attrs.evolve(cast("Any", generated(found, cls)), unread=MappingProxyType(raw))

    return read_class


def _take_out(found: dict[str, object], carried: list[tuple[str, Reader]]) -> list[str]:
    """Take what cannot be read out of `found`; return the names of the fields concerned."""
    unread = [
        first
        for first, reader in carried
        if first in found and not reads(reader.hook, found[first], reader.kind)
    ]
    for first, reader in carried:
        if first in unread:
            rest = found.pop(first)
            if reader.readable is not None:
                found[first] = reader.readable(rest)
    return unread


def _readable_part(kind: object, converter: Converter) -> Callable[[object], object] | None:
    """Return what leaves only the readable entries of a list or of an object of type `kind`."""
    if _is_tuple(kind):
        inner = get_args(kind)[0]
        hook = converter.get_structure_hook(inner)
        return lambda value: [entry for entry in value if reads(hook, entry, inner)] if is_list(value) else []
    if _is_mapping(kind) and kind != Mapping[str, object]:
        key, inner = get_args(kind)
        keys, hook = converter.get_structure_hook(key), converter.get_structure_hook(inner)

        def readable(value: object) -> object:
            entries = value.items() if is_object(value) else ()
            return {k: entry for k, entry in entries if reads(keys, k, key) and reads(hook, entry, inner)}

        return readable
    return None


# -- lists and objects of several --------------------------------------------------------------------


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
    except FAILURES as error:
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


FAST = _make(detailed=False)
EXPLAINING = _make(detailed=True)
