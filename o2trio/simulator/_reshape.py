"""Readings of the protocol as steps from one message to another: what a flavor changes after encoding.

A step takes and returns a JSON-ready value and changes nothing in place. The tables at the end say which
reading has which steps, and for which messages; adding a reading adds a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeAlias

import msgspec

from ._flavors import Choice, Choices
from ._json import Json, Object

__all__ = ["TRIGGER_ORDER", "reshape_answer", "reshape_error", "reshape_frame"]

Step: TypeAlias = Callable[[Json], Json]
_Table: TypeAlias = Mapping[tuple[str, Choice], Step]

TRIGGER_ORDER = f"0x{'7e' * 32}"
"""The id of the trigger order that ``trigger_orders`` adds."""


# -- kinds of steps --------------------------------------------------------------------------------


def _each(change: Callable[[Object], Object]) -> Step:
    """Return a step that changes every object, the inner ones first."""

    def step(value: Json) -> Json:
        if isinstance(value, Mapping):
            return change({key: step(inner) for key, inner in value.items()})
        return [step(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    return step


def _top(change: Callable[[Object], Object]) -> Step:
    """Return a step that changes the message itself, if that is an object."""
    return lambda value: change(value) if isinstance(value, Mapping) else value


def _renamed(**names: str) -> Step:
    """Return a step that renames keys wherever they stand."""
    return _each(lambda fields: {names.get(key, key): value for key, value in fields.items()})


def _values(keys: str, change: Callable[[Json], Json]) -> Step:
    """Return a step that changes the values of these keys wherever they stand."""
    named = frozenset(keys.split())
    return _each(
        lambda fields: {key: change(value) if key in named else value for key, value in fields.items()}
    )


def _if(key: str, change: Callable[[Object], Object]) -> Step:
    """Return a step that changes every object that has this key."""
    return _each(lambda fields: change(fields) if key in fields else fields)


def _without(fields: Object, *keys: str) -> Object:
    return {key: value for key, value in fields.items() if key not in keys}


def _objects(value: Json) -> list[Object]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


# -- what they do ----------------------------------------------------------------------------------


def _number(value: Json) -> Json:
    return int(value) if isinstance(value, str) else value


def _written(value: Json) -> str:
    """Return a number as it is written."""
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else str(value)


def _capital(value: Json) -> Json:
    return value.capitalize() if isinstance(value, str) else value


def _unknown_fields(value: Json) -> Json:
    """Add unknown fields to the message and to each object in a list; maps by id are left as they are."""
    if isinstance(value, Mapping):
        inner = {key: _unknown_rows(item) for key, item in value.items()}
        return {**inner, "x_unknown": {"since": [None, 1]}}
    return _unknown_rows(value)


def _unknown_rows(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _unknown_rows(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [
            {**_object(_unknown_rows(item)), "x_unknown": True}
            if isinstance(item, Mapping)
            else _unknown_rows(item)
            for item in value
        ]
    return value


def _object(value: Json) -> Object:
    assert isinstance(value, Mapping)
    return value


def _no_precision(fields: Object) -> Object:
    view = fields.get("view")
    if fields.get("action") != "subscribe_depth" or not isinstance(view, Mapping):
        return fields
    return {**fields, "view": _without(view, "precision")}


def _empty_levels(fields: Object) -> Object:
    """Add a level of size zero, one that would be the worst, to each side of a snapshot."""
    if fields.get("action") != "subscribe_depth":
        return fields
    key = "view" if "view" in fields else "orders"
    sides = _object(fields[key])
    bids, asks = _objects(sides["buys"]), _objects(sides["sells"])
    highest = int(str(asks[-1]["price"])) if asks else 10**9
    empty: Object = {"buys": [*bids, _empty(10)], "sells": [*asks, _empty(10 * highest)]}
    return {**fields, key: {**sides, **empty}}


def _empty(price: int) -> Object:
    return {"price": str(price), "quantity": "0"}


def _short_actions(fields: Object) -> Object:
    short: dict[Json, str] = {"subscribe_trades": "trades", "subscribe_nonce": "nonce"}
    action = fields.get("action")
    return {**fields, "action": short.get(action, action)} if isinstance(action, str) else fields


def _single_trade(fields: Object) -> Object:
    trades = _objects(fields.get("trades"))
    return {**_without(fields, "trades"), "trade": trades[0]} if len(trades) == 1 else fields


def _trigger_order(fields: Object) -> Object:
    orders = _objects(fields.get("orders"))
    if fields.get("action") != "subscribe_orders" or not orders:
        return fields
    trigger = {"kind": "trigger", "order_id": TRIGGER_ORDER, "side": "sell", "trigger_price": "2500"}
    market: Object = {"market_id": orders[0]["market_id"]} if "market_id" in orders[0] else {}
    return {**fields, "orders": [{**trigger, **market}, *orders]}


def _market_row(change: Callable[[Object], Object]) -> Step:
    """Return a step that changes every market of the list of markets."""
    return _each(lambda fields: change(fields) if {"base", "quote", "market_id"} <= fields.keys() else fields)


def _no_symbol(fields: Object) -> Object:
    *others, last = _objects(fields["markets"])
    return {**fields, "markets": [*others, {**last, "base": {**_object(last["base"]), "symbol": None}}]}


def _odd_row(fields: Object) -> Object:
    return {**fields, "markets": [*_objects(fields["markets"]), {"market_id": f"0x{'0d' * 32}"}]}


def _bar_seconds(fields: Object) -> Object:
    key = "timestamp" if "timestamp" in fields else "time"
    return {**fields, key: int(str(fields[key])) // 1000}


def _text_session(fields: Object) -> Object:
    session = fields["session"]
    if not isinstance(session, Mapping):
        return fields
    (session_id,) = _object(session["session_id"]).values()
    return {**fields, "session": {"session_id": session_id, "expiry": None}}


def _order_books(books: Json) -> Step:
    return _if("trading_account_balance", lambda fields: {**fields, "order_books": books})


# -- which reading has which -----------------------------------------------------------------------

_AMOUNTS = (
    "price quantity quantity_fill price_fill total total_locked total_unlocked trading_account_balance"
    " locked unlocked"
)

_MARKS: Mapping[Choice, Object] = {
    "code": {"code": 0},
    "ok": {"code": 200, "message": "ok"},
    "error": {"error": False},
    "turbo": {"turbo": False},
}


def _marked(mark: Choice) -> Step:
    return _top(lambda fields: {**fields, **_MARKS[mark]})


_EVERYWHERE: _Table = {
    ("amounts", "number"): _values(_AMOUNTS, _number),
    ("side_case", "capital"): _values("side", _capital),
    ("order_type", "null"): _if("order_type", lambda fields: {**fields, "order_type": None}),
    ("trade_time", "number"): _if(
        "trade_id", lambda fields: {**fields, "timestamp": _number(fields["timestamp"])}
    ),
    ("order_books", "absent"): _if("trading_account_balance", lambda fields: _without(fields, "order_books")),
    ("order_books", "empty"): _order_books([]),
}
"""Frames and REST answers alike."""

_FRAMES: _Table = {
    ("trigger_orders", True): _top(_trigger_order),
    ("empty_levels", True): _top(_empty_levels),
    ("snapshot_precision", False): _top(_no_precision),
    ("trade_frames", "single"): _top(_single_trade),
    ("action_names", "short"): _top(_short_actions),
}

_PATHS: Mapping[str, _Table] = {
    "/v1/markets": {
        ("market_fee", "negative"): _market_row(lambda fields: {**fields, "maker_fee": "-10"}),
        ("market_symbol", "null"): _top(_no_symbol),
        ("market_rows", "broken"): _top(_odd_row),
        ("price_window", "text"): _values("price_window", _written),
        ("price_window", "fraction"): _values("price_window", lambda window: float(_written(window)) + 0.5),
    },
    "/v1/bars": {("bars_time", "seconds"): _if("open", _bar_seconds)},
    "/v1/accounts": {("session", "text"): _if("session", _text_session)},
}
"""REST answers by their paths."""

_LAST: _Table = {
    ("side_names", "bids"): _renamed(buys="bids", sells="asks"),
    ("extra_fields", True): _unknown_fields,
    **{("data_mark", mark): _marked(mark) for mark in _MARKS},
}
"""What comes after everything else, for frames and answers alike."""

_HUMAN = "/v1/aggregated/"
"""Answers in human numbers are made for catalogues of other people, and some are maps by name."""


@cache
def _steps(flavors: Choices, where: str) -> tuple[Step, ...]:
    """Return the steps for frames (`where` is empty) or for the answers of a path."""
    specific = _PATHS.get(where, {}) if where else _FRAMES
    tables = () if where.startswith(_HUMAN) else (_EVERYWHERE, specific, _LAST)
    return tuple(
        step for table in tables for (name, choice), step in table.items() if getattr(flavors, name) == choice
    )


def reshape_frame(flavors: Choices, message: Json) -> Json:
    """Return a WebSocket message as `flavors` has it."""
    for step in _steps(flavors, ""):
        message = step(message)
    return message


def reshape_answer(flavors: Choices, path: str, answer: Json) -> Json:
    """Return the REST answer of a path as `flavors` has it."""
    for step in _steps(flavors, path):
        answer = step(answer)
    return answer


_ERROR_MARKS: Mapping[Choice, Object] = {
    "type": {"type": "error"},
    "status": {"status": "error"},
    "success": {"success": False},
}


def reshape_error(flavors: Choices, envelope: Object, *, is_frame: bool) -> Object:
    """Return an error as `flavors` has it; only frames can do without a code."""
    fields = dict(envelope)
    if "message" in fields:
        fields = {flavors.error_words if key == "message" else key: value for key, value in fields.items()}
    if flavors.error_mark == "text" and "code" in fields:
        fields["code"] = str(fields["code"])
    elif is_frame and flavors.error_mark in _ERROR_MARKS:
        fields = {**_ERROR_MARKS[flavors.error_mark], **_without(fields, "code")}
    return fields
