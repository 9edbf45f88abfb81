"""What an HTTP answer says: the shapes that no model has, and the errors.

Pure functions over status, headers and body; nothing is sent or repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import attrs
import httpx2

from .._api_errors import API_ERRORS, RateLimitExceeded
from .._errors import ApiError, DecodeError
from ..models import Id
from ..models._understanding import unread_field
from ..transport._backoff import parse_retry_after
from ..wire._structure import fail, parse
from ._envelope import Envelope, envelope_of, object_in, opened, words_in

__all__ = [
    "NOT_JSON",
    "REDIRECTS",
    "AccountCreated",
    "Answer",
    "Anything",
    "Health",
    "account_in",
    "error_of",
    "find_error",
    "redirect_target",
]

_SHOWN_CHARACTERS = 200
_TOO_MANY_REQUESTS = 429
REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Statuses whose ``Location`` says where the answer is."""
NOT_JSON = object()
"""The content of a body that is not JSON."""


@attrs.frozen(slots=False)
class Answer:
    """One HTTP answer, complete.

    Attributes:
      request: method and path, for messages.
      status: the HTTP status.
      retry_after: the ``Retry-After`` header, or None.
      body: the body, decompressed.
      location: the ``Location`` header, or None.
    """

    request: str
    status: int
    retry_after: str | None
    body: bytes
    location: str | None = None

    @cached_property
    def content(self) -> object:
        """The JSON in the body, with exact numbers; :data:`NOT_JSON` if there is none."""
        try:
            return parse(self.body)
        except DecodeError:
            return NOT_JSON


@attrs.frozen(slots=True, kw_only=True)
class AccountCreated:
    """``POST /v1/accounts``: the account, and its sequential nonce if the exchange tells it."""

    trade_account_id: Id
    nonce: int | None = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class Anything:
    """An answer whose shape nobody has documented: any JSON, immutable."""

    content: object = None


@attrs.frozen(slots=True, kw_only=True)
class Health:
    """``GET /health``."""

    status: str


_ACCOUNT = ("trade_account_id", "trade_account")


def account_in(answer: Answer) -> dict[str, object] | None:
    """Return the account that ``GET /v1/accounts`` names, in one object; None if it says that there is none.

    What the chain knows about it is nested in the answer.

    Raises:
      DecodeError: one of them is not an object, so nothing of it can be read.
    """
    account = object_in(opened(answer.content))
    if account is None:
        raise fail("expected an object", answer.body)
    if any(name in account for name in _ACCOUNT) and not any(account.get(name) for name in _ACCOUNT):
        return None
    nested = account.get("trade_account")
    known = {} if nested is None else object_in(nested)
    if known is None:
        raise fail("expected an object or null", answer.body, "$.trade_account")
    return {**known, **{name: account.get(name) for name in ("trade_account_id", "session")}}


def find_error(answer: Answer) -> ApiError | None:
    """Return the error that `answer` is, or None for a success.

    What says that it is an error is one, also with status 200. Anything else that is not a success, and an
    answer that is not JSON at all (the page of a gateway), is shown by status and first words.
    """
    if answer.content is NOT_JSON:
        text = " ".join(answer.body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace").split())
        message = f"{answer.request} answered HTTP {answer.status} without JSON: {_shown(text) or '(empty)'}"
        retry_after = parse_retry_after(answer.retry_after)
        return _class_of(answer.status, None)(
            message + _moved(answer), status=answer.status, retry_after=retry_after
        )
    envelope = envelope_of(answer.content)
    success = 200 <= answer.status <= 299
    return None if success and not envelope.is_refusal else error_of(answer, envelope)


def error_of(answer: Answer, envelope: Envelope) -> ApiError:
    """Return the error that `envelope` names: of its code's class, with everything that it says."""
    number = "" if envelope.code is None else f" with code {envelope.code}"
    message = envelope.message
    if message is None and envelope.reason is None:
        message = words_in(answer.content)
    words = ": ".join(part for part in (message, envelope.reason) if part) or "no explanation"
    return _class_of(answer.status, envelope.code)(
        f"{answer.request} failed with HTTP {answer.status}{number}: {words}{_moved(answer)}",
        status=answer.status,
        code=envelope.code,
        message=message,
        reason=envelope.reason,
        receipts=envelope.receipts,
        retry_after=parse_retry_after(answer.retry_after),
    )


def redirect_target(url: httpx2.URL, answer: Answer) -> httpx2.URL | None:
    """Return where a read of `url` goes on; None if `answer` does not say, or names another host.

    Scheme, host and port must stay the same, so that nothing meant for one host reaches another.
    """
    if answer.status not in REDIRECTS or answer.location is None:
        return None
    try:
        target = url.join(answer.location)
    except httpx2.InvalidURL:
        return None
    return target if _origin(target) == _origin(url) else None


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _moved(answer: Answer) -> str:
    """Return where an answer that was not followed points to."""
    if answer.location is None or answer.status not in REDIRECTS:
        return ""
    return f" (it points to {_shown(answer.location)}, which was not followed)"


def _shown(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:_SHOWN_CHARACTERS]


def _class_of(status: int, code: int | None) -> type[ApiError]:
    if code is None:
        return RateLimitExceeded if status == _TOO_MANY_REQUESTS else ApiError
    return API_ERRORS.get(code, ApiError)
