"""One bounded request, within the rate limits, and reads that are repeated.

How bytes travel is in ``_transport``, what an answer means in ``_answers``, JSON in ``o2trio.wire``. Which
paths there are is the matter of ``_markets``, ``_aggregated`` and ``_client``; everything that changes
something is in ``_writes``.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, cast

import httpx2
import trio

from .._api_errors import RateLimitExceeded
from .._errors import ApiError, MessageTooBig, RequestFailed
from .._network import NetworkConfig, Options
from .._version import USER_AGENT
from ..models import NotUnderstood, Rows
from ..transport._backoff import backoff_delays
from ..transport._faults import is_transient_status
from ..wire import OddField, odd_fields
from ..wire._structure import structure, structure_rows
from ._answers import Answer, find_error, redirect_target
from ._arguments import venue_query
from ._envelope import opened
from ._limits import RATES, Group, Limiter, Rate, read_group
from ._shapes import Shape, as_is
from ._transport import DialerTransport
from ._venue import check_market, check_one, check_venue, of_market, of_venue

__all__ = ["MAX_REDIRECTS", "READ_ATTEMPTS", "HttpClient", "Query"]

T = TypeVar("T")
Query = Mapping[str, str | int]
Failure = ApiError | RequestFailed

READ_ATTEMPTS = 3
"""How often a read is tried in all."""
MAX_REDIRECTS = 5
"""How many redirects one attempt follows."""

_log = logging.getLogger("o2trio")


class HttpClient:
    """Requests to one deployment of the exchange; an async context manager that owns its connections.

    Any number of tasks may use it at once. Cancelling a call harms no other.

    Attributes:
      on_unreadable: called with a request (such as ``GET /v1/trades``) and the rows of its answer that could
        not be read; must not raise. Where it is None they are logged.
      on_odd: called with the carried fields of one row, or of one answer, that could not be read; must not
        raise.
    """

    def __init__(self, config: NetworkConfig, options: Options) -> None:
        self.on_unreadable: Callable[[str, Sequence[NotUnderstood]], None] | None = None
        self.on_odd: Callable[[tuple[OddField, ...]], None] | None = None
        self._config = config
        self._options = options
        self._limiter = Limiter({**RATES, Group.READS: Rate(options.reads_per_second, 1.0)})
        self._http = httpx2.AsyncClient(
            base_url=config.rest_url,
            transport=DialerTransport(config),
            headers={"Accept": "application/json", "User-Agent": USER_AGENT},
            # Time limits are cancel scopes, which bound a request as a whole.
            timeout=None,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    async def get_json(
        self, path: str, params: Query, kind: type[T], shape: Shape = as_is, *, turbo: bool | None = None
    ) -> T:
        """Read `path` and return the answer as one `kind`.

        It first waits for its turn within the rate limit. A read that found no connection, a busy server
        (408, 425, 5xx) or a full rate limit (429, code 1003) is repeated, ``READ_ATTEMPTS`` times in all,
        after a backoff wait or the wait the server asks for; where it asks for more than
        ``Options.request_timeout`` the error is raised at once. Redirects are followed on the same host, at
        most ``MAX_REDIRECTS`` of them. Each attempt, and each redirect, may take ``Options.request_timeout``.
        May be cancelled at any time.

        Args:
          path: absolute, beginning with ``/v1``.
          params: the query.
          kind: a model class.
          shape: brings the decoded JSON into the one form that `kind` has.
          turbo: the venue that the answer must be about; None where an answer is about no venue.

        Raises:
          ApiError: the exchange, or a gateway before it, said no.
          RequestFailed: no answer.
          DecodeError: an answer that is not a `kind`; :exc:`WrongVenue` if it is about the other venue.
            An answer that names another market than `params` is not one either, and such a row is not read.
          MessageTooBig: an answer of more than ``Options.max_message_bytes``.
        """
        answer = await self._read(path, venue_query(params, turbo=turbo))
        value, market_id = shape(opened(answer.content)), params.get("market_id")
        if market_id is not None:
            check_market(answer.content, value, answer.body, market_id)
        return self._one(answer, kind, value, turbo=turbo)

    async def get_rows(
        self,
        path: str,
        params: Query,
        kind: type[T],
        shape: Shape,
        *,
        turbo: bool | None = None,
        marked: bool = True,
    ) -> Rows[T]:
        """Read `path` and return the rows of the answer; an unreadable one does not affect the others.

        Each that cannot be read is also reported to `on_unreadable`.

        Args:
          path, params, turbo: as for :meth:`get_json`.
          kind: the model class of one row.
          shape: brings the decoded JSON into a list.
          marked: whether rows have a place for the mark of the venue in a list that is bare.

        Raises: as :meth:`get_json`; DecodeError if the answer is not a list.
        """
        answer = await self._read(path, venue_query(params, turbo=turbo))
        value, market_id = shape(opened(answer.content)), params.get("market_id")
        if market_id is not None:
            check_market(answer.content, None, answer.body, market_id)
        return self._rows(answer, kind, value, turbo=turbo, marked=marked, market_id=market_id)

    def _one(self, answer: Answer, kind: type[T], value: object, *, turbo: bool | None = None) -> T:
        """Return the `value` that `answer` holds as a model."""
        if turbo is not None:
            check_one(answer.content, value, answer.body, turbo=turbo)
        model = structure(value, kind, answer.body)
        self._report_odd((model,))
        return model

    def _rows(
        self,
        answer: Answer,
        kind: type[T],
        value: object,
        *,
        turbo: bool | None = None,
        marked: bool = True,
        market_id: object = None,
    ) -> Rows[T]:
        """Return the list `value` that `answer` holds as models, and report what could not be read."""
        rows = structure_rows(value, kind, answer.body)
        if turbo is not None:
            entries = cast("list[object]", value)
            may_be_bare = not marked and isinstance(opened(answer.content), list)
            unmarked = check_venue(answer.content, () if may_be_bare else entries, answer.body, turbo=turbo)
            rows = of_venue(rows, entries, turbo=turbo, unmarked=unmarked or may_be_bare)
        if market_id is not None:
            rows = of_market(rows, cast("list[object]", value), market_id)
        self._report_unreadable(answer.request, rows.not_understood)
        self._report_odd(rows)
        return rows

    def _report_unreadable(self, request: str, entries: Sequence[NotUnderstood]) -> None:
        if entries and self.on_unreadable is not None:
            self.on_unreadable(request, entries)
        elif entries:
            first = entries[0].problem
            _log.warning("%s: %d entries were not understood, the first: %s", request, len(entries), first)

    def _report_odd(self, models: Iterable[object]) -> None:
        """Report the carried fields that could not be read."""
        if self.on_odd is not None:
            for model in models:
                odd = odd_fields(model)
                if odd:
                    self.on_odd(odd)

    async def _read(self, path: str, params: Query) -> Answer:
        attempt = partial(self._read_once, path, params)
        return await self._repeated(read_group(path), "", attempt, (ApiError, RequestFailed))

    async def _read_once(self, path: str, params: Query) -> Answer:
        name, seconds = f"GET {path}", self._options.request_timeout
        request = self._http.build_request("GET", path, params=dict(params))
        answer = await self._send(name, request, seconds)
        for _ in range(MAX_REDIRECTS):
            target = redirect_target(request.url, answer)
            if target is None:
                break
            await self._limiter.acquire(read_group(path))
            request = self._http.build_request("GET", target)
            answer = await self._send(name, request, seconds)
        error = find_error(answer)
        if error is not None:
            raise error
        return answer

    async def _repeated(
        self,
        group: Group,
        key: str,
        attempt: Callable[[], Awaitable[T]],
        harmless: tuple[type[Failure], ...],
        *,
        admitted: bool = False,
    ) -> T:
        """Call `attempt` when it is its turn, and again after an error of the `harmless` kinds that may pass.

        It waits for its turn as :meth:`Limiter.acquire` does with `group` and `key`; for the first one only
        if it is not `admitted` already.
        """
        delays = backoff_delays(self._options)
        attempts = READ_ATTEMPTS
        while True:
            attempts -= 1
            if not admitted:
                await self._limiter.acquire(group, key)
            admitted = False
            try:
                return await attempt()
            except (ApiError, RequestFailed) as error:
                if not isinstance(error, harmless):
                    raise
                wait = self._wait_before_retry(error, next(delays))
                if wait is not None and isinstance(error, RateLimitExceeded):
                    # The others would be refused as well.
                    self._limiter.hold(group, wait, key)
                if wait is None or not attempts:
                    raise
            await trio.sleep(wait)

    async def _send(self, name: str, request: httpx2.Request, seconds: float) -> Answer:
        """Send `request` once and return the whole answer, whatever it says.

        Raises:
          RequestFailed: no answer within `seconds`, or none at all, or an unreadable one.
          MessageTooBig: an answer of more than ``Options.max_message_bytes``.
        """
        with trio.move_on_after(seconds):
            return await self._exchange(name, request)
        raise RequestFailed(f"{name} got no answer within {seconds:g} s")

    async def _exchange(self, name: str, request: httpx2.Request) -> Answer:
        if self._http.is_closed:
            raise trio.ClosedResourceError("the client is closed")
        try:
            response = await self._http.send(request, stream=True)
            try:
                body = await self._body(name, response)
            finally:
                await response.aclose()
        except httpx2.HTTPError as error:
            raise RequestFailed(f"{name} got an unreadable answer: {error}") from error
        headers = response.headers
        return Answer(name, response.status_code, headers.get("Retry-After"), body, headers.get("Location"))

    async def _body(self, name: str, response: httpx2.Response) -> bytes:
        if "," in response.headers.get("Content-Encoding", ""):
            # The limit below sees only what comes out; inner layers can grow without bound and yield nothing.
            raise RequestFailed(f"{name} got an answer that was compressed more than once")
        limit = self._options.max_message_bytes
        body = bytearray()
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    what = f"{name} answered with more than {limit} bytes"
                    raise MessageTooBig(f"{what}; raise Options.max_message_bytes")
        return bytes(body)

    def _wait_before_retry(self, error: Failure, backoff: float) -> float | None:
        """Return how many seconds to wait before trying again, or None if that is pointless."""
        if isinstance(error, RequestFailed):
            return None if isinstance(error.__cause__, ssl.SSLCertVerificationError) else backoff
        if not is_transient_status(error.status) and not isinstance(error, RateLimitExceeded):
            return None
        asked = error.retry_after or 0.0
        return None if asked > self._options.request_timeout else max(asked, backoff)
