"""One REST request as the routes see it, and the answers they give. No routes, no sockets."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..models import Id, Identity, IdentityKind, Market, normalize_id
from ._encode import Flavor, Json, dump
from ._worlds import World

__all__ = ["Call", "Fault", "Response", "error"]


@attrs.frozen(slots=True, kw_only=True)
class Response:
    """An HTTP answer.

    Attributes:
      status: the HTTP status.
      body: the whole body.
      content_type: of the body.
      headers: further headers.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Fault(Exception):
    """An answer with the exchange's error envelope; `reason` is in it only where there is one."""

    def __init__(self, status: int, code: int, message: str, reason: str | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason


def error(
    status: int,
    code: int,
    message: str,
    headers: tuple[tuple[str, str], ...] = (),
    reason: str | None = None,
) -> Response:
    """Return an error in the exchange's envelope."""
    envelope: dict[str, Json] = {"code": code, "message": message}
    if reason is not None:
        envelope["reason"] = reason
    return Response(status=status, body=dump(envelope).encode(), headers=headers)


@attrs.frozen(slots=True, kw_only=True)
class Call:
    """A request for a route: the world it reads, how to spell the answer, its query.

    Every method that reads the query raises :exc:`Fault` when it finds nonsense.
    """

    world: World
    flavor: Flavor
    query: Mapping[str, str]

    def text(self, name: str) -> str:
        """Return a parameter that must be there."""
        value = self.query.get(name)
        if not value:
            raise Fault(400, 1001, f"missing parameter {name}")
        return value

    def id(self, name: str) -> Id:
        """Return a 32-byte id."""
        try:
            return normalize_id(self.text(name))
        except ValueError:
            raise Fault(400, 1001, f"{name} must be 64 hexadecimal digits") from None

    def number(self, name: str) -> int:
        """Return a whole number."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise Fault(400, 1001, f"{name} must be a whole number")
        return int(text)

    def count(self, most: int, code: int) -> int:
        """Return the size of a page."""
        count = self.number("count")
        if not 1 <= count <= most:
            raise Fault(400, code, f"count must be 1 to {most}")
        return count

    def newest_first(self) -> bool:
        """Return the direction of a page."""
        direction = self.text("direction")
        if direction not in {"asc", "desc"}:
            raise Fault(400, 1001, "direction must be asc or desc")
        return direction == "desc"

    def cursor(self, id_name: str) -> tuple[int, str] | None:
        """Return time and id of the item after which a page begins, as they were given."""
        given = [name for name in ("start_timestamp", id_name) if name in self.query]
        if not given:
            return None
        if len(given) == 1:
            raise Fault(400, 7002, f"start_timestamp and {id_name} go together")
        return self.number("start_timestamp"), self.query[id_name]

    def identity(self) -> Identity:
        """Return the account or wallet that is asked about."""
        given = [name for name in ("contract", "account", "address") if name in self.query]
        if len(given) != 1:
            raise Fault(400, 1001, "give exactly one of contract, account, address")
        kind = IdentityKind.CONTRACT_ID if given == ["contract"] else IdentityKind.ADDRESS
        return Identity(kind, self.id(given[0]))

    def market(self) -> Market:
        """Return the market of parameter `market_id`."""
        wanted = self.id("market_id")
        for market in self.world.markets.markets:
            if market.market_id == wanted:
                return market
        raise Fault(404, 2000, "Market not found")

    def markets(self) -> tuple[Market, ...]:
        """Return the one market that is named, or all."""
        return (self.market(),) if "market_id" in self.query else tuple(self.world.markets.markets)
