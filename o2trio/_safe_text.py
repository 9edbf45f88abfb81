"""Make text from outside the program safe to print, to log and to raise."""

from __future__ import annotations

__all__ = ["safe_text"]

_LONGEST = 160
"""Characters of foreign text that are shown."""


def safe_text(text: str, longest: int = _LONGEST) -> str:
    """Return foreign text as one short line that a terminal or a log file can only show."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."
