"""What the answer to a signed submission proves: that it ran, that it did not, or neither.

Pure functions over a complete answer. Nothing is sent or repeated here; ``_writes`` does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

import attrs

from .._api_errors import API_ERRORS, InternalError, RateLimitExceeded, RequestUnreadable
from .._errors import ApiError
from .._trading_errors import OnChainRevert
from ..models import Id, Order, Rows, normalize_id
from ..transport._backoff import parse_retry_after
from ..wire._structure import structure_rows
from ._answers import Answer, error_of, find_error
from ._envelope import Envelope, envelope_of, object_in, opened

__all__ = ["Answered", "judge"]

_CODES = range(1000, 10_000)
"""The exchange's own codes, known or not; a smaller one is an HTTP status that a gateway repeats."""
_INTERNAL = next(code for code, kind in API_ERRORS.items() if kind is InternalError)
_SERVER_ERRORS = range(500, 600)
_SUCCESSES = range(200, 300)
_REFUSALS = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
"""Statuses that prove, without a code, that the request did not pass: its form, its sender or its address.

Every other 4xx may come after the work was done: 409 from something that removes duplicates of a request,
408, 425 and 499 when somebody stopped waiting, 421 from a shared connection, and those that nobody lists. A
429 is a rate limit, whoever sends it, and is judged before.
"""
_PARSER_STATUSES = frozenset({400, 422})
_PARSER_WORDS = re.compile(r"unknown variant|secp256k1|deserializ", re.IGNORECASE)
"""How the server's framework says, before its own code runs, that it cannot parse a submission."""
_GATEWAY_WORDS = re.compile(
    r"upstream|\bbad gateway|gateway time-?out|disconnect/reset before"
    r"|\b(stream|connection) (was )?(reset|closed|terminat|refused|aborted)|broken pipe|unexpected eof"
    r"|(service|temporarily) unavailable"
    r"|(request|operation|response|server|context) (has )?(timed out|timeout|deadline exceeded)",
    re.IGNORECASE,
)
"""How something between the client and the exchange says that it lost a request on its way, or the answer."""
_DEEPEST = 4
"""How deep orders may lie inside groups."""


@attrs.frozen(slots=True)
class Answered:
    """A submission that was carried out.

    Attributes:
      tx_id: the transaction.
      orders: the orders that it created, as far as the exchange was asked for them and they could be read.
      content: the whole answer.
    """

    tx_id: str
    orders: Rows[Order]
    content: Mapping[str, object] = attrs.field(hash=False)

    @property
    def order_ids(self) -> tuple[Id, ...]:
        """The ids of the created orders that could not be read otherwise; they are not in `orders`."""
        ids = (entry.ids.get("order_id") for entry in self.orders.not_understood)
        return tuple(Id(order_id) for order_id in ids if order_id is not None)


def judge(answer: Answer) -> Answered | ApiError | None:
    """Return what `answer` proves about the submission that it answers.

    Returns:
      :class:`Answered` if it ran and succeeded; :exc:`OnChainRevert` if it ran and failed; another
      :exc:`ApiError` if it was refused and did not run; None if it may have run or not. In doubt, None.
    """
    content = object_in(opened(answer.content))
    if content is None:
        error = find_error(answer)
        return error if isinstance(error, RateLimitExceeded) else _unparsed(answer, None)
    envelope, tx_id = envelope_of(answer.content), _text(content.get("tx_id"))
    error = error_of(answer, envelope)
    if tx_id is None and isinstance(error, RateLimitExceeded):
        return error
    unparsed = _unparsed(answer, envelope.code) if tx_id is None else None
    lost = envelope.code not in _CODES and _GATEWAY_WORDS.search(answer.body.decode("utf-8", "replace"))
    revert = _revert(answer, envelope, tx_id, words_count=unparsed is None and not lost)
    if revert is not None or unparsed is not None:
        return revert or unparsed
    if tx_id is not None:
        # A reason may say anything, also of a success, so it casts doubt where nothing else says success.
        certain = not envelope.reason or envelope.is_success or bool(content.get("orders"))
        done = answer.status in _SUCCESSES and not envelope.is_refusal and certain
        return Answered(_id(tx_id), _orders(content.get("orders")), content) if done else None
    return error if not lost and _is_refusal(answer.status, envelope.code) else None


def _is_refusal(status: int, code: int | None) -> bool:
    """Tell whether an error without a transaction proves that nothing ran."""
    if code is None:
        return status in _REFUSALS
    if code == _INTERNAL or code not in _CODES:
        return False
    return code in API_ERRORS or status not in _SERVER_ERRORS


def _unparsed(answer: Answer, code: int | None) -> RequestUnreadable | None:
    """Return the refusal by a parser, which has no code of the exchange and may be plain text."""
    text = answer.body.decode("utf-8", "replace")
    if answer.status not in _PARSER_STATUSES or code in _CODES or not _PARSER_WORDS.search(text):
        return None
    return RequestUnreadable(
        f"{answer.request} failed with HTTP {answer.status}: {' '.join(text.split()):.200}",
        status=answer.status,
        code=code,
        message=text,
    )


def _revert(
    answer: Answer, envelope: Envelope, tx_id: str | None, *, words_count: bool
) -> OnChainRevert | None:
    """Return the failure on chain that an answer reports.

    It is known by decoded evidence, or by the status of a refusal together with a ``reason``. With any other
    status the words of a reason prove nothing: "OK" is one, too. Nor do they if not `words_count`.
    """
    # Not at the top: o2trio.trading builds on this package.
    from ..trading._reverts import decode_revert  # noqa: PLC0415

    reason = envelope.reason or (envelope.message if envelope.code in (None, _INTERNAL) else None)
    revert = decode_revert(reason, envelope.receipts)
    bare = words_count and bool(envelope.reason) and envelope.code is None and answer.status in _REFUSALS
    if not (revert.is_evident or bare):
        return None
    error = OnChainRevert(
        f"{answer.request} failed on chain: {revert}",
        status=answer.status,
        code=envelope.code,
        message=envelope.message,
        reason=envelope.reason,
        receipts=envelope.receipts,
        retry_after=parse_retry_after(answer.retry_after),
    )
    error.enum, error.variant, error.panic = revert.enum, revert.variant, revert.panic
    error.revert_code, error.signal = revert.revert_code, revert.signal
    error.tx_id = None if tx_id is None else _id(tx_id)
    return error


# -- reading ---------------------------------------------------------------------------------------


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _id(tx_id: str) -> str:
    try:
        return normalize_id(tx_id)
    except ValueError:
        return tx_id


def _orders(value: object) -> Rows[Order]:
    """Return the orders of an answer, grouped by market or not, each independent of the others.

    What cannot be read is only a convenience: the transaction succeeded all the same.
    """
    return structure_rows(list(_flat(value, None, _DEEPEST)), Order, b"")


def _flat(value: object, market_id: object, deepest: int) -> Iterator[object]:
    """Yield the orders inside groups, each with its group's market; the bare id of an order counts as one."""
    found = object_in(value)
    if value is None or not deepest:
        return
    if isinstance(value, list):
        for entry in cast("list[object]", value):
            yield from _flat(entry, market_id, deepest - 1)
    elif found is None or "order_id" in found:
        order = {"order_id": value} if found is None else found
        yield order if market_id is None else {"market_id": market_id, **order}
    else:
        market_id = found.get("market_id", market_id)
        for name in ("orders", "order"):
            yield from _flat(found.get(name), market_id, deepest - 1)
