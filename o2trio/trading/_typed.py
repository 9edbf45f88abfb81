"""Typed data: withdrawals that do not wait for the sequential nonce.

EVM owners sign it by EIP-712, Fuel owners by SRC-16; the two differ in the domain and in the type's hash.
"""

from __future__ import annotations

from ..models import Id, Identity
from ._bytes import id_bytes, u64, u256
from ._curve import keccak256
from ._signers import SignerKind, SigningRequest, typed_request

__all__ = ["withdraw_typed"]

_NAME, _VERSION = b"TradeAccount", b"2"

_DOMAIN_TYPES = {
    SignerKind.FUEL: b"SRC16Domain(string name,string version,u256 chain_id,contractId verifying_contract)",
    SignerKind.EVM: b"EIP712Domain(string name,string version,bytes32 salt)",
}

_WITHDRAW_TYPES = {
    SignerKind.FUEL: "95a9c4c23dd3607b14ecdc67fcc42946f61a4f1d153dc7dfbd77ca6c2af1c6f6",
    SignerKind.EVM: "7d2e70c357f073fd00c187b1871bf74c440ec8303b435f001d884d6ffd77ca1c",
}
"""The hashes of the type, as the contract has them."""


def withdraw_typed(  # noqa: PLR0917 - what is signed, in the order in which it is signed
    kind: SignerKind,
    chain_id: int,
    verifying_contract: Id,
    nonce: int,
    to: Identity,
    amount: int,
    asset_id: Id,
) -> SigningRequest:
    """Ask for the owner's signature of a withdrawal on the parallel track.

    Args:
      kind: of the owner.
      verifying_contract: the trading account.
      nonce: packed.
      amount: in chain units.

    Raises:
      InvalidRequest: a number or an id is out of its range.
      MissingExtra: the extra ``trade`` is not installed.
    """
    u64(amount, "amount")  # It is signed as 256 bits, but the contract takes 64.
    fields = (
        bytes.fromhex(_WITHDRAW_TYPES[kind]),
        u256(nonce, "parallel_nonce"),
        id_bytes(to.id, "to"),
        u256(amount, "amount"),
        id_bytes(asset_id, "asset_id"),
    )
    domain = _domain_separator(kind, chain_id, verifying_contract)
    return typed_request(b"\x19\x01" + domain + keccak256(b"".join(fields)), "withdraw")


def _domain_separator(kind: SignerKind, chain_id: int, verifying_contract: Id) -> bytes:
    chain = u64(chain_id, "chain_id").rjust(32, b"\0")
    contract = id_bytes(verifying_contract, "verifying_contract")
    where = chain if kind == SignerKind.EVM else chain + contract
    hashes = b"".join(map(keccak256, (_DOMAIN_TYPES[kind], _NAME, _VERSION)))
    return keccak256(hashes + where)
