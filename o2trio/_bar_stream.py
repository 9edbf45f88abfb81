"""The stream of bars: live trades sewn to the exchange's history without a trade lost or counted twice.

How trades add up is in ``_bars``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf

import attrs
import trio

from ._bars import BarBuilder, BarUpdate, bar_of, bar_start, moment_of, resolution_of
from ._derived import DerivedStream
from ._errors import ConnectionFault, ServerError
from ._runtime import Runtime
from .models import Bar, Direction, Id, Market, Origin, Resolution, Trade, TradeUpdate, trade_key
from .rest import RestClient
from .rest._arguments import MAX_BARS
from .streams import Subscription

__all__ = ["SEAM_INTERVAL", "SEAM_READS", "SETTLED_MS", "BarStream"]

SETTLED_MS = 60_000
"""Bars of the exchange that ended at least so long before its latest trade are taken as complete."""
PLAUSIBLE_MS = 86_400_000
"""A live trade that seems to be older than the history by more than this counts as one without a time."""
SEAM_READS = 6
"""How often history is read at most until it contains a trade that the stream has told."""
SEAM_INTERVAL = 0.5
"""Seconds between two of these reads."""

_BRICKS = (Resolution.DAY_1, Resolution.HOUR_1, Resolution.MINUTE_1)
"""Resolutions whose bars begin at the same moments by anybody's calendar, longest first."""


def _ids(history: _History) -> frozenset[str]:
    return frozenset(trade_key(trade.trade_id) for trade in history.trades)


@attrs.frozen(slots=True)
class _History:
    """What REST said of the time since some moment.

    Attributes:
      bars: finished short bars, oldest first, up to `seam`.
      seam: where the trades begin, milliseconds since 1970.
      trades: oldest first.
      known: their ids, as they are compared.
    """

    bars: tuple[Bar, ...] = ()
    seam: int = 0
    trades: tuple[Trade, ...] = ()
    known: frozenset[str] = attrs.field(default=attrs.Factory(_ids, takes_self=True))

    def has(self, trade: Trade) -> bool:
        return trade_key(trade.trade_id) in self.known or moment_of(trade) < self.seam


async def _read_history(
    rest: RestClient, market_id: Id, resolution: Resolution, since: int | None, *, turbo: bool
) -> _History:
    """Read what the bars from `since` on are made of; by default only the latest bar.

    How far a growing bar of the exchange reaches nobody knows, so the last minute or two are counted from
    trades, which have names. Before them come finished bars: days, hours, minutes, as they fit.
    """
    trades: list[Trade] = []
    seam = 0
    async for trade in rest.iter_trades(market_id, Direction.DESCENDING, turbo=turbo):
        moment = trade.milliseconds
        if moment is None:
            continue
        if not trades:
            since = bar_start(resolution, moment) if since is None else since
            seam = _seam(resolution, since, moment - SETTLED_MS)
        if moment < seam:
            break
        trades.append(trade)
    bars = [] if since is None else await _read_bricks(rest, market_id, resolution, since, seam, turbo=turbo)
    return _History(tuple(bars), seam, tuple(reversed(trades)))


def _seam(resolution: Resolution, since: int, settled: int) -> int:
    """Return up to where bricks are taken: the last whole minute before `settled`, if they fit at all."""
    brick = _BRICKS[-1].milliseconds
    return since if resolution.milliseconds < brick else max(since, settled - settled % brick)


async def _read_bricks(
    rest: RestClient, market_id: Id, resolution: Resolution, since: int, seam: int, *, turbo: bool
) -> list[Bar]:
    """Read bars that cover the time from `since` to `seam`, each of them within one bar of `resolution`."""
    bars: list[Bar] = []
    for brick in _BRICKS:
        span = brick.milliseconds
        while span <= resolution.milliseconds and since < seam - seam % span:
            end = min(seam - seam % span, since + MAX_BARS * span)
            read = await rest.bars(market_id, brick, start=since, end=end, turbo=turbo)
            # Whether the end is included differs from server to server.
            bars += (bar for bar in read if since <= bar.timestamp < end)
            since = end
    return bars


class BarStream(DerivedStream[BarUpdate]):
    """A stream of the bars of a market as they grow. Made by ``o2.stream_bars()``.

    The first item is the latest bar there is. Each further one is a bar that has changed: first those that
    are over, then the one that grows. With the first live trade, and after a break that the stream of trades
    could not repair, bars are read again from the one that was growing, until history contains what the
    stream has told. If that fails, the bars that may lack trades are marked.
    """

    def __init__(
        self,
        subscribe: Callable[[], Subscription[TradeUpdate]],
        runtime: Runtime,
        market: str | Market,
        resolution: Resolution | str,
        *,
        turbo: bool = False,
    ) -> None:
        super().__init__()
        self._resolution = resolution_of(resolution)
        self._subscribe = subscribe
        self._runtime = runtime
        self._market = market
        self._turbo = turbo
        self._market_id: Id | None = None
        self._trades: Subscription[TradeUpdate] | None = None
        # The update at hand: it stays here until all that follows from it can be told at once.
        self._update: TradeUpdate | None = None
        self._builder = BarBuilder(self._resolution)
        self._history = _History()
        self._newest: Trade | None = None
        # Whether history and stream are known to overlap, so that no trade fell between them.
        self._sewn = False
        # Bars up to this moment may lack trades.
        self._holed_to = -inf

    async def _start(self) -> None:
        self._trades = self._subscribe()
        await self._trades.__aenter__()
        market = self._market
        found = (
            market if isinstance(market, Market) else await self._runtime.market(market, turbo=self._turbo)
        )
        self._market_id = found.market_id
        history = await self._read_history(None)
        parts = self._load(history)
        self._tell(self._builder.add(parts), Origin.SNAPSHOT, epoch=0)

    async def _work(self) -> None:
        assert self._trades is not None
        if self._update is None:
            self._update = await self._trades.receive()
        update = self._update
        fresh, parts, origin = self._fresh(update), list[Bar](), update.origin
        late = [trade for trade in fresh if self._is_over(trade)]
        if origin is Origin.GAP or late or (fresh and not self._sewn):
            history = await self._reread(late, fresh[0] if fresh else self._newest)
            # An empty mark is no proof that what comes next will not be missed.
            self._sewn = bool(fresh) or history is None
            if history is None:
                origin, self._holed_to = Origin.LIVE, inf
            else:
                parts, origin, self._holed_to = self._load(history), Origin.SNAPSHOT, -inf
            fresh = [trade for trade in self._fresh(update) if not self._is_over(trade)]
        if update.not_understood or not all(map(self._is_dated, update.trades)):
            # What cannot be read, or has no time, belongs to a bar that lacks it.
            self._holed_to = inf
        # From here on nothing waits.
        self._update = None
        if fresh:
            self._newest = fresh[-1]
            if self._holed_to == inf:
                self._holed_to = self._start_of(fresh[0])
        bars = self._builder.add([*parts, *map(bar_of, fresh)])
        if not bars and self._holed_to == inf and self._builder.current is not None:
            # Nothing has changed, but what was told last may lack trades now.
            bars = [self._builder.current]
        self._tell(bars, origin, update.epoch)

    def _leave(self) -> None:
        if self._trades is not None:
            self._trades.close()

    # -- history --------------------------------------------------------------------------------

    async def _read_history(self, since: int | None) -> _History:
        assert self._market_id is not None
        rest, market_id = self._runtime.rest, self._market_id
        return await _read_history(rest, market_id, self._resolution, since, turbo=self._turbo)

    async def _reread(self, late: list[Trade], anchor: Trade | None) -> _History | None:
        """Read the bars again from the first that may be wrong; None if none came that has `anchor`."""
        assert self._market_id is not None
        current = self._builder.current
        since = None if current is None else min([current.timestamp, *map(self._start_of, late)])
        with (
            trio.move_on_after(self._runtime.options.repair_timeout),
            # The client may be closed by now, while trades are still in the buffer.
            suppress(ServerError, ConnectionFault, trio.ClosedResourceError),
        ):
            for attempt in range(SEAM_READS):
                if attempt:
                    await trio.sleep(SEAM_INTERVAL)
                history = await self._read_history(since)
                if anchor is None or history.has(anchor):
                    return history
        return None

    def _load(self, history: _History) -> list[Bar]:
        """Begin anew with `history`; return what it is made of."""
        self._history = history
        self._builder = BarBuilder(self._resolution)
        self._newest = history.trades[-1] if history.trades else self._newest
        return [*history.bars, *map(bar_of, history.trades)]

    def _fresh(self, update: TradeUpdate) -> list[Trade]:
        """Return the trades of `update` that are not in the history."""
        dated = filter(self._is_dated, update.trades)
        fresh = [trade for trade in dated if not self._history.has(trade)]
        self._sewn = self._sewn or any(
            trade_key(trade.trade_id) in self._history.known for trade in update.trades
        )
        return fresh

    # -- bars -----------------------------------------------------------------------------------

    def _start_of(self, trade: Trade) -> int:
        return bar_start(self._resolution, moment_of(trade))

    def _is_dated(self, trade: Trade) -> bool:
        """Whether the time of `trade` is one that says to which bar it belongs."""
        moment = trade.milliseconds
        return moment is not None and (
            moment > self._history.seam - PLAUSIBLE_MS or trade_key(trade.trade_id) in self._history.known
        )

    def _is_over(self, trade: Trade) -> bool:
        """Whether `trade` belongs to a bar before the one that grows."""
        current = self._builder.current
        return current is not None and self._start_of(trade) < current.timestamp

    def _tell(self, bars: list[Bar], origin: Origin, epoch: int) -> None:
        """Put `bars` into the buffer; all but the last are over."""
        assert self._market_id is not None
        for number, bar in enumerate(bars, 1):
            self._ready.append(
                BarUpdate(
                    market_id=self._market_id,
                    resolution=self._resolution,
                    bar=bar,
                    is_final=number < len(bars),
                    origin=Origin.GAP if bar.timestamp <= self._holed_to else origin,
                    epoch=epoch,
                )
            )
