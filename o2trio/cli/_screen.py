"""The live picture on a terminal: when it is drawn, not how."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

import trio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from .._safe_text import safe_text
from ..models import DepthUpdate, Market, TradeUpdate
from ..streams import DepthBook, Event
from ._board import Board
from ._ladder import draw
from ._output import Clock, wall_clock
from ._watch import View
from ._words import plural

__all__ = ["ScreenView"]

LEAST_INTERVAL = 0.1
"""Seconds between two pictures at least, however fast the market moves."""
LONGEST_INTERVAL = 0.5
"""Seconds between two pictures at most, for what changes with time alone."""


class ScreenView(View):
    """Draws the market on the whole terminal, and leaves a line behind when it ends.

    Args:
      network: its name, for the title.
      precision: level of price grouping.
      levels: at most so many on each side.
      console: where to draw.
      clock: tells the time.
    """

    def __init__(
        self,
        network: str,
        precision: int = 1,
        levels: int = 1000,
        *,
        console: Console | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        self._network = network
        self._precision = precision
        self._levels = levels
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._news = trio.Event()
        self.board: Board | None = None

    def opened(self) -> AbstractContextManager[object]:
        """Take the terminal, and give it back in order."""
        return self._on_screen()

    @contextmanager
    def _on_screen(self) -> Generator[None]:
        # Nothing else writes while this is on, so nothing needs to be redirected.
        self._live = Live(
            Text(f" asking {self._network} for its markets ...", "bright_black"),
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        try:
            with self._live:
                self._live.refresh()
                yield
        finally:
            if self.board is not None:
                self._console.print(_summary(self.board), highlight=False)

    def begin(self, market: Market, book: DepthBook) -> None:
        """Learn what is watched."""
        super().begin(market, book)
        self.board = Board(market=market, network=self._network, precision=self._precision, book=book)

    async def depth(self, update: DepthUpdate) -> None:
        """Note an update."""
        self._board.take_depth(update, self._clock())
        self._news.set()

    async def trades(self, update: TradeUpdate) -> None:
        """Note trades."""
        self._board.take_trades(update, self._clock())
        self._news.set()

    async def event(self, event: Event) -> None:
        """Note an event."""
        self._board.take_event(event, self._clock())
        self._news.set()

    async def run(self) -> None:
        """Draw whenever there is something new, at most ten times a second, at least twice."""
        while True:
            self._news = trio.Event()
            size = self._console.size
            picture = draw(self._board, size.width, size.height, self._clock(), levels=self._levels)
            # A terminal that takes its time must not hold up the connection.
            await trio.to_thread.run_sync(self._show, picture)
            await trio.sleep(LEAST_INTERVAL)
            with trio.move_on_after(LONGEST_INTERVAL - LEAST_INTERVAL):
                await self._news.wait()

    def _show(self, picture: Text) -> None:
        self._live.update(picture, refresh=True)

    @property
    def _board(self) -> Board:
        assert self.board is not None, "begin() comes first"
        return self.board


def _summary(board: Board) -> str:
    breaks = (
        [plural(board.epoch, "break"), plural(board.gaps, "gap")]
        if board.epoch or board.gaps
        else ["no gaps"]
    )
    counts = [plural(board.updates, "update"), plural(board.trades_seen, "trade"), *breaks]
    return f"{safe_text(board.market.pair)}: {', '.join(counts)}"
