"""How a simulator is reached: within the process, or on a TCP port. What it answers is decided elsewhere."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import attrs
import trio

from .._network import NetworkConfig
from ._memory import memory_pair

if TYPE_CHECKING:
    from ._simulator import Simulator

__all__ = ["in_memory", "listen_on"]

_HOST, _REST_HOST, _FAUCET_HOST = "simulator.invalid", "rest.simulator.invalid", "faucet.simulator.invalid"
"""Names of the exchange when it is reached in memory; nothing resolves them."""


async def listen_on(
    simulator: Simulator, nursery: trio.Nursery, listen: tuple[str, int], ssl_context: ssl.SSLContext | None
) -> None:
    """Accept TCP connections, with TLS if there is a context, and say where."""
    host, port = listen
    listeners: list[trio.SocketListener] = await trio.open_tcp_listeners(port, host=host)
    port = listeners[0].socket.getsockname()[1]
    scheme = "http" if ssl_context is None else "https"
    simulator.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    simulator.network = attrs.evolve(NetworkConfig.from_url(simulator.url), clock=simulator.time)
    if ssl_context is None:
        nursery.start_soon(trio.serve_listeners, simulator.serve, listeners)
    else:
        secure = [trio.SSLListener(listener, ssl_context, https_compatible=True) for listener in listeners]
        nursery.start_soon(trio.serve_listeners, simulator.serve, secure)


def in_memory(simulator: Simulator, nursery: trio.Nursery) -> NetworkConfig:
    """Return how to reach the simulator within this process."""

    async def dial(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if nursery.cancel_scope.cancel_called:
            raise ConnectionRefusedError("the simulator is closed")
        if host == _REST_HOST and simulator.rest.is_down:
            raise ConnectionRefusedError("REST of the simulator is down")
        ours, theirs = memory_pair()
        nursery.start_soon(simulator.serve, ours, name="simulator connection")
        return theirs

    return NetworkConfig(
        name="simulator",
        rest_url=f"http://{_REST_HOST}",
        websocket_url=f"ws://{_HOST}/v1/ws",
        faucet_url=f"http://{_FAUCET_HOST}/faucet",
        dialer=dial,
        clock=simulator.time,
    )
