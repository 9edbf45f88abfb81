"""The version of this library, as it introduces itself to servers."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

__all__ = ["user_agent"]


@cache
def user_agent() -> str:
    """Return the ``User-Agent`` of every request: ``o2trio/<version>``."""
    try:
        return f"o2trio/{version('o2trio')}"
    except PackageNotFoundError:  # a source tree that is not installed
        return "o2trio"
