"""Finding the effect of a submission on the orders, when its answer did not arrive or does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs
import trio

from .._api_errors import OrderNotFound
from .._errors import ApiError, DecodeError, RequestFailed, ServerError
from ..models import Direction, Id, Identity, Order
from ._submission import Submission

if TYPE_CHECKING:
    from .._trading_errors import OutcomeUnknown
    from ._desk import Desk

__all__ = ["NotShown", "effect", "named_orders"]

_PAGE = 50
"""Orders that are read at once; the wanted ones are among the newest."""

_LOOKS = 4
"""How often the exchange is asked within the time by which its answers may be old."""
_SHORTEST_SECONDS = 0.1


class NotShown(ServerError):
    """What the exchange shows does not tell the effect of a submission, or not yet."""


async def effect(
    desk: Desk,
    submission: Submission,
    rivals: Sequence[Submission] = (),
    *,
    seconds: float,
    confirmed: bool = False,
) -> tuple[Order, ...] | None:
    """Return the orders that a submission placed, or None if it had no effect and never will.

    A transaction does everything that it says or nothing. So one that places orders is judged by these, any
    other by the orders that it cancels. What is there is told at once. That it is not there is only told when
    reads show that the nonce is used, and when they have had the time to catch up (``Options.indexer_lag``).

    Args:
      desk: of the account.
      submission: places or cancels something, and can run no more.
      rivals: other such submissions, to which the same orders could belong.
      seconds: how long to look.
      confirmed: it is known to have run.

    Raises:
      NotShown: nothing is told within `seconds`.
      ApiError, RequestFailed, DecodeError, IncompletePages: the orders cannot be read.
    """
    lag = desk.options.indexer_lag
    began = trio.current_time()
    while True:
        waited = trio.current_time() - began
        # Asked first: the orders are read later, so they are at least as new.
        used = not confirmed and await desk.shows_used(submission)
        if await _has_cancelled(desk, submission):
            orders = await _placed(desk, submission, rivals) if submission.creates else ()
            if orders is not None:
                return orders
        if used and waited >= lag:
            return None
        if waited >= seconds:
            raise NotShown(f"within {seconds:g} s nothing shows what became of {submission}")
        await trio.sleep(max(lag / _LOOKS, _SHORTEST_SECONDS))


async def named_orders(desk: Desk, outcome: OutcomeUnknown) -> tuple[Order, ...] | None:
    """Return the orders of a submission that ran and whose answer holds the ids of those it does not show.

    Each is read by its id. One that cannot be read that way either has the terms that were asked for, and
    counts as open until its stream or a read says more.

    Returns:
      None if the answer does not name all of them.
    """
    submission, named, unread = outcome.submission, list(outcome.named), list(outcome.order_ids)
    if not unread or len(named) + len(unread) != len(submission.creates):
        return None
    markets = tuple(dict.fromkeys(action.market.market_id for action in submission.creates))
    deadline = trio.current_time() + desk.options.indexer_lag
    for order_id in outcome.order_ids:
        order = await _read_one(desk, markets, order_id, deadline)
        if order is not None:
            named.append(order)
            unread.remove(order_id)
    return desk.ledger.claim_named(submission, named, unread)


async def _read_one(desk: Desk, markets: Sequence[Id], order_id: Id, deadline: float) -> Order | None:
    """Read an order that surely exists on one of some markets; None if it cannot be read."""
    while True:
        late = trio.current_time() >= deadline
        for market_id in markets:
            with suppress(ApiError, RequestFailed, DecodeError):
                order = await desk.rest.order(market_id, order_id)
                return attrs.evolve(order, market_id=order.market_id or market_id)
        if late:
            return None
        await trio.sleep(max(desk.options.indexer_lag / _LOOKS, _SHORTEST_SECONDS))


async def _placed(
    desk: Desk, submission: Submission, rivals: Sequence[Submission]
) -> tuple[Order, ...] | None:
    possible = [rival for rival in rivals if await _has_cancelled(desk, rival)]
    since: dict[Id, int] = {}
    for one in (submission, *possible):
        for market_id, seconds in one.since.items():
            since[market_id] = min(seconds, since.get(market_id, seconds))
    for market_id, seconds in since.items():
        await _look(desk, market_id, seconds)
    # What is seen by now may belong to submissions that are still under way.
    await desk.others_landed(submission)
    return desk.ledger.match(submission, possible)


async def _has_cancelled(desk: Desk, submission: Submission) -> bool:
    """Whether everything is cancelled that a submission cancels, so that it can have run."""
    for action in submission.cancels:
        try:
            order = await desk.rest.order(action.market, action.order_id)
        except OrderNotFound:
            return False
        if not order.cancel:
            return False
    return True


async def _look(desk: Desk, market_id: Id, since: int) -> None:
    """Read an account's orders on a market into its ledger, down to those placed before `since` (seconds)."""
    account = Identity.contract(desk.account)
    async for order in desk.rest.iter_orders(market_id, account, Direction.DESCENDING, count=_PAGE):
        desk.ledger.observe(order, market_id)
        if order.time is not None and order.time.timestamp() < since:
            break
