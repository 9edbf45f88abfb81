"""Words and numbers that the plain lines and the ladder share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from .._safe_text import safe_text
from ..models import Level, Market
from ..streams import (
    ConnectionDown,
    ConnectionGivenUp,
    ConnectionUp,
    EntryNotUnderstood,
    Event,
    EventsMissed,
    FieldNotUnderstood,
    FrameIgnored,
    ServerMessage,
    TopicBroken,
    TopicRefused,
    TopicRestored,
    TopicStale,
)

__all__ = ["Numbers", "describe", "plural", "time_of_day", "topic_name"]

E = TypeVar("E", bound=Event)

_LONGEST = 300
"""Characters of an event that are shown."""


class Numbers:
    """Writes one market's numbers, with as many decimal places as its steps have.

    Args:
      market: the market.
      precision: level of price grouping.
    """

    def __init__(self, market: Market, precision: int = 1) -> None:
        self._market = market
        quote, base = market.quote, market.base
        self._price_places = max(min(quote.max_precision, quote.decimals - precision), 0)
        self._quantity_places = min(base.max_precision, base.decimals)

    def price(self, raw: int) -> str:
        """Return a price; never rounded."""
        return _exact(self._market.price(raw), self._price_places)

    def quantity(self, raw: int) -> str:
        """Return a quantity, rounded to the places that orders of this market have."""
        return f"{self._market.quantity(raw):,.{self._quantity_places}f}"

    def mid(self, bid: Level, ask: Level) -> str:
        """Return the price in the middle; never rounded."""
        return _exact(self._market.price(bid.price + ask.price) / 2, self._price_places)

    def spread(self, bid: Level, ask: Level) -> str:
        """Return the spread as a price and, unless the mid is 0, in basis points of the mid."""
        if not bid.price + ask.price:
            return self.price(0)
        points = Decimal(20_000 * (ask.price - bid.price)) / (bid.price + ask.price)
        return f"{self.price(ask.price - bid.price)} ({points:.1f} bp)"


def _exact(value: Decimal, places: int) -> str:
    text = f"{value:,.{places}f}"
    return text if Decimal(text.replace(",", "")) == value else f"{value.normalize():,f}"


def time_of_day(nanoseconds: int, digits: int = 3) -> str:
    """Return the UTC time of day with `digits` decimal places of the second."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%H:%M:%S")
    return f"{text}.{rest:09d}"[: len(text) + 1 + digits] if digits else text


def plural(count: int, noun: str) -> str:
    """Return how many there are of something."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def topic_name(topic: str) -> str:
    """Return what a topic is about, without its long ids."""
    return topic.partition(" of ")[0]


def _told(kind: type[E], words: Callable[[E], str]) -> tuple[type[Event], Callable[[Any], str]]:
    return kind, words


_EVENTS = dict(
    (
        _told(ConnectionUp, lambda _: "connected"),
        _told(
            ConnectionDown,
            lambda e: f"no connection, attempt {e.attempt + 1} in {e.retry_in:.1f} s: {e.reason}",
        ),
        _told(ConnectionGivenUp, lambda e: f"connection given up: {e.reason}"),
        _told(TopicBroken, lambda e: f"{topic_name(e.topic)} interrupted: {e.reason}"),
        _told(
            TopicRestored,
            lambda e: (
                f"{topic_name(e.topic)} restored, "
                + ("nothing is missing" if e.repaired else "some may be missing")
            ),
        ),
        _told(TopicStale, lambda e: f"no {topic_name(e.topic)} for {e.silent_for:.0f} s"),
        _told(TopicRefused, lambda e: f"{topic_name(e.topic)} refused: {e.message}"),
        _told(FrameIgnored, lambda e: f"a frame could not be understood: {e.problem}"),
        _told(FieldNotUnderstood, lambda e: f"{e.field} could not be read: {e.problem}"),
        _told(EntryNotUnderstood, lambda e: f"an entry of {e.source} could not be read: {e.problem}"),
        _told(ServerMessage, lambda e: f"the exchange says: {e.message}"),
        _told(EventsMissed, lambda _: "events were missed"),
    )
)
"""What each event means, in a few words."""


def describe(event: Event) -> str:
    """Return `event` in a few words."""
    words = _EVENTS.get(type(event))
    return type(event).__name__ if words is None else safe_text(words(event), _LONGEST)
