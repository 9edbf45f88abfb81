"""A peer that is killed, unreachable or mute is noticed within the named bound, and recovered from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ConnectionDown,
    ConnectionUp,
    DepthUpdate,
    Event,
    NetworkConfig,
    O2Client,
    Options,
    Subscription,
    open_o2,
)
from o2trio.simulator import Simulator, open_simulator
from o2trio.transport._connection import Connection
from tests.promises._support import FUEL, QUICK, DepthWatcher, Dialling, TradeWatcher, settle

PROJECT = Path(__file__).parents[2]


async def _until(events: Subscription[Event], kind: type[Any]) -> Any:
    while True:
        event = await events.receive()
        if isinstance(event, kind):
            return event


async def _go_dead(sim: Simulator, o2: O2Client, dialling: Dialling) -> None:
    watcher, trades = DepthWatcher(), TradeWatcher()
    async with trio.open_nursery() as nursery, o2.events() as events:
        await nursery.start(watcher.follow, o2.stream_depth(FUEL))
        await nursery.start(trades.follow, o2.stream_trades(FUEL))
        await trio.sleep(30)
        assert o2.statistics().connections == {1: True}
        dialling.die()
        dead_at = trio.current_time()
        with trio.fail_after(QUICK.silence_timeout):
            down = await _until(events, ConnectionDown)
        assert down.time - dead_at <= QUICK.silence_timeout
        assert "nothing arrived" in down.reason
        await _until(events, ConnectionUp)
        # The connection of REST is dead as well, which its first read notices.
        await trio.sleep(10 + Options().request_timeout)
        await settle(sim)
        watcher.check(sim)
        trades.check(sim)
        assert (watcher.epoch, watcher.snapshots, trades.epoch, trades.gaps) == (1, 2, 1, 0)
        # The dead stream was closed on our side.
        assert dialling.streams[0].closed or dialling.streams[1].closed
        nursery.cancel_scope.cancel()


async def test_a_half_open_link_is_noticed_within_the_silence_timeout(autojump_clock: MockClock) -> None:
    """Bytes go nowhere and none come, and nobody says so: only silence tells."""
    async with open_simulator(seed=21, rate=2) as sim:
        dialling = Dialling(sim.network)
        async with open_o2(dialling.network, options=QUICK) as o2:
            await _go_dead(sim, o2, dialling)


async def test_naive_heartbeats_that_only_send_notice_nothing(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: send a heartbeat now and then, and wait for an error that never comes."""

    async def beat(self: Connection, link: object) -> None:
        while True:
            await trio.sleep(self._options.ping_interval)
            self._port.heartbeat()

    monkeypatch.setattr(Connection, "_beat", beat)
    with pytest.RaisesGroup(trio.TooSlowError, allow_unwrapped=True, flatten_subgroups=True):
        async with open_simulator(seed=21, rate=2) as sim:
            dialling = Dialling(sim.network)
            async with open_o2(dialling.network, options=QUICK) as o2:
                await _go_dead(sim, o2, dialling)


async def test_a_mute_peer_is_noticed_within_the_silence_timeout(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=22) as sim, open_o2(sim.network, options=QUICK) as o2:
        watcher = DepthWatcher()
        async with trio.open_nursery() as nursery, o2.events() as events:
            await nursery.start(watcher.follow, o2.stream_depth(FUEL))
            await trio.sleep(10)
            sim.mute()
            mute_at = trio.current_time()
            with trio.fail_after(QUICK.silence_timeout):
                await _until(events, ConnectionDown)
            assert trio.current_time() - mute_at <= QUICK.silence_timeout
            # Mute to newcomers as well: each dial is bounded too.
            with trio.fail_after(QUICK.connect_timeout + 1):
                await _until(events, ConnectionDown)
            sim.unmute()
            with trio.fail_after(60):
                await _until(events, ConnectionUp)
            await trio.sleep(5)
            await settle(sim)
            watcher.check(sim)
            assert watcher.epoch == 1
            nursery.cancel_scope.cancel()


async def test_a_quiet_market_is_no_dead_peer(autojump_clock: MockClock) -> None:
    """Heartbeats keep a connection alive on which nothing else happens for an hour, at both ends."""
    async with open_simulator(seed=22, flow=False) as sim, open_o2(sim.network) as o2, o2.stream_trades(FUEL):
        await trio.sleep(3600)
        assert len(sim.handshakes) == 1
        assert len(sim.connections) == 1


def _simulator(port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "o2trio", "simulator", "--port", str(port), "--seed", "7"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )


async def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line: str = await trio.to_thread.run_sync(process.stdout.readline)
    return line.rsplit(maxsplit=1)[-1]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
async def test_a_server_killed_with_sigkill_is_noticed_and_recovered_from() -> None:
    """In real time, over TCP, in a process of its own: the kernel resets the connection."""
    options = Options(backoff_initial=0.2, backoff_cap=0.2)
    processes = [_simulator(0)]
    try:
        with trio.fail_after(20):
            url = await _url(processes[0])
            async with open_o2(NetworkConfig.from_url(url), options=options) as o2:
                watcher = DepthWatcher()
                async with o2.events() as events, o2.stream_depth(FUEL) as updates:
                    for _ in range(3):
                        watcher.take(await updates.receive())
                    os.kill(processes[0].pid, signal.SIGKILL)
                    with trio.fail_after(2):
                        await _until(events, ConnectionDown)
                    processes[0].wait()
                    processes.append(_simulator(int(url.rpartition(":")[2])))
                    await _until(events, ConnectionUp)
                    update: DepthUpdate = await updates.receive()
                    while not update.epoch:
                        watcher.take(update)
                        update = await updates.receive()
                    watcher.take(update)
                    assert update.is_snapshot
                    watcher.take(await updates.receive())
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
