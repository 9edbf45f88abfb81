"""Everything that is true on the exchange, and how it is looked at. What changes it is in ``_clearing``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import starmap

from ..models import Balance, DepthChanges, Id, Identity, Level, Market, Markets, Side, Trade
from ._accounts import Account
from ._audit import Audit
from ._block import Draft
from ._history import TradeHistory
from ._journal import Journal
from ._markets import Listing, markets_of
from ._matching import BookOrder, OrderBook

__all__ = ["MarketState", "State", "group_levels", "group_price"]


def group_price(side: Side, price: int, bucket: int) -> int:
    """Return the multiple of `bucket` that shows `price`: bids go down, asks up."""
    return price - price % bucket if side is Side.BUY else -(-price // bucket) * bucket


def group_levels(side: Side, sizes: Iterable[tuple[int, int]], bucket: int) -> tuple[Level, ...]:
    """Return levels, told as (price, size), summed up in buckets, in the order they came in."""
    if bucket > 1:
        sums: dict[int, int] = {}
        for raw, size in sizes:
            price = group_price(side, raw, bucket)
            sums[price] = sums.get(price, 0) + size
        sizes = sums.items()
    return tuple(starmap(Level, sizes))


class MarketState:
    """What the exchange keeps for one market; `journal` makes every change."""

    def __init__(self, market: Market, journal: Journal) -> None:
        self.market = market
        self.book = OrderBook(journal)
        self.history = TradeHistory(journal=journal)
        self.open: dict[Id, BookOrder] = {}
        self.closed: deque[BookOrder] = deque()


class State:
    """The tables of the exchange, and questions to them.

    Args:
      listings: the markets.
      clock: tells the time in nanoseconds since 1970; must never go backwards.
    """

    def __init__(self, listings: Sequence[Listing], clock: Callable[[], int]) -> None:
        self.audit = Audit()
        self.markets: Markets = markets_of(listings)
        self.accounts: dict[Id, Account] = {}
        self.orders: dict[Id, BookOrder] = {}
        self.fees: dict[Id, int] = {}
        self.deposits: dict[Id, int] = {}
        self.outside: dict[tuple[Identity, Id], int] = {}
        self._clock = clock
        self._journal = Journal()
        self._states = {item.market.market_id: MarketState(item.market, self._journal) for item in listings}
        self._orders_of: dict[tuple[Id, Id], dict[Id, BookOrder]] = {}
        self._owners: dict[Identity, Account] = {}
        self._counts: dict[str, int] = {}
        self._draft = Draft()
        self._height: int = 1

    @property
    def now(self) -> int:
        """Nanoseconds since 1970."""
        return self._clock()

    @property
    def height(self) -> int:
        """The number of the block under construction."""
        return self._height

    def book(self, market_id: Id, precision: int = 0) -> DepthChanges:
        """Return the whole book with absolute sizes, best levels first.

        Args:
          market_id: a known market.
          precision: level of grouping; prices become multiples of ``10**precision``.
        """
        book = self._states[market_id].book
        bids, asks = (group_levels(side, book.sizes(side), 10**precision) for side in (Side.BUY, Side.SELL))
        return DepthChanges(bids=bids, asks=asks)

    def matching(self, market_id: Id) -> OrderBook:
        """Return a market's living order book; to look at only."""
        return self._states[market_id].book

    def history(self, market_id: Id) -> TradeHistory:
        """Return a market's trades."""
        return self._states[market_id].history

    def trades(self, market_id: Id) -> Sequence[Trade]:
        """Return a market's trades, oldest first."""
        return self._states[market_id].history.trades

    def open_orders(self, market_id: Id) -> Sequence[BookOrder]:
        """Return every resting order of a market, oldest first."""
        return tuple(self._states[market_id].open.values())

    def orders_of(self, account: Id, market_id: Id) -> Sequence[BookOrder]:
        """Return an account's orders on a market, oldest first."""
        return tuple(self._orders_of.get((account, market_id), {}).values())

    def account_of(self, owner: Identity) -> Account | None:
        """Return the first account of an owner."""
        return self._owners.get(owner)

    def balance(self, account: Account, asset: Id) -> Balance:
        """Return an account's holding of an asset."""
        return account.balance(asset)

    def supply(self, asset: Id) -> int:
        """Return the sum of all accounts, the fees and the outside; always equal to what was deposited."""
        held = sum(account.balance(asset).total for account in self.accounts.values())
        outside = sum(amount for (_, what), amount in self.outside.items() if what == asset)
        return held + self.fees.get(asset, 0) + outside
