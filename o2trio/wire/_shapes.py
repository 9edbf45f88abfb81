"""Parts of the hot frames as the wire spells them, decoded natively, and how each becomes its model.

Whole frames are the matter of ``_native``. Two means make this fast and yet strict:

- Numbers sent as text are read leniently by the decoder, which lets ``"1e3"`` and ``1.0`` pass for integers.
  So a number may also be a float, but of a range that does not exist: what is no plain integer then fails.
- A frozen model is made as an *open twin*: of a subclass without fields of its own, whose attributes are just
  set, here or by the decoder, and which then turns into the model. That takes a quarter of the time.

Where an optional field may not be null here, null is rare; like everything rare it takes the careful road.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, cast

from attrs import AttrsInstance, fields
from msgspec import UNSET, Meta, Struct, UnsetType, field

from ..models import (
    NOTHING_UNREAD,
    Balance,
    BookBalance,
    DepthChanges,
    Fill,
    Id,
    Identity,
    Level,
    Order,
    OrderTransaction,
    OrderType,
    Side,
    Trade,
    TraderSide,
)
from ._values import ID_CACHE, known_id, read_order_type, read_record

__all__ = [
    "BalanceShape",
    "Changes",
    "Natural",
    "Nothing",
    "OrderShape",
    "TradeShape",
    "Twin",
    "View",
    "depth",
    "new",
    "open_twin",
]


T = TypeVar("T")


class _Identity(Struct, gc=False):
    address: str | UnsetType = field(default=UNSET, name="Address")
    contract: str | UnsetType = field(default=UNSET, name="ContractId")

    def model(self) -> Identity:
        if self.address is not UNSET:
            return _address(self.address)
        if self.contract is not UNSET:
            return _contract(self.contract)
        raise ValueError("neither an address nor a contract")


_address = lru_cache(ID_CACHE)(Identity.address)
_contract = lru_cache(ID_CACHE)(Identity.contract)


if TYPE_CHECKING:
    # What an open twin holds only until it turns into its model may be anything.
    Natural: TypeAlias = Any
    Positive: TypeAlias = Any
    Name: TypeAlias = str
    Signed: TypeAlias = Any
    Small: TypeAlias = Any
    Flag: TypeAlias = bool
    Nothing: TypeAlias = None
else:
    _NO_FLOAT = Annotated[float, Meta(gt=1, lt=-1)]
    _NO_INTEGER = Annotated[int, Meta(gt=1, lt=-1)]
    _NO_TEXT = Annotated[str, Meta(min_length=1, max_length=0)]
    _TOP = 2**63 - 1  # no higher bound can be told; larger numbers take the careful road
    Natural = Annotated[int, Meta(ge=0, le=_TOP)] | _NO_FLOAT
    Positive = Annotated[int, Meta(ge=1, le=_TOP)] | _NO_FLOAT
    Name = Annotated[str, Meta(min_length=1)]
    Signed = Annotated[int, Meta(ge=-_TOP, le=_TOP)] | _NO_FLOAT
    Small = Annotated[int, Meta(ge=0, le=255)] | _NO_FLOAT
    # Without texts that cannot be, "null" would pass for null, and "true" or 1 for true.
    Nothing = None | _NO_TEXT
    Flag = bool | _NO_TEXT | _NO_INTEGER


# -- open twins --------------------------------------------------------------------------------------


class _Open:
    """Makes the attributes of a frozen model plain ones; deletion too, or setting them stays slow."""

    __slots__ = ()
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


def _without_unread(twin: type[T]) -> type[T]:
    """Hide `unread` from the decoder: the wire cannot set it, and its default takes longer there."""
    read = tuple(field for field in fields(cast("type[AttrsInstance]", twin)) if field.name != "unread")
    cast("Any", twin).__attrs_attrs__ = read
    return twin


class _Level(_Open, Level):
    __slots__ = ()
    price: Natural
    quantity: Positive  # a level of size zero is dropped elsewhere


class _Change(_Open, Level):
    __slots__ = ()
    price: Natural
    quantity: Signed


@_without_unread
class _Fill(_Open, Fill):
    __slots__ = ()
    order_id: Id
    price: Natural
    quantity: Natural
    timestamp: Natural


@_without_unread
class _Transaction(_Open, OrderTransaction):
    __slots__ = ()
    tx_id: Id


@_without_unread
class _Holding(_Open, BookBalance):
    __slots__ = ()
    locked: Natural
    unlocked: Natural
    fee: Signed


Twin: TypeAlias = Any
"""An open twin on its way to its model."""

new: Callable[[type[object]], Twin] = object.__new__
"""Makes an open twin, whose attributes are all missing yet."""


def open_twin(model: type[object]) -> type[object]:
    """Return a class whose instances may turn into the frozen `model`."""
    return type(f"Open{model.__name__}", (_Open, model), {"__slots__": ()})


_DEPTH_CHANGES, _TRADE = open_twin(DepthChanges), open_twin(Trade)
_ORDER, _BALANCE = open_twin(Order), open_twin(Balance)


# -- parts of frames ---------------------------------------------------------------------------------


class Changes(Struct, gc=False):
    """Signed differences of levels."""

    buys: tuple[_Change, ...]
    sells: tuple[_Change, ...]
    bids: Nothing = None
    asks: Nothing = None
    turbo: Nothing = None


class View(Struct, gc=False):
    """Levels with absolute sizes."""

    buys: tuple[_Level, ...]
    sells: tuple[_Level, ...]
    bids: Nothing = None
    asks: Nothing = None
    precision: Small = None
    turbo: Nothing = None


def depth(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> DepthChanges:
    """Return the levels of both sides, each of which becomes a plain level."""
    for level in bids:
        level.__class__ = Level
    for level in asks:
        level.__class__ = Level
    changes: Twin = new(_DEPTH_CHANGES)
    changes.bids, changes.asks = bids, asks
    changes.__class__ = DepthChanges
    done: DepthChanges = changes
    return done


class TradeShape(Struct, gc=False, kw_only=True):
    """One trade."""

    trade_id: Name | Natural
    side: Side
    price: Natural
    quantity: Natural
    total: Natural = None
    timestamp: Natural
    maker: _Identity | Nothing = None
    taker: _Identity | Nothing = None
    trader_side: TraderSide | None = None
    maker_fee: Signed = None
    taker_fee: Signed = None
    turbo: Nothing = None

    def model(self) -> Trade:
        """Return the trade."""
        trade: Twin = new(_TRADE)
        trade.trade_id = str(self.trade_id)
        trade.side = self.side
        trade.price, trade.quantity, trade.total = self.price, self.quantity, self.total
        trade.timestamp = self.timestamp
        maker, taker = self.maker, self.taker
        trade.maker = None if maker is None else maker.model()
        trade.taker = None if taker is None else taker.model()
        trade.trader_side = self.trader_side
        trade.maker_fee, trade.taker_fee = self.maker_fee, self.taker_fee
        trade.unread = NOTHING_UNREAD
        trade.__class__ = Trade
        done: Trade = trade
        return done


class _Bounds(Struct, gc=False):
    max_price: Natural
    min_price: Natural


class _Kind(Struct, gc=False, forbid_unknown_fields=True):
    limit: tuple[Natural, Natural] | UnsetType = field(default=UNSET, name="Limit")
    bounded: _Bounds | UnsetType = field(default=UNSET, name="BoundedMarket")

    def model(self) -> OrderType:
        if self.limit is not UNSET and self.bounded is UNSET:
            return OrderType("Limit", price=self.limit[0], timestamp=self.limit[1])
        if self.bounded is not UNSET and self.limit is UNSET:
            highest, lowest = self.bounded.max_price, self.bounded.min_price
            return OrderType("BoundedMarket", max_price=highest, min_price=lowest)
        raise ValueError("not one order type")


class OrderShape(Struct, gc=False, kw_only=True):
    """One order, in either flavor."""

    order_id: str
    side: Side
    order_type: Name | _Kind
    price: Natural
    quantity: Natural
    quantity_fill: Natural = 0
    price_fill: Natural = 0
    timestamp: Natural = None
    close: Flag = False
    cancel: Flag = False
    partially_filled: Flag = False
    account: _Identity | Nothing = None
    owner: _Identity | Nothing = None
    market_id: str | None = None
    base_decimals: Small = None
    desired_quantity: dict[str, Any] | Nothing = None
    fills: tuple[_Fill, ...] | Nothing = None
    fill: _Fill | tuple[_Fill, ...] | Nothing = None
    history: tuple[_Transaction, ...] | Nothing = None
    order_tx_history: tuple[_Transaction, ...] | Nothing = None
    kind: Nothing = None
    trigger_price: Nothing = None
    turbo: Nothing = None

    def model(self) -> Order:
        """Return the order."""
        order: Twin = new(_ORDER)
        order.order_id = known_id(self.order_id)
        order.side = self.side
        kind = self.order_type
        order.order_type = read_order_type(kind, OrderType) if isinstance(kind, str) else kind.model()
        order.price, order.quantity = self.price, self.quantity
        order.quantity_fill, order.price_fill = self.quantity_fill, self.price_fill
        order.timestamp = self.timestamp
        order.close, order.cancel, order.partially_filled = self.close, self.cancel, self.partially_filled
        owner = self.owner if self.account is None else self.account
        order.owner = None if owner is None else owner.model()
        order.market_id = None if self.market_id is None else known_id(self.market_id)
        order.base_decimals = self.base_decimals
        desired = self.desired_quantity
        order.desired_quantity = None if desired is None else read_record(desired, dict)
        fills: tuple[Twin, ...] = self.fills or ()
        if self.fills is None and self.fill is not None:
            fills = self.fill if isinstance(self.fill, tuple) else (self.fill,)
        for fill in fills:
            fill.order_id = known_id(fill.order_id)
            fill.unread = NOTHING_UNREAD
            fill.__class__ = Fill
        history: tuple[Twin, ...] = (self.order_tx_history if self.history is None else self.history) or ()
        for entry in history:
            entry.tx_id = known_id(entry.tx_id)
            entry.unread = NOTHING_UNREAD
            entry.__class__ = OrderTransaction
        order.fills, order.history = fills, history
        order.unread = NOTHING_UNREAD
        order.__class__ = Order
        done: Order = order
        return done


class BalanceShape(Struct, gc=False, kw_only=True):
    """What one account holds of one asset."""

    identity: _Identity
    asset_id: str
    total_unlocked: Natural
    total_locked: Natural
    trading_account_balance: Natural
    order_books: dict[str, _Holding] | Nothing = None
    turbo: Nothing = None

    def model(self) -> Balance:
        """Return the balance."""
        balance: Twin = new(_BALANCE)
        balance.identity = self.identity.model()
        balance.asset_id = known_id(self.asset_id)
        balance.total_unlocked, balance.total_locked = self.total_unlocked, self.total_locked
        balance.trading_account_balance = self.trading_account_balance
        books: dict[str, Twin] = self.order_books or {}
        for book in books.values():
            book.unread = NOTHING_UNREAD
            book.__class__ = BookBalance
        balance.order_books = MappingProxyType({known_id(name): book for name, book in books.items()})
        balance.unread = NOTHING_UNREAD
        balance.__class__ = Balance
        done: Balance = balance
        return done
