"""How a failed transaction is told: the backend's long text and its envelope, in every shape of it known.

What failed and why is decided in ``_exchange``; here is only the wording (protocol notes, section 6).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ._accounts import Revert
from ._encode import Flavor, Json, dump
from ._markets import make_id
from ._requests import Response

__all__ = ["LOGGED", "revert_response"]

FAILED_REQUIRE = 0xFFFF_FFFF_FFFF_0000
"""The code that every ``require`` reverts with, whatever it has logged before."""

_CREATION = (
    "InvalidOrderArgs InvalidInputAmount InvalidAsset PriceExceedsRange PricePrecision InvalidHeapPrices"
    " FractionalPrice OrderNotFilled OrderPartiallyFilled TraderNotWhiteListed TraderBlackListed"
    " InvalidMarketOrder InvalidMarketOrderArgs"
)

LOGGED: Mapping[str, tuple[int, tuple[str, ...]]] = {
    enum: (log_id, tuple(variants.split()))
    for enum, log_id, variants in (
        ("CallerError", 0x0B65CE7C65308B15, "InvalidCaller"),
        ("NonceError", 0xF88B7359B6A93F09, "InvalidNonce"),
        ("OrderCancelError", 0x0E7D0742559C4D2C, "NotOrderOwner TraderNotBlacklisted NoBlacklist"),
        ("OrderCreationError", 0xA700A0D30E8D2803, _CREATION),
        ("SessionError", 0x25F7B773D2B66BE6, "SessionInThePast NoApprovedContractIdsProvided"),
        ("SignerError", 0x9924F5DA95B424D9, "InvalidSigner ProxyOwnerIsContract"),
        (
            "TradeAccountRegistryError",
            0x81255B874C9FC86A,
            "OwnerAlreadyHasTradeAccount TradeAccountNotRegistered TradeAccountAlreadyHasReferer",
        ),
        ("WithdrawError", 0xCE9DB9FF03AAFAA4, "AmountIsZero NotEnoughBalance"),
    )
}
"""Log id and variants, in their order, of every error that the simulated contracts log."""

_EVENT = "SessionContractCallEvent"
"""What a transaction logged before it failed: decoders must not take it for the error."""

_EVENT_LOG, _TEXT_LOG = 6182132059982595715, 10098701174489624218


@attrs.frozen(slots=True)
class _Told:
    """What the parts of the text say.

    Attributes:
      logs: names that the backend could decode.
      data: (log id, data in hexadecimal) of everything that was logged.
      end: how the transaction ended, as the virtual machine says it.
      receipt: its last receipt but one: name and fields.
    """

    logs: tuple[str, ...]
    data: tuple[tuple[int, str], ...]
    end: str
    receipt: tuple[str, Mapping[str, str | int]]


def revert_response(revert: Revert, flavor: Flavor) -> Response:
    """Answer a request whose transaction failed."""
    told = _told(revert)
    if revert.nonce is not None:
        told = attrs.evolve(told, logs=(f"IncrementNonceEvent {{ nonce: {revert.nonce} }}", *told.logs))
    structured = flavor.revert_text in {"structured", "typed"}
    envelope: dict[str, Json] = {
        "message": "Transaction failed",
        "reason": told.end if structured else _text(told, flavor),
        "receipts": _receipts(told, flavor.revert_text == "typed") if structured else None,
    }
    if flavor.revert_envelope == "coded":
        envelope = {"code": 1000, **envelope}
    elif flavor.revert_envelope == "landed":
        envelope = {"tx_id": None if revert.tx_id is None else flavor.id(revert.tx_id), **envelope}
    status = {"plain": 400, "coded": 500, "landed": 200}[flavor.revert_envelope]
    return Response(status=status, body=dump(envelope).encode())


def _told(revert: Revert) -> _Told:
    """Say it in the machine's words."""
    event = (_EVENT_LOG, "00" * 32)
    if revert.enum == "Panic":
        reason = f"PanicInstruction {{ reason: {revert.variant}, instruction: CALL {{ dst: 0x10 }} }}"
        return _Told((_EVENT,), (event,), reason, ("Panic", {"reason": reason, "pc": 12_344, "is": 11_912}))
    if revert.enum == "Code":
        return _Told((), (), *_reverted(int(revert.variant)))
    if revert.enum not in LOGGED:
        # A text behind a plain require, or an error of newer contracts whose log id nobody published.
        said = (_TEXT_LOG, revert.variant.encode().hex())
        return _Told((_EVENT, revert.variant), (event, said), *_reverted(FAILED_REQUIRE))
    log_id, variants = LOGGED[revert.enum]
    logged = (log_id, f"{variants.index(revert.variant):016x}")
    return _Told((_EVENT, revert.variant), (event, logged), *_reverted(FAILED_REQUIRE))


def _reverted(code: int) -> tuple[str, tuple[str, Mapping[str, str | int]]]:
    return f"Revert({code})", ("Revert", {"ra": code, "pc": 12_344, "is": 11_912})


def _text(told: _Told, flavor: Flavor) -> str:
    names = () if flavor.revert_text == "receipts" else told.logs
    logs = ", ".join(f'Ok("{name}")' for name in names)
    kind, fields = told.receipt
    contract = make_id("contract", "that failed").removeprefix("0x")
    receipts = [
        f"Call {{ id: {'0' * 64}, to: {contract}, amount: 0, gas: 998877, param1: 10480, pc: 11912 }}",
        *(
            f"LogData {{ id: {contract}, ra: 0, rb: {log_id}, ptr: 67106816, len: {len(data) // 2}, "
            f"digest: {contract}, pc: 14800, is: 11912, data: Some(Bytes({data})) }}"
            for log_id, data in told.data
        ),
        f"{kind} {{ id: {contract}, "
        + ", ".join(f"{name}: {value}" for name, value in fields.items())
        + " }",
        f"ScriptResult {{ result: {kind}, gas_used: 1234567 }}",
    ]
    text = (
        f"transaction failed with logs: LogResult {{ results: [{logs}] }} "
        f"and error: transaction reverted: {told.end}, receipts: [{', '.join(receipts)}]"
    )
    return text.replace('"', '\\"') if flavor.revert_text == "escaped" else text


def _receipts(told: _Told, typed: bool) -> Json:
    """Return the receipts as a list of objects, tagged inside or outside."""
    kind, fields = told.receipt
    tagged: list[tuple[str, Mapping[str, Json]]] = [
        ("LogData", {"ra": 0, "rb": log_id, "data": data}) for log_id, data in told.data
    ]
    tagged += [(kind, fields), ("ScriptResult", {"result": kind, "gas_used": 1_234_567})]
    return [{"type": name, **inner} if typed else {name: inner} for name, inner in tagged]
