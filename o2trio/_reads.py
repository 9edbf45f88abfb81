"""The reads of the public client: names become ids, everything else is the REST client's work."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import trio

from ._errors import InvalidRequest
from ._names import Account, assets_of, check_market, identity_of, owner_of, plain_market_id
from ._runtime import Runtime
from .models import (
    AccountState,
    AccountWindow,
    ActiveOrder,
    AggregatedAsset,
    AggregatedBook,
    AggregatedSummary,
    AggregatedTicker,
    AggregatedTrade,
    Asset,
    Balance,
    Bar,
    CoinGeckoTicker,
    Cursor,
    DepthUpdate,
    Direction,
    Id,
    Identity,
    Market,
    MarketSummary,
    Order,
    Resolution,
    Rows,
    Ticker,
    Trade,
    normalize_id,
)
from .rest import MarketKey, Pages, RestClient

__all__ = ["Reads"]


class Reads:
    """Everything that can be read over REST.

    What they have in common: `market` is a pair such as ``"fFUEL/fUSDC"``, a market id or a :class:`Market`;
    `account` is a trade account id, an :class:`AccountInfo` or an :class:`Identity`. A wrong argument raises
    :exc:`InvalidRequest` before anything is sent, a market that is not listed :exc:`UnknownMarket`. Reads
    keep to the exchange's rate limits, waiting for their turn, and are repeated after a fault of the network
    or a busy server; what then still fails is :exc:`ApiError` (a subclass for each of its codes),
    :exc:`RequestFailed` or :exc:`DecodeError`. Each may be cancelled at any time and disturbs nothing.
    Numbers are in chain units unless the model says *decimal*.

    The rows of a list are independent: an unreadable one does not affect the others. A list is a
    :class:`Rows`, a tuple whose ``not_understood`` holds what could not be read. Reads about markets, trades
    and orders are about the spot venue; ``turbo=True`` asks for the Turbo venue instead. An answer about the
    other venue raises :exc:`WrongVenue`.
    """

    _runtime: Runtime

    # -- markets --------------------------------------------------------------------------------

    async def get_health(self) -> str:
        """Return the exchange's word about itself: ``ok``."""
        return await self._rest().health()

    async def get_fees(self, market: str | Market | None = None) -> object:
        """Return the fees of one market or of all, as immutable JSON: their shape is not documented."""
        return await self._rest().fees(None if market is None else self._key(market))

    async def get_summary(self, market: str | Market, *, turbo: bool = False) -> MarketSummary:
        """Return the last 24 hours of a market."""
        return await self._rest().summary(self._key(market, turbo=turbo), turbo=turbo)

    async def get_summaries(self, *, turbo: bool = False) -> Rows[MarketSummary]:
        """Return the last 24 hours of every market."""
        return await self._rest().summaries(turbo=turbo)

    async def get_ticker(self, market: str | Market, *, turbo: bool = False) -> Ticker:
        """Return the top of the book and the last 24 hours of a market."""
        return await self._rest().ticker(self._key(market, turbo=turbo), turbo=turbo)

    async def get_depth(
        self, market: str | Market, precision: int = 1, limit: int | None = None, *, turbo: bool = False
    ) -> DepthUpdate:
        """Return an order book as a snapshot, best levels first.

        Args:
          market: which one.
          precision: level of price grouping, 1 (finest) to 18: prices are rounded to ``10**precision``.
          limit: levels of each side at most.
          turbo: the book of the Turbo venue instead of the spot venue.
        """
        return await self._rest().depth(self._key(market, turbo=turbo), precision, limit, turbo=turbo)

    async def get_bars(
        self,
        market: str | Market,
        resolution: Resolution | str,
        *,
        start: int | datetime | None = None,
        end: int | datetime | None = None,
        count_back: int | None = None,
        turbo: bool = False,
    ) -> Rows[Bar]:
        """Return bars (candles), oldest first, 5000 at most.

        Args:
          market: which one.
          resolution: ``1s 1m 2m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M 3M``.
          start: begin of the first; an aware datetime or **milliseconds** since 1970.
          end: end of the last, likewise; None takes this computer's clock.
          count_back: so many bars before `end`, instead of a start. There may be fewer: a span without a
            trade may have no bar.
          turbo: those of the Turbo venue instead of the spot venue.
        """
        rest, key = self._rest(), self._key(market, turbo=turbo)
        return await rest.bars(key, resolution, start=start, end=end, count_back=count_back, turbo=turbo)

    # -- trades ---------------------------------------------------------------------------------

    async def get_trades(
        self,
        market: str | Market,
        count: int = 50,
        direction: Direction | str = Direction.DESCENDING,
        cursor: Cursor | Trade | None = None,
        *,
        turbo: bool = False,
    ) -> Rows[Trade]:
        """Return one page of a market's trades.

        Args:
          market: which one.
          count: how many, 1 to 50.
          direction: newest first (``"desc"``) or oldest first (``"asc"``).
          cursor: the last trade of the page before, or its place; the new page may repeat it. To read on
            and on use :meth:`iter_trades`.
          turbo: those of the Turbo venue instead of the spot venue.
        """
        key = self._key(market, turbo=turbo)
        return await self._rest().trades(key, count, direction, cursor, turbo=turbo)

    async def get_trades_by_account(
        self,
        account: Account,
        market: str | Market,
        count: int = 50,
        direction: Direction | str = Direction.DESCENDING,
        cursor: Cursor | Trade | None = None,
        *,
        turbo: bool = False,
    ) -> Rows[Trade]:
        """Return one page of an account's trades on a market; each tells the account's role in it.

        Args:
          account, market: whose and which.
          count, direction, cursor, turbo: as for :meth:`get_trades`.
        """
        identity, key = identity_of(account), self._key(market, turbo=turbo)
        return await self._rest().trades_by_account(key, identity, count, direction, cursor, turbo=turbo)

    def iter_trades(
        self,
        market: str | Market,
        direction: Direction | str = Direction.ASCENDING,
        after: Cursor | Trade | None = None,
        *,
        account: Account | None = None,
        turbo: bool = False,
    ) -> Pages[Trade]:
        """Iterate over a market's trades, each once; pages are read as they are needed.

        Args:
          market: which one.
          direction: oldest first (``"asc"``) or newest first (``"desc"``).
          after: where to begin; this very trade does not come. None begins at the end of the list that
            `direction` names.
          account: only the trades of this account; each has its role.
          turbo: those of the Turbo venue instead of the spot venue.

        The iteration raises :exc:`IncompletePages` after ``Options.max_pages`` pages.
        """
        identity = None if account is None else identity_of(account)
        key = self._key(market, turbo=turbo)
        return self._rest().iter_trades(key, direction, after, account=identity, turbo=turbo)

    # -- accounts -------------------------------------------------------------------------------

    async def get_account(
        self, account: Account | None = None, *, owner: str | Identity | None = None
    ) -> AccountState | None:
        """Return a trading account with its nonce and session, or None if there is none.

        Args:
          account: which one; or instead
          owner: the wallet (an address or an :class:`Identity`) or contract that owns it.
        """
        if (account is None) == (owner is None):
            raise InvalidRequest("name either an account or its owner")
        if account is not None:
            return await self._rest().account(identity_of(account).id)
        return await self._rest().account(owner_of(owner))

    async def get_account_window(self, account: Account, lane: int = 0) -> AccountWindow:
        """Return which parallel nonces of a lane (0 to 4) of an account are used."""
        return await self._rest().account_window(identity_of(account).id, lane)

    async def get_balance(self, account: Account, asset: str | Asset) -> Balance:
        """Return what an account holds of one asset.

        Args:
          account: whose.
          asset: a symbol such as ``"fUSDC"`` (any letter case), an asset id or an :class:`Asset`.

        Raises:
          InvalidRequest: no market has an asset with this symbol, or several assets share it.
        """
        identity = identity_of(account)
        rest = self._rest()
        return await rest.balance(identity, await self._asset_id(asset))

    async def get_balances(self, account: Account) -> tuple[Balance, ...]:
        """Return what an account holds of every asset that any market trades, zeros included."""
        identity = identity_of(account)
        rest = self._rest()
        return await rest.balances(identity, (await self._runtime.markets()).asset_ids)

    # -- orders ---------------------------------------------------------------------------------

    async def get_orders(
        self,
        account: Account,
        market: str | Market,
        count: int = 200,
        direction: Direction | str = Direction.DESCENDING,
        cursor: Cursor | Order | None = None,
        *,
        only_open: bool = False,
        turbo: bool = False,
    ) -> Rows[Order]:
        """Return one page of an account's orders on a market.

        Args:
          account, market: whose and which.
          count: how many, 1 to 200.
          direction: newest first (``"desc"``) or oldest first (``"asc"``).
          cursor: the last order of the page before, or its place; the new page may repeat it. To read on
            and on use :meth:`iter_orders`.
          only_open: leave out those that are no longer on the book.
          turbo: those of the Turbo venue instead of the spot venue.
        """
        identity, key, rest = identity_of(account), self._key(market, turbo=turbo), self._rest()
        return await rest.orders(key, identity, count, direction, cursor, only_open=only_open, turbo=turbo)

    def iter_orders(
        self,
        account: Account,
        market: str | Market,
        direction: Direction | str = Direction.ASCENDING,
        after: Cursor | Order | None = None,
        *,
        only_open: bool = False,
        turbo: bool = False,
    ) -> Pages[Order]:
        """Iterate over an account's orders on a market, each once; pages are read as they are needed.

        Args:
          account, market: whose and which.
          direction, after: as for :meth:`iter_trades`.
          only_open: leave out those that are no longer on the book.
          turbo: those of the Turbo venue instead of the spot venue.

        The iteration raises :exc:`IncompletePages` after ``Options.max_pages`` pages.
        """
        identity, key, rest = identity_of(account), self._key(market, turbo=turbo), self._rest()
        return rest.iter_orders(key, identity, direction, after, only_open=only_open, turbo=turbo)

    async def get_order(self, market: str | Market, order_id: str, *, turbo: bool = False) -> Order:
        """Return one order.

        Raises:
          OrderNotFound: the market has no such order.
        """
        return await self._rest().order(self._key(market, turbo=turbo), order_id, turbo=turbo)

    async def get_active_orders(
        self, account: Account, market: str | Market, *, turbo: bool = False
    ) -> Rows[ActiveOrder]:
        """Return the newest 50 orders and triggers of an account that are active on a market."""
        identity = identity_of(account)
        return await self._rest().active_orders(self._key(market, turbo=turbo), identity, turbo=turbo)

    # -- aggregated -----------------------------------------------------------------------------

    async def get_aggregated_assets(self) -> Rows[AggregatedAsset]:
        """Return the list of assets, in whole units."""
        return await self._rest().aggregated_assets()

    async def get_aggregated_orderbook(self, pair: str, depth: int = 500) -> AggregatedBook:
        """Return the book of a pair such as ``FUEL_USDC``, in whole units; `depth` up to 500, 0 for all."""
        return await self._rest().aggregated_orderbook(pair, depth)

    async def get_aggregated_summary(self) -> Rows[AggregatedSummary]:
        """Return the last 24 hours of every pair, in whole units."""
        return await self._rest().aggregated_summary()

    async def get_aggregated_ticker(self) -> Rows[AggregatedTicker]:
        """Return last price and volumes of every pair, in whole units."""
        return await self._rest().aggregated_ticker()

    async def get_aggregated_trades(self, pair: str) -> Rows[AggregatedTrade]:
        """Return the latest trades of a pair such as ``FUEL_USDC``, in whole units."""
        return await self._rest().aggregated_trades(pair)

    async def get_coingecko_tickers(self) -> Rows[CoinGeckoTicker]:
        """Return every pair in CoinGecko's shape, in whole units."""
        return await self._rest().coingecko_tickers()

    async def get_coingecko_orderbook(self, pair: str) -> AggregatedBook:
        """Return the book of a pair such as ``FUEL_USDC`` in CoinGecko's shape, in whole units."""
        return await self._rest().coingecko_orderbook(pair)

    # -- inside ---------------------------------------------------------------------------------

    def _rest(self) -> RestClient:
        if self._runtime.closed:
            raise trio.ClosedResourceError("the client is closed")
        return self._runtime.rest

    def _key(self, market: str | Market, *, turbo: bool = False) -> MarketKey:
        """Return the market's id, or what finds it once the other arguments have proved right."""
        check_market(market)
        return plain_market_id(market) or partial(self._find_market, str(market), turbo=turbo)

    async def _find_market(self, name: str, *, turbo: bool) -> Id:
        return (await self._runtime.market(name, turbo=turbo)).market_id

    async def _asset_id(self, asset: str | Asset) -> str:
        if isinstance(asset, str):
            try:
                return normalize_id(asset)
            except ValueError:
                pass
        return (await self._asset(asset)).asset

    async def _asset(self, asset: str | Asset) -> Asset:
        """Return the asset with this symbol or id, of which some market knows the decimals."""
        if isinstance(asset, Asset):
            return asset
        if not isinstance(asset, str) or not asset:
            raise InvalidRequest(f"an asset is a symbol, an asset id or an Asset, not {asset!r:.80}")
        markets = await self._runtime.markets()
        known = assets_of(markets.markets)
        wanted = asset.casefold()
        found = [
            entry for entry in known if wanted in {entry.symbol.casefold(), entry.asset, entry.asset[2:]}
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidRequest(f"several assets are called {asset!r}: name it by its id")
        symbols = ", ".join(sorted(entry.symbol for entry in known)) or "none"
        more = f"; {len(markets.unreadable)} markets could not be read" if markets.unreadable else ""
        raise InvalidRequest(f"no asset {asset!r:.80}; the markets trade: {symbols}{more}")
