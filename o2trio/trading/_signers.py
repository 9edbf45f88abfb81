"""Who signs: addresses, digests, compact signatures, and the protocol that external signers implement.

The keys that this library holds itself are in ``_wallets``; what is signed is in ``_bytes`` and ``_typed``;
how a signer is called is in ``_signing``.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import Protocol, runtime_checkable

import attrs

from ..models import Id, normalize_id
from ._curve import ORDER, keccak256, pack_signature, recover

__all__ = [
    "SESSION_ACTIONS",
    "Signer",
    "SignerKind",
    "SigningRequest",
    "address_of",
    "compact_from_der",
    "compact_from_vrs",
    "compact_signature",
    "personal_request",
    "recover_address",
    "session_request",
    "typed_request",
]


SESSION_ACTIONS = "session actions"
"""The purpose of what a session key signs; everything else is signed by an owner."""


class SignerKind(StrEnum):
    """Whose rules for addresses and messages a key follows; the curve is the same."""

    FUEL = "fuel"
    """The address is SHA-256 of the public key."""
    EVM = "evm"
    """The address is the end of Keccak-256 of the public key, filled with zeros to 32 bytes."""


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


_PERSONAL = {
    SignerKind.FUEL: (b"\x19Fuel Signed Message:\n", _sha256),
    SignerKind.EVM: (b"\x19Ethereum Signed Message:\n", keccak256),
}
"""What stands before a message of an owner, and how it is hashed."""


def _is_digest(_request: object, _field: attrs.Attribute[bytes], value: bytes) -> None:
    if not isinstance(value, bytes) or len(value) != 32:
        raise ValueError("a digest has 32 bytes")


@attrs.frozen(slots=True)
class SigningRequest:
    """What a signer is asked to sign.

    Attributes:
      digest: the 32 bytes to sign as they are, without hashing them again.
      message: what the digest was made of: for ``personal_sign`` the message without its prefix, for
        typed data all bytes of the preimage. For signers that want to see what they sign, or hash it
        themselves.
      purpose: in words, to be shown or logged.
      typed: whether the digest is one of typed data (EIP-712 or SRC-16).
    """

    digest: bytes = attrs.field(validator=_is_digest)
    message: bytes
    purpose: str
    typed: bool = False


@runtime_checkable
class Signer(Protocol):
    """Something that signs for one address: a wallet of this library, a KMS, an HSM, a hardware wallet."""

    @property
    def kind(self) -> SignerKind:
        """Whose rules the address follows."""
        ...

    @property
    def address(self) -> Id:
        """The address, 32 bytes; one of the EVM has 12 zero bytes in front."""
        ...

    async def sign(self, request: SigningRequest) -> bytes:
        """Sign ``request.digest``.

        It may take seconds, but must let itself be cancelled. Any exception means: not signed; nothing is
        sent then. :func:`compact_from_der` and :func:`compact_from_vrs` convert what others return.

        Returns:
          64 bytes, r and then s, which is low, with the recovery id in its top bit.
        """
        ...


# -- requests --------------------------------------------------------------------------------------


def personal_request(kind: SignerKind, message: bytes, purpose: str) -> SigningRequest:
    """Ask for an owner's signature of `message`, with the prefix that wallets put before it.

    Raises:
      MissingExtra: the extra ``trade`` is not installed.
    """
    prefix, digest = _PERSONAL[kind]
    return SigningRequest(digest(prefix + b"%d" % len(message) + message), message, purpose)


def session_request(message: bytes) -> SigningRequest:
    """Ask for a session's signature of `message`, which has no prefix."""
    return SigningRequest(_sha256(message), message, SESSION_ACTIONS)


def typed_request(message: bytes, purpose: str) -> SigningRequest:
    """Ask for an owner's signature of typed data; `message` is what is hashed, ``0x1901`` included.

    Raises:
      MissingExtra: the extra ``trade`` is not installed.
    """
    return SigningRequest(keccak256(message), message, purpose, typed=True)


# -- addresses -------------------------------------------------------------------------------------


def address_of(kind: SignerKind, public_key: bytes) -> Id:
    """Return the address that belongs to a public key of 64 bytes.

    Raises:
      MissingExtra: the extra ``trade`` is not installed.
    """
    if kind == SignerKind.FUEL:
        return normalize_id(_sha256(public_key).hex())
    return normalize_id(keccak256(public_key)[-20:].rjust(32, b"\0").hex())


def recover_address(kind: SignerKind, digest: bytes, signature: bytes) -> Id:
    """Return the address whose key made the compact `signature` of `digest`.

    Raises:
      ValueError: no key can have made it.
      MissingExtra: the extra ``trade`` is not installed.
    """
    return address_of(kind, recover(digest, signature))


# -- signatures ------------------------------------------------------------------------------------


def compact_signature(r: int, s: int, recovery_id: int) -> bytes:
    """Return the compact form of a signature; a high s is replaced by its low twin.

    Raises:
      ValueError: a number is out of its range.
    """
    if not (0 < r < ORDER and 0 < s < ORDER and recovery_id in (0, 1)):
        raise ValueError("r or s lies outside the curve's group, or the recovery id is neither 0 nor 1")
    if s > ORDER // 2:
        s, recovery_id = ORDER - s, 1 - recovery_id
    return pack_signature(r.to_bytes(32, "big") + s.to_bytes(32, "big"), recovery_id)


def compact_from_vrs(signature: bytes) -> bytes:
    """Return the compact form of 65 bytes r, s, v, as EVM wallets return them; v is 0, 1, 27 or 28.

    Raises:
      ValueError: it is no such signature.
    """
    if len(signature) != 65:
        raise ValueError(f"expected 65 bytes, not {len(signature)}")
    v = signature[64]
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:64]))
    return compact_signature(r, s, v - 27 if v >= 27 else v)


def compact_from_der(der: bytes, digest: bytes, address: Id, kind: SignerKind) -> bytes:
    """Return the compact form of a DER signature, as a KMS or an HSM returns it.

    DER has no recovery id; it is found by trying which one leads to `address`.

    Raises:
      ValueError: it is not DER, or not a signature of `digest` by the key of `address`.
      MissingExtra: the extra ``trade`` is not installed.
    """
    r, s = _der_integers(der)
    for recovery_id in (0, 1):
        signature = compact_signature(r, s, recovery_id)
        if recover_address(kind, digest, signature) == address:
            return signature
    raise ValueError(f"this is no signature of {address} for this digest")


def _der_integers(der: bytes) -> tuple[int, int]:
    body, rest = _der_value(der, 0x30)
    r, body = _der_value(body, 0x02)
    s, body = _der_value(body, 0x02)
    if rest or body:
        raise ValueError("something follows the DER signature")
    return int.from_bytes(r, "big"), int.from_bytes(s, "big")


def _der_value(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """Take one short value off; return it and what follows."""
    if len(der) < 2 or der[0] != tag or len(der) < 2 + der[1]:
        raise ValueError("this is not a DER signature")
    end = 2 + der[1]
    return der[2:end], der[end:]
