"""One broken frame neither re-dials nor disturbs what it does not concern; what it concerns is mended."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import BookInconsistent, FrameIgnored, LinkClosed, O2Client, TopicBroken, TopicRestored, open_o2
from o2trio.simulator import Simulator, open_simulator
from o2trio.simulator._websocket import Connection, text_frame
from o2trio.streams import Port
from tests.promises._support import ETH, FUEL, QUICK, DepthWatcher, TradeWatcher, settle

# A book that held for a second may break again as if it never had.
FORGIVING = attrs.evolve(QUICK, stable_after=1.0)

BROKEN: dict[str, tuple[bytes | str, tuple[bool, bool, bool]]] = {
    # What a frame may have been meant for: the book of FUEL, the one of ETH, the trades of FUEL.
    "no JSON": (b"\x81\x07garbage", (True, True, False)),
    "empty": (b"\x81\x00", (True, True, False)),
    "list": (text_frame('[{"action": 1}]'), (True, True, False)),
    "number": (text_frame("12"), (True, True, False)),
    "binary": (b"\x82\x03\x00\x01\xff", (True, True, False)),
    "truncated": (text_frame('{"act'), (True, True, True)),
    "no action": (text_frame('{"hello": "world"}'), (False, False, False)),
    "truncated depth": (text_frame('{"action":"subscribe_depth_update","changes":{"bu'), (True, True, False)),
    "truncated trades": (text_frame('{"action":"subscribe_trades","trades":[{'), (False, False, True)),
    "float in a level": ("{market}subscribe_depth_update", (True, False, False)),
    "trades that are not a list": ("{market}subscribe_trades", (False, False, True)),
    "unknown action": (text_frame('{"action":"subscribe_weather","sky":"blue"}'), (False, False, False)),
}


def _frame(sim: Simulator, name: str) -> bytes:
    frame = BROKEN[name][0]
    if isinstance(frame, bytes):
        return frame
    market_id = sim.market(FUEL).market_id
    body = {
        "float in a level": '"changes":{"buys":[{"price":"12.5","quantity":"1"}],"sells":[]}',
        "trades that are not a list": '"trades":"1"',
    }[name]
    action = frame.removeprefix("{market}")
    return text_frame(f'{{"action":"{action}",{body},"market_id":"{market_id}"}}')


async def _break_once(sim: Simulator, o2: O2Client, name: str) -> None:
    fuel, eth, trades = DepthWatcher(), DepthWatcher(), TradeWatcher()
    async with trio.open_nursery() as nursery, o2.events() as events:
        await nursery.start(fuel.follow, o2.stream_depth(FUEL))
        await nursery.start(eth.follow, o2.stream_depth(ETH))
        await nursery.start(trades.follow, o2.stream_trades(FUEL))
        await trio.sleep(10)
        sim.connections[0].send(_frame(sim, name))
        await trio.sleep(30)
        await settle(sim)
        assert [handshake.status for handshake in sim.handshakes] == [101]
        assert len(sim.connections) == 1
        fuel.check(sim)
        eth.check(sim, ETH)
        trades.check(sim)
        assert trades.trades[-1] == sim.exchange.trades(sim.market(FUEL).market_id)[-1]
        broken = BROKEN[name][1]
        assert (fuel.epoch, eth.epoch, trades.epoch) == broken
        assert trades.gaps == 0, "what a broken trades frame held is read"
        assert fuel.snapshots == 1 + broken[0]
        assert len(sim.connections[0].subscriptions) == 3
        seen = []
        while events.statistics().buffered:
            seen.append(events.receive_nowait())
        kinds = [type(event) for event in seen if not isinstance(event, (FrameIgnored,))][1:]
        assert sum(isinstance(event, FrameIgnored) for event in seen) == 1
        assert kinds.count(TopicBroken) == kinds.count(TopicRestored) == sum(broken) == len(kinds) // 2
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", BROKEN)
async def test_one_broken_frame_neither_redials_nor_disturbs_others(
    autojump_clock: MockClock, name: str
) -> None:
    """Seen elsewhere: a non-JSON frame opened a second connection and left the first open for ever."""
    async with open_simulator(seed=8, rate=3) as sim, open_o2(sim.network, options=QUICK) as o2:
        await _break_once(sim, o2, name)


async def test_naive_a_broken_frame_is_a_broken_connection(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: any error of the parser ends the connection."""

    def redial(self: Port, problem: object, message: object) -> None:
        raise LinkClosed(1007, "bad frame")

    monkeypatch.setattr(Port, "_undecodable", redial)
    with pytest.RaisesGroup(AssertionError, allow_unwrapped=True, flatten_subgroups=True):
        async with open_simulator(seed=8, rate=3) as sim, open_o2(sim.network, options=QUICK) as o2:
            await _break_once(sim, o2, "no JSON")


def _spoil(
    monkeypatch: pytest.MonkeyPatch, connection: Connection, spoil: Callable[[bytes], bytes], every: int
) -> list[bytes]:
    """Let every n-th depth update be spoilt on its way; return the list they go into."""
    send, spoilt, count = connection.send, [], 0

    def send_some(data: bytes) -> None:
        nonlocal count
        if b"subscribe_depth_update" in data:
            count += 1
            if count % every == 0:
                spoilt.append(data)
                data = spoil(data)
        send(data)

    monkeypatch.setattr(connection, "send", send_some)
    return spoilt


def _payload(data: bytes) -> bytes:
    return data[data.index(b"{") :]


SPOILERS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: text_frame(_payload(data)[:60].decode()),
    "letters": lambda data: text_frame(_payload(data).decode().replace('"quantity":"', '"quantity":"x')),
    "no JSON": lambda data: text_frame("oops"),
    "binary": lambda data: b"\x82\x7e" + len(_payload(data)).to_bytes(2, "big") + _payload(data)[::-1],
}


async def _lose_updates(sim: Simulator, o2: O2Client, monkeypatch: pytest.MonkeyPatch, spoiler: str) -> None:
    fuel, eth = DepthWatcher(), DepthWatcher()
    async with trio.open_nursery() as nursery:
        await nursery.start(fuel.follow, o2.stream_depth(FUEL))
        await nursery.start(eth.follow, o2.stream_depth(ETH))
        spoilt = _spoil(monkeypatch, sim.connections[0], SPOILERS[spoiler], every=60)
        await trio.sleep(60)
        await settle(sim, 70)
        assert len(spoilt) > 3
        fuel.check(sim)
        eth.check(sim, ETH)
        assert len(sim.handshakes) == 1
        assert fuel.epoch + eth.epoch >= len(spoilt)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("spoiler", SPOILERS)
async def test_a_lost_difference_is_healed_by_a_fresh_snapshot(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, spoiler: str
) -> None:
    """A difference that cannot be read is a difference that is lost: the book would be wrong for ever."""
    async with open_simulator(seed=9, rate=5) as sim, open_o2(sim.network, options=FORGIVING) as o2:
        await _lose_updates(sim, o2, monkeypatch, spoiler)


async def test_naive_malformed_frames_are_skipped(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive version: a frame that cannot be parsed is logged and skipped."""
    monkeypatch.setattr(Port, "_touched", lambda self, problem, message: [])
    with pytest.RaisesGroup(
        pytest.RaisesExc((AssertionError, BookInconsistent)), allow_unwrapped=True, flatten_subgroups=True
    ):
        async with open_simulator(seed=9, rate=5) as sim, open_o2(sim.network, options=FORGIVING) as o2:
            await _lose_updates(sim, o2, monkeypatch, "cut")
