"""Draws a board as lines of text: a pure function of the board, the size and the time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from rich.text import Text

from .._safe_text import safe_text
from ..models import Level, Side, Trade
from ._board import Board, Gap
from ._words import Numbers, plural, time_of_day

__all__ = ["draw"]

WIDEST = 124
"""Columns; on a wider terminal the rest stays empty."""
TRADES_FROM = 88
"""Columns from which on trades have a place of their own."""
_TRADES_WIDTH = 40
_TOTALS_FROM = 56
_QUIET_AFTER = 3_000_000_000

# Middle tones: they can be read on dark and on light backgrounds.
_PRICE = {Side.BUY: "#35b27f", Side.SELL: "#e4606d"}
_BAR = {Side.BUY: "#2a7d5c", Side.SELL: "#a3444f"}
_ARROW = {Side.BUY: "▲", Side.SELL: "▼"}
_MARK = "#d69a2d"
_QUIET = "bright_black"

_EIGHTHS = " ▏▎▍▌▋▊▉"


class _Row(NamedTuple):
    level: Level
    total: int


class _Widths(NamedTuple):
    price: int
    size: int
    total: int
    bar: int


class _Look(NamedTuple):
    """What the rows of a ladder have in common."""

    numbers: Numbers
    widths: _Widths
    largest: int
    now: int


def draw(board: Board, width: int, height: int, now: int, *, levels: int = 1000) -> Text:
    """Return the picture of `board`: `height` lines, none longer than `width` columns.

    Args:
      board: what to show.
      width, height: of the terminal.
      now: nanoseconds since 1970.
      levels: at most so many on each side.
    """
    width = min(width, WIDEST)
    numbers = Numbers(board.market, board.precision)
    rule = Text("─" * width, _QUIET)
    notices = _notices(board, min(2, max(height - 18, 0)))
    shown = max(min(levels, (height - 6 - len(notices)) // 2), 1)
    with_trades = width >= TRADES_FROM
    ladder = _ladder(board, numbers, width - _TRADES_WIDTH - 3 if with_trades else width, shown, now)
    if with_trades:
        body = _beside(ladder, _trades(board, numbers, len(ladder)), width - _TRADES_WIDTH - 3)
    else:
        body = ladder
    lines = [_title(board, width, now), rule, *body, rule, *notices, _status(board, numbers, width)]
    for line in lines:
        line.truncate(width)
    return Text("\n").join(lines[:height])


# -- frame -----------------------------------------------------------------------------------------


def _title(board: Board, width: int, now: int) -> Text:
    left = Text.assemble(
        (f" {safe_text(board.market.pair)}", "bold"),
        (f"  {board.network}, precision {board.precision}", _QUIET),
    )
    parts = [_state(board)]
    if board.is_current and board.updated is not None:
        silence = now - board.updated
        if silence >= _QUIET_AFTER:
            parts.append(Text(f"quiet for {silence // 1_000_000_000} s", _QUIET))
        elif board.delay is not None:
            parts.append(Text(f"delay {_duration(board.delay)}", _QUIET))
    return _spread_out(left, Text("   ").join(parts), width)


def _state(board: Board) -> Text:
    if board.given_up:
        return Text("✕ given up", "bold " + _PRICE[Side.SELL])
    if board.connected is None:
        return Text("○ connecting", _MARK)
    if not board.connected:
        return Text(f"○ reconnecting, attempt {board.attempt}", "bold " + _MARK)
    if board.interrupted:
        return Text(f"◐ catching up: {', '.join(sorted(board.interrupted))}", "bold " + _MARK)
    if board.silent:
        return Text(f"◐ silent: {', '.join(sorted(board.silent))}", _MARK)
    return Text("● live", "bold " + _PRICE[Side.BUY])


def _duration(nanoseconds: int) -> str:
    milliseconds = nanoseconds / 1_000_000
    return f"{milliseconds:,.0f} ms" if abs(milliseconds) < 1000 else f"{milliseconds / 1000:,.1f} s"


def _notices(board: Board, count: int) -> list[Text]:
    """Return `count` lines, newest last; empty ones if there is less to say."""
    recent = [
        Text.assemble((f" {time_of_day(notice.time, 0)}  ", _QUIET), (notice.text, _QUIET))
        for notice in list(board.notices)[:count]
    ]
    return [*reversed(recent), *_blank(count - len(recent))]


def _status(board: Board, numbers: Numbers, width: int) -> Text:
    counted = f" {plural(board.updates, 'update')}   {plural(board.trades_seen, 'trade')}   "
    left = Text(counted, _QUIET)
    if board.epoch or board.gaps:
        left.append(f"epoch {board.epoch}, {plural(board.gaps, 'gap')}", _MARK)
    else:
        left.append("no gaps", _QUIET)
    last = next((trade for trade in board.trades if isinstance(trade, Trade)), None)
    if width >= TRADES_FROM or last is None:
        right = Text("Ctrl-C ends", _QUIET)
    else:
        right = Text(f"{_ARROW[last.taker_side]} {numbers.price(last.price)}", _PRICE[last.taker_side])
    return _spread_out(left, right, width)


def _spread_out(left: Text, right: Text, width: int) -> Text:
    left.truncate(max(width - right.cell_len - 3, 0))
    return Text.assemble(left, " " * (width - left.cell_len - right.cell_len - 1), right)


def _beside(left: Sequence[Text], right: Sequence[Text], width: int) -> list[Text]:
    lines: list[Text] = []
    for one, other in zip(left, right, strict=True):
        one.truncate(width, pad=True)
        lines.append(Text.assemble(one, (" │ ", _QUIET), other))
    return lines


# -- ladder ----------------------------------------------------------------------------------------


def _ladder(board: Board, numbers: Numbers, width: int, shown: int, now: int) -> list[Text]:
    """Return a head line, `shown` asks, the middle, `shown` bids."""
    asks, bids = (_rows(board.book.levels(side, shown)) for side in (Side.SELL, Side.BUY))
    widths = _widths(numbers, [*asks, *bids], width)
    look = _Look(numbers, widths, max((row.level.quantity for row in (*asks, *bids)), default=1), now)
    return [
        _head(widths),
        *_blank(shown - len(asks)),
        *(_level(board, row, Side.SELL, look) for row in reversed(asks)),
        _middle(board, numbers, widths, width),
        *(_level(board, row, Side.BUY, look) for row in bids),
        *_blank(shown - len(bids)),
    ]


def _blank(count: int) -> list[Text]:
    return [Text() for _ in range(count)]


def _rows(levels: Sequence[Level]) -> list[_Row]:
    totals = accumulate(level.quantity for level in levels)
    return [_Row(level, total) for level, total in zip(levels, totals, strict=True)]


def _widths(numbers: Numbers, rows: Sequence[_Row], width: int) -> _Widths:
    """Share `width` out; the least widths are generous, so that columns seldom move."""
    price = max(10, *(len(numbers.price(row.level.price)) for row in rows), 0)
    size = max(13, *(len(numbers.quantity(row.level.quantity)) for row in rows), 0)
    total = max(15, *(len(numbers.quantity(row.total)) for row in rows), 0) if width >= _TOTALS_FROM else 0
    return _Widths(price, size, total, max(width - price - size - total - 5, 0))


def _head(widths: _Widths) -> Text:
    text = f" {'price':>{widths.price}} {'size':>{widths.size}}"
    return Text(text + (f" {'total':>{widths.total}}" if widths.total else ""), _QUIET)


def _level(board: Board, row: _Row, side: Side, look: _Look) -> Text:
    numbers, widths, largest, now = look
    price, quantity = row.level.price, row.level.quantity
    touched = board.was_touched(price, now)
    # What may be out of date is shown without colour.
    price_style, bar_style, size_style = (
        (_PRICE[side], _PRICE[side] if touched else _BAR[side], "bold" if touched else "")
        if board.is_current
        else (_QUIET, _QUIET, _QUIET)
    )
    line = Text.assemble(
        (f" {numbers.price(price):>{widths.price}}", price_style),
        (f" {numbers.quantity(quantity):>{widths.size}}", size_style),
    )
    if widths.total:
        line.append(f" {numbers.quantity(row.total):>{widths.total}}", _QUIET)
    return line.append("  " + _bar(quantity, largest, widths.bar), bar_style)


def _bar(quantity: int, largest: int, width: int) -> str:
    """Return a bar of at most `width` columns, drawn in eighths of a column."""
    full, eighths = divmod(max(quantity * width * 8 // largest, 1), 8)
    return ("█" * full + (_EIGHTHS[eighths] if eighths else ""))[:width]


def _middle(board: Board, numbers: Numbers, widths: _Widths, width: int) -> Text:
    bid, ask = board.book.best_bid, board.book.best_ask
    if bid is None or ask is None:
        nothing = "waiting for the book" if board.updated is None else "one side is empty"
        return Text(f" {nothing:>{widths.price}}", _QUIET)
    line = Text.assemble(
        (f" {numbers.mid(bid, ask):>{widths.price}}", "bold" if board.is_current else _QUIET),
        ("  mid", _QUIET),
        ("    spread ", _QUIET),
        (numbers.spread(bid, ask), "" if board.is_current else _QUIET),
        " ",
    )
    return line.append("╌" * max(width - line.cell_len - 1, 0), _QUIET)


# -- trades ----------------------------------------------------------------------------------------


def _trades(board: Board, numbers: Numbers, count: int) -> list[Text]:
    """Return a head line and the newest trades, `count` lines together."""
    head = Text(f"{'UTC':8}   {'price':>10} {'size':>16}", _QUIET)
    items = [_trade(numbers, item) for item, _ in zip(board.trades, range(count - 1), strict=False)]
    return [head, *items, *_blank(count - 1 - len(items))]


def _trade(numbers: Numbers, item: Trade | Gap) -> Text:
    if isinstance(item, Gap):
        return Text(f"── gap, epoch {item.epoch}: trades may be missing", _MARK)
    style = _PRICE[item.taker_side]
    return Text.assemble(
        (f"{item.time:%H:%M:%S}" if item.time else f"{'':8}", _QUIET),
        (f" {_ARROW[item.taker_side]} {numbers.price(item.price):>10}", style),
        f" {numbers.quantity(item.quantity):>16}",
    )
