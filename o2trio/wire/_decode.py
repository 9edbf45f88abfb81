"""One inbound text frame to its meaning: a table from actions to kinds and shapes.

What the shapes look like is told by ``_structure``; whom a frame concerns is the hub's business. Most data
frames take the fast road of ``_native``; here is the careful one, for everything that is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import DecodeError
from ..models import BalanceUpdate, DepthUpdate, Id, NonceUpdate, OrderUpdate, TradeUpdate
from ._frames import ErrorBody, Frame, FrameKind
from ._native import decode_natively
from ._structure import Snapshot, fail, parse, structure
from ._values import is_object, read_id, show

__all__ = ["decode"]

_HEARTBEATS = {"ping": Frame(FrameKind.PING), "pong": Frame(FrameKind.PONG)}
_LONGEST_HEARTBEAT = 64
_LONGEST_ACTION = 64
_FOREIGN = Frame(FrameKind.FOREIGN)

_ROUTES: Mapping[str, tuple[FrameKind, Any]] = {
    "subscribe_depth": (FrameKind.DEPTH_SNAPSHOT, Snapshot),
    "subscribe_depth_update": (FrameKind.DEPTH_UPDATE, DepthUpdate),
    "subscribe_depth_view": (FrameKind.DEPTH_VIEW, Snapshot),
    "subscribe_trades": (FrameKind.TRADES, TradeUpdate),
    "subscribe_orders": (FrameKind.ORDERS, OrderUpdate),
    "subscribe_balances": (FrameKind.BALANCES, BalanceUpdate),
    "subscribe_nonce": (FrameKind.NONCE, NonceUpdate),
    "nonce": (FrameKind.NONCE, NonceUpdate),
}
"""What each action is, and the shape that carries it."""


def decode(data: str | bytes) -> Frame:
    """Return what an inbound frame means.

    Args:
      data: the content of a text frame; that of a binary frame (bytes) is always refused, because the
        exchange sends none.

    Raises:
      DecodeError: not a JSON object, or a known action whose content is broken; its ``action`` and
        ``market_id`` tell which streams the frame may have been meant for.
    """
    return decode_natively(data) or decode_carefully(data)


def decode_carefully(data: str | bytes) -> Frame:
    """Return what a frame means, or say what is wrong with it."""
    if isinstance(data, bytes):
        raise fail("a binary frame, where only text is expected", data)
    if len(data) <= _LONGEST_HEARTBEAT and (beat := _HEARTBEATS.get(data.strip().lower())):
        return beat
    message = parse(data)
    if not is_object(message):
        raise fail(f"expected an object, not {show(message)}", data)
    try:
        return _interpret(message, data)
    except DecodeError as error:
        error.action, error.market_id = _action(message), _market_id(message)
        raise


def _interpret(message: dict[str, object], data: str) -> Frame:
    action = message.get("action")
    # Errors first: they may repeat the action of the request that they refuse.
    if type(message.get("code")) is int or action == "error" or message.get("error") is not None:
        return Frame(FrameKind.ERROR, _market_id(message), _error_body(message))
    turbo = message.get("turbo")
    if turbo is not None and _is_foreign(turbo, data):
        return _FOREIGN
    route = _ROUTES.get(action) if type(action) is str else None
    if route is None:
        return _without_content(message)
    kind, shape = route
    body = structure(message, shape, data)
    if type(body) is Snapshot:
        body = body.to_update()
    return Frame(kind, getattr(body, "market_id", None), body)


def _is_foreign(turbo: object, data: str) -> bool:
    # Neither dropping data for a mark that is not understood nor mixing venues is safe.
    if type(turbo) is bool:
        return turbo
    raise fail(f"expected true or false, not {show(turbo)}", data, "$.turbo")


def _without_content(message: dict[str, object]) -> Frame:
    action = _action(message) or ""
    if beat := _HEARTBEATS.get(action.lower()):
        return beat
    known = action.startswith("unsubscribe_")
    return Frame(FrameKind.ACKNOWLEDGEMENT if known else FrameKind.UNKNOWN, _market_id(message))


def _error_body(message: dict[str, object]) -> ErrorBody:
    code, action, error = message.get("code"), _action(message), message.get("error")
    words = next((text for text in (message.get("message"), error) if isinstance(text, str)), "")
    return ErrorBody(
        code=code if type(code) is int else None,
        message=words,
        action=None if action == "error" else action,
        market_id=_market_id(message),
        resync_required=message.get("resync_required") is True,
        turbo=message.get("turbo") is True,
    )


def _action(message: dict[str, object]) -> str | None:
    value = message.get("action")
    return value if isinstance(value, str) and len(value) <= _LONGEST_ACTION else None


def _market_id(message: dict[str, object]) -> Id | None:
    try:
        return read_id(message.get("market_id"), Id)
    except ValueError:
        return None
