"""What really happened: every trade, order state, balance and nonce, block by block. No I/O, no clock.

The exchange writes here when it seals a block; tests read it, and so do REST answers that lag behind
(``_worlds``). What is true at present is in ``_exchange``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

from ..models import Balance, Id, Identity, Market, Order, OrderTransaction, Trade
from ._accounts import NOTHING, Access, Account, Holding, balance_of
from ._block import Block
from ._matching import BookOrder, LevelChange

__all__ = ["AUDIT_RECORDS", "MAX_STALE_SECONDS", "Audit", "AuditOverflow", "Recorded", "latest"]

AUDIT_RECORDS = 2_000_000
"""So much is remembered by default: five hours of three markets at their default rate, about a gigabyte."""

MAX_STALE_SECONDS = 60.0
"""How far a REST read may lag behind. So much of the past is kept whatever happens."""

T = TypeVar("T")
U = TypeVar("U")


class AuditOverflow(Exception):
    """The audit was asked for a truth of which it had to forget a part."""


class Recorded(NamedTuple, Generic[T]):
    """Something that became true.

    Attributes:
      height: the block's number.
      seen_timestamp: the block's time, nanoseconds since 1970, as streams name it.
      value: what became true.
    """

    height: int
    seen_timestamp: int
    value: T


def _until(records: Sequence[Recorded[T]], moment: int) -> int:
    """Return how many of the records are no later than `moment`."""
    if not records or records[-1].seen_timestamp <= moment:
        return len(records)
    return bisect_right(records, moment, key=attrgetter("seen_timestamp"))


def latest(records: Sequence[Recorded[T]], moment: int) -> Recorded[T] | None:
    """Return the last record that is no later than `moment` (nanoseconds)."""
    count = _until(records, moment)
    return records[count - 1] if count else None


class Audit:
    """The truth, for tests to compare with; made by the exchange.

    It is complete up to a number of records, `limit`. Beyond that the exchange goes on, but the older past
    is forgotten, and every question raises :exc:`AuditOverflow` instead of giving a part for the whole.

    Attributes:
      limit: how many records are remembered; may be changed.
      records: how many were made so far.
    """

    def __init__(self, limit: int = AUDIT_RECORDS) -> None:
        self.limit = limit
        self.records = 0
        self._complete = True
        self._held = self._kept = 0
        self._trades: dict[Id, list[Recorded[Trade]]] = {}
        self._orders: dict[Id, list[Recorded[BookOrder]]] = {}
        self._states: dict[Id, list[Recorded[BookOrder]]] = {}
        self._balances: dict[tuple[Id, Id], list[Recorded[Holding]]] = {}
        self._nonces: dict[Id, list[Recorded[int]]] = {}
        self._accesses: dict[Id, list[Recorded[Access]]] = {}
        self._levels: dict[Id, deque[Recorded[Sequence[LevelChange]]]] = {}

    # -- the truth ---------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """Whether nothing was forgotten."""
        return self._complete

    def trades(self, market: Market | Id) -> tuple[Recorded[Trade], ...]:
        """Return every trade of a market, in order.

        Raises:
          AuditOverflow: not all of them are known any more.
        """
        self._check()
        return tuple(self._trades.get(_market_id(market), ()))

    def orders(
        self, account: Account | Id, market: Market | Id | None = None, *, start: int = 0
    ) -> tuple[Recorded[Order], ...]:
        """Return every state that any order of an account ever had, in order; one per order and block.

        Args:
          account: whose.
          market: of this market only.
          start: pass over so many of the account's records, for who reads on and on.

        Raises:
          AuditOverflow: not all of them are known any more.
        """
        self._check()
        wanted = None if market is None else _market_id(market)
        return _mapped(
            (
                record
                for record in islice(self._orders.get(_account_id(account), ()), start, None)
                if wanted in {None, record.value.market_id}
            ),
            _order,
        )

    def balances(self, account: Account | Id, asset: Id, *, start: int = 0) -> tuple[Recorded[Balance], ...]:
        """Return every holding that an account ever had of an asset, in order; one per block.

        Args:
          account: whose.
          asset: of what.
          start: pass over so many records.

        Raises:
          AuditOverflow: not all of them are known any more.
        """
        self._check()
        key = _account_id(account)
        held = self._balances.get((key, asset), ())[start:]
        if not held:
            return ()
        identity = Identity.contract(key)
        return _mapped(held, lambda holding: balance_of(identity, asset, holding))

    def nonces(self, account: Account | Id) -> tuple[Recorded[int], ...]:
        """Return every value that an account's nonce ever took after its 0, in order; one per block.

        Raises:
          AuditOverflow: not all of them are known any more.
        """
        self._check()
        return tuple(self._nonces.get(_account_id(account), ()))

    def levels(self, market: Market | Id) -> Sequence[Recorded[Sequence[LevelChange]]]:
        """Return what happened to a market's price levels, block by block, in the last minute at least."""
        return self._levels.get(_market_id(market), ())

    def _check(self) -> None:
        if not self._complete:
            raise AuditOverflow(
                f"{self.records} records were made, but only {self.limit} are remembered; raise audit.limit"
                " at the beginning, or run for a shorter time"
            )

    # -- writing -----------------------------------------------------------------------------------

    def record(self, block: Block) -> None:
        """Write down what a block changed; orders and holdings are copied as they are now."""
        height, seen = block.height, block.seen_timestamp
        for market_id, trades in block.trades.items():
            self._add(self._trades, market_id, *(Recorded(height, seen, trade) for trade in trades))
        for order in block.orders:
            state = Recorded(height, seen, order.copy())
            self._add(self._orders, order.owner.id, state)
            self._states.setdefault(order.order_id, []).append(state)
        for account, asset in block.balances:
            key = (account.trade_account_id, asset)
            self._add(self._balances, key, Recorded(height, seen, account.holding(asset)))
        for account in block.nonces:
            self._add(self._nonces, account.trade_account_id, Recorded(height, seen, account.nonce))
        for account in block.accesses:
            self._add(self._accesses, account.trade_account_id, Recorded(height, seen, account.access))
        for market_id, changes in block.levels.items():
            self._levels.setdefault(market_id, deque()).append(Recorded(height, seen, changes))
        cut = seen - int(MAX_STALE_SECONDS * 1_000_000_000)
        for changed in self._levels.values():
            while changed and changed[0].seen_timestamp <= cut:
                changed.popleft()
        # Not again with every block when what must be kept alone exceeds the limit.
        if self._held > max(self.limit, 2 * self._kept):
            self._shrink(cut)

    def _add(self, table: dict[U, list[Recorded[T]]], key: U, *records: Recorded[T]) -> None:
        table.setdefault(key, []).extend(records)
        self.records += len(records)
        self._held += len(records)

    def _shrink(self, cut: int) -> None:
        """Forget what is not needed to tell the world at `cut` and since."""
        self._complete = False
        _shorten(self._states, cut)
        for order_id in [key for key, states in self._states.items() if _is_over(states[-1], cut)]:
            del self._states[order_id]
        self._held = self._kept = (
            _shorten(self._trades, cut)
            + _shorten(self._orders, cut)
            + _shorten(self._balances, cut)
            + _shorten(self._nonces, cut)
            + _shorten(self._accesses, cut)
        )

    # -- the past ----------------------------------------------------------------------------------

    def trades_at(self, market_id: Id, moment: int) -> Sequence[Trade]:
        """Return the trades of a market that were known at `moment`."""
        records = self._trades.get(market_id, [])
        return [record.value for record in records[: _until(records, moment)]]

    def order_at(self, order: BookOrder, moment: int) -> BookOrder | None:
        """Return an order as it was at `moment`; None if it had not been placed."""
        states = self._states.get(order.order_id)
        if states is None:  # in no block yet, or closed so long ago that its states are forgotten
            return order if order.created <= moment else None
        record = latest(states, moment)
        return None if record is None else record.value

    def balance_at(self, account: Account, asset: Id, moment: int) -> Balance:
        """Return a holding as it was at `moment`."""
        record = latest(self._balances.get((account.trade_account_id, asset), []), moment)
        return balance_of(account.identity, asset, NOTHING if record is None else record.value)

    def nonce_at(self, account: Account, moment: int) -> tuple[int, int]:
        """Return an account's nonce at `moment` and the block that made it."""
        record = latest(self._nonces.get(account.trade_account_id, []), moment)
        return (0, 0) if record is None else (record.value, record.height)

    def access_at(self, account: Account, moment: int) -> Access:
        """Return who could act for an account at `moment`, and with which parallel nonces."""
        record = latest(self._accesses.get(account.trade_account_id, []), moment)
        return Access() if record is None else record.value

    def changes_since(self, market_id: Id, moment: int) -> Sequence[LevelChange]:
        """Return what happened to a market's levels after `moment`."""
        records = self._levels.get(market_id, ())
        return [change for record in records if record.seen_timestamp > moment for change in record.value]


def _shorten(table: Mapping[U, list[Recorded[T]]], cut: int) -> int:
    """Forget the records that were no longer true at `cut`; return how many are left."""
    for records in table.values():
        del records[: max(_until(records, cut) - 1, 0)]
    return sum(map(len, table.values()))


def _is_over(state: Recorded[BookOrder], cut: int) -> bool:
    return state.value.close and state.seen_timestamp <= cut


def _market_id(market: Market | Id) -> Id:
    return market.market_id if isinstance(market, Market) else market


def _account_id(account: Account | Id) -> Id:
    return account.trade_account_id if isinstance(account, Account) else account


def _mapped(records: Iterable[Recorded[T]], change: Callable[[T], U]) -> tuple[Recorded[U], ...]:
    return tuple(Recorded(record.height, record.seen_timestamp, change(record.value)) for record in records)


def _order(order: BookOrder) -> Order:
    """Return an order as a client's model."""
    return Order(
        order_id=order.order_id,
        side=order.side,
        order_type=order.order_type,
        price=order.price,
        quantity=order.quantity,
        quantity_fill=order.filled,
        price_fill=order.price_fill,
        timestamp=order.timestamp,
        close=order.close,
        cancel=order.cancel,
        partially_filled=order.is_partially_filled,
        owner=order.owner,
        market_id=order.market_id,
        fills=order.fills,
        history=tuple(
            OrderTransaction(tx_id=tx_id, status="confirmed", type=kind) for tx_id, kind in order.history
        ),
    )
