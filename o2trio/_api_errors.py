"""One error for each code that the exchange publishes, and the table from codes to errors.

They hold what :exc:`ApiError` holds and differ only in their class. Where the exchange's own name is taken
by another error of this library, the docstring tells it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._errors import ApiError

__all__ = [
    "API_ERRORS",
    "AccountNotFound",
    "ActiveSpotOrderLimitExceeded",
    "AlreadySubscribed",
    "BlockNotFound",
    "EventsNotFound",
    "GeoRestricted",
    "InternalError",
    "InvalidAmount",
    "InvalidOrderParams",
    "InvalidPagination",
    "InvalidSession",
    "InvalidSignature",
    "InvalidTimeRange",
    "InvalidTradeCount",
    "InvalidTriggerOrderArgs",
    "MarketAlreadyExists",
    "MarketNotFound",
    "MarketPaused",
    "NoActionsProvided",
    "OrderNotActive",
    "OrderNotFound",
    "ParentOrderAlreadyHasFills",
    "ParentQuantityMismatch",
    "RateLimitExceeded",
    "RequestRejected",
    "RequestUnreadable",
    "SubscriptionError",
    "TooManyActions",
    "TooManySubscriptions",
    "TradeNotFound",
    "TriggerConflictsWithParent",
    "TriggerOrderQuotaExceeded",
    "TriggerOrderRejected",
    "TriggerPairSameDirection",
    "WhitelistNotConfigured",
]


class InternalError(ApiError):
    """1000: something failed inside the exchange; the reason may hold a revert."""


class RequestRejected(ApiError):
    """1001: the exchange found the request invalid (its own name: InvalidRequest)."""


class RequestUnreadable(ApiError):
    """1002: the exchange could not parse the request (its own name: ParseError)."""


class RateLimitExceeded(ApiError):
    """1003: too many requests; also raised for HTTP 429 without a code."""


class GeoRestricted(ApiError):
    """1004: the exchange does not serve this region; trying again does not help."""


class MarketNotFound(ApiError):
    """2000: there is no such market."""


class MarketPaused(ApiError):
    """2001: the market is paused."""


class MarketAlreadyExists(ApiError):
    """2002: the market exists already."""


class OrderNotFound(ApiError):
    """3000: there is no such order on this market."""


class OrderNotActive(ApiError):
    """3001: the order is no longer on the book."""


class InvalidOrderParams(ApiError):
    """3002: the order breaks a rule of the market."""


class InvalidSignature(ApiError):
    """4000: wrong key, digest or bytes; a stale nonce inside the bytes looks the same."""


class InvalidSession(ApiError):
    """4001: the session is unknown, replaced or expired: create a new one."""


class AccountNotFound(ApiError):
    """4002: there is no such trading account."""


class WhitelistNotConfigured(ApiError):
    """4003: the market has no whitelist; never fatal, whitelists are retired."""


class TradeNotFound(ApiError):
    """5000: there is no such trade."""


class InvalidTradeCount(ApiError):
    """5001: more trades, or fewer, than one page may hold."""


class AlreadySubscribed(ApiError):
    """6000: the topic is subscribed on this connection."""


class TooManySubscriptions(ApiError):
    """6001: the connection has too many subscriptions."""


class SubscriptionError(ApiError):
    """6002: a subscription failed."""


class InvalidAmount(ApiError):
    """7000: an amount is out of range."""


class InvalidTimeRange(ApiError):
    """7001: the span of time is empty, backwards or too long."""


class InvalidPagination(ApiError):
    """7002: the cursor or the size of the page is wrong."""


class NoActionsProvided(ApiError):
    """7003: the batch is empty."""


class TooManyActions(ApiError):
    """7004: the batch has more than five actions."""


class TriggerOrderRejected(ApiError):
    """Base of the refusals of trigger orders: the codes 7005 to 7010."""


class ParentOrderAlreadyHasFills(TriggerOrderRejected):
    """7005: the order that the trigger order belongs to is partly filled."""


class TriggerPairSameDirection(TriggerOrderRejected):
    """7006: both trigger orders of a pair trigger in the same direction."""


class ParentQuantityMismatch(TriggerOrderRejected):
    """7007: the quantity is not that of the order that the trigger order belongs to."""


class InvalidTriggerOrderArgs(TriggerOrderRejected):
    """7008: the arguments of the trigger order are invalid."""


class TriggerConflictsWithParent(TriggerOrderRejected):
    """7009: the trigger order contradicts the order that it belongs to."""


class TriggerOrderQuotaExceeded(TriggerOrderRejected):
    """7010: the account has too many trigger orders."""


class ActiveSpotOrderLimitExceeded(ApiError):
    """7011: the account has too many open orders on this market; cancel some. Not about trigger orders."""


class BlockNotFound(ApiError):
    """8000: there is no such block."""


class EventsNotFound(ApiError):
    """8001: there are no events for that block."""


API_ERRORS: Mapping[int, type[ApiError]] = {
    1000: InternalError,
    1001: RequestRejected,
    1002: RequestUnreadable,
    1003: RateLimitExceeded,
    1004: GeoRestricted,
    2000: MarketNotFound,
    2001: MarketPaused,
    2002: MarketAlreadyExists,
    3000: OrderNotFound,
    3001: OrderNotActive,
    3002: InvalidOrderParams,
    4000: InvalidSignature,
    4001: InvalidSession,
    4002: AccountNotFound,
    4003: WhitelistNotConfigured,
    5000: TradeNotFound,
    5001: InvalidTradeCount,
    6000: AlreadySubscribed,
    6001: TooManySubscriptions,
    6002: SubscriptionError,
    7000: InvalidAmount,
    7001: InvalidTimeRange,
    7002: InvalidPagination,
    7003: NoActionsProvided,
    7004: TooManyActions,
    7005: ParentOrderAlreadyHasFills,
    7006: TriggerPairSameDirection,
    7007: ParentQuantityMismatch,
    7008: InvalidTriggerOrderArgs,
    7009: TriggerConflictsWithParent,
    7010: TriggerOrderQuotaExceeded,
    7011: ActiveSpotOrderLimitExceeded,
    8000: BlockNotFound,
    8001: EventsNotFound,
}
"""The class of each published code; any other code is a plain :exc:`ApiError` that keeps its number."""
