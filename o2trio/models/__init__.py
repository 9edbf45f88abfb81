"""What the exchange says, as immutable attrs classes. No decoding, no I/O."""

from ._accounts import AccountInfo, Balance, BalanceUpdate, BookBalance, NonceUpdate
from ._common import Origin, Side, Update
from ._depth import DepthChanges, DepthUpdate, Level
from ._ids import Id, Identity, IdentityKind, normalize_id
from ._markets import Asset, Market, Markets, Rounding
from ._orders import Fill, Order, OrderState, OrderTransaction, OrderType, OrderUpdate
from ._trades import Trade, TraderSide, TradeUpdate

__all__ = [
    "AccountInfo",
    "Asset",
    "Balance",
    "BalanceUpdate",
    "BookBalance",
    "DepthChanges",
    "DepthUpdate",
    "Fill",
    "Id",
    "Identity",
    "IdentityKind",
    "Level",
    "Market",
    "Markets",
    "NonceUpdate",
    "Order",
    "OrderState",
    "OrderTransaction",
    "OrderType",
    "OrderUpdate",
    "Origin",
    "Rounding",
    "Side",
    "Trade",
    "TradeUpdate",
    "TraderSide",
    "Update",
    "normalize_id",
]
