"""A server in a process of its own that refuses every subscription at once.

It prints its port on 127.0.0.1 and serves until its standard input ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

import trio

from tests.tolerance._cases import quiet_rest
from tests.tolerance._server import RawServer, RawSocket


def refuse(_socket: RawSocket, request: dict[str, Any]) -> Iterable[Any]:
    return [{"action": request["action"], "code": 6001, "message": "too many"}]


async def main() -> None:
    server = RawServer(refuse, quiet_rest)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
