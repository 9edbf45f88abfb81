from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from o2trio._network import Options
from o2trio.transport._backoff import backoff_delays, parse_retry_after

NOW = datetime(2026, 8, 1, 12, 0, 0, tzinfo=UTC)


def test_waits_grow_by_the_factor_up_to_the_cap() -> None:
    options = Options(backoff_initial=1, backoff_factor=3, backoff_cap=20, jitter=lambda: 0.5)
    assert list(islice(backoff_delays(options), 5)) == [0.5, 1.5, 4.5, 10.0, 10.0]


def test_an_initial_wait_above_the_cap_is_capped() -> None:
    options = Options(backoff_initial=90, backoff_cap=60, jitter=lambda: 1.0)
    assert next(backoff_delays(options)) == 60


def test_jitter_is_full_and_drawn_for_each_wait() -> None:
    draws = iter([0.0, 0.25, 1.0])
    options = Options(backoff_initial=4, backoff_factor=1, jitter=lambda: next(draws))
    assert list(islice(backoff_delays(options), 3)) == [0.0, 1.0, 4.0]


def test_a_long_outage_does_not_overflow() -> None:
    options = Options(backoff_factor=1e300, backoff_cap=1e308, jitter=lambda: 1.0)
    assert list(islice(backoff_delays(options), 5000))[-1] == 1e308


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("Sat, 01 Aug 2026 12:00:30 GMT", 30.0),
        ("Sat, 01 Aug 2026 11:59:30 GMT", 0.0),
        ("Sat, 01 Aug 2026 12:00:30 -0000", 30.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("9" * 400, None),
        ("٣", None),
        ("Sat, 01 Aug 99999999999 12:00:30 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


def test_retry_after_takes_the_system_clock() -> None:
    assert parse_retry_after("Sat, 01 Aug 2020 12:00:30 GMT") == 0.0
