"""Find the stream that an error frame refuses.

The protocol has no request id, so an error belongs to whatever the server read last. What the error repeats
decides first. An error that repeats nothing is about the oldest request that the server has not confirmed; a
request is confirmed once the heartbeat that follows it is answered, or once it is acknowledged.

Some servers answer the text heartbeat itself with an error. So while a heartbeat is out, an error that
repeats nothing and has no code of the subscriptions is *doubtful*. What follows settles it:

- A PONG comes: the error was sent before it, so it is about a request before that heartbeat.
- More doubtful errors come than heartbeats are out: the oldest of them is about a request.
- Neither comes for a while: the error is the answer to the heartbeat, and confirms what came before it.

A PONG that comes after all shows that the last of these was wrong; then the request is refused late.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from .._errors import SubscriptionRejected
from ..wire import ErrorBody
from ._events import ServerMessage, TopicRefused
from ._host import Host
from ._routes import kind_of_action
from ._topic import Topic

if TYPE_CHECKING:
    from ._port import Port

__all__ = ["Refusals"]

_log = logging.getLogger("o2trio.streams")

SUBSCRIPTION_CODES = frozenset({6000, 6001, 6002})
"""Codes that are always about a subscription, never about a heartbeat."""

DOUBT_SHARE = 0.5
"""How long an error stays doubtful, as a share of ``Options.confirm_timeout``: the requests before the
heartbeat are to be confirmed before they count as read late."""


class Refusals:
    """The errors that came over one connection."""

    def __init__(self, port: Port, host: Host) -> None:
        self._port = port
        self._host = host
        self._doubtful: list[ErrorBody] = []
        self._heartbeats_fail = False
        self._excused: tuple[int, ErrorBody] | None = None

    def reset(self) -> None:
        """Report what is still in doubt: the WebSocket is gone."""
        doubtful, self._doubtful, self._excused = self._doubtful, [], None
        for error in doubtful:
            self._report(error)

    def take(self, error: ErrorBody) -> None:
        """End the stream that `error` refuses, or report it."""
        barriers, action = self._port.barriers, error.action or ""
        if error.turbo or action.startswith("unsubscribe_"):
            self._report(error)
        elif action.lower() == "ping" and barriers.outstanding:
            self._excuse(error)
        elif _is_named(error) or error.code in SUBSCRIPTION_CODES or not barriers.outstanding:
            self._decide(error)
        elif self._heartbeats_fail and self._find(error, barriers.answered + 1) is None:
            self._excuse(error)
        else:
            self._doubt(error)

    def before_answer(self, barrier: int) -> None:
        """Settle what came before the answer to the heartbeat of this number."""
        self._heartbeats_fail = False
        doubtful, self._doubtful = self._doubtful, []
        for error in doubtful:
            self._decide(error, barrier)

    def surplus_answer(self) -> None:
        """Take back an excuse: the server does answer the heartbeat that an error was taken to answer."""
        if self._excused is not None:
            (barrier, error), self._excused = self._excused, None
            self._heartbeats_fail = False
            self._decide(error, barrier, confirmed=True)

    # -- inside ---------------------------------------------------------------------------------

    def _doubt(self, error: ErrorBody) -> None:
        self._doubtful.append(error)
        if len(self._doubtful) > self._port.barriers.outstanding:
            self._decide(self._doubtful.pop(0))
        self._host.call_later(self._host.options.confirm_timeout * DOUBT_SHARE, partial(self._lapse, error))

    def _lapse(self, error: ErrorBody) -> None:
        """Take `error`, and those before it, for answers to heartbeats if they are in doubt still."""
        while any(each is error for each in self._doubtful):
            self._excuse(self._doubtful.pop(0))

    def _excuse(self, error: ErrorBody) -> None:
        """Take `error` for the answer to the oldest heartbeat without one."""
        if not self._heartbeats_fail:
            self._heartbeats_fail = True
            self._report(error)
        self._excused = self._port.barriers.answered + 1, error
        self._port.answer()

    def _decide(self, error: ErrorBody, barrier: int | None = None, *, confirmed: bool = False) -> None:
        topic = self._find(error, barrier, confirmed=confirmed)
        if topic is None:
            self._report(error)
        else:
            self._refuse(topic, error)

    def _find(self, error: ErrorBody, barrier: int | None = None, *, confirmed: bool = False) -> Topic | None:
        """Return the topic that `error` refuses, or None if it is about something else.

        Only requests that nothing has answered are in question. Of those that are confirmed one is chosen
        only if it cannot be another, or if it lacks its snapshot.

        Args:
          error: the error.
          barrier: only requests before the heartbeat of this number are in question.
          confirmed: confirmed requests are in question like others.
        """
        options, now, kind = self._host.options, self._host.now(), kind_of_action(error.action)
        waiting = [
            topic
            for topic in self._port.slots.values()
            if not topic.answered
            and topic.sent_at is not None
            and now - topic.sent_at <= options.refusal_window
            and (barrier is None or topic.fence <= barrier)
            and kind in (None, topic.key.kind)
            and error.market_id in (None, topic.key.market_id)
        ]
        if unread := [topic for topic in waiting if confirmed or not topic.is_confirmed]:
            return min(unread, key=_age)
        if not (_is_named(error) or error.code in SUBSCRIPTION_CODES):
            return None
        if len(waiting) == 1:
            return waiting[0]
        return min(
            (topic for topic in waiting if topic.behaviour.starts_with_snapshot), key=_age, default=None
        )

    def _refuse(self, topic: Topic, error: ErrorBody) -> None:
        code, message, name = error.code, error.message, str(topic.key)
        _log.warning("the exchange refused %s: %s: %s", name, code, message)
        self._host.emit(TopicRefused(time=self._host.now(), topic=name, code=code, message=message))
        if topic.is_confirmed:
            # Not sure that it is this one; then the server may hold what nobody here knows of.
            self._port.unsubscribe(topic)
        topic.fail(lambda: SubscriptionRejected(code, message, name))

    def _report(self, error: ErrorBody) -> None:
        number, code, message = self._port.number, error.code, error.message
        _log.warning("connection %d: the exchange reports %s: %s", number, code, message)
        self._host.emit(ServerMessage(time=self._host.now(), connection=number, code=code, message=message))


def _is_named(error: ErrorBody) -> bool:
    return error.market_id is not None or kind_of_action(error.action) is not None


def _age(topic: Topic) -> float:
    return topic.sent_at or 0.0
