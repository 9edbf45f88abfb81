"""Consumers that trade: place, cancel, lose patience, ask what came of it; judged by the exchange's books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeAlias

import attrs
import trio

from .._client import O2Client
from .._errors import O2Error, RequestFailed
from .._trading_errors import AccountMissing, OutcomeUnknown
from ..models import Id, Side
from ..simulator import BookOrder
from ..trading import FuelWallet, NewOrder, Raw, Resolved, Session, SessionOrder, Verdict
from ..trading._submission import Submission
from ._users import Manner, User, is_calm
from ._world import Phase, Promise, World

__all__ = ["Attempt", "Terms", "Trader", "judge_orders"]

_PAIR = "fFUEL/fUSDC"
_BUY, _SELL = 20_000, 40_000
"""Prices (chain units) around the market: what is placed mostly rests, and is sometimes taken."""

_ACTIONS = 30
_EVERY_SECONDS = 60.0
_TWIN_QUANTITY = 1000
_UNIT = 10**9

Terms: TypeAlias = tuple[Side, int, int, str]
"""Side, price, quantity and type: the name of an order, except that twins share theirs."""


@attrs.define(eq=False)
class Attempt:
    """One call of a trader; it ended ``placed``, ``unknown``, ``refused``, ``not sent`` or ``cancelled``."""

    terms: Terms
    is_twin: bool
    era: int
    end: str = "cancelled"
    placed: SessionOrder | None = None
    is_cancelled: bool | None = None


@attrs.define(eq=False)
class _Loss:
    """A submission whose answer was lost: in which era it was made, and what became of it.

    It is forsaken when another client is used: only the one that sent it could find out.
    """

    outcome: OutcomeUnknown
    era: int
    resolved: Resolved | None = None
    resolved_in: int = 0
    is_forsaken: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it can be asked what became of it, and is not known yet."""
        return self.resolved is None and not self.is_forsaken

    @property
    def is_judged(self) -> bool:
        """Whether the exchange that it was sent to is the one that was asked."""
        return self.resolved is not None and self.era == self.resolved_in


class Trader(User):
    """Has a session on one market and trades in it until it has done enough; then finds out what is unknown.

    Args:
      random: of everything that it draws.
      lane: of parallel nonces, or None for the sequential one.
    """

    subscriptions = 2

    def __init__(self, random: Random, lane: int | None = None) -> None:
        super().__init__(random, Manner(delay=120.0))
        self._lane = lane
        self._owner = FuelWallet.from_key(f"{random.getrandbits(200) + 1:064x}")
        self._key = FuelWallet.from_key(f"{random.getrandbits(200) + 1:064x}")
        self._account: Id | None = None
        self._market_id: Id | None = None
        self._client: O2Client | None = None
        self._session: Session | None = None
        self._attempts: list[Attempt] = []
        self._losses: dict[int, _Loss] = {}

    # -- acting ------------------------------------------------------------------------------------

    async def _live(self, world: World, client: O2Client) -> None:
        if client is not self._client:
            self._client = client
            for loss in self._losses.values():
                loss.is_forsaken = loss.resolved is None
        if self._account is None:
            setup = await client.setup_account(self._owner)
            self._account = setup.account.trade_account_id
        async with client.session(self._owner, _PAIR, key=self._key, lane=self._lane) as session:
            self._session, self._opened = session, True
            self._market_id = session.markets[0].market_id
            try:
                while world.is_open(client):
                    if len(self._attempts) < _ACTIONS and world.phase is not Phase.REST:
                        await self._act(world, session)
                    self._note_losses(world, session)
                    await self._ask(world, session)
                    # The session goes on when the stream of its orders is over; who cares is told here.
                    with trio.move_on_after(self._random.uniform(0, _EVERY_SECONDS)):
                        await session.orders.changed()
                    await self._pause(world, client, self._random.uniform(0, _EVERY_SECONDS) / 2)
            finally:
                self._note_losses(world, session)
                self._session = None

    async def _act(self, world: World, session: Session) -> None:
        random = self._random
        attempt, order = self._draw(world, session)
        self._attempts.append(attempt)
        patience = random.uniform(0, 0.3) if random.random() < 0.15 else float("inf")
        with trio.move_on_after(patience):
            attempt.end = await self._place(session, order, attempt)
        self.updates += 1
        world.note(self.name, attempt.end, len(self._attempts))
        if attempt.placed is not None and attempt.placed.is_open and random.random() < 0.4:
            await trio.sleep(random.uniform(0, 5))
            await self._cancel(session, attempt, attempt.placed)

    async def _place(self, session: Session, order: NewOrder, attempt: Attempt) -> str:
        try:
            attempt.placed = await session.place(order)
        except OutcomeUnknown:
            return "unknown"
        except O2Error as error:
            return "not sent" if isinstance(error, RequestFailed) else "refused"
        return "placed"

    async def _cancel(self, session: Session, attempt: Attempt, order: SessionOrder) -> None:
        try:
            await session.cancel(order)
        except O2Error:
            # If its outcome is unknown, it is among those that are asked for.
            return
        attempt.is_cancelled = True

    def _draw(self, world: World, session: Session) -> tuple[Attempt, NewOrder]:
        random, serial = self._random, len(self._attempts) + 1
        is_twin = random.random() < 0.3
        side = random.choice((Side.BUY, Side.SELL))
        price = _BUY if side is Side.BUY else _SELL
        quantity = (_TWIN_QUANTITY + (0 if is_twin else serial)) * _UNIT
        kind = random.choice(("Spot", "Spot", "PostOnly", "FillOrKill"))
        attempt = Attempt((side, price, quantity, kind), is_twin, world.era.number)
        return attempt, NewOrder(
            session.markets[0], side, price=Raw(price), quantity=Raw(quantity), order_type=kind
        )

    def _note_losses(self, world: World, session: Session) -> None:
        # The era of the attempt, not that of now: the exchange may have restarted while it was under way.
        era = self._attempts[-1].era if self._attempts else world.era.number
        for outcome in session.unresolved:
            self._losses.setdefault(outcome.submission.number, _Loss(outcome, era))

    async def _ask(self, world: World, session: Session) -> None:
        """Find out what is unknown, some of it now and some later."""
        for loss in list(self._losses.values()):
            if loss.is_open and (self._random.random() < 0.5 or world.phase is not Phase.FAULTS):
                try:
                    loss.resolved = await session.resolve(loss.outcome)
                except O2Error as error:
                    world.note(self.name, "not resolved", type(error).__name__)
                    if is_calm(world):
                        raise
                else:
                    loss.resolved_in = world.era.number
                    world.note(self.name, "resolved", loss.resolved.verdict.value)

    def _refused(self, world: World, error: O2Error) -> None:
        # A new account may not be known yet to all of an exchange that has troubles.
        if not isinstance(error, AccountMissing) or is_calm(world):
            super()._refused(world, error)

    # -- judging -----------------------------------------------------------------------------------

    def check(self, world: World) -> None:
        """Compare what the client says with what the exchange has done."""
        session = self._session
        if session is None:
            self._broken(Promise.LIVENESS, "has no session, long after the last fault")
        unresolved = [loss for loss in self._losses.values() if loss.is_open] or session.unresolved
        if unresolved:
            self._broken(
                Promise.LIVENESS, f"{len(unresolved)} outcomes are unknown, long after the last fault"
            )
        assert self._account is not None
        assert self._market_id is not None
        eras = [era.exchange.orders_of(self._account, self._market_id) for era in world.eras]
        orders = [order for era in eras for order in era]
        judge_orders(self, self._attempts, orders)
        self._check_outcomes({order.order_id: order for order in orders})
        former = {order.order_id for era in eras[:-1] for order in era}
        self._check_open(session, eras[-1], former)

    def _check_open(self, session: Session, present: Iterable[BookOrder], former: set[Id]) -> None:
        """Compare the open orders; those that ended with a former life of the exchange stay in doubt."""
        known = {order.order_id for order in session.orders}
        if session.orders.is_stale and not known & former:
            self._broken(Promise.LIVENESS, "its orders are not fresh, long after the last fault")
        really = {order.order_id for order in present if not order.close}
        believed = known - former
        if believed != really:
            self._broken(
                Promise.STATE,
                f"open orders: {len(believed - really)} are not, {len(really - believed)} are not known",
            )

    def _check_outcomes(self, truth: dict[Id, BookOrder]) -> None:
        """Every order is credited to one call, and what was said of it is true."""
        credited: set[Id] = set()
        excused: set[Terms] = set()
        for attempt in self._attempts:
            if attempt.placed is not None:
                self._credit(credited, truth, attempt.placed.order_id, [attempt.terms])
                if attempt.is_cancelled and not truth[attempt.placed.order_id].cancel:
                    self._broken(Promise.OUTCOMES, "a cancellation was confirmed that never was")
        for loss in self._losses.values():
            wanted = _terms_of_submission(loss.outcome.submission)
            if not loss.is_judged:
                excused.update(wanted)
                continue
            assert loss.resolved is not None
            landed = loss.resolved.verdict is Verdict.LANDED
            if wanted and landed is not bool(loss.resolved.orders):
                self._broken(
                    Promise.OUTCOMES, f"{loss.resolved.verdict} with {len(loss.resolved.orders)} orders"
                )
            for order in loss.resolved.orders:
                self._credit(credited, truth, order.order_id, wanted)
            self._check_cancels(loss.outcome.submission, truth, landed=landed)
        unknown = [real for real in truth.values() if real.order_id not in credited]
        unknown = [real for real in unknown if terms_of(real) not in excused]
        if unknown:
            self._broken(Promise.OUTCOMES, f"nobody knows that {terms_of(unknown[0])} was placed")

    def _credit(
        self, credited: set[Id], truth: dict[Id, BookOrder], order_id: Id, wanted: Sequence[Terms]
    ) -> None:
        if order_id in credited:
            self._broken(Promise.OUTCOMES, f"order {order_id} was credited twice")
        if order_id not in truth:
            self._broken(Promise.OUTCOMES, f"there is no order {order_id}")
        if terms_of(truth[order_id]) not in wanted:
            self._broken(Promise.OUTCOMES, f"order {order_id} is not what was asked for")
        credited.add(order_id)

    def _check_cancels(self, submission: Submission, truth: dict[Id, BookOrder], *, landed: bool) -> None:
        for cancel in submission.cancels:
            order = truth.get(cancel.order_id)
            if order is not None and order.cancel is not landed:
                self._broken(Promise.OUTCOMES, f"a cancellation {'landed' if landed else 'failed'}: not so")


def terms_of(order: BookOrder) -> Terms:
    """Return the terms of an order of the exchange."""
    return order.side, order.price, order.quantity, order.order_type.name


def _terms_of_submission(submission: Submission) -> list[Terms]:
    return [(each.side, each.price, each.quantity, each.order_type.name) for each in submission.creates]


def judge_orders(user: User, attempts: Iterable[Attempt], orders: Iterable[BookOrder]) -> None:
    """Check that no order was placed twice: those without twins by their terms, twins by their number.

    Raises:
      BrokenPromise: more were placed than were asked for.
    """
    placed = Counter(map(terms_of, orders))
    wanted = Counter(attempt.terms for attempt in attempts)
    for terms, count in placed.items():
        if count > wanted[terms]:
            user._broken(
                Promise.NOT_TWICE, f"{count} orders of {terms[2]} {terms[3]}, but {wanted[terms]} were wanted"
            )
