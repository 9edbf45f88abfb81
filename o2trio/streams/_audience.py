"""Who listens to one topic: who gets its items now, and who still waits for something first."""

from __future__ import annotations

from collections.abc import Callable

from ..wire import AnyUpdate
from ._mailbox import Mailbox, Source

__all__ = ["Audience"]

_STINT = 32
_STINT_OF_A_MEMBER = 4
"""Items that come together, and how many more for each member: to wake it costs as much as a few of them."""


class Audience:
    """The consumers of one topic.

    Attributes:
      members: those that get every item.
      unseeded: those that asked for the present state and wait for it.
      late: those that came during a break; what mends it is from before their time.
      is_open: whether a newcomer may go on at once.
      is_crowded: whether the last items left somebody's buffer more than half full.
    """

    def __init__(self) -> None:
        self.members: list[Mailbox[AnyUpdate]] = []
        self.unseeded: list[Mailbox[AnyUpdate]] = []
        self.late: list[Mailbox[AnyUpdate]] = []
        self.is_open = False
        self.is_crowded = False
        self._entering: list[Mailbox[AnyUpdate]] = []

    @property
    def everybody(self) -> list[Mailbox[AnyUpdate]]:
        """All of them, whatever they wait for."""
        return [*self.members, *self.unseeded, *self.late]

    def add(self, mailbox: Mailbox[AnyUpdate], among: list[Mailbox[AnyUpdate]]) -> None:
        """Take in a newcomer among the members, the unseeded or the late, who wait to be admitted."""
        among.append(mailbox)
        if not self.is_open or among is self.late:
            self._entering.append(mailbox)
            mailbox.pending += 1

    def remove(self, mailbox: Mailbox[AnyUpdate]) -> bool:
        """Let one go; return whether it was there."""
        groups = (self.members, self.unseeded, self.late, self._entering)
        found = [group for group in groups if mailbox in group]
        for group in found:
            group.remove(mailbox)
        return bool(found)

    def open(self) -> None:
        """Let those go on that wait to begin, and newcomers at once."""
        self.is_open = True
        entering = [mailbox for mailbox in self._entering if mailbox not in self.late]
        self._entering = [mailbox for mailbox in self._entering if mailbox in self.late]
        for mailbox in entering:
            mailbox.opened_one()

    def settle(self) -> None:
        """Make good every backlog that stands for the state as it is, and let newcomers wait: it ends now."""
        self.is_open = False
        for mailbox in self.members:
            mailbox.settle()

    def stint(self) -> int:
        """Return how many items the members may be given before they should have their turn; see there."""
        members = self.members
        most = _STINT + _STINT_OF_A_MEMBER * len(members)
        return min([most, *[mailbox.slack for mailbox in members]])

    def push(self, updates: list[AnyUpdate], source: Source[AnyUpdate], now: float) -> None:
        """Give items to all members."""
        crowded = False
        for mailbox in self.members:
            crowded |= mailbox.push_all(updates, source, now)
        self.is_crowded = crowded

    def burst(self, updates: list[AnyUpdate], source: Source[AnyUpdate], now: float) -> None:
        """Give all members several items at once; nobody is too slow for what comes in one moment."""
        for mailbox in self.members:
            mailbox.burst(updates, source, now)

    def admit_late(self) -> None:
        """Make members of those that came during the break, and let them go on: what comes now is theirs."""
        self.members += self.late
        self.late.clear()
        self.open()

    def seed(self, items: list[AnyUpdate]) -> None:
        """Give `items` to those that asked for the state, and make them members."""
        for mailbox in self.unseeded:
            mailbox.give(items)
        self.members += self.unseeded
        self.unseeded.clear()

    def end(self, error: Callable[[], Exception] | None) -> None:
        """Tell everybody that it is over."""
        for mailbox in self.everybody:
            mailbox.end(error)
