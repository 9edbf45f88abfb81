"""Leaving a loop, however, releases the server's subscription."""

# What raises is the life of a client or a stream, which is more than one statement.
# ruff: noqa: PT012

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import O2Client, Subscription, open_o2
from o2trio.simulator import Simulator, open_simulator
from tests.promises._support import ETH, FUEL, DepthWatcher, collect, settle, subscribed

ACCOUNT = "0x" + "ab" * 32


async def _break(o2: O2Client) -> None:
    async for _update in o2.stream_depth(FUEL):
        break


async def _return_from_trades(o2: O2Client) -> int:
    async for update in o2.stream_trades(FUEL):
        return len(update.trades)
    return 0


async def _raise(o2: O2Client) -> None:
    with pytest.raises(ZeroDivisionError):
        async for _update in o2.stream_depth(FUEL):
            _ = 1 // 0


async def _cancel(o2: O2Client) -> None:
    with trio.move_on_after(3):
        async for _update in o2.stream_depth(FUEL):
            pass


async def _cancel_quiet(o2: O2Client) -> None:
    with trio.move_on_after(3):
        async for _update in o2.stream_orders(ACCOUNT):
            pass


async def _cancel_several(o2: O2Client) -> None:
    accounts = [f"0x{number:064x}" for number in range(25)]
    with trio.move_on_after(3):
        async for _update in o2.stream_balances(accounts):
            pass


async def _break_in_with(o2: O2Client) -> None:
    async with o2.stream_depth(FUEL) as updates:
        async for _update in updates:
            break


async def _raise_in_with(o2: O2Client) -> None:
    with pytest.raises(ZeroDivisionError):
        async with o2.stream_nonce(ACCOUNT):
            _ = 1 // 0


async def _close(o2: O2Client) -> None:
    updates = o2.stream_depth_view(FUEL)
    await updates.receive()
    await updates.aclose()


async def _break_batches(o2: O2Client) -> None:
    async for _batch in o2.stream_depth(FUEL).batches():
        break


async def _close_elsewhere(o2: O2Client) -> None:
    async with trio.open_nursery() as nursery:
        updates = o2.stream_depth(FUEL)

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                async for _update in updates:
                    pass

        nursery.start_soon(read)
        await trio.sleep(3)
        updates.close()


LEAVING: dict[str, Callable[[O2Client], Awaitable[Any]]] = {
    leave.__name__.strip("_"): leave
    for leave in (
        _break,
        _return_from_trades,
        _raise,
        _cancel,
        _cancel_quiet,
        _cancel_several,
        _break_in_with,
        _raise_in_with,
        _close,
        _break_batches,
        _close_elsewhere,
    )
}


async def _leave(sim: Simulator, o2: O2Client, how: str) -> None:
    stays = DepthWatcher()
    async with trio.open_nursery() as nursery:
        await nursery.start(stays.follow, o2.stream_depth(ETH))
        for _ in range(2):
            await LEAVING[how](o2)
            await trio.sleep(0.1)
            assert subscribed(sim) == ["depth"]
        asked = [text for connection in sim.connections for text in connection.requests if '"sub' in text]
        assert len(asked) >= 3
        await settle(sim)
        stays.check(sim, ETH)
        assert stays.epoch == 0
        assert [topic.consumers for topic in o2.statistics().topics] == [1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("how", LEAVING)
async def test_leaving_a_loop_releases_the_server_subscription(autojump_clock: MockClock, how: str) -> None:
    """Seen elsewhere: a cancelled consumer's subscription stayed, and was renewed at each reconnect."""
    async with open_simulator(seed=1) as sim, open_o2(sim.network) as o2:
        await _leave(sim, o2, how)


@pytest.mark.parametrize("how", ["break", "cancel", "return_from_trades"])
async def test_naive_leaving_a_loop_leaves_the_subscription(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The naive version: a bare loop has nobody to close what it looped over."""
    monkeypatch.delattr(Subscription, "__del__")
    with pytest.RaisesGroup(AssertionError, allow_unwrapped=True, flatten_subgroups=True):
        async with open_simulator(seed=1) as sim, open_o2(sim.network) as o2:
            await _leave(sim, o2, how)


async def test_a_forgotten_subscription_in_a_cycle_is_released_when_it_is_collected(
    autojump_clock: MockClock,
) -> None:
    async with open_simulator(seed=1) as sim, open_o2(sim.network) as o2:
        updates = o2.stream_depth(FUEL)
        await updates.receive()
        cycle: list[Any] = [updates]
        cycle.append(cycle)
        del updates, cycle
        assert subscribed(sim) == ["depth"]
        # From another thread, as a collection may come.
        await trio.to_thread.run_sync(gc.collect)
        await trio.sleep(0.1)
        assert subscribed(sim) == []


async def test_a_subscription_that_is_never_used_costs_nothing(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=1) as sim, open_o2(sim.network) as o2:
        o2.stream_depth(FUEL)
        await trio.sleep(1)
        assert not sim.handshakes


async def test_a_loop_that_outlives_the_client_ends(autojump_clock: MockClock) -> None:
    items: list[Any] = []
    async with open_simulator(seed=1) as sim, trio.open_nursery() as nursery:
        async with open_o2(sim.network) as o2:
            await nursery.start(collect, o2.stream_depth(FUEL), items)
            await trio.sleep(5)
        assert items
    # The nursery ended by itself: the loop had its end. A late subscription says so at once.
    with pytest.raises(trio.ClosedResourceError):
        o2.stream_depth(FUEL)


BARE: dict[str, Callable[[O2Client], Any]] = {
    "depth": lambda o2: o2.stream_depth(FUEL),
    "orders": lambda o2: o2.stream_orders(ACCOUNT),
    "batches": lambda o2: o2.stream_depth(FUEL).batches(),
    "bars": lambda o2: o2.stream_bars(FUEL, "1m"),
    "ticker": lambda o2: o2.stream_ticker(FUEL),
}


@pytest.mark.parametrize("seconds", [0.0, 3.0])
@pytest.mark.parametrize("kind", BARE)
async def test_a_kept_error_of_a_bare_loop_does_not_keep_its_subscription(
    autojump_clock: MockClock, kind: str, seconds: float
) -> None:
    """Seen here: since Python 3.12 a cancellation lives, with its traceback, until garbage is collected."""
    kept: list[BaseException] = []
    async with open_simulator(seed=51, rate=3) as sim, open_o2(sim.network) as o2, o2.stream_depth(ETH):
        gc.disable()
        try:
            with trio.move_on_after(seconds):
                try:
                    async for _update in BARE[kind](o2):
                        pass
                except BaseException as error:
                    kept.append(error)
                    raise
            await trio.sleep(0.1)
        finally:
            gc.enable()
        assert isinstance(kept[0], trio.Cancelled)
        assert subscribed(sim) == ["depth"]
