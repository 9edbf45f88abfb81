"""Plans: drawn from a seed alone, made smaller, and every fault in them fits what carries it out."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio.testing._fault_kinds import FAULTS
from o2trio.testing._plan import QUIET_SECONDS, REST_SECONDS, Plan, draw_plan, numbers_of, text_of

KINDS = ("book", "trades", "orders", "view", "balances", "nonce", "trader")
MANY = [draw_plan(seed, 1.0, KINDS) for seed in range(200)]


def test_a_seed_stands_for_one_plan() -> None:
    assert draw_plan(5, 1.0, KINDS) == draw_plan(5, 1.0, KINDS)
    assert len({str(plan) for plan in MANY}) == len(MANY)


def test_faults_come_in_order_and_leave_time_to_recover() -> None:
    for plan in MANY:
        times = [fault.time for fault in plan.faults]
        assert times == sorted(times)
        assert times[0] > 0
        assert times[-1] < plan.fault_seconds <= 3600 - QUIET_SECONDS - REST_SECONDS
        assert [fault.index for fault in plan.faults] == list(range(len(times)))
        assert [consumer.index for consumer in plan.consumers] == list(range(len(plan.consumers)))


def test_faults_come_in_bursts() -> None:
    """Somewhere several come within a second, elsewhere none for minutes."""
    waits = [
        later.time - earlier.time
        for plan in MANY
        for earlier, later in zip(plan.faults, plan.faults[1:], strict=False)
    ]
    assert sum(wait < 1 for wait in waits) > len(waits) / 5
    assert sum(wait > 120 for wait in waits) > len(waits) / 20


def test_many_plans_hold_every_fault_and_every_consumer() -> None:
    faults = Counter(fault.kind for plan in MANY for fault in plan.faults)
    assert set(faults) == set(FAULTS)
    assert {consumer.kind for plan in MANY for consumer in plan.consumers} == set(KINDS)
    fatal = [plan for plan in MANY if any(FAULTS[fault.kind].is_fatal for fault in plan.faults)]
    assert len(MANY) / 10 < len(fatal) < len(MANY) / 2


def test_only_traders_have_faults_of_trading() -> None:
    for plan in MANY:
        trades = any("trader" in consumer.kind for consumer in plan.consumers)
        assert trades or not any(FAULTS[fault.kind].is_of_trading for fault in plan.faults)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_drawn_with_the_arguments_that_it_takes(kind: str) -> None:
    fault = FAULTS[kind]
    inspect.signature(fault.inject).bind("world", **dict.fromkeys(fault.draws, 0))


def test_parts_of_a_plan_can_be_left_out_and_named() -> None:
    whole = MANY[0]
    part = whole.without(consumers=[1, 2], faults=range(3, 9))
    assert part.size == (whole.size[0] - 2, whole.size[1] - 6)
    assert part.dropped(whole) == ((1, 2), (3, 4, 5, 6, 7, 8))
    assert part.seed == whole.seed
    assert {fault.index for fault in part.faults}.isdisjoint(range(3, 9))
    assert whole.dropped(whole) == ((), ())


def test_a_short_plan_still_has_a_fault() -> None:
    plan: Plan = draw_plan(1, 0.01, KINDS)
    assert plan.faults
    assert plan.faults[-1].time < plan.fault_seconds


@given(st.sets(st.integers(0, 200)))
def test_numbers_survive_their_text(numbers: set[int]) -> None:
    assert numbers_of(text_of(numbers)) == tuple(sorted(numbers))


def test_runs_of_numbers_are_short_texts() -> None:
    assert text_of([40, 3, *range(9, 40)]) == "3,9-40"
    assert text_of([1, 2]) == "1-2"
    assert not text_of([])


@pytest.mark.parametrize("text", ["3,", "3-", "a", "9-3", "1--2"])
def test_nonsense_is_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        numbers_of(text)
