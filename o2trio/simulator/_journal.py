"""How a transaction is taken back: every change goes through a journal, which knows its inverse. No I/O.

Everything that a transaction can change is a table, a list, or a record. The methods of a
:class:`Journal` change tables and lists; a record is kept before it is changed. While no transaction is
under way they note nothing and only make the change.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, MutableMapping, MutableSequence
from types import TracebackType
from typing import TypeVar

import attrs

__all__ = ["Journal"]

K = TypeVar("K")
V = TypeVar("V")

_IDLE: dict[str, Callable[..., object]] = {"put": operator.setitem, "drop": operator.delitem}
"""What stands in front of the methods of an idle journal: the busiest changes then cost next to nothing."""


class Journal:
    """Changes state, and takes back what was changed since ``with journal:`` if that ends by an error.

    Taken back is exactly that: tables have their old order again, too.
    """

    def __init__(self) -> None:
        self._inverses: list[Callable[[], object]] | None = None
        vars(self).update(_IDLE)

    @property
    def is_open(self) -> bool:
        """Whether a transaction is under way."""
        return self._inverses is not None

    def __enter__(self) -> None:
        if self._inverses is not None:
            raise RuntimeError("there is a transaction under way already")
        self._inverses = []
        for name in _IDLE:
            delattr(self, name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        inverses, self._inverses = self._inverses or [], None
        vars(self).update(_IDLE)
        if error is not None:
            for inverse in reversed(inverses):
                inverse()

    def put(self, table: MutableMapping[K, V], key: K, value: V) -> None:
        """Set ``table[key]``."""
        if self._inverses is not None:
            if key in table:
                old = table[key]
                self._inverses.append(lambda: table.update({key: old}))
            else:
                self._inverses.append(lambda: table.pop(key))
        table[key] = value

    def drop(self, table: MutableMapping[K, V], key: K) -> None:
        """Delete ``table[key]``."""
        if self._inverses is not None:
            old = dict(table)
            self._inverses.append(lambda: _fill(table, old))
        del table[key]

    def insert(self, items: list[V], at: int, value: V) -> None:
        """Insert `value` before the item number `at`, counted from 0."""
        if self._inverses is not None:
            self._inverses.append(lambda: items.pop(at))
        items.insert(at, value)

    def append(self, items: MutableSequence[V], value: V) -> None:
        """Add `value` at the end."""
        if self._inverses is not None:
            self._inverses.append(items.pop)
        items.append(value)

    def cut(self, items: list[V], start: int, stop: int) -> None:
        """Delete the items from `start` up to `stop`."""
        if self._inverses is not None:
            old = items[start:stop]
            self._inverses.append(lambda: items.__setitem__(slice(start, start), old))
        del items[start:stop]

    def keep(self, record: attrs.AttrsInstance) -> None:
        """Prepare for a change of any attribute of `record`; of tables in it only their identity is kept."""
        if self._inverses is not None:
            old = [(field.name, getattr(record, field.name)) for field in attrs.fields(type(record))]
            self._inverses.append(lambda: _restore(record, old))


def _fill(table: MutableMapping[K, V], content: dict[K, V]) -> None:
    table.clear()
    table.update(content)


def _restore(record: attrs.AttrsInstance, old: list[tuple[str, object]]) -> None:
    for name, value in old:
        setattr(record, name, value)
