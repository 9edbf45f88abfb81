"""The REST client: one bounded request, reads that are repeated, and the reads the streams need.

How bytes travel is in ``_transport``, what an answer means in ``_answers``, JSON in ``o2trio.wire``.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Self, TypeVar

import httpx2
import trio

from .._errors import ApiError, InvalidRequest, MessageTooBig, RequestFailed
from .._network import NetworkConfig, Options
from ..models import AccountInfo, Balance, Id, Identity, IdentityKind, Markets, normalize_id
from ..transport._backoff import backoff_delays
from ..transport._faults import is_transient_status
from ..wire import structure_json
from ._answers import AccountAnswer, Answer, BalanceAnswer, find_error
from ._transport import DialerTransport

__all__ = ["READ_ATTEMPTS", "RestClient"]

T = TypeVar("T")

READ_ATTEMPTS = 3
"""How often a read is tried in all."""
_RATE_LIMITED = 1003


class RestClient:
    """Reads from the exchange over REST; an async context manager that owns its connections.

    Any number of tasks may use it at once. Cancelling a call harms no other.
    """

    def __init__(self, config: NetworkConfig, options: Options) -> None:
        self._options = options
        self._http = httpx2.AsyncClient(
            base_url=config.rest_url,
            transport=DialerTransport(config),
            headers={"Accept": "application/json", "User-Agent": "o2trio"},
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

    async def markets(self) -> Markets:
        """Read the list of markets; raises as :meth:`get_json`."""
        return await self.get_json("/v1/markets", {}, Markets)

    async def balance(self, identity: Identity, asset_id: str) -> Balance:
        """Read what `identity` holds of one asset, in chain units; raises as :meth:`get_json`.

        Args:
          identity: a trading account (a contract) or a wallet.
          asset_id: the asset.

        Raises:
          InvalidRequest: `asset_id` is no id.
        """
        asset = _id(asset_id)
        owner = "contract" if identity.kind is IdentityKind.CONTRACT_ID else "address"
        answer = await self.get_json("/v1/balance", {"asset_id": asset, owner: identity.id}, BalanceAnswer)
        return answer.to_balance(identity, asset)

    async def account(self, of: str | Identity) -> AccountInfo | None:
        """Read a trading account, or return None if there is none; raises as :meth:`get_json`.

        Args:
          of: the trade account id, or the identity (wallet or contract) that **owns** the account.

        Raises:
          InvalidRequest: `of` is no id.
        """
        if isinstance(of, str):
            params = {"trade_account_id": _id(of)}
        else:
            params = {"owner_contract" if of.kind is IdentityKind.CONTRACT_ID else "owner": of.id}
        return (await self.get_json("/v1/accounts", params, AccountAnswer)).to_account()

    async def get_json(self, path: str, params: Mapping[str, str | int], kind: type[T]) -> T:
        """Read `path` and return the answer as `kind`.

        A read that found no connection, a busy server (408, 425, 5xx) or a full rate limit (429, code 1003)
        is repeated, ``READ_ATTEMPTS`` times in all, after a backoff wait or the wait the server asks
        for; where it asks for more than ``Options.request_timeout`` the error is raised at once. Each
        attempt may take ``Options.request_timeout``. May be cancelled at any time.

        Args:
          path: absolute, beginning with ``/v1``.
          params: the query.
          kind: a model class, or ``tuple[X, ...]`` of one.

        Raises:
          ApiError: the exchange, or a gateway before it, said no.
          RequestFailed: no answer.
          DecodeError: an answer that is not a `kind`.
          MessageTooBig: an answer of more than ``Options.max_message_bytes``.
        """
        return structure_json(await self._read(path, params), kind)

    async def _read(self, path: str, params: Mapping[str, str | int]) -> bytes:
        delays = backoff_delays(self._options)
        attempts = READ_ATTEMPTS
        while True:
            attempts -= 1
            try:
                return await self._attempt("GET", path, params)
            except (ApiError, RequestFailed) as error:
                wait = self._wait_before_retry(error, next(delays))
                if wait is None or not attempts:
                    raise
            await trio.sleep(wait)

    async def _attempt(self, method: str, path: str, params: Mapping[str, str | int]) -> bytes:
        name = f"{method} {path}"
        request = self._http.build_request(method, path, params=dict(params))
        with trio.move_on_after(self._options.request_timeout):
            answer = await self._exchange(name, request)
            error = find_error(answer)
            if error is not None:
                raise error
            return answer.body
        raise RequestFailed(f"{name} got no answer within {self._options.request_timeout:g} s")

    async def _exchange(self, name: str, request: httpx2.Request) -> Answer:
        try:
            response = await self._http.send(request, stream=True)
            try:
                body = await self._body(name, response)
            finally:
                await response.aclose()
        except httpx2.HTTPError as error:
            raise RequestFailed(f"{name} got an unreadable answer: {error}") from error
        return Answer(name, response.status_code, response.headers.get("Retry-After"), body)

    async def _body(self, name: str, response: httpx2.Response) -> bytes:
        limit = self._options.max_message_bytes
        body = bytearray()
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    what = f"{name} answered with more than {limit} bytes"
                    raise MessageTooBig(f"{what}; raise Options.max_message_bytes")
        return bytes(body)

    def _wait_before_retry(self, error: ApiError | RequestFailed, backoff: float) -> float | None:
        """Return how many seconds to wait before trying again, or None if that is pointless."""
        if isinstance(error, RequestFailed):
            return None if isinstance(error.__cause__, ssl.SSLCertVerificationError) else backoff
        if not is_transient_status(error.status) and error.code != _RATE_LIMITED:
            return None
        asked = error.retry_after or 0.0
        return None if asked > self._options.request_timeout else max(asked, backoff)


def _id(text: str) -> Id:
    try:
        return normalize_id(text)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
