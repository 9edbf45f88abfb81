"""Every sample frame in every flavor, with what a correct client concludes from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o2trio import models as m
from o2trio._errors import DecodeError
from o2trio.wire import ErrorBody, Extra, Frame, FrameKind, Frequency, Kind, decode, subscribe, unsubscribe

DATA = json.loads((Path(__file__).parents[1] / "data" / "wire_samples.json").read_text(encoding="utf-8"))
IDS = DATA["ids"]
A = m.Identity.contract(IDS["account_1"])

KINDS = {
    "depth_snapshot": FrameKind.DEPTH_SNAPSHOT,
    "depth_update": FrameKind.DEPTH_UPDATE,
    "depth_view": FrameKind.DEPTH_VIEW,
    "orders": FrameKind.ORDERS,
    "trades": FrameKind.TRADES,
    "balances": FrameKind.BALANCES,
    "nonce": FrameKind.NONCE,
    "error": FrameKind.ERROR,
}


def text_of(sample: dict[str, Any]) -> str:
    return sample["text"] if "text" in sample else json.dumps(sample["message"])


def sample(group: str, start: str) -> Any:
    (found,) = [entry for entry in DATA["samples"][group] if entry["label"].startswith(start)]
    return decode(text_of(found)).body


def data_samples() -> Iterator[Any]:
    for group in KINDS:
        for entry in DATA["samples"][group]:
            yield pytest.param(group, entry, id=f"{group}: {entry['label']}")


def _price(level: m.Level | None) -> str | None:
    return None if level is None else str(level.price)


CONCLUSIONS: dict[str, Callable[[Any], object]] = {
    "best_bid": lambda body: _price(body.changes.best_bid),
    "best_ask": lambda body: _price(body.changes.best_ask),
    "precision": lambda body: body.precision,
    "market_id": lambda body: body.market_id,
    "state": lambda body: body.orders[0].state.value,
    "states": lambda body: [order.state.value for order in body.orders],
    "maker_side": lambda body: body.trades[0].side.value,
    "taker_side": lambda body: body.trades[0].taker_side.value,
    "own_side": lambda body: body.trades[0].own_side,
    "available": lambda body: str(body.balance[0].available),
    "locked": lambda body: str(body.balance[0].total_locked),
    "nonce": lambda body: body.nonce,
    "code": lambda body: body.code,
    "resync": lambda body: body.resync_required,
    "replaces_whole_view": lambda body: body.is_snapshot,
}
PROSE = {"note", "after_first_snapshot"}


@pytest.mark.parametrize(("group", "entry"), list(data_samples()))
def test_sample(group: str, entry: dict[str, Any]) -> None:
    expect = entry.get("expect", {})
    if expect.get("error"):
        with pytest.raises(DecodeError) as caught:
            decode(text_of(entry))
        assert caught.value.path == "$.changes.buys[1].price"
        assert caught.value.action == "subscribe_depth_update"
        assert caught.value.market_id == IDS["market_a"]
        return
    frame = decode(text_of(entry))
    if expect.get("venue") == "turbo":
        assert frame.extra == Extra(turbo=True)
        assert isinstance(frame.body, m.DepthUpdate)
        assert frame.body.changes.bids
        return
    assert frame.kind is KINDS[group]
    for name in expect.keys() - PROSE:
        assert CONCLUSIONS[name](frame.body) == expect[name], name
    if isinstance(frame.body, m.Update):
        snapshot = frame.kind in {FrameKind.DEPTH_SNAPSHOT, FrameKind.DEPTH_VIEW}
        assert frame.body.origin is (m.Origin.SNAPSHOT if snapshot else m.Origin.LIVE)
        assert frame.body.epoch == 0
        assert frame.body.seen_timestamp in {None, 1790000123456789012}
        assert frame.body.onchain_timestamp in {None, 1790000123}
    if group in {"depth_snapshot", "depth_update", "depth_view", "trades"}:
        assert frame.market_id in {IDS["market_a"], IDS["market_b"]}


def test_signed_differences_add_up_as_the_samples_say() -> None:
    first = sample("depth_snapshot", "view with precision").changes
    for entry in DATA["samples"]["depth_update"]:
        outcome = entry.get("expect", {}).get("after_first_snapshot")
        if outcome is None:
            continue
        changes = decode(text_of(entry)).body.changes  # type: ignore[union-attr]  # the sample is one
        book = {
            **{f"bid {level.price}": level.quantity for level in first.bids},
            **{f"ask {level.price}": level.quantity for level in first.asks},
        }
        for side, levels in (("bid", changes.bids), ("ask", changes.asks)):
            for level in levels:
                key = f"{side} {level.price}"
                book[key] = book.get(key, 0) + level.quantity
        if isinstance(outcome, str):
            assert min(book.values()) < 0
        else:
            assert {key: str(book[key] or "gone") for key in outcome} == outcome


def test_details_of_depth() -> None:
    body = sample("depth_snapshot", "one side missing")
    assert body.changes == m.DepthChanges((), (m.Level(1, 18446744073709551621),))
    body = sample("depth_update", "numbers instead of text")
    assert body.changes == m.DepthChanges((m.Level(25100, -5),), ())
    assert body.precision is None


def test_details_of_orders() -> None:
    (order,) = sample("orders", "partial fill").orders
    assert order.fills == (
        m.Fill(
            order_id=m.Id("0x9859c99472774a301d02624b4ed26149e58623e3274614069d19c89d0bca3ca1"),
            price=25100,
            quantity=1500000000,
            timestamp=1790000123456,
        ),
    )
    assert [entry.type for entry in order.history] == ["created", "trade"]
    assert order.owner == A
    assert order.desired_quantity == {"Base": {"remaining_quantity": "2500000000"}}
    limit, bounded = sample("orders", "structured order types: numbers").orders
    assert limit.order_type == m.OrderType("Limit", price=25100, timestamp=1790000500)
    assert bounded.order_type == m.OrderType("BoundedMarket", max_price=26000, min_price=24000)
    (bare,) = sample("orders", "structured order types as text").orders
    assert bare.side is m.Side.SELL
    assert bare.order_type == limit.order_type
    assert bare.order_id == limit.order_id
    (nulls,) = sample("orders", "null optional fields").orders
    assert nulls.order_type == m.OrderType("TurboSharedSpot")
    assert (nulls.quantity_fill, nulls.fills, nulls.history) == (0, (), ())
    assert nulls.owner == A


def test_details_of_trades_and_balances() -> None:
    (trade,) = sample("trades", "account role").trades
    assert (trade.trade_id, trade.trader_side, trade.maker_fee, trade.taker_fee) == ("42", "both", 0, 100)
    (old,) = sample("trades", "single trade").trades
    assert old.trade_id == "7"
    (balance,) = sample("balances", "plain address").balance
    assert balance.identity == m.Identity.address(IDS["address"])
    assert balance.order_books == {
        IDS["book_a"]: m.BookBalance(locked=2**70, unlocked=5),
        IDS["book_b"]: m.BookBalance(locked=0, unlocked=7),
    }
    with pytest.raises(TypeError):
        balance.order_books[IDS["book_a"]] = None
    assert sample("balances", "order_books missing").balance[0].order_books == {}


@pytest.mark.parametrize("entry", DATA["samples"]["heartbeat"], ids=lambda entry: entry["label"])
def test_heartbeat(entry: dict[str, Any]) -> None:
    kind = FrameKind.PONG if "pong" in text_of(entry).lower() else FrameKind.PING
    assert decode(text_of(entry)) == Frame(kind)


UNKNOWN = {
    "unknown action": FrameKind.UNKNOWN,
    "acknowledgement shape nobody documents": FrameKind.ACKNOWLEDGEMENT,
    "object without action or code": FrameKind.UNKNOWN,
}


@pytest.mark.parametrize("entry", DATA["samples"]["unknown"], ids=lambda entry: entry["label"])
def test_unknown(entry: dict[str, Any]) -> None:
    kind = UNKNOWN.get(entry["label"])
    if kind is None:
        with pytest.raises(DecodeError) as caught:
            decode(text_of(entry))
        assert (caught.value.path, caught.value.action, caught.value.market_id) == ("$", None, None)
    else:
        assert decode(text_of(entry)).kind is kind


def test_error_frames_tell_everything_they_repeat() -> None:
    assert sample("error", "carrying the failed action") == ErrorBody(
        code=6002, message="Invalid precision", action="subscribe_depth", market_id=IDS["market_a"]
    )
    assert sample("error", "resynchronisation") == ErrorBody(
        code=None, message="", market_id=IDS["market_a"], resync_required=True, turbo=True
    )
    assert sample("error", "error key") == ErrorBody(code=None, message="internal server error")


MARKET = m.Id(IDS["market_a"])
IDENTITIES = {"orders": (A,), "nonce": (A,), "balances": (A, m.Identity.address(IDS["address"]))}


@pytest.mark.parametrize("entry", DATA["samples"]["requests"][:-2], ids=lambda entry: entry["label"])
def test_requests(entry: dict[str, Any]) -> None:
    verb, _, name = entry["label"].partition("_")
    arguments: dict[str, Any] = {"market_id": MARKET} if name.startswith(("depth", "trades")) else {}
    arguments["identities"] = IDENTITIES.get(name, ())
    if verb == "subscribe" and name.startswith("depth"):
        arguments["precision"] = 2 if name == "depth_view" else 1
    if entry["label"] == "subscribe_depth_view":
        arguments["frequency"] = Frequency.MS_500
    request = {"subscribe": subscribe, "unsubscribe": unsubscribe}[verb](Kind(name), **arguments)
    assert json.loads(request) == entry["message"]
