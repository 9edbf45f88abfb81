"""The time that a repair may take, over the breaks that interrupt it."""

from __future__ import annotations

from o2trio import Options
from o2trio.streams._patience import Patience

OPTIONS = Options(indexer_lag=2.0, repair_timeout=20.0, backfill_timeout=100.0)


def deadline(patience: Patience, *, is_of_trades: bool = False) -> float:
    return patience.deadline(OPTIONS, is_of_trades=is_of_trades)


def test_it_runs_from_the_first_repair_and_not_while_there_is_no_connection() -> None:
    patience = Patience()
    patience.stop(90)
    patience.start(100)
    assert deadline(patience) == deadline(patience, is_of_trades=True) == 122
    patience.stop(105)
    # Offline for an hour.
    patience.start(3705)
    assert deadline(patience) == 3705 + 22 - 5
    patience.stop(3715)
    patience.start(3716)
    assert deadline(patience) == 3716 + 22 - 15
    patience.reset()
    patience.start(4000)
    assert deadline(patience) == 4022


def test_progress_gives_trades_more_time_but_not_without_end() -> None:
    patience = Patience()
    patience.start(0)
    for now in range(10, 90, 10):
        patience.advance(now, OPTIONS)
        assert deadline(patience, is_of_trades=True) == min(now + 20, 102)
    patience.advance(90, OPTIONS)
    assert deadline(patience, is_of_trades=True) == 102
    patience.stop(95)
    patience.start(200)
    assert deadline(patience, is_of_trades=True) == 207
