"""Identifiers: 32-byte ids and the two kinds of identity.

The exchange accepts ids with or without ``0x`` and in any letter case. They are normalised once, at
the edge, so that everywhere else two ids are equal exactly when their text is equal.
"""

from __future__ import annotations

import re
from enum import StrEnum
from sys import intern
from typing import NewType

import attrs

__all__ = ["Id", "Identity", "IdentityKind", "normalize_id"]

Id = NewType("Id", str)
"""A normalised 32-byte id: ``0x`` and 64 lower-case hexadecimal digits."""

_ID = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})")
_SHORT_ADDRESS = re.compile(r"(?:0[xX])?([0-9a-fA-F]{40})")


def normalize_id(text: str) -> Id:
    """Return `text` as ``0x`` and 64 lower-case hexadecimal digits.

    Args:
      text: 64 hexadecimal digits in any case, with or without ``0x``.

    Raises:
      ValueError: `text` is anything else.
    """
    match = _ID.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"expected 0x and 64 hexadecimal digits, not {text!r:.80}")
    return Id(intern("0x" + match[1].lower()))


class IdentityKind(StrEnum):
    """What an identity names, in the exchange's own words."""

    ADDRESS = "Address"
    """A wallet."""
    CONTRACT_ID = "ContractId"
    """A contract; every trading account is one."""


def _to_id(value: str) -> Id:
    return normalize_id(value)


@attrs.frozen(slots=True, order=True, cache_hash=True)
class Identity:
    """A wallet address or a contract, such as a trading account.

    Attributes:
      kind: which of the two.
      id: the 32-byte id, normalised on construction.
    """

    kind: IdentityKind = attrs.field(converter=IdentityKind)
    id: Id = attrs.field(converter=_to_id)

    @classmethod
    def address(cls, id: str) -> Identity:
        """Name a wallet by its address: 32 bytes, or the 20 bytes of an Ethereum address, in any letter case.

        The shorter form, such as :attr:`EvmWallet.checksum_address`, is filled with zeros in front. Its
        letter case is not compared with its checksum.

        Raises:
          ValueError: `id` is anything else.
        """
        short = _SHORT_ADDRESS.fullmatch(id) if isinstance(id, str) else None
        try:
            return cls(IdentityKind.ADDRESS, Id(id if short is None else short[1].rjust(64, "0")))
        except ValueError:
            raise ValueError(
                f"expected 0x and 64 hexadecimal digits, or the 40 of an Ethereum address, not {id!r:.80}"
            ) from None

    @classmethod
    def contract(cls, id: str) -> Identity:
        """Name the contract (for example the trading account) `id`."""
        return cls(IdentityKind.CONTRACT_ID, Id(id))

    def __str__(self) -> str:
        return f"{self.kind}({self.id})"
