"""Which orders of one account were seen, in which sequence, and which submission placed them. No I/O.

The exchange gives an order no name of ours. Whose an order is can still be told: an order that was placed by
a lost submission has its terms, was never seen before that was sent, and belongs to nobody else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import attrs

from ..models import UNKNOWN_TYPE, Id, Order
from ._actions import CreateOrder
from ._submission import Submission

__all__ = ["Ledger"]

ORDERS_KEPT = 20_000
"""Orders that are remembered; the ones seen first are forgotten first."""


@attrs.define(slots=True)
class _Entry:
    number: int
    order: Order
    claimed: bool = False


class Ledger:
    """The orders of one account."""

    def __init__(self) -> None:
        self.seen = 0
        """How many different orders were seen so far."""
        self._entries: OrderedDict[Id, _Entry] = OrderedDict()
        self._newest: dict[Id, int] = {}

    def observe(self, order: Order, market_id: Id | None = None) -> None:
        """Take note of an order, from wherever it comes.

        Args:
          order: its state.
          market_id: its market, if the order itself does not tell.
        """
        entry = self._entries.get(order.order_id)
        if entry is None:
            self.seen += 1
            self._entries[order.order_id] = _Entry(self.seen, order)
            if len(self._entries) > ORDERS_KEPT:
                self._entries.popitem(last=False)
        market_id = order.market_id or market_id
        if market_id is not None:
            self._newest[market_id] = max(self._newest.get(market_id, 0), _seconds(order))

    def claim(self, orders: Iterable[Order]) -> None:
        """Note that these orders belong to a submission whose outcome is known."""
        for order in orders:
            self.observe(order)
            self._entries[order.order_id].claimed = True

    def claim_named(
        self, submission: Submission, orders: Iterable[Order], unread: Iterable[Id] = ()
    ) -> tuple[Order, ...] | None:
        """Claim the orders which the answer to a submission names; return them in the order of its actions.

        Args:
          submission: succeeded.
          orders: which its answer holds.
          unread: ids of further ones, in the order of the answer. They get what is left of the terms that
            were asked for, in the order of the actions.

        Returns:
          None, and claims nothing, if the answer does not name all that the submission placed.
        """
        named, ids = list(orders), list(unread)
        found: list[Order] = []
        for wanted in submission.creates:
            order = next((order for order in named if _fits(order, wanted)), None)
            if order is not None:
                named.remove(order)
            elif ids:
                order = _as_asked(ids.pop(0), wanted)
            else:
                return None
            found.append(order)
        self.claim(found)
        return tuple(found)

    def know(self, market_id: Id) -> None:
        """Note that everything there was on a market so far has been observed."""
        self._newest.setdefault(market_id, 0)

    def newest(self, market_id: Id) -> int | None:
        """Return when the newest order seen on a market was placed, seconds; None if nobody has looked."""
        return self._newest.get(market_id)

    def match(self, submission: Submission, rivals: Sequence[Submission] = ()) -> tuple[Order, ...] | None:
        """Return the orders that a lost submission placed, in the order of its actions; None if it has none.

        A transaction places all of its orders or none. Of several submissions that could have placed the
        same orders, those with more orders come first, then those sent first.

        Args:
          submission: used up its nonce, but nobody knows to what effect.
          rivals: others of that kind.
        """
        taken: set[Id] = set()
        for one in sorted((submission, *rivals), key=lambda one: (-len(one.creates), one.number)):
            found = self._find(one, taken)
            if one is submission:
                return found
            taken.update(order.order_id for order in found or ())
        raise AssertionError("the submission is one of them")

    def _find(self, submission: Submission, taken: set[Id]) -> tuple[Order, ...] | None:
        found: dict[Id, Order] = {}
        for wanted in submission.creates:
            order = next(
                (
                    entry.order
                    for order_id, entry in self._entries.items()
                    if not entry.claimed
                    and entry.number > submission.seen
                    and order_id not in taken
                    and order_id not in found
                    and not _is_older(entry.order, submission.since.get(wanted.market.market_id, 0))
                    and _fits(entry.order, wanted)
                ),
                None,
            )
            if order is None:
                return None
            found[order.order_id] = order
        return tuple(found.values()) or None


def _as_asked(order_id: Id, wanted: CreateOrder) -> Order:
    """Return an order of which only the id is known, with the terms that were asked for."""
    return Order(
        order_id=order_id,
        side=wanted.side,
        order_type=wanted.order_type,
        price=wanted.price,
        quantity=wanted.quantity,
        market_id=wanted.market.market_id,
    )


def _fits(order: Order, wanted: CreateOrder) -> bool:
    return (
        order.market_id in {None, wanted.market.market_id}
        and order.side == wanted.side
        and order.price == wanted.price
        and order.quantity == wanted.quantity
        and order.order_type.name in {wanted.order_type.name, UNKNOWN_TYPE.name}
    )


def _is_older(order: Order, seconds: int) -> bool:
    return order.time is not None and _seconds(order) < seconds


def _seconds(order: Order) -> int:
    """Return when an order was placed, in whole seconds since 1970, in whatever unit it was told."""
    return 0 if order.time is None else int(order.time.timestamp())
