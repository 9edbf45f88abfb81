"""Reads about markets: the list, fees, summaries, tickers, books, bars."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import attrs

from ..models import (
    Bar,
    DepthChanges,
    DepthUpdate,
    Id,
    Market,
    Markets,
    MarketSummary,
    Resolution,
    Rows,
    Ticker,
)
from ..wire import Snapshot
from ..wire._structure import fail
from ..wire._values import is_list
from ._aggregated import AggregatedReads
from ._answers import Anything, Health
from ._arguments import bars_query, check_id, depth_query, venue_query
from ._envelope import opened
from ._shapes import anything, depth_of, entry_about, keyed, listed, markets_of, under
from ._venue import check_venue, says_venue

__all__ = ["MarketKey", "MarketReads", "market_id_of"]

MarketKey = str | Market | Callable[[], Awaitable[Id]]
"""A market id, a market, or what finds the id; it is called when all other arguments have proved right."""


M = TypeVar("M", MarketSummary, Ticker)


class MarketReads(AggregatedReads):
    """The part of the client that reads about markets; every method raises as :meth:`get_json`."""

    async def health(self) -> str:
        """Read the exchange's word about itself: ``ok``."""
        return (await self.get_json("/health", {}, Health)).status

    async def markets(self, *, turbo: bool = False) -> Markets:
        """Read the list of markets; one that cannot be read is listed as unreadable.

        Args:
          turbo: those of the Turbo venue instead of the spot venue.
        """
        answer = await self._read("/v1/markets", venue_query({}, turbo=turbo))
        content = markets_of(opened(answer.content))
        entries = content.pop("markets", None)
        if not is_list(entries):
            raise fail("expected a list of markets", answer.body, "$.markets")
        rows = self._rows(answer, Market, entries, turbo=turbo)
        found = self._one(answer, Markets, {**content, "markets": []})
        return attrs.evolve(found, markets=tuple(rows), unreadable=rows.not_understood)

    async def fees(self, market: MarketKey | None = None) -> object:
        """Read the fees, of all markets or of one.

        The answer is not documented: it comes as immutable JSON with exact numbers.
        """
        query = {} if market is None else {"market_id": await market_id_of(market)}
        answer = await self._read("/v1/markets/fees", query)
        return self._one(answer, Anything, anything(answer.content)).content

    async def summary(self, market: MarketKey, *, turbo: bool = False) -> MarketSummary:
        """Read the last 24 hours of a market."""
        return await self._of_market("/v1/markets/summary", market, MarketSummary, turbo=turbo)

    async def summaries(self, *, turbo: bool = False) -> Rows[MarketSummary]:
        """Read the last 24 hours of every market."""
        return await self.get_rows("/v1/markets/summary", {}, MarketSummary, keyed("market_id"), turbo=turbo)

    async def ticker(self, market: MarketKey, *, turbo: bool = False) -> Ticker:
        """Read the top of the book and the last 24 hours of a market."""
        return await self._of_market("/v1/markets/ticker", market, Ticker, turbo=turbo)

    async def _of_market(self, path: str, market: MarketKey, kind: type[M], *, turbo: bool) -> M:
        """Read the one entry about a market; one that names none is about the market that was asked for."""
        market_id = await market_id_of(market)
        answer = await self._read(path, venue_query({"market_id": market_id}, turbo=turbo))
        entries = listed(opened(answer.content))
        if not is_list(entries):
            raise fail("expected an object, or a list of one", answer.body)
        entries = [entry for entry in entries if says_venue(entry, turbo=turbo) is not False] or entries
        entry = entry_about(market_id, entries)
        if entry is None:
            check_venue(answer.content, (), answer.body, turbo=turbo)
            return kind(market_id=market_id)
        return attrs.evolve(self._one(answer, kind, entry, turbo=turbo), market_id=market_id)

    async def depth(
        self, market: MarketKey, precision: int = 1, limit: int | None = None, *, turbo: bool = False
    ) -> DepthUpdate:
        """Read an order book as a snapshot, best levels first.

        Args:
          market: which one.
          precision: level of price grouping, 1 (finest) to 18.
          limit: levels of each side at most, whether or not the server heeds it.
          turbo: the book of the Turbo venue instead of the spot venue.
        """
        query = depth_query(precision, limit, turbo=turbo)
        market_id = await market_id_of(market)
        found = await self.get_json(
            "/v1/depth", {"market_id": market_id, **query}, Snapshot, depth_of(market_id), turbo=turbo
        )
        bids = sorted(found.view.bids, key=lambda level: -level.price)[:limit]
        asks = sorted(found.view.asks, key=lambda level: level.price)[:limit]
        return attrs.evolve(
            found.to_update(), changes=DepthChanges(tuple(bids), tuple(asks)), precision=precision
        )

    async def bars(
        self,
        market: MarketKey,
        resolution: Resolution | str,
        *,
        start: int | datetime | None = None,
        end: int | datetime | None = None,
        count_back: int | None = None,
        turbo: bool = False,
    ) -> Rows[Bar]:
        """Read bars, oldest first.

        Args:
          market: which one.
          resolution: span of one bar, for example ``"1m"``.
          start: begin of the first; an aware datetime or milliseconds since 1970.
          end: end of the last, likewise; None takes this computer's clock.
          count_back: so many bars before `end`, instead of a start. There may be fewer: a span without a
            trade may have no bar.
          turbo: those of the Turbo venue instead of the spot venue.
        """
        query = bars_query(resolution, start, end, count_back)
        market_id = await market_id_of(market)
        bars = await self.get_rows(
            "/v1/bars", {"market_id": market_id, **query}, Bar, under("bars"), turbo=turbo, marked=False
        )
        return Rows(sorted(bars, key=lambda bar: bar.timestamp), bars.not_understood)


async def market_id_of(market: MarketKey) -> Id:
    """Return the id of a market."""
    if isinstance(market, Market):
        return market.market_id
    if callable(market):
        return await market()
    return check_id(market, "a market id")
