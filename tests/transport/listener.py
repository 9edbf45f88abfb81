"""Takes the messages of a link one at a time, for tests that want to look at each."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import trio

from o2trio._nursery import BareNursery
from o2trio.transport._link import Link


class Listener:
    """What a link has delivered, and the link itself for the rest."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.send = link.send
        self.aclose = link.aclose
        self._messages: deque[str | bytes] = deque()
        self._ended: Exception | None = None
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def last_inbound(self) -> float:
        return self.link.last_inbound

    async def run(self) -> None:
        try:
            await self.link.deliver(self._take)
        except Exception as error:  # noqa: BLE001 - each `receive` raises it
            self._ended = error
        finally:
            self._changed.unpark_all()

    def _take(self, messages: Iterator[str | bytes]) -> bool:
        for message in messages:
            self._messages.append(message)
            self._changed.unpark()
        return False

    async def receive(self) -> str | bytes:
        while not self._messages:
            if self._ended is not None:
                raise self._ended
            await self._changed.park()
        return self._messages.popleft()


@asynccontextmanager
async def listening(link: Link) -> AsyncIterator[Listener]:
    async with BareNursery() as nursery:
        listener = Listener(link)
        nursery.start_soon(listener.run)
        yield listener
