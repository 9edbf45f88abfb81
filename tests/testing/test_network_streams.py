"""What the real client's streams do on a network that misbehaves: notice it, dial again, tell the truth."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ConnectionDown,
    ConnectionUp,
    Event,
    O2Client,
    O2ConnectionLost,
    Options,
    open_o2,
)
from o2trio.simulator import Simulator, open_simulator
from o2trio.testing import Conditions, HostileNetwork
from tests.promises._support import FUEL, DepthWatcher, TradeWatcher, settle

WS, REST = "simulator.invalid", "rest.simulator.invalid"
QUICK = Options(jitter=lambda: 0.1)


@attrs.define
class World:
    sim: Simulator
    net: HostileNetwork
    o2: O2Client
    events: list[Event]
    heard: trio.lowlevel.ParkingLot
    depth: DepthWatcher
    trades: TradeWatcher

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, ConnectionDown)]

    async def until(self, kind: type[Any], limit: float) -> Any:
        """Wait until such an event comes, at most so many seconds."""
        with trio.fail_after(limit):
            while True:
                seen = len(self.events)
                await self.heard.park()
                for event in self.events[seen:]:
                    if isinstance(event, kind):
                        return event

    async def be_true(self, seconds: float = 30) -> None:
        """Let everything heal and arrive, then compare with the truth."""
        await trio.sleep(seconds)
        await settle(self.sim, 5)
        self.depth.check(self.sim)
        self.trades.check(self.sim)
        assert self.trades.gaps == 0, "REST works, so every break is repaired"


@asynccontextmanager
async def world(seed: int = 5, options: Options = QUICK) -> AsyncGenerator[World]:
    async with (
        open_simulator(seed=seed, rate=2) as sim,
        HostileNetwork(seed) as net,
        open_o2(net.route(sim.network, sim._server.serve), options=options) as o2,
        trio.open_nursery() as nursery,
    ):
        w = World(sim, net, o2, [], trio.lowlevel.ParkingLot(), DepthWatcher(), TradeWatcher())

        @nursery.start_soon
        async def listen() -> None:
            async with o2.events() as events:
                async for event in events:
                    w.events.append(event)
                    w.heard.unpark_all()

        await nursery.start(w.depth.follow, o2.stream_depth(FUEL))
        await nursery.start(w.trades.follow, o2.stream_trades(FUEL))
        await trio.sleep(5)
        assert w.depth.items
        yield w
        nursery.cancel_scope.cancel()
    assert net.connections == (), "no socket is left at either end"


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(latency=0.2, jitter=0.3),
        Conditions(chop=3),
        Conditions(buffer=100),
        Conditions(bandwidth=20_000, latency=0.05, chop=100, buffer=2000, jitter=0.1),
    ],
)
async def test_a_poor_network_is_no_fault(conditions: Conditions, autojump_clock: MockClock) -> None:
    async with world() as w:
        w.net.set_conditions(conditions)
        await w.be_true(120)
        assert w.reasons() == []
        assert w.depth.epoch == 0
        assert not w.net.counts


async def test_a_reset_is_noticed_at_once_and_repaired(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.net.reset(WS)
        down = await w.until(ConnectionDown, 0.1)
        assert "1006" in down.reason
        await w.be_true()
        assert (w.net.counts["reset"], w.depth.epoch) == (1, 1)


async def test_a_black_hole_is_noticed_by_silence_and_dials_into_it_time_out(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        w.net.black_hole(WS)
        silent = await w.until(ConnectionDown, QUICK.silence_timeout)
        hung = await w.until(ConnectionDown, QUICK.connect_timeout + 1)
        assert "nothing arrived" in silent.reason
        assert "connecting took too long" in hung.reason
        w.net.heal()
        await w.until(ConnectionUp, 20)
        await w.be_true()
        assert w.net.counts["black_hole"] == 2, "one connection and one dial"


async def test_a_short_black_hole_goes_unnoticed(autojump_clock: MockClock) -> None:
    """As in TCP, what was sent into it is sent again: late, but nothing is missing."""
    async with world() as w:
        w.net.black_hole(WS, 25)
        count = len(w.depth.items)
        await trio.sleep(24.9)
        assert len(w.depth.items) == count
        await w.be_true()
        assert w.reasons() == []


async def test_a_server_that_is_heard_no_more_is_noticed_by_silence(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.net.half_open(WS, "down")
        down = await w.until(ConnectionDown, QUICK.silence_timeout)
        assert "nothing arrived" in down.reason
        await w.be_true()
        assert w.net.counts["half_open"] == 1


async def test_a_client_that_is_heard_no_more_is_thrown_out_by_the_server(autojump_clock: MockClock) -> None:
    """Data keeps coming, so the client has no reason to doubt; the exchange misses its heartbeats."""
    async with world() as w:
        w.net.half_open(WS, "up")
        await w.until(ConnectionDown, 61)
        await w.be_true()
        assert w.depth.epoch == 1


async def test_a_drip_is_survived(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.net.drip(WS, 20, 40)
        count = len(w.depth.items)
        await trio.sleep(39)
        assert len(w.depth.items) < count + 20
        await w.be_true()
        assert w.net.counts["drip"] >= 1


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_handshake_cut_at_any_byte_is_tried_again(direction: Any, autojump_clock: MockClock) -> None:
    async with world() as w:
        for size in range(0, 180, 7):
            w.net.cut_after(WS, size, direction, count=1)
            w.net.reset(WS)
            await trio.sleep(20)
        await w.be_true()
        assert w.net.counts["cut"] >= 20
        assert w.net.counts["reset"] == 26


async def test_a_stream_cut_at_any_byte_is_repaired(autojump_clock: MockClock) -> None:
    async with world() as w:
        for size in range(1, 40):
            w.net.cut_after(WS, size * 7)
            await w.until(ConnectionUp, 120)
        await w.be_true()
        assert w.net.counts["cut"] == 39


async def test_an_answer_to_the_handshake_may_end_at_any_byte(autojump_clock: MockClock) -> None:
    async with world() as w:
        for size in range(0, 130, 6):
            w.net.early_eof(WS, size)
            w.net.reset(WS)
            await trio.sleep(20)
        await w.be_true()
        assert w.net.counts["early_eof"] == 22


_GARBAGE = [b"\xff" * 40, b"HTTP/1.1 503 Busy\r\n\r\n", bytes(range(256)), b"\x81\x05what?", b"\x88\x00"]


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("data", _GARBAGE)
async def test_garbage_harms_a_connection_and_not_the_client(
    data: bytes, direction: Any, autojump_clock: MockClock
) -> None:
    async with world() as w:
        w.net.garbage(WS, data, direction)
        await w.be_true(100)
        assert w.net.counts["garbage"] == 1
        assert 1 <= w.depth.epoch <= 2 or data[0] == 0x81


@pytest.mark.parametrize("data", _GARBAGE)
async def test_garbage_before_the_answer_to_a_handshake_is_no_upgrade(
    data: bytes, autojump_clock: MockClock
) -> None:
    async with world() as w:
        w.net.garbage(WS, data, count=2)
        w.net.reset(WS)
        await w.be_true(100)
        assert w.net.counts["garbage"] == 2
        assert len(w.reasons()) == 3


# -- dials ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (HostileNetwork.refuse, "refuses the connection"),
        (HostileNetwork.dns_failure, "no address for"),
        (HostileNetwork.dial_hang, "connecting took too long"),
        (HostileNetwork.tls_failure, "TLS failed"),
    ],
)
async def test_a_dial_that_fails_is_repeated_with_backoff(
    fault: Callable[..., None], reason: str, autojump_clock: MockClock
) -> None:
    async with world() as w:
        fault(w.net, WS, 4)
        start = trio.current_time()
        w.net.reset(WS)
        await w.be_true(90)
        assert len([each for each in w.reasons() if reason in each]) == 4
        dials = [dial for dial in w.net.dials if dial.host == WS and dial.time >= start]
        assert [dial.outcome for dial in dials[4:]] == ["connected"]
        assert w.net.counts[fault.__name__] == 4
        waits = [event.retry_in for event in w.events if isinstance(event, ConnectionDown)]
        assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])


@pytest.mark.parametrize(
    ("lay", "attempts", "reason"),
    [
        (lambda net: net.tls_failure(WS, untrusted=True), None, "certificate is not trusted"),
        (lambda net: net.refuse(WS, None), 3, "after 3 attempts"),
        (lambda net: net.garbage(WS, b"\xff", "up", 3), 3, "after 3 attempts: .* HTTP 400"),
    ],
)
async def test_the_streams_end_with_an_error_where_trying_again_is_in_vain_or_forbidden(
    lay: Callable[[HostileNetwork], None], attempts: int | None, reason: str, autojump_clock: MockClock
) -> None:
    options = attrs.evolve(QUICK, max_attempts=attempts)
    async with (
        open_simulator(seed=5) as sim,
        HostileNetwork() as net,
        open_o2(net.route(sim.network, sim._server.serve), options=options) as o2,
        o2.stream_trades(FUEL) as trades,
    ):
        await trades.receive()
        lay(net)
        net.reset(WS)
        with pytest.raises(O2ConnectionLost, match=reason), trio.fail_after(60):
            async for _ in trades:
                pass


# -- servers -------------------------------------------------------------------------------------------


async def test_a_server_that_is_away_for_a_while_is_found_again(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.net.detach(WS)
        await trio.sleep(50)
        assert "nobody is attached" in w.reasons()[-1]
        w.net.attach(WS, w.sim._server.serve)
        await w.be_true(90)


async def test_a_closed_client_leaves_nothing_behind_even_in_a_black_hole(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.net.black_hole()
        await trio.sleep(1)
        start = trio.current_time()
        w.net.dial_hang(None, None)
    assert trio.current_time() - start <= QUICK.close_timeout + 0.1
