"""Redirects: reads follow them on the same host and no further; a submission never does."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import httpx2
import pytest
import trio
from trio.testing import MockClock

from o2trio import __version__
from o2trio._errors import ApiError
from o2trio.models import Id, Identity
from o2trio.rest import _answers
from o2trio.rest._writes import AnswerLost
from tests.rest.fake import OPTIONS, Answer, Fake, json_answer

OWNER = Id("0x" + "0a" * 32)
MOVED = (301, 302, 303, 307, 308)


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


def moving(places: dict[str, str], status: int = 308) -> Callable[[str, dict[str, str]], Answer]:
    """Answer each path of `places` with its new place, and any other with a list of markets."""

    def handler(path: str, query: dict[str, str]) -> Answer:
        if path in places:
            return status, {"Location": places[path]}, b""
        return json_answer({"markets": [], "chain_id": "7"})

    return handler


@pytest.mark.parametrize("status", MOVED)
@pytest.mark.parametrize(
    "location",
    ["/v1/markets2", "markets2", "./markets2", "http://fake.test/v1/markets2", "//fake.test:80/v1/markets2"],
)
async def test_rest_redirect(nursery: trio.Nursery, clock: MockClock, location: str, status: int) -> None:
    fake = Fake(nursery, moving({"/v1/markets": location}, status))
    async with fake.client() as rest:
        assert (await rest.markets()).chain_id == 7
    assert [path for path, _ in fake.asked] == ["/v1/markets", "/v1/markets2"]
    assert fake.hosts == ["fake.test"]


async def test_a_redirect_brings_its_own_query(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, moving({"/v1/markets": "/v2/markets?turbo=true&x=1"}))
    async with fake.client() as rest:
        await rest.markets()
    assert fake.asked[1] == ("/v2/markets", {"turbo": "true", "x": "1"})


async def test_at_most_five_redirects_are_followed(nursery: trio.Nursery, clock: MockClock) -> None:
    chain = {f"/v1/markets{number or ''}": f"/v1/markets{number + 1}" for number in range(5)}
    fake = Fake(nursery, moving(chain))
    async with fake.client() as rest:
        assert (await rest.markets()).chain_id == 7
    assert len(fake.asked) == 6
    fake = Fake(nursery, moving({"/v1/markets": "/v1/markets"}))
    async with fake.client() as rest:
        with pytest.raises(ApiError, match=r"HTTP 308 .*points to /v1/markets, which was not followed"):
            await rest.markets()
    assert len(fake.asked) == 6


@pytest.mark.parametrize("status", MOVED)
@pytest.mark.parametrize(
    "location",
    [
        "http://elsewhere.test/v1/markets",
        "https://fake.test/v1/markets",
        "http://fake.test:8080/v1/markets",
        "http://fake.test.evil/v1/markets",
        "//elsewhere.test/v1/markets",
        "ftp://fake.test/",
        "http://[broken",
    ],
)
async def test_another_host_is_named_and_not_asked(
    nursery: trio.Nursery, clock: MockClock, location: str, status: int
) -> None:
    fake = Fake(nursery, moving({"/v1/markets": location}, status))
    async with fake.client() as rest:
        with pytest.raises(ApiError) as caught:
            await rest.markets()
    assert f"it points to {location}, which was not followed" in str(caught.value)
    assert caught.value.status == status
    assert (fake.hosts, len(fake.asked)) == (["fake.test"], 1)


def test_a_secure_read_is_not_sent_in_the_clear() -> None:
    url = httpx2.URL("https://fake.test/v1/markets")

    def target(location: str | None, status: int = 301) -> httpx2.URL | None:
        return _answers.redirect_target(url, _answers.Answer("GET /", status, None, b"", location))

    assert target("http://fake.test/v1/markets") is None
    assert target("https://fake.test:443/x") == httpx2.URL("https://fake.test:443/x")
    assert target("/x") == httpx2.URL("https://fake.test/x")
    assert target(None) is None
    assert target("/x", 304) is None
    assert target("/x", 200) is None


async def test_a_redirect_without_a_place_is_an_error(nursery: trio.Nursery, clock: MockClock) -> None:
    for body in (b"", b"{}"):
        fake = Fake(nursery, lambda *_, body=body: (302, {}, body))
        async with fake.client() as rest:
            with pytest.raises(ApiError, match="HTTP 302"):
                await rest.markets()


async def test_each_redirect_counts_as_a_read(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, moving({"/v1/markets": "/v1/markets2"}))
    async with fake.client(attrs.evolve(OPTIONS, reads_per_second=1)) as rest:
        await rest.markets()
    assert fake.times == [0.0, pytest.approx(1.0, abs=0.2)]


@pytest.mark.parametrize("status", MOVED)
async def test_a_submission_never_follows(nursery: trio.Nursery, clock: MockClock, status: int) -> None:
    fake = Fake(nursery, lambda *_: (status, {"Location": "/v1/session/actions2"}, b""))
    async with fake.client() as rest:
        await rest.admit("/v1/session/actions", OWNER)
        with pytest.raises(AnswerLost, match="points to /v1/session/actions2, which was not followed"):
            await rest.submit("POST", "/v1/session/actions", {}, owner=OWNER, on_sent=lambda: None)
        with pytest.raises(ApiError, match="points to /v1/session/actions2"):
            await rest.create_account(Identity.address(OWNER))
    assert [path for path, _ in fake.asked] == ["/v1/session/actions", "/v1/accounts"]


async def test_requests_say_who_asks(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, moving({"/v1/markets": "/v1/markets2"}))
    async with fake.client() as rest:
        await rest.markets()
    assert [head["user-agent"] for head in fake.headers] == [f"o2trio/{__version__}"] * 2
