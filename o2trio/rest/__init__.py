"""The exchange's REST interface: reads with retries, errors that say who is to blame."""

from ._client import RestClient

__all__ = ["RestClient"]
