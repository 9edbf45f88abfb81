"""Seeded order flow: market makers and takers that keep the books alive. No I/O, no clock, no tasks.

The flow looks at the exchange and says what to do next and how long to wait before it. The same seed
on the same exchange gives the same sequence; whoever runs it sleeps in between.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

import attrs

from ..models import Id, OrderType, Side
from ._accounts import Account, Revert
from ._exchange import Exchange
from ._markets import Listing, make_id
from ._matching import BookOrder
from ._rules import quantum

__all__ = ["Flow"]

_MAKERS, _TAKERS = 4, 3
_FUNDS = 10**15
"""Whole units of each asset that a flow account starts with."""

_LEVELS_MIN, _LEVELS_MAX = 15, 40
"""Each side of each book is kept between these numbers of levels."""

_SPOT, _POST_ONLY, _FILL_OR_KILL, _MARKET = (
    OrderType(name) for name in ("Spot", "PostOnly", "FillOrKill", "Market")
)


@attrs.define(slots=True)
class _Quoted:
    """One market as the flow sees it."""

    listing: Listing
    fair: int
    """What the makers think it is worth, in price steps."""

    @property
    def market_id(self) -> Id:
        return self.listing.market.market_id


_Own: TypeAlias = dict[Side, list[BookOrder]]


def _depth(orders: list[BookOrder]) -> int:
    """Return on how many levels the orders lie."""
    return len({order.price for order in orders})


def _repair(own: _Own) -> str | None:
    """Name the event that a book out of shape needs."""
    depths = [_depth(orders) for orders in own.values()]
    if min(depths) < _LEVELS_MIN:
        return "add"
    return "cancel" if max(depths) > _LEVELS_MAX else None


class Flow:
    """The order flow of all markets.

    Args:
      exchange: where to trade; the flow opens its own accounts there.
      listings: the markets to keep alive.
      rate: mean number of events per second and market.
      seed: determines everything.
    """

    def __init__(self, exchange: Exchange, listings: tuple[Listing, ...], *, rate: float, seed: int) -> None:
        self._exchange = exchange
        self._random = Random(f"o2 flow {seed}")
        self._rate = rate * len(listings)
        self._markets = [_Quoted(item, item.reference_price // item.market.price_step) for item in listings]
        funds = {
            asset.asset: _FUNDS * 10**asset.decimals
            for item in listings
            for asset in (item.market.base, item.market.quote)
        }

        def account(name: str) -> Account:
            # They are there already when the exchange has been restarted.
            return exchange.accounts.get(make_id("account", name)) or exchange.create_account(name, funds)

        makers = [account(f"maker {n}") for n in range(_MAKERS)]
        self._makers = {maker.trade_account_id: maker for maker in makers}
        self._takers = [account(f"taker {n}") for n in range(_TAKERS)]

    def delay(self) -> float:
        """Return how many seconds to wait before the next :meth:`step`."""
        return self._random.expovariate(self._rate)

    def open_books(self) -> None:
        """Fill every book with its first ladder."""
        for quoted in self._markets:
            for side in Side:
                for distance in range(1, self._random.randint(_LEVELS_MIN + 5, _LEVELS_MAX - 8)):
                    self._quote(quoted, side, distance)

    def step(self) -> None:
        """Do one event on one market."""
        quoted = self._random.choice(self._markets)
        own = self._own(quoted)
        name = _repair(own) or self._random.choices(_NAMES, _WEIGHTS)[0]
        _EVENTS[name][1](self, quoted, own)

    def _own(self, quoted: _Quoted) -> _Own:
        """Return the makers' open orders; other people's orders are none of the flow's business."""
        makers, bids, asks = self._makers, list[BookOrder](), list[BookOrder]()
        for order in self._exchange.open_orders(quoted.market_id):
            if order.owner.id in makers:
                (bids if order.side is Side.BUY else asks).append(order)
        return {Side.BUY: bids, Side.SELL: asks}

    # -- events ------------------------------------------------------------------------------------

    def _add(self, quoted: _Quoted, own: _Own) -> None:
        thin = min(Side, key=lambda side: _depth(own[side]))
        if _depth(own[thin]) < _LEVELS_MIN:
            # Not post-only: if somebody else's orders are in the way, they are taken.
            self._quote(quoted, thin, self._random.randint(1, _LEVELS_MAX - 5), _SPOT)
        else:
            # Most of the traffic happens near the top of the book.
            distance = 1 + min(int(self._random.expovariate(0.2)), _LEVELS_MAX - 6)
            self._quote(quoted, self._random.choice(list(Side)), distance)

    def _cancel(self, quoted: _Quoted, own: _Own) -> None:
        thick = max(Side, key=lambda side: _depth(own[side]))
        if _depth(own[thick]) > _LEVELS_MAX:
            far = min if thick is Side.BUY else max
            order = far(own[thick], key=lambda order: order.price)
        else:
            order = self._random.choice([order for orders in own.values() for order in orders])
        self._exchange.cancel(self._makers[order.owner.id], order.order_id)

    def _take(self, quoted: _Quoted, own: _Own) -> None:
        side = self._random.choice(list(Side))
        levels = self._exchange.matching(quoted.market_id).levels(side.opposite)[:3]
        if not levels:
            return
        reach = self._random.randrange(len(levels))
        part = levels[reach].quantity // self._random.randint(1, 6)
        wanted = sum(level.quantity for level in levels[:reach]) + part
        # Neither kind rests: nobody would ever cancel what a taker left behind.
        kind = self._random.choice((_FILL_OR_KILL, _MARKET))
        self._place(quoted, self._random.choice(self._takers), side, levels[reach].price, wanted, kind)

    def _drift(self, quoted: _Quoted, own: _Own) -> None:
        """Move the fair price by a step, with a pull back to the reference, and quote right behind it."""
        reference = quoted.listing.reference_price // quoted.listing.market.price_step
        away = (quoted.fair - reference) / (reference * 0.05)
        up = self._random.random() < 0.5 - 0.4 * max(-1.0, min(away, 1.0))
        quoted.fair += (1 if up else -1) * self._random.randint(1, 2)
        self._quote(quoted, Side.BUY if up else Side.SELL, 1, _SPOT)

    # -- inside ------------------------------------------------------------------------------------

    def _quote(self, quoted: _Quoted, side: Side, distance: int, kind: OrderType = _POST_ONLY) -> None:
        """Let a maker bid or ask `distance` steps from the fair price."""
        steps = quoted.fair + (-distance if side is Side.BUY else distance)
        price = max(steps, 1) * quoted.listing.market.price_step
        value = quoted.listing.typical_value * self._random.randint(2, 20) * (10 + distance) // 200
        quantity = value * 10**quoted.listing.market.base.decimals // price
        self._place(quoted, self._random.choice(list(self._makers.values())), side, price, quantity, kind)

    def _place(
        self, quoted: _Quoted, account: Account, side: Side, price: int, quantity: int, kind: OrderType
    ) -> None:
        market = quoted.listing.market
        step = quantum(market, price)
        least = -(-market.min_order * 10**market.base.decimals // price)
        quantity = -(-max(quantity, least) // step) * step
        try:
            self._exchange.place(
                account, market.market_id, side, price=price, quantity=quantity, order_type=kind
            )
        except Revert as revert:
            if revert.variant == "NotEnoughBalance":
                self._exchange.settle(account, market.market_id)


_EVENTS: dict[str, tuple[int, Callable[[Flow, _Quoted, _Own], None]]] = {
    "add": (44, Flow._add),
    "cancel": (36, Flow._cancel),
    "take": (12, Flow._take),
    "drift": (8, Flow._drift),
}
"""Each kind of event and how often it is drawn."""

_NAMES = tuple(_EVENTS)
_WEIGHTS = tuple(weight for weight, _ in _EVENTS.values())
