"""A repair of one stream changes nothing for the others: every item comes at the same virtual moment."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from o2trio import Options, TopicRestored, open_o2
from o2trio.simulator import open_simulator

FUEL, ETH, BTC = "fFUEL/fUSDC", "fETH/fUSDC", "fBTC/fUSDC"
OPTIONS = Options(jitter=lambda: 1.0)
Arrivals = list[tuple[float, Any]]


async def _watch(*, broken: bool) -> tuple[dict[str, Arrivals], list[float]]:
    """Return when what came on every stream but FUEL's trades, which break once a while if `broken`."""
    arrivals: dict[str, Arrivals] = {}
    async with (
        open_simulator(seed=41, rate=4.0) as sim,
        open_o2(sim.network, options=OPTIONS) as o2,
        o2.events() as events,
        trio.open_nursery() as nursery,
    ):
        start = trio.current_time()

        async def follow(name: str, stream: Any, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
            mine = arrivals[name] = []
            async with stream as items:
                task_status.started()
                async for item in items:
                    what = getattr(item, "trades", None) or getattr(item, "changes", None)
                    mine.append((trio.current_time() - start, what))

        await nursery.start(follow, "broken", o2.stream_trades(FUEL))
        for name, stream in {
            "depth": o2.stream_depth(FUEL),
            "view": o2.stream_depth_view(ETH, 1, "100ms"),
            "trades": o2.stream_trades(ETH),
            "other trades": o2.stream_trades(BTC),
            "other depth": o2.stream_depth(BTC),
        }.items():
            await nursery.start(follow, name, stream)
        # REST is slow and fails: the repair takes its time.
        sim.rest.slow(1.0)
        sim.rest.fail(503, probability=0.5)
        for _ in range(4):
            await trio.sleep(15)
            if broken:
                market_id = sim.market(FUEL).market_id
                sim.send_raw(f'{{"action": "subscribe_trades", "market_id": "{market_id}", "trades": 1}}')
        await trio.sleep(30)
        repairs = []
        while events.statistics().buffered:
            event = events.receive_nowait()
            if isinstance(event, TopicRestored):
                repairs.append(event.time)
        nursery.cancel_scope.cancel()
    return arrivals, repairs


async def test_a_repair_leaves_the_latency_of_the_others_unchanged(autojump_clock: MockClock) -> None:
    calm, none = await _watch(broken=False)
    torn, repairs = await _watch(broken=True)
    assert none == []
    assert len(repairs) == 4
    assert [what for _, what in calm.pop("broken")] != [what for _, what in torn.pop("broken")]
    for name, arrivals in calm.items():
        assert len(arrivals) > 30, name
        assert [what for _, what in arrivals] == [what for _, what in torn[name]], name
        late = [there - here for (here, _), (there, _) in zip(arrivals, torn[name], strict=True)]
        assert max(map(abs, late)) < 1e-6, name
