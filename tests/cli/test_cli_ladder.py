"""The ladder as a pure function: small boards, their pictures, every size of terminal."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
from rich.console import Console
from rich.text import Text

from o2trio import (
    Asset,
    ConnectionDown,
    ConnectionUp,
    DepthBook,
    DepthChanges,
    DepthUpdate,
    Id,
    Level,
    Market,
    Origin,
    Side,
    TopicBroken,
    TopicRestored,
    TopicStale,
    Trade,
    TradeUpdate,
)
from o2trio.cli._board import Board
from o2trio.cli._ladder import draw
from o2trio.cli._words import Numbers, time_of_day

ID = Id("0x" + "1" * 64)
NOW = 1_790_000_000 * 10**9
MARKET = Market(
    contract_id=ID,
    market_id=ID,
    base=Asset(symbol="fFUEL", asset=ID, decimals=9, max_precision=1),
    quote=Asset(symbol="fUSDC", asset=ID, decimals=6, max_precision=5),
)


def levels(*pairs: tuple[int, int]) -> tuple[Level, ...]:
    return tuple(Level(price, quantity * 10**9) for price, quantity in pairs)


def depth(bids: tuple[Level, ...], asks: tuple[Level, ...], origin: Origin, epoch: int = 0) -> DepthUpdate:
    return DepthUpdate(
        market_id=ID,
        changes=DepthChanges(bids, asks),
        origin=origin,
        epoch=epoch,
        seen_timestamp=NOW - 12_000_000,
    )


def trade(number: int, side: Side, price: int, quantity: int) -> Trade:
    milliseconds = (NOW + number * 10**9) // 10**6
    return Trade(
        trade_id=str(number), side=side, price=price, quantity=quantity * 10**9, timestamp=milliseconds
    )


SNAPSHOT = depth(
    levels((25100, 800), (25090, 200)), levels((25120, 400), (25140, 100), (25150, 50)), Origin.SNAPSHOT
)


@pytest.fixture
def board() -> Board:
    board = Board(market=MARKET, network="testnet", precision=1, book=DepthBook())
    board.take_event(ConnectionUp(time=0, connection=0, attempt=1), NOW)
    board.book.apply(SNAPSHOT)
    board.take_depth(SNAPSHOT, NOW)
    return board


def shown(picture: Text) -> list[str]:
    return [line.rstrip() for line in picture.plain.split("\n")]


def test_whole_picture(board: Board) -> None:
    board.take_trades(TradeUpdate(market_id=ID, trades=(trade(0, Side.SELL, 25120, 30),)), NOW)
    board.take_trades(TradeUpdate(market_id=ID, trades=(trade(1, Side.BUY, 25100, 5),)), NOW)
    assert shown(draw(board, 100, 12, NOW)) == [
        " fFUEL/fUSDC  testnet, precision 1" + " " * 45 + "● live   delay 12 ms",
        "─" * 100,
        "      price          size           total                 │ UTC             price             size",
        "    0.02515          50.0           550.0  ▉              │ 14:13:21 ▼    0.02510              5.0",
        "    0.02514         100.0           500.0  █▊             │ 14:13:20 ▲    0.02512             30.0",
        "    0.02512         400.0           400.0  ███████        │",
        "    0.02511  mid    spread 0.00002 (8.0 bp) ╌╌╌╌╌╌╌╌╌╌╌╌  │",
        "    0.02510         800.0           800.0  ██████████████ │",
        "    0.02509         200.0         1,000.0  ███▌           │",
        "                                                          │",
        "─" * 100,
        " 1 update   2 trades   no gaps" + " " * 58 + "Ctrl-C ends",
    ]


def test_the_middle_stays_where_it_is_when_levels_come_and_go(board: Board) -> None:
    def middle() -> int:
        return next(row for row, line in enumerate(shown(draw(board, 80, 30, NOW))) if "mid" in line)

    before = middle()
    board.book.apply(depth((), levels((25150, -50), (25140, -100)), Origin.LIVE))
    assert middle() == before


@pytest.mark.parametrize("width", [20, 40, 55, 56, 80, 87, 88, 124, 300])
@pytest.mark.parametrize("height", [6, 10, 17, 18, 24, 60])
def test_fits_every_terminal(board: Board, width: int, height: int) -> None:
    board.take_event(ConnectionDown(time=0, connection=0, reason="x" * 300, attempt=1, retry_in=1), NOW)
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    console.print(draw(board, width, height, NOW), no_wrap=True)
    lines = console.export_text().splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("0.02510" in line for line in lines)


def test_at_most_so_many_levels(board: Board) -> None:
    lines = shown(draw(board, 80, 30, NOW, levels=1))
    assert [line.split()[0] for line in lines if line.startswith("    0.")] == [
        "0.02512",
        "0.02511",
        "0.02510",
    ]


def test_before_the_first_snapshot() -> None:
    board = Board(market=MARKET, network="testnet", precision=1, book=DepthBook())
    text = draw(board, 80, 20, NOW).plain
    assert "waiting for the book" in text
    assert "connecting" in text


def test_a_side_that_is_empty() -> None:
    board = Board(market=MARKET, network="testnet", precision=1, book=DepthBook())
    update = depth(levels((25100, 1)), (), Origin.SNAPSHOT)
    board.book.apply(update)
    board.take_depth(update, NOW)
    assert "one side is empty" in draw(board, 80, 20, NOW).plain


def test_gap_stands_where_trades_are_missing(board: Board) -> None:
    board.take_trades(TradeUpdate(market_id=ID, trades=(trade(0, Side.SELL, 25120, 30),)), NOW)
    board.take_trades(TradeUpdate(market_id=ID, origin=Origin.GAP, epoch=3), NOW)
    board.take_trades(TradeUpdate(market_id=ID, trades=(trade(1, Side.BUY, 25100, 5),), epoch=3), NOW)
    pane = [line.partition("│ ")[2] for line in shown(draw(board, 100, 20, NOW))][3:6]
    assert pane[0].startswith("14:13:21")
    assert pane[1].startswith("── gap, epoch 3")
    assert pane[2].startswith("14:13:20")
    assert "epoch 0, 1 gap" in draw(board, 100, 20, NOW).plain


def test_a_book_that_may_be_out_of_date_has_no_colour(board: Board) -> None:
    def colours() -> set[str]:
        picture = draw(board, 80, 20, NOW)
        body = picture.plain.index("price")
        return {str(span.style) for span in picture.spans if span.start > body}

    assert any("#" in style for style in colours())
    board.take_event(TopicBroken(time=0, topic=f"depth of {ID}", epoch=1, reason="lost"), NOW)
    assert not any("#" in style for style in colours() - {"bold #d69a2d"})
    board.take_event(TopicRestored(time=0, topic=f"depth of {ID}", epoch=1, repaired=True), NOW)
    assert any("#" in style for style in colours())


def test_connection_state(board: Board) -> None:
    def state() -> str:
        return shown(draw(board, 100, 20, NOW))[0]

    assert "● live" in state()
    board.take_event(TopicStale(time=0, topic=f"trades of {ID}", silent_for=120), NOW)
    assert "silent: trades" in state()
    board.take_event(TopicBroken(time=0, topic=f"depth of {ID}", epoch=1, reason="lost"), NOW)
    assert "catching up: depth" in state()
    board.take_event(ConnectionDown(time=0, connection=0, reason="lost", attempt=2, retry_in=1.5), NOW)
    assert "reconnecting, attempt 3" in state()
    assert "no connection, attempt 3 in 1.5 s: lost" in draw(board, 100, 20, NOW).plain


def test_delay_and_quiet(board: Board) -> None:
    assert "delay 12 ms" in draw(board, 100, 20, NOW).plain
    assert "quiet for 7 s" in draw(board, 100, 20, NOW + 7_500_000_000).plain


def test_changed_levels_stand_out_for_a_moment(board: Board) -> None:
    update = depth(levels((25090, 50)), (), Origin.LIVE)
    board.book.apply(update)
    board.take_depth(update, NOW)

    def bold(now: int) -> list[str]:
        picture = draw(board, 80, 20, now)
        spans = [span for span in picture.spans if str(span.style) == "bold"]
        return [picture.plain[span.start : span.end].strip() for span in spans]

    assert "250.0" in bold(NOW)
    assert "800.0" not in bold(NOW)
    assert "250.0" not in bold(NOW + 10**9)


def test_prices_are_never_rounded() -> None:
    numbers = Numbers(MARKET)
    assert numbers.price(25100) == "0.02510"
    assert numbers.price(25101) == "0.025101"
    assert numbers.mid(Level(25100, 1), Level(25110, 1)) == "0.025105"
    assert numbers.spread(Level(25100, 1), Level(25110, 1)) == "0.00001 (4.0 bp)"
    assert Numbers(MARKET, 3).price(25000) == "0.025"
    assert Numbers(MARKET, 9).price(10**9) == "1,000"
    assert Decimal(numbers.price(123456789)) == MARKET.price(123456789)


def test_time_of_day() -> None:
    assert time_of_day(NOW + 1_999_999) == "14:13:20.001"
    assert time_of_day(NOW, 0) == "14:13:20"


def test_the_spread_of_a_book_at_price_zero_has_no_basis_points(board: Board) -> None:
    numbers = Numbers(board.market)
    free = Level(0, 5)
    assert numbers.spread(free, free) == numbers.price(0)
    assert "bp" in numbers.spread(free, Level(10, 5))
