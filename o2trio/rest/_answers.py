"""What an HTTP answer says: the shapes that no model has, and errors in every clothing.

Pure functions over status, headers and body; nothing is sent or repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import msgspec

from .._api_errors import API_ERRORS, RateLimitExceeded
from .._errors import ApiError
from ..models import AccountState, Balance, BookBalance, Id, Identity, RegisteredSession
from ..models._understanding import unread_field
from ..transport._backoff import parse_retry_after

__all__ = [
    "AccountAnswer",
    "AccountCreated",
    "Answer",
    "Anything",
    "BalanceAnswer",
    "Envelope",
    "Health",
    "error_of",
    "find_error",
]

_SHOWN_CHARACTERS = 200
_TOO_MANY_REQUESTS = 429


@attrs.frozen(slots=True)
class Answer:
    """One HTTP answer, complete.

    Attributes:
      request: method and path, for messages.
      status: the HTTP status.
      retry_after: the ``Retry-After`` header, or None.
      body: the body, decompressed.
    """

    request: str
    status: int
    retry_after: str | None
    body: bytes


@attrs.frozen(slots=True, kw_only=True)
class BalanceAnswer:
    """``GET /v1/balance``: a balance that leaves out whose and of what."""

    total_locked: int
    total_unlocked: int
    trading_account_balance: int
    order_books: Mapping[Id, BookBalance] = attrs.field(factory=dict[Id, BookBalance])
    unread: Mapping[str, object] = unread_field()

    def to_balance(self, identity: Identity, asset_id: Id) -> Balance:
        """Return the model's form."""
        return Balance(
            identity=identity,
            asset_id=asset_id,
            total_locked=self.total_locked,
            total_unlocked=self.total_unlocked,
            trading_account_balance=self.trading_account_balance,
            order_books=self.order_books,
            unread=self.unread,
        )


@attrs.frozen(slots=True, kw_only=True)
class TradeAccount:
    """The part of an account that the chain knows."""

    nonce: int | None = None
    owner: Identity | None = None
    last_modification: int | None = None
    synced_with_network: bool | None = None
    sync_state: object = None
    unread: Mapping[str, object] = unread_field()


@attrs.frozen(slots=True, kw_only=True)
class AccountAnswer:
    """``GET /v1/accounts``: everything is null where there is no account."""

    trade_account_id: Id | None = None
    trade_account: TradeAccount | None = None
    session: RegisteredSession | None = None
    unread: Mapping[str, object] = unread_field()

    def to_account(self) -> AccountState | None:
        """Return the model's form, or None where there is no account."""
        if self.trade_account_id is None:
            return None
        known = self.trade_account or TradeAccount()
        return AccountState(
            trade_account_id=self.trade_account_id,
            nonce=known.nonce,
            owner=known.owner,
            last_modification=known.last_modification,
            synced_with_network=known.synced_with_network,
            sync_state=known.sync_state,
            session=self.session,
            unread={**self.unread, **known.unread},
        )


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


class Envelope(msgspec.Struct, frozen=True):
    """What errors look like; answers may share single fields with it."""

    code: int | None = None
    message: str | None = None
    reason: str | None = None
    receipts: object = None


def find_error(answer: Answer) -> ApiError | None:
    """Return the error that `answer` is, or None for a success.

    The exchange's own errors are recognised whatever the status, also with 200. Anything else that is no
    success, and an answer that is no JSON at all (the page of a gateway), is shown by status and first words.
    """
    envelope = _envelope(answer.body)
    if envelope is None:
        text = " ".join(answer.body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace").split())
        shown = "".join(character for character in text if character.isprintable())[:_SHOWN_CHARACTERS]
        message = f"{answer.request} answered HTTP {answer.status} without JSON: {shown or '(empty)'}"
        retry_after = parse_retry_after(answer.retry_after)
        return _class_of(answer.status, None)(message, status=answer.status, retry_after=retry_after)
    success = 200 <= answer.status <= 299
    if success and (envelope.code is None or envelope.message is None):
        return None
    return error_of(answer, envelope)


def error_of(answer: Answer, envelope: Envelope) -> ApiError:
    """Return the error that `envelope` names: of its code's class, with everything that it says."""
    number = "" if envelope.code is None else f" with code {envelope.code}"
    words = ": ".join(part for part in (envelope.message, envelope.reason) if part) or "no explanation"
    return _class_of(answer.status, envelope.code)(
        f"{answer.request} failed with HTTP {answer.status}{number}: {words}",
        status=answer.status,
        code=envelope.code,
        message=envelope.message,
        reason=envelope.reason,
        receipts=envelope.receipts,
        retry_after=parse_retry_after(answer.retry_after),
    )


def _class_of(status: int, code: int | None) -> type[ApiError]:
    if code is None:
        return RateLimitExceeded if status == _TOO_MANY_REQUESTS else ApiError
    return API_ERRORS.get(code, ApiError)


def _envelope(body: bytes) -> Envelope | None:
    """Read the fields of an error, as far as there are any; None if `body` is no JSON."""
    try:
        return msgspec.json.decode(body, type=Envelope)
    except msgspec.ValidationError:
        return Envelope()  # JSON of another shape
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
