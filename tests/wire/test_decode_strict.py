"""What decoding refuses, what it tolerates, where it says the fault is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio import models as m
from o2trio._errors import DecodeError
from o2trio.wire import Frame, FrameKind, Snapshot, decode, structure_json

DATA = json.loads((Path(__file__).parents[1] / "data" / "wire_samples.json").read_text(encoding="utf-8"))
MARKET, ACCOUNT = DATA["ids"]["market_a"], DATA["ids"]["account_1"]
MISSING = object()


def frame(action: str, **fields: object) -> dict[str, Any]:
    return {"action": f"subscribe_{action}", **fields}


ORDER = {
    "order_id": MARKET,
    "side": "buy",
    "order_type": "Spot",
    "quantity": "1",
    "price": "1",
    "close": False,
}
TRADE = {"trade_id": "1", "side": "buy", "price": "1", "quantity": "1", "total": "1", "timestamp": 1}
BALANCE = {
    "identity": {"ContractId": ACCOUNT},
    "asset_id": MARKET,
    "total_unlocked": "1",
    "total_locked": "1",
    "trading_account_balance": "1",
}
LEVEL = {"price": "1", "quantity": "1"}
FRAMES = {
    "update": frame("depth_update", market_id=MARKET, changes={"buys": [LEVEL], "sells": [LEVEL]}),
    "snapshot": frame("depth", market_id=MARKET, view={"precision": 1, "buys": [LEVEL], "sells": [LEVEL]}),
    "orders": frame("orders", orders=[ORDER]),
    "trades": frame("trades", market_id=MARKET, trades=[TRADE]),
    "balances": frame("balances", balance=[BALANCE]),
    "nonce": frame("nonce", contract_id=ACCOUNT, nonce=1),
}


def changed(name: str, steps: tuple[str | int, ...], value: object) -> str:
    message = json.loads(json.dumps(FRAMES[name]))  # no part is shared
    node: Any = message
    for step in steps[:-1]:
        node = node[step]
    if value is MISSING:
        del node[steps[-1]]
    else:
        node[steps[-1]] = value
    return json.dumps(message)


def path_of(steps: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


NO_INTEGERS = [
    12.7, 1.0, True, False, "", " 1", "1 ", "1_000",
    "+1", "--1", "-", "1.0", "1e3", "0x1", "\u0661", "\u00b2", "oops",
    "NaN",
    "1" * 41, "1" * 5000, [], {}, ["1"],
]  # fmt: skip
Fault = tuple[str, str]
FRAME, ENTRY, FIELD = "frame", "entry", "field"


def fault_of(text: str) -> Fault:
    """Return what a fault costs, and where it is; both paths must say the same."""
    try:
        found = decode(text)
    except DecodeError as error:
        return FRAME, error.path
    body: Any = found.body
    if body.not_understood:
        (entry,) = body.not_understood
        assert entry.index == 0
        return ENTRY, entry.problem.rpartition(" at ")[2]
    if found.extra is not None and found.extra.odd:
        (odd,) = found.extra.odd
        return FIELD, odd.field
    return "nothing", ""


INTEGERS: list[tuple[str, tuple[str | int, ...], int, int, Fault]] = [
    ("update", ("changes", "buys", 0, "price"), 0, 2**64 - 1, (FRAME, "$.changes.buys[0].price")),
    (
        "update",
        ("changes", "sells", 0, "quantity"),
        1 - 2**128,
        2**128 - 1,
        (FRAME, "$.changes.sells[0].quantity"),
    ),
    ("update", ("onchain_timestamp",), 0, 2**128 - 1, (FIELD, "DepthUpdate.onchain_timestamp")),
    ("update", ("seen_timestamp",), 0, 2**128 - 1, (FIELD, "DepthUpdate.seen_timestamp")),
    ("snapshot", ("view", "sells", 0, "price"), 0, 2**64 - 1, (FRAME, "$.view.sells[0].price")),
    ("snapshot", ("view", "buys", 0, "quantity"), 1, 2**128 - 1, (FRAME, "$.view.buys[0].quantity")),
    ("snapshot", ("view", "precision"), 0, 255, (FIELD, "DepthUpdate.precision")),
    ("orders", ("orders", 0, "price"), 0, 2**64 - 1, (ENTRY, "$.price")),
    ("orders", ("orders", 0, "price_fill"), 0, 2**64 - 1, (FIELD, "Order.price_fill")),
    ("orders", ("orders", 0, "quantity"), 0, 2**128 - 1, (ENTRY, "$.quantity")),
    ("orders", ("orders", 0, "quantity_fill"), 0, 2**128 - 1, (ENTRY, "$.quantity_fill")),
    ("orders", ("orders", 0, "timestamp"), 0, 2**128 - 1, (FIELD, "Order.timestamp")),
    ("orders", ("orders", 0, "base_decimals"), 0, 255, (FIELD, "Order.base_decimals")),
    ("trades", ("trades", 0, "total"), 0, 2**128 - 1, (FIELD, "Trade.total")),
    ("trades", ("trades", 0, "timestamp"), 0, 2**128 - 1, (FIELD, "Trade.timestamp")),
    ("trades", ("trades", 0, "maker_fee"), 1 - 2**128, 2**128 - 1, (FIELD, "Trade.maker_fee")),
    ("balances", ("balance", 0, "total_locked"), 0, 2**128 - 1, (ENTRY, "$.total_locked")),
    ("nonce", ("nonce",), 0, 2**64 - 1, (FRAME, "$.nonce")),
]


@pytest.mark.parametrize(("name", "steps", "low", "high", "fault"), INTEGERS)
def test_integers(name: str, steps: tuple[str | int, ...], low: int, high: int, fault: Fault) -> None:
    for good in (low, high):
        for value in (good, str(good)):
            assert str(good) in repr(decode(changed(name, steps, value)).body)
    refused = [*NO_INTEGERS, low - 1, high + 1, str(low - 1), str(high + 1)]
    for bad in refused:
        if steps[-1] == "nonce" and bad == "0x1":
            continue
        if low == 1 and str(bad) == "0":
            body: Any = decode(changed(name, steps, bad)).body
            assert body.changes.bids == ()
            continue
        assert fault_of(changed(name, steps, bad)) == fault, bad


@pytest.mark.parametrize(("name", "steps", "value"), [(name, steps, 12.7) for name, steps, *_ in INTEGERS])
def test_an_unread_field_keeps_its_raw_value(name: str, steps: tuple[str | int, ...], value: object) -> None:
    text = changed(name, steps, value)
    what, where = fault_of(text)
    if what == FIELD:
        body: Any = decode(text).body
        model = next((entry for field in ("orders", "trades") for entry in getattr(body, field, ())), body)
        assert model.unread == {steps[-1]: Decimal("12.7")}
        default = 0 if where == "Order.price_fill" else None
        assert getattr(model, where.partition(".")[2]) == default


def test_a_float_that_looks_like_an_integer_stays_a_float() -> None:
    for literal in ("1.0", "1e0", "1E2", "-0.0"):
        with pytest.raises(DecodeError, match="nonce"):
            decode(f'{{"action": "nonce", "contract_id": "{ACCOUNT}", "nonce": {literal}}}')


BROKEN: list[tuple[str, tuple[str | int, ...], Any, Fault]] = [
    ("update", ("market_id",), "0x12", (FRAME, "$.market_id")),
    ("update", ("market_id",), 7, (FRAME, "$.market_id")),
    ("update", ("market_id",), "0x" + "g" * 64, (FRAME, "$.market_id")),
    ("update", ("market_id",), MISSING, (FRAME, "$.market_id")),
    ("update", ("market_id",), None, (FRAME, "$.market_id")),
    ("update", ("changes",), MISSING, (FRAME, "$.changes")),
    ("update", ("changes",), None, (FRAME, "$.changes")),
    ("update", ("changes",), [], (FRAME, "$.changes")),
    ("update", ("changes",), {}, (FRAME, "$.changes")),
    ("update", ("changes", "buys"), {}, (FRAME, "$.changes.buys")),
    ("update", ("changes", "buys"), "text", (FRAME, "$.changes.buys")),
    ("update", ("changes", "buys", 0), "text", (FRAME, "$.changes.buys[0]")),
    ("update", ("changes", "buys", 0), ["1"], (FRAME, "$.changes.buys[0]")),
    ("update", ("changes", "buys", 0), ["1", "x"], (FRAME, "$.changes.buys[0].quantity")),
    ("update", ("turbo",), 2, (FRAME, "$.turbo")),
    ("update", ("changes", "turbo"), "both", (FRAME, "$.changes.turbo")),
    ("snapshot", ("view",), None, (FRAME, "$.view")),
    ("snapshot", ("view",), {"buys": None}, (FRAME, "$.view")),
    ("snapshot", ("view",), [], (FRAME, "$.view")),
    ("orders", ("orders",), None, (FRAME, "$.orders")),
    ("orders", ("orders",), 5, (FRAME, "$.orders")),
    ("orders", ("orders",), {}, (ENTRY, "$.order_id")),
    ("orders", ("orders", 0), None, (ENTRY, "$")),
    ("orders", ("orders", 0), [], (ENTRY, "$")),
    ("orders", ("orders", 0, "side"), "hold", (ENTRY, "$.side")),
    ("orders", ("orders", 0, "side"), 1, (ENTRY, "$.side")),
    ("orders", ("orders", 0, "close"), 0, (ENTRY, "$.close")),
    ("orders", ("orders", 0, "close"), "false", (ENTRY, "$.close")),
    ("orders", ("orders", 0, "cancel"), 1, (ENTRY, "$.cancel")),
    ("orders", ("orders", 0, "partially_filled"), 1, (FIELD, "Order.partially_filled")),
    ("orders", ("orders", 0, "order_type"), 3, (FIELD, "Order.order_type")),
    ("orders", ("orders", 0, "order_type"), "", (FIELD, "Order.order_type")),
    ("orders", ("orders", 0, "order_type"), {}, (FIELD, "Order.order_type")),
    ("orders", ("orders", 0, "order_type"), [], (FIELD, "Order.order_type")),
    ("orders", ("orders", 0, "order_type"), {"Limit": [1.5, 1]}, (FIELD, "Order.order_type")),
    ("orders", ("orders", 0, "order_type"), {"Limit": {"price": "x"}}, (FIELD, "Order.order_type")),
    (
        "orders",
        ("orders", 0, "order_type"),
        {"BoundedMarket": {"max_price": True, "min_price": 1}},
        (FIELD, "Order.order_type"),
    ),
    ("orders", ("orders", 0, "desired_quantity"), 3, (FIELD, "Order.desired_quantity")),
    ("orders", ("orders", 0, "market_id"), "0x1", (FIELD, "Order.market_id")),
    ("orders", ("orders", 0, "owner"), {}, (FIELD, "Order.owner")),
    ("orders", ("orders", 0, "account"), {"Wallet": MARKET}, (FIELD, "Order.owner")),
    ("orders", ("orders", 0, "account"), "0x12", (FIELD, "Order.owner")),
    ("orders", ("orders", 0, "fills"), {}, (FIELD, "Order.fills")),
    ("orders", ("orders", 0, "fill"), {"price": "1"}, (FIELD, "Order.fills")),
    ("orders", ("orders", 0, "order_tx_history"), [3], (FIELD, "Order.history")),
    ("orders", ("orders", 0, "history"), {"odd": 1}, (FIELD, "Order.history")),
    ("trades", ("trades",), None, (FRAME, "$.trades")),
    ("trades", ("trades", 0, "trade_id"), 1.5, (ENTRY, "$.trade_id")),
    ("trades", ("trades", 0, "trade_id"), True, (ENTRY, "$.trade_id")),
    ("trades", ("trades", 0, "trade_id"), "", (ENTRY, "$.trade_id")),
    ("trades", ("trades", 0, "trade_id"), -1, (ENTRY, "$.trade_id")),
    ("trades", ("trades", 0, "side"), MISSING, (ENTRY, "$.side")),
    ("trades", ("trades", 0, "trader_side"), "judge", (FIELD, "Trade.trader_side")),
    ("trades", ("trades", 0, "maker"), [], (FIELD, "Trade.maker")),
    ("balances", ("balance",), None, (FRAME, "$.balance")),
    ("balances", ("balance", 0, "identity"), {"Address": 5}, (ENTRY, "$.identity")),
    ("balances", ("balance", 0, "order_books"), [], (FIELD, "Balance.order_books")),
    ("nonce", ("contract_id",), MISSING, (FRAME, "$.contract_id")),
    ("nonce", ("nonce",), None, (FRAME, "$.nonce")),
    ("nonce", ("nonce",), "0x", (FRAME, "$.nonce")),
    ("nonce", ("nonce",), "0x" + "f" * 17, (FRAME, "$.nonce")),
    ("nonce", ("nonce",), "0x1_0", (FRAME, "$.nonce")),
]


@pytest.mark.parametrize(("name", "steps", "value", "fault"), BROKEN)
def test_faults_cost_themselves_and_are_named(
    name: str, steps: tuple[str | int, ...], value: object, fault: Fault
) -> None:
    assert fault_of(changed(name, steps, value)) == fault


@pytest.mark.parametrize(("name", "steps", "value", "fault"), BROKEN)
def test_a_broken_frame_names_its_streams(
    name: str, steps: tuple[str | int, ...], value: object, fault: Fault
) -> None:
    if fault[0] != FRAME:
        return
    with pytest.raises(DecodeError) as caught:
        decode(changed(name, steps, value))
    assert caught.value.action == FRAMES[name]["action"]
    if name in {"snapshot", "trades"}:
        assert caught.value.market_id == MARKET
    if value in (MISSING, None):
        assert caught.value.problem == "missing"


@attrs.frozen
class Named:
    levels: Mapping[str, m.Level]
    keyed: Mapping[m.Id, m.Level]


def test_paths_through_lists_and_mappings() -> None:
    with pytest.raises(DecodeError) as caught:
        structure_json(json.dumps([TRADE, {**TRADE, "price": "-1"}]), tuple[m.Trade, ...])
    assert caught.value.path == "$[1].price"
    for value, path in (
        ({"a": {"price": 1, "quantity": "x"}}, "$['a'].quantity"),
        ({"x" * 9000: {}}, f"$[{'x' * 40!r}].price"),
    ):
        with pytest.raises(DecodeError) as caught:
            structure_json(json.dumps({"levels": value, "keyed": {}}), Named)
        assert caught.value.path == "$.levels" + path[1:]
    with pytest.raises(DecodeError) as caught:
        structure_json('{"levels": {}, "keyed": {"a": {}}}', Named)
    assert caught.value.path == "$.keyed['a']"
    with pytest.raises(DecodeError) as caught:
        decode(json.dumps(frame("depth", market_id=MARKET, orders={"sells": [{"price": "1"}]})))
    assert (caught.value.path, caught.value.problem) == ("$.orders.sells[0].quantity", "missing")


def test_a_broken_list_is_searched_to_its_first_fault_only() -> None:
    levels = [{"price": "x", "quantity": "1"}] * 200_000
    with pytest.raises(DecodeError) as caught:
        decode(json.dumps(frame("depth_update", market_id=MARKET, changes={"buys": levels, "sells": []})))
    assert caught.value.path == "$.changes.buys[0].price"
    assert len(caught.value.frame) <= 210


def test_the_wire_cannot_set_what_is_ours() -> None:
    ours = {"origin": "gap", "epoch": 7, "precision": 3, "gap": {"since": 1.0, "until": 2.0}}
    ours |= {"unread": {"x": 1}, "not_understood": [1], "triggers": [1], "index": 3, "raw": 4}
    body: Any = decode(json.dumps({**FRAMES["update"], **ours})).body
    assert (body.origin, body.epoch, body.precision, body.gap) == (m.Origin.LIVE, 0, None, None)
    body = decode(json.dumps({**FRAMES["snapshot"], **ours})).body
    assert (body.origin, body.epoch, body.precision, body.gap) == (m.Origin.SNAPSHOT, 0, 1, None)
    assert (body.unread, body.not_understood) == ({}, ())
    for name, key in (("orders", "orders"), ("trades", "trades"), ("balances", "balance")):
        message = {**FRAMES[name], **ours, key: [{**FRAMES[name][key][0], **ours}]}
        body = decode(json.dumps(message)).body
        (entry,) = getattr(body, key)
        assert (body.unread, body.not_understood, entry.unread) == ({}, (), {})
    fill = {"order_id": MARKET, "price": "1", "quantity": "2", "timestamp": 1, **ours}
    body = decode(changed("orders", ("orders", 0, "fills"), [fill])).body
    assert body.orders[0].fills[0].unread == {}
    book = {MARKET: {"locked": "1", "unlocked": "1", "fee": 1, **ours}}
    body = decode(changed("balances", ("balance", 0, "order_books"), book)).body
    assert body.balance[0].order_books[MARKET].unread == {}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("Spot", m.OrderType("Spot")),
        ("Novelty", m.OrderType("Novelty")),
        ({"Novelty": [1, 2, 3]}, m.OrderType("Novelty")),
        ({"Limit": [1, 2, 3]}, m.OrderType("Limit")),
        ({"Limit": "soon"}, m.OrderType("Limit")),
        ({"BoundedMarket": {}}, m.OrderType("BoundedMarket")),
        (
            {"BoundedMarket": {"max_price": "2", "min_price": 1}},
            m.OrderType("BoundedMarket", max_price=2, min_price=1),
        ),
    ],
)
def test_order_types(sent: object, read: m.OrderType) -> None:
    body: Any = decode(changed("orders", ("orders", 0, "order_type"), sent)).body
    assert body.orders[0].order_type == read


def test_tolerance() -> None:
    fill = {"order_id": MARKET, "price": "1", "quantity": "2"}
    for value in (fill, [fill]):
        body: Any = decode(changed("orders", ("orders", 0, "fill"), value)).body
        assert body.orders[0].fills[0].quantity == 2
    history = [{"tx_id": MARKET, "status": "a status of the future"}]
    body = decode(changed("orders", ("orders", 0, "order_tx_history"), history)).body
    assert body.orders[0].history[0].status == "a status of the future"
    for role, expected in (("maker", m.TraderSide.MAKER), ("judge", None), (5, None), ([], None)):
        body = decode(changed("trades", ("trades", 0, "trader_side"), role)).body
        assert body.trades[0].trader_side is expected
    for side in ("buy", "Buy", "BUY"):
        body = decode(changed("trades", ("trades", 0, "side"), side)).body
        assert body.trades[0].side is m.Side.BUY
    body = decode(changed("nonce", ("nonce",), "0XfF")).body
    assert body.nonce == 255
    assert decode(changed("update", ("turbo",), False)).kind is FrameKind.DEPTH_UPDATE
    assert decode(changed("update", ("error",), None)).kind is FrameKind.DEPTH_UPDATE


def test_desired_quantity_is_exact_and_immutable() -> None:
    sent = {"Quote": {"desired_base_quantity": {"Quantity": 2**63 + 1}, "list": [[1], 1.5, None, True]}}
    body: Any = decode(changed("orders", ("orders", 0, "desired_quantity"), sent)).body
    desired = body.orders[0].desired_quantity
    assert desired["Quote"]["desired_base_quantity"]["Quantity"] == 2**63 + 1
    assert desired["Quote"]["list"] == ((1,), 1.5, None, True)
    with pytest.raises(TypeError):
        desired["Quote"]["list"] = 1


def test_ids_are_the_same_object() -> None:
    first, second = (decode(changed("update", ("market_id",), text)) for text in (MARKET[2:].upper(), MARKET))
    assert first.market_id is second.market_id


@pytest.mark.parametrize(
    ("message", "kind", "market_id"),
    [
        ({"action": 5}, FrameKind.UNKNOWN, None),
        ({"action": ["subscribe_depth"], "market_id": MARKET}, FrameKind.UNKNOWN, MARKET),
        ({"action": "x" * 1000}, FrameKind.UNKNOWN, None),
        ({"action": "rainbows", "market_id": "bad"}, FrameKind.UNKNOWN, None),
        ({"action": "unsubscribe_trades", "market_id": MARKET}, FrameKind.ACKNOWLEDGEMENT, MARKET),
        ({"action": "PING"}, FrameKind.PING, None),
        ({"action": "rainbows", "turbo": True}, FrameKind.UNKNOWN, None),
        ({"code": True}, FrameKind.UNKNOWN, None),
        ({"code": 6000.5}, FrameKind.UNKNOWN, None),
        ({"code": "6000"}, FrameKind.ERROR, None),
        ({"code": 1, "message": ["x"], "error": {"x": 1}}, FrameKind.ERROR, None),
        ({**FRAMES["update"], "code": 0}, FrameKind.DEPTH_UPDATE, MARKET),
        ({**FRAMES["update"], "code": 5}, FrameKind.DEPTH_UPDATE, MARKET),
    ],
)
def test_frames_without_data(message: object, kind: FrameKind, market_id: str | None) -> None:
    found = decode(json.dumps(message))
    assert (found.kind, found.market_id) == (kind, market_id)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"action": "pong"\xff}', "binary"),
        ("NaN", "malformed"),
        ('{"action": NaN}', "malformed"),
        ("[" * 100_000, "deeply"),
        ('{"a":' * 100_000, "deeply"),
        ("1" * 5000, "range"),
        ("1" * 100, "expected an object, not a huge number"),
        ("12", "expected an object, not 12"),
        ("1.5", "expected an object, not 1.5"),
        ("false", "expected an object, not False"),
        ('"false"', "expected an object, not 'false'"),
        ('"\ud800"', "surrogates"),
        ('"\\ud800"', "truncated"),
        ('{"a":1}{', "trailing"),
        ("\x1b[31m", "malformed"),
    ],
)
def test_no_frame_at_all(data: str | bytes, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem) as caught:
        decode(data)
    assert caught.value.path == "$"
    assert caught.value.frame.encode()
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)


def test_heartbeats_do_not_reach_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("o2trio.wire._decode.parse", None)
    assert decode(" Ping\r\n") == Frame(FrameKind.PING)
    assert decode("pOnG") == Frame(FrameKind.PONG)


def test_bytes_of_answers() -> None:
    with pytest.raises(DecodeError, match="utf-8"):
        structure_json(b'"\xff\xfe"' + b"x" * 300, m.Level)
    assert structure_json(b'{"price": 1, "quantity": "2"}', m.Level) == m.Level(1, 2)
    with pytest.raises(DecodeError) as caught:
        structure_json(b"null", m.Level)
    assert caught.value.problem == "expected an object, not null"
    rest = {"action": "depth", "orders": {"buys": [LEVEL]}, "market_id": MARKET}
    assert structure_json(json.dumps(rest), Snapshot).to_update().changes.bids == (m.Level(1, 1),)


ASSET = {"symbol": "", "asset": ACCOUNT, "decimals": 9, "max_precision": "3", "min_precision": 0}
LISTED = {
    "contract_id": ACCOUNT, "market_id": MARKET, "maker_fee": "0", "taker_fee": "100", "min_order": "1000",
    "dust": "10", "price_window": "5", "whitelist_id": None, "base": ASSET, "quote": ASSET,
}  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "chain_id"), [("0x26a1", 9889), ("9889", 9889), (0, 0), ("0x0", 0), (None, None)]
)
def test_markets(sent: object, chain_id: int | None) -> None:
    answer = {
        "chain_id": sent,
        "books_registry_id": ACCOUNT[2:],
        "base_asset_id": None,
        "margin": {"x": 1},
        "markets": [LISTED, {**LISTED, "price_window": 0}],
    }
    markets = structure_json(json.dumps(answer).encode(), m.Markets)
    assert markets.chain_id == chain_id
    assert markets.books_registry_id == ACCOUNT
    assert [market.price_window for market in markets.markets] == [5, 0]
    assert markets.markets[0].quote.max_precision == 3
    answer["markets"] = [LISTED, {**LISTED, "base": {**ASSET, "decimals": 1000}}]
    with pytest.raises(DecodeError) as caught:
        structure_json(json.dumps(answer), m.Markets)
    assert caught.value.path == "$.markets[1].base.decimals"


class Mood(StrEnum):
    GOOD = "good"


def _not_even(_instance: object, _attribute: object, value: int) -> None:
    if value % 2 == 0:
        raise ValueError("even")


def _explained(_instance: object, _attribute: object, value: int) -> None:
    if value == 3:
        error = ValueError("three")
        error.add_note("a note of somebody else")
        raise error


@attrs.frozen
class Answer:
    mood: Mood
    count: int = attrs.field(default=1, validator=[_not_even, _explained])


def test_classes_and_enumerations_from_elsewhere() -> None:
    assert structure_json('{"mood": "good", "count": null}', Answer) == Answer(Mood.GOOD, 1)
    assert structure_json('{"mood": "good"}', Answer).mood is Mood.GOOD
    for text, path, problem in (
        ('{"mood": "bad"}', "$.mood", "Mood"),
        ('{"mood": "good", "count": 2}', "$", "even"),
        ('{"mood": "good", "count": 3}', "$", "three"),
    ):
        with pytest.raises(DecodeError, match=problem) as caught:
            structure_json(text, Answer)
        assert caught.value.path == path


@given(st.integers(0, 2**64 - 1), st.integers(1 - 2**128, 2**128 - 1), st.booleans())
def test_every_number_in_range_is_exact(price: int, quantity: int, as_text: bool) -> None:
    level = (
        {"price": str(price), "quantity": str(quantity)}
        if as_text
        else {"price": price, "quantity": quantity}
    )
    body: Any = decode(changed("update", ("changes", "buys", 0), level)).body
    assert body.changes.bids == (m.Level(price, quantity),)
