"""``o2trio doctor``: the basics, what it writes, how it ends, and that it trades only with consent."""

from __future__ import annotations

import argparse
import json
import re
import ssl
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio
import trustme
from trio.testing import MockClock

from o2trio import InvalidRequest, Network, NetworkConfig
from o2trio._safe_text import safe_text
from o2trio.cli import main
from o2trio.cli._doctor import DOCTOR_SECONDS, GROUPS, diagnose, judge, report_of, run_doctor, table_of
from o2trio.cli._doctor_basics import look_at_basics
from o2trio.cli._doctor_check import Check, Verdict
from o2trio.cli._doctor_evidence import Evidence, Reader
from o2trio.cli._doctor_shapes import redact, shape
from o2trio.cli._doctor_trade import KEY_VARIABLE, Consent, _place_and_cancel, consent_of
from o2trio.cli._markets import table
from o2trio.models import Level, normalize_id
from o2trio.simulator import Account, Flavor, Simulator, default_listings, open_simulator
from o2trio.trading import FuelWallet
from tests.rest.fake import Fake, json_answer

KEY = "5a" * 32


class Lines(list[str]):
    async def write(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.extend(text.split("\n"))


async def examined(network: NetworkConfig, account: str | None = None) -> dict[str, tuple[Verdict, str]]:
    evidence = Evidence(network, account)
    await diagnose(evidence)
    return {finding.check.name: (finding.verdict, finding.words) for _, finding in judge(evidence)}


# -- the basics ------------------------------------------------------------------------------------


async def test_a_name_that_nobody_knows_ends_the_examination(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: object) -> Any:
        await trio.lowlevel.checkpoint()
        raise OSError("Name or service not known")

    monkeypatch.setattr(trio.socket, "getaddrinfo", unknown)
    found = await examined(NetworkConfig.from_url("https://exchange.invalid"))
    assert found["name"] == (Verdict.WRONG, "no: Name or service not known")
    assert {verdict for name, (verdict, _) in found.items() if name != "name"} == {Verdict.UNDECIDED}


async def test_a_refused_connection(autojump_clock: MockClock) -> None:
    async def refuse(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError("nobody listens")

    network = attrs.evolve(NetworkConfig.from_url("http://exchange.invalid"), dialer=refuse)
    found = await examined(network)
    assert found["connection"] == (Verdict.WRONG, "no: nobody listens")
    assert found["health"][0] is Verdict.UNDECIDED


async def test_a_connection_that_never_opens_is_bounded(autojump_clock: MockClock) -> None:
    async def hang(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    network = attrs.evolve(NetworkConfig.from_url("http://exchange.invalid"), dialer=hang)
    began = trio.current_time()
    assert (await examined(network))["connection"] == (Verdict.WRONG, "no: nothing within 8 s")
    assert trio.current_time() - began < 10


async def test_a_certificate_is_looked_at() -> None:
    authority = trustme.CA()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with open_simulator(seed=3, listen=("127.0.0.1", 0), ssl_context=served) as sim:
        evidence = Evidence(attrs.evolve(sim.network, ssl_context=trusting))
        async with Reader.opened(evidence) as reader:
            assert await look_at_basics(evidence, reader)
        found = {finding.check.name: finding for _, finding in judge(evidence)}
        assert re.fullmatch(r"valid for \d+ days", found["certificate"].found)
        assert found["name"].found == "yes, with 1 address"
        # The system's roots do not know this authority.
        stranger = await examined(sim.network)
        assert stranger["certificate"][0] is Verdict.WRONG
        assert stranger["certificate"][1].startswith("not trusted: ")


@pytest.mark.parametrize(
    ("ahead", "verdict", "words"),
    [
        (0.0, Verdict.SAFE, "right to the second"),
        (5.0, Verdict.SAFE, "5 s ahead"),
        (-3600.0, Verdict.WRONG, "3600 s behind"),
    ],
)
async def test_the_clock_is_compared_with_the_server(
    autojump_clock: MockClock, nursery: trio.Nursery, ahead: float, verdict: Verdict, words: str
) -> None:
    moment = datetime(2026, 11, 30, 17, tzinfo=UTC)
    date = format_datetime(moment, usegmt=True)
    fake = Fake(nursery, lambda *_: json_answer({"status": "ok"}, Date=date))
    evidence = Evidence(fake.network)
    async with Reader.opened(evidence) as reader:
        await look_at_basics(evidence, reader, lambda: moment.timestamp() + 0.5 + ahead)
    (clock,) = (finding for _, finding in judge(evidence) if finding.check.name == "clock")
    assert (clock.verdict, clock.found) == (verdict, words)


@pytest.mark.parametrize(
    ("status", "body"), [(403, {"code": 1004, "message": "no"}), (451, {}), (400, {"code": "1004"})]
)
async def test_a_region_that_is_refused(
    autojump_clock: MockClock, nursery: trio.Nursery, status: int, body: Any
) -> None:
    fake = Fake(nursery, lambda *_: json_answer(body, status))
    found = await examined(fake.network)
    assert found["region"] == (Verdict.WRONG, f"refused, HTTP status {status}")
    assert found["websocket"][0] is Verdict.WRONG


async def test_a_server_that_answers_nothing_is_left_within_the_minute(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    fake = Fake(nursery, lambda path, _: json_answer({"status": "ok"}) if path == "/health" else None)
    began = trio.current_time()
    found = await examined(fake.network)
    assert trio.current_time() - began <= DOCTOR_SECONDS
    assert found["levels"] == (Verdict.UNDECIDED, "not seen")


async def test_refused_streams_are_said_to_be_refused(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=3) as sim:
        sim.refuse_handshakes(403)
        found = await examined(sim.network)
    verdict, words = found["websocket"]
    assert verdict is Verdict.WRONG
    assert "403" in words
    assert found["heartbeat"][0] is Verdict.UNDECIDED
    assert found["levels"][0] is Verdict.SAFE


# -- what it writes --------------------------------------------------------------------------------


async def examine() -> tuple[Simulator, Account, Evidence]:
    """Examine everything about an account; the exchange can be looked at afterwards."""
    async with open_simulator(seed=3, rate=4) as sim:
        sim.run_flow(300)
        account = sim.create_account()
        sim.place(account, "fFUEL/fUSDC", "buy", price="0.0100", quantity="2000")
        evidence = Evidence(sim.network, account.trade_account_id)
        await diagnose(evidence)
        return sim, account, evidence


@pytest.fixture(scope="module")
def examination() -> tuple[Simulator, Account, Evidence]:
    return trio.run(examine, clock=MockClock(autojump_threshold=0))


def test_a_report_holds_shapes_and_nothing_of_anybody(examination: Any) -> None:
    sim, account, evidence = examination
    text = json.dumps(report_of(evidence, judge(evidence)))
    ids = [account.trade_account_id, account.owner.id, *sim.exchange.orders]
    ids += [market.market_id for market in sim.exchange.markets.markets]
    ids += [trade.trade_id for trade in sim.exchange.trades(sim.market("fFUEL/fUSDC").market_id)]
    assert [each for each in ids if each in text or each[2:] in text] == []
    assert not re.search(r"[0-9a-f]{16}|\d{7}", text)
    report = json.loads(text)
    assert report["answers"]["depth"]["shape"]["orders"]["buys"] == [
        {"price": "integer in text, 5 characters", "quantity": "integer in text, 13 characters"},
        {"price": "integer in text, 5 characters", "quantity": "integer in text, 14 characters"},
    ]
    assert {found["check"] for found in report["findings"]} == {
        check.name for group, checks in GROUPS.items() if group != "trading" for check in checks
    }


def test_a_table_has_a_line_for_every_question_and_fits_a_screen(examination: Any) -> None:
    _, _, evidence = examination
    findings = judge(evidence)
    lines = table_of(evidence, findings)
    assert max(map(len, lines)) <= 110
    assert [line for line in lines if line in GROUPS] == ["basics", "streams", "reads", "account"]
    assert sum(line.startswith(("safe", "undecided", "WRONG")) for line in lines) == len(findings)
    assert lines[-1].endswith("0 wrong, 4 undecided")


async def test_json_lines(autojump_clock: MockClock) -> None:
    lines = Lines()
    async with open_simulator(seed=3) as sim:
        assert await run_doctor(sim.network, lines.write, as_json=True) == 0
    found = [json.loads(line) for line in lines]
    assert {tuple(item) for item in found} == {("group", "check", "verdict", "question", "found", "assumed")}
    assert {item["verdict"] for item in found} == {"safe", "undecided"}


async def test_a_wrong_assumption_is_advised_on_and_is_the_exit_status(autojump_clock: MockClock) -> None:
    lines = Lines()
    async with open_simulator(seed=3, flavor=Flavor(depth_changes="absolute")) as sim:
        assert await run_doctor(sim.network, lines.write) == 1
    assert any(line.startswith("depth changes: do not use order books") for line in lines)


async def test_what_was_found_before_the_end_is_written(autojump_clock: MockClock, tmp_path: Path) -> None:
    lines, report = Lines(), tmp_path / "report.json"
    async with open_simulator(seed=3) as sim:
        with trio.move_on_after(6) as scope:
            await run_doctor(sim.network, lines.write, report=report)
    assert scope.cancelled_caught
    verdicts = {line.split()[0] for line in lines if line.startswith(("safe", "undecided"))}
    assert verdicts == {"safe", "undecided"}
    assert any("Under which key does a depth snapshot" in line and line.startswith("safe") for line in lines)
    # Silence proves nothing before it was listened to.
    assert any("What is the answer to the text" in line and line.startswith("undecided") for line in lines)
    assert json.loads(report.read_text())["findings"]


EVIL = "\x1b[2J\x07\u202e" + "x" * 500


async def test_foreign_text_cannot_move_the_cursor(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    row = {"market_id": EVIL, "contract_id": EVIL, "base": {"symbol": EVIL}, "quote": {"symbol": EVIL}}
    fake = Fake(nursery, lambda *_: json_answer({"markets": [{**row, "price_window": EVIL}], EVIL: EVIL}))
    evidence = Evidence(fake.network)
    await diagnose(evidence)
    findings = judge(evidence)
    for line in table_of(evidence, findings):
        assert line.isprintable()
    assert json.dumps(report_of(evidence, findings)).isprintable()


@pytest.mark.parametrize("markets", [None, "soon", {}, [{"market_id": "ETH"}], [7]], ids=str)
async def test_a_list_without_a_market_that_can_be_read_is_wrong(
    autojump_clock: MockClock, nursery: trio.Nursery, markets: Any
) -> None:
    fake = Fake(nursery, lambda *_: json_answer({"status": "ok", "markets": markets}))
    verdict, words = (await examined(fake.network))["market rows"]
    assert verdict is Verdict.WRONG
    assert words in {"there is no list", "none"}


async def test_the_words_of_a_server_stand_in_no_report(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    words = "address 203.0.113.7 of alice@example.com is blocked"
    fake = Fake(nursery, lambda *_: json_answer({"error": words}, status=403))
    evidence = Evidence(fake.network)
    await diagnose(evidence)
    findings = judge(evidence)
    text = json.dumps(report_of(evidence, findings))
    assert "alice" not in text
    assert "203.0.113.7" not in text


async def test_the_folder_of_the_report_is_checked_before_the_examination(tmp_path: Path) -> None:
    async def write(_: str) -> None:
        raise AssertionError

    for report in (tmp_path / "missing" / "report.json", tmp_path):
        with pytest.raises(InvalidRequest, match="--report takes the name of a file"):
            await run_doctor("simulator", write, report=report)


def test_the_symbols_of_a_table_cannot_move_the_cursor() -> None:
    assert table([["\x1b[31mX\n\x07", "1"]]) == ["?[31mX??  1"]


async def test_below_a_best_bid_of_one_step_there_is_no_place_to_trade() -> None:
    market = default_listings()[0].market

    async def depth(_: object) -> Any:
        await trio.lowlevel.checkpoint()
        return SimpleNamespace(changes=SimpleNamespace(best_bid=Level(market.price_step, 1)))

    o2: Any = SimpleNamespace(get_depth=depth)
    session: Any = None  # it would be an error to place anything
    look: Any = None
    await _place_and_cancel(o2, session, market, look)


def test_shapes() -> None:
    assert shape({"a": [1, 22, "0x" + "ab" * 32], "AB" * 32: None, "FUEL/USDC": 1.5, "b": [[True]]}) == {
        "a": ["integer, 1 digits", "integer, 2 digits", "id, 66 characters"],
        "<id in another spelling, 64 characters>": "null",
        "<text, 9 characters>": "number with a fraction",
        "b": [["true"]],
    }
    deep: object = 1
    for _ in range(50):
        deep = [deep]
    assert "deeper" in str(shape(deep))


def test_redacting_and_cleaning() -> None:
    assert redact("account 0x" + "ab" * 32 + " has 123456789 of 12") == "account <id> has <number> of 12"
    assert safe_text("a\x1b[0m\nb") == "a?[0m?b"
    assert len(safe_text("x" * 1000)) == 160


def test_a_check_that_meets_a_shape_beyond_its_readings_says_so() -> None:
    def read(evidence: Evidence) -> str:
        raise KeyError("view")

    check = Check(name="n", question="q", assumed="a", read=read)
    finding = check.judge(Evidence(Network.TESTNET.value))
    assert finding.verdict is Verdict.WRONG
    assert "a shape that no source describes" in finding.found


def test_names_are_unique() -> None:
    names = [check.name for checks in GROUPS.values() for check in checks]
    assert len(set(names)) == len(names)


# -- limits ----------------------------------------------------------------------------------------


async def test_it_reads_within_the_published_limits(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=3) as sim:
        sim.rest.enforce_limits()
        account = sim.create_account()
        await examined(sim.network, account.trade_account_id)
        requests = sim.rest.requests
        assert {request.method for request in requests} == {"GET"}
        assert 429 not in {request.status for request in requests}
        assert len(requests) < 40
        assert len(sim.handshakes) == 4


# -- trading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["https://api.o2.app", "https://exchange.invalid", "https://127.0.0.1.exchange.invalid"]
)
def test_trading_is_refused_where_coins_may_be_worth_something(url: str) -> None:
    consent = Consent(FuelWallet.from_key(KEY))
    with pytest.raises(InvalidRequest, match="testnet, devnet and this machine"):
        consent.check(NetworkConfig.from_url(url))
    for allowed in (Network.TESTNET.value, NetworkConfig.from_url("http://127.0.0.1:8080")):
        consent.check(allowed)


@pytest.mark.parametrize("network", ["mainnet", "https://api.o2.app"])
def test_the_command_does_not_trade_on_mainnet(
    network: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert main(["doctor", "--network", network, "--trade", "--yes-spend-test-coins"]) == 2
    assert "not for 'api.o2.app'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trade"], "--yes-spend-test-coins"),
        (["--trade", "--yes-spend-test-coins"], KEY_VARIABLE),
        (["--account", "me"], "64 hexadecimal digits"),
        (["--network", "ftp://exchange.invalid"], "expected a URL"),
    ],
)
def test_usage(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert main(["doctor", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("evm", [False, True])
def test_a_key_comes_from_a_file_or_the_environment_and_is_never_shown(
    evm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(f"0x{KEY}\n")
    given = argparse.Namespace(yes_spend_test_coins=True, key_file=file, evm=evm)
    consent = consent_of(given)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert (
        consent_of(argparse.Namespace(**{**vars(given), "key_file": None})).wallet.address
        == consent.wallet.address
    )
    assert consent.wallet.kind == ("evm" if evm else "fuel")
    assert KEY not in repr(consent)


async def test_a_doctor_that_trades_leaves_no_order_and_reports_no_secret(autojump_clock: MockClock) -> None:
    wallet = FuelWallet.from_key(KEY)
    async with open_simulator(seed=3, rate=4) as sim:
        evidence = Evidence(sim.network)
        await diagnose(evidence, Consent(wallet))
        findings = judge(evidence)
        text = json.dumps(report_of(evidence, findings))
        account = normalize_id(evidence.account or "")
        market = sim.market(str(evidence.market["market_id"]))
        orders = sim.exchange.orders_of(account, market.market_id)
    assert [order.cancel for order in orders] == [True]
    for secret in (KEY, wallet.address[2:], account[2:]):
        assert secret not in text
    assert "trading" in {group for group, _ in findings}


async def test_a_trade_that_fails_is_said_without_ids(autojump_clock: MockClock) -> None:
    async with open_simulator(seed=3, rate=4) as sim:
        sim.rest.fail(500, path="/v1/session")
        evidence = Evidence(sim.network)
        await diagnose(evidence, Consent(FuelWallet.from_key(KEY)))
        found = {finding.check.name: finding for _, finding in judge(evidence)}
    assert found["trading"].verdict is Verdict.WRONG
    assert not re.search("[0-9a-f]{16}", found["trading"].words)
    assert found["signature key"].verdict is Verdict.UNDECIDED
