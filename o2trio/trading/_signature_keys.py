"""Under which key the JSON of a submission holds its signature. Pure state, no I/O.

*Theory of operation.* Session actions with a parallel nonce are signed over the same bytes by all clients,
but the official ones disagree on the key: ``Secp256k1`` or ``TypedSecp256k1`` (protocol notes 4.6). The first
one is tried first. If the exchange refuses it with a code that may mean the key, the same signature is sent
once more under the other key. Two things make that safe, and each suffices:

- The refusal proves that the first copy did not run: it is one of the codes 1001, 1002 and 4000, which the
  exchange answers before anything reaches the chain, or HTTP 400 or 422 in the words of the server's parser.
  Anything ambiguous (no answer, a gateway's error, "nonce already used") is never followed by a second copy.
- Both copies hold the same nonce, and of all submissions with one nonce at most one can run. Even if the
  refusal were wrong, the second copy could only be refused; "already used" is then an unknown outcome.

The key that worked is remembered for the account as long as the client lives. Everything else has one key:
typed data that an owner signs ``TypedSecp256k1``, the sequential track ``Secp256k1``.
"""

from __future__ import annotations

from enum import StrEnum

from .._errors import ApiError
from . import _refusals as refusals
from ._signers import SigningRequest
from ._tracks import Track

__all__ = ["ParallelKey", "SignatureKey"]


class SignatureKey(StrEnum):
    """The two keys under which the exchange takes a signature."""

    PLAIN = "Secp256k1"
    TYPED = "TypedSecp256k1"

    @property
    def other(self) -> SignatureKey:
        """The one that this is not."""
        return SignatureKey.TYPED if self is SignatureKey.PLAIN else SignatureKey.PLAIN


class ParallelKey:
    """What is known about the key of session actions with parallel nonces.

    Args:
      chosen: the only key to use, or None to find out.
    """

    def __init__(self, chosen: str | None = None) -> None:
        self._known = None if chosen is None else SignatureKey(chosen)

    def first(self, request: SigningRequest, track: Track) -> SignatureKey:
        """Return the key to send a signature with."""
        if request.typed:
            return SignatureKey.TYPED
        if track is Track.SEQUENTIAL:
            return SignatureKey.PLAIN
        return self._known or SignatureKey.PLAIN

    def after(
        self, error: ApiError, key: SignatureKey, request: SigningRequest, track: Track
    ) -> SignatureKey | None:
        """Return the key to send the same submission with once more after a refusal, or None."""
        if request.typed or track is Track.SEQUENTIAL or not refusals.may_mean_signature_key(error):
            return None
        return None if self._known is key else key.other

    def accepted(self, key: SignatureKey, request: SigningRequest, track: Track) -> None:
        """Note that a submission under this key succeeded."""
        if track is Track.PARALLEL and not request.typed and self._known is None:
            self._known = key
