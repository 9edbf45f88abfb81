"""Where test coins come from: a service of its own, which happens to live on the same port. No I/O."""

from __future__ import annotations

from ..models import Identity
from ._encode import Json, dump
from ._exchange import Exchange
from ._requests import Response

__all__ = ["COOL_DOWN_SECONDS", "FAUCET_UNITS", "Faucet"]

FAUCET_UNITS = 10_000
"""Whole units of every listed asset that one request gives."""

COOL_DOWN_SECONDS = 60
"""So long the same target gets nothing more."""


class Faucet:
    """Gives money to whoever asks, but not too often."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._times: dict[Identity, int] = {}

    def pour(self, target: Identity) -> Json | Response:
        """Give `target` some of every asset."""
        now, pause = self._exchange.now, COOL_DOWN_SECONDS * 1_000_000_000
        self._times = {one: time for one, time in self._times.items() if time > now - pause}
        if target in self._times:
            left = (self._times[target] + pause - now) // 1_000_000_000
            return refused(429, f"Please wait {left + 1} seconds before the next request")
        self._times[target] = now
        markets = self._exchange.markets.markets
        for asset in {
            asset.asset: asset for market in markets for asset in (market.base, market.quote)
        }.values():
            self._exchange.mint(target, asset.asset, FAUCET_UNITS * 10**asset.decimals)
        return {"message": f"Minted {FAUCET_UNITS} of every asset for {target.id}"}


def refused(status: int, message: str) -> Response:
    """Say no in the faucet's own envelope."""
    return Response(status=status, body=dump({"error": message}).encode())
