"""What a session can do: orders of all types, batches, cancellations, settlements; and what it refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    BatchIncomplete,
    BoundedMarket,
    Cancel,
    EvmWallet,
    FuelWallet,
    InvalidRequest,
    Limit,
    NewOrder,
    OnChainRevert,
    OrderClosed,
    OrderState,
    OrderType,
    OutcomeUnknown,
    Raw,
    Session,
    SessionOrder,
    Settle,
    UnknownMarket,
)
from o2trio.models import Side
from o2trio.simulator import Flavor
from o2trio.trading import RegisterReferer, SettleBalance
from tests.trading._world import (
    ACTIONS,
    DEAR,
    DEEP,
    ETH,
    FUEL,
    QUICK,
    answering,
    bid,
    check_same,
    open_world,
    trading,
)

OWNERS = [FuelWallet.from_key("22" * 32), EvmWallet.from_key("33" * 32)]


# -- orders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", OWNERS, ids=["fuel", "evm"])
@pytest.mark.parametrize("lane", [None, 2], ids=["sequential", "parallel"])
async def test_buy_and_sell(autojump_clock: MockClock, owner: Any, lane: int | None) -> None:
    async with (
        open_world(owner=owner) as world,
        world.o2.session(owner, FUEL, lane=lane) as session,
    ):
        bought = await session.buy(FUEL, price=DEEP, quantity="1000")
        sold = await session.sell(world.market, price=Raw(30_000), quantity=Decimal("50.5"))
        assert (bought.side, bought.price, bought.quantity) == (Side.BUY, Decimal(DEEP), Decimal(1000))
        assert (sold.side, sold.price, sold.quantity) == (Side.SELL, Decimal("0.03"), Decimal("50.5"))
        assert list(session.orders) == [bought, sold]
        assert bought.market == sold.market == world.market
        check_same(world, [bought, sold])
        assert len(world.orders(only_open=True)) == 2


async def _taker(world: Any, kind: Any, quantity: str = "100") -> SessionOrder:
    async with world.o2.session(world.owner, FUEL) as session:
        price = Raw(world.best(Side.SELL))
        order: SessionOrder = await session.buy(
            FUEL, price=price, quantity=quantity, order_type=kind, adjust=True
        )
        await trio.sleep(1)
        return order


@pytest.mark.parametrize(
    "kind",
    ["Spot", "FillOrKill", "Market", BoundedMarket(min_price="0.02", max_price="0.03"), Limit(), Limit(5)],
    ids=["spot", "fill or kill", "market", "bounded", "limit", "limit then"],
)
async def test_types_that_take(autojump_clock: MockClock, kind: Any) -> None:
    async with open_world() as world:
        order = await _taker(world, kind)
        assert order.state is OrderState.FILLED
        (true,) = world.orders()
        assert true.filled == order.order.quantity_fill > 0


@pytest.mark.parametrize("kind", ["Spot", "PostOnly", Limit()], ids=["spot", "post only", "limit"])
async def test_types_that_rest(autojump_clock: MockClock, kind: Any) -> None:
    async with trading() as (world, session):
        order = await bid(session, order_type=kind)
        assert order.is_open
        assert world.orders()[0].order_type.name == (kind if isinstance(kind, str) else "Limit")


@pytest.mark.parametrize(
    ("kind", "price", "quantity", "variant"),
    [
        ("PostOnly", DEAR, "1000", "OrderPartiallyFilled"),
        ("FillOrKill", DEEP, "1000", "OrderNotFilled"),
        ("Spot", "0.0250", "1000000000", None),
    ],
)
@pytest.mark.parametrize("envelope", ["plain", "coded", "landed"])
async def test_reverts(
    autojump_clock: MockClock, kind: str, price: str, quantity: str, variant: str | None, envelope: Any
) -> None:
    async with (
        open_world(flavor=Flavor(revert_envelope=envelope)) as world,
        world.o2.session(world.owner, FUEL) as session,
    ):
        nonce = world.account.nonce
        with pytest.raises(OnChainRevert) as caught:
            await session.buy(FUEL, price=price, quantity=quantity, order_type=kind)
        assert caught.value.variant == variant
        assert caught.value.panic == (None if variant else "NotEnoughBalance")
        assert world.account.nonce == nonce + 1, "a failure moves the nonce"
        assert not session.unresolved
        assert not world.orders()
        check_same(world, [await bid(session)])
        assert world.statuses(ACTIONS)[1:] == [200], "with the right nonce at once"


async def test_window_of_prices(autojump_clock: MockClock) -> None:
    async with open_world() as world, world.o2.session(world.owner, ETH) as session:
        await session.buy(
            ETH,
            price=Raw(world.sim.exchange.book(session.markets[0].market_id).asks[0].price),
            quantity="0.1",
        )
        with pytest.raises(OnChainRevert) as caught:
            await session.buy(ETH, price="1000", quantity="1")
        assert (caught.value.enum, caught.value.variant) == ("OrderCreationError", "PriceExceedsRange")


@pytest.mark.parametrize("revert_text", ["logs", "escaped", "receipts", "structured", "typed"])
async def test_reverts_in_every_spelling(autojump_clock: MockClock, revert_text: Any) -> None:
    async with (
        open_world(flavor=Flavor(revert_text=revert_text)) as world,
        world.o2.session(world.owner, FUEL) as session,
    ):
        with pytest.raises(OnChainRevert) as caught:
            await session.buy(FUEL, price=DEAR, quantity="1000", order_type="PostOnly")
        assert (caught.value.enum, caught.value.variant) == ("OrderCreationError", "OrderPartiallyFilled")


@pytest.mark.parametrize("order_flavor", [1, 2])
@pytest.mark.parametrize("ids", ["prefixed", "bare", "upper"])
@pytest.mark.parametrize("order_timestamp", ["seconds", "milliseconds"])
async def test_flavors(autojump_clock: MockClock, order_flavor: Any, ids: Any, order_timestamp: Any) -> None:
    flavor = Flavor(order_flavor=order_flavor, ids=ids, order_timestamp=order_timestamp, refusal_status="ok")
    async with open_world(flavor=flavor) as world, world.o2.session(world.owner, FUEL) as session:
        first = await bid(session)
        world.sim.rest.cut(path=ACTIONS, count=1)
        with pytest.raises(OutcomeUnknown) as caught:
            await bid(session)
        second = (await session.resolve(caught.value)).orders[0]
        check_same(world, [first, second])
        assert set(await session.cancel_all()) == {first, second}


async def test_follows_its_orders(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        best = Raw(world.best(Side.BUY) + world.market.price_step)
        order = await session.buy(FUEL, price=best, quantity="1000")
        other = world.sim.create_account()
        sold = world.market.raw_quantity("400")
        world.sim.place(other, FUEL, "sell", price=Raw(order.order.price), quantity=Raw(sold))
        await trio.sleep(QUICK.indexer_lag + 1)
        assert order.state is OrderState.PARTIALLY_FILLED
        assert order.filled_quantity == 400
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_expect_closed, order)
                await trio.sleep(1)
                await session.cancel(order)
        assert order.order.cancel


async def _expect_closed(order: SessionOrder) -> None:
    with pytest.raises(OrderClosed):
        await order.filled()


# -- cancelling ------------------------------------------------------------------------------------


def _as_order(order: SessionOrder) -> tuple[Any, ...]:
    return (attrs.evolve(order.order, market_id=order.market.market_id if order.market else None),)


@pytest.mark.parametrize(
    "named",
    [
        lambda order: (order,),
        _as_order,
        lambda order: (order.order_id, FUEL),
        lambda order: (order.order_id.upper().removeprefix("0X"), order.market),
    ],
    ids=["handle", "model", "id", "bare id"],
)
async def test_cancel(autojump_clock: MockClock, named: Callable[[SessionOrder], tuple[Any, ...]]) -> None:
    async with trading() as (world, session):
        order = await bid(session)
        receipt = await session.cancel(*named(order))
        assert receipt.tx_id
        assert receipt.orders == ()
        assert (await order.closed()).cancel
        assert not world.orders(only_open=True)
        with pytest.raises(OnChainRevert) as caught:
            await session.cancel(order)
        assert caught.value.enum == "OrderCancelError"


async def test_cancel_needs_a_market(autojump_clock: MockClock) -> None:
    async with trading() as (_, session):
        order = await bid(session)
        with pytest.raises(InvalidRequest, match="does not tell its market"):
            await session.cancel(order.order_id)


@pytest.mark.parametrize("lag", [0, 1500])
async def test_cancel_all(autojump_clock: MockClock, lag: int) -> None:
    async with open_world() as world, world.o2.session(world.owner, [FUEL, ETH]) as session:
        fuel = [await bid(session) for _ in range(7)]
        eth = [await session.sell(ETH, price="3000", quantity="1") for _ in range(2)]
        world.sim.rest.stale(lag)
        assert set(await session.cancel_all(ETH)) == set(eth)
        assert len(world.orders(only_open=True)) == 7
        assert set(await session.cancel_all()) == set(fuel)
        assert not world.orders(only_open=True)
        await trio.sleep(3)
        assert await session.cancel_all() == ()


async def test_cancel_all_spares_what_is_filled_meanwhile(autojump_clock: MockClock) -> None:
    """One filled order spoils a batch of five; the others are cancelled nevertheless."""
    async with trading() as (world, session):
        near = await session.sell(
            FUEL, price=Raw(world.best(Side.SELL) - world.market.price_step), quantity="1000"
        )
        far = [await bid(session) for _ in range(6)]
        world.sim.rest.stale(1900)
        world.sim.place(
            world.sim.create_account(),
            FUEL,
            "buy",
            price=Raw(near.order.price),
            quantity=Raw(near.order.quantity),
        )
        assert set(await session.cancel_all()) == set(far)
        assert not world.orders(only_open=True)
        assert (await near.filled()).quantity_fill == near.order.quantity


async def test_cancel_all_finds_what_others_placed(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        foreign = world.sim.place(world.account, FUEL, "buy", price=DEEP, quantity="1000")
        (found,) = await session.cancel_all()
        assert found.order_id == foreign.order_id


# -- replacing -------------------------------------------------------------------------------------


async def test_replace(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        old = await bid(session)
        new = await session.replace(old, price="0.0199", quantity="500", order_type="PostOnly")
        assert (new.side, new.price, new.quantity) == (Side.BUY, Decimal("0.0199"), Decimal(500))
        await old.closed()
        (open_order,) = world.orders(only_open=True)
        assert open_order.order_id == new.order_id
        assert len(world.statuses(ACTIONS)) == 2


async def test_replace_pays_from_what_the_old_one_held(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        quote = world.market.quote
        everything = world.account.wallet(quote.asset)
        price = world.market.raw_price(DEEP)
        old = await session.buy(FUEL, price=DEEP, quantity=Raw(everything * 10**9 // price))
        assert world.account.wallet(quote.asset) == 0
        await session.replace(old, price="0.0199", quantity="1000")
        assert world.account.wallet(quote.asset) == everything - 19_900 * 1000


async def test_replace_is_all_or_nothing(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        old = await bid(session)
        with pytest.raises(OnChainRevert) as caught:
            await session.replace(old, price=DEAR, quantity="500", order_type="PostOnly")
        assert caught.value.variant == "OrderPartiallyFilled"
        assert [order.order_id for order in world.orders(only_open=True)] == [old.order_id]
        assert old.is_open
        await session.cancel(old)
        with pytest.raises(OnChainRevert):
            await session.replace(old, price=DEEP, quantity="500")
        assert not world.orders(only_open=True)


# -- settling --------------------------------------------------------------------------------------


async def _proceeds(world: Any, session: Session) -> int:
    """Buy something; return what lies in the book then."""
    await session.buy(FUEL, price=Raw(world.best(Side.SELL)), quantity="100", adjust=True)
    balance = world.account.balance(world.market.base.asset)
    return sum(book.unlocked for book in balance.order_books.values())


async def test_settle(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        base = world.market.base.asset
        before = world.account.wallet(base)
        proceeds = await _proceeds(world, session)
        assert proceeds > 0
        assert world.account.wallet(base) == before
        assert (await session.settle()).tx_id
        assert world.account.wallet(base) == before + proceeds


@pytest.mark.parametrize("settle_first", [True, False])
@pytest.mark.parametrize("by_call", [True, False])
async def test_settle_first(autojump_clock: MockClock, settle_first: bool, by_call: bool) -> None:
    opened = not settle_first if by_call else settle_first
    call: dict[str, Any] = {"settle_first": settle_first} if by_call else {}
    async with trading(settle_first=opened) as (world, session):
        base = world.market.base.asset
        before = world.account.wallet(base)
        proceeds = await _proceeds(world, session)
        await bid(session, **call)
        assert world.account.wallet(base) - before == (proceeds if settle_first else 0)


async def test_settle_of_too_many_markets(autojump_clock: MockClock) -> None:
    async with trading() as (_, session):
        with pytest.raises(InvalidRequest, match="6 actions"):
            await session.settle(*[FUEL] * 6)


# -- batches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", [None, 0], ids=["sequential", "parallel"])
async def test_batch(autojump_clock: MockClock, lane: int | None) -> None:
    async with open_world() as world, world.o2.session(world.owner, [FUEL, ETH], lane=lane) as session:
        old = await bid(session)
        referer = RegisterReferer(world.market, world.sim.create_account().owner)
        receipt = await session.batch(
            [
                NewOrder(FUEL, "sell", price=DEAR, quantity="10000"),
                Cancel(old),
                NewOrder(ETH, "buy", price="2000", quantity="1"),
                NewOrder(FUEL, "buy", price=DEEP, quantity="3000"),
                referer,
            ],
            settle_first=False,
        )
        assert [(order.market, order.side) for order in receipt.orders] == [
            (session.markets[0], Side.SELL),
            (session.markets[1], Side.BUY),
            (session.markets[0], Side.BUY),
        ]
        check_same(world, [old, *receipt.orders])
        assert len(world.orders(only_open=True)) == 3
        assert world.account.referer == referer.to
        assert len(receipt.submission.creates) == 3
        assert len(receipt.submission.cancels) == 1


async def test_batch_is_all_or_nothing(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        with pytest.raises(OnChainRevert):
            await session.batch(
                [
                    NewOrder(FUEL, "buy", price=DEEP, quantity="1000"),
                    NewOrder(FUEL, "buy", price=DEAR, quantity="1000", order_type="PostOnly"),
                ]
            )
        assert not world.orders()
        assert len(session.orders) == 0


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "empty"),
        ([Settle(FUEL)] * 6, "6 actions .6 of them settlements.*split_batch"),
        ([NewOrder(FUEL, "buy", price=DEEP, quantity="1000")] * 5, "6 actions .1 of them settlements"),
        ("buy", "list of requests, not 'buy'"),
        (iter([]), "list of requests"),
        ([None], "not None"),
        (
            [NewOrder(ETH, "buy", price="2500", quantity="1")],
            "may not trade fETH/fUSDC; it was opened for fFUEL/fUSDC",
        ),
    ],
    ids=["nothing", "settlements", "too many", "text", "iterator", "none", "market"],
)
async def test_wrong_batches(autojump_clock: MockClock, requests: Any, message: str) -> None:
    async with trading() as (world, session):
        nonce = world.account.nonce
        with pytest.raises(InvalidRequest, match=message):
            await session.batch(requests)
        assert world.account.nonce == nonce
        assert not world.statuses(ACTIONS), "nothing was sent"


async def test_split_batch(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        receipts = await session.split_batch(
            [NewOrder(FUEL, "buy", price=Raw(20_000 - 10 * step), quantity="1000") for step in range(11)]
        )
        assert [len(receipt.orders) for receipt in receipts] == [4, 4, 3]
        placed = [order for receipt in receipts for order in receipt.orders]
        assert [order.order.price for order in placed] == [20_000 - 10 * step for step in range(11)]
        check_same(world, placed)
        assert all(isinstance(receipt.submission.actions[0], SettleBalance) for receipt in receipts)
        cancelled = await session.split_batch([Cancel(order) for order in placed])
        assert [len(receipt.submission.cancels) for receipt in cancelled] == [5, 5, 1]


async def test_split_batch_that_stops(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        wishes = [NewOrder(FUEL, "buy", price=DEEP, quantity="1000") for _ in range(12)]
        wishes[5] = NewOrder(FUEL, "buy", price=DEAR, quantity="1000", order_type="PostOnly")
        with pytest.raises(BatchIncomplete, match=r"transaction 2 of 3 failed.*; the last 4 ") as caught:
            await session.split_batch(wishes)
        assert isinstance(caught.value.__cause__, OnChainRevert)
        assert caught.value.unsent == 4, "of what was asked for, settlements not counted"
        (receipt,) = caught.value.receipts
        check_same(world, receipt.orders)
        assert len(receipt.orders) == 4


async def test_split_batch_checks_everything_first(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        wishes = [NewOrder(FUEL, "buy", price=DEEP, quantity="1000")] * 7
        with pytest.raises(InvalidRequest, match="InvalidInputAmount"):
            await session.split_batch([*wishes, NewOrder(FUEL, "buy", price=DEEP, quantity="1")])
        with pytest.raises(InvalidRequest, match="empty"):
            await session.split_batch([])
        assert not world.statuses(ACTIONS)


# -- what is wrong is said before anything is sent -----------------------------------------------------


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda s: s.buy(FUEL, price=0.02, quantity="1000"), "(?i)float"),
        (lambda s: s.sell(FUEL, price="0.03", quantity=1000.0), "(?i)float"),
        (lambda s: s.buy("fFUEL", price=DEEP, quantity="1000"), "fFUEL/fUSDC"),
        (lambda s: s.buy(None, price=DEEP, quantity="1000"), "None"),
        (lambda s: s.buy(ETH, price="2500", quantity="1"), "may not trade fETH/fUSDC"),
        (lambda s: s.buy(FUEL, price=DEEP, quantity="1000", order_type="Stop"), "order_type must be"),
        (lambda s: s.cancel("0x12", FUEL), "order id"),
        (lambda s: s.cancel(None, FUEL), "order id"),
        (lambda s: s.cancel_all("fDOGE/fUSDC"), "fDOGE/fUSDC"),
        (lambda s: s.settle(ETH), "may not trade"),
    ],
    ids=range(10),
)
async def test_wrong_arguments(
    autojump_clock: MockClock, act: Callable[[Session], Awaitable[object]], message: str
) -> None:
    async with trading() as (world, session):
        with pytest.raises((InvalidRequest, UnknownMarket), match=message):
            await act(session)
        assert not world.statuses(ACTIONS)


ANYBODY = FuelWallet.from_key("44" * 32)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"owner": "0x12"}, "owner must be a Signer, such as a FuelWallet, not str"),
        ({"owner": None}, "owner must be a Signer"),
        ({"key": "0x12"}, "key must be a Signer"),
        ({"key": EvmWallet.from_key("55" * 32)}, "key must be a fuel signer, not a evm one"),
        ({"lane": 5}, "lane must be 0 to 4"),
        ({"lane": True}, "lane must be 0 to 4"),
        ({"expiry": 3600}, "timedelta or an aware datetime"),
        ({"expiry": datetime(2030, 1, 1)}, "timedelta or an aware datetime"),  # noqa: DTZ001 - what is refused
        ({"expiry": timedelta(0)}, "would live for 0 seconds"),
        ({"expiry": timedelta.max}, "would live for 8.64e"),
        ({"markets": []}, "at least one market"),
        ({"markets": 7}, "7"),
        ({"markets": [None]}, "None"),
    ],
    ids=range(13),
)
async def test_wrong_sessions(autojump_clock: MockClock, how: dict[str, Any], message: str) -> None:
    async with open_world() as world:
        right: dict[str, Any] = {"owner": world.owner, "markets": FUEL}
        with pytest.raises(InvalidRequest, match=message):
            world.o2.session(**right | how)


async def test_unknown_market(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        with pytest.raises(UnknownMarket, match="fDOGE"):
            async with world.o2.session(world.owner, [FUEL, "fDOGE/fUSDC"]):
                raise AssertionError("not reached")
        assert world.account.session is None


async def test_what_it_is(autojump_clock: MockClock) -> None:
    key = FuelWallet.from_key("66" * 32)
    async with open_world() as world, world.o2.session(world.owner, [ETH, FUEL, ETH], key=key) as session:
        assert [market.pair for market in session.markets] == [ETH, FUEL]
        assert session.session_id.id == key.address
        assert session.account.trade_account_id == world.account.trade_account_id
        record = world.account.session
        assert record is not None
        assert record.session_id == session.session_id
        assert record.expiry == session.expires_at.timestamp()
        assert record.contract_ids == tuple(market.contract_id for market in session.markets)
        assert "66" * 32 not in repr(session)
        assert FUEL in repr(session)
        assert session.unresolved == ()


async def test_order_types_of_the_model(autojump_clock: MockClock) -> None:
    async with trading() as (world, session):
        order = await bid(session, order_type=OrderType("Limit", price=20_000, timestamp=77))
        assert world.orders()[0].order_type == OrderType("Limit", price=20_000, timestamp=77)
        assert order.is_open


async def test_orders_that_the_answer_does_not_name(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was placed is found, also among others with the same terms, and in old lists."""
    async with trading() as (world, session):
        await trio.sleep(3)
        first = await bid(session)
        answering(world, lambda orders: (), monkeypatch)
        world.sim.rest.stale(1500)
        second = await bid(session)
        third = await bid(session)
        check_same(world, [first, second, third])


async def test_answer_names_others_too(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with trading() as (world, session):
        first = await bid(session)
        answering(world, lambda orders: (first.order, *orders), monkeypatch)
        second = await bid(session, "0.0199")
        assert second.price == Decimal("0.0199")
        check_same(world, [first, second])
        await session.cancel(first)
