"""The contracts' error enumerations and the signals of a revert: data only.

How they are looked up is told by ``_reverts``. Derived from the published contract interfaces; a test
compares this with the data that the notes on the protocol come with.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ENUMS", "EVENTS", "REQUIRE_TEXTS", "SIGNALS", "UNLOGGED"]

ENUMS: Mapping[int, tuple[str, tuple[str, ...]]] = {
    0xBB96F2BF9D366659: ("BlacklistError", ("TraderAlreadyBlacklisted", "TraderNotBlacklisted")),
    0x41FFDDE08D41A576: ("FeeError", ("NoFeesAvailable",)),
    0x7BEEA8D3E75DF4E3: (
        "OrderBookInitializationError",
        (
            "InvalidAsset",
            "InvalidDecimals",
            "InvalidPriceWindow",
            "InvalidPricePrecision",
            "OwnerNotSet",
            "InvalidMinOrder",
        ),
    ),
    0x0E7D0742559C4D2C: ("OrderCancelError", ("NotOrderOwner", "TraderNotBlacklisted", "NoBlacklist")),
    0xA700A0D30E8D2803: (
        "OrderCreationError",
        (
            "InvalidOrderArgs",
            "InvalidInputAmount",
            "InvalidAsset",
            "PriceExceedsRange",
            "PricePrecision",
            "InvalidHeapPrices",
            "FractionalPrice",
            "OrderNotFilled",
            "OrderPartiallyFilled",
            "TraderNotWhiteListed",
            "TraderBlackListed",
            "InvalidMarketOrder",
            "InvalidMarketOrderArgs",
        ),
    ),
    0x81255B874C9FC86A: (
        "TradeAccountRegistryError",
        (
            "OwnerAlreadyHasTradeAccount",
            "TradeAccountNotRegistered",
            "TradeAccountAlreadyHasReferer",
        ),
    ),
    0x0B65CE7C65308B15: ("CallerError", ("InvalidCaller",)),
    0xF88B7359B6A93F09: ("NonceError", ("InvalidNonce",)),
    0x25F7B773D2B66BE6: ("SessionError", ("SessionInThePast", "NoApprovedContractIdsProvided")),
    0x9924F5DA95B424D9: ("SignerError", ("InvalidSigner", "ProxyOwnerIsContract")),
    0xCE9DB9FF03AAFAA4: ("WithdrawError", ("AmountIsZero", "NotEnoughBalance")),
    0x4A361B557F6E90F2: ("WhitelistError", ("TraderAlreadyWhitelisted", "TraderNotWhitelisted")),
    0xB1FDDF488CCB9E63: ("InitializationError", ("CannotReinitialized",)),
    0x455B46A49016F5C0: ("PauseError", ("Paused", "NotPaused")),
    0xF1247475D0D14665: ("AccessError", ("NotOwner",)),
    0xC95B1133BA0FD973: (
        "SignatureError",
        (
            "UnrecoverablePublicKey",
            "InvalidPublicKey",
            "InvalidSignature",
            "InvalidOperation",
        ),
    ),
    0x077440F455D1EB83: ("SetProxyOwnerError", ("CannotUninitialize",)),
}
"""Log id to the enumeration's name and its variants in the order of their numbers."""

UNLOGGED: Mapping[str, tuple[str, ...]] = {
    "ExtendedNonceError": (
        "ReservedBitsSet",
        "BitmapPositionOutOfRange",
        "NonceSessionIdOutOfRange",
        "Expired",
        "WordPosOutOfWindow",
        "AlreadyUsed",
    ),
}
"""Enumerations newer than the published interfaces: their log ids are not known."""

SIGNALS: Mapping[int, str] = {
    0xFFFFFFFFFFFF0000: "FAILED_REQUIRE",
    0xFFFFFFFFFFFF0001: "FAILED_TRANSFER_TO_ADDRESS",
    0xFFFFFFFFFFFF0003: "FAILED_ASSERT_EQ",
    0xFFFFFFFFFFFF0004: "FAILED_ASSERT",
    0xFFFFFFFFFFFF0005: "FAILED_ASSERT_NE",
    0xFFFFFFFFFFFF0006: "REVERT_WITH_LOG",
    123: "MISMATCHED_SELECTOR",
}
"""What a revert code says about the kind of failure."""

EVENTS: frozenset[str] = frozenset(
    {
        "OrderBookRegistered",
        "OwnershipSet",
        "OwnershipTransferred",
        "ProxyOwnerSet",
        "ProxyTargetSet",
        "TradeAccountReferer",
        "TradeAccountRegistered",
    }
)
"""Events that contracts log and whose names do not end in ``Event``."""

REQUIRE_TEXTS: tuple[str, ...] = ("No upgrade available",)
"""Texts that contracts log instead of an enumeration."""
