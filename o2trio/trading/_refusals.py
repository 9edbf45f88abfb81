"""What the exchange's refusals of signed submissions mean, by code and text. Pure functions.

The texts are those of protocol notes 3.5 and 4.9; they are looked for in message and reason alike.
"""

from __future__ import annotations

from .._api_errors import InvalidSession, InvalidSignature, RequestRejected, RequestUnreadable
from .._errors import ApiError
from .._trading_errors import OnChainRevert

__all__ = [
    "is_bad_signature",
    "is_expired",
    "is_foreign_session",
    "is_session_over",
    "is_stale",
    "is_used",
    "is_void",
    "may_mean_signature_key",
]

_UNREAD = (RequestRejected, RequestUnreadable, InvalidSignature)
"""Codes 1001, 1002 and 4000: what the exchange answers before anything reaches the chain."""

_STALE = "nonce in the request"
_PARALLEL = "parallel nonce is not usable"
_USED = ("already used",)
_VOID = ("out of sliding window", "nonce expired")
_EXPIRED = "expired session"
_FOREIGN = "invalid session address"
_VOID_VARIANTS = frozenset({("ExtendedNonceError", "Expired"), ("ExtendedNonceError", "WordPosOutOfWindow")})


def _text(error: ApiError) -> str:
    return f"{error.message or ''}\n{error.reason or ''}".casefold()


def _variant(error: ApiError) -> tuple[str | None, str | None]:
    return (error.enum, error.variant) if isinstance(error, OnChainRevert) else (None, None)


def _refuses_parallel(error: ApiError, words: tuple[str, ...]) -> bool:
    text = _text(error)
    return _PARALLEL in text and any(word in text for word in words)


def is_stale(error: ApiError) -> bool:
    """Whether the sequential nonce was not the right one; the submission did not run."""
    return _STALE in _text(error) or _variant(error)[0] == "NonceError"


def is_void(error: ApiError) -> bool:
    """Whether a parallel nonce has expired or fell out of the window; the submission did not run."""
    return _refuses_parallel(error, _VOID) or _variant(error) in _VOID_VARIANTS


def is_used(error: ApiError) -> bool:
    """Whether a parallel nonce is used already, which leaves open by whom."""
    return _refuses_parallel(error, _USED) or _variant(error) == ("ExtendedNonceError", "AlreadyUsed")


def is_bad_signature(error: ApiError) -> bool:
    """Whether key, bytes or the nonce inside them were wrong; the submission did not run."""
    return isinstance(error, InvalidSignature)


def may_mean_signature_key(error: ApiError) -> bool:
    """Whether the exchange may have refused the key of a signature; the submission did not run."""
    named = is_used(error) or is_void(error) or is_stale(error) or is_session_over(error)
    return isinstance(error, _UNREAD) and not named


def is_expired(error: ApiError) -> bool:
    """Whether the session has expired; the submission did not run."""
    return _EXPIRED in _text(error)


def is_foreign_session(error: ApiError) -> bool:
    """Whether another session is registered for the account, or none; the submission did not run."""
    return _FOREIGN in _text(error)


def is_session_over(error: ApiError) -> bool:
    """Whether the session can sign nothing more; the submission did not run."""
    return isinstance(error, InvalidSession) or is_expired(error) or is_foreign_session(error)
