"""REST requests that change something: accounts, sessions, their actions, withdrawals, the faucet. No I/O.

Everything is checked here that the exchange checks before the chain: shapes, signatures, nonces, the
session. What the contracts decide is in ``_exchange``, except for one thing: a session that calls a
contract it was not created for fails on chain with ``CallerError::InvalidCaller``. The registry of
referers may be called by every session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs

from ..models import Id, Identity, Market, OrderType, Side
from ..trading._actions import (
    MAX_ACTIONS,
    Action,
    CancelOrder,
    CreateOrder,
    RegisterReferer,
    SettleBalance,
)
from ..trading._bytes import (
    actions_bytes,
    call_of,
    parallel_actions_bytes,
    set_session_bytes,
    upgrade_bytes,
    withdraw_bytes,
)
from ..trading._typed import withdraw_typed
from ._accounts import Account, Revert
from ._body import Body
from ._encode import Flavor, Json
from ._exchange import Exchange
from ._faucet import Faucet, refused
from ._matching import BookOrder
from ._requests import Fault, Response
from ._signatures import check_owner, check_session, check_signer, kind_of

__all__ = ["Write", "create_account", "create_session", "pour", "session_actions"]
__all__ += ["upgrade", "whitelist", "withdraw"]

T = TypeVar("T")


@attrs.frozen(slots=True, kw_only=True)
class Write:
    """A request that changes something.

    Attributes:
      owner: what the header ``O2-Owner-Id`` says.
    """

    exchange: Exchange
    faucet: Faucet
    flavor: Flavor
    body: Body
    owner: str

    @property
    def chain_id(self) -> int:
        """What owners sign for."""
        return self.exchange.markets.chain_id or 0

    def account(self, name: str) -> Account:
        """Return the account that a field names; the header must name its owner.

        Raises:
          Fault: there is no such account, or it belongs to another owner.
        """
        account = self.exchange.accounts.get(self.body.id(name))
        if account is None:
            raise Fault(404, 4002, "Account not found")
        if self.owner.lower().removeprefix("0x") != account.owner.id.removeprefix("0x"):
            raise Fault(400, 1001, "header O2-Owner-Id must be the owner of this account")
        return account

    def parallel(self) -> int | None:
        """Return the parallel nonce of the request, or None if it has a sequential one."""
        if self.body.has("nonce") == self.body.has("parallel_nonce"):
            raise Fault(400, 1001, "give exactly one of nonce and parallel_nonce")
        return self.body.number("parallel_nonce", 256) if self.body.has("parallel_nonce") else None

    def transact(self, account: Account, work: Callable[[], T], parallel: int | None = None) -> tuple[Id, T]:
        """Run a transaction of which everything but a sequential nonce has been checked.

        Returns:
          its id and what `work` returned.

        Raises:
          Fault: the nonce is not the account's.
          Revert, NonceRefused: as :meth:`Exchange.transact`.
        """
        if parallel is None:
            nonce = self.body.number("nonce")
            if nonce != account.nonce:
                found = f"is less than the nonce in the database({account.nonce})"
                if nonce > account.nonce:
                    found = f"does not match the account nonce {account.nonce}"
                raise Fault(400, 1001, "Invalid nonce", f"Nonce in the request {nonce} {found}")
        done = self.exchange.transact(account, work, parallel=parallel)
        return self.exchange.tx_id, done


# -- accounts --------------------------------------------------------------------------------------


def create_account(write: Write) -> Json:
    """Answer ``POST /v1/accounts``; an owner has one account, however often he asks."""
    account = write.exchange.open_account(write.body.identity("identity"))
    return {
        "trade_account_id": write.flavor.id(account.trade_account_id),
        "nonce": write.flavor.nonce_value(account.nonce),
    }


def whitelist(write: Write) -> Json:
    """Answer ``POST /analytics/v1/whitelist``: every account may trade."""
    account = write.body.id("tradeAccount")
    if write.flavor.whitelist == "retired":
        raise Fault(400, 4003, "Whitelist is not configured")
    return {"success": True, "tradeAccount": write.flavor.id(account), "alreadyWhitelisted": True}


def pour(write: Write) -> Json | Response:
    """Answer ``POST /faucet``, in the faucet's own envelope."""
    body = write.body
    try:
        if body.has("address") == body.has("contract"):
            raise Fault(400, 1001, "give exactly one of address and contract")
        if body.has("address"):
            return write.faucet.pour(Identity.address(body.id("address")))
        return write.faucet.pour(Identity.contract(body.id("contract")))
    except Fault as fault:
        return refused(fault.status, fault.message)


def withdraw(write: Write) -> Json:
    """Answer ``POST /v1/accounts/withdraw``."""
    body, account, parallel = write.body, write.account("trade_account_id"), write.parallel()
    to, asset, amount = body.identity("to"), body.id("asset_id"), body.number("amount")
    if parallel is None:
        message = withdraw_bytes(body.number("nonce"), write.chain_id, to, amount, asset)
        check_owner(account.owner, message, body.signature("signature", "Secp256k1"))
    else:
        kind, contract = kind_of(account.owner.id), account.trade_account_id
        request = withdraw_typed(
            kind, write.chain_id, contract, parallel, to=to, amount=amount, asset_id=asset
        )
        check_signer(account.owner.id, request, body.signature("signature", "TypedSecp256k1"))
    tx_id, _ = write.transact(account, lambda: write.exchange.withdraw(account, to, asset, amount), parallel)
    return {"tx_id": write.flavor.id(tx_id)}


def upgrade(write: Write) -> Json:
    """Answer ``POST /v1/accounts/upgrade``."""
    body, account = write.body, write.account("trade_account_id")
    message = upgrade_bytes(body.number("nonce"), write.chain_id)
    check_owner(account.owner, message, body.signature("signature", "Secp256k1"))
    tx_id, _ = write.transact(account, lambda: write.exchange.upgrade(account))
    return {"tx_id": write.flavor.id(tx_id)}


# -- sessions --------------------------------------------------------------------------------------


def create_session(write: Write) -> Json:
    """Answer ``PUT /v1/session``."""
    body, account = write.body, write.account("contract_id")
    session_id, contracts = _session_id(body), body.ids("contract_ids")
    nonce, expiry = body.number("nonce"), body.number("expiry")
    message = set_session_bytes(nonce, write.chain_id, session_id.id, expiry, contracts)
    check_owner(account.owner, message, body.signature("signature", "Secp256k1"))
    tx_id, _ = write.transact(
        account, lambda: write.exchange.set_session(account, session_id, expiry, contracts)
    )
    flavor = write.flavor
    return {
        "tx_id": flavor.id(tx_id),
        "trade_account_id": flavor.id(account.trade_account_id),
        "contract_ids": [flavor.id(contract) for contract in contracts],
        "session_id": flavor.identity(session_id),
        "session_expiry": str(expiry),
    }


def session_actions(write: Write) -> Json:
    """Answer ``POST /v1/session/actions``."""
    try:
        return _session_actions(write)
    except Fault as fault:
        status = 200 if write.flavor.refusal_status == "ok" else fault.status
        raise Fault(status, fault.code, fault.message, fault.reason) from None


def _session_actions(write: Write) -> Json:
    body, exchange, account = write.body, write.exchange, write.account("trade_account_id")
    actions, parallel, session_id = _actions(write), write.parallel(), _session_id(body)
    collect = body.flag("collect_orders")
    registry = exchange.markets.accounts_registry_id
    calls = [call_of(action, registry) for action in actions]
    if parallel is None:
        message = actions_bytes(body.number("nonce"), calls)
    else:
        message = parallel_actions_bytes(parallel, calls)
    keys = ("Secp256k1",) if parallel is None else write.flavor.parallel_signature_keys
    signature = body.signature("signature", *keys)
    session = account.session
    if session is None or session.session_id != session_id:
        raise Fault(401, 4001, "Invalid session", "Invalid session address")
    if session.expiry * 1_000_000_000 <= exchange.now:
        raise Fault(401, 4001, "Invalid session", "Expired session")
    check_session(session_id.id, message, signature)
    callable_ids = {*session.contract_ids, registry}

    def work() -> list[BookOrder]:
        orders: list[BookOrder] = []
        for action, call in zip(actions, calls, strict=True):
            if call.contract_id not in callable_ids:
                raise Revert("CallerError", "InvalidCaller", f"{call.contract_id} is not in the session")
            order = exchange.apply(account, action)
            if order is not None:
                orders.append(order)
        return orders

    tx_id, orders = write.transact(account, work, parallel)
    answer: dict[str, Json] = {"tx_id": write.flavor.id(tx_id)}
    if collect:
        answer["orders"] = [
            write.flavor.order(order, exchange.markets.find(order.market_id)) for order in orders
        ]
    return answer


def _session_id(body: Body) -> Identity:
    session_id = body.identity("session_id")
    if session_id.kind != "Address":
        raise Fault(400, 1001, "session_id must be an Address")
    return session_id


# -- actions ---------------------------------------------------------------------------------------


def _actions(write: Write) -> list[Action]:
    """Read the actions, in the order of their groups."""
    actions: list[Action] = []
    groups = list(write.body.bodies("actions"))
    for group in groups:
        market = _market(write, group)
        actions += [_action(market, body) for body in group.bodies("actions")]
    if not actions:
        raise Fault(400, 7003, "No actions provided")
    if len(actions) > MAX_ACTIONS or len(groups) > MAX_ACTIONS:
        raise Fault(400, 7004, f"Too many actions: at most {MAX_ACTIONS}")
    return actions


def _market(write: Write, group: Body) -> Market:
    market_id = group.id("market_id")
    for market in write.exchange.markets.markets:
        if market.market_id == market_id:
            return market
    raise Fault(404, 2000, "Market not found")


def _action(market: Market, body: Body) -> Action:
    names = body.names()
    reader = _READERS.get(next(iter(names))) if len(names) == 1 else None
    if reader is None:
        raise Fault(400, 1001, f"an action must be one of {', '.join(_READERS)}")
    return reader(market, body.inner(next(iter(names))))


def _create(market: Market, body: Body) -> Action:
    side = _SIDES.get(body.text("side"))
    if side is None:
        raise Fault(400, 1001, f"side must be one of {', '.join(_SIDES)}")
    return CreateOrder(
        market,
        side,
        price=body.number("price"),
        quantity=body.number("quantity"),
        order_type=_order_type(body),
    )


def _order_type(body: Body) -> OrderType:
    given = body.value("order_type")
    if isinstance(given, str):
        if given in _PLAIN_TYPES:
            return OrderType(given)
        raise Fault(400, 3002, "Invalid order type")
    kind, value = body.tagged("order_type")
    if kind == "BoundedMarket":
        fields = Body.of(value, kind)
        return OrderType(kind, max_price=fields.number("max_price"), min_price=fields.number("min_price"))
    pair = Body({kind: value}, "order_type.").items(kind) if kind == "Limit" else []
    if len(pair) != 2:
        raise Fault(400, 3002, "Invalid order type")
    fields = Body({"price": pair[0], "timestamp": pair[1]}, "Limit.")
    return OrderType(kind, price=fields.number("price"), timestamp=fields.number("timestamp"))


_PLAIN_TYPES = frozenset({"Spot", "Market", "FillOrKill", "PostOnly"})
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_READERS: dict[str, Callable[[Market, Body], Action]] = {
    "CreateOrder": _create,
    "CancelOrder": lambda market, body: CancelOrder(market, body.id("order_id")),
    "SettleBalance": lambda market, body: SettleBalance(market, body.identity("to")),
    "RegisterReferer": lambda market, body: RegisterReferer(market, body.identity("to")),
}
