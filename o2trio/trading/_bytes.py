"""The bytes that are signed, as pure functions: one for every layout of the exchange.

Typed data is in ``_typed``, digests and signatures are in ``_signers``. Every number is checked against its
range here, before anything is signed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import attrs

from .._errors import InvalidRequest
from .._integers import as_integer
from ..models import Id, Identity, IdentityKind, OrderType, Side, normalize_id
from ._actions import Action, CancelOrder, CreateOrder, RegisterReferer, SettleBalance
from ._amounts import forward_amount

__all__ = [
    "Call",
    "ParallelNonce",
    "actions_bytes",
    "call_of",
    "id_bytes",
    "identity_bytes",
    "option_bytes",
    "order_args",
    "owner_calls_bytes",
    "owner_operation",
    "parallel_actions_bytes",
    "selector",
    "set_session_bytes",
    "u64",
    "u256",
    "upgrade_bytes",
    "withdraw_bytes",
]

_NO_ASSET = Id("0x" + 64 * "0")
_GAS = 8 * b"\xff"  # The server sets the real limit.

_ORDER_TYPES: dict[str, tuple[int, tuple[str, ...]]] = {
    "Limit": (0, ("price", "timestamp")),
    "Spot": (1, ()),
    "FillOrKill": (2, ()),
    "PostOnly": (3, ()),
    "Market": (4, ()),
    "BoundedMarket": (5, ("max_price", "min_price")),
}
"""The number of each order type, and which of its fields follow."""


# -- building blocks -------------------------------------------------------------------------------


def u64(value: int, name: str = "number") -> bytes:
    """Return `value` as 8 bytes, most significant first.

    Raises:
      InvalidRequest: it does not fit; the message calls it `name`.
    """
    return _in_range(value, 2**64, name).to_bytes(8, "big")


def u256(value: int, name: str = "number") -> bytes:
    """Return `value` as 32 bytes, most significant first.

    Raises:
      InvalidRequest: it does not fit; the message calls it `name`.
    """
    return _in_range(value, 2**256, name).to_bytes(32, "big")


def id_bytes(id: str, name: str = "id") -> bytes:
    """Return the 32 bytes of an id.

    Raises:
      InvalidRequest: not 64 hexadecimal digits; the message calls it `name`.
    """
    try:
        return bytes.fromhex(normalize_id(id)[2:])
    except ValueError as error:
        raise InvalidRequest(f"{name}: {error}") from None


def identity_bytes(identity: Identity) -> bytes:
    """Return an identity as 40 bytes: which kind, then the id."""
    return u64(int(identity.kind is IdentityKind.CONTRACT_ID)) + id_bytes(identity.id)


def option_bytes(data: bytes | None) -> bytes:
    """Return bytes that may be absent: 0 alone, or 1, their length and themselves."""
    return u64(0) if data is None else u64(1) + _sized(data)


@cache
def selector(name: str) -> bytes:
    """Return what selects a function: the length of its name and the name, not a hash."""
    return _sized(name.encode("ascii"))


# -- what an owner signs ---------------------------------------------------------------------------


def owner_operation(nonce: int, chain_id: int, name: str, arguments: bytes) -> bytes:
    """Return the message of an owner's operation.

    Raises:
      InvalidRequest: a number is out of its range.
    """
    return u64(nonce, "nonce") + u64(chain_id, "chain_id") + selector(name) + arguments


def set_session_bytes(
    nonce: int, chain_id: int, session_address: Id, expiry: int, contract_ids: Sequence[Id]
) -> bytes:
    """Return the message that creates a session.

    Args:
      expiry: in seconds since 1970.
      contract_ids: what the session may call, in the order in which the request names them.

    Raises:
      InvalidRequest: a number or an id is out of its range.
    """
    arguments = (
        u64(1)
        + u64(0)
        + id_bytes(session_address, "session_address")
        + u64(expiry, "expiry")
        + u64(len(contract_ids))
        + b"".join(id_bytes(id, "contract_ids") for id in contract_ids)
    )
    return owner_operation(nonce, chain_id, "set_session", arguments)


def upgrade_bytes(nonce: int, chain_id: int) -> bytes:
    """Return the message that upgrades a trading account to the exchange's newest contract.

    Raises:
      InvalidRequest: a number is out of its range.
    """
    return owner_operation(nonce, chain_id, "set_proxy_target_with_signature", b"")


def withdraw_bytes(nonce: int, chain_id: int, to: Identity, amount: int, asset_id: Id) -> bytes:
    """Return the message of a withdrawal on the sequential track; `amount` in chain units.

    Raises:
      InvalidRequest: a number or an id is out of its range.
    """
    arguments = identity_bytes(to) + u64(amount, "amount") + id_bytes(asset_id, "asset_id")
    return owner_operation(nonce, chain_id, "withdraw", arguments)


def owner_calls_bytes(nonce: int, chain_id: int, calls: Sequence[Call]) -> bytes:
    """Return the message of contract calls that the owner makes.

    Raises:
      InvalidRequest: a number or an id is out of its range.
    """
    return owner_operation(nonce, chain_id, "call_contracts", _calls_bytes(calls))


# -- what a session signs --------------------------------------------------------------------------


@attrs.frozen(slots=True)
class Call:
    """One call of a contract.

    Attributes:
      contract_id: the contract.
      function: the name of the function.
      amount: what goes along, in chain units.
      asset_id: of which asset.
      data: the arguments, or None if there are none.
    """

    contract_id: Id
    function: str
    amount: int = 0
    asset_id: Id = _NO_ASSET
    data: bytes | None = None


def order_args(price: int, quantity: int, order_type: OrderType) -> bytes:
    """Return the arguments of ``create_order``; price and quantity in chain units.

    The side is not in them: the contract tells it by the asset that comes along.

    Raises:
      InvalidRequest: a number is out of its range, the type is unknown, or a field of it is missing.
    """
    try:
        number, fields = _ORDER_TYPES[order_type.name]
    except KeyError:
        known = ", ".join(_ORDER_TYPES)
        raise InvalidRequest(f"order_type must be one of {known}, not {order_type.name!r}") from None
    values = ((getattr(order_type, field), f"{field} of the {order_type} order") for field in fields)
    details = b"".join(u64(value, name) for value, name in values)
    return u64(price, "price") + u64(quantity, "quantity") + u64(number) + details


def call_of(action: Action, accounts_registry_id: Id | None) -> Call:
    """Return the contract call that an action becomes.

    Args:
      accounts_registry_id: the contract that notes who referred whom; needed by that action only.

    Raises:
      InvalidRequest: a number or an id is out of its range, or the registry is needed and unknown.
    """
    book = action.market.contract_id
    match action:
        case CreateOrder(market, side, price=price, quantity=quantity, order_type=order_type):
            asset = market.quote if side is Side.BUY else market.base
            data = order_args(price, quantity, order_type)
            amount = forward_amount(market, side, price, quantity)
            return Call(book, "create_order", amount, asset.asset, data)
        case CancelOrder():
            return Call(book, "cancel_order", data=id_bytes(action.order_id, "order_id"))
        case SettleBalance():
            return Call(book, "settle_balance", data=identity_bytes(action.to))
        case RegisterReferer():
            if accounts_registry_id is None:
                raise InvalidRequest("accounts_registry_id: the exchange does not tell it; cannot refer")
            return Call(accounts_registry_id, "register_referer", data=identity_bytes(action.to))


def actions_bytes(nonce: int, calls: Sequence[Call]) -> bytes:
    """Return the message of session actions on the sequential track.

    Raises:
      InvalidRequest: a number or an id is out of its range.
    """
    return u64(nonce, "nonce") + _calls_bytes(calls)


def parallel_actions_bytes(nonce: int, calls: Sequence[Call]) -> bytes:
    """Return the message of session actions on the parallel track; `nonce` is packed.

    Raises:
      InvalidRequest: a number or an id is out of its range.
    """
    return u256(nonce, "parallel_nonce") + _calls_bytes(calls)


def _calls_bytes(calls: Sequence[Call]) -> bytes:
    return u64(len(calls)) + b"".join(map(_call_bytes, calls))


def _call_bytes(call: Call) -> bytes:
    return (
        id_bytes(call.contract_id, "contract_id")
        + _sized(selector(call.function))
        + u64(call.amount, f"amount of {call.function}")
        + id_bytes(call.asset_id, "asset_id")
        + _GAS
        + option_bytes(call.data)
    )


# -- nonces of the parallel track ------------------------------------------------------------------


def _below(bound: int) -> Callable[[object, attrs.Attribute[int], int], None]:
    def check(_nonce: object, field: attrs.Attribute[int], value: int) -> None:
        _in_range(value, bound, f"{field.name} of the parallel nonce")

    return check


@attrs.frozen(slots=True)
class ParallelNonce:
    """One slot of the parallel track.

    Attributes:
      lane: 0 to 4.
      expiry: in seconds since 1970; the chain knows its low 32 bits only.
      word: which word of 128 slots.
      bit: which slot of the word.

    Raises:
      InvalidRequest: on construction; a number is out of its range.
    """

    lane: int = attrs.field(validator=_below(5))
    expiry: int = attrs.field(validator=_below(2**64))
    word: int = attrs.field(validator=_below(2**128))
    bit: int = attrs.field(validator=_below(128))

    def pack(self) -> int:
        """Return the number that is sent and signed."""
        return self.lane << 168 | self.expiry % 2**32 << 136 | self.word << 8 | self.bit

    @classmethod
    def unpack(cls, packed: int) -> ParallelNonce:
        """Take a packed nonce apart.

        Raises:
          InvalidRequest: it has reserved bits set, or the lane or the slot does not exist.
        """
        _in_range(packed, 2**176, "packed parallel nonce (reserved bits must be zero)")
        return cls(packed >> 168, packed >> 136 & 2**32 - 1, packed >> 8 & 2**128 - 1, packed & 0xFF)


def _in_range(value: int, bound: int, name: str) -> int:
    value = as_integer(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < bound:
        raise InvalidRequest(f"{name} must be an integer from 0 to {bound - 1}, not {value!r:.100}")
    return value


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data
