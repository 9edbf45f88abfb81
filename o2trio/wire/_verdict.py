"""What a message says besides its data: a refusal, an acknowledgment, its venue. Pure functions over JSON.

A message is a refusal only if it says so, and a confirmation only if it says so or merely repeats a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from ..models import Id
from ._frames import ErrorBody
from ._values import is_list, is_object, read_id, read_mark

__all__ = [
    "action_of",
    "confirms",
    "has_odd_code",
    "holds_data",
    "is_yes",
    "market_of",
    "owners_of",
    "refusal_of",
    "says_yes",
    "venue_of",
]

_LONGEST = 64
"""Characters of an action or a word that is looked at."""
_CODE = re.compile(r"-?[0-9]{1,400}")
_HARMLESS = (0, 200)
_VERDICTS = ("action", "type", "status")
_WORDS = ("message", "error", "detail", "reason")
_YES = frozenset(
    (
        *("ok", "okay", "true", "success", "successful", "ack", "acknowledged", "accepted", "confirmed"),
        *("subscribed", "unsubscribed", "connected", "ready", "hello", "welcome", "heartbeat", "pong"),
    )
)
_CONFIRMING = ("action", "type", "status", "event", "message", "result", "code")
_TIMES = ("onchain_timestamp", "seen_timestamp")
_DATA = frozenset(
    (
        *("price", "quantity", "trade_id", "order_id", "total_unlocked", "total_locked", "contract_id"),
        *("buys", "sells", "bids", "asks", "changes", "view", "trades"),
    )
)
"""Names that only data has: no request, no acknowledgement."""
_OWNERS: Mapping[str, str] = {
    **dict.fromkeys(("changes", "view", "buys", "sells", "bids", "asks"), "subscribe_depth_update"),
    **dict.fromkeys(("trades", "trade"), "subscribe_trades"),
    **dict.fromkeys(("orders", "order"), "subscribe_orders"),
    **dict.fromkeys(("balance", "balances"), "subscribe_balances"),
}
"""Names of containers of data, and the action of what they hold."""
_PLAIN = re.compile(r"([A-Za-z]+)(?:[ :,.!_-]+[A-Za-z0-9]+)*[.!]?")


def action_of(message: Mapping[str, object]) -> str | None:
    """Return the action of a message, or its type where the action is missing or "error"."""
    words = [message.get(name) for name in ("action", "type")]
    found = [word for word in words if isinstance(word, str) and len(word) <= _LONGEST]
    return next((word for word in found if word.lower() != "error"), found[0] if found else None)


def market_of(message: Mapping[str, object]) -> Id | None:
    """Return the market that a message names, or None."""
    try:
        return read_id(message.get("market_id"), Id)
    except ValueError:
        return None


def venue_of(message: object) -> bool | None:
    """Return whether an object belongs to the Turbo venue, or None if it does not say.

    Raises:
      ValueError: it has a mark that cannot be read.
    """
    mark = message.get("turbo") if is_object(message) else None
    return None if mark is None else read_mark(mark, bool)


# -- no ----------------------------------------------------------------------------------------------


def refusal_of(message: Mapping[str, object]) -> ErrorBody | None:
    """Return the refusal that a message is, or is too; None if it does not say no."""
    error = message.get("error")
    inner: Mapping[str, object] = error if is_object(error) else {}
    codes = [code for code in (_code(message.get("code")), _code(inner.get("code"))) if code is not None]
    code = next((code for code in codes if code not in _HARMLESS), None)
    says_no = (
        code is not None
        or any(_lower(message.get(name)) == "error" for name in _VERDICTS)
        or message.get("success") is False
        or bool(error)
    )
    if not says_no:
        return None
    action = action_of(message)
    try:
        turbo = venue_of(message)
    except ValueError:
        turbo = False
    return ErrorBody(
        code=code,
        message=_words(message),
        action=None if _lower(action) == "error" else action,
        market_id=market_of(message),
        resync_required=message.get("resync_required") is True,
        turbo=bool(turbo),
    )


def _code(value: object) -> int | None:
    if type(value) is int:
        return value
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return int(value) if type(value) is str and _CODE.fullmatch(value) and value.isascii() else None


def has_odd_code(message: Mapping[str, object]) -> bool:
    """Whether a message has a code that is neither a whole number nor a word that says yes."""
    code = message.get("code")
    return code is not None and _code(code) is None and _lower(code) not in _YES


def _words(value: object, depth: int = 3) -> str:
    """Return the server's own words, wherever they stand, or an empty text."""
    if isinstance(value, str):
        return value
    inner = [value.get(name) for name in _WORDS] if is_object(value) else value[:1] if is_list(value) else []
    return next((words for entry in inner if depth and (words := _words(entry, depth - 1))), "")


def _lower(value: object) -> str | None:
    return value.lower() if isinstance(value, str) else None


# -- yes ---------------------------------------------------------------------------------------------


def says_yes(message: Mapping[str, object]) -> bool:
    """Whether a message says that a request was accepted."""
    return (
        _code(message.get("code")) in _HARMLESS
        or message.get("success") is True
        or "result" in message
        or any(_lower(message.get(name)) in _YES for name in _CONFIRMING)
    )


def confirms(message: Mapping[str, object], data_names: tuple[str, ...]) -> bool:
    """Whether a message that repeats the action of a stream, without its data, is an acknowledgement.

    Else its data is lost: under another name, or because the times say that there was some.

    Args:
      message: the message.
      data_names: where data of this action stands.
    """
    if holds_data(message):
        return False
    had_data = any(name in message for name in (*data_names, *_TIMES))
    return says_yes(message) or not had_data


def holds_data(value: object) -> bool:
    """Whether there is a name at any depth of `value` that only data has, with content."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if is_object(value):
            if any(value[name] is not None for name in _DATA & value.keys()):
                return True
            waiting += value.values()
        elif is_list(value):
            waiting += value
    return False


def owners_of(value: object) -> set[str]:
    """Return the actions whose data is in the containers at any depth of `value`; empty ones do not count."""
    owners: set[str] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if is_object(value):
            owners |= {_OWNERS[name] for name in _OWNERS.keys() & value.keys() if _is_filled(value[name])}
            if value.get("contract_id") is not None and value.get("nonce") is not None:
                owners.add("subscribe_nonce")
            waiting += value.values()
        elif is_list(value):
            waiting += value
    return owners


def _is_filled(value: object) -> bool:
    """Whether a container holds anything but empty values."""
    inside = list(value.values()) if is_object(value) else []
    return (is_list(value) and bool(value)) or any(each not in ({}, [], "", None) for each in inside)


def is_yes(text: str) -> bool:
    """Whether a text that is not an object is a harmless word, or begins with one: ``OK``, ``connected``."""
    found = _PLAIN.fullmatch(text) if len(text) <= _LONGEST else None
    return found is not None and found[1].lower() in _YES
