"""The exchange's REST interface: reads within limits, with retries, and errors that name their cause."""

from ._arguments import MAX_ORDERS, MAX_TRADES
from ._client import RestClient
from ._markets import MarketKey
from ._pages import Pages

__all__ = ["MAX_ORDERS", "MAX_TRADES", "MarketKey", "Pages", "RestClient"]
