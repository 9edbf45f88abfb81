"""The REST client: trades, accounts and orders here, every other read inherited, and so are the writes.

How a request is sent, limited and repeated is in ``_http``, what may be asked in ``_arguments``, the flavors
of answers in ``_shapes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import attrs
import trio

from .._nursery import BareNursery
from ..models import (
    AccountState,
    AccountWindow,
    ActiveOrder,
    Balance,
    Cursor,
    Direction,
    Id,
    Identity,
    IdentityKind,
    Order,
    Rows,
    Trade,
)
from . import _arguments as arguments
from ._answers import account_in
from ._arguments import MAX_ACTIVE, MAX_ORDERS, MAX_TRADES, check_id, identity_query
from ._http import READ_ATTEMPTS
from ._markets import MarketKey, MarketReads, market_id_of
from ._pages import Pages
from ._shapes import balance_of, under
from ._writes import Writes

__all__ = ["READ_ATTEMPTS", "After", "MarketKey", "RestClient", "placed"]

After = Cursor | Trade | Order | None
"""The item after which to begin; None for the beginning."""

_AT_ONCE = 4
"""Balances of one call that are read at the same time."""


class RestClient(MarketReads, Writes):
    """Talks to the exchange over REST; an async context manager that owns its connections.

    Any number of tasks may use it at once. Cancelling a call harms no other. Every read raises as
    :meth:`get_json`, and :exc:`InvalidRequest` for a wrong argument before anything is sent. Numbers are in
    chain units, times in milliseconds, unless the model says otherwise.
    """

    # -- trades ------------------------------------------------------------------------------------

    async def trades(
        self,
        market: MarketKey,
        count: int = MAX_TRADES,
        direction: Direction | str = Direction.DESCENDING,
        after: After = None,
        *,
        turbo: bool = False,
    ) -> Rows[Trade]:
        """Read one page of a market's trades.

        Args:
          market: which one.
          count: trades of the page, 1 to 50.
          direction: newest first (``"desc"``) or oldest first (``"asc"``).
          after: where to begin; the page may repeat this very trade.
          turbo: those of the Turbo venue instead of the spot venue.
        """
        query = arguments.page_query(count, MAX_TRADES, direction)
        cursor = arguments.cursor_query(arguments.cursor_of(after), "start_trade_id")
        return await self._trades("/v1/trades", market, {**query, **cursor}, turbo=turbo)

    async def trades_by_account(
        self,
        market: MarketKey,
        account: Identity,
        count: int = MAX_TRADES,
        direction: Direction | str = Direction.DESCENDING,
        after: After = None,
        *,
        turbo: bool = False,
    ) -> Rows[Trade]:
        """Read one page of an account's trades on a market, with its role in each.

        Args:
          account: a trading account (a contract) or a wallet.
          market, count, direction, after, turbo: as for :meth:`trades`.
        """
        query = arguments.page_query(count, MAX_TRADES, direction)
        cursor = arguments.cursor_query(arguments.cursor_of(after), "start_trade_id")
        who = identity_query(account, "account")
        return await self._trades("/v1/trades_by_account", market, {**who, **query, **cursor}, turbo=turbo)

    def iter_trades(
        self,
        market: MarketKey,
        direction: Direction | str = Direction.ASCENDING,
        after: After = None,
        *,
        account: Identity | None = None,
        count: int = MAX_TRADES,
        known: Iterable[str] = (),
        turbo: bool = False,
    ) -> Pages[Trade]:
        """Iterate over a market's trades, page by page, each trade once.

        Args:
          market, direction: as for :meth:`trades`.
          after: where to begin; this very trade does not come.
          account: only this account's trades, with its role in each.
          count: trades of one page, 2 to 50.
          known: ids of trades to leave out.
          turbo: those of the Turbo venue instead of the spot venue.

        Raises:
          InvalidRequest: at once, if an argument is wrong.
        """
        arguments.page_query(arguments.whole(count, 2, MAX_TRADES, "count"), MAX_TRADES, direction)
        if account is None:
            fetch = partial(self.trades, market, count, direction, turbo=turbo)
        else:
            identity_query(account, "account")
            fetch = partial(self.trades_by_account, market, account, count, direction, turbo=turbo)
        return Pages(
            fetch,
            what="the list of trades",
            count=count,
            max_pages=self._options.max_pages,
            after=arguments.cursor_of(after),
            known=known,
        )

    async def _trades(
        self, path: str, market: MarketKey, query: dict[str, str | int], *, turbo: bool
    ) -> Rows[Trade]:
        market_id = await market_id_of(market)
        return await self.get_rows(
            path, {"market_id": market_id, **query}, Trade, under("trades"), turbo=turbo, marked=False
        )

    # -- accounts ----------------------------------------------------------------------------------

    async def account(self, of: str | Identity) -> AccountState | None:
        """Read a trading account, or return None if there is none.

        Args:
          of: the trade account id, or the identity (wallet or contract) that **owns** the account.
        """
        if isinstance(of, Identity):
            query = {"owner_contract" if of.kind is IdentityKind.CONTRACT_ID else "owner": of.id}
        else:
            query = {"trade_account_id": check_id(of, "a trade account id")}
        answer = await self._read("/v1/accounts", query)
        found = account_in(answer)
        return None if found is None else self._one(answer, AccountState, found)

    async def account_window(self, trade_account_id: str, lane: int = 0) -> AccountWindow:
        """Read which parallel nonces of a lane (0 to 4) are used."""
        query: dict[str, str | int] = {
            "trade_account_id": check_id(trade_account_id, "a trade account id"),
            "nonce_session_id": arguments.whole(lane, arguments.LANES[0], arguments.LANES[-1], "lane"),
        }
        return await self.get_json("/v1/accounts/window", query, AccountWindow)

    async def balance(self, identity: Identity, asset_id: str) -> Balance:
        """Read what `identity` holds of one asset.

        Args:
          identity: a trading account (a contract) or a wallet.
          asset_id: the asset.
        """
        asset = check_id(asset_id, "an asset id")
        query = {"asset_id": asset, **identity_query(identity, "address")}
        return await self.get_json("/v1/balance", query, Balance, balance_of(identity, asset))

    async def balances(self, identity: Identity, asset_ids: Sequence[str]) -> tuple[Balance, ...]:
        """Read what `identity` holds of several assets, in their order; a few are read at the same time."""
        identity_query(identity, "address")
        assets = [check_id(asset, "an asset id") for asset in asset_ids]
        found: dict[Id, Balance] = {}
        limit = trio.CapacityLimiter(_AT_ONCE)
        everything = trio.Event()
        wanted = set(assets)

        async def read(asset: Id) -> None:
            async with limit:
                found[asset] = await self.balance(identity, asset)
            if found.keys() == wanted:
                everything.set()

        async with BareNursery() as nursery:
            for asset in dict.fromkeys(assets):
                nursery.start_soon(read, asset)
            if assets:
                await everything.wait()
        return tuple(found[asset] for asset in assets)

    # -- orders ------------------------------------------------------------------------------------

    async def orders(
        self,
        market: MarketKey,
        account: Identity,
        count: int = MAX_ORDERS,
        direction: Direction | str = Direction.DESCENDING,
        after: After = None,
        *,
        only_open: bool = False,
        turbo: bool = False,
    ) -> Rows[Order]:
        """Read one page of an account's orders on a market.

        Args:
          market: which one.
          account: a trading account (a contract) or a wallet.
          count: orders of the page, 1 to 200.
          direction: newest first (``"desc"``) or oldest first (``"asc"``).
          after: where to begin; the page may repeat this very order.
          only_open: leave out those that are no longer on the book.
          turbo: those of the Turbo venue instead of the spot venue.
        """
        query: dict[str, str | int] = {
            **identity_query(account, "account"),
            **arguments.page_query(count, MAX_ORDERS, direction),
            **arguments.cursor_query(arguments.cursor_of(after), "start_order_id"),
        }
        if only_open:
            query["is_open"] = "true"
        market_id = await market_id_of(market)
        orders = await self.get_rows(
            "/v1/orders", {"market_id": market_id, **query}, Order, under("orders"), turbo=turbo
        )
        return Rows((placed(order, market_id, account) for order in orders), orders.not_understood)

    def iter_orders(
        self,
        market: MarketKey,
        account: Identity,
        direction: Direction | str = Direction.ASCENDING,
        after: After = None,
        *,
        only_open: bool = False,
        count: int = MAX_ORDERS,
        known: Iterable[str] = (),
        turbo: bool = False,
    ) -> Pages[Order]:
        """Iterate over an account's orders on a market, page by page, each order once.

        Args:
          market, account, direction, only_open, turbo: as for :meth:`orders`.
          after: where to begin; this very order does not come.
          count: orders of one page, 2 to 200.
          known: ids of orders to leave out.

        Raises:
          InvalidRequest: at once, if an argument is wrong.
        """
        arguments.page_query(arguments.whole(count, 2, MAX_ORDERS, "count"), MAX_ORDERS, direction)
        identity_query(account, "account")
        return Pages(
            partial(self.orders, market, account, count, direction, only_open=only_open, turbo=turbo),
            what="the list of orders",
            count=count,
            max_pages=self._options.max_pages,
            after=arguments.cursor_of(after),
            known=known,
        )

    async def order(self, market: MarketKey, order_id: str, *, turbo: bool = False) -> Order:
        """Read one order.

        Args:
          market, order_id: where and which.
          turbo: one of the Turbo venue instead of the spot venue.

        Raises:
          OrderNotFound: there is no such order on this market.
        """
        query = {"order_id": check_id(order_id, "an order id")}
        market_id = await market_id_of(market)
        order = await self.get_json(
            "/v1/order", {"market_id": market_id, **query}, Order, under("order"), turbo=turbo
        )
        return placed(order, market_id, None)

    async def active_orders(
        self, market: MarketKey, account: Identity, count: int = MAX_ACTIVE, *, turbo: bool = False
    ) -> Rows[ActiveOrder]:
        """Read which orders and triggers of an account are active on a market, newest first.

        Args:
          market: which one.
          account: a trading account (a contract) or a wallet.
          count: how many, 1 to 50.
          turbo: those of the Turbo venue instead of the spot venue.
        """
        query: dict[str, str | int] = {
            **identity_query(account, "account"),
            **arguments.page_query(count, MAX_ACTIVE, Direction.DESCENDING),
        }
        market_id = await market_id_of(market)
        return await self.get_rows(
            "/v1/orders/active", {"market_id": market_id, **query}, ActiveOrder, under("entries"), turbo=turbo
        )


def placed(order: Order, market_id: Id, account: Identity | None) -> Order:
    """Add what the order leaves out because the question said it."""
    return attrs.evolve(order, market_id=order.market_id or market_id, owner=order.owner or account)
