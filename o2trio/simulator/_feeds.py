"""WebSocket subscriptions without I/O: requests in, frames out; blocks in, frames for each subscriber out.

One :class:`Feed` is what the exchange knows about one socket. :class:`Feeds` holds them all and turns a
block into frames, encoding each distinct frame once however many sockets get it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import TypeAlias

import attrs
import msgspec

from ..models import DepthChanges, Id, Identity, IdentityKind, Level, Side, normalize_id
from ._encode import DEFAULT_FLAVOUR, Flavour, Json, dump
from ._exchange import Block, Exchange, group_price

__all__ = ["FREQUENCIES", "IDENTITIES_MAX", "Feed", "Feeds", "Subscription"]

IDENTITIES_MAX = 10
"""Identities of one subscription."""

PRECISIONS = {str(10**level): level for level in range(19)}
"""Level of each precision on the wire. ``1`` is a channel that sends a snapshot and nothing else."""

FREQUENCIES = {"100ms": 0.1, "500ms": 0.5, "1s": 1.0, "3s": 3.0}
"""Seconds between two depth views."""

_SILENT_LEVEL = 0

Request: TypeAlias = dict[str, object]


class _Refused(Exception):
    """A request that is answered with an error frame."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@attrs.frozen(slots=True, kw_only=True, cache_hash=True)
class Subscription:
    """One live subscription of one socket, for tests to look at.

    Attributes:
      kind: ``depth``, ``depth_view``, ``trades``, ``orders``, ``balances`` or ``nonce``.
      market_id: of the first three.
      precision: level, of depth and depth view.
      period: seconds, of a depth view.
      identities: of the last three.
    """

    kind: str
    market_id: Id | None = None
    precision: int | None = None
    period: float | None = None
    identities: frozenset[Identity] = frozenset()


def _depth_of(wanted: Subscription) -> tuple[Id, int]:
    """Return market and level of a depth or depth view subscription."""
    assert wanted.market_id is not None
    assert wanted.precision is not None
    return wanted.market_id, wanted.precision


class Feed:
    """The subscriptions of one socket: one per slot, a slot being a kind and perhaps a market."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self.slots: dict[tuple[str, Id | None], Subscription] = {}
        self.due: dict[Id, float] = {}
        """When each depth view is next sent, on the clock of :meth:`Feeds.due`."""

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Every live subscription, oldest first."""
        return tuple(self.slots.values())

    def receive(self, text: str, now: float) -> list[str]:
        """Handle one text frame of the client and return the answers.

        Args:
          text: the frame.
          now: the time in seconds, for depth views.
        """
        if text.strip().upper() == "PING":
            return ["PONG"]
        if text.strip().upper() == "PONG":
            return []
        action, market = "", None
        try:
            request = _parse(text)
            action, market = _text(request, "action"), request.get("market_id")
            handler = _ACTIONS.get(action)
            if handler is None:
                raise _Refused(1002, f"unknown variant `{action}`")
            if request.get("turbo") is True:
                raise _Refused(6002, "The margin venue is not available")
            return handler(self, request, now)
        except _Refused as refusal:
            named = market if isinstance(market, str) else ""
            return [dump(self._feeds.flavour.error(refusal.code, refusal.message, action, named))]

    # -- requests ----------------------------------------------------------------------------------

    def _subscribe(self, wanted: Subscription) -> None:
        self._feeds.check_rejection()
        slot = (wanted.kind, wanted.market_id)
        if slot in self.slots:
            raise _Refused(6000, "Already subscribed to topic")
        self.slots[slot] = wanted

    def _subscribe_depth(self, request: Request, now: float) -> list[str]:
        wanted = Subscription(kind="depth", market_id=self._market(request), precision=_precision(request))
        self._subscribe(wanted)
        return [self._feeds.snapshot(wanted)]

    def _subscribe_view(self, request: Request, now: float) -> list[str]:
        market_id = self._market(request)
        period = FREQUENCIES.get(_text(request, "frequency"))
        if period is None:
            raise _Refused(1002, f"unknown variant `{request['frequency']}`")
        wanted = Subscription(
            kind="depth_view", market_id=market_id, precision=_precision(request), period=period
        )
        self._subscribe(wanted)
        self.due[market_id] = now + period
        self._feeds.on_view_added()
        return [self._feeds.view(wanted)]

    def _subscribe_trades(self, request: Request, now: float) -> list[str]:
        self._subscribe(Subscription(kind="trades", market_id=self._market(request)))
        return []

    def _subscribe_accounts(self, request: Request, now: float) -> list[str]:
        identities = _identities(request)
        if not identities:
            raise _Refused(1001, "No identities given")
        if len(identities) > IDENTITIES_MAX:
            raise _Refused(6002, f"At most {IDENTITIES_MAX} identities per subscription")
        kind = _text(request, "action").removeprefix("subscribe_")
        self._subscribe(Subscription(kind=kind, identities=frozenset(identities)))
        return []

    def _unsubscribe_market(self, request: Request, now: float) -> list[str]:
        kind = _text(request, "action").removeprefix("unsubscribe_")
        market_id = self._market(request)
        self.slots.pop((kind, market_id), None)
        if kind == "depth_view":
            self.due.pop(market_id, None)
        return self._acknowledge(request)

    def _unsubscribe_orders(self, request: Request, now: float) -> list[str]:
        self.slots.pop(("orders", None), None)
        return self._acknowledge(request)

    def _unsubscribe_accounts(self, request: Request, now: float) -> list[str]:
        # What a subset of the identities means is unknown; here only the exact set ends the stream.
        slot = (_text(request, "action").removeprefix("unsubscribe_"), None)
        live = self.slots.get(slot)
        if live is not None and live.identities == frozenset(_identities(request)):
            del self.slots[slot]
        return self._acknowledge(request)

    def _acknowledge(self, request: Request) -> list[str]:
        if not self._feeds.flavour.acknowledge_unsubscribe:
            return []
        try:
            return [dump(request)]
        except (OverflowError, RecursionError) as error:  # more can be read than can be written
            raise _Refused(1002, f"malformed request: {error}") from None

    def _market(self, request: Request) -> Id:
        try:
            market_id = normalize_id(_text(request, "market_id"))
        except ValueError as error:
            raise _Refused(1002, f"invalid market_id: {error}") from None
        if market_id not in self._feeds.market_ids:
            raise _Refused(2000, "Market not found")
        return market_id


_Handler: TypeAlias = Callable[[Feed, Request, float], list[str]]

_ACTIONS: dict[str, _Handler] = {
    "subscribe_depth": Feed._subscribe_depth,
    "subscribe_depth_view": Feed._subscribe_view,
    "subscribe_trades": Feed._subscribe_trades,
    "subscribe_orders": Feed._subscribe_accounts,
    "subscribe_balances": Feed._subscribe_accounts,
    "subscribe_nonce": Feed._subscribe_accounts,
    "unsubscribe_depth": Feed._unsubscribe_market,
    "unsubscribe_depth_view": Feed._unsubscribe_market,
    "unsubscribe_trades": Feed._unsubscribe_market,
    "unsubscribe_orders": Feed._unsubscribe_orders,
    "unsubscribe_balances": Feed._unsubscribe_accounts,
    "unsubscribe_nonce": Feed._unsubscribe_accounts,
}


class Feeds:
    """All sockets, and the frames that a block means for each."""

    def __init__(self, exchange: Exchange, flavour: Flavour = DEFAULT_FLAVOUR) -> None:
        self._exchange = exchange
        self.flavour = flavour
        self.feeds: dict[Feed, None] = {}
        self.on_view_added: Callable[[], None] = lambda: None
        self.market_ids = frozenset(market.market_id for market in exchange.markets.markets)
        self.rejections: list[tuple[int, str]] = []
        """Codes and messages that refuse the next subscriptions, oldest first."""

    def open(self) -> Feed:
        """Register a new socket."""
        feed = Feed(self)
        self.feeds[feed] = None
        return feed

    def close(self, feed: Feed) -> None:
        """Forget a socket."""
        self.feeds.pop(feed, None)

    def restart(self, exchange: Exchange) -> None:
        """Forget every socket, and tell from now on of another exchange with the same markets."""
        self._exchange = exchange
        self.feeds.clear()

    def check_rejection(self) -> None:
        """Refuse this subscription if somebody asked for that."""
        if self.rejections:
            raise _Refused(*self.rejections.pop(0))

    def snapshot(self, wanted: Subscription) -> str:
        """Return the first frame of a depth subscription."""
        where = _depth_of(wanted)
        return dump(self.flavour.snapshot(*where, self._exchange.book(*where)))

    def view(self, wanted: Subscription) -> str:
        """Return the present frame of a depth view."""
        where = _depth_of(wanted)
        return dump(self.flavour.view(*where, self._exchange.book(*where)))

    # -- depth views -------------------------------------------------------------------------------

    def next_due(self) -> float:
        """Return when the next depth view must be sent; infinity when there is none."""
        return min((moment for feed in self.feeds for moment in feed.due.values()), default=inf)

    def views(self, now: float) -> Iterator[tuple[Feed, str]]:
        """Yield every depth view that is due, each feed's next one a period later."""
        frames: dict[tuple[Id | None, int | None], str] = {}
        for feed in self.feeds:
            for market_id, moment in feed.due.items():
                if moment <= now:
                    wanted = feed.slots["depth_view", market_id]
                    assert wanted.period is not None
                    feed.due[market_id] = max(moment + wanted.period, now)
                    key = (market_id, wanted.precision)
                    if key not in frames:
                        frames[key] = self.view(wanted)
                    yield feed, frames[key]

    # -- blocks ------------------------------------------------------------------------------------

    def publish(self, block: Block) -> Iterator[tuple[Feed, list[str]]]:
        """Yield the frames that `block` means for each socket that gets any."""
        encode = _BlockFrames(self._exchange, self.flavour, block)
        for feed in self.feeds:
            frames = [frame for wanted in feed.slots.values() for frame in encode.frames(wanted)]
            if frames:
                yield feed, frames


class _BlockFrames:
    """The frames of one block, each made when somebody first wants it."""

    def __init__(self, exchange: Exchange, flavour: Flavour, block: Block) -> None:
        self._exchange = exchange
        self._flavour = flavour
        self._block = block
        self._stamps = flavour.stamps(block.onchain_timestamp, block.seen_timestamp)
        self._made: dict[Subscription, list[str]] = {}

    def frames(self, wanted: Subscription) -> list[str]:
        """Return what one subscription gets; equal subscriptions share the frames."""
        if wanted not in self._made:
            make = _MAKERS.get(wanted.kind)
            self._made[wanted] = [] if make is None else [dump(message) for message in make(self, wanted)]
        return self._made[wanted]

    def _depth(self, wanted: Subscription) -> Iterator[Json]:
        market_id, precision = _depth_of(wanted)
        changes = self._block.levels.get(market_id)
        if not changes or precision == _SILENT_LEVEL:
            return
        sums: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        for side, raw, change in changes:
            price = group_price(side, raw, 10**precision)
            sums[side][price] = sums[side].get(price, 0) + change
        bids, asks = (
            tuple(Level(price, change) for price, change in sums[side].items() if change) for side in sums
        )
        if bids or asks:
            yield {
                "action": "subscribe_depth_update",
                "changes": self._flavour.sides(DepthChanges(bids=bids, asks=asks)),
                "market_id": self._flavour.id(market_id),
                **self._stamps,
            }

    def _trades(self, wanted: Subscription) -> Iterator[Json]:
        assert wanted.market_id is not None
        trades = self._block.trades.get(wanted.market_id)
        if trades:
            yield {
                "action": "subscribe_trades",
                "trades": [self._flavour.trade(trade) for trade in trades],
                "market_id": self._flavour.id(wanted.market_id),
                **self._stamps,
            }

    def _orders(self, wanted: Subscription) -> Iterator[Json]:
        markets = {market.market_id: market for market in self._exchange.markets.markets}
        orders: list[Json] = [
            self._flavour.order(order, markets[order.market_id])
            for order in self._block.orders
            if order.owner in wanted.identities
        ]
        if orders:
            yield {"action": "subscribe_orders", "orders": orders, **self._stamps}

    def _balances(self, wanted: Subscription) -> Iterator[Json]:
        balances: list[Json] = [
            {
                "identity": self._flavour.identity(account.identity),
                "asset_id": self._flavour.id(asset),
                **self._flavour.balance(account.balance(asset)),
            }
            for account, asset in self._block.balances
            if account.identity in wanted.identities
        ]
        if balances:
            yield {"action": "subscribe_balances", "balance": balances, **self._stamps}

    def _nonce(self, wanted: Subscription) -> Iterator[Json]:
        for account in self._block.nonces:
            if account.identity in wanted.identities:
                yield {
                    "action": "subscribe_nonce",
                    "contract_id": self._flavour.id(account.trade_account_id),
                    "nonce": self._flavour.nonce_value(account.nonce),
                    **self._stamps,
                }


_MAKERS: dict[str, Callable[[_BlockFrames, Subscription], Iterable[Json]]] = {
    "depth": _BlockFrames._depth,
    "trades": _BlockFrames._trades,
    "orders": _BlockFrames._orders,
    "balances": _BlockFrames._balances,
    "nonce": _BlockFrames._nonce,
}


# -- reading requests ------------------------------------------------------------------------------


def _parse(text: str) -> Request:
    try:
        return msgspec.json.decode(text, type=dict[str, object])  # see below
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(1002, f"malformed request: {error}") from None


def _text(request: Request, key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise _Refused(1002, f"missing field `{key}`" if value is None else f"invalid type for `{key}`")
    return value


def _precision(request: Request) -> int:
    level = PRECISIONS.get(_text(request, "precision"))
    if level is None:
        raise _Refused(6002, "Invalid precision")
    return level


def _identities(request: Request) -> list[Identity]:
    try:
        listed = msgspec.convert(request.get("identities"), list[dict[str, str]])
        pairs = [pair for item in listed for pair in item.items()]
        if len(pairs) != len(listed):
            raise ValueError("an identity has exactly one key")
        return [Identity(IdentityKind(kind), normalize_id(value)) for kind, value in pairs]
    except (msgspec.ValidationError, ValueError) as error:
        raise _Refused(1002, f"invalid identities: {error}") from None
