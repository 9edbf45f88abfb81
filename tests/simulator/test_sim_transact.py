"""Transactions: all of one happens or nothing but the use of its nonce, whatever it consists of."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio.models import Identity, Market, OrderType, Side
from o2trio.simulator import Account, BookOrder, Exchange, Revert, default_listings
from o2trio.simulator import _exchange as exchange_module
from o2trio.simulator import _history as history_module
from o2trio.simulator._accounts import LATEST_VERSION, Access, SessionRecord
from o2trio.simulator._journal import Journal
from o2trio.simulator._markets import make_id
from o2trio.simulator._nonces import NonceRefused
from o2trio.simulator._rules import order_value, quantum
from o2trio.simulator._worlds import Past, Present
from o2trio.trading._actions import Action, CancelOrder, CreateOrder, RegisterReferer, SettleBalance

_NOW = 1_790_000_000
_SPOT = OrderType("Spot")
_STRANGER = Identity.address(make_id("stranger"))
_FUNDS = 10**14

# -- a digest of everything ------------------------------------------------------------------------

_NOT_TAKEN_BACK = {"nonce", "last_modification", "nonces", "_transactions", "tx_id", "_windows"}
_NOT_STATE = {"_clock", "audit", "_journal", "journal"}


def _digest(value: object, seen: dict[int, int] | None = None) -> object:
    """Return all that `value` consists of, in order; it knows no field, so it cannot miss one."""
    seen = {} if seen is None else seen
    kind = type(value)
    if isinstance(value, str | int | None) or (attrs.has(kind) and kind.__eq__ is not object.__eq__):
        return value  # those that compare by value are immutable
    if id(value) in seen:
        return f"object {seen[id(value)]}"
    seen[id(value)] = len(seen)
    if isinstance(value, Mapping):
        return [(_digest(key, seen), _digest(each, seen)) for key, each in value.items()]
    if isinstance(value, list | tuple | deque):
        return [_digest(each, seen) for each in value]
    names = [*getattr(value, "__slots__", ()), *getattr(value, "__dict__", ())]
    assert names, value
    return [
        (name, _digest(getattr(value, name), seen))
        for name in names
        if name not in _NOT_TAKEN_BACK | _NOT_STATE and name != "__weakref__"
    ]


def _check_money(exchange: Exchange) -> None:
    for asset, deposited in exchange.deposits.items():
        assert exchange.supply(asset) == deposited
        for account in exchange.accounts.values():
            assert account.wallet(asset) >= 0
            assert all(locked >= 0 and unlocked >= 0 for _, locked, unlocked in account.holding(asset).books)


# -- random worlds and batches ---------------------------------------------------------------------

_Step: TypeAlias = tuple[str, int, int, int, int]
"""What, and four numbers that choose the details."""

_ORDERS = ("Spot", "PostOnly", "FillOrKill", "Market", "Limit", "BoundedMarket")
_BATCH = ("cancel", "settle", "settle to", "referer", "withdraw", "session", "upgrade", "mint", "open")


def _steps(kinds: tuple[str, ...], least: int, most: int) -> st.SearchStrategy[list[_Step]]:
    number = st.integers(0, 30)
    kind = st.sampled_from(kinds)
    return st.lists(
        st.tuples(kind, st.integers(0, 2), number, st.integers(1, 20), number), min_size=least, max_size=most
    )


def _world() -> tuple[Exchange, list[Account]]:
    exchange = Exchange(default_listings(), lambda: _NOW * 10**9)
    exchange.new_account_version = LATEST_VERSION - 1
    assets = {asset.asset for market in exchange.markets.markets for asset in (market.base, market.quote)}
    return exchange, [
        exchange.create_account(name, dict.fromkeys(assets, _FUNDS)) for name in ("a", "b", "c")
    ]


def _create(market: Market, reference: int, step: _Step) -> CreateOrder:
    kind, _, ticks, lots, side = step
    price = reference + (ticks % 5 - 2) * market.price_step
    quantum_ = quantum(market, price)
    least = -(-market.min_order * 10**market.base.decimals // price)
    order_type = OrderType(kind)
    if kind == "BoundedMarket":
        far = 3 * market.price_step
        order_type = OrderType(kind, max_price=price + far, min_price=price - far)
    quantity = -(-least // quantum_) * quantum_ * lots
    return CreateOrder(market, list(Side)[side % 2], price=price, quantity=quantity, order_type=order_type)


def _action(exchange: Exchange, account: Account, step: _Step) -> Action | None:
    """Return what a step means as an action of a session; None if it is none."""
    kind, which, _, _, choice = step
    item = default_listings()[which]
    market = item.market
    match kind:
        case "cancel":
            mine = [
                order for order in exchange.open_orders(market.market_id) if order.owner == account.identity
            ]
            return CancelOrder(market, mine[choice % len(mine)].order_id if mine else make_id("none"))
        case "settle":
            return SettleBalance(market, account.identity)
        case "settle to":
            targets = [_STRANGER, *(each.identity for each in exchange.accounts.values())]
            return SettleBalance(market, targets[choice % len(targets)])
        case "referer":
            return RegisterReferer(market, _STRANGER)
        case _ if kind in _ORDERS:
            return _create(market, item.reference_price, step)
    return None


def _do(exchange: Exchange, account: Account, step: _Step) -> None:
    """Do a step inside of a transaction."""
    kind, which, ticks, lots, choice = step
    action = _action(exchange, account, step)
    asset = default_listings()[which].market.quote.asset
    if action is not None:
        exchange.apply(account, action)
    elif kind == "withdraw":
        targets = [_STRANGER, *(each.identity for each in exchange.accounts.values())]
        exchange.withdraw(account, targets[choice % len(targets)], asset, ticks * lots)
    elif kind == "session":
        exchange.set_session(account, _STRANGER, _NOW + ticks, [asset] * choice)
    elif kind == "upgrade":
        exchange.upgrade(account)
    elif kind == "mint":
        exchange.mint(_STRANGER, asset, lots)
    else:
        exchange.open_account(Identity.address(make_id("owner", kind, ticks)))


def _populate(exchange: Exchange, accounts: list[Account], steps: list[_Step]) -> None:
    """Make books, trades and proceeds; every few steps in a block of its own."""
    for number, step in enumerate(steps):
        account = accounts[number % len(accounts)]
        with suppress(Revert):
            exchange.transact(account, partial(_do, exchange, account, step))
        if number % 5 == 0:
            exchange.seal()


@given(
    before=_steps((*_ORDERS, "Spot", "cancel", "settle"), 10, 40), batch=_steps((*_ORDERS, *_BATCH), 3, 12)
)
def test_what_fails_leaves_nothing_behind(before: list[_Step], batch: list[_Step]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_module, "TRADES_KEPT", 1)
        patch.setattr(exchange_module, "ORDERS_KEPT", 3)
        exchange, accounts = _world()
        _populate(exchange, accounts, before)
        account, nonce = accounts[0], accounts[0].nonce
        was = _digest(exchange)

        def work() -> None:
            for step in batch:
                with suppress(Revert):  # it is the last step that must fail
                    _do(exchange, account, step)
            exchange.apply(account, CancelOrder(exchange.markets.markets[0], make_id("none")))

        with pytest.raises(Revert) as caught:
            exchange.transact(account, work)
        assert caught.value.tx_id == exchange.tx_id
        assert _digest(exchange) == was
        assert account.nonce == nonce + 1
        _check_money(exchange)
        assert account in exchange.seal().nonces


@given(
    before=_steps((*_ORDERS, "Spot", "cancel", "settle"), 10, 30), batch=_steps((*_ORDERS, *_BATCH), 3, 12)
)
def test_a_transaction_does_what_its_parts_do(before: list[_Step], batch: list[_Step]) -> None:
    (one, [account, *_]), (other, [twin, *_]) = worlds = _world(), _world()
    for exchange, accounts in worlds:
        _populate(exchange, accounts, before)

    def all_of_it() -> None:
        for step in batch:
            with suppress(Revert):
                _do(one, account, step)

    one.transact(account, all_of_it)
    other.tx_id = one.tx_id
    for step in batch:
        with suppress(Revert):
            _do(other, twin, step)  # no transaction at all: its changes are not noted anywhere
    assert _digest(one) == _digest(other)
    _check_money(one)


# -- examples --------------------------------------------------------------------------------------


@pytest.fixture
def world() -> tuple[Exchange, Account, Account]:
    """Give an exchange whose accounts are of the latest version, and two of them with money."""
    exchange = Exchange(default_listings(), lambda: _NOW * 10**9)
    market = exchange.markets.markets[0]
    one, other = (
        exchange.create_account(name, {market.base.asset: _FUNDS, market.quote.asset: _FUNDS})
        for name in ("one", "other")
    )
    exchange.seal()
    return exchange, one, other


_World: TypeAlias = tuple[Exchange, Account, Account]


def _refused(exchange: Exchange, account: Account, work: Callable[[], object]) -> str:
    """Run a transaction that must fail and change nothing; return the revert."""
    was = _digest(exchange)
    with pytest.raises(Revert) as caught:
        exchange.transact(account, work)
    assert _digest(exchange) == was
    return f"{caught.value.enum}::{caught.value.variant}"


def _order(exchange: Exchange, side: Side, quantity: int = 10**12, kind: OrderType = _SPOT) -> CreateOrder:
    return CreateOrder(exchange.markets.markets[0], side, price=25_100, quantity=quantity, order_type=kind)


def test_a_transaction_returns_what_its_work_returns(world: _World) -> None:
    exchange, one, other = world
    market = exchange.markets.markets[0]
    exchange.transact(other, lambda: exchange.apply(other, _order(exchange, Side.SELL)))
    first = exchange.tx_id

    def work() -> list[BookOrder | None]:
        settle = SettleBalance(market, one.identity)
        return [exchange.apply(one, action) for action in (_order(exchange, Side.BUY), settle)]

    order, nothing = exchange.transact(one, work)
    assert exchange.tx_id != first
    assert nothing is None
    assert order is not None
    assert order is exchange.orders_of(one.trade_account_id, market.market_id)[0]
    assert exchange.orders[order.order_id].history == ((exchange.tx_id, "created"), (exchange.tx_id, "trade"))
    assert one.wallet(market.base.asset) == _FUNDS + 10**12 - 10**8
    assert (one.nonce, other.nonce) == (1, 1)


def test_a_parallel_nonce_is_used_whatever_becomes_of_the_work(world: _World) -> None:
    exchange, one, _ = world
    packed = 5 | 1 << 8 | (_NOW + 120) << 136 | 3 << 168

    def fails() -> None:
        exchange.apply(one, _order(exchange, Side.BUY))
        raise Revert("CallerError", "InvalidCaller")

    with pytest.raises(Revert):
        exchange.transact(one, fails, parallel=packed)
    assert one.nonce == 0
    assert one.windows[3].slots()[1] == (1, 1 << 5)
    assert exchange.open_orders(exchange.markets.markets[0].market_id) == ()
    before = exchange.tx_id
    with pytest.raises(NonceRefused, match="nonce already used"):
        exchange.transact(one, lambda: pytest.fail("must not run"), parallel=packed)
    assert exchange.tx_id == before
    assert exchange.seal().accesses == (one,)


def test_an_old_account_knows_parallel_nonces_after_an_upgrade(world: _World) -> None:
    exchange, one, _ = world
    exchange.new_account_version = LATEST_VERSION - 1
    old = exchange.open_account(_STRANGER)
    packed = (_NOW + 120) << 136
    exchange.transact(old, lambda: exchange.set_session(old, _STRANGER, _NOW + 1, [make_id("x")]))
    with pytest.raises(Revert) as caught:
        exchange.transact(old, lambda: pytest.fail("must not run"), parallel=packed)
    assert (caught.value.enum, caught.value.variant) == ("Code", "123")
    assert old.access.windows == Access().windows
    exchange.transact(old, lambda: exchange.upgrade(old))
    assert (old.version, old.session) == (LATEST_VERSION, None)
    assert exchange.transact(old, lambda: "runs", parallel=packed) == "runs"
    assert _refused(exchange, one, lambda: exchange.upgrade(one)) == "Text::No upgrade available"


def test_an_owner_has_one_account(world: _World) -> None:
    exchange, one, _ = world
    account = exchange.open_account(_STRANGER)
    assert exchange.open_account(_STRANGER) is account is exchange.account_of(_STRANGER)
    assert exchange.accounts[account.trade_account_id] is account
    assert exchange.open_account(one.owner) is one
    assert account.nonce == 0
    assert account.assets() == frozenset()
    twin = Exchange(default_listings(), lambda: 0).open_account(_STRANGER)
    assert twin.identity == account.identity


def test_a_session_replaces_the_one_before(world: _World) -> None:
    exchange, one, _ = world
    books = (make_id("one book"), make_id("another"))
    exchange.transact(one, lambda: exchange.set_session(one, _STRANGER, _NOW + 1, [books[0]]))
    session = exchange.transact(one, lambda: exchange.set_session(one, one.owner, _NOW + 2, books))
    assert session == one.session == SessionRecord(one.owner, _NOW + 2, books)
    late = _refused(exchange, one, lambda: exchange.set_session(one, _STRANGER, _NOW, books))
    assert late == "SessionError::SessionInThePast"
    none = _refused(exchange, one, lambda: exchange.set_session(one, _STRANGER, _NOW + 1, []))
    assert none == "SessionError::NoApprovedContractIdsProvided"
    assert one.session == session


def test_withdrawals_reach_accounts_and_the_outside(world: _World) -> None:
    exchange, one, other = world
    asset = exchange.markets.markets[0].quote.asset
    exchange.transact(one, lambda: exchange.apply(one, _order(exchange, Side.BUY)))
    held = one.wallet(asset)
    assert held == _FUNDS - 25_100_000  # what is locked cannot be withdrawn
    too_much = _refused(exchange, one, lambda: exchange.withdraw(one, _STRANGER, asset, held + 1))
    assert too_much == "WithdrawError::NotEnoughBalance"
    nothing = _refused(exchange, one, lambda: exchange.withdraw(one, _STRANGER, asset, 0))
    assert nothing == "WithdrawError::AmountIsZero"
    exchange.transact(one, lambda: exchange.withdraw(one, _STRANGER, asset, held - 7))
    exchange.transact(one, lambda: exchange.withdraw(one, other.identity, asset, 4))
    exchange.transact(one, lambda: exchange.withdraw(one, Identity.address(other.trade_account_id), asset, 3))
    assert one.wallet(asset) == 0
    assert other.wallet(asset) == _FUNDS + 4
    assert exchange.outside == {
        (_STRANGER, asset): held - 7,
        (Identity.address(other.trade_account_id), asset): 3,
    }
    exchange.mint(_STRANGER, asset, 10)
    exchange.mint(other.identity, asset, 10)
    assert exchange.outside[_STRANGER, asset] == held + 3
    assert other.wallet(asset) == _FUNDS + 14
    _check_money(exchange)


def test_proceeds_can_be_settled_to_somebody_else(world: _World) -> None:
    exchange, one, other = world
    market = exchange.markets.markets[0]
    for account, side in ((other, Side.SELL), (one, Side.BUY)):
        exchange.place(account, market.market_id, side, price=25_100, quantity=10**12, order_type=_SPOT)
    exchange.transact(other, lambda: exchange.apply(other, SettleBalance(market, _STRANGER)))
    exchange.transact(one, lambda: exchange.apply(one, SettleBalance(market, other.identity)))
    assert exchange.outside == {(_STRANGER, market.quote.asset): 25_100_000}
    assert other.wallet(market.base.asset) == _FUNDS - 10**8
    _check_money(exchange)


def test_an_order_is_cancelled_through_its_own_market_only(world: _World) -> None:
    exchange, one, _ = world
    market, wrong, *_ = exchange.markets.markets
    order = exchange.place(one, market.market_id, Side.BUY, price=25_100, quantity=10**12, order_type=_SPOT)
    foreign = _refused(exchange, one, lambda: exchange.apply(one, CancelOrder(wrong, order.order_id)))
    assert foreign == "OrderCancelError::NotOrderOwner"
    exchange.transact(one, lambda: exchange.apply(one, CancelOrder(market, order.order_id)))
    assert order.cancel


def test_there_is_one_referer(world: _World) -> None:
    exchange, one, other = world
    action = RegisterReferer(exchange.markets.markets[0], other.identity)
    exchange.transact(one, lambda: exchange.apply(one, action))
    assert one.referer == other.identity
    again = _refused(exchange, one, lambda: exchange.apply(one, action))
    assert again == "TradeAccountRegistryError::TradeAccountAlreadyHasReferer"


def test_a_bounded_buy_forwards_its_value_and_trades_as_long_as_it_lasts(world: _World) -> None:
    exchange, one, other = world
    market = exchange.markets.markets[0]
    exchange.place(other, market.market_id, Side.SELL, price=25_200, quantity=10**13, order_type=_SPOT)
    kind = OrderType("BoundedMarket", max_price=25_200, min_price=25_000)
    order = exchange.transact(one, lambda: exchange.apply(one, _order(exchange, Side.BUY, kind=kind)))
    assert order is not None
    assert order.close
    step = quantum(market, 25_200)
    assert order.filled == 25_100_000 * 10**9 // 25_200 // step * step < order.quantity
    spent = order_value(market, 25_200, order.filled)
    assert 25_100_000 - 63 < spent <= 25_100_000  # a quantum is worth 63
    assert one.balance(market.quote.asset).total == _FUNDS - spent
    assert len(order.fills) == 1
    _check_money(exchange)


def test_what_is_forwarded_must_be_a_u64(world: _World) -> None:
    exchange, one, _ = world
    market = exchange.markets.markets[0]
    action = CreateOrder(market, Side.SELL, price=2**63 // 1000 * 1000, quantity=10**18, order_type=_SPOT)
    assert (
        _refused(exchange, one, lambda: exchange.apply(one, action))
        == "OrderCreationError::InvalidInputAmount"
    )


def test_transactions_do_not_nest(world: _World) -> None:
    exchange, one, other = world
    for wrong in (
        lambda: exchange.transact(other, lambda: None),
        lambda: exchange.settle(other, exchange.markets.markets[0].market_id),
        exchange.seal,
    ):
        with pytest.raises(RuntimeError, match="transaction under way"):
            exchange.transact(one, wrong)
    assert exchange.transact(one, lambda: "fine") == "fine"


def test_a_defect_leaves_nothing_behind_either(world: _World) -> None:
    exchange, one, _ = world
    was = _digest(exchange)

    def work() -> None:
        exchange.apply(one, _order(exchange, Side.BUY))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exchange.transact(one, work)
    assert _digest(exchange) == was


def test_lagging_reads_show_sessions_and_windows_of_their_time() -> None:
    now = [_NOW * 10**9]
    exchange = Exchange(default_listings(), lambda: now[0])
    account = exchange.open_account(_STRANGER)
    exchange.seal()
    now[0] += 10**9
    packed = 7 | (_NOW + 120) << 136
    books = [make_id("book")]
    exchange.transact(
        account, lambda: exchange.set_session(account, account.owner, _NOW + 60, books), parallel=packed
    )
    exchange.seal()
    past, present = Past(exchange, now[0] - 1), Present(exchange)
    before, after = past.account_of(_STRANGER), present.account(account.trade_account_id)
    assert before is not None
    assert after is not None
    assert (before.session, before.windows) == (None, Access().windows)
    assert after.session == SessionRecord(account.owner, _NOW + 60, tuple(books))
    assert after.windows[0].slots()[0] == (0, 1 << 7)
    now[0] += 10**9
    exchange.transact(account, lambda: exchange.set_session(account, _STRANGER, _NOW + 90, books))
    exchange.seal()
    lagging = Past(exchange, now[0] - 1).account(account.trade_account_id)
    assert lagging is not None
    assert (lagging.session, lagging.nonce) == (SessionRecord(account.owner, _NOW + 60, tuple(books)), 0)
    assert Past(exchange, _NOW * 10**9 - 1).account(account.trade_account_id) is None


# -- the journal -----------------------------------------------------------------------------------


@attrs.define
class _Record:
    number: int
    table: dict[str, int]


def _change_everything(journal: Journal, table: dict[str, int], items: list[int], record: _Record) -> None:
    journal.put(table, "new", 1)
    journal.put(table, "b", 20)
    journal.drop(table, "a")
    journal.put(table, "a", 10)
    journal.drop(table, "new")
    journal.append(items, 4)
    journal.insert(items, 0, 5)
    journal.cut(items, 1, 3)
    journal.keep(record)
    record.number = 2
    journal.put(record.table, "x", 1)
    record.table = {}


def _three() -> tuple[dict[str, int], list[int], _Record]:
    return {"a": 1, "b": 2, "c": 3}, [1, 2, 3], _Record(1, {})


def test_a_journal_takes_everything_back_in_its_old_order() -> None:
    journal, (table, items, record) = Journal(), _three()

    def fail() -> None:
        with journal:
            _change_everything(journal, table, items, record)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [*table.items()] == [("a", 1), ("b", 2), ("c", 3)]
    assert items == [1, 2, 3]
    assert record == _Record(1, {})
    assert not journal.is_open


def test_a_journal_does_the_same_idle_and_open() -> None:
    journal, idle, opened = Journal(), _three(), _three()
    _change_everything(journal, *idle)
    with journal:
        _change_everything(journal, *opened)
    assert [*map(repr, idle)] == [*map(repr, opened)]
    assert idle == ({"b": 20, "c": 3, "a": 10}, [5, 3, 4], _Record(2, {}))
