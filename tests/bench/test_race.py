"""The benchmark suite itself: a tiny race, how losses are counted, and how the targets are judged."""

from __future__ import annotations

from benchmarks.bench_race import chosen, race
from benchmarks.race._meter import Meter, Result, Task
from benchmarks.race._scenarios import PEERS, SCENARIOS
from benchmarks.race._tables import summary, verdicts


def test_race_of_ours_and_the_floor() -> None:
    results = race(chosen(SCENARIOS["latency-5000"], ["floor", "ours"], 300), rounds=1)
    for peer in ("floor", "ours"):
        (result,) = results[peer]
        assert result["lost"] == 0
        assert 0 < result["p50"] <= result["p99"] <= result["p99.9"]
        assert 0 < result["read_us"] == result["sent_us"]
    assert "ours" in summary("latency-5000", results)


def test_losses_are_counted_and_lost_messages_cost_the_others() -> None:
    scenario = chosen(SCENARIOS["consumers-10"], None, 100)
    meter = Meter(Task(scenario=scenario, port=0, signal=0, authority=""), consumers=10)
    for number in range(10):
        meter.finish(100 if number else 50, [1000] * 50)
    result = meter.result()
    assert result["lost"] == 5
    assert round(result["read_us"] / result["sent_us"], 6) == round(100 / 95, 6)
    assert result["p50"] == result["p99"] == 1


def test_targets_are_judged_by_the_median_of_ratios_within_rounds() -> None:
    def rounds(*costs: float) -> list[Result]:
        return [{"read_us": cost} for cost in costs]

    # The second round was disturbed for both alike.
    results = {"one-market": {"sdk": rounds(20, 80, 20), "ours": rounds(4, 16, 4), "floor": rounds(2, 8, 2)}}
    rate, share = verdicts(results)
    assert rate[2:] == ("5.00 (5.00 to 5.00)", "met", "")
    assert share[2:] == ("0.50 (0.50 to 0.50)", "missed", "")
    results["one-market"] |= {"ours": rounds(4, 20, 5), "ours-batches": rounds(2, 8, 2)}
    assert [row[-2:] for row in verdicts(results)] == [
        ("missed", "10.00 (10.00 to 10.00)"),
        ("missed", "1.00 (1.00 to 1.00)"),
    ]


def test_every_racer_is_described() -> None:
    raced = {peer for scenario in SCENARIOS.values() for peer in scenario.peers}
    assert raced == set(PEERS)
