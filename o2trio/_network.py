"""Where the exchange is (networks) and every limit and interval of the client (options)."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol
from urllib.parse import urlsplit

import attrs
import trio

from ._errors import InvalidRequest
from ._integers import as_integer

__all__ = ["Dialer", "Network", "NetworkConfig", "Options", "config_of"]


class Dialer(Protocol):
    """The seam to the network: opens a byte stream to a host. TLS is put on top by the caller.

    A stream with a method ``is_readable() -> bool`` is asked before an idle one is used again for REST: the
    server has closed it then.
    """

    async def __call__(self, host: str, port: int) -> trio.abc.Stream:
        """Open a connection.

        Raises:
          OSError: the host is unknown, unreachable or refuses.
        """
        ...


def _check_url(url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidRequest(f"expected a URL with {' or '.join(schemes)} and a host, not {url!r:.120}")


def _url(*schemes: str) -> Callable[[object, attrs.Attribute[str], str], None]:
    def check(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
        _check_url(value, schemes)

    return check


SIGNATURE_KEYS = ("Secp256k1", "TypedSecp256k1")


def _signature_key(_instance: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None and value not in SIGNATURE_KEYS:
        raise InvalidRequest(
            f"NetworkConfig.{attribute.name} must be {' or '.join(SIGNATURE_KEYS)} or None, not {value!r:.40}"
        )


@attrs.frozen(slots=True, kw_only=True)
class NetworkConfig:
    """One deployment of the exchange.

    Attributes:
      name: for messages.
      rest_url: base of the REST interface, ``http`` or ``https``, without ``/v1``.
      websocket_url: the stream endpoint, ``ws`` or ``wss``.
      graphql_url: a Fuel node, or None.
      faucet_url: where test coins come from, or None.
      ssl_context: for ``https`` and ``wss``; None takes the system's trust store.
      dialer: how to reach a host; None opens TCP connections.
      clock: tells the time there in seconds since 1970, for when sessions and nonces expire; None takes this
        computer's.
      parallel_signature_key: the key under which session actions with a parallel nonce hold their signature,
        ``"Secp256k1"`` or ``"TypedSecp256k1"``. The official clients disagree. None tries the first one, and
        the other one once after a refusal which proves that nothing ran; what works is used from then on.
    """

    name: str
    rest_url: str = attrs.field(validator=_url("http", "https"))
    websocket_url: str = attrs.field(validator=_url("ws", "wss"))
    graphql_url: str | None = None
    faucet_url: str | None = None
    ssl_context: ssl.SSLContext | None = attrs.field(default=None, eq=False)
    dialer: Dialer | None = attrs.field(default=None, eq=False)
    clock: Callable[[], float] | None = attrs.field(default=None, eq=False)
    parallel_signature_key: str | None = attrs.field(default=None, validator=_signature_key)

    def now(self) -> float:
        """Return the exchange's time in seconds since 1970."""
        return (self.clock or time.time)()

    @property
    def websocket_host(self) -> str:
        """Host and port of the streams, for messages: user, path and query may hold secrets."""
        return urlsplit(self.websocket_url).netloc.rpartition("@")[2]

    @classmethod
    def from_url(cls, url: str) -> NetworkConfig:
        """Describe an O2-compatible server by its base URL, for example ``http://127.0.0.1:8080``.

        Raises:
          InvalidRequest: not an ``http`` or ``https`` URL with a host.
        """
        base = url.rstrip("/")
        _check_url(base, ("http", "https"))
        return cls(
            name=base,
            rest_url=base,
            websocket_url="ws" + base.removeprefix("http") + "/v1/ws",
            faucet_url=base + "/faucet",
        )


def _o2(name: str, fuel: str, faucet: str | None) -> NetworkConfig:
    host = "api.o2.app" if name == "mainnet" else f"api.{name}.o2.app"
    return NetworkConfig(
        name=name,
        rest_url=f"https://{host}",
        websocket_url=f"wss://{host}/v1/ws",
        graphql_url=f"https://{fuel}.fuel.network/v1/graphql",
        faucet_url=None if faucet is None else f"https://fuel-o2-faucet.vercel.app/api/{faucet}/mint-v2",
    )


class Network(Enum):
    """The exchange's own deployments; ``.value`` is the :class:`NetworkConfig`."""

    MAINNET = _o2("mainnet", "mainnet", None)
    TESTNET = _o2("testnet", "testnet", "testnet")
    DEVNET = _o2("devnet", "devnet", "devnet")


def config_of(network: Network | NetworkConfig | str) -> NetworkConfig:
    """Return the deployment that `network` names.

    Raises:
      InvalidRequest: it is neither a :class:`Network`, its name, a :class:`NetworkConfig` nor a URL.
    """
    if isinstance(network, Network):
        return network.value
    if isinstance(network, NetworkConfig):
        return network
    if isinstance(network, str):
        if "://" in network:
            return NetworkConfig.from_url(network)
        for known in Network:
            if known.name == network.upper():
                return known.value
    names = ", ".join(known.name.lower() for known in Network)
    raise InvalidRequest(f"network must be one of {names}, a URL or a NetworkConfig, not {network!r:.80}")


def _seconds(*, zero: bool = False) -> Callable[[object, attrs.Attribute[float], float], None]:
    def check(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
        if not isinstance(value, (int, float)) or not (value > 0 or (zero and value == 0)):
            raise InvalidRequest(
                f"Options.{attribute.name} must be a positive number of seconds, not {value!r}"
            )

    return check


def _count(least: int = 1) -> Callable[[object, attrs.Attribute[int], int], None]:
    def check(_instance: object, attribute: attrs.Attribute[int], value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidRequest(
                f"Options.{attribute.name} must be a whole number from {least} on, not {value!r}"
            )

    return check


def _factor(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not isinstance(value, (int, float)) or not value >= 1:
        raise InvalidRequest(f"Options.{attribute.name} must be at least 1, not {value!r}")


def _integers(_class: type, fields: list[attrs.Attribute[object]]) -> list[attrs.Attribute[object]]:
    return [field.evolve(converter=as_integer) for field in fields]


@attrs.frozen(slots=True, kw_only=True, field_transformer=_integers)
class Options:
    """Every limit and interval of a client. Times are in seconds, sizes in items unless it says bytes.

    Attributes:
      connect_timeout: for one dial with TLS and handshake.
      close_timeout: for closing everything, even when the peer is mute.
      request_timeout: for one REST request that only reads.
      submit_timeout: for one REST request that changes something, such as a signed submission.
      signer_timeout: for one signature; a person may have to press a button.
      resolve_timeout: for finding out what became of a submission whose answer was lost.
      max_unresolved: submissions of one account of which it may be unknown at once whether they ran; then
        new ones are refused.
      ping_interval: between two text ``PING`` frames (the exchange closes after 60 s without one).
      silence_timeout: how long a connection may go without an inbound byte, and how long the server may take
        to read a frame, before the connection counts as dead.
      heartbeat_answer_timeout: how long a text ``PING`` may wait for its answer, or for any other whole
        message. Pings and pongs of the protocol and parts of a message do not count, since a load balancer
        may send them for an exchange that hangs. Applies once the server has answered a ``PING`` of this
        client. `message_timeout` is added while a message is arriving.
      message_timeout: how long a message may take from its first byte to its last.
      stale_after: a stream without an item for so long is reported by a ``TopicStale`` event.
      backoff_initial, backoff_factor, backoff_cap: the n-th wait before a dial is drawn evenly from 0
        to ``min(cap, initial * factor**n)`` (full jitter).
      retry_after_cap: the longest ``Retry-After`` that is honoured.
      stable_after: a connection that lived so long resets the backoff.
      max_attempts: dials without a stable connection in between before the connection is given up;
        None never gives up.
      snapshot_timeout: how long a depth subscription waits for its first snapshot.
      refusal_window: how long after a subscription an error frame that names nothing may still refuse it.
      resync_attempts: fresh snapshots that a new depth stream asks for, in a row, before it fails. A stream
        that was live once keeps asking, more and more rarely.
      buffer_size: updates that one subscription buffers before its overflow rule applies.
      conflation_limit: orders or balances that one conflated update may carry before it becomes a gap.
      idle_timeout: how long a connection stays open after its last stream was left.
      confirm_timeout: so long after a request the server counts as having read it, though it says nothing.
      indexer_lag: how far REST answers may lag behind the streams; a repair reads no sooner than that.
      repair_timeout: how long a repair reads after `indexer_lag`; see below.
      backfill_timeout: how long a repair reads trades, in all; see below.
      repair_concurrency: REST reads that the repairs of one client have under way at the same time.
      reads_per_second: REST reads of one client, except those that the exchange itself limits to fewer.
      max_pages: pages that one iteration over trades or orders reads; then it ends with an error.
      max_connections: WebSocket connections of one client.
      max_message_bytes: the largest inbound message.
      jitter: draws from ``[0, 1)``; give a seeded one for reproducible runs.

    **How long a repair takes.** A repair begins when the exchange has read the subscription after a break,
    or `confirm_timeout` later, and waits `indexer_lag`. Then it reads. When its time is over, what was
    read is delivered, the gap is marked, and the stream goes on. The time runs from the first break that
    is not repaired; breaks that follow do not begin it again, but while there is no connection it stands
    still.

    - *In all*: the state of orders, balances and nonces is read within `repair_timeout`, however many
      accounts and markets there are. So is the state at the beginning of a stream.
    - *Without progress*: trades are read back as long as new ones come at least every `repair_timeout`, and
      for `backfill_timeout` *in all*. A consumer that was too slow sets the pace of its own catching up:
      there only the first of the two holds, and its pauses do not count.

    Before a state that was read is delivered, the repair waits once more, at most `confirm_timeout`, for
    what the exchange sent on the stream meanwhile. A live update about an order, a balance or a nonce waits
    until the state of its account (for an order: in its market) has been read, which is done next; a live
    trade waits until the repair of its stream is over.
    """

    connect_timeout: float = attrs.field(default=15.0, validator=_seconds())
    close_timeout: float = attrs.field(default=2.0, validator=_seconds())
    request_timeout: float = attrs.field(default=15.0, validator=_seconds())
    submit_timeout: float = attrs.field(default=30.0, validator=_seconds())
    signer_timeout: float = attrs.field(default=120.0, validator=_seconds())
    resolve_timeout: float = attrs.field(default=180.0, validator=_seconds())
    max_unresolved: int = attrs.field(default=1000, validator=_count())
    ping_interval: float = attrs.field(default=20.0, validator=_seconds())
    silence_timeout: float = attrs.field(default=50.0, validator=_seconds())
    heartbeat_answer_timeout: float = attrs.field(default=30.0, validator=_seconds())
    message_timeout: float = attrs.field(default=60.0, validator=_seconds())
    stale_after: float = attrs.field(default=120.0, validator=_seconds())
    backoff_initial: float = attrs.field(default=1.0, validator=_seconds())
    backoff_factor: float = attrs.field(default=2.0, validator=_factor)
    backoff_cap: float = attrs.field(default=60.0, validator=_seconds())
    retry_after_cap: float = attrs.field(default=300.0, validator=_seconds())
    stable_after: float = attrs.field(default=30.0, validator=_seconds(zero=True))
    max_attempts: int | None = attrs.field(default=None, validator=attrs.validators.optional(_count()))
    snapshot_timeout: float = attrs.field(default=10.0, validator=_seconds())
    refusal_window: float = attrs.field(default=10.0, validator=_seconds())
    idle_timeout: float = attrs.field(default=30.0, validator=_seconds(zero=True))
    confirm_timeout: float = attrs.field(default=5.0, validator=_seconds())
    indexer_lag: float = attrs.field(default=2.0, validator=_seconds(zero=True))
    repair_timeout: float = attrs.field(default=20.0, validator=_seconds())
    backfill_timeout: float = attrs.field(default=300.0, validator=_seconds())
    repair_concurrency: int = attrs.field(default=16, validator=_count())
    reads_per_second: int = attrs.field(default=20, validator=_count())
    max_pages: int = attrs.field(default=1000, validator=_count())
    resync_attempts: int = attrs.field(default=5, validator=_count())
    buffer_size: int = attrs.field(default=1024, validator=_count(4))
    conflation_limit: int = attrs.field(default=10_000, validator=_count())
    max_connections: int = attrs.field(default=16, validator=_count())
    max_message_bytes: int = attrs.field(default=16 * 2**20, validator=_count(1024))
    jitter: Callable[[], float] = attrs.field(default=random.random, eq=False)

    def __attrs_post_init__(self) -> None:
        if self.silence_timeout <= self.ping_interval:
            raise InvalidRequest(
                f"Options.silence_timeout ({self.silence_timeout}) must be longer than "
                f"ping_interval ({self.ping_interval})"
            )
