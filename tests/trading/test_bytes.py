"""The signed bytes, the packed nonces and the typed data against every vector; and what is out of range."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from o2trio._errors import InvalidRequest
from o2trio.models import AccountWindow, Asset, Id, Identity, Market, OrderType, Side, WindowSlot
from o2trio.trading._actions import (
    Action,
    CancelOrder,
    CreateOrder,
    RegisterReferer,
    SettleBalance,
    actions_json,
)
from o2trio.trading._bytes import (
    Call,
    ParallelNonce,
    actions_bytes,
    call_of,
    identity_bytes,
    option_bytes,
    order_args,
    owner_calls_bytes,
    owner_operation,
    parallel_actions_bytes,
    selector,
    set_session_bytes,
    u64,
    u256,
    upgrade_bytes,
    withdraw_bytes,
)
from o2trio.trading._curve import keccak256
from o2trio.trading._signers import SignerKind, personal_request, session_request
from o2trio.trading._signing import signature_of
from o2trio.trading._tracks import Lane
from o2trio.trading._typed import withdraw_typed
from o2trio.trading._wallets import EvmWallet, FuelWallet

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "signing_vectors.json").read_text("utf-8"))
KEYS = {wallet["key"]: wallet["private_key"] for wallet in VECTORS["wallets"]}
REGISTRY = Id(VECTORS["markets"]["A"]["accounts_registry_id"])


def market_of(entry: Any) -> Market:
    base, quote = (Asset(symbol="", max_precision=6, **entry[side]) for side in ("base", "quote"))
    return Market(contract_id=entry["contract_id"], market_id=entry["market_id"], base=base, quote=quote)


MARKETS = {name: market_of(entry) for name, entry in VECTORS["markets"].items()}
BY_ID = {market.market_id: market for market in MARKETS.values()}
A = MARKETS["A"]


def identity_of(value: dict[str, str]) -> Identity:
    ((kind, id),) = value.items()
    return Identity.address(id) if kind == "Address" else Identity.contract(id)


def type_of(value: Any) -> OrderType:
    if isinstance(value, str):
        return OrderType(value)
    ((name, data),) = value.items()
    if name == "Limit":
        return OrderType(name, price=int(data[0]), timestamp=int(data[1]))
    return OrderType(name, **{key: int(number) for key, number in data.items()})


def action_of(market: Market, value: Any) -> Action:
    ((name, data),) = value.items()
    match name:
        case "CreateOrder":
            price, quantity = int(data["price"]), int(data["quantity"])
            return CreateOrder(
                market,
                Side(data["side"].lower()),
                price=price,
                quantity=quantity,
                order_type=type_of(data["order_type"]),
            )
        case "CancelOrder":
            return CancelOrder(market, Id(data["order_id"]))
        case "SettleBalance":
            return SettleBalance(market, identity_of(data["to"]))
        case _:
            return RegisterReferer(market, identity_of(data["to"]))


def shown(data: bytes) -> str:
    return "0x" + data.hex()


def test_every_vector_of_bytes_is_run() -> None:
    # The sections that are not here, test_keys.py runs and counts.
    assert {name: len(VECTORS["primitives"][name]) for name in VECTORS["primitives"]} == {
        "u64_be": 5,
        "function_selector": 5,
        "identity": 2,
        "option_call_data": 3,
    }
    assert {name: len(VECTORS["parallel_nonce"][name]) for name in VECTORS["parallel_nonce"]} == {
        "valid": 6,
        "invalid": 3,
        "windows": 6,
    }
    sections = ("session_signing", "order_args", "action_calls", "action_batches")
    assert [len(VECTORS[name]) for name in sections] == [9, 6, 21, 17]
    sections = ("call_without_data", "withdraw_signing", "upgrade_signing", "parallel_withdraw_typed")
    assert [len(VECTORS[name]) for name in sections] == [5, 4, 2, 8]


# -- building blocks -------------------------------------------------------------------------------


def _option(data: str | None) -> bytes:
    return option_bytes(None if data is None else bytes.fromhex(data[2:]))


PRIMITIVES: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "u64_be": ("value", lambda value: u64(int(value))),
    "function_selector": ("name", selector),
    "identity": ("identity", lambda value: identity_bytes(identity_of(value))),
    "option_call_data": ("data", _option),
}


@pytest.mark.parametrize("section", VECTORS["primitives"])
def test_primitives(section: str) -> None:
    field, encode = PRIMITIVES[section]
    for entry in VECTORS["primitives"][section]:
        assert entry.keys() == {field, "encoded"}
        assert shown(encode(entry[field])) == entry["encoded"]


# -- owners ----------------------------------------------------------------------------------------


async def owners_sign(message: bytes, entry: Any) -> None:
    assert shown(message) == entry["signing_bytes"]
    key = KEYS[entry["owner_key"]]
    for wallet, field in ((FuelWallet(key), "fuel"), (EvmWallet(key), "evm")):
        request = personal_request(wallet.kind, message, "test")
        assert await signature_of(wallet, request, 1) == entry[f"{field}_owner_signature"]


@pytest.mark.parametrize("number", range(len(VECTORS["session_signing"])))
async def test_session_signing(number: int) -> None:
    entry = VECTORS["session_signing"][number]
    message = set_session_bytes(
        int(entry["nonce"]),
        int(entry["chain_id"]),
        entry["session_address"],
        int(entry["expiry"]),
        entry["contract_ids"],
    )
    await owners_sign(message, entry)


@pytest.mark.parametrize("number", range(len(VECTORS["withdraw_signing"])))
async def test_withdraw_signing(number: int) -> None:
    entry = VECTORS["withdraw_signing"][number]
    nonce, chain_id, amount = (int(entry[field]) for field in ("nonce", "chain_id", "amount"))
    message = withdraw_bytes(nonce, chain_id, identity_of(entry["to"]), amount, entry["asset_id"])
    await owners_sign(message, entry)
    assert shown(message) != entry["wrong_bytes_releases_before_0_3"]


@pytest.mark.parametrize("number", range(len(VECTORS["upgrade_signing"])))
async def test_upgrade_signing(number: int) -> None:
    entry = VECTORS["upgrade_signing"][number]
    await owners_sign(upgrade_bytes(int(entry["nonce"]), int(entry["chain_id"])), entry)


def test_calls_of_an_owner_are_those_of_a_session_behind_another_head() -> None:
    calls = [Call(A.contract_id, "pause"), Call(REGISTRY, "go", 3, A.base.asset, b"data")]
    tail = actions_bytes(7, calls)[8:]
    assert owner_calls_bytes(7, 9889, calls) == u64(7) + u64(9889) + selector("call_contracts") + tail


# -- sessions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", VECTORS["order_args"], ids=lambda entry: entry["order_type"])
def test_order_args(entry: Any) -> None:
    order_type = OrderType(
        entry["order_type"], **{key: int(value) for key, value in (entry["data"] or {}).items()}
    )
    assert shown(order_args(int(entry["price"]), int(entry["quantity"]), order_type)) == entry["encoded"]


@pytest.mark.parametrize("entry", VECTORS["action_calls"], ids=lambda entry: entry["label"])
def test_action_calls(entry: Any) -> None:
    action = action_of(MARKETS[entry["market"]], entry["action"])
    assert action.to_json() == entry["action"]
    call, expected = call_of(action, REGISTRY), entry["call"]
    assert call.contract_id == expected["contract_id"]
    assert shown(selector(call.function)) == expected["function_selector"]
    assert call.amount == int(expected["amount"])
    assert call.asset_id == expected["asset_id"]
    assert call.data is not None
    assert shown(call.data) == expected["call_data"]
    assert u64(int(expected["gas"])) in actions_bytes(0, [call])


@pytest.mark.parametrize("number", range(len(VECTORS["action_batches"])))
async def test_action_batches(number: int) -> None:
    entry = VECTORS["action_batches"][number]
    actions = [
        action_of(BY_ID[group["market_id"]], action)
        for group in entry["actions"]
        for action in group["actions"]
    ]
    assert actions_json(actions) == entry["actions"]
    encode = {"sequential": actions_bytes, "parallel": parallel_actions_bytes}[entry["track"]]
    message = encode(int(entry["nonce"]), [call_of(action, REGISTRY) for action in actions])
    assert shown(message) == entry["signing_bytes"]
    wallet = FuelWallet(KEYS[entry["session_key"]])
    assert await signature_of(wallet, session_request(message), 1) == entry["signature"]


def test_call_without_data() -> None:
    entry = VECTORS["call_without_data"]
    calls = [Call(entry["contract_id"], entry["function"])]
    assert shown(actions_bytes(int(entry["nonce"]), calls)) == entry["signing_bytes"]


# -- typed data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(VECTORS["parallel_withdraw_typed"])))
async def test_parallel_withdraw_typed(number: int) -> None:
    entry = VECTORS["parallel_withdraw_typed"][number]
    kind = SignerKind(entry["owner_kind"])
    request = withdraw_typed(
        kind,
        int(entry["chain_id"]),
        entry["verifying_contract"],
        int(entry["parallel_nonce"]),
        to=Identity.address(entry["to"]),
        amount=int(entry["amount"]),
        asset_id=entry["asset_id"],
    )
    assert request.typed
    assert shown(request.message[2:34]) == entry["domain_separator"]
    assert shown(request.digest) == entry["digest"]
    assert keccak256(request.message) == request.digest
    wallet = (FuelWallet if kind is SignerKind.FUEL else EvmWallet)(KEYS[entry["owner_key"]])
    assert wallet.address == entry["owner_b256"]
    assert await signature_of(wallet, request, 1) == entry["signature"]


# -- nonces of the parallel track ------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry", VECTORS["parallel_nonce"]["valid"], ids=lambda entry: entry["packed_decimal"]
)
def test_parallel_nonce(entry: Any) -> None:
    expiry = entry["timestamp"]
    nonce = ParallelNonce(
        lane=entry["nonce_session_id"],
        expiry=expiry,
        word=int(entry["word_position"]),
        bit=entry["bitmap_position"],
    )
    assert nonce.pack() == int(entry["packed_decimal"])
    assert shown(u256(nonce.pack())) == entry["packed_u256_be"]
    back = ParallelNonce.unpack(nonce.pack())
    assert (back.lane, back.expiry, back.word, back.bit) == (
        nonce.lane,
        expiry % 2**32,
        nonce.word,
        nonce.bit,
    )


@pytest.mark.parametrize(
    ("entry", "field"),
    list(zip(VECTORS["parallel_nonce"]["invalid"], ("bit", "lane", "reserved bits"), strict=True)),
    ids=("bit", "lane", "reserved"),
)
def test_invalid_parallel_nonce(entry: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        ParallelNonce.unpack(int(entry["packed_decimal"]))


@pytest.mark.parametrize("entry", VECTORS["parallel_nonce"]["windows"], ids=lambda entry: entry["label"])
async def test_first_free_position(entry: Any) -> None:
    window = AccountWindow(
        nonce_session_id=int(entry["window"]["nonce_session_id"]),
        base=int(entry["window"]["base"]),
        slots=tuple(
            WindowSlot(word_position=int(slot["word_position"]), bitmap=int(slot["bitmap"]))
            for slot in entry["window"]["slots"]
        ),
    )

    async def read(_lane: int) -> AccountWindow:
        return window

    nonce = await Lane(0, read, lambda: 1_900_000_000).next()
    expected = entry["first_free_position"]
    if expected == "window full":
        # The first slot behind the window: it is refused if the window has not moved on meanwhile.
        expected = {"word": str(window.base + 8), "bit": 0}
    assert {"word": str(nonce.word), "bit": nonce.bit} == expected


@given(st.integers(0, 4), st.integers(0, 2**32 - 1), st.integers(0, 2**128 - 1), st.integers(0, 127))
def test_packing_loses_nothing(lane: int, expiry: int, word: int, bit: int) -> None:
    nonce = ParallelNonce(lane, expiry, word, bit)
    assert ParallelNonce.unpack(nonce.pack()) == nonce


@given(st.integers(-(2**180), 2**180))
@example(2**176)
@example(-1)
def test_unpacking_takes_nothing_else(packed: int) -> None:
    try:
        nonce = ParallelNonce.unpack(packed)
    except InvalidRequest:
        assert not 0 <= packed < 5 << 168 or packed & 0x80
    else:
        assert nonce.pack() == packed


# -- ranges ----------------------------------------------------------------------------------------

ID = A.contract_id
TO = Identity.address(ID)
SPOT = OrderType("Spot")
TOO_BIG = 2**64

OUT_OF_RANGE: dict[str, Callable[[], object]] = {
    "nonce must": lambda: upgrade_bytes(-1, 0),
    "chain_id must": lambda: owner_operation(0, TOO_BIG, "x", b""),
    "expiry must": lambda: set_session_bytes(0, 0, ID, TOO_BIG, [ID]),
    "session_address": lambda: set_session_bytes(0, 0, Id("0x12"), 1, [ID]),
    "contract_ids": lambda: set_session_bytes(0, 0, ID, 1, [ID, Id("")]),
    "amount must": lambda: withdraw_bytes(0, 0, TO, TOO_BIG, ID),
    "asset_id": lambda: withdraw_bytes(0, 0, TO, 1, Id("0x" + 64 * "x")),
    "price must": lambda: order_args(TOO_BIG, 1, SPOT),
    "quantity must": lambda: order_args(1, -1, SPOT),
    "price of the Limit order must": lambda: order_args(1, 1, OrderType("Limit", timestamp=1)),
    "timestamp of the Limit": lambda: order_args(1, 1, OrderType("Limit", price=1, timestamp=TOO_BIG)),
    "max_price of the B": lambda: order_args(1, 1, OrderType("BoundedMarket", max_price=-1, min_price=1)),
    "min_price of the B": lambda: order_args(1, 1, OrderType("BoundedMarket", max_price=1)),
    "order_type must": lambda: order_args(1, 1, OrderType("TurboSharedSpot")),
    "order_id": lambda: call_of(CancelOrder(A, Id("12")), None),
    "accounts_registry_id": lambda: call_of(RegisterReferer(A, TO), None),
    "nonce must be": lambda: actions_bytes(TOO_BIG, []),
    "parallel_nonce must": lambda: parallel_actions_bytes(2**256, []),
    "amount of create_order": lambda: actions_bytes(
        0, [call_of(CreateOrder(A, Side.BUY, price=TOO_BIG - 1, quantity=TOO_BIG - 1), None)]
    ),
    "integer": lambda: u64(True),
    "not 1.0": lambda: u64(1.0),  # type: ignore[arg-type]  # Not every caller has a type checker.
    "lane": lambda: ParallelNonce(5, 0, 0, 0),
    "expiry of": lambda: ParallelNonce(0, -1, 0, 0),
    "word": lambda: ParallelNonce(0, 0, 2**128, 0),
    "bit of": lambda: ParallelNonce(0, 0, 0, 128),
    "verifying_contract": lambda: withdraw_typed(
        SignerKind.FUEL, 0, Id("1"), 0, to=TO, amount=1, asset_id=ID
    ),
    "amount must be": lambda: withdraw_typed(SignerKind.EVM, 0, ID, 0, to=TO, amount=TOO_BIG, asset_id=ID),
    "chain_id must be": lambda: withdraw_typed(SignerKind.EVM, -1, ID, 0, to=TO, amount=1, asset_id=ID),
}


@pytest.mark.parametrize("field", OUT_OF_RANGE)
def test_out_of_range_names_the_field(field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        OUT_OF_RANGE[field]()
