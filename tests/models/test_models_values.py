"""Ids, identities, time stamps, states and immutability of the models."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from o2trio import models as m

ID = m.normalize_id("AB" * 32)
ORDER = m.Order(order_id=ID, side=m.Side.BUY, order_type=m.OrderType("Spot"), price=1, quantity=10)
TRADE = m.Trade(trade_id="1/2", side=m.Side.SELL, price=1, quantity=1, timestamp=1790000123456)


@pytest.mark.parametrize("text", ["ab" * 32, "AB" * 32, "0x" + "aB" * 32, "0X" + "AB" * 32])
def test_ids_are_normalised_and_interned(text: str) -> None:
    assert m.normalize_id(text) == "0x" + "ab" * 32
    assert m.normalize_id(text) is ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "ab" * 31,
        "ab" * 33,
        "0x" + "ag" * 32,
        " " + "ab" * 32,
        "ab" * 32 + "\n",
        "\uff11" * 64,
        5,
        None,
        b"ab" * 32,
    ],
)
def test_refused_ids(text: Any) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        m.normalize_id(text)


def test_identities() -> None:
    contract = m.Identity.contract("AB" * 32)
    assert contract == m.Identity("ContractId", ID)
    assert contract != m.Identity.address(ID)
    assert str(contract) == f"ContractId({ID})"
    assert len({contract, m.Identity.contract(ID)}) == 1
    info = m.AccountInfo(trade_account_id="AB" * 32)
    assert info.trade_account_id is ID
    assert info.identity == contract
    with pytest.raises(ValueError, match="Wallet"):
        m.Identity("Wallet", ID)


STATES = [
    ({}, m.OrderState.OPEN, True, 10),
    ({"quantity_fill": 4}, m.OrderState.PARTIALLY_FILLED, True, 6),
    ({"partially_filled": True}, m.OrderState.PARTIALLY_FILLED, True, 10),
    ({"close": True, "quantity_fill": 10}, m.OrderState.FILLED, False, 0),
    ({"close": True, "quantity_fill": 4}, m.OrderState.CLOSED, False, 0),
    ({"close": True, "cancel": True, "quantity_fill": 4}, m.OrderState.CANCELLED, False, 0),
    ({"cancel": True}, m.OrderState.CANCELLED, False, 0),
    ({"quantity_fill": 11}, m.OrderState.PARTIALLY_FILLED, True, 0),
]


@pytest.mark.parametrize(("flags", "state", "is_open", "quantity_open"), STATES)
def test_order_states(flags: dict[str, Any], state: m.OrderState, is_open: bool, quantity_open: int) -> None:
    order = attrs.evolve(ORDER, **flags)
    assert (order.state, order.is_open, order.quantity_open) == (state, is_open, quantity_open)


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_order_time_in_every_unit(unit: int) -> None:
    expected = datetime(2026, 9, 21, 14, 15, 23, tzinfo=UTC)
    assert attrs.evolve(ORDER, timestamp=1790000123 * unit).time == expected
    assert ORDER.time is None


def test_update_times() -> None:
    update = m.OrderUpdate(onchain_timestamp=1790000123, seen_timestamp=1790000123456789999)
    assert update.onchain_time == datetime(2026, 9, 21, 14, 15, 23, tzinfo=UTC)
    assert update.seen_time == datetime(2026, 9, 21, 14, 15, 23, 456789, tzinfo=UTC)
    assert TRADE.time == datetime(2026, 9, 21, 14, 15, 23, 456000, tzinfo=UTC)
    empty = m.OrderUpdate()
    assert (empty.onchain_time, empty.seen_time) == (None, None)
    milliseconds = m.OrderUpdate(onchain_timestamp=1790000123000, seen_timestamp=1790000123456)
    assert milliseconds.onchain_time == datetime(2026, 9, 21, 14, 15, 23, tzinfo=UTC)
    assert milliseconds.seen_time == datetime(2026, 9, 21, 14, 15, 23, 456000, tzinfo=UTC)
    assert m.OrderUpdate(onchain_timestamp=2**128 - 1).onchain_time is None


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_trade_time_in_every_unit(unit: int) -> None:
    trade = attrs.evolve(TRADE, timestamp=1790000123 * unit)
    assert trade.time == datetime(2026, 9, 21, 14, 15, 23, tzinfo=UTC)
    assert trade.milliseconds == 1790000123000
    assert trade.timestamp == 1790000123 * unit
    without = attrs.evolve(TRADE, timestamp=None)
    assert (without.time, without.milliseconds) == (None, None)


def odd(index: int) -> m.NotUnderstood:
    return m.NotUnderstood(index=index, problem="odd", raw=None)


def test_entries_come_in_the_order_in_which_the_exchange_sent_them() -> None:
    trigger = m.TriggerOrder(order_id=ID, side=m.Side.BUY, trigger_price=1, index=2)
    update = m.OrderUpdate(orders=(ORDER, ORDER), triggers=(trigger,), not_understood=(odd(4), odd(0)))
    assert update.entries == (odd(0), ORDER, trigger, ORDER, odd(4))
    trades = m.TradeUpdate(market_id=ID, trades=(TRADE,), not_understood=(odd(1),))
    assert trades.entries == (TRADE, odd(1))
    # Where some entries were taken out, the others keep their order.
    assert m.BalanceUpdate(not_understood=(odd(7), odd(3))).entries == (odd(3), odd(7))


def test_trigger_orders() -> None:
    trigger = m.TriggerOrder(order_id=ID, side=m.Side.BUY, trigger_price=1, timestamp=1790000123)
    assert trigger.is_open
    assert not attrs.evolve(trigger, cancel=True).is_open
    assert trigger.time == datetime(2026, 9, 21, 14, 15, 23, tzinfo=UTC)


def test_an_asset_without_a_symbol_is_named_by_its_id() -> None:
    base, quote = (m.Asset(symbol=symbol, asset=ID, decimals=9, max_precision=9) for symbol in ("", "fUSDC"))
    market = m.Market(contract_id=ID, market_id=ID, base=base, quote=quote)
    assert market.pair == f"{ID}/fUSDC"
    assert m.Markets(markets=(market,)).find(market.pair) is market


def test_sides() -> None:
    assert m.Side.BUY.opposite is m.Side.SELL
    assert m.Side.SELL.opposite is m.Side.BUY
    assert TRADE.taker_side is m.Side.BUY
    own = {
        None: None,
        m.TraderSide.BOTH: None,
        m.TraderSide.MAKER: m.Side.SELL,
        m.TraderSide.TAKER: m.Side.BUY,
    }
    for role, side in own.items():
        assert attrs.evolve(TRADE, trader_side=role).own_side is side


def test_best_levels_look_at_what_was_added() -> None:
    levels = (m.Level(3, -1), m.Level(1, 5), m.Level(2, 5), m.Level(0, 0))
    changes = m.DepthChanges(levels, levels)
    assert changes.best_bid == m.Level(2, 5)
    assert changes.best_ask == m.Level(1, 5)
    assert m.DepthChanges().best_bid is None
    assert m.DepthChanges().best_ask is None
    assert str(m.OrderType("Spot")) == "Spot"


def test_balances_are_not_counted_twice() -> None:
    books = {ID: m.BookBalance(locked=1, unlocked=2)}
    balance = m.Balance(
        identity=m.Identity.contract(ID),
        asset_id=ID,
        total_unlocked=10,
        total_locked=5,
        trading_account_balance=8,
        order_books=books,
    )
    assert (balance.available, balance.total) == (10, 15)
    books.clear()
    assert set(balance.order_books) == {ID}
    with pytest.raises(TypeError):
        balance.order_books[ID] = None  # type: ignore[index]  # that is what is refused


CLASSES = [cls for _, cls in inspect.getmembers(m, inspect.isclass) if attrs.has(cls)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_models_are_frozen_and_slotted(cls: type[Any]) -> None:
    assert "__dict__" not in dir(cls)
    instance: Any = object.__new__(cls)
    for field in attrs.fields(cls):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(instance, field.name, 1)


def test_every_model_is_exported() -> None:
    assert len(CLASSES) >= 18
    assert set(m.__all__) >= {cls.__name__ for cls in CLASSES}
    for value in (ORDER, TRADE, m.Level(1, 2)):
        assert hash(value) == hash(attrs.evolve(value))


@pytest.mark.parametrize(
    "spellings",
    [
        ("0x" + "00" * 31 + "ab", "00" * 31 + "AB", "0X" + "00" * 31 + "aB"),
        (f"0x{'ab' * 32}/0x{'cd' * 32}", f"{'AB' * 32}/{'CD' * 32}", f"0x{'AB' * 32}/{'cd' * 32}"),
        ("11",),
        ("100x",),
        ("Zebra/0xAB",),
        ("0x",),
        ("",),
        ("\u0661",),
    ],
)
def test_trade_ids_in_two_spellings_have_one_key(spellings: tuple[str, ...]) -> None:
    assert len({m.trade_key(spelling) for spelling in spellings}) == 1
    assert len(spellings) > 1 or m.trade_key(spellings[0]) == spellings[0]


def test_different_trade_ids_have_different_keys() -> None:
    ids = ("11", "12", "ab/cd", "ab/ce", "abcd", "a/bcd", "AB-1", "ab-1")
    assert len({m.trade_key(trade_id) for trade_id in ids}) == len(ids)


def test_a_prefixed_trade_id_is_not_a_decimal_one() -> None:
    assert m.trade_key("0x11") != m.trade_key("11")
    assert m.trade_key("0xAB") == m.trade_key("0Xab") != m.trade_key("ab")
    assert m.trade_key("0x" + "AB" * 32) == m.trade_key("ab" * 32)
