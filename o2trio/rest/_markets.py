"""Reads about markets: the list, fees, summaries, tickers, books, bars."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

import attrs

from ..models import Bar, DepthChanges, DepthUpdate, Id, Market, Markets, MarketSummary, Resolution, Ticker
from ..wire import Snapshot
from ._aggregated import AggregatedReads
from ._answers import Anything, Health
from ._arguments import bars_query, check_id, depth_query
from ._shapes import anything, depth_of, keyed, listed, under

__all__ = ["MarketKey", "MarketReads", "market_id_of"]

MarketKey = str | Market | Callable[[], Awaitable[Id]]
"""A market id, a market, or what finds the id; it is called when all other arguments have proved right."""


class MarketReads(AggregatedReads):
    """The part of the client that reads about markets; every method raises as :meth:`get_json`."""

    async def health(self) -> str:
        """Read the exchange's word about itself: ``ok``."""
        return (await self.get_json("/health", {}, Health)).status

    async def markets(self) -> Markets:
        """Read the list of markets."""
        return await self.get_json("/v1/markets", {}, Markets)

    async def fees(self, market: MarketKey | None = None) -> object:
        """Read the fees, of all markets or of one.

        The answer is not documented: it comes as immutable JSON with exact numbers.
        """
        query = {} if market is None else {"market_id": await market_id_of(market)}
        return (await self.get_json("/v1/markets/fees", query, Anything, anything)).content

    async def summary(self, market: MarketKey) -> MarketSummary:
        """Read the last 24 hours of a market."""
        market_id = await market_id_of(market)
        answer = await self.get_json(
            "/v1/markets/summary", {"market_id": market_id}, tuple[MarketSummary, ...], listed
        )
        return _of_market(answer, market_id, MarketSummary(market_id=market_id))

    async def summaries(self) -> tuple[MarketSummary, ...]:
        """Read the last 24 hours of every market."""
        return await self.get_json("/v1/markets/summary", {}, tuple[MarketSummary, ...], keyed("market_id"))

    async def ticker(self, market: MarketKey) -> Ticker:
        """Read the top of the book and the last 24 hours of a market."""
        market_id = await market_id_of(market)
        answer = await self.get_json(
            "/v1/markets/ticker", {"market_id": market_id}, tuple[Ticker, ...], listed
        )
        return _of_market(answer, market_id, Ticker(market_id=market_id))

    async def depth(self, market: MarketKey, precision: int = 1, limit: int | None = None) -> DepthUpdate:
        """Read an order book as a snapshot, best levels first.

        Args:
          market: which one.
          precision: level of price grouping, 1 (finest) to 18.
          limit: levels of each side at most, whether or not the server heeds it.
        """
        query = depth_query(precision, limit)
        market_id = await market_id_of(market)
        answer = await self.get_json(
            "/v1/depth", {"market_id": market_id, **query}, Snapshot, depth_of(market_id)
        )
        bids = sorted(answer.view.bids, key=lambda level: -level.price)[:limit]
        asks = sorted(answer.view.asks, key=lambda level: level.price)[:limit]
        return attrs.evolve(
            answer.to_update(), changes=DepthChanges(tuple(bids), tuple(asks)), precision=precision
        )

    async def bars(
        self,
        market: MarketKey,
        resolution: Resolution | str,
        *,
        start: int | datetime | None = None,
        end: int | datetime | None = None,
        count_back: int | None = None,
    ) -> tuple[Bar, ...]:
        """Read bars, oldest first.

        Args:
          market: which one.
          resolution: span of one bar, for example ``"1m"``.
          start: begin of the first; an aware datetime or milliseconds since 1970.
          end: end of the last, likewise; None takes this computer's clock.
          count_back: so many bars before `end`, instead of a start. There may be fewer: a span without a
            trade may have no bar.
        """
        query = bars_query(resolution, start, end, count_back)
        market_id = await market_id_of(market)
        bars = await self.get_json(
            "/v1/bars", {"market_id": market_id, **query}, tuple[Bar, ...], under("bars")
        )
        return tuple(sorted(bars, key=lambda bar: bar.timestamp))


async def market_id_of(market: MarketKey) -> Id:
    """Return the id of a market."""
    if isinstance(market, Market):
        return market.market_id
    if callable(market):
        return await market()
    return check_id(market, "a market id")


M = TypeVar("M", MarketSummary, Ticker)


def _of_market(answer: Sequence[M], market_id: Id, nothing: M) -> M:
    """Return the entry about the market; one that names none is about the market that was asked for."""
    found = next((entry for entry in answer if entry.market_id in (None, market_id)), nothing)
    return attrs.evolve(found, market_id=market_id)
