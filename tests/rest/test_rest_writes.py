"""Writes over REST: what is sent, how often, and what each kind of answer or break-off proves."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import h11
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from o2trio import _api_errors as api
from o2trio._errors import ApiError, ConnectionFault, InvalidRequest, MessageTooBig, RequestFailed
from o2trio._network import NetworkConfig, Options
from o2trio._trading_errors import FaucetRefused, OnChainRevert
from o2trio.models import Id, Identity
from o2trio.rest import RestClient
from o2trio.rest._writes import Answered, AnswerLost
from tests.rest.fake import OPTIONS, Answer, Fake, json_answer

OWNER, OTHER = Id("0x" + "0a" * 32), Id("0x" + "0b" * 32)
TX = "0x" + "7f" * 32
MARKET = "0x" + "3c" * 32
ACTIONS = "/v1/session/actions"
BODY = {"actions": [{"market_id": MARKET, "actions": []}], "nonce": "7", "collect_orders": True}
ORDER = {"order_id": "0x" + "11" * 32, "side": "Buy", "order_type": "Spot", "price": "5", "quantity": "9"}
REVERTED = (
    'LogResult { results: [Ok("OrderPartiallyFilled")] } and error: transaction reverted: '
    "Revert(18446744073709486086), receipts: []"
)
VARIANT = "OrderCreationError.OrderPartiallyFilled"
PAGE = (502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>")


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


class Sent:
    """Counts how often a submission told that it is leaving, and what had left by then."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


async def submit(
    rest: RestClient, sent: Callable[[], None], path: str = ACTIONS, owner: Id = OWNER, method: str = "POST"
) -> Answered:
    await rest.admit(path, owner)
    return await rest.submit(method, path, BODY, owner=owner, on_sent=sent)


async def outcome(nursery: trio.Nursery, answer: Answer, *, times: int = 1) -> Answered | Exception:
    """Submit to an exchange that always gives `answer`; it must be asked so many times."""
    fake, sent = Fake(nursery, lambda *_: answer), Sent()
    async with fake.client() as rest:
        result: Answered | Exception
        try:
            result = await submit(rest, sent)
        except (ApiError, ConnectionFault) as error:
            result = error
    assert (len(fake.asked), sent.times) == (times, times)
    return result


# -- accounts and the faucet -----------------------------------------------------------------------


async def test_an_account(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"trade_account_id": MARKET.upper()[2:], "nonce": "0x3"}))
    async with fake.client() as rest:
        made = await rest.create_account(Identity.address(OWNER))
        assert (made.trade_account_id, made.nonce) == (MARKET, 3)
        await rest.create_account(Identity.contract(OTHER))
    assert [json.loads(body) for body in fake.bodies] == [
        {"identity": {"Address": OWNER}}, {"identity": {"ContractId": OTHER}},
    ]  # fmt: skip
    assert fake.headers[0][":method"] == "POST"
    assert (fake.headers[0]["content-type"], fake.headers[0]["o2-owner-id"]) == ("application/json", OWNER)
    assert fake.asked[0][0] == "/v1/accounts"
    assert fake.times == [0.0, pytest.approx(1.1)]


async def test_an_account_is_asked_for_once(nursery: trio.Nursery, clock: MockClock) -> None:
    answers: list[Answer] = [
        PAGE,
        None,
        b"HTTP/1.1 200 OK\r\n",
        json_answer({"code": 1000, "message": "x"}, 500),
    ]
    for answer in answers:
        fake = Fake(nursery, lambda *_, answer=answer: answer)
        begin = trio.current_time()
        async with fake.client() as rest:
            with pytest.raises((ApiError, RequestFailed)):
                await rest.create_account(Identity.address(OWNER))
        assert len(fake.asked) == 1
        assert trio.current_time() - begin == (30 if answer is None else 0)


async def test_a_refusal_for_the_rate_is_no_attempt(nursery: trio.Nursery, clock: MockClock) -> None:
    answers = [json_answer({}, 429, **{"Retry-After": "7"}), json_answer({"trade_account_id": MARKET})]
    fake = Fake(nursery, lambda *_: answers.pop(0))
    async with fake.client() as rest:
        assert (await rest.create_account(Identity.address(OWNER))).nonce is None
    assert fake.times == [0.0, 7.0]


async def test_the_whitelist(nursery: trio.Nursery, clock: MockClock) -> None:
    answers = [json_answer({"success": True}), json_answer({"code": 4003, "message": "retired"}, 400)]
    fake = Fake(nursery, lambda *_: answers.pop(0))
    async with fake.client() as rest:
        assert await rest.whitelist(MARKET) == {"success": True}
        with pytest.raises(api.WhitelistNotConfigured):
            await rest.whitelist(MARKET)
    assert fake.asked[0] == ("/analytics/v1/whitelist", {})
    assert json.loads(fake.bodies[0]) == {"tradeAccount": MARKET}


async def test_the_faucet_is_another_host(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"message": "minted"}))
    async with fake.client() as rest:
        assert await rest.mint(Identity.contract(MARKET)) == "minted"
        assert await rest.mint(Identity.address(OWNER)) == "minted"
    assert fake.hosts == ["faucet.test"]
    assert {path for path, _ in fake.asked} == {"/api/mint"}
    assert [json.loads(body) for body in fake.bodies] == [{"contract": MARKET}, {"address": OWNER}]


@pytest.mark.parametrize("status", [200, 400, 429, 500])
async def test_the_faucet_refuses(nursery: trio.Nursery, clock: MockClock, status: int) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"error": "wait"}, status, **{"Retry-After": "60"}))
    async with fake.client() as rest:
        with pytest.raises(FaucetRefused, match="wait") as caught:
            await rest.mint(Identity.contract(MARKET))
    assert caught.value.retry_after == 60
    assert len(fake.asked) == 1


async def test_other_troubles_with_the_faucet(nursery: trio.Nursery, clock: MockClock) -> None:
    answers: list[Answer] = [(429, {}, b"slow down"), PAGE, b"", json_answer(["?"])]
    fake = Fake(nursery, lambda *_: answers.pop(0))
    async with fake.client() as rest:
        for kind in (FaucetRefused, ApiError, RequestFailed):
            with pytest.raises(kind):
                await rest.mint(Identity.contract(MARKET))
        assert await rest.mint(Identity.contract(MARKET)) == ""
    async with RestClient(attrs.evolve(fake.network, faucet_url=None), OPTIONS) as rest:
        with pytest.raises(InvalidRequest, match="no faucet"):
            await rest.mint(Identity.contract(MARKET))
    assert len(fake.asked) == 4


# -- what is sent ----------------------------------------------------------------------------------


async def test_what_a_submission_sends(nursery: trio.Nursery, clock: MockClock) -> None:
    content = {"tx_id": TX[2:].upper(), "orders": None, "session_expiry": "12"}
    fake, sent = Fake(nursery, lambda *_: json_answer(content)), Sent()
    async with fake.client() as rest:
        answered = await submit(rest, sent, "/v1/session", method="PUT")
    assert (answered.tx_id, answered.orders, answered.content) == (TX, (), content)
    assert fake.asked == [("/v1/session", {})]
    assert json.loads(fake.bodies[0]) == BODY
    head = fake.headers[0]
    assert (head[":method"], head["o2-owner-id"], head["content-type"]) == ("PUT", OWNER, "application/json")
    assert head["content-length"] == str(len(fake.bodies[0]))
    assert "transfer-encoding" not in head
    assert sent.times == 1


@pytest.mark.parametrize(
    ("orders", "count"),
    [
        ([ORDER, ORDER], 2),
        (ORDER, 1),
        ([{"order": ORDER}], 1),
        ([{"market_id": MARKET, "orders": [ORDER]}], 1),
        ({"market_id": MARKET, "orders": [ORDER, {"order": ORDER}]}, 2),
        ([], 0),
        ({"what": "ever"}, 0),
        # From here on unreadable, which must not hide that the transaction succeeded.
        ([ORDER, {**ORDER, "price": -1}], 1),
        ([ORDER, 5], 1),
        ("0x00", 0),
        (7.5, 0),
    ],
)
async def test_orders(nursery: trio.Nursery, clock: MockClock, orders: Any, count: int) -> None:
    answered = await outcome(nursery, json_answer({"tx_id": TX, "orders": orders}))
    assert isinstance(answered, Answered)
    assert len(answered.orders) == count
    assert {order.order_id for order in answered.orders} <= {ORDER["order_id"]}
    grouped = "market_id" in json.dumps(orders)
    assert {order.market_id for order in answered.orders} <= {MARKET if grouped else None}


async def test_a_strange_transaction_id_is_kept(nursery: trio.Nursery, clock: MockClock) -> None:
    answered = await outcome(nursery, json_answer({"tx_id": "abc", "code": None, "reason": ""}))
    assert isinstance(answered, Answered)
    assert answered.tx_id == "abc"


# -- what an answer proves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        ({"code": 4000, "message": "Invalid signature"}, 401, api.InvalidSignature),
        ({"code": 4000, "message": "Invalid signature"}, 200, api.InvalidSignature),
        ({"code": 4000}, 200, api.InvalidSignature),
        ({"code": "4001", "message": "m", "reason": "Expired session"}, 400, api.InvalidSession),
        ({"code": 4002, "message": ["odd"], "reason": {"odd": 1}}, 400, api.AccountNotFound),
        ({"code": 1001, "message": "m", "reason": "Nonce in the request is old"}, 400, api.RequestRejected),
        ({"code": 7004, "message": "m"}, 500, api.TooManyActions),
        ({"code": 7009, "message": "m"}, 400, api.TriggerConflictsWithParent),
        ({"code": "7011", "error": "m"}, 400, api.ActiveSpotOrderLimitExceeded),
        ({"code": 5006, "message": "m"}, 400, ApiError),
        ({"message": "Forbidden"}, 403, ApiError),
        ({}, 404, ApiError),
    ],
)
async def test_a_refusal(
    nursery: trio.Nursery, clock: MockClock, content: Any, status: int, kind: type[ApiError]
) -> None:
    error = await outcome(nursery, json_answer(content, status))
    assert type(error) is kind
    assert error.status == status
    if isinstance(content.get("reason"), str):
        assert error.reason == content["reason"]


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (
            {"message": "m", "reason": REVERTED, "receipts": None},
            400,
            "OrderCreationError.OrderPartiallyFilled",
        ),
        ({"message": "m", "reason": REVERTED}, 200, VARIANT),
        ({"message": "m", "reason": REVERTED}, 500, VARIANT),
        ({"tx_id": TX, "reason": REVERTED}, 200, VARIANT),
        ({"tx_id": TX, "reason": "nobody knows"}, 422, "nobody knows"),
        ({"message": "m", "reason": "nobody knows"}, 422, "nobody knows"),
        ({"code": 1000, "message": "m", "reason": REVERTED}, 500, VARIANT),
        ({"code": 1000, "message": REVERTED}, 500, VARIANT),
        ({"code": 3002, "message": "m", "reason": REVERTED}, 400, VARIANT),
        ({"code": 1000, "message": "m", "reason": "and error: Revert(123)"}, 400, "revert 123"),
        ({"tx_id": TX, "receipts": [{"Revert": {"ra": "7"}}]}, 200, "revert 7"),
    ],
)
async def test_a_revert(
    nursery: trio.Nursery, clock: MockClock, content: Any, status: int, text: str
) -> None:
    error = await outcome(nursery, json_answer(content, status))
    assert isinstance(error, OnChainRevert)
    assert text in str(error)
    assert (error.status, error.code) == (status, content.get("code"))
    assert (error.reason, error.receipts) == (content.get("reason"), content.get("receipts"))
    assert error.tx_id == content.get("tx_id")
    if text.startswith("Order"):
        assert (error.enum, error.variant) == tuple(text.split("."))
        assert (error.signal, error.revert_code) == ("REVERT_WITH_LOG", 18446744073709486086)


@pytest.mark.parametrize(
    "content",
    [
        {"tx_id": TX, "orders": [ORDER], "reason": "OK"},
        {"tx_id": TX, "code": 0, "reason": "executed"},
        {"tx_id": TX, "code": "200", "reason": "executed"},
        {"tx_id": TX, "success": True, "reason": "order placed"},
        {"data": {"tx_id": TX, "orders": [ORDER]}, "code": 200, "reason": "done"},
    ],
)
async def test_a_success_may_give_a_reason(nursery: trio.Nursery, clock: MockClock, content: Any) -> None:
    answered = await outcome(nursery, json_answer(content))
    assert isinstance(answered, Answered)
    assert len(answered.orders) == ("orders" in str(content))


@pytest.mark.parametrize("success", [{"success": True}, {"code": 0}, {"orders": [ORDER]}])
async def test_a_success_with_evidence_of_a_revert_is_one(
    nursery: trio.Nursery, clock: MockClock, success: Any
) -> None:
    error = await outcome(nursery, json_answer({"tx_id": TX, "reason": REVERTED, **success}))
    assert isinstance(error, OnChainRevert)


@pytest.mark.parametrize("status", [402, 406, 409, 410, 418, 421, 424, 425, 451, 460, 499])
@pytest.mark.parametrize("content", [{"error": "duplicate request"}, {"message": "m", "reason": "r"}, {}])
async def test_a_4xx_without_a_code_that_may_follow_the_work_proves_nothing(
    nursery: trio.Nursery, clock: MockClock, status: int, content: Any
) -> None:
    assert isinstance(await outcome(nursery, json_answer(content, status)), AnswerLost)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415, 422])
async def test_a_4xx_without_a_code_that_turns_the_request_away_is_a_refusal(
    nursery: trio.Nursery, clock: MockClock, status: int
) -> None:
    assert type(await outcome(nursery, json_answer({"message": "m"}, status))) is ApiError


async def test_a_code_of_the_exchange_counts_with_status_409(nursery: trio.Nursery, clock: MockClock) -> None:
    error = await outcome(nursery, json_answer({"code": 4001, "message": "m"}, 409))
    assert type(error) is api.InvalidSession


TEXT = {"Content-Type": "text/plain"}
UNKNOWN = "Failed to deserialize the JSON body: unknown variant `Secp256k1`"


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    "body",
    [
        UNKNOWN.encode(),
        json.dumps(UNKNOWN).encode(),
        json.dumps({"error": UNKNOWN}).encode(),
        json.dumps({"code": 422, "message": UNKNOWN}).encode(),
        json.dumps({"message": "m", "reason": UNKNOWN}).encode(),
    ],
)
async def test_a_parser_that_refuses_the_request_proves_that_nothing_ran(
    nursery: trio.Nursery, clock: MockClock, status: int, body: bytes
) -> None:
    error = await outcome(nursery, (status, TEXT, body))
    assert type(error) is api.RequestUnreadable
    assert "unknown variant" in str(error)
    assert error.status == status


@pytest.mark.parametrize("status", [200, 302, 409, 500, 502, 503])
async def test_the_words_of_a_parser_prove_nothing_with_another_status(
    nursery: trio.Nursery, clock: MockClock, status: int
) -> None:
    assert isinstance(await outcome(nursery, (status, TEXT, UNKNOWN.encode())), AnswerLost)


async def test_a_code_a_revert_or_a_transaction_counts_more_than_the_words_of_a_parser(
    nursery: trio.Nursery, clock: MockClock
) -> None:
    answers = [
        ({"code": 4000, "message": UNKNOWN}, api.InvalidSignature),
        ({"message": UNKNOWN, "reason": REVERTED}, OnChainRevert),
        ({"tx_id": TX, "message": UNKNOWN}, AnswerLost),
    ]
    for content, kind in answers:
        assert type(await outcome(nursery, json_answer(content, 400))) is kind


LOST = [
    PAGE,
    (200, {}, b"<html>ok</html>"),
    (403, {}, b"no"),
    (400, {}, b""),
    (307, {"Location": "http://elsewhere.test/"}, b"{}"),
    (200, {}, b'{"tx_id": "' + TX.encode()),
    (200, {}, b"\xff\xfe"),
    (200, {}, b"[" * 5000),
    json_answer({}),
    json_answer(None),
    json_answer([TX]),
    json_answer({"message": "ok"}),
    json_answer({"tx_id": 5}),
    json_answer({"tx_id": ""}),
    json_answer({"tx_id": TX}, 500),
    json_answer({"tx_id": TX, "reason": "nobody knows"}),
    json_answer({"tx_id": TX, "orders": [], "reason": "OK"}),
    json_answer({"orders": [ORDER], "reason": "OK"}),
    json_answer({"tx_id": TX, "code": 4000, "message": "both"}, 400),
    json_answer({"tx_id": TX, "code": 4000, "message": "both"}, 200),
    json_answer({"message": "busy"}, 503),
    json_answer({"message": "Gateway timeout", "reason": "upstream"}, 504),
    json_answer({"code": 504, "message": "Gateway timeout"}, 504),
    json_answer({"code": 504, "message": "Gateway timeout"}, 200),
    json_answer({"code": 504, "message": "Gateway timeout", "reason": "Timeout"}, 504),
    json_answer({"code": 9001, "message": "new"}, 500),
    json_answer({"message": "slow"}, 408),
    json_answer({"code": 1000, "message": "m"}, 500),
    json_answer({"code": 1000, "message": "m", "reason": "the node is asleep"}, 200),
    json_answer({"code": True, "message": "m"}, 200),
    json_answer({"tx_id": TX}, 200, **{"Content-Encoding": "gzip"}),
    (200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * (OPTIONS.max_message_bytes + 1))),
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{",
    b"SSH-2.0-nonsense\r\n\r\n",
    None,
]  # fmt: skip


@pytest.mark.parametrize("answer", LOST, ids=range(len(LOST)))
async def test_an_answer_that_proves_nothing(nursery: trio.Nursery, clock: MockClock, answer: Answer) -> None:
    error = await outcome(nursery, answer)
    assert isinstance(error, AnswerLost)
    assert not isinstance(error, RequestFailed)
    assert "POST /v1/session/actions" in str(error)
    assert len(str(error)) < 700
    assert trio.current_time() == (30 if answer is None else 0)


async def test_what_went_wrong_is_the_cause(nursery: trio.Nursery, clock: MockClock) -> None:
    answers: list[tuple[Answer, type[Exception]]] = [
        (b"", RequestFailed), (PAGE, ApiError), (None, RequestFailed), (LOST[-5], MessageTooBig),
        (json_answer({"code": 1000, "message": "m"}, 500), api.InternalError),
    ]  # fmt: skip
    for answer, kind in answers:
        error = await outcome(nursery, answer)
        assert isinstance(error, AnswerLost)
        assert type(error.__cause__) is kind


# -- rates -----------------------------------------------------------------------------------------

BUSY = [
    (429, {}, b"<html>slow down</html>"),
    json_answer({"message": "slow down", "reason": "too fast"}, 429),
    json_answer({"code": 1003, "message": "slow down"}, 429),
    json_answer({"code": 1003, "message": "slow down"}, 200),
]


@pytest.mark.parametrize("answer", BUSY)
async def test_over_the_limit(nursery: trio.Nursery, clock: MockClock, answer: Answer) -> None:
    error = await outcome(nursery, answer, times=3)
    assert type(error) is api.RateLimitExceeded
    assert trio.current_time() == 3  # waits of 1 s and 2 s between


async def test_a_busy_exchange_is_asked_again(nursery: trio.Nursery, clock: MockClock) -> None:
    answers = [
        json_answer({}, 429, **{"Retry-After": "4"}),
        json_answer({"tx_id": TX}),
        json_answer({"tx_id": TX}),
    ]
    fake, sent = Fake(nursery, lambda *_: answers.pop(0)), Sent()
    async with fake.client() as rest, trio.open_nursery() as inner:
        inner.start_soon(submit, rest, sent)
        await trio.sleep(1)
        inner.start_soon(submit, rest, sent)  # of the same owner: waits as well
    assert fake.times == [0.0, 4.0, 4.0]
    assert len({*fake.bodies}) == 1
    assert sent.times == 3


async def test_a_wait_that_is_too_long(nursery: trio.Nursery, clock: MockClock) -> None:
    error = await outcome(nursery, json_answer({}, 429, **{"Retry-After": "3600"}))
    assert isinstance(error, api.RateLimitExceeded)
    assert error.retry_after == 3600


@pytest.mark.parametrize(
    ("path", "count", "span"),
    [
        (ACTIONS, 5, 1.1),
        ("/v1/session", 5, 1.1),
        ("/v1/accounts/withdraw", 10, 66.0),
        ("/v1/accounts/upgrade", 10, 66.0),
    ],
)
async def test_rates_by_owner(
    nursery: trio.Nursery, clock: MockClock, path: str, count: int, span: float
) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"tx_id": TX}))
    async with fake.client() as rest, trio.open_nursery() as inner:
        for owner in (OWNER, OTHER):
            for _ in range(count + 1):
                inner.start_soon(partial(submit, rest, Sent(), path, owner))
    assert fake.times[: 2 * count] == [0.0] * (2 * count)
    assert fake.times[2 * count :] == [pytest.approx(span)] * 2
    late = [head["o2-owner-id"] for head in fake.headers[2 * count :]]
    assert sorted(late) == [OWNER, OTHER]


# -- the connection --------------------------------------------------------------------------------


@attrs.define
class Wire(trio.abc.HalfCloseableStream):
    """A client's end that records what leaves, and breaks before write number `breaks`, counted from 0."""

    inner: trio.abc.HalfCloseableStream
    breaks: int | None = None
    written: list[bytes] = attrs.field(factory=list[bytes])

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.breaks == len(self.written):
            await trio.aclose_forcefully(self.inner)
            raise trio.BrokenResourceError("cut")
        self.written.append(bytes(data))
        await self.inner.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            return await self.inner.receive_some(max_bytes)
        except trio.ClosedResourceError:
            return b""  # a peer that is gone

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    async def aclose(self) -> None:
        await self.inner.aclose()


def wired(fake: Fake, wires: list[Wire], *breaks: int | None, options: Options = OPTIONS) -> RestClient:
    """Return a client whose n-th connection breaks as `breaks` says; those behind the last never do."""

    async def dial(host: str, port: int) -> trio.abc.Stream:
        stream = await fake.dial(host, port)
        assert isinstance(stream, trio.StapledStream)
        wires.append(Wire(stream, breaks[len(wires)] if len(wires) < len(breaks) else None))
        return wires[-1]

    return RestClient(attrs.evolve(fake.network, dialer=dial), options)


async def test_it_tells_before_the_first_byte_of_the_body(nursery: trio.Nursery, clock: MockClock) -> None:
    fake, wires, seen = Fake(nursery, lambda *_: json_answer({"tx_id": TX})), list[Wire](), list[bytes]()

    def on_sent() -> None:
        seen.append(b"".join(wires[0].written))

    async with wired(fake, wires) as rest:
        await submit(rest, on_sent)
    (head,) = seen
    assert head.endswith(b"\r\n\r\n")
    assert b"".join(wires[0].written) == head + fake.bodies[0]


async def test_no_connection(nursery: trio.Nursery, clock: MockClock) -> None:
    async def refuse(host: str, port: int) -> trio.abc.Stream:
        raise ConnectionRefusedError("nobody there")

    async def hang(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    sent = Sent()
    for dialer, when in ((refuse, 0), (hang, 30)):
        network = NetworkConfig(name="t", rest_url="http://t", websocket_url="ws://t", dialer=dialer)
        async with RestClient(network, OPTIONS) as rest:
            with pytest.raises(RequestFailed):
                await submit(rest, sent)
        assert trio.current_time() == when
    assert sent.times == 0


async def test_broken_before_the_body(nursery: trio.Nursery, clock: MockClock) -> None:
    fake, wires, sent = Fake(nursery, lambda *_: json_answer({"tx_id": TX})), list[Wire](), Sent()
    async with wired(fake, wires, 0, 0) as rest:
        assert (await submit(rest, sent)).tx_id == TX
    assert (sent.times, len(wires), len(fake.asked)) == (1, 3, 1)
    wires.clear()
    async with wired(fake, wires, 0, 0, 0) as rest:
        with pytest.raises(RequestFailed):
            await submit(rest, sent)
    assert (sent.times, len(wires), len(fake.asked)) == (1, 3, 1)


async def test_broken_inside_the_body(nursery: trio.Nursery, clock: MockClock) -> None:
    fake, wires, sent = Fake(nursery, lambda *_: json_answer({"tx_id": TX})), list[Wire](), Sent()
    async with wired(fake, wires, 1) as rest:
        with pytest.raises(AnswerLost):
            await submit(rest, sent)
    assert (sent.times, len(wires), len(fake.asked)) == (1, 1, 0)


@pytest.mark.parametrize(
    ("early", "kind"),
    [
        (json_answer({"code": 1004, "message": "not here"}, 403), api.GeoRestricted),
        ((413, {}, b"too large"), RequestFailed),
    ],
)
async def test_answered_before_the_body(
    nursery: trio.Nursery, clock: MockClock, early: tuple[int, dict[str, str], bytes], kind: type[Exception]
) -> None:
    """The answer is there before the head is written, and the connection then takes no more."""

    class Early(Wire):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            raise trio.BrokenResourceError("no more")

    async def dial(host: str, port: int) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        status, headers, body = early
        engine = h11.Connection(h11.SERVER)
        engine.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        engine.next_event()
        fields = [("Content-Length", str(len(body))), ("Connection", "close"), *headers.items()]
        data = engine.send(h11.Response(status_code=status, headers=fields)) or b""
        await theirs.send_all(data + (engine.send(h11.Data(data=body)) or b""))
        return Early(ours)

    sent = Sent()
    network = NetworkConfig(name="t", rest_url="http://t", websocket_url="ws://t", dialer=dial)
    async with RestClient(network, OPTIONS) as rest:
        with pytest.raises(kind):
            await submit(rest, sent)
    assert sent.times == 0


async def test_a_client_closed_under_way(nursery: trio.Nursery, clock: MockClock) -> None:
    fake, sent = Fake(nursery, lambda *_: None), Sent()
    rest = fake.client()
    async with rest, trio.open_nursery() as inner:

        async def lose() -> None:
            with pytest.raises(AnswerLost):
                await submit(rest, sent)

        inner.start_soon(lose)
        await trio.sleep(5)
        await rest.__aexit__(None, None, None)
    assert trio.current_time() == 5
    with pytest.raises(trio.ClosedResourceError):
        await submit(rest, sent)
    assert sent.times == 1


async def test_cancelled(nursery: trio.Nursery, clock: MockClock) -> None:
    fake, sent = Fake(nursery, lambda *_: None), Sent()
    async with fake.client() as rest:
        with trio.CancelScope() as early:
            early.cancel()
            await submit(rest, sent)
        assert (early.cancelled_caught, sent.times) == (True, 0)
        with trio.move_on_after(3) as late:
            await submit(rest, sent)
        assert (late.cancelled_caught, sent.times) == (True, 1)
    assert len(fake.asked) == 1


async def test_an_idle_connection_is_used_again(nursery: trio.Nursery, clock: MockClock) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"tx_id": TX, "status": "ok"}))
    async with fake.client() as rest:
        await rest.health()
        for _ in range(3):
            await submit(rest, Sent())
    assert fake.dials == 1


async def test_an_idle_connection_that_the_server_closed(nursery: trio.Nursery, clock: MockClock) -> None:
    fake, sent = Fake(nursery, lambda *_: json_answer({"tx_id": TX})), Sent()
    async with fake.client() as rest:
        await submit(rest, sent)
        await trio.aclose_forcefully(fake.streams[0])
        await submit(rest, sent)
    assert (sent.times, len(fake.asked), fake.dials) == (2, 2, 2)


async def test_an_idle_socket_that_the_server_closed(nursery: trio.Nursery) -> None:
    fake, sent = Fake(nursery, lambda *_: json_answer({"tx_id": TX})), Sent()
    accepted: list[trio.SocketStream] = []

    async def serve(stream: trio.SocketStream) -> None:
        accepted.append(stream)
        await fake.serve(stream)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    port = listener.socket.getsockname()[1]
    network = NetworkConfig.from_url(f"http://127.0.0.1:{port}")
    async with RestClient(network, OPTIONS) as rest:
        await submit(rest, sent)
        await accepted[0].aclose()
        await submit(rest, sent)
        assert (sent.times, len(fake.asked), len(accepted)) == (2, 2, 2)
    nursery.cancel_scope.cancel()
