"""Books: what the exchange may send beside, around and inside a depth message, and what is right then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from trio.testing import MockClock

from o2trio import DepthUpdate, Level, ServerMessage, TopicRefused
from tests.tolerance._cases import CASES, GONE, MARKET, Seen, snapshot, update, watch

Check = Callable[[Seen], None]


def fresh_15(seen: Seen) -> None:
    """Check: the best bid is 25000 x 15, the book is not stale, nothing broke."""
    seen.check_bid(25_000, 15)


def fresh_10(seen: Seen) -> None:
    """Check: one bid, 25000 x 10, and nothing broke."""
    seen.check_bid(25_000, 10)
    assert len(seen.snapshots) == 1


def time_is_carried(seen: Seen) -> None:
    """Check: the book is right; the time is that moment, or absent with its raw value kept."""
    fresh_15(seen)
    live = seen.updates[-1]
    if live.onchain_timestamp is None or live.seen_timestamp is None:
        assert "onchain_timestamp" in live.unread or "seen_timestamp" in live.unread
    if live.onchain_timestamp is not None:
        assert live.onchain_timestamp in {1_764_000_001, 1_796_058_000}
    if live.seen_timestamp is not None:
        assert live.seen_timestamp in {1_764_000_001_000_000_000, 1_764_000_000_123_000_000}


def one_bid(seen: Seen) -> None:
    """Check: a snapshot with one bid and no ask."""
    fresh_10(seen)
    assert seen.book.best_ask is None


def never_empty(seen: Seen) -> None:
    """Check: broken, and asked for again; never an empty book."""
    assert seen.error is None
    assert seen.server.requested()["subscribe_depth"] >= 2
    assert seen.snapshots
    assert all(each.changes.bids for each in seen.snapshots)
    assert seen.book.best_bid == Level(25_000, 10)
    assert seen.stale is False


def broken_then_15(seen: Seen) -> None:
    """Check: a break with a mark, then the book as it is."""
    assert seen.error is None
    assert seen.breaks
    assert seen.epochs >= {0, seen.breaks[-1].epoch}
    assert seen.book.best_bid == Level(25_000, 15)
    assert seen.stale is False


def data_and_refusal(seen: Seen) -> None:
    """Check: a message that carries data is always data too; its refusal is not lost either."""
    fresh_15(seen)
    assert [event.code for event in seen.of(ServerMessage) + seen.of(TopicRefused)] == [6001]


def view_10(seen: Seen) -> None:
    """Check: one view with 25000 x 10."""
    assert seen.error is None
    (view,) = seen.updates
    assert isinstance(view, DepthUpdate)
    assert view.changes.best_bid == Level(25_000, 10)


def twice(seen: Seen) -> None:
    """Check: one price twice: delivered or asked for again, and never the end of the stream."""
    assert seen.error is None
    assert seen.book.best_bid is not None
    assert seen.book.best_bid.price == 25_000
    assert seen.stale is False


def crossed(seen: Seen) -> None:
    """Check: a crossed snapshot is delivered and marked, since grouping may cause it."""
    seen.check_whole()
    (first,) = seen.snapshots
    assert first.is_crossed


RIGHT: dict[str, Check] = {
    "data-with-code-0": fresh_15,
    "data-with-error-false": fresh_15,
    "ack-code-0": fresh_15,
    "ack-repeats-action": fresh_15,
    "ack-text": fresh_15,
    "time-rfc3339": time_is_carried,
    "time-float": time_is_carried,
    "book-bids-asks": one_bid,
    "book-without-sides": never_empty,
    "snapshot-level-zero": one_bid,
    "binary-json": fresh_15,
}


@pytest.mark.parametrize("name", RIGHT)
async def test_case(autojump_clock: MockClock, name: str) -> None:
    RIGHT[name](await watch(CASES[name]["messages"], "depth", later=[snapshot()]))


def level(price: Any, quantity: Any) -> dict[str, Any]:
    return {"price": price, "quantity": quantity}


def around(*messages: Any) -> list[Any]:
    """Return messages before the snapshot, and again between it and the change."""
    return [*messages, snapshot(), *messages, update()]


def sides(bids: Any, asks: Any, key: str = "view", names: tuple[str, str] = ("buys", "sells")) -> Any:
    return snapshot({"view": GONE, key: dict(zip(names, (bids, asks), strict=True))})


DEEP = level("25000", "10")

WITHOUT_SIDES: tuple[dict[str, Any], ...] = (
    {"orders": {}},
    {"view": {"precision": 1}},
    {"view": []},
    {"view": {"buys": None, "sells": None}},
    {"view": {"Buys": [], "Sells": []}},
    {"view": "empty"},
    {"orders": {"levels": []}},
)

# (the case it is a sibling of: name) -> messages, what is right
SIBLINGS: dict[str, tuple[list[Any], Check]] = {
    "data-with-code-0: text": ([snapshot(), update({"code": "0"})], fresh_15),
    "data-with-code-0: 200": ([snapshot(), update({"code": 200})], fresh_15),
    "data-with-code-0: null": ([snapshot(), update({"code": None})], fresh_15),
    "data-with-code-0: snapshot": ([snapshot({"code": 0, "message": "ok"}), update()], fresh_15),
    "data-with-code-0: a real code": (
        [snapshot(), update({"code": 6001, "message": "no"})],
        data_and_refusal,
    ),
    "data-with-code-0: success": ([snapshot({"success": True}), update({"success": True})], fresh_15),
    "data-with-code-0: status": ([snapshot({"status": "ok"}), update({"status": "ok"})], fresh_15),
    "data-with-code-0: type": ([snapshot({"type": "snapshot"}), update({"type": "update"})], fresh_15),
    "data-with-error-false: null": ([snapshot(), update({"error": None})], fresh_15),
    "data-with-error-false: empty": ([snapshot(), update({"error": ""})], fresh_15),
    "data-with-error-false: 0": ([snapshot({"error": 0}), update({"error": 0})], fresh_15),
    "data-with-error-false: list": ([snapshot(), update({"error": []})], fresh_15),
    "data-with-error-false: words": (
        [snapshot(), update({"error": "no", "code": 6001, "success": False})],
        data_and_refusal,
    ),
    "ack-code-0: text": (around({"code": "0", "message": "subscribed"}), fresh_15),
    "ack-code-0: 200": (around({"code": 200, "message": "subscribed"}), fresh_15),
    "ack-code-0: success": (around({"success": True}), fresh_15),
    "ack-code-0: status": (around({"status": "subscribed"}), fresh_15),
    "ack-code-0: error null": (around({"error": None, "result": "ok"}), fresh_15),
    "ack-code-0: event": (around({"event": "subscribed", "channel": "depth"}), fresh_15),
    "ack-repeats-action: later": (
        [snapshot(), {"action": "subscribe_depth", "market_id": MARKET, "success": True}, update()],
        fresh_15,
    ),
    "ack-repeats-action: bare": (around({"action": "subscribe_depth", "market_id": MARKET}), fresh_15),
    "ack-repeats-action: no market": (around({"action": "subscribe_depth", "code": 0}), fresh_15),
    "ack-repeats-action: precision": (
        around({"action": "subscribe_depth", "market_id": MARKET, "precision": "10"}),
        fresh_15,
    ),
    "ack-repeats-action: of an end": (around({"action": "unsubscribe_depth", "market_id": MARKET}), fresh_15),
    "ack-repeats-action: other name": (around({"action": "subscribed", "market_id": MARKET}), fresh_15),
    **{
        f"ack-text: {text!r}": (around(text), fresh_15)
        for text in ("ok", "Ok\n", "subscribed", "SUBSCRIBED", "ACK", '"OK"', "true", "PONG", " pong ")
    },
    **{
        f"time: {name} {value!r}": ([snapshot(), update({name: value})], time_is_carried)
        for name in ("onchain_timestamp", "seen_timestamp")
        for value in ("", "-1", -1, True, [], {}, ["1764000000"], {"secs": 1}, "soon", "9" * 60, 1e30)
    },
    "time-rfc3339: snapshot": (
        [snapshot({"onchain_timestamp": "2026-11-30T17:00:00Z", "seen_timestamp": 1.5}), update()],
        fresh_15,
    ),
    "time-rfc3339: offset": (
        [snapshot(), update({"onchain_timestamp": "2026-11-30T18:00:00+01:00"})],
        time_is_carried,
    ),
    "book-bids-asks: view": ([sides([DEEP], [], "view", ("bids", "asks"))], one_bid),
    "book-bids-asks: one side": ([snapshot({"view": {"bids": [DEEP]}})], one_bid),
    "book-bids-asks: changes": (
        [snapshot(), update({"changes": {"bids": [level("25000", "5")], "asks": []}})],
        fresh_15,
    ),
    "book-bids-asks: mixed": ([snapshot({"view": {"buys": [DEEP], "asks": []}})], one_bid),
    "book-bids-asks: pairs": ([sides([["25000", "10"]], [], "orders", ("bids", "asks"))], one_bid),
    **{
        f"book-without-sides: {view!r}": ([snapshot({"view": GONE}, view)], never_empty)
        for view in WITHOUT_SIDES
    },
    "snapshot-level-zero: ask": (
        [sides([DEEP], [level("26000", "0")])],
        one_bid,
    ),
    "snapshot-level-zero: best": ([sides([level("25500", "0"), DEEP], [])], one_bid),
    "snapshot-level-zero: number": ([sides([DEEP, level(24_900, 0)], [], "orders")], one_bid),
    "snapshot-level-zero: only": ([sides([level("1", "0"), DEEP], [level("9", "0")])], one_bid),
    "snapshot-level-zero: one price twice": ([sides([DEEP, DEEP], [level("26000", "7")])], twice),
    "snapshot-level-zero: crossed": ([sides([DEEP], [level("24900", "7")])], crossed),
    "binary-json: one of two": ([snapshot(), {"binary": update()}], fresh_15),
    "binary-json: heartbeat": ([{"binary": "PONG"}, snapshot(), {"binary": "OK"}, update()], fresh_15),
    "binary-json: ack": (around({"binary": {"action": "subscribe_depth", "market_id": MARKET}}), fresh_15),
}


@pytest.mark.parametrize("name", SIBLINGS)
async def test_sibling(autojump_clock: MockClock, name: str) -> None:
    messages, check = SIBLINGS[name]
    check(await watch(messages, "depth", later=[snapshot()]))


NEEDED: dict[str, dict[str, Any]] = {
    "no sides": {"changes": {}},
    "null sides": {"changes": {"buys": None, "sells": None}},
    "no changes": {"changes": None},
    "a price of words": {"changes": {"buys": [level("much", "5")], "sells": []}},
    "a quantity with a fraction": {"changes": {"buys": [level("25000", "5.5")], "sells": []}},
    "no quantity": {"changes": {"buys": [{"price": "25000"}], "sells": []}},
    "one entry of two": {"changes": {"buys": [level("25000", "5"), level(None, "5")], "sells": []}},
    "a level that is no level": {"changes": {"buys": ["25000"], "sells": []}},
}


@pytest.mark.parametrize("name", NEEDED)
async def test_a_change_that_cannot_be_read_breaks_the_book(autojump_clock: MockClock, name: str) -> None:
    """What moves a book is needed: the loss is marked, and the book is fetched again."""
    current = sides([level("25000", "15")], [level("26000", "7")])
    broken_then_15(await watch([snapshot(), update(NEEDED[name])], "depth", later=[current]))


VIEWS: dict[str, dict[str, Any]] = {
    "data-with-code-0": {"code": 0},
    "data-with-error-false": {"error": False},
    "time-float": {"seen_timestamp": 1.25, "onchain_timestamp": "now"},
    "book-bids-asks": {"view": {"bids": [DEEP], "asks": []}},
    "snapshot-level-zero": {"view": {"buys": [level("26000", "0"), DEEP], "sells": []}},
    "precision of words": {"view": {"precision": "fine", "buys": [DEEP], "sells": []}},
}


@pytest.mark.parametrize("name", VIEWS)
async def test_a_view_is_as_tolerant(autojump_clock: MockClock, name: str) -> None:
    message = snapshot({"action": "subscribe_depth_view"}, VIEWS[name])
    view_10(await watch([message], "depth_view"))
