"""A refused subscription raises for its own consumer and for nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import trio
from trio.testing import MockClock

from o2trio import O2Client, Subscription, SubscriptionRejected, TopicRefused, open_o2
from o2trio.simulator import Flavor, Simulator, open_simulator
from o2trio.streams._refusals import Refusals
from o2trio.transport._link import Link
from tests.promises._support import BTC, ETH, FUEL, DepthWatcher, TradeWatcher, collect, settle, subscribed

ErrorAction = Literal["none", "error", "request"]


async def _refuse_one(sim: Simulator, o2: O2Client, kind: str) -> None:
    depth, trades = DepthWatcher(), TradeWatcher()
    account = sim.create_account()
    streams: dict[str, Callable[[], Subscription[Any]]] = {
        "depth": lambda: o2.stream_depth(ETH),
        "depth view": lambda: o2.stream_depth_view(ETH),
        "trades": lambda: o2.stream_trades(BTC),
        "orders": lambda: o2.stream_orders(account.info),
        "balances": lambda: o2.stream_balances(account.info),
        "nonce": lambda: o2.stream_nonce(account.info),
    }
    async with trio.open_nursery() as nursery:
        await nursery.start(depth.follow, o2.stream_depth(FUEL))
        # Quiet and never answered: whoever looks for the oldest unconfirmed request finds this one.
        await nursery.start(trades.follow, o2.stream_trades(FUEL))
        await trio.sleep(0.5)
        sim.reject_next_subscription(6002, "not today")
        with pytest.raises(SubscriptionRejected, match="not today") as caught, trio.fail_after(5):
            async with streams[kind]() as refused:
                await refused.receive()
        assert caught.value.code == 6002
        assert kind in caught.value.topic
        sim.resume_flow()
        await trio.sleep(20)
        await settle(sim)
        depth.check(sim)
        trades.check(sim)
        assert depth.epoch == 0
        assert trades.trades[-1] == sim.exchange.trades(sim.market(FUEL).market_id)[-1]
        assert trades.gaps == 0
        assert subscribed(sim) == ["depth", "trades"]
        # The refusal was for once: the same stream can be had now.
        async with streams[kind]():
            await trio.sleep(1)
            assert len(subscribed(sim)) == 3
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["depth", "depth view", "trades", "orders", "balances", "nonce"])
@pytest.mark.parametrize("error_action", ["none", "error", "request"])
async def test_a_refused_subscription_raises_for_its_consumer_only(
    autojump_clock: MockClock, error_action: ErrorAction, kind: str
) -> None:
    """Seen elsewhere: the error frame was ignored, so the consumer waited for ever."""
    flavor = Flavor(error_action=error_action)
    async with (
        open_simulator(seed=2, rate=3, flavor=flavor, flow=False) as sim,
        open_o2(sim.network) as o2,
        o2.events() as events,
    ):
        await _refuse_one(sim, o2, kind)
        seen = []
        while events.statistics().buffered:
            seen.append(events.receive_nowait())
        assert [event.code for event in seen if isinstance(event, TopicRefused)] == [6002]


def _linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reader have what the server answers before the writer has its turn again."""
    send = Link.send

    async def send_and_linger(self: Link, text: str) -> None:
        await send(self, text)
        await trio.sleep(0.5)

    monkeypatch.setattr(Link, "send", send_and_linger)


@pytest.mark.parametrize("kind", ["depth", "depth view", "trades", "orders", "balances", "nonce"])
async def test_a_refusal_that_races_the_send_is_not_lost(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Seen: the reader ran before the writer had noted that the request was out; the stream stayed silent."""
    _linger(monkeypatch)
    async with open_simulator(seed=2, rate=3, flow=False) as sim, open_o2(sim.network) as o2:
        await _refuse_one(sim, o2, kind)


async def test_naive_the_oldest_unconfirmed_subscription_is_refused(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: a bare error frame goes to the oldest request without an answer: a quiet stream."""
    find = Refusals._find
    monkeypatch.setattr(
        Refusals, "_find", lambda self, error, barrier=None, **_: find(self, error, barrier, confirmed=True)
    )
    with pytest.RaisesGroup(SubscriptionRejected, allow_unwrapped=True, flatten_subgroups=True):
        async with open_simulator(seed=2, rate=3, flow=False) as sim, open_o2(sim.network) as o2:
            await _refuse_one(sim, o2, "orders")


async def test_naive_error_frames_are_nobodys(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: an error frame ends in the log. The consumer waits until its time is over."""
    monkeypatch.setattr(Refusals, "_find", lambda self, error, barrier=None, **_: None)
    with pytest.RaisesGroup(trio.TooSlowError, allow_unwrapped=True, flatten_subgroups=True):
        async with open_simulator(seed=2, rate=3, flow=False) as sim, open_o2(sim.network) as o2:
            await _refuse_one(sim, o2, "trades")


async def test_all_consumers_of_a_refused_subscription_hear_of_it(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=2) as sim, open_o2(sim.network) as o2:
        async with o2.stream_trades(FUEL):
            await trio.sleep(1)
            sim.reject_next_subscription(6001, "too many")
            errors: list[SubscriptionRejected] = []

            async def watch() -> None:
                try:
                    await collect(o2.stream_depth(ETH), [])
                except SubscriptionRejected as error:
                    errors.append(error)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                nursery.start_soon(watch)
        assert [error.code for error in errors] == [6001, 6001]


async def test_a_rejected_stream_says_so_at_every_further_receive(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=2) as sim, open_o2(sim.network) as o2:
        sim.reject_next_subscription()
        async with o2.stream_trades(FUEL) as trades:
            for _ in range(3):
                with pytest.raises(SubscriptionRejected):
                    await trades.receive()


async def test_an_error_long_after_the_subscriptions_refuses_none(autojump_clock: MockClock) -> None:
    """The exchange may complain about something else; a live stream must not fall for it."""
    async with open_simulator(seed=2) as sim, open_o2(sim.network) as o2, o2.stream_nonce("0x" + "ab" * 32):
        watcher = DepthWatcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.follow, o2.stream_depth(FUEL))
            await trio.sleep(15)
            sim.send_raw('{"code": 1000, "message": "internal error"}')
            await trio.sleep(5)
            await settle(sim)
            watcher.check(sim)
            nursery.cancel_scope.cancel()
