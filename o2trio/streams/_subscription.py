"""The receive end that a consumer holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from traceback import clear_frames
from types import TracebackType
from typing import Generic, Self, TypeVar

import attrs
import trio

from .._errors import InvalidRequest, StreamGap
from ..models import Origin, Update
from ._mailbox import Mailbox

__all__ = ["Subscription", "SubscriptionStatistics", "forget_frames"]

T_co = TypeVar("T_co", covariant=True)

_TURN = 64
"""Items that a receiver gets before other tasks have their turn."""


@attrs.frozen(slots=True, kw_only=True)
class SubscriptionStatistics:
    """What one subscription has seen.

    Attributes:
      delivered: items received by the consumer.
      buffered: items waiting for it.
      conflated: items replaced by a later state, or missing behind a gap mark, because the consumer was
        slow.
      backfilled: received items that were read over REST after a break.
      gaps: received gap marks.
      last_item_time: when the last item arrived, on Trio's clock; None before the first.
    """

    delivered: int
    buffered: int
    conflated: int
    backfilled: int
    gaps: int
    last_item_time: float | None


class Subscription(trio.abc.ReceiveChannel[T_co], Generic[T_co]):
    """The items of one stream, in order. Made by the ``stream_*`` methods, never directly.

    Use it in any of three ways: ``async with subscription as items: async for item in items``; or
    ``async for item in subscription`` alone, which subscribes with the first item and releases the
    subscription when the loop is left and the object collected; or hand it to a task. On CPython an object
    that nobody else refers to is collected at once, also after a cancellation; elsewhere it may take until
    the garbage collector runs. The client releases it at the latest when it is closed.

    Two tasks receiving from one subscription share its items, as with Trio's channels. For a copy of
    all items call ``stream_*`` again: it costs no second server subscription.
    """

    def __init__(
        self,
        mailbox: Mailbox[T_co],
        subscribe: Callable[[], Awaitable[None]],
        release: Callable[[], None],
        soon: Callable[[Callable[[], None]], None],
        *,
        raise_gaps: bool = False,
    ) -> None:
        self._mailbox = mailbox
        self._subscribe = subscribe
        self._release = release
        self._soon = soon
        self._raise_gaps = raise_gaps
        self._starting = trio.Lock()
        self._started = False
        self._closed = False
        self._turn = 0

    async def __aenter__(self) -> Self:
        """Subscribe; return once the request is on the wire and, for depth, the first snapshot is here.

        A stream that is broken for others begins for a newcomer when it is repaired, or its loss marked:
        once there is a connection again, that takes at most the time of a repair (see :class:`Options`).

        Raises:
          SubscriptionRejected: the exchange refused.
          SubscriptionTimeout: a depth stream got no snapshot in time.
          O2ConnectionLost: no connection, and no further attempts.
          UnknownMarket, TooManyConnections, RequestFailed, ApiError: see there.

        If cancelled, the subscription is not made, and may be entered again.
        """
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def receive(self) -> T_co:
        """Return the next item, waiting for it if need be.

        Every call checks for cancellation, and a cancelled call loses no item. Other tasks get their turn
        whenever the buffer is empty, and at the latest after 64 items.

        Raises:
          trio.EndOfChannel: the client was closed, and the buffer is empty.
          trio.ClosedResourceError: this subscription was closed.
          O2ConnectionLost, SubscriptionRejected, SubscriptionTimeout, ConsumerTooSlow: the stream is over,
            and the buffer is empty; so says every further call.
          StreamGap: something is missing here, and the stream was made with ``on_gap="raise"``; it goes on.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise trio.EndOfChannel from None

    async def __anext__(self) -> T_co:
        """Do as :meth:`receive`, but end the loop where that raises ``trio.EndOfChannel``."""
        # This is the direct way, and receive() the detour, because items mostly come in loops.
        try:
            if not self._started:
                await self._start()
            mailbox = self._mailbox
            self._turn += 1
            if self._turn < _TURN:
                await trio.lowlevel.checkpoint_if_cancelled()
            else:
                self._turn = 0
                await trio.lowlevel.checkpoint()
            while not mailbox.ready:
                self._turn = 0
                if self._closed or mailbox.ended:
                    await trio.lowlevel.checkpoint()
                    if self._closed:
                        raise trio.ClosedResourceError
                    raise mailbox.failure() if mailbox.failed else StopAsyncIteration
                await mailbox.arrived.park()
            return self._pop() if self._raise_gaps else mailbox.pop()
        except BaseException as error:
            forget_frames(error)
            del self
            raise

    def receive_nowait(self) -> T_co:
        """Return the next item if there is one.

        Raises:
          trio.WouldBlock: there is none yet.
          InvalidRequest: not subscribed yet; enter the subscription first.

        Otherwise as :meth:`receive`.
        """
        if self._closed:
            raise trio.ClosedResourceError
        if not self._started:
            raise InvalidRequest("not subscribed yet: enter the subscription with 'async with' first")
        if self._mailbox.ready:
            return self._pop()
        if self._mailbox.ended:
            raise self._mailbox.failure()
        raise trio.WouldBlock

    def batches(self) -> AsyncIterator[list[T_co]]:
        """Yield lists of everything that is there, at least one item each, until the stream ends.

        Cancellation and errors as in :meth:`receive`.
        """
        return _Batches(self, self._mailbox, self._raise_gaps)

    def close(self) -> None:
        """Leave the stream at once; the server subscription ends if this was its last consumer.

        What is buffered is dropped. Tasks waiting in :meth:`receive` get ``trio.ClosedResourceError``.
        """
        if not self._closed:
            self._closed = True
            self._release()
            self._mailbox.clear()
            self._mailbox.opened.set()
            self._mailbox.arrived.unpark_all()

    async def aclose(self) -> None:
        """Do as :meth:`close`, then let other tasks run."""
        self.close()
        await trio.lowlevel.checkpoint()

    def statistics(self) -> SubscriptionStatistics:
        """Return counters of what this subscription has seen so far."""
        mailbox = self._mailbox
        return SubscriptionStatistics(
            delivered=mailbox.delivered,
            buffered=len(mailbox),
            conflated=mailbox.conflated,
            backfilled=mailbox.backfilled,
            gaps=mailbox.gaps,
            last_item_time=mailbox.last_item_time,
        )

    def __del__(self) -> None:
        # A loop over a bare ``stream_*`` call was left. This may run anywhere, even in another thread,
        # so the release itself is left to the client's own thread.
        if not getattr(self, "_closed", True):
            self._soon(self._release)

    def _pop(self) -> T_co:
        item = self._mailbox.pop()
        if self._raise_gaps and isinstance(item, Update) and item.origin is Origin.GAP:
            raise StreamGap(item.gap)
        return item

    async def _start(self) -> None:
        async with self._starting:
            if self._closed:
                raise trio.ClosedResourceError
            if self._started:
                return
            try:
                await self._subscribe()
                if not self._closed:
                    await self._mailbox.opened.wait()
                if self._closed:
                    # Closed by another task meanwhile.
                    raise trio.ClosedResourceError
            except BaseException:
                self._release()
                self._mailbox.reset()
                raise
            self._started = True
        if self._mailbox.failed and not self._mailbox.ready:
            self._release()
            raise self._mailbox.failure()


class _Batches(Generic[T_co]):
    # No async generator: such a one, left in the middle, would wait for the garbage collector and warn.

    def __init__(self, subscription: Subscription[T_co], mailbox: Mailbox[T_co], raise_gaps: bool) -> None:
        self._subscription = subscription
        self._mailbox = mailbox
        self._raise_gaps = raise_gaps

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T_co]:
        try:
            batch = [await self._subscription.__anext__()]
        except BaseException:
            del self  # as in `Subscription.__anext__`
            raise
        mailbox = self._mailbox
        # A gap that is to be raised begins the next batch, so that nothing of this one is lost.
        if not self._raise_gaps:
            return batch + mailbox.pop_all()
        while mailbox.ready and not mailbox.next_is_gap:
            batch.append(mailbox.pop())
        return batch


def forget_frames(error: BaseException) -> None:
    """Release what the frames of a cancelled wait refer to.

    A loop over a bare ``stream_*`` call holds the only reference to its subscription, which is released when
    it is collected. A traceback refers to frames, and they to the subscription; how long a cancellation lives
    depends on the version of Python, so its frames let go of it here. Other errors may have been raised
    before, out of frames that still run, so theirs are left alone; each caller deletes its own `self`.
    """
    if isinstance(error, trio.Cancelled):
        clear_frames(error.__traceback__)
