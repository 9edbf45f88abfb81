"""WebSocket connections: dialling, the link over trio-websocket, backoff, heartbeat, supervision."""

from ._backoff import backoff_delays
from ._connection import Connection
from ._dialer import open_stream

__all__ = ["Connection", "backoff_delays", "open_stream"]
