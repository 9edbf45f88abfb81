"""Find the stream that an error frame refuses.

The protocol has no request id, so an error belongs to whatever the server read last. What the error repeats
decides first. An error that repeats nothing is about the oldest request that the server has not confirmed; a
request is confirmed once the heartbeat that follows it is answered, or once it is acknowledged.

Some servers answer the text heartbeat itself with an error, with or without a PONG. So while a heartbeat is
out, an error that repeats nothing and has no code of the subscriptions is *doubtful*, until it is known how
the server answers a heartbeat alone. To learn that, one more heartbeat, the *probe*, follows the first such
error:

- The probe is answered by PONG only: the errors before were refusals, in the order of sending.
- An error comes with its PONG: so it does with every heartbeat, and only the errors beyond were refusals.
- No PONG comes for a while: the errors are the answers, and confirm what came before each heartbeat. A PONG
  that comes later shows that this was wrong; then the request is refused late.
- More errors come than heartbeats are out: the oldest is a refusal, whatever the others are.

A server may also answer the heartbeat with words or with an unknown message. That refuses nothing, and
counts as the answer when no PONG comes for a while, unless this server has sent a PONG on any connection:
over a slow link the PONG may only be late. If it comes after all, it belongs to the heartbeat whose answer
was assumed, not to a later one.

What was learned holds until the WebSocket ends. Where the first heartbeat is answered with nothing but PONG,
as the documentation says, an error before a PONG is a refusal at once.
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

_ALREADY_SUBSCRIBED = 6000
"""The server holds a subscription that this client has given up: refused by mistake, or its end was lost."""
_HELD_ALREADY = "the exchange says that it is already subscribed"

_ENDING_CODES = frozenset({6001, 6002})
"""Codes after which a stream that they name may be over; 6000 says that it is not."""

DOUBT_SHARE = 0.5
"""How long an error stays doubtful, as a share of ``Options.confirm_timeout``: the requests before the
heartbeat are to be confirmed before they count as read late."""


class Refusals:
    """The errors that came over one connection."""

    def __init__(self, port: Port, host: Host) -> None:
        self._port = port
        self._host = host
        self._forget()

    def _forget(self) -> None:
        # Errors since the last PONG; those before it that the probe will settle, with their heartbeats.
        self._doubtful: list[ErrorBody] = []
        self._suspects: list[ErrorBody] = []
        self._heartbeats = 0
        self._probe = 0
        # How many errors come with a heartbeat alone, None if that is not known; and whether no PONG does.
        self._expected: int | None = None
        self._mute = False
        self._unknown: list[object] = []
        self._excused: tuple[int, ErrorBody] | None = None

    def reset(self) -> None:
        """Report what is still in doubt: the WebSocket is gone."""
        doubtful = [*self._suspects, *self._doubtful]
        self._forget()
        for error in doubtful:
            self._report(error)

    def take(self, error: ErrorBody) -> None:
        """End the stream that `error` refuses, or report it."""
        barriers, action = self._port.barriers, error.action or ""
        if (error.turbo and not self._port.turbo) or action.startswith("unsubscribe_"):
            self._report(error)
        elif action.lower() == "ping" and barriers.outstanding:
            self._excuse(error)
        elif _is_certain(error) or not barriers.outstanding or self._expected == 0:
            self._decide(error)
        elif self._mute and self._find(error, barriers.answered + 1) is None:
            self._excuse(error)
        else:
            self._doubt(error)

    def before_answer(self, barrier: int) -> None:
        """Settle what came before the PONG to the heartbeat of this number."""
        doubtful, self._doubtful = self._doubtful, []
        self._mute = False
        self._unknown.clear()
        if self._expected is None and self._probe > barrier:
            self._suspects += doubtful
            self._heartbeats += 1
            return
        if self._expected is None and self._probe:
            known = len(self._suspects) - self._heartbeats * min(len(doubtful), 1)
            suspects, self._suspects, self._probe = self._suspects, [], 0
            for index, error in enumerate(suspects):
                if index < known:
                    self._decide(error, barrier - 1, confirmed=True)
                else:
                    self._report(error)
        for error in doubtful[:-1]:
            self._decide(error, barrier)
        self._expected = min(len(doubtful), 1)

    def take_unknown(self) -> bool:
        """Take a message that says nothing; return whether that is how the server answers a heartbeat."""
        if not self._port.barriers.outstanding or self._port.sends_pongs():
            return False
        if self._mute:
            self._port.assume_answer()
            return True
        said = object()
        self._unknown.append(said)
        wait = self._host.options.confirm_timeout * DOUBT_SHARE
        self._host.call_later(wait, partial(self._settle_unknown, said))
        return False

    def surplus_answer(self) -> None:
        """Take back an excuse: the server does answer the heartbeat that an error was taken to answer."""
        if self._excused is not None:
            (barrier, error), self._excused = self._excused, None
            self._mute = False
            self._decide(error, barrier, confirmed=True)

    def ended_by(self, error: ErrorBody) -> list[Topic]:
        """Return the topic that had data and that `error` names: the server may have ended it."""
        kind = kind_of_action(error.action)
        return [
            topic
            for topic in self._port.slots.values()
            if error.code in _ENDING_CODES
            and topic.answered
            and topic.key.kind is kind
            and topic.key.market_id == error.market_id
        ]

    # -- inside ---------------------------------------------------------------------------------

    def _doubt(self, error: ErrorBody) -> None:
        self._doubtful.append(error)
        if len(self._doubtful) > self._port.barriers.outstanding:
            self._decide(self._doubtful.pop(0))
        if self._expected is None and not self._probe:
            self._probe = self._port.heartbeat()
        self._host.call_later(self._host.options.confirm_timeout * DOUBT_SHARE, partial(self._lapse, error))

    def _lapse(self, error: ErrorBody) -> None:
        """Settle `error`, and those before it, if they are still in doubt: no PONG came since."""
        while any(each is error for each in self._suspects):
            self._decide(self._suspects.pop(0), self._probe - 1, confirmed=True)
        while any(each is error for each in self._doubtful):
            first = not self._mute
            self._mute, self._expected = True, 1
            self._excuse(self._doubtful.pop(0), report=first)

    def _settle_unknown(self, said: object) -> None:
        """Take a message that said nothing, and those before it, for answers: no PONG came since."""
        while said in self._unknown:
            del self._unknown[0]
            if self._port.sends_pongs():
                return
            self._mute = True
            if self._port.barriers.outstanding:
                self._port.assume_answer()

    def _excuse(self, error: ErrorBody, *, report: bool = False) -> None:
        """Take `error` for the answer to the oldest heartbeat without one."""
        if report:
            self._report(error)
        barrier = self._port.barriers.answered + 1
        self._excused = None if self._find(error, barrier) is None else (barrier, error)
        self._port.assume_answer()

    def _decide(self, error: ErrorBody, barrier: int | None = None, *, confirmed: bool = False) -> None:
        topic = self._find(error, barrier, confirmed=confirmed)
        if topic is None or (error.code == _ALREADY_SUBSCRIBED and topic.subscribe_afresh(_HELD_ALREADY)):
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
        if not _is_certain(error):
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


def _is_certain(error: ErrorBody) -> bool:
    """Whether `error` is about a subscription, for what it repeats or for its code."""
    named = error.market_id is not None or kind_of_action(error.action) is not None
    return named or error.code in SUBSCRIPTION_CODES


def _age(topic: Topic) -> float:
    return topic.sent_at or 0.0
