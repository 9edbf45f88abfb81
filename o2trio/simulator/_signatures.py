"""Whether a request is signed by whom it must be, over the very bytes that it stands for. No routes.

The bytes are built anew from the JSON; a signature of anything else recovers a stranger's address.
"""

from __future__ import annotations

from ..models import Id, Identity
from ..trading._signers import (
    SignerKind,
    SigningRequest,
    personal_request,
    recover_address,
    session_request,
)
from ._requests import Fault

__all__ = ["check_owner", "check_session", "check_signer", "kind_of"]


def kind_of(owner: Id) -> SignerKind:
    """Return which rules an owner signs by: an address of the EVM has 12 zero bytes in front."""
    return SignerKind.EVM if owner.startswith("0x" + 24 * "0") else SignerKind.FUEL


def check_owner(owner: Identity, message: bytes, signature: bytes) -> None:
    """Check an owner's signature of a message of an owner operation.

    Raises:
      Fault: code 4000.
    """
    check_signer(owner.id, personal_request(kind_of(owner.id), message, "owner operation"), signature)


def check_session(session_id: Id, message: bytes, signature: bytes) -> None:
    """Check a session's signature of its actions.

    Raises:
      Fault: code 4000.
    """
    check_signer(session_id, session_request(message), signature, SignerKind.FUEL)


def check_signer(
    address: Id, request: SigningRequest, signature: bytes, kind: SignerKind | None = None
) -> None:
    """Check that `address` has signed what was asked for.

    Raises:
      Fault: code 4000.
    """
    try:
        signer = recover_address(kind or kind_of(address), request.digest, signature)
    except ValueError:
        raise Fault(400, 4000, "Invalid signature: no key makes it") from None
    if signer != address:
        raise Fault(400, 4000, f"Invalid signature: it is one of {signer}")
