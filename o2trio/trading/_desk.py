"""Everything that one client sends in the name of one trading account goes over its desk.

A signed submission is sent once. Whatever happens to it, the desk knows: it ran, it was refused, it never
left, or nobody knows yet. What the submissions say is decided by those who draft them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count

import attrs
import trio

from .._errors import ApiError, DecodeError, InvalidRequest, RequestFailed
from .._network import Options
from .._trading_errors import OnChainRevert, OutcomeUnknown
from ..models import Id, Identity, Order
from ..rest import RestClient
from ..rest._writes import AnswerLost
from . import _refusals as refusals
from ._actions import CreateOrder
from ._bytes import ParallelNonce
from ._ledger import Ledger
from ._search import NotShown, effect, named_orders
from ._signature_keys import ParallelKey, SignatureKey
from ._signing import signature_of
from ._submission import Draft, Ran, Submission, Verdict
from ._tracks import Lane, SequentialTrack, Track

__all__ = ["Desk"]

ATTEMPTS = 3
"""How often a submission is signed anew after the exchange has refused its sequential nonce."""

REMEMBERED = 1000
"""Nonces of which it is remembered who used them, and withdrawals."""

_numbers = count(1)


class Desk:
    """The desk of one trading account.

    Args:
      account: which one.
      rest: the REST client.
      options: limits and intervals.
      now: the exchange's time in seconds since 1970.
      signature_key: see ``NetworkConfig.parallel_signature_key``.

    Attributes:
      sequential: the account's counter.
      ledger: the account's orders.
      unresolved: the submissions of which nobody knows yet what they did, by number.
      resolving: held while one of them is looked into.
    """

    def __init__(
        self,
        account: Id,
        rest: RestClient,
        options: Options,
        now: Callable[[], float],
        signature_key: str | None = None,
    ) -> None:
        self.account = account
        self.rest = rest
        self.options = options
        self.now = now
        self.ledger = Ledger()
        self.sequential = SequentialTrack(self._read_nonce, options.indexer_lag)
        self.unresolved: dict[int, OutcomeUnknown] = {}
        self.resolving = trio.Lock()
        self._lanes: dict[int, Lane] = {}
        self._in_flight: dict[int, Submission] = {}
        self._landed = trio.Event()
        self._ran: dict[tuple[Track, int], int] = {}
        self._withdrawals: deque[Submission] = deque(maxlen=REMEMBERED)
        self._parallel_key = ParallelKey(signature_key)

    # -- what others ask for ------------------------------------------------------------------------

    def lane(self, number: int) -> Lane:
        """Return a lane of parallel nonces."""
        if number not in self._lanes:
            read = partial(self.rest.account_window, self.account)
            self._lanes[number] = Lane(number, read, self.now)
        return self._lanes[number]

    async def submit(self, draft: Draft, lane: int | None = None) -> Ran:
        """Sign and send a submission, once, with the right nonce; return it with the orders that it placed.

        It is signed and sent again only after an explicit refusal which proves that it did not run: a nonce
        that was not the right one. Cancelled, or without an answer, it is among :attr:`unresolved`.

        Args:
          draft: what to submit.
          lane: of parallel nonces; None for the sequential one.

        Raises:
          OutcomeUnknown: it left, and nobody knows what it did.
          OnChainRevert: it ran and failed as a whole.
          ApiError: it was refused and did not run.
          RequestFailed: it did not leave.
          SignerFailed: it was not signed.
        """
        if len(self.unresolved) >= self.options.max_unresolved:
            raise InvalidRequest(
                f"the outcome of {len(self.unresolved)} submissions is unknown: resolve them before new ones"
            )
        # Before anything is held that others wait for, and before a nonce begins to age.
        await self.rest.admit(draft.path, draft.owner)
        if lane is None:
            async with self.sequential.turn:
                ran = await self._submit_in_turn(draft)
        else:
            async with self.lane(lane).in_flight:
                ran = await self._submit_at_once(draft, self.lane(lane))
        return ran if ran.orders is not None else await self._name_orders(ran)

    async def send_fence(self, draft: Draft, nonce: int, track: Track) -> None:
        """Sign and send something harmless with exactly this nonce, once.

        Raises:
          AnswerLost: it left, and nobody knows whether it ran.
          OnChainRevert, ApiError, RequestFailed, SignerFailed: as for :meth:`submit`.
        """
        submission = self._submission(draft, nonce, track)
        await self._send(submission, draft, lambda _is_under_way: None)
        self._note_ran(submission)

    def record(self, submission: Submission, verdict: Verdict, orders: tuple[Order, ...] = ()) -> None:
        """Note what became of an unresolved submission, and the orders that it placed."""
        self.ledger.claim(orders)
        outcome = self.unresolved.pop(submission.number, None)
        if outcome is not None:
            outcome.verdict = verdict, orders

    def ran_instead(self, submission: Submission) -> bool:
        """Whether another submission of this desk is known to have run with the same nonce."""
        winner = self._ran.get((submission.track, submission.nonce))
        return winner is not None and winner != submission.number

    async def shows_used(self, submission: Submission) -> bool:
        """Ask the exchange whether a nonce is used; what it answers, its lists of orders know too."""
        if submission.track is Track.SEQUENTIAL:
            nonce = await self._read_nonce()
            self.sequential.told(nonce)
            return nonce > submission.nonce
        parallel = ParallelNonce.unpack(submission.nonce)
        # Words that the window has left behind are forgotten: they can be used no more.
        return await self.lane(parallel.lane).is_used(parallel) is not False

    async def others_landed(self, submission: Submission) -> None:
        """Wait until what is under way now and places some of the same orders is answered."""
        waiting = {
            number
            for number, other in self._in_flight.items()
            if number != submission.number and _overlap(submission, other)
        }
        while waiting & self._in_flight.keys():
            await self._landed.wait()

    def rivals(self, submission: Submission) -> list[Submission]:
        """Return the other unresolved submissions that place some of the same orders."""
        others = [outcome.submission for outcome in self.unresolved.values()]
        return [each for each in others if each.number != submission.number and _overlap(submission, each)]

    def is_only_withdrawal(self, submission: Submission) -> bool:
        """Whether no other withdrawal of the same asset was sent since shortly before this one."""
        mine = submission.withdrawal
        since = submission.sent_at - 2 * self.options.indexer_lag - self.options.submit_timeout
        return mine is not None and not any(
            other.number != submission.number
            and other.sent_at >= since
            and other.withdrawal is not None
            and other.withdrawal.asset_id == mine.asset_id
            for other in self._withdrawals
        )

    # -- the two tracks -----------------------------------------------------------------------------

    async def _submit_in_turn(self, draft: Draft) -> Ran:
        track = self.sequential
        attempts = ATTEMPTS
        while True:
            attempts -= 1
            draft = await self._with_total(draft)
            submission = self._submission(draft, await track.next(), Track.SEQUENTIAL)
            try:
                return await self._attempt(submission, draft)
            except ApiError as error:
                ran, again = await self._after_refusal(submission, error)
                if ran is not None:
                    return ran
                if not again or not attempts:
                    raise

    async def _after_refusal(self, submission: Submission, error: ApiError) -> tuple[Ran | None, bool]:
        """Judge a refusal: return the submission if it ran nevertheless, and whether to sign it again."""
        track, nonce = self.sequential, submission.nonce
        stale, right = refusals.is_stale(error), refusals.right_nonce(error)
        if not stale and isinstance(error, OnChainRevert):
            track.reverted(nonce)
            track.named(nonce, right)
            return None, False
        # A wrong signature and a wrong nonce inside the signed bytes look alike from outside.
        if not stale and not refusals.is_bad_signature(error):
            return None, False
        try:
            if not stale and not await track.passes(nonce):
                return None, False
            is_used = right is not None and right > nonce
            orders = await self._effect_of_refused(submission, is_used=is_used)
        except BaseException as failure:
            lost = self._lost(submission, "the exchange says that its nonce is used")
            if isinstance(failure, Exception):
                raise lost from failure
            raise
        if orders is None:
            return None, track.named(nonce, right) or await track.skip(nonce)
        self.ledger.claim(orders)
        self._note_ran(submission)
        return Ran(submission, None, orders), False

    async def _effect_of_refused(self, submission: Submission, *, is_used: bool) -> tuple[Order, ...] | None:
        """Return the orders of a submission that was refused for its nonce but ran nevertheless, or None.

        A gateway that repeats a request by itself makes it look so: the first copy runs, the second is
        refused, and only the second answer arrives.

        Raises:
          NotShown: that cannot be told, or not yet.
          ApiError, RequestFailed, DecodeError, IncompletePages: the orders cannot be read.
        """
        if submission.withdrawal is not None or self._unlike(submission):
            raise NotShown("nothing that the exchange shows tells whose effect it is")
        if not submission.creates and not submission.cancels:
            return None  # To do it twice has the same effect as to do it once.
        try:
            return await effect(self, submission, seconds=self.options.submit_timeout)
        except NotShown:
            if is_used or self.sequential.floor >= submission.nonce:
                raise
            return None  # The nonce was ahead of the exchange's: it is not used at all.

    async def _submit_at_once(self, draft: Draft, lane: Lane) -> Ran:
        again = True
        while True:
            draft = await self._with_total(draft)
            nonce = await lane.next()
            submission = self._submission(draft, nonce.pack(), Track.PARALLEL)
            try:
                return await self._attempt(submission, draft)
            except ApiError as error:
                if refusals.is_used(error):
                    raise self._lost(submission, "the exchange says that its nonce is used") from error
                if not refusals.is_void(error) or not again:
                    raise
                lane.refused(nonce)
                again = False

    # -- one attempt --------------------------------------------------------------------------------

    def _submission(self, draft: Draft, nonce: int, track: Track) -> Submission:
        markets = {action.market.market_id for action in draft.actions if isinstance(action, CreateOrder)}
        return Submission(
            number=next(_numbers),
            purpose=draft.purpose,
            account=self.account,
            track=track,
            nonce=nonce,
            sent_at=trio.current_time(),
            session_id=None if draft.session_id is None else draft.session_id.id,
            actions=draft.actions,
            withdrawal=draft.withdrawal,
            since={market_id: self.ledger.newest(market_id) or 0 for market_id in markets},
            seen=self.ledger.seen,
        )

    async def _attempt(self, submission: Submission, draft: Draft) -> Ran:
        """Send it; if no answer comes, or one that does not name its orders, put it among the unresolved."""
        number = submission.number
        if submission.withdrawal is not None:
            self._withdrawals.append(submission)

        def note(is_under_way: bool) -> None:
            if is_under_way:
                self._in_flight[number] = submission
            else:
                self._in_flight.pop(number, None)

        try:
            ran = await self._send(submission, draft, note)
        except AnswerLost as error:
            raise self._lost(submission, str(error)) from error
        except (ApiError, RequestFailed):
            raise
        except BaseException:
            # Cancelled, or interrupted: the submission does not care.
            if number in self._in_flight:
                self._lost(submission, "the call was cancelled")
            raise
        finally:
            if self._in_flight.pop(number, None) is not None:
                self._landed.set()
                self._landed = trio.Event()
        self._note_ran(submission)
        if ran.orders is None:
            outcome = OutcomeUnknown(f"{submission} has run, but its orders are not known", submission)
            outcome.confirmed = True
            outcome.named, outcome.order_ids = ran.named, ran.order_ids
            self.unresolved[number] = outcome
        return ran

    async def _send(self, submission: Submission, draft: Draft, note: Callable[[bool], None]) -> Ran:
        """Sign and send it; once more under the other key where ``_signature_keys`` allows that.

        `note` is called with True before it leaves, and with False once the exchange has refused it.
        """
        request, track, keys = draft.request(submission.nonce), submission.track, self._parallel_key
        signature = await signature_of(draft.signer, request, self.options.signer_timeout)

        async def send(key: SignatureKey) -> Ran:
            nonce = "parallel_nonce" if track is Track.PARALLEL else "nonce"
            body = {**draft.body, nonce: str(submission.nonce), "signature": {key.value: signature}}
            answer = await self.rest.submit(
                draft.method, draft.path, body, owner=draft.owner, on_sent=lambda: note(True)
            )
            keys.accepted(key, request, track)
            orders = self.ledger.claim_named(submission, answer.orders)
            return Ran(submission, answer.tx_id, orders, answer.orders, answer.order_ids)

        key = keys.first(request, track)
        try:
            return await send(key)
        except ApiError as error:
            other = keys.after(error, key, request, track)
            if other is None:
                raise
            refusal = error
        note(False)
        await self.rest.admit(draft.path, draft.owner)
        try:
            return await send(other)
        except ApiError as error:
            # If the other key is refused like the first, the first refusal says more.
            raise (refusal if refusals.may_mean_signature_key(error) else error) from None

    async def _name_orders(self, ran: Ran) -> Ran:
        """Find the orders of a submission that ran for sure, but whose answer does not name them."""
        submission = ran.submission
        outcome = self.unresolved[submission.number]
        seconds, rivals = self.options.submit_timeout, self._unlike(submission)
        try:
            async with self.resolving:
                if outcome.verdict is None:
                    orders = await named_orders(self, outcome)
                    if orders is None:
                        orders = await effect(self, submission, rivals, seconds=seconds, confirmed=True)
                    self.record(submission, Verdict.LANDED, orders or ())
        except Exception as error:  # Whatever it is, the submission is among the unresolved.
            raise outcome from error
        assert outcome.verdict is not None
        return attrs.evolve(ran, orders=outcome.verdict[1])

    def _unlike(self, submission: Submission) -> list[Submission]:
        """Return the rivals that ask for something else; of two equal ones either may have run."""
        return [rival for rival in self.rivals(submission) if rival.actions != submission.actions]

    def _lost(self, submission: Submission, why: str) -> OutcomeUnknown:
        """Put a submission among the unresolved."""
        if submission.track is Track.SEQUENTIAL:
            self.sequential.unknown(submission.nonce)
        text = f"nobody knows whether {submission} has run ({why}); resolve() finds out"
        outcome = self.unresolved[submission.number] = OutcomeUnknown(text, submission)
        return outcome

    def _note_ran(self, submission: Submission) -> None:
        if submission.track is Track.SEQUENTIAL:
            self.sequential.used(submission.nonce)
        self._ran[submission.track, submission.nonce] = submission.number
        if len(self._ran) > REMEMBERED:
            del self._ran[next(iter(self._ran))]

    async def _with_total(self, draft: Draft) -> Draft:
        """Add what the account holds before a withdrawal; it may tell afterwards whether it ran."""
        withdrawal = draft.withdrawal
        if withdrawal is None:
            return draft
        before = await self.rest.balance(Identity.contract(self.account), withdrawal.asset_id)
        return attrs.evolve(draft, withdrawal=attrs.evolve(withdrawal, total_before=before.total))

    async def _read_nonce(self) -> int:
        state = await self.rest.account(self.account)
        if state is not None and state.nonce is None and state.unread.keys() & {"nonce", "trade_account"}:
            raise DecodeError(f"the nonce of account {self.account} cannot be read", path="$", frame="")
        # An account that is too new to be listed has not used any.
        return 0 if state is None or state.nonce is None else state.nonce


def _overlap(one: Submission, other: Submission) -> bool:
    """Whether two submissions place an order with the same terms."""
    return not set(one.creates).isdisjoint(other.creates)
