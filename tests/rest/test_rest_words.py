"""What an answer says about itself: refusals in every spelling, and words wherever they stand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from o2trio._api_errors import API_ERRORS, MarketNotFound, RateLimitExceeded, RequestRejected
from o2trio._errors import ApiError
from o2trio._trading_errors import OnChainRevert
from o2trio.rest._answers import Answer, find_error
from o2trio.rest._envelope import envelope_of, opened
from o2trio.rest._verdicts import Answered, judge
from o2trio.trading import _refusals
from tests.rest.fake import Fake, json_answer

TX = "0x" + "7f" * 32


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


def answer(content: Any, status: int = 200, location: str | None = None) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer("GET /v1/x", status, None, body, location)


def error_in(content: Any, status: int = 200) -> ApiError:
    error = find_error(answer(content, status))
    assert error is not None
    return error


async def test_rest_error_key(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"error": "boom"}, 500))
    async with fake.client() as rest:
        with pytest.raises(ApiError, match="HTTP 500: boom") as caught:
            await rest.health()
    assert caught.value.message == "boom"


async def test_rest_code_text(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"code": "2000", "message": "Market not found"}, 404))
    async with fake.client() as rest:
        with pytest.raises(MarketNotFound, match="Market not found") as caught:
            await rest.health()
    assert (caught.value.code, caught.value.message) == (2000, "Market not found")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"message": "boom"}, "boom"),
        ({"error": "boom"}, "boom"),
        ({"error": {"message": "boom"}}, "boom"),
        ({"error": {"detail": "boom", "code": "x1"}}, "boom: x1"),
        ({"error": {"error": {"message": "boom"}}}, "boom"),
        ({"detail": "boom"}, "boom"),
        ({"detail": [{"loc": ["query"], "msg": "boom"}]}, "boom"),
        ({"title": "Bad Request", "status": 400, "detail": "boom"}, "Bad Request: boom"),
        ({"errors": ["boom", "bang"]}, "boom: bang"),
        ({"errors": [{"message": "boom"}, {"message": "bang"}]}, "boom: bang"),
        ({"message": "boom", "error": "boom"}, "boom"),
        ({"message": "Bad Request", "error": "boom", "statusCode": 400}, "Bad Request: boom"),
        ({"message": ["boom", "bang"]}, "boom: bang"),
        ({"data": {"message": "boom"}}, "boom"),
        ({"message": 5}, "5"),
        ({"code": "MARKET_GONE"}, "MARKET_GONE"),
        # Places that nobody has thought of.
        ({"errors": {"price": ["boom"]}}, "boom"),
        ({"info": {"text": "boom"}}, "boom"),
        ("boom", "boom"),
        (["boom"], "boom"),
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_the_words_are_kept_wherever_they_stand(content: Any, words: str, status: int) -> None:
    error = error_in(content, status)
    assert error.message == words
    assert str(error) == f"GET /v1/x failed with HTTP {status}: {words}"


@pytest.mark.parametrize("content", [{}, [], None, 7, {"message": None}, {"error": ""}, {"error": {"a": 1}}])
def test_an_error_without_words_says_so(content: Any) -> None:
    assert str(error_in(content, 400)).endswith(": no explanation")


def test_the_reason_is_kept_apart_and_untouched() -> None:
    error = error_in({"message": "m", "reason": " r\n"}, 400)
    assert (error.message, error.reason) == ("m", " r\n")
    assert error_in({"error": {"message": "m", "reason": "r", "receipts": [1]}}, 400).reason == "r"
    assert error_in({"error": {"message": "m", "reason": "r", "receipts": [1]}}, 400).receipts == [1]


@pytest.mark.parametrize("code", [1001, "1001", " 1001 ", "+1001", 1001.0], ids=repr)
@pytest.mark.parametrize(
    "place", [lambda code: {"code": code}, lambda code: {"error": {"code": code}}], ids=["top", "error"]
)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_code_is_read_in_every_spelling(code: Any, place: Callable[[Any], Any], status: int) -> None:
    error = error_in(place(code), status)
    assert type(error) is RequestRejected
    assert error.code == 1001


@pytest.mark.parametrize("code", [True, None, "", "x", "1e3", 1.5, [], {}], ids=repr)
def test_what_is_not_a_code_is_none(code: Any) -> None:
    assert envelope_of({"code": code}).code is None
    assert find_error(answer({"code": code, "message": "m"})) is None


@pytest.mark.parametrize(
    "said",
    [
        {"code": 5},
        {"code": "-1"},
        {"code": 4000, "message": "m"},
        {"success": False},
        {"success": "false"},
        {"status": "error"},
        {"type": "Error"},
        {"action": "error"},
        {"error": "no"},
        {"error": {"code": 3000}},
        {"error": True},
        {"errors": ["no"]},
        {"data": {"code": 5}},
        {"code": 0, "result": {"error": "no"}},
    ],
)
def test_a_refusal_is_one_also_with_status_200(said: dict[str, Any]) -> None:
    assert isinstance(find_error(answer(said)), ApiError)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"code": 0},
        {"code": "0"},
        {"code": 200, "message": "ok"},
        {"code": "200", "message": "ok", "success": True, "status": "ok"},
        {"error": None, "errors": []},
        {"error": False},
        {"error": "", "reason": None},
        {"error": {}, "message": "fine"},
        {"status": "closed", "type": "order", "action": "trades"},
    ],
)
def test_a_success_is_never_an_error(said: dict[str, Any]) -> None:
    assert find_error(answer({**said, "trades": []})) is None
    assert find_error(answer({**said, "data": {"trades": []}})) is None
    done = judge(answer({**said, "tx_id": TX}))
    assert isinstance(done, Answered)
    assert done.tx_id == TX


def test_a_zero_code_of_an_error_is_not_its_code() -> None:
    error = error_in({"code": 0, "error": "boom"}, 500)
    assert (type(error), error.code, error.message) == (ApiError, None, "boom")
    assert error_in({"code": 200, "error": {"code": 2000}}).code == 2000


@pytest.mark.parametrize("code", API_ERRORS)
def test_each_code_has_its_class_under_error_too(code: int) -> None:
    assert type(error_in({"error": {"code": str(code), "message": "m"}}, 400)) is API_ERRORS[code]


# -- wrapped -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "inside"),
    [
        ({"data": {"a": 1}}, {"data": {"a": 1}, "a": 1}),
        ({"data": [1]}, [1]),
        ({"result": {"data": [1]}, "code": 0}, [1]),
        ({"data": 5}, {"data": 5}),
        ({"data": [1], "result": [2]}, {"data": [1], "result": [2]}),
        ([1], [1]),
        (None, None),
    ],
)
def test_an_answer_is_unwrapped_if_it_is_clear_how(content: Any, inside: Any) -> None:
    assert opened(content) == inside


def test_wrapping_has_a_limit() -> None:
    content: Any = [1]
    for _ in range(200):
        content = {"data": content, "message": "m"}
    assert opened(content) != [1]
    assert envelope_of(content).message == "m"


def test_much_nonsense_is_looked_at_in_bounds() -> None:
    content: Any = {"error": "deep"}
    for _ in range(4):
        content = {"errors": [content] * 60, "details": [content] * 60}
    assert envelope_of(content).is_refusal


# -- submissions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        {"code": 1001, "error": "Nonce in the request is less than the nonce in the database(7)"},
        {"code": 1001, "error": {"message": "nonce in the request is old"}},
        {"message": "Bad Request", "detail": "Nonce in the request is old"},
        {"error": {"message": "m", "reason": "Nonce in the request is old"}},
        {"text": "Nonce in the request is old"},
    ],
)
def test_a_stale_nonce_is_found_wherever_it_stands(content: Any) -> None:
    error = judge(answer(content, 400))
    assert isinstance(error, ApiError)
    assert _refusals.is_stale(error)


@pytest.mark.parametrize("name", ["message", "error", "detail", "reason", "title"])
def test_a_lost_session_is_found_wherever_it_stands(name: str) -> None:
    error = judge(answer({name: "Invalid session address"}, 400))
    assert isinstance(error, ApiError)
    assert _refusals.is_session_over(error)


def test_a_revert_is_found_wherever_it_stands() -> None:
    words = 'LogResult { results: [Ok("OrderPartiallyFilled")] } and error: transaction reverted: Revert(1)'
    for content in ({"error": words}, {"error": {"reason": words}}, {"code": "1000", "detail": words}):
        error = judge(answer(content, 400))
        assert isinstance(error, OnChainRevert)
        assert error.variant == "OrderPartiallyFilled"


@pytest.mark.parametrize(
    "said",
    [
        {"error": "boom"}, {"success": False}, {"status": "error"}, {"code": "4000"}, {"errors": ["boom"]},
    ],
)  # fmt: skip
def test_a_transaction_beside_a_refusal_proves_nothing(said: dict[str, Any]) -> None:
    assert judge(answer({**said, "tx_id": TX})) is None


@pytest.mark.parametrize("name", ["message", "reason", "error", "detail"])
@pytest.mark.parametrize(
    "words",
    [
        "stream reset", "Stream closed", "connection reset by peer", "Connection refused", "Bad Gateway",
        "upstream connect error or disconnect/reset before headers", "upstream request timeout",
        "no healthy upstream", "Gateway Timeout", "504 Gateway Time-out", "service unavailable",
        "request timed out", "context deadline exceeded", "connection was terminated",
    ],
)  # fmt: skip
def test_the_words_of_a_gateway_prove_nothing(name: str, words: str) -> None:
    assert judge(answer({name: words}, 400)) is None
    assert judge(answer({"code": 400, name: words}, 400)) is None


@pytest.mark.parametrize(
    "words", ["invalid timeout", "Expired session", "the market of gateway tokens is closed", "Bad request"]
)
def test_what_only_resembles_the_words_of_a_gateway_refuses(words: str) -> None:
    assert isinstance(judge(answer({"message": words}, 400)), ApiError)


def test_a_code_of_the_exchange_counts_whatever_its_words() -> None:
    error = judge(answer({"code": 4000, "message": "stream reset"}, 400))
    assert isinstance(error, ApiError)
    assert error.code == 4000


def test_a_wrapped_submission_counts() -> None:
    done = judge(answer({"code": 0, "data": {"tx_id": TX, "session_expiry": "5"}}))
    assert isinstance(done, Answered)
    assert done.content["session_expiry"] == "5"


def test_a_full_rate_limit_in_text() -> None:
    assert isinstance(judge(answer({"code": "1003", "error": "slow"}, 200)), RateLimitExceeded)
