"""``o2trio soak``: carry out scenarios from seeds, a line for each, and tell how to replay a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..testing._plan import Plan, text_of
from ..testing._soak import Report, plan_of, run_plan, shrink, soak

__all__ = ["describe", "replay", "run_soak"]

Tell = Callable[[str], None]


def run_soak(
    tell: Tell,
    seeds: Sequence[int],
    hours: float,
    *,
    processes: int = 2,
    smaller: bool = False,
    without_faults: Sequence[int] = (),
    without_consumers: Sequence[int] = (),
) -> int:
    """Carry out the plans of `seeds`, tell a line for each and a summary, and return the exit status.

    Args:
      tell: takes one line.
      seeds: which.
      hours: simulated hours of each.
      processes: how many at the same time.
      smaller: look for the smallest plan that fails in the same way, for each failure.
      without_faults, without_consumers: numbers to leave out of every plan.
    """
    reports: list[Report] = []
    if without_faults or without_consumers:
        found = _reduced(seeds, hours, without_faults, without_consumers)
    else:
        found = soak(seeds, hours, processes=min(processes, len(seeds)))
    for report in found:
        tell(describe(report))
        if report.failure is not None:
            _tell_failure(tell, report)
            if smaller:
                _tell_smaller(tell, report)
        reports.append(report)
    for line in _summary(reports):
        tell(line)
    return int(any(report.failure for report in reports))


def describe(report: Report) -> str:
    """Return a report in one line, the same for the same run."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in report.faults.items())
    return (
        f"seed {report.plan.seed}: {'ok' if report.failure is None else 'FAILED'}, digest {report.digest},"
        f" {report.hours:.2f} h, {report.frames} frames, {len(report.plan.consumers)} consumers,"
        f" {report.updates} updates, {report.clients} clients, {report.eras} eras,"
        f" {len(report.recoveries)} repairs, {report.backfilled} backfilled, {report.gaps} gaps,"
        f" {sum(report.faults.values())} faults" + (f" ({kinds})" if kinds else "")
    )


def replay(plan: Plan) -> str:
    """Return the command that carries out `plan`."""
    consumers, faults = plan.dropped(plan_of(plan.seed, plan.hours))
    command = f"o2trio soak --seed {plan.seed} --hours {plan.hours:g}"
    if consumers:
        command += f" --without-consumers {text_of(consumers)}"
    if faults:
        command += f" --without-faults {text_of(faults)}"
    return command


def _reduced(
    seeds: Iterable[int], hours: float, faults: Sequence[int], consumers: Sequence[int]
) -> Iterator[Report]:
    for seed in seeds:
        yield run_plan(plan_of(seed, hours).without(faults=faults, consumers=consumers))


def _tell_failure(tell: Tell, report: Report) -> None:
    failure = report.failure
    assert failure is not None
    whose = f" (consumer {failure.consumer})" if failure.consumer else ""
    tell(f"  seed {report.plan.seed} broke: {failure.promise}{whose} at {failure.time:.3f} s")
    tell(f"  {failure.detail}")
    tell(f"  readings of the protocol: {report.plan.flavor or 'the defaults'}")
    tell("  the last events, seconds from the beginning:")
    for line in failure.events:
        tell(f"    {line}")
    tell(f"  replay: {replay(report.plan)}")


def _tell_smaller(tell: Tell, report: Report) -> None:
    for better in shrink(report):
        consumers, faults = better.plan.size
        tell(f"  still broken with {consumers} consumers and {faults} faults")
        report = better
    _tell_failure(tell, report)


def _summary(reports: Sequence[Report]) -> Iterator[str]:
    faults: Counter[str] = Counter()
    for report in reports:
        faults.update(report.faults)
    failed = [report for report in reports if report.failure is not None]
    recoveries = sorted(seconds for report in reports for seconds in report.recoveries)
    hours = sum(report.hours for report in reports)
    yield (
        f"{len(reports)} seeds, {len(failed)} failed; {hours:.1f} simulated hours,"
        f" {sum(report.frames for report in reports)} frames,"
        f" {sum(report.updates for report in reports)} updates,"
        f" {sum(faults.values())} faults, {sum(report.backfilled for report in reports)} backfilled,"
        f" {sum(report.gaps for report in reports)} gaps"
    )
    if recoveries:
        yield (
            f"{len(recoveries)} repairs: p50 {_part(recoveries, 0.5):.2f} s,"
            f" p99 {_part(recoveries, 0.99):.2f} s,"
            f" longest {recoveries[-1]:.2f} s, in virtual time"
        )
    yield "faults: " + (", ".join(f"{kind} {count}" for kind, count in sorted(faults.items())) or "none")
    if hours:
        yield f"{sum(report.cpu for report in reports) / hours:.2f} s of processor time for a simulated hour"
    for report in failed:
        yield f"failed: {replay(report.plan)}"


def _part(ascending: Sequence[float], share: float) -> float:
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)]
