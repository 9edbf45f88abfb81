"""Wallets: private keys that this process holds itself. Other signers only follow ``_signers.Signer``.

A key leaves its wallet by ``export_key`` alone: a wallet cannot be pickled or copied, and no text about it,
no error and no log record holds the key.
"""

from __future__ import annotations

import re
import secrets
from typing import NoReturn, Self

import trio

from .._errors import InvalidRequest
from ..models import Id, Identity
from ._curve import ORDER, keccak256, load_key, public_key, sign_digest
from ._signers import SignerKind, SigningRequest, address_of

__all__ = ["EvmWallet", "FuelWallet"]

_KEY = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})")


class _Wallet:
    """One private key and its address."""

    __slots__ = ("__weakref__", "_address", "_key")

    _kind: SignerKind

    def __init__(self, key: str | bytes) -> None:
        self._key = load_key(_secret_of(key))
        self._address = address_of(self._kind, public_key(self._key))

    @classmethod
    def generate(cls) -> Self:
        """Make a wallet with a new random key.

        Raises:
          MissingExtra: the extra ``trade`` is not installed.
        """
        return cls((secrets.randbelow(ORDER - 1) + 1).to_bytes(32, "big"))

    @classmethod
    def from_key(cls, key: str | bytes) -> Self:
        """Load a private key: 32 bytes, or 64 hexadecimal digits with or without ``0x``.

        Digits may be text or ASCII bytes, and may have white space around them, as files of keys have.

        Raises:
          InvalidRequest: it is no private key; the message does not repeat it.
          MissingExtra: the extra ``trade`` is not installed.
        """
        return cls(key)

    @property
    def kind(self) -> SignerKind:
        """Whose rules the address follows."""
        return self._kind

    @property
    def address(self) -> Id:
        """The address, 32 bytes."""
        return self._address

    @property
    def identity(self) -> Identity:
        """The address as an identity."""
        return Identity.address(self._address)

    async def sign(self, request: SigningRequest) -> bytes:
        """Sign ``request.digest`` as it is.

        Returns:
          64 bytes, r and then s, which is low, with the recovery id in its top bit.

        A checkpoint; if it is cancelled, nothing was signed.
        """
        await trio.lowlevel.checkpoint()
        return sign_digest(self._key, request.digest)

    def export_key(self) -> str:
        """Return the private key as ``0x`` and 64 hexadecimal digits: whoever sees it owns the funds."""
        return "0x" + self._key.secret.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address})"

    def __getstate__(self) -> NoReturn:
        # Every way to pickle or to copy an object begins here.
        raise TypeError(f"a {type(self).__name__} is neither pickled nor copied, for it holds a private key")


class FuelWallet(_Wallet):
    """A key of the Fuel kind: for owners with a Fuel wallet, and for every session.

    It is a :class:`Signer`. Make one with :meth:`generate` or :meth:`from_key`.
    """

    __slots__ = ()

    _kind = SignerKind.FUEL


class EvmWallet(_Wallet):
    """A key of the EVM kind, for owners with an Ethereum wallet.

    It is a :class:`Signer`. Make one with :meth:`generate` or :meth:`from_key`. Its :attr:`address` is
    filled with zeros in front.
    """

    __slots__ = ()

    _kind = SignerKind.EVM

    @property
    def checksum_address(self) -> str:
        """The address in 20 bytes and mixed case (EIP-55), as other Ethereum software shows it."""
        digits = self._address[-40:]
        marks = keccak256(digits.encode("ascii")).hex()
        return "0x" + "".join(
            digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, marks, strict=False)
        )


def _secret_of(key: str | bytes) -> bytes:
    secret = key if isinstance(key, bytes) else b""
    digits = secret.decode("latin-1") if len(secret) > 32 else key
    if isinstance(digits, str):
        match = _KEY.fullmatch(digits.strip())
        secret = bytes.fromhex(match[1]) if match else b""
    if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < ORDER:
        raise InvalidRequest(
            "a private key is 32 bytes, or 64 hexadecimal digits with or without 0x, and a number that "
            "the curve secp256k1 permits; this one (not shown) is none"
        )
    return secret
