"""The whole life of an account, told by a client that knows only the protocol notes and the URLs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import attrs
import pytest

from tests.independent import o2client
from tests.independent.o2client import Client, Key, Refused, cancel, create, open_streams, settle

ROOT = Path(__file__).parents[2]
BOUND = 60


@attrs.frozen
class Urls:
    rest: str
    websocket: str
    faucet: str


@pytest.fixture(scope="module")
def urls() -> Iterator[Urls]:
    """Give the URLs that ``o2trio simulator`` prints."""
    with _simulator() as process:
        assert process.stdout is not None
        words = [process.stdout.readline().split() for _ in range(3)]
        yield Urls(*(line[-1] for line in words))


@contextmanager
def _simulator() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "o2trio", "simulator", "--rate", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    with subprocess.Popen(command, text=True, env=environment, stdout=subprocess.PIPE) as process:
        # Whoever waits for output that never comes is freed by this.
        watchdog = Timer(BOUND, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


# -- the client itself -----------------------------------------------------------------------------


def test_the_client_signs_as_the_vectors_say(load_data: Callable[[str], Any]) -> None:
    data = load_data("signing_vectors")
    keys = {wallet["key"]: bytes.fromhex(wallet["private_key"][2:]) for wallet in data["wallets"]}
    for case in data["session_signing"]:
        arguments = (int(case["nonce"]), int(case["chain_id"]), case["session_address"])
        message = o2client.set_session(*arguments, int(case["expiry"]), case["contract_ids"])
        assert "0x" + message.hex() == case["signing_bytes"]
        for kind in ("fuel", "evm"):
            key = Key(evm=kind == "evm", secret=keys[case["owner_key"]])
            assert key.sign_personal(message) == case[f"{kind}_owner_signature"]
    markets = {
        "accounts_registry_id": data["markets"]["A"]["accounts_registry_id"],
        "markets": list(data["markets"].values()),
    }
    for case in data["action_batches"]:
        size = {"sequential": 8, "parallel": 32}[case["track"]]
        nonce = int(case["nonce"]).to_bytes(size, "big")
        message = o2client.actions_bytes(nonce, markets, case["actions"])
        assert "0x" + message.hex() == case["signing_bytes"]
        assert Key(secret=keys[case["session_key"]]).sign_raw(message) == case["signature"]
    for case in data["parallel_withdraw_typed"]:
        key = Key(evm=case["owner_kind"] == "evm", secret=keys[case["owner_key"]])
        assert key.address == case["owner_b256"]
        digest = o2client.typed_withdrawal(
            evm=key.evm,
            chain=int(case["chain_id"]),
            account=case["verifying_contract"],
            nonce=int(case["parallel_nonce"]),
            to={"Address": case["to"]},
            amount=int(case["amount"]),
            asset=case["asset_id"],
        )
        assert key.sign_digest(digest) == case["signature"]


# -- its life --------------------------------------------------------------------------------------


@pytest.mark.parametrize("evm", [False, True], ids=["fuel", "evm"])
def test_the_whole_life_of_an_account(urls: Urls, evm: bool) -> None:
    client = Client(urls.rest, Key(evm=evm))
    _born(client, urls)
    market = client.market(0)
    expiry = int(time.time()) + 3600
    session = client.create_session([market["contract_id"]], expiry)
    assert session["session_id"] == {"Address": client.session_key.address}
    assert (session["contract_ids"], int(session["session_expiry"])) == ([market["contract_id"]], expiry)
    known = client.get("/v1/accounts", owner=client.owner.address)["session"]
    assert known["session_id"] == {"Address": client.session_key.address}
    assert client.nonce() == 1
    with open_streams(urls.websocket) as streams:
        streams.subscribe("orders", identities=[client.contract])
        streams.subscribe("balances", identities=[client.contract])
        streams.subscribe("nonce", identities=[client.contract])
        streams.subscribe("depth", market_id=market["market_id"], precision="10")
        streams.send("PING")
        streams.until("PONG")
        assert streams.until("subscribe_depth")["market_id"] == market["market_id"]
        _rests_and_is_cancelled(client, streams, market)
        _trades(client, streams, market)
    _fails_on_chain(client, market)
    _is_refused(client, market)
    _withdraws(client, market)


def _born(client: Client, urls: Urls) -> None:
    nobody = {"trade_account_id": None, "trade_account": None, "session": None}
    assert client.get("/v1/accounts", owner=client.owner.address) == nobody
    made = client.create_account()
    assert int(made["nonce"]) == 0
    assert client.create_account() == made  # once per owner
    found = client.get("/v1/accounts", owner=client.owner.address)
    assert found["trade_account_id"] == client.account
    assert found["trade_account"]["owner"] == {"Address": client.owner.address}
    assert "message" in o2client.post_url(urls.faucet, {"contract": client.account})
    assert "error" in o2client.post_url(urls.faucet, {"contract": client.account})  # too soon
    for asset in (client.market(0)["base"]["asset"], client.market(0)["quote"]["asset"]):
        balance = client.balance(asset)
        assert int(balance["total_unlocked"]) == int(balance["trading_account_balance"]) > 0


def _rests_and_is_cancelled(client: Client, streams: o2client.Streams, market: Any) -> None:
    """Place an order on the sequential track, and cancel it on the parallel one."""
    step = 10 ** (market["quote"]["decimals"] - market["quote"]["max_precision"])
    price, quantity = 100 * step, 10 ** (market["base"]["decimals"] + 5)
    nonce = client.nonce()
    answer = client.act(market, settle(client.contract), create("Buy", price, quantity, "PostOnly"))
    (order,) = answer["orders"]
    assert answer["tx_id"].startswith("0x")
    assert (order["price"], order["quantity"], order["close"]) == (str(price), str(quantity), False)

    def names_it(frame: Any) -> bool:
        return any(one["order_id"] == order["order_id"] for one in frame["orders"])

    streams.until("subscribe_orders", names_it)
    moved = streams.until("subscribe_nonce")
    assert (moved["contract_id"], int(moved["nonce"])) == (client.account, nonce + 1)
    held = streams.until("subscribe_balances")["balance"]
    locked = price * quantity // 10 ** market["base"]["decimals"]
    assert [
        int(entry["total_locked"]) for entry in held if entry["asset_id"] == market["quote"]["asset"]
    ] == [locked]
    client.act(market, cancel(order["order_id"]), parallel=client.free_nonce(lane=2))
    closed = streams.until("subscribe_orders", names_it)["orders"]
    assert any(one["cancel"] and one["close"] for one in closed)
    assert client.nonce() == nonce + 1  # the parallel track leaves it alone
    found = client.get("/v1/order", market_id=market["market_id"], order_id=order["order_id"])["order"]
    assert (found["close"], found["cancel"]) == (True, True)


def _trades(client: Client, streams: o2client.Streams, market: Any) -> None:
    """Take the best offer, on the parallel track, and settle the proceeds."""
    scale, base = 10 ** market["base"]["decimals"], market["base"]["asset"]
    before = int(client.balance(base)["trading_account_balance"])
    filled = 0
    while not filled:  # the book is alive: another may be faster
        book = client.get("/v1/depth", market_id=market["market_id"], precision=10)["orders"]
        price, quantity = int(book["sells"][0]["price"]), 200 * scale
        order = create("Buy", price, quantity, {"BoundedMarket": {"max_price": str(price), "min_price": "1"}})
        answer = client.act(market, order, parallel=client.free_nonce(lane=0))
        (placed,) = answer["orders"]
        filled = int(placed["quantity_fill"])
    fee = filled * int(market["taker_fee"]) // 1_000_000
    balance = client.balance(base)
    assert int(balance["trading_account_balance"]) == before
    assert before < int(balance["total_unlocked"]) <= before + filled
    client.act(market, settle(client.contract))
    after = client.balance(base)
    assert int(after["trading_account_balance"]) == int(after["total_unlocked"])
    assert before + filled - fee - 50 <= int(after["total_unlocked"]) <= before + filled - fee
    query = {"market_id": market["market_id"], "contract": client.account, "direction": "desc", "count": 50}
    mine = client.get("/v1/trades_by_account", **query)["trades"]
    assert sum(int(trade["quantity"]) for trade in mine) == filled
    assert {trade["trader_side"] for trade in mine} == {"taker"}
    streams.until("subscribe_orders", lambda frame: any(one["close"] for one in frame["orders"]))


def _fails_on_chain(client: Client, market: Any) -> None:
    """One failing action takes the others with it, and moves the nonce."""
    nonce, base = client.nonce(), client.balance(market["quote"]["asset"])
    step = 10 ** (market["quote"]["decimals"] - market["quote"]["max_precision"])
    good = create("Buy", 100 * step, 10 ** (market["base"]["decimals"] + 5))
    with pytest.raises(Refused) as refused:
        client.act(market, good, cancel("0x" + "ab" * 32))
    envelope = refused.value.envelope
    assert "OrderCancelError" in envelope["reason"] or "NotOrderOwner" in envelope["reason"]
    assert client.nonce() == nonce + 1
    assert client.balance(market["quote"]["asset"]) == base


def _is_refused(client: Client, market: Any) -> None:
    """Ask for what is refused before the chain: it moves nothing."""
    nonce, owner, session = client.nonce(), client.owner, client.session_key
    client.session_key = Key()
    with pytest.raises(Refused) as foreign:
        client.act(market, settle(client.contract))
    assert foreign.value.envelope["code"] == 4001
    client.session_key = session
    client.owner = Key(evm=owner.evm)
    client.owner.address = owner.address  # who says so, but cannot sign so
    with pytest.raises(Refused) as stranger:
        client.create_session([market["contract_id"]], int(time.time()) + 3600)
    assert stranger.value.envelope["code"] == 4000
    client.owner = owner
    with pytest.raises(Refused) as many:
        client.act(market, *[settle(client.contract)] * 6)
    assert many.value.envelope["code"] == 7004
    used = client.free_nonce(lane=3)
    client.act(market, settle(client.contract), parallel=used)
    with pytest.raises(Refused) as again:
        client.act(market, settle(client.contract), parallel=used)
    assert again.value.envelope["reason"] == "Parallel nonce is not usable: nonce already used"
    with pytest.raises(Refused) as current:
        client.upgrade()
    assert "No upgrade available" in current.value.envelope["reason"]
    assert client.nonce() == nonce + 1  # only the last one ran


def _withdraws(client: Client, market: Any) -> None:
    asset, home = market["quote"]["asset"], {"Address": client.owner.address}
    before, nonce = int(client.balance(asset)["total_unlocked"]), client.nonce()
    assert client.withdraw(home, 1_000_001, asset)["tx_id"]
    assert client.nonce() == nonce + 1
    assert client.withdraw_typed(home, 2_000_002, asset, client.free_nonce(lane=4))["tx_id"]
    assert client.nonce() == nonce + 1
    assert int(client.balance(asset)["total_unlocked"]) == before - 3_000_003
    with pytest.raises(Refused) as refused:
        client.withdraw(home, before, asset)
    assert "reason" in refused.value.envelope
    assert int(client.balance(asset)["total_unlocked"]) == before - 3_000_003
