"""What takes a wallet to answer: a session, an order that is canceled, and submissions that must be refused.

On test networks only. The order is the smallest that is allowed, far from the market and post-only, so it
trades with nobody; at the end it is canceled and settled. The library itself prepares the account and places
the order. Submissions whose raw answers matter go through the plain HTTP client.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

import attrs
import trio

from .._client import O2Client, open_o2
from .._errors import InvalidRequest, O2Error
from .._network import Network, NetworkConfig
from .._nursery import BareNursery
from ..models import Id, Identity, Market, Raw
from ..rest import RestClient
from ..trading import CancelOrder, EvmWallet, FuelWallet, NewOrder, Session, SettleBalance, Signer
from ..trading._actions import Action, actions_json
from ..trading._bytes import actions_bytes, call_of, parallel_actions_bytes
from ..trading._signers import session_request
from ..trading._signing import signature_of
from ..trading._tracks import Lane
from ._doctor_check import Check, Result
from ._doctor_evidence import Evidence, Reader, converse
from ._doctor_exam import OPTIONS, account_script, read_account
from ._doctor_shapes import Object, items_of, object_of

__all__ = ["KEY_VARIABLE", "TRADE_CHECKS", "Consent", "consent_of", "trade"]

KEY_VARIABLE = "O2TRIO_KEY"
"""The environment variable that may hold the owner's private key."""

_TRADE_SECONDS = 20.0
"""How long everything about trading may take."""

_SETTLE_SECONDS = 1.0
"""How long to wait for the messages that follow a submission."""

_SIGN_SECONDS = 5.0
_LANE = 4
_KEYS = ("Secp256k1", "TypedSecp256k1")
_UNKNOWN_ORDER = Id(f"0x{'0d' * 32}")

_TEST_HOSTS = frozenset(
    urlsplit(network.value.rest_url).hostname for network in (Network.TESTNET, Network.DEVNET)
)


@attrs.frozen(slots=True)
class Consent:
    """Permission to trade with a wallet's test coins; the wallet never shows its key."""

    wallet: Signer = attrs.field(repr=False)

    def check(self, config: NetworkConfig) -> None:
        """Refuse every network on which coins may be worth something.

        Raises:
          InvalidRequest: `config` is neither a test network nor on this machine.
        """
        host = urlsplit(config.rest_url).hostname or ""
        if host not in _TEST_HOSTS and not _is_local(host) and config.dialer is None:
            raise InvalidRequest(
                f"--trade is for testnet, devnet and this machine only, not for {host!r:.80}"
            )


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def consent_of(arguments: argparse.Namespace) -> Consent:
    """Return the consent that the command line gives, with the key from a file or the environment.

    Raises:
      InvalidRequest: there is no consent to spend test coins, or no key.
      OSError: the file cannot be read.
    """
    if not arguments.yes_spend_test_coins:
        raise InvalidRequest(
            "--trade spends test coins of the wallet: add --yes-spend-test-coins to permit it"
        )
    if arguments.key_file is not None:
        key = arguments.key_file.read_text(encoding="utf-8", errors="replace").strip()
    else:
        key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise InvalidRequest(f"--trade needs the owner's private key in {KEY_VARIABLE} or in --key-file FILE")
    return Consent(EvmWallet.from_key(key) if arguments.evm else FuelWallet.from_key(key))


async def trade(evidence: Evidence, reader: Reader, consent: Consent) -> None:
    """Trade a little, and keep in `evidence` what the exchange answers."""
    evidence.is_trading = True
    evidence.failures["trading"] = f"not finished within {_TRADE_SECONDS:g} s"
    with trio.move_on_after(_TRADE_SECONDS):
        try:
            async with open_o2(evidence.network, options=OPTIONS) as o2:
                await _trade(evidence, reader, consent.wallet, o2)
        except (O2Error, OSError, ArithmeticError, ValueError) as error:
            evidence.failures["trading"] = f"{type(error).__name__}: {error}"
        else:
            del evidence.failures["trading"]


async def _trade(evidence: Evidence, reader: Reader, wallet: Signer, o2: O2Client) -> None:
    account = (await o2.setup_account(wallet)).account.trade_account_id
    market = (await o2.get_markets()).find(str(evidence.market.get("market_id")))
    key = FuelWallet.generate()
    evidence.account = evidence.account or account
    async with BareNursery() as listening:
        script = account_script(account, _TRADE_SECONDS)
        listening.start_soon(converse, evidence, "trading", script, OPTIONS)
        async with o2.session(wallet, market, key=key, renew=False, settle_first=False) as session:
            look = partial(read_account, reader, evidence, market.market_id, account)
            await _place_and_cancel(o2, session, market, look)
        async with RestClient(evidence.network, OPTIONS) as rest:
            lane = Lane(_LANE, lambda number: rest.account_window(account, number), evidence.network.now)
            raw = _Raw(reader, market, wallet, account, key)
            registry = (await o2.get_markets()).accounts_registry_id
            await raw.submit_each(lane, registry)
        await trio.sleep(_SETTLE_SECONDS)


async def _place_and_cancel(
    o2: O2Client, session: Session, market: Market, look: Callable[[], Awaitable[None]]
) -> None:
    """Place the smallest order, far below the market; cancel it and settle, whatever happens meanwhile."""
    bid = (await o2.get_depth(market)).changes.best_bid
    if bid is None:
        return
    # Half of the window below the market is inside of it; without a window a tenth is far enough.
    percent = min(market.price_window or 20, 20)
    price = int(bid.price * (200 - percent)) // 200 // market.price_step * market.price_step
    if price <= 0:
        # The best bid is one step above nothing: no order can stand far below it.
        return
    quantity = -(-2 * market.min_order * 10**market.base.decimals // price)
    order = NewOrder(
        market, "buy", price=Raw(price), quantity=Raw(quantity), order_type="PostOnly", adjust=True
    )
    try:
        await session.place(order)
        await trio.sleep(_SETTLE_SECONDS)
        await look()
    finally:
        with trio.move_on_after(_SIGN_SECONDS, shield=True):
            await session.cancel_all(market)
            await session.settle(market)


@attrs.frozen(slots=True)
class _Raw:
    """Submissions of a session that are sent as they are, and whose answers are kept as they come."""

    reader: Reader
    market: Market
    owner: Signer
    account: str
    key: FuelWallet

    async def submit_each(self, lane: Lane, registry: Id | None) -> None:
        """Submit what must be refused, what must fail, and what one of the signature keys must open."""
        settle = SettleBalance(self.market, Identity.contract(self.account))
        nonce = await self._nonce()
        await self._sequential("stale nonce", settle, max(nonce - 1, 0), registry)
        await self._sequential("revert", CancelOrder(self.market, _UNKNOWN_ORDER), nonce, registry)
        for name in _KEYS:
            packed = (await lane.next()).pack()
            message = parallel_actions_bytes(packed, [call_of(settle, registry)])
            await self._submit(f"parallel {name}", [settle], message, name, {"parallel_nonce": str(packed)})

    async def _nonce(self) -> int:
        await self.reader.get("nonce", "/v1/accounts", trade_account_id=self.account)
        state = object_of(object_of(self.reader.evidence.body("nonce")).get("trade_account"))
        return int(str(state.get("nonce")), 0)

    async def _sequential(self, name: str, action: Action, nonce: int, registry: Id | None) -> None:
        message = actions_bytes(nonce, [call_of(action, registry)])
        await self._submit(name, [action], message, _KEYS[0], {"nonce": str(nonce)})

    async def _submit(
        self, name: str, actions: Sequence[Action], message: bytes, key: str, nonce: Object
    ) -> None:
        signature = await signature_of(self.key, session_request(message), _SIGN_SECONDS)
        body: dict[str, object] = {
            "actions": actions_json(actions),
            "signature": {key: signature},
            "trade_account_id": self.account,
            "session_id": {"Address": self.key.address},
            "collect_orders": True,
            **nonce,
        }
        await self.reader.post(name, "/v1/session/actions", body, self.owner.address)


# -- what it means ---------------------------------------------------------------------------------


def _traded(evidence: Evidence) -> Result | None:
    failure = evidence.failures.get("trading")
    return Result("no", is_safe=False, said=failure) if failure else Result("yes", is_safe=True)


def _is_success(answer: Object) -> bool:
    return "tx_id" in answer and not answer.get("reason")


def _signature_key(evidence: Evidence) -> str | None:
    answers = {name: evidence.answers.get(f"parallel {name}") for name in _KEYS}
    if None in answers.values():
        return None
    accepted = [name for name, answer in answers.items() if answer is not None and _is_success(answer.object)]
    return " or ".join(accepted) or "neither"


_NUMBER = re.compile(r"\d+")


def _stale_nonce(evidence: Evidence) -> str | None:
    answer, state = evidence.answers.get("stale nonce"), object_of(evidence.body("nonce"))
    if answer is None:
        return None
    right = int(str(object_of(state.get("trade_account")).get("nonce")), 0)
    words = " ".join(str(value) for value in answer.object.values())
    named = {int(number) for number in _NUMBER.findall(words)}
    return "it names the right one" if right in named else "it names none"


def _refusal_status(evidence: Evidence) -> str | None:
    answer = evidence.answers.get("stale nonce")
    return None if answer is None else "200" if answer.status < 400 else "400 or more"


def _revert_envelope(evidence: Evidence) -> str | None:
    answer = evidence.answers.get("revert")
    if answer is None:
        return None
    if "tx_id" in answer.object:
        return "a tx_id and a reason"
    return "a code" if "code" in answer.object else "no code"


def _revert_text(evidence: Evidence) -> str | None:
    answer = evidence.answers.get("revert")
    if answer is None:
        return None
    receipts = items_of(answer.object.get("receipts"))
    if receipts:
        return "a list of receipts with types" if "type" in receipts[0] else "a list of receipts by type"
    reason = str(answer.object.get("reason"))
    if 'Ok(\\"' in reason:
        return "names in escaped quotes"
    return "names" if 'Ok("' in reason else "raw receipts" if "LogData" in reason else "other words"


TRADE_CHECKS = (
    Check(
        name="trading",
        question="Can an account be set up, and an order placed and canceled?",
        assumed="yes",
        read=_traded,
        advice="look at the message above; the wallet may need coins from the faucet of the network",
    ),
    Check(
        name="signature key",
        question="Under which key may a parallel submission hold its signature?",
        assumed="Secp256k1 or TypedSecp256k1; the other one is tried once",
        read=_signature_key,
        safe=frozenset({"Secp256k1", "TypedSecp256k1", "Secp256k1 or TypedSecp256k1"}),
        advice="use sessions without a lane; the account may also have to be upgraded first",
    ),
    Check(
        name="stale nonce",
        question="Does the refusal of a stale nonce name the right one?",
        assumed="either; it is read where it is not named",
        read=_stale_nonce,
        safe=frozenset({"it names the right one", "it names none"}),
    ),
    Check(
        name="refusal status",
        question="Which HTTP status does a refused submission have?",
        assumed="any; its code counts",
        read=_refusal_status,
        safe=frozenset({"200", "400 or more"}),
    ),
    Check(
        name="revert envelope",
        question="What does the answer to a failed transaction carry?",
        assumed="a reason, with or without a code or a tx_id",
        read=_revert_envelope,
        safe=frozenset({"no code", "a code", "a tx_id and a reason"}),
    ),
    Check(
        name="revert text",
        question="How does it say why the transaction failed?",
        assumed="in names, in receipts, or both",
        read=_revert_text,
        safe=frozenset(
            {
                "names",
                "names in escaped quotes",
                "raw receipts",
                "a list of receipts with types",
                "a list of receipts by type",
            }
        ),
    ),
)
"""What takes a wallet to answer."""
