"""``o2trio soak``: one line for each seed, a summary, and for a failure all that it takes to see it again."""

from __future__ import annotations

import re
import shlex

import pytest
import trio

from o2trio.cli import main
from o2trio.cli._soak import describe, replay
from o2trio.testing import _soak
from o2trio.testing._soak import plan_of, run_plan, run_seed
from o2trio.testing._world import BrokenPromise, Promise, World

HOURS = "0.2"


class Grumbler:
    """Breaks a promise as soon as the server has dropped its connections."""

    name = ""

    def __init__(self, _random: object) -> None:
        self.updates = self.backfilled = self.gaps = 0
        self.recoveries: list[float] = []

    async def run(self, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        client = None
        while (client := await world.client(client)) is not None:
            self.updates += 1

    def check(self, world: World) -> None:
        if "drop" in world.faults:
            raise BrokenPromise(Promise.BOOK, "the best bid is wrong", self.name)


@pytest.fixture
def grumblers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_soak, "KINDS", {"grumbler": Grumbler})


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    status = main(["soak", *arguments])
    captured = capsys.readouterr()
    assert not captured.err
    return status, captured.out.splitlines()


def test_one_line_for_each_seed_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run(capsys, "--seeds", "27..27", "--hours", HOURS, "--processes", "1")
    assert status == 0
    assert lines[:1] == [describe(run_seed(seed, float(HOURS))) for seed in (27,)]
    assert re.match(r"seed 27: ok, digest [0-9a-f]{16}, 0\.20 h, \d+ frames, .* \d+ faults \(", lines[0])
    assert lines[1].startswith("1 seeds, 0 failed; 0.2 simulated hours, ")
    assert any(line.startswith("faults: ") for line in lines[1:])
    assert "processor time" in lines[-1]


@pytest.mark.usefixtures("grumblers")
def test_a_failure_names_everything_needed_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    seed = next(
        seed for seed in range(100) if any(fault.kind == "drop" for fault in plan_of(seed, 0.2).faults)
    )
    status, lines = run(capsys, "--seed", str(seed), "--hours", HOURS, "--shrink")
    assert status == 1
    assert f"seed {seed}: FAILED" in lines[0]
    assert "book at quiescence (consumer " in lines[1]
    assert "the best bid is wrong" in lines[2]
    assert any("fault  " in line and " drop" in line for line in lines)
    replays = [line.partition("replay: ")[2] for line in lines if "replay: " in line]
    assert replays[0] == f"o2trio soak --seed {seed} --hours 0.2"
    assert "--without-" in replays[-1]
    assert lines[-1] == f"failed: {replays[0]}"
    again, told = run(capsys, *shlex.split(replays[-1])[2:])
    assert again == 1
    assert "1 consumers" in told[0]
    assert "1 faults (drop 1)" in told[0]


def test_a_replay_leaves_out_what_the_plan_has_not() -> None:
    plan = plan_of(3, 0.2).without(consumers=[0, 1, 2], faults=[0])
    assert replay(plan) == "o2trio soak --seed 3 --hours 0.2 --without-consumers 0-2 --without-faults 0"
    assert run_plan(plan).plan == plan


@pytest.mark.parametrize(
    "wrong", ["--seeds 9..3", "--seeds x", "--hours 0", "--without-faults 3-", "--seed=-1"]
)
def test_arguments_without_sense_are_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(["soak", *wrong.split()])
    assert refusal.value.code == 2
    assert "expected" in capsys.readouterr().err
