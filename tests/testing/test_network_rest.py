"""What the real client's REST reads do on a network that misbehaves: repeat, give up, never hang."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from o2trio import O2Client, Options, RequestFailed, open_o2
from o2trio.rest._http import READ_ATTEMPTS
from o2trio.simulator import Simulator, open_simulator
from o2trio.testing import Conditions, HostileNetwork
from tests.promises._support import FUEL

REST = "rest.simulator.invalid"
QUICK = Options(jitter=lambda: 0.1)

Plan = Callable[[HostileNetwork, int], None]


@asynccontextmanager
async def world() -> AsyncGenerator[tuple[Simulator, HostileNetwork, O2Client]]:
    async with (
        open_simulator(seed=5, flow=False) as sim,
        HostileNetwork() as net,
        open_o2(net.route(sim.network, sim._server.serve), options=QUICK) as o2,
    ):
        yield sim, net, o2
    assert net.connections == ()


@pytest.mark.parametrize(
    "plan",
    [
        lambda net, count: net.refuse(REST, count),
        lambda net, count: net.dns_failure(REST, count),
        lambda net, count: net.tls_failure(REST, count),
        lambda net, count: net.dial_hang(REST, count),
        lambda net, count: net.early_eof(REST, 0, count),
        lambda net, count: net.early_eof(REST, 60, count),
        lambda net, count: net.early_eof(REST, 300, count),
        lambda net, count: net.cut_after(REST, 300, "down", count),
        lambda net, count: net.cut_after(REST, 20, "up", count),
        lambda net, count: net.garbage(REST, b"\xff" * 50, "down", count),
    ],
    ids=["refuse", "dns", "tls", "hang", "eof 0", "eof 60", "eof 300", "cut down", "cut up", "garbage"],
)
async def test_a_read_that_fails_is_repeated_and_at_last_given_up(
    plan: Plan, autojump_clock: MockClock
) -> None:
    async with world() as (sim, net, o2):
        plan(net, READ_ATTEMPTS - 1)
        assert (await o2.get_markets()).find(FUEL) == sim.market(FUEL)
        # Until the connection that was kept is given up.
        await trio.sleep(60)
        plan(net, READ_ATTEMPTS)
        with pytest.raises(RequestFailed), trio.fail_after(READ_ATTEMPTS * QUICK.request_timeout + 1):
            await o2.get_markets(refresh=True)
        assert max(net.counts.values()) == 2 * READ_ATTEMPTS - 1
        assert (await o2.get_markets(refresh=True)).find(FUEL) == sim.market(FUEL)


async def test_a_certificate_that_is_not_trusted_is_not_tried_again(autojump_clock: MockClock) -> None:
    async with world() as (_, net, o2):
        net.tls_failure(REST, None, untrusted=True)
        with pytest.raises(RequestFailed) as caught:
            await o2.get_markets()
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        assert net.counts["tls_untrusted"] == 1


@pytest.mark.parametrize(
    "hide",
    [
        lambda net: net.black_hole(REST),
        lambda net: net.half_open(REST, "up"),
        lambda net: net.half_open(REST, "down"),
    ],
    ids=["black_hole", "up", "down"],
)
async def test_a_mute_server_costs_a_request_its_time_limit_and_no_more(
    hide: Callable[[HostileNetwork], None], autojump_clock: MockClock
) -> None:
    """The first attempt hangs on the connection that was kept; a new one is dialled for the next."""
    async with world() as (_, net, o2):
        await o2.get_markets()
        hide(net)
        start = trio.current_time()
        if "black_hole" in net.counts:
            with pytest.raises(RequestFailed, match="no answer within"):
                await o2.get_markets(refresh=True)
            assert trio.current_time() - start < READ_ATTEMPTS * QUICK.request_timeout + 1
            net.heal()
        await o2.get_markets(refresh=True)
        assert trio.current_time() - start < READ_ATTEMPTS * QUICK.request_timeout + 1


async def test_an_idle_connection_that_the_server_has_left_costs_no_failure(
    autojump_clock: MockClock,
) -> None:
    async with world() as (_, net, o2):
        await o2.get_markets()
        await trio.sleep(20)
        net.early_eof(REST, 0, None)
        await o2.get_markets(refresh=True)
        assert len([dial for dial in net.dials if dial.host == REST]) == 2


async def test_a_slow_and_torn_answer_is_whole(autojump_clock: MockClock) -> None:
    async with world() as (sim, net, o2):
        net.set_conditions(Conditions(latency=0.3, jitter=0.2, bandwidth=5000, chop=2, buffer=1500))
        assert (await o2.get_markets()).find(FUEL) == sim.market(FUEL)


async def test_a_drip_may_be_too_slow_for_a_request(autojump_clock: MockClock) -> None:
    async with world() as (_, net, o2):
        net.drip(REST, 10, 200)
        with pytest.raises(RequestFailed, match="no answer within"):
            await o2.get_markets()
        await trio.sleep(200)
        await o2.get_markets()
