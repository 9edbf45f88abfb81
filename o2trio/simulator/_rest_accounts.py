"""REST answers about accounts: who they are, what they hold, their orders and trades. No state, no I/O."""

from __future__ import annotations

from ..models import Identity, IdentityKind, Trade, TraderSide, normalize_id
from ._accounts import NOTHING, balance_of
from ._encode import Json
from ._history import page
from ._nonces import LANES
from ._requests import Call, Fault
from ._rest_markets import trades_page

__all__ = [
    "MAX_ORDERS",
    "account",
    "active_orders",
    "balance",
    "order",
    "orders",
    "referral",
    "trades_by_account",
    "window",
]

MAX_ORDERS = 200
"""Orders of one page."""


def account(call: Call) -> Json:
    """Answer ``/v1/accounts``."""
    given = [name for name in ("owner", "owner_contract", "trade_account_id") if name in call.query]
    if len(given) != 1:
        raise Fault(400, 1001, "give exactly one of owner, owner_contract, trade_account_id")
    wanted = call.id(given[0])
    if given == ["trade_account_id"]:
        return call.flavor.account(call.world.account(wanted))
    kind = IdentityKind.ADDRESS if given == ["owner"] else IdentityKind.CONTRACT_ID
    return call.flavor.account(call.world.account_of(Identity(kind, wanted)))


def window(call: Call) -> Json:
    """Answer ``/v1/accounts/window``; words without a used slot are left out."""
    wanted, lane = call.id("trade_account_id"), call.number("nonce_session_id")
    if lane >= LANES:
        raise Fault(400, 1001, f"nonce_session_id must be 0 to {LANES - 1}")
    found = call.world.account(wanted)
    if found is None:
        raise Fault(404, 4002, "Account not found")
    used = found.windows[lane]
    return {
        "nonce_session_id": str(lane),
        "base": str(used.base),
        "slots": [
            {"word_position": str(word), "bitmap": str(bitmap)} for word, bitmap in used.slots() if bitmap
        ],
    }


def balance(call: Call) -> Json:
    """Answer ``/v1/balance``; nobody has nothing."""
    asset, identity = call.id("asset_id"), call.identity()
    found = call.world.account(identity.id)
    if found is None:
        return call.flavor.balance(balance_of(identity, asset, NOTHING))
    return call.flavor.balance(call.world.balance(found, asset))


def orders(call: Call) -> Json:
    """Answer ``/v1/orders``."""
    market, identity = call.market(), call.identity()
    wanted = _wanted(call)
    found = page(
        [order for order in call.world.orders_of(identity.id, market.market_id) if order.close in wanted],
        call.count(MAX_ORDERS, 7002),
        key=lambda order: (call.flavor.order_time(order), order.order_id),
        newest_first=call.newest_first(),
        cursor=_order_cursor(call),
        inclusive=call.flavor.cursor_inclusive,
    )
    return {
        "identity": call.flavor.identity(identity),
        "market_id": call.flavor.id(market.market_id),
        "orders": [call.flavor.order(order, market) for order in found],
    }


def _wanted(call: Call) -> frozenset[bool]:
    """Return for which values of `close` orders are listed."""
    is_open = call.query.get("is_open")
    if is_open == "false" and call.flavor.is_open_false == "closed":
        return frozenset({True})
    return frozenset({False} if is_open == "true" else {True, False})


def _order_cursor(call: Call) -> tuple[int, str] | None:
    """Return the cursor with its id in the one spelling: clients normalise order ids."""
    cursor = call.cursor("start_order_id")
    if cursor is None:
        return None
    try:
        return cursor[0], normalize_id(cursor[1])
    except ValueError:
        raise Fault(400, 7002, "start_order_id must be 64 hexadecimal digits") from None


def order(call: Call) -> Json:
    """Answer ``/v1/order``."""
    market, order_id = call.market(), call.id("order_id")
    found = call.world.order(order_id)
    if found is None or found.market_id != market.market_id:
        raise Fault(404, 3000, "Order not found")
    return {"order": call.flavor.order(found, market)}


def active_orders(call: Call) -> Json:
    """Answer ``/v1/orders/active``."""
    market, identity = call.market(), call.identity()
    return {
        "identity": call.flavor.identity(identity),
        "market_id": call.flavor.id(market.market_id),
        "entries": [
            {"kind": "order", "order_id": call.flavor.id(order.order_id)}
            for order in call.world.orders_of(identity.id, market.market_id)
            if not order.close
        ],
    }


def referral(call: Call) -> Json:
    """Answer ``/analytics/v1/referral/code-info``: nobody has a code here."""
    call.text("code")
    return {"valid": False, "ownerAddress": None, "isActive": False}


def trades_by_account(call: Call) -> Json:
    """Answer ``/v1/trades_by_account``."""
    market, identity = call.market(), call.identity()
    history = call.world.history(market.market_id).trades
    found = trades_page(call, [trade for trade in history if identity in {trade.maker, trade.taker}])
    return {
        "action": "trades_by_account",
        "market_id": call.flavor.id(market.market_id),
        "trades": [
            {**call.flavor.trade(trade), "trader_side": _role(trade, identity).value} for trade in found
        ],
    }


def _role(trade: Trade, identity: Identity) -> TraderSide:
    if trade.maker == trade.taker:
        return TraderSide.BOTH
    return TraderSide.MAKER if trade.maker == identity else TraderSide.TAKER
