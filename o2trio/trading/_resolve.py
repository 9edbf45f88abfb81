"""Finding out what became of a submission whose answer was lost.

Two questions, one after the other. *Can it still run?* Its nonce tells: of all submissions with one nonce
only one runs. If the nonce is not used yet, the desk uses it up itself, with a harmless settlement, the
fence: once the fence has run, the lost submission never will. *Did it have an effect?* The orders tell: a
transaction does everything that it says, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import inf

import trio

from .._errors import ApiError, DecodeError, IncompletePages, InvalidRequest, RequestFailed
from .._trading_errors import OnChainRevert, OutcomeUnknown, SignerFailed
from ..models import Identity, Order
from ..rest._writes import AnswerLost
from ..transport._backoff import backoff_delays
from . import _refusals as refusals
from ._desk import Desk
from ._search import NotShown, effect, named_orders
from ._submission import Draft, Submission, Verdict
from ._tracks import Track

__all__ = ["MakeFence", "resolve"]

_UNREADABLE = (ApiError, RequestFailed, DecodeError, IncompletePages, NotShown)

MakeFence = Callable[[Track], Draft]
"""Returns a harmless submission of the same account for a track."""


class _Nonce(Enum):
    """What is known about the nonce of a lost submission."""

    OPEN = "it may still run"
    USED = "it ran, or something else did with its nonce"
    GONE = "it did not run and cannot run any more"


async def resolve(
    desk: Desk, outcome: OutcomeUnknown, make_fence: MakeFence
) -> tuple[Verdict, tuple[Order, ...]]:
    """Return what became of a lost submission, and the orders that it placed.

    Args:
      desk: of the account.
      outcome: which one.
      make_fence: makes what uses up its nonce.

    Raises:
      InvalidRequest: another client has raised it.
      OutcomeUnknown: the same one, when it cannot be found out within ``Options.resolve_timeout``. It stays
        among the unresolved.
    """
    if outcome.verdict is None and desk.unresolved.get(outcome.submission.number) is not outcome:
        raise InvalidRequest("only the client that sent a submission can find out what became of it")
    failure: Exception | None = None
    with trio.move_on_after(desk.options.resolve_timeout):
        async with desk.resolving:
            delays = backoff_delays(desk.options)
            while outcome.verdict is None:
                try:
                    await _look_into(desk, outcome, make_fence)
                except _UNREADABLE as error:
                    failure = error
                    await trio.sleep(next(delays))
    if outcome.verdict is None:
        # It may be raised many times: its traceback must not grow with each.
        raise outcome.with_traceback(None) from failure
    return outcome.verdict


async def _look_into(desk: Desk, outcome: OutcomeUnknown, make_fence: MakeFence) -> None:
    submission = outcome.submission
    # Those that could have placed the same orders are looked into first: which of them can have run?
    rivals: list[Submission] = []
    for rival in desk.rivals(submission):
        if await _nonce(desk, desk.unresolved[rival.number], make_fence) is _Nonce.GONE:
            desk.record(rival, Verdict.NEVER_RAN)
        else:
            rivals.append(rival)
    if await _nonce(desk, outcome, make_fence) is _Nonce.GONE:
        desk.record(submission, Verdict.NEVER_RAN)
    else:
        desk.record(submission, *await _effect(desk, outcome, rivals, make_fence(submission.track)))


# -- can it still run? ------------------------------------------------------------------------------


async def _nonce(desk: Desk, outcome: OutcomeUnknown, make_fence: MakeFence) -> _Nonce:
    """Find out what became of the nonce; return when that is certain."""
    submission = outcome.submission
    delays = backoff_delays(desk.options)
    while True:
        if outcome.confirmed:
            return _Nonce.USED
        if desk.ran_instead(submission):
            return _Nonce.GONE
        if await desk.shows_used(submission):
            return _Nonce.USED
        found = await _fence(desk, submission, make_fence(submission.track))
        if found is not _Nonce.OPEN:
            return found
        await trio.sleep(next(delays))


async def _fence(desk: Desk, submission: Submission, draft: Draft) -> _Nonce:
    """Try to use up the nonce."""
    await desk.rest.admit(draft.path, draft.owner)
    if submission.track is Track.PARALLEL:
        return await _send_fence(desk, draft, submission)
    async with desk.sequential.turn:
        if desk.sequential.floor > submission.nonce:
            return _Nonce.USED
        found = _Nonce.OPEN
        try:
            found = await _send_fence(desk, draft, submission)
        finally:
            if found is _Nonce.OPEN:
                desk.sequential.unknown(submission.nonce)
        return found


async def _send_fence(desk: Desk, draft: Draft, submission: Submission) -> _Nonce:
    try:
        await desk.send_fence(draft, submission.nonce, submission.track)
    except (AnswerLost, RequestFailed, SignerFailed):
        return _Nonce.OPEN
    except ApiError as error:
        if refusals.is_stale(error) or refusals.is_used(error):
            return _Nonce.USED
        if refusals.is_void(error):
            return await _after_the_end(desk, submission)
        if refusals.is_session_over(error):
            # What the same session has signed with a counter can run no more, even if the session is
            # registered again: that itself takes a nonce. Of anything else nothing follows.
            same = draft.session_id is not None and draft.session_id.id == submission.session_id
            if same and submission.track is Track.SEQUENTIAL:
                found = await _after_the_end(desk, submission)
                # One such refusal may be a mistake: what the account says itself counts for more.
                alive = not refusals.is_expired(error) and await _is_registered(desk, submission)
                return _Nonce.OPEN if found is _Nonce.GONE and alive else found
            return _Nonce.OPEN
        if isinstance(error, OnChainRevert):
            return _Nonce.OPEN
        raise
    return _Nonce.GONE


async def _after_the_end(desk: Desk, submission: Submission) -> _Nonce:
    """Tell about a submission that can run no more whether it ran, once reads have caught up."""
    await trio.sleep(desk.options.indexer_lag)
    return _Nonce.USED if await desk.shows_used(submission) else _Nonce.GONE


async def _is_registered(desk: Desk, submission: Submission) -> bool:
    """Whether the account names the session that has signed a submission, or names one unreadably."""
    state = await desk.rest.account(desk.account)
    known = None if state is None else state.session
    if state is not None and "session" in state.unread:
        return True
    return known is not None and known.session_id.id == submission.session_id


# -- did it have an effect? -------------------------------------------------------------------------


async def _effect(
    desk: Desk, outcome: OutcomeUnknown, rivals: list[Submission], fence: Draft
) -> tuple[Verdict, tuple[Order, ...]]:
    """Tell what a submission did that can run no more."""
    submission = outcome.submission
    if submission.creates or submission.cancels:
        orders = await named_orders(desk, outcome)
        if orders is None:
            orders = await effect(desk, submission, rivals, seconds=inf, confirmed=outcome.confirmed)
        return (Verdict.REVERTED, ()) if orders is None else (Verdict.LANDED, orders)
    account = Identity.contract(desk.account)
    if submission.actions and {*submission.actions} <= {*fence.actions} and _is_alone(desk, submission):
        # If it was not this settlement that used the nonce, then the fence was, which is the same.
        return Verdict.LANDED, ()
    if submission.withdrawal is not None and desk.is_only_withdrawal(submission):
        await trio.sleep(desk.options.indexer_lag)
        balance = await desk.rest.balance(account, submission.withdrawal.asset_id)
        if balance.total == submission.withdrawal.total_before - submission.withdrawal.amount:
            return Verdict.LANDED, ()
    return Verdict.UNDECIDED, ()


def _is_alone(desk: Desk, submission: Submission) -> bool:
    """Whether no other unresolved submission has the same nonce."""
    same = [
        outcome
        for outcome in desk.unresolved.values()
        if (outcome.submission.track, outcome.submission.nonce) == (submission.track, submission.nonce)
    ]
    return len(same) == 1
