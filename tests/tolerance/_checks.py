"""What is right for an entry of trades, orders, balances or nonces; used by ``test_tolerance_entries``."""

from __future__ import annotations

from collections.abc import Callable

from o2trio import EntryNotUnderstood, FieldNotUnderstood, OrderUpdate
from tests.tolerance._cases import (
    BASE_ASSET,
    ORDER,
    OTHER_ORDER,
    Seen,
    balance,
    fields_of,
    trade,
)

Check = Callable[[Seen], None]


def ids(seen: Seen) -> list[str]:
    return [str(each.order_id) for each in seen.orders]


# -- trades ----------------------------------------------------------------------------------------


def one_trade(seen: Seen) -> None:
    seen.check_whole()
    (only,) = seen.trades
    assert (only.trade_id, only.price, only.quantity, only.side) == ("11", 25_000, 3, "buy")
    assert seen.not_understood == []


def a_rebate(seen: Seen) -> None:
    one_trade(seen)
    assert seen.trades[0].maker_fee == -5


def detail_unread(name: str) -> Check:
    """Return a check: one trade without this detail, whose raw value is kept and reported once."""

    def check(seen: Seen) -> None:
        one_trade(seen)
        assert getattr(seen.trades[0], name) is None
        assert name in seen.trades[0].unread
        assert [event.field for event in seen.of(FieldNotUnderstood)] == [f"Trade.{name}"]

    return check


def both_trades(seen: Seen) -> None:
    """Check: trade 12 is delivered, 11 too or as not understood; neither is lost without a mark."""
    seen.check_whole()
    delivered = [each.trade_id for each in seen.trades]
    assert delivered[-1] == "12"
    assert len(delivered) + len(seen.not_understood) == 2
    for entry in seen.not_understood:
        assert entry.index == 0
        assert entry.raw["trade_id"] == "11"
        assert seen.of(EntryNotUnderstood)


def second_trade_alone(seen: Seen) -> None:
    """Check: trade 12 is delivered, the entry before it as not understood."""
    seen.check_whole()
    assert [each.trade_id for each in seen.trades] == ["12"]
    (entry,) = seen.not_understood
    assert entry.index == 0
    assert entry.problem
    assert seen.of(EntryNotUnderstood)


SECOND = trade({"trade_id": "12"})

# -- orders ----------------------------------------------------------------------------------------


def one_order(seen: Seen) -> None:
    seen.check_whole()
    assert ids(seen) == [ORDER]
    assert seen.orders[0].price == 25_000
    assert seen.orders[0].quantity == 1000
    assert seen.not_understood == []


def both_orders(seen: Seen) -> None:
    seen.check_whole()
    assert ids(seen) == [ORDER, OTHER_ORDER]
    assert seen.not_understood == []


def type_unknown(seen: Seen) -> None:
    both_orders(seen)
    assert str(seen.orders[0].order_type) not in {"Spot", "PostOnly", "FillOrKill", "Market", "Limit"}
    assert str(seen.orders[1].order_type) == "Spot"


def one_or_marked(seen: Seen) -> None:
    """Check: the second order is delivered; the first too, without what it lacks, or as not understood."""
    seen.check_whole()
    assert OTHER_ORDER in ids(seen)
    update = next(each for each in seen.updates if isinstance(each, OrderUpdate))
    if ORDER in [str(each.order_id) for each in update.orders]:
        assert update.orders[0].price is None  # type: ignore[unreachable, unused-ignore]
        return
    marked(seen)


def marked(seen: Seen) -> None:
    """Check: the second order is delivered; of the first the raw object and the id are kept."""
    seen.check_whole()
    update = next(each for each in seen.updates if isinstance(each, OrderUpdate))
    assert [str(each.order_id) for each in update.orders] == [OTHER_ORDER]
    (entry,) = update.not_understood
    assert entry.index == 0
    assert fields_of(entry.raw)["order_id"] == ORDER
    assert entry.ids["order_id"] == ORDER
    assert entry.problem
    assert seen.of(EntryNotUnderstood)


def trigger(seen: Seen) -> None:
    """Check: the second order is delivered; the trigger is one of its own kind, or not understood."""
    seen.check_whole()
    update = next(each for each in seen.updates if isinstance(each, OrderUpdate))
    assert [str(each.order_id) for each in update.orders] == [OTHER_ORDER]
    found = [*update.triggers, *update.not_understood]
    assert len(found) == 1
    if update.triggers:
        assert update.triggers[0].order_id == ORDER
        assert update.triggers[0].trigger_price == 2500
    else:
        assert fields_of(update.not_understood[0].raw)["trigger_price"] == "2500"
        assert update.not_understood[0].ids["order_id"] == ORDER


def order_detail_unread(*names: str) -> Check:
    """Return a check: both orders, and the raw value of the detail of the first one kept."""

    def check(seen: Seen) -> None:
        both_orders(seen)
        assert set(names) & set(seen.orders[0].unread)
        assert len(seen.of(FieldNotUnderstood)) == 1

    return check


# -- balances and nonces ---------------------------------------------------------------------------


def one_balance(seen: Seen) -> None:
    seen.check_whole()
    (only,) = seen.balance
    assert (only.asset_id, only.total_unlocked, only.total_locked) == (BASE_ASSET, 5, 0)
    assert not only.order_books
    assert seen.not_understood == []


def second_balance_alone(seen: Seen) -> None:
    seen.check_whole()
    assert [each.asset_id for each in seen.balance] == ["0x" + "e9" * 32]
    (entry,) = seen.not_understood
    assert entry.index == 0


SECOND_BALANCE = balance({"asset_id": "0x" + "e9" * 32})


def nonce_43(seen: Seen) -> None:
    seen.check_whole()
    assert [each.nonce for each in seen.updates] == [43]  # type: ignore[attr-defined]


def nonce_marked(seen: Seen) -> None:
    """Check: the nonce was lost, and the consumer knows: a break, then what REST says."""
    assert seen.error is None
    assert seen.breaks
    assert [(each.nonce, each.epoch > 0) for each in seen.updates] == [(44, True)]  # type: ignore[attr-defined]
