"""The doctor sees every reading of the protocol that can be seen, and tells it from the default."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from o2trio.cli._doctor import diagnose, judge
from o2trio.cli._doctor_check import Verdict
from o2trio.cli._doctor_evidence import Evidence
from o2trio.cli._doctor_trade import Consent
from o2trio.simulator import Flavor, Simulator, open_simulator
from o2trio.trading import FuelWallet

PAIR = "fFUEL/fUSDC"

QUESTIONS: dict[str, str] = {
    "snapshot_key": "snapshot key",
    "snapshot_precision": "snapshot precision",
    "side_names": "side names",
    "empty_levels": "empty levels",
    "depth_changes": "depth changes",
    "stale_update": "stale updates",
    "amounts": "amounts",
    "ids": "ids",
    "side_case": "sides",
    "order_flavor": "order object",
    "order_type": "order type",
    "trigger_orders": "trigger orders",
    "order_timestamp": "order time",
    "onchain_timestamp": "onchain_timestamp",
    "seen_timestamp": "seen_timestamp",
    "nonce": "nonce",
    "trade_parties": "trade parties",
    "trade_id": "trade id",
    "trade_time": "trade time",
    "trade_frames": "trade frames",
    "action_names": "action names",
    "book_fee": "book fee",
    "order_books": "order books",
    "frames": "frames",
    "extra_fields": "unknown fields",
    "data_mark": "data marks",
    "acknowledge": "acknowledgement",
    "acknowledge_unsubscribe": "end acknowledgement",
    "first_message": "first message",
    "second_subscribe": "second subscription",
    "unsubscribe_subset": "subset",
    "high_precision": "high precision",
    "heartbeat": "heartbeat",
    "error_action": "error shape",
    "error_mark": "error shape",
    "error_words": "error words",
    "cursor_inclusive": "cursor",
    "trades_envelope": "trades envelope",
    "rest_levels": "levels",
    "rest_exact": "exact book",
    "heeds_limit": "limit",
    "is_open_false": "is_open=false",
    "bars": "bars",
    "bars_time": "bar time",
    "single": "ticker",
    "ticker_names": "ticker names",
    "catalogue": "catalogue",
    "human_numbers": "human numbers",
    "market_fee": "market fees",
    "market_symbol": "symbols",
    "market_rows": "market rows",
    "price_window": "price window",
}
"""Which question a reading is the answer to."""

UNSEEN = {
    "sequence": "the order in which one block reaches different streams cannot be told from chance",
    "whitelist": "the endpoint is retired; the doctor does not submit to it",
}

TRADING = {
    "session": "session",
    "revert_envelope": "revert envelope",
    "revert_text": "revert text",
    "refusal_status": "refusal status",
    "parallel_signature_key": "signature key",
}
"""Seen only by a doctor that trades."""

READINGS = [
    (name, choice)
    for name, choices in Flavor.choices().items()
    for choice in choices[1:]
    if name in QUESTIONS and choice != "narrows"  # what goes on then is another account's
]


async def act(sim: Simulator, account: Any) -> None:
    """Be somebody whose account changes while the doctor listens."""
    sim.place(account, PAIR, "buy", price="0.0100", quantity="2000")
    while True:
        await trio.sleep(3)
        sim.place(account, PAIR, "buy", price="0.0100", quantity="2000")


async def findings(flavor: Flavor, *, trades: bool = False) -> dict[str, tuple[Verdict, str]]:
    """Return what the doctor finds on an exchange that follows `flavor`."""
    consent = Consent(FuelWallet.generate()) if trades else None
    async with open_simulator(seed=3, rate=4, flavor=flavor) as sim, trio.open_nursery() as nursery:
        sim.run_flow(300)
        account = sim.create_account()
        nursery.start_soon(act, sim, account)
        evidence = Evidence(sim.network, account.trade_account_id)
        await diagnose(evidence, consent)
        found = judge(evidence)
        nursery.cancel_scope.cancel()
    return {finding.check.name: (finding.verdict, finding.found) for _, finding in found}


@pytest.fixture(scope="module")
def defaults() -> dict[str, tuple[Verdict, str]]:
    return trio.run(findings, Flavor(), clock=MockClock(autojump_threshold=0))


WITHOUT_NETWORK = {"name", "certificate", "clock"}
"""In memory there is nothing to see of these."""


def test_the_defaults_are_safe_and_everything_is_decided(defaults: dict[str, tuple[Verdict, str]]) -> None:
    assert {name for name, (verdict, _) in defaults.items() if verdict is Verdict.UNDECIDED} == {
        *WITHOUT_NETWORK,
        "session",
    }
    assert [name for name, (verdict, _) in defaults.items() if verdict is Verdict.WRONG] == []


WRONG = {("depth_changes", "absolute"), ("heartbeat", "protocol")}
"""Readings under which the library is not safe, so the doctor must say so."""


@pytest.mark.parametrize(("name", "choice"), READINGS)
async def test_a_reading_is_told_from_the_default(
    autojump_clock: MockClock, defaults: dict[str, tuple[Verdict, str]], name: str, choice: Any
) -> None:
    found = await findings(attrs.evolve(Flavor(), **{name: choice}))
    verdict, words = found[QUESTIONS[name]]
    assert words != defaults[QUESTIONS[name]][1]
    assert verdict is (Verdict.WRONG if (name, choice) in WRONG else Verdict.SAFE), words
    others = {check for check, (verdict, _) in found.items() if verdict is Verdict.WRONG}
    assert others == ({QUESTIONS[name]} if (name, choice) in WRONG else set())


@pytest.fixture(scope="module")
def traded() -> dict[str, tuple[Verdict, str]]:
    return trio.run(partial(findings, Flavor(), trades=True), clock=MockClock(autojump_threshold=0))


def test_a_doctor_that_trades_decides_everything(traded: dict[str, tuple[Verdict, str]]) -> None:
    assert {name for name, (verdict, _) in traded.items() if verdict is not Verdict.SAFE} == WITHOUT_NETWORK


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        (name, choice)
        for name, choices in Flavor.choices().items()
        if name in TRADING
        for choice in choices[1:]
    ],
)
async def test_a_reading_about_trading_is_told_from_the_default(
    autojump_clock: MockClock, traded: dict[str, tuple[Verdict, str]], name: str, choice: Any
) -> None:
    found = await findings(attrs.evolve(Flavor(), **{name: choice}), trades=True)
    verdict, words = found[TRADING[name]]
    assert verdict is Verdict.SAFE, words
    assert words != traded[TRADING[name]][1]
    assert {check for check, (verdict, _) in found.items() if verdict is Verdict.WRONG} == set()


def test_every_reading_has_its_question() -> None:
    assert QUESTIONS.keys() | UNSEEN.keys() | TRADING.keys() == Flavor.choices().keys()
