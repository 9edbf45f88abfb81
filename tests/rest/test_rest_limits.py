"""Token buckets and the limiter: no window sees more than the rate, no token is lost, no one is overtaken."""

from __future__ import annotations

from bisect import bisect_left

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from o2trio.rest._limits import RATES, Bucket, Group, Limiter, Rate, read_group


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


RATE = st.builds(Rate, st.integers(1, 6), st.sampled_from([0.25, 1.0, 1.1, 7.0, 60.0]))
GAPS = st.lists(st.floats(0, 5) | st.sampled_from([0.0, 0.25, 1.0, 60.0]), max_size=60)


def ride(rate: Rate, gaps: list[float]) -> tuple[list[float], list[float]]:
    """Return when requests came, each a gap after the one before went, and when they went."""
    bucket, now = Bucket(rate), 0.0
    came, went = [], []
    for gap in gaps:
        now += gap
        came.append(now)
        while wait := bucket.wait(now):
            now += wait
        bucket = bucket.take(now)
        went.append(now)
    return came, went


@given(RATE, GAPS)
def test_no_window_ever_sees_more_than_the_rate(rate: Rate, gaps: list[float]) -> None:
    _, went = ride(rate, gaps)
    for index, start in enumerate(went):
        # Half-open, as exact as the sums of floats are.
        inside = bisect_left(went, start + rate.seconds * (1 - 1e-9)) - index
        assert inside <= rate.count


@given(RATE, GAPS)
def test_no_token_is_lost(rate: Rate, gaps: list[float]) -> None:
    """Who must wait goes in the very moment that the token of `count` requests before comes back."""
    came, went = ride(rate, gaps)
    for index, (come, go) in enumerate(zip(came, went, strict=True)):
        back = went[index - rate.count] + rate.seconds if index >= rate.count else 0.0
        assert go == pytest.approx(max(come, back), rel=1e-12)


@given(RATE, GAPS)
def test_a_bucket_stays_small(rate: Rate, gaps: list[float]) -> None:
    bucket, now = Bucket(rate), 0.0
    for gap in gaps:
        now += gap
        if not bucket.wait(now):
            bucket = bucket.take(now)
        assert len(bucket.away) <= rate.count


def test_a_bucket_is_a_value() -> None:
    bucket = Bucket(Rate(1, 2.0))
    assert bucket.take(10).wait(10.5) == 1.5
    assert bucket.wait(10.5) == 0
    assert bucket.take(10).wait(12) == 0


LIMITS = {group: Rate(2, 1.0) for group in Group}


async def test_first_come_first_served(clock: MockClock) -> None:
    limiter = Limiter(LIMITS)
    order: list[tuple[int, float]] = []

    async def ask(number: int) -> None:
        await trio.sleep(number / 1000)
        await limiter.acquire(Group.READS)
        order.append((number, round(trio.current_time(), 6)))

    async with trio.open_nursery() as nursery:
        for number in range(7):
            nursery.start_soon(ask, number)
    assert [number for number, _ in order] == list(range(7))
    assert [time for _, time in order] == [0, 0.001, 1.0, 1.001, 2.0, 2.001, 3.0]


async def test_a_cancelled_request_takes_no_token_and_no_place(clock: MockClock) -> None:
    limiter = Limiter(LIMITS)
    for _ in range(2):
        await limiter.acquire(Group.READS)
    times: list[float] = []

    async def ask() -> None:
        await limiter.acquire(Group.READS)
        times.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.5):
            async with trio.open_nursery() as doomed:
                doomed.start_soon(ask)
                doomed.start_soon(ask)
                await trio.sleep(0.1)
                nursery.start_soon(ask)
                nursery.start_soon(ask)
                nursery.start_soon(ask)
    assert times == [1.0, 1.0, 2.0]


async def test_cancelled_before_the_first_checkpoint(clock: MockClock) -> None:
    limiter = Limiter(LIMITS)
    with trio.CancelScope() as scope:
        scope.cancel()
        await limiter.acquire(Group.READS)
    assert scope.cancelled_caught
    for _ in range(2):
        await limiter.acquire(Group.READS)
    assert trio.current_time() == 0


async def test_groups_and_keys_are_independent(clock: MockClock) -> None:
    limiter = Limiter(LIMITS)
    for group in Group:
        for key in ("a", "b"):
            for _ in range(2):
                await limiter.acquire(group, key)
    assert trio.current_time() == 0
    await limiter.acquire(Group.ACTIONS, "a")
    assert trio.current_time() == 1


async def test_a_pause_holds_the_whole_group(clock: MockClock) -> None:
    limiter = Limiter(LIMITS)
    limiter.hold(Group.READS, 5)
    limiter.hold(Group.READS, 3)
    await limiter.acquire(Group.FEES)
    assert trio.current_time() == 0
    await limiter.acquire(Group.READS)
    assert trio.current_time() == 5


async def test_a_pause_reaches_those_who_wait_already(clock: MockClock) -> None:
    limiter = Limiter({Group.READS: Rate(1, 1.0)})
    await limiter.acquire(Group.READS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limiter.acquire, Group.READS)
        await trio.sleep(0.5)
        limiter.hold(Group.READS, 4)
    assert trio.current_time() == 4.5


async def test_the_table_of_keys_is_bounded(clock: MockClock) -> None:
    limiter = Limiter(LIMITS)
    for number in range(3 * Limiter.MAX_KEYS):
        await limiter.acquire(Group.ACTIONS, str(number))
        if number % 512 == 0:
            await trio.sleep(2)
    assert len(limiter._lanes) <= Limiter.MAX_KEYS


def test_every_group_has_a_rate_and_every_read_a_group() -> None:
    assert set(RATES) == set(Group)
    assert read_group("/v1/aggregated/coingecko/tickers") is Group.AGGREGATED
    assert read_group("/v1/markets/fees") is Group.FEES
    assert read_group("/v1/markets") is Group.READS
