"""Who joins a stream while it is repaired for others begins behind the repair, and misses nothing from there.

The naive version lets them go on at once, and loses what it holds back for them when the next break comes.
"""

from __future__ import annotations

import pytest

from o2trio.wire import decode
from tests.streams.world import TRADES, World, trades


@pytest.mark.parametrize("how", ["link lost", "broken frame", "too many held", "read twice"])
def test_what_is_held_back_is_nobody_s_loss(how: str) -> None:
    world = World(buffer_size=4)
    world.live(TRADES)
    topic = world.topic(TRADES)
    world.receive(trades(1))
    world.down()
    world.back()
    late = world.mailbox(TRADES)
    assert not late.opened.is_set()
    world.receive(trades(2))
    numbers = [2, 3]
    if how == "link lost":
        world.down()
        world.back()
    elif how == "broken frame":
        world.receive('{"action":"subscribe_trades","trades":7}')
    elif how == "too many held":
        numbers = list(range(2, 9))
        for number in numbers[1:]:
            world.receive(trades(number))
    body = decode(trades(*numbers)).body
    topic.backfill(topic.epoch, getattr(body, "trades", ()))
    assert not late.opened.is_set()
    topic.repaired(topic.epoch, [])
    assert late.opened.is_set()
    world.receive(trades(9))
    told: list[str] = []
    while late.ready:
        told += [trade.trade_id for trade in getattr(late.pop(), "trades", ())]
    assert told[-1] == "9"
