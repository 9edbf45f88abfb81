"""Closing is bounded and complete, and errors come out as they are."""

# What raises is the life of a client or a stream, which is more than one statement.
# ruff: noqa: PT012

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    Event,
    NetworkConfig,
    O2Client,
    O2ConnectionLost,
    Options,
    Subscription,
    open_o2,
)
from o2trio.simulator import Simulator, open_simulator
from o2trio.transport import Connection
from tests.promises._support import BTC, ETH, FUEL, QUICK, Dialling, own_tasks

CLOSE_TIMEOUT = Options().close_timeout


async def _use_everything(sim: Simulator, o2: O2Client, nursery: trio.Nursery) -> None:
    """Have streams of every kind, three connections, and calls under way."""

    async def read(stream: Subscription[Any], task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with stream as items:
            task_status.started()
            async for _item in items:
                pass

    account = sim.create_account()
    for stream in (
        o2.stream_depth(FUEL),
        o2.stream_depth(FUEL, 4),
        o2.stream_depth(FUEL, 5),
        o2.stream_depth_view(ETH),
        o2.stream_trades(BTC),
        o2.stream_orders(account.info),
        o2.stream_balances(account.info),
        o2.stream_nonce(account.info),
        o2.events(),
    ):
        await nursery.start(read, stream)
    await trio.sleep(5)
    assert len(sim.connections) == 3


async def test_leaving_is_quick_and_polite_with_a_good_peer(autojump_clock: MockClock) -> None:
    with own_tasks() as tasks:
        async with open_simulator() as sim, trio.open_nursery() as nursery:
            async with open_o2(sim.network) as o2:
                await _use_everything(sim, o2, nursery)
                start = trio.current_time()
            assert trio.current_time() - start < 0.1
            assert not tasks.alive
            assert len(tasks.names) > 9
            await trio.sleep(0.1)
            assert not sim.connections


@pytest.mark.parametrize("fault", ["mute", "dead"])
async def test_leaving_takes_at_most_close_timeout_even_with_a_mute_peer(
    autojump_clock: MockClock, fault: str
) -> None:
    """Seen elsewhere: closing waited for the peer's own close frame, for ever."""
    with own_tasks() as tasks:
        async with open_simulator() as sim, trio.open_nursery() as nursery:
            dialling = Dialling(sim.network)
            async with open_o2(dialling.network) as o2:
                await _use_everything(sim, o2, nursery)
                if fault == "mute":
                    sim.mute()
                else:
                    dialling.die()
                for _ in range(3):
                    nursery.start_soon(_suffer, partial(o2.get_markets, refresh=True))
                await trio.sleep(1)
                start = trio.current_time()
            assert trio.current_time() - start <= CLOSE_TIMEOUT + 0.001
            assert not tasks.alive
            assert all(stream.closed for stream in dialling.streams)
            sim.unmute()
            await trio.sleep(5)
            if fault == "mute":
                assert not sim.connections


async def _suffer(call: Callable[[], Awaitable[object]]) -> None:
    """Have a REST request under way, or wait for one, while the client closes."""
    with pytest.raises(trio.ClosedResourceError):
        await call()


async def test_leaving_is_bounded_while_a_dial_hangs(autojump_clock: MockClock) -> None:
    with own_tasks() as tasks:
        async with open_simulator() as sim, trio.open_nursery() as nursery:
            dialling = Dialling(sim.network)
            dialling.hangs = 100
            async with open_o2(dialling.network) as o2:

                async def wait() -> None:
                    async with o2.stream_depth(sim.market(FUEL)) as updates:
                        with pytest.raises(trio.EndOfChannel):
                            await updates.receive()

                nursery.start_soon(wait)
                await trio.sleep(1)
                start = trio.current_time()
            assert trio.current_time() - start <= CLOSE_TIMEOUT
        assert not tasks.alive


async def test_leaving_is_bounded_while_waiting_to_dial_again(autojump_clock: MockClock) -> None:
    with own_tasks() as tasks:
        async with open_simulator() as sim:
            async with open_o2(sim.network) as o2:
                sim.refuse_handshakes(503, retry_after=300)
                with trio.move_on_after(3) as scope:
                    async with o2.stream_trades(FUEL):
                        pytest.fail("there is no connection")
                assert scope.cancelled_caught
                start = trio.current_time()
            assert trio.current_time() - start <= CLOSE_TIMEOUT
        assert not tasks.alive


async def test_cancelling_the_client_closes_at_once(autojump_clock: MockClock) -> None:
    with own_tasks() as tasks:
        async with open_simulator() as sim, trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                async with open_o2(sim.network) as o2:
                    await _use_everything(sim, o2, nursery)
                    sim.mute()
                    start = trio.current_time()
                    scope.cancel()
                    await trio.sleep_forever()
            assert scope.cancelled_caught
            assert trio.current_time() == start
            assert not tasks.alive
            sim.unmute()
            await trio.sleep(5)
            assert not sim.connections


class _Own(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3), _Own()])
async def test_an_error_of_the_body_comes_out_bare(autojump_clock: MockClock, error: BaseException) -> None:
    """The naive version: a nursery turns the user's error into an exception group."""
    async with open_simulator() as sim:
        with pytest.raises(type(error)) as caught:
            async with open_o2(sim.network) as o2, o2.stream_depth(FUEL) as updates:
                await updates.receive()
                raise error
        assert caught.value is error
        assert error.__cause__ is None


async def test_an_error_of_the_body_comes_out_bare_from_a_mute_peer_too(autojump_clock: MockClock) -> None:
    async with open_simulator() as sim:
        with pytest.raises(ValueError, match="mine"):
            async with open_o2(sim.network) as o2, o2.stream_depth(FUEL):
                sim.mute()
                raise ValueError("mine")


async def test_a_group_of_errors_that_the_body_raised_stays_whole(autojump_clock: MockClock) -> None:
    """What the user's own nursery raised is the user's: nothing of it may be lost."""

    async def fail(error: Exception) -> None:
        try:
            await trio.sleep(1)
        finally:
            raise error

    async with open_simulator() as sim:
        with pytest.RaisesGroup(ValueError, KeyError):
            async with open_o2(sim.network) as o2, o2.stream_depth(FUEL), trio.open_nursery() as nursery:
                nursery.start_soon(fail, ValueError("one"))
                nursery.start_soon(fail, KeyError("other"))


async def test_an_error_of_an_internal_task_comes_out_bare(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug inside must not be swallowed, and must not hide in a group either."""

    def broken(message: object) -> None:
        raise RuntimeError("a bug")

    with own_tasks() as tasks:
        async with open_simulator() as sim:
            with pytest.raises(RuntimeError, match="a bug"):
                async with open_o2(sim.network) as o2, o2.stream_depth(FUEL) as updates:
                    await updates.receive()
                    monkeypatch.setattr("o2trio.streams._port.decode", broken)
                    await trio.sleep_forever()
            await trio.sleep(1)
            assert not sim.connections
        assert not tasks.alive


async def test_an_internal_error_while_closing_is_not_lost(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Connection, link: object) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("a bug")

    monkeypatch.setattr(Connection, "_beat", broken)
    async with open_simulator() as sim:
        with pytest.raises(RuntimeError, match="a bug"):
            async with open_o2(sim.network) as o2, o2.stream_depth(FUEL):
                pass


async def test_an_error_of_one_consumer_is_its_own(autojump_clock: MockClock) -> None:
    """A consumer's failure in the user's nursery ends what the user says, and the client is still good."""
    async with open_simulator() as sim, open_o2(sim.network) as o2:

        async def fail() -> None:
            async for _update in o2.stream_depth(FUEL):
                raise ValueError("mine")

        with pytest.RaisesGroup(ValueError):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail)
        async with o2.stream_depth(FUEL) as updates:
            assert (await updates.receive()).is_snapshot
        assert len(sim.handshakes) == 1


async def test_streams_end_in_good_order_when_the_client_closes(autojump_clock: MockClock) -> None:
    async with open_simulator() as sim:
        async with open_o2(sim.network) as o2:
            updates = o2.stream_depth(FUEL)
            await updates.receive()
            await trio.sleep(5)
            buffered = updates.statistics().buffered
            assert buffered
        # What was buffered first, then the end.
        seen = [update async for update in updates]
        assert len(seen) == buffered
        with pytest.raises(trio.EndOfChannel):
            await updates.receive()
        updates.close()
        with pytest.raises(trio.ClosedResourceError):
            await updates.receive()


async def test_a_closed_client_says_so(autojump_clock: MockClock) -> None:
    async with open_simulator() as sim:
        async with open_o2(sim.network) as o2:
            early, events = o2.stream_trades(FUEL), o2.events()
        for call in (early.receive, events.receive, o2.get_markets):
            with pytest.raises(trio.ClosedResourceError):
                await call()
        with pytest.raises(trio.ClosedResourceError):
            o2.stream_trades(FUEL)


async def test_nothing_names_a_secret(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """A password in a URL (a proxy's, say) reaches no message, event, log record or repr."""
    caplog.set_level(logging.DEBUG)
    secret = "hunter2"
    async with open_simulator() as sim:
        base = sim.network
        network = NetworkConfig(
            name="private",
            rest_url=f"http://user:{secret}@simulator.invalid",
            websocket_url=f"ws://user:{secret}@simulator.invalid/v1/ws?token={secret}",
            dialer=base.dialer,
        )
        async with open_o2(network, options=QUICK) as o2, o2.events() as events:
            sim.refuse_handshakes(403)
            with pytest.raises(O2ConnectionLost) as caught:
                async with o2.stream_trades(sim.market(FUEL)):
                    pass
            told: list[Event] = [await events.receive()]
    assert secret not in f"{caught.value} {caught.value!r} {told} {caplog.text}"
