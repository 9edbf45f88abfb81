"""Results as text: a table for each scenario, and the targets beside what was reached. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

from benchmarks.race._meter import Result
from benchmarks.race._scenarios import PEERS, SCENARIOS, TARGETS, Target
from benchmarks.soak_report import commit_of, machine

__all__ = ["Results", "page", "summary", "verdicts"]

Results: TypeAlias = Mapping[str, Mapping[str, Sequence[Result]]]
"""Scenario, then peer, then the rounds; none if the peer could not run."""

_METRICS = {
    "p50": ("p50, µs", "{:.0f}"),
    "p99": ("p99, µs", "{:.0f}"),
    "p99.9": ("p99.9, µs", "{:.0f}"),
    "read_us": ("processor, µs per message delivered", "{:.2f}"),
    "sent_us": ("processor, µs per message sent", "{:.2f}"),
    "wall_us": ("wall, µs per message sent", "{:.2f}"),
    "lost": ("lost", "{:.1f} %"),
    "bytes": ("bytes each", "{:.0f}"),
    "ms": ("ms", "{:.2f}"),
    "cpu_ms": ("processor, ms", "{:.2f}"),
    "order_us": ("processor, µs per order", "{:.1f}"),
}
"""Metric: what stands above its column, and how it is written. The first that a scenario has is compared."""

_PACKAGES = ("o2-sdk", "picows", "websockets", "trio-websocket", "wsproto", "msgspec", "attrs", "cattrs")

_BASE = "sdk"

_TARGET_HEAD = ("What", "Target", "Reached", "Verdict", "With batches()")

_WORDS = """\
Each peer has a process and a core of its own, the load server the other core; the peers take their turns in
each round. Figures are medians of the rounds. The last column says how many times better than the official
SDK a peer is by its first figure, with the extremes of the rounds, each compared within itself. *Lost* is
what never reached a consumer. The rate of a peer is that of the messages that it delivers; per message *sent*
the same time looks shorter where some are lost.
"""


def page(results: Results, command: str, rounds: int) -> str:
    """Return all results as reStructuredText."""
    about = [
        ("Command", f"``{command}``"),
        ("Rounds", str(rounds)),
        ("Commit", commit_of()),
        ("Machine", machine(2)),
        ("Packages", ", ".join(_versions())),
    ]
    parts = [
        ".. Written by benchmarks/bench_race.py; what is changed here by hand is lost.\n",
        _WORDS,
        table(("What", "Which"), about),
        table(("Peer", "What it is"), PEERS.items()),
    ]
    if reached := list(verdicts(results)):
        parts += [".. rubric:: Targets\n", table(_TARGET_HEAD, reached)]
    for name, peers in results.items():
        metrics = _present(peers)
        head = ("Peer", *(_METRICS[metric][0] for metric in metrics), "against the SDK")
        parts += [f".. rubric:: {name}: {SCENARIOS[name].what}\n", table(head, _rows(peers, metrics))]
    return "\n".join(parts)


def summary(name: str, peers: Mapping[str, Sequence[Result]]) -> str:
    """Return the results of one scenario for a terminal."""
    metrics = _present(peers)
    lines = [f"{name}: {SCENARIOS[name].what}"]
    for peer, *cells in (("", *metrics, "against the SDK"), *_rows(peers, metrics)):
        lines.append(f"  {peer:15}" + "".join(f"{cell:>10}" for cell in cells[:-1]) + "   " + cells[-1])
    return "\n".join(lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        for index, cell in enumerate(row):
            lines.append(f"   {' ' if index else '*'} -{' ' if cell else ''}{cell}")
    return "\n".join([*lines, ""])


def _present(peers: Mapping[str, Sequence[Result]]) -> list[str]:
    found = {name for rounds in peers.values() for result in rounds for name in result}
    return [name for name in _METRICS if name in found]


def _rows(peers: Mapping[str, Sequence[Result]], metrics: Sequence[str]) -> Iterator[Sequence[str]]:
    for peer, rounds in peers.items():
        if rounds:
            cells = [_METRICS[name][1].format(_median(rounds, name)) for name in metrics]
            yield peer, *cells, _spread(_ratio(peers.get(_BASE, ()), rounds, metrics[0]))
        else:
            yield peer, *[""] * len(metrics), "did not run"


def verdicts(results: Results) -> Iterator[Sequence[str]]:
    """Yield, for each target that was raced for, what it is, its limit, what was reached, and the verdict.

    Last comes what was reached by a consumer that takes batches, where such a one raced.
    """
    for target in TARGETS:
        peers = results.get(target.scenario, {})
        ours = peers.get("ours", ())
        theirs = peers.get(target.against or "ours", ())
        if ours and theirs:
            reached = _reached(target, ours, theirs)
            value = statistics.median(reached)
            met = value >= target.limit if target.faster else value <= target.limit
            batches = _reached(target, peers.get("ours-batches", ()), theirs)
            yield *_words(target), _spread(reached), "met" if met else "missed", _spread(batches)


def _reached(target: Target, ours: Sequence[Result], theirs: Sequence[Result]) -> list[float]:
    if target.against is None:
        return [result[target.metric] for result in ours]
    return _ratio(theirs, ours, target.metric) if target.faster else _ratio(ours, theirs, target.metric)


def _words(target: Target) -> tuple[str, str]:
    what = f"{target.scenario}, {_METRICS[target.metric][0]}"
    if target.against is not None:
        what += f": {target.against} / ours" if target.faster else f": ours / {target.against}"
    return what, f"at {'least' if target.faster else 'most'} {target.limit:g}"


def _median(rounds: Sequence[Result], metric: str) -> float:
    return statistics.median(result[metric] for result in rounds)


def _ratio(upper: Sequence[Result], lower: Sequence[Result], metric: str) -> list[float]:
    """Return the ratio of each round."""
    return [a[metric] / b[metric] for a, b in zip(upper, lower, strict=False)]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _versions() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"no {name}"
