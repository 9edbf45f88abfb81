"""Each published code raises its class; the rest of an error is untouched."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio import _api_errors, _errors
from o2trio._api_errors import API_ERRORS, RateLimitExceeded, TriggerOrderRejected
from o2trio._errors import ApiError
from tests.rest.fake import OPTIONS, Fake, json_answer

PUBLISHED = [*range(1000, 1005), *range(2000, 2003), *range(3000, 3003), *range(4000, 4004), 5000, 5001,
             *range(6000, 6003), *range(7000, 7012), 8000, 8001]  # fmt: skip


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


def test_the_table_is_complete_and_tells_classes_apart() -> None:
    assert sorted(API_ERRORS) == PUBLISHED
    assert len(set(API_ERRORS.values())) == len(PUBLISHED)
    assert all(issubclass(kind, ApiError) and kind is not ApiError for kind in API_ERRORS.values())
    names = {kind.__name__ for kind in API_ERRORS.values()} | {"API_ERRORS", "TriggerOrderRejected"}
    assert names == set(_api_errors.__all__)
    # One hierarchy, so no name may mean two things.
    assert not set(_api_errors.__all__) & set(_errors.__all__)


def test_the_limit_of_open_orders_is_not_about_trigger_orders() -> None:
    triggers = {code for code, kind in API_ERRORS.items() if issubclass(kind, TriggerOrderRejected)}
    assert triggers == set(range(7005, 7011))
    assert API_ERRORS[7011].__name__ == "ActiveSpotOrderLimitExceeded"
    assert API_ERRORS[7010].__name__ == "TriggerOrderQuotaExceeded"
    assert API_ERRORS[7005].__name__ == "ParentOrderAlreadyHasFills"


@pytest.mark.parametrize("status", [200, 400, 404, 409])
@pytest.mark.parametrize("code", [*PUBLISHED, 1005, 5006, 9999])
async def test_each_code_raises_its_class(
    nursery: trio.Nursery, clock: MockClock, code: int, status: int
) -> None:
    body = {"code": code, "message": "words", "reason": "why", "receipts": [{"Revert": {"ra": 1}}]}
    fake = Fake(nursery, lambda *_: json_answer(body, status))
    async with fake.client() as rest:
        with pytest.raises(ApiError) as caught:
            await rest.health()
    error = caught.value
    assert type(error) is API_ERRORS.get(code, ApiError)
    assert (error.code, error.status, error.message, error.reason) == (code, status, "words", "why")
    assert error.receipts == [{"Revert": {"ra": 1}}]
    assert str(code) in str(error)
    assert len(fake.asked) == (3 if code == 1003 else 1)


async def test_429_without_a_code_is_the_same_class(nursery: trio.Nursery, clock: MockClock) -> None:
    for body in (b"<html>slow down</html>", b"{}"):
        fake = Fake(nursery, lambda *_, body=body: json_answer(body, 429))
        async with fake.client() as rest:
            with pytest.raises(RateLimitExceeded) as caught:
                await rest.health()
        assert caught.value.code is None


def test_no_class_needs_more_than_its_base() -> None:
    for kind in set(API_ERRORS.values()):
        error = kind("text", status=400, code=1)
        assert str(error) == "text"
        assert isinstance(error.__doc__, str)


async def test_a_refusal_pauses_the_other_reads(nursery: trio.Nursery, clock: MockClock) -> None:
    refused = False

    def answer(path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        nonlocal refused
        if not refused:
            refused = True
            return json_answer({"code": 1003, "message": "slow down"}, 429, **{"Retry-After": "6"})
        return json_answer({"status": "ok"})

    fake = Fake(nursery, answer)
    async with fake.client() as rest, trio.open_nursery() as inner:
        inner.start_soon(rest.health)
        await trio.sleep(1)
        assert await rest.health() == "ok"
        assert trio.current_time() == 6
    assert fake.times == [0, 6, 6]


async def test_reads_keep_to_their_rates(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda path, _: json_answer([] if path.endswith("/ticker") else {"status": "ok"}))
    async with fake.client() as rest, trio.open_nursery() as inner:
        for _ in range(12):
            inner.start_soon(rest.aggregated_ticker)
        for _ in range(50):
            inner.start_soon(rest.health)
    for path, count, seconds in (("/v1/aggregated/ticker", 5, 1.0), ("/health", 20, 1.0)):
        times = [time for time, (asked, _) in zip(fake.times, fake.asked, strict=True) if asked == path]
        assert all(late - early >= seconds for early, late in zip(times, times[count:], strict=False))
    assert trio.current_time() < 3


async def test_requests_share_connections(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"status": "ok"}))
    async with fake.client(attrs.evolve(OPTIONS, reads_per_second=100)) as rest:
        for _ in range(5):
            await rest.health()
        assert fake.dials == 1
        async with trio.open_nursery() as inner:
            for _ in range(90):
                inner.start_soon(rest.health)
        assert fake.dials <= 32


async def test_a_closed_client_says_so(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"status": "ok"}))
    async with fake.client() as rest:
        assert await rest.health() == "ok"
    with pytest.raises(trio.ClosedResourceError):
        await rest.health()
