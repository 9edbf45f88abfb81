"""What a server subscription is about, and how each kind of stream behaves.

A *topic* is one server subscription. Its key says what it carries, its slot what the server keeps only
one of per socket; the same slot routes inbound frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar, cast

import attrs

from ..models import (
    Balance,
    BalanceUpdate,
    DepthUpdate,
    Gap,
    Id,
    Identity,
    NonceUpdate,
    NotUnderstood,
    Order,
    OrderUpdate,
    Origin,
    TradeUpdate,
    TriggerOrder,
)
from ..wire import AnyUpdate, Frequency, Kind, subscribe, unsubscribe

__all__ = [
    "BEHAVIOURS",
    "MAX_IDENTITIES",
    "Behaviour",
    "Slot",
    "TopicKey",
    "identity_keys",
    "without_former",
]

MAX_IDENTITIES = 10
"""Identities that one subscription may name; a limit of the exchange."""


E = TypeVar("E")

Slot: TypeAlias = tuple[Kind, Id | None]
"""What the server keeps one subscription of per socket, and where a frame of that socket belongs."""


@attrs.frozen(slots=True, cache_hash=True)
class TopicKey:
    """What one server subscription carries.

    Attributes:
      kind: the stream.
      market_id: for depth, depth view and trades.
      precision: level of price grouping, for depth and depth view.
      frequency: for depth view.
      identities: 1 to 10, for orders, balances and nonce.
      turbo: whether it is of the Turbo venue, for depth, depth view, trades and orders. Balances and nonces
        belong to an account, which has no venue.
    """

    kind: Kind
    market_id: Id | None = None
    precision: int | None = None
    frequency: Frequency | None = None
    identities: tuple[Identity, ...] = ()
    turbo: bool = False

    @property
    def slot(self) -> Slot:
        """The slot that the topic takes on its socket."""
        return self.kind, self.market_id

    def subscribe_frame(self) -> str:
        """Return the request that starts the subscription."""
        return subscribe(
            self.kind,
            market_id=self.market_id,
            precision=self.precision,
            frequency=self.frequency,
            identities=self.identities,
            turbo=self.turbo,
        )

    def unsubscribe_frame(self) -> str:
        """Return the request that ends it."""
        return unsubscribe(self.kind, market_id=self.market_id, identities=self.identities, turbo=self.turbo)

    def __str__(self) -> str:
        words = [self.kind.value.replace("_", " ")]
        if self.market_id is not None:
            words.append(f"of {self.market_id}")
        if self.precision is not None:
            words.append(f"at precision {self.precision}")
        if self.frequency is not None:
            words.append(f"every {self.frequency}")
        if self.identities:
            words.append("of " + ", ".join(map(str, self.identities)))
        if self.turbo:
            words.append("on Turbo")
        return " ".join(words)


EntryKey = object
"""What makes two entries of a stream say something about the same thing."""


@attrs.frozen(slots=True)
class Behaviour:
    """How one kind of stream behaves.

    Attributes:
      starts_with_snapshot: the first message after a subscription is the whole state.
      gap: makes the empty update that marks a gap; None if a snapshot mends every break.
      entries: splits an update into (key, entry) pairs of which only the latest of a key matters; None
        if every item matters.
      join: makes an update of such entries, taking the rest from the newest update.
      is_news: tells whether a state that was read says more than the one already known, or None.
    """

    starts_with_snapshot: bool
    gap: Callable[[TopicKey, int, Gap], AnyUpdate] | None = None
    entries: Callable[[AnyUpdate], Iterable[tuple[EntryKey, object]]] | None = None
    join: Callable[[AnyUpdate, list[object]], list[AnyUpdate]] | None = None
    is_news: Callable[[object, object], bool] | None = None


def _market(key: TopicKey) -> Id:
    assert key.market_id is not None
    return key.market_id


def _last(_newest: AnyUpdate, entries: list[object]) -> list[AnyUpdate]:
    return [entry for entry in entries if isinstance(entry, (DepthUpdate, NonceUpdate))]


def _order_entries(update: AnyUpdate) -> Iterable[tuple[EntryKey, object]]:
    assert isinstance(update, OrderUpdate)
    if update.not_understood or update.triggers:
        return ((_order_key(entry), entry) for entry in update.entries)
    return ((order.order_id, order) for order in update.orders)


def _order_key(entry: Order | TriggerOrder | NotUnderstood) -> EntryKey:
    if isinstance(entry, NotUnderstood):
        # It says something about that order, as the order's next state does, or about nothing known.
        return entry.ids.get("order_id") or ("entry", id(entry))
    return ("trigger", entry.order_id) if isinstance(entry, TriggerOrder) else entry.order_id


def _join_orders(newest: AnyUpdate, entries: list[object]) -> list[AnyUpdate]:
    assert isinstance(newest, OrderUpdate)
    orders, triggers = _of(Order, entries), _of(TriggerOrder, entries)
    joined = attrs.evolve(
        newest, orders=orders, triggers=triggers, not_understood=_of(NotUnderstood, entries)
    )
    return [joined] if entries else []


def _balance_entries(update: AnyUpdate) -> Iterable[tuple[EntryKey, object]]:
    assert isinstance(update, BalanceUpdate)
    entries: list[tuple[EntryKey, object]] = [
        ((entry.identity, entry.asset_id), entry) for entry in update.balance
    ]
    return entries + [(("entry", id(entry)), entry) for entry in update.not_understood]


def _join_balances(newest: AnyUpdate, entries: list[object]) -> list[AnyUpdate]:
    assert isinstance(newest, BalanceUpdate)
    joined = attrs.evolve(newest, balance=_of(Balance, entries), not_understood=_of(NotUnderstood, entries))
    return [joined] if entries else []


def _of(kind: type[E], entries: list[object]) -> tuple[E, ...]:
    """Return the entries of this kind; one that knows its position learns that in the list as it is now."""
    found = [(index, entry) for index, entry in enumerate(entries) if isinstance(entry, kind)]
    if issubclass(kind, (NotUnderstood, TriggerOrder)):
        return tuple(attrs.evolve(cast(Any, entry), index=index) for index, entry in found)
    return tuple(entry for _, entry in found)


def _whole_view(update: AnyUpdate) -> Iterable[tuple[EntryKey, object]]:
    return ((None, update),)


def _nonce_entries(update: AnyUpdate) -> Iterable[tuple[EntryKey, object]]:
    assert isinstance(update, NonceUpdate)
    return ((update.contract_id, update),)


def _order_is_news(known: object, read: object) -> bool:
    # An order only ever fills and closes, so an older state is known by having done less of it.
    assert isinstance(read, Order)
    return not isinstance(known, Order) or _progress(read) > _progress(known)


def _progress(order: Order) -> tuple[bool, int]:
    return not order.is_open, order.quantity_fill


def _balance_is_news(known: object, read: object) -> bool:
    assert isinstance(read, Balance)
    if isinstance(known, Balance):
        return _amounts(read) != _amounts(known)
    return _amounts(read) != (0, 0, 0)


def _amounts(balance: Balance) -> tuple[int, int, int]:
    return balance.total_unlocked, balance.total_locked, balance.trading_account_balance


def _nonce_is_news(known: object, read: object) -> bool:
    # A nonce never goes back; a lower one was read from a place that lags behind.
    assert isinstance(read, NonceUpdate)
    return not isinstance(known, NonceUpdate) or (read.nonce or 0) > (known.nonce or 0)


BEHAVIOURS: dict[Kind, Behaviour] = {
    Kind.DEPTH: Behaviour(True),
    Kind.DEPTH_VIEW: Behaviour(True, None, _whole_view, _last),
    Kind.TRADES: Behaviour(
        False,
        lambda key, epoch, gap: TradeUpdate(market_id=_market(key), origin=Origin.GAP, epoch=epoch, gap=gap),
    ),
    Kind.ORDERS: Behaviour(
        False,
        lambda _key, epoch, gap: OrderUpdate(origin=Origin.GAP, epoch=epoch, gap=gap),
        _order_entries,
        _join_orders,
        _order_is_news,
    ),
    Kind.BALANCES: Behaviour(
        False,
        lambda _key, epoch, gap: BalanceUpdate(origin=Origin.GAP, epoch=epoch, gap=gap),
        _balance_entries,
        _join_balances,
        _balance_is_news,
    ),
    Kind.NONCE: Behaviour(
        False,
        lambda _key, epoch, gap: NonceUpdate(origin=Origin.GAP, epoch=epoch, gap=gap),
        _nonce_entries,
        _last,
        _nonce_is_news,
    ),
}


def identity_keys(kind: Kind, identities: Iterable[Identity], *, turbo: bool = False) -> list[TopicKey]:
    """Return the topics that carry `kind` for all `identities`, at most ten to a topic."""
    unique = sorted(set(identities))
    return [
        TopicKey(kind, identities=tuple(unique[start : start + MAX_IDENTITIES]), turbo=turbo)
        for start in range(0, len(unique), MAX_IDENTITIES)
    ]


def without_former(key: TopicKey, update: AnyUpdate, former: set[TopicKey]) -> AnyUpdate | None:
    """Return `update` without what belongs to topics that held the slot before, None if nothing is left.

    The server acknowledges no unsubscription, so messages of the former holder of a slot may still
    arrive. What does not say whose it is counts as the present holder's.
    """
    if isinstance(update, DepthUpdate):
        other = {topic.precision for topic in former} - {key.precision}
        return None if update.precision in other else update
    gone = {identity for topic in former for identity in topic.identities}.difference(key.identities)
    if isinstance(update, NonceUpdate):
        return None if update.contract_id in {identity.id for identity in gone} else update
    if isinstance(update, OrderUpdate):
        orders: list[object] = [entry for entry in update.entries if _account(entry) not in gone]
        return next(iter(_join_orders(update, orders)), None)
    if isinstance(update, BalanceUpdate):
        balances: list[object] = [entry for entry in update.balance if entry.identity not in gone]
        return next(iter(_join_balances(update, [*balances, *update.not_understood])), None)
    return update


def _account(entry: Order | TriggerOrder | NotUnderstood) -> Identity | None:
    return None if isinstance(entry, NotUnderstood) else entry.owner
