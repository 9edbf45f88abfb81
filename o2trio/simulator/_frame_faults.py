"""What tests let go wrong with WebSocket messages: the plan, without I/O. ``_websocket`` carries it out.

A fault acts on one data message to one client, on its way out. Nothing here makes the exchange itself
untrue: what is sent besides is recognizable, what is damaged too, and what is repeated or swapped may be,
as far as the protocol tells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from math import inf
from random import Random
from typing import NamedTuple

import attrs

from ._frame_damage import STRANGE, corrupted, extended
from ._ws_frames import close_frame, fragments, ping_frame, pong_frame, text_frame

__all__ = ["DATA_KINDS", "OVERSIZE_MAX", "FrameFaults", "Outgoing"]

DATA_KINDS = frozenset({"depth", "depth_update", "depth_view", "trades", "orders", "balances", "nonce"})
"""The messages that faults act on, by their action; ``depth`` is a snapshot, ``depth_update`` differences."""

REPEATABLE = DATA_KINDS - {"depth_update"}
"""What may come twice. Differences may not: nobody could tell the second from a new one."""

OVERSIZE_MAX = 8 * 2**20
"""The largest oversized message, bytes; more than that the server itself would not keep for a client."""

_PONG = "pong"
_PONGS = frozenset({_PONG})

_KIND = re.compile(r'"action":"subscribe_(\w+)"')
_MARKET = re.compile(r'"market_id":"(\w+)"')
_OF_MARKETS = {"depth": "depth", "depth_update": "depth", "depth_view": "depth view", "trades": "trades"}


class Outgoing(NamedTuple):
    """What goes out instead of a message.

    Attributes:
      data: whole WebSocket frames.
      stream: which order it must keep: the same text for messages of the same stream; None for all.
      hold: so many seconds the next message may overtake it, if that is of another stream.
    """

    data: bytes
    stream: str | None = None
    hold: float = 0.0


@attrs.define(slots=True)
class _Message:
    """One outgoing message and what shall happen to it."""

    kind: str
    text: str
    before: list[bytes] = attrs.field(factory=list[bytes])
    copies: int = 1
    is_torn: bool = False
    hold: float = 0.0
    is_dropped: bool = False
    is_damaged: bool = False
    delay: float = 0.0


@attrs.define(slots=True, kw_only=True)
class _Rule:
    """A fault for some of the next messages."""

    effect: Callable[[_Message], None]
    kinds: frozenset[str]
    left: float
    probability: float


class FrameFaults:
    """Makes WebSocket messages misbehave on demand; everything is off in the beginning.

    Faults add up until :meth:`heal`. What they have in common:

    Args of each fault:
      kinds: only messages of these kinds (:data:`DATA_KINDS`); by default all that the fault may act on.
      count: so many messages; by default until :meth:`heal`.
      probability: of hitting each message; drawn from the simulator's seed.

    Each fault raises ValueError for an argument that makes no sense.

    Attributes:
      counts: how often each fault acted, by its name.
    """

    def __init__(self, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._random = Random(f"o2 frame faults {seed}")
        self._rules: list[_Rule] = []
        self.on_close: Callable[[bytes], int] = lambda _frame: 0
        """Called to send a closing frame to everybody; returns how many that were. Set by the server."""

    # -- faults that change what is sent -----------------------------------------------------------

    def duplicate(
        self, *, kinds: Collection[str] = REPEATABLE, count: int | None = None, probability: float = 1.0
    ) -> None:
        """Send messages twice; never differences of depth. Arguments as in the class."""
        if "depth_update" in kinds:
            raise ValueError("differences of depth must not be sent twice: the book would be untrue")

        def effect(message: _Message) -> None:
            message.copies += 1
            self.counts["duplicate"] += 1

        self._add(effect, kinds, count, probability)

    def reorder(
        self,
        seconds: float = 0.25,
        *,
        kinds: Collection[str] = DATA_KINDS,
        count: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Let the next message overtake this one, if it is of another stream and comes in time.

        Args:
          seconds: so long a message waits to be overtaken.
          kinds, count, probability: which messages wait; see the class.
        """
        _check_seconds(seconds)

        def effect(message: _Message) -> None:
            message.hold = seconds

        self._add(effect, kinds, count, probability)

    def tear(
        self, *, kinds: Collection[str] = DATA_KINDS, count: int | None = None, probability: float = 1.0
    ) -> None:
        """Send messages in fragments, with control frames in between; arguments as in the class."""

        def effect(message: _Message) -> None:
            message.is_torn = True
            self.counts["tear"] += 1

        self._add(effect, kinds, count, probability)

    def extend(
        self, *, kinds: Collection[str] = DATA_KINDS, count: int | None = None, probability: float = 1.0
    ) -> None:
        """Add fields to messages that nobody knows; arguments as in the class."""

        def effect(message: _Message) -> None:
            if not message.is_damaged:
                message.text = extended(message.text, self._random)
                self.counts["extend"] += 1

        self._add(effect, kinds, count, probability)

    def corrupt(
        self, *, kinds: Collection[str] = DATA_KINDS, count: int | None = None, probability: float = 1.0
    ) -> None:
        """Send a damaged message instead of the true one: a field is nonsense, or the end is missing.

        Arguments as in the class. What the message said is lost.
        """

        def effect(message: _Message) -> None:
            if not message.is_damaged:
                message.text, message.is_damaged = corrupted(message.text, self._random), True
                self.counts["corrupt"] += 1

        self._add(effect, kinds, count, probability)

    def lose(
        self, *, kinds: Collection[str] = DATA_KINDS, count: int | None = None, probability: float = 1.0
    ) -> None:
        """Lose messages, and ask to start over instead: an error with ``resync_required``.

        Arguments as in the class.
        """

        def effect(message: _Message) -> None:
            if message.is_damaged:
                return
            market = _MARKET.search(message.text)
            named = f'"market_id":"{market[1]}",' if market and message.kind in _OF_MARKETS else ""
            message.text = f'{{"action":"error",{named}"resync_required":true}}'
            message.is_damaged = True
            self.counts["lose"] += 1

        self._add(effect, kinds, count, probability)

    # -- faults that send something besides --------------------------------------------------------

    def inject(
        self,
        what: str,
        *,
        kinds: Collection[str] = DATA_KINDS,
        count: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Send something strange before messages.

        Args:
          what: ``not_json``: text that is no JSON object; ``unknown``: an object that nobody knows;
            ``binary``: a binary message of random bytes, which are not text.
          kinds, count, probability: before which messages; see the class.
        """
        if what not in STRANGE:
            raise ValueError(f"what must be one of {', '.join(STRANGE)}, not {what!r}")

        def effect(message: _Message) -> None:
            message.before.append(STRANGE[what](message.text, self._random))
            self.counts[what] += 1

        self._add(effect, kinds, count, probability)

    def oversize(
        self,
        size: int,
        *,
        kinds: Collection[str] = DATA_KINDS,
        count: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Send an unknown but huge message before messages.

        Args:
          size: bytes, at most :data:`OVERSIZE_MAX`.
          kinds, count, probability: before which messages; see the class.
        """
        head, tail = '{"action":"novelty","padding":"', '"}'
        if not len(head + tail) <= size <= OVERSIZE_MAX:
            raise ValueError(f"size must be {len(head + tail)} to {OVERSIZE_MAX}, not {size}")
        frame = text_frame(head + "x" * (size - len(head + tail)) + tail)

        def effect(message: _Message) -> None:
            message.before.append(frame)
            self.counts["oversize"] += 1

        self._add(effect, kinds, count, probability)

    def ping(
        self,
        burst: int = 1,
        *,
        kinds: Collection[str] = DATA_KINDS,
        count: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Send pings of the protocol before messages.

        Args:
          burst: how many each time.
          kinds, count, probability: before which messages; see the class.
        """
        if burst < 1:
            raise ValueError(f"burst must be positive, not {burst}")

        def effect(message: _Message) -> None:
            message.before += [ping_frame(self._random.randbytes(4)) for _ in range(burst)]
            self.counts["ping"] += burst

        self._add(effect, kinds, count, probability)

    # -- heartbeats and the end --------------------------------------------------------------------

    def drop_pong(self, *, count: int | None = None, probability: float = 1.0) -> None:
        """Do not answer heartbeats, text and protocol; arguments as in the class."""

        def effect(message: _Message) -> None:
            message.is_dropped = True
            self.counts["drop_pong"] += 1

        self._add(effect, _PONGS, count, probability)

    def delay_pong(self, seconds: float, *, count: int | None = None, probability: float = 1.0) -> None:
        """Answer heartbeats so many seconds later, behind everything until then; others as in the class."""
        _check_seconds(seconds)

        def effect(message: _Message) -> None:
            message.delay += seconds
            self.counts["delay_pong"] += 1

        self._add(effect, _PONGS, count, probability)

    def close(self, code: int | None = 1001, reason: str = "") -> None:
        """Close every WebSocket now, politely, whatever the code.

        Args:
          code: of the closing frame, also one that is forbidden there; None sends an empty frame.
          reason: at most 123 bytes.
        """
        self.counts["close"] += self.on_close(close_frame(code, reason))

    def heal(self) -> None:
        """End everything that goes wrong."""
        self._rules.clear()

    # -- what the server uses ----------------------------------------------------------------------

    @property
    def is_quiet(self) -> bool:
        """Whether every message goes out as it is."""
        return not self._rules

    def disturb(self, text: str) -> Outgoing:
        """Return what goes out instead of a message; of errors and acknowledgements always themselves."""
        found = _KIND.search(text)
        if found is None or '"code":' in text:
            return Outgoing(text_frame(text))
        message = _Message(found[1], text)
        self._judge(message)
        frames = message.before
        for _ in range(message.copies):
            frames += self._torn(message.text) if message.is_torn else [text_frame(message.text)]
        return Outgoing(b"".join(frames), _stream(message.kind, text), message.hold)

    def swapped(self) -> None:
        """Note that one message has overtaken another."""
        self.counts["reorder"] += 1

    def pong(self) -> float | None:
        """Return how much later to answer a heartbeat, seconds; None for never."""
        message = _Message(_PONG, "")
        self._judge(message)
        return None if message.is_dropped else message.delay

    # -- inside ------------------------------------------------------------------------------------

    def _judge(self, message: _Message) -> None:
        for rule in self._rules:
            if message.kind in rule.kinds and self._random.random() < rule.probability:
                rule.effect(message)
                rule.left -= 1
        if any(rule.left <= 0 for rule in self._rules):
            self._rules = [rule for rule in self._rules if rule.left > 0]

    def _torn(self, text: str) -> list[bytes]:
        random, size = self._random, len(text.encode())
        parts = fragments(text, sorted(random.randint(0, size) for _ in range(random.randint(1, 4))))
        frames = [parts[0]]
        for part in parts[1:]:
            control = random.choice((ping_frame, pong_frame, None))
            frames += [part] if control is None else [control(random.randbytes(4)), part]
        return frames

    def _add(
        self,
        effect: Callable[[_Message], None],
        kinds: Collection[str],
        count: int | None,
        probability: float,
    ) -> None:
        if kinds is not _PONGS and not (kinds and DATA_KINDS.issuperset(kinds)):
            raise ValueError(f"kinds must be some of {', '.join(sorted(DATA_KINDS))}")
        if not 0 < probability <= 1:
            raise ValueError(f"probability must be above 0 and at most 1, not {probability!r}")
        if count is not None and count < 1:
            raise ValueError(f"count must be positive, not {count}")
        left = inf if count is None else count
        self._rules.append(_Rule(effect=effect, kinds=frozenset(kinds), left=left, probability=probability))


def _check_seconds(seconds: float) -> None:
    if not 0 <= seconds < inf:
        raise ValueError(f"seconds must be a finite number from 0, not {seconds!r}")


def _stream(kind: str, text: str) -> str:
    """Name the stream of a message; those of accounts have no market."""
    family = _OF_MARKETS.get(kind)
    market = None if family is None else _MARKET.search(text)
    return kind if market is None else f"{family} {market[1]}"
