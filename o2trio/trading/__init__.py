"""Trading: keys and signers, sessions, orders that are followed, and what became of lost submissions.

Nothing here knows the client; what it opens is in ``o2trio._trading``.
"""

from ..models import Amount, Raw
from ._actions import MAX_ACTIONS, Action, CancelOrder, CreateOrder, RegisterReferer, SettleBalance
from ._lifecycle import AccountSetup
from ._orders import SessionOrder
from ._requests import BoundedMarket, Cancel, Limit, NewOrder, OrderKind, Request, Settle
from ._session import Session
from ._signers import (
    Signer,
    SignerKind,
    SigningRequest,
    address_of,
    compact_from_der,
    compact_from_vrs,
    compact_signature,
)
from ._submission import Receipt, Resolved, Submission, Verdict, Withdrawal
from ._tracker import OrderTracker, OrderTrackerStatistics
from ._tracks import Track
from ._wallets import EvmWallet, FuelWallet

__all__ = [
    "MAX_ACTIONS",
    "AccountSetup",
    "Action",
    "Amount",
    "BoundedMarket",
    "Cancel",
    "CancelOrder",
    "CreateOrder",
    "EvmWallet",
    "FuelWallet",
    "Limit",
    "NewOrder",
    "OrderKind",
    "OrderTracker",
    "OrderTrackerStatistics",
    "Raw",
    "Receipt",
    "RegisterReferer",
    "Request",
    "Resolved",
    "Session",
    "SessionOrder",
    "Settle",
    "SettleBalance",
    "Signer",
    "SignerKind",
    "SigningRequest",
    "Submission",
    "Track",
    "Verdict",
    "Withdrawal",
    "address_of",
    "compact_from_der",
    "compact_from_vrs",
    "compact_signature",
]
