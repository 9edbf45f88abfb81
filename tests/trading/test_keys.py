"""Keys, addresses and signatures against the vectors; external signers; what is not a signature."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import attrs
import pytest
import trio
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from o2trio._trading_errors import SignerFailed
from o2trio.models import Id, Identity
from o2trio.trading import _curve, _signing, _wallets
from o2trio.trading._curve import ORDER, load_key, pack_signature, public_key, recover, sign_digest
from o2trio.trading._signers import (
    Signer,
    SignerKind,
    SigningRequest,
    address_of,
    compact_from_der,
    compact_from_vrs,
    compact_signature,
    personal_request,
    recover_address,
    session_request,
    typed_request,
)
from o2trio.trading._signing import signature_of
from o2trio.trading._wallets import EvmWallet, FuelWallet

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "signing_vectors.json").read_text("utf-8"))
KEYS = {wallet["key"]: wallet["private_key"] for wallet in VECTORS["wallets"]}
DIGEST = sha256(b"something").digest()

secrets = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)
kinds = st.sampled_from(SignerKind)


def test_every_vector_of_keys_is_run() -> None:
    sections = ("wallets", "message_signatures", "compact_signature")
    assert [len(VECTORS[section]) for section in sections] == [6, 48, 4]
    assert VECTORS.keys() == {
        *("about", "sdk_version", "conventions"),
        *sections,
        # Those in test_bytes.py, which counts them.
        *("primitives", "markets", "trade_account_id", "plain_address", "session_signing", "order_args"),
        *("action_calls", "action_batches", "call_without_data", "withdraw_signing", "upgrade_signing"),
        *("parallel_nonce", "parallel_withdraw_typed"),
    }


@pytest.mark.parametrize("entry", VECTORS["wallets"], ids=lambda entry: entry["key"])
def test_addresses(entry: Any) -> None:
    secret = bytes.fromhex(entry["private_key"][2:])
    public = public_key(load_key(secret))
    assert "0x04" + public.hex() == entry["public_key_uncompressed"]
    assert f"0x0{2 + public[63] % 2}{public[:32].hex()}" == entry["public_key_compressed"]
    assert address_of(SignerKind.FUEL, public) == entry["fuel_b256_address"]
    assert address_of(SignerKind.EVM, public) == entry["evm_b256_address"]

    fuel, evm = FuelWallet.from_key(entry["private_key"]), EvmWallet.from_key(secret)
    assert (fuel.kind, fuel.address) == (SignerKind.FUEL, entry["fuel_b256_address"])
    assert (evm.kind, evm.address) == (SignerKind.EVM, entry["evm_b256_address"])
    assert evm.identity == Identity.address(entry["evm_b256_address"])
    assert evm.checksum_address.lower() == entry["evm_address_lowercase"]
    assert fuel.export_key() == evm.export_key() == entry["private_key"]


async def test_a_wallet_prepares_its_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wallet = FuelWallet(KEYS["alpha"])

    def again(_secret: bytes) -> NoReturn:
        raise AssertionError("the public key is computed anew")

    monkeypatch.setattr(_curve._coincurve()[0], "__init__", again)
    assert await wallet.sign(REQUEST) == await wallet.sign(REQUEST)


def test_checksum_of_a_known_address() -> None:
    # The address of the private key 1 is printed in this case everywhere.
    assert EvmWallet.from_key(KEYS["one"]).checksum_address == "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"


@pytest.mark.parametrize(
    "entry", VECTORS["message_signatures"], ids=lambda entry: f"{entry['key']}-{entry['message_label']}"
)
async def test_signatures_of_messages(entry: Any) -> None:
    message = bytes.fromhex(entry["message"][2:])
    fuel, evm = FuelWallet(KEYS[entry["key"]]), EvmWallet(KEYS[entry["key"]])
    cases: list[tuple[str, str, str, FuelWallet | EvmWallet, SigningRequest]] = [
        ("fuel_personal", "fuel_personal_digest", "fuel_personal_signature", fuel, _personal(fuel, message)),
        ("evm_personal", "evm_personal_digest", "evm_personal_signature", evm, _personal(evm, message)),
        ("raw", "raw_sha256_digest", "raw_signature", fuel, session_request(message)),
    ]
    assert entry["recovery_bits"].keys() == {name for name, *_ in cases}
    for name, digest, signature, wallet, request in cases:
        assert "0x" + request.digest.hex() == entry[digest], name
        assert request.message == message
        assert not request.typed
        assert await signature_of(wallet, request, 1) == entry[signature], name
        assert bytes.fromhex(entry[signature][2:])[32] >> 7 == entry["recovery_bits"][name]


def _personal(wallet: Signer, message: bytes) -> SigningRequest:
    return personal_request(wallet.kind, message, "test")


@pytest.mark.parametrize("entry", VECTORS["compact_signature"], ids=lambda entry: entry["label"])
def test_packing_of_the_recovery_id(entry: Any) -> None:
    rs = bytes.fromhex(entry["r"][2:] + entry["s"][2:])
    assert "0x" + pack_signature(rs, entry["recovery_id"]).hex() == entry["signature"]


# -- forms of signatures ---------------------------------------------------------------------------


def der_of(r: int, s: int) -> bytes:
    def integer(value: int) -> bytes:
        data = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return bytes([2, len(data)]) + data

    body = integer(r) + integer(s)
    return bytes([0x30, len(body)]) + body


def parts_of(signature: bytes) -> tuple[int, int, int]:
    plain = pack_signature(signature, 0)
    r, s = int.from_bytes(plain[:32], "big"), int.from_bytes(plain[32:], "big")
    return r, s, signature[32] >> 7


@given(secrets, digests, kinds)
def test_every_form_leads_to_the_same_signature(secret: bytes, digest: bytes, kind: SignerKind) -> None:
    signature = sign_digest(load_key(secret), digest)
    address = address_of(kind, public_key(load_key(secret)))
    assert recover(digest, signature) == public_key(load_key(secret))
    r, s, recovery_id = parts_of(signature)
    assert s <= ORDER // 2
    der = PrivateKey(secret).sign(digest, hasher=None)
    assert der == der_of(r, s)
    for form, twin_id in ((s, recovery_id), (ORDER - s, 1 - recovery_id)):
        assert compact_signature(r, form, twin_id) == signature
        assert compact_from_der(der_of(r, form), digest, address, kind) == signature
        rs = r.to_bytes(32, "big") + form.to_bytes(32, "big")
        assert compact_from_vrs(rs + bytes([twin_id])) == signature
        assert compact_from_vrs(rs + bytes([twin_id + 27])) == signature


@given(secrets, digests, kinds, st.integers(0, 511))
def test_one_flipped_bit_is_another_signer(secret: bytes, digest: bytes, kind: SignerKind, bit: int) -> None:
    signature = int.from_bytes(sign_digest(load_key(secret), digest), "big") ^ 1 << bit
    try:
        found = recover_address(kind, digest, signature.to_bytes(64, "big"))
    except ValueError:
        return
    assert found != address_of(kind, public_key(load_key(secret)))


@given(st.binary(max_size=80))
def test_any_bytes_as_der_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"DER|curve|signature"):
        compact_from_der(data, DIGEST, Id("0x" + 64 * "0"), SignerKind.FUEL)


GOOD = sign_digest(load_key(bytes.fromhex(KEYS["alpha"][2:])), DIGEST)
R, S, _ = parts_of(GOOD)


@pytest.mark.parametrize(
    "bad",
    [
        der_of(R, S) + b"\0",
        der_of(R, S)[:-1],
        bytes([0x30, der_of(R, S)[1] + 1]) + der_of(R, S)[2:] + b"\0",
        b"\x30\x81" + der_of(R, S)[1:],
        der_of(R, S).replace(b"\x30", b"\x31", 1),
        der_of(R, S - 1),
        der_of(0, S),
        der_of(R, ORDER),
        b"\x30\x06\x02\x01\xff\x02\x01\x01",
        b"",
    ],
)
def test_der_that_is_not_the_signature(bad: bytes) -> None:
    address = FuelWallet(KEYS["alpha"]).address
    assert compact_from_der(der_of(R, S), DIGEST, address, SignerKind.FUEL) == GOOD
    with pytest.raises(ValueError, match=r"DER|curve|signature"):
        compact_from_der(bad, DIGEST, address, SignerKind.FUEL)


OUT_OF_RANGE: list[Callable[[], object]] = [
    lambda: compact_signature(0, 1, 0),
    lambda: compact_signature(1, ORDER, 0),
    lambda: compact_signature(1, 1, 2),
    lambda: compact_signature(1, -1, 0),
    lambda: compact_from_vrs(GOOD),
    lambda: compact_from_vrs(GOOD + b"\x02"),
    lambda: compact_from_vrs(GOOD + b"\x1d"),
    lambda: compact_from_vrs(pack_signature(GOOD, 0) + b"\x36"),
    lambda: pack_signature(GOOD, 3),
    lambda: pack_signature(GOOD[1:], 0),
    lambda: recover(DIGEST, GOOD + b"\0"),
    lambda: recover(DIGEST[1:], GOOD),
    lambda: recover(DIGEST, bytes(64)),
    lambda: load_key(bytes(32)),
    lambda: sign_digest(load_key(b"\1" * 32), DIGEST + b"\0"),
    lambda: SigningRequest(DIGEST[1:], b"", "test"),
]


@pytest.mark.parametrize("call", OUT_OF_RANGE, ids=range(len(OUT_OF_RANGE)))
def test_numbers_out_of_range(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        call()


def test_typed_request_is_hashed_once() -> None:
    request = typed_request(b"", "withdraw")
    assert request.digest.hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert request.typed


# -- external signers ------------------------------------------------------------------------------


@attrs.frozen
class Remote:
    """A signer somewhere else, for the key alpha; `answer` decides what it does."""

    answer: Callable[[SigningRequest], Awaitable[Any]]
    kind: SignerKind = SignerKind.EVM
    address: Id = attrs.field(factory=lambda: EvmWallet(KEYS["alpha"]).address)

    async def sign(self, request: SigningRequest) -> bytes:
        answer: bytes = await self.answer(request)
        return answer


REQUEST = personal_request(SignerKind.EVM, b"message", "withdraw")


async def test_a_slow_kms_signs(autojump_clock: trio.testing.MockClock) -> None:
    async def kms(request: SigningRequest) -> bytes:
        await trio.sleep(8)
        der = PrivateKey(bytes.fromhex(KEYS["alpha"][2:])).sign(request.digest, hasher=None)
        return compact_from_der(der, request.digest, remote.address, remote.kind)

    remote = Remote(kms)
    signature = await signature_of(remote, REQUEST, 10)
    assert signature == await signature_of(EvmWallet(KEYS["alpha"]), REQUEST, 10)
    assert trio.current_time() == pytest.approx(8, abs=0.01)


async def test_a_signer_that_does_not_answer(autojump_clock: trio.testing.MockClock) -> None:
    async def never(_request: SigningRequest) -> None:
        await trio.sleep_forever()

    with pytest.raises(SignerFailed, match=r"withdraw .* longer than 2.5 s"):
        await signature_of(Remote(never), REQUEST, 2.5)
    assert trio.current_time() == pytest.approx(2.5, abs=0.01)


async def test_a_signer_that_raises_keeps_its_words_to_itself() -> None:
    async def fail(_request: SigningRequest) -> None:
        raise LookupError("token s3cr3t was refused")

    with pytest.raises(SignerFailed, match=r"withdraw .* raised LookupError") as caught:
        await signature_of(Remote(fail), REQUEST, 1)
    assert "s3cr3t" not in str(caught.value)
    assert Remote(fail).address in str(caught.value)
    assert isinstance(caught.value.__cause__, LookupError)


async def test_cancelling_passes_through_a_signer() -> None:
    async def cancelled(_request: SigningRequest) -> None:
        scope.cancel()
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        await signature_of(Remote(cancelled), REQUEST, 1)
    assert scope.cancelled_caught


def _signed_by(key: str, change: Callable[[bytes], object]) -> Callable[[SigningRequest], Awaitable[Any]]:
    async def answer(request: SigningRequest) -> object:
        return change(sign_digest(load_key(bytes.fromhex(KEYS[key][2:])), request.digest))

    return answer


async def _hashed_again(request: SigningRequest) -> bytes:
    return PrivateKey(bytes.fromhex(KEYS["alpha"][2:])).sign_recoverable(request.digest)[:64]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (_signed_by("beta", bytes), "the signature is one of 0x"),
        (_hashed_again, "hashed again"),
        (_signed_by("alpha", lambda signature: signature + b"\0"), "not 65 bytes"),
        (_signed_by("alpha", bytes.hex), "not str"),
        (_signed_by("alpha", lambda _: None), "not NoneType"),
        (_signed_by("alpha", lambda _: bytes(64)), "no key makes"),
    ],
)
async def test_a_wrong_answer_is_not_sent(
    answer: Callable[[SigningRequest], Awaitable[Any]], problem: str
) -> None:
    with pytest.raises(SignerFailed, match=problem):
        await signature_of(Remote(answer), REQUEST, 1)


async def test_a_wallet_of_the_other_kind_is_another_address() -> None:
    fuel = FuelWallet(KEYS["alpha"])
    with pytest.raises(SignerFailed, match=fuel.address):
        await signature_of(Remote(fuel.sign, kind=SignerKind.FUEL), REQUEST, 1)


ACTIONS = session_request(b"message")


@pytest.mark.parametrize("request_", [REQUEST, ACTIONS], ids=["owner", "session"])
async def test_signing_is_a_checkpoint(request_: SigningRequest) -> None:
    for sign in (FuelWallet(KEYS["one"]).sign, partial(signature_of, EvmWallet(KEYS["one"]), seconds=1)):
        with trio.CancelScope() as scope:
            scope.cancel()
            await sign(request_)
        assert scope.cancelled_caught


# -- whose signatures are checked ------------------------------------------------------------------


class Derived(FuelWallet):
    """Somebody's own class, which may do anything."""


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every signature be wrong in one bit."""

    def sign(key: PrivateKey, digest: bytes) -> bytes:
        signature = sign_digest(key, digest)
        return signature[:-1] + bytes([signature[-1] ^ 1])

    monkeypatch.setattr(_wallets, "sign_digest", sign)


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("kind", [FuelWallet, EvmWallet])
@pytest.mark.parametrize("request_", [REQUEST, typed_request(b"message", "withdraw")], ids=["plain", "typed"])
async def test_an_owner_never_sends_a_faulty_signature(
    kind: type[FuelWallet | EvmWallet], request_: SigningRequest
) -> None:
    with pytest.raises(SignerFailed, match=r"no key makes|signature is one of"):
        await signature_of(kind(KEYS["alpha"]), request_, 1)


@pytest.mark.usefixtures("faulty")
async def test_foreign_session_keys_are_checked() -> None:
    signers: list[Signer] = [Derived(KEYS["alpha"]), Remote(EvmWallet(KEYS["alpha"]).sign)]
    for signer in signers:
        with pytest.raises(SignerFailed, match=r"no key makes|signature is one of"):
            await signature_of(signer, ACTIONS, 1)


async def test_a_wallet_as_session_key_signs_without_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    wallet = FuelWallet(KEYS["alpha"])
    signature = await signature_of(wallet, ACTIONS, 1)
    assert recover_address(SignerKind.FUEL, ACTIONS.digest, bytes.fromhex(signature[2:])) == wallet.address

    def unwanted(*_: object) -> NoReturn:
        raise AssertionError("recovering takes longer than signing")

    monkeypatch.setattr(_signing, "recover_address", unwanted)
    assert await signature_of(wallet, ACTIONS, 1) == signature
