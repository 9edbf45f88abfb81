"""The ``o2trio`` command. Nothing here is needed by programs; nothing in the library imports it."""

from ._main import main

__all__ = ["main"]
