"""The load server, ``python -m benchmarks.race._load``: one process, blocking sockets, ready frames.

It is given a scenario and serves one peer after the other until its standard input ends. It prints its two
ports: one speaks REST and WebSocket as far as a client needs it to begin; whoever connects to the other one
says that its peer is ready, and the measured messages begin.
"""

from __future__ import annotations

import base64
import hashlib
import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Iterable, Iterator

from benchmarks.race._meter import pin
from benchmarks.race._scenarios import Scenario
from benchmarks.race._traffic import Traffic, frame, stamp

_CHUNK = 128 * 1024
"""Bytes handed to the system at once when messages leave as fast as they are read."""
_SOON = 20_000_000
"""Nanoseconds from a peer's signal to its first paced message."""
_PATIENCE = 0.05
"""Seconds between two rounds of marks, for a peer that dropped the first."""


class Visitor:
    """One connection: HTTP first, perhaps WebSocket later."""

    def __init__(self, sock: socket.socket, traffic: Traffic) -> None:
        self.sock = sock
        self.is_stream = self.is_closed = False
        self.pongs = 0
        self._traffic = traffic
        self._data = bytearray()

    def fileno(self) -> int:
        """Return what select() asks for."""
        return self.sock.fileno()

    def attend(self) -> None:
        """Read what is there and answer it."""
        try:
            data = self.sock.recv(65536)
            self._data += data
            while data and (self._frame() if self.is_stream else self._request()):
                pass
        except OSError:
            data = b""
        if not data:
            self.close()

    def send(self, data: bytes | bytearray) -> None:
        """Send, unless the peer has gone."""
        try:
            self.sock.sendall(data)
        except OSError:
            self.close()

    def close(self) -> None:
        """Hang up."""
        self.is_closed = True
        self.sock.close()

    def _request(self) -> bool:
        head, end, rest = bytes(self._data).partition(b"\r\n\r\n")
        if not end:
            return False
        self._data[:] = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)
        }
        key = headers.get("sec-websocket-key")
        if key is not None:
            self.is_stream = True
            digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            self.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )
        else:
            known = first.startswith("GET /v1/markets ")
            status, body = (b"200 OK", self._traffic.markets) if known else (b"404 Not Found", b"{}")
            self.send(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (status, len(body), body)
            )
        return True

    def _frame(self) -> bool:
        """Answer one frame; peers send small ones, whole and masked."""
        data = self._data
        size, head = (data[1] & 127, 2) if len(data) > 1 else (0, 2)
        if size == 126:
            size, head = int.from_bytes(data[2:4]), 4
        end = head + 4 + size
        if len(data) < end:
            return False
        mask = data[head : head + 4] * (size // 4 + 1)
        payload = bytes(a ^ b for a, b in zip(data[head + 4 : end], mask, strict=False))
        opcode = data[0] & 15
        del data[:end]
        if opcode == 8:
            self.send(frame(payload[:2], 8))
            self.close()
        elif opcode == 9:
            self.send(frame(payload, 10))
        elif opcode == 10:
            self.pongs += 1
        elif payload == b"PING":
            self.send(frame(b"PONG"))
        else:
            request = json.loads(payload)
            if request["action"] == "subscribe_depth":
                self.send(self._traffic.snapshots[request["market_id"]])
        return not self.is_closed


class Load:
    """The server: everything in one thread, as nothing else may take its core from the peer's messages."""

    def __init__(self, scenario: Scenario, certificate: str) -> None:
        self._scenario = scenario
        self._traffic = Traffic(scenario)
        self._visitors: list[Visitor] = []
        self._door, self._signal = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self._tls: ssl.SSLContext | None = None
        if scenario.tls:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(certificate)
        self._chunks = list(_joined(self._traffic.frames))

    def ports(self) -> tuple[int, int]:
        """Return the port of the service and the one of the signal."""
        return self._door.getsockname()[1], self._signal.getsockname()[1]

    def serve(self) -> None:
        """Serve until standard input ends."""
        while True:
            self._attend(None)

    def _attend(self, seconds: float | None) -> None:
        """Answer whatever comes first within so many seconds."""
        self._visitors = [visitor for visitor in self._visitors if not visitor.is_closed]
        readable, _, _ = select.select(
            [sys.stdin, self._door, self._signal, *self._visitors], [], [], seconds
        )
        for source in readable:
            if isinstance(source, Visitor):
                source.attend()
            elif source is self._door:
                self._admit()
            elif source is self._signal:
                self._run()
            else:
                raise SystemExit  # The runner has closed our standard input.

    def _admit(self) -> None:
        sock, _ = self._door.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            wrapped = self._tls.wrap_socket(sock, server_side=True) if self._tls else sock
        except OSError:
            sock.close()
        else:
            self._visitors.append(Visitor(wrapped, self._traffic))

    def _run(self) -> None:
        """Send all messages to the peer that is ready, then marks until it leaves."""
        self._signal.accept()[0].close()
        peers = [visitor for visitor in self._visitors if visitor.is_stream and not visitor.is_closed]
        if len(peers) != 1:
            raise SystemExit(f"a peer takes part with one stream connection, not {len(peers)}")
        peer = peers[0]
        if self._scenario.rate:
            self._pace(peer)
        else:
            for chunk in self._chunks:
                peer.send(chunk)
                self._attend(0)
                if peer.is_closed:
                    break
        while self._scenario.measure == "stream" and not peer.is_closed:
            # The answer to a ping says that the peer has read all that came before.
            pongs = peer.pongs
            peer.send(self._traffic.marks() + frame(b"", 9))
            while peer.pongs == pongs and not peer.is_closed:
                self._attend(None)
            again = time.monotonic() + _PATIENCE
            while not peer.is_closed and (left := again - time.monotonic()) > 0:
                self._attend(left)

    def _pace(self, peer: Visitor) -> None:
        """Send bursts on time. Each says when it was to leave: a delay here counts as one of the peer."""
        frames, burst = self._traffic.frames, self._scenario.burst
        interval = burst * 1_000_000_000 // self._scenario.rate
        plan: list[tuple[int, bytearray]] = []
        ready = time.monotonic_ns() + _SOON + 2_000 * len(frames)
        for first in range(0, len(frames), burst):
            data, at = bytearray(), ready + len(plan) * interval
            for item in frames[first : first + burst]:
                data += item
                stamp(data, len(data), at)
            plan.append((at, data))
        for number, (at, data) in enumerate(plan):
            while time.monotonic_ns() < at:
                pass
            peer.send(data)
            if number % 64 == 0:
                self._attend(0)
            if peer.is_closed:
                break


def _joined(frames: Iterable[bytes]) -> Iterator[bytes]:
    chunk = bytearray()
    for item in frames:
        chunk += item
        if len(chunk) >= _CHUNK:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)


def main() -> None:
    """Serve the scenario that the arguments name."""
    description, certificate = sys.argv[1:]
    pin(-1)
    load = Load(Scenario(**json.loads(description)), certificate)
    print(json.dumps(load.ports()), flush=True)
    load.serve()


if __name__ == "__main__":
    main()
