"""Cuts at random moments under load: nothing is missing, nothing comes twice, everything ends at the truth.

Five virtual minutes and some fifteen faults each; ``benchmarks/soak_repair.py`` goes on for an hour or more.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from o2trio import Origin
from o2trio.models import trade_key
from o2trio.streams import QUIET, Action, State, Step, TradeLedger
from o2trio.streams._machine import Event
from tests.repair._storm import AccountDiary, BookDiary, Storm, TradeDiary

# Dense rather than long: it is the breaks that tell.
EAGER = Storm(seed=1, seconds=300.0, every=20.0)
STORMS = {
    "eager": EAGER,
    "sleepy": attrs.evolve(EAGER, seed=2, naps=60),
    "everything is late, and REST fails": attrs.evolve(
        EAGER, seed=6, naps=30, latency=0.7, stale=1.9, rest=0.2
    ),
}
MOST_GAPS = 6
"""In three streams that break some fifteen times each, so that the marks do not excuse everything."""
SHORT = attrs.evolve(EAGER, seconds=80.0, rate=6)


@pytest.mark.parametrize("name", STORMS)
async def test_a_storm_loses_nothing_and_doubles_nothing(autojump_clock: MockClock, name: str) -> None:
    storm = STORMS[name]
    diaries = await storm.run()
    kinds = [type(diary) for diary in diaries]
    assert [kinds.count(kind) for kind in (TradeDiary, BookDiary, AccountDiary)] == [3, 3, 1]
    for diary in diaries:
        # `run` has checked that nothing is missing but what changed within these.
        assert len(diary.gaps) <= (MOST_GAPS if storm.may_mark_gaps else 0)
        for gap in diary.gaps:
            assert gap.since < gap.until
            assert gap.reason
        if isinstance(diary, TradeDiary):
            assert diary.count(Origin.BACKFILL)
    # Every consumer went through breaks.
    assert all(diary.updates[-1].epoch > 3 for diary in diaries)


def _dedupe_off(patch: pytest.MonkeyPatch) -> None:
    def fresh(self: TradeLedger, trades: Any) -> Any:
        told = tuple(trades)
        self._ids.update((trade_key(trade.trade_id), self._breaks) for trade in told)
        if told:
            self.last, self.is_anchored = told[-1], True
        return told

    patch.setattr(TradeLedger, "fresh", fresh)


def _hold_off(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(QUIET, (State.REPAIRING, Event.ITEM), Step(State.REPAIRING, Action.DELIVER))


def _repair_off(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(QUIET, (State.OFFLINE, Event.ONLINE), Step(State.JOINING, Action.SUBSCRIBE))


@pytest.mark.parametrize("naive", [_dedupe_off, _hold_off, _repair_off], ids=["dedupe", "hold", "repair"])
async def test_the_storm_breaks_naive_repairs(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, naive: Any
) -> None:
    naive(monkeypatch)
    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True):
        await SHORT.run()


async def test_the_storm_breaks_a_repair_that_reads_too_soon(autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True):
        await attrs.evolve(SHORT, seed=4, stale=1.9).run(indexer_lag=0.0)
