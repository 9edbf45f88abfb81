"""Signs of life of one WebSocket: bytes, whole messages and answers to heartbeats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._errors import Silence

if TYPE_CHECKING:
    from .._network import Options
    from ..streams import Hub, Port
    from ._link import Link

__all__ = ["Pulse"]


class Pulse:
    """Decides when an open WebSocket counts as dead.

    Bytes only show that the other end of the TCP connection is alive, which may be a load balancer. A whole
    message shows that the exchange is.
    """

    def __init__(self, link: Link, port: Port, hub: Hub, options: Options) -> None:
        self._link = link
        self._port = port
        self._hub = hub
        self._options = options
        self._frames: int = port.frames
        self._asked_at = math.inf

    def asked(self, now: float) -> None:
        """Note that a heartbeat is queued."""
        self._listen()
        self._asked_at = min(self._asked_at, now)

    def check(self, now: float) -> float:
        """Return when to check again at the latest.

        Raises:
          Silence: a sign of life is overdue.
        """
        self._listen()
        limits = self._limits()
        for limit, reason in limits:
            if now >= limit:
                raise Silence(reason)
        # A message that begins right after this is noticed in time.
        return min(now + self._options.message_timeout, *(limit for limit, _ in limits))

    def _listen(self) -> None:
        """Count any message that arrived as an answer to the heartbeats before it."""
        if self._port.frames != self._frames:
            self._frames, self._asked_at = self._port.frames, math.inf

    def _limits(self) -> list[tuple[float, str]]:
        options, began = self._options, self._link.message_began
        silence, answer, message = (
            options.silence_timeout,
            options.heartbeat_answer_timeout,
            options.message_timeout,
        )
        limits = [(self._link.last_inbound + silence, f"nothing arrived for {silence:g} s")]
        if began is not None:
            limits.append((began + message, f"a message was not whole {message:g} s after its first byte"))
        if self._hub.answers_heartbeats:
            # An answer waits until the message before it is whole.
            patience = answer if began is None else answer + message
            what = "nothing arrived after" if self._link.last_inbound <= self._asked_at else "no answer to"
            limits.append((self._asked_at + patience, f"{what} a heartbeat for {patience:g} s"))
        return limits
