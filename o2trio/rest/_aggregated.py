"""The aggregated endpoints, which count in whole units: for catalogues of markets, and for people.

Pairs are spelled ``FUEL_USDC`` here; ``FUEL/USDC`` is understood. Every number is an exact Decimal.
"""

from __future__ import annotations

from ..models import (
    AggregatedAsset,
    AggregatedBook,
    AggregatedSummary,
    AggregatedTicker,
    AggregatedTrade,
    CoinGeckoTicker,
    Rows,
)
from ._arguments import MAX_LEVELS, check_pair, whole
from ._http import HttpClient
from ._shapes import book, keyed, under

__all__ = ["AggregatedReads"]

_BASE = "/v1/aggregated"


class AggregatedReads(HttpClient):
    """The part of the client that reads aggregated data; every method raises as :meth:`get_json`."""

    async def aggregated_assets(self) -> Rows[AggregatedAsset]:
        """Read the list of assets."""
        return await self.get_rows(f"{_BASE}/assets", {}, AggregatedAsset, keyed("symbol"))

    async def aggregated_orderbook(self, pair: str, depth: int = 500, level: int = 2) -> AggregatedBook:
        """Read a book.

        Args:
          pair: for example ``FUEL_USDC``.
          depth: levels of both sides, up to 500; 0 asks for all.
          level: 2 or 3; the exchange answers both alike.

        Raises:
          InvalidRequest: an argument is wrong.
        """
        query: dict[str, str | int] = {
            "market_pair": check_pair(pair),
            "depth": whole(depth, 0, MAX_LEVELS, "depth"),
            "level": whole(level, 2, 3, "level"),
        }
        return await self.get_json(f"{_BASE}/orderbook", query, AggregatedBook, book)

    async def aggregated_summary(self) -> Rows[AggregatedSummary]:
        """Read the last 24 hours of every pair."""
        return await self.get_rows(f"{_BASE}/summary", {}, AggregatedSummary, keyed("trading_pairs"))

    async def aggregated_ticker(self) -> Rows[AggregatedTicker]:
        """Read last price and volumes of every pair."""
        return await self.get_rows(f"{_BASE}/ticker", {}, AggregatedTicker, keyed("market_pair"))

    async def aggregated_trades(self, pair: str) -> Rows[AggregatedTrade]:
        """Read the latest trades of a pair, such as ``FUEL_USDC``.

        Raises:
          InvalidRequest: `pair` is no pair.
        """
        query = {"market_pair": check_pair(pair)}
        return await self.get_rows(f"{_BASE}/trades", query, AggregatedTrade, under("trades"))

    async def coingecko_tickers(self) -> Rows[CoinGeckoTicker]:
        """Read every pair in CoinGecko's shape."""
        return await self.get_rows(f"{_BASE}/coingecko/tickers", {}, CoinGeckoTicker, keyed("ticker_id"))

    async def coingecko_orderbook(self, pair: str) -> AggregatedBook:
        """Read the book of a pair in CoinGecko's shape.

        Raises:
          InvalidRequest: `pair` is no pair.
        """
        query = {"ticker_id": check_pair(pair)}
        return await self.get_json(f"{_BASE}/coingecko/orderbook", query, AggregatedBook, book)
