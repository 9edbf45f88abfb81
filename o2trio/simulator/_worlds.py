"""The exchange as REST answers see it: at present, or as an indexer that lags still shows it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from ..models import Balance, DepthChanges, Id, Identity, Markets, Side
from ._accounts import Account
from ._exchange import Exchange, group_levels
from ._history import TradeHistory
from ._matching import BookOrder

__all__ = ["Past", "Present", "World"]


class World(Protocol):
    """What can be read of an exchange."""

    @property
    def markets(self) -> Markets:
        """What is listed."""
        ...

    @property
    def now(self) -> int:
        """The moment that is shown, nanoseconds since 1970."""
        ...

    def book(self, market_id: Id, precision: int = 0) -> DepthChanges:
        """Return the whole book of a market with absolute sizes, best levels first."""
        ...

    def history(self, market_id: Id) -> TradeHistory:
        """Return a market's trades."""
        ...

    def orders_of(self, account: Id, market_id: Id) -> Sequence[BookOrder]:
        """Return an account's orders on a market, oldest first."""
        ...

    def order(self, order_id: Id) -> BookOrder | None:
        """Return an order."""
        ...

    def account(self, account: Id) -> Account | None:
        """Return an account with its nonces and session; its money is told by :meth:`balance`."""
        ...

    def account_of(self, owner: Identity) -> Account | None:
        """Return the first account of an owner, likewise."""
        ...

    def balance(self, account: Account, asset: Id) -> Balance:
        """Return an account's holding of an asset."""
        ...


class Present:
    """The exchange as it is."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.markets = exchange.markets

    @property
    def now(self) -> int:
        return self._exchange.now

    def book(self, market_id: Id, precision: int = 0) -> DepthChanges:
        return self._exchange.book(market_id, precision)

    def history(self, market_id: Id) -> TradeHistory:
        return self._exchange.history(market_id)

    def orders_of(self, account: Id, market_id: Id) -> Sequence[BookOrder]:
        return self._exchange.orders_of(account, market_id)

    def order(self, order_id: Id) -> BookOrder | None:
        return self._exchange.orders.get(order_id)

    def account(self, account: Id) -> Account | None:
        return self._exchange.accounts.get(account)

    def account_of(self, owner: Identity) -> Account | None:
        return self._exchange.account_of(owner)

    def balance(self, account: Account, asset: Id) -> Balance:
        return account.balance(asset)


class Past(Present):
    """The exchange as it was: every block up to a moment, and none after it.

    Args:
      exchange: whose past.
      moment: nanoseconds since 1970, at most :data:`MAX_STALE_SECONDS` ago.
    """

    def __init__(self, exchange: Exchange, moment: int) -> None:
        super().__init__(exchange)
        self._moment = moment
        self._audit = exchange.audit

    @property
    def now(self) -> int:
        return self._moment

    def book(self, market_id: Id, precision: int = 0) -> DepthChanges:
        book = self._exchange.matching(market_id)
        sizes = {side: dict(book.sizes(side)) for side in Side}
        for side, price, change in (*self._audit.changes_since(market_id, self._moment), *book.changes()):
            sizes[side][price] = sizes[side].get(price, 0) - change
        bids, asks = (
            group_levels(
                side,
                [
                    (price, sizes[side][price])
                    for price in sorted(sizes[side], reverse=side is Side.BUY)
                    if sizes[side][price]
                ],
                10**precision,
            )
            for side in (Side.BUY, Side.SELL)
        )
        return DepthChanges(bids=bids, asks=asks)

    def history(self, market_id: Id) -> TradeHistory:
        return TradeHistory(self._audit.trades_at(market_id, self._moment))

    def orders_of(self, account: Id, market_id: Id) -> Sequence[BookOrder]:
        orders = super().orders_of(account, market_id)
        then = (self._audit.order_at(order, self._moment) for order in orders)
        return [order for order in then if order is not None]

    def order(self, order_id: Id) -> BookOrder | None:
        order = super().order(order_id)
        return None if order is None else self._audit.order_at(order, self._moment)

    def account(self, account: Id) -> Account | None:
        return self._then(super().account(account))

    def account_of(self, owner: Identity) -> Account | None:
        return self._then(super().account_of(owner))

    def balance(self, account: Account, asset: Id) -> Balance:
        return self._audit.balance_at(account, asset, self._moment)

    def _then(self, account: Account | None) -> Account | None:
        if account is None or account.created > self._moment:
            return None
        nonce, height = self._audit.nonce_at(account, self._moment)
        access = self._audit.access_at(account, self._moment)
        return attrs.evolve(account, nonce=nonce, last_modification=height, access=access)
