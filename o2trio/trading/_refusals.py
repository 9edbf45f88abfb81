"""What the exchange's refusals of signed submissions mean, by code and text. Pure functions.

The texts are those of protocol notes 3.5 and 4.9; they are looked for in message and reason alike.
"""

from __future__ import annotations

import re

from .._api_errors import InvalidSession, InvalidSignature, RequestRejected, RequestUnreadable
from .._errors import ApiError
from .._trading_errors import OnChainRevert
from ._amounts import U64

__all__ = [
    "is_bad_signature",
    "is_expired",
    "is_foreign_session",
    "is_session_over",
    "is_stale",
    "is_used",
    "is_void",
    "may_mean_signature_key",
    "right_nonce",
]

_UNREAD = (RequestRejected, RequestUnreadable, InvalidSignature)
"""Codes 1001, 1002 and 4000: what the exchange answers before anything reaches the chain."""

_STALE = ("nonce in the request", "nonce in the database")
_NAMED = tuple(
    re.compile(words + r"[^\w-]{0,8}([0-9]{1,20})(?![0-9a-z_]|\.[0-9])")
    for words in ("nonce in the database", r"incrementnonceevent[^{}\w]{0,8}\{[^\w-]{0,8}nonce")
)
"""Where a text names the right nonce: of a refusal, and of a revert (protocol notes 3.6)."""

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
    text = _text(error)
    return any(words in text for words in _STALE) or _variant(error)[0] == "NonceError"


def right_nonce(error: ApiError) -> int | None:
    """Return the sequential nonce that a refusal or a revert names as the right one; None if it names none.

    It is looked for in message and reason. Of several the last one counts.
    """
    text = _text(error)
    found = [int(match[1]) for pattern in _NAMED for match in pattern.finditer(text)]
    return found[-1] if found and found[-1] < U64 else None


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
