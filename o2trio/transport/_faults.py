"""Why a connection failed and whether trying again can help: one function, its tables beside it.

Some causes look final and are not always: a gateway may answer 404 during a deployment. They end a
connection only if the exchange has never served the client. An address that has served before is right, so
such a cause is retried there like any other.

Nothing here retries or sleeps; the connection's supervisor and the REST client do.
"""

from __future__ import annotations

import re
import ssl
from enum import Enum

import attrs
import trio

from .._errors import ConnectTimeout, HandshakeRejected, LinkClosed, MessageTooBig, Silence

__all__ = ["CONNECTION_ERRORS", "Fault", "Retry", "classify", "is_transient_status"]


class Retry(Enum):
    """When another try can help."""

    ALWAYS = "always"
    IF_SERVED = "where the exchange has served before"
    ONCE_IF_SERVED = "where it has served before, until it happens again"
    NEVER = "never"


@attrs.frozen(slots=True)
class Fault:
    """What :func:`classify` found.

    Attributes:
      retry: when trying again later can help.
      reason: what happened, in words.
      retry_after: seconds the server asked to wait, or None.
    """

    retry: Retry
    reason: str
    retry_after: float | None = None

    def is_retryable(self, *, served: bool, repeated: bool = False) -> bool:
        """Return whether trying again later can help.

        Args:
          served: the exchange has served this client at this address before.
          repeated: a fault with the same `retry` occurred since the last stable connection.
        """
        if self.retry is Retry.ONCE_IF_SERVED:
            return served and not repeated
        return self.retry is Retry.ALWAYS or (self.retry is Retry.IF_SERVED and served)


_ERRORS: tuple[tuple[type[Exception], Retry, str], ...] = (
    # The first match counts: narrow types before their bases.
    (ssl.SSLCertVerificationError, Retry.NEVER, "the server's certificate is not trusted"),
    # A snapshot that is too big comes again with every connection; a single large message does not.
    (MessageTooBig, Retry.ONCE_IF_SERVED, "a message is too big"),
    (ConnectTimeout, Retry.ALWAYS, "connecting took too long"),
    (Silence, Retry.ALWAYS, "the connection went silent"),
    (ssl.SSLError, Retry.ALWAYS, "TLS failed"),
    (OSError, Retry.ALWAYS, "the network failed"),
    (trio.BrokenResourceError, Retry.ALWAYS, "the connection broke"),
    (trio.TooSlowError, Retry.ALWAYS, "the dialer took too long"),
)

CONNECTION_ERRORS: tuple[type[Exception], ...] = (
    HandshakeRejected,
    LinkClosed,
    *(kind for kind, _, _ in _ERRORS),
)
"""Every kind that :func:`classify` knows, for an ``except`` clause."""

_TRANSIENT_STATUS = frozenset({408, 425, 429})
# ... and every 5xx. Any other answer is final on a first dial, because the handshake never changes: a wrong
# address (2xx, 3xx, 404, 410), a refused request (400, 405, 426), no permission (401, 403).

_REGION_STATUS = 451
_REGION_CODE = re.compile(r'"code"\s*:\s*"?1004\b')
"""The exchange's code for a region that it does not serve, in the body of a refusal with any status."""

_DOUBTFUL_CLOSE = {
    1003: "the server does not take such messages",
    1009: "the server finds our messages too big",
    1010: "the server wants an extension that we do not offer",
    3000: "the server wants a login",
    3003: "the server forbids it",
}
# Every other code is always tried again. That includes 1002 and 1007 (bytes damaged on the way), 1006, and
# 1008: servers say "policy" for an idle or slow peer or for too many connections at once, which pass, and
# where it does not pass the backoff keeps the attempts rare.


def classify(error: BaseException) -> Fault | None:
    """Say whether a failed connection is worth another try.

    Returns:
      the fault, or None for an error that is not a fault of the connection. Such an error is a bug or the
      user's own: let it propagate.
    """
    if isinstance(error, HandshakeRejected):
        return Fault(_retry_of(error), str(error), error.retry_after)
    if isinstance(error, LinkClosed):
        why = _DOUBTFUL_CLOSE.get(error.code)
        if why is None:
            return Fault(Retry.ALWAYS, str(error))
        return Fault(Retry.IF_SERVED, f"{error}: {why}")
    for kind, retry, what in _ERRORS:
        if isinstance(error, kind):
            return Fault(retry, f"{what}: {error}")
    return None


def _retry_of(refusal: HandshakeRejected) -> Retry:
    if refusal.status == _REGION_STATUS or _REGION_CODE.search(refusal.body):
        return Retry.NEVER
    return Retry.ALWAYS if is_transient_status(refusal.status) else Retry.IF_SERVED


def is_transient_status(status: int) -> bool:
    """Return whether the same HTTP request may succeed later, whatever was there before."""
    return status in _TRANSIENT_STATUS or 500 <= status <= 599
