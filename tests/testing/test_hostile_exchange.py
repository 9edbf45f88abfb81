"""What ``o2trio.testing`` offers users: a hostile exchange, storms, fixtures, one seed for all of it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest
import trio
from trio.testing import MockClock

from o2trio import Origin, RequestFailed, open_o2
from o2trio.testing import (
    FAULT_KINDS,
    STORM_KINDS,
    FaultPlan,
    HostileNetwork,
    draw_storm,
    open_exchange,
    run,
)
from o2trio.testing._fault_kinds import FAULTS

MARKET = "fFUEL/fUSDC"

# -- the exchange ----------------------------------------------------------------------------------


async def test_every_byte_goes_through_the_network(autojump_clock: MockClock) -> None:
    async with open_exchange(latency=0.5) as exchange, open_o2(exchange.config) as o2:
        began = trio.current_time()
        await o2.get_markets()
        assert trio.current_time() - began == pytest.approx(2.0)  # there and back, once to dial
        exchange.network.refuse(exchange.rest_host, count=None)
        exchange.network.reset()
        with pytest.raises(RequestFailed):
            await o2.get_summaries()
        async with o2.stream_trades(MARKET) as updates:
            await updates.receive()
        assert {each.host for each in exchange.network.connections} == {exchange.streams_host}


async def test_healing_ends_all_that_was_asked_for(autojump_clock: MockClock) -> None:
    async with open_exchange(latency=0.1) as exchange, open_o2(exchange.config) as o2:
        exchange.network.black_hole()
        exchange.simulator.rest.fail(503)
        exchange.simulator.refuse_handshakes(503)
        exchange.heal()
        began = trio.current_time()
        async with o2.stream_trades(MARKET):
            await o2.get_markets()
        assert trio.current_time() - began < 2
        assert exchange.network.conditions(exchange.rest_host).latency == 0.1


async def test_an_error_of_the_body_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    with pytest.raises(LookupError):
        async with open_exchange():
            raise LookupError


def test_wallets_follow_from_the_seed_and_their_names() -> None:
    async def identities() -> list[object]:
        async with open_exchange(3) as exchange:
            return [exchange.wallet(name).identity for name in ("one", "two", "one")]

    first = run(1, identities)
    assert first == run(2, identities)
    assert first[0] == first[2] != first[1]


# -- storms ----------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_storm() -> None:
    storm = draw_storm(5, seconds=3600)
    assert storm == draw_storm(5, seconds=3600)
    assert storm != draw_storm(6, seconds=3600)
    assert [fault.index for fault in storm] == list(range(len(storm)))
    assert [fault.time for fault in storm] == sorted(fault.time for fault in storm)
    assert 0 <= storm[0].time <= storm[-1].time <= 3600
    assert len({fault.kind for fault in storm}) > 20
    few = draw_storm(5, seconds=3600, kinds=["reset", "mute"])
    assert few == draw_storm(5, seconds=3600, kinds={"mute", "reset"})
    assert {fault.kind for fault in few} == {"reset", "mute"}


def test_no_storm_ends_a_client_unless_it_is_asked_for() -> None:
    assert set(STORM_KINDS) < set(FAULT_KINDS)
    left_out = {name for name, kind in FAULTS.items() if kind.is_fatal or kind.is_fresh_start}
    assert left_out == {
        *("untrusted", "handshake forbidden", "too big a message", "closed for good", "fresh start")
    }
    assert not left_out & set(STORM_KINDS)


@pytest.mark.parametrize(
    "wrong",
    [{"seconds": 0.0}, {"pause": 0.0}, {"seconds": float("inf")}, {"kinds": ()}, {"kinds": ("rain",)}],
    ids=str,
)
def test_a_storm_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"seconds": 60.0, **wrong}
    with pytest.raises(ValueError, match="must be"):
        draw_storm(1, **arguments)  # type: ignore[arg-type] # that is the point


async def test_a_storm_strikes_when_it_should_and_heals(autojump_clock: MockClock) -> None:
    faults = [FaultPlan(1, 60, "mute", {"seconds": 100}), FaultPlan(0, 20, "reset", {"host": "streams"})]
    async with (
        open_exchange() as exchange,
        open_o2(exchange.config, options=exchange.options) as o2,
        o2.stream_trades(MARKET) as updates,
    ):
        await updates.receive()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange.storm, faults)
            await trio.sleep(19)
            assert not exchange.faults
            await trio.sleep(2)
            assert exchange.faults == Counter(reset=1)
            assert exchange.network.counts["reset"] == 1
        assert trio.current_time() - began == pytest.approx(160)
        assert exchange.faults == Counter(reset=1, mute=1)
        with trio.fail_after(60):
            async for update in updates:
                assert update.origin is not Origin.GAP
                if update.origin is Origin.LIVE and update.epoch:
                    break


async def test_a_cancelled_storm_heals(autojump_clock: MockClock) -> None:
    async with open_exchange() as exchange, open_o2(exchange.config) as o2:
        with trio.move_on_after(5):
            await exchange.storm([FaultPlan(0, 1, "rest down", {"seconds": 1000})])
        await o2.get_markets()


async def test_a_storm_waits_for_who_may_come(autojump_clock: MockClock) -> None:
    async with open_exchange() as exchange, open_o2(exchange.config) as o2, trio.open_nursery() as nursery:
        refusal = FaultPlan(0, 0, "refused", {"host": "rest", "count": 2})
        nursery.start_soon(partial(exchange.storm, [refusal], seconds=30))
        await trio.sleep(20)
        await o2.get_markets()
        assert exchange.network.counts["refuse"] > 0


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (FaultPlan(0, 0, "rain", {}), "no kind"),
        (FaultPlan(0, 0, "reset", {}), "takes host, not none"),
        (FaultPlan(0, 0, "drop", {"host": "rest"}), "takes no arguments, not host"),
        (FaultPlan(0, -1, "drop", {}), "cannot come"),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused_before_any_happens(
    autojump_clock: MockClock, fault: FaultPlan, why: str
) -> None:
    async with open_exchange() as exchange:
        with pytest.raises(ValueError, match=why):
            await exchange.storm([FaultPlan(0, 0, "drop", {}), fault])
        assert not exchange.faults


@pytest.mark.parametrize("kind", FAULT_KINDS)
async def test_every_kind_may_strike(autojump_clock: MockClock, kind: str) -> None:
    async with open_exchange(rate=0.1) as exchange:
        await exchange.storm(draw_storm(1, seconds=10, kinds=[kind], pause=1))
        assert exchange.faults.keys() == {kind}


# -- one seed for all ------------------------------------------------------------------------------


def record_of(seed: int) -> list[object]:
    """Trade and fail for a while; return what is true then, and when each dial was."""

    async def main() -> list[object]:
        async with open_exchange(seed) as exchange:
            sim, owner = exchange.simulator, exchange.wallet()
            async with open_o2(exchange.config, options=exchange.options) as o2:
                await o2.setup_account(owner)
                async with o2.session(owner, MARKET, key=exchange.wallet("key")) as session:
                    await session.buy(MARKET, price="0.02", quantity="100")
                    await exchange.storm(draw_storm(seed, seconds=120, pause=20))
            account = sim.exchange.account_of(owner.identity)
            assert account is not None
            dials = [(dial.time, dial.host, dial.outcome) for dial in exchange.network.dials]
            return [
                *dials,
                *sim.audit.orders(account),
                *sim.audit.trades(sim.market(MARKET)),
                exchange.faults,
            ]

    return run(seed, main)


def test_the_same_seed_gives_the_same_run() -> None:
    first = record_of(1)
    assert len(first) > 20
    assert first == record_of(1)
    assert first != record_of(2)


# -- the plugin ------------------------------------------------------------------------------------

_TESTS = """
    import os
    import pytest
    import trio
    from o2trio import open_o2

    pytest_plugins = ["o2trio.testing.plugin"]

    @pytest.fixture
    async def o2(hostile_exchange):
        async with open_o2(hostile_exchange.config) as o2:
            yield o2

    async def test_fixtures_of_fixtures_bring_virtual_time(o2):
        await trio.sleep(1_000)
        assert await o2.get_markets()

    async def test_the_clock_can_be_named(virtual_clock, simulator):
        assert trio.lowlevel.current_clock() is virtual_clock
        async with open_o2(simulator.network) as o2:
            assert await o2.get_markets()

    @pytest.mark.parametrize("o2_seed", [1, 1, 2])
    async def test_chance_follows_from_the_seed(virtual_clock, o2_seed):
        print(f"drew {o2_seed} {os.urandom(4).hex()}")

    async def test_there_is_one_clock(simulator, autojump_clock):
        pass

    def test_others_are_left_alone(o2_seed):
        assert o2_seed == 7
"""


def test_fixtures(tmp_path: Path) -> None:
    place = tmp_path / "test_mine.py"
    place.write_text(dedent(_TESTS), encoding="utf-8")
    options = ("-s", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(place))
    command = [sys.executable, "-m", "pytest", *options]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert "1 failed, 6 passed" in told.stdout, told.stdout
    assert "a test has one clock" in told.stdout
    drawn = [line.partition("drew ")[2] for line in told.stdout.splitlines() if "drew " in line]
    assert len(drawn) == 3
    assert drawn[0] == drawn[1]
    assert drawn[0].split()[1] != drawn[2].split()[1]


def test_nothing_but_the_plugin_needs_pytest() -> None:
    program = "import sys\nsys.modules.update(pytest=None, rich=None)\nimport o2trio.testing"
    subprocess.run([sys.executable, "-c", program], check=True)
    told = subprocess.run([sys.executable, "-c", f"{program}.plugin"], capture_output=True, check=False)
    assert b"pytest" in told.stderr


async def test_the_network_serves_anybody(autojump_clock: MockClock) -> None:
    async def greet(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"hello")

    async with HostileNetwork(seed=1) as network:
        network.attach("greeter.invalid", greet)
        stream = await network.dial("greeter.invalid", 80)
        assert await stream.receive_some() == b"hello"
