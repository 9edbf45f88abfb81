"""The supervisor of a connection, where the tests of the promises do not reach it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from o2trio import LinkClosed, Options, open_o2
from o2trio.simulator import open_simulator
from o2trio.transport import Connection

FUEL = "fFUEL/fUSDC"


@pytest.mark.parametrize("ending", ["left", "idle"])
async def test_a_link_that_breaks_while_it_is_closed_is_neither_reported_nor_dialled_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    until_idle = Connection._until_idle
    over = []

    async def break_at_the_end(self: Connection) -> None:
        await until_idle(self)
        over.append(trio.current_time())
        raise LinkClosed(1006)

    monkeypatch.setattr(Connection, "_until_idle", break_at_the_end)
    async with open_simulator(seed=1) as sim:
        async with open_o2(sim.network, options=Options(idle_timeout=5)) as o2:
            events = await o2.events().__aenter__()
            async with o2.stream_depth(FUEL) as updates:
                await updates.receive()
            if ending == "idle":
                await trio.sleep(600)
                assert o2.statistics().connections == {}
        told = [type(event).__name__ async for event in events]
        assert len(over) == 1
        assert len(sim.handshakes) == 1
        assert told == ["ConnectionUp"]
