"""What a client asks for on a WebSocket: requests as text in, subscriptions and refusals out. No state."""

from __future__ import annotations

from typing import TypeAlias

import attrs
import msgspec

from ..models import Id, Identity, IdentityKind, normalize_id

__all__ = ["FREQUENCIES", "IDENTITIES_MAX", "PRECISIONS", "Refused", "Request", "Subscription"]
__all__ += ["identities_of", "is_heartbeat", "parse", "precision_of", "text_of"]

IDENTITIES_MAX = 10
"""Identities of one subscription."""

PRECISIONS = {str(10**level): level for level in range(19)}
"""Level of each precision on the wire. ``1`` is a channel that sends a snapshot and nothing else."""

FREQUENCIES = {"100ms": 0.1, "500ms": 0.5, "1s": 1.0, "3s": 3.0}
"""Seconds between two depth views."""

Request: TypeAlias = dict[str, object]


class Refused(Exception):
    """A request that is answered with an error frame."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@attrs.frozen(slots=True, kw_only=True, cache_hash=True)
class Subscription:
    """One live subscription of one socket, for tests to look at.

    Attributes:
      kind: ``depth``, ``depth_view``, ``trades``, ``orders``, ``balances`` or ``nonce``.
      market_id: of the first three.
      precision: level, of depth and depth view.
      period: seconds, of a depth view.
      identities: of the last three.
    """

    kind: str
    market_id: Id | None = None
    precision: int | None = None
    period: float | None = None
    identities: frozenset[Identity] = frozenset()

    @property
    def depth(self) -> tuple[Id, int]:
        """Market and level of a depth or depth view subscription."""
        assert self.market_id is not None
        assert self.precision is not None
        return self.market_id, self.precision


def is_heartbeat(text: str) -> bool:
    """Return whether a message of a client is ``PING`` or ``PONG``."""
    return text.strip().upper() in {"PING", "PONG"}


def parse(text: str) -> Request:
    """Return the object that a text frame holds.

    Raises:
      Refused: it holds no object.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, object])  # see below
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(1002, f"malformed request: {error}") from None


def text_of(request: Request, key: str) -> str:
    """Return a field that must be text.

    Raises:
      Refused: it is missing or not text.
    """
    value = request.get(key)
    if not isinstance(value, str):
        raise Refused(1002, f"missing field `{key}`" if value is None else f"invalid type for `{key}`")
    return value


def precision_of(request: Request) -> int:
    """Return the level of the precision that is asked for.

    Raises:
      Refused: there is no such precision.
    """
    level = PRECISIONS.get(text_of(request, "precision"))
    if level is None:
        raise Refused(6002, "Invalid precision")
    return level


def identities_of(request: Request) -> list[Identity]:
    """Return the identities that are asked for.

    Raises:
      Refused: one of them cannot be read.
    """
    try:
        listed = msgspec.convert(request.get("identities"), list[dict[str, str]])
        pairs = [pair for item in listed for pair in item.items()]
        if len(pairs) != len(listed):
            raise ValueError("an identity has exactly one key")
        return [Identity(IdentityKind(kind), normalize_id(value)) for kind, value in pairs]
    except (msgspec.ValidationError, ValueError) as error:
        raise Refused(1002, f"invalid identities: {error}") from None
