"""Messages that do not name their action, or name it oddly: data in them is never taken for nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trio.testing import MockClock

from o2trio import DecodeError, DepthUpdate, TopicBroken
from o2trio.wire import ErrorBody, FrameKind, decode
from tests.tolerance._cases import (
    ACCOUNT,
    GONE,
    MARKET,
    balances,
    nonce,
    order,
    orders,
    snapshot,
    trade,
    trades,
    update,
    watch,
)

WITHOUT_ACTION: dict[str, dict[str, Any]] = {
    "change": update({"action": GONE}),
    "book": snapshot({"action": GONE}),
    "book under orders": {"market_id": MARKET, "orders": {"buys": [], "sells": [["1", "2"]]}},
    "orders": orders(order()) | {"action": None},
    "one order": {"orders": order()},
    "trades": trades(trade()) | {"action": " "},
    "empty action": update({"action": ""}),
    "balances": balances({}) | {"action": 7},
    "nonce": nonce({"action": GONE}),
    "wrapped nonce": {"data": nonce()},
    "wrapped change": {"type": "message", "payload": update()},
}


@pytest.mark.parametrize("name", WITHOUT_ACTION)
def test_data_without_an_action_is_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="data without an action") as caught:
        decode(json.dumps(WITHOUT_ACTION[name]))
    # So every stream is repaired that the message may have been for.
    assert caught.value.action == OWNERS.get(name)


OWNERS = {
    "change": "subscribe_depth_update",
    "one order": "subscribe_orders",
    "book": "subscribe_depth_update",
    "orders": "subscribe_orders",
    "trades": "subscribe_trades",
    "balances": "subscribe_balances",
    "empty action": "subscribe_depth_update",
    "nonce": "subscribe_nonce",
    "wrapped nonce": "subscribe_nonce",
    "wrapped change": "subscribe_depth_update",
}
CHANGES = update()["changes"]
UNPLACED: dict[str, dict[str, Any]] = {
    "code without action": update({"action": GONE, "code": 1000}),
    "action error": update({"action": "error", "code": 5}),
    "wrapped beside an error status": {
        "action": "subscribe_depth_update",
        "market_id": MARKET,
        "status": "error",
        "data": {"changes": CHANGES},
    },
    "whole message beside an error": {"error": "lag", "data": update()},
    "pong": update({"action": "pong"}),
    "ok": update({"action": "ok"}),
    "end": update({"action": "unsubscribe_depth"}),
    "foreign action": update({"action": "depth_updates"}),
    "hyphens": update({"action": "subscribe-depth-update"}),
    "wrapper": {"action": "message", "data": update()},
    "type": update({"action": GONE, "type": "update"}),
    "flat": {"market_id": MARKET, **CHANGES},
    "deep": {"event": "x", "payload": {"market_id": MARKET, "changes": CHANGES}},
}


@pytest.mark.parametrize("name", UNPLACED)
def test_data_that_cannot_be_placed_is_refused(name: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(json.dumps(UNPLACED[name]))
    assert (caught.value.action, caught.value.market_id) == ("subscribe_depth_update", MARKET)


@pytest.mark.parametrize("name", UNPLACED)
async def test_data_that_cannot_be_placed_repairs_the_book(autojump_clock: MockClock, name: str) -> None:
    seen = await watch([snapshot(), UNPLACED[name]], "depth", later=[snapshot()])
    assert any(isinstance(event, TopicBroken) for event in seen.events)
    assert seen.error is None


@pytest.mark.parametrize(
    "extra", [{"code": 7}, {"action": "subscribe_trades", "code": 7}, {"action": "unsubscribe_trades"}]
)
async def test_trades_that_cannot_be_placed_end_no_stream(
    autojump_clock: MockClock, extra: dict[str, Any]
) -> None:
    content = trades(trade(), action=GONE)
    message = {"market_id": MARKET, "data": {"trades": content["trades"]}, **extra}
    seen = await watch([message], "trades")
    assert seen.error is None
    assert any(isinstance(event, TopicBroken) for event in seen.events)


def test_the_type_is_the_action_of_an_error() -> None:
    message = update({"action": "error", "type": "subscribe_depth_update"})
    assert decode(json.dumps(message)).kind is FrameKind.DEPTH_UPDATE


@pytest.mark.parametrize("empty", [{"changes": {}}, {"changes": {"buys": []}}, {"trades": []}])
def test_a_refusal_with_an_empty_container_is_a_refusal(empty: dict[str, Any]) -> None:
    assert decode(json.dumps({"code": 1000, "market_id": MARKET, **empty})).kind is FrameKind.ERROR


REFUSED_TRADES: dict[str, dict[str, Any]] = {
    "upper": {"action": "SUBSCRIBE_TRADES", "code": 1000},
    "singular": {"action": "subscribe_trade", "code": 1000},
    "spaces": {"action": " subscribe_trades ", "code": 1000},
    "type": {"action": "error", "type": "subscribe_trades", "code": 1000},
    "nested": {"action": "error", "error": {"action": "subscribe_trades", "market_id": MARKET, "code": 6002}},
    "request": {"code": 6002, "request": {"action": "Subscribe_Trades", "market_id": MARKET}},
}


@pytest.mark.parametrize("name", REFUSED_TRADES)
def test_a_refusal_names_its_stream_in_any_spelling(name: str) -> None:
    body = decode(json.dumps(REFUSED_TRADES[name])).body
    assert isinstance(body, ErrorBody)
    assert body.action == "subscribe_trades"
    assert body.market_id == (MARKET if name in ("nested", "request") else None)


@pytest.mark.parametrize(
    "message", [{"contract_id": ACCOUNT}, {"nonce": 5}, {"data": {"action": "rainbows"}}]
)
def test_what_holds_no_data_is_unknown(message: dict[str, Any]) -> None:
    assert decode(json.dumps(message)).kind is FrameKind.UNKNOWN


def test_an_action_may_stand_between_spaces() -> None:
    assert decode(json.dumps(update({"action": " subscribe_depth_update "}))).kind is FrameKind.DEPTH_UPDATE


@pytest.mark.parametrize(("text", "kind"), [('"PONG"', FrameKind.PONG), ('" ping "', FrameKind.PING)])
def test_a_heartbeat_may_be_json_text(text: str, kind: FrameKind) -> None:
    assert decode(text).kind is kind


@pytest.mark.parametrize(
    ("code", "number"), [("1000.0", 1000), ("1e3", 1000), (f'"{"1" + "0" * 20}"', 10**20), ('"1000"', 1000)]
)
def test_a_code_in_an_unusual_spelling_refuses(code: str, number: int) -> None:
    body = decode(f'{{"action": "subscribe_trades", "code": {code}, "message": "no"}}').body
    assert isinstance(body, ErrorBody)
    assert body.code == number


@pytest.mark.parametrize("code", ["0.0", "200.0", '"ok"', "null"])
def test_a_code_that_is_harmless_refuses_nothing(code: str) -> None:
    frame = decode(f'{{"action": "subscribe_trades", "code": {code}}}')
    assert frame.kind is FrameKind.ACKNOWLEDGEMENT


@pytest.mark.parametrize("action", ["subscribe_trades", "unsubscribe_trades"])
@pytest.mark.parametrize("code", ["1.5", '"E7"', "[]", "true", "1e999999"])
def test_a_code_that_cannot_be_read_confirms_nothing(action: str, code: str) -> None:
    assert decode(f'{{"action": "{action}", "code": {code}}}').kind is FrameKind.UNKNOWN


def test_a_byte_order_mark_before_a_frame_is_skipped() -> None:
    text = json.dumps(snapshot())
    assert decode("\ufeff" + text) == decode(text)
    assert decode(b"\xef\xbb\xbf" + text.encode()) == decode(text)


LEVEL = [{"price": "24000", "quantity": "5"}]
OTHER = [{"price": "23000", "quantity": "7"}]


@pytest.mark.parametrize("action", ["subscribe_depth", "subscribe_depth_update"])
def test_an_empty_name_of_a_side_yields_to_the_other(action: str) -> None:
    sides = {"buys": [], "bids": LEVEL, "sells": OTHER, "asks": []}
    content = {"view": sides} if action == "subscribe_depth" else {"changes": sides}
    frame = decode(json.dumps({"action": action, "market_id": MARKET, **content}))
    assert isinstance(frame.body, DepthUpdate)
    assert [level.price for level in frame.body.changes.bids] == [24000]
    assert [level.price for level in frame.body.changes.asks] == [23000]


@pytest.mark.parametrize("first", ["view", "orders"])
def test_an_empty_object_with_levels_yields_to_the_other(first: str) -> None:
    sides = {"buys": LEVEL, "sells": []}
    content = {"view": {}, "orders": {}, first: sides}
    frame = decode(json.dumps({"action": "subscribe_depth", "market_id": MARKET, **content}))
    assert isinstance(frame.body, DepthUpdate)
    assert [level.price for level in frame.body.changes.bids] == [24000]


@pytest.mark.parametrize(
    "content",
    [
        {"view": {"buys": LEVEL, "bids": OTHER, "sells": []}},
        {"view": {"buys": LEVEL, "sells": []}, "orders": {"buys": OTHER, "sells": []}},
    ],
    ids=["sides", "objects"],
)
def test_levels_that_are_sent_twice_and_differ_are_refused(content: dict[str, Any]) -> None:
    with pytest.raises(DecodeError, match="say different things"):
        decode(json.dumps({"action": "subscribe_depth", "market_id": MARKET, **content}))


@pytest.mark.parametrize("code", [6001, 6002])
async def test_an_error_that_names_a_live_stream_subscribes_it_again(
    autojump_clock: MockClock, code: int
) -> None:
    refusal = {"action": "subscribe_depth", "market_id": MARKET, "code": code, "message": "dropped"}
    seen = await watch([snapshot(), refusal], "depth", later=[snapshot()])
    assert seen.error is None
    assert any(isinstance(event, TopicBroken) for event in seen.events)
