"""The curve secp256k1 over OpenSSL, for a Python that coincurve has no release for.

Named and called like the few parts of coincurve that ``_curve`` uses, with the same results bit by bit. What
touches a private key happens in OpenSSL, through the package ``cryptography``. OpenSSL cannot recover a
public key from a signature; that is arithmetic on public numbers, and done here, in some milliseconds.
"""

from __future__ import annotations

from functools import cached_property

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

__all__ = ["PrivateKey", "PublicKey"]

_PRIME = 2**256 - 2**32 - 977
_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141

_Point = tuple[int, int] | None
"""A point of the curve; None is the one at infinity."""

_GENERATOR = (
    0x79BE667E_F9DCBBAC_55A06295_CE870B07_029BFCDB_2DCE28D9_59F2815B_16F81798,
    0x483ADA77_26A3C465_5DA4FBFC_0E1108A8_FD17B448_A6855419_9C47D08F_FB10D4B8,
)

try:
    _SIGN = ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True)
except UnsupportedAlgorithm as error:  # pragma: no cover - an OpenSSL older than 3.2
    raise ImportError("signatures need OpenSSL 3.2 or newer") from error


class PublicKey:
    """A point that belongs to a private key."""

    def __init__(self, point: tuple[int, int]) -> None:
        self._point = point

    def format(self, *, compressed: bool) -> bytes:
        """Return the 65 bytes 0x04, x, y; the compressed form is not needed here."""
        assert not compressed
        x, y = self._point
        return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")

    @classmethod
    def from_signature_and_message(cls, signature: bytes, digest: bytes, *, hasher: None) -> PublicKey:
        """Return the key that made a signature (r, s and recovery id: 65 bytes) of a digest.

        Raises:
          ValueError: there is none, or a length is wrong.
        """
        _check_digest(digest)
        point = _recover(
            digest,
            int.from_bytes(signature[:32], "big"),
            int.from_bytes(signature[32:64], "big"),
            signature[64],
        )
        if point is None:
            raise ValueError("no key can have made this signature")
        return cls(point)


class PrivateKey:
    """A key that signs.

    Raises:
      ValueError: not a private key of 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        number = int.from_bytes(secret, "big")
        if len(secret) != 32 or not 0 < number < _ORDER:
            raise ValueError("a private key has 32 bytes, and is a number from 1 to the curve's order less 1")
        self._key = ec.derive_private_key(number, ec.SECP256K1())

    @property
    def secret(self) -> bytes:
        """The 32 bytes: whoever sees them owns the funds."""
        return self._key.private_numbers().private_value.to_bytes(32, "big")

    @cached_property
    def public_key(self) -> PublicKey:
        """The public key."""
        numbers = self._key.public_key().public_numbers()
        return PublicKey((numbers.x, numbers.y))

    def sign_recoverable(self, digest: bytes, *, hasher: None) -> bytes:
        """Sign 32 bytes as they are (RFC 6979, low s); return r, s and the recovery id: 65 bytes.

        Raises:
          ValueError: not 32 bytes to sign.
        """
        _check_digest(digest)
        r, s = decode_dss_signature(self._key.sign(digest, _SIGN))
        s = min(s, _ORDER - s)
        mine = self.public_key.format(compressed=False)
        for recovery_id in (0, 1):
            point = _recover(digest, r, s, recovery_id)
            if point is not None and PublicKey(point).format(compressed=False) == mine:
                return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([recovery_id])
        raise ValueError("the signature has no recovery id of 0 or 1")  # pragma: no cover - one in 2**127


def _check_digest(digest: bytes) -> None:
    if len(digest) != 32:
        raise ValueError(f"a digest has 32 bytes, not {len(digest)}")


def _recover(digest: bytes, r: int, s: int, recovery_id: int) -> _Point:
    """Return the Q with ``r * Q == s * R - digest * G``, where R has the x of `r`, or None."""
    if not (0 < r < _ORDER and 0 < s < _ORDER):
        return None
    square = (pow(r, 3, _PRIME) + 7) % _PRIME
    y = pow(square, (_PRIME + 1) // 4, _PRIME)
    if y * y % _PRIME != square:
        return None
    if y % 2 != recovery_id:
        y = _PRIME - y
    inverse = pow(r, -1, _ORDER)
    number = int.from_bytes(digest, "big")
    return _sum_of_products(-number * inverse % _ORDER, _GENERATOR, s * inverse % _ORDER, (r, y))


def _sum_of_products(a: int, one: _Point, b: int, other: _Point) -> _Point:
    """Return ``a * one + b * other``, bit by bit from the top."""
    choices = (None, one, other, _add(one, other))
    total: _Point = None
    for bit in range(255, -1, -1):
        total = _add(total, total)
        total = _add(total, choices[a >> bit & 1 | (b >> bit & 1) << 1])
    return total


def _add(one: _Point, other: _Point) -> _Point:
    if one is None or other is None:
        return other if one is None else one
    (x1, y1), (x2, y2) = one, other
    if x1 != x2:
        slope = (y2 - y1) * pow(x2 - x1, -1, _PRIME)
    elif y1 == y2:
        slope = 3 * x1 * x1 * pow(2 * y1, -1, _PRIME)
    else:
        return None
    x = (slope * slope - x1 - x2) % _PRIME
    return x, (slope * (x1 - x) - y1) % _PRIME
