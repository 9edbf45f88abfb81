"""One inbound frame to its meaning: a table from actions to kinds and shapes.

Theory of operation: most data frames take the fast path of ``_native``; here is the strict one, for
everything that is left. A message with the data of a known action is data, whatever else it says. Without
data it is a refusal if it says no, and an acknowledgment if it says yes or merely repeats a request. What
remains is broken if it may have held data, and else unknown, which breaks nothing. Data that stands where it
cannot be read, beside a refusal or under a foreign action, is broken too.

How a class is read is in ``_hooks``, what a message says besides its data is in ``_verdict``; whom a frame
concerns is the hub's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from .._errors import DecodeError
from ..models import (
    Balance,
    BalanceUpdate,
    DepthUpdate,
    Id,
    NonceUpdate,
    NotUnderstood,
    Order,
    OrderUpdate,
    Trade,
    TradeUpdate,
    TriggerOrder,
)
from ._frames import AnyUpdate, ErrorBody, Extra, Frame, FrameKind
from ._native import decode_natively
from ._odd import odd_fields
from ._structure import Snapshot, fail, parse, read_entries, structure
from ._values import is_list, is_object, keep, show
from ._verdict import (
    action_of,
    confirms,
    has_odd_code,
    is_yes,
    market_of,
    owners_of,
    refusal_of,
    says_yes,
    venue_of,
)
from ._vocabulary import is_trigger, names_of

__all__ = ["decode"]

_HEARTBEATS = {"ping": Frame(FrameKind.PING), "pong": Frame(FrameKind.PONG)}
_LONGEST_HEARTBEAT = 64
_YES = Frame(FrameKind.ACKNOWLEDGEMENT)

_Entry: TypeAlias = Trade | Order | TriggerOrder | Balance


@attrs.frozen(slots=True)
class _Route:
    """What an action is.

    Attributes:
      kind: of its frames.
      shape: the class that reads a frame.
      field: the field of `shape` that holds the data.
      entry: the class of an entry, where the data is a list of independent entries.
    """

    kind: FrameKind
    shape: Any
    field: str
    entry: type[_Entry] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The wire names of the data."""
        return names_of(self.shape, self.field)


_ROUTES: Mapping[str, _Route] = {
    "subscribe_depth": _Route(FrameKind.DEPTH_SNAPSHOT, Snapshot, "view"),
    "subscribe_depth_update": _Route(FrameKind.DEPTH_UPDATE, DepthUpdate, "changes"),
    "subscribe_depth_view": _Route(FrameKind.DEPTH_VIEW, Snapshot, "view"),
    "subscribe_trades": _Route(FrameKind.TRADES, TradeUpdate, "trades", Trade),
    "subscribe_orders": _Route(FrameKind.ORDERS, OrderUpdate, "orders", Order),
    "subscribe_balances": _Route(FrameKind.BALANCES, BalanceUpdate, "balance", Balance),
    "subscribe_nonce": _Route(FrameKind.NONCE, NonceUpdate, "nonce"),
}

_SINGULAR = {"trade": "trades", "order": "orders", "balance": "balances"}
_ACTIONS: Mapping[str, str] = {
    **{action: action for action in _ROUTES},
    **{action.removeprefix("subscribe_"): action for action in _ROUTES},
    **{
        f"{prefix}{one}": f"subscribe_{many}"
        for one, many in _SINGULAR.items()
        for prefix in ("", "subscribe_")
    },
}
"""Every spelling of an action, and how it is usually spelled."""

_DATA_NAMES = frozenset(name for route in _ROUTES.values() for name in route.names)
"""Names that data has at the top of a message."""


def decode(data: str | bytes) -> Frame:
    """Return what an inbound frame means.

    Args:
      data: the content of a text frame, or that of a binary frame (bytes), which is read as text in UTF-8.

    Raises:
      DecodeError: neither a JSON object nor a short plain word, or an action whose content is broken as a
        whole; its ``action`` and ``market_id`` say which streams the frame may have been meant for.
    """
    return decode_natively(data) or decode_carefully(data)


def decode_carefully(data: str | bytes) -> Frame:
    """Return what a frame means, or say what is wrong with it."""
    if isinstance(data, bytes):
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise fail("a binary frame that is not text in UTF-8", data) from None
        return decode(text)
    data = data.removeprefix("\ufeff")
    if len(data) <= _LONGEST_HEARTBEAT and (frame := _word(data)):
        return frame
    message = parse(data)
    if isinstance(message, str) and (frame := _word(message)):
        return frame
    if not is_object(message):
        raise fail(f"expected an object, not {show(message)}", data)
    try:
        return _interpret(message, data)
    except DecodeError as error:
        action = _known_action(message)
        error.action = action if action in _ROUTES else _owner_of(message) or action
        error.market_id = _named_market(message)
        raise


def _word(text: str) -> Frame | None:
    """Return what a plain word means, as it is or as a JSON text, if anything."""
    word = text.strip()
    return _HEARTBEATS.get(word.lower()) or (_YES if is_yes(word) else None)


def _known_action(message: dict[str, object]) -> str | None:
    """Return the action of a message as it is usually spelled."""
    action = action_of(message)
    word = "" if action is None else action.strip()
    return _ACTIONS.get(word.lower(), action) if word else None


def _named_market(message: dict[str, object]) -> Id | None:
    """Return the market that a message names, itself or inside an object."""
    inner = (market_of(value) for value in message.values() if is_object(value))
    return market_of(message) or next((market_id for market_id in inner if market_id), None)


def _refusal(message: dict[str, object]) -> ErrorBody | None:
    """Return the refusal that a message is, with its action as it is usually spelled."""
    refusal = refusal_of(message)
    if refusal is None:
        return None
    inner = [value for name in ("error", "request", "data") if is_object(value := message.get(name))]
    known = (action for each in (message, *inner) if (action := _known_action(each)) in _ROUTES)
    market_id = refusal.market_id or next((found for each in inner if (found := market_of(each))), None)
    return attrs.evolve(refusal, action=next(known, refusal.action), market_id=market_id)


def _interpret(message: dict[str, object], data: str) -> Frame:
    action, refusal = _known_action(message), _refusal(message)
    route = _ROUTES.get(action or "")
    name = _data_name(route, message)
    # A refusal with an empty container holds no data that could be lost.
    if route is not None and name is not None and not (refusal is not None and message[name] in ({}, [], "")):
        return _data_frame(route, name, message, refusal, data)
    if (refusal is not None or (route is None and _names_an_action(message))) and owners_of(message):
        raise fail("data that cannot be placed", data)
    if refusal is not None:
        return Frame(FrameKind.ERROR, refusal.market_id, refusal)
    return _without_data(route, action or "", message, data)


def _data_name(route: _Route | None, message: dict[str, object]) -> str | None:
    names = () if route is None else route.names
    return next((name for name in names if message.get(name) is not None), None)


# -- data --------------------------------------------------------------------------------------------


def _data_frame(
    route: _Route, name: str, message: dict[str, object], refusal: ErrorBody | None, data: str
) -> Frame:
    turbo = _venue_of_frame(name, message, data)
    body: AnyUpdate | Snapshot
    if route.entry is None:
        body = structure(message, route.shape, data)
        if isinstance(body, Snapshot):
            body = body.to_update()
    else:
        body = _with_entries(route, name, message, data, turbo=turbo)
    odd = odd_fields(body)
    extra = Extra(error=refusal, odd=odd, turbo=turbo) if refusal or odd or turbo else None
    return Frame(route.kind, getattr(body, "market_id", None), body, extra)


def _venue_of_frame(name: str, message: dict[str, object], data: str) -> bool:
    """Return whether data is of the Turbo venue: its frame says so, or what is in it, or every entry.

    Neither dropping data for a mark that cannot be read nor mixing venues is safe, so that is refused.
    """
    content = message[name]
    marks: set[bool | None] = set()
    for path, value in (("$", message), (f"$.{name}", content)):
        try:
            marks.add(venue_of(value))
        except ValueError as error:
            raise fail(str(error), data, f"{path}.turbo") from None
    if marks >= {True, False}:
        raise fail("marked as of both venues", data, f"$.{name}.turbo")
    if marks == {None} and is_list(content) and content:
        return all(is_object(entry) and entry.get("turbo") in (True, "true") for entry in content)
    return True in marks


def _with_entries(
    route: _Route, name: str, message: dict[str, object], data: str, *, turbo: bool
) -> TradeUpdate | OrderUpdate | BalanceUpdate:
    """Return an update whose entries are read independently of one another."""
    listed = message[name]
    if is_object(listed):
        listed = [listed]
    if not is_list(listed):
        raise fail(f"expected a list, not {show(listed)}", data, f"$.{name}")

    def kind_of(entry: object) -> type[_Entry]:
        if venue_of(entry) not in (None, turbo):
            raise ValueError("an entry of the other venue")
        assert route.entry is not None
        return TriggerOrder if route.entry is Order and is_trigger(entry) else route.entry

    entries = read_entries(listed, kind_of, data)
    changes: dict[str, Any] = {
        route.field: tuple(entry for entry in entries if isinstance(entry, route.entry or ())),
        "not_understood": tuple(entry for entry in entries if isinstance(entry, NotUnderstood)),
    }
    if route.entry is Order:
        changes["triggers"] = tuple(
            attrs.evolve(entry, index=index, raw=keep(listed[index]))
            for index, entry in enumerate(entries)
            if isinstance(entry, TriggerOrder)
        )
    envelope = structure({**message, name: []}, route.shape, data)
    update: TradeUpdate | OrderUpdate | BalanceUpdate = attrs.evolve(envelope, **changes)
    return update


# -- no data -----------------------------------------------------------------------------------------


def _names_an_action(message: dict[str, object]) -> bool:
    own = message.get("action")
    return isinstance(own, str) and bool(own.strip())


def _owner_of(message: dict[str, object]) -> str | None:
    """Return the action that the data of a message belongs to, or None if it may be several."""
    owners = owners_of(message)
    return min(owners) if len(owners) == 1 else None


def _holds_data(message: dict[str, object]) -> bool:
    """Whether a message without an action holds data, as it is or inside another object."""
    if any(isinstance(message.get(name), (dict, list)) for name in _DATA_NAMES):
        return True
    if {"contract_id", "nonce"} <= message.keys():
        return True
    return any(is_object(value) and _known_action(value) in _ROUTES for value in message.values())


def _without_data(route: _Route | None, action: str, message: dict[str, object], data: str) -> Frame:
    if beat := _HEARTBEATS.get(action.lower()):
        return beat
    if route is not None:
        # Nobody asks for the action of a change, so nothing repeats it but a change.
        if route.kind is FrameKind.DEPTH_UPDATE or not confirms(message, route.names):
            raise fail("missing", data, f"$.{route.names[0]}")
        kind = FrameKind.UNKNOWN if has_odd_code(message) else FrameKind.ACKNOWLEDGEMENT
    else:
        # What has an action that nobody asked for is not for us; data without one may be for anybody.
        if not _names_an_action(message) and (_holds_data(message) or owners_of(message)):
            raise fail("data without an action", data, "$.action")
        known = not has_odd_code(message) and (action.startswith("unsubscribe_") or says_yes(message))
        kind = FrameKind.ACKNOWLEDGEMENT if known else FrameKind.UNKNOWN
    turbo = message.get("turbo") is True
    extra = Extra(action=action or None, turbo=turbo) if action or turbo else None
    return Frame(kind, market_of(message), None, extra)
