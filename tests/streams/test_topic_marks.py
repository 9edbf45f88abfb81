"""Where a mark stands: behind everything that came before the loss, in front of what came after it."""

from __future__ import annotations

from tests.streams.world import TRADES, World, trades

BROKEN = '{"action":"subscribe_trades","trades":7}'


def test_what_was_held_before_a_loss_does_not_come_behind_its_mark() -> None:
    world = World(repair_timeout=10.0, indexer_lag=0.0)
    (box,) = world.live(TRADES)
    world.receive(trades(4))
    world.receive(BROKEN)
    world.host.advance(11)
    world.receive(trades(5))
    # Instead of trade 6; the repair is overdue and given up.
    world.receive(BROKEN)
    world.receive(trades(7))
    told: list[str] = []
    while box.ready:
        update = box.pop()
        told += ["gap"] if update.gap else [trade.trade_id for trade in getattr(update, "trades", ())]
    assert told == ["4", "gap", "7"]
