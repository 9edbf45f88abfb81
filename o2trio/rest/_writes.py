"""Requests that change something: accounts, the faucet, and signed submissions, each sent once.

What an answer proves is judged in ``_verdicts``; what is signed, and what becomes of a submission whose
answer was lost, is the matter of ``o2trio.trading``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

import httpcore2
import msgspec
import trio

from .._api_errors import RateLimitExceeded
from .._errors import ConnectionFault, InvalidRequest, MessageTooBig, RequestFailed
from .._trading_errors import FaucetRefused
from ..models import Id, Identity
from ..transport._backoff import parse_retry_after
from ._answers import AccountCreated, Answer, Anything, find_error
from ._arguments import check_id, identity_query
from ._envelope import object_in, opened
from ._http import READ_ATTEMPTS, HttpClient
from ._limits import Group, write_group
from ._shapes import anything
from ._verdicts import Answered, judge

__all__ = ["AccountCreated", "AnswerLost", "Answered", "Writes"]

Body = Mapping[str, object]

_OWNER = "O2-Owner-Id"
_JSON = {"Content-Type": "application/json"}

_PROVEN = (RateLimitExceeded,)
"""Errors of which each says that nothing ran, and that the same may be sent again a little later."""

_BROKEN = (httpcore2.NetworkError, httpcore2.ProtocolError)
"""How a connection breaks that had been open; a failed dial is an OSError."""


class AnswerLost(ConnectionFault):
    """A signed submission left, and nothing tells whether it ran; ``__cause__`` holds what went wrong."""


class Writes(HttpClient):
    """The part of the client that changes something.

    Every method may be cancelled at any time; then, as after an error that is no answer, it is unknown
    whether the exchange has done it. Nothing is sent a second time unless the exchange has said that it
    did nothing (429, code 1003). ``Options.submit_timeout`` bounds each request.
    """

    async def create_account(self, owner: Identity) -> AccountCreated:
        """Create the trading account of `owner`.

        Raises:
          ApiError: the exchange, or a gateway before it, said no.
          RequestFailed: no answer; there may be an account now.
          DecodeError: an answer that is something else.
        """
        identity_query(owner, "owner")
        body = {"identity": {owner.kind.value: owner.id}}
        answer = await self._write("/v1/accounts", body, Group.ACCOUNT_CREATION, {_OWNER: owner.id})
        return self._one(answer, AccountCreated, opened(answer.content))

    async def whitelist(self, trade_account_id: str) -> object:
        """Ask for a place on the list of those who may trade; retired, so never rely on it.

        Returns:
          the answer as immutable JSON.

        Raises: as :meth:`create_account`.
        """
        body = {"tradeAccount": check_id(trade_account_id, "a trade account id")}
        answer = await self._write("/analytics/v1/whitelist", body, Group.SERVICES, {})
        return self._one(answer, Anything, anything(answer.content)).content

    async def mint(self, target: Identity) -> str:
        """Ask the network's faucet for test coins.

        Args:
          target: a trading account (a contract) or a wallet.

        Returns:
          the faucet's own words.

        Raises:
          InvalidRequest: the network has no faucet.
          FaucetRefused: the faucet said no, for example because `target` had some a minute ago.
          ApiError: something in front of the faucet said no.
          RequestFailed: no answer; the coins may come nevertheless.
        """
        url = self._config.faucet_url
        body = identity_query(target, "address")
        if url is None:
            raise InvalidRequest(f"{self._config.name} has no faucet")
        await self._limiter.acquire(Group.SERVICES)
        answer = await self._post("the faucet", url, body, {})
        error, said = find_error(answer), object_in(answer.content) or {}
        if said.get("error") or isinstance(error, RateLimitExceeded):
            words = (error and error.message) or "too many requests"
            raise FaucetRefused(
                f"the faucet gave nothing to {target}: {words:.200}", parse_retry_after(answer.retry_after)
            )
        if error is not None:
            raise error
        return str(said.get("message", ""))

    async def _write(self, path: str, body: Body, group: Group, headers: Mapping[str, str]) -> Answer:
        async def attempt() -> Answer:
            answer = await self._post(f"POST {path}", path, body, headers)
            error = find_error(answer)
            if error is not None:
                raise error
            return answer

        return await self._repeated(group, "", attempt, _PROVEN)

    async def _post(self, name: str, url: str, body: Body, headers: Mapping[str, str]) -> Answer:
        data = msgspec.json.encode(dict(body))
        request = self._http.build_request("POST", url, content=data, headers={**_JSON, **headers})
        return await self._send(name, request, self._options.submit_timeout)

    async def admit(self, path: str, owner: Id) -> None:
        """Wait for the owner's turn within the rate limit, before a submission is made for :meth:`submit`.

        May be cancelled at any time.
        """
        await self._limiter.acquire(write_group(path), owner)

    async def submit(
        self, method: str, path: str, body: Body, *, owner: Id, on_sent: Callable[[], None]
    ) -> Answered:
        """Send a signed submission once, and return the answer if it succeeded.

        Whoever calls it has waited for :meth:`admit`. Only where the exchange has said that
        nothing ran because of its own limit (429, code 1003), or an idle connection proves to be closed
        before the body is sent, the same submission is sent again, ``READ_ATTEMPTS`` times in all.

        An error that names a used nonce may also mean that something between here and the exchange has
        sent the submission twice, and that the first of the two ran.

        Args:
          method: ``"POST"`` or ``"PUT"``.
          path: absolute, beginning with ``/v1``.
          body: the JSON, signed.
          owner: the owner's 32-byte address; the exchange counts requests by it.
          on_sent: called just before the body leaves, at each attempt; until then, the submission cannot
            have run, also if the call is cancelled.

        Raises:
          OnChainRevert: it ran, failed, and changed nothing except nonces.
          ApiError: it was refused and has not run.
          RequestFailed: its body was not sent, so it has not run.
          AnswerLost: it may have run or not.
        """
        attempt = partial(self._submit_once, method, path, msgspec.json.encode(dict(body)), owner, on_sent)
        return await self._repeated(write_group(path), owner, attempt, _PROVEN, admitted=True)

    async def _submit_once(
        self, method: str, path: str, data: bytes, owner: Id, on_sent: Callable[[], None]
    ) -> Answered:
        name = f"{method} {path}"
        content = _Content(data, on_sent)
        answer = await self._send_whole(name, method, path, content, owner)
        verdict = judge(answer)
        if isinstance(verdict, Answered):
            return verdict
        if verdict is not None:
            raise verdict
        error = find_error(answer)
        why = "the answer proves no success and no failure" if error is None else f"{error!s:.400}"
        if content.sent:
            raise AnswerLost(f"{name} was sent, and may have run or not: {why}") from error
        raise RequestFailed(f"{name} was refused before its body was sent: {why}") from error

    async def _send_whole(self, name: str, method: str, path: str, content: _Content, owner: Id) -> Answer:
        """Send a submission; again on another connection while one breaks before the body."""
        headers = {**_JSON, "Content-Length": str(len(content.data)), _OWNER: owner}
        attempts = READ_ATTEMPTS
        while True:
            attempts -= 1
            request = self._http.build_request(method, path, content=content, headers=headers)
            try:
                return await self._send(name, request, self._options.submit_timeout)
            except (RequestFailed, MessageTooBig, trio.ClosedResourceError) as error:
                if content.sent:
                    raise AnswerLost(f"{name} was sent, but its answer is lost: {error}") from error
                # Nothing has left. A connection that was open may be a stale one from the pool.
                if not attempts or not isinstance(error.__cause__, _BROKEN):
                    raise


class _Content:
    """The body of a submission; it tells when it is about to leave.

    httpcore2 asks for it only after the head of the request was written, and sends nothing twice by itself.

    Attributes:
      data: the whole body.
      sent: whether it may have left.
    """

    def __init__(self, data: bytes, on_sent: Callable[[], None]) -> None:
        self.data = data
        self.sent = False
        self._on_sent = on_sent

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.sent:
            raise StopAsyncIteration
        self.sent = True
        self._on_sent()
        return self.data
