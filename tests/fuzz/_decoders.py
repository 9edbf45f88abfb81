"""Any text or bytes into the decoders of frames and of REST answers: a model, or an error of our own."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any, TypeVar

import trio
from hypothesis import strategies as st
from trio.testing import MockClock

from o2trio import models as m
from o2trio._errors import ApiError, DecodeError, O2Error
from o2trio.rest import RestClient
from o2trio.rest._answers import AccountCreated, Answer, Anything, Health, find_error
from o2trio.rest._shapes import Shape, anything, balance_of, book, depth_of, keyed, listed, under
from o2trio.rest._verdicts import Answered, judge
from o2trio.wire import Frame, Snapshot, decode, structure_json
from tests.fuzz._mutations import DAMAGES, Damage, damaged, mutated_json
from tests.fuzz._samples import Heard, frames, heard
from tests.rest.fake import Fake

T = TypeVar("T")
_MARKET = m.normalize_id("a1" * 32)
_LONGEST_ERROR = 2000

KINDS: dict[str, tuple[tuple[Any, Shape | None], ...]] = {
    "/health": ((Health, None),),
    "/v1/markets": ((m.Markets, None),),
    "/v1/markets/fees": ((Anything, anything),),
    "/v1/markets/summary": (
        (tuple[m.MarketSummary, ...], listed),
        (tuple[m.MarketSummary, ...], keyed("market_id")),
    ),
    "/v1/markets/ticker": ((tuple[m.Ticker, ...], listed),),
    "/v1/depth": ((Snapshot, depth_of(_MARKET)),),
    "/v1/trades": ((tuple[m.Trade, ...], under("trades")),),
    "/v1/trades_by_account": ((tuple[m.Trade, ...], under("trades")),),
    "/v1/bars": ((tuple[m.Bar, ...], under("bars")),),
    "/v1/accounts": ((m.AccountState, None), (AccountCreated, None)),
    "/v1/accounts/window": ((m.AccountWindow, None),),
    "/v1/balance": ((m.Balance, balance_of(m.Identity.contract(_MARKET), _MARKET)),),
    "/v1/orders": ((tuple[m.Order, ...], under("orders")),),
    "/v1/orders/active": ((tuple[m.ActiveOrder, ...], under("entries")),),
    "/v1/order": ((m.Order, under("order")),),
    "/v1/aggregated/assets": ((tuple[m.AggregatedAsset, ...], keyed("symbol")),),
    "/v1/aggregated/orderbook": ((m.AggregatedBook, book),),
    "/v1/aggregated/summary": ((tuple[m.AggregatedSummary, ...], keyed("trading_pairs")),),
    "/v1/aggregated/ticker": ((tuple[m.AggregatedTicker, ...], keyed("market_pair")),),
    "/v1/aggregated/trades": ((tuple[m.AggregatedTrade, ...], under("trades")),),
    "/v1/aggregated/coingecko/tickers": ((tuple[m.CoinGeckoTicker, ...], keyed("ticker_id")),),
    "/v1/aggregated/coingecko/orderbook": ((m.AggregatedBook, book),),
}
"""What the client makes of the answer of each path."""
ALL_KINDS = tuple(pair for pairs in KINDS.values() for pair in pairs)


def survived(read: Callable[[], T]) -> T | None:
    """Return what was read, or None for a DecodeError that can be shown; anything else escapes."""
    try:
        return read()
    except DecodeError as error:
        text = str(error)
    assert len(text.encode()) < _LONGEST_ERROR
    return None


# -- frames ----------------------------------------------------------------------------------------

FRAMES = st.tuples(st.deferred(lambda: mutated_json(frames())), DAMAGES, st.booleans())


def check_frame(case: tuple[str, list[Damage], bool]) -> None:
    """Decode a mutated frame: as text with whatever surrogates, and as text that came through bytes."""
    text, damages, raw = case
    if not raw:
        text = damaged(text.encode("utf-8", "surrogatepass"), damages).decode("utf-8", "replace")
    read_frame(text)


def read_frame(data: str | bytes) -> None:
    frame = survived(lambda: decode(data))
    assert frame is None or (isinstance(frame, Frame) and repr(frame))


NOISE = st.one_of(
    st.text(),
    st.binary(max_size=300),
    st.text(alphabet='{}[]":,0123456789.eE-+ntrufalsping\ud800 ', max_size=60),
    st.sampled_from(("[", '{"a":', '[{"":')).flatmap(
        lambda part: st.integers(1, 3000).map(lambda n: part * n)
    ),
)


def check_noise(data: str | bytes) -> None:
    """Decode what is no mutation of anything, as a frame, an answer and an error."""
    read_frame(data)
    for kind, shape in ALL_KINDS:
        survived(partial(structure_json, data, kind, shape))
    body = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    read_error(Answer("GET /v1/depth", 200, None, body))
    read_error(Answer("POST /v1/session/actions", 500, None, body))


# -- answers ---------------------------------------------------------------------------------------


@cache
def _answers() -> tuple[tuple[str, object], ...]:
    return tuple((one.path, json.loads(one.answer)) for one in heard())


@st.composite
def _mutated_answers(draw: Callable[..., Any]) -> tuple[Any, Shape | None, str, list[Damage]]:
    path, value = draw(st.sampled_from(_answers()))
    text = draw(mutated_json((value,)))
    kind, shape = draw(st.sampled_from(KINDS.get(path, ALL_KINDS)) | st.sampled_from(ALL_KINDS))
    return kind, shape, text, draw(DAMAGES)


ANSWERS = st.deferred(_mutated_answers)


def check_answer(case: tuple[Any, Shape | None, str, list[Damage]]) -> None:
    """Structure a mutated answer as what its path means, or as something else."""
    kind, shape, text, damages = case
    for data in (text, damaged(text.encode("utf-8", "surrogatepass"), damages)):
        found = survived(partial(structure_json, data, kind, shape))
        assert found is None or repr(found)


_STATUSES = st.sampled_from((100, 200, 201, 204, 302, 400, 401, 404, 408, 418, 429, 500, 502, 503, 599, 999))
_RETRIES = (
    st.none()
    | st.text(max_size=30)
    | st.sampled_from(("1", "9" * 400, "Wed, 21 Oct 2015 07:28:00 GMT", "-1"))
)


@cache
def _errors() -> tuple[object, ...]:
    return tuple(json.loads(one.answer) for one in heard() if one.method != "GET" or one.status != 200)


ERRORS = st.deferred(lambda: st.tuples(mutated_json(_errors()), DAMAGES, _STATUSES, _RETRIES))


def check_error(case: tuple[str, list[Damage], int, str | None]) -> None:
    """Find the error in a mutated answer, and judge it as the answer to a submission."""
    text, damages, status, retry_after = case
    for body in (
        text.encode("utf-8", "surrogatepass"),
        damaged(text.encode("utf-8", "surrogatepass"), damages),
    ):
        read_error(Answer("POST /v1/session/actions", status, retry_after, body))


def read_error(answer: Answer) -> None:
    error = find_error(answer)
    assert error is None or (isinstance(error, ApiError) and str(error).encode())
    verdict = judge(answer)
    assert verdict is None or (isinstance(verdict, (Answered, ApiError)) and repr(verdict))


# -- whole answers ---------------------------------------------------------------------------------

Read = Callable[[RestClient], Any]
READS: dict[str, Read] = {
    "/v1/depth": lambda rest: rest.depth(_MARKET),
    "/v1/markets": lambda rest: rest.markets(),
    "/v1/markets/summary": lambda rest: rest.summary(_MARKET),
    "/v1/markets/ticker": lambda rest: rest.ticker(_MARKET),
    "/v1/markets/fees": lambda rest: rest.fees(),
    "/v1/aggregated/assets": lambda rest: rest.aggregated_assets(),
    "/v1/orders/active": lambda rest: rest.fees(),
}
_HEADERS = (
    *(
        "Content-Encoding: gzip",
        "Content-Encoding: gzip, deflate",
        "Content-Encoding: br, \xff",
        "Content-Encoding: ,",
    ),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Content-Length: 5", "Content-Length: -1"),
    *(
        "Content-Length: 99999999999999999999",
        "Set-Cookie: a=\xff; expires=x; domain=..",
        "Set-Cookie: =; max-age=1e9",
    ),
    *(
        "Location: http://[",
        "Location: \xff\xfe",
        "Location: //",
        "Location: http://\u2100".encode().decode("latin-1"),
    ),
    *(
        "Retry-After: 1e9",
        "Retry-After: \xff",
        "Content-Type: \xff; charset=\xff",
        "Connection: close",
        "\xff: 1",
        ": x",
    ),
    *("Upgrade: h2c", "Content-Type: application/json; charset=rot13"),
)


@st.composite
def _mutated_exchanges(draw: Callable[..., Any]) -> tuple[str, bytes]:
    one: Heard = draw(st.sampled_from([one for one in heard() if one.path in READS]))
    body = draw(mutated_json((json.loads(one.answer),), 1)).encode("utf-8", "surrogatepass")
    lines = [f"HTTP/1.1 {draw(_STATUSES)} OK", "Content-Type: application/json"]
    lines += draw(st.lists(st.sampled_from(_HEADERS), max_size=2, unique=True))
    if draw(st.integers(0, 3)):
        lines.append(f"Content-Length: {len(body)}")
    answer = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    return one.path, damaged(answer, draw(DAMAGES))


EXCHANGES = st.deferred(_mutated_exchanges)


def check_exchange(case: tuple[str, bytes]) -> None:
    """Read over a connection on which the server says anything, then hangs up."""
    path, answer = case

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            fake = Fake(nursery, lambda *_: answer)
            with trio.fail_after(200):
                async with fake.client() as rest:
                    with suppress(O2Error):
                        await READS[path](rest)
            nursery.cancel_scope.cancel()

    trio.run(run, clock=MockClock(autojump_threshold=0))
