"""WebSocket subscriptions without I/O: requests in, frames out; blocks in, frames for each subscriber out.

One :class:`Feed` is what the exchange knows about one socket. :class:`Feeds` holds them all and turns a
block into frames, encoding each distinct frame once however many sockets get it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import TypeAlias

import attrs

from ..models import Id, normalize_id
from ._encode import DEFAULT_FLAVOR, Flavor
from ._exchange import Block, Exchange
from ._flavors import FINE_LEVELS
from ._json import dump
from ._ws_data import BlockFrames, first_frames, is_silent, stale_update
from ._ws_requests import (
    FREQUENCIES,
    IDENTITIES_MAX,
    Refused,
    Request,
    Subscription,
    identities_of,
    is_heartbeat,
    parse,
    precision_of,
    text_of,
)

__all__ = ["FREQUENCIES", "IDENTITIES_MAX", "Feed", "Feeds", "Subscription"]


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
        if is_heartbeat(text):
            return self._pong() if text.strip().upper() == "PING" else []
        action, market = "", None
        try:
            request = parse(text)
            action, market = text_of(request, "action"), request.get("market_id")
            handler = _ACTIONS.get(action)
            if handler is None:
                raise Refused(1002, f"unknown variant `{action}`")
            if request.get("turbo") is True:
                raise Refused(6002, "The margin venue is not available")
            answers = handler(self, request, now)
            return [*self._confirmation(request), *answers]
        except Refused as refusal:
            named = market if isinstance(market, str) else ""
            return [dump(self._feeds.flavor.error(refusal.code, refusal.message, action, named))]

    def _pong(self) -> list[str]:
        flavor = self._feeds.flavor
        answers: dict[str, list[str]] = {
            "text": ["PONG"],
            "protocol": [],
            "error": [dump(flavor.error(1002, "malformed request"))],
            "json": ['{"action":"PONG"}'],
        }
        return answers[flavor.heartbeat]

    # -- requests ----------------------------------------------------------------------------------

    def _subscribe(self, wanted: Subscription) -> bool:
        """Register a subscription; return whether it is served from now on."""
        self._feeds.check_rejection()
        slot = (wanted.kind, wanted.market_id)
        choice = self._feeds.flavor.second_subscribe
        if slot in self.slots and choice != "replaced":
            if choice == "refused":
                raise Refused(6000, "Already subscribed to topic")
            return False
        self.slots[slot] = wanted
        return True

    def _subscribe_depth(self, request: Request, now: float) -> list[str]:
        wanted = Subscription(kind="depth", market_id=self._market(request), precision=self._level(request))
        if not self._subscribe(wanted):
            return []
        flavor = self._feeds.flavor
        stale = [stale_update(flavor, wanted)] if flavor.stale_update else []
        silent = is_silent(flavor, wanted.depth[1]) and wanted.precision != 0
        return stale + ([] if silent else [self._feeds.snapshot(wanted)])

    def _subscribe_view(self, request: Request, now: float) -> list[str]:
        market_id = self._market(request)
        period = FREQUENCIES.get(text_of(request, "frequency"))
        if period is None:
            raise Refused(1002, f"unknown variant `{request['frequency']}`")
        wanted = Subscription(
            kind="depth_view", market_id=market_id, precision=self._level(request), period=period
        )
        if not self._subscribe(wanted):
            return []
        self.due[market_id] = now + period
        self._feeds.on_view_added()
        return [self._feeds.view(wanted)]

    def _subscribe_trades(self, request: Request, now: float) -> list[str]:
        return self._begin(Subscription(kind="trades", market_id=self._market(request)))

    def _subscribe_accounts(self, request: Request, now: float) -> list[str]:
        identities = identities_of(request)
        if not identities:
            raise Refused(1001, "No identities given")
        if len(identities) > IDENTITIES_MAX:
            raise Refused(6002, f"At most {IDENTITIES_MAX} identities per subscription")
        kind = text_of(request, "action").removeprefix("subscribe_")
        return self._begin(Subscription(kind=kind, identities=frozenset(identities)))

    def _begin(self, wanted: Subscription) -> list[str]:
        """Register a quiet subscription and return what it begins with."""
        return self._feeds.first(wanted) if self._subscribe(wanted) else []

    def _unsubscribe_market(self, request: Request, now: float) -> list[str]:
        kind = text_of(request, "action").removeprefix("unsubscribe_")
        market_id = self._market(request)
        self.slots.pop((kind, market_id), None)
        if kind == "depth_view":
            self.due.pop(market_id, None)
        return self._acknowledge(request)

    def _unsubscribe_orders(self, request: Request, now: float) -> list[str]:
        self.slots.pop(("orders", None), None)
        return self._acknowledge(request)

    def _unsubscribe_accounts(self, request: Request, now: float) -> list[str]:
        slot = (text_of(request, "action").removeprefix("unsubscribe_"), None)
        live, named = self.slots.get(slot), frozenset(identities_of(request))
        choice = self._feeds.flavor.unsubscribe_subset
        if live is not None and (live.identities == named or (choice == "ends" and live.identities & named)):
            del self.slots[slot]
        elif live is not None and choice == "narrows" and live.identities - named:
            self.slots[slot] = attrs.evolve(live, identities=live.identities - named)
        return self._acknowledge(request)

    def _confirmation(self, request: Request) -> list[str]:
        """Return what confirms a request before anything else is sent for it."""
        action = text_of(request, "action")
        if not action.startswith("subscribe_"):
            return []
        market = request.get("market_id")
        named = {"market_id": market} if isinstance(market, str) else {}
        confirmations: dict[str, list[str]] = {
            "none": [],
            "code": ['{"code":0,"message":"subscribed"}'],
            "action": [dump({"action": action, **named, "status": "ok"})],
            "text": ["OK"],
        }
        return confirmations[self._feeds.flavor.acknowledge]

    def _acknowledge(self, request: Request) -> list[str]:
        if not self._feeds.flavor.acknowledge_unsubscribe:
            return []
        try:
            return [dump(request)]
        except (OverflowError, RecursionError) as error:  # more can be read than can be written
            raise Refused(1002, f"malformed request: {error}") from None

    def _level(self, request: Request) -> int:
        level = precision_of(request)
        if level > FINE_LEVELS and self._feeds.flavor.high_precision == "refused":
            raise Refused(6002, "Invalid precision")
        return level

    def _market(self, request: Request) -> Id:
        try:
            market_id = normalize_id(text_of(request, "market_id"))
        except ValueError as error:
            raise Refused(1002, f"invalid market_id: {error}") from None
        if market_id not in self._feeds.market_ids:
            raise Refused(2000, "Market not found")
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

    def __init__(self, exchange: Exchange, flavor: Flavor = DEFAULT_FLAVOR) -> None:
        self._exchange = exchange
        self.flavor = flavor
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
            raise Refused(*self.rejections.pop(0))

    def snapshot(self, wanted: Subscription) -> str:
        """Return the first frame of a depth subscription."""
        where = wanted.depth
        return self.flavor.frame(self.flavor.snapshot(*where, self._exchange.book(*where)))

    def view(self, wanted: Subscription) -> str:
        """Return the present frame of a depth view."""
        where = wanted.depth
        return self.flavor.frame(self.flavor.view(*where, self._exchange.book(*where)))

    def first(self, wanted: Subscription) -> list[str]:
        """Return the first frames of a quiet subscription."""
        return first_frames(self._exchange, self.flavor, wanted)

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
        encode = BlockFrames(self._exchange, self.flavor, block)
        for feed in self.feeds:
            wanted = feed.subscriptions
            ordered = reversed(wanted) if self.flavor.sequence == "reversed" else wanted
            frames = [frame for each in ordered for frame in encode.frames(each)]
            if frames:
                yield feed, frames
