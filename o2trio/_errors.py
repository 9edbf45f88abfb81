"""The one hierarchy of errors. Each branch says who is to blame: the caller, the server, the connection.

Messages tell what happened, to which market or account, and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from .models import Cursor, Gap

__all__ = [
    "ApiError",
    "BookInconsistent",
    "CallerError",
    "ConnectTimeout",
    "ConnectionFault",
    "ConsumerTooSlow",
    "DecodeError",
    "HandshakeRejected",
    "IncompletePages",
    "InvalidRequest",
    "LinkClosed",
    "MarketUnreadable",
    "MessageTooBig",
    "O2ConnectionLost",
    "O2Error",
    "RequestFailed",
    "ResynchronisationFailed",
    "ServerError",
    "Silence",
    "StreamGap",
    "SubscriptionRejected",
    "SubscriptionTimeout",
    "TooManyConnections",
    "UnknownMarket",
    "WrongVenue",
]


class O2Error(Exception):
    """Base of every error that this library raises on its own account."""


# -- the caller ------------------------------------------------------------------------------------


class CallerError(O2Error):
    """The call itself is wrong; trying again will not help."""


class InvalidRequest(CallerError, ValueError):
    """An argument is wrong. Raised before anything is sent."""


class UnknownMarket(CallerError, LookupError):
    """The exchange has no such market.

    Attributes:
      name: what was asked for.
      markets: the pairs that exist.
      unreadable: how many further markets are listed whose entries could not be read.
    """

    def __init__(self, name: str, markets: tuple[str, ...], unreadable: int = 0) -> None:
        self.name = name
        self.markets = markets
        self.unreadable = unreadable
        known = ", ".join(sorted(markets)) or "none"
        more = f", and {unreadable} that could not be read (see Markets.unreadable)" if unreadable else ""
        super().__init__(f"no market {name!r}; the exchange lists: {known}{more}")


class ConsumerTooSlow(CallerError):
    """A consumer that asked for it (``on_overflow="raise"``) let its buffer run full; its stream is over."""


class TooManyConnections(CallerError):
    """The demand needs more WebSocket connections than ``Options.max_connections`` permits."""


# -- the server ------------------------------------------------------------------------------------


class ServerError(O2Error):
    """The exchange understood and said no, or answered nonsense."""


class ApiError(ServerError):
    """The exchange answered a REST request with an error; the codes it publishes have subclasses.

    Attributes:
      status: HTTP status.
      code: the exchange's own code, or None where it gave none.
      message: the exchange's own words, or None.
      reason: the untouched reason text, or None.
      receipts: the untouched receipts of a transaction that failed on chain, or None.
      retry_after: seconds the exchange asked to wait, or None.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int,
        code: int | None = None,
        message: str | None = None,
        reason: str | None = None,
        receipts: object = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason
        self.receipts = receipts
        self.retry_after = retry_after
        super().__init__(text)


class MarketUnreadable(ServerError, LookupError):
    """The exchange lists this market, but its entry lacks something needed, or holds it unreadably.

    Other markets work. ``Markets.unreadable`` lists all such entries as they came.

    Attributes:
      name: what was asked for.
      problem: what is wrong with the entry, and where.
    """

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(f"the exchange's entry of market {name!r} could not be read: {problem}")


class IncompletePages(ServerError):
    """A list could not be read to its end: too many pages, or the exchange does not advance.

    Attributes:
      cursor: a place to go on from (a :class:`Cursor`), or None at the beginning.
    """

    def __init__(self, message: str, cursor: Cursor | None = None) -> None:
        self.cursor = cursor
        super().__init__(message)


class SubscriptionRejected(ServerError):
    """The exchange refused one subscription; others go on.

    Attributes:
      code: the exchange's code (6000 already subscribed, 6001 too many, 6002 other), or None.
      message: the exchange's words.
      topic: what was asked for, readable.
    """

    def __init__(self, code: int | None, message: str, topic: str = "") -> None:
        self.code = code
        self.message = message
        self.topic = topic
        number = "" if code is None else f" with code {code}"
        super().__init__(f"the exchange refused {topic or 'the subscription'}{number}: {message}")


class SubscriptionTimeout(ServerError):
    """A depth subscription got no snapshot within ``Options.snapshot_timeout``."""


class BookInconsistent(ServerError):
    """A depth message does not fit the book it should change, or would cross it.

    A stream heals this by itself, with a fresh snapshot; who replays a recording into a
    :class:`DepthBook` meets it as this error.
    """


class ResynchronisationFailed(ServerError):
    """A book stayed inconsistent although ``Options.resync_attempts`` fresh snapshots were asked for."""


class DecodeError(ServerError):
    """A frame or an answer could not be understood.

    Attributes:
      path: where in the frame, for example ``$.changes.buys[1].price``; ``$`` is the whole.
      frame: the frame, shortened.
      action: the frame's action, or None if it could not be read.
      market_id: the market that the frame names, normalised, or None if it could not be read.
    """

    def __init__(self, problem: str, *, path: str, frame: str) -> None:
        self.problem = problem
        self.path = path
        self.frame = frame
        self.action: str | None = None
        self.market_id: str | None = None
        super().__init__(f"{problem} at {path} in {frame!r}")


class WrongVenue(DecodeError):
    """An answer is about the other venue (spot or Turbo) than the request, so it was not taken."""


# -- the connection --------------------------------------------------------------------------------


class ConnectionFault(O2Error):
    """Something between here and the exchange failed."""


class O2ConnectionLost(ConnectionFault, trio.BrokenResourceError):
    """A connection was given up for good: a fatal cause, or no attempts left.

    ``__cause__`` holds the last failure.
    """


class ConnectTimeout(ConnectionFault):
    """Dialling, TLS and the WebSocket handshake took longer than ``Options.connect_timeout``."""


class Silence(ConnectionFault):
    """The connection counts as dead, although nobody closed it.

    Nothing arrived, or the server read nothing, for ``Options.silence_timeout``; a heartbeat had no answer
    for ``Options.heartbeat_answer_timeout``; or a message was incomplete after ``Options.message_timeout``.
    """


class LinkClosed(ConnectionFault):
    """The WebSocket ended.

    Attributes:
      code: the close code; 1006 if it broke off without one, 1002 or 1007 for bytes that make no sense.
      reason: the words that came with it, or our own where none came; may be empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"the connection closed with code {code}" + (f" ({reason})" if reason else ""))

    @property
    def clean(self) -> bool:
        """Whether it ended by the protocol rather than by breaking off or by nonsense."""
        return self.code not in (1002, 1006, 1007)


class HandshakeRejected(ConnectionFault):
    """The server answered the WebSocket handshake with an HTTP status instead of an upgrade.

    Attributes:
      status: the HTTP status.
      retry_after: seconds the server asked to wait, or None.
      body: the first bytes of the answer as text.
    """

    def __init__(self, status: int, *, retry_after: float | None = None, body: str = "") -> None:
        self.status = status
        self.retry_after = retry_after
        self.body = body
        said = f": {body}" if body else ""
        super().__init__(f"the server refused the WebSocket handshake with HTTP {status}{said}")


class MessageTooBig(ConnectionFault):
    """The server sent a message larger than ``Options.max_message_bytes``; raise that limit."""


class StreamGap(ConnectionFault):
    """Something is missing in a stream whose consumer asked to be told so (``on_gap="raise"``).

    The stream goes on behind it.

    Attributes:
      gap: what is missing.
    """

    def __init__(self, gap: Gap | None) -> None:
        self.gap = gap
        why = "" if gap is None else f" since {gap.since:.1f} until {gap.until:.1f}: {gap.reason}"
        super().__init__(f"the stream has a gap{why}")


class RequestFailed(ConnectionFault):
    """A REST request got no answer: no connection, a time-out, or the connection broke."""
