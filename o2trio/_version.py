"""The version of this library, and how it introduces itself to servers."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["USER_AGENT", "__version__"]

try:
    __version__ = version("o2trio")
except PackageNotFoundError:
    # A checkout that is on the path and not installed.
    __version__ = "0"

USER_AGENT = f"o2trio/{__version__}"
"""Names this library in REST requests and in the WebSocket handshake."""
