"""The cases of ``tolerance_cases.json`` that one message decides, and their kin, on both paths."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio import models as m
from o2trio._errors import DecodeError
from o2trio.wire import Extra, Frame, FrameKind, decode, odd_fields, structure_json, structure_rows
from o2trio.wire._decode import decode_carefully
from o2trio.wire._structure import parse
from o2trio.wire._values import read_milliseconds

DATA = json.loads((Path(__file__).parents[1] / "data" / "tolerance_cases.json").read_text(encoding="utf-8"))
CASES: dict[str, Any] = {case["id"]: case for case in DATA["cases"] if case["kind"] == "ws"}
MARKET, ACCOUNT, ORDER = (DATA["ids"][name] for name in ("market", "account", "order"))
OTHER = "0x" + "0e" * 32
PATHS: dict[str, Callable[[str | bytes], Frame]] = {"fast": decode, "strict": decode_carefully}


@pytest.fixture(params=PATHS)
def read(request: pytest.FixtureRequest) -> Callable[[Any], Frame]:
    """Decode a message on one of the paths."""
    path = PATHS[request.param]

    def decoded(message: Any) -> Frame:
        if isinstance(message, (str, bytes)):
            return path(message)
        if list(message) == ["binary"]:
            return path(json.dumps(message["binary"]).encode())
        return path(json.dumps(message))

    return decoded


Read = Callable[[Any], Frame]


# -- the cases ---------------------------------------------------------------------------------------


def is_snapshot(frame: Frame) -> None:
    assert frame.kind is FrameKind.DEPTH_SNAPSHOT
    assert body(frame).changes == m.DepthChanges((m.Level(25_000, 10),), (m.Level(26_000, 7),))


def is_change(frame: Frame) -> None:
    assert (frame.kind, frame.market_id) == (FrameKind.DEPTH_UPDATE, MARKET)
    assert body(frame).changes == m.DepthChanges((m.Level(25_000, 5),), ())


def is_plain_change(frame: Frame) -> None:
    is_change(frame)
    assert frame.extra is None


def has_no_time(field: str, raw: object) -> Callable[[Frame], None]:
    def check(frame: Frame) -> None:
        is_change(frame)
        assert getattr(body(frame), field) is None
        assert body(frame).unread == {field: raw}
        assert frame.extra is not None
        assert [odd.field for odd in frame.extra.odd] == [f"DepthUpdate.{field}"]

    return check


def is_acknowledgement(frame: Frame) -> None:
    assert (frame.kind, frame.body) == (FrameKind.ACKNOWLEDGEMENT, None)


def refuses(code: int | None, action: str, words: str) -> Callable[[Frame], None]:
    def check(frame: Frame) -> None:
        assert frame.kind is FrameKind.ERROR
        assert (body(frame).code, body(frame).action, body(frame).message) == (code, action, words)

    return check


def is_one_trade(frame: Frame) -> None:
    assert (frame.kind, frame.market_id, frame.extra) == (FrameKind.TRADES, MARKET, None)
    (trade,) = body(frame).trades
    assert (trade.trade_id, trade.price, trade.quantity, trade.side) == ("11", 25_000, 3, m.Side.BUY)


def has_a_rebate(frame: Frame) -> None:
    is_one_trade(frame)
    assert body(frame).trades[0].maker_fee == -5


def has_trade_12_and_an_odd_one(frame: Frame) -> None:
    assert [trade.trade_id for trade in body(frame).trades] == ["12"]
    (odd,) = body(frame).not_understood
    assert (odd.index, odd.problem) == (0, "expected buy or sell, not 'auction' at $.side")
    assert odd.raw["trade_id"] == odd.ids["trade_id"] == "11"
    assert body(frame).entries == (odd, *body(frame).trades)


def has_one_bid(frame: Frame) -> None:
    assert frame.kind is FrameKind.DEPTH_SNAPSHOT
    assert body(frame).changes == m.DepthChanges((m.Level(25_000, 10),), ())


def marks_the_first_order(problem: str) -> Callable[[Frame], None]:
    def check(frame: Frame) -> None:
        assert [order.order_id for order in body(frame).orders] == [OTHER]
        (odd,) = body(frame).not_understood
        assert (odd.index, odd.problem, odd.ids["order_id"]) == (0, problem, ORDER)
        assert odd.ids["market_id"] == MARKET
        assert body(frame).triggers == ()

    return check


def has_both_orders(frame: Frame) -> None:
    first, second = body(frame).orders
    assert (first.order_id, second.order_id) == (ORDER, OTHER)
    assert (first.order_type, second.order_type.name) == (m.UNKNOWN_TYPE, "Spot")
    assert body(frame).not_understood == ()


def has_one_order(unread: dict[str, object], history: tuple[object, ...] = ()) -> Callable[[Frame], None]:
    def check(frame: Frame) -> None:
        (order,) = body(frame).orders
        assert (order.order_id, order.price, order.unread) == (ORDER, 25_000, unread)
        assert (order.desired_quantity, order.history) == (None, history)
        assert body(frame).not_understood == ()

    return check


def has_no_books(frame: Frame) -> None:
    (balance,) = body(frame).balance
    assert (balance.total_unlocked, balance.order_books) == (5, {})
    assert balance.unread == {"order_books": ()}


def body(frame: Frame) -> Any:
    return frame.body


CREATED = m.OrderTransaction(tx_id=None, status="confirmed", type="created")
RIGHT: dict[str, tuple[Callable[[Frame], None], ...]] = {
    "data-with-code-0": (is_snapshot, is_plain_change),
    "data-with-error-false": (is_snapshot, is_plain_change),
    "trades-with-code-200": (is_one_trade,),
    "ack-code-0": (is_acknowledgement, is_snapshot, is_plain_change),
    "ack-repeats-action": (is_acknowledgement, is_snapshot, is_plain_change),
    "ack-text": (is_acknowledgement, is_snapshot, is_plain_change),
    "refusal-text-code": (refuses(6001, "subscribe_orders", "too many"),),
    "refusal-success-false": (refuses(None, "subscribe_orders", "too many"),),
    "refusal-type-error": (refuses(None, "subscribe_trades", "no"),),
    "time-rfc3339": (is_snapshot, has_no_time("onchain_timestamp", "2026-11-30T17:00:00Z")),
    "time-float": (is_snapshot, has_no_time("seen_timestamp", Decimal("1764000000.123"))),
    "book-bids-asks": (has_one_bid,),
    "snapshot-level-zero": (has_one_bid,),
    "action-trades": (is_one_trade,),
    "binary-json": (is_snapshot, is_plain_change),
    "order-without-price": (marks_the_first_order("missing at $.price"),),
    "order-type-null": (has_both_orders,),
    "order-trigger": (marks_the_first_order("expected a quantity, or the order whose quantity counts at $"),),
    "order-desired-quantity-text": (has_one_order({"desired_quantity": "100"}),),
    "order-history-tx-null": (has_one_order({}, (CREATED,)),),
    "order-quantity-object": (marks_the_first_order("expected an integer, not an object at $.quantity"),),
    "trade-unknown-side": (has_trade_12_and_an_odd_one,),
    "trade-negative-fee": (has_a_rebate,),
    "balance-empty-books-list": (has_no_books,),
}


def test_every_case_is_tried() -> None:
    assert {*RIGHT, "book-without-sides"} == {*CASES}


@pytest.mark.parametrize("name", RIGHT)
def test_case(read: Read, name: str) -> None:
    for message, check in zip(CASES[name]["messages"], RIGHT[name], strict=True):
        check(read(message))


def test_case_book_without_sides(read: Read) -> None:
    (message,) = CASES["book-without-sides"]["messages"]
    with pytest.raises(DecodeError, match="neither a side of bids nor one of asks") as caught:
        read(message)
    assert (caught.value.path, caught.value.action) == ("$.view", "subscribe_depth")
    assert caught.value.market_id == MARKET


# -- yes, no, and data -------------------------------------------------------------------------------

SNAPSHOT, CHANGE = CASES["ack-code-0"]["messages"][1:]
TRADES = CASES["trades-with-code-200"]["messages"][0]
TRADES = {name: TRADES[name] for name in TRADES if name not in ("code", "message")}
ORDERS = CASES["order-type-null"]["messages"][0]
PLAIN_ORDER = ORDERS["orders"][1]
TRADE = TRADES["trades"][0]

REFUSALS: list[tuple[dict[str, Any], int | None, str]] = [
    ({"code": 6001, "message": "no"}, 6001, "no"),
    ({"code": "6001", "detail": "no"}, 6001, "no"),
    ({"code": -1, "reason": "no"}, -1, "no"),
    ({"code": "-1"}, -1, ""),
    ({"type": "ERROR", "message": "no"}, None, "no"),
    ({"status": "Error", "error": "no"}, None, "no"),
    ({"success": False, "message": {"text": "no", "detail": "no"}}, None, "no"),
    ({"error": True, "message": "no"}, None, "no"),
    ({"error": {"code": "6001", "message": "no"}}, 6001, "no"),
    ({"error": {"code": 6001, "message": "no"}, "code": 0}, 6001, "no"),
    ({"error": {"code": 0, "message": "no"}}, None, "no"),
    ({"error": ["no", "way"]}, None, "no"),
    ({"error": [[[[["no"]]]]]}, None, ""),
    ({"error": 1}, None, ""),
]
YES: list[dict[str, Any]] = [
    *({"code": code} for code in (0, "0", 200, "200")),
    *({"status": word} for word in ("ok", "OK", "success", "subscribed", "connected")),
    *({"type": "subscribed"}, {"event": "subscribed"}, {"message": "Subscribed"}, {"code": "ok"}),
    *({"success": True}, {"result": None, "id": 1}, {"result": [], "error": None}, {"result": "ok"}),
]
EMPTY: tuple[Any, ...] = (False, None, "", 0, {}, [])
HARMLESS: list[dict[str, Any]] = [
    *YES,
    *({"error": value} for value in EMPTY),
    *({"code": None}, {"code": True}, {"code": 1.5}, {"code": "E1"}, {"code": "\u0661"}),
    *({"success": "no"}, {"status": "fine"}, {"message": "no"}, {"detail": "error"}),
]


@pytest.mark.parametrize(("said", "code", "words"), REFUSALS)
def test_a_message_that_says_no_is_a_refusal(
    read: Read, said: dict[str, Any], code: int | None, words: str
) -> None:
    for named in ({}, {"action": "subscribe_orders"}, {"action": "subscribe_trades", "market_id": MARKET}):
        frame = read({**named, **said})
        assert frame.kind is FrameKind.ERROR
        assert frame.market_id == named.get("market_id")
        assert (body(frame).code, body(frame).message) == (code, words)
        assert body(frame).action == (named.get("action") or None)


@pytest.mark.parametrize(("said", "code", "words"), REFUSALS)
@pytest.mark.parametrize("data", [SNAPSHOT, CHANGE, TRADES, ORDERS])
def test_data_that_says_no_is_data_and_a_refusal(
    read: Read, data: Any, said: dict[str, Any], code: int | None, words: str
) -> None:
    frame, plain = read({**data, **said}), read(data)
    assert (frame.kind, frame.market_id, frame.body) == plain[:3]
    assert frame.extra is not None
    assert frame.extra.error is not None
    assert (frame.extra.error.code, frame.extra.error.message) == (code, words)


@pytest.mark.parametrize("said", HARMLESS)
@pytest.mark.parametrize("data", [SNAPSHOT, CHANGE, TRADES, ORDERS])
def test_data_that_says_anything_else_is_plain_data(read: Read, data: Any, said: dict[str, Any]) -> None:
    assert read({**data, **said}) == read(data)


@pytest.mark.parametrize("empty", [[], {}, ""])
def test_a_refusal_with_nothing_in_it_is_a_refusal(read: Read, empty: object) -> None:
    for action, name in (("depth", "view"), ("trades", "trades"), ("orders", "orders")):
        frame = read({"action": f"subscribe_{action}", name: empty, "code": 6001, "market_id": MARKET})
        assert frame.kind is FrameKind.ERROR


@pytest.mark.parametrize("said", YES)
def test_a_message_that_says_yes_is_an_acknowledgement(read: Read, said: dict[str, Any]) -> None:
    is_acknowledgement(read(said))
    for action in ("depth", "depth_view", "trades", "orders", "balances", "nonce"):
        frame = read({"action": f"subscribe_{action}", "market_id": MARKET, **said})
        is_acknowledgement(frame)
        assert frame.market_id == MARKET
        assert frame.extra == Extra(action=f"subscribe_{action}")


ECHOES: list[dict[str, Any]] = [
    {"action": "subscribe_depth", "market_id": MARKET, "precision": "10"},
    {"action": "subscribe_depth_view", "market_id": MARKET, "precision": "10", "frequency": "100ms"},
    {"action": "subscribe_trades", "market_id": MARKET},
    {"action": "subscribe_orders", "identities": [{"ContractId": ACCOUNT}]},
    {"action": "Subscribe_Balances", "identities": [{"ContractId": ACCOUNT}]},
    {"action": "subscribe_nonce", "identities": [{"ContractId": ACCOUNT}]},
    {"action": "unsubscribe_orders"},
    {"action": "subscribe_trades", "trades": None, "status": "ok"},
]


@pytest.mark.parametrize("message", ECHOES)
def test_a_message_that_repeats_a_request_is_an_acknowledgement(read: Read, message: dict[str, Any]) -> None:
    frame = read(message)
    is_acknowledgement(frame)
    assert frame.extra == Extra(action=message["action"].lower())


WORDS = ("OK", "ok\n", "subscribed", "Connected.", "hello", "true", '"OK"', "ACK", "OK: subscribed", b"Ok")


@pytest.mark.parametrize("word", WORDS)
def test_a_plain_word_that_says_yes_breaks_nothing(read: Read, word: str | bytes) -> None:
    assert read(word) == Frame(FrameKind.ACKNOWLEDGEMENT)


@pytest.mark.parametrize("text", ["upstream connect error", "ok}", '{"ok', "null", "ok" * 40, '"no"', "5"])
def test_any_other_text_is_broken(read: Read, text: str) -> None:
    with pytest.raises(DecodeError):
        read(text)


LOST: list[tuple[dict[str, Any], str | None]] = [
    # The data of a frame was lost: nothing repeats a request like that.
    ({name: value for name, value in CHANGE.items() if name != "changes"}, "subscribe_depth_update"),
    ({"action": "subscribe_depth_update", "market_id": MARKET, "status": "ok"}, "subscribe_depth_update"),
    ({name: value for name, value in TRADES.items() if name != "trades"}, "subscribe_trades"),
    ({**TRADES, "trades": None}, "subscribe_trades"),
    ({**SNAPSHOT, "view": None}, "subscribe_depth"),
    ({"action": "subscribe_nonce", "contract_id": ACCOUNT}, "subscribe_nonce"),
    # It is there under another name.
    ({"action": "subscribe_trades", "data": [TRADE]}, "subscribe_trades"),
    ({"action": "subscribe_trades", "result": {"data": [TRADE]}, "status": "ok"}, "subscribe_trades"),
    ({"action": "subscribe_depth", **SNAPSHOT["view"], "view": None}, "subscribe_depth"),
    # It is there without an action: the name of the data says whose it is.
    ({**CHANGE, "action": {}}, "subscribe_depth_update"),
    ({**TRADES, "action": None}, "subscribe_trades"),
    ({**TRADES, "action": 5}, "subscribe_trades"),
    ({**SNAPSHOT, "action": None}, "subscribe_depth_update"),
    ({"balance": [{}]}, "subscribe_balances"),
    ({"orders": {"buys": [["1", "2"]]}}, None),
]


@pytest.mark.parametrize(("message", "action"), LOST)
def test_data_that_cannot_be_found_is_broken_never_silent(
    read: Read, message: dict[str, Any], action: str | None
) -> None:
    with pytest.raises(DecodeError) as caught:
        read(message)
    assert caught.value.action == action


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ("depth", SNAPSHOT),
        ("depth_update", CHANGE),
        ("Depth_Update", CHANGE),
        ("SUBSCRIBE_TRADES", TRADES),
        ("trade", TRADES),
        ("orders", ORDERS),
        ("subscribe_order", ORDERS),
    ],
)
def test_an_action_in_another_spelling_is_that_action(
    read: Read, alias: str, message: dict[str, Any]
) -> None:
    assert read({**message, "action": alias}) == read(message)
    typed = {**message, "type": alias}
    del typed["action"]
    assert read(typed) == read(message)


@pytest.mark.parametrize("data", [SNAPSHOT, CHANGE, TRADES, ORDERS])
def test_data_of_ours_under_a_foreign_action_is_broken(read: Read, data: Any) -> None:
    for action in ("subscribe_dreams", "unsubscribe_depth"):
        with pytest.raises(DecodeError, match="data that cannot be placed"):
            read({**data, "action": action})


def test_a_foreign_action_without_data_of_ours_is_unknown(read: Read) -> None:
    frame = read({"action": "subscribe_dreams", "market_id": MARKET, "price": "5", "dreams": [1]})
    assert (frame.kind, frame.body, frame.extra) == (
        FrameKind.UNKNOWN,
        None,
        Extra(action="subscribe_dreams"),
    )
    is_acknowledgement(read({"action": "unsubscribe_depth", "market_id": MARKET}))


def test_binary_frames_that_are_not_text_are_broken(read: Read) -> None:
    with pytest.raises(DecodeError, match="not text in UTF-8"):
        read(b"\xff{}")
    assert read(b"PONG") == Frame(FrameKind.PONG)


# -- books -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("buys", "sells"), ("bids", "asks"), ("buys", "asks")])
@pytest.mark.parametrize("key", ["view", "orders"])
def test_books_in_every_spelling(read: Read, key: str, names: tuple[str, str]) -> None:
    message = {name: value for name, value in SNAPSHOT.items() if name != "view"}
    levels = [["25000", "10"], ["24000", "0"]], [["26000", 7, "ignored"]]
    is_snapshot(read({**message, key: dict(zip(names, levels, strict=True))}))
    has_one_bid(read({**message, key: {names[0]: levels[0]}}))
    is_change(read({**CHANGE, "changes": {names[0]: [["25000", "5"]], names[1]: None}}))
    with pytest.raises(DecodeError):
        read({**message, key: {names[0]: [["25000", "-1"]]}})


# -- the venue ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [SNAPSHOT, CHANGE, TRADES, ORDERS])
@pytest.mark.parametrize("mark", [True, "true", 1], ids=repr)
def test_frames_of_the_margin_venue_are_read_and_marked(read: Read, data: Any, mark: object) -> None:
    plain = read(data)
    assert read({**data, "turbo": mark}) == plain._replace(extra=Extra(turbo=True))
    for none in (False, "false", 0, None):
        assert read({**data, "turbo": none}) == plain


@pytest.mark.parametrize(("data", "name"), [(SNAPSHOT, "view"), (CHANGE, "changes")])
def test_the_mark_may_stand_inside(read: Read, data: Any, name: str) -> None:
    frame = read({**data, name: {**data[name], "turbo": True}})
    assert frame == read(data)._replace(extra=Extra(turbo=True))
    with pytest.raises(DecodeError, match="both venues"):
        read({**data, name: {**data[name], "turbo": True}, "turbo": False})


@pytest.mark.parametrize(("data", "name"), [(TRADES, "trades"), (ORDERS, "orders")])
def test_entries_of_two_venues_never_mix(read: Read, data: Any, name: str) -> None:
    entry = data[name][-1]
    both = read({**data, name: [entry, {**entry, "turbo": True}, {**entry, "turbo": "?"}]})
    assert both.extra is None
    assert len(getattr(body(both), name)) == 1
    assert [(odd.index, odd.problem) for odd in body(both).not_understood] == [
        (1, "an entry of the other venue"),
        (2, "expected true or false, not '?'"),
    ]
    assert read({**data, name: [{**entry, "turbo": True}]}).extra == Extra(turbo=True)
    spot = read({**data, name: [{**entry, "turbo": False}, {**entry, "turbo": None}], "turbo": True})
    assert len(getattr(body(spot), name)) == len(body(spot).not_understood) == 1


def test_acknowledgements_of_the_margin_venue_are_marked(read: Read) -> None:
    frame = read({"action": "subscribe_trades", "turbo": True, "status": "ok"})
    assert frame.extra == Extra(action="subscribe_trades", turbo=True)
    assert read({"turbo": True}) == Frame(FrameKind.UNKNOWN, extra=Extra(turbo=True))
    refused = read({"code": 6001, "turbo": "?"})
    assert not body(refused).turbo


# -- trigger orders ----------------------------------------------------------------------------------

TRIGGER = {**CASES["order-trigger"]["messages"][0]["orders"][0], "account": {"ContractId": ACCOUNT}}
QUANTITIES: list[tuple[object, int | None, str | None]] = [
    ("5000", 5000, None),
    (5000, 5000, None),
    ({"Quantity": "5000"}, 5000, None),
    ({"Quantity": {"quantity": 5000}}, 5000, None),
    ({"ParentOrder": OTHER}, None, OTHER),
    ({"ParentOrderId": {"order_id": OTHER}}, None, OTHER),
]
KINDS: list[tuple[dict[str, Any], m.OrderType]] = [
    ({}, m.UNKNOWN_TYPE),
    ({"order_type": "Market"}, m.OrderType("Market")),
    ({"kind": "Market"}, m.OrderType("Market")),
    ({"trigger_type": {"Limit": {"price": "7"}}}, m.OrderType("Limit", price=7)),
    (
        {"order_type": {"Bounded": {"max_price": 9, "min_price": "8"}}},
        m.OrderType("Bounded", max_price=9, min_price=8),
    ),
]


@pytest.mark.parametrize(("quantity", "number", "parent"), QUANTITIES, ids=repr)
@pytest.mark.parametrize(("said", "order_type"), KINDS)
def test_trigger_orders_of_the_inferred_shape(
    read: Read,
    quantity: object,
    number: int | None,
    parent: str | None,
    said: dict[str, Any],
    order_type: m.OrderType,
) -> None:
    entry = {**TRIGGER, "side": "Sell", "quantity": quantity, **said}
    update = body(read({**ORDERS, "orders": [PLAIN_ORDER, entry]}))
    assert [order.order_id for order in update.orders] == [OTHER]
    (trigger,) = update.triggers
    assert trigger == m.TriggerOrder(
        order_id=ORDER,
        side=m.Side.SELL,
        trigger_price=2500,
        quantity=number,
        parent=None if parent is None else m.Id(parent),
        order_type=order_type,
        owner=m.Identity.contract(ACCOUNT),
        market_id=MARKET,
        index=1,
        raw=trigger.raw,
    )
    assert trigger.raw["order_id"] == ORDER
    assert update.entries == (*update.orders, trigger)


@pytest.mark.parametrize(
    "change",
    [
        *({}, {"quantity": {"Half": 1}}, {"quantity": "x"}, {"quantity": "1", "trigger_price": None}),
        *({"quantity": "1", "side": {"Sell": None}}, {"parent": "0x1"}),
    ],
)
def test_other_trigger_orders_are_marked_and_never_orders(read: Read, change: dict[str, Any]) -> None:
    update = body(read({**ORDERS, "orders": [{**TRIGGER, **change}, PLAIN_ORDER]}))
    assert (len(update.orders), update.triggers, len(update.not_understood)) == (1, (), 1)


@pytest.mark.parametrize("mark", [{"kind": "trigger"}, {"kind": "Trigger"}, {"trigger_price": "7"}])
def test_a_complete_order_with_a_trigger_is_a_trigger_order(read: Read, mark: dict[str, Any]) -> None:
    entry = {**PLAIN_ORDER, **mark}
    update = body(read({**ORDERS, "orders": [entry]}))
    assert update.orders == ()
    assert len(update.triggers) == ("trigger_price" in mark)
    rows = structure_rows([entry, PLAIN_ORDER], m.Order, "")
    assert [order.order_id for order in rows] == [OTHER]
    assert rows.not_understood[0].problem == "expected an order, not a trigger order at $"


def test_a_trigger_order_is_an_object() -> None:
    with pytest.raises(DecodeError, match="expected an object, not 5"):
        structure_json("5", m.TriggerOrder)


def test_an_order_that_says_so_is_an_order(read: Read) -> None:
    (order,) = body(read({**ORDERS, "orders": [{**PLAIN_ORDER, "kind": "order", "triggers": []}]})).orders
    assert order.order_id == OTHER


# -- entries and rows --------------------------------------------------------------------------------

LISTS: dict[str, tuple[dict[str, Any], str]] = {
    "trades": (TRADES, "trades"),
    "orders": ({**ORDERS, "orders": [PLAIN_ORDER]}, "orders"),
    "balances": (CASES["balance-empty-books-list"]["messages"][0], "balance"),
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from([MARKET, "1", "-1", "2026-11-30T17:00:00Z", 2**64, "1e3"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from([*LISTS]), st.sampled_from(["retype", "drop", "wrap", "nest", "entry"]), JSON, st.data()
)
def test_whatever_one_entry_holds_its_neighbors_are_there(
    name: str, change: str, value: object, data: st.DataObject
) -> None:
    """Every entry is delivered, or marked in its place, whatever happens to one field of one of them."""
    message, key = LISTS[name]
    odd = copy.deepcopy(message[key][0])
    field = data.draw(st.sampled_from([*odd, "maker_fee", "fills", "history", "order_books", "turbo"]))
    if change == "drop":
        odd.pop(field, None)
    else:
        changed = {"retype": value, "wrap": [odd.get(field)], "nest": {field: odd.get(field)}}
        odd[field] = changed.get(change, value)
    entries = [message[key][0], value if change == "entry" else odd, message[key][0]]
    for path in PATHS.values():
        update = body(path(json.dumps({**message, key: entries})))
        found = update.entries
        assert len(found) == 3
        assert found[0] == found[2] == getattr(update, key)[0]
        assert all(entry.index == 1 for entry in update.not_understood)


def test_a_list_of_one_may_come_without_its_list(read: Read) -> None:
    for message, key in LISTS.values():
        assert read({**message, key: message[key][0]}) == read(message)


@pytest.mark.parametrize("value", [5, "text", True])
def test_what_should_be_a_list_and_holds_something_else_is_broken(read: Read, value: object) -> None:
    for message, key in LISTS.values():
        with pytest.raises(DecodeError, match="expected a list"):
            read({**message, key: value})


def test_rows_are_independent() -> None:
    rows = structure_rows([TRADE, {**TRADE, "trade_id": 7, "price": None}, 5], m.Trade, "[]")
    assert [row.trade_id for row in rows] == ["11"]
    first, second = rows.not_understood
    assert (first.index, first.problem, first.ids) == (1, "missing at $.price", {"trade_id": "7"})
    assert (second.index, second.raw, second.ids) == (2, 5, {})
    with pytest.raises(DecodeError, match="expected a list, not an object"):
        structure_rows({}, m.Trade, "{}")


def test_entries_keep_the_ids_of_their_account() -> None:
    entry = {"order_id": "bad", "account": {"ContractId": ACCOUNT[2:].upper()}, "owner": 5}
    (odd,) = structure_rows([entry], m.Order, "").not_understood
    assert odd.ids == {"account": ACCOUNT}
    with pytest.raises(TypeError):
        odd.raw["order_id"] = "good"  # type: ignore[index]


def test_what_is_nested_beyond_all_measure_is_kept_cut_off() -> None:
    deep = parse("[" * 900 + "]" * 900)
    wide = parse('{"a":' * 300 + "1" + "}" * 300)
    rows = structure_rows([deep, wide, {**TRADE, "maker": deep}], m.Trade, "")
    assert len(rows) == 1
    assert len(repr(rows.not_understood)) + len(repr(rows[0].unread)) < 10_000


@pytest.mark.parametrize("name", ["fills", "history", "order_books"])
def test_one_odd_entry_of_a_nested_list_costs_itself(read: Read, name: str) -> None:
    fill = {"order_id": ORDER, "price": "1", "quantity": "2"}
    book = {"locked": "1", "unlocked": "2", "fee": "-3"}
    nested: dict[str, Any] = {
        "fills": [fill, {"strange": 1}],
        "history": [{"tx_id": ORDER, "status": "confirmed"}, 7],
        "order_books": {MARKET: book, "main": book, ORDER: {"locked": "1"}},
    }
    message, key = LISTS["balances" if name == "order_books" else "orders"]
    frame = read({**message, key: [{**message[key][0], name: nested[name]}]})
    (entry,) = getattr(body(frame), key)
    assert len(getattr(entry, name)) == 1
    assert len(entry.unread[name]) == len(nested[name])
    assert frame.extra is not None
    (odd,) = frame.extra.odd
    assert odd.field == f"{type(entry).__name__}.{name}"
    if name == "order_books":
        assert entry.order_books == {MARKET: m.BookBalance(locked=1, unlocked=2, fee=-3)}


# -- odd fields --------------------------------------------------------------------------------------


def test_odd_fields_are_named_once_for_each_shape(read: Read) -> None:
    fees: tuple[Any, ...] = ("free", "none", [], {}, 1.5, True)
    entries = [{**TRADE, "maker_fee": fee, "taker": 5} for fee in fees]
    frame = read({**TRADES, "trades": entries, "seen_timestamp": "now"})
    assert frame.extra is not None
    assert [odd.shape for odd in frame.extra.odd] == [
        "TradeUpdate.seen_timestamp: text",
        "Trade.taker: an integer",
        "Trade.maker_fee: text",
        "Trade.maker_fee: a list",
        "Trade.maker_fee: an object",
        "Trade.maker_fee: a number with a fraction",
        "Trade.maker_fee: true or false",
    ]
    assert frame.extra.odd[2].problem == "expected an integer as text, not 'free'"


def test_odd_fields_of_an_answer() -> None:
    row = {**PLAIN_ORDER, "account": {"Wallet": 1}, "fills": [{"order_id": ORDER, "price": "1"}]}
    rows = structure_rows([row, PLAIN_ORDER], m.Order, "")
    owner, fills = odd_fields(rows)
    assert (owner.field, owner.shape) == ("Order.owner", "Order.owner: an object")
    assert (fills.field, fills.problem) == ("Order.fills", "quantity is missing in an entry")
    assert rows[0].unread["account"] == {"Wallet": 1}
    books = {ORDER: m.BookBalance(locked=1, unlocked=1, unread={"news": 1})}
    (odd,) = odd_fields({"any": books})
    assert (odd.field, odd.problem) == ("BookBalance.news", "cannot be read from an integer")
    assert odd_fields(structure_rows([PLAIN_ORDER], m.Order, "")) == ()


def test_a_view_without_a_readable_precision(read: Read) -> None:
    frame = read({**SNAPSHOT, "view": {**SNAPSHOT["view"], "precision": "fine"}, "seen_timestamp": []})
    assert body(frame).unread == {"precision": "fine", "seen_timestamp": ()}
    assert frame.extra is not None
    assert [odd.field for odd in frame.extra.odd] == ["DepthUpdate.seen_timestamp", "DepthUpdate.precision"]


# -- answers over REST -------------------------------------------------------------------------------

ASSET = {"symbol": "fFUEL", "asset": MARKET, "decimals": 9, "max_precision": 9}
LISTED = {"contract_id": MARKET, "market_id": MARKET, "base": ASSET, "quote": ASSET}


def market(**change: Any) -> Any:
    return structure_json(json.dumps({**LISTED, **change}), m.Market)


def test_market_details_cost_no_market() -> None:
    assert (market(maker_fee="-10").maker_fee, market(taker_fee=-3).taker_fee) == (-10, -3)
    assert market(price_window=2.5).price_window == market(price_window="2.5").price_window == Decimal("2.5")
    assert market(price_window=5).price_window == 5
    assert market(turbo=True, paused=False, connected="?").turbo
    for name, odd in (("price_window", -1.5), ("price_window", {}), ("dust", "dusty"), ("whitelist_id", 0)):
        found = market(**{name: odd})
        assert found.unread == {name: Decimal("-1.5") if odd == -1.5 else odd}
        assert getattr(found, name) == attrs.fields_dict(m.Market)[name].default
    unnamed = market(base={**ASSET, "symbol": None})
    assert (unnamed.pair, unnamed.base.unread) == (f"{MARKET}/fFUEL", {})
    assert market(base={**ASSET, "symbol": 7}).base.unread == {"symbol": 7}
    for broken in ({"turbo": "?"}, {"base": {**ASSET, "decimals": 2.5}}, {"contract_id": None}):
        with pytest.raises(DecodeError):
            market(**broken)


NOVEMBER = 1_700_000_000_000


@pytest.mark.parametrize(
    ("sent", "milliseconds"),
    [
        *((value, NOVEMBER) for value in (1_700_000_000, "1700000000", NOVEMBER, str(NOVEMBER))),
        *((NOVEMBER * unit, NOVEMBER) for unit in (10**3, 10**6)),
        *(
            (text, NOVEMBER)
            for text in ("2023-11-14T22:13:20Z", "2023-11-14 22:13:20", "2023-11-14T23:13:20+01:00")
        ),
        (Decimal("1700000000.5"), NOVEMBER + 500),
        (Decimal("1700000000500.75"), NOVEMBER + 500),
        (0, 0),
    ],
    ids=repr,
)
def test_times_of_bars_in_every_unit(sent: object, milliseconds: int) -> None:
    assert read_milliseconds(sent, int) == milliseconds


@pytest.mark.parametrize(
    "sent", ["soon", "2023-13-40", "-5", -5, True, None, [], Decimal("1e60"), ""], ids=repr
)
def test_other_times_of_bars_are_unreadable(sent: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_milliseconds(sent, int)


def test_bars_in_seconds() -> None:
    (row,) = next(case for case in DATA["cases"] if case["id"] == "bars-in-seconds")["messages"]["body"]
    (bar, other) = structure_rows([row, {**row, "volume": "many"}], m.Bar, "")
    assert (bar.timestamp, bar.time.year, bar.time.month) == (NOVEMBER, 2023, 11)
    assert (other.volume, other.unread) == (0, {"volume": "many"})
