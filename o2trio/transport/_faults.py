"""Why a connection failed and whether trying again can help: one function, its tables beside it.

Nothing here retries or sleeps; the connection's supervisor and the REST client do.
"""

from __future__ import annotations

import ssl

import attrs
import trio

from .._errors import ConnectTimeout, HandshakeRejected, LinkClosed, MessageTooBig, Silence

__all__ = ["CONNECTION_ERRORS", "Fault", "classify", "is_transient_status"]


@attrs.frozen(slots=True)
class Fault:
    """What :func:`classify` found.

    Attributes:
      retryable: trying again later can help.
      reason: what happened, in words.
      retry_after: seconds the server asked to wait, or None.
    """

    retryable: bool
    reason: str
    retry_after: float | None = None


_RETRY, _FATAL = True, False

_ERRORS: tuple[tuple[type[Exception], bool, str], ...] = (
    # The first match counts: narrow types before their bases.
    (ssl.SSLCertVerificationError, _FATAL, "the server's certificate is not trusted"),
    (MessageTooBig, _FATAL, "the same message would come again"),
    (ConnectTimeout, _RETRY, "connecting took too long"),
    (Silence, _RETRY, "the connection went silent"),
    (ssl.SSLError, _RETRY, "TLS failed"),
    (OSError, _RETRY, "the network failed"),
    (trio.BrokenResourceError, _RETRY, "the connection broke"),
    (trio.TooSlowError, _RETRY, "the dialer took too long"),
)

CONNECTION_ERRORS: tuple[type[Exception], ...] = (
    HandshakeRejected,
    LinkClosed,
    *(kind for kind, _, _ in _ERRORS),
)
"""Every kind that :func:`classify` knows, for an ``except`` clause."""

_TRANSIENT_STATUS = frozenset({408, 425, 429})
# ... and every 5xx. The handshake never changes, so any other answer would be the same again: a wrong
# address (2xx, 3xx, 404, 410), a refused request (400, 405, 426), no permission (401, 403), the region (451).

_FATAL_CLOSE = {
    1003: "the server does not take such messages",
    1009: "the server finds our messages too big",
    1010: "the server wants an extension that we do not offer",
    3000: "the server wants a login",
    3003: "the server forbids it",
}
# Every other code is tried again. That includes 1002 and 1007 (bytes damaged on the way), 1006, and 1008:
# servers say "policy" for an idle or slow peer or for too many connections at once, which pass, and where it
# does not pass the backoff keeps the attempts rare.


def classify(error: BaseException) -> Fault | None:
    """Say whether a failed connection is worth another try.

    Returns:
      the fault, or None for an error that is no connection's fault. Such an error is a bug or the
      user's own: let it propagate.
    """
    if isinstance(error, HandshakeRejected):
        return Fault(is_transient_status(error.status), str(error), error.retry_after)
    if isinstance(error, LinkClosed):
        why = _FATAL_CLOSE.get(error.code)
        return Fault(why is None, str(error) if why is None else f"{error}: {why}")
    for kind, retryable, what in _ERRORS:
        if isinstance(error, kind):
            return Fault(retryable, f"{what}: {error}")
    return None


def is_transient_status(status: int) -> bool:
    """Tell whether the same HTTP request may succeed later."""
    return status in _TRANSIENT_STATUS or 500 <= status <= 599
