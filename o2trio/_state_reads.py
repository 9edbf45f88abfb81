"""Reading the present state of accounts over REST: orders, balances and nonces, part by part.

A *part* is what has an answer of its own: the orders of an account in a market, one balance, one nonce. Parts
are read side by side, those first that a live update waits for, then those in which something is known to
be open. So when the time is over, what matters most has been read, and what has not been read can be named.
``recovery`` decides when to read and what to do with the result.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from functools import partial
from math import inf
from typing import NamedTuple, Protocol, TypeVar, cast

import trio

from ._api_errors import OrderNotFound
from ._errors import ApiError, CallerError, DecodeError, IncompletePages, O2Error
from ._network import Options
from ._side_by_side import side_by_side
from .models import (
    Balance,
    BalanceUpdate,
    Direction,
    Id,
    Identity,
    IdentityKind,
    Market,
    Markets,
    NonceUpdate,
    NotUnderstood,
    Order,
    OrderUpdate,
    Origin,
    Rows,
)
from .rest import MAX_ORDERS, RestClient
from .streams import State, StateMemory, Topic, order_part
from .streams._memory import DAY_SECONDS, created_at, newest_of
from .transport import backoff_delays
from .wire import AnyUpdate, Kind

__all__ = ["MarketLists", "Reader", "StateReading", "unread_rows"]

T = TypeVar("T")

_NAMED = 3
"""How many of the parts that could not be read are named."""
_WORDS = 200
"""How many characters of an error are repeated."""

_ODD_ANSWERS = 3
"""How often a read of a state is tried again whose answer cannot be read."""

_URGENT = 16
"""How many of the live updates that wait decide what is read next."""

Part = Hashable


class MarketLists(Protocol):
    """Gives the list of a venue's markets, read or remembered."""

    def __call__(self, *, turbo: bool = ...) -> Awaitable[Markets]:
        """Return the list."""
        ...


def unread_rows(page: tuple[object, ...]) -> tuple[NotUnderstood, ...]:
    """Return the rows of a page that were not understood."""
    return page.not_understood if isinstance(page, Rows) else ()


class Reader:
    """Repeats reads until they succeed, at most ``Options.repair_concurrency`` at a time for one client.

    Attributes:
      rest: where to read.
      markets: gives the list of a venue's markets, read or remembered.
      options: the limits.
    """

    def __init__(self, rest: RestClient, markets: MarketLists, options: Options) -> None:
        self.rest = rest
        self.markets = markets
        self.options = options
        self._limiter = trio.CapacityLimiter(options.repair_concurrency)

    async def persist(
        self, read: Callable[[], Awaitable[T]], note: Callable[[str], None], *, odd_answers: float = inf
    ) -> T:
        """Return what `read` returns, trying again until the caller's cancel scope ends it.

        Args:
          read: one request.
          note: is given each error in words before it is tried again.
          odd_answers: how often it is tried again because the answer cannot be read.

        Raises:
          CallerError, OrderNotFound, IncompletePages: trying again would not help.
          DecodeError: the answer still cannot be read after `odd_answers` more tries.
        """
        delays = backoff_delays(self.options)
        while True:
            try:
                async with self._limiter:
                    return await read()
            except (CallerError, OrderNotFound, IncompletePages):
                raise
            except O2Error as error:
                if isinstance(error, DecodeError):
                    if odd_answers <= 0:
                        raise
                    odd_answers -= 1
                note(f"{error!s:.{_WORDS}}")
                asked = (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
            await trio.sleep(max(next(delays), asked))


class StateReading:
    """One reading of the state of a topic, as far as it has come.

    Attributes:
      delivered: the parts that were read and delivered; filled by whoever delivers them.
    """

    def __init__(self, topic: Topic, reader: Reader) -> None:
        assert topic.memory is not None
        self._topic = topic
        self._memory: StateMemory = topic.memory
        self._reader = reader
        self._turbo = topic.key.turbo
        self._kind = _KINDS[topic.key.kind]
        self._is_repair = topic.state is State.REPAIRING
        self._is_over = self._has_begun = self._has_read = False
        self._names: dict[Part, str] = {}
        self._left: dict[Part, None] = {}
        self.delivered: set[Part] = set()
        self._fresh: dict[Part, int | None] = {}
        self._trouble = ""
        self._doubts: list[str] = []
        self._orders: dict[Id, Order] = {}
        self._found: dict[Id, Order] = {}
        self._lost: list[Id] = []
        self._odd: dict[str, NotUnderstood] = {}
        self._balances: dict[Identity, list[Balance]] = {}
        self._nonces: list[AnyUpdate] = []

    async def run(self, by: float) -> None:
        """Read everything that is wanted, until the time `by` at the latest."""
        with trio.CancelScope(deadline=by):
            try:
                await self._kind.read(self)
            except DecodeError as error:
                self._doubt(f"the list of markets: {error!s:.{_WORDS}}")
            self._is_over = True

    @property
    def has_news(self) -> bool:
        """Whether something was read that was not taken yet."""
        return bool(self._fresh or self._found)

    def take(self) -> tuple[list[AnyUpdate], dict[Part, int | None]]:
        """Return what was read since the last time: the state, and the parts (see ``StateMemory``)."""
        found, parts = self._nonces, self._fresh
        if self._found:
            found.append(OrderUpdate(orders=tuple(self._found.values()), origin=Origin.BACKFILL))
        if self._odd:
            found.append(OrderUpdate(origin=Origin.BACKFILL, not_understood=tuple(self._odd.values())))
        found += [
            BalanceUpdate(balance=tuple(balances), origin=Origin.BACKFILL)
            for balances in self._balances.values()
        ]
        self._nonces, self._fresh, self._found, self._odd, self._balances = [], {}, {}, {}, {}
        return found, parts

    def waits(self, update: AnyUpdate) -> bool:
        """Whether something that was missed before a live update may not have been delivered yet."""
        return not self._has_begun or any(
            part not in self.delivered and self._concerns(part, update) for part in self._names
        )

    def _concerns(self, part: Part, update: AnyUpdate) -> bool:
        entries = self._topic.behaviour.entries
        assert entries is not None
        return any(self._kind.concerns(part, entry) for _, entry in entries(update))

    @property
    def problem(self) -> str:
        """Why something is missing, in words of limited length; empty if nothing is."""
        problems = list(self._doubts)
        if self._lost:
            problems.append(f"the exchange no longer knows what was open: {_listed(self._lost)}")
        if not self._is_over:
            left = [self._names[part] for part in self._left]
            which = f" for {len(left)} of {len(self._names)}: {_listed(left)}" if self._has_read else ""
            why = f": {self._trouble}" if self._trouble else ""
            problems.append(f"no answer in time{which}{why}")
        return "; ".join(problems)

    # -- what all kinds share -------------------------------------------------------------------

    async def _ask(self, read: Callable[[], Awaitable[T]]) -> T:
        note = partial(setattr, self, "_trouble")
        return await self._reader.persist(read, note, odd_answers=_ODD_ANSWERS)

    async def _markets(self) -> Markets:
        return await self._ask(partial(self._reader.markets, turbo=self._turbo))

    async def _each(self, names: Mapping[Part, str], read: Callable[[Part], Awaitable[None]]) -> None:
        """Read parts side by side; each has a name for messages."""
        waiting = dict(names)

        def next_ones() -> Iterator[Part]:
            while waiting:
                held = self._topic.held[:_URGENT]
                urgent = (part for update in held for part in waiting if self._concerns(part, update))
                part = next(urgent, next(iter(waiting)))
                del waiting[part]
                yield part

        async def one(part: Part) -> None:
            try:
                await read(part)
            except (CallerError, DecodeError, IncompletePages) as error:
                self._doubt(f"{names[part]}: {error!s:.{_WORDS}}")
            else:
                self._has_read = True
            del self._left[part]

        self._names |= names
        self._left |= dict.fromkeys(names)
        self._has_begun = True
        at_once = min(self._reader.options.repair_concurrency, max(len(names), 1))
        await side_by_side(next_ones(), one, at_once)

    def _wanted(self, parts: Iterable[Part], interest: Callable[[Part], int]) -> list[Part]:
        """Return the parts to read, the most interesting ones first.

        Those are left out that were read since the last break. Of equal interest, those come first that could
        not be read the last time.
        """
        memory = self._memory
        wanted = [part for part in parts if part not in memory.read_to]
        return sorted(wanted, key=lambda part: (-interest(part), part in memory.baseline))

    def _doubt(self, words: str) -> None:
        if len(self._doubts) < _NAMED and words not in self._doubts:
            self._doubts.append(words)

    # -- nonces and balances --------------------------------------------------------------------

    async def read_nonces(self) -> None:
        """Read the nonce of each account."""

        async def read(part: Part) -> None:
            identity = parts[part]
            # A contract is the account itself, an address its owner.
            name = identity.id if identity.kind is IdentityKind.CONTRACT_ID else identity
            account = await self._ask(partial(self._reader.rest.account, name))
            if account is not None and account.nonce is not None:
                self._nonces.append(
                    NonceUpdate(
                        contract_id=account.trade_account_id, nonce=account.nonce, origin=Origin.BACKFILL
                    )
                )
            self._fresh[part] = None

        parts: dict[Part, Identity] = {each: each for each in self._topic.key.identities}
        wanted = self._wanted(parts, lambda _part: 0)
        await self._each({part: f"the nonce of {part}" for part in wanted}, read)

    async def read_balances(self) -> None:
        """Read the balance of each account in every asset of the listed markets, known ones first."""
        markets = await self._markets()
        assets = sorted({asset.asset for market in markets for asset in (market.base, market.quote)})
        parts: dict[Part, tuple[Identity, Id]] = {
            (identity, asset): (identity, asset)
            for identity in self._topic.key.identities
            for asset in assets
        }

        async def read(part: Part) -> None:
            identity, asset = parts[part]
            balance = await self._ask(partial(self._reader.rest.balance, identity, asset))
            self._balances.setdefault(identity, []).append(balance)
            self._fresh[part] = None

        wanted = self._wanted(parts, lambda part: part in self._memory.latest)
        await self._each({part: f"{parts[part][1]} of {parts[part][0]}" for part in wanted}, read)

    # -- orders ---------------------------------------------------------------------------------

    async def read_orders(self) -> None:
        """Read the orders of each account in every market, and what became of those that were open."""
        known = [order for order in self._memory.latest.values() if isinstance(order, Order)]
        was_open = [order for order in known if order.is_open] if self._is_repair else []
        traded = {order_part(order.market_id, order.owner) for order in known}
        markets = await self._markets()
        parts: dict[Part, tuple[Market, Identity]] = {
            order_part(market.market_id, identity): (market, identity)
            for market in markets
            for identity in self._topic.key.identities
        }
        opened = {
            part: [order for order in was_open if _may_be_of(order, market.market_id, identity)]
            for part, (market, identity) in parts.items()
        }

        async def read(part: Part) -> None:
            market, identity = parts[part]
            self._fresh[part] = await self._orders_of(part, market.market_id, identity, opened[part])

        wanted = self._wanted(parts, lambda part: 2 * bool(opened[part]) + (part in traded))
        names = {part: f"{parts[part][0].pair} of {parts[part][1]}" for part in wanted}
        await self._each(names, read)
        # What does not say where it is was looked for wherever it may still be open; it has ended.
        gone = self._not_found(was_open)
        everywhere = [market.market_id for market in markets]

        async def find(part: Part) -> None:
            order = by_id[part]
            await self._find(order, everywhere if order.market_id is None else [order.market_id])

        by_id: dict[Part, Order] = {order.order_id: order for order in gone}
        await self._each({part: f"order {part}" for part in by_id}, find)

    async def _orders_of(
        self, part: Part, market_id: Id, identity: Identity, was_open: Sequence[Order]
    ) -> int | None:
        """Read the orders of an account in a market, and return when the newest one was created.

        The newest ones are read back to the newest one that is known; if none is, one page of them. If that
        page is not all there is, or if some that were open are not in it, the open ones are read as well. An
        order that was open and is in neither list has ended; it is read alone.
        """
        known = self._memory.baseline.get(part)
        newest, is_whole = await self._newest_orders(market_id, identity, known)
        missing = self._not_found(was_open)
        if known is None and not is_whole and self._is_repair:
            self._doubt("it was not known yet which orders were open before the break")
        if not is_whole or len(missing) > 1 or any(order.market_id is None for order in missing):
            await self._take_all(
                self._reader.rest.iter_orders(market_id, identity, only_open=True, turbo=self._turbo)
            )
        for order in self._not_found(missing):
            if order.market_id == market_id and order.owner == identity:
                await self._find(order, [market_id])
        is_dated = all(created_at(order) is not None for order in newest)
        return newest_of(newest, known or 0) if is_dated else None

    async def _newest_orders(
        self, market_id: Id, identity: Identity, known: int | None
    ) -> tuple[list[Order], bool]:
        """Read the orders that were created since the time `known`; return whether they are all there are."""
        rest = self._reader.rest
        page = await self._ask(partial(rest.orders, market_id, identity, turbo=self._turbo))
        odd = unread_rows(page)
        self._odd |= {row.ids.get("order_id") or repr(row.raw): row for row in odd}
        self._take(page)
        if len(page) + len(odd) < MAX_ORDERS:
            return list(page), True
        if known is not None and known > newest_of(page) + DAY_SECONDS:
            known = 0  # A streamed time that is too late to be true: read all.
        if known is None or not page or _is_older(page[-1], known):
            return list(page), known is not None and bool(page)
        pages = rest.iter_orders(market_id, identity, Direction.DESCENDING, page[-1], turbo=self._turbo)
        more = await self._take_all(pages, until=partial(_is_older, time=known))
        return [*page, *more], True

    async def _take_all(
        self, pages: AsyncIterator[Order], until: Callable[[Order], bool] = lambda _order: False
    ) -> list[Order]:
        """Take in what `pages` bring, to the end or to the first one of which `until` is true."""
        found: list[Order] = []
        with suppress(StopAsyncIteration):
            while not found or not until(found[-1]):
                found.append(await self._ask(pages.__anext__))
                self._take(found[-1:])
        return found

    def _take(self, orders: Iterable[Order]) -> None:
        is_news = self._topic.behaviour.is_news
        assert is_news is not None
        for order in orders:
            if is_news(self._orders.get(order.order_id), order):
                self._orders[order.order_id] = self._found[order.order_id] = order

    def _not_found(self, orders: Iterable[Order]) -> list[Order]:
        """Return those of `orders` that were not read yet, and are not known to be lost."""
        return [
            order
            for order in orders
            if order.order_id not in self._orders and order.order_id not in self._lost
        ]

    async def _find(self, order: Order, markets: Iterable[Id]) -> None:
        """Read one order, which is in one of `markets`."""
        for market_id in markets:
            with suppress(OrderNotFound):
                self._take(
                    [
                        await self._ask(
                            partial(self._reader.rest.order, market_id, order.order_id, turbo=self._turbo)
                        )
                    ]
                )
                return
        self._lost.append(order.order_id)


def _may_be_of(order: Order, market_id: Id, identity: Identity) -> bool:
    return order.market_id in (None, market_id) and order.owner in (None, identity)


def _is_older(order: Order, time: int) -> bool:
    return 0 < (created_at(order) or 0) < time


def _listed(names: Iterable[str]) -> str:
    """Return the first few of `names` in one text."""
    every = list(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more


class _Kind(NamedTuple):
    """How the state of one kind of stream is read, and whether a part holds an entry of an update."""

    read: Callable[[StateReading], Awaitable[None]]
    concerns: Callable[[Part, object], bool]


def _has_order(part: Part, entry: object) -> bool:
    if isinstance(part, str):
        return False  # One order alone: what it says is older than a live update, and is left out.
    if not isinstance(entry, Order):
        return True  # A trigger order, or not understood: it may be of any part.
    market_id, owner = cast("tuple[Id, Identity]", part)
    return _may_be_of(entry, market_id, owner)


def _has_balance(part: Part, entry: object) -> bool:
    return not isinstance(entry, Balance) or part == (entry.identity, entry.asset_id)


def _has_nonce(part: Part, entry: object) -> bool:
    assert isinstance(part, Identity)
    assert isinstance(entry, NonceUpdate)
    # Which account an address owns is not known here.
    return part.kind is IdentityKind.ADDRESS or part.id == entry.contract_id


_KINDS: dict[Kind, _Kind] = {
    Kind.ORDERS: _Kind(StateReading.read_orders, _has_order),
    Kind.BALANCES: _Kind(StateReading.read_balances, _has_balance),
    Kind.NONCE: _Kind(StateReading.read_nonces, _has_nonce),
}
