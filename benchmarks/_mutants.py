"""Deliberately broken versions of the client: the table. How they are hunted is in ``soak_mutants``."""

from __future__ import annotations

import attrs

__all__ = ["MUTANTS", "Mutant"]


@attrs.frozen(slots=True)
class Mutant:
    """A plausible mistake: one piece of text in one file is replaced.

    Attributes:
      name: to call it by on the command line.
      what: the client does wrong, in words.
      file: inside the package.
      old, new: what stands there once, and what it is replaced by.
      kept: the seed that is known to find it, and its simulated hours; without it seeds are tried in turn.
    """

    name: str
    what: str
    file: str
    old: str
    new: str
    kept: tuple[int, float] | None = None


_MAILBOX = "streams/_mailbox.py"
_TOPIC = "streams/_topic.py"
_MACHINE = "streams/_machine.py"
_PORT = "streams/_port.py"
_ROUTES = "streams/_routes.py"
_SUBSCRIPTION = "streams/_subscription.py"
_TRADES = "streams/_trades.py"
_MEMORY = "streams/_memory.py"
_AUDIENCE = "streams/_audience.py"
_BOOK = "streams/_book.py"
_CONNECTION = "transport/_connection.py"
_LINK = "transport/_link.py"
_FAULTS = "transport/_faults.py"
_BACKOFF = "transport/_backoff.py"
_RECOVERY = "recovery.py"
_DESK = "trading/_desk.py"
_RESOLVE = "trading/_resolve.py"

_BUFFERS = (
    Mutant(
        "receive-cancelled",
        "an item is taken before the last wait of a receive, and is lost when that is cancelled",
        _SUBSCRIPTION,
        "            return self._pop() if self._raise_gaps else mailbox.pop()\n",
        "            item = self._pop() if self._raise_gaps else mailbox.pop()\n"
        "            await trio.sleep(0.05)\n            return item\n",
    ),
    Mutant(
        "close-keeps",
        "a closed subscription stays attached to its stream",
        _SUBSCRIPTION,
        "            self._closed = True\n            self._release()\n",
        "            self._closed = True\n",
    ),
    Mutant(
        "buffer-unbounded",
        "a buffer grows without bound",
        _MAILBOX,
        "if len(self._buffer) < self._capacity:",
        "if self._capacity:",
    ),
    Mutant(
        "backlog-delta",
        "a change follows the snapshot that a backlog will become, and replaces it",
        _MAILBOX,
        "            if not (isinstance(item, Update) and item.origin is Origin.SNAPSHOT):\n"
        "                self.conflated += 1\n"
        "                return False\n",
        "",
    ),
    Mutant(
        "same-moment",
        "of two items of one moment the second is dropped",
        _MAILBOX,
        "        self.last_item_time = now\n        if self.lag is not None:\n",
        "        if now == self.last_item_time:\n            return False\n"
        "        self.last_item_time = now\n        if self.lag is not None:\n",
    ),
    Mutant(
        "full-for-all",
        "one full buffer keeps an item from everybody",
        _AUDIENCE,
        "        crowded = False\n        for mailbox in self.members:\n",
        "        crowded = False\n"
        "        if any(len(mailbox) >= mailbox._capacity for mailbox in self.members):\n            return\n"
        "        for mailbox in self.members:\n",
    ),
)

_STREAMS = (
    Mutant(
        "delta-before-snapshot",
        "changes are applied before the snapshot came",
        _MACHINE,
        "(S.JOINING, E.ITEM): Step(S.JOINING, A.IGNORE)",
        "(S.JOINING, E.ITEM): Step(S.JOINING, A.DELIVER)",
    ),
    Mutant(
        "delta-while-broken",
        "changes of a book that is being fetched afresh are passed on",
        _MACHINE,
        "(S.BROKEN, E.ITEM): Step(S.BROKEN, A.IGNORE)",
        "(S.BROKEN, E.ITEM): Step(S.BROKEN, A.DELIVER)",
    ),
    Mutant(
        "resubscribe-forgotten",
        "after a new connection the stream is repaired, but not subscribed again",
        _MACHINE,
        "(S.OFFLINE, E.ONLINE): Step(S.REPAIRING, A.SUBSCRIBE)",
        "(S.OFFLINE, E.ONLINE): Step(S.REPAIRING, A.REPAIR)",
    ),
    Mutant(
        "resubscribe-half",
        "a broken book is subscribed again without ending the former subscription",
        _MACHINE,
        "(S.BROKEN, E.RETRY): Step(S.JOINING, A.RESUBSCRIBE)",
        "(S.BROKEN, E.RETRY): Step(S.JOINING, A.SUBSCRIBE)",
    ),
    Mutant(
        "repair-skipped",
        "after a new connection a stream goes on without a repair",
        _MACHINE,
        "(S.OFFLINE, E.ONLINE): Step(S.REPAIRING, A.SUBSCRIBE)",
        "(S.OFFLINE, E.ONLINE): Step(S.JOINING, A.SUBSCRIBE)",
    ),
    Mutant(
        "repair-not-held",
        "live items are passed on before the repair of a break",
        _MACHINE,
        "(S.REPAIRING, E.ITEM): Step(S.REPAIRING, A.HOLD)",
        "(S.REPAIRING, E.ITEM): Step(S.REPAIRING, A.DELIVER)",
    ),
    Mutant(
        "break-unnoticed",
        "a live stream takes no notice of a break",
        _MACHINE,
        "(S.LIVE, E.BREAK): Step(S.REPAIRING, A.MARK_AND_REPAIR)",
        "(S.LIVE, E.BREAK): Step(S.LIVE, A.NOTHING)",
    ),
    Mutant(
        "latecomer-ungreeted",
        "who joins a book that is there gets no snapshot",
        _MACHINE,
        "(S.LIVE, E.JOIN): Step(S.LIVE, A.GREET)",
        "(S.LIVE, E.JOIN): Step(S.LIVE, A.NOTHING)",
    ),
    Mutant(
        "unsubscribe-forgotten",
        "the last consumer leaves, and the server subscription stays",
        _MACHINE,
        "(S.LIVE, E.LEAVE): Step(S.CLOSED, A.UNSUBSCRIBE)",
        "(S.LIVE, E.LEAVE): Step(S.CLOSED, A.NOTHING)",
    ),
    Mutant(
        "held-lost",
        "what was held during a repair is lost",
        _TOPIC,
        "        self._burst(held)\n",
        "",
    ),
    Mutant(
        "epoch-not-raised",
        "a break does not raise the epoch",
        _TOPIC,
        "        self.epoch += 1\n        self.over.set()",
        "        self.over.set()",
    ),
    Mutant(
        "epoch-wrong",
        "items carry the epoch before the break",
        _TOPIC,
        '_set(update, "epoch", self.epoch)\n        if self._book',
        '_set(update, "epoch", max(self.epoch - 1, 0))\n        if self._book',
    ),
    Mutant(
        "mark-left-out",
        "what could not be repaired is not marked",
        _TOPIC,
        "mending = [self._unmended(problem, held)] if problem else []",
        "mending: list[AnyUpdate] = []",
    ),
    Mutant(
        "mark-swapped",
        "a mark names the wrong trades on its two sides",
        _TRADES,
        "last, first = ledger.last, ledger.first_new(held)",
        "first, last = ledger.last, ledger.first_new(held)",
    ),
    Mutant(
        "book-precision",
        "a snapshot that was made here names another precision",
        _TOPIC,
        "            precision=self.key.precision,\n            origin=Origin.SNAPSHOT,",
        "            precision=1,\n            origin=Origin.SNAPSHOT,",
    ),
    Mutant(
        "frame-ignored",
        "a frame that cannot be understood is ignored",
        _PORT,
        'topic.handle(Event.BREAK, reason="a frame could not be understood")',
        "pass",
    ),
    Mutant(
        "wrong-route",
        "depth views go to the book of their market",
        _ROUTES,
        "FrameKind.DEPTH_VIEW: (Kind.DEPTH_VIEW, Event.SNAPSHOT)",
        "FrameKind.DEPTH_VIEW: (Kind.DEPTH, Event.SNAPSHOT)",
    ),
    Mutant(
        "memory-not-newer",
        "a repair tells what a live item has said more about",
        _MEMORY,
        "if key not in newer and (is_news(self.latest.get(key), entry)",
        "if (is_news(self.latest.get(key), entry)",
    ),
    Mutant(
        "dedupe-off",
        "only a trade that equals the last one is taken for a repetition",
        _TRADES,
        "if key not in self._ids:",
        "if trade != self.last:",
    ),
)

_BOOKS = (
    Mutant(
        "level-zero",
        "levels of size 0 are told of",
        _BOOK,
        "islice(filter(self.get, prices), count)",
        "islice(prices, count)",
    ),
    Mutant(
        "asks-forgotten",
        "changes of the asks are checked, but not stored",
        _BOOK,
        "bid_side.add(bids), ask_side.add(asks)",
        "bid_side.add(bids), 0",
    ),
    Mutant(
        "snapshot-added",
        "a snapshot is added to the book that was there",
        _BOOK,
        "        self.tidied = tidied\n",
        "        self.tidied = tidied\n        bids, asks = self._bids | bids, self._asks | asks\n",
    ),
)

_CONNECTIONS = (
    Mutant(
        "close-fatal",
        "a server that goes away (1000, 1001, 1012) is not dialled again",
        _FAULTS,
        "    1003: ",
        '    1000: "closed", 1001: "going away", 1012: "restart",\n    1003: ',
    ),
    Mutant(
        "status-fatal",
        "a busy server (5xx) is not dialled again",
        _FAULTS,
        "return status in _TRANSIENT_STATUS or 500 <= status <= 599",
        "return status in _TRANSIENT_STATUS",
    ),
    Mutant(
        "foreign-error",
        "a dial that fails lets a foreign error out",
        _FAULTS,
        '    (OSError, Retry.ALWAYS, "the network failed"),\n',
        "",
    ),
    Mutant(
        "foreign-rest-error",
        "a request that breaks lets a foreign error out",
        "rest/_transport.py",
        "    OSError,\n    trio.BrokenResourceError,\n",
        "    OSError,\n",
    ),
    Mutant(
        "backoff-reset-early",
        "the backoff begins anew with every connection, however short",
        _CONNECTION,
        "if trio.current_time() - opened >= self._options.stable_after:",
        "if opened < math.inf:",
    ),
    Mutant(
        "backoff-never-reset",
        "the backoff never begins anew",
        _CONNECTION,
        "if trio.current_time() - opened >= self._options.stable_after:",
        "if opened < 0:",
    ),
    Mutant(
        "backoff-none",
        "there is no backoff",
        _BACKOFF,
        "yield options.jitter() * bound",
        "yield 0.0",
    ),
    Mutant(
        "socket-left-aborting",
        "a socket stays open when the connection broke",
        _LINK,
        '        """Close at once, without a word to the peer. Does not raise."""\n'
        "        await trio.aclose_forcefully(self._wire)\n",
        '        """Close at once, without a word to the peer. Does not raise."""\n',
    ),
    Mutant(
        "socket-left-dialling",
        "a socket stays open when its handshake failed",
        _LINK,
        "            if not opened:\n                await trio.aclose_forcefully(wire)\n",
        "            pass\n",
    ),
    Mutant(
        "turn-forgets",
        "what was read, but not yet looked at when others get their turn, is forgotten",
        "transport/_engine.py",
        "self.has_more, self._missing = bool(buffer), 0",
        "self._missing = buffer.clear() or 0",
    ),
)

_REPAIRS = (
    Mutant(
        "lag-ignored",
        "a repair reads at once, although REST is behind",
        _RECOVERY,
        "await trio.sleep(self._options.indexer_lag)\n            if not topic",
        "await trio.sleep(0)\n            if not topic",
    ),
    Mutant(
        "failure-swallowed",
        "a repair that failed counts as done",
        _RECOVERY,
        "                problem = str(failure)\n            _warn(topic, problem)",
        '                problem = ""\n            _warn(topic, problem)',
    ),
)

_TRADING = (
    Mutant(
        "sent-again",
        "a submission whose answer is lost is signed and sent again",
        _DESK,
        "            except ApiError as error:\n"
        "                ran, again = await self._after_refusal(submission, error)\n",
        "            except OutcomeUnknown:\n"
        "                if not attempts:\n"
        "                    raise\n"
        "            except ApiError as error:\n"
        "                ran, again = await self._after_refusal(submission, error)\n",
    ),
    Mutant(
        "sent-again-parallel",
        "a submission whose answer is lost is sent again with another parallel nonce",
        _DESK,
        "            except ApiError as error:\n                if refusals.is_used(error):\n",
        "            except OutcomeUnknown:\n"
        "                if not again:\n"
        "                    raise\n"
        "                again = False\n"
        "            except ApiError as error:\n"
        "                if refusals.is_used(error):\n",
    ),
    Mutant(
        "cancelled-forgotten",
        "a submission that was cancelled after it had left is forgotten",
        _DESK,
        '                self._lost(submission, "the call was cancelled")\n',
        "                pass\n",
    ),
    Mutant(
        "refusal-believed",
        "a submission that was refused for its nonce counts as one that did not run",
        _DESK,
        "orders = await self._effect_of_refused(submission, is_used=is_used)",
        "orders = None",
    ),
    Mutant(
        "lost-is-not-sent",
        "a submission whose answer is lost counts as one that was not sent",
        "rest/_writes.py",
        '                if content.sent:\n                    raise AnswerLost(f"{name} was sent, but',
        '                if content.sent:\n                    raise RequestFailed(f"{name} was sent, but',
    ),
    Mutant(
        "fence-left-out",
        "a submission that may still run counts as one that never will",
        _RESOLVE,
        "        found = await _fence(desk, submission, make_fence(submission.track))\n",
        "        found = _Nonce.GONE\n",
    ),
)

MUTANTS = (*_BUFFERS, *_STREAMS, *_BOOKS, *_CONNECTIONS, *_REPAIRS, *_TRADING)
"""All of them."""
