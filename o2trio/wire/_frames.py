"""What one inbound text frame means, before anybody decides whom it concerns."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import attrs

from ..models import BalanceUpdate, DepthUpdate, Id, NonceUpdate, OrderUpdate, TradeUpdate

__all__ = ["AnyUpdate", "ErrorBody", "Extra", "Frame", "FrameKind", "OddField"]

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
    ACKNOWLEDGEMENT = "acknowledgement"
    """A frame that confirms a request, in whatever words; its action, if any, is in ``Frame.extra``."""
    UNKNOWN = "unknown"
    """A JSON object without data and with an unknown action or none; or a plain word."""


@attrs.frozen(slots=True, kw_only=True)
class ErrorBody:
    """An error frame, with whatever it repeats of the request it answers.

    Attributes:
      code: the exchange's number, or None.
      message: its words, or an empty text.
      action: the action it repeats, or None (also None for the bare ``error``).
      market_id: the market it repeats, or None.
      resync_required: the Turbo venue's demand to start over.
      turbo: whether it concerns the Turbo venue.
    """

    code: int | None
    message: str
    action: str | None = None
    market_id: Id | None = None
    resync_required: bool = False
    turbo: bool = False


@attrs.frozen(slots=True, kw_only=True)
class OddField:
    """A carried field that could not be read.

    Attributes:
      field: model and field, for example ``Order.timestamp``.
      problem: what was expected and what came.
      shape: names field and kind of JSON value; equal for all that look alike.
    """

    field: str
    problem: str
    shape: str


@attrs.frozen(slots=True, kw_only=True)
class Extra:
    """What a frame says besides its plain content; plain frames have none.

    Attributes:
      error: the refusal that a frame with data also is.
      odd: its carried fields that could not be read.
      turbo: whether the frame belongs to the Turbo venue.
      action: the action that a frame without data repeats, as it is usually spelled.
    """

    error: ErrorBody | None = None
    odd: tuple[OddField, ...] = ()
    turbo: bool = False
    action: str | None = None


class Frame(NamedTuple):
    """One decoded frame.

    Attributes:
      kind: what it is.
      market_id: the market it belongs to, for depth, views and trades; for errors, acknowledgements and
        unknown frames the one they name, if any.
      body: the update with ``epoch`` 0 and ``origin`` ``SNAPSHOT`` (snapshot, view) or ``LIVE``; an
        :class:`ErrorBody`; or None.
      extra: what the frame says besides that; None for a plain frame.
    """

    kind: FrameKind
    market_id: Id | None = None
    body: AnyUpdate | ErrorBody | None = None
    extra: Extra | None = None
