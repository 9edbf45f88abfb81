"""The client itself, and how it is opened.

What it can do is in ``_reads``, ``_streaming`` and ``_trading``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ._network import Network, NetworkConfig, Options, config_of
from ._nursery import BareNursery
from ._runtime import Runtime
from ._statistics import ClientStatistics, statistics_of
from ._trading import Trading
from .models import Market, Markets
from .rest import RestClient

__all__ = ["O2Client", "open_o2"]


class O2Client(Trading):
    """The exchange, as seen from one Trio program. Made by :func:`open_o2`.

    Every ``stream_*`` method returns at once with a :class:`Subscription`; wrong arguments raise
    :exc:`InvalidRequest` there and then. The subscription is made when it is entered or first received from.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def network(self) -> NetworkConfig:
        """The deployment this client talks to."""
        return self._runtime.config

    # -- what there is --------------------------------------------------------------------------

    async def get_markets(self, *, refresh: bool = False, turbo: bool = False) -> Markets:
        """Return the markets of the exchange; one whose entry cannot be read is listed as unreadable.

        Args:
          refresh: read them again instead of taking those read before.
          turbo: those of the Turbo venue instead of the spot venue.

        Raises:
          ApiError, RequestFailed, DecodeError: no list could be had.
        """
        self._check_open()
        return await self._runtime.markets(refresh=refresh, turbo=turbo)

    async def get_market(self, market: str, *, turbo: bool = False) -> Market:
        """Return the market with this pair (any letter case) or market id.

        Args:
          market: which one.
          turbo: one of the Turbo venue instead of the spot venue.

        Raises:
          MarketUnreadable: it is listed, but its entry could not be read.
          UnknownMarket: there is none; the message lists what there is.
          ApiError, RequestFailed, DecodeError: no list could be had.
        """
        self._check_open()
        return await self._runtime.market(market, turbo=turbo)

    def statistics(self) -> ClientStatistics:
        """Return what the client holds at this moment."""
        return statistics_of(self._runtime.hub, self._runtime.oddities)


@asynccontextmanager
async def open_o2(
    network: Network | NetworkConfig | str = Network.TESTNET, *, options: Options | None = None
) -> AsyncGenerator[O2Client]:
    """Open a client of the exchange; everything it starts ends with the ``async with`` block.

    It connects with the first stream or read. Leaving the block ends all streams in good order and closes
    the connections, within ``Options.close_timeout`` even if the peer is mute, and at once if cancelled.
    An error of the block comes out as it is, never in an exception group.

    Args:
      network: one of :class:`Network`, its name, a :class:`NetworkConfig` of your own, or the base URL of an
        O2-compatible server.
      options: limits and intervals.

    Raises:
      InvalidRequest: `network` is neither.
    """
    config = config_of(network)
    options = options or Options()
    async with RestClient(config, options) as rest, BareNursery() as nursery:
        runtime = Runtime(config, options, rest, nursery)
        try:
            yield O2Client(runtime)
        finally:
            runtime.close()
            await runtime.hang_up()
