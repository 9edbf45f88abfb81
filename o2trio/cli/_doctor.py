"""``o2trio doctor``: look at the exchange as it really is, and say where it departs from what we assume.

First the evidence is collected, then every check judges it. So the checks cost no requests, and what was
found before Ctrl-C is judged as well.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import trio

from .._errors import InvalidRequest
from .._network import NetworkConfig
from .._safe_text import safe_text
from ..models import normalize_id
from ._doctor_account import ACCOUNT_CHECKS
from ._doctor_basics import BASIC_CHECKS, look_at_basics
from ._doctor_check import Check, Finding, Verdict
from ._doctor_evidence import Evidence, Reader
from ._doctor_exam import LISTEN_SECONDS, collect
from ._doctor_reads import READ_CHECKS
from ._doctor_requests import REQUEST_CHECKS
from ._doctor_shapes import shape
from ._doctor_streams import STREAM_CHECKS
from ._doctor_trade import TRADE_CHECKS, Consent, trade
from ._open import network_config
from ._output import Write

__all__ = ["DOCTOR_SECONDS", "GROUPS", "diagnose", "judge", "report_of", "run_doctor", "table_of"]

DOCTOR_SECONDS = 55.0
"""How long the examination may take at most; what is found until then is judged."""

_WRITE_SECONDS = 2.0
"""How long the results may take to be written after Ctrl-C."""

GROUPS: Mapping[str, Sequence[Check]] = {
    "basics": BASIC_CHECKS,
    "streams": (*STREAM_CHECKS, *REQUEST_CHECKS),
    "reads": READ_CHECKS,
    "account": ACCOUNT_CHECKS,
    "trading": TRADE_CHECKS,
}
"""Every check, in the order in which the table shows them."""


async def run_doctor(
    network: str | NetworkConfig,
    write: Write,
    *,
    account: str | None = None,
    consent: Consent | None = None,
    report: Path | None = None,
    as_json: bool = False,
) -> int:
    """Examine `network`, write the findings and return the exit status: 1 if an assumption is wrong, else 0.

    It takes at most a minute. If it is cancelled, what was found until then is still written.

    Args:
      network: its name, URL or configuration; ``simulator`` starts one.
      write: takes lines.
      account: the id of a trading account to look at.
      consent: permission to trade on a test network, with a wallet; None does not trade.
      report: where to write the report; it holds shapes, and nothing that belongs to anybody.
      as_json: write one JSON object per finding instead of a table.

    Raises:
      InvalidRequest: there is no such network, `account` is not an id, the network is not for tests, or
        there is no folder for the report.
      OSError: the report cannot be written.
    """
    found = None if account is None else _account(account)
    _check_report(report)
    async with network_config(network) as config:
        if consent is not None:
            consent.check(config)
        evidence = Evidence(config, found)
        findings: list[tuple[str, Finding]] = []
        try:
            await diagnose(evidence, consent)
        finally:
            with trio.move_on_after(_WRITE_SECONDS, shield=True):
                findings = judge(evidence)
                if report is not None:
                    _write_report(report, report_of(evidence, findings))
                lines = _json_lines(findings) if as_json else table_of(evidence, findings)
                await write("\n".join(lines))
    return int(any(finding.verdict is Verdict.WRONG for _, finding in findings))


def _check_report(report: Path | None) -> None:
    if report is not None and (report.is_dir() or not report.parent.is_dir()):
        raise InvalidRequest(f"--report takes the name of a file in a folder that exists, not {report}")


def _write_report(report: Path, content: dict[str, object]) -> None:
    # At once, not in a thread: it is small, and Ctrl-C may be what ends the examination.
    report.write_text(f"{json.dumps(content, indent=1)}\n", encoding="utf-8")


def _account(text: str) -> str:
    try:
        return str(normalize_id(text))
    except ValueError:
        raise InvalidRequest(
            "--account takes the id of a trading account: 0x and 64 hexadecimal digits"
        ) from None


async def diagnose(
    evidence: Evidence, consent: Consent | None = None, *, seconds: float = LISTEN_SECONDS
) -> None:
    """Collect the evidence, within :data:`DOCTOR_SECONDS`.

    Args:
      evidence: names the network and perhaps an account, and takes what is found.
      consent: permission to trade, with a wallet; None does not trade.
      seconds: how long to wait for live messages.
    """
    with trio.move_on_after(DOCTOR_SECONDS):
        async with Reader.opened(evidence) as reader:
            if await look_at_basics(evidence, reader):
                await collect(evidence, reader, seconds)
                if consent is not None:
                    await trade(evidence, reader, consent)


def judge(evidence: Evidence) -> list[tuple[str, Finding]]:
    """Answer every question that concerns this examination; each with the name of its group."""
    return [
        (group, check.judge(evidence))
        for group, checks in GROUPS.items()
        if _concerns(group, evidence)
        for check in checks
    ]


def _concerns(group: str, evidence: Evidence) -> bool:
    return {"account": evidence.account is not None, "trading": evidence.is_trading}.get(group, True)


# -- what is written -------------------------------------------------------------------------------

_WIDTHS = (9, 38, 26, 27)
_HEAD = ("", "question", "what the exchange does", "what we assume")


def table_of(evidence: Evidence, findings: Sequence[tuple[str, Finding]]) -> list[str]:
    """Return the findings as the lines of a table, with advice and a summary below."""
    lines, last = [*_row(_HEAD)], ""
    for group, finding in findings:
        if group != last:
            lines += ["", group]
            last = group
        check = finding.check
        lines += _row((finding.verdict.value, check.question, finding.words, check.assumed))
    wrong = [finding for _, finding in findings if finding.verdict is Verdict.WRONG]
    for finding in wrong:
        advice = f"{finding.check.name}: {finding.check.advice}."
        lines += ["", *textwrap.wrap(advice, sum(_WIDTHS))]
    counts = {verdict: sum(each.verdict is verdict for _, each in findings) for verdict in Verdict}
    summary = ", ".join(f"{count} {verdict.value.lower()}" for verdict, count in counts.items())
    return [*lines, "", f"{safe_text(evidence.network.websocket_host)}: {summary}"]


def _row(cells: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a row, its cells wrapped to their columns."""
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)]
    for number in range(max(map(len, columns))):
        parts = (
            (column[number] if number < len(column) else "").ljust(width)
            for column, width in zip(columns, _WIDTHS, strict=True)
        )
        yield "  ".join(parts).rstrip()


def _object(group: str, finding: Finding) -> dict[str, str]:
    check = finding.check
    return {
        "group": group,
        "check": check.name,
        "verdict": finding.verdict.value.lower(),
        "question": check.question,
        "found": finding.found,
        "assumed": check.assumed,
    }


def _json_lines(findings: Sequence[tuple[str, Finding]]) -> list[str]:
    return [json.dumps({**_object(group, finding), "found": finding.words}) for group, finding in findings]


def report_of(evidence: Evidence, findings: Sequence[tuple[str, Finding]]) -> dict[str, object]:
    """Return what may be published: findings, and the shapes of what was sent, never what it says."""
    messages: dict[str, list[object]] = {}
    for talk, said in evidence.talks.items():
        shapes = messages.setdefault(talk, [])
        for each in said:
            found = {
                "step": each.step,
                "frame": "binary" if each.is_binary else "text",
                "shape": shape(each.value),
            }
            if found not in shapes:
                shapes.append(found)
    return {
        "o2trio": _version(),
        "network": safe_text(evidence.network.websocket_host),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "findings": [_object(group, finding) for group, finding in findings],
        "answers": {
            name: {"status": answer.status, "shape": shape(answer.body)}
            for name, answer in evidence.answers.items()
        },
        "messages": messages,
        "failed": sorted(evidence.failures),
    }


def _version() -> str:
    try:
        return version("o2trio")
    except PackageNotFoundError:
        return "unknown"
