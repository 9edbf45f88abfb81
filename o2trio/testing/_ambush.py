"""What awaits the next dials to a host: the queue of planned faults. No I/O, no time.

Carried out in ``_network``.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Callable
from math import inf

import attrs

from ._link import Connection

__all__ = ["DIAL_ERRORS", "Ambush", "Ambushes"]

DIAL_ERRORS: dict[str, Callable[[str], OSError]] = {
    "refuse": lambda host: ConnectionRefusedError(f"{host} refuses the connection"),
    "dns_failure": lambda host: socket.gaierror(socket.EAI_AGAIN, f"no address for {host} at the moment"),
    "tls_failure": lambda host: ssl.SSLError(ssl.SSL_ERROR_SSL, f"internal error of TLS, says {host}"),
    "tls_untrusted": lambda host: ssl.SSLCertVerificationError(
        ssl.SSL_ERROR_SSL, f"certificate verify failed: self-signed certificate of {host}"
    ),
}
"""What a dial raises, by the kind of fault. TLS fails as if the handshake belonged to dialling."""


@attrs.define(slots=True)
class Ambush:
    """A fault for some of the next dials.

    Attributes:
      kind: how it is counted.
      host: to which host, or None for any.
      left: how many dials.
      spring: does something to the connection; None for a dial that fails or hangs.
    """

    kind: str
    host: str | None
    left: float
    spring: Callable[[Connection], None] | None = None


class Ambushes:
    """The planned faults, in the order in which they were asked for; each dial meets at most one."""

    def __init__(self) -> None:
        self._queue: deque[Ambush] = deque()

    def lay(
        self,
        kind: str,
        host: str | None,
        count: int | None,
        spring: Callable[[Connection], None] | None = None,
    ) -> None:
        """Plan a fault for the next `count` dials, or for all if that is None.

        Raises:
          ValueError: `count` is not positive.
        """
        if count is not None and count < 1:
            raise ValueError(f"count must be a number from 1 on, or None, not {count!r}")
        self._queue.append(Ambush(kind, host, inf if count is None else count, spring))

    def meet(self, host: str) -> Ambush | None:
        """Return what a dial to `host` runs into, if anything."""
        for ambush in self._queue:
            if ambush.host in {None, host}:
                ambush.left -= 1
                if not ambush.left:
                    self._queue.remove(ambush)
                return ambush
        return None

    def clear(self) -> None:
        """Forget them all."""
        self._queue.clear()
