"""Addresses, keys and integers in the spellings that other software hands out."""

from __future__ import annotations

from typing import Any, cast

import attrs
import pytest
from trio.testing import MockClock

from o2trio import CreateOrder, EvmWallet, FuelWallet, Identity, InvalidRequest, Options, Raw, Side
from o2trio._streaming import _check_precision  # pyright: ignore[reportPrivateUsage]
from o2trio.rest._arguments import whole
from o2trio.simulator import default_listings
from o2trio.trading._bytes import u64
from o2trio.trading._tracks import check_lane
from tests.trading._world import DEEP, FUEL, open_world, trading

EVM = EvmWallet.from_key("0x" + "11" * 32)

MARKET = default_listings()[0].market


@attrs.frozen
class Foreign:
    """An integer of another library, as NumPy's are."""

    value: int

    def __index__(self) -> int:
        return self.value


class Shapeless:
    """What says that it may be an integer, but is none, as an array of several numbers."""

    def __index__(self) -> int:
        raise TypeError("only arrays of one number")


def foreign(value: int) -> int:
    return cast("int", Foreign(value))


@pytest.mark.parametrize("spell", [str, str.lower, str.upper, lambda text: text[2:]])
def test_a_20_byte_address_names_the_wallet(spell: Any) -> None:
    assert Identity.address(spell(EVM.checksum_address)) == EVM.identity


@pytest.mark.parametrize(
    "wrong", ["", "0x12", EVM.checksum_address[:-1], EVM.checksum_address + "00", None, 5]
)
def test_other_lengths_are_no_address(wrong: Any) -> None:
    with pytest.raises(ValueError, match="the 40 of an Ethereum address"):
        Identity.address(wrong)


def test_a_contract_has_no_20_byte_form() -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        Identity.contract(EVM.checksum_address)


async def test_a_checksum_address_is_accepted_as_owner_and_as_target(autojump_clock: MockClock) -> None:
    async with open_world(owner=EVM) as world:
        setup = await world.o2.setup_account(EVM.checksum_address)
        found = await world.o2.get_account(owner=EVM.checksum_address.lower())
        assert found is not None
        assert setup.account.identity == found.identity == world.account.identity
        quote = world.market.quote
        await world.o2.withdraw(EVM, quote, amount="1", to=EVM.checksum_address)
        assert world.sim.exchange.outside[EVM.identity, quote.asset] == 1_000_000


async def test_a_wrong_address_is_refused_by_the_name_of_its_parameter(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        with pytest.raises(InvalidRequest, match=r"^to must be a wallet's address"):
            await world.o2.withdraw(world.owner, "fUSDC", amount="1", to="")
        with pytest.raises(InvalidRequest, match=r"^owner must be a wallet's address"):
            await world.o2.get_account(owner="0x12")


@pytest.mark.parametrize("wallet", [EvmWallet, FuelWallet])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"], ids=repr)
def test_the_text_of_a_key_file_is_a_key(wallet: type[EvmWallet | FuelWallet], end: str) -> None:
    key = "0x" + "11" * 32
    expected = wallet.from_key(key).address
    assert wallet.from_key(key + end).address == expected
    assert wallet.from_key((key + end).encode()).address == expected
    assert wallet.from_key(b"\x11" * 32).address == expected


@pytest.mark.parametrize("wrong", [b"\x11" * 33, "11" * 16 + "\n" + "11" * 16, "\n", b""], ids=repr)
def test_what_only_resembles_a_key_is_refused(wrong: str | bytes) -> None:
    with pytest.raises(InvalidRequest, match="a private key is 32 bytes"):
        EvmWallet.from_key(wrong)


@pytest.mark.parametrize(
    "take",
    [
        lambda number: Raw(number).value,
        lambda number: whole(number, 1, 9, "count"),
        check_lane,
        _check_precision,
        lambda number: Options(max_attempts=number).max_attempts,
        lambda number: Options(ping_interval=number).ping_interval,
        lambda number: CreateOrder(MARKET, Side.BUY, price=number, quantity=number).price,
        lambda number: int.from_bytes(u64(number), "big"),
    ],
    ids=["Raw", "count", "lane", "precision", "limit", "seconds", "CreateOrder", "u64"],
)
def test_integers_of_other_libraries_are_integers(take: Any) -> None:
    taken = take(foreign(3))
    assert taken == 3
    assert type(taken) is int


@pytest.mark.parametrize("wrong", [True, 3.0, "3", Shapeless()], ids=["bool", "float", "text", "array"])
@pytest.mark.parametrize(
    "take",
    [Raw, check_lane, u64, lambda number: Options(max_attempts=number)],
    ids=["Raw", "lane", "u64", "limit"],
)
def test_what_is_no_integer_stays_refused(take: Any, wrong: Any) -> None:
    with pytest.raises(InvalidRequest):
        take(wrong)


async def test_an_order_in_integers_of_another_library_is_placed(
    autojump_clock: MockClock,
) -> None:
    async with trading() as (world, session):
        price, quantity = world.market.raw_price(DEEP), world.market.raw_quantity("1000")
        order = await session.buy(FUEL, price=Raw(foreign(price)), quantity=Raw(foreign(quantity)))
        assert order.is_open
