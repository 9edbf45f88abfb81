"""What a model keeps of the parts of a message that could not be read.

Every field of a message is *needed*, *carried* or *ignored* (the table is in ``wire/_ranks.py``). An entry of
a list that lacks something needed becomes a :class:`NotUnderstood`; a carried field that cannot be read is
None in its model, which keeps the raw value in its ``unread``. No decoding here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

import attrs

__all__ = ["NOTHING_UNREAD", "NotUnderstood", "Rows"]

T_co = TypeVar("T_co", covariant=True)

NOTHING_UNREAD: Mapping[str, object] = MappingProxyType({})
"""The ``unread`` of a model whose fields were all read."""


@attrs.frozen(slots=True, kw_only=True)
class NotUnderstood:
    """One entry of a list in a message or an answer that lacks something needed, or holds it unreadably.

    Attributes:
      index: the position of the entry in the list that the exchange sent, from 0.
      problem: what is wrong and where, for example ``"missing at $.price"``.
      raw: the entry as it came, as immutable JSON with exact numbers.
      ids: the ids of the entry that could be read, by wire name (``order_id``, ``market_id``, ``trade_id``,
        ``asset_id``), normalized.
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
