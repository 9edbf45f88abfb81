"""One connection under supervision: dial, serve, classify what went wrong, wait, dial again.

While a WebSocket is open, a reader, a writer and a heartbeat share one nursery; whichever fails ends the
three. What the frames mean is the port's business.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import trio

from .._errors import O2ConnectionLost, Silence
from .._nursery import BareNursery
from ..streams import ConnectionDown, ConnectionGivenUp, ConnectionUp, Host, Hub, Port
from ._backoff import backoff_delays
from ._faults import CONNECTION_ERRORS, Fault, Retry, classify
from ._link import Link, open_link
from ._pulse import Pulse

if TYPE_CHECKING:
    from .._network import NetworkConfig

__all__ = ["Connection"]

_log = logging.getLogger("o2trio.transport")


class Connection:
    """Keeps one WebSocket open for one port."""

    def __init__(self, port: Port, hub: Hub, config: NetworkConfig, host: Host) -> None:
        self._port = port
        self._hub = hub
        self._config = config
        self._host = host
        self._options = host.options
        self._changed = trio.Event()
        self._scope = trio.CancelScope()
        self._serving = False
        self._hanging_up = False
        port.wake = self._wake

    async def run(self) -> None:
        """Keep the connection until its port has been idle for long enough or it is given up.

        Errors that are no connection's fault propagate. Cancelling closes the WebSocket at once.
        """
        with self._scope:
            await self._dial_and_serve()

    def hang_up(self) -> None:
        """Let :meth:`run` end soon: close an open WebSocket politely, or stop dialling at once."""
        self._hanging_up = True
        if self._serving:
            self._wake()
        else:
            self._scope.cancel()

    async def _dial_and_serve(self) -> None:
        delays, attempt = backoff_delays(self._options), 0
        met: set[Retry] = set()
        while True:
            attempt += 1
            opened = math.inf
            try:
                async with open_link(self._config, self._options) as link:
                    opened = trio.current_time()
                    await self._serve(link, attempt)
                    return
            except CONNECTION_ERRORS as error:
                fault, cause = classify(error), error
            assert fault is not None
            if self._hanging_up or self._port not in self._hub.ports:
                # It was over already; whatever broke while it closed harms nobody.
                return
            if trio.current_time() - opened >= self._options.stable_after:
                delays, attempt = backoff_delays(self._options), 0
                met.clear()
            limit = self._options.max_attempts
            # All connections of a client dial one address, so what served one of them counts for all.
            if not fault.is_retryable(served=self._hub.has_served, repeated=fault.retry in met):
                self._give_up(cause, fault.reason)
                return
            if limit is not None and attempt >= limit:
                self._give_up(cause, fault.reason, f" after {attempt} attempts")
                return
            met.add(fault.retry)
            await self._wait(fault, next(delays), attempt)
            if self._hub.retire(self._port):
                return

    async def _serve(self, link: Link, attempt: int) -> None:
        """Serve an open WebSocket until the port is idle; raise what ended it otherwise."""
        port = self._port
        _log.info("connection %d is up", port.number)
        self._host.emit(ConnectionUp(time=trio.current_time(), connection=port.number, attempt=attempt))
        self._serving = True
        port.link_up()
        try:
            async with BareNursery() as nursery:
                for task in (self._read, self._write, self._beat):
                    nursery.start_soon(task, link, name=f"o2trio connection {port.number} {task.__name__}")
                await self._until_idle()
        except CONNECTION_ERRORS as error:
            self._serving = False
            port.link_down(str(error))
            raise

    async def _read(self, link: Link) -> None:
        await link.deliver(self._port.receive)

    async def _write(self, link: Link) -> None:
        port, silence = self._port, self._options.silence_timeout
        while True:
            while (outgoing := port.next_outgoing()) is not None:
                text, topic = outgoing
                with trio.move_on_after(silence) as taken:
                    await link.send(text)
                if taken.cancelled_caught:
                    raise Silence(f"the server did not read for {silence:g} s")
                if topic is not None:
                    port.sent(topic)
            await self._changed.wait()

    async def _beat(self, link: Link) -> None:
        interval = self._options.ping_interval
        pulse = Pulse(link, self._port, self._hub, self._options)
        ping_at = trio.current_time() + interval
        while True:
            now = trio.current_time()
            check_at = pulse.check(now)
            if now >= ping_at:
                ping_at = now + interval
                self._port.heartbeat()
                pulse.asked(now)
                self._port.check_stale(now)
                continue
            await trio.sleep_until(min(ping_at, check_at))

    async def _until_idle(self) -> None:
        while True:
            while self._port.slots:
                await self._changed.wait()
            with trio.move_on_after(self._options.idle_timeout):
                while not self._port.slots and not self._hanging_up:
                    await self._changed.wait()
            if self._hub.retire(self._port):
                self._port.online = False
                return

    async def _wait(self, fault: Fault, delay: float, attempt: int) -> None:
        if fault.retry_after is not None:
            delay = max(delay, min(fault.retry_after, self._options.retry_after_cap))
        number, now = self._port.number, trio.current_time()
        _log.warning("connection %d is down: %s; next dial in %.1f s", number, fault.reason, delay)
        self._host.emit(
            ConnectionDown(time=now, connection=number, reason=fault.reason, attempt=attempt, retry_in=delay)
        )
        await trio.sleep(delay)

    def _give_up(self, cause: BaseException, reason: str, when: str = "") -> None:
        number = self._port.number
        message = f"gave up the connection to {self._config.websocket_host}{when}: {reason}"
        _log.error("connection %d: %s", number, message)
        self._host.emit(ConnectionGivenUp(time=trio.current_time(), connection=number, reason=reason))

        def lost() -> O2ConnectionLost:
            error = O2ConnectionLost(message)
            error.__cause__ = cause
            return error

        self._hub.give_up(self._port, lost)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
