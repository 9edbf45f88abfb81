"""Race the library against its peers: ``python -m benchmarks.bench_race``.

Every scenario of ``race/_scenarios.py`` has one load server in a process of its own; its peers run one after
the other, each in a fresh process, for several rounds. The figures are printed, and with ``--output`` written
as a page for the documentation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import trustme

from benchmarks.race._meter import Result, Task
from benchmarks.race._peer import MISSING
from benchmarks.race._scenarios import PEERS, SCENARIOS, Scenario
from benchmarks.race._tables import page, summary

ROOT = Path(__file__).parents[1]

_PATIENCE = 120.0
"""Seconds that one run of one peer may take."""


def main() -> None:
    """Race, print, and write."""
    parser = argparse.ArgumentParser(description="Race o2trio against its peers.")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="by default all")
    parser.add_argument("--peer", action="append", choices=PEERS, help="by default all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, help="instead of each scenario's own number")
    parser.add_argument("--output", type=Path, help="write a page of reStructuredText")
    arguments = parser.parse_args()
    results: dict[str, Mapping[str, Sequence[Result]]] = {}
    for name in arguments.scenario or SCENARIOS:
        scenario = chosen(SCENARIOS[name], arguments.peer, arguments.messages)
        if scenario.peers:
            results[name] = race(scenario, arguments.rounds)
            print(summary(name, results[name]), flush=True)
    if arguments.output:
        command = " ".join(("python -m benchmarks.bench_race", *sys.argv[1:]))
        arguments.output.write_text(page(results, command, arguments.rounds), encoding="utf-8")
        print(f"wrote {arguments.output}")


def chosen(scenario: Scenario, peers: Sequence[str] | None, messages: int | None) -> Scenario:
    """Return a scenario with some of its peers only, and another number of messages."""
    some = tuple(peer for peer in scenario.peers if peers is None or peer in peers)
    return attrs.evolve(scenario, peers=some, messages=messages or scenario.messages)


def race(scenario: Scenario, rounds: int) -> dict[str, list[Result]]:
    """Let the peers of a scenario take their turns; one that cannot run has no results."""
    results: dict[str, list[Result]] = {peer: [] for peer in scenario.peers}
    with load(scenario) as task:
        for turn in range(rounds):
            # There and back: what wears off or grows in a round favours nobody.
            for peer in scenario.peers[:: -1 if turn % 2 else 1]:
                result = run(peer, task)
                if result is not None:
                    results[peer].append(result)
    return results


def run(peer: str, task: Task) -> Result | None:
    """Run a peer once.

    Returns:
      Its result, or None if its library is not installed.

    Raises:
      subprocess.CalledProcessError, subprocess.TimeoutExpired: it failed, or did not end.
    """
    command = [sys.executable, "-m", "benchmarks.race._peer", peer, json.dumps(attrs.asdict(task))]
    done = subprocess.run(
        command, check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE
    )
    if done.returncode == MISSING:
        print(f"{peer}: {done.stdout.strip()}", file=sys.stderr)
        return None
    done.check_returncode()
    result: Result = json.loads(done.stdout)
    return result


@contextmanager
def load(scenario: Scenario) -> Iterator[Task]:
    """Run a load server; it serves one peer after the other."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, authority = Path(folder, "server.pem"), Path(folder, "authority.pem")
        if scenario.tls:
            signer = trustme.CA()
            signer.cert_pem.write_to_path(authority)
            signer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        description = json.dumps(attrs.asdict(scenario))
        command = [sys.executable, "-m", "benchmarks.race._load", description, str(certificate)]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            try:
                port, signal = json.loads(server.stdout.readline())
                yield Task(scenario=scenario, port=port, signal=signal, authority=str(authority))
            except BaseException:
                server.kill()
                raise
            finally:
                server.stdin.close()


if __name__ == "__main__":
    main()
