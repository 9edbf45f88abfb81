"""Where bars begin, and how trades add up to them."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio import InvalidRequest, Side, Trade
from o2trio._bars import BarBuilder, bar_of, bar_start, joined, moment_of, resolution_of
from o2trio.models import Bar, Resolution


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("resolution", "moment", "start"),
    [
        ("1s", "2026-11-22T10:11:12.999", "2026-11-22T10:11:12"),
        ("1m", "2026-11-22T10:11:59.999", "2026-11-22T10:11"),
        ("2m", "2026-11-22T10:11:12", "2026-11-22T10:10"),
        ("3m", "2026-11-22T10:11:12", "2026-11-22T10:09"),
        ("5m", "2026-11-22T10:14:59", "2026-11-22T10:10"),
        ("15m", "2026-11-22T10:14:59", "2026-11-22T10:00"),
        ("30m", "2026-11-22T10:30:00", "2026-11-22T10:30"),
        ("1h", "2026-11-22T10:59:59", "2026-11-22T10:00"),
        ("2h", "2026-11-22T11:59:59", "2026-11-22T10:00"),
        ("4h", "2026-11-22T11:59:59", "2026-11-22T08:00"),
        ("6h", "2026-11-22T11:59:59", "2026-11-22T06:00"),
        ("8h", "2026-11-22T11:59:59", "2026-11-22T08:00"),
        ("12h", "2026-11-22T11:59:59", "2026-11-22T00:00"),
        ("1d", "2026-11-22T23:59:59.999", "2026-11-22"),
        ("3d", "1970-01-06T23:59:59", "1970-01-04"),
        ("1w", "2026-11-22T23:59:59.999", "2026-11-16"),
        ("1w", "2026-11-23T00:00:00", "2026-11-23"),
        ("1w", "1970-01-01", "1969-12-29"),
        ("1M", "2024-02-29T23:59:59.999", "2024-02-01"),
        ("1M", "2026-12-31T23:59:59.999", "2026-12-01"),
        ("3M", "2026-03-31T23:59:59.999", "2026-01-01"),
        ("3M", "2026-12-31", "2026-10-01"),
        ("3M", "2026-04-01", "2026-04-01"),
    ],
)
def test_a_bar_begins_where_the_calendar_says_in_utc(resolution: str, moment: str, start: str) -> None:
    assert bar_start(resolution_of(resolution), ms(moment)) == ms(start)


@given(st.sampled_from(Resolution), st.integers(0, 4_102_444_800_000))
def test_every_moment_lies_in_the_bar_that_begins_before_it(resolution: Resolution, moment: int) -> None:
    start = bar_start(resolution, moment)
    longest = {"1M": 31, "3M": 92}.get(resolution, 0) * 86_400_000 or resolution.milliseconds
    assert start <= moment < start + longest
    assert bar_start(resolution, start) == start
    assert start <= 0 or bar_start(resolution, start - 1) < start


def test_another_resolution_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"1m, 2m.*not '7m'"):
        resolution_of("7m")


def trade(number: int, moment: int, price: int, quantity: int = 1, side: Side = Side.SELL) -> Trade:
    return Trade(trade_id=str(number), side=side, price=price, quantity=quantity, timestamp=moment)


def expected(resolution: Resolution, trades: list[Trade]) -> list[Bar]:
    """Return the bars of `trades` the slow way."""
    starts = sorted({bar_start(resolution, moment_of(one)) for one in trades})
    bars = []
    for start in starts:
        inside = [one for one in trades if bar_start(resolution, moment_of(one)) == start]
        prices = [one.price for one in inside]
        bars.append(
            Bar(
                timestamp=start,
                open=prices[0],
                high=max(prices),
                low=min(prices),
                close=prices[-1],
                buy_volume=sum(one.quantity for one in inside if one.taker_side is Side.BUY),
                sell_volume=sum(one.quantity for one in inside if one.taker_side is Side.SELL),
            )
        )
    return bars


@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 9), st.integers(1, 5), st.sampled_from(Side))),
    st.data(),
)
def test_bars_do_not_depend_on_how_the_trades_come_in(
    told: list[tuple[int, int, int, Side]], data: st.DataObject
) -> None:
    resolution = Resolution.MINUTE_1
    moment, trades = 1_700_000_000_000, []
    for number, (after, price, quantity, side) in enumerate(told):
        moment += after
        trades.append(trade(number, moment, price, quantity, side))
    builder, seen, left = BarBuilder(resolution), dict[int, Bar](), list(trades)
    while left:
        count = data.draw(st.integers(1, len(left)))
        changed = builder.add(map(bar_of, left[:count]))
        assert [bar.timestamp for bar in changed] == sorted(bar.timestamp for bar in changed)
        assert changed[-1] == builder.current
        seen.update((bar.timestamp, bar) for bar in changed)
        left = left[count:]
    assert list(seen.values()) == expected(resolution, trades)
    assert builder.add([]) == []


NOON = ms("2026-11-22T12:00")


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000])
def test_a_trade_belongs_to_the_bar_of_its_time_in_whatever_unit_it_is(unit: int) -> None:
    seconds = NOON // 1_000
    assert bar_of(trade(1, seconds * unit, 5)).timestamp == NOON
    with pytest.raises(ValueError, match="trade 1 has no readable time"):
        bar_of(attrs.evolve(trade(1, NOON, 5), timestamp=None))


def test_a_part_of_a_bar_that_is_over_is_refused() -> None:
    builder = BarBuilder(Resolution.MINUTE_1)
    builder.add([bar_of(trade(1, NOON + 60_000, 5)), bar_of(trade(2, NOON + 120_000, 6))])
    with pytest.raises(ValueError, match="came after"):
        builder.add([bar_of(trade(3, NOON + 119_999, 7))])
    assert builder.current == bar_of(trade(2, NOON + 120_000, 6))


def test_an_unknown_volume_makes_the_sum_unknown() -> None:
    only_sum = Bar(timestamp=0, open=1, high=1, low=1, close=1, volume=7)
    both = joined(only_sum, bar_of(trade(1, 5, 3)))
    assert (both.buy_volume, both.sell_volume, both.volume) == (None, None, 8)
