"""How often a server is dialled, what a failed first connect does, and when it is over."""

# What raises is the life of a client or a stream, which is more than one statement.
# ruff: noqa: PT012

from __future__ import annotations

import socket
from itertools import accumulate, pairwise, takewhile

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ConnectionDown,
    ConnectionGivenUp,
    ConnectionUp,
    HandshakeRejected,
    NetworkConfig,
    O2ConnectionLost,
    Options,
    RequestFailed,
    open_o2,
)
from o2trio.simulator import Simulator, open_simulator
from o2trio.transport import backoff_delays
from tests.promises._support import FUEL, UPPER, DepthWatcher, Dialling, TradeWatcher, settle

HOUR = 3600.0


def _allowed(options: Options, seconds: float) -> int:
    """Return how many dials fit when each wait is as long as the backoff says."""
    return 1 + sum(1 for _ in takewhile(lambda total: total <= seconds, accumulate(backoff_delays(options))))


async def _endure_drops(sim: Simulator, options: Options, seconds: float) -> None:
    sim.accept_and_drop()
    async with open_o2(sim.network, options=options) as o2:
        await o2.get_markets()
        with trio.move_on_after(seconds):
            async with o2.stream_depth(FUEL):
                pytest.fail("there is nothing to subscribe to")
        dials = len(sim.handshakes)
        assert dials <= _allowed(UPPER, seconds)
        assert dials >= _allowed(UPPER, seconds) - 1
        times = [handshake.time for handshake in sim.handshakes]
        waits = [after - before for before, after in pairwise(times)]
        assert waits[:7] == pytest.approx([1, 2, 4, 8, 16, 32, 60], abs=0.01)
        # And it is not too late for it to become a good server.
        sim.accept_handshakes()
        watcher = DepthWatcher()
        async with o2.stream_depth(FUEL) as updates:
            watcher.take(await updates.receive())


async def test_a_server_that_accepts_and_drops_is_not_dialled_more_often_than_the_backoff_says(
    autojump_clock: MockClock,
) -> None:
    """Seen elsewhere: the backoff was reset by each TCP connect, so it dialled once a second for ever."""
    async with open_simulator(flow=False) as sim:
        await _endure_drops(sim, UPPER, HOUR)


async def test_naive_backoff_is_reset_by_each_connect(autojump_clock: MockClock) -> None:
    """The naive version: a connection that is open is a good connection."""
    async with open_simulator(flow=False) as sim:
        with pytest.raises(AssertionError):
            await _endure_drops(sim, attrs.evolve(UPPER, stable_after=0.0), HOUR / 12)
        assert len(sim.handshakes) > 250


async def test_a_stable_connection_resets_the_backoff(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(rate=3) as sim,
        open_o2(sim.network, options=UPPER) as o2,
        o2.events() as events,
        o2.stream_depth(FUEL),
    ):
        retry_in = 0.0
        for _ in range(5):
            sim.drop_connections()
            await trio.sleep(0.5)
            retry_in = (await _next_down(events)).retry_in
            await trio.sleep(retry_in + 1)
        assert retry_in == 16
        await trio.sleep(31)
        sim.drop_connections()
        assert (await _next_down(events)).retry_in == 1


async def _next_down(events: trio.abc.ReceiveChannel[object]) -> ConnectionDown:
    while True:
        event = await events.receive()
        if isinstance(event, ConnectionDown):
            return event


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_passing_refusal_is_tried_again_and_retry_after_is_honoured(
    autojump_clock: MockClock, status: int
) -> None:
    async with open_simulator(rate=3) as sim, open_o2(sim.network, options=UPPER) as o2:
        sim.refuse_handshakes(status, retry_after=17, count=2)
        watcher = DepthWatcher()
        async with o2.stream_depth(FUEL) as updates:
            watcher.take(await updates.receive())
        assert [handshake.status for handshake in sim.handshakes] == [status, status, 101]
        times = [handshake.time for handshake in sim.handshakes]
        assert [b - a for a, b in pairwise(times)] == pytest.approx([17, 17], abs=0.01)


async def test_retry_after_is_bounded_and_never_shortens_the_backoff(autojump_clock: MockClock) -> None:
    options = attrs.evolve(UPPER, retry_after_cap=40.0)
    async with open_simulator(rate=3) as sim, open_o2(sim.network, options=options) as o2:
        sim.refuse_handshakes(503, retry_after=100_000, count=1)
        async with o2.stream_depth(FUEL):
            pass
        sim.drop_connections()
        sim.refuse_handshakes(503, retry_after=0, count=3)
        async with o2.stream_depth(FUEL):
            pass
        times = [handshake.time for handshake in sim.handshakes]
        waits = [after - before for before, after in pairwise(times)]
        assert waits[0] == pytest.approx(40, abs=0.1)
        assert waits[2:] == pytest.approx([4, 8, 16], abs=0.1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 451])
async def test_a_final_refusal_stops_at_once_and_surfaces_from_entry(
    autojump_clock: MockClock, status: int
) -> None:
    async with (
        open_simulator(rate=3) as sim,
        open_o2(sim.network, options=UPPER) as o2,
        o2.events() as events,
    ):
        sim.refuse_handshakes(status)
        with pytest.raises(O2ConnectionLost, match=str(status)) as caught, trio.fail_after(1):
            async with o2.stream_depth(FUEL):
                pass
        assert isinstance(caught.value, trio.BrokenResourceError)
        assert isinstance(caught.value.__cause__, HandshakeRejected)
        assert caught.value.__cause__.status == status
        assert len(sim.handshakes) == 1
        assert isinstance(await events.receive(), ConnectionGivenUp)
        # The client is still good: a later stream is a fresh attempt.
        sim.accept_handshakes()
        async with o2.stream_depth(FUEL) as updates:
            assert (await updates.receive()).is_snapshot
        assert isinstance(await events.receive(), ConnectionUp)


async def test_a_final_refusal_ends_live_streams_after_what_is_buffered(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(rate=3) as sim,
        open_o2(sim.network, options=UPPER) as o2,
        o2.stream_depth(FUEL) as updates,
    ):
        await trio.sleep(10)
        sim.refuse_handshakes(451)
        sim.drop_connections()
        await trio.sleep(10)
        watcher = DepthWatcher()
        with pytest.raises(O2ConnectionLost):
            while True:
                watcher.take(await updates.receive())
        assert len(watcher.items) > 10
        with pytest.raises(O2ConnectionLost):
            await updates.receive()


# -- a refusal that looks final, of what was served before ---------------------------------------------


@pytest.mark.parametrize("status", [200, 301, 307, 400, 401, 403, 404, 405, 410, 426])
async def test_a_refusal_at_a_reconnection_is_tried_again_with_backoff(
    autojump_clock: MockClock, status: int
) -> None:
    """Seen here: one 404 of a gateway, for a second of a deployment, ended all streams of a client.

    With status 404 this is the tolerance case ``404-at-reconnection``.
    """
    async with open_simulator(rate=3) as sim, open_o2(sim.network, options=UPPER) as o2:
        depth, trades = DepthWatcher(), TradeWatcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(depth.follow, o2.stream_depth(FUEL))
            await nursery.start(trades.follow, o2.stream_trades(FUEL))
            await trio.sleep(5)
            async with o2.events() as events:
                sim.refuse_handshakes(status, count=3)
                sim.drop_connections()
                await trio.sleep(100)
                downs = [await _next_down(events) for _ in range(4)]
            assert [event.retry_in for event in downs] == [1, 2, 4, 8]
            assert all(f"HTTP {status}" in event.reason for event in downs[1:])
            assert [handshake.status for handshake in sim.handshakes] == [101, *[status] * 3, 101]
            await settle(sim)
            depth.check(sim)
            trades.check(sim)
            assert (depth.epoch, trades.gaps) == (1, 0)
            nursery.cancel_scope.cancel()


async def test_a_refusal_at_a_reconnection_may_say_when_to_come_back(autojump_clock: MockClock) -> None:
    async with open_simulator(rate=3) as sim, open_o2(sim.network, options=UPPER) as o2:
        async with o2.stream_depth(FUEL):
            sim.refuse_handshakes(404, retry_after=17, count=1)
            sim.drop_connections()
            await trio.sleep(60)
        times = [handshake.time for handshake in sim.handshakes]
        assert [b - a for a, b in pairwise(times)] == pytest.approx([1, 17], abs=0.01)


async def test_refusals_at_reconnections_use_up_the_attempts(autojump_clock: MockClock) -> None:
    options = attrs.evolve(UPPER, max_attempts=3)
    async with (
        open_simulator(rate=3) as sim,
        open_o2(sim.network, options=options) as o2,
        o2.stream_orders("0x" + "ab" * 32) as orders,
    ):
        await trio.sleep(40)
        sim.refuse_handshakes(404)
        sim.drop_connections()
        with pytest.raises(O2ConnectionLost, match=r"after 3 attempts: .* HTTP 404"):
            await orders.receive()


async def test_a_heartbeat_that_was_answered_counts_as_served(autojump_clock: MockClock) -> None:
    """A stream of orders may be quiet for days, and is served all the same."""
    async with (
        open_simulator(flow=False) as sim,
        open_o2(sim.network, options=UPPER) as o2,
        o2.stream_orders("0x" + "ab" * 32),
    ):
        await trio.sleep(1)
        sim.refuse_handshakes(404, count=1)
        sim.drop_connections()
        await trio.sleep(60)
        assert [handshake.status for handshake in sim.handshakes] == [101, 404, 101]


async def test_an_upgrade_alone_does_not_count_as_served(autojump_clock: MockClock) -> None:
    async with open_simulator(flow=False) as sim, open_o2(sim.network, options=UPPER) as o2:
        market = sim.market(FUEL)
        sim.accept_and_drop(count=1)
        sim.refuse_handshakes(404)
        with pytest.raises(O2ConnectionLost, match="HTTP 404"), trio.fail_after(60):
            async with o2.stream_depth(market):
                pass


@pytest.mark.parametrize("first", ["open", "retired"])
async def test_a_further_connection_is_tried_again_where_another_was_served(
    autojump_clock: MockClock, first: str
) -> None:
    """All connections of a client dial one address, and that one is right."""
    options = attrs.evolve(UPPER, idle_timeout=5.0)
    async with open_simulator(rate=3) as sim, open_o2(sim.network, options=options) as o2:
        async with o2.stream_depth(FUEL, 1):
            await trio.sleep(1)
            if first == "open":
                sim.refuse_handshakes(404, count=2)
                async with o2.stream_depth(FUEL, 2) as updates:
                    assert (await updates.receive()).is_snapshot
        if first == "retired":
            await trio.sleep(60)
            assert o2.statistics().connections == {}
            sim.refuse_handshakes(404, count=2)
            async with o2.stream_depth(FUEL, 2) as updates:
                assert (await updates.receive()).is_snapshot
        assert [handshake.status for handshake in sim.handshakes] == [101, 404, 404, 101]


async def test_a_closed_region_ends_what_was_served_before(autojump_clock: MockClock) -> None:
    async with (
        open_simulator(rate=3) as sim,
        open_o2(sim.network, options=UPPER) as o2,
        o2.stream_trades(FUEL) as trades,
    ):
        await trio.sleep(40)
        sim.refuse_handshakes(451)
        sim.drop_connections()
        with pytest.raises(O2ConnectionLost, match="451"), trio.fail_after(5):
            async for _update in trades:
                pass


# -- the first connect ---------------------------------------------------------------------------------


FAILURES = {
    "refused port": lambda: ConnectionRefusedError("connection refused"),
    "unknown host": lambda: socket.gaierror(socket.EAI_NONAME, "name or service not known"),
    "unreachable": lambda: OSError("network is unreachable"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_first_connect_surfaces_when_the_attempts_are_exhausted(
    autojump_clock: MockClock, failure: str
) -> None:
    """Seen elsewhere: after a failed first connect every later stream call waited for ever."""
    options = attrs.evolve(UPPER, max_attempts=4)
    async with open_simulator(rate=3) as sim:
        market = sim.market(FUEL)
        dialling = Dialling(sim.network)
        dialling.failures = [FAILURES[failure]] * 4
        async with open_o2(dialling.network, options=options) as o2:
            start = trio.current_time()
            with pytest.raises(O2ConnectionLost) as caught, trio.fail_after(60):
                async with o2.stream_depth(market):
                    pass
            assert isinstance(caught.value.__cause__, OSError)
            assert dialling.calls == 4
            assert trio.current_time() - start == pytest.approx(1 + 2 + 4, abs=0.1)
            # The fifth dial would succeed: a later stream is a fresh start.
            async with o2.stream_depth(market) as updates:
                assert (await updates.receive()).is_snapshot


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_first_connect_is_retried_until_the_server_appears(
    autojump_clock: MockClock, failure: str
) -> None:
    async with open_simulator(rate=3) as sim:
        market = sim.market(FUEL)
        dialling = Dialling(sim.network)
        dialling.failures = [FAILURES[failure]] * 7
        watcher = DepthWatcher()
        async with open_o2(dialling.network) as o2, o2.stream_depth(market) as updates:
            assert dialling.calls == 8
            for _ in range(20):
                watcher.take(await updates.receive())


async def test_a_dial_that_hangs_is_bounded(autojump_clock: MockClock) -> None:
    options = attrs.evolve(UPPER, max_attempts=2, connect_timeout=9.0)
    async with open_simulator(rate=3) as sim:
        dialling = Dialling(sim.network)
        dialling.hangs = 2
        async with open_o2(dialling.network, options=options) as o2:
            with pytest.raises(O2ConnectionLost), trio.fail_after(9 + 1 + 9 + 0.1):
                async with o2.stream_depth(sim.market(FUEL)):
                    pass


async def test_a_mute_server_at_the_first_connect_is_bounded(autojump_clock: MockClock) -> None:
    options = attrs.evolve(UPPER, max_attempts=1, connect_timeout=9.0, request_timeout=5.0)
    async with open_simulator(rate=3) as sim, open_o2(sim.network, options=options) as o2:
        market = sim.market(FUEL)
        sim.mute()
        with pytest.raises(O2ConnectionLost), trio.fail_after(9.1):
            async with o2.stream_depth(market):
                pass
        # The name of a market is asked over REST, which is bounded too.
        with pytest.raises(RequestFailed), trio.fail_after(30):
            async with o2.stream_depth(FUEL):
                pass


async def test_markets_that_cannot_be_read_surface(autojump_clock: MockClock) -> None:
    async with open_simulator(rate=3) as sim:
        dialling = Dialling(sim.network)
        dialling.failures = [FAILURES["refused port"]] * 100
        async with open_o2(dialling.network) as o2:
            with pytest.raises(RequestFailed), trio.fail_after(60):
                await o2.stream_depth(FUEL).receive()
            dialling.failures.clear()
            async with o2.stream_depth(FUEL) as updates:
                assert (await updates.receive()).is_snapshot


async def test_a_refused_port_in_real_life() -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        network = NetworkConfig.from_url(f"http://127.0.0.1:{placeholder.getsockname()[1]}")
        options = Options(max_attempts=2, backoff_initial=0.01)
        async with open_o2(network, options=options) as o2:
            with pytest.raises(O2ConnectionLost), trio.fail_after(5):
                async with o2.stream_trades("0x" + "ab" * 32):
                    pass


async def test_streams_survive_a_long_night_of_cuts(autojump_clock: MockClock) -> None:
    async with open_simulator(rate=1) as sim, open_o2(sim.network, options=UPPER) as o2:
        watcher = DepthWatcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.follow, o2.stream_depth(FUEL))
            for pause in (0.5, 1, 3, 8, 40, 100, 2, 1):
                await trio.sleep(pause)
                sim.drop_connections()
            await trio.sleep(130)
            await settle(sim)
            watcher.check(sim)
            nursery.cancel_scope.cancel()
