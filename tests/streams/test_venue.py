"""The two venues: never on one connection, and nothing of one reaches a stream of the other."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
import trio

from o2trio import InvalidRequest, SubscriptionRejected, open_o2
from o2trio.simulator import open_simulator
from o2trio.streams import ServerMessage, TopicBroken, TopicKey
from o2trio.wire import Kind
from tests.streams.world import (
    BALANCES,
    DEPTH,
    MARKET,
    NONCE,
    ORDERS,
    TRADES,
    VIEW,
    World,
    change,
    drain,
    error,
    orders,
    snapshot,
    trades,
)

TURBO = [attrs.evolve(key, turbo=True) for key in (DEPTH, VIEW, TRADES, ORDERS)]
TURBO_TRADES = attrs.evolve(TRADES, turbo=True)


def marked(text: str, mark: Any = True) -> str:
    return json.dumps({**json.loads(text), "turbo": mark})


@pytest.mark.parametrize("key", TURBO, ids=lambda key: key.kind.value)
def test_requests_name_the_turbo_venue_and_only_that(key: TopicKey) -> None:
    spot = attrs.evolve(key, turbo=False)
    for wanted, plain in (
        (key.subscribe_frame(), spot.subscribe_frame()),
        (key.unsubscribe_frame(), spot.unsubscribe_frame()),
    ):
        assert json.loads(wanted) == {**json.loads(plain), "turbo": True}
        assert "turbo" not in json.loads(plain)
    assert str(key) == f"{spot} on Turbo"


def test_the_venues_share_no_connection() -> None:
    world = World()
    for key in (TRADES, TURBO_TRADES, ORDERS, attrs.evolve(ORDERS, turbo=True), BALANCES, NONCE):
        world.mailbox(key)
    world.mailbox(TURBO_TRADES)
    spot, turbo = world.hub.ports
    assert (spot.turbo, turbo.turbo) == (False, True)
    assert set(spot.slots) == {key.slot for key in (TRADES, ORDERS, BALANCES, NONCE)}
    assert set(turbo.slots) == {TRADES.slot, ORDERS.slot}


def test_frames_of_the_other_venue_are_dropped_and_counted() -> None:
    world = World()
    spot_box, turbo_box = world.mailbox(TRADES), world.mailbox(TURBO_TRADES)
    world.up()
    world.pong()
    spot, turbo = world.hub.ports
    for port in (spot, turbo):
        port.receive([trades(1), marked(trades(2)), marked(trades(3), False)])
    assert [trade.trade_id for update in drain(spot_box) for trade in update.trades] == ["1", "3"]
    assert [trade.trade_id for update in drain(turbo_box) for trade in update.trades] == ["2"]
    assert (spot.unrouted, turbo.unrouted) == (1, 2)
    assert world.host.told(TopicBroken) == []


def test_a_book_of_the_turbo_venue_is_kept_like_another() -> None:
    world = World()
    box = world.mailbox(TURBO[0])
    world.up()
    world.receive(
        snapshot([(1, 1)]), marked(snapshot([(10, 5)])), change([(10, 9)]), marked(change([(10, 1)]))
    )
    assert [update.changes.bids[0].quantity for update in drain(box)] == [5, 1]
    book = world.topic(TURBO[0]).book
    assert book is not None
    assert book.best_bid is not None
    assert (book.best_bid.price, book.best_bid.quantity) == (10, 6)


def test_an_error_of_the_other_venue_refuses_nobody() -> None:
    world = World()
    box, turbo_box = world.mailbox(TRADES), world.mailbox(TURBO_TRADES)
    world.up()
    spot, turbo = world.hub.ports
    for port in (spot, turbo):
        port.receive([error(6001, turbo=True)])
    assert not box.ended
    with pytest.raises(SubscriptionRejected, match="on Turbo"):
        raise turbo_box.failure()
    assert len(world.host.told(ServerMessage)) == 1


def test_a_demand_to_start_over_concerns_the_venue_that_it_names() -> None:
    world = World()
    world.mailbox(TRADES)
    world.mailbox(TURBO_TRADES)
    world.up()
    world.pong()
    for port in world.hub.ports:
        port.receive([json.dumps({"action": "error", "resync_required": True, "turbo": True})])
    assert [event.topic for event in world.host.told(TopicBroken)] == [str(TURBO_TRADES)]


def test_orders_of_the_turbo_venue_are_marked_in_a_repair() -> None:
    world = World()
    (box,) = world.live(attrs.evolve(ORDERS, turbo=True))
    world.receive(marked(orders(1)))
    assert len(drain(box)) == 1


async def test_markets_of_the_turbo_venue_are_looked_up_there(autojump_clock: Any) -> None:
    async with open_simulator(seed=1) as sim, open_o2(sim.network) as o2:
        asked: list[bool] = []
        find = o2._runtime.rest.markets

        async def markets(*, turbo: bool = False) -> Any:
            asked.append(turbo)
            return await find()

        o2._runtime.rest.markets = markets  # type: ignore[method-assign]
        with trio.move_on_after(1):
            async with o2.stream_trades("fFUEL/fUSDC", turbo=True):
                pass
        async with o2.stream_trades("fFUEL/fUSDC"):
            pass
        assert asked == [True, False]


async def test_a_market_of_one_venue_is_not_taken_for_that_of_the_other(autojump_clock: Any) -> None:
    async with open_simulator(seed=1) as sim, open_o2(sim.network) as o2:
        market = await o2.get_market("fFUEL/fUSDC")
        for make in (
            o2.stream_depth,
            o2.stream_depth_view,
            o2.stream_trades,
            o2.order_book,
            o2.stream_bars,
            o2.stream_ticker,
        ):
            with pytest.raises(InvalidRequest, match="pass turbo=False"):
                make(market, turbo=True)
        with pytest.raises(InvalidRequest, match="turbo must be"):
            o2.stream_depth(market, turbo="yes")  # type: ignore[arg-type]
        assert o2.stream_depth(attrs.evolve(market, turbo=True), turbo=True) is not None


def test_kinds_without_a_venue() -> None:
    assert {key.kind for key in TURBO} == set(Kind) - {Kind.BALANCES, Kind.NONCE}
    assert TURBO[0].market_id == MARKET
