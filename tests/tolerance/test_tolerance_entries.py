"""Trades, orders, balances and nonces: an odd entry costs no other, an odd detail nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from trio.testing import MockClock

from o2trio import FieldNotUnderstood, FrameIgnored
from tests.tolerance._cases import (
    ACCOUNT,
    CASES,
    GONE,
    MARKET,
    ORDER,
    OTHER_ORDER,
    Seen,
    answering,
    balance,
    balances,
    nonce,
    order,
    orders,
    other_order,
    trade,
    trades,
    watch,
)
from tests.tolerance._checks import (
    SECOND,
    SECOND_BALANCE,
    a_rebate,
    both_orders,
    both_trades,
    detail_unread,
    ids,
    marked,
    nonce_43,
    nonce_marked,
    one_balance,
    one_or_marked,
    one_order,
    one_trade,
    order_detail_unread,
    second_balance_alone,
    second_trade_alone,
    trigger,
    type_unknown,
)
from tests.tolerance._server import Asked, Reply, reply

Check = Callable[[Seen], None]


RIGHT: dict[str, Check] = {
    "trades-with-code-200": one_trade,
    "action-trades": one_trade,
    "trade-unknown-side": both_trades,
    "trade-negative-fee": a_rebate,
    "order-without-price": one_or_marked,
    "order-type-null": type_unknown,
    "order-trigger": trigger,
    "order-desired-quantity-text": one_order,
    "order-history-tx-null": one_order,
    "order-quantity-object": marked,
    "balance-empty-books-list": one_balance,
}


@pytest.mark.parametrize("name", RIGHT)
async def test_case(autojump_clock: MockClock, name: str) -> None:
    RIGHT[name](await watch(CASES[name]["messages"]))


ODD: dict[str, Any] = {
    "text": "odd",
    "number": 7,
    "negative": "-5",
    "fraction": 2.5,
    "list": [],
    "full list": [[1, {"a": None}]],
    "object": {"odd": [1]},
    "boolean": True,
    "empty": "",
}
"""Values of every kind of JSON; where one of them is right, its test leaves it out."""


def odd(*right: str) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in ODD.items() if name not in right]


SIBLINGS: dict[str, tuple[list[Any], Check]] = {
    "trades-with-code-200: text": ([trades(trade(), code="200", status="ok")], one_trade),
    "trades-with-code-200: error": ([trades(trade(), error=False, success=True)], one_trade),
    "trades-with-code-200: orders": ([orders(order(), code=200, message="ok")], one_order),
    "trades-with-code-200: balances": ([balances(balance(), code=200, message="ok")], one_balance),
    "trades-with-code-200: nonce": ([nonce({"code": 200, "message": "ok"})], nonce_43),
    "trades-with-code-200: ack": (
        [{"action": "subscribe_trades", "code": 200, "market_id": MARKET}, "OK", trades(trade())],
        one_trade,
    ),
    "ack-repeats-action: orders": (
        [
            {"action": "subscribe_orders", "status": "ok", "identities": [{"ContractId": ACCOUNT}]},
            orders(order()),
        ],
        one_order,
    ),
    "ack-repeats-action: balances": (
        [{"action": "subscribe_balances", "success": True}, balances(balance())],
        one_balance,
    ),
    "ack-repeats-action: nonce": ([{"action": "subscribe_nonce", "code": 0}, nonce()], nonce_43),
    "action-trades: nonce": ([nonce({"action": "nonce"})], nonce_43),
    "action-trades: one trade": (
        [{"action": "trades", "market_id": MARKET, "trade": trade()}],
        one_trade,
    ),
    "action-trades: one trade under trades": ([trades(trade()) | {"trades": trade()}], one_trade),
    "binary-json: trades": ([{"binary": trades(trade())}], one_trade),
    "binary-json: orders": ([{"binary": orders(order())}], one_order),
    "time-rfc3339: trades": (
        [trades(trade(), onchain_timestamp="2026-11-30T17:00:00Z", seen_timestamp=1.5)],
        one_trade,
    ),
    "time-rfc3339: orders": ([orders(order(), onchain_timestamp=[], seen_timestamp="now")], one_order),
    "time-rfc3339: nonce": ([nonce({"onchain_timestamp": "today", "seen_timestamp": {}})], nonce_43),
    "trade-unknown-side: null": ([trades(trade({"side": None}), SECOND)], both_trades),
    "trade-unknown-side: number": ([trades(trade({"side": 0}), SECOND)], both_trades),
    "trade-unknown-side: missing": ([trades(trade({"side": GONE}), SECOND)], both_trades),
    "trade-unknown-side: case": ([trades(trade({"side": "BUY"}))], one_trade),
    "trade-negative-fee: number": ([trades(trade({"maker_fee": -5}))], a_rebate),
    "trade-negative-fee: taker": ([trades(trade({"taker_fee": "-7", "maker_fee": -5}))], a_rebate),
    **{
        f"trade-negative-fee: {field} {name}": ([trades(trade({field: value}))], detail_unread(field))
        for field, right in (
            ("maker_fee", ("negative", "number")),
            ("timestamp", ("number",)),
            ("maker", ()),
            ("taker", ()),
            ("total", ("number",)),
        )
        for name, value in odd(*right)
    },
    "trade-negative-fee: no time": ([trades(trade({"timestamp": GONE}))], one_trade),
    "trade-negative-fee: null time": ([trades(trade({"timestamp": None, "total": None}))], one_trade),
    "trade-negative-fee: time": ([trades(trade({"timestamp": "2026-11-30T17:00:00Z"}))], one_trade),
    **{
        f"trade-unknown-side: {field} {name}": ([trades(trade({field: value}), SECOND)], second_trade_alone)
        for field, right in (
            ("price", ("number",)),
            ("quantity", ("number",)),
            ("trade_id", ("number", "text", "negative", "empty")),
        )
        for name, value in odd(*right)
    },
    **{
        f"trade-unknown-side: entry {name}": ([trades(value, SECOND)], second_trade_alone)
        for name, value in odd()
    },
    "trade-unknown-side: no price": ([trades(trade({"price": GONE}), SECOND)], second_trade_alone),
    "order-without-price: null": ([orders(order({"price": None}), other_order())], one_or_marked),
    "order-without-price: words": ([orders(order({"price": "market"}), other_order())], one_or_marked),
    "order-without-price: no quantity": ([orders(order({"quantity": GONE}), other_order())], marked),
    "order-without-price: no side": ([orders(order({"side": GONE}), other_order())], marked),
    "order-without-price: fraction": ([orders(order({"price": 2.5}), other_order())], one_or_marked),
    "order-type-null: missing": ([orders(order({"order_type": GONE}), other_order())], type_unknown),
    "order-type-null: number": ([orders(order({"order_type": 7}), other_order())], type_unknown),
    "order-type-null: list": ([orders(order({"order_type": []}), other_order())], type_unknown),
    "order-type-null: empty": ([orders(order({"order_type": {}}), other_order())], type_unknown),
    "order-type-null: newer": (
        [orders(order({"order_type": {"Iceberg": [1]}}), other_order())],
        type_unknown,
    ),
    "order-type-null: odd limit": (
        [orders(order({"order_type": {"Limit": "x"}}), other_order())],
        both_orders,
    ),
    "order-trigger: parent": (
        [
            orders(
                {
                    "kind": "trigger",
                    "order_id": ORDER,
                    "market_id": MARKET,
                    "side": "sell",
                    "trigger_price": 2500,
                    "quantity": {"ParentOrder": OTHER_ORDER},
                },
                other_order(),
            )
        ],
        trigger,
    ),
    "order-trigger: null price": (
        [orders(order({"kind": "trigger", "trigger_price": "2500", "price": None}), other_order())],
        trigger,
    ),
    "order-trigger: object": ([orders(order({"side": {"Sell": None}}), other_order())], marked),
    **{
        f"order-desired-quantity-text: {field} {name}": (
            [orders(order({field: value}), other_order())],
            both_orders if value in ([], {}) else order_detail_unread(field, into),
        )
        for field, into, right in (
            ("desired_quantity", "desired_quantity", ("object",)),
            ("base_decimals", "base_decimals", ("number",)),
            ("timestamp", "timestamp", ("number",)),
            ("price_fill", "price_fill", ("number",)),
            ("fills", "fills", ("list",)),
            ("fill", "fills", ("list",)),
            ("history", "history", ("list",)),
            ("order_tx_history", "history", ("list",)),
        )
        for name, value in odd(*right)
    },
    "order-history-tx-null: missing": (
        [orders(order({"history": [{"status": "confirmed"}]}))],
        one_order,
    ),
    "order-history-tx-null: short": (
        [orders(order({"order_tx_history": [{"tx_id": "0x1"}, None]}))],
        one_order,
    ),
    "order-history-tx-null: fills": ([orders(order({"fills": [{"strange": 1}, 7]}))], one_order),
    "order-history-tx-null: fill": ([orders(order({"fill": {"price": "1"}}))], one_order),
    "order-quantity-object: list": ([orders(order({"quantity": ["1000"]}), other_order())], marked),
    "order-quantity-object: fraction": ([orders(order({"quantity": "10.5"}), other_order())], marked),
    "order-quantity-object: negative": ([orders(order({"quantity": "-1000"}), other_order())], marked),
    "order-quantity-object: fill": ([orders(order({"quantity_fill": {"Base": 1}}), other_order())], marked),
    "order-quantity-object: close": ([orders(order({"close": "yes"}), other_order())], marked),
    "order-quantity-object: cancel": ([orders(order({"cancel": 1}), other_order())], marked),
    "balance-empty-books-list: full": ([balances(balance({"order_books": [{"locked": "1"}]}))], one_balance),
    "balance-empty-books-list: null": ([balances(balance({"order_books": None}))], one_balance),
    "balance-empty-books-list: text": ([balances(balance({"order_books": "none"}))], one_balance),
    "balance-empty-books-list: odd key": (
        [balances(balance({"order_books": {"main": {"locked": "1", "unlocked": "2"}}}))],
        one_balance,
    ),
    "balance-empty-books-list: one balance": ([balances() | {"balance": balance()}], one_balance),
    **{
        f"balance-empty-books-list: {field} {name}": (
            [balances(balance({field: value}), SECOND_BALANCE)],
            second_balance_alone,
        )
        for field in ("asset_id", "total_unlocked", "total_locked")
        for name, value in odd("number")
    },
    "nonce: number": ([nonce({"nonce": 43})], nonce_43),
    "nonce: hexadecimal": ([nonce({"nonce": "0x2b"})], nonce_43),
    **{f"nonce: {name}": ([nonce({"nonce": value})], nonce_marked) for name, value in odd("number")},
    "nonce: missing": ([nonce({"nonce": GONE}), nonce({"nonce": None})], nonce_marked),
}


ACCOUNT_ANSWER = {
    "trade_account_id": ACCOUNT,
    "trade_account": {"nonce": "44", "owner": {"Address": "0x" + "aa" * 32}},
    "session": None,
}


@pytest.mark.parametrize("name", SIBLINGS)
async def test_sibling(autojump_clock: MockClock, name: str) -> None:
    messages, check = SIBLINGS[name]
    check(await watch(messages, rest=answering("/v1/accounts", ACCOUNT_ANSWER)))


@pytest.mark.parametrize(
    "name",
    ["a list of trades", "an object of orders", "no list", "null", "text"],
)
async def test_a_frame_whose_list_cannot_be_read_is_marked(autojump_clock: MockClock, name: str) -> None:
    message = {
        "a list of trades": trades() | {"trades": "none"},
        "an object of orders": orders() | {"orders": {"count": 1}},
        "no list": {"action": "subscribe_orders", "seen_timestamp": "1", "order": [1]},
        "null": orders() | {"orders": 5},
        "text": trades() | {"trades": True},
    }[name]
    seen = await watch([message])
    assert seen.error is None
    assert seen.breaks or seen.not_understood or name == "no list"
    assert seen.of(FrameIgnored) or seen.not_understood


async def test_an_order_that_was_not_understood_is_read_over_rest(autojump_clock: MockClock) -> None:
    """What the stream could not say, the order's own page may: it comes as a backfill."""

    def known(asked: Asked) -> Reply:
        if asked.query["order_id"] != ORDER:
            return reply({"order": other_order()})
        return reply({"order": order({"quantity_fill": "400"})})

    rest = answering("/v1/order", known)
    seen = await watch(CASES["order-quantity-object"]["messages"], rest=rest, seconds=30)
    marked(seen)
    assert ids(seen) == [OTHER_ORDER, ORDER]
    assert seen.orders[1].quantity_fill == 400


async def test_a_shape_is_reported_once(autojump_clock: MockClock) -> None:
    """A detail that cannot be read is one event for each new shape, however often it comes."""
    odd_trades = [trades(trade({"trade_id": str(n), "maker_fee": "free"})) for n in range(50)]
    other = trades(trade({"trade_id": "77", "maker_fee": []}))
    seen = await watch([*odd_trades, other])
    assert len(seen.trades) == 51
    assert [event.field for event in seen.of(FieldNotUnderstood)] == ["Trade.maker_fee", "Trade.maker_fee"]
