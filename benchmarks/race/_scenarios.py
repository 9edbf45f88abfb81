"""What is raced, by whom, and what the library is meant to reach: three tables."""

from __future__ import annotations

from functools import partial

import attrs

__all__ = ["PEERS", "SCENARIOS", "TARGETS", "Scenario", "Target"]

PEERS = {
    "decode": "msgspec alone decodes the same frames, without any network",
    "floor": "blocking socket, lean frame parser, typed decode; no event loop, no book",
    "floor-trio": "the same on a Trio stream: what no Trio program can be below",
    "picows": "picows (C, asyncio, a callback per frame) and typed decode; no book: the practical limit",
    "websockets": "the Trio client of websockets; nothing is decoded",
    "trio-websocket": "trio-websocket; nothing is decoded",
    "naive": "trio-websocket, json, cattrs, a memory channel to the consumer; no book",
    "sdk": "the official SDK 0.5.0 (asyncio): its stream methods alone, the cheapest way to use it",
    "sdk-book": "the official SDK 0.5.0 and its DepthBook, fed by the consumer",
    "ours": "o2trio: open_o2, the stream methods, async for; books are kept",
    "ours-batches": "o2trio, the consumer takes all there is at once: batches()",
}
"""Who races: name and what it is made of."""

_CLIENTS = ("sdk", "ours", "ours-batches")
_PROMPT = ("floor", "floor-trio", "picows", "websockets", "trio-websocket", "naive", "sdk", "ours")
_ALL = (*_PROMPT, "sdk-book", "ours-batches")


@attrs.frozen(slots=True, kw_only=True)
class Scenario:
    """What the load server sends and what the peers do.

    Attributes:
      what: in words.
      peers: who takes part.
      measure: ``stream`` receives `messages`; ``idle`` and ``buffer`` weigh subscriptions and buffered items;
        ``connect`` opens clients one after the other; ``orders`` signs and encodes without any network.
      messages: sent in all (``connect``: clients, ``orders``: orders).
      markets: with a depth stream each.
      kinds: of streams, ``depth`` first; the others exist once. `messages` go to all streams in turn.
      consumers: of each topic.
      rate: messages per second, or 0 for as fast as they are read.
      burst: so many at once, at the same `rate`.
      levels: of each side of a snapshot.
      changes: levels that an update names.
      snapshots: whether the messages are whole books instead of changes.
      tls: whether the connection is encrypted.
    """

    what: str
    peers: tuple[str, ...] = _CLIENTS
    measure: str = "stream"
    messages: int = 20_000
    markets: int = 1
    kinds: tuple[str, ...] = ("depth",)
    consumers: int = 1
    rate: int = 0
    burst: int = 1
    levels: int = 100
    changes: int = 6
    snapshots: bool = False
    tls: bool = False


_snapshots = partial(Scenario, peers=("decode", "floor", "sdk", "ours"), snapshots=True)

SCENARIOS = {
    "one-market": Scenario(what="depth of one market", peers=_ALL, messages=40_000),
    "five-kinds": Scenario(
        what="depth, trades, orders, balances and nonce, a fifth each",
        kinds=("depth", "trades", "orders", "balances", "nonce"),
    ),
    "markets-10": Scenario(what="10 markets, a consumer each", markets=10),
    "markets-50": Scenario(what="50 markets, a consumer each", markets=50, messages=10_000),
    "markets-100": Scenario(what="100 markets, a consumer each", markets=100, messages=10_000),
    "consumers-10": Scenario(what="one market, 10 consumers", consumers=10, messages=10_000),
    "consumers-50": Scenario(what="one market, 50 consumers", consumers=50, messages=5_000),
    "latency-1000": Scenario(what="1,000 messages a second", peers=_PROMPT, rate=1_000, messages=5_000),
    "latency-5000": Scenario(what="5,000 messages a second", peers=_PROMPT, rate=5_000),
    "latency-bursts": Scenario(
        what="5,000 messages a second in bursts of 100", peers=_PROMPT, rate=5_000, burst=100
    ),
    "snapshot-1000": _snapshots(what="snapshots of 1,000 levels", levels=500, messages=400),
    "snapshot-10000": _snapshots(what="snapshots of 10,000 levels", levels=5_000, messages=60),
    "memory-idle": Scenario(
        what="200 idle subscriptions of one topic, each with its task",
        peers=("sdk", "ours"),
        measure="idle",
        consumers=200,
        levels=1,
    ),
    "memory-markets": Scenario(
        what="100 idle subscriptions of a market each, a level a side, each with its task",
        peers=("sdk", "ours"),
        measure="idle",
        markets=100,
        levels=1,
    ),
    "memory-buffered": Scenario(
        what="400 buffered updates of seven levels",
        peers=("sdk", "ours"),
        measure="buffer",
        messages=400,
        changes=7,
    ),
    "connect": Scenario(
        what="from nothing to the first snapshot, the list of markets read over REST",
        peers=("sdk", "ours"),
        measure="connect",
        messages=20,
    ),
    "orders": Scenario(
        what="orders checked, encoded, signed and written as JSON, each behind a settlement",
        peers=("sdk", "ours"),
        measure="orders",
        messages=2_000,
    ),
    "tls": Scenario(
        what="depth of one market over TLS",
        peers=("floor", "picows", "websockets", "trio-websocket", "sdk", "ours", "ours-batches"),
        tls=True,
    ),
}


@attrs.frozen(slots=True)
class Target:
    """What ``ours`` is meant to reach.

    Attributes:
      scenario, metric: where, and of what.
      against: the peer it is compared with, or None for a plain figure.
      limit: the bound of the plain figure, or of the ratio.
      faster: the ratio is `against` / ours, and at least `limit`; otherwise ours / `against`, at most that.
    """

    scenario: str
    metric: str
    against: str | None
    limit: float
    faster: bool = False


TARGETS = (
    *(
        Target(scenario, "read_us", "sdk", limit, faster=True)
        for scenario, limit in (
            ("one-market", 5),
            ("five-kinds", 5),
            ("markets-10", 9),
            ("markets-50", 20),
            ("markets-100", 30),
            ("consumers-10", 13),
            ("consumers-50", 28),
        )
    ),
    Target("one-market", "read_us", "floor", 0.65, faster=True),
    Target("latency-1000", "p50", "sdk", 0.7),
    Target("latency-1000", "p99", "sdk", 0.9),
    Target("latency-5000", "p50", "sdk", 0.7),
    Target("latency-5000", "p99", "sdk", 0.9),
    Target("latency-bursts", "p50", "sdk", 0.45),
    Target("latency-bursts", "p99", "sdk", 0.45),
    Target("memory-idle", "bytes", None, 6 * 1024),
    Target("memory-buffered", "bytes", None, 1.5 * 1024),
    Target("snapshot-10000", "read_us", "decode", 2),
)
