"""What one inbound text frame means, before anybody decides whom it concerns."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import attrs

from ..models import BalanceUpdate, DepthUpdate, Id, NonceUpdate, OrderUpdate, TradeUpdate

__all__ = ["AnyUpdate", "ErrorBody", "Frame", "FrameKind"]

AnyUpdate = DepthUpdate | TradeUpdate | OrderUpdate | BalanceUpdate | NonceUpdate


class FrameKind(Enum):
    """The kinds of inbound frames."""

    __hash__ = object.__hash__  # as of ``Kind``

    DEPTH_SNAPSHOT = "subscribe_depth"
    DEPTH_UPDATE = "subscribe_depth_update"
    DEPTH_VIEW = "subscribe_depth_view"
    TRADES = "subscribe_trades"
    ORDERS = "subscribe_orders"
    BALANCES = "subscribe_balances"
    NONCE = "subscribe_nonce"
    ERROR = "error"
    PING = "PING"
    PONG = "PONG"
    ACKNOWLEDGEMENT = "unsubscribe"
    """A frame that repeats an ``unsubscribe_*`` action."""
    FOREIGN = "turbo"
    """Data of the margin venue, which no spot subscriber may see."""
    UNKNOWN = "unknown"
    """A JSON object with an action nobody knows, or with none."""


@attrs.frozen(slots=True, kw_only=True)
class ErrorBody:
    """An error frame, with whatever it repeats of the request it answers.

    Attributes:
      code: the exchange's number, or None.
      message: its words, or an empty text.
      action: the action it repeats, or None (also None for the bare ``error``).
      market_id: the market it repeats, or None.
      resync_required: the margin venue's demand to start over.
      turbo: whether it concerns the margin venue.
    """

    code: int | None
    message: str
    action: str | None = None
    market_id: Id | None = None
    resync_required: bool = False
    turbo: bool = False


class Frame(NamedTuple):
    """One decoded frame.

    Attributes:
      kind: what it is.
      market_id: the market it belongs to, for depth, views and trades; for errors, acknowledgements and
        unknown frames the one they name, if any.
      body: the update with ``epoch`` 0 and ``origin`` ``SNAPSHOT`` (snapshot, view) or ``LIVE``; an
        :class:`ErrorBody`; or None.
    """

    kind: FrameKind
    market_id: Id | None = None
    body: AnyUpdate | ErrorBody | None = None
