"""Messages that come twice while a repair reads what was missed."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock

from o2trio.streams import State
from tests.repair.test_repair_faults import scene


@pytest.mark.parametrize("missed", [20, 120])
async def test_a_repeated_message_does_not_end_a_repair(autojump_clock: MockClock, missed: int) -> None:
    async with scene(flow=False) as at:
        at.trade(3)
        await trio.sleep(5)
        last = at.diary.trades[-1]
        at.sim.drop_connections()
        await at.until(State.OFFLINE)
        at.trade(missed)
        await at.until(State.REPAIRING)
        row = {
            "trade_id": last.trade_id, "side": "Buy", "total": "1", "quantity": str(last.quantity),
            "price": str(last.price), "timestamp": str(last.timestamp),
        }  # fmt: skip
        market_id = at.sim.market("fFUEL/fUSDC").market_id
        at.sim.send_raw(json.dumps({"action": "subscribe_trades", "market_id": market_id, "trades": [row]}))
        await trio.sleep(40)
        at.trade(1)
        await at.rest()
        at.diary.check()
        assert "gap" not in at.origins
