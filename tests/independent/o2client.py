"""A client of the exchange written from the protocol notes alone: it uses nothing of the library.

It blocks, it is plain, and it does what the notes say and no more: whatever the simulator and the library
understand alike but wrongly shows here. It knows of the exchange no more than its URLs.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from secrets import token_bytes
from typing import Any
from urllib.parse import urlencode, urlsplit

from Crypto.Hash import keccak as keccak_family
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

try:
    from coincurve import PrivateKey
except ImportError:
    # No release for this Python: not so independent there.
    from o2trio.trading._curve_openssl import PrivateKey  # type: ignore[assignment]

SECONDS = 20.0
"""No answer takes longer."""

ZERO = "0x" + "00" * 32
GAS = 2**64 - 1


# -- bytes (4.5 to 4.9) ----------------------------------------------------------------------------


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def u256(value: int) -> bytes:
    return value.to_bytes(32, "big")


def b256(text: str) -> bytes:
    data = bytes.fromhex(text.removeprefix("0x"))
    assert len(data) == 32, text
    return data


def name_bytes(name: str) -> bytes:
    return u64(len(name)) + name.encode("ascii")


def identity_bytes(identity: dict[str, str]) -> bytes:
    ((kind, value),) = identity.items()
    return u64({"Address": 0, "ContractId": 1}[kind]) + b256(value)


def keccak(data: bytes) -> bytes:
    return keccak_family.new(digest_bits=256, data=data).digest()


def set_session(nonce: int, chain: int, session: str, expiry: int, contracts: Sequence[str]) -> bytes:
    head = u64(nonce) + u64(chain) + name_bytes("set_session") + u64(1) + u64(0) + b256(session)
    return head + u64(expiry) + u64(len(contracts)) + b"".join(map(b256, contracts))


def upgrade(nonce: int, chain: int) -> bytes:
    return u64(nonce) + u64(chain) + name_bytes("set_proxy_target_with_signature")


def withdraw(nonce: int, chain: int, to: dict[str, str], amount: int, asset: str) -> bytes:
    head = u64(nonce) + u64(chain) + name_bytes("withdraw")
    return head + identity_bytes(to) + u64(amount) + b256(asset)


def order_type_bytes(kind: Any) -> bytes:
    plain = {"Spot": 1, "FillOrKill": 2, "PostOnly": 3, "Market": 4}
    if isinstance(kind, str):
        return u64(plain[kind])
    ((name, value),) = kind.items()
    if name == "Limit":
        return u64(0) + b"".join(u64(int(part)) for part in value)
    return u64(5) + u64(int(value["max_price"])) + u64(int(value["min_price"]))


def call_bytes(markets: Any, market: Any, action: dict[str, Any]) -> bytes:
    ((name, fields),) = action.items()
    target, amount, asset = market["contract_id"], 0, ZERO
    if name == "CreateOrder":
        function, price, quantity = "create_order", int(fields["price"]), int(fields["quantity"])
        data = u64(price) + u64(quantity) + order_type_bytes(fields["order_type"])
        if fields["side"] == "Buy":
            amount, asset = price * quantity // 10 ** market["base"]["decimals"], market["quote"]["asset"]
        else:
            amount, asset = quantity, market["base"]["asset"]
    elif name == "CancelOrder":
        function, data = "cancel_order", b256(fields["order_id"])
    elif name == "SettleBalance":
        function, data = "settle_balance", identity_bytes(fields["to"])
    else:
        target = markets["accounts_registry_id"]
        function, data = "register_referer", identity_bytes(fields["to"])
    selector = name_bytes(function)
    return (
        b256(target) + u64(len(selector)) + selector + u64(amount) + b256(asset) + u64(GAS)
        + u64(1) + u64(len(data)) + data
    )  # fmt: skip


def actions_bytes(nonce: bytes, markets: Any, groups: Sequence[dict[str, Any]]) -> bytes:
    known = {market["market_id"]: market for market in markets["markets"]}
    calls = [
        call_bytes(markets, known[group["market_id"]], action)
        for group in groups
        for action in group["actions"]
    ]
    return nonce + u64(len(calls)) + b"".join(calls)


def pack_nonce(lane: int, expiry: int, word: int, bit: int) -> int:
    return bit | word << 8 | expiry << 136 | lane << 168


def typed_withdrawal(
    *, evm: bool, chain: int, account: str, nonce: int, to: dict[str, str], amount: int, asset: str
) -> bytes:
    name, version = keccak(b"TradeAccount"), keccak(b"2")
    if evm:
        kind = b"EIP712Domain(string name,string version,bytes32 salt)"
        rest = bytes(24) + u64(chain)
        struct = b256("7d2e70c357f073fd00c187b1871bf74c440ec8303b435f001d884d6ffd77ca1c")
    else:
        kind = b"SRC16Domain(string name,string version,u256 chain_id,contractId verifying_contract)"
        rest = u256(chain) + b256(account)
        struct = b256("95a9c4c23dd3607b14ecdc67fcc42946f61a4f1d153dc7dfbd77ca6c2af1c6f6")
    domain = keccak(keccak(kind) + name + version + rest)
    (target,) = to.values()
    body = keccak(struct + u256(nonce) + b256(target) + u256(amount) + b256(asset))
    return keccak(b"\x19\x01" + domain + body)


# -- keys (4.2 to 4.4) -----------------------------------------------------------------------------


class Key:
    """A secp256k1 key with the address of its kind."""

    def __init__(self, *, evm: bool = False, secret: bytes | None = None) -> None:
        self._key = PrivateKey(secret or token_bytes(32))
        self.evm = evm
        public = self._key.public_key.format(compressed=False)[1:]
        self.address = "0x" + ((bytes(12) + keccak(public)[12:]) if evm else sha256(public).digest()).hex()

    def sign_digest(self, digest: bytes) -> str:
        signature = bytearray(self._key.sign_recoverable(digest, hasher=None))
        recovery_id = signature.pop()
        signature[32] |= recovery_id << 7
        return "0x" + signature.hex()

    def sign_raw(self, message: bytes) -> str:
        return self.sign_digest(sha256(message).digest())

    def sign_personal(self, message: bytes) -> str:
        length = str(len(message)).encode()
        if self.evm:
            return self.sign_digest(keccak(b"\x19Ethereum Signed Message:\n" + length + message))
        return self.sign_digest(sha256(b"\x19Fuel Signed Message:\n" + length + message).digest())


# -- the wire --------------------------------------------------------------------------------------


class Refused(Exception):
    """The exchange said no; holds its envelope."""

    def __init__(self, status: int, envelope: dict[str, Any]) -> None:
        super().__init__(status, envelope)
        self.status = status
        self.envelope = envelope


def post_url(url: str, body: object) -> Any:
    """Send one JSON body to a whole URL."""
    parts = urlsplit(url)
    return request(f"{parts.scheme}://{parts.netloc}", "POST", parts.path, body)[1]


def request(
    base: str, method: str, path: str, body: object = None, owner: str | None = None
) -> tuple[int, Any]:
    parts = urlsplit(base)
    assert parts.scheme == "http"
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if owner is not None:
        headers["O2-Owner-Id"] = owner
    with closing(http.client.HTTPConnection(parts.netloc, timeout=SECONDS)) as connection:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, body=data, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


class Streams:
    """One WebSocket, read by whoever waits for something."""

    def __init__(self, sock: socket.socket, target: str, host: str) -> None:
        self._socket = sock
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._parts: list[str] = []
        self._open = False
        self.frames: list[Any] = []
        sock.sendall(self._ws.send(Request(host=host, target=target)))
        while not self._open:
            self._pump()

    def send(self, frame: object) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self._socket.sendall(self._ws.send(TextMessage(text)))

    def subscribe(self, action: str, **fields: object) -> None:
        self.send({"action": f"subscribe_{action}", **fields})

    def until(self, action: str, fits: Any = lambda frame: True) -> Any:
        """Take the first frame of an action that fits, now or to come; others stay."""
        seen, deadline = 0, time.monotonic() + SECONDS
        while True:
            for index in range(seen, len(self.frames)):
                frame = self.frames[index]
                if frame == action or (
                    isinstance(frame, dict) and frame.get("action") == action and fits(frame)
                ):
                    return self.frames.pop(index)
            seen = len(self.frames)
            assert time.monotonic() < deadline, f"no {action}"
            self._pump()

    def _pump(self) -> None:
        data = self._socket.recv(65536)
        assert data, "the exchange closed the WebSocket"
        self._ws.receive_data(data)
        for event in self._ws.events():
            if isinstance(event, AcceptConnection):
                self._open = True
            elif isinstance(event, Ping):
                self._socket.sendall(self._ws.send(event.response()))
            elif isinstance(event, TextMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    text = "".join(self._parts)
                    self._parts.clear()
                    self.frames.append("PONG" if text.strip().upper() == "PONG" else json.loads(text))
            else:
                assert not isinstance(event, CloseConnection), event


@contextmanager
def open_streams(url: str) -> Iterator[Streams]:
    parts = urlsplit(url)
    assert parts.scheme == "ws"
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=SECONDS) as sock:
        yield Streams(sock, parts.path, parts.netloc)


# -- the client ------------------------------------------------------------------------------------


class Client:
    """One owner at one exchange."""

    def __init__(self, rest: str, owner: Key) -> None:
        self._rest = rest
        self.owner = owner
        self.session_key = Key()
        self.markets = self.get("/v1/markets")
        chain = self.markets["chain_id"]
        self.chain = int(chain, 16 if str(chain).startswith("0x") else 10)
        self.account = ""

    def get(self, path: str, **query: object) -> Any:
        return self._done(*self.ask("GET", path + ("?" + urlencode(query) if query else ""), None, None))

    def send(self, method: str, path: str, body: object, *, owner: bool = True) -> Any:
        header = self.owner.address if owner else None
        return self._done(*self.ask(method, path, body, header))

    def ask(self, method: str, path: str, body: object, owner: str | None) -> tuple[int, Any]:
        """Send one request and return status and answer."""
        return request(self._rest, method, path, body, owner)

    def _done(self, status: int, answer: Any) -> Any:
        if status != 200 or (isinstance(answer, dict) and ("code" in answer or answer.get("reason"))):
            raise Refused(status, answer)
        return answer

    def market(self, index: int) -> Any:
        return self.markets["markets"][index]

    @property
    def contract(self) -> dict[str, str]:
        return {"ContractId": self.account}

    def create_account(self) -> Any:
        body = {"identity": {"Address": self.owner.address}}
        answer = self.send("POST", "/v1/accounts", body, owner=False)
        self.account = answer["trade_account_id"]
        return answer

    def nonce(self) -> int:
        found = self.get("/v1/accounts", trade_account_id=self.account)
        return int(found["trade_account"]["nonce"])

    def balance(self, asset: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.get("/v1/balance", asset_id=asset, contract=self.account)
        return answer

    def create_session(self, contracts: Sequence[str], expiry: int) -> Any:
        nonce = self.nonce()
        message = set_session(nonce, self.chain, self.session_key.address, expiry, contracts)
        return self.send(
            "PUT",
            "/v1/session",
            {
                "contract_id": self.account,
                "session_id": {"Address": self.session_key.address},
                "signature": {"Secp256k1": self.owner.sign_personal(message)},
                "contract_ids": list(contracts),
                "nonce": str(nonce),
                "expiry": str(expiry),
            },
        )

    def act(self, market: Any, *actions: dict[str, Any], parallel: int | None = None) -> Any:
        groups = [{"market_id": market["market_id"], "actions": list(actions)}]
        if parallel is None:
            nonce = self.nonce()
            track, head = {"nonce": str(nonce)}, u64(nonce)
        else:
            track, head = {"parallel_nonce": str(parallel)}, u256(parallel)
        message = actions_bytes(head, self.markets, groups)
        body = {
            "actions": groups,
            "signature": {"Secp256k1": self.session_key.sign_raw(message)},
            **track,
            "trade_account_id": self.account,
            "session_id": {"Address": self.session_key.address},
            "collect_orders": True,
        }
        return self.send("POST", "/v1/session/actions", body)

    def free_nonce(self, lane: int) -> int:
        """Pack the position past the highest used one of a lane."""
        window = self.get("/v1/accounts/window", trade_account_id=self.account, nonce_session_id=lane)
        used = [
            (int(slot["word_position"]), int(slot["bitmap"]).bit_length() - 1)
            for slot in window["slots"]
            if int(slot["bitmap"])
        ]
        word, bit = max(used, default=(int(window["base"]), -1))
        word, bit = (word + 1, 0) if bit == 127 else (word, bit + 1)
        return pack_nonce(lane, int(time.time()) + 120, word, bit)

    def withdraw(self, to: dict[str, str], amount: int, asset: str) -> Any:
        nonce = self.nonce()
        message = withdraw(nonce, self.chain, to, amount, asset)
        return self.send(
            "POST",
            "/v1/accounts/withdraw",
            {
                "trade_account_id": self.account,
                "signature": {"Secp256k1": self.owner.sign_personal(message)},
                "nonce": str(nonce),
                "to": to,
                "asset_id": asset,
                "amount": str(amount),
            },
        )

    def withdraw_typed(self, to: dict[str, str], amount: int, asset: str, nonce: int) -> Any:
        digest = typed_withdrawal(
            evm=self.owner.evm,
            chain=self.chain,
            account=self.account,
            nonce=nonce,
            to=to,
            amount=amount,
            asset=asset,
        )
        return self.send(
            "POST",
            "/v1/accounts/withdraw",
            {
                "trade_account_id": self.account,
                "signature": {"TypedSecp256k1": self.owner.sign_digest(digest)},
                "parallel_nonce": str(nonce),
                "to": to,
                "asset_id": asset,
                "amount": str(amount),
            },
        )

    def upgrade(self) -> Any:
        nonce = self.nonce()
        signature = {"Secp256k1": self.owner.sign_personal(upgrade(nonce, self.chain))}
        body = {"trade_account_id": self.account, "nonce": str(nonce), "signature": signature}
        return self.send("POST", "/v1/accounts/upgrade", body)


def create(side: str, price: int, quantity: int, kind: Any = "Spot") -> dict[str, Any]:
    fields = {"side": side, "price": str(price), "quantity": str(quantity), "order_type": kind}
    return {"CreateOrder": fields}


def cancel(order_id: str) -> dict[str, Any]:
    return {"CancelOrder": {"order_id": order_id}}


def settle(to: dict[str, str]) -> dict[str, Any]:
    return {"SettleBalance": {"to": to}}
