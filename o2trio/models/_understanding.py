"""What a model keeps of the parts of a message that could not be read.

Every field of a message is *needed*, *carried* or *ignored* (the table is in ``wire/_ranks.py``). An entry of
a list that lacks something needed becomes a :class:`NotUnderstood`; a carried field that cannot be read is
None in its model, which keeps the raw value in its ``unread``. No decoding here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, TypeVar

import attrs

__all__ = ["NOTHING_UNREAD", "Indexed", "NotUnderstood", "Rows", "in_order", "unread_field"]

T_co = TypeVar("T_co", covariant=True)

NOTHING_UNREAD: Mapping[str, object] = MappingProxyType({})
"""The ``unread`` of a model whose fields were all read."""


def unread_field() -> Mapping[str, object]:
    """Return the field ``unread`` of a model: neither hashed nor shown."""
    field: Mapping[str, object] = attrs.field(default=NOTHING_UNREAD, hash=False, repr=False)
    return field


class Indexed(Protocol):
    """An entry that knows its position in the list that the exchange sent."""

    @property
    def index(self) -> int:
        """The position, from 0."""
        ...


T = TypeVar("T")
IndexedT = TypeVar("IndexedT", bound=Indexed)


def in_order(rows: Sequence[T], others: Sequence[IndexedT]) -> tuple[T | IndexedT, ...]:
    """Return all entries of a message in the order in which the exchange sent them.

    Args:
      rows: the entries without an index, in order.
      others: the entries with one, which stand between the rows.
    """
    entries: list[T | IndexedT] = list(rows)
    for entry in sorted(others, key=lambda entry: entry.index):
        entries.insert(entry.index, entry)
    return tuple(entries)


@attrs.frozen(slots=True, kw_only=True)
class NotUnderstood:
    """One entry of a list in a message or an answer that lacks something needed, or holds it unreadably.

    Attributes:
      index: the position of the entry in the list that the exchange sent, from 0.
      problem: what is wrong and where, for example ``"missing at $.price"``.
      raw: the entry as it came, as immutable JSON with exact numbers.
      ids: the ids of the entry that could be read, by wire name: ``order_id``, ``market_id``, ``asset_id``,
        ``contract_id`` and those of the identities under ``account``, ``owner`` and ``identity``,
        normalized; ``trade_id`` as it came.
    """

    index: int
    problem: str
    raw: object = attrs.field(hash=False)
    ids: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)


class Rows(tuple[T_co, ...]):  # noqa: SLOT001 - a tuple takes no slots for its attributes
    """The entries of an answer that could be read, in order: a tuple.

    Attributes:
      not_understood: the entries that could not; their ``index`` says where they stood in the answer.
    """

    not_understood: tuple[NotUnderstood, ...]

    def __new__(cls, rows: Iterable[T_co] = (), not_understood: Iterable[NotUnderstood] = ()) -> Rows[T_co]:
        self = super().__new__(cls, rows)
        self.not_understood = tuple(not_understood)
        return self
