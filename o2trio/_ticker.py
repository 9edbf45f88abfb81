"""The top of a market: best bid, best ask and last price, told when they change."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import attrs
import trio

from ._derived import DerivedStream
from ._errors import ConnectionFault, ServerError
from ._latest import all_live, subscribe_latest
from ._runtime import Runtime
from .models import Id, Level, Market, Origin, Trade, TradeUpdate
from .streams import Subscription, Topic, TopicKey
from .wire import AnyUpdate, Kind

__all__ = ["TickerStream", "TickerUpdate"]


@attrs.frozen(slots=True, kw_only=True)
class TickerUpdate:
    """The top of one market. Prices and quantities are chain units.

    Attributes:
      market_id: the market.
      best_bid, best_ask: the best levels of the book with their sizes; None if the side is empty.
      last_price: of the latest trade; None if there was none, or if a gap hides which was the last.
      is_stale: whether this is only what was known last: the connection is down, or the book is fetched
        afresh. The next update is fresh again.
    """

    market_id: Id
    best_bid: Level | None = None
    best_ask: Level | None = None
    last_price: int | None = None
    is_stale: bool = False


class TickerStream(DerivedStream[TickerUpdate]):
    """A stream of the top of a market. Made by ``o2.stream_ticker()``.

    It tells how things stand when it begins, and then each time they are no longer as told before. A
    consumer that is slow finds the latest only: there is no backlog.
    """

    def __init__(self, runtime: Runtime, market: str | Market, *, turbo: bool = False) -> None:
        super().__init__()
        self._runtime = runtime
        self._name = market
        self._turbo = turbo
        self._subscription: Subscription[AnyUpdate] | None = None
        self._topics: list[Topic] = []
        self._last: Trade | None = None
        self._in_doubt = True
        self._told: TickerUpdate | None = None

    async def _start(self) -> None:
        find = partial(_find, self._runtime, self._name, turbo=self._turbo)
        self._subscription, self._topics = subscribe_latest(self._runtime, find)
        await self._subscription.__aenter__()
        await self._read_last()
        self._tell()

    async def _work(self) -> None:
        assert self._subscription is not None
        if not self._in_doubt:
            update = await self._subscription.receive()
            if isinstance(update, TradeUpdate):
                self._in_doubt = update.origin is Origin.GAP or bool(update.not_understood)
                self._last = None if self._in_doubt else self._later(update.trades)
        if self._in_doubt:
            with (
                trio.move_on_after(self._runtime.options.repair_timeout),
                suppress(ServerError, ConnectionFault, trio.ClosedResourceError),
            ):
                await self._read_last()
            self._in_doubt = False
        self._tell()

    def _leave(self) -> None:
        if self._subscription is not None:
            self._subscription.close()

    async def _read_last(self) -> None:
        """Ask REST for the last trade: nobody has told it on the stream."""
        market_id = self._topics[0].key.market_id
        assert market_id is not None
        self._last = self._later(await self._runtime.rest.trades(market_id, 1, turbo=self._turbo))
        self._in_doubt = False

    def _later(self, trades: Sequence[Trade]) -> Trade | None:
        if not trades or self._last is None:
            return trades[-1] if trades else self._last
        # REST and the stream may be ahead of one another. Where a time is missing, what came later counts.
        newest, known = trades[-1].milliseconds, self._last.milliseconds
        return self._last if newest is not None and known is not None and newest < known else trades[-1]

    def _tell(self) -> None:
        """Put how things stand into the buffer, unless that was told before."""
        depth = next(topic for topic in self._topics if topic.key.kind is Kind.DEPTH)
        assert depth.book is not None
        assert depth.key.market_id is not None
        now = TickerUpdate(
            market_id=depth.key.market_id,
            best_bid=depth.book.best_bid,
            best_ask=depth.book.best_ask,
            last_price=None if self._last is None else self._last.price,
            is_stale=not all_live([depth]),
        )
        if now != self._told:
            self._told = now
            self._ready.append(now)


async def _find(runtime: Runtime, name: str | Market, *, turbo: bool) -> list[TopicKey]:
    market = name if isinstance(name, Market) else await runtime.market(name, turbo=turbo)
    return [
        TopicKey(Kind.DEPTH, market.market_id, 1, turbo=turbo),
        TopicKey(Kind.TRADES, market.market_id, turbo=turbo),
    ]
