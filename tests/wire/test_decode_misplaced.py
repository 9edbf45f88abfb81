"""Messages that do not name their action, or name it oddly: data in them is never taken for nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from o2trio import DecodeError
from o2trio.wire import FrameKind, decode
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
    assert caught.value.action is None or "type" in WITHOUT_ACTION[name]


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
