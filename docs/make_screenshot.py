"""Take the picture of the README: watch the simulated exchange for a while, keep the last screen.

Run it from the project's directory with ``python docs/make_screenshot.py``; it needs the extras ``cli`` and
``simulator``. The picture is what the command draws on a terminal, over a real connection. It fetches no font
and looks the same in every viewer: each word stands at its column, and bars are rectangles.
"""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path

import trio
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.terminal_theme import TerminalTheme

from o2trio.cli._ladder import draw
from o2trio.cli._screen import ScreenView
from o2trio.cli._watch import watch

PAIR = "fFUEL/fUSDC"
COLUMNS, LINES = 106, 31
SECONDS = 15.0
TARGET = Path(__file__).parent / "_static" / "watch.svg"

CELL, LINE, FONT = 9.0, 20.0, 15
FAMILY = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"
LEFT, TOP = 14.0, 46.0
WORDS = re.compile(r"[▏▎▍▌▋▊▉█]+|─+|╌+|│|[^\s▏▎▍▌▋▊▉█─╌│]+(?: [^\s▏▎▍▌▋▊▉█─╌│]+)*")
EIGHTHS = {block: eighths for eighths, block in enumerate("▏▎▍▌▋▊▉█", 1)}

GREYS = {"background": "#12161c", "frame": "#2a313b", "text": "#d5dae2", "quiet": "#7a8490"}
THEME = TerminalTheme((18, 22, 28), (213, 218, 226), [(18, 22, 28)] * 8, [(122, 132, 144)] * 8)


def shape(word: str, x: float, y: float, color: str, bold: bool) -> str:
    """Return `word` as SVG; (x, y) is the upper left corner of its first cell."""
    width = len(word) * CELL
    if word[0] in EIGHTHS:
        width = sum(map(EIGHTHS.__getitem__, word)) / 8 * CELL
        return (
            f'<rect x="{x:g}" y="{y + 2:g}" width="{width:g}" height="{LINE - 4:g}" rx="1.5" fill="{color}"/>'
        )
    if word[0] in "─╌":
        dashes = ' stroke-dasharray="2 4"' if word[0] == "╌" else ""
        return f'<path d="M{x:g} {y + LINE / 2:g}h{width:g}" stroke="{GREYS["frame"]}"{dashes}/>'
    if word[0] == "│":
        return f'<path d="M{x + CELL / 2:g} {y:g}v{LINE:g}" stroke="{GREYS["frame"]}"/>'
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y + 0.72 * LINE:g}" textLength="{width:g}" lengthAdjust="spacingAndGlyphs"'
        f' fill="{color}"{weight}>{escape(word)}</text>'
    )


def shapes(lines: list[list[Segment]]) -> Iterator[str]:
    """Yield everything on the screen."""
    for row, line in enumerate(lines):
        column = 0
        for text, style, _ in line:
            color = GREYS["text"]
            if style is not None and style.color is not None:
                color = Color.get_truecolor(style.color, THEME).hex
            for match in WORDS.finditer(text):
                x, y = LEFT + (column + match.start()) * CELL, TOP + row * LINE
                yield shape(match[0], x, y, color, bool(style and style.bold))
            column += len(text)


def picture(lines: list[list[Segment]]) -> str:
    """Return the screen in its window."""
    width, height = 2 * LEFT + COLUMNS * CELL, TOP + len(lines) * LINE + 14
    buttons = "".join(
        f'<circle cx="{22 + 20 * place}" cy="21" r="6" fill="{color}"/>'
        for place, color in enumerate(("#e4606d", "#d69a2d", "#35b27f"))
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' height="{height:g}" role="img" aria-label="o2trio watch: order book and trades">'
    )
    window = (
        f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="9"'
        f' fill="{GREYS["background"]}" stroke="{GREYS["frame"]}"/>'
    )
    title = (
        f'<g font-family="{FAMILY}" font-size="{FONT}">'
        f'<text x="{width / 2:g}" y="26" text-anchor="middle" fill="{GREYS["quiet"]}">'
        f"o2trio watch {PAIR} --network simulator</text>"
    )
    return "\n".join([head, window, buttons, title, *shapes(lines), "</g>", "</svg>\n"])


def main(seconds: float = SECONDS) -> None:
    terminal = Console(
        file=io.StringIO(), force_terminal=True, color_system="truecolor", width=COLUMNS, height=LINES
    )
    view = ScreenView("simulator", console=terminal)
    trio.run(partial(watch, "simulator", PAIR, view, seconds=seconds))
    assert view.board is not None, "nothing was seen"
    screen = draw(view.board, COLUMNS, LINES, time.time_ns())
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(picture(terminal.render_lines(screen, pad=False)), encoding="utf-8")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
