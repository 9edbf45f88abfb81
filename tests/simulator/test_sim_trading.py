"""Signed requests: what the simulator refuses before the chain, and how it tells what failed there."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2trio._trading_errors import MissingExtra
from o2trio.models import Identity, Side
from o2trio.simulator import Exchange, Flavor, default_listings
from o2trio.simulator._faucet import FAUCET_UNITS
from o2trio.simulator._revert_text import LOGGED
from o2trio.trading._reverts import decode_revert
from tests.independent import o2client
from tests.independent.o2client import Key, Refused, cancel, create, pack_nonce, settle
from tests.simulator.direct import NOW, Clock, Direct

NOBODY = "0x" + "ab" * 32
PRICE, QUANTITY = 10_000, 10**12


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange(clock: Clock) -> Exchange:
    return Exchange(default_listings(), clock)


@pytest.fixture(params=[False, True], ids=["fuel", "evm"])
def both(request: pytest.FixtureRequest, exchange: Exchange) -> Direct:
    client = Direct(exchange, evm=request.param)
    client.set_up()
    return client


@pytest.fixture
def client(exchange: Exchange) -> Direct:
    client = Direct(exchange)
    client.set_up()
    return client


def buy() -> dict[str, Any]:
    return create("Buy", PRICE, QUANTITY, "PostOnly")


def state_of(client: Direct) -> object:
    """Return everything that a refusal must leave alone."""
    record = client.record
    assets = [market[kind]["asset"] for market in client.markets["markets"] for kind in ("base", "quote")]
    return (
        record.nonce,
        record.access,
        [record.balance(asset) for asset in assets],
        len(client.exchange.orders),
    )


# -- signatures ------------------------------------------------------------------------------------


def _operations(client: Direct) -> dict[str, Callable[[], object]]:
    market, home = client.market(0), {"Address": client.owner.address}
    asset = market["quote"]["asset"]
    return {
        "actions": lambda: client.act(market, settle(client.contract), buy()),
        "parallel actions": lambda: client.act(market, buy(), parallel=client.free_nonce(1)),
        "session": lambda: client.create_session([market["contract_id"]], NOW + 7200),
        "withdraw": lambda: client.withdraw(home, 5, asset),
        "typed withdraw": lambda: client.withdraw_typed(home, 5, asset, client.free_nonce(1)),
        "upgrade": client.upgrade,
    }


NAMES = ["actions", "parallel actions", "session", "withdraw", "typed withdraw", "upgrade"]


@pytest.fixture(autouse=True)
def _same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.independent.o2client.time.time", lambda: NOW)


def _flip(position: int) -> Callable[[Any], None]:
    def change(body: Any) -> None:
        ((kind, text),) = body["signature"].items()
        data = bytearray.fromhex(text[2:])
        data[position] ^= 1 << position % 8
        body["signature"] = {kind: "0x" + data.hex()}

    return change


def _signed(digits: str) -> Callable[[Any], None]:
    return lambda body: body["signature"].update(dict.fromkeys(body["signature"], "0x" + digits))


@pytest.mark.parametrize("name", NAMES)
def test_mutated_signatures(both: Direct, name: str) -> None:
    before = state_of(both)
    for position in range(64):
        both.change = _flip(position)
        assert both.refused(_operations(both)[name])["code"] == 4000
    for digits in ("00" * 64, "ff" * 64, "7f" * 64):
        both.change = _signed(digits)
        assert both.refused(_operations(both)[name])["code"] == 4000
    assert state_of(both) == before
    both.change = lambda body: None
    if name == "upgrade":
        assert "No upgrade available" in both.refused(both.upgrade)["reason"]
    else:
        _operations(both)[name]()
        assert state_of(both) != before


def _more(body: Any, key: str) -> None:
    body[key] = str(int(body[key]) + 1)


CHANGES: list[tuple[str, Callable[[Any], object]]] = [
    ("actions", lambda body: _more(body, "nonce")),
    ("actions", lambda body: _more(body["actions"][0]["actions"][1]["CreateOrder"], "price")),
    ("actions", lambda body: _more(body["actions"][0]["actions"][1]["CreateOrder"], "quantity")),
    ("actions", lambda body: body["actions"][0]["actions"][1]["CreateOrder"].update(side="Sell")),
    ("actions", lambda body: body["actions"][0]["actions"][1]["CreateOrder"].update(order_type="Spot")),
    (
        "actions",
        lambda body: body["actions"][0]["actions"][0]["SettleBalance"].update(to={"Address": NOBODY}),
    ),
    ("actions", lambda body: body["actions"][0]["actions"].pop()),
    ("actions", lambda body: body["actions"][0]["actions"].reverse()),
    ("parallel actions", lambda body: _more(body, "parallel_nonce")),
    ("session", lambda body: body.update(session_id={"Address": NOBODY})),
    ("session", lambda body: _more(body, "expiry")),
    ("session", lambda body: body["contract_ids"].append(NOBODY)),
    ("session", lambda body: _more(body, "nonce")),
    ("withdraw", lambda body: _more(body, "amount")),
    ("withdraw", lambda body: body.update(asset_id=NOBODY)),
    ("withdraw", lambda body: body.update(to={"Address": NOBODY})),
    ("withdraw", lambda body: body.update(to={"ContractId": body["to"]["Address"]})),
    ("typed withdraw", lambda body: _more(body, "amount")),
    ("typed withdraw", lambda body: _more(body, "parallel_nonce")),
    ("typed withdraw", lambda body: body.update(to={"Address": NOBODY})),
    ("upgrade", lambda body: _more(body, "nonce")),
]


@pytest.mark.parametrize(
    ("name", "change"), CHANGES, ids=[f"{name} {number}" for number, (name, _) in enumerate(CHANGES)]
)
def test_other_bytes_than_those_that_were_signed(
    both: Direct, name: str, change: Callable[[Any], object]
) -> None:
    before = state_of(both)
    both.change = lambda body: (change(body), None)[1]
    assert both.refused(_operations(both)[name])["code"] == 4000
    assert state_of(both) == before


def test_amount_before_asset(client: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(nonce: int, chain: int, to: Any, amount: int, asset: str) -> bytes:
        right = o2client.u64(nonce) + o2client.u64(chain) + o2client.name_bytes("withdraw")
        return right + o2client.identity_bytes(to) + o2client.b256(asset) + o2client.u64(amount)

    monkeypatch.setattr(o2client, "withdraw", swapped)
    assert client.refused(_operations(client)["withdraw"])["code"] == 4000


@pytest.mark.parametrize("name", NAMES)
def test_other_keys(both: Direct, name: str) -> None:
    operations, owner, session = _operations(both), both.owner, both.session_key
    stranger, before = Key(evm=owner.evm), state_of(both)
    stranger.address = (session if "actions" in name else owner).address
    both.owner = both.session_key = stranger
    if "actions" in name:
        both.header = owner.address
    assert both.refused(operations[name])["code"] == 4000
    assert state_of(both) == before


def test_without_the_extra(client: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtra("pip install something")

    monkeypatch.setattr("o2trio.trading._curve._coincurve", missing)
    envelope = client.refused(_operations(client)["actions"])
    assert envelope == {"code": 1000, "message": "pip install something"}
    assert client.get("/v1/accounts", trade_account_id=client.account)["session"]


# -- who, when and what ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_owner_in_the_header(client: Direct, name: str) -> None:
    before = state_of(client)
    for header in ("", NOBODY, "junk"):
        client.header = header
        envelope = client.refused(_operations(client)[name])
        assert (envelope["code"], "O2-Owner-Id" in envelope["message"]) == (1001, True)
    assert state_of(client) == before
    client.header = client.owner.address[2:].upper()
    client.change = lambda body: body.update(trade_account_id=NOBODY, contract_id=NOBODY)
    assert client.refused(_operations(client)[name])["code"] == 4002


def test_sessions_of_others_and_of_the_past(client: Direct, clock: Clock) -> None:
    act = _operations(client)["actions"]
    old, client.session_key = client.session_key, Key()
    envelope = client.refused(act)
    assert (envelope["code"], envelope["reason"]) == (4001, "Invalid session address")
    client.create_session([client.market(0)["contract_id"]], NOW + 100)
    act()
    client.session_key, new = old, client.session_key
    assert client.refused(act)["reason"] == "Invalid session address"  # the new one killed it
    client.session_key, clock.now = new, NOW + 99.9
    act()
    clock.now = NOW + 100
    envelope = client.refused(act)
    assert (envelope["code"], envelope["reason"]) == (4001, "Expired session")
    stranger = Direct(client.exchange)
    stranger.create_account()
    envelope = stranger.refused(lambda: stranger.act(client.market(0), settle(stranger.contract)))
    assert envelope["reason"] == "Invalid session address"  # there is none


def test_a_session_reaches_its_contracts_only(client: Direct) -> None:
    inside, outside = client.market(0), client.market(1)
    client.create_session([inside["contract_id"]], NOW + 100)
    nonce = client.nonce()
    envelope = client.refused(lambda: client.act(outside, settle(client.contract)))
    assert decode_revert(envelope["reason"], None).variant == "InvalidCaller"
    assert client.nonce() == nonce + 1
    client.act(inside, {"RegisterReferer": {"to": {"Address": NOBODY}}})
    assert client.record.referer == Identity.address(NOBODY)


@pytest.mark.parametrize(
    ("contracts", "expiry", "variant"),
    [([], NOW + 9, "NoApprovedContractIdsProvided"), ([NOBODY], NOW - 1, "SessionInThePast")],
)
def test_sessions_that_fail_on_chain(client: Direct, contracts: list[str], expiry: int, variant: str) -> None:
    session, nonce = client.record.session, client.nonce()
    envelope = client.refused(lambda: client.create_session(contracts, expiry))
    assert decode_revert(envelope["reason"], None).variant == variant
    assert (client.record.session, client.nonce()) == (session, nonce + 1)


def test_stale_and_early_nonces(client: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    nonce, before = client.nonce(), state_of(client)
    for wrong in (nonce - 1, nonce + 1):
        monkeypatch.setattr(client, "nonce", lambda wrong=wrong: wrong)
        for name in ("actions", "session", "withdraw", "upgrade"):
            envelope = client.refused(_operations(client)[name])
            assert envelope["reason"].startswith(f"Nonce in the request {wrong}")
    assert state_of(client) == before


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (pack_nonce(0, NOW - 1, 0, 3), "nonce expired"),
        (pack_nonce(0, NOW + 9, 8, 0), "word position out of sliding window"),
        (pack_nonce(0, NOW + 9, 0, 0), "nonce already used"),
        (pack_nonce(5, NOW + 9, 0, 0), "nonce session id out of range"),
        (pack_nonce(0, NOW + 9, 0, 128), "bitmap position out of range"),
        (pack_nonce(0, NOW + 9, 0, 5) | 1 << 176, "reserved bits set"),
    ],
)
def test_parallel_nonces_that_cannot_be_used(client: Direct, packed: int, reason: str) -> None:
    client.act(client.market(0), settle(client.contract), parallel=pack_nonce(0, NOW + 9, 0, 0))
    before = state_of(client)
    envelope = client.refused(lambda: client.act(client.market(0), buy(), parallel=packed))
    assert envelope["reason"] == f"Parallel nonce is not usable: {reason}"
    assert state_of(client) == before


def test_the_window_is_told(client: Direct, clock: Clock) -> None:
    def window(lane: int) -> Any:
        return client.get("/v1/accounts/window", trade_account_id=client.account, nonce_session_id=lane)

    client.act(client.market(0), settle(client.contract), parallel=pack_nonce(2, NOW + 9, 0, 5))
    clock.now += 1
    client.act(client.market(0), settle(client.contract), parallel=pack_nonce(2, NOW + 9, 6, 0))
    assert window(2) == {
        "nonce_session_id": "2", "base": "4", "slots": [{"word_position": "6", "bitmap": "1"}]
    }  # fmt: skip
    assert window(1)["slots"] == []
    client.lag = 500_000_000
    assert window(2)["slots"] == [{"word_position": "0", "bitmap": str(1 << 5)}]


def test_a_lagging_read_tells_the_session_before(client: Direct, clock: Clock) -> None:
    old = client.session_key.address
    clock.now += 1
    client.session_key = Key()
    client.create_session([client.market(0)["contract_id"]], NOW + 100)
    fresh = client.get("/v1/accounts", owner=client.owner.address)["session"]
    assert fresh == {
        "session_id": {"Address": client.session_key.address},
        "expiry": str(NOW + 100),
        "contract_ids": [client.market(0)["contract_id"]],
    }
    client.lag = 500_000_000
    assert client.get("/v1/accounts", owner=client.owner.address)["session"]["session_id"] == {"Address": old}


def test_number_of_actions(client: Direct) -> None:
    market, home = client.market(0), settle(client.contract)
    assert client.refused(lambda: client.act(market))["code"] == 7003
    assert client.refused(lambda: client.act(market, *[home] * 6))["code"] == 7004
    client.act(market, *[home] * 5)

    def groups(count: int) -> Callable[[Any], None]:
        return lambda body: body.update(actions=[{**body["actions"][0], "actions": []}] * count)

    client.change = groups(6)
    assert client.refused(lambda: client.act(market, home))["code"] == 7003
    client.change = lambda body: body["actions"].extend([{**body["actions"][0], "actions": []}] * 5)
    assert client.refused(lambda: client.act(market, home))["code"] == 7004
    client.change = lambda body: body["actions"][0].update(market_id=NOBODY)
    assert client.refused(lambda: client.act(market, home))["code"] == 2000


def test_orders_are_told_on_request(client: Direct) -> None:
    market = client.market(0)
    answer = client.act(market, buy(), settle(client.contract), buy())
    assert [order["price"] for order in answer["orders"]] == [str(PRICE)] * 2
    client.change = lambda body: body.pop("collect_orders")
    assert set(client.act(market, buy())) == {"tx_id"}
    kinds = ["Spot", {"Limit": [str(PRICE), str(NOW)]}]
    assert [order["order_type"] for order in _types(client, kinds)] == ["Spot", {"Limit": [PRICE, NOW]}]


def _types(client: Direct, kinds: list[Any]) -> list[Any]:
    client.change = lambda body: None
    actions = [create("Buy", PRICE, QUANTITY, kind) for kind in kinds]
    orders: list[Any] = client.act(client.market(0), *actions)["orders"]
    return orders


def test_old_accounts(exchange: Exchange) -> None:
    exchange.new_account_version = 2
    client = Direct(exchange)
    client.set_up()
    market, home = client.market(0), settle(client.contract)
    envelope = client.refused(lambda: client.act(market, home, parallel=client.free_nonce(0)))
    assert decode_revert(envelope["reason"], None).revert_code == 123
    assert client.upgrade()["tx_id"]
    client.create_session([market["contract_id"]], NOW + 100)
    client.act(market, home, parallel=client.free_nonce(0))


# -- reverts ---------------------------------------------------------------------------------------

FAILURES: dict[str, tuple[str, str]] = {
    "cancel": ("OrderCancelError", "NotOrderOwner"),
    "tick": ("OrderCreationError", "PricePrecision"),
    "withdraw": ("WithdrawError", "NotEnoughBalance"),
    "panic": ("", "NotEnoughBalance"),
    "upgrade": ("", "No upgrade available"),
}


def _fail(client: Direct, name: str) -> object:
    market = client.market(0)
    quote = market["quote"]["asset"]
    match name:
        case "cancel":
            return client.act(market, settle(client.contract), cancel(NOBODY))
        case "tick":
            return client.act(market, create("Buy", PRICE + 1, QUANTITY))
        case "panic":
            return client.act(market, create("Buy", PRICE, 10**18))
        case "withdraw":
            return client.withdraw({"Address": NOBODY}, 2**64 - 1, quote)
        case _:
            return client.upgrade()


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("text", ["logs", "escaped", "receipts", "structured", "typed"])
@pytest.mark.parametrize("envelope", ["plain", "coded", "landed"])
def test_reverts_in_every_dress(exchange: Exchange, envelope: Any, text: Any, name: str) -> None:
    client = Direct(exchange, flavor=Flavor(revert_envelope=envelope, revert_text=text))
    client.set_up()
    answer = client.refused(lambda: _fail(client, name))
    assert client.last is not None
    assert client.last.status == {"plain": 400, "coded": 500, "landed": 200}[envelope]
    assert ("code" in answer, "tx_id" in answer) == (envelope == "coded", envelope == "landed")
    assert len(answer.get("tx_id", NOBODY)) == 66
    assert (answer["receipts"] is None) == (text not in {"structured", "typed"})
    assert ('\\"' in answer["reason"]) == (text == "escaped")
    enum, variant = FAILURES[name]
    found = decode_revert(answer["reason"], answer["receipts"])
    if name == "panic":
        assert found.panic == variant
    elif name == "upgrade":
        # Only the words tell it: there is no typed error to look up.
        assert text not in {"logs", "escaped"} or variant in answer["reason"]
        assert found.signal == "FAILED_REQUIRE"
    else:
        assert (found.enum, found.variant, found.signal) == (enum, variant, "FAILED_REQUIRE")


def test_the_logged_errors_are_those_of_the_contracts(load_data: Callable[[str], Any]) -> None:
    known = {
        entry["enum"]: (int(entry["log_id"]), tuple(entry["variants"]))
        for entry in load_data("revert_errors")["enums"]
    }
    assert {enum: known[enum] for enum in LOGGED} == LOGGED


def test_a_failing_action_takes_the_others_back(client: Direct) -> None:
    before = state_of(client)
    client.refused(lambda: client.act(client.market(0), buy(), buy(), cancel(NOBODY)))
    assert client.record.nonce == 2
    client.record.nonce -= 1
    assert state_of(client) == before


def test_coded_errors_with_status_200(exchange: Exchange) -> None:
    client = Direct(exchange, flavor=Flavor(refusal_status="ok"))
    client.set_up()
    envelope = client.refused(lambda: client.act(client.market(0)))
    assert client.last is not None
    assert (client.last.status, envelope["code"]) == (200, 7003)
    client.refused(lambda: client.send("PUT", "/v1/session", {}))
    assert client.last.status == 400  # elsewhere


# -- services --------------------------------------------------------------------------------------


def test_faucet(client: Direct, clock: Clock) -> None:
    asset = client.market(0)["quote"]
    full = FAUCET_UNITS * 10 ** asset["decimals"]
    assert int(client.balance(asset["asset"])["trading_account_balance"]) == full

    def ask(**body: str) -> tuple[int, Any]:
        return client.ask("POST", "/faucet", body, None)

    clock.now += 59.5
    assert ask(contract=client.account) == (429, {"error": "Please wait 1 seconds before the next request"})
    status, answer = ask(address=client.owner.address)
    assert (status, set(answer)) == (200, {"message"})
    clock.now += 0.5
    assert ask(contract=client.account)[0] == 200
    assert int(client.balance(asset["asset"])["trading_account_balance"]) == 2 * full
    home = Identity.address(client.owner.address)
    assert client.exchange.outside[home, client.exchange.markets.markets[0].quote.asset] == full
    for body in ({}, {"contract": "0x12"}, {"contract": NOBODY, "address": NOBODY}):
        status, answer = ask(**body)
        assert (status, set(answer)) == (400, {"error"})


def test_services(exchange: Exchange) -> None:
    client = Direct(exchange)
    body = {"tradeAccount": NOBODY}
    assert client.refused(lambda: client.send("POST", "/analytics/v1/whitelist", body))["code"] == 4003
    code = client.get("/analytics/v1/referral/code-info", code="friend")
    assert code == {"valid": False, "ownerAddress": None, "isActive": False}
    friendly = Direct(exchange, flavor=Flavor(whitelist="open"))
    answer = friendly.send("POST", "/analytics/v1/whitelist", body)
    assert answer == {"success": True, "tradeAccount": NOBODY, "alreadyWhitelisted": True}


# -- nonsense --------------------------------------------------------------------------------------

ROUTES = {
    "/v1/accounts": "POST",
    "/v1/accounts/upgrade": "POST",
    "/v1/accounts/withdraw": "POST",
    "/v1/session": "PUT",
    "/v1/session/actions": "POST",
    "/analytics/v1/whitelist": "POST",
    "/faucet": "POST",
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TEXTS = ["0", "-1", "1e3", "1_0", "٣", "00", " 1", "9" * 5000, "0x", NOBODY, NOBODY[2:], "0x" + "zz" * 64]
OBJECTS: list[Any] = [
    {"Address": NOBODY},
    {"Address": 1},
    {"Secp256k1": ""},
    {"TypedSecp256k1": "0x" + "11" * 64},
    {"Limit": ["1"]},
    {"BoundedMarket": {}},
    [[]],
    [{}],
    [{"market_id": NOBODY, "actions": [{}]}],
]
TEMPTING = JSON | st.sampled_from([*TEXTS, str(2**64), str(2**256), *OBJECTS])


def _check(client: Direct, method: str, path: str, data: bytes) -> None:
    response = client.api.respond(method, path, data, 0, client.owner.address)
    answer = json.loads(response.body)
    assert response.status < 500 or "reason" in answer
    if response.status != 200:
        assert isinstance(answer.get("code"), int) or "reason" in answer or "error" in answer
    assert all(client.exchange.supply(asset) == sum_ for asset, sum_ in client.exchange.deposits.items())


@given(
    st.sampled_from(sorted(ROUTES)),
    st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_body_gets_an_answer(path: str, data: bytes) -> None:
    _check(Direct(Exchange(default_listings(), Clock())), ROUTES[path], path, data)


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b'"\\ud800"', b"1" * 5000, b""]
)
@pytest.mark.parametrize("path", ROUTES)
def test_bodies_that_hurt_parsers(client: Direct, path: str, data: bytes) -> None:
    response = client.api.respond(ROUTES[path], path, data, 0, client.owner.address)
    assert response.status == 400
    assert json.loads(response.body)["code"] in {1001, 1002}


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    inner = value if isinstance(value, dict | list) else {}
    return [path, *(place for key in keys for place in _places(inner[key], (*path, key)))]


def _put(body: Any, place: tuple[Any, ...], value: object) -> None:
    for key in place[:-1]:
        body = body[key]
    body[place[-1]] = value


def _putting(place: tuple[Any, ...], value: object) -> Callable[[Any], None]:
    return lambda body: _put(body, place, value)


@pytest.mark.parametrize("name", NAMES)
def test_nonsense_in_every_place(client: Direct, name: str) -> None:
    bodies: list[Any] = []
    client.change = bodies.append
    client.prepared(_operations(client)[name])
    before = state_of(client)
    for place in _places(bodies[0])[1:]:
        if place == ("collect_orders",):
            continue
        for value in ("9" * 5000, "-1", "1e3", "", 1, 1.5, True, [], {}, [None], {"Address": None}):
            client.change = _putting(place, value)
            assert client.refused(_operations(client)[name])["code"] in {1001, 3002, 4000, 7003}
    assert state_of(client) == before


@given(st.data())
def test_almost_right_bodies_get_an_answer(data: st.DataObject) -> None:
    client = Direct(Exchange(default_listings(), Clock()))
    client.set_up()
    name = data.draw(st.sampled_from(NAMES))
    sent: list[Any] = []

    def change(body: Any) -> None:
        place = data.draw(st.sampled_from([place for place in _places(body) if place]))
        inner = body
        for key in place[:-1]:
            inner = inner[key]
        if data.draw(st.booleans()) and isinstance(inner, dict):
            del inner[place[-1]]
        else:
            _put(body, place, data.draw(TEMPTING))
        sent.append(body)

    client.change = change
    before = state_of(client)
    with suppress(Refused):
        _operations(client)[name]()
    assert sent
    assert client.last is not None
    answer = json.loads(client.last.body)
    assert "code" in answer or "reason" in answer or "tx_id" in answer
    if "code" in answer:
        assert state_of(client) == before


def test_sides_and_types_keep_their_capitals(client: Direct) -> None:
    market = client.market(0)

    def order(**fields: object) -> Callable[[Any], None]:
        return lambda body: body["actions"][0]["actions"][0]["CreateOrder"].update(fields)

    for fields, code in (
        ({"side": "buy"}, 1001),
        ({"order_type": "spot"}, 3002),
        ({"order_type": {"Limit": [1, 2]}}, 1001),
        ({"price": PRICE}, 1001),
        ({"quantity": 1.5}, 1001),
    ):
        client.change = order(**fields)
        assert client.refused(lambda: client.act(market, buy()))["code"] == code
    assert Side.BUY.value == "buy"
