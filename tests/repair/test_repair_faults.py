"""REST that fails, is down, is late or early during a repair; and what overflows and second breaks do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import (
    ConsumerTooSlow,
    O2Client,
    Options,
    Origin,
    StreamGap,
    TopicRestored,
    TradeUpdate,
    open_o2,
)
from o2trio.simulator import Simulator, default_listings, open_simulator
from o2trio.streams import QUIET, Action, State, Step
from o2trio.streams._machine import Event
from tests.promises._support import Wrapped
from tests.repair._storm import TradeDiary

FUEL = "fFUEL/fUSDC"
FUEL_ONLY = default_listings()[:1]
OPTIONS = Options(jitter=lambda: 1.0, backoff_cap=2.0)


class Scene:
    """A simulator, a client and one diary of trades, live for ten seconds."""

    def __init__(self, sim: Simulator, o2: O2Client, diary: TradeDiary) -> None:
        self.sim, self.o2, self.diary = sim, o2, diary

    @property
    def epoch(self) -> int:
        return self.o2.statistics().topics[0].breaks

    @property
    def origins(self) -> list[str]:
        return [update.origin.value for update in self.diary.updates]

    async def until(self, state: State) -> None:
        for _ in range(10_000):
            if self.o2.statistics().topics[0].state is state:
                return
            await trio.sleep(0.01)
        raise AssertionError(state)

    async def rest(self, seconds: float = 60) -> None:
        self.sim.pause_flow()
        await trio.sleep(seconds)

    def trade(self, count: int = 1) -> None:
        """Make trades between two accounts of our own."""
        market = self.sim.market(FUEL)
        one, other = self.sim.create_account(), self.sim.create_account()
        for _ in range(count):
            before = len(self.sim.exchange.trades(market.market_id))
            self.sim.place(one, FUEL, "sell", price="0.0100", quantity="1000")
            self.sim.place(other, FUEL, "buy", price="0.0100", quantity="1000")
            assert len(self.sim.exchange.trades(market.market_id)) > before


@asynccontextmanager
async def scene(options: Options = OPTIONS, rate: float = 8.0, **changes: Any) -> AsyncIterator[Scene]:
    async with (
        open_simulator(seed=7, rate=rate, **{"markets": FUEL_ONLY, **changes}) as sim,
        open_o2(sim.network, options=options) as o2,
        trio.open_nursery() as nursery,
    ):
        diary = TradeDiary(0, 0)
        await nursery.start(diary.follow, sim, o2, FUEL)
        await trio.sleep(10)
        yield Scene(sim, o2, diary)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "fault",
    [
        lambda rest: rest.fail(503, count=6),
        lambda rest: rest.fail(429, retry_after=3, count=3),
        lambda rest: rest.fail(502, html=True, count=6),
        lambda rest: rest.cut(count=6),
        lambda rest: rest.slow(14, count=2),
        lambda rest: rest.slow(16, count=1),
        lambda rest: rest.fail(500, probability=0.7),
    ],
    ids=["503", "429", "html", "cut", "slow", "too slow", "mostly 500"],
)
async def test_rest_that_fails_during_a_repair_only_delays_it(autojump_clock: MockClock, fault: Any) -> None:
    async with scene() as at:
        fault(at.sim.rest)
        at.sim.drop_connections()
        await trio.sleep(90)
        at.sim.rest.heal()
        await at.rest()
        at.diary.check()
        assert "gap" not in at.origins
        assert "backfill" in at.origins


async def test_rest_that_stays_down_is_a_gap_with_its_exact_edges(autojump_clock: MockClock) -> None:
    async with scene(markets=None) as at, at.o2.events() as events:
        at.sim.rest.go_down()
        cut_at = trio.current_time()
        at.sim.drop_connections()
        await at.until(State.OFFLINE)
        before = at.diary.trades[-1]
        await trio.sleep(40)
        restored = None
        while not isinstance(restored, TopicRestored):
            restored = await events.receive()
        assert not restored.repaired
        at.sim.rest.come_back()
        await at.rest()
        (mark,) = [update for update in at.diary.updates if update.origin is Origin.GAP]
        assert isinstance(mark, TradeUpdate)
        gap = mark.gap
        assert gap is not None
        assert mark.trades == ()
        place = at.diary.updates.index(mark)
        behind = at.diary.updates[place + 1]
        assert isinstance(behind, TradeUpdate)
        assert (gap.after, gap.before) == (before.trade_id, behind.trades[0].trade_id)
        # Everything but what lies between is there, and something does.
        truth = [record.trade_id for record in at.diary.truth()]
        first, last = truth.index(gap.after), truth.index(gap.before)
        assert [trade.trade_id for trade in at.diary.trades] == truth[: first + 1] + truth[last:]
        assert last - first > 1
        assert cut_at - 1 < gap.since <= cut_at
        # The dial, the wait for REST to catch up, and its bound.
        assert gap.until == restored.time
        assert gap.until - cut_at <= 2 + OPTIONS.indexer_lag + OPTIONS.repair_timeout + 0.1
        assert "no answer in time" in gap.reason
        # The next break heals.
        at.sim.resume_flow()
        at.sim.drop_connections()
        await trio.sleep(20)
        await at.rest()
        assert at.origins.count("gap") == 1
        tail = [trade.trade_id for trade in at.diary.trades]
        truth = [record.trade_id for record in at.diary.truth()]
        assert tail == truth[: first + 1] + truth[last:]


@pytest.mark.parametrize("after", [0.0, 0.5, 1.9, 2.0, 2.001, 2.5, 5.0])
async def test_a_second_break_during_a_repair(autojump_clock: MockClock, after: float) -> None:
    """Whether the repair still waits, reads or has delivered its first page."""
    async with scene() as at:
        at.sim.rest.slow(1.5)
        at.sim.drop_connections()
        await at.until(State.OFFLINE)
        at.trade(120)
        await at.until(State.REPAIRING)
        await trio.sleep(after)
        assert at.epoch == 1
        at.sim.drop_connections()
        await trio.sleep(40)
        assert at.epoch == 2
        await at.rest()
        at.diary.check()
        assert "gap" not in at.origins


async def test_a_storm_of_broken_frames_is_repaired_with_a_few_reads(autojump_clock: MockClock) -> None:
    async with scene() as at:
        before = len(at.sim.rest.requests)
        for _ in range(200):
            at.sim.send_raw('{"action": "subscribe_trades", "trades": [')
        await trio.sleep(20)
        assert at.epoch == 200
        assert len(at.sim.rest.requests) - before <= 5
        await at.rest()
        at.diary.check()


async def test_a_trade_that_is_read_before_it_is_streamed_comes_once(autojump_clock: MockClock) -> None:
    async with scene(attrs.evolve(OPTIONS, indexer_lag=0.0)) as at:
        at.sim.set_latency(3.0)
        for _ in range(5):
            at.sim.drop_connections()
            await trio.sleep(30)
        await at.rest()
        at.diary.check()
        # The pages reached beyond what had been streamed by then.
        read = {t.trade_id for u in at.diary.updates if u.origin is Origin.BACKFILL for t in u.trades}  # type: ignore[attr-defined]
        assert read


@pytest.mark.parametrize("stale", [0, 1900])
async def test_trades_in_flight_at_the_beginning_are_not_taken_for_known(
    autojump_clock: MockClock, stale: int
) -> None:
    """The newest trade that REST shows at the beginning may still be on its way."""
    async with open_simulator(seed=8, rate=20.0) as sim:
        sim.set_latency(2.0)
        sim.rest.stale(stale)
        for _ in range(5):
            async with open_o2(sim.network, options=OPTIONS) as o2, trio.open_nursery() as nursery:
                diary = TradeDiary(0, 0)
                await nursery.start(diary.follow, sim, o2, FUEL)
                await trio.sleep(15)
                sim.pause_flow()
                await trio.sleep(10)
                diary.check()
                sim.resume_flow()
                nursery.cancel_scope.cancel()


async def test_a_quiet_beginning_and_a_break_lose_nothing(autojump_clock: MockClock) -> None:
    """No trade has come yet when the connection is lost: where to read on was asked at the beginning."""
    async with scene(flow=False) as at:
        at.trade(3)
        at.sim.drop_connections()
        at.trade(3)
        await trio.sleep(20)
        assert len(at.diary.trades) >= 6
        assert at.diary.trades == at.diary.truth()
        assert "gap" not in at.origins


async def test_without_rest_at_the_beginning_a_break_is_a_gap_once(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=9, flow=False) as sim, open_o2(sim.network, options=OPTIONS) as o2:
        market = sim.market(FUEL)
        sim.rest.go_down()
        async with o2.stream_trades(market) as trades:
            await trio.sleep(30)
            sim.drop_connections()
            await trio.sleep(10)
            mark = trades.receive_nowait()
            assert mark.gap is not None
            assert "not known" in mark.gap.reason
            assert (mark.gap.after, mark.gap.before) == (None, None)
            sim.rest.come_back()
            await trio.sleep(30)
            sim.drop_connections()
            await trio.sleep(30)
            sim.drop_connections()
            await trio.sleep(30)
            with pytest.raises(trio.WouldBlock):
                trades.receive_nowait()


# -- requests that take their time -----------------------------------------------------------------


class _SlowUpload(Wrapped):
    """What the client sends takes two seconds from the moment it is written."""

    def __init__(self, inner: trio.abc.Stream, nursery: trio.Nursery) -> None:
        super().__init__(inner)
        self._send, self._receive = trio.open_memory_channel[tuple[float, bytes]](1000)
        nursery.start_soon(self._upload)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._send.send((trio.current_time() + 2, bytes(data)))

    async def _upload(self) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for due, data in self._receive:
                await trio.sleep_until(due)
                await self._inner.send_all(data)


async def _with_slow_uploads() -> None:
    async with open_simulator(seed=7, rate=20.0) as sim, trio.open_nursery() as uploads:
        dial = sim.network.dialer
        assert dial is not None

        async def slow(host: str, port: int) -> trio.abc.Stream:
            stream = await dial(host, port)
            is_rest = host == sim.network.rest_url.split("/")[2]
            return stream if is_rest else _SlowUpload(stream, uploads)

        options = attrs.evolve(OPTIONS, indexer_lag=0.0)
        network = attrs.evolve(sim.network, dialer=slow)
        async with open_o2(network, options=options) as o2, trio.open_nursery() as nursery:
            diary = TradeDiary(0, 0)
            await nursery.start(diary.follow, sim, o2, FUEL)
            await trio.sleep(10)
            for _ in range(3):
                sim.drop_connections()
                await trio.sleep(20)
            sim.pause_flow()
            await trio.sleep(20)
            assert diary.count(Origin.BACKFILL)
            # The very beginning may lie before the request was read.
            told, truth = diary.trades, diary.truth()
            assert told == truth[truth.index(told[0]) :]
            nursery.cancel_scope.cancel()
        uploads.cancel_scope.cancel()


async def test_a_repair_waits_until_the_server_has_read_the_request(autojump_clock: MockClock) -> None:
    await _with_slow_uploads()


async def test_a_repair_that_does_not_wait_loses_trades(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUIET, (State.REPAIRING, Event.SENT), Step(State.REPAIRING, Action.REPAIR))
    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True):
        await _with_slow_uploads()


# -- overflow --------------------------------------------------------------------------------------


async def test_an_overflow_is_healed_page_by_page_in_bounded_memory(autojump_clock: MockClock) -> None:
    options = attrs.evolve(OPTIONS, buffer_size=32)
    async with scene(options, rate=4.0) as at, at.o2.stream_trades(FUEL) as slow:
        first = len(at.diary.truth())
        for _ in range(4):
            at.trade(250)
        await trio.sleep(30)
        requests = len(at.sim.rest.requests)
        await trio.sleep(30)
        assert len(at.sim.rest.requests) == requests, "nothing is read while there is no room"
        told: list[Any] = []
        most = 0
        for _ in range(2000):
            most = max(most, slow.statistics().buffered)
            if slow.statistics().buffered:
                told += slow.receive_nowait().trades
            await trio.sleep(0.1)
        at.sim.pause_flow()
        await trio.sleep(30)
        while slow.statistics().buffered:
            told += slow.receive_nowait().trades
            await trio.sleep(0.1)
        assert most <= 32 + 16 + 1
        assert [t.trade_id for t in told] == [t.trade_id for t in at.diary.truth()[first:]]
        assert len(told) > 1000, "many pages, and many times the buffer"
        assert slow.statistics().gaps == 0


async def test_an_overflow_that_cannot_be_healed_is_a_gap_with_its_edges(autojump_clock: MockClock) -> None:
    options = attrs.evolve(OPTIONS, buffer_size=32)
    async with scene(options, flow=False) as at, at.o2.stream_trades(FUEL) as slow:
        at.sim.rest.go_down()
        at.trade(40)
        await trio.sleep(1)
        at.trade(100)
        await trio.sleep(1)
        updates = [slow.receive_nowait() for _ in range(slow.statistics().buffered)]
        await trio.sleep(30)
        updates += [slow.receive_nowait() for _ in range(slow.statistics().buffered)]
        at.trade()
        await trio.sleep(1)
        updates.append(slow.receive_nowait())
        (mark,) = [update for update in updates if update.origin is Origin.GAP]
        assert mark.gap is not None
        assert "too slow" in mark.gap.reason
        ids = [trade.trade_id for update in updates for trade in update.trades]
        truth = [trade.trade_id for trade in at.diary.truth()]
        assert at.diary.trades == at.diary.truth(), "the quick consumer notices nothing"
        assert mark.gap.after is not None
        assert mark.gap.before is not None
        first, last = truth.index(mark.gap.after), truth.index(mark.gap.before)
        assert ids == truth[: first + 1] + truth[last:]


async def test_a_consumer_that_leaves_while_it_is_behind(autojump_clock: MockClock) -> None:
    options = attrs.evolve(OPTIONS, buffer_size=8)
    async with scene(options) as at:
        async with at.o2.stream_trades(FUEL) as slow:
            at.trade(100)
            await trio.sleep(5)
            at.sim.rest.slow(3)
            for _ in range(6):
                slow.receive_nowait()
            await trio.sleep(1)
        await trio.sleep(20)
        await at.rest()
        at.diary.check()


# -- raising instead -------------------------------------------------------------------------------


async def test_on_gap_raise_tells_the_gap_where_it_is_and_goes_on(autojump_clock: MockClock) -> None:
    async with scene() as at, at.o2.stream_trades(FUEL, on_gap="raise") as strict:
        await trio.sleep(5)
        at.sim.rest.go_down()
        at.sim.drop_connections()
        await trio.sleep(40)
        await at.rest()
        gaps: list[Any] = []
        told = [batch async for batch in _batches(strict, gaps)]
        (mark,) = [update for update in at.diary.updates if update.origin is Origin.GAP]
        assert gaps == [mark.gap]
        seen = [trade for batch in told for update in batch for trade in update.trades]
        assert seen == at.diary.trades[-len(seen) :]
        assert len(told) == 2, "the batch before the gap is not lost"


async def _batches(stream: Any, gaps: list[Any]) -> AsyncIterator[list[Any]]:
    batches = stream.batches()
    while stream.statistics().buffered:
        try:
            yield await anext(batches)
        except StreamGap as problem:
            gaps.append(problem.gap)


async def test_on_overflow_raise_ends_the_stream_behind_what_it_had(autojump_clock: MockClock) -> None:
    options = attrs.evolve(OPTIONS, buffer_size=8)
    async with scene(options) as at:
        account = at.sim.create_account()
        streams: list[Any] = [
            at.o2.stream_trades(FUEL, on_overflow="raise"),
            at.o2.stream_depth(FUEL, on_overflow="raise"),
            at.o2.stream_depth_view(FUEL, 1, "100ms", on_overflow="raise"),
            at.o2.stream_orders(account.info, on_overflow="raise"),
            at.o2.stream_balances(account.info, on_overflow="raise"),
            at.o2.stream_nonce(account.info, on_overflow="raise"),
        ]
        for stream in streams:
            await stream.__aenter__()
        for _ in range(20):
            at.sim.place(account, FUEL, "buy", price="10", quantity="1000")
            await trio.sleep(1)
        for stream in streams:
            for _ in range(8):
                await stream.receive()
            for _ in range(2):
                with pytest.raises(ConsumerTooSlow):
                    await stream.receive()
            stream.close()
        await at.rest()
        at.diary.check()
