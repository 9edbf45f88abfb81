"""What users ask a session for, in whole units, and how it becomes actions in chain units. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from .._errors import InvalidRequest
from ..models import (
    Amount,
    Id,
    Identity,
    Market,
    Order,
    OrderType,
    Rounding,
    Side,
    normalize_id,
)
from ._actions import MAX_ACTIONS, Action, CancelOrder, CreateOrder, RegisterReferer, SettleBalance
from ._amounts import adjust_quantity, check_order
from ._orders import SessionOrder

__all__ = [
    "BoundedMarket",
    "Cancel",
    "Limit",
    "NewOrder",
    "OrderKind",
    "Request",
    "Settle",
    "check_batch",
    "market_of",
    "split",
    "to_action",
    "with_settlements",
]


@attrs.frozen(slots=True, kw_only=True)
class BoundedMarket:
    """The type of a market order that trades at no price outside of its bounds."""

    min_price: Amount
    max_price: Amount


@attrs.frozen(slots=True)
class Limit:
    """The type ``Limit``: an order with its price and a time stamp in it.

    What the exchange does with the time stamp is not documented; the official clients fill in the present.

    Attributes:
      timestamp: seconds since 1970; None takes the present.
    """

    timestamp: int | None = None


OrderKind: TypeAlias = str | BoundedMarket | Limit | OrderType
"""``"Spot"``, ``"PostOnly"``, ``"FillOrKill"``, ``"Market"``, a :class:`BoundedMarket`, a :class:`Limit`, or
an :class:`OrderType` in chain units."""

_PLAIN = ("Spot", "PostOnly", "FillOrKill", "Market")


@attrs.frozen(slots=True)
class NewOrder:
    """An order to place: ``NewOrder(market, "buy", price="0.025", quantity="100")``.

    Price and quantity are passed by name only, since swapped numbers can be a valid order, too. They are
    checked when the order is placed, before anything is sent: only the market says what a number means.

    Attributes:
      market: a pair, a market id or a :class:`Market`.
      side: ``"buy"`` or ``"sell"``.
      price: quote per base unit.
      quantity: of the base asset.
      order_type: see :data:`OrderKind`.
      adjust: round a price between two steps in your favor (a bid down, an ask up), and a quantity that is
        not worth a whole number of chain units down; otherwise both are refused.
    """

    market: str | Market
    side: Side | str
    price: Amount = attrs.field(kw_only=True)
    quantity: Amount = attrs.field(kw_only=True)
    order_type: OrderKind = attrs.field(default="Spot", kw_only=True)
    adjust: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen(slots=True)
class Cancel:
    """An order to cancel.

    Attributes:
      order: a :class:`SessionOrder`, an :class:`Order`, or an order id.
      market: its market, where the order itself does not tell.
    """

    order: SessionOrder | Order | str
    market: str | Market | None = None


@attrs.frozen(slots=True)
class Settle:
    """A market whose unlocked proceeds shall move to the trading account."""

    market: str | Market


Request: TypeAlias = NewOrder | Cancel | Settle | Action
"""What a batch is made of."""


def to_action(
    request: Request, find: Callable[[str | Market], Market], account: Identity, now: Callable[[], float]
) -> Action:
    """Return a request in chain units, checked against the rules of its market.

    Args:
      request: what a user wants.
      find: finds a market of the session.
      account: where settlements go.
      now: the exchange's time in seconds since 1970.

    Raises:
      InvalidRequest, UnknownMarket: it makes no sense, or the contract would refuse it.
    """
    match request:
        case NewOrder():
            return _create(request, find(request.market), now)
        case Cancel():
            return _cancel(request, find)
        case Settle():
            return SettleBalance(find(request.market), account)
        case CreateOrder() | CancelOrder() | SettleBalance() | RegisterReferer():
            return _checked(request, find)
        case _:
            raise InvalidRequest(
                f"a batch is made of NewOrder, Cancel, Settle and actions, not {request!r:.80}"
            )


def with_settlements(actions: Sequence[Action], account: Identity) -> list[Action]:
    """Return the actions with a settlement of each market before its first new order.

    New orders are paid from the trading account; what earlier orders earned lies in the order book until it
    is settled. It comes after the cancellations that stand before that order, because they free money too.
    """
    result: list[Action] = []
    settled: set[Id] = set()
    for action in actions:
        market_id = action.market.market_id
        if isinstance(action, CreateOrder) and market_id not in settled:
            result.append(SettleBalance(action.market, account))
            settled.add(market_id)
        elif isinstance(action, SettleBalance):
            settled.add(market_id)
        result.append(action)
    return result


def check_batch(actions: Sequence[Action]) -> None:
    """Refuse what is no transaction.

    Raises:
      InvalidRequest: nothing to do, or more than the exchange takes at once.
    """
    if not actions:
        raise InvalidRequest("there is nothing to do: the batch is empty")
    if len(actions) > MAX_ACTIONS:
        settlements = sum(isinstance(action, SettleBalance) for action in actions)
        raise InvalidRequest(
            f"{len(actions)} actions ({settlements} of them settlements) do not fit into one transaction of"
            f" {MAX_ACTIONS}; use fewer, settle_first=False, or split_batch() for several transactions"
        )


def split(actions: Sequence[Action], account: Identity, *, settle_first: bool) -> list[list[Action]]:
    """Return the actions in as few transactions as keep their order and leave room for settlements."""
    batches: list[list[Action]] = []
    for action in actions:
        begun = [*batches[-1], action] if batches else [action]
        size = len(with_settlements(begun, account) if settle_first else begun)
        if batches and size <= MAX_ACTIONS:
            batches[-1] = begun
        else:
            batches.append([action])
    return batches


def _checked(action: Action, find: Callable[[str | Market], Market]) -> Action:
    """Return an action that somebody has made himself, if it makes sense."""
    market = find(action.market)
    match action:
        case CreateOrder(_, Side(), price=int(price), quantity=int(quantity), order_type=OrderType()):
            check_order(market, price, quantity)
        case CancelOrder(_, order_id):
            _order_id(order_id)
        case SettleBalance(_, Identity()) | RegisterReferer(_, Identity()):
            pass
        case _:
            raise InvalidRequest(f"a field of {action!r:.200} has a wrong type")
    return action


def _create(request: NewOrder, market: Market, now: Callable[[], float]) -> CreateOrder:
    try:
        side = Side(request.side)
    except ValueError:
        raise InvalidRequest(f"side must be buy or sell, not {request.side!r:.40}") from None
    rounding = Rounding.EXACT
    if request.adjust:
        rounding = Rounding.FLOOR if side is Side.BUY else Rounding.CEILING
    price = market.raw_price(request.price, rounding)
    down = Rounding.DOWN if request.adjust else Rounding.EXACT
    quantity: int = market.raw_quantity(request.quantity, down)
    if request.adjust and price > 0:
        quantity = adjust_quantity(market, price, quantity)
    check_order(market, price, quantity)
    order_type = _type(request.order_type, market, price, now)
    return CreateOrder(market, side, price=price, quantity=quantity, order_type=order_type)


def _type(kind: OrderKind, market: Market, price: int, now: Callable[[], float]) -> OrderType:
    match kind:
        case OrderType():
            return kind
        case BoundedMarket():
            low, high = market.raw_price(kind.min_price), market.raw_price(kind.max_price)
            if not low <= price <= high:
                raise InvalidRequest(
                    f"the price of a BoundedMarket order must lie between its bounds {kind.min_price} and"
                    f" {kind.max_price}"
                )
            return OrderType("BoundedMarket", min_price=low, max_price=high)
        case Limit():
            timestamp = int(now()) if kind.timestamp is None else kind.timestamp
            return OrderType("Limit", price=price, timestamp=timestamp)
        case str() if kind in _PLAIN:
            return OrderType(kind)
        case _:
            plain = ", ".join(_PLAIN)
            raise InvalidRequest(f"order_type must be {plain}, a BoundedMarket or a Limit, not {kind!r:.60}")


def _cancel(request: Cancel, find: Callable[[str | Market], Market]) -> CancelOrder:
    market = market_of(request.order) if request.market is None else request.market
    return CancelOrder(find(market), _order_id(request.order))


def market_of(order: SessionOrder | Order | str) -> str | Market:
    """Return the market that an order names.

    Raises:
      InvalidRequest: it names none, or it is no order.
    """
    market: str | Market | None = None
    if isinstance(order, SessionOrder):
        market = order.market
    elif isinstance(order, Order):
        market = order.market_id
    else:
        _order_id(order)
    if market is None:
        raise InvalidRequest(
            "the order does not tell its market: name it too, or take it from session.orders"
        )
    return market


def _order_id(order: SessionOrder | Order | str) -> Id:
    if isinstance(order, (SessionOrder, Order)):
        return order.order_id
    try:
        return normalize_id(order)
    except ValueError as error:
        raise InvalidRequest(f"an order is a SessionOrder, an Order or an order id: {error}") from None
