"""Reverts in every dress that the exchange gives them; the table against the data it came from."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio.trading._revert_table import ENUMS, EVENTS, REQUIRE_TEXTS, SIGNALS, UNLOGGED
from o2trio.trading._reverts import Revert, decode_revert

DATA = json.loads((Path(__file__).parent.parent / "data" / "revert_errors.json").read_text())
VARIANTS = [
    (int(entry["log_id"]), entry["enum"], index, variant)
    for entry in DATA["enums"]
    for index, variant in enumerate(entry["variants"])
]
AMBIGUOUS = DATA["variant_names_used_by_several_enums"]
LOGGED = 0xFFFFFFFFFFFF0006
CONTRACT = "5a" * 32


def log_data(log_id: int, data: str) -> str:
    return (
        f"LogData {{ id: {CONTRACT}, ra: 0, rb: {log_id}, ptr: 67105792, len: {len(data) // 2}, "
        f"digest: {'c0' * 32}, pc: 28040, is: 14656, data: Some(Bytes({data})) }}"
    )


def revert(code: int = LOGGED) -> str:
    return f"Revert {{ id: {CONTRACT}, ra: {code}, pc: 31064, is: 14656 }}"


def reason(*, oks: str = "", code: int = LOGGED, receipts: str = "") -> str:
    return (
        f"Transaction failed: LogResult {{ results: [{oks}] }} and error: transaction reverted: "
        f"Revert({code}), receipts: [Call {{ id: {'00' * 32}, amount: 0, gas: 9 }}, {receipts}]"
    )


# -- the table -------------------------------------------------------------------------------------


def test_the_table_is_the_data() -> None:
    known = {int(entry["log_id"]): (entry["enum"], tuple(entry["variants"])) for entry in DATA["enums"]}
    assert known == ENUMS
    assert all(int(entry["log_id_hex"], 16) in ENUMS for entry in DATA["enums"])
    newer = {entry["enum"]: tuple(entry["variants"]) for entry in DATA["newer_than_the_abi"]}
    assert newer == UNLOGGED
    signals = {int(entry["revert_code"]): entry["name"] for entry in DATA["vm_signals"]}
    assert signals == SIGNALS
    assert list(REQUIRE_TEXTS) == DATA["require_strings"]
    assert len(ENUMS) == 17
    events = {name.rpartition("::")[2] for name in DATA["event_structs"].values()}
    assert {name for name in events if not name.endswith("Event")} == EVENTS


def test_no_name_of_an_event_is_taken_for_an_error() -> None:
    oks = ", ".join(f'Ok("{name.rpartition("::")[2]}")' for name in DATA["event_structs"].values())
    assert decode_revert(reason(oks=oks), None).variant is None


# -- every variant, every dress --------------------------------------------------------------------


@pytest.mark.parametrize(("log_id", "enum", "index", "variant"), VARIANTS)
def test_a_variant_in_a_printed_receipt(log_id: int, enum: str, index: int, variant: str) -> None:
    receipts = f"{log_data(1, '00' * 40)}, {log_data(log_id, f'{index:016x}')}, {revert()}"
    found = decode_revert(reason(receipts=receipts), None)
    assert (found.enum, found.variant) == (enum, variant)
    assert (found.revert_code, found.signal) == (LOGGED, "REVERT_WITH_LOG")
    assert found.is_evident


@pytest.mark.parametrize(("log_id", "enum", "index", "variant"), VARIANTS)
@pytest.mark.parametrize("quote", ['"', '\\"', '\\\\\\"'])
def test_a_variant_among_the_logs(log_id: int, enum: str, index: int, variant: str, quote: str) -> None:
    oks = f"Ok({quote}IncrementNonceEvent{quote}), Ok({quote}{variant}{quote})"
    found = decode_revert(reason(oks=oks), None)
    assert found.variant == variant
    assert found.enum == (None if variant in AMBIGUOUS else enum)
    # What the receipts say decides between enumerations that share a name.
    with_receipts = reason(oks=oks, receipts=f"{log_data(log_id, f'{index:016x}')}, {revert()}")
    assert decode_revert(with_receipts, None).enum == enum


@pytest.mark.parametrize(("log_id", "enum", "index", "variant"), VARIANTS)
def test_a_variant_in_structured_receipts(log_id: int, enum: str, index: int, variant: str) -> None:
    data, code = f"{index:016x}", str(LOGGED)
    dresses: list[list[Any]] = [
        [{"LogData": {"rb": log_id, "data": data}}, {"Revert": {"ra": LOGGED}}],
        [{"LogData": {"rb": str(log_id), "data": "0x" + data + "ff"}}, {"Revert": {"ra": code}}],
        [{"type": "LogData", "rb": log_id, "data": data}, {"type": "Revert", "ra": hex(LOGGED)}],
        [{"type": "LOG_DATA", "rb": hex(log_id), "data": [0] * 7 + [index]}, {"type": "REVERT", "ra": code}],
        [
            {"LogData": {"rb": log_id, "data": {"Bytes": data}}},
            {"Revert": {"ra": LOGGED}},
            {"ScriptResult": {}},
        ],
    ]
    for receipts in dresses:
        found = decode_revert(None, receipts)
        assert (found.enum, found.variant, found.revert_code) == (enum, variant, LOGGED), receipts
        # ... and they settle which of two enumerations a name belongs to.
        named = decode_revert(f'results: [Ok("{variant}")]', receipts)
        assert (named.enum, named.variant) == (enum, variant)


@pytest.mark.parametrize("variant", DATA["newer_than_the_abi"][0]["variants"])
def test_a_variant_newer_than_the_interfaces(variant: str) -> None:
    found = decode_revert(reason(oks=f'Ok("{variant}")'), None)
    assert (found.enum, found.variant) == ("ExtendedNonceError", variant)


@pytest.mark.parametrize("quote", ['"', '\\"'])
@pytest.mark.parametrize("variant", ["QuantityMustBeParentOrder", "SomethingElse2"])
def test_a_variant_of_an_enumeration_that_is_not_in_the_table(variant: str, quote: str) -> None:
    """The trigger enumerations are not published: their variants keep their names at least."""
    names = (
        "IncrementNonceEvent { nonce: 8 }",
        "SessionContractCallEvent",
        variant,
        "TriggerCreatedEvent",
        "ok",
    )
    oks = ", ".join(f"Ok({quote}{name}{quote})" for name in names)
    found = decode_revert(reason(oks=oks, receipts=f"{log_data(7, '00' * 8)}, {revert()}"), None)
    assert (found.enum, found.variant, found.revert_code) == (None, variant, LOGGED)
    assert str(found) == variant
    # A variant that is known counts for more, wherever it stands, and so does one in the receipts.
    known = decode_revert(reason(oks=f"{oks}, Ok({quote}PricePrecision{quote}), {oks}"), None)
    assert str(known) == "OrderCreationError.PricePrecision"
    log_id, enum, index, logged = VARIANTS[0]
    receipts = f"{log_data(log_id, f'{index:016x}')}, {revert()}"
    assert str(decode_revert(reason(oks=oks, receipts=receipts), None)) == f"{enum}.{logged}"


@pytest.mark.parametrize(
    "text", ['Ok("QuantityMustBeParentOrder")', 'results: [Ok("QuantityMustBeParentOrder")] and error: no']
)
def test_an_unknown_name_alone_proves_nothing(text: str) -> None:
    found = decode_revert(text, None)
    assert found.variant is None
    assert not found.is_evident


@pytest.mark.parametrize(
    "name", ["ok", "No such thing", "AnyEvent", "A", "lower", "Under_score", "Größe", "X" * 101]
)
def test_what_does_not_look_like_a_variant(name: str) -> None:
    assert decode_revert(reason(oks=f'Ok("{name}")'), None).variant is None


# -- the order of attempts -------------------------------------------------------------------------


def test_the_last_known_name_counts() -> None:
    oks = 'Ok("PricePrecision"), Ok("OrderMatchedEvent"), Ok("OrderNotFilled"), Ok("SomethingNew")'
    assert str(decode_revert(reason(oks=oks), None)) == "OrderCreationError.OrderNotFilled"


def test_a_name_beats_the_receipts() -> None:
    receipts = f"{log_data(VARIANTS[0][0], '00' * 8)}, {revert()}"
    assert (
        decode_revert(reason(oks='Ok("PricePrecision")', receipts=receipts), None).variant == "PricePrecision"
    )


def test_only_the_last_log_before_the_revert_counts() -> None:
    log_id = VARIANTS[0][0]
    error, event = log_data(log_id, "00" * 8), log_data(10627443379711231661, "00" * 8)
    assert decode_revert(reason(receipts=f"{error}, {event}, {revert()}"), None).variant is None
    assert decode_revert(reason(receipts=f"{event}, {revert()}, {error}"), None).variant is None
    assert decode_revert(reason(receipts=f"{event}, {error}, {revert()}"), None).variant is not None
    structured = [{"LogData": {"rb": log_id, "data": "00" * 8}}, {"Log": {"rb": 1}}, {"Revert": {"ra": 1}}]
    assert decode_revert(None, structured).variant is not None
    structured.insert(1, {"LogData": {"rb": 1, "data": "00" * 8}})
    assert decode_revert(None, structured) == Revert(revert_code=1)


def test_a_log_in_a_text_that_breaks_off() -> None:
    found = decode_revert(f"failed, receipts: [{log_data(*_CREATION)}, Rev", None)
    assert str(found) == "OrderCreationError.PricePrecision"


_CREATION = (12033795032676640771, f"{4:016x}")


def test_printed_over_several_lines() -> None:
    receipts = (
        f"LogData {{\n        rb: {_CREATION[0]},\n        data: Some(\n            Bytes(\n"
        f"                {_CREATION[1]},\n            ),\n        ),\n    }},\n"
        "    Revert {\n        ra: 1,\n}"
    )
    found = decode_revert(receipts, None)
    assert (found.variant, found.revert_code) == ("PricePrecision", 1)


def test_an_unknown_selector_means_an_old_account() -> None:
    found = decode_revert(reason(code=123, receipts=revert(123)), None)
    assert found.signal == "MISMATCHED_SELECTOR"
    assert str(found) == "revert 123 (MISMATCHED_SELECTOR)"


@pytest.mark.parametrize("code", SIGNALS)
def test_signals_from_the_receipts_alone(code: int) -> None:
    assert decode_revert(f"[{revert(code)}]", None).signal == SIGNALS[code]
    assert decode_revert(None, [{"Revert": {"ra": code}}]).signal == SIGNALS[code]


def test_an_unknown_code_is_kept() -> None:
    found = decode_revert(reason(code=42), None)
    assert (found.revert_code, found.signal, str(found)) == (42, None, "revert 42")


@pytest.mark.parametrize("name", ["NotEnoughBalance", "OutOfGas"])
def test_a_panic(name: str) -> None:
    inner = f"PanicInstruction {{ reason: {name}, instruction: CALL {{ target_struct: 0x10 }} }}"
    text = f"and error: transaction reverted: {name}, receipts: [Panic {{ id: {CONTRACT}, reason: {inner} }}]"
    assert decode_revert(text, None).panic == name
    for receipts in (
        [{"Panic": {"reason": {"reason": name, "instruction": 5}}}],
        [{"type": "Panic", "reason": name}],
        [{"type": "Panic", "reason": inner}, {"ScriptResult": {"gas_used": 1}}],
    ):
        found = decode_revert(None, receipts)
        assert (found.panic, found.is_evident, str(found)) == (name, True, f"panic {name}")


def test_a_required_text() -> None:
    oks = 'Ok("No upgrade available")'
    found = decode_revert(reason(oks=oks, code=0xFFFFFFFFFFFF0000), None)
    assert (found.text, found.signal) == ("No upgrade available", "FAILED_REQUIRE")
    assert str(found) == "No upgrade available"
    assert decode_revert("No upgrade available", None).is_evident


def test_words_of_what_nobody_knows() -> None:
    assert decode_revert("so sorry and error: the node is asleep\nmore", None).text == "the node is asleep"
    plain = decode_revert("x" * 1000, None)
    assert (plain.text, plain.is_evident) == ("x" * 200, False)
    assert str(decode_revert(None, None)) == "no explanation"


def test_receipts_of_a_success_are_no_failure() -> None:
    receipts = [{"LogData": {"rb": _CREATION[0], "data": _CREATION[1]}}, {"Return": {"val": 1}}]
    assert decode_revert(None, receipts) == Revert()


@pytest.mark.parametrize("index", [13, 2**63])
def test_a_variant_beyond_the_table(index: int) -> None:
    found = decode_revert(reason(receipts=f"{log_data(_CREATION[0], f'{index:016x}')}, {revert()}"), None)
    assert (found.enum, found.variant, found.revert_code) == (None, None, LOGGED)


# -- anything --------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)
PIECES = st.lists(
    st.sampled_from(
        ["Ok(", '"', "\\", "PricePrecision", ")", "LogData {", "Revert {", "Revert(", "rb: ", "ra: ", "{",
         "}", "data: Some(Bytes(", "123", str(_CREATION[0]), "0" * 16, "PanicInstruction { reason: ",
         "and error: ", "9" * 20, "٣", "\n"]
    )
)  # fmt: skip
RECEIPTS = st.lists(
    st.dictionaries(
        st.sampled_from(["type", "Revert", "LogData", "Panic", "ra", "rb", "data", "reason"]), ANYTHING
    )
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["Revert", "LogData", "Panic"])},
        optional={"ra": ANYTHING, "rb": ANYTHING, "data": ANYTHING, "reason": ANYTHING},
    )
)


@given(ANYTHING | st.builds("".join, PIECES), ANYTHING | RECEIPTS)
def test_anything_is_taken(text: object, receipts: object) -> None:
    found = decode_revert(text, receipts)
    assert len(str(found)) <= 300
    assert found.revert_code is None or 0 <= found.revert_code < 2**64


@pytest.mark.parametrize(
    "piece",
    ["LogData { ", "LogData {" + "rb: 1 " * 300, "Revert {ra: ", 'Ok("', "Ok(" + "\\" * 9, "\\", "{", "x",
     "PanicInstruction { reason: ", "and error: ", "data: Some(Bytes(", "Revert(1", "rb: 1 data: "],
)  # fmt: skip
def test_the_work_is_bounded(piece: str) -> None:
    text = piece * (8_000_000 // len(piece))
    begin = time.process_time()
    decode_revert(text, [{"type": "LogData"}] * 100_000)
    # Far below a second; anything quadratic would take minutes.
    assert time.process_time() - begin < 5
