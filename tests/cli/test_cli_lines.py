"""Plain and JSON lines against the simulated exchange, in memory and in virtual time."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from rich.console import Console
from trio.testing import MockClock

from o2trio import DepthBook, DepthChanges, Id, Level, O2ConnectionLost, Origin, TradeUpdate, UnknownMarket
from o2trio.cli._json import JsonView
from o2trio.cli._markets import list_markets
from o2trio.cli._plain import PlainView
from o2trio.cli._screen import ScreenView
from o2trio.cli._watch import View, watch
from o2trio.models import DepthUpdate
from o2trio.simulator import Simulator, open_simulator

PAIR = "fFUEL/fUSDC"
START = 1_790_000_000


class VirtualClock:
    """The time of day that belongs to Trio's virtual time."""

    zero = 0.0

    def __call__(self) -> int:
        return int((START + trio.current_time() - self.zero) * 10**9)


clock = VirtualClock()


class Lines(list[str]):
    async def write(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.extend(text.split("\n"))


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    clock.zero = trio.current_time()
    async with open_simulator(seed=7, start_time=START) as simulator:
        yield simulator


async def break_after(simulator: Simulator, seconds: float) -> None:
    await trio.sleep(seconds)
    simulator.drop_connections()


def apply_line(book: DepthBook, line: dict[str, Any]) -> None:
    """Do what a reader of the documented fields would do."""
    sides = (
        tuple(Level(int(level["price_raw"]), int(level["quantity_raw"])) for level in line[side])
        for side in ("bids", "asks")
    )
    origin = Origin(line["origin"])
    book.apply(DepthUpdate(market_id=Id(line["market_id"]), changes=DepthChanges(*sides), origin=origin))


async def test_json_lines_rebuild_the_book_across_a_break(
    simulator: Simulator, autojump_clock: MockClock
) -> None:
    lines = Lines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(break_after, simulator, 4)
        await watch(simulator.network, PAIR, JsonView(lines.write, clock), seconds=20)
        truth = simulator.exchange.book(simulator.market(PAIR).market_id, 1)
    objects = [json.loads(line) for line in lines]
    assert {item["type"] for item in objects} == {"depth", "trades", "event"}
    book = DepthBook()
    for item in objects:
        assert isinstance(item["received"], str)
        if item["type"] == "depth":
            apply_line(book, item)
            assert item["market"] == PAIR
            assert item["best_bid"]["price_raw"] == str(book.bids[0].price)
            assert item["best_bid"]["quantity_raw"] == str(book.bids[0].quantity)
    assert book.changes() == truth
    snapshots = [item["epoch"] for item in objects if item.get("origin") == "snapshot"]
    assert len(snapshots) == 2
    assert snapshots[0] < snapshots[1]
    events = [item["event"] for item in objects if item["type"] == "event"]
    assert events[0] == "ConnectionUp"
    assert "ConnectionDown" in events
    # What the break swallowed is read, and nothing is missing.
    assert {item["origin"] for item in objects if item["type"] == "trades"} == {"live", "backfill"}


async def test_json_amounts_are_exact_text(simulator: Simulator, autojump_clock: MockClock) -> None:
    lines = Lines()
    await watch(simulator.network, PAIR, JsonView(lines.write, clock), seconds=10)
    market = simulator.market(PAIR)
    objects = [json.loads(line) for line in lines]
    trades = [trade for item in objects if item["type"] == "trades" for trade in item["trades"]]
    assert trades
    for trade in trades:
        assert market.raw_price(trade["price"]) == int(trade["price_raw"])
        assert market.raw_quantity(trade["quantity"]) == int(trade["quantity_raw"])
        assert {trade["side"], trade["taker_side"]} == {"buy", "sell"}
    update = next(item for item in objects if item["type"] == "depth" and item["origin"] == "live")
    assert isinstance(update["seen_timestamp"], str)
    assert isinstance(update["epoch"], int)


async def test_plain_lines(simulator: Simulator, autojump_clock: MockClock) -> None:
    lines = Lines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(break_after, simulator, 4)
        await watch(simulator.network, PAIR, PlainView(lines.write, clock=clock), seconds=10)
    words = [line.split()[1] for line in lines]
    assert set(words) == {"event", "snapshot", "best", "trade"}
    assert lines[0].split()[1:] == ["event", "connected"]
    assert lines[0].startswith("14:13:20")
    assert words.count("snapshot") == 2
    assert any("no connection" in line for line in lines)


async def test_plain_lines_tell_of_the_best_only_when_it_changed(
    simulator: Simulator, autojump_clock: MockClock
) -> None:
    lines = Lines()
    await watch(simulator.network, PAIR, PlainView(lines.write, clock=clock), seconds=30)
    best = [line.split(maxsplit=2)[2] for line in lines if line.split()[1] == "best"]
    assert len(best) > 5
    assert all(one != other for one, other in pairwise(best))


async def test_it_ends_on_time(simulator: Simulator, autojump_clock: MockClock) -> None:
    before = trio.current_time()
    await watch(simulator.network, PAIR, PlainView(Lines().write, clock=clock), seconds=3)
    assert 3 <= trio.current_time() - before < 5.5


async def test_unknown_market_lists_the_markets(simulator: Simulator, autojump_clock: MockClock) -> None:
    with pytest.raises(UnknownMarket, match="fFUEL/fUSDC"):
        await watch(simulator.network, "nope", PlainView(Lines().write))


async def test_a_connection_given_up_comes_out_bare(simulator: Simulator, autojump_clock: MockClock) -> None:
    simulator.refuse_handshakes(403)
    with pytest.raises(O2ConnectionLost, match="403"):
        await watch(simulator.network, PAIR, PlainView(Lines().write))


async def test_a_failing_writer_comes_out_bare(simulator: Simulator, autojump_clock: MockClock) -> None:
    async def broken(_text: str) -> None:
        await trio.lowlevel.checkpoint()
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await watch(simulator.network, PAIR, PlainView(broken))


async def test_a_reader_that_stops_gets_a_snapshot_and_a_gap(autojump_clock: MockClock) -> None:
    """A full pipe is a slow consumer: what it could not take is replaced or marked, never lost silently."""
    lines = Lines()

    async def slow(text: str) -> None:
        await trio.sleep(60 if len(lines) == 5 else 0)
        lines.append(text)

    async with open_simulator(seed=7, start_time=START, rate=60) as simulator:
        await watch(simulator.network, PAIR, JsonView(slow, clock), seconds=62)
    book = DepthBook()
    for item in map(json.loads, lines):
        if item["type"] == "depth":
            apply_line(book, item)
    assert sum('"origin":"snapshot"' in line for line in lines) > 1


async def test_screen_draws_ten_times_a_second_at_most(autojump_clock: MockClock) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, height=30)
    view = ScreenView("simulator", console=console, clock=clock)
    async with open_simulator(seed=7, start_time=START, rate=100) as simulator:
        await watch(simulator.network, PAIR, view, seconds=3)
    text = file.getvalue()
    assert view.board is not None
    assert view.board.updates > 100
    assert 3 < text.count("mid") <= 31
    assert text.index("\x1b[?1049h") < text.index("\x1b[?1049l")
    assert "updates" in text.rsplit("\x1b[?1049l", 1)[1]


async def test_background_of_a_view_need_not_do_anything() -> None:
    class Deaf(View):
        async def depth(self, update: DepthUpdate) -> None: ...

        async def trades(self, update: TradeUpdate) -> None: ...

        async def event(self, event: object) -> None: ...

    with trio.testing.assert_checkpoints():
        await Deaf().run()


async def test_markets(simulator: Simulator, autojump_clock: MockClock) -> None:
    lines = Lines()
    await list_markets(simulator.network, lines.write)
    assert lines[0].startswith("market")
    assert {line.split()[0] for line in lines[1:]} == {"fFUEL/fUSDC", "fETH/fUSDC", "fBTC/fUSDC"}
    assert lines[1].split()[1] == "0.00001"


async def test_markets_as_json(simulator: Simulator, autojump_clock: MockClock) -> None:
    lines = Lines()
    await list_markets(simulator.network, lines.write, as_json=True)
    first = json.loads(lines[0])
    assert first["market"] == PAIR
    assert first["market_id"] == simulator.market(PAIR).market_id
    assert first["min_order_raw"] == "1000000"
    assert first["base"]["decimals"] == 9
