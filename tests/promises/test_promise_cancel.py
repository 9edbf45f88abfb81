"""Cancelling at every checkpoint leaves the connection serving the others, and nothing behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from o2trio import O2Client, Options, Subscription, open_o2
from o2trio.simulator import Flavor, Simulator, open_simulator
from tests.promises._support import (
    BTC,
    ETH,
    FUEL,
    DepthWatcher,
    TradeWatcher,
    cancelled_at,
    own_tasks,
    settle,
    subscribed,
    truth,
)

FAST = Options(backoff_initial=0.1, backoff_cap=0.1, jitter=lambda: 1.0)
ACCOUNTS = [f"0x{number:064x}" for number in range(1, 26)]


async def _read(stream: Subscription[Any], items: int) -> None:
    async with stream as updates:
        for _ in range(items):
            await updates.receive()


async def _new_depth(o2: O2Client) -> None:
    """Take a new market by name on the same connection: a read over REST, a request, a snapshot, items."""
    await o2.get_markets(refresh=True)
    await _read(o2.stream_depth(ETH), 3)


async def _same_depth(o2: O2Client) -> None:
    """Join and leave the very stream that the bystander uses."""
    await _read(o2.stream_depth(FUEL), 3)


async def _own_connection(o2: O2Client) -> None:
    """Take a second precision: dial, handshake, and the connection that was made for it."""
    await _read(o2.stream_depth(FUEL, 3), 3)


async def _views_and_trades(o2: O2Client) -> None:
    async with o2.stream_depth_view(BTC, 1, "100ms") as views, o2.stream_trades(BTC) as trades:
        await views.receive()
        await trades.receive()
        await views.aclose()
        await trades.receive()


async def _many_accounts(o2: O2Client) -> None:
    """Three server subscriptions on three connections behind one stream."""
    async with o2.stream_orders(ACCOUNTS):
        await trio.sleep(0.01)


async def _quiet_streams(o2: O2Client) -> None:
    async with o2.stream_balances(ACCOUNTS[:3]) as balances, o2.stream_nonce(ACCOUNTS[3]):
        with trio.move_on_after(0.01):
            await balances.receive()


async def _bare_loop(o2: O2Client) -> None:
    count = 0
    async for _update in o2.stream_depth(ETH):
        count += 1
        if count == 3:
            break
    await trio.lowlevel.checkpoint()


async def _batches(o2: O2Client) -> None:
    async with o2.stream_trades(ETH) as trades:
        async for _batch in trades.batches():
            break
    await trades.aclose()


VICTIMS: dict[str, Callable[[O2Client], Awaitable[None]]] = {
    victim.__name__.strip("_"): victim
    for victim in (
        _new_depth,
        _same_depth,
        _own_connection,
        _views_and_trades,
        _many_accounts,
        _quiet_streams,
        _bare_loop,
        _batches,
    )
}


@pytest.mark.parametrize("victim", VICTIMS)
async def test_cancelling_a_consumer_at_every_checkpoint_leaves_the_others_served(
    autojump_clock: MockClock, victim: str
) -> None:
    """Seen elsewhere: a cancelled consumer tore a frame, or left its subscription on the server."""
    async with open_simulator(seed=31, rate=20) as sim, open_o2(sim.network) as o2:
        bystander, trades = DepthWatcher(), TradeWatcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(bystander.follow, o2.stream_depth(FUEL))
            await nursery.start(trades.follow, o2.stream_trades(FUEL))
            step, done = 0, False
            while not done:
                step += 1
                assert step < 500
                with cancelled_at(step) as scope:
                    await VICTIMS[victim](o2)
                done = not scope.cancelled_caught
                await trio.sleep(0.1)
                assert subscribed(sim) == ["depth", "trades"], f"after a cancellation at step {step}"
                assert [topic.consumers for topic in o2.statistics().topics] == [1, 1]
            assert step > 3
            await settle(sim)
            bystander.check(sim)
            trades.check(sim)
            assert bystander.epoch == trades.gaps == 0
            assert bystander.snapshots == 1
            assert [handshake.status for handshake in sim.handshakes].count(101) == len(sim.handshakes)
            assert 1 in {connection.number for connection in sim.connections}
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("victim", VICTIMS)
async def test_a_cancelled_stream_can_be_had_again_at_once(autojump_clock: MockClock, victim: str) -> None:
    """No time to settle between the cancellation and the next try."""
    async with open_simulator(seed=32, rate=20) as sim, open_o2(sim.network) as o2:
        step, done = 0, False
        while not done:
            step += 1
            with cancelled_at(step) as scope:
                await VICTIMS[victim](o2)
            done = not scope.cancelled_caught
            with trio.fail_after(10):
                await VICTIMS[victim](o2)
        watcher = DepthWatcher()
        async with o2.stream_depth(ETH) as updates:
            for _ in range(3):
                watcher.take(await updates.receive())
            await settle(sim)
            while updates.statistics().buffered:
                watcher.take(updates.receive_nowait())
            watcher.check(sim, ETH)
            assert subscribed(sim) == ["depth"]
            assert watcher.epoch == 0


async def test_the_same_subscription_can_be_entered_again_after_a_cancelled_entry(
    autojump_clock: MockClock,
) -> None:
    async with open_simulator(seed=33, rate=20) as sim, open_o2(sim.network) as o2:
        step = 0
        while True:
            step += 1
            updates = o2.stream_depth(ETH)
            with cancelled_at(step) as scope:
                await updates.__aenter__()
            if not scope.cancelled_caught:
                updates.close()
                break
            watcher = DepthWatcher()
            async with updates:
                for _ in range(3):
                    watcher.take(await updates.receive())
            await trio.sleep(0.1)
            assert subscribed(sim) == []
        assert step > 3


async def test_the_snapshot_of_a_cancelled_entry_is_not_taken_for_the_next_one(
    autojump_clock: MockClock,
) -> None:
    """Snapshots need not say their precision: one that is under way must not fill the book of another."""
    flavor = Flavor(snapshot_key="orders")
    async with open_simulator(seed=33, flow=False, flavor=flavor) as sim, open_o2(sim.network) as o2:
        await o2.get_markets()
        async with o2.stream_trades(FUEL):
            step, done = 0, False
            while not done:
                step += 1
                with cancelled_at(step) as scope:
                    async with o2.stream_depth(FUEL, 1):
                        pass
                done = not scope.cancelled_caught
                async with o2.stream_depth(FUEL, 4) as updates:
                    first = await updates.receive()
                    await trio.sleep(1)
                    assert first.changes == truth(sim, FUEL, 4), f"after a cancellation at step {step}"
                    assert not updates.statistics().buffered


@pytest.mark.parametrize("every", [1, 2, 3, 7])
async def test_a_cancelled_receive_loses_no_item(autojump_clock: MockClock, every: int) -> None:
    """The consumer of trades is cancelled at its n-th checkpoint, again and again, and misses nothing."""
    async with open_simulator(seed=34, rate=12) as sim, open_o2(sim.network) as o2:
        market_id = sim.market(FUEL).market_id
        async with o2.stream_trades(FUEL) as trades:
            await trio.testing.wait_all_tasks_blocked()
            start = len(sim.exchange.trades(market_id))
            seen: list[Any] = []
            cancellations = 0
            while len(seen) < 60:
                with cancelled_at(every) as scope:
                    while True:
                        update = await trades.receive()
                        seen.append(update)
                cancellations += scope.cancelled_caught
                # Something arrives while nobody waits, too.
                await trio.sleep(0.05)
            assert cancellations > 5
            await settle(sim)
            while trades.statistics().buffered:
                seen.append(trades.receive_nowait())
            told = [trade for update in seen for trade in update.trades]
            assert told == list(sim.exchange.trades(market_id)[start:])


async def test_a_receive_that_is_cancelled_as_its_item_arrives_keeps_it_for_the_next(
    autojump_clock: MockClock,
) -> None:
    """The item and the cancellation come in the same instant."""
    async with open_simulator(seed=34, flow=False) as sim, open_o2(sim.network) as o2:
        account = sim.create_account()
        async with o2.stream_nonce(account.info) as nonces:
            await trio.sleep(1)
            seen: list[Any] = []
            for _ in range(50):
                with trio.move_on_after(1) as scope:
                    async with trio.open_nursery() as nursery:

                        async def act(scope: trio.CancelScope = scope) -> None:
                            await trio.sleep(0.5)
                            sim.place(account, FUEL, "buy", price="0.0010", quantity="10000")
                            for _ in range(len(seen) % 12):
                                await trio.lowlevel.checkpoint()
                            scope.cancel()

                        nursery.start_soon(act)
                        while True:
                            seen.append((await nonces.receive()).nonce)
            await trio.sleep(1)
            while nonces.statistics().buffered:
                seen.append(nonces.receive_nowait().nonce)
            assert seen == list(range(account.nonce - 49, account.nonce + 1))


async def _whole_life(sim: Simulator) -> None:
    async with open_o2(sim.network, options=Options(idle_timeout=0.0)) as o2:
        async with o2.events(), o2.stream_depth(FUEL) as updates, o2.stream_depth(FUEL, 2) as other:
            await updates.receive()
            await updates.receive()
            await other.receive()
        async with o2.stream_trades(ETH) as trades:
            await trades.receive()


@pytest.mark.parametrize("mute", [False, True])
async def test_cancelling_the_client_at_every_checkpoint_leaves_nothing_behind(
    autojump_clock: MockClock, mute: bool
) -> None:
    with own_tasks() as tasks:
        async with open_simulator(seed=35, rate=20) as sim:
            step, done = 0, False
            while not done:
                step += 1
                assert step < 500
                with cancelled_at(step) as scope:
                    await _whole_life(sim)
                done = not scope.cancelled_caught
                assert not tasks.alive, f"after a cancellation at step {step}"
                await trio.sleep(0.1)
                assert not sim.connections
            assert step > 20
            if mute:
                # The same way through the life of a client, with a peer that falls silent at that point.
                for number in range(1, step, 3):
                    sim.unmute()
                    await trio.sleep(5)
                    with cancelled_at(number) as scope:
                        try:
                            await _whole_life(sim)
                        finally:
                            sim.mute()
                    assert not tasks.alive


async def test_cancelling_while_a_break_is_repaired_leaves_the_others_served(
    autojump_clock: MockClock,
) -> None:
    async with open_simulator(seed=36, rate=5) as sim, open_o2(sim.network, options=FAST) as o2:
        bystander = DepthWatcher()
        account = sim.create_account()
        async with trio.open_nursery() as nursery:
            await nursery.start(bystander.follow, o2.stream_depth(FUEL))
            step, done = 0, False
            while not done:
                step += 1

                async def cut() -> None:
                    await trio.sleep(0.02)
                    for connection in sim.connections:
                        connection.drop()

                with cancelled_at(step) as scope:
                    async with trio.open_nursery() as inner:
                        inner.start_soon(cut)
                        async with o2.stream_balances(account.info), o2.stream_depth(ETH) as updates:
                            while not (await updates.receive()).epoch:
                                pass
                done = not scope.cancelled_caught
                await trio.sleep(0.5)
                assert subscribed(sim) == ["depth"]
                if step > 25:
                    break
            await settle(sim)
            bystander.check(sim)
            nursery.cancel_scope.cancel()


async def test_naive_entry_leaves_its_subscription_when_it_is_cancelled(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: subscribe, wait for the first snapshot, and trust that nobody cancels it."""

    async def start(self: Subscription[Any]) -> None:
        if not self._started:
            await self._subscribe()
            await self._mailbox.opened.wait()
            self._started = True

    monkeypatch.setattr(Subscription, "_start", start)
    async with open_simulator(seed=31) as sim, open_o2(sim.network) as o2:
        kept = o2.stream_depth(ETH)
        left = []
        for step in range(1, 30):
            with cancelled_at(step):
                await kept.__aenter__()
            await trio.sleep(0.1)
            left.append(subscribed(sim))
        assert ["depth"] in left


async def test_naive_receive_loses_the_item_it_holds_when_it_is_cancelled(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: take the item, then give way to other tasks, then return it."""
    receive = Subscription.receive

    async def naive(self: Subscription[Any]) -> Any:
        item = await receive(self)
        await trio.lowlevel.checkpoint()
        return item

    monkeypatch.setattr(Subscription, "receive", naive)
    async with (
        open_simulator(seed=34, rate=12) as sim,
        open_o2(sim.network) as o2,
        o2.stream_trades(FUEL) as trades,
    ):
        await trio.sleep(5)
        seen: list[Any] = []
        buffered = trades.statistics().buffered
        while trades.statistics().buffered:
            with cancelled_at(1):
                seen.append(await trades.receive())
            with cancelled_at(3):
                seen.append(await trades.receive())
        assert len(seen) < buffered
