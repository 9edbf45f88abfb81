"""Times at which a break is easily overlooked: around the request, the repair and the joining of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import Options, Origin, Raw, TradeUpdate, open_o2
from o2trio.models import Id, OrderUpdate
from o2trio.simulator import Account, BookOrder, Flavor, Simulator, default_listings, open_simulator
from o2trio.streams import Mailbox, State, identity_keys
from o2trio.wire import AnyUpdate, Kind
from tests.streams.world import ORDERS, World, account, orders

FUEL = "fFUEL/fUSDC"
FUEL_ONLY = default_listings()[:1]
OPTIONS = Options(jitter=lambda: 0.5)


def _trade(sim: Simulator, account: Account, count: int = 1) -> None:
    """Take the best ask, so that there is one trade more."""
    for _ in range(count):
        ask = sim.exchange.book(sim.market(FUEL).market_id, 1).asks[0]
        sim.place(account, FUEL, "buy", price=Raw(ask.price), quantity=Raw(ask.quantity))


def _truth(sim: Simulator) -> list[str]:
    return [record.value.trade_id for record in sim.audit.trades(sim.market(FUEL))]


def _rest(sim: Simulator, account: Account) -> BookOrder:
    """Place an order that is not filled."""
    bid = sim.exchange.book(sim.market(FUEL).market_id, 1).bids[-1]
    return sim.place(account, FUEL, "buy", price=Raw(bid.price), quantity="100000")


async def _rush(stream: Any, seconds: float) -> list[Any]:
    """Return what `stream` gives in so long a time."""
    items: list[Any] = []
    with trio.move_on_after(seconds):
        while True:
            items.append(await stream.receive())
    return items


async def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        await trio.sleep(0.1)
    raise AssertionError("it never came so far")


def _ids(items: list[TradeUpdate]) -> list[str]:
    return [trade.trade_id for item in items for trade in item.trades]


def _marks(items: list[Any]) -> list[Any]:
    return [item for item in items if item.origin is Origin.GAP]


# -- what is remembered after a repair that failed -------------------------------------------------


async def test_a_seed_after_a_failed_repair_is_read_afresh(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(seed=71, flow=False) as sim,
        open_o2(sim.network, options=attrs.evolve(OPTIONS, repair_timeout=5.0)) as o2,
    ):
        account = sim.create_account()
        async with (
            o2.stream_orders(account.info, seed=True) as early,
            o2.stream_balances(account.info, seed=True) as early_balances,
        ):
            await early.receive()
            order = _rest(sim, account)
            await _rush(early, 3)
            await _rush(early_balances, 3)
            sim.rest.go_down()
            sim.refuse_handshakes(503)
            sim.drop_connections()
            await trio.sleep(1)
            sim.cancel(account, order)
            sim.accept_handshakes()
            assert (await early.receive()).origin is Origin.GAP
            sim.rest.come_back()
            await trio.sleep(100)
            async with (
                o2.stream_orders(account.info, seed=True) as late,
                o2.stream_balances(account.info, seed=True) as late_balances,
            ):
                state = await late.receive()
                assert (state.origin, state.orders) == (Origin.SNAPSHOT, ())
                quote = sim.market(FUEL).quote.asset
                (entry,) = [
                    entry for entry in (await late_balances.receive()).balance if entry.asset_id == quote
                ]
                assert entry.total_locked == account.balance(quote).total_locked


# -- when a subscription really begins -------------------------------------------------------------


async def test_trades_on_their_way_when_the_link_is_lost_right_after_the_start(
    autojump_clock: MockClock,
) -> None:
    """The newest trade over REST may be one that was never streamed here: nothing may begin after it."""
    async with open_simulator(seed=72, flow=False) as sim, open_o2(sim.network, options=OPTIONS) as o2:
        account = sim.create_account()
        _trade(sim, account)
        await o2.get_markets()
        sim.set_latency(0.3)
        async with o2.stream_trades(FUEL) as stream:
            before = len(_truth(sim))
            _trade(sim, account, 2)
            await trio.sleep(0.1)
            sim.drop_connections()
            await trio.sleep(20)
            _trade(sim, account)
            items = await _rush(stream, 5)
            truth = _truth(sim)[before:]
            assert len(truth) == 3
            assert _ids(items) == truth or _marks(items)


class _Stalling(trio.abc.Stream):
    """A link whose sending side can be held up, as by lost packets; all arrives in the end."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.held: list[bytes] | None = None
        self.opened = False

    def stall(self) -> None:
        self.held = []

    async def go_on(self) -> None:
        held, self.held = self.held or [], None
        for data in held:
            await self.stream.send_all(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.held is None or not self.opened:
            self.opened = True
            await self.stream.send_all(data)
        else:
            await trio.lowlevel.checkpoint()
            self.held.append(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.stream.aclose()


async def test_a_request_that_is_read_late_is_a_break_of_its_own(autojump_clock: MockClock) -> None:
    """After a reconnect the request is on its way for ten seconds, in which nobody is subscribed."""
    async with open_simulator(seed=73, flow=False) as sim:
        account = sim.create_account()
        links: list[_Stalling] = []
        stalls = False

        async def dial(host: str, port: int) -> trio.abc.Stream:
            assert sim.network.dialer is not None
            stream = await sim.network.dialer(host, port)
            if host.startswith("rest"):
                return stream
            links.append(_Stalling(stream))
            if stalls:
                links[-1].stall()
            return links[-1]

        network = attrs.evolve(sim.network, dialer=dial)
        async with open_o2(network, options=OPTIONS) as o2, o2.stream_trades(FUEL) as stream:
            await trio.sleep(3)
            before = len(_truth(sim))
            _trade(sim, account)
            await trio.sleep(1)
            stalls = True
            sim.drop_connections()
            await trio.sleep(9)
            assert len(links) == 2
            _trade(sim, account, 2)
            await trio.sleep(1)
            stalls = False
            await links[-1].go_on()
            await trio.sleep(3)
            _trade(sim, account)
            items = await _rush(stream, 60)
            assert len(_truth(sim)) == before + 4
            assert _ids(items) == _truth(sim)[before:]


async def test_who_leaves_and_joins_again_at_once_gets_no_trade_of_the_time_before(
    autojump_clock: MockClock,
) -> None:
    """A trade of the old subscription, one that nobody was subscribed for, one of the new subscription."""
    async with open_simulator(seed=74, flow=False) as sim, open_o2(sim.network, options=OPTIONS) as o2:
        account = sim.create_account()
        sim.set_latency(0.2)
        await o2.get_markets()
        # Keeps the socket, whatever leaves.
        async with o2.stream_depth(FUEL):
            first = o2.stream_trades(FUEL)
            await first.__aenter__()
            await trio.sleep(3)
            _trade(sim, account)
            await trio.sleep(0.05)
            first.close()
            await trio.sleep(0.01)
            second = o2.stream_trades(FUEL)
            async with trio.open_nursery() as nursery:
                _trade(sim, account)
                nursery.start_soon(second.__aenter__)
            await trio.sleep(3)
            _trade(sim, account)
            items = await _rush(second, 5)
            assert len(_truth(sim)) == 3
            assert _ids(items) == _truth(sim)[2:]
            assert not _marks(items)
            second.close()


# -- what a repair reads ---------------------------------------------------------------------------


async def test_orders_that_do_not_say_their_market_are_found(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(seed=76, flow=False, flavor=Flavor(order_flavor=1)) as sim,
        open_o2(sim.network, options=OPTIONS) as o2,
    ):
        account = sim.create_account()
        async with o2.stream_orders(account.info, seed=True) as stream:
            await stream.receive()
            first, second = _rest(sim, account), _rest(sim, account)
            told = await _rush(stream, 2)
            assert {order.market_id for item in told for order in item.orders} == {None}
            sim.refuse_handshakes(503)
            sim.drop_connections()
            await trio.sleep(0.5)
            sim.cancel(account, first)
            sim.accept_handshakes()
            told = await _rush(stream, 60)
            assert [(o.order_id, o.is_open) for item in told for o in item.orders] == [
                (first.order_id, False)
            ]
            assert not second.close


async def test_an_order_that_rest_does_not_know_does_not_spoil_the_repair(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=77, flow=False) as sim, open_o2(sim.network, options=OPTIONS) as o2:
        account = sim.create_account()
        market = sim.market(FUEL)
        async with o2.stream_orders(account.info) as stream:
            await trio.sleep(5)
            frame = json.loads(orders(99))
            frame["orders"][0]["market_id"] = market.market_id
            sim.send_raw(json.dumps(frame))
            assert (await stream.receive()).origin is Origin.LIVE
            sim.refuse_handshakes(503)
            sim.drop_connections()
            await trio.sleep(0.5)
            missed = _rest(sim, account)
            sim.accept_handshakes()
            item = await stream.receive()
            # What the exchange no longer knows is marked; what it knows is there all the same.
            assert item.origin is Origin.GAP
            assert item.gap is not None
            assert "no longer knows" in item.gap.reason
            item = await stream.receive()
            assert item.origin is Origin.BACKFILL
            assert [order.order_id for order in item.orders] == [missed.order_id]


async def test_broken_frames_every_second_starve_nobody(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(seed=78, rate=8, markets=FUEL_ONLY) as sim,
        open_o2(sim.network, options=OPTIONS) as o2,
    ):
        market = sim.market(FUEL)
        frame = {"action": "subscribe_trades", "trades": 7, "market_id": market.market_id}
        broken = json.dumps(frame)

        async def send() -> None:
            while True:
                await trio.sleep(1)
                sim.send_raw(broken)

        async with o2.stream_trades(FUEL) as stream, trio.open_nursery() as nursery:
            await trio.sleep(5)
            nursery.start_soon(send)
            await _rush(stream, 120)
            bound = OPTIONS.repair_timeout + OPTIONS.indexer_lag + 10
            items = await _rush(stream, 2 * bound)
            nursery.cancel_scope.cancel()
        assert _ids(items)
        assert _marks(items), "what could not be read is said to be missing"


async def test_what_ends_before_all_is_known_again_is_marked(autojump_clock: MockClock) -> None:
    """A second break, after a gap mark and before the orders were read anew, must not hide an order's end."""
    options = Options(jitter=lambda: 0.5, repair_timeout=5.0)
    async with open_simulator(seed=79, flow=False) as sim, open_o2(sim.network, options=options) as o2:
        account = sim.create_account()
        async with o2.stream_orders(account.info, seed=True) as stream:
            await trio.sleep(10)
            order = sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
            await trio.sleep(10)
            sim.rest.go_down()
            sim.drop_connections()
            while (await stream.receive()).origin is not Origin.GAP:
                pass
            sim.refuse_handshakes(503)
            sim.drop_connections()
            await trio.sleep(2)
            sim.cancel(account, order)
            for _ in range(250):
                sim.cancel(account, sim.place(account, FUEL, "buy", price="0.0100", quantity="2000"))
            sim.rest.come_back()
            sim.accept_handshakes()
            items = await _rush(stream, 60)
        assert _marks(items)


# -- who joins late, or is slow --------------------------------------------------------------------


async def test_who_joins_during_a_repair_gets_nothing_from_before(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(seed=79, flow=False) as sim,
        open_o2(sim.network, options=OPTIONS) as o2,
        o2.stream_trades(FUEL) as stream,
    ):
        account = sim.create_account()
        await trio.sleep(3)
        _trade(sim, account)
        sim.refuse_handshakes(503)
        sim.drop_connections()
        await trio.sleep(0.2)
        _trade(sim, account)
        await trio.sleep(5)
        sim.accept_handshakes()
        await _until(lambda: o2.statistics().topics[0].state is State.REPAIRING)
        async with o2.stream_trades(FUEL) as late:
            assert await _rush(late, 9) == []
            assert _ids(await _rush(stream, 1)) == _truth(sim)
            _trade(sim, account)
            assert _ids(await _rush(late, 1)) == _ids(await _rush(stream, 1)) == _truth(sim)[-1:]


def test_nothing_is_given_behind_the_end() -> None:
    """One of two subscriptions of a stream is refused while the other still waits for its state."""
    world = World()
    box: Mailbox[AnyUpdate] = Mailbox(100)
    keys = identity_keys(Kind.ORDERS, [account(number) for number in range(1, 13)])
    world.hub.attach(box, keys, seed=True)
    world.up()
    world.pong()
    refused, other = world.hub.topics
    refused.fail(lambda: RuntimeError("refused"))
    assert box.ended
    other.learned(0, [])
    assert not box.ready
    with pytest.raises(RuntimeError, match="refused"):
        raise box.failure()


def test_a_strict_consumer_that_has_read_all_survives_a_repair() -> None:
    world = World(buffer_size=8)
    box: Mailbox[AnyUpdate] = Mailbox(8, strict=True)
    world.hub.attach(box, [ORDERS])
    world.up()
    world.pong()
    world.receive(orders(1))
    box.pop()
    topic = world.topic(ORDERS)
    world.down()
    world.back()
    world.receive(*(orders(number) for number in range(2, 10)))
    (held, *_) = topic.held
    assert isinstance(held, OrderUpdate)
    missed = attrs.evolve(held.orders[0], order_id=Id("0x" + "9" * 64))
    topic.repaired(topic.epoch, [attrs.evolve(held, orders=(missed,), origin=Origin.BACKFILL)])
    assert not box.ended
    assert len(box) == 9
    world.receive(orders(10))
    assert box.ended, "from then on it has to keep up"
