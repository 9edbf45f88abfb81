"""How a signer is called, and what is made sure about its answer before anything is sent."""

from __future__ import annotations

import trio

from .._trading_errors import SignerFailed
from ._signers import SESSION_ACTIONS, Signer, SigningRequest, recover_address
from ._wallets import EvmWallet, FuelWallet

__all__ = ["signature_of"]

_OWN = (FuelWallet, EvmWallet)
"""Signers whose address was made from the very key that they sign with; a class derived from one is foreign.

To recover the address from a signature takes longer than to sign, and with such a key it can only reveal a
fault of the machine. A faulty session action is refused by the exchange and has no effect: nothing is lost by
sending it. An owner signs rarely and with power over all funds: a faulty signature of its key must not leave
this process, since it could tell something about the key.
"""


async def signature_of(signer: Signer, request: SigningRequest, seconds: float) -> str:
    """Have a request signed, and make sure that the signature is one of the signer's address.

    Session actions that a wallet of this library signs are not checked.

    Args:
      seconds: how long the signer may take.

    Returns:
      The compact signature as ``0x`` and 128 hexadecimal digits.

    Raises:
      SignerFailed: the signer raised something, took too long, or returned anything but such a signature.
      MissingExtra: the extra ``trade`` is not installed.
    """
    if type(signer) in _OWN and request.purpose == SESSION_ACTIONS:
        return "0x" + (await signer.sign(request)).hex()
    what = f"signing {request.purpose} with {signer.kind} address {signer.address} failed"
    try:
        with trio.fail_after(seconds):
            signature = await signer.sign(request)
    except trio.TooSlowError as error:
        raise SignerFailed(f"{what}: it took longer than {seconds:g} s") from error
    except Exception as error:  # A signer is foreign code: whatever it raises, nothing was signed.
        # Its words may tell secrets, so they stay where they are, in the cause.
        raise SignerFailed(f"{what}: the signer raised {type(error).__name__}") from error
    if not isinstance(signature, bytes) or len(signature) != 64:
        got = f"{len(signature)} bytes" if isinstance(signature, bytes) else type(signature).__name__
        raise SignerFailed(f"{what}: expected a compact signature of 64 bytes, not {got}")
    try:
        address = recover_address(signer.kind, request.digest, signature)
    except ValueError as error:
        raise SignerFailed(f"{what}: no key makes such a signature") from error
    if address != signer.address:
        raise SignerFailed(f"{what}: the signature is one of {address}; was the digest hashed again?")
    return "0x" + signature.hex()
