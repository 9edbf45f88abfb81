"""Keccak-256 and the curve secp256k1: the one module that needs the packages of the extra ``trade``.

They are imported at the first use. The curve is coincurve's; where that has no release for a Python,
``_curve_openssl`` stands in. Whose key it is and what is signed is the business of ``_signers``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from .._trading_errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from coincurve import PrivateKey, PublicKey

__all__ = ["ORDER", "keccak256", "load_key", "pack_signature", "public_key", "recover", "sign_digest"]

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""How many points the curve's group has; a private key is a number from 1 to ``ORDER - 1``."""


def keccak256(data: bytes) -> bytes:
    """Return the Keccak-256 hash of `data` (32 bytes); it is not SHA3-256.

    Raises:
      MissingExtra: the extra ``trade`` is not installed.
    """
    return _keccak()(data)


def load_key(secret: bytes) -> PrivateKey:
    """Return a private key that is ready to sign; to make it takes longer than to sign.

    Raises:
      ValueError: not a private key of 32 bytes.
      MissingExtra: the extra ``trade`` is not installed.
    """
    return _coincurve()[0](secret)


def public_key(key: PrivateKey) -> bytes:
    """Return the uncompressed public key of a private key: 64 bytes, without the leading 0x04."""
    return key.public_key.format(compressed=False)[1:]


def sign_digest(key: PrivateKey, digest: bytes) -> bytes:
    """Sign 32 bytes as they are, without hashing them again.

    The same key and digest always give the same signature (RFC 6979).

    Returns:
      64 bytes: r, then s, which is low, with the recovery id in its top bit.

    Raises:
      ValueError: not 32 bytes to sign.
    """
    # coincurve leaves open what its third argument is, which is not used here.
    signature = key.sign_recoverable(digest, hasher=None)  # pyright: ignore[reportUnknownMemberType]
    return pack_signature(signature[:64], signature[64])


def recover(digest: bytes, signature: bytes) -> bytes:
    """Return the public key (64 bytes) whose owner made the compact `signature` of `digest`.

    Raises:
      ValueError: no key can have made it, or the lengths are wrong.
      MissingExtra: the extra ``trade`` is not installed.
    """
    if len(signature) != 64:
        raise ValueError(f"a compact signature has 64 bytes, not {len(signature)}")
    recovery_id = signature[32] >> 7
    plain = pack_signature(signature, 0) + bytes([recovery_id])
    found = _coincurve()[1].from_signature_and_message(plain, digest, hasher=None)
    return found.format(compressed=False)[1:]


def pack_signature(rs: bytes, recovery_id: int) -> bytes:
    """Write the recovery id over the top bit of s, in the 64 bytes r and s.

    Raises:
      ValueError: not 64 bytes, or the recovery id is neither 0 nor 1.
    """
    if len(rs) != 64 or recovery_id not in (0, 1):
        raise ValueError(f"expected 64 bytes and a recovery id of 0 or 1, not {len(rs)} and {recovery_id}")
    return rs[:32] + bytes([recovery_id << 7 | rs[32] & 0x7F]) + rs[33:]


@cache
def _coincurve() -> tuple[type[PrivateKey], type[PublicKey]]:
    try:
        from coincurve import PrivateKey, PublicKey
    except ImportError:
        return _openssl()
    return PrivateKey, PublicKey


def _openssl() -> tuple[type[PrivateKey], type[PublicKey]]:
    try:
        from . import _curve_openssl
    except ImportError as error:
        raise _missing() from error
    # They have what is used here of the classes whose place they take.
    return cast(
        "tuple[type[PrivateKey], type[PublicKey]]", (_curve_openssl.PrivateKey, _curve_openssl.PublicKey)
    )


@cache
def _keccak() -> Callable[[bytes], bytes]:
    try:
        from Crypto.Hash import keccak
    except ImportError as error:
        raise _missing() from error
    return lambda data: keccak.new(data=data, digest_bits=256).digest()


def _missing() -> MissingExtra:
    return MissingExtra("keys and signatures need more packages: pip install 'o2trio[trade]'")
