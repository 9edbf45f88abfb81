"""What the streams need from the world around them; the client's runtime provides it, or a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from .._network import Options
from ..models import NotUnderstood
from ..wire import AnyUpdate
from ._events import Event as LifeCycleEvent
from ._mailbox import Mailbox
from ._oddities import Oddities

if TYPE_CHECKING:
    from ._port import Port
    from ._topic import Topic
    from ._trades import TradeLag

__all__ = ["Host"]


class Host(Protocol):
    """What the streams need from the world around them."""

    @property
    def options(self) -> Options:
        """The limits and intervals."""
        ...

    @property
    def oddities(self) -> Oddities:
        """Where what could not be understood is counted and reported."""
        ...

    def now(self) -> float:
        """Return the time on Trio's clock."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call `callback` after `delay` seconds, unless the client is closed by then."""
        ...

    def backoff(self) -> Iterator[float]:
        """Return a fresh sequence of waits."""
        ...

    def repair(self, topic: Topic) -> None:
        """Find out what `topic` missed, and call :meth:`Topic.repaired` later."""
        ...

    def learn(self, topic: Topic) -> None:
        """Find out how things stand at the beginning of `topic`, and call :meth:`Topic.learned` later."""
        ...

    def look_up(self, topic: Topic, entries: tuple[NotUnderstood, ...]) -> None:
        """Read the orders of `entries`, which were not understood, and call :meth:`Topic.looked_up` later."""
        ...

    def catch_up(self, topic: Topic, mailbox: Mailbox[AnyUpdate], lag: TradeLag) -> None:
        """Read for `mailbox` the trades that it missed, and end its lag later."""
        ...

    def run_connection(self, port: Port) -> None:
        """Keep a connection for `port` until it is retired or given up."""
        ...

    def emit(self, event: LifeCycleEvent) -> None:
        """Tell whoever listens."""
        ...
