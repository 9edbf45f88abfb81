"""What the exchange really sent: REST answers and conversations over WebSockets, as found. No judgment.

Everything is read with a plain HTTP client and our link, and decoded as bare JSON: the tolerant decoding of
the library would hide what the exchange really sends.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import attrs
import httpx2
import msgspec
import trio

from .._errors import LinkClosed, MessageTooBig, O2Error, RequestFailed
from .._network import NetworkConfig, Options
from .._nursery import BareNursery
from ..rest._limits import Limiter, read_group
from ..rest._transport import DialerTransport
from ..transport._link import Link, open_link
from ._doctor_shapes import Json, Object, object_of

__all__ = ["ANSWER_SECONDS", "Answer", "Evidence", "Reader", "Said", "Step", "converse"]

ANSWER_SECONDS = 8.0
"""How long one request may take."""

_MESSAGES = 20_000
"""How many messages of one conversation are kept."""

_ANSWER_BYTES = 16 * 2**20

_WOULD_END = (OSError, trio.BrokenResourceError, O2Error)
"""What ends a conversation early; what was said until then counts."""


@attrs.frozen(slots=True)
class Answer:
    """One answer over REST.

    Attributes:
      status: of HTTP.
      body: decoded JSON; None if it is not JSON.
      text: the beginning of the body.
      headers: with lower-case names.
      seconds: from the request to the whole answer.
    """

    status: int
    body: Json
    text: str
    headers: Mapping[str, str]
    seconds: float

    @property
    def object(self) -> Object:
        """The body if it is an object, else an empty one."""
        return object_of(self.body)


@attrs.frozen(slots=True)
class Said:
    """One message that the exchange sent on a WebSocket.

    Attributes:
      step: during which step of the conversation it came.
      value: decoded JSON, or the text if it is not JSON.
      is_binary: whether it came in a binary frame.
    """

    step: str
    value: Json
    is_binary: bool = False

    @property
    def object(self) -> Object:
        """The message if it is an object, else an empty one."""
        return object_of(self.value)


@attrs.frozen(slots=True)
class Step:
    """One step of a conversation: what to send, and how long to listen then."""

    name: str
    requests: Sequence[Object | str]
    seconds: float


@attrs.define(slots=True)
class Evidence:
    """Everything found so far; it may be looked at while more comes in.

    Attributes:
      network: where.
      account: the trading account that is looked at, or None.
      basics: facts about name, TLS, clock and latency, by name; an exception where there is none.
      answers: REST answers by the names of the requests.
      talks: conversations by their names.
      market: the row of the market that is looked at.
      heard: the steps of conversations that were listened to until their end.
      is_trading: whether trading was consented to.
      failures: why a request or a conversation brought nothing, by its name.
    """

    network: NetworkConfig
    account: str | None = None
    basics: dict[str, object] = attrs.field(factory=dict)
    answers: dict[str, Answer] = attrs.field(factory=dict)
    talks: dict[str, list[Said]] = attrs.field(factory=dict)
    market: Object = attrs.field(factory=dict[str, Json])
    heard: set[tuple[str, str]] = attrs.field(factory=set)
    is_trading: bool = False
    failures: dict[str, str] = attrs.field(factory=dict)

    def said(self, talk: str, *steps: str) -> list[Said]:
        """Return what was said in a conversation, perhaps only in some of its steps."""
        return [each for each in self.talks.get(talk, ()) if not steps or each.step in steps]

    def body(self, name: str) -> Json:
        """Return the body of an answer that is not an error, else None."""
        answer = self.answers.get(name)
        return answer.body if answer is not None and answer.status < 400 else None


class Reader:
    """Reads REST answers as they are, within the published rate limits; made by :meth:`opened`."""

    def __init__(self, http: httpx2.AsyncClient, evidence: Evidence) -> None:
        self._http = http
        self._limiter = Limiter()
        self.evidence = evidence

    @classmethod
    @asynccontextmanager
    async def opened(cls, evidence: Evidence) -> AsyncGenerator[Reader]:
        """Open a reader that puts what it reads into `evidence`."""
        async with httpx2.AsyncClient(
            base_url=evidence.network.rest_url,
            transport=DialerTransport(evidence.network),
            headers={"Accept": "application/json", "User-Agent": "o2trio doctor"},
            timeout=None,
            trust_env=False,
        ) as http:
            yield cls(http, evidence)

    async def get(self, name: str, path: str, **query: str | int) -> Answer | None:
        """Read `path` once and keep the answer as `name`, or the reason why there is none."""
        await self._limiter.acquire(read_group(path))
        return await self._ask(name, self._http.build_request("GET", path, params=query))

    async def post(self, name: str, path: str, body: object, owner: str) -> Answer | None:
        """Send a signed submission once and keep the answer as `name`."""
        headers = {"O2-Owner-Id": owner}
        return await self._ask(name, self._http.build_request("POST", path, json=body, headers=headers))

    async def _ask(self, name: str, request: httpx2.Request) -> Answer | None:
        began = trio.current_time()
        reason = f"no answer within {ANSWER_SECONDS:g} s"
        with trio.move_on_after(ANSWER_SECONDS):
            try:
                response = await self._http.send(request, stream=True)
                try:
                    answer = await self._read(response, began)
                finally:
                    await response.aclose()
            except (RequestFailed, httpx2.HTTPError) as error:
                reason = str(error)
            else:
                self.evidence.answers[name] = answer
                return answer
        self.evidence.failures[name] = reason
        return None

    async def _read(self, response: httpx2.Response, began: float) -> Answer:
        data = bytearray()
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > _ANSWER_BYTES:
                raise RequestFailed(f"an answer of more than {_ANSWER_BYTES} bytes")
        return Answer(
            status=response.status_code,
            body=_decoded(bytes(data)),
            text=bytes(data[:200]).decode(errors="replace"),
            headers={name.lower(): value for name, value in response.headers.items()},
            seconds=trio.current_time() - began,
        )


async def converse(evidence: Evidence, name: str, steps: Sequence[Step], options: Options) -> None:
    """Hold a conversation over a WebSocket of its own; what is said is in `evidence` at once."""
    said = evidence.talks.setdefault(name, [])
    current = steps[0].name

    def receive(messages: Iterator[str | bytes]) -> bool:
        for message in messages:
            if len(said) < _MESSAGES:
                said.append(Said(current, _value(message), isinstance(message, bytes)))
        return False

    async def read(link: Link) -> None:
        try:
            await link.deliver(receive)
        except (LinkClosed, MessageTooBig) as error:
            evidence.failures[name] = str(error)

    try:
        async with open_link(evidence.network, options) as link, BareNursery() as nursery:
            nursery.start_soon(read, link)
            for step in steps:
                current = step.name
                for request in step.requests:
                    text = request if isinstance(request, str) else msgspec.json.encode(request).decode()
                    await link.send(text)
                await trio.sleep(step.seconds)
                evidence.heard.add((name, step.name))
    except _WOULD_END as error:
        evidence.failures[name] = str(error) or type(error).__name__


def _value(message: str | bytes) -> Json:
    """Return a message as JSON, or as text if it is not JSON."""
    found = _decoded(message.encode() if isinstance(message, str) else message)
    if found is None:
        return message if isinstance(message, str) else message.decode(errors="replace")
    return found


def _decoded(data: bytes) -> Json:
    try:
        value: Json = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value
