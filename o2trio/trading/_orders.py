"""One order that is followed: what is known of it, and waiting for what becomes of it. No I/O.

Who learns of orders, and from where, is in ``_tracker``; the model of a single state is in ``models``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Self

import attrs
import trio

from .._errors import UnknownMarket
from .._trading_errors import OrderClosed
from ..models import Fill, Id, Market, Order, OrderState, OrderTransaction, Side

__all__ = ["SessionOrder", "merge", "new_fills"]


class SessionOrder:
    """An order of the account, kept up to date by ``session.orders``. What ``session.buy`` and others return.

    Looking at it never waits; between two ``await`` of yours nothing changes. Any number of tasks may wait
    for it, and a wait that is cancelled loses nothing.
    """

    __slots__ = ("__weakref__", "_failure", "_fills", "_markets", "_news", "_order", "since")

    def __init__(
        self,
        order: Order,
        markets: Mapping[Id, Market],
        failure: Callable[[], Exception | None],
        since: float,
    ) -> None:
        self.since = since
        """When it was heard of first, on Trio's clock."""
        self._order = order
        self._markets = markets
        self._failure = failure
        self._fills = new_fills(order, ())
        self._news = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        order = self._order
        if self.market is None:
            what = f"{order.quantity} @ {order.price} (chain units)"
        else:
            what = f"{self.quantity:f} @ {self.price:f} on {self.market.pair}"
        return f"<SessionOrder {order.side} {what}: {order.state}>"

    # -- its state ------------------------------------------------------------------------------

    @property
    def order(self) -> Order:
        """The latest state, in chain units."""
        return self._order

    @property
    def order_id(self) -> Id:
        """The order's id."""
        return self._order.order_id

    @property
    def market(self) -> Market | None:
        """The market; None while the exchange has not told which, or if it is not in its list."""
        market_id = self._order.market_id
        return None if market_id is None else self._markets.get(market_id)

    @property
    def side(self) -> Side:
        """Buy or sell."""
        return self._order.side

    @property
    def price(self) -> Decimal:
        """The limit price, quote per base, exact.

        Raises:
          UnknownMarket: :attr:`market` is None.
        """
        return self._known_market().price(self._order.price)

    @property
    def quantity(self) -> Decimal:
        """The original quantity in base units, exact. Raises as :attr:`price` does."""
        return self._known_market().quantity(self._order.quantity)

    @property
    def filled_quantity(self) -> Decimal:
        """What is filled so far in base units, exact. Raises as :attr:`price` does."""
        return self._known_market().quantity(self._order.quantity_fill)

    @property
    def state(self) -> OrderState:
        """What became of the order."""
        return self._order.state

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade."""
        return self._order.is_open

    # -- waiting --------------------------------------------------------------------------------

    async def filled(self) -> Order:
        """Return the order's state once it is completely filled.

        Raises:
          OrderClosed: it was cancelled, or ended with something unfilled, be it dust.
          O2ConnectionLost, trio.ClosedResourceError: as :meth:`closed`.
        """
        await self._until(lambda: self._is_full or not self.is_open)
        order = self._order
        if self._is_full:
            return order
        done = f"{order.quantity_fill} of {order.quantity} chain units were filled"
        raise OrderClosed(f"order {order.order_id} is {order.state}: {done}", order)

    async def closed(self) -> Order:
        """Return the order's last state once it is off the book.

        Raises:
          O2ConnectionLost: its stream is over for good; ``__cause__`` tells why.
          trio.ClosedResourceError: the session was left, or the client closed.
        """
        await self._until(lambda: not self.is_open)
        return self._order

    def fills(self) -> AsyncIterator[Fill]:
        """Iterate over the fills from the first on, each once, until the order is closed.

        Each call begins anew. The quantities add up to ``order.quantity_fill``. Where the exchange names no
        fills, one stands for all that were filled since the state before: it has no timestamp, and of the
        prices with which the average of all fills rounds down to ``order.price_fill`` it has the one
        nearest to the order's own.

        Errors as :meth:`closed`, once all known fills are told.
        """
        return _Fills(self)

    # -- for the tracker ------------------------------------------------------------------------

    def _absorb(self, told: Order) -> bool:
        """Take in a state, new or old; return whether it told anything new."""
        merged = merge(self._order, told)
        if merged == self._order:
            return False
        self._fills += new_fills(told, self._fills)
        self._order = merged
        self._wake()
        return True

    def _wake(self) -> None:
        self._news.unpark_all()

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _is_full(self) -> bool:
        return self._order.quantity_fill >= self._order.quantity

    def _known_market(self) -> Market:
        market = self.market
        if market is None:
            pairs = tuple(known.pair for known in self._markets.values())
            raise UnknownMarket(self._order.market_id or f"of order {self.order_id}", pairs)
        return market

    async def _until(self, ready: Callable[[], bool]) -> None:
        await trio.lowlevel.checkpoint()
        while not ready():
            failure = self._failure()
            if failure is not None:
                raise failure
            await self._news.park()


class _Fills:
    # No async generator: such a one, left in the middle, would wait for the garbage collector and warn.

    def __init__(self, order: SessionOrder) -> None:
        self._order = order
        self._next = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Fill:
        order = self._order
        await order._until(lambda: self._next < len(order._fills) or not order.is_open)
        if self._next == len(order._fills):
            raise StopAsyncIteration
        self._next += 1
        return order._fills[self._next - 1]


# -- states --------------------------------------------------------------------------------------


def merge(known: Order, told: Order) -> Order:
    """Return what two states of one order say together, in whichever order they came.

    Closed and cancelled are for ever and fills only grow, so an old state changes nothing. What one of them
    leaves out is taken from the other.
    """
    if known == told:
        return known
    older, newer = sorted((known, told), key=_age)
    return attrs.evolve(
        newer,
        close=known.close or told.close,
        cancel=known.cancel or told.cancel,
        timestamp=older.timestamp if newer.timestamp is None else newer.timestamp,
        owner=newer.owner or older.owner,
        market_id=newer.market_id or older.market_id,
        base_decimals=older.base_decimals if newer.base_decimals is None else newer.base_decimals,
        fills=_union(older.fills, newer.fills),
        history=max(older.history, newer.history, key=_settled),
    )


def new_fills(told: Order, known: Sequence[Fill]) -> list[Fill]:
    """Return the fills which a state adds to those known, so that they add up to its ``quantity_fill``.

    The fills that the state names may be all, or only the last; for what they leave open one is made up.
    """
    missing = told.quantity_fill - sum(fill.quantity for fill in known)
    counted = Counter(known)
    added: list[Fill] = []
    unknown: list[Fill] = []
    for fill in sorted(told.fills, key=lambda fill: fill.timestamp or 0):
        if counted[fill]:
            counted[fill] -= 1
        else:
            unknown.append(fill)
    # From the end: what came earlier may be known already, by a fill that was made up.
    for fill in reversed(unknown):
        quantity = min(fill.quantity, missing)
        if quantity > 0:
            added.insert(0, attrs.evolve(fill, quantity=quantity))
            missing -= quantity
    if missing > 0:
        price = _price(told, [*known, *added], missing)
        added.insert(0, Fill(order_id=told.order_id, price=price, quantity=missing))
    return added


def _price(told: Order, others: Sequence[Fill], quantity: int) -> int:
    """Return a price for `quantity`, such that with the `others` the average rounds down to the one told."""
    if not told.price_fill:
        return told.price
    value = sum(fill.price * fill.quantity for fill in others)
    lowest = -((value - told.price_fill * told.quantity_fill) // quantity)
    highest = ((told.price_fill + 1) * told.quantity_fill - 1 - value) // quantity
    return max(min(max(told.price, lowest), highest), 0)


def _age(order: Order) -> tuple[int, bool, int, bool, bool]:
    return (
        order.quantity_fill,
        not order.is_open,
        order.price_fill,
        order.partially_filled,
        order.desired_quantity is not None,
    )


def _union(older: tuple[Fill, ...], newer: tuple[Fill, ...]) -> tuple[Fill, ...]:
    if not older or older == newer:
        return newer
    # Two fills may be equal; each state names an equal number of them or fewer.
    return tuple(sorted((Counter(older) | Counter(newer)).elements(), key=_place))


def _place(fill: Fill) -> tuple[int, int, int, Id]:
    return fill.timestamp or 0, fill.price, fill.quantity, fill.order_id


def _settled(history: tuple[OrderTransaction, ...]) -> tuple[int, int]:
    return len(history), sum(transaction.status == "confirmed" for transaction in history)
