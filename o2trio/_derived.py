"""Streams that are worked out from other streams by whoever receives from them: no task, no lost item.

What is worked out is in ``_bars`` and ``_ticker``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from types import TracebackType
from typing import Generic, Self, TypeVar

import trio

from .streams._subscription import forget_frames

__all__ = ["DerivedStream"]

T_co = TypeVar("T_co", covariant=True)


class DerivedStream(trio.abc.ReceiveChannel[T_co], Generic[T_co]):
    """Items worked out from one or more subscriptions, to be used like a :class:`Subscription`.

    All work is done inside :meth:`receive`, so nothing outlives its user. Two tasks share the items.
    """

    def __init__(self) -> None:
        self._ready: deque[T_co] = deque()
        self._one_at_a_time = trio.Lock()
        self._started = False
        self._closed = False

    async def __aenter__(self) -> Self:
        """Subscribe, and read over REST what is needed for a right beginning.

        Raises:
          ApiError, RequestFailed, DecodeError: it could not be read.

        Otherwise raises as entering a :class:`Subscription` does. If cancelled or failed, the subscription
        is not made, and may be entered again.
        """
        async with self._one_at_a_time:
            await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def receive(self) -> T_co:
        """Return the next item, waiting for it if need be.

        Every call is a checkpoint, and a cancelled call loses no item.

        Raises:
          trio.EndOfChannel: the client was closed.
          trio.ClosedResourceError: this stream was closed.
          O2ConnectionLost, SubscriptionRejected, SubscriptionTimeout: a stream behind it is over; so says
            every further call.
        """
        async with self._one_at_a_time:
            await self._begin()
            while not self._ready:
                await self._work()
                self._check_open()
            return self._ready.popleft()

    async def __anext__(self) -> T_co:
        """Do as :meth:`receive`, but end the loop where that raises ``trio.EndOfChannel``."""
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        except BaseException as error:
            forget_frames(error)
            del self
            raise

    def close(self) -> None:
        """Leave the stream at once. Tasks waiting in :meth:`receive` get ``trio.ClosedResourceError``."""
        self._closed = True
        self._ready.clear()
        self._leave()

    async def aclose(self) -> None:
        """Do as :meth:`close`, then let other tasks run."""
        self.close()
        await trio.lowlevel.checkpoint()

    async def _begin(self) -> None:
        self._check_open()
        if not self._started:
            try:
                await self._start()
            except BaseException:
                self._leave()
                raise
            self._check_open()
            self._started = True

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError

    @abstractmethod
    async def _start(self) -> None:
        """Subscribe, and put into ``_ready`` what is known at once. May be called again after a failure."""

    @abstractmethod
    async def _work(self) -> None:
        """Wait for news and put what follows from them into ``_ready``. Cancelled, it must lose nothing."""

    @abstractmethod
    def _leave(self) -> None:
        """Close all subscriptions."""
