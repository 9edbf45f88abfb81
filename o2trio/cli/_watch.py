"""``o2trio watch``: feeds one market's depth, trades and events to a view, which sees to the looks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import trio

from .._client import O2Client
from .._network import NetworkConfig
from .._nursery import BareNursery
from ..models import DepthUpdate, Market, TradeUpdate
from ..streams import DepthBook, Event, Subscription
from ._open import open_network

__all__ = ["View", "watch"]

T = TypeVar("T")


class View(ABC):
    """Shows a market. `market` and `book`, which the watcher keeps, are there from :meth:`begin` on."""

    market: Market
    book: DepthBook

    def opened(self) -> AbstractContextManager[object]:
        """Return what to hold while watching, from before the first word with the exchange."""
        return nullcontext()

    def begin(self, market: Market, book: DepthBook) -> None:
        """Learn what is watched."""
        self.market = market
        self.book = book

    @abstractmethod
    async def depth(self, update: DepthUpdate) -> None:
        """Show an update that the book has taken in."""

    @abstractmethod
    async def trades(self, update: TradeUpdate) -> None:
        """Show trades, or that some are missing."""

    @abstractmethod
    async def event(self, event: Event) -> None:
        """Show what happened to the connection or a stream."""

    async def run(self) -> None:
        """Do what goes on in the background; here nothing."""
        await trio.lowlevel.checkpoint()


async def watch(
    network: str | NetworkConfig,
    pair: str,
    view: View,
    *,
    precision: int = 1,
    seconds: float | None = None,
) -> None:
    """Show the market `pair` in `view` for `seconds` seconds, or until cancelled.

    Raises:
      InvalidRequest, UnknownMarket: no such network, precision or market.
      O2ConnectionLost, SubscriptionRejected, SubscriptionTimeout, ApiError, RequestFailed: it is over.
    """
    with trio.move_on_after(float("inf") if seconds is None else seconds), view.opened():
        async with open_network(network) as o2:
            await _follow(o2, await o2.get_market(pair), view, precision)


async def _follow(o2: O2Client, market: Market, view: View, precision: int) -> None:
    book = DepthBook()
    view.begin(market, book)

    async def take(update: DepthUpdate) -> None:
        book.apply(update)
        await view.depth(update)

    # Whoever listens before the first subscription hears of the first connection too.
    async with o2.events() as events, BareNursery() as nursery:
        nursery.start_soon(_feed, events, view.event)
        nursery.start_soon(_feed, o2.stream_trades(market), view.trades)
        nursery.start_soon(view.run)
        await _feed(o2.stream_depth(market, precision), take)


async def _feed(subscription: Subscription[T], show: Callable[[T], Awaitable[None]]) -> None:
    async with subscription as items:
        async for item in items:
            await show(item)
